/* SPDX-License-Identifier: Apache-2.0 */
/* Activity of the caller's own children: on a machine made of files, and with real children against the kernel's
 * account of them. */
#include "activity_test.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "sources/proc_parse.h"
#include "sources/proc_tree.h"

#define MS NS_PER_MS

static void open_tree(struct machine *m, void **self)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(activity_tree.probe(&m->args, &err), 0);
    assert_int_equal(activity_tree.open(&m->args, self, &err), 0);
}

static struct activity_window next(struct machine *m, void *self, unsigned ticks0, unsigned ticks1)
{
    struct activity_window w;

    fake_clock_advance(&m->scratch.clock, NS_PER_SEC);
    m->cpu_ticks[0] += ticks0;
    m->cpu_ticks[1] += ticks1;
    machine_write_stat(m);
    assert_int_equal(activity_tree.read(self, &w, NULL), 0);
    return w;
}

static uint64_t session_of(const struct activity_window *w)
{
    return w->n_tasks ? sum_ns(w->tasks[0].ns, 2) : 0;
}

static void on_files(void **state)
{
    struct machine m;
    struct activity_window w;
    void *self = NULL;

    machine_init(&m);
    machine_process(&m, (struct fake_process){.pid = 1, .utime = 5000});
    machine_process(&m, (struct fake_process){.pid = 100, .ppid = 1, .utime = 700, .waited = 900}); /* the caller */
    machine_process(&m, (struct fake_process){.pid = 90, .ppid = 100, .utime = 10}); /* was there before */
    machine_process(&m, (struct fake_process){.pid = 300, .ppid = 1, .utime = 1});   /* a stranger */
    open_tree(&m, &self);

    w = next(&m, self, 10, 0);
    assert_int_equal(w.n_tasks, 0); /* no session yet: all is the rest */
    assert_int_equal(rest_ns(&w, CGROUP_ROOT, 2), 100 * MS);

    struct carnot_err err = CARNOT_ERR_INIT;
    assert_int_equal(activity_tree.session_begin(self, 100, 0, &err), -EINVAL);
    assert_int_equal(activity_tree.session_begin(self, 300, 4, &err), -ENOTSUP);
    assert_int_equal(activity_tree.session_begin(self, 100, 4, &err), 0);
    assert_int_equal(activity_tree.session_begin(self, 100, 5, &err), -EBUSY);
    w = next(&m, self, 0, 0);
    assert_int_equal(w.n_tasks, 0); /* what the child used before is not the session's */

    /* A child, its child with a waited-for child, and a stranger's. */
    machine_process(&m, (struct fake_process){.pid = 200, .ppid = 100, .utime = 10});
    machine_process(&m, (struct fake_process){.pid = 150, .ppid = 200, .utime = 20, .stime = 5, .waited = 15});
    machine_process(&m, (struct fake_process){.pid = 301, .ppid = 300, .utime = 40});
    w = next(&m, self, 75, 25);
    assert_int_equal(w.n_tasks, 1);
    assert_int_equal(session_of(&w), 500 * MS);
    assert_int_equal(w.tasks[0].session, 4);
    assert_int_equal(w.tasks[0].cgroup, CGROUP_ROOT);
    assert_int_equal(w.tasks[0].ns[0], 375 * MS);
    assert_int_equal(rest_ns(&w, CGROUP_ROOT, 2), 500 * MS);

    /* 150 ends; its parent has waited for it: nothing is billed twice. */
    machine_process_end(&m, 150);
    machine_process(&m, (struct fake_process){.pid = 200, .ppid = 100, .utime = 11, .waited = 40});
    w = next(&m, self, 1, 0);
    assert_int_equal(session_of(&w), 10 * MS);
    assert_int_equal(rest_ns(&w, CGROUP_ROOT, 2), 0);

    /* For one reading it is nowhere (ended, not yet added to its parent): never back, and made good. */
    machine_process(&m, (struct fake_process){.pid = 200, .ppid = 100, .utime = 11});
    w = next(&m, self, 0, 0);
    assert_int_equal(w.n_tasks, 0);
    machine_process(&m, (struct fake_process){.pid = 200, .ppid = 100, .utime = 13, .waited = 40});
    w = next(&m, self, 2, 0);
    assert_int_equal(session_of(&w), 20 * MS);

    /* The session's time is finer than ticks: the rest never goes below nothing, and evens out. */
    machine_process(&m, (struct fake_process){.pid = 200, .ppid = 100, .utime = 23, .waited = 40});
    w = next(&m, self, 5, 0);
    assert_int_equal(session_of(&w), 100 * MS);
    assert_int_equal(w.n_rests, 0);
    w = next(&m, self, 9, 0);
    assert_int_equal(rest_ns(&w, CGROUP_ROOT, 2), 40 * MS);

    activity_tree.session_end(self, 4);
    machine_process(&m, (struct fake_process){.pid = 200, .ppid = 100, .utime = 99});
    w = next(&m, self, 0, 0);
    assert_int_equal(w.n_tasks, 0);
    /* Another session begins at nothing. */
    assert_int_equal(activity_tree.session_begin(self, 100, 6, &err), 0);
    machine_process(&m, (struct fake_process){.pid = 200, .ppid = 100, .utime = 100});
    w = next(&m, self, 1, 0);
    assert_int_equal(session_of(&w), 10 * MS);
    assert_int_equal(w.tasks[0].session, 6);
    assert_null(activity_tree.close(self));
    machine_done(&m);
}

/* With the kernel's lists of children the same tree is found, whatever the parents say. */
static void by_lists(void **state)
{
    struct machine m;
    struct proc_tree tree;
    uint64_t ns = 0;
    uint32_t n = 0;

    machine_init(&m);
    machine_process(&m, (struct fake_process){.pid = 100, .ppid = 1, .utime = 1});
    machine_process(&m, (struct fake_process){.pid = 201, .ppid = 100, .utime = 10});
    machine_process(&m, (struct fake_process){.pid = 202, .ppid = 100, .utime = 20});
    machine_process(&m, (struct fake_process){.pid = 203, .ppid = 201, .utime = 40});
    machine_process(&m, (struct fake_process){.pid = 204, .ppid = 1, .utime = 80});
    proc_tree_init(&tree, &m.scratch.env, 100);
    assert_int_equal(proc_tree_cpu_ns(&tree, &ns, &n, NULL), 0);
    assert_int_equal(ns, 700 * MS);
    assert_int_equal(n, 3);

    scratch_write(&m.scratch, "proc/100/task/100/children", "201 ");
    scratch_write(&m.scratch, "proc/100/task/105/children", "202 999 "); /* 999 has ended */
    scratch_write(&m.scratch, "proc/201/task/201/children", "203 100 201 ");
    assert_int_equal(proc_tree_cpu_ns(&tree, &ns, &n, NULL), 0);
    assert_int_equal(ns, 700 * MS);
    assert_int_equal(n, 4);
    proc_tree_done(&tree);
    machine_done(&m);
}

static uint64_t burn(unsigned ms)
{
    struct timespec ts;
    uint64_t begin = 0, now;

    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        now = (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
        if (begin == 0)
            begin = now;
    } while (now - begin < ms * NS_PER_MS);
    return now;
}

static uint64_t children_us(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_CHILDREN, &usage), 0);
    return ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec;
}

/* A child that makes children, orphans some to us, and ends: read as often as we can meanwhile, the sum only grows, and
 * at the end it is the kernel's account to the microsecond. */
static void with_children(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct topology_buckets buckets;
    struct topology topology;
    struct activity_window w;
    struct carnot_env env;
    void *self = NULL;
    uint64_t billed = 0, last_while_living = 0;

    assert_int_equal(carnot_env_open(NULL, NULL, NULL, NULL, &env, NULL), 0);
    assert_int_equal(topology_read(&env, &topology, &err), 0);
    assert_int_equal(topology_buckets(&topology, BUCKETS_MAX, &buckets, &err), 0);
    struct activity_args args = {
        .env = &env, .topology = &topology, .buckets = &buckets, .monitor_pid = (uint32_t)getpid()};
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    uint64_t before_us = children_us();
    assert_int_equal(activity_tree.open(&args, &self, &err), 0);
    assert_int_equal(activity_tree.session_begin(self, args.monitor_pid, 9, &err), 0);

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (int i = 0; i < 20; i++) {
            pid_t inner = fork();
            if (inner == 0) {
                if (i % 5 == 0 && fork() == 0)
                    burn(20); /* outlives its parent */
                burn(4);
                _exit(0);
            }
            burn(2);
            waitpid(inner, NULL, 0);
        }
        _exit(0);
    }
    for (bool any = true, last = false;;) {
        assert_int_equal(activity_tree.read(self, &w, &err), 0);
        if (w.n_tasks) {
            assert_int_equal(w.tasks[0].session, 9);
            billed += sum_ns(w.tasks[0].ns, buckets.n);
        }
        if (last)
            break;
        last_while_living = billed;
        while (any) { /* reap all that can be */
            pid_t pid = waitpid(-1, NULL, WNOHANG);
            if (pid == 0)
                break;
            if (pid < 0 && errno == ECHILD)
                any = false;
        }
        last = !any;
    }
    uint64_t kernel_ns = (children_us() - before_us) * 1000;
    activity_tree.close(self);
    topology_buckets_done(&buckets);
    topology_done(&topology);
    carnot_env_close(&env);

    print_message("billed %llu ns, the kernel says %llu, %llu while they lived\n", (unsigned long long)billed,
                  (unsigned long long)kernel_ns, (unsigned long long)last_while_living);
    assert_true(kernel_ns >= 200 * MS);
    assert_true(last_while_living > 0);
    /* user and system time are each cut down to microseconds by the kernel, at every reading */
    assert_true(billed + 2000 >= kernel_ns && billed <= kernel_ns + 2000);
}

/* In a child that is number 1 of a new pid namespace, with the outer /proc: what a container sees that has the host's
 * /proc mounted. Exit status: 0 as it should be, else the line. */
static int inside_namespace(struct carnot_env *env, struct activity_args *args)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self = NULL;
    char link[32];

    args->monitor_pid = (uint32_t)getpid();
    if (args->monitor_pid != 1)
        return __LINE__;
    if (activity_tree.probe(args, &err) != -ESRCH || !strstr(err.msg, "pid namespace"))
        return __LINE__;
    err = CARNOT_ERR_INIT;
    if (activity_tree.open(args, &self, &err) != -ESRCH || !strstr(err.msg, "not 1:") || self)
        return __LINE__;

    /* With the number that /proc knows it works, and names both when it is asked for another. */
    ssize_t n = fsroot_readlink(&env->proc, "self", link, sizeof(link));
    if (n < 0 || !proc_parse_pid(link, &args->monitor_pid) || args->monitor_pid == 1)
        return __LINE__;
    if (activity_tree.open(args, &self, &err) != 0)
        return __LINE__;
    if (activity_tree.session_begin(self, 1, 3, &err) != -ENOTSUP || !strstr(err.msg, link))
        return __LINE__;
    if (activity_tree.session_begin(self, args->monitor_pid, 3, &err) != 0)
        return __LINE__;
    activity_tree.close(self);
    return 0;
}

static void another_pid_namespace(void **state)
{
    struct topology_buckets buckets;
    struct topology topology;
    struct carnot_env env;
    int status = 0, line = 0, ends[2];

    assert_int_equal(carnot_env_open(NULL, NULL, NULL, NULL, &env, NULL), 0);
    assert_int_equal(topology_read(&env, &topology, NULL), 0);
    assert_int_equal(topology_buckets(&topology, BUCKETS_MAX, &buckets, NULL), 0);
    struct activity_args args = {.env = &env, .topology = &topology, .buckets = &buckets};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t outer = fork();
    assert_true(outer >= 0);
    if (outer == 0) {
        line = unshare(CLONE_NEWPID) < 0 ? -1 : 0;
        pid_t inner = line < 0 ? -1 : fork();
        if (inner == 0)
            line = inside_namespace(&env, &args);
        if (inner <= 0)
            _exit(write(ends[1], &line, sizeof(line)) != sizeof(line));
        waitpid(inner, &status, 0);
        _exit(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
    }
    close(ends[1]);
    assert_int_equal(waitpid(outer, &status, 0), outer);
    ssize_t n = read(ends[0], &line, sizeof(line));
    close(ends[0]);
    topology_buckets_done(&buckets);
    topology_done(&topology);
    carnot_env_close(&env);
    assert_int_equal(n, sizeof(line));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (line < 0) {
        print_message("skipped: may not make a pid namespace\n");
        skip();
    }
    if (line > 0)
        fail_msg("line %d, in another pid namespace", line);
}

static void needs(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct machine m;

    machine_init(&m);
    m.args.monitor_pid = 0;
    assert_int_equal(activity_tree.probe(&m.args, &err), -EINVAL);
    scratch_remove(&m.scratch, "proc/stat");
    assert_int_equal(activity_tree.probe(&m.args, &err), -ENODEV);
    assert_null(activity_tree.close(NULL));
    machine_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_files),      cmocka_unit_test(by_lists),
        cmocka_unit_test(with_children), cmocka_unit_test(another_pid_namespace),
        cmocka_unit_test(needs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
