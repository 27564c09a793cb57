/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of real programs, each test once in this process and once through the helper; as root, then all again as another
 * user. */
#include "commands_rig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>

/* --- what a command finds ----------------------------------------------------------------------------------------- */

static void prints(void **state)
{
    struct rig *rig = *state;
    unsigned echo = add(rig, ARGV("echo", "two  words", "$HOME;*"));

    assert_string_equal(output_of(rig, echo), "two  words $HOME;*\n"); /* no shell */
    assert_string_equal(rig->end.error, "");
    /* Appended to what is there. */
    assert_int_equal(commands_run(rig->commands, echo, &rig->out, &rig->end, NULL), 0);
    assert_string_equal(buf_str(&rig->out), "two  words $HOME;*\ntwo  words $HOME;*\n");
}

static void environment(void **state)
{
    struct rig *rig = *state;
    unsigned env = add(rig, ARGV("/usr/bin/env")), pwd = add_script(rig, "pwd", "pwd; umask");

    setenv("CARNOT_TEST", "1", 1);
    assert_string_equal(output_of(rig, env), "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\n");
    assert_string_equal(output_of(rig, pwd), "/\n0077\n");
}

static void input_is_empty(void **state)
{
    struct rig *rig = *state;
    unsigned cat = add(rig, ARGV("cat")), link = add(rig, ARGV("readlink", "/proc/self/fd/0"));

    assert_string_equal(output_of(rig, cat), "");
    assert_string_equal(output_of(rig, link), "/dev/null\n");
}

static void no_descriptors(void **state)
{
    struct rig *rig = *state;
    unsigned list = add_script(rig, "list", "for f in /proc/$$/fd/*; do echo ${f##*/}; done");
    int low = fcntl(STDIN_FILENO, F_DUPFD, 50); /* nobody said close-on-exec */
    int high = fcntl(STDIN_FILENO, F_DUPFD, 500);
    const char *text = output_of(rig, list);

    assert_true(low >= 50 && high >= 500);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        long fd = strtol(line, NULL, 10);
        assert_true(fd <= 3 || fd == 10); /* where sh keeps that directory and its script */
    }
    close(low);
    close(high);
}

static void rights_and_signals(void **state)
{
    static const char *const zeros[] = {"CapInh", "CapPrm", "CapEff", "CapAmb"};
    static const char *const signals[] = {"SigBlk", "SigIgn", "SigCgt"};
    struct rig *rig = *state;
    unsigned cat = add(rig, ARGV("cat", "/proc/self/status")), limits = add(rig, ARGV("cat", "/proc/self/limits"));
    unsigned stat = add_script(rig, "stat", "echo $$; cat /proc/$$/stat");
    sigset_t some, before;
    char text[8192];

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    sigprocmask(SIG_BLOCK, &some, &before);
    snprintf(text, sizeof(text), "%s", output_of(rig, cat));
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, SIG_DFL);
    for (size_t i = 0; i < ELEMENTSOF(zeros); i++)
        assert_string_equal(status_line(text, zeros[i]), "0000000000000000");
    for (size_t i = 0; i < ELEMENTSOF(signals); i++) /* glibc keeps 32 and 33 for itself: whoever started us decides */
        assert_int_equal(strtoull(status_line(text, signals[i]), NULL, 16) & ~(3ULL << 31), 0);
    assert_string_equal(status_line(text, "NoNewPrivs"), "1");
    assert_int_equal(strtol(status_line(text, "Uid"), NULL, 10), getuid());
    assert_non_null(strstr(output_of(rig, limits), "Max core file size        0                    0 "));

    /* Leader of its own group: "PID (stat) S PPID PGRP". */
    const char *line = output_of(rig, stat);
    long pid = strtol(line, NULL, 10), ppid, group;
    char *rest = strrchr(line, ')') + 3;
    ppid = strtol(rest, &rest, 10);
    group = strtol(rest, NULL, 10);
    assert_int_equal(group, pid);
    assert_int_equal(ppid, rig->helper ? commands_helper_pid(rig->commands) : getpid());
}

/* What a command needs of root is to be root: /dev/ipmi0 is root's, 0600. */
static void own_files_without_capabilities(void **state)
{
    struct rig *rig = *state;
    unsigned own = add_script(rig, "own", "echo x >$D/device && cat $D/device");
    unsigned others = add_script(rig, "read_others", "cat $D/others");

    put_file(rig, "device", "", 0600);
    put_file(rig, "others", "secret", 0600);
    assert_string_equal(output_of(rig, own), "x\n");
    if (getuid() != 0)
        return;
    assert_int_equal(chown(rig_path(rig, "others"), NOBODY, NOBODY), 0);
    assert_int_equal(run(rig, others), 0);
    assert_int_equal(WEXITSTATUS(rig->end.status), 1);
    assert_non_null(strstr(rig->end.error, "Permission denied"));
}

/* --- how it ends -------------------------------------------------------------------------------------------------- */

static void status_and_error(void **state)
{
    struct rig *rig = *state;
    unsigned fails = add_script(rig, "fails", "echo some; printf '\\n \\nno\\tBMC \\001\\377\\nmore\\n' >&2; exit 3");
    unsigned signalled = add_script(rig, "signalled", "echo before; kill -SEGV $$");
    unsigned only_error = add_script(rig, "only_error", "head -c 3000 /dev/zero | tr '\\0' x >&2");

    assert_int_equal(run(rig, fails), 0);
    assert_true(WIFEXITED(rig->end.status));
    assert_int_equal(WEXITSTATUS(rig->end.status), 3);
    assert_string_equal(rig->end.error, "no BMC ??");
    assert_string_equal(buf_str(&rig->out), "some\n");
    assert_int_equal(run(rig, signalled), 0);
    assert_true(WIFSIGNALED(rig->end.status));
    assert_int_equal(WTERMSIG(rig->end.status), SIGSEGV);
    assert_false(WCOREDUMP(rig->end.status));
    assert_string_equal(buf_str(&rig->out), "before\n");
    assert_string_equal(output_of(rig, only_error), "");
    assert_int_equal(strlen(rig->end.error), COMMAND_ERROR_MAX - 1);
}

static void any_bytes(void **state)
{
    struct rig *rig = *state;
    unsigned nuls = add_script(rig, "nuls", "printf 'a\\0b\\377\\0'");
    unsigned most = add_limited(rig, ARGV("head", "-c", "1000000", "/dev/zero"), PLENTY_NS, 1000000);

    output_of(rig, nuls);
    assert_int_equal(rig->out.len, 5);
    assert_memory_equal(rig->out.data, "a\0b\377\0", 5);
    output_of(rig, most); /* to the last byte of what is allowed */
    assert_int_equal(rig->out.len, 1000000);
}

static void no_room_in_out(void **state)
{
    struct rig *rig = *state;
    unsigned echo = add(rig, ARGV("echo", "too long"));
    struct buf small;

    start_helper(rig);
    buf_init(&small, 3);
    assert_int_equal(commands_run(rig->commands, echo, &small, &rig->end, &rig->err), -E2BIG);
    assert_non_null(strstr(rig->err.msg, "/echo"));
    buf_done(&small);
    assert_string_equal(output_of(rig, echo), "too long\n");
}

static void hangs(void **state)
{
    struct rig *rig = *state;
    unsigned hang = add_limited(rig,
                                ARGV(put_script(rig, "hang",
                                                "echo part; echo waiting for the BMC >&2; trap '' TERM INT\n"
                                                "echo $$ >$D/pid; while :; do sleep 1000; done")),
                                2 * NS_PER_SEC, PLENTY); /* long enough to get there */

    assert_int_equal(run(rig, hang), -ETIMEDOUT);
    assert_int_equal(rig->out.len, 0);
    assert_non_null(strstr(rig->err.msg, "did not end within 2000 ms and was killed"));
    assert_non_null(strstr(rig->err.msg, "waiting for the BMC"));
    assert_int_equal(rig->end.status, 0x55555555); /* not written */
    WAIT_FOR(is_gone(await_pid(rig, "pid")));
}

static void floods(void **state)
{
    struct rig *rig = *state;
    unsigned yes = add(rig, ARGV("yes")), errors = add_script(rig, "errors", "yes oh dear >&2");
    unsigned by_one = add_limited(rig, ARGV("echo", "12345678"), PLENTY_NS, 8);
    uint64_t begin_ns = command_now_ns();

    assert_int_equal(run(rig, yes), -E2BIG);
    assert_non_null(strstr(rig->err.msg, "more than the 65536 bytes"));
    assert_int_equal(rig->out.len, 0);
    assert_int_equal(run(rig, errors), -E2BIG);
    assert_non_null(strstr(rig->err.msg, "oh dear"));
    assert_int_equal(run(rig, by_one), -E2BIG);
    assert_true(command_now_ns() - begin_ns < RUNS_LONGER_MAX);
}

/* A child that holds the pipe and goes on is killed with its group when the program has ended. */
static void child_keeps_the_pipe(void **state)
{
    struct rig *rig = *state;
    unsigned leaves = add_script(rig, "leaves", "sleep 1000 & echo $! >$D/pid; echo done");
    uint64_t begin_ns = command_now_ns();

    assert_string_equal(output_of(rig, leaves), "done\n");
    assert_true(command_now_ns() - begin_ns < RUNS_LONGER_MAX);
    WAIT_FOR(is_gone(await_pid(rig, "pid")));
}

/* One that made a session of its own cannot be found; it does not keep us either, not even by writing on. */
static void daemon_keeps_the_pipe(void **state)
{
    struct rig *rig = *state;
    unsigned leaves = add_script(rig, "leaves",
                                 "setsid sh -c 'echo $$ >$0/pid; while :; do echo more; done' $D &\n"
                                 "while ! [ -s $D/pid ]; do :; done; echo done >&2");
    uint64_t begin_ns = command_now_ns();
    int r = run(rig, leaves);

    kill(await_pid(rig, "pid"), SIGKILL);
    assert_true(command_now_ns() - begin_ns < RUNS_LONGER_MAX);
    if (r == 0) /* else it had written too much before */
        assert_string_equal(rig->end.error, "done");
    else
        assert_int_equal(r, -E2BIG);
    WAIT_FOR(is_gone(await_pid(rig, "pid")));
}

static void closes_its_output(void **state)
{
    struct rig *rig = *state;
    unsigned closes = add_script(rig, "closes", "echo early; exec >&- 2>&-; [ -e $D/no ] || exit 4");

    assert_int_equal(run(rig, closes), 0);
    assert_int_equal(WEXITSTATUS(rig->end.status), 4);
    assert_string_equal(buf_str(&rig->out), "early\n");
}

static void cannot_be_executed(void **state)
{
    struct rig *rig = *state;
    unsigned bad = add(rig, ARGV(put_file(rig, "bad", "#!/no/such/interpreter\n", 0755)));
    unsigned empty = add(rig, ARGV(put_file(rig, "empty", "not a program\n", 0755)));
    unsigned vanishes = add_script(rig, "vanishes", "echo");

    unlink(rig_path(rig, "vanishes"));
    assert_int_equal(run(rig, bad), -ENOENT);
    assert_non_null(strstr(rig->err.msg, "/bad: No such file"));
    assert_int_equal(run(rig, empty), -ENOEXEC);
    assert_int_equal(run(rig, vanishes), -ENOENT);
    assert_int_equal(run(rig, 3), -EINVAL);
    assert_int_equal(run(rig, UINT32_MAX), -EINVAL);
}

static void no_descriptors_left(void **state)
{
    struct rig *rig = *state;
    unsigned echo = add(rig, ARGV("echo", "x"));
    struct rlimit before, few;
    int n;

    start_helper(rig);
    n = count_fds();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)n - 3; /* "." and ".." and the directory itself were counted */
    int hole = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (hole >= 0 && (rlim_t)hole < few.rlim_cur)
        few.rlim_cur = (rlim_t)hole;
    close(hole);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int r = run(rig, echo);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(count_fds(), n);
    assert_string_equal(output_of(rig, echo), "x\n");
}

/* --- many at once ------------------------------------------------------------------------------------------------- */

struct worker {
    pthread_t id;
    struct rig *rig;
    unsigned number;
    int rounds, failures;
    int result;
    atomic_bool ended;
    char expected[32];
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct command_end end = {0};
    struct buf out;
    sigset_t all;

    sigfillset(&all); /* as threads of slow sources do */
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    buf_init(&out, PLENTY);
    for (int i = 0; i < worker->rounds; i++) {
        buf_reset(&out);
        worker->result = commands_run(worker->rig->commands, worker->number, &out, &end, NULL);
        if (worker->result < 0 || end.status != 0 || strcmp(buf_str(&out), worker->expected) != 0)
            worker->failures++;
    }
    buf_done(&out);
    worker->ended = true;
    return NULL;
}

static void start_worker(struct worker *worker, struct rig *rig, unsigned number, int rounds)
{
    worker->rig = rig;
    worker->number = number;
    worker->rounds = rounds;
    assert_int_equal(pthread_create(&worker->id, NULL, work, worker), 0);
}

static void sixteen_at_once(void **state)
{
    struct rig *rig = *state;
    struct worker workers[COMMANDS_MAX] = {0};

    for (unsigned i = 0; i < COMMANDS_MAX; i++) {
        char word[16];
        snprintf(word, sizeof(word), "%u", i);
        snprintf(workers[i].expected, sizeof(workers[i].expected), "%u\n", i);
        assert_int_equal(add(rig, ARGV("echo", word)), i);
    }
    start_helper(rig);
    for (unsigned i = 0; i < COMMANDS_MAX; i++)
        start_worker(&workers[i], rig, i, 20);
    for (unsigned i = 0; i < COMMANDS_MAX; i++) {
        pthread_join(workers[i].id, NULL);
        assert_int_equal(workers[i].failures, 0);
    }
}

/* All are running at the same time: each waits for the others. */
static void beside_each_other(void **state)
{
    struct rig *rig = *state;
    struct worker workers[4] = {0};

    for (unsigned i = 0; i < ELEMENTSOF(workers); i++) {
        char word[16];
        snprintf(word, sizeof(word), "%u", i);
        add(rig, ARGV(put_script(rig, "meet",
                                 "echo >$D/came$1; for i in 0 1 2 3; do\n"
                                 "while ! [ -e $D/came$i ]; do :; done; done; echo met"),
                      word));
        snprintf(workers[i].expected, sizeof(workers[i].expected), "met\n");
    }
    start_helper(rig);
    for (unsigned i = 0; i < ELEMENTSOF(workers); i++)
        start_worker(&workers[i], rig, i, 1);
    for (unsigned i = 0; i < ELEMENTSOF(workers); i++) {
        pthread_join(workers[i].id, NULL);
        assert_int_equal(workers[i].failures, 0);
    }
}

static void same_one_after_the_other(void **state)
{
    struct rig *rig = *state;
    struct worker workers[8] = {0};
    unsigned alone = add_script(rig, "alone", "mkdir $D/lock || exit 1; ls / >/dev/null; rmdir $D/lock; echo ok");

    start_helper(rig);
    for (unsigned i = 0; i < ELEMENTSOF(workers); i++) {
        snprintf(workers[i].expected, sizeof(workers[i].expected), "ok\n");
        start_worker(&workers[i], rig, alone, 5);
    }
    for (unsigned i = 0; i < ELEMENTSOF(workers); i++) {
        pthread_join(workers[i].id, NULL);
        assert_int_equal(workers[i].failures, 0);
    }
}

/* A command that hangs delays no other one; stopping ends it. */
static void hanging_beside_and_stopped(void **state)
{
    struct rig *rig = *state;
    struct worker worker = {0};
    unsigned hang = add_script(rig, "hang", "echo $$ >$D/pid; sleep 1000"), echo = add(rig, ARGV("echo", "x"));
    uint64_t begin_ns = command_now_ns();

    start_helper(rig);
    start_worker(&worker, rig, hang, 2);
    pid_t pid = await_pid(rig, "pid");
    for (int i = 0; i < 5; i++)
        assert_string_equal(output_of(rig, echo), "x\n");
    assert_false(worker.ended);
    assert_false(is_gone(pid));
    commands_stop(rig->commands);
    pthread_join(worker.id, NULL);
    assert_int_equal(worker.result, -ECANCELED);
    assert_int_equal(worker.failures, 2);
    assert_int_equal(run(rig, echo), -ECANCELED);
    assert_non_null(strstr(rig->err.msg, "this program stops"));
    assert_true(command_now_ns() - begin_ns < RUNS_LONGER_MAX);
    WAIT_FOR(is_gone(pid));
}

/* Freeing waits for whoever is still in there. */
static void freed_while_one_runs(void **state)
{
    struct rig *rig = *state;
    struct worker worker = {0};
    unsigned hang = add_script(rig, "hang", "echo $$ >$D/pid; sleep 1000");

    start_helper(rig);
    start_worker(&worker, rig, hang, 1);
    pid_t pid = await_pid(rig, "pid");
    rig->commands = commands_free(rig->commands);
    pthread_join(worker.id, NULL);
    assert_int_equal(worker.result, -ECANCELED);
    WAIT_FOR(is_gone(pid));
}

static void sigchld_ignored(void **state)
{
    struct rig *rig = *state;
    unsigned echo = add(rig, ARGV("echo", "x"));

    signal(SIGCHLD, SIG_IGN); /* as a careless parent of ours may have left it */
    int r = run(rig, echo);
    signal(SIGCHLD, SIG_DFL);
    if (rig->helper) {
        assert_int_equal(r, 0);
    } else {
        assert_int_equal(r, -ECHILD);
        assert_non_null(strstr(rig->err.msg, "SIGCHLD"));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

static int run_both_ways(void)
{
    const struct CMUnitTest tests[] = {
        TEST(prints),
        TEST(environment),
        TEST(input_is_empty),
        TEST(no_descriptors),
        TEST(rights_and_signals),
        TEST(own_files_without_capabilities),
        TEST(status_and_error),
        TEST(any_bytes),
        TEST(no_room_in_out),
        TEST(hangs),
        TEST(floods),
        TEST(child_keeps_the_pipe),
        TEST(daemon_keeps_the_pipe),
        TEST(closes_its_output),
        TEST(cannot_be_executed),
        TEST(no_descriptors_left),
        TEST(sixteen_at_once),
        TEST(beside_each_other),
        TEST(same_one_after_the_other),
        TEST(hanging_beside_and_stopped),
        TEST(freed_while_one_runs),
        TEST(sigchld_ignored),
    };
    int failed;

    with_helper = false;
    failed = cmocka_run_group_tests_name("in this process", tests, NULL, NULL);
    with_helper = true;
    return failed + cmocka_run_group_tests_name("through the helper", tests, NULL, NULL);
}

int main(void)
{
    return run_twice(run_both_ways);
}
