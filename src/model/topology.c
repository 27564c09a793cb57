/* SPDX-License-Identifier: Apache-2.0 */
/* Reads where each CPU sits from /sys/devices/system, falling back on /proc/cpuinfo and then on "one package, one
 * node". Knows the files and their gaps. Follows CPUs that come and go when asked to; refuses to notice by itself. */
#include "model/topology.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "model/cpuinfo.h"

#define BITMAP_WORDS (CPUS_MAX / 64)

/* A cpulist that names every second of CPUS_MAX CPUs ("0,2,4,..."): 5 characters each. */
#define CPULIST_TEXT_MAX (CPUS_MAX * 5)

/* One processor of cpuinfo has some 1.6 KiB on today's x86 (the flags); CPUS_MAX of them and as much again. */
#define CPUINFO_TEXT_MAX (16U << 20)

/* The first processor alone, several times over. */
#define CPUINFO_HEAD_MAX (32U << 10)

/* meminfo has some 1.5 KiB, MemTotal is its first line. */
#define MEMINFO_TEXT_MAX (16U << 10)

/* "devices/system/cpu/cpu4095/topology/thread_siblings_list" and room. */
#define TOPOLOGY_PATH_MAX 96

static bool bit_test(const uint64_t *bitmap, uint32_t bit)
{
    return bitmap[bit / 64] >> (bit % 64) & 1;
}

static void bit_set(uint64_t *bitmap, uint32_t bit)
{
    bitmap[bit / 64] |= 1ULL << (bit % 64);
}

/* Number of the highest bit + 1, 0 when none is set. */
static uint32_t bits_end(const uint64_t *bitmap)
{
    for (size_t word = BITMAP_WORDS; word-- > 0;) {
        if (bitmap[word])
            return (uint32_t)(word * 64 + 64 - (size_t)__builtin_clzll(bitmap[word]));
    }
    return 0;
}

/* The lowest bit set in both, or `otherwise`. */
static uint32_t first_common_bit(const uint64_t *a, const uint64_t *b, uint32_t otherwise)
{
    for (size_t word = 0; word < BITMAP_WORDS; word++) {
        if (a[word] & b[word])
            return (uint32_t)(word * 64 + (size_t)__builtin_ctzll(a[word] & b[word]));
    }
    return otherwise;
}

static const char online_path[] = "devices/system/cpu/online";

/* What is read while a topology is made. */
struct reader {
    const struct carnot_env *env;
    struct topology *t;
    uint64_t possible[BITMAP_WORDS], online[BITMAP_WORDS];
    uint64_t has_core[BITMAP_WORDS]; /* CPUs whose core_id was told */
    uint64_t siblings[BITMAP_WORDS]; /* scratch */
    char text[CPULIST_TEXT_MAX];     /* scratch */
};

static int read_cpulist(struct reader *reader, const char *path, uint64_t *bitmap)
{
    ssize_t n = fsroot_read(&reader->env->sys, path, reader->text, sizeof(reader->text), NULL);

    if (n < 0)
        return (int)n;
    return parse_cpulist((struct text){reader->text, (size_t)n}, bitmap, CPUS_MAX);
}

/* Reads up to `limit` bytes of a file of /proc, cutting what is longer. The caller frees. */
static int read_proc_text(const struct carnot_env *env, const char *path, size_t limit, char **ret_text,
                          size_t *ret_len)
{
    _cleanup_close_ int fd = fsroot_openat(&env->proc, path, 0, NULL);
    _cleanup_free_ char *text = NULL;
    size_t len = 0, cap = 0;

    if (fd < 0)
        return fd;
    for (;;) {
        if (len == cap) {
            size_t more = min_size(cap ? cap * 2 : CPUINFO_HEAD_MAX, limit);
            char *grown = more > cap ? realloc(text, more) : NULL;
            if (!grown && more > cap)
                return -ENOMEM;
            if (!grown)
                break; /* at the limit: cut */
            text = grown;
            cap = more;
        }
        ssize_t n = pread(fd, text + len, cap - len, (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_text = TAKE_PTR(text);
    *ret_len = len;
    return 0;
}

/* Keeps the text too, for topology_refresh to compare with. */
static int read_online(struct reader *reader)
{
    ssize_t n = fsroot_read(&reader->env->sys, online_path, reader->text, sizeof(reader->text), NULL);

    if (n < 0)
        return (int)n;
    reader->t->online_text = strdup(reader->text);
    if (!reader->t->online_text)
        return -ENOMEM;
    return parse_cpulist((struct text){reader->text, (size_t)n}, reader->online, CPUS_MAX);
}

/* Which CPUs there can be and which run. -ENODATA when /sys does not tell. */
static int read_masks(struct reader *reader, struct carnot_err *err)
{
    int r = read_cpulist(reader, "devices/system/cpu/possible", reader->possible);

    if (r == -ERANGE) /* firmware that announces thousands of sockets that nobody has: only present ones then */
        r = read_cpulist(reader, "devices/system/cpu/present", reader->possible);
    if (r == -ERANGE)
        return carnot_err_set(err, E2BIG,
                              "%s/devices/system/cpu/present lists more than the %d CPUs that Carnot handles; please "
                              "report the machine",
                              reader->env->sys.path, CPUS_MAX);
    if (r < 0)
        memset(reader->possible, 0, sizeof(reader->possible));

    r = read_online(reader);
    if (r == -ENOMEM)
        return carnot_err_set(err, ENOMEM, "out of memory while reading which CPUs are online");
    if (r < 0)
        memcpy(reader->online, reader->possible, sizeof(reader->online));
    for (size_t word = 0; word < BITMAP_WORDS; word++)
        reader->possible[word] |= reader->online[word];
    return bits_end(reader->online) ? 0 : -ENODATA;
}

static int alloc_cpus(struct reader *reader, struct carnot_err *err)
{
    struct topology *t = reader->t;

    t->n_cpus = bits_end(reader->possible);
    t->cpus = calloc(t->n_cpus, sizeof(*t->cpus));
    if (!t->cpus)
        return carnot_err_set(err, ENOMEM, "out of memory for the topology of %" PRIu32 " CPUs", t->n_cpus);
    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        bool online = bit_test(reader->online, cpu);
        t->cpus[cpu] = (struct topology_cpu){
            .package = online ? 0 : -1, .first_sibling = (int)cpu, .core = (int)cpu, .online = online};
        t->n_online += online;
    }
    return 0;
}

static const char *cpu_path(char *out, uint32_t cpu, const char *file)
{
    int n = snprintf(out, TOPOLOGY_PATH_MAX, "devices/system/cpu/cpu%" PRIu32 "/topology/%s", cpu, file);

    return n > 0 && n < TOPOLOGY_PATH_MAX ? out : "";
}

/* A number >= 0. Where the kernel has no idea it writes -1, or there is no file: false then. */
static bool read_id(struct reader *reader, uint32_t cpu, const char *file, int *ret)
{
    char path[TOPOLOGY_PATH_MAX], text[32];
    int64_t value;
    ssize_t n = fsroot_read(&reader->env->sys, cpu_path(path, cpu, file), text, sizeof(text), NULL);

    if (n < 0 || parse_i64(text_trim((struct text){text, (size_t)n}), &value) < 0 || value < 0 || value > INT_MAX)
        return false;
    *ret = (int)value;
    return true;
}

/* The name of 2019 and later, then the old one. -1 when there is neither. */
static int read_first_sibling(struct reader *reader, uint32_t cpu)
{
    char path[TOPOLOGY_PATH_MAX];

    int r = read_cpulist(reader, cpu_path(path, cpu, "core_cpus_list"), reader->siblings);
    if (r < 0)
        r = read_cpulist(reader, cpu_path(path, cpu, "thread_siblings_list"), reader->siblings);
    if (r < 0)
        return -1;
    return (int)first_common_bit(reader->siblings, reader->online, cpu);
}

/* Fills the CPUs from /sys. True when every one of them told its package. */
static bool read_cpus(struct reader *reader)
{
    struct topology *t = reader->t;
    bool complete = true;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        struct topology_cpu *c = &t->cpus[cpu];

        if (!c->online)
            continue;
        complete &= read_id(reader, cpu, "physical_package_id", &c->package);
        read_id(reader, cpu, "die_id", &c->die);
        if (read_id(reader, cpu, "core_id", &c->core))
            bit_set(reader->has_core, cpu);
        c->first_sibling = read_first_sibling(reader, cpu);
    }
    return complete;
}

/* CPUs of one core, for those whose sibling list is missing: the same package, die and core number. */
static void infer_siblings(struct reader *reader)
{
    struct topology *t = reader->t;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        struct topology_cpu *c = &t->cpus[cpu];

        if (!c->online || c->first_sibling >= 0)
            continue;
        c->first_sibling = (int)cpu;
        for (uint32_t other = 0; other < cpu && bit_test(reader->has_core, cpu); other++) {
            const struct topology_cpu *o = &t->cpus[other];
            if (o->online && bit_test(reader->has_core, other) && o->package == c->package && o->die == c->die &&
                o->core == c->core) {
                c->first_sibling = (int)other;
                break;
            }
        }
    }
}

/* Packages and cores from cpuinfo, for CPUs that /sys knows without saying where they sit. */
static void apply_cpuinfo(struct reader *reader, struct text text)
{
    struct topology *t = reader->t;
    struct cpuinfo_cpu info;

    while (cpuinfo_next(&text, &info)) {
        if (info.cpu >= t->n_cpus || !t->cpus[info.cpu].online)
            continue;
        if (info.package >= 0)
            t->cpus[info.cpu].package = info.package;
        if (info.core >= 0 && !bit_test(reader->has_core, (uint32_t)info.cpu)) {
            t->cpus[info.cpu].core = info.core;
            bit_set(reader->has_core, (uint32_t)info.cpu);
        }
    }
}

/* Without /sys: the processors of cpuinfo are the machine, and without those there is one CPU. */
static void masks_from_cpuinfo(struct reader *reader, struct text text)
{
    struct cpuinfo_cpu info;

    memset(reader->online, 0, sizeof(reader->online));
    while (cpuinfo_next(&text, &info)) {
        if (info.cpu < CPUS_MAX)
            bit_set(reader->online, (uint32_t)info.cpu);
    }
    if (!bits_end(reader->online))
        bit_set(reader->online, 0);
    memcpy(reader->possible, reader->online, sizeof(reader->possible));
}

static int take_node(const char *name, unsigned char d_type, void *userdata)
{
    struct reader *reader = userdata;
    struct topology *t = reader->t;
    char path[TOPOLOGY_PATH_MAX];
    uint64_t node;

    (void)d_type;
    if (strncmp(name, "node", 4) != 0 || parse_u64(text_of(name + 4), &node) < 0 || node > INT_MAX)
        return 0;
    int n = snprintf(path, sizeof(path), "devices/system/node/%s/cpulist", name);
    if (n < 0 || (size_t)n >= sizeof(path) || read_cpulist(reader, path, reader->siblings) < 0)
        return 0;
    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        if (bit_test(reader->siblings, cpu))
            t->cpus[cpu].node = (int)node;
    }
    return 0;
}

/* Whether an online CPU before this one agrees with it in what `same` looks at. */
typedef bool (*same_fn)(const struct topology_cpu *a, const struct topology_cpu *b);

static bool same_package(const struct topology_cpu *a, const struct topology_cpu *b)
{
    return a->package == b->package;
}

static bool same_die(const struct topology_cpu *a, const struct topology_cpu *b)
{
    return a->package == b->package && a->die == b->die;
}

static bool same_node(const struct topology_cpu *a, const struct topology_cpu *b)
{
    return a->node == b->node;
}

static bool same_core(const struct topology_cpu *a, const struct topology_cpu *b)
{
    return a->first_sibling == b->first_sibling;
}

static uint32_t count_distinct(const struct topology *t, same_fn same)
{
    uint32_t count = 0;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        bool seen = !t->cpus[cpu].online;
        for (uint32_t other = cpu; other-- > 0 && !seen;)
            seen = t->cpus[other].online && same(&t->cpus[other], &t->cpus[cpu]);
        count += !seen;
    }
    return count;
}

static void count_places(struct topology *t)
{
    t->n_packages = count_distinct(t, same_package);
    t->n_dies = count_distinct(t, same_die);
    t->n_nodes = count_distinct(t, same_node);
    t->n_cores = count_distinct(t, same_core);
}

static uint64_t read_memory_bytes(const struct carnot_env *env)
{
    _cleanup_free_ char *text = NULL;
    struct text rest, line;
    size_t len;
    uint64_t kib;

    if (read_proc_text(env, "meminfo", MEMINFO_TEXT_MAX, &text, &len) < 0)
        return 0;
    rest = (struct text){text, len};
    while (scan_line(&rest, &line)) {
        struct text key;
        if (text_starts(line, "MemTotal:") && scan_word(&line, &key) && scan_u64(&line, &kib) == 0)
            return kib > UINT64_MAX / 1024 ? 0 : kib * 1024;
    }
    return 0;
}

static void apply_head(struct topology *t, struct text text)
{
    struct cpuinfo_head head;

    _Static_assert(sizeof(head.vendor) == sizeof(t->vendor), "the same name");
    _Static_assert(sizeof(head.model_name) == sizeof(t->model_name), "the same name");
    cpuinfo_parse_head(text, &head);
    memcpy(t->vendor, head.vendor, sizeof(t->vendor));
    memcpy(t->model_name, head.model_name, sizeof(t->model_name));
    t->family = head.family;
    t->model = head.model;
    t->hypervisor = head.hypervisor;
    t->sgx = head.sgx;
}

static int read_with(struct reader *reader, struct carnot_err *err)
{
    struct topology *t = reader->t;
    _cleanup_free_ char *text = NULL;
    size_t len = 0;

    int masks = read_masks(reader, err);
    if (masks < 0 && masks != -ENODATA)
        return masks;

    /* On large machines the whole of cpuinfo is megabytes and asks every CPU for its frequency: the head is enough
     * when /sys knows the rest. */
    if (read_proc_text(reader->env, "cpuinfo", masks < 0 ? CPUINFO_TEXT_MAX : CPUINFO_HEAD_MAX, &text, &len) < 0)
        len = 0;
    apply_head(t, (struct text){text, len});
    if (masks < 0)
        masks_from_cpuinfo(reader, (struct text){text, len});

    int r = alloc_cpus(reader, err);
    if (r < 0)
        return r;
    if (!read_cpus(reader)) {
        free(TAKE_PTR(text));
        if (read_proc_text(reader->env, "cpuinfo", CPUINFO_TEXT_MAX, &text, &len) == 0)
            apply_cpuinfo(reader, (struct text){text, len});
    }
    infer_siblings(reader);
    fsroot_list(&reader->env->sys, "devices/system/node", take_node, reader, NULL);

    count_places(t);
    t->memory_bytes = read_memory_bytes(reader->env);
    return 0;
}

int topology_read(const struct carnot_env *env, struct topology *ret_topology, struct carnot_err *err)
{
    struct topology topology = {0};
    _cleanup_free_ struct reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return carnot_err_set(err, ENOMEM, "out of memory while reading the topology");
    reader->env = env;
    reader->t = &topology;
    int r = read_with(reader, err);
    if (r < 0) {
        topology_done(&topology);
        return r;
    }
    *ret_topology = topology;
    return 0;
}

/* Whether the list of online CPUs is still the one that was read: 0 or 1. */
static int online_is_as_read(const struct carnot_env *env, const struct topology *topology, struct carnot_err *err)
{
    struct carnot_err why = CARNOT_ERR_INIT;
    char text[CPULIST_TEXT_MAX];
    ssize_t n = fsroot_read(&env->sys, online_path, text, sizeof(text), &why);

    if (!topology->online_text && (n == -ENOENT || n == -ENODEV))
        return 1; /* a machine that never told */
    if (n < 0) {
        if (err)
            *err = why;
        return (int)n;
    }
    return topology->online_text && strcmp(topology->online_text, text) == 0;
}

static void take_over(struct topology *topology, struct topology *fresh)
{
    topology->n_online = 0;
    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++) {
        topology->cpus[cpu].online = cpu < fresh->n_cpus && fresh->cpus[cpu].online;
        if (!topology->cpus[cpu].online)
            continue; /* stays where it was last seen */
        topology->cpus[cpu] = fresh->cpus[cpu];
        topology->n_online++;
    }
    count_places(topology);
    free(topology->online_text);
    topology->online_text = TAKE_PTR(fresh->online_text);
}

int topology_refresh(const struct carnot_env *env, struct topology *topology, struct topology_buckets *buckets,
                     struct carnot_err *err)
{
    struct topology fresh = {0};

    int same = online_is_as_read(env, topology, err);
    if (same != 0)
        return same < 0 ? same : 0;
    int r = topology_read(env, &fresh, err);
    if (r < 0)
        return r;
    /* A CPU that left or came meanwhile was read half here, half gone: better nothing than that, until the next time.
     */
    same = online_is_as_read(env, &fresh, err);
    if (same == 1) {
        take_over(topology, &fresh);
        topology_buckets_update(topology, buckets);
    }
    topology_done(&fresh);
    return same;
}

void topology_done(struct topology *topology)
{
    if (!topology)
        return;
    free(topology->cpus);
    free(topology->online_text);
    *topology = (struct topology){0};
}
