/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of several threads as the BPF reader tells them: under whose name, and when they end. Needs root, BPF and a
 * cgroup file system that can be written; else skipped (77). */
#include "activity_rig.h"

#include <pthread.h>
#include <sys/syscall.h>

#define WORKERS 6

static struct rig rig;

/* What was told of one process. */
struct seen {
    uint32_t pid;
    unsigned rows, ended, process_ended, after_the_end;
    uint64_t start_boot_ns, ns;
    char comm[TASK_COMM_LEN];
    bool other_comm;
};

static void look(struct seen *seen)
{
    bool ended = seen->process_ended > 0;

    rig_read(&rig);
    for (size_t i = 0; i < rig.window.n_tasks; i++) {
        const struct activity_task *task = &rig.window.tasks[i];
        if (task->pid != seen->pid)
            continue;
        seen->after_the_end += ended;
        if (seen->rows++ == 0)
            seen->start_boot_ns = task->start_boot_ns;
        assert_int_equal(task->start_boot_ns, seen->start_boot_ns);
        if (seen->comm[0] && strcmp(seen->comm, task->comm) != 0)
            seen->other_comm = true;
        memcpy(seen->comm, task->comm, sizeof(seen->comm));
        seen->ended += (task->flags & TASK_ENDED) != 0;
        seen->ns += rig_sum(&rig, task->ns);
        if (task->flags & TASK_PROCESS_ENDED) {
            assert_true(task->flags & TASK_ENDED);
            seen->process_ended++;
        }
    }
}

static void look_for_end(struct seen *seen)
{
    time_t deadline = rig_now_s() + RIG_DEADLINE_S;

    while (seen->process_ended == 0) {
        assert_true(rig_now_s() < deadline);
        look(seen);
    }
    for (int i = 0; i < 3; i++)
        look(seen);
    assert_int_equal(seen->process_ended, 1);
    assert_int_equal(seen->after_the_end, 0);
}

/* ---- the child: a leader and workers that the test starts and stops by pipes ---- */

struct crew {
    int go[2];   /* a byte: one more round of work; closed: end */
    int done[2]; /* a byte per round done */
};

static void crew_open(struct crew *crew)
{
    assert_int_equal(pipe2(crew->go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(crew->done, O_CLOEXEC), 0);
}

static void crew_close(struct crew *crew)
{
    close(crew->done[0]);
    close(crew->done[1]);
}

static void crew_work(struct crew *crew, unsigned rounds)
{
    char c[64] = {0};

    assert_true(rounds <= sizeof(c));
    assert_int_equal(write(crew->go[1], c, rounds), rounds);
    for (unsigned i = 0; i < rounds; i++)
        assert_int_equal(read(crew->done[0], c, 1), 1);
}

/* Ours are the only ends after the child has closed its own. */
static void crew_dismiss(struct crew *crew)
{
    close(crew->go[0]);
    close(crew->go[1]);
}

static void *worker(void *userdata)
{
    const struct crew *crew = userdata;
    char c;

    while (read(crew->go[0], &c, 1) == 1) {
        rig_burn(2 * RIG_MS);
        if (write(crew->done[1], &c, 1) != 1)
            _exit(3);
    }
    syscall(SYS_exit, 0); /* this thread only, and should it be the last, no handlers of a test program's exit */
    return NULL;
}

static void *named_worker(void *userdata)
{
    pthread_setname_np(pthread_self(), "crew-worker");
    return worker(userdata);
}

static void start_workers(struct crew *crew, unsigned n, void *(*body)(void *))
{
    pthread_t thread;

    close(crew->go[1]);
    for (unsigned i = 0; i < n; i++) {
        if (pthread_create(&thread, NULL, body, crew) != 0)
            _exit(4);
    }
}

static void expect_exit(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- ends ---- */

static void leader_leaves_body(void *userdata)
{
    start_workers(userdata, 3, worker);
    pthread_exit(NULL);
}

static void test_leader_ends_first(void **state)
{
    time_t deadline = rig_now_s() + RIG_DEADLINE_S;
    struct seen seen = {0};
    struct crew crew;
    pid_t pid;

    rig_open(&rig, rig_any_hierarchy(), 0);
    crew_open(&crew);
    pid = rig_start_child(NULL, leader_leaves_body, &crew);
    seen.pid = (uint32_t)pid;
    while (seen.ended == 0) { /* the leader */
        assert_true(rig_now_s() < deadline);
        look(&seen);
    }
    for (int i = 0; i < 5; i++) {
        crew_work(&crew, 6);
        look(&seen);
        assert_int_equal(seen.process_ended, 0);
        assert_int_equal(seen.ended, 1);
    }
    assert_true(seen.ns >= 5 * 6 * RIG_MS);
    crew_dismiss(&crew);
    expect_exit(pid);
    look_for_end(&seen);
    assert_int_equal(seen.ended, 4);
    crew_close(&crew);
    rig_close(&rig);
}

static void all_at_once_body(void *userdata)
{
    struct crew *crew = userdata;
    char c;

    start_workers(crew, WORKERS, worker);
    while (read(crew->go[0], &c, 1) == 1) {
        rig_burn(RIG_MS / 10);
        if (write(crew->done[1], &c, 1) != 1)
            _exit(3);
    }
    _exit(0);
}

/* exit_group(): the threads see the end of the process at the same time, and only one of them is the last. */
static void test_all_threads_end_at_once(void **state)
{
    rig_open(&rig, rig_any_hierarchy(), 0);
    for (int i = 0; i < 60; i++) {
        struct seen seen = {0};
        struct crew crew;
        pid_t pid;
        crew_open(&crew);
        pid = rig_start_child(NULL, all_at_once_body, &crew);
        seen.pid = (uint32_t)pid;
        crew_work(&crew, WORKERS);
        crew_dismiss(&crew);
        while (waitpid(pid, NULL, WNOHANG) == 0)
            look(&seen);
        look_for_end(&seen);
        assert_true(seen.ended >= 1);
        crew_close(&crew);
    }
    rig_close(&rig);
}

static void empty_body(void *userdata)
{
}

static void test_single_thread_ends_once(void **state)
{
    rig_open(&rig, rig_any_hierarchy(), 0);
    for (int i = 0; i < 50; i++) {
        struct seen seen = {0};
        pid_t pid = rig_start_child(NULL, empty_body, NULL);
        seen.pid = (uint32_t)pid;
        expect_exit(pid);
        look_for_end(&seen);
        assert_int_equal(seen.ended, 1);
    }
    rig_close(&rig);
}

static void *exec_cat(void *userdata)
{
    const struct crew *crew = userdata;
    char name[] = "cat";
    char *const argv[] = {name, NULL};

    if (dup2(crew->go[0], STDIN_FILENO) < 0 || dup2(crew->done[1], STDOUT_FILENO) < 0)
        _exit(5);
    execv("/bin/cat", argv);
    _exit(6);
}

static void exec_body(void *userdata)
{
    start_workers(userdata, 1, exec_cat);
    for (;;)
        pause();
}

/* The thread that executes takes the leader's place: pid and time of birth stay, and the leader's end is not the end.
 */
static void test_exec_by_another_thread(void **state)
{
    struct seen seen = {0};
    struct crew crew;
    pid_t pid;

    rig_open(&rig, rig_any_hierarchy(), 0);
    crew_open(&crew);
    pid = rig_start_child(NULL, exec_body, &crew);
    seen.pid = (uint32_t)pid;
    for (int i = 0; i < 4; i++) {
        crew_work(&crew, 1); /* through cat */
        look(&seen);
        assert_int_equal(seen.process_ended, 0);
        assert_string_equal(seen.comm, "cat");
        assert_int_equal(seen.ended, 1); /* the old leader, in the first window */
    }
    crew_dismiss(&crew);
    expect_exit(pid);
    look_for_end(&seen);
    assert_int_equal(seen.ended, 2);
    crew_close(&crew);
    rig_close(&rig);
}

/* ---- the name ---- */

static void named_body(void *userdata)
{
    pthread_setname_np(pthread_self(), "crew-leader");
    all_at_once_body(userdata);
}

static void named_crew_body(void *userdata)
{
    pthread_setname_np(pthread_self(), "crew-leader");
    start_workers(userdata, 3, named_worker);
    for (;;)
        pause();
}

static void test_name_is_the_leaders(void **state)
{
    struct seen seen = {0};
    struct crew crew;
    pid_t pid;

    rig_open(&rig, rig_any_hierarchy(), 0);
    crew_open(&crew);
    pid = rig_start_child(NULL, named_crew_body, &crew);
    seen.pid = (uint32_t)pid;
    for (int i = 0; i < 4; i++) {
        crew_work(&crew, 6);
        look(&seen);
        assert_string_equal(seen.comm, "crew-leader");
    }
    assert_false(seen.other_comm);
    assert_true(seen.rows >= 4);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    look_for_end(&seen);
    assert_string_equal(seen.comm, "crew-leader");
    crew_dismiss(&crew);
    crew_close(&crew);

    /* A name taken after the first switch, by a process that is gone before the next reading. */
    seen = (struct seen){0};
    crew_open(&crew);
    pid = rig_start_child(NULL, named_body, &crew);
    seen.pid = (uint32_t)pid;
    crew_work(&crew, 3);
    crew_dismiss(&crew);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    look_for_end(&seen);
    assert_string_equal(seen.comm, "crew-leader");
    crew_close(&crew);
    rig_close(&rig);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    /* Its children fork while they have threads, which ThreadSanitizer's runtime does not survive. */
    printf("skip: children with threads fork here, which ThreadSanitizer does not support\n");
    return 77;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leader_ends_first),       cmocka_unit_test(test_all_threads_end_at_once),
        cmocka_unit_test(test_single_thread_ends_once), cmocka_unit_test(test_exec_by_another_thread),
        cmocka_unit_test(test_name_is_the_leaders),
    };

    if (rig_skip_reason())
        return 77;
    return cmocka_run_group_tests_name("sources/activity_bpf_ends", tests, NULL, NULL);
}
