/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF reader where its tables, the tree of cgroups or its view of pids end: time must still reach the right cgroup.
 * Needs root, BPF and a cgroup file system that can be written; else skipped (77). */
#include "activity_rig.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/syscall.h>

#define EXACT_PPM 1000 /* 0.1 % */

static struct rig rig;

static void burn_body(void *ms)
{
    rig_burn(*(const uint64_t *)ms * RIG_MS);
}

static void expect_exit(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void go_down(struct rig_cgroup *cgroup, const char *name)
{
    size_t path = strlen(cgroup->path), dir = strlen(cgroup->dir);

    assert_true(path + strlen(name) + 2 <= sizeof(cgroup->path) && dir + strlen(name) + 2 <= sizeof(cgroup->dir));
    snprintf(cgroup->path + path, sizeof(cgroup->path) - path, "/%s", name);
    snprintf(cgroup->dir + dir, sizeof(cgroup->dir) - dir, "/%s", name);
}

/* ---- entries for time without a row, used again ---- */

#define CHURN      3000 /* cgroups; three times as many as there are entries */
#define CHURN_STEP 100  /* cgroups between two readings */

/* Children that have run and now wait: they hold all rows. */
static int hold_rows(pid_t *pids, size_t n)
{
    int ran[2], end[2];
    char c;

    assert_int_equal(pipe2(ran, O_CLOEXEC), 0);
    assert_int_equal(pipe2(end, O_CLOEXEC), 0);
    for (size_t i = 0; i < n; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            close(end[1]);
            rig_burn(RIG_MS / 2);
            _exit(write(ran[1], "x", 1) == 1 && read(end[0], &c, 1) == 0 ? 0 : 1);
        }
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(read(ran[0], &c, 1), 1);
        rig_drain(&rig);
    }
    close(ran[0]);
    close(ran[1]);
    close(end[0]);
    return end[1];
}

static void run_inside(const struct rig_cgroup *cgroup, uint64_t ns)
{
    int fd = open(cgroup->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd};
    pid_t pid;

    assert_true(fd >= 0);
    pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    assert_true(pid >= 0);
    if (pid == 0) {
        rig_burn(ns);
        _exit(0);
    }
    close(fd);
    expect_exit(pid);
}

static uint64_t cgroup_id(const struct rig_cgroup *cgroup)
{
    struct stat st;

    assert_int_equal(stat(cgroup->dir, &st), 0);
    return st.st_ino;
}

/* The rights that the agent keeps. The uid stays, to whom the cgroups belong. */
static void keep_agents_rights(void)
{
    const cap_value_t kept[] = {CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH};
    cap_t caps = cap_init();

    assert_non_null(caps);
    assert_int_equal(cap_set_flag(caps, CAP_PERMITTED, ELEMENTSOF(kept), kept, CAP_SET), 0);
    assert_int_equal(cap_set_flag(caps, CAP_EFFECTIVE, ELEMENTSOF(kept), kept, CAP_SET), 0);
    assert_int_equal(cap_set_proc(caps), 0);
    cap_free(caps);
}

static void churn(const struct rig_cgroup *base)
{
    static uint64_t ids[CHURN];
    struct activity_bpf_info info;
    struct rig_cgroup last;
    pid_t holders[100];
    unsigned in_rest = 0;
    uint64_t kernel = 0;
    uint32_t index;
    int end;

    rig_open(&rig, CGROUP_V2, 64);
    keep_agents_rights();
    end = hold_rows(holders, ELEMENTSOF(holders));
    rig_read(&rig);
    for (unsigned i = 0; i < CHURN; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%u", i);
        last = *base;
        go_down(&last, name);
        assert_int_equal(mkdir(last.dir, 0755), 0);
        ids[i] = cgroup_id(&last);
        run_inside(&last, i == CHURN - 1 ? 20 * RIG_MS : 0);
        kernel = rig_cgroup_kernel_ns(&last);
        rig_cgroup_remove(&last);
        if (i % CHURN_STEP == CHURN_STEP - 1)
            rig_read(&rig);
    }
    rig_read(&rig);

    for (unsigned i = 0; i < CHURN; i++) {
        index = cgroup_tree_find(rig.tree, ids[i], false);
        assert_int_not_equal(index, CGROUP_NONE);
        assert_true(rig.total[index] > 0);
        in_rest += rig.rest_total[index] > 0;
    }
    index = cgroup_tree_find(rig.tree, ids[CHURN - 1], false);
    print_message("    %u of %d cgroups without a row; the last: kernel %.3f ms, ours %.3f ms\n", in_rest, CHURN,
                  (double)kernel / 1e6, (double)rig.total[index] / 1e6);
    assert_true(in_rest > 2 * SWITCH_RESTS);
    assert_in_range(rig.total[index], kernel - kernel / 100, kernel + RIG_TICK_NS);

    for (int i = 0; i < 5; i++)
        rig_read(&rig);
    activity_bpf_info(rig.self, &info);
    assert_true(info.rests_used < CHURN_STEP);
    close(end);
    for (size_t i = 0; i < ELEMENTSOF(holders); i++)
        expect_exit(holders[i]);
    rig_close(&rig);
}

static void test_entries_are_used_again(void **state)
{
    struct rig_cgroup base;
    pid_t pid;

    if (!rig_mount(CGROUP_V2)) {
        print_message("SKIP: no writable cgroup v2 hierarchy\n");
        return;
    }
    rig.mount = rig_mount(CGROUP_V2);
    rig.hierarchy = CGROUP_V2;
    rig_cgroup_make(&rig, "churn", &base);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) { /* a failure in here goes on to the other tests, and ends in another status */
        churn(&base);
        _exit(0);
    }
    expect_exit(pid);
    rig_cgroup_remove(&base);
}

/* ---- cgroups outside of the tree ---- */

#define NESTING 40

/* /carnot-test-PID-NAME/n/n/..., `depth` levels of them. Returns the first and the deepest. */
static void nest(const char *name, unsigned depth, struct rig_cgroup *ret_top, struct rig_cgroup *ret_deepest)
{
    rig_cgroup_make(&rig, name, ret_top);
    *ret_deepest = *ret_top;
    for (unsigned i = 1; i < depth; i++) {
        go_down(ret_deepest, "n");
        assert_int_equal(mkdir(ret_deepest->dir, 0755), 0);
    }
}

static void unnest(const struct rig_cgroup *top, struct rig_cgroup *deepest)
{
    while (strlen(deepest->path) >= strlen(top->path)) {
        rig_cgroup_remove(deepest);
        *strrchr(deepest->path, '/') = '\0';
        *strrchr(deepest->dir, '/') = '\0';
    }
}

static void run_deep(enum cgroup_hierarchy hierarchy, bool before_open)
{
    struct rig_cgroup top, deepest, known;
    uint64_t ms = 50, in_root;

    rig.mount = rig_mount(hierarchy);
    rig.hierarchy = hierarchy;
    if (before_open)
        nest("deep", NESTING, &top, &deepest);
    rig_open(&rig, hierarchy, 0);
    if (!before_open)
        nest("deep", NESTING, &top, &deepest);
    rig_wait(&rig, rig_start_child(&deepest, burn_body, &ms));
    rig_read(&rig);
    in_root = rig.total[CGROUP_ROOT];

    known = top; /* the deepest that the tree has */
    for (unsigned i = 1; i < CGROUP_DEPTH_MAX; i++)
        go_down(&known, "n");
    assert_int_equal(cgroup_tree_find_nearest(rig.tree, deepest.path), rig_cgroup_index(&known));
    rig_expect_total(&rig, &known, EXACT_PPM, 0);
    print_message("    in the root meanwhile: %.3f ms\n", (double)in_root / 1e6);
    unnest(&top, &deepest);
    rig_close(&rig);
}

static void test_deep(void **state)
{
    static const enum cgroup_hierarchy both[] = {CGROUP_V2, CGROUP_V1};

    for (size_t i = 0; i < ELEMENTSOF(both); i++) {
        if (!rig_mount(both[i])) {
            print_message("SKIP: no writable cgroup %s hierarchy\n", both[i] == CGROUP_V1 ? "v1 cpuacct" : "v2");
            continue;
        }
        run_deep(both[i], true);
        run_deep(both[i], false);
    }
}

static void test_tree_full(void **state)
{
    struct rig_cgroup known, top, deepest;
    uint64_t ms = 50, id = UINT64_C(1) << 50;
    char path[32];
    int r;

    rig_open(&rig, rig_any_hierarchy(), 0);
    rig_read(&rig);
    rig_cgroup_make(&rig, "full", &known);
    rig_drain(&rig);
    do {
        snprintf(path, sizeof(path), "/carnot-fill-%u", (unsigned)id);
        r = cgroup_tree_add(rig.tree, id++, path);
    } while (r >= 0);
    assert_int_equal(r, -E2BIG);

    nest("full/a", 3, &top, &deepest);
    rig_wait(&rig, rig_start_child(&deepest, burn_body, &ms));
    rig_expect_total(&rig, &known, EXACT_PPM, 0);
    assert_int_equal(cgroup_tree_find_path(rig.tree, deepest.path), CGROUP_NONE);
    unnest(&top, &deepest);
    rig_cgroup_remove(&known);
    rig_close(&rig);
}

/* ---- another pid namespace ---- */

struct stranger {
    int go[2], done[2];
};

/* Works a millisecond per byte; at '.' until it is killed. */
static void stranger_body(void *userdata)
{
    const struct stranger *stranger = userdata;
    char c;

    while (read(stranger->go[0], &c, 1) == 1 && c != '.') {
        rig_burn(RIG_MS);
        if (write(stranger->done[1], &c, 1) != 1)
            _exit(2);
    }
    for (;;)
        ;
}

/* In a pid namespace of its own, as in a container: `stranger_pid` and `own_pid` are those of the initial one. */
static void read_from_inside(const struct rig_cgroup *cgroup, const struct stranger *stranger, pid_t stranger_pid,
                             pid_t own_pid)
{
    time_t deadline = rig_now_s() + RIG_DEADLINE_S;
    uint64_t kernel_before, kernel, monitor = 0;
    bool listed = false;
    uint32_t index;
    char c;

    assert_int_equal(getpid(), 1);
    kernel_before = rig_cgroup_kernel_ns(cgroup);
    rig_open(&rig, rig_any_hierarchy(), 0);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(write(stranger->go[1], "x", 1), 1);
        assert_int_equal(read(stranger->done[0], &c, 1), 1);
    }
    rig_read(&rig);
    index = rig_cgroup_index(cgroup);
    for (size_t i = 0; i < rig.window.n_tasks; i++) {
        const struct activity_task *task = &rig.window.tasks[i];
        assert_int_equal(task->flags & TASK_MONITOR, task->pid == (uint32_t)own_pid ? TASK_MONITOR : 0);
        if (task->pid == (uint32_t)own_pid)
            monitor += rig_sum(&rig, task->ns);
    }
    assert_true(monitor > 0);

    /* The walk at the start did not see it. It is listed from its next switch on, or, on kernels where no memory is to be
     * had at a switch, from a reading that finds it running; until then its cgroup has the time. */
    assert_int_equal(write(stranger->go[1], ".", 1), 1);
    while (!listed) {
        assert_true(rig_now_s() < deadline);
        rig_burn(5 * RIG_MS);
        rig_read(&rig);
        for (size_t i = 0; i < rig.window.n_tasks; i++)
            listed |= rig.window.tasks[i].pid == (uint32_t)stranger_pid;
    }
    /* On a busy machine it gets its turn when it does: until 20 ms of it were listed, not for so many readings. */
    while (rig.total[index] - rig.rest_total[index] < 20 * RIG_MS && rig_now_s() < deadline) {
        rig_burn(5 * RIG_MS);
        rig_read(&rig);
    }
    kernel = rig_cgroup_kernel_ns(cgroup) - kernel_before;
    print_message("    kernel %.3f ms, ours %.3f ms, of it rest %.3f ms\n", (double)kernel / 1e6,
                  (double)rig.total[index] / 1e6, (double)rig.rest_total[index] / 1e6);
    assert_in_range(rig.total[index], kernel - 2 * RIG_TICK_NS, kernel + RIG_TICK_NS);
    assert_true(rig.total[index] - rig.rest_total[index] >= 20 * RIG_MS);
    rig_close(&rig);
}

static void test_pid_namespace(void **state)
{
    struct rig_cgroup cgroup;
    struct stranger stranger;
    pid_t pid, stranger_pid;
    int tell[2];

    rig.mount = rig_mount(rig_any_hierarchy());
    rig.hierarchy = rig_any_hierarchy();
    rig_cgroup_make(&rig, "stranger", &cgroup);
    assert_int_equal(pipe2(stranger.go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(stranger.done, O_CLOEXEC), 0);
    assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
    stranger_pid = rig_start_child(&cgroup, stranger_body, &stranger);
    assert_int_equal(write(stranger.go[1], "x", 1), 1); /* it is in its cgroup, and has run */
    assert_int_equal(read(stranger.done[0], &(char){0}, 1), 1);

    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        pid_t inside, own_pid;
        if (unshare(CLONE_NEWPID) < 0)
            _exit(2);
        inside = fork();
        if (inside == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (read(tell[0], &own_pid, sizeof(own_pid)) != sizeof(own_pid))
                _exit(3);
            read_from_inside(&cgroup, &stranger, stranger_pid, own_pid);
            _exit(0);
        }
        if (write(tell[1], &inside, sizeof(inside)) != sizeof(inside))
            _exit(4);
        expect_exit(inside);
        _exit(0);
    }
    expect_exit(pid);
    assert_int_equal(kill(stranger_pid, SIGKILL), 0);
    assert_int_equal(waitpid(stranger_pid, NULL, 0), stranger_pid);
    rig_cgroup_remove(&cgroup);
    for (int i = 0; i < 2; i++) {
        close(stranger.go[i]);
        close(stranger.done[i]);
        close(tell[i]);
    }
}

/* ---- its own cost ---- */

static void test_measured_on_demand(void **state)
{
    rig_open_measured(&rig, rig_any_hierarchy(), 0, true);
    rig_burn(5 * RIG_MS);
    rig_read(&rig);
    assert_true(rig.window.run_ns > 0);
    rig_close(&rig);

    rig_open(&rig, rig_any_hierarchy(), 0);
    rig_burn(5 * RIG_MS);
    rig_read(&rig);
    assert_int_equal(rig.window.run_ns, 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_are_used_again),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_tree_full),
        cmocka_unit_test(test_pid_namespace),
        cmocka_unit_test(test_measured_on_demand),
    };

    if (rig_skip_reason())
        return 77;
    return cmocka_run_group_tests_name("sources/activity_bpf_limits", tests, NULL, NULL);
}
