/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF activity reader on the running kernel, held against the kernel's own totals. Needs root, BPF and a cgroup
 * file system that can be written; else skipped (77). */
#include "activity_rig.h"

#include <sched.h>
#include <spawn.h>

#define EXACT_PPM 1000 /* 0.1 % */
#define STORM_PPM 5000 /* 0.5 % */

extern char **environ;

static struct rig rig;

static void burn_body(void *ms)
{
    rig_burn(*(const uint64_t *)ms * RIG_MS);
}

static bool have(enum cgroup_hierarchy hierarchy)
{
    if (rig_mount(hierarchy))
        return true;
    print_message("SKIP: no writable cgroup %s hierarchy\n", hierarchy == CGROUP_V1 ? "v1 cpuacct" : "v2");
    return false;
}

static const enum cgroup_hierarchy both[] = {CGROUP_V2, CGROUP_V1};

/* ---- the total of a cgroup ---- */

static void test_busy_child(void **state)
{
    uint64_t ms = 400;

    for (size_t i = 0; i < ELEMENTSOF(both); i++) {
        struct rig_cgroup cgroup;
        if (!have(both[i]))
            continue;
        rig_open(&rig, both[i], 0);
        rig_cgroup_make(&rig, "busy", &cgroup);
        rig_wait(&rig, rig_start_child(&cgroup, burn_body, &ms));
        rig_expect_total(&rig, &cgroup, EXACT_PPM, 0);
        rig_cgroup_remove(&cgroup);
        rig_close(&rig);
    }
}

struct storm {
    unsigned count;
    bool exec;
};

static void storm_body(void *userdata)
{
    char name[] = "true";
    char *const argv[] = {name, NULL};
    const struct storm *storm = userdata;

    for (unsigned i = 0; i < storm->count; i++) {
        int status;
        pid_t pid = -1;
        if (!storm->exec) {
            pid = fork();
            if (pid == 0)
                _exit(0);
        } else if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0) {
            _exit(2);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            _exit(3);
    }
}

static void run_storm(const struct rig_cgroup *cgroup, struct storm storm, unsigned parents)
{
    pid_t pids[8];

    assert_in_range(parents, 1, ELEMENTSOF(pids));
    storm.count /= parents;
    for (unsigned i = 0; i < parents; i++)
        pids[i] = rig_start_child(cgroup, storm_body, &storm);
    for (unsigned i = 0; i < parents; i++)
        rig_wait(&rig, pids[i]);
}

static void test_exec_storm(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(both); i++) {
        struct rig_cgroup cgroup;
        uint64_t seen;
        if (!have(both[i]))
            continue;
        rig_open(&rig, both[i], 0);
        rig_read(&rig);
        seen = rig.window.processes_seen;
        rig_cgroup_make(&rig, "storm", &cgroup);
        run_storm(&cgroup, (struct storm){.count = 3200, .exec = true}, 4);
        rig_expect_total(&rig, &cgroup, STORM_PPM, 0);
        assert_true(rig.window.processes_seen - seen >= 3200);
        rig_cgroup_remove(&cgroup);
        rig_close(&rig);
    }
}

static void expect_no_leak(void)
{
    struct activity_bpf_info info;

    activity_bpf_info(rig.self, &info);
    assert_int_equal(info.rows_free + info.rows_waiting + info.rows_live + info.rows_closed, info.rows_total);
}

static void test_many_short_processes(void **state)
{
    enum cgroup_hierarchy hierarchy = rig_any_hierarchy();
    struct activity_bpf_info before, after;
    struct rig_cgroup cgroup;

    rig_open(&rig, hierarchy, 0);
    rig_cgroup_make(&rig, "many", &cgroup);
    rig_read(&rig);
    activity_bpf_info(rig.self, &before);
    run_storm(&cgroup, (struct storm){.count = 20000}, 4);
    rig_expect_total(&rig, &cgroup, STORM_PPM, 0);
    activity_bpf_info(rig.self, &after);
    print_message("    births %llu, dropped %llu, missed %llu, live rows %u -> %u\n",
                  (unsigned long long)(after.births - before.births), (unsigned long long)after.dropped,
                  (unsigned long long)after.missed, before.rows_live, after.rows_live);
    assert_true(after.births - before.births >= 20000);
    assert_int_equal(after.missed, 0);
    /* Others come and go on the machine, but not by hundreds; a leak would be of thousands. */
    assert_true(after.rows_live < before.rows_live + 500);
    /* Rows that change hands while they are counted would be counted twice: until a quiet moment. */
    expect_no_leak();
    rig_cgroup_remove(&cgroup);
    rig_close(&rig);
}

/* ---- a thread that changes its cgroup ---- */

struct mover {
    const struct rig_cgroup *to;
    int told; /* the child writes here when its first half is done */
    uint64_t ms;
    bool self;
};

static void mover_body(void *userdata)
{
    const struct mover *mover = userdata;

    rig_burn(mover->ms * RIG_MS);
    if (mover->self && !rig_cgroup_enter(mover->to, 0))
        _exit(2);
    if (!mover->self && write(mover->told, "x", 1) != 1)
        _exit(3);
    rig_burn(mover->ms * RIG_MS);
}

static void run_move(enum cgroup_hierarchy hierarchy, bool self)
{
    struct rig_cgroup from, to;
    struct mover mover = {.to = &to, .ms = 150, .self = self};
    uint32_t index_from, index_to;
    uint64_t kernel, ours;
    int told[2];
    pid_t pid;

    rig_open(&rig, hierarchy, 0);
    rig_cgroup_make(&rig, "from", &from);
    rig_cgroup_make(&rig, "to", &to);
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    mover.told = told[1];
    pid = rig_start_child(&from, mover_body, &mover);
    if (!self) {
        char c;
        assert_int_equal(read(told[0], &c, 1), 1);
        assert_true(rig_cgroup_enter(&to, pid)); /* it is running on the other CPU now */
    }
    rig_wait(&rig, pid);
    rig_expect_total(&rig, &from, EXACT_PPM, RIG_TICK_NS);
    rig_expect_total(&rig, &to, EXACT_PPM, RIG_TICK_NS);
    index_from = rig_cgroup_index(&from);
    index_to = rig_cgroup_index(&to);
    assert_true(rig.total[index_from] > 100 * RIG_MS);
    assert_true(rig.total[index_to] > 100 * RIG_MS);
    kernel = rig_cgroup_kernel_ns(&from) + rig_cgroup_kernel_ns(&to);
    ours = rig.total[index_from] + rig.total[index_to];
    assert_in_range(ours, kernel - kernel / 1000, kernel + kernel / 1000);
    rig_cgroup_remove(&from);
    rig_cgroup_remove(&to);
    close(told[0]);
    close(told[1]);
    rig_close(&rig);
}

static void test_move(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(both); i++) {
        if (!have(both[i]))
            continue;
        run_move(both[i], true);
        run_move(both[i], false);
    }
}

/* ---- limits ---- */

/* More processes than there are rows, all of which have run before the first of them ends. */
static void crowd_body(void *userdata)
{
    pid_t pids[150];
    int ran[2], end[2];
    char c;

    if (pipe2(ran, O_CLOEXEC) < 0 || pipe2(end, O_CLOEXEC) < 0)
        _exit(2);
    for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            close(end[1]);
            rig_burn(4 * RIG_MS);
            _exit(write(ran[1], "x", 1) == 1 && read(end[0], &c, 1) == 0 ? 0 : 1);
        }
        if (pids[i] < 0)
            _exit(3);
    }
    for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
        if (read(ran[0], &c, 1) != 1)
            _exit(4);
    }
    close(end[1]);
    for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
        int status;
        if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
            _exit(5);
    }
}

static void test_table_full(void **state)
{
    enum cgroup_hierarchy hierarchy = rig_any_hierarchy();
    struct rig_cgroup cgroup;
    struct activity_bpf_info info;

    rig_open(&rig, hierarchy, 64);
    rig_cgroup_make(&rig, "crowd", &cgroup);
    rig_wait(&rig, rig_start_child(&cgroup, crowd_body, NULL));
    rig_expect_total(&rig, &cgroup, EXACT_PPM, 0);
    activity_bpf_info(rig.self, &info);
    assert_int_equal(info.rows_total, 64);
    assert_true(info.dropped > 0);
    assert_true(rig.window.dropped >= info.dropped);
    assert_true(rig.rest_total[rig_cgroup_index(&cgroup)] > 0);
    assert_true(rig.window.unlisted_ns >= rig.rest_total[rig_cgroup_index(&cgroup)]);
    rig_cgroup_remove(&cgroup);
    rig_close(&rig);
}

/* ---- sessions ---- */

enum { ROLE_PARENT, ROLE_CHILD, ROLE_GRANDCHILD, ROLE_SIBLING, N_ROLES };

struct family {
    int go[2];     /* the test writes when the session has begun */
    int report[2]; /* {role, pid} */
};

struct family_report {
    int role;
    pid_t pid;
};

static void report(const struct family *family, int role)
{
    struct family_report message = {role, getpid()};

    rig_burn(20 * RIG_MS);
    if (write(family->report[1], &message, sizeof(message)) != sizeof(message))
        _exit(4);
}

static void wait_for(pid_t pid)
{
    int status;

    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        _exit(5);
}

static void parent_body(void *userdata)
{
    const struct family *family = userdata;
    char c;
    pid_t child;

    if (read(family->go[0], &c, 1) != 1)
        _exit(3);
    child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            report(family, ROLE_GRANDCHILD);
            _exit(0);
        }
        report(family, ROLE_CHILD);
        wait_for(grandchild);
        _exit(0);
    }
    report(family, ROLE_PARENT);
    wait_for(child);
}

static void sibling_body(void *userdata)
{
    report(userdata, ROLE_SIBLING);
}

static void test_sessions(void **state)
{
    enum cgroup_hierarchy hierarchy = rig_any_hierarchy();
    struct carnot_err err = CARNOT_ERR_INIT;
    pid_t pids[N_ROLES] = {0}, parent, sibling;
    uint64_t ns[N_ROLES] = {0}, in_session[N_ROLES] = {0};
    struct family family;

    rig_open(&rig, hierarchy, 0);
    assert_int_equal(pipe2(family.go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(family.report, O_CLOEXEC), 0);
    parent = rig_start_child(NULL, parent_body, &family);
    assert_int_equal(activity_bpf.session_begin(rig.self, (uint32_t)parent, 7, &err), 0);
    assert_int_equal(activity_bpf.session_begin(rig.self, (uint32_t)parent, 7, &err), -EEXIST);
    assert_int_equal(activity_bpf.session_begin(rig.self, (uint32_t)parent, 0, &err), -EINVAL);
    sibling = rig_start_child(NULL, sibling_body, &family);
    assert_int_equal(write(family.go[1], "x", 1), 1);
    rig_wait(&rig, parent);
    rig_wait(&rig, sibling);
    for (int i = 0; i < N_ROLES; i++) {
        struct family_report message;
        assert_int_equal(read(family.report[0], &message, sizeof(message)), sizeof(message));
        pids[message.role] = message.pid;
    }

    rig_read(&rig);
    for (size_t i = 0; i < rig.window.n_tasks; i++) {
        const struct activity_task *task = &rig.window.tasks[i];
        for (int role = 0; role < N_ROLES; role++) {
            if (task->pid != (uint32_t)pids[role])
                continue;
            ns[role] += rig_sum(&rig, task->ns);
            if (task->session == 7)
                in_session[role] += rig_sum(&rig, task->ns);
            else
                assert_int_equal(task->session, 0);
        }
    }
    for (int role = 0; role < N_ROLES; role++)
        assert_true(ns[role] >= 15 * RIG_MS);
    assert_int_equal(in_session[ROLE_PARENT], 0);
    assert_int_equal(in_session[ROLE_SIBLING], 0);
    assert_int_equal(in_session[ROLE_CHILD], ns[ROLE_CHILD]);
    assert_int_equal(in_session[ROLE_GRANDCHILD], ns[ROLE_GRANDCHILD]);

    activity_bpf.session_end(rig.self, 7);
    activity_bpf.session_end(rig.self, 7); /* twice is nothing */
    assert_int_equal(activity_bpf.session_begin(rig.self, (uint32_t)parent, 8, &err), -ESRCH);
    assert_true(err.msg[0] != '\0');
    for (int i = 0; i < 2; i++) {
        close(family.go[i]);
        close(family.report[i]);
    }
    rig_close(&rig);
}

/* A child that outlives its session is in none, even when the number is given again. */
static void test_session_number_again(void **state)
{
    enum cgroup_hierarchy hierarchy = rig_any_hierarchy();
    struct carnot_err err = CARNOT_ERR_INIT;
    int hold[2], told[2];
    pid_t child = -1;
    bool found = false;
    char c;

    rig_open(&rig, hierarchy, 0);
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    assert_int_equal(activity_bpf.session_begin(rig.self, (uint32_t)getpid(), 3, &err), 0);
    child = fork();
    if (child == 0) {
        if (read(hold[0], &c, 1) != 1 || (rig_burn(20 * RIG_MS), write(told[1], "x", 1)) != 1)
            _exit(2);
        _exit(0);
    }
    assert_true(child > 0);
    activity_bpf.session_end(rig.self, 3);
    assert_int_equal(activity_bpf.session_begin(rig.self, (uint32_t)getpid(), 3, &err), 0);
    rig_read(&rig);
    assert_int_equal(write(hold[1], "x", 1), 1);
    assert_int_equal(read(told[0], &c, 1), 1);
    rig_wait(&rig, child);
    rig_read(&rig);
    for (size_t i = 0; i < rig.window.n_tasks; i++) {
        const struct activity_task *task = &rig.window.tasks[i];
        if (task->pid != (uint32_t)child)
            continue;
        found = true;
        assert_int_equal(task->session, 0);
        assert_int_equal(task->ppid == 0, false);
    }
    assert_true(found);
    for (int i = 0; i < 2; i++) {
        close(hold[i]);
        close(told[i]);
    }
    rig_close(&rig);
}

/* ---- cgroups that come and go ---- */

static void test_short_lived_cgroup(void **state)
{
    uint64_t ms = 30;

    for (size_t i = 0; i < ELEMENTSOF(both); i++) {
        struct rig_cgroup cgroup;
        uint32_t index = CGROUP_NONE;
        uint64_t kernel, ours = 0;
        time_t deadline = rig_now_s() + RIG_DEADLINE_S;
        pid_t pid;
        if (!have(both[i]))
            continue;
        rig_open(&rig, both[i], 0);
        rig_read(&rig);
        rig_cgroup_make(&rig, "brief", &cgroup);
        pid = rig_start_child(&cgroup, burn_body, &ms);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        kernel = rig_cgroup_kernel_ns(&cgroup);
        rig_cgroup_remove(&cgroup);

        /* Not one reading until now: all that is known of the cgroup was seen by the programs in the kernel. */
        rig_read(&rig);
        for (size_t t = 0; t < rig.window.n_tasks; t++) {
            const struct activity_task *task = &rig.window.tasks[t];
            const struct cgroup *known = cgroup_tree_get(rig.tree, task->cgroup);
            assert_non_null(known);
            if (strcmp(known->path, cgroup.path) != 0)
                continue;
            assert_false(known->gone);
            assert_int_equal(task->pid, pid);
            index = task->cgroup;
            ours += rig_sum(&rig, task->ns);
        }
        assert_int_not_equal(index, CGROUP_NONE);
        assert_true(ours >= 25 * RIG_MS && ours <= kernel + RIG_TICK_NS);
        while (!cgroup_tree_get(rig.tree, index)->gone) {
            rig_read(&rig);
            assert_true(rig_now_s() < deadline);
        }
        rig_close(&rig);
    }
}

/* ---- a slice that does not end ---- */

static void endless_body(void *userdata)
{
    for (;;)
        ;
}

static void test_slice_in_progress(void **state)
{
    enum cgroup_hierarchy hierarchy = rig_any_hierarchy();
    const struct sched_param fifo = {.sched_priority = 1};
    uint64_t first, before, sum = 0;
    clockid_t clock;
    cpu_set_t last, all;
    pid_t pid;

    rig_open(&rig, hierarchy, 0);
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&last);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_ZERO(&last);
            CPU_SET(cpu, &last);
        }
    }
    if (CPU_COUNT(&all) < 2) {
        print_message("SKIP: one CPU, where every slice ends\n");
        rig_close(&rig);
        return;
    }
    pid = rig_start_child(NULL, endless_body, NULL);
    assert_int_equal(sched_setaffinity(pid, sizeof(last), &last), 0);
    assert_int_equal(sched_setscheduler(pid, SCHED_FIFO, &fifo), 0);
    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);

    first = rig_cpu_ns(clock);
    rig_read(&rig);
    for (int i = 0; i < 5; i++) {
        uint64_t window = 0;
        before = rig_cpu_ns(clock);
        while (rig_cpu_ns(clock) < before + 50 * RIG_MS)
            ;
        rig_read(&rig);
        for (size_t t = 0; t < rig.window.n_tasks; t++) {
            if (rig.window.tasks[t].pid == (uint32_t)pid)
                window += rig_sum(&rig, rig.window.tasks[t].ns);
        }
        assert_true(window >= 50 * RIG_MS - RIG_TICK_NS);
        sum += window;
    }
    before = rig_cpu_ns(clock) - first;
    assert_in_range(sum, before - RIG_TICK_NS, before + RIG_TICK_NS);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    rig_close(&rig);
}

/* ---- who is who ---- */

static void test_identity(void **state)
{
    enum cgroup_hierarchy hierarchy = rig_any_hierarchy();
    time_t deadline = rig_now_s() + RIG_DEADLINE_S;
    bool monitor = false, kernel = false;

    rig_open(&rig, hierarchy, 0);
    while ((!monitor || !kernel) && rig_now_s() < deadline) {
        rig_burn(5 * RIG_MS);
        sync(); /* gives kernel threads something to do */
        rig_read(&rig);
        for (size_t i = 0; i < rig.window.n_tasks; i++) {
            const struct activity_task *task = &rig.window.tasks[i];
            if (task->pid == (uint32_t)getpid()) {
                monitor = true;
                assert_int_equal(task->flags, TASK_MONITOR);
                assert_int_equal(task->ppid, getppid());
                assert_int_equal(task->uid, getuid());
                assert_true(task->start_boot_ns > 0);
                assert_memory_equal(task->comm, "test_", 5);
            }
            if (task->flags & TASK_KERNEL) {
                kernel = true;
                assert_int_equal(task->cgroup, CGROUP_ROOT);
                assert_int_equal(task->ppid == 2 || task->pid == 2, true);
            }
        }
    }
    assert_true(monitor);
    assert_true(kernel);
    assert_int_equal(rig.window.dropped, 0);
    assert_true(rig.window.switches > 0);
    rig_close(&rig);
}

/* ---- rights given up after the start, as the agent does ---- */

static uint64_t own_ns(const struct rig *r)
{
    uint64_t ns = 0;

    for (size_t i = 0; i < r->window.n_tasks; i++) {
        if (r->window.tasks[i].pid == (uint32_t)getpid())
            ns += rig_sum(r, r->window.tasks[i].ns);
    }
    return ns;
}

static void test_rights_given_up(void **state)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct activity_bpf_info info;
        struct carnot_err err = CARNOT_ERR_INIT;

        rig_open(&rig, rig_any_hierarchy(), 0);
        if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
            _exit(2);
        rig_read(&rig);
        rig_burn(30 * RIG_MS);
        rig_read(&rig);
        activity_bpf_info(rig.self, &info);
        /* Before 5.19 the slice in progress waits for its switch. */
        if (own_ns(&rig) < 20 * RIG_MS && !info.in_progress_denied)
            _exit(3);
        if (activity_bpf.drain(rig.self, &err) < 0)
            _exit(4);
        if (activity_bpf_measure(rig.self, &err) != -EPERM || !strstr(err.msg, "CAP_SYS_ADMIN"))
            _exit(5);
        rig_close(&rig);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Without the rights: a sentence that says which, and nothing left behind. */
static void test_no_rights(void **state)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct carnot_err err = CARNOT_ERR_INIT;
        struct carnot_env env;
        struct activity_args args = {.env = &env};

        if (carnot_env_open(NULL, NULL, NULL, NULL, &env, &err) < 0 || setresuid(65534, 65534, 65534) < 0)
            _exit(2);
        if (activity_bpf.probe(&args, &err) != -EPERM || !strstr(err.msg, "CAP_BPF"))
            _exit(3);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_busy_child),           cmocka_unit_test(test_exec_storm),
        cmocka_unit_test(test_many_short_processes), cmocka_unit_test(test_move),
        cmocka_unit_test(test_table_full),           cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_session_number_again), cmocka_unit_test(test_short_lived_cgroup),
        cmocka_unit_test(test_slice_in_progress),    cmocka_unit_test(test_identity),
        cmocka_unit_test(test_rights_given_up),      cmocka_unit_test(test_no_rights),
    };

    if (rig_skip_reason())
        return 77;
    return cmocka_run_group_tests_name("sources/activity_bpf", tests, NULL, NULL);
}
