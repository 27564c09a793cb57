/* SPDX-License-Identifier: Apache-2.0 */
/* Activity from /proc: parsers, the split of cgroups' time on a machine made of files, and a real storm of processes.
 */
#include "activity_test.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include "sources/cgroup_locate.h"
#include "sources/proc_parse.h"
#include "sources/proc_table.h"

#define MS NS_PER_MS

static void stat_lines(void **state)
{
    struct proc_pid_stat stat;

    assert_int_equal(proc_parse_pid_stat(text_of("7642 (cat) R 7633 7633 5211 0 -1 4194304 98 0 0 0 3 4 50 6 20 0 1 0 "
                                                 "115273 3133440 393 18446744073709551615 1 1\n"),
                                         &stat),
                     0);
    assert_int_equal(stat.pid, 7642);
    assert_int_equal(stat.ppid, 7633);
    assert_string_equal(stat.comm, "cat");
    assert_int_equal(stat.state, 'R');
    assert_int_equal(stat.flags, 4194304);
    assert_int_equal(stat.cpu_ticks, 7);
    assert_int_equal(stat.waited_ticks, 56);
    assert_int_equal(stat.n_threads, 1);
    assert_int_equal(stat.start_ticks, 115273);

    /* A name may hold anything. */
    assert_int_equal(
        proc_parse_pid_stat(text_of("1 (a) R 1 (b) (c)) S 0 1 1 0 -1 2 0 0 0 0 1 2 3 4 20 0 5 0 9 1"), &stat), 0);
    assert_string_equal(stat.comm, "a) R 1 (b) (c)");
    assert_int_equal(stat.n_threads, 5);
    assert_int_equal(stat.start_ticks, 9);

    static const char *const wrong[] = {
        "",
        "1",
        "1 (a",
        "1 a) S 0 1 1 0 -1 2 0 0 0 0 1 2 3 4 20 0 5 0 9",
        "x (a) S 0 1 1 0 -1 2 0 0 0 0 1 2 3 4 20 0 5 0 9",
        "1 (a) SS 0 1 1 0 -1 2 0 0 0 0 1 2 3 4 20 0 5 0 9",
        "1 (a) S -1 1 1 0 -1 2 0 0 0 0 1 2 3 4 20 0 5 0 9",
        "1 (a) S 0 1 1 0 -1 2 0 0 0 0 1 2 3 4 20 0 5 0",
        "1 (a) S 0 1 1 0 -1 2 0 0 0 0 -1 2 3 4 20 0 5 0 9",
        "1 (a) S 0 1 1 0 -1 2 0 0 0 0 18446744073709551615 1 3 4 20 0 5 0 9",
        "1 (a) S 0 1 1 0 -1 2 0 0 0 0 9223372036854775807 1 3 4 20 0 5 0 9",
        "4294967296 (a) S 0 1 1 0 -1 2 0 0 0 0 1 2 3 4 20 0 5 0 9",
    };
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        assert_int_equal(proc_parse_pid_stat(text_of(wrong[i]), &stat), -EINVAL);
    assert_string_equal(stat.comm, "a) R 1 (b) (c)"); /* untouched */

    uint64_t ns = 0;
    uint32_t pid = 0;
    struct text children = text_of("12 4194304 x");
    assert_int_equal(proc_parse_schedstat(text_of("1234567 8 9\n"), &ns), 0);
    assert_int_equal(ns, 1234567);
    assert_int_equal(proc_parse_schedstat(text_of("\n"), &ns), -EINVAL);
    assert_true(proc_scan_child(&children, &pid));
    assert_int_equal(pid, 12);
    assert_true(proc_scan_child(&children, &pid));
    assert_int_equal(pid, 4194304);
    assert_false(proc_scan_child(&children, &pid));
    assert_true(proc_parse_pid("4194304", &pid));
    static const char *const no_pids[] = {"", "0", "01", "4194305", "self", "1x", "-1", "99999999999999999999"};
    for (size_t i = 0; i < ELEMENTSOF(no_pids); i++)
        assert_false(proc_parse_pid(no_pids[i], &pid));
}

/* ---- a machine of files, cgroup v2 ---- */

struct fixture {
    struct machine m;
    struct cgroup_tree *tree;
    void *self;
    struct activity_window w;
};

static void usage(struct fixture *f, const char *path, uint64_t us)
{
    char file[256], text[64];

    snprintf(file, sizeof(file), "cgroup%s/cpu.stat", path);
    snprintf(text, sizeof(text), "usage_usec %llu\n", (unsigned long long)us);
    scratch_write(&f->m.scratch, file, text);
}

static void start(struct fixture *f)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(cgroup_tree_open(&f->m.scratch.env, CGROUP_V2, &f->tree, &err), 0);
    f->m.args.cgroups = f->tree;
    assert_int_equal(activity_procfs.probe(&f->m.args, &err), 0);
    assert_int_equal(activity_procfs.open(&f->m.args, &f->self, &err), 0);
}

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    machine_init(&f->m);
    scratch_write(&f->m.scratch, "cgroup/cgroup.controllers", "cpu\n");
}

static void fixture_done(struct fixture *f)
{
    f->self = activity_procfs.close(f->self);
    cgroup_tree_close(f->tree);
    machine_done(&f->m);
}

/* Advances the clock by a second, the CPUs by some ticks, and reads. */
static void next(struct fixture *f, unsigned ticks0, unsigned ticks1)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    fake_clock_advance(&f->m.scratch.clock, NS_PER_SEC);
    f->m.cpu_ticks[0] += ticks0;
    f->m.cpu_ticks[1] += ticks1;
    machine_write_stat(&f->m);
    int r = activity_procfs.read(f->self, &f->w, &err);
    if (r < 0)
        print_error("%s\n", err.msg);
    assert_int_equal(r, 0);
}

static uint32_t index_of(struct fixture *f, const char *path)
{
    uint32_t index = cgroup_tree_find_path(f->tree, path);

    assert_int_not_equal(index, CGROUP_NONE);
    return index;
}

static void splits_a_cgroup(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 5000000);
    usage(&f, "/a/b", 1000000);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 50, .comm = "one", .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 11, .ppid = 1, .utime = 20, .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 12, .ppid = 1, .utime = 20, .cgroup = "/a/b"});
    start(&f);
    uint32_t a = index_of(&f, "/a"), b = index_of(&f, "/a/b");

    /* Nothing moved: nothing is billed, whatever was used before the start. */
    next(&f, 0, 0);
    assert_int_equal(f.w.n_tasks, 0);
    assert_int_equal(f.w.n_rests, 0);

    /* a grew by 1 s, of which b 0.3 s: own 0.7 s; its processes 0.4 and 0.1. */
    usage(&f, "/a", 6000000);
    usage(&f, "/a/b", 1300000);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 80, .stime = 10, .comm = "one"});
    machine_process(&f.m, (struct fake_process){.pid = 11, .ppid = 1, .utime = 30});
    machine_process(&f.m, (struct fake_process){.pid = 12, .ppid = 1, .utime = 50});
    next(&f, 75, 25);
    assert_int_equal(task_ns(&f.w, 10, 2), 400 * MS);
    assert_int_equal(task_ns(&f.w, 11, 2), 100 * MS);
    assert_int_equal(task_ns(&f.w, 12, 2), 300 * MS);
    assert_int_equal(rest_ns(&f.w, a, 2), 200 * MS);
    assert_int_equal(rest_ns(&f.w, b, 2), 0);
    assert_int_equal(cgroup_ns(&f.w, CGROUP_NONE, 2), 1000 * MS);
    assert_int_equal(f.w.unlisted_ns, 200 * MS);
    const struct activity_task *task = find_task(&f.w, 10);
    assert_string_equal(task->comm, "one");
    assert_int_equal(task->cgroup, a);
    assert_int_equal(task->uid, getuid());
    assert_int_equal(task->tid, 10);
    assert_int_equal(task->flags, 0);
    /* three quarters of what was busy was so on CPU 0 */
    assert_int_equal(task->ns[0], 300 * MS);
    assert_int_equal(task->ns[1], 100 * MS);

    /* No ticks at all in /proc/stat, yet 7 ns to give: spread by CPUs, nothing lost. */
    usage(&f, "/a", 6000001);
    next(&f, 0, 0);
    assert_int_equal(rest_ns(&f.w, a, 2), 1000);
    fixture_done(&f);
}

static void scales_to_the_cgroup(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 11, .ppid = 1, .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 12, .ppid = 1, .cgroup = "/a"});
    start(&f);
    uint32_t a = index_of(&f, "/a");

    /* Ticks say 10 ms each, the cgroup 7 ms: the cgroup holds. What is over waits. */
    usage(&f, "/a", 7000);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 1});
    machine_process(&f.m, (struct fake_process){.pid = 11, .ppid = 1, .utime = 1});
    machine_process(&f.m, (struct fake_process){.pid = 12, .ppid = 1, .utime = 1});
    next(&f, 1, 0);
    assert_int_equal(cgroup_ns(&f.w, a, 2), 7 * MS);
    assert_int_equal(rest_ns(&f.w, a, 2), 0);
    uint64_t first = task_ns(&f.w, 10, 2);
    assert_true(first >= 7 * MS / 3 && first <= 7 * MS / 3 + 1);

    usage(&f, "/a", 40000);
    next(&f, 1, 0);
    assert_int_equal(task_ns(&f.w, 10, 2) + first, 10 * MS);
    assert_int_equal(cgroup_ns(&f.w, a, 2), 33 * MS);
    assert_int_equal(rest_ns(&f.w, a, 2), 10 * MS);

    /* Far more than rounding (it ran in another cgroup until now): dropped, not billed later. */
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 501});
    next(&f, 1, 0);
    assert_int_equal(f.w.n_tasks, 0);
    usage(&f, "/a", 1040000);
    next(&f, 50, 50);
    assert_int_equal(task_ns(&f.w, 10, 2), 20 * MS);
    assert_int_equal(rest_ns(&f.w, a, 2), 980 * MS);
    fixture_done(&f);
}

static void parents_and_children_at_other_instants(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 1000);
    usage(&f, "/a/b", 1000);
    start(&f);
    uint32_t a = index_of(&f, "/a"), b = index_of(&f, "/a/b");

    /* The child was read later and shows 3 ms more than its parent: made good in the next window. */
    usage(&f, "/a", 10000);
    usage(&f, "/a/b", 13000);
    next(&f, 1, 0);
    assert_int_equal(cgroup_ns(&f.w, b, 2), 12 * MS);
    assert_int_equal(cgroup_ns(&f.w, a, 2), 0);
    usage(&f, "/a", 20000);
    next(&f, 1, 0);
    assert_int_equal(cgroup_ns(&f.w, b, 2), 0);
    assert_int_equal(cgroup_ns(&f.w, a, 2), 7 * MS);

    /* The child used 5 ms more and went: its parent has them. */
    usage(&f, "/a", 25000);
    scratch_remove(&f.m.scratch, "cgroup/a/b");
    next(&f, 1, 0);
    assert_int_equal(cgroup_ns(&f.w, a, 2), 5 * MS);

    /* One made since the last reading: all of its time is new. */
    usage(&f, "/a", 35000);
    usage(&f, "/a/c", 8000);
    next(&f, 1, 0);
    assert_int_equal(cgroup_ns(&f.w, index_of(&f, "/a/c"), 2), 8 * MS);
    assert_int_equal(cgroup_ns(&f.w, a, 2), 2 * MS);

    /* A counter that goes back gives nothing, and is the new base. */
    usage(&f, "/a/c", 1000);
    next(&f, 1, 0);
    usage(&f, "/a", 36000);
    usage(&f, "/a/c", 2000);
    next(&f, 1, 0);
    assert_int_equal(cgroup_ns(&f.w, index_of(&f, "/a/c"), 2), 1 * MS);
    fixture_done(&f);
}

static void root_and_kernel(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    machine_process(&f.m, (struct fake_process){.pid = 2, .comm = "kthreadd", .flags = PROC_PF_KTHREAD, .cgroup = "/"});
    machine_process(&f.m, (struct fake_process){
                              .pid = 9, .ppid = 2, .comm = "ksoftirqd/0", .flags = PROC_PF_KTHREAD, .cgroup = "/"});
    machine_process(&f.m, (struct fake_process){.pid = 100, .ppid = 1, .comm = "carnotd", .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 101, .ppid = 2, .comm = "user", .cgroup = "/"});
    start(&f);

    /* 1 s busy, 0.6 s of it in a: 0.4 s for the root, 0.1 s of that by a kernel thread and 0.05 s by a process. */
    usage(&f, "/a", 600000);
    machine_process(
        &f.m, (struct fake_process){.pid = 9, .ppid = 2, .comm = "ksoftirqd/0", .flags = PROC_PF_KTHREAD, .stime = 10});
    machine_process(&f.m, (struct fake_process){.pid = 100, .ppid = 1, .comm = "carnotd", .utime = 60});
    machine_process(&f.m, (struct fake_process){.pid = 101, .ppid = 2, .comm = "user", .utime = 5});
    next(&f, 50, 50);
    assert_int_equal(find_task(&f.w, 9)->flags, TASK_KERNEL);
    assert_int_equal(find_task(&f.w, 100)->flags, TASK_MONITOR);
    assert_int_equal(find_task(&f.w, 101)->flags, 0); /* a child of pid 2 is no kernel thread by that */
    assert_int_equal(task_ns(&f.w, 9, 2), 100 * MS);
    assert_int_equal(task_ns(&f.w, 101, 2), 50 * MS);
    assert_int_equal(rest_ns(&f.w, CGROUP_ROOT, 2), 250 * MS);
    assert_int_equal(cgroup_ns(&f.w, CGROUP_NONE, 2), 1000 * MS);

    /* Ticks say less than the root's own processes are known to have used: they get theirs. */
    machine_process(
        &f.m, (struct fake_process){.pid = 9, .ppid = 2, .comm = "ksoftirqd/0", .flags = PROC_PF_KTHREAD, .stime = 14});
    next(&f, 1, 0);
    assert_int_equal(cgroup_ns(&f.w, CGROUP_ROOT, 2), 40 * MS);
    assert_int_equal(rest_ns(&f.w, CGROUP_ROOT, 2), 0);

    /* Ticks that come late against a's counter are made good, but no more than rounding explains (2 ticks a CPU). */
    usage(&f, "/a", 1600000);
    next(&f, 0, 0);
    assert_int_equal(cgroup_ns(&f.w, CGROUP_ROOT, 2), 0);
    next(&f, 10, 0);
    assert_int_equal(cgroup_ns(&f.w, CGROUP_ROOT, 2), 60 * MS);
    fixture_done(&f);
}

static void processes_come_and_go(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 1000, .start = 5, .cgroup = "/a"});
    start(&f);
    uint32_t a = index_of(&f, "/a");
    uint64_t now_ticks = f.m.scratch.clock.now.boot_ns / NS_PER_TICK;

    /* One born in this window is billed from its birth; one that only now can be seen from now on. */
    usage(&f, "/a", 500000);
    machine_process(&f.m,
                    (struct fake_process){.pid = 11, .ppid = 10, .utime = 30, .start = now_ticks + 10, .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 12, .ppid = 10, .utime = 30, .start = 7, .cgroup = "/a"});
    next(&f, 50, 0);
    assert_int_equal(task_ns(&f.w, 11, 2), 300 * MS);
    assert_null(find_task(&f.w, 12));
    assert_int_equal(find_task(&f.w, 11)->start_boot_ns, (now_ticks + 10) * NS_PER_TICK);

    /* 11 ends after 0.1 s more, which is in the rest; it appears a last time. Its pid is used anew at once. */
    usage(&f, "/a", 700000);
    machine_process(&f.m,
                    (struct fake_process){.pid = 11, .ppid = 1, .utime = 5, .start = now_ticks + 120, .cgroup = "/a"});
    next(&f, 20, 0);
    unsigned old = 0, fresh = 0;
    for (size_t i = 0; i < f.w.n_tasks; i++) {
        const struct activity_task *task = &f.w.tasks[i];
        assert_int_equal(task->pid, 11);
        if (task->flags & TASK_ENDED) {
            old++;
            assert_int_equal(task->start_boot_ns, (now_ticks + 10) * NS_PER_TICK);
            assert_int_equal(sum_ns(task->ns, 2), 0);
        } else {
            fresh++;
            assert_int_equal(task->start_boot_ns, (now_ticks + 120) * NS_PER_TICK);
            assert_int_equal(sum_ns(task->ns, 2), 50 * MS);
        }
    }
    assert_int_equal(old, 1);
    assert_int_equal(fresh, 1);
    assert_int_equal(rest_ns(&f.w, a, 2), 150 * MS);

    /* 10 never ran while we looked: it goes without a word. 11 and the rest of the table go on. */
    machine_process_end(&f.m, 10);
    machine_process_end(&f.m, 11);
    next(&f, 0, 0);
    assert_null(find_task(&f.w, 10));
    assert_int_equal(find_task(&f.w, 11)->flags, TASK_ENDED | TASK_PROCESS_ENDED);
    next(&f, 0, 0);
    assert_int_equal(f.w.n_tasks, 0);
    assert_int_equal(f.w.processes_seen, 3); /* 12 began long before and was never new */
    fixture_done(&f);
}

/* A reading that fails; the work of this second must be in the next that does not. */
static void fail_once(struct fixture *f, unsigned ticks0, unsigned ticks1, int expected)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    fake_clock_advance(&f->m.scratch.clock, NS_PER_SEC);
    f->m.cpu_ticks[0] += ticks0;
    f->m.cpu_ticks[1] += ticks1;
    if (expected == -EPROTO) /* stat cannot be understood this time */
        scratch_write(&f->m.scratch, "proc/stat", "");
    else
        machine_write_stat(&f->m);
    assert_int_equal(activity_procfs.read(f->self, &f->w, &err), expected);
    assert_true(err.msg[0] != '\0');
}

static void nothing_is_lost_when_stat_fails(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    usage(&f, "/b", 0);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .cgroup = "/a"});
    start(&f);
    uint32_t a = index_of(&f, "/a");

    /* Twice, on CPU 1 first and then on CPU 0. b ends in between, with time that nobody has been told of. */
    usage(&f, "/a", 300000);
    usage(&f, "/b", 100000);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 20});
    fail_once(&f, 0, 40, -EPROTO);
    usage(&f, "/a", 500000);
    scratch_remove(&f.m.scratch, "cgroup/b");
    fail_once(&f, 20, 0, -EPROTO);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 45});
    usage(&f, "/a", 700000);
    next(&f, 20, 0);
    assert_int_equal(task_ns(&f.w, 10, 2), 450 * MS);
    assert_int_equal(rest_ns(&f.w, a, 2), 250 * MS);
    assert_int_equal(cgroup_ns(&f.w, CGROUP_ROOT, 2), 100 * MS); /* b's, as it has no other heir */
    assert_int_equal(cgroup_ns(&f.w, CGROUP_NONE, 2), 800 * MS);
    const struct activity_task *task = find_task(&f.w, 10); /* half of the 0.8 s was on each CPU */
    assert_int_equal(task->ns[0], 225 * MS);
    assert_int_equal(task->ns[1], 225 * MS);

    /* Once, and only once. */
    next(&f, 0, 0);
    assert_int_equal(cgroup_ns(&f.w, CGROUP_NONE, 2), 0);
    fixture_done(&f);
}

static void nothing_is_lost_when_proc_fails(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 11, .ppid = 1, .cgroup = "/a"});
    start(&f);
    uint32_t a = index_of(&f, "/a");
    usage(&f, "/a", 100000);
    machine_process(&f.m, (struct fake_process){.pid = 11, .ppid = 1, .utime = 10});
    next(&f, 10, 0);
    assert_int_equal(task_ns(&f.w, 11, 2), 100 * MS);

    /* The walk of /proc fails while 11 ends and 12 begins. */
    unsigned long long now_ticks = f.m.scratch.clock.now.boot_ns / NS_PER_TICK;
    int proc_fd = f.m.scratch.env.proc.fd;
    int no_directory = open(scratch_path(&f.m.scratch, "proc/stat"), O_PATH | O_CLOEXEC);
    assert_true(no_directory >= 0);
    usage(&f, "/a", 500000);
    machine_process_end(&f.m, 11);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 20});
    machine_process(&f.m,
                    (struct fake_process){.pid = 12, .ppid = 1, .utime = 10, .start = now_ticks + 5, .cgroup = "/a"});
    f.m.scratch.env.proc.fd = no_directory;
    fail_once(&f, 40, 0, -ENOTDIR);
    f.m.scratch.env.proc.fd = proc_fd;
    close(no_directory);

    usage(&f, "/a", 600000);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 30});
    next(&f, 0, 10);
    assert_int_equal(task_ns(&f.w, 10, 2), 300 * MS);
    assert_int_equal(find_task(&f.w, 10)->ns[0], 240 * MS); /* CPU 0 was busy while nobody could see processes */
    assert_int_equal(task_ns(&f.w, 12, 2), 100 * MS); /* from its birth on: it is younger than the last good walk */
    assert_int_equal(find_task(&f.w, 11)->flags, TASK_ENDED | TASK_PROCESS_ENDED);
    assert_int_equal(rest_ns(&f.w, a, 2), 100 * MS);
    assert_int_equal(cgroup_ns(&f.w, CGROUP_NONE, 2), 500 * MS);
    next(&f, 0, 0);
    assert_int_equal(f.w.n_tasks, 0);
    fixture_done(&f);
}

/* With one descriptor left cgroups and the list of processes can be read, no process can. */
static void no_descriptors(void **state)
{
    struct rlimit old, few;
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .cgroup = "/a"});
    start(&f);
    uint32_t a = index_of(&f, "/a");
    usage(&f, "/a", 100000);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 10});
    next(&f, 10, 0);

    usage(&f, "/a", 400000);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 40});
    fake_clock_advance(&f.m.scratch.clock, NS_PER_SEC);
    f.m.cpu_ticks[0] += 30;
    machine_write_stat(&f.m);
    int lowest_free = dup(f.m.scratch.env.proc.fd);
    close(lowest_free);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = (struct rlimit){.rlim_cur = (rlim_t)lowest_free + 1, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int r = activity_procfs.read(f.self, &f.w, NULL);
    few.rlim_cur = (rlim_t)lowest_free;
    int none = setrlimit(RLIMIT_NOFILE, &few);
    struct activity_window w;
    int none_r = activity_procfs.read(f.self, &w, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(r, 0);
    assert_int_equal(none, 0);
    assert_int_equal(none_r, -EMFILE);
    /* Its time is its cgroup's, and it has not ended. */
    assert_int_equal(rest_ns(&f.w, a, 2), 300 * MS);
    assert_null(find_task(&f.w, 10));

    usage(&f, "/a", 800000);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 60});
    next(&f, 40, 0);
    assert_int_equal(find_task(&f.w, 10)->flags, 0);
    assert_int_equal(cgroup_ns(&f.w, a, 2), 400 * MS);
    fixture_done(&f);
}

/* What was used and who has ended is kept until somebody has taken it. */
static void ends_wait_to_be_taken(void **state)
{
    struct proc_table table;
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 1, .cgroup = "/a"});
    start(&f);
    assert_int_equal(proc_table_init(&table, &f.m.args, NULL), 0);
    assert_int_equal(proc_table_poll(&table, NULL), 0);
    proc_table_taken(&table);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 2});
    assert_int_equal(proc_table_poll(&table, NULL), 0);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 3});
    assert_int_equal(proc_table_poll(&table, NULL), 0);
    machine_process_end(&f.m, 10);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(proc_table_poll(&table, NULL), 0);
        assert_int_equal(table.n_used, 1);
        assert_true(table.entries[0].ended);
        assert_int_equal(table.entries[0].delta_ns, 20 * MS);
    }
    proc_table_taken(&table);
    assert_int_equal(table.n_used, 0);
    proc_table_done(&table);
    fixture_done(&f);
}

static void table_full(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    for (unsigned pid = 10; pid < 15; pid++)
        machine_process(&f.m, (struct fake_process){.pid = pid, .ppid = 1, .cgroup = "/a"});
    f.m.args.max_tasks = 3;
    start(&f);
    usage(&f, "/a", 50000);
    for (unsigned pid = 10; pid < 15; pid++)
        machine_process(&f.m, (struct fake_process){.pid = pid, .ppid = 1, .utime = 1});
    next(&f, 5, 0);
    assert_int_equal(f.w.n_tasks, 3);
    assert_int_equal(f.w.dropped, 2);
    assert_int_equal(cgroup_ns(&f.w, index_of(&f, "/a"), 2), 50 * MS);
    assert_int_equal(rest_ns(&f.w, index_of(&f, "/a"), 2), 20 * MS);
    fixture_done(&f);
}

static void schedstat_within_ticks(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .cgroup = "/a", .schedstat = "1000000 0 1\n"});
    machine_process(&f.m, (struct fake_process){.pid = 11, .ppid = 1, .cgroup = "/a", .schedstat = "0 0 1\n"});
    start(&f);
    usage(&f, "/a", 900000);
    /* One thread: its nanoseconds count. Many: the first one's say less than the ticks of all, or nothing exact. */
    machine_process(
        &f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 12, .stime = 3, .schedstat = "161234567 0 9\n"});
    machine_process(&f.m, (struct fake_process){.pid = 11, .ppid = 1, .utime = 50, .schedstat = "20000000 0 9\n"});
    next(&f, 90, 0);
    assert_int_equal(task_ns(&f.w, 10, 2), 160234567);
    assert_int_equal(task_ns(&f.w, 11, 2), 500 * MS);
    /* Beyond what the ticks allow (it was read later): held back. */
    usage(&f, "/a", 1900000);
    machine_process(
        &f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = 12, .stime = 4, .schedstat = "990000000 0 9\n"});
    next(&f, 90, 0);
    assert_int_equal(task_ns(&f.w, 10, 2), 180 * MS - 1 - 161234567);
    fixture_done(&f);
}

static void moves_between_cgroups(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    usage(&f, "/b", 0);
    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 11, .ppid = 1, .cgroup = "/not/known"});
    start(&f);
    uint32_t b = index_of(&f, "/b");

    machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .cgroup = "/b"});
    unsigned long long us = 0, ticks = 0;
    bool seen = false;
    for (int i = 0; i < 10; i++) { /* noticed within ten readings */
        us += 10000;
        ticks++;
        usage(&f, "/b", us);
        machine_process(&f.m, (struct fake_process){.pid = 10, .ppid = 1, .utime = ticks});
        next(&f, 1, 0);
        const struct activity_task *task = find_task(&f.w, 10);
        seen |= task && task->cgroup == b;
        assert_int_equal(cgroup_ns(&f.w, b, 2), 10 * MS);
    }
    assert_true(seen);

    /* One in a cgroup that was not there stands with its ancestor until it is. */
    usage(&f, "/not/known", 40000);
    machine_process(&f.m, (struct fake_process){.pid = 11, .ppid = 1, .utime = 4});
    next(&f, 4, 0);
    assert_int_equal(find_task(&f.w, 11)->cgroup, index_of(&f, "/not/known"));
    fixture_done(&f);
}

static void sessions(void **state)
{
    struct fixture f;

    fixture_init(&f);
    usage(&f, "/a", 0);
    machine_process(&f.m, (struct fake_process){.pid = 50, .ppid = 1, .start = 1, .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 51, .ppid = 50, .start = 2, .cgroup = "/a"}); /* before */
    start(&f);
    assert_int_equal(activity_procfs.session_begin(f.self, 50, 0, NULL), -EINVAL);
    assert_int_equal(activity_procfs.session_begin(f.self, 50, 7, NULL), 0);
    unsigned long long t = f.m.scratch.clock.now.boot_ns / NS_PER_TICK + 1;

    static const unsigned members[] = {60, 61, 62};
    machine_process(&f.m, (struct fake_process){.pid = 60, .ppid = 50, .start = t, .utime = 1, .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 61, .ppid = 60, .start = t, .utime = 1, .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 62, .ppid = 61, .start = t, .utime = 1, .cgroup = "/a"});
    machine_process(&f.m, (struct fake_process){.pid = 50, .ppid = 1, .start = 1, .utime = 1});
    machine_process(&f.m, (struct fake_process){.pid = 51, .ppid = 50, .start = 2, .utime = 1});
    machine_process(&f.m, (struct fake_process){.pid = 52, .ppid = 51, .start = t, .utime = 1, .cgroup = "/a"});
    usage(&f, "/a", 60000);
    next(&f, 6, 0);
    for (size_t i = 0; i < ELEMENTSOF(members); i++)
        assert_int_equal(find_task(&f.w, members[i])->session, 7);
    for (unsigned pid = 50; pid <= 52; pid++)
        assert_int_equal(find_task(&f.w, pid)->session, 0);

    /* The session's process and the member in the middle are gone; who is known stays, their children belong. */
    machine_process_end(&f.m, 50);
    machine_process_end(&f.m, 61);
    machine_process(&f.m, (struct fake_process){.pid = 62, .ppid = 1, .start = t, .utime = 2});
    machine_process(&f.m, (struct fake_process){.pid = 63, .ppid = 62, .start = t + 100, .utime = 1, .cgroup = "/a"});
    usage(&f, "/a", 80000);
    next(&f, 2, 0);
    assert_int_equal(find_task(&f.w, 62)->session, 7);
    assert_int_equal(find_task(&f.w, 63)->session, 7);

    activity_procfs.session_end(f.self, 7);
    machine_process(&f.m, (struct fake_process){.pid = 62, .ppid = 1, .start = t, .utime = 3});
    usage(&f, "/a", 90000);
    next(&f, 1, 0);
    assert_int_equal(find_task(&f.w, 62)->session, 0);

    /* A number of another pid namespace. */
    struct carnot_err err = CARNOT_ERR_INIT;
    assert_int_equal(activity_procfs.session_begin(f.self, 77, 8, &err), -ESRCH);
    assert_non_null(strstr(err.msg, "there is no process 77 in "));
    assert_non_null(strstr(err.msg, "pid namespace"));
    for (uint32_t s = 1; s <= PROC_SESSIONS_MAX; s++)
        assert_int_equal(activity_procfs.session_begin(f.self, 51, s, NULL), 0);
    assert_int_equal(activity_procfs.session_begin(f.self, 51, 1000, NULL), -E2BIG);
    fixture_done(&f);
}

static void needs(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct fixture f;

    fixture_init(&f);
    assert_int_equal(activity_procfs.probe(&f.m.args, &err), -ENODEV);
    assert_int_equal(cgroup_tree_open(&f.m.scratch.env, CGROUP_V2, &f.tree, &err), 0);
    f.m.args.cgroups = f.tree;
    scratch_remove(&f.m.scratch, "proc/stat");
    assert_int_equal(activity_procfs.probe(&f.m.args, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "--path.procfs"));
    assert_null(activity_procfs.close(NULL));
    fixture_done(&f);
}

/* ---- the kernel ---- */

/* Burns about `ms` of CPU time. */
static void burn(unsigned ms)
{
    struct timespec ts;
    uint64_t until = 0;

    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        uint64_t now = (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
        if (until == 0)
            until = now + ms * NS_PER_MS;
        if (now >= until)
            break;
    } while (true);
}

/* A process in a cgroup of its own that makes one child after the other, each living for 2 ms: most are never seen by a
 * poll. All their time must be in the cgroup, as the kernel's counter has it. */
static void storm(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct cgroup_places places = {0};
    struct carnot_env env;
    char dir[PATH_MAX], procs[PATH_MAX + 16], name[64];

    assert_int_equal(carnot_env_open(NULL, NULL, NULL, NULL, &env, NULL), 0);
    assert_int_equal(cgroup_locate(&env, &places, NULL), 0);
    bool v1 = places.v1.found;
    const struct cgroup_place *place = v1 ? &places.v1 : &places.v2;
    if (!place->found) {
        print_message("skipped: no cgroups here\n");
        skip();
    }
    snprintf(name, sizeof(name), "/carnot-storm-%d", (int)getpid());
    assert_true(snprintf(dir, sizeof(dir), "%s/%s%s", env.cgroup.path, place->dir, name) < (int)sizeof(dir));
    cgroup_places_done(&places);
    if (mkdir(dir, 0755) < 0) {
        print_message("skipped: cannot make %s: %s\n", dir, strerror(errno));
        skip();
    }
    snprintf(procs, sizeof(procs), "%s/cgroup.procs", dir);

    struct topology topology;
    struct topology_buckets buckets;
    struct cgroup_tree *tree = NULL;
    void *self = NULL;
    assert_int_equal(topology_read(&env, &topology, &err), 0);
    assert_int_equal(topology_buckets(&topology, BUCKETS_MAX, &buckets, &err), 0);
    assert_int_equal(cgroup_tree_open(&env, v1 ? CGROUP_V1 : CGROUP_V2, &tree, &err), 0);
    struct activity_args args = {
        .env = &env, .topology = &topology, .buckets = &buckets, .cgroups = tree, .monitor_pid = (uint32_t)getpid()};
    assert_int_equal(activity_procfs.open(&args, &self, &err), 0);
    assert_int_equal(activity_procfs.session_begin(self, (uint32_t)getpid(), 5, &err), 0);

    pid_t leader = fork();
    assert_true(leader >= 0);
    if (leader == 0) {
        int fd = open(procs, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
            _exit(1);
        for (int i = 0; i < 150; i++) {
            pid_t child = fork();
            if (child < 0)
                _exit(1);
            if (child == 0) {
                burn(2);
                _exit(0);
            }
            waitpid(child, NULL, 0);
        }
        _exit(0);
    }
    uint32_t index = cgroup_tree_find_path(tree, name);
    uint64_t cgroup_total = 0, session_total = 0, kernel_total = 0;
    struct activity_window w;
    int status = -1;
    for (bool last = false;;) { /* reads until one reading after the end */
        assert_int_equal(activity_procfs.read(self, &w, &err), 0);
        cgroup_total += cgroup_ns(&w, index, buckets.n);
        for (size_t i = 0; i < w.n_tasks; i++) {
            if (w.tasks[i].session == 5)
                session_total += sum_ns(w.tasks[i].ns, buckets.n);
        }
        if (last)
            break;
        last = waitpid(leader, &status, WNOHANG) == leader;
    }
    int r = cgroup_tree_read_usage(tree, index, 0, &kernel_total, &err);
    self = activity_procfs.close(self);
    cgroup_tree_close(tree);
    topology_buckets_done(&buckets);
    topology_done(&topology);
    rmdir(dir);
    carnot_env_close(&env);

    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(r, 0);
    assert_true(kernel_total >= 300 * MS);
    assert_true(cgroup_total <= kernel_total);
    assert_true(cgroup_total >= kernel_total / 100 * 99);
    assert_true(session_total > 0);
    print_message("cgroup %llu ns of the kernel's %llu, by name to the session %llu\n",
                  (unsigned long long)cgroup_total, (unsigned long long)kernel_total,
                  (unsigned long long)session_total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_lines),
        cmocka_unit_test(splits_a_cgroup),
        cmocka_unit_test(scales_to_the_cgroup),
        cmocka_unit_test(parents_and_children_at_other_instants),
        cmocka_unit_test(root_and_kernel),
        cmocka_unit_test(processes_come_and_go),
        cmocka_unit_test(nothing_is_lost_when_stat_fails),
        cmocka_unit_test(nothing_is_lost_when_proc_fails),
        cmocka_unit_test(no_descriptors),
        cmocka_unit_test(ends_wait_to_be_taken),
        cmocka_unit_test(table_full),
        cmocka_unit_test(schedstat_within_ticks),
        cmocka_unit_test(moves_between_cgroups),
        cmocka_unit_test(sessions),
        cmocka_unit_test(needs),
        cmocka_unit_test(storm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
