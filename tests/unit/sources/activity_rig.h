/* SPDX-License-Identifier: Apache-2.0 */
/* The running machine seen through the BPF reader, and throw-away cgroups with children in them, for tests that compare
 * what the reader says with what the kernel counted. Needs root and BPF. */
#ifndef CARNOT_TESTS_SOURCES_ACTIVITY_RIG_H
#define CARNOT_TESTS_SOURCES_ACTIVITY_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/parse.h"
#include "sources/activity.h"
#include "sources/activity_bpf.h"
#include "sources/bpf/switch.h"

#define RIG_CGROUP2_MAGIC 0x63677270
#define RIG_MS            1000000ULL
#define RIG_TICK_NS       (10 * RIG_MS) /* the kernel's totals are this stale at most (HZ 100 or more) */
#define RIG_DEADLINE_S    30            /* for conditions that must come true at once; longer means broken */

struct rig {
    struct carnot_env env;
    struct topology topology;
    struct topology_buckets buckets;
    struct cgroup_tree *tree;
    void *self;
    const char *mount;
    enum cgroup_hierarchy hierarchy;
    struct activity_window window;
    uint64_t total[CGROUPS_MAX]; /* ns per cgroup index since the open */
    uint64_t rest_total[CGROUPS_MAX];
};

static inline const char *rig_mount(enum cgroup_hierarchy hierarchy)
{
    static const char *const v2[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    static const char *const v1[] = {"/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct"};
    struct statfs fs;

    for (size_t i = 0; i < 2; i++) {
        if (hierarchy == CGROUP_V1 && access(v1[i], W_OK) == 0)
            return v1[i];
        if (hierarchy == CGROUP_V2 && statfs(v2[i], &fs) == 0 && fs.f_type == RIG_CGROUP2_MAGIC &&
            access(v2[i], W_OK) == 0)
            return v2[i];
    }
    return NULL;
}

static inline void rig_fail(const char *what, const struct carnot_err *err)
{
    fail_msg("%s: %s", what, err->msg);
}

/* `change`, if any, may say something else of the machine before the reader sees it. */
static inline void rig_open_with(struct rig *rig, enum cgroup_hierarchy hierarchy, uint32_t max_tasks, bool measure,
                                 void (*change)(struct topology *topology))
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct activity_args args = {.env = &rig->env,
                                 .topology = &rig->topology,
                                 .buckets = &rig->buckets,
                                 .monitor_pid = (uint32_t)getpid(),
                                 .measure_bpf = measure,
                                 .max_tasks = max_tasks};

    memset(rig, 0, sizeof(*rig));
    rig->hierarchy = hierarchy;
    rig->mount = rig_mount(hierarchy);
    assert_non_null(rig->mount);
    if (carnot_env_open(NULL, NULL, NULL, NULL, &rig->env, &err) < 0)
        rig_fail("env", &err);
    if (topology_read(&rig->env, &rig->topology, &err) < 0)
        rig_fail("topology", &err);
    if (change)
        change(&rig->topology);
    if (topology_buckets(&rig->topology, BUCKETS_MAX, &rig->buckets, &err) < 0)
        rig_fail("buckets", &err);
    if (cgroup_tree_open(&rig->env, hierarchy, &rig->tree, &err) < 0)
        rig_fail("cgroups", &err);
    args.cgroups = rig->tree;
    if (activity_bpf.open(&args, &rig->self, &err) < 0)
        rig_fail("open", &err);
}

static inline void rig_open_measured(struct rig *rig, enum cgroup_hierarchy hierarchy, uint32_t max_tasks, bool measure)
{
    rig_open_with(rig, hierarchy, max_tasks, measure, NULL);
}

static inline void rig_open(struct rig *rig, enum cgroup_hierarchy hierarchy, uint32_t max_tasks)
{
    rig_open_measured(rig, hierarchy, max_tasks, false);
}

/* Where the hierarchy does not matter. */
static inline enum cgroup_hierarchy rig_any_hierarchy(void)
{
    return rig_mount(CGROUP_V2) ? CGROUP_V2 : CGROUP_V1;
}

static inline void rig_close(struct rig *rig)
{
    rig->self = activity_bpf.close(rig->self);
    rig->tree = cgroup_tree_close(rig->tree);
    topology_buckets_done(&rig->buckets);
    topology_done(&rig->topology);
    carnot_env_close(&rig->env);
}

static inline uint64_t rig_sum(const struct rig *rig, const uint64_t *ns)
{
    uint64_t sum = 0;

    for (uint32_t b = 0; b < rig->buckets.n; b++)
        sum += ns[b];
    return sum;
}

/* One reading, added to the totals. */
static inline void rig_read(struct rig *rig)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    if (activity_bpf.read(rig->self, &rig->window, &err) < 0)
        rig_fail("read", &err);
    for (size_t i = 0; i < rig->window.n_tasks; i++)
        rig->total[rig->window.tasks[i].cgroup] += rig_sum(rig, rig->window.tasks[i].ns);
    for (size_t i = 0; i < rig->window.n_rests; i++) {
        rig->total[rig->window.rests[i].cgroup] += rig_sum(rig, rig->window.rests[i].ns);
        rig->rest_total[rig->window.rests[i].cgroup] += rig_sum(rig, rig->window.rests[i].ns);
    }
}

static inline void rig_drain(struct rig *rig)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    if (activity_bpf.drain(rig->self, &err) < 0)
        rig_fail("drain", &err);
}

/* A cgroup of this test: path in the hierarchy "/carnot-test-PID-NAME". */
struct rig_cgroup {
    const struct rig *rig;
    char path[192];
    char dir[PATH_MAX];
};

static inline void rig_cgroup_make(const struct rig *rig, const char *name, struct rig_cgroup *ret)
{
    ret->rig = rig;
    assert_true(snprintf(ret->path, sizeof(ret->path), "/carnot-test-%d-%s", (int)getpid(), name) <
                (int)sizeof(ret->path));
    assert_true(snprintf(ret->dir, sizeof(ret->dir), "%s%s", rig->mount, ret->path) < (int)sizeof(ret->dir));
    assert_int_equal(mkdir(ret->dir, 0755), 0);
}

static inline time_t rig_now_s(void)
{
    struct carnot_now now = clock_now(carnot_clock_system());

    return (time_t)(now.mono_ns / NS_PER_SEC);
}

/* Its dead are gone soon after they were waited for: until then the directory is busy. */
static inline void rig_cgroup_remove(const struct rig_cgroup *cgroup)
{
    time_t deadline = rig_now_s() + RIG_DEADLINE_S;

    while (rmdir(cgroup->dir) < 0) {
        assert_int_equal(errno, EBUSY);
        assert_true(rig_now_s() < deadline);
    }
}

static inline uint32_t rig_cgroup_index(const struct rig_cgroup *cgroup)
{
    uint32_t index = cgroup_tree_find_path(cgroup->rig->tree, cgroup->path);

    assert_int_not_equal(index, CGROUP_NONE);
    return index;
}

/* Moves a process (0: the caller) into the cgroup; also used by children, hence no assertion. */
static inline bool rig_cgroup_enter(const struct rig_cgroup *cgroup, pid_t pid)
{
    char path[PATH_MAX + 16], text[16];
    int fd, n = snprintf(text, sizeof(text), "%d", (int)pid);
    bool ok;

    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup->dir);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    ok = fd >= 0 && write(fd, text, (size_t)n) == n;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* What the kernel counted for the cgroup, in ns. */
static inline uint64_t rig_cgroup_kernel_ns(const struct rig_cgroup *cgroup)
{
    bool v1 = cgroup->rig->hierarchy == CGROUP_V1;
    char path[PATH_MAX + 16], text[4096];
    struct text rest, line;
    uint64_t value = 0;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", cgroup->dir, v1 ? "cpuacct.usage" : "cpu.stat");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    n = read(fd, text, sizeof(text));
    close(fd);
    assert_true(n > 0);
    rest = (struct text){text, (size_t)n};
    if (v1) {
        assert_int_equal(scan_u64(&rest, &value), 0);
        return value;
    }
    while (scan_line(&rest, &line)) {
        if (!text_starts(line, "usage_usec "))
            continue;
        line = (struct text){line.p + 11, line.n - 11};
        assert_int_equal(scan_u64(&line, &value), 0);
        return value * 1000;
    }
    fail_msg("no usage_usec in %s", path);
    return 0;
}

static inline uint64_t rig_cpu_ns(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

/* Uses this much CPU time of the caller's. */
static inline void rig_burn(uint64_t ns)
{
    uint64_t end = rig_cpu_ns(CLOCK_PROCESS_CPUTIME_ID) + ns;

    while (rig_cpu_ns(CLOCK_PROCESS_CPUTIME_ID) < end)
        ;
}

/* Waits for a child while the reader works as in the agent: drained at 10 Hz. */
static inline void rig_wait(struct rig *rig, pid_t pid)
{
    const struct timespec drain_interval = {.tv_nsec = 100 * (long)RIG_MS};
    sigset_t set, old;
    int status;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        assert_true(got == 0 || got == pid);
        if (got == pid)
            break;
        sigtimedwait(&set, NULL, &drain_interval); /* the child's end cuts it short */
        rig_drain(rig);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* |ours - kernel| <= kernel * per_million / 1e6 + slack, reading again while ours is short: the last slices of those
 * that were waited for end a moment later. More than the kernel counted fails at once. */
static inline void rig_expect_total(struct rig *rig, const struct rig_cgroup *cgroup, uint64_t per_million,
                                    uint64_t slack_ns)
{
    time_t deadline = rig_now_s() + RIG_DEADLINE_S;
    uint32_t index;
    uint64_t kernel, ours, allowed;

    rig_read(rig);
    index = rig_cgroup_index(cgroup);
    for (;;) {
        kernel = rig_cgroup_kernel_ns(cgroup);
        ours = rig->total[index];
        allowed = kernel / 1000000 * per_million + slack_ns;
        if (ours + allowed >= kernel || rig_now_s() > deadline)
            break;
        rig_read(rig);
    }
    print_message("    %s: kernel %.3f ms, ours %.3f ms (%+.4f %%), of it rest %.3f ms\n", cgroup->path,
                  (double)kernel / 1e6, (double)ours / 1e6,
                  kernel ? ((double)ours - (double)kernel) / (double)kernel * 100 : 0.0,
                  (double)rig->rest_total[index] / 1e6);
    assert_true(kernel > 0);
    assert_in_range(ours, kernel - allowed, kernel + allowed);
}

/* Forks a child that enters the cgroup and runs body(userdata), then exits with 0. */
static inline pid_t rig_start_child(const struct rig_cgroup *cgroup, void (*body)(void *), void *userdata)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    /* A test that fails leaves nobody behind, who would keep its output open and the runner waiting. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (cgroup && !rig_cgroup_enter(cgroup, 0))
        _exit(1);
    body(userdata);
    _exit(0);
}

/* Prints why these tests cannot run here; 0 when they can. */
static inline int rig_skip_reason(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct carnot_env env;
    struct activity_args args = {.env = &env};
    int r;

    if (geteuid() != 0)
        return printf("SKIP: needs root\n");
    if (!rig_mount(CGROUP_V1) && !rig_mount(CGROUP_V2))
        return printf("SKIP: no cgroup hierarchy that can be written\n");
    if (carnot_env_open(NULL, NULL, NULL, NULL, &env, &err) < 0)
        return printf("SKIP: %s\n", err.msg);
    r = activity_bpf.probe(&args, &err);
    carnot_env_close(&env);
    return r < 0 ? printf("SKIP: %s\n", err.msg) : 0;
}

#endif
