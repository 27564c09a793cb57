/* SPDX-License-Identifier: Apache-2.0 */
/* carnot-sim: mounts a simulated /sys whose energy counters move with a scripted or live machine of which the true
 * energy is known. DIR/.control takes commands, DIR/.truth tells the truth. Runs in the foreground until SIGTERM.
 * Exit status 77 when FUSE cannot be used here. */
#define FUSE_USE_VERSION 31

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fsroot.h"
#include "live.h"
#include "request.h"
#include "script.h"
#include "tree.h"

#define EXIT_SKIP    77
#define SCRIPT_BYTES (4U << 20)

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

static int prepare(struct sim *sim, const struct sim_request *q, struct carnot_err *err)
{
    uint64_t cpu_uw = 0;

    int r = carnot_env_open(NULL, NULL, NULL, NULL, &sim->env, err);
    if (r < 0)
        return r;
    if (sim_machine_init(&sim->machine, &q->shape) < 0)
        return carnot_err_set(err, E2BIG, "more than %d zones", SIM_ZONES_MAX);
    r = sim_apply_request(&sim->machine, q, err);
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
static int serve(struct sim *sim, const char *dir, bool allow_other)
{
    char name[] = "carnot-sim", alone[] = "-ofsname=carnot-sim,default_permissions";
    char shared[] = "-ofsname=carnot-sim,default_permissions,allow_other";
    char *argv[] = {name, allow_other ? shared : alone, NULL};
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
    struct sim_request request;
    struct carnot_err err = CARNOT_ERR_INIT;

    int r = sim_parse_args(argc, argv, &request, &err);
    if (r > 0) {
        fputs(sim_usage, stdout);
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
    int status = serve(&sim, request.dir, request.allow_other);
    tree_done(&sim.tree);
    sim_machine_done(&sim.machine);
    sim_live_done(&sim.live);
    carnot_env_close(&sim.env);
    return status;
}
