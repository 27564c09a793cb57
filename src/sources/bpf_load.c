/* SPDX-License-Identifier: Apache-2.0 */
/* Loading and attaching the BPF programs, and the sentences that say why it did not work. */
#include "sources/bpf_load.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sys/capability.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual" /* the generated code casts string constants to void * */
#include "sources/bpf/switch.skel.h"
#pragma GCC diagnostic pop

/* Atomic operations that give the old value: in the interpreter and on x86 since 5.12, in the compiler for arm64 since
 * 5.18. */
#define LINUX_NEEDED  "Linux 5.12 (arm64: 5.18) or newer"
#define REMEDY_RIGHTS "run as root, or give the program CAP_BPF and CAP_PERFMON (setcap cap_bpf,cap_perfmon+ep)"

static int quiet(enum libbpf_print_level level, const char *fmt, va_list args)
{
    return 0; /* the library prints to stderr otherwise; what matters is in our own sentences */
}

static bool has_cap(cap_t caps, cap_value_t cap)
{
    cap_flag_value_t value = CAP_CLEAR;

    return cap_get_flag(caps, cap, CAP_EFFECTIVE, &value) == 0 && value == CAP_SET;
}

static bool may_load(void)
{
    cap_t caps = cap_get_proc();
    bool may;

    if (!caps)
        return true; /* not known: let the load find out */
    may = has_cap(caps, CAP_SYS_ADMIN) || (has_cap(caps, CAP_BPF) && has_cap(caps, CAP_PERFMON));
    cap_free(caps);
    return may;
}

int bpf_programs_probe(const struct carnot_env *env, struct carnot_err *err)
{
    if (!fsroot_exists(&env->sys, "kernel/btf/vmlinux"))
        return carnot_err_set(err, ENOSYS,
                              "the kernel has no type information (%s/kernel/btf/vmlinux): use a kernel built with "
                              "CONFIG_DEBUG_INFO_BTF=y, " LINUX_NEEDED ", or the procfs reader",
                              env->sys.path);
    if (!may_load())
        return carnot_err_set(err, EPERM, "loading BPF programs needs CAP_BPF and CAP_PERFMON: " REMEDY_RIGHTS);
    return 0;
}

static int load_error(int code, const char *step, struct carnot_err *err)
{
    switch (-code) {
    case EPERM:
    case EACCES:
        return carnot_err_set(err, EPERM,
                              "the kernel refused to %s the BPF programs: " REMEDY_RIGHTS
                              "; in a container or under kernel lockdown BPF may be forbidden altogether",
                              step);
    case ENOMEM:
        return carnot_err_set(err, ENOMEM,
                              "no memory to %s the BPF programs: lower the number of threads kept, or raise the memory "
                              "limit of the service",
                              step);
    case ESRCH:
    case ENOENT:
    case EINVAL:
    case EOPNOTSUPP:
    case ENOSYS:
        return carnot_err_errno(err, ENOSYS,
                                "this kernel lacks what is needed to %s the BPF programs (error %d): " LINUX_NEEDED
                                " with BTF is required; the procfs reader works without",
                                step, -code);
    default:
        return carnot_err_errno(err, code, "cannot %s the BPF programs", step);
    }
}

static int set_sizes(struct switch_bpf *skel, const struct bpf_settings *settings)
{
    const struct {
        struct bpf_map *map;
        uint32_t entries;
    } sizes[] = {
        {skel->maps.cpus, settings->n_cpus},
        {skel->maps.cores, settings->n_cpus},
        {skel->maps.rows, settings->n_rows},
        {skel->maps.row_ns, settings->n_rows * settings->n_columns},
        {skel->maps.free_ring, settings->free_ring_size},
        {skel->maps.closed_ring, settings->closed_ring_size},
        {skel->maps.rest_ns, SWITCH_RESTS * settings->n_columns},
    };

    for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
        int r = bpf_map__set_max_entries(sizes[i].map, sizes[i].entries);
        if (r < 0)
            return r;
    }
    return 0;
}

int bpf_programs_load(const struct bpf_settings *settings, struct bpf_programs *ret_programs, struct carnot_err *err)
{
    struct bpf_programs programs = {.stats_fd = -1};
    struct switch_bpf *skel;
    int r;

    libbpf_set_print(quiet);
    skel = switch_bpf__open();
    if (!skel)
        return load_error(-errno, "open", err);

    skel->rodata->n_columns = settings->n_columns;
    skel->rodata->smt = settings->smt;
    skel->rodata->n_cpus = settings->n_cpus;
    skel->rodata->free_mask = settings->free_ring_size - 1;
    skel->rodata->closed_mask = settings->closed_ring_size - 1;
    skel->rodata->use_cpuacct = settings->cpuacct;
    skel->rodata->hierarchy_id = settings->hierarchy_id;
    bpf_program__set_autoattach(skel->progs.account_current, false);
    bpf_program__set_autoattach(skel->progs.who_am_i, false);
    bpf_program__set_autoattach(skel->progs.seed, false);

    r = set_sizes(skel, settings);
    if (r == 0)
        r = switch_bpf__load(skel);
    if (r < 0) {
        switch_bpf__destroy(skel);
        return load_error(r, "load", err);
    }

    programs.skel = skel;
    programs.control = &skel->bss->control;
    programs.cores_fd = bpf_map__fd(skel->maps.cores);
    programs.cpus_fd = bpf_map__fd(skel->maps.cpus);
    programs.rows_fd = bpf_map__fd(skel->maps.rows);
    programs.row_ns_fd = bpf_map__fd(skel->maps.row_ns);
    programs.free_ring_fd = bpf_map__fd(skel->maps.free_ring);
    programs.closed_ring_fd = bpf_map__fd(skel->maps.closed_ring);
    programs.rests_fd = bpf_map__fd(skel->maps.rests);
    programs.rest_ns_fd = bpf_map__fd(skel->maps.rest_ns);
    programs.rest_index_fd = bpf_map__fd(skel->maps.rest_index);
    programs.rest_free_fd = bpf_map__fd(skel->maps.rest_free);
    programs.events_fd = bpf_map__fd(skel->maps.cgroup_events);
    programs.marks_fd = bpf_map__fd(skel->maps.session_marks);
    programs.account_fd = bpf_program__fd(skel->progs.account_current);
    *ret_programs = programs;
    return 0;
}

/* Walks all threads of the machine once inside the kernel. */
static int seed_threads(struct switch_bpf *skel)
{
    struct bpf_link *link = bpf_program__attach_iter(skel->progs.seed, NULL);
    char sink[64];
    ssize_t n;
    int fd;

    if (!link)
        return -errno;
    fd = bpf_iter_create(bpf_link__fd(link));
    if (fd < 0) {
        bpf_link__destroy(link);
        return fd;
    }
    do {
        n = read(fd, sink, sizeof(sink));
    } while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
    n = n < 0 ? -errno : 0;
    close(fd);
    bpf_link__destroy(link);
    return (int)n;
}

int bpf_programs_attach(struct bpf_programs *programs, struct carnot_err *err)
{
    struct switch_bpf *skel = programs->skel;
    int r;

    skel->links.on_newtask = bpf_program__attach(skel->progs.on_newtask);
    if (!skel->links.on_newtask)
        return load_error(-errno, "attach", err);
    bpf_program__set_autoattach(skel->progs.on_newtask, false);
    r = seed_threads(skel);
    if (r < 0)
        return load_error(r, "run", err);
    r = switch_bpf__attach(skel);
    return r < 0 ? load_error(r, "attach", err) : 0;
}

int bpf_programs_account(const struct bpf_programs *programs, uint32_t cpu)
{
    LIBBPF_OPTS(bpf_test_run_opts, opts, .flags = BPF_F_TEST_RUN_ON_CPU, .cpu = cpu);

    return bpf_prog_test_run_opts(programs->account_fd, &opts);
}

uint32_t bpf_programs_own_pid(const struct bpf_programs *programs)
{
    LIBBPF_OPTS(bpf_test_run_opts, opts);

    if (bpf_prog_test_run_opts(bpf_program__fd(programs->skel->progs.who_am_i), &opts) < 0)
        return 0;
    return (uint32_t)__atomic_load_n(&programs->control->own_tgid, __ATOMIC_RELAXED);
}

int bpf_programs_measure(struct bpf_programs *programs, struct carnot_err *err)
{
    int fd;

    if (programs->stats_fd >= 0)
        return 0;
    fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
    if (fd < 0)
        return carnot_err_errno(err, fd,
                                "cannot have the kernel measure BPF programs (needs CAP_SYS_ADMIN, Linux 5.8): grant "
                                "it, or do without this measurement");
    programs->stats_fd = fd;
    return 0;
}

static void add_run_time(int fd, uint64_t *ns, uint64_t *count)
{
    struct bpf_prog_info info = {0};
    uint32_t len = sizeof(info);

    if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
        return;
    *ns += info.run_time_ns;
    *count += info.run_cnt;
}

void bpf_programs_run_time(const struct bpf_programs *programs, uint64_t *ret_ns, uint64_t *ret_count)
{
    struct bpf_program *program;

    *ret_ns = *ret_count = 0;
    if (programs->stats_fd < 0)
        return;
    bpf_object__for_each_program(program, programs->skel->obj)
        add_run_time(bpf_program__fd(program), ret_ns, ret_count);
}

void bpf_programs_switch_time(const struct bpf_programs *programs, uint64_t *ret_ns, uint64_t *ret_count)
{
    *ret_ns = *ret_count = 0;
    if (programs->stats_fd >= 0)
        add_run_time(bpf_program__fd(programs->skel->progs.on_switch), ret_ns, ret_count);
}

void bpf_programs_close(struct bpf_programs *programs)
{
    if (!programs->skel)
        return;
    switch_bpf__destroy(programs->skel);
    programs->skel = NULL;
    if (programs->stats_fd >= 0)
        close(programs->stats_fd);
    programs->stats_fd = -1;
}
