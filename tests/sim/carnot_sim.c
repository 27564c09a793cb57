/* SPDX-License-Identifier: Apache-2.0 */
/* carnot-sim: mounts a simulated /sys whose energy counters move with a scripted or live machine of which the true
 * energy is known. DIR/.control takes commands, DIR/.truth tells the truth. Runs in the foreground until SIGTERM.
 * Exit status 77 when FUSE cannot be used here. */
#define FUSE_USE_VERSION 31

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fsroot.h"
#include "live.h"
#include "script.h"
#include "tree.h"

#define EXIT_SKIP       77
#define PASSTHROUGH_MAX 16
#define POWER_MAX       64
#define SCRIPT_BYTES    (4U << 20)

struct sim {
    struct sim_machine machine;
    struct tree tree;
    struct carnot_env env; /* of the real machine */
    struct sim_live live;
    bool manual_clock, is_live;
    uint64_t start_mono_ns;
};

/* One open file. Contents are made at offset 0 and kept for the rest of that reading, so that it is never of two
 * moments. */
struct handle {
    const struct tree_entry *entry; /* NULL: a real file */
    int fd;
    unsigned generation;
    struct buf text;
};

static struct sim *the_sim(void)
{
    return fuse_get_context()->private_data;
}

static const char *relative(const char *path)
{
    return path[0] == '/' ? path + 1 : path;
}

/* Lets the machine come up to the present. */
static void catch_up(struct sim *sim)
{
    if (sim->manual_clock)
        return;
    sim_advance_to(&sim->machine, clock_now(sim->env.clock).mono_ns - sim->start_mono_ns);
    if (sim->is_live)
        sim_live_update(&sim->live, &sim->machine);
}

static int sim_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    struct sim *sim = the_sim();
    const struct tree_entry *entry = tree_find(&sim->tree, &sim->machine, relative(path));

    (void)fi;
    *st = (struct stat){.st_nlink = 1, .st_size = 4096};
    if (!entry || entry->type == TREE_REAL) {
        if (!tree_is_real(&sim->tree, relative(path)))
            return -ENOENT;
        if (fstatat(sim->env.sys.fd, relative(path), st, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
        st->st_mode &= ~(mode_t)0222;
        return 0;
    }
    switch (entry->type) {
    case TREE_DIR:
        st->st_mode = S_IFDIR | 0555;
        break;
    case TREE_LINK:
        st->st_mode = S_IFLNK | 0777;
        st->st_size = (off_t)strlen(entry->target);
        break;
    case TREE_CONTROL:
        st->st_mode = S_IFREG | 0200;
        break;
    default: /* the counter is for root alone, as in the kernel */
        st->st_mode = S_IFREG | (entry->type == TREE_FILE && entry->attr == ATTR_ENERGY ? 0400 : 0444);
        break;
    }
    return 0;
}

static int sim_readlink(const char *path, char *out, size_t size)
{
    struct sim *sim = the_sim();
    const struct tree_entry *entry = tree_find(&sim->tree, &sim->machine, relative(path));

    if (entry && entry->type == TREE_LINK) {
        snprintf(out, size, "%s", entry->target);
        return 0;
    }
    if (entry || !tree_is_real(&sim->tree, relative(path)))
        return -EINVAL;
    ssize_t n = readlinkat(sim->env.sys.fd, relative(path), out, size - 1);
    if (n < 0)
        return -errno;
    out[n] = '\0';
    return 0;
}

struct listing {
    struct sim *sim;
    const char *dir;
    void *buf;
    fuse_fill_dir_t fill;
};

static int list_real(const char *name, unsigned char d_type, void *userdata)
{
    struct listing *listing = userdata;
    struct sim *sim = listing->sim;
    char path[4096];

    (void)d_type;
    int n = snprintf(path, sizeof(path), "%s%s%s", listing->dir, listing->dir[0] ? "/" : "", name);
    if (n < 0 || (size_t)n >= sizeof(path) || !tree_is_real(&sim->tree, path))
        return 0;
    return listing->fill(listing->buf, name, NULL, 0, (enum fuse_fill_dir_flags)0) ? 1 : 0;
}

static int sim_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *fi,
                       enum fuse_readdir_flags flags)
{
    struct sim *sim = the_sim();
    const char *dir = relative(path);
    struct listing listing = {.sim = sim, .dir = dir, .buf = buf, .fill = fill};
    const struct tree_entry *self = tree_find(&sim->tree, &sim->machine, dir);

    (void)offset;
    (void)fi;
    (void)flags;
    if (!self && !tree_is_real(&sim->tree, dir))
        return -ENOENT;
    for (size_t i = 0; i < sim->tree.n && self; i++) {
        const struct tree_entry *entry = &sim->tree.entries[i];
        const char *name = tree_child_of(dir, entry->path);
        if (name && tree_find(&sim->tree, &sim->machine, entry->path))
            fill(buf, name, NULL, 0, (enum fuse_fill_dir_flags)0);
    }
    bool real = !self || self->type == TREE_REAL;
    if (real || sim->tree.all_real) {
        int r = fsroot_list(&sim->env.sys, dir, list_real, &listing, NULL);
        if (r < 0 && real)
            return r;
    }
    return 0;
}

static int sim_open(const char *path, struct fuse_file_info *fi)
{
    struct sim *sim = the_sim();
    const struct tree_entry *entry = tree_find(&sim->tree, &sim->machine, relative(path));
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;
    struct handle handle = {.entry = entry, .fd = -1};

    if (entry && entry->type == TREE_REAL)
        entry = NULL;
    if (writes != (entry && entry->type == TREE_CONTROL))
        return -EACCES;
    if (!entry) {
        if (!tree_is_real(&sim->tree, relative(path)))
            return -ENOENT;
        handle.fd = fsroot_openat(&sim->env.sys, relative(path), 0, NULL);
        if (handle.fd < 0)
            return handle.fd;
    } else if (entry->zone >= 0) {
        const struct sim_zone *zone = &sim->machine.zones[entry->zone];
        if (entry->attr == ATTR_ENERGY && (zone->fail_errno == EACCES || zone->fail_errno == EPERM))
            return -zone->fail_errno;
        handle.generation = zone->generation;
    }
    struct handle *kept = malloc(sizeof(*kept));
    if (!kept) {
        cleanup_closep(&handle.fd);
        return -ENOMEM;
    }
    buf_init(&handle.text, SCRIPT_BYTES);
    *kept = handle;
    fi->fh = (uint64_t)(uintptr_t)kept;
    fi->direct_io = 1;
    return 0;
}

static int sim_release(const char *path, struct fuse_file_info *fi)
{
    struct handle *handle = (struct handle *)(uintptr_t)fi->fh;

    (void)path;
    cleanup_closep(&handle->fd);
    buf_done(&handle->text);
    free(handle);
    return 0;
}

/* "id alias true_uj wraps resets counter_uj" for each zone. */
static void write_truth(struct sim *sim, struct buf *out)
{
    for (int i = 0; i < sim->machine.n_zones; i++) {
        const struct sim_zone *zone = &sim->machine.zones[i];
        buf_printf(out, "%s %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", zone->id, zone->alias,
                   sim_true_uj(&sim->machine, i), sim_wraps(&sim->machine, i), zone->resets,
                   sim_counter_uj(&sim->machine, i));
    }
}

static int write_attr(struct sim *sim, const struct tree_entry *entry, struct buf *out)
{
    const struct sim_zone *zone = &sim->machine.zones[entry->zone];

    switch (entry->attr) {
    case ATTR_NAME:
        buf_puts(out, zone->name);
        break;
    case ATTR_ENERGY:
        if (zone->fail_errno)
            return -zone->fail_errno;
        buf_put_u64(out, sim_counter_uj(&sim->machine, entry->zone));
        break;
    case ATTR_RANGE:
        buf_put_u64(out, zone->range_uj);
        break;
    case ATTR_ENABLED:
        buf_putc(out, '0'); /* no limit enforced, as on most machines; the counter runs */
        break;
    case ATTR_CONSTRAINT_NAME:
        buf_puts(out, "long_term");
        break;
    case ATTR_MAX_POWER:
        if (!zone->max_power_uw)
            return -ENODATA; /* what the kernel says where the hardware does not tell */
        buf_put_u64(out, zone->max_power_uw);
        break;
    }
    buf_putc(out, '\n');
    return 0;
}

static int make_text(struct sim *sim, struct handle *handle)
{
    const struct tree_entry *entry = handle->entry;

    buf_reset(&handle->text);
    catch_up(sim);
    if (entry->type == TREE_TRUTH) {
        write_truth(sim, &handle->text);
        return buf_error(&handle->text);
    }
    int r = write_attr(sim, entry, &handle->text);
    return r < 0 ? r : buf_error(&handle->text);
}

static int sim_read(const char *path, char *out, size_t size, off_t offset, struct fuse_file_info *fi)
{
    struct sim *sim = the_sim();
    struct handle *handle = (struct handle *)(uintptr_t)fi->fh;

    (void)path;
    if (handle->fd >= 0) {
        ssize_t n = pread(handle->fd, out, size, offset);
        return n < 0 ? -errno : (int)n;
    }
    if (handle->entry->zone >= 0) {
        const struct sim_zone *zone = &sim->machine.zones[handle->entry->zone];
        if (zone->vanished || zone->generation != handle->generation)
            return -ENODEV;
    }
    if (offset == 0) {
        int r = make_text(sim, handle);
        if (r < 0)
            return r;
    }
    if (offset < 0 || (size_t)offset >= handle->text.len)
        return 0;
    size_t n = min_size(size, handle->text.len - (size_t)offset);
    memcpy(out, handle->text.data + offset, n);
    return (int)n;
}

static int sim_write(const char *path, const char *data, size_t size, off_t offset, struct fuse_file_info *fi)
{
    struct sim *sim = the_sim();
    struct text rest = {data, size}, line;
    struct carnot_err err = CARNOT_ERR_INIT;

    (void)path;
    (void)offset;
    (void)fi;
    catch_up(sim);
    while (scan_line(&rest, &line)) {
        int r = sim_command(&sim->machine, line, sim->manual_clock, &err);
        if (r < 0) {
            fprintf(stderr, "carnot-sim: %.*s: %s\n", (int)line.n, line.p, err.msg);
            return r;
        }
    }
    return (int)size;
}

static int sim_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
    (void)path;
    (void)size;
    (void)fi;
    return 0; /* a shell's `>` on .control */
}

static void *sim_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
    (void)conn;
    config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
    config->hard_remove = 1;
    return the_sim();
}

static const struct fuse_operations operations = {
    .init = sim_init,
    .getattr = sim_getattr,
    .readlink = sim_readlink,
    .readdir = sim_readdir,
    .open = sim_open,
    .release = sim_release,
    .read = sim_read,
    .write = sim_write,
    .truncate = sim_truncate,
};

/* What the command line asks for, before the machine exists. */
struct request {
    struct sim_shape shape;
    const char *range, *modulus, *max_power, *start[POWER_MAX], *power[POWER_MAX], *script, *live;
    size_t n_start, n_power;
    const char *passthrough[PASSTHROUGH_MAX];
    size_t n_passthrough;
    bool manual_clock;
    const char *dir;
};

static const char usage[] =
    "usage: carnot-sim [options] DIR\n"
    "Mounts a simulated /sys at DIR until SIGTERM.\n"
    "  --packages N  --dies N          shape of the machine (1, 1)\n"
    "  --core --uncore --dram --psys --mmio   zones beside the packages\n"
    "  --range-uj R  --modulus-uj M    range told, and value at which counters wrap (R); else those of a server\n"
    "  --start-uj [ZONE=]S             counter at the beginning\n"
    "  --max-power-uw P                constraint_0_max_power_uw of every zone; none by default\n"
    "  --power ZONE=12.5W              power from the beginning; repeatable\n"
    "  --script FILE                   lines \"t_s zone watts\"\n"
    "  --live CPU_W                    each busy CPU of this machine adds so much to its package and core zone\n"
    "  --clock manual|real             manual: time passes only by \"advance 1s\" written to DIR/.control\n"
    "  --passthrough PATH              part of the real /sys to show (devices/system/cpu and node); \"\" for all\n"
    "Commands: advance T, power Z W, fail Z ERRNO|ok, vanish Z, restore Z, reset Z. Truth: DIR/.truth\n";

enum {
    OPT_PACKAGES = 256,
    OPT_DIES,
    OPT_CORE,
    OPT_UNCORE,
    OPT_DRAM,
    OPT_PSYS,
    OPT_MMIO,
    OPT_RANGE,
    OPT_MODULUS,
    OPT_START,
    OPT_MAX_POWER,
    OPT_POWER,
    OPT_SCRIPT,
    OPT_LIVE,
    OPT_CLOCK,
    OPT_PASSTHROUGH,
    OPT_HELP
};

static const struct option long_options[] = {
    {"packages", required_argument, NULL, OPT_PACKAGES},
    {"dies", required_argument, NULL, OPT_DIES},
    {"core", no_argument, NULL, OPT_CORE},
    {"uncore", no_argument, NULL, OPT_UNCORE},
    {"dram", no_argument, NULL, OPT_DRAM},
    {"psys", no_argument, NULL, OPT_PSYS},
    {"mmio", no_argument, NULL, OPT_MMIO},
    {"range-uj", required_argument, NULL, OPT_RANGE},
    {"modulus-uj", required_argument, NULL, OPT_MODULUS},
    {"start-uj", required_argument, NULL, OPT_START},
    {"max-power-uw", required_argument, NULL, OPT_MAX_POWER},
    {"power", required_argument, NULL, OPT_POWER},
    {"script", required_argument, NULL, OPT_SCRIPT},
    {"live", required_argument, NULL, OPT_LIVE},
    {"clock", required_argument, NULL, OPT_CLOCK},
    {"passthrough", required_argument, NULL, OPT_PASSTHROUGH},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int parse_count(const char *text, uint64_t most, unsigned *ret, struct carnot_err *err)
{
    uint64_t value;

    if (parse_u64(text_of(text), &value) < 0 || value < 1 || value > most)
        return carnot_err_set(err, EINVAL, "%s is not a number from 1 to %" PRIu64, text, most);
    *ret = (unsigned)value;
    return 0;
}

static int add_text(const char **list, size_t *n, size_t max, const char *text, struct carnot_err *err)
{
    if (*n == max)
        return carnot_err_set(err, E2BIG, "%s is one too many of its kind", text);
    list[(*n)++] = text;
    return 0;
}

/* 0, or 1 when help was asked for. */
static int take_option(struct request *q, int option, const char *arg, struct carnot_err *err)
{
    switch (option) {
    case OPT_PACKAGES:
        return parse_count(arg, 64, &q->shape.packages, err);
    case OPT_DIES:
        return parse_count(arg, 8, &q->shape.dies, err);
    case OPT_CORE:
        q->shape.core = true;
        return 0;
    case OPT_UNCORE:
        q->shape.uncore = true;
        return 0;
    case OPT_DRAM:
        q->shape.dram = true;
        return 0;
    case OPT_PSYS:
        q->shape.psys = true;
        return 0;
    case OPT_MMIO:
        q->shape.mmio = true;
        return 0;
    case OPT_RANGE:
        q->range = arg;
        return 0;
    case OPT_MODULUS:
        q->modulus = arg;
        return 0;
    case OPT_MAX_POWER:
        q->max_power = arg;
        return 0;
    case OPT_START:
        return add_text(q->start, &q->n_start, POWER_MAX, arg, err);
    case OPT_POWER:
        return add_text(q->power, &q->n_power, POWER_MAX, arg, err);
    case OPT_PASSTHROUGH:
        return add_text(q->passthrough, &q->n_passthrough, PASSTHROUGH_MAX, arg, err);
    case OPT_SCRIPT:
        q->script = arg;
        return 0;
    case OPT_LIVE:
        q->live = arg;
        return 0;
    case OPT_CLOCK:
        q->manual_clock = strcmp(arg, "manual") == 0;
        if (!q->manual_clock && strcmp(arg, "real") != 0)
            return carnot_err_set(err, EINVAL, "--clock is manual or real, not %s", arg);
        return 0;
    case OPT_HELP:
        return 1;
    default:
        return carnot_err_set(err, EINVAL, "see --help");
    }
}

static int parse_args(int argc, char **argv, struct request *q, struct carnot_err *err)
{
    int option, r = 0;

    *q = (struct request){.shape = {.packages = 1, .dies = 1}};
    while (r == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        r = take_option(q, option, optarg, err);
    if (r != 0)
        return r;
    if (optind != argc - 1)
        return carnot_err_set(err, EINVAL, "exactly one directory to mount at is needed; see --help");
    q->dir = argv[optind];
    if (q->n_passthrough == 0) {
        q->passthrough[q->n_passthrough++] = "devices/system/cpu";
        q->passthrough[q->n_passthrough++] = "devices/system/node";
    }
    return 0;
}

/* "ZONE=VALUE" or, where allowed, "VALUE" for every zone (-1). */
static int split_zone(const struct sim_machine *machine, const char *arg, int *ret_zone, struct text *ret_value,
                      struct carnot_err *err)
{
    const char *equals = strchr(arg, '=');

    *ret_zone = -1;
    *ret_value = text_of(equals ? equals + 1 : arg);
    if (!equals)
        return 0;
    *ret_zone = sim_zone_find(machine, arg, (size_t)(equals - arg));
    if (*ret_zone < 0)
        return carnot_err_set(err, EINVAL, "there is no zone in %s", arg);
    return 0;
}

static int apply_ranges(struct sim_machine *machine, const struct request *q, struct carnot_err *err)
{
    uint64_t range = 0, modulus = 0, max_power = 0;

    if (q->range && (parse_u64(text_of(q->range), &range) < 0 || range == 0))
        return carnot_err_set(err, EINVAL, "%s is no range in microjoules", q->range);
    if (q->modulus && (parse_u64(text_of(q->modulus), &modulus) < 0 || modulus == 0))
        return carnot_err_set(err, EINVAL, "%s is no modulus in microjoules", q->modulus);
    if (q->max_power && parse_u64(text_of(q->max_power), &max_power) < 0)
        return carnot_err_set(err, EINVAL, "%s is no power in microwatts", q->max_power);
    for (int i = 0; i < machine->n_zones; i++) {
        struct sim_zone *zone = &machine->zones[i];
        if (range)
            zone->range_uj = zone->modulus_uj = range;
        if (modulus)
            zone->modulus_uj = modulus;
        zone->max_power_uw = max_power;
    }
    return 0;
}

static int apply_zone_values(struct sim_machine *machine, const struct request *q, struct carnot_err *err)
{
    struct text value;
    uint64_t number;
    int zone, r = 0;

    for (size_t i = 0; i < q->n_start; i++) {
        r = split_zone(machine, q->start[i], &zone, &value, err);
        if (r < 0)
            return r;
        if (parse_u64(value, &number) < 0)
            return carnot_err_set(err, EINVAL, "%s is no counter value", q->start[i]);
        for (int k = 0; k < machine->n_zones; k++) {
            if (zone >= 0 && zone != k)
                continue;
            if (number >= machine->zones[k].modulus_uj)
                return carnot_err_set(err, EINVAL, "%s is not below the modulus of %s", q->start[i],
                                      machine->zones[k].id);
            machine->zones[k].start_uj = number;
        }
    }
    for (size_t i = 0; i < q->n_power; i++) {
        r = split_zone(machine, q->power[i], &zone, &value, err);
        if (r < 0)
            return r;
        if (zone < 0 || sim_parse_power(value, &machine->zones[zone].power_uw) < 0)
            return carnot_err_set(err, EINVAL, "--power wants ZONE=12.5W, not %s", q->power[i]);
    }
    return 0;
}

static int load_script(struct sim *sim, const char *path, struct carnot_err *err)
{
    _cleanup_free_ char *text = malloc(SCRIPT_BYTES);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (!text)
        return carnot_err_set(err, ENOMEM, "out of memory");
    if (fd < 0)
        return carnot_err_errno(err, errno, "cannot open %s", path);
    ssize_t n = fd_read_start(fd, text, SCRIPT_BYTES);
    if (n < 0)
        return carnot_err_errno(err, (int)n, "cannot read %s", path);
    return sim_parse_script(&sim->machine, path, (struct text){text, (size_t)n}, err);
}

static int prepare(struct sim *sim, const struct request *q, struct carnot_err *err)
{
    uint64_t cpu_uw = 0;

    int r = carnot_env_open(NULL, NULL, NULL, NULL, &sim->env, err);
    if (r < 0)
        return r;
    if (sim_machine_init(&sim->machine, &q->shape) < 0)
        return carnot_err_set(err, E2BIG, "more than %d zones", SIM_ZONES_MAX);
    r = apply_ranges(&sim->machine, q, err);
    if (r == 0)
        r = apply_zone_values(&sim->machine, q, err);
    if (r == 0 && q->script)
        r = load_script(sim, q->script, err);
    if (r < 0)
        return r;
    if (q->live && (q->manual_clock || sim_parse_power(text_of(q->live), &cpu_uw) < 0))
        return carnot_err_set(err, EINVAL, "--live wants watts per busy CPU and a real clock");
    sim->manual_clock = q->manual_clock;
    sim->is_live = q->live != NULL;
    if (q->live)
        r = sim_live_init(&sim->live, &sim->env, &sim->machine, cpu_uw, err);
    if (r < 0)
        return r;
    if (tree_build(&sim->machine, q->passthrough, q->n_passthrough, &sim->tree) < 0)
        return carnot_err_set(err, ENOMEM, "out of memory");
    sim->start_mono_ns = clock_now(sim->env.clock).mono_ns;
    sim_advance_to(&sim->machine, 0); /* what the script says of time 0 */
    return 0;
}

/* Serves until a signal. Returns the exit status. */
static int serve(struct sim *sim, const char *dir)
{
    char name[] = "carnot-sim", option[] = "-ofsname=carnot-sim,default_permissions";
    char *argv[] = {name, option, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, argv);
    struct fuse *fuse = fuse_new(&args, &operations, sizeof(operations), sim);
    int status = EXIT_FAILURE;

    if (!fuse) {
        fprintf(stderr, "carnot-sim: FUSE cannot be set up\n");
        goto out;
    }
    if (fuse_mount(fuse, dir) != 0) {
        fprintf(stderr, "carnot-sim: skipped: mounting at %s is not permitted here\n", dir);
        status = EXIT_SKIP;
        goto out;
    }
    if (fuse_set_signal_handlers(fuse_get_session(fuse)) == 0) {
        int r = fuse_loop(fuse); /* the number of the signal that ended it, or an error */
        status = r >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        fuse_remove_signal_handlers(fuse_get_session(fuse));
    }
    fuse_unmount(fuse);
out:
    if (fuse)
        fuse_destroy(fuse);
    fuse_opt_free_args(&args);
    return status;
}

int main(int argc, char **argv)
{
    static struct sim sim;
    struct request request;
    struct carnot_err err = CARNOT_ERR_INIT;

    int r = parse_args(argc, argv, &request, &err);
    if (r > 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (r == 0)
        r = prepare(&sim, &request, &err);
    if (r < 0) {
        fprintf(stderr, "carnot-sim: %s\n", err.msg);
        return carnot_err_exit_status(r);
    }
    if (access("/dev/fuse", R_OK | W_OK) < 0) {
        fprintf(stderr, "carnot-sim: skipped: /dev/fuse cannot be used: %s\n", strerror(errno));
        return EXIT_SKIP;
    }
    int status = serve(&sim, request.dir);
    tree_done(&sim.tree);
    sim_machine_done(&sim.machine);
    sim_live_done(&sim.live);
    carnot_env_close(&sim.env);
    return status;
}
