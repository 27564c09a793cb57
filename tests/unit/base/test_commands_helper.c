/* SPDX-License-Identifier: Apache-2.0 */
/* The helper as a process: what it keeps, what it survives, when it ends, and requests that no agent of ours would
 * send. Kernels without newer calls are made by standing in front of syscall(). */
#include "commands_rig.h"

#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static bool old_kernel; /* neither pidfd_open() nor close_range() */

long __real_syscall(long number, long a, long b, long c);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
    long args[3];
    va_list ap;

    va_start(ap, number);
    for (size_t i = 0; i < ELEMENTSOF(args); i++)
        args[i] = va_arg(ap, long);
    va_end(ap);
    if (old_kernel && (number == SYS_pidfd_open || number == SYS_close_range)) {
        errno = ENOSYS;
        return -1;
    }
    return __real_syscall(number, args[0], args[1], args[2]);
}

static const char *helper_file(const struct rig *rig, const char *name)
{
    static char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)commands_helper_pid(rig->commands), name);
    return path;
}

/* --- what it is --------------------------------------------------------------------------------------------------- */

static void little_is_kept(void **state)
{
    struct rig *rig = *state;
    unsigned echo = add(rig, ARGV("echo", "x"));
    int leaked = open("/dev/null", O_RDONLY);
    char status[8192];

    start_helper(rig);
    pid_t pid = commands_helper_pid(rig->commands);
    snprintf(status, sizeof(status), "%s", file_text(helper_file(rig, "status")));
    assert_string_equal(status_line(status, "Name"), "carnotd-helper");
    assert_string_equal(status_line(status, "CapPrm"), "0000000000000000");
    assert_string_equal(status_line(status, "CapEff"), "0000000000000000");
    assert_string_equal(status_line(status, "NoNewPrivs"), "1");
#ifndef __SANITIZE_THREAD__ /* which has a thread of its own */
    assert_string_equal(status_line(status, "Threads"), "1");
#endif
    assert_int_not_equal(strtol(status_line(status, "PPid"), NULL, 10), getpid());
    assert_int_not_equal(getsid(pid), getsid(0));
    assert_int_not_equal(getpgid(pid), getpgid(0));
    assert_non_null(strstr(file_text(helper_file(rig, "limits")), "Max core file size        0                    0 "));

    /* Not ours: whoever waits for all children does not meet it. */
    siginfo_t info;
    assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL), -1);
    assert_int_equal(errno, ECHILD);

    if (getuid() == 0) { /* else the kernel shows nobody the descriptors of a process that is not dumpable */
        DIR *dir = opendir(helper_file(rig, "fd"));
        char link[64];
        int n_sockets = 0, n_processes = 0;

        assert_non_null(dir);
        for (struct dirent *entry; (entry = readdir(dir));) {
            ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
            if (n < 0)
                continue; /* "." and ".." */
            link[n] = '\0';
            n_sockets += strncmp(link, "socket:", 7) == 0;
            n_processes += strncmp(link, "anon_inode:[pidfd]", 18) == 0 || strncmp(link, "pidfd:", 6) == 0;
            assert_true(strncmp(link, "socket:", 7) == 0 || strstr(link, "pidfd") || strcmp(link, "/dev/null") == 0);
        }
        closedir(dir);
        assert_int_equal(n_sockets, 1);
        assert_true(n_processes <= 1);
    }
    close(leaked);
    assert_string_equal(output_of(rig, echo), "x\n");
}

static void signals_are_for_the_agent(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGCHLD};
    struct rig *rig = *state;
    unsigned echo = add(rig, ARGV("echo", "x"));

    start_helper(rig);
    for (size_t i = 0; i < ELEMENTSOF(signals); i++)
        assert_int_equal(kill(commands_helper_pid(rig->commands), signals[i]), 0);
    assert_string_equal(output_of(rig, echo), "x\n");
}

static void a_subreaper_stays_one(void **state)
{
    struct rig *rig = *state;
    int reaper = 0;

    add(rig, ARGV("echo"));
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    start_helper(rig);
    assert_int_equal(prctl(PR_GET_CHILD_SUBREAPER, &reaper, 0, 0, 0), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    assert_int_equal(reaper, 1);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* A process that this one could not end before is none of the helper's. */
static void runs_of_before_are_forgotten(void **state)
{
    struct rig *rig = *state;
    unsigned echo = add(rig, ARGV("echo", "x"));
    struct command_run *run_before = &rig->commands->slots[echo].run;
    pid_t stranger = fork();

    if (stranger == 0) {
        pause();
        _exit(0);
    }
    run_before->pid = stranger;
    run_before->fds[COMMAND_FD_PROCESS] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    start_helper(rig);
    assert_string_equal(output_of(rig, echo), "x\n");
    pid_t pid = commands_helper_pid(rig->commands);
    run_before->pid = 0;
    close(run_before->fds[COMMAND_FD_PROCESS]);
    run_before->fds[COMMAND_FD_PROCESS] = -1;
    rig->commands = commands_free(rig->commands);
    WAIT_FOR(is_gone(pid));
    assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0);
    kill(stranger, SIGKILL);
    waitpid(stranger, NULL, 0);
}

/* Whom commands leave behind does not stay a zombie, though nobody in the helper runs anything then. */
static void orphans_are_waited_for(void **state)
{
    struct rig *rig = *state;
    unsigned leaves = add_script(rig, "leaves",
                                 "setsid sh -c 'echo $$ >$0/pid; while ! [ -e $0/go ]; do :; done' $D >&- 2>&- &\n"
                                 "while ! [ -s $D/pid ]; do :; done");
    char path[64];

    output_of(rig, leaves);
    pid_t pid = await_pid(rig, "pid");
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    WAIT_FOR(strtol(status_line(file_text(path), "PPid"), NULL, 10) == commands_helper_pid(rig->commands));
    put_file(rig, "go", "", 0644);
    WAIT_FOR(kill(pid, 0) < 0 && errno == ESRCH);
}

/* --- when it ends ------------------------------------------------------------------------------------------------- */

struct asker {
    pthread_t id;
    struct rig *rig;
    unsigned number;
    int result;
    struct carnot_err err;
};

static void *ask(void *arg)
{
    struct asker *asker = arg;
    struct command_end end;
    struct buf out;

    buf_init(&out, PLENTY);
    asker->result = commands_run(asker->rig->commands, asker->number, &out, &end, &asker->err);
    buf_done(&out);
    return NULL;
}

static void helper_killed(void **state)
{
    struct rig *rig = *state;
    unsigned hang = add_script(rig, "hang", "echo $$ >$D/pid; exec sleep 1000"), echo = add(rig, ARGV("echo", "x"));
    struct asker asker = {.rig = rig, .number = hang};

    start_helper(rig);
    assert_int_equal(pthread_create(&asker.id, NULL, ask, &asker), 0);
    pid_t pid = await_pid(rig, "pid");
    assert_int_equal(kill(commands_helper_pid(rig->commands), SIGKILL), 0);
    pthread_join(asker.id, NULL);
    assert_int_equal(asker.result, -EPIPE);
    assert_non_null(strstr(asker.err.msg, "carnotd-helper, which ran it, has ended; restart this program"));
    WAIT_FOR(is_gone(pid)); /* a command does not outlive who runs it */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run(rig, echo), -EPIPE);
        assert_non_null(strstr(rig->err.msg, "/echo"));
    }
}

static void helper_stopped(void **state)
{
    struct rig *rig = *state;
    unsigned echo = add_limited(rig, ARGV("echo", "x"), 1, PLENTY), slow = add(rig, ARGV("echo", "y"));

    start_helper(rig);
    assert_int_equal(kill(commands_helper_pid(rig->commands), SIGSTOP), 0);
    assert_int_equal(run(rig, echo), -ETIMEDOUT);
    assert_non_null(strstr(rig->err.msg, "see whether it is stopped"));
    assert_int_equal(kill(commands_helper_pid(rig->commands), SIGCONT), 0);
    assert_string_equal(output_of(rig, slow), "y\n");
}

static void helper_ends_when_freed(void **state)
{
    struct rig *rig = *state;

    add(rig, ARGV("echo"));
    start_helper(rig);
    pid_t pid = commands_helper_pid(rig->commands);
    rig->commands = commands_free(rig->commands);
    WAIT_FOR(is_gone(pid));
}

/* A process that starts a helper, has it run something that hangs and is killed. `hold` lets a third process have
 * everything that the agent has open. */
static void kill_an_agent(struct rig *rig, bool hold)
{
    unsigned hang = add_script(rig, "hang", "echo $$ >$D/pid; (trap '' TERM; sleep 1000)");
    int held[2];

    unlink(rig_path(rig, "pid"));
    unlink(rig_path(rig, "helper"));
    assert_int_equal(pipe2(held, O_CLOEXEC), 0);
    pid_t agent = fork();
    assert_true(agent >= 0);
    if (agent == 0) {
        char text[32];
        start_helper(rig);
        if (hold && fork() == 0) {
            char byte;
            close(held[1]);
            _exit(read(held[0], &byte, 1) == 0 ? 0 : 1); /* until the test closes its end */
        }
        snprintf(text, sizeof(text), "%d\n", (int)commands_helper_pid(rig->commands));
        put_file(rig, "helper", text, 0644);
        run(rig, hang);
        _exit(1);
    }
    pid_t helper = await_pid(rig, "helper"), command = await_pid(rig, "pid");
    assert_false(is_gone(helper) || is_gone(command));
    kill(agent, SIGKILL);
    waitpid(agent, NULL, 0);
    WAIT_FOR(is_gone(helper));
    WAIT_FOR(is_gone(command));
    close(held[0]);
    close(held[1]);
}

static void agent_killed(void **state)
{
    struct rig *rig = *state;

    kill_an_agent(rig, false);
    kill_an_agent(rig, true);
}

static void agent_ends_at_once(void **state)
{
    struct rig *rig = *state;

    add(rig, ARGV("echo"));
    for (int i = 0; i < 20; i++) {
        pid_t helper = 0;
        int line[2];

        assert_int_equal(pipe2(line, O_CLOEXEC), 0);
        pid_t agent = fork();
        if (agent == 0) {
            start_helper(rig);
            helper = commands_helper_pid(rig->commands);
            _exit(write(line[1], &helper, sizeof(helper)) == (ssize_t)sizeof(helper) ? 0 : 1);
        }
        waitpid(agent, NULL, 0);
        assert_int_equal(read(line[0], &helper, sizeof(helper)), sizeof(helper));
        close(line[0]);
        close(line[1]);
        WAIT_FOR(is_gone(helper));
    }
}

/* --- an agent that was taken over --------------------------------------------------------------------------------- */

/* Sends anything with any descriptors. */
static void send_raw(struct rig *rig, const void *data, size_t len, const int *fds, size_t n_fds)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(4 * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

    if (n_fds > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
    }
    assert_int_equal(sendmsg(rig->commands->helper_fd, &msg, MSG_NOSIGNAL), len);
}

static int reply_pair(int *ret_theirs)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *ret_theirs = ends[1];
    return ends[0];
}

/* Reads up to the end; the result of the answer, 1 when there is none. */
static int reply_result(int fd)
{
    char text[sizeof(struct command_answer_head) + 64];
    struct command_answer answer;
    size_t len = 0;
    ssize_t n;

    while ((n = recv(fd, text + len, sizeof(text) - len, 0)) > 0)
        len += (size_t)n;
    close(fd);
    if (len == 0)
        return 1;
    assert_int_equal(command_answer_parse((struct text){text, len}, 64, &answer), 0);
    return answer.result;
}

static int ask_raw(struct rig *rig, const void *data, size_t len)
{
    int theirs, ours = reply_pair(&theirs);

    send_raw(rig, data, len, &theirs, 1);
    close(theirs);
    return reply_result(ours);
}

static void hostile_requests(void **state)
{
    struct rig *rig = *state;
    unsigned echo = add(rig, ARGV("echo", "x"));
    struct command_request request = {COMMAND_REQUEST_MAGIC, echo};
    const char noise[200] = {0};
    int theirs[4], ours[4], null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    char path[64];

    start_helper(rig);
    assert_int_equal(ask_raw(rig, &request, sizeof(request)), 0);
    request.number = 1;
    assert_int_equal(ask_raw(rig, &request, sizeof(request)), -EINVAL);
    request.number = UINT32_MAX;
    assert_int_equal(ask_raw(rig, &request, sizeof(request)), -EINVAL);
    request.number = echo;
    assert_int_equal(ask_raw(rig, &request, sizeof(request) - 1), -EPROTO);
    assert_int_equal(ask_raw(rig, noise, sizeof(noise)), -EPROTO);
    request.magic++;
    assert_int_equal(ask_raw(rig, &request, sizeof(request)), -EPROTO);
    request.magic--;

    /* No way to answer, too many, and some that take no answer. */
    for (size_t n = 2; n <= 4; n++) {
        for (size_t i = 0; i < n; i++)
            ours[i] = reply_pair(&theirs[i]);
        send_raw(rig, &request, sizeof(request), theirs, n);
        for (size_t i = 0; i < n; i++) {
            close(theirs[i]);
            assert_int_equal(reply_result(ours[i]), 1);
        }
    }
    for (int i = 0; i < 40; i++) {
        send_raw(rig, &request, sizeof(request), NULL, 0);
        send_raw(rig, &request, sizeof(request), &null_fd, 1);
        ours[0] = reply_pair(&theirs[0]);
        send_raw(rig, &request, sizeof(request), theirs, 1);
        close(theirs[0]);
        close(ours[0]);
    }
    close(null_fd);
    WAIT_FOR(ask_raw(rig, &request, sizeof(request)) == 0); /* it may be busy with those */
    assert_string_equal(output_of(rig, echo), "x\n");
    if (getuid() == 0) { /* nothing of all that is kept open */
        snprintf(path, sizeof(path), "/proc/%d/fd/12", (int)commands_helper_pid(rig->commands));
        WAIT_FOR(access(path, F_OK) < 0);
    }
}

/* Whoever does not take an answer holds up nobody else. */
static void answer_not_taken(void **state)
{
    struct rig *rig = *state;
    unsigned large = add_limited(rig, ARGV("head", "-c", "4000000", "/dev/zero"), PLENTY_NS, 4000000);
    unsigned echo = add(rig, ARGV("echo", "x"));
    struct command_request request = {COMMAND_REQUEST_MAGIC, large};
    int theirs, ours;
    char byte;

    start_helper(rig);
    ours = reply_pair(&theirs);
    send_raw(rig, &request, sizeof(request), &theirs, 1);
    close(theirs);
    assert_int_equal(recv(ours, &byte, 1, 0), 1); /* it has begun to answer */
    assert_int_equal(ask_raw(rig, &request, sizeof(request)), -EBUSY);
    for (int i = 0; i < 5; i++)
        assert_string_equal(output_of(rig, echo), "x\n");
    close(ours);
    WAIT_FOR(run(rig, large) != -EBUSY);
    assert_int_equal(rig->err.code, 0);
}

static void a_liar_for_a_helper(void **state)
{
    struct rig *rig = *state;
    unsigned echo = add(rig, ARGV("echo", "x"));
    int ends[2];

    start_helper(rig);
    int real_fd = rig->commands->helper_fd;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    for (int kind = 0; kind < 3; kind++) {
        pid_t liar = fork();
        if (liar == 0) {
            union {
                struct cmsghdr head;
                char room[CMSG_SPACE(sizeof(int))];
            } control;
            char data[64], lie[4096] = "nonsense";
            struct iovec part = {.iov_base = data, .iov_len = sizeof(data)};
            struct msghdr msg = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.room)};
            int fd;

            recvmsg(ends[1], &msg, 0);
            memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
            if (kind == 1)
                send(fd, lie, sizeof(lie), MSG_NOSIGNAL);
            while (kind == 2 && send(fd, lie, sizeof(lie), MSG_NOSIGNAL) > 0) /* without end */
                ;
            _exit(0);
        }
        rig->commands->helper_fd = ends[0];
        int r = run(rig, echo);
        rig->commands->helper_fd = real_fd;
        assert_int_equal(r, kind == 0 ? -EPIPE : kind == 1 ? -EPROTO : -E2BIG);
        assert_int_equal(rig->out.len, 0);
        assert_int_equal(waitpid(liar, NULL, 0), liar);
    }
    close(ends[0]);
    close(ends[1]);
    assert_string_equal(output_of(rig, echo), "x\n");
}

/* --- odd surroundings --------------------------------------------------------------------------------------------- */

static void without_standard_descriptors(void **state)
{
    struct rig *rig = *state;
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        struct commands *commands;
        struct command_end end = {.status = -1};
        struct command_limits limits = {PLENTY_NS, PLENTY};
        unsigned number;
        bool good;

        for (int fd = 0; fd < 3; fd++)
            close(fd);
        buf_reset(&rig->out);
        good = commands_new(&commands, NULL) == 0 &&
               commands_add(commands, ARGV("readlink", "/proc/self/fd/0"), &limits, &number, NULL) == 0 &&
               commands_run(commands, number, &rig->out, &end, NULL) == 0 && end.status == 0 &&
               commands_start_helper(commands, NULL) == 0 &&
               commands_run(commands, number, &rig->out, &end, NULL) == 0 && end.status == 0;
        commands_free(commands);
        _exit(good && strcmp(buf_str(&rig->out), "/dev/null\n/dev/null\n") == 0 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static void no_process_for_a_helper(void **state)
{
    struct rig *rig = *state;
    struct rlimit before, none;

    if (getuid() == 0)
        skip(); /* root's processes are not counted */
    add(rig, ARGV("echo"));
    assert_int_equal(getrlimit(RLIMIT_NPROC, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NPROC, &none), 0);
    int r = commands_start_helper(rig->commands, &rig->err);
    assert_int_equal(setrlimit(RLIMIT_NPROC, &before), 0);
    assert_int_equal(r, -EAGAIN);
    assert_non_null(strstr(rig->err.msg, "cannot start the helper"));
}

static void on_an_old_kernel(void **state)
{
    struct rig *rig = *state;
    unsigned hang = add_limited(rig, ARGV("sleep", "1000"), NS_PER_SEC / 10, PLENTY);
    unsigned echo = add(rig, ARGV("echo", "x"));
    unsigned leaves = add_script(rig, "leaves", "sleep 1000 & echo done");
    unsigned list = add_script(rig, "list", "for f in /proc/$$/fd/*; do echo ${f##*/}; done");
    int high = fcntl(STDIN_FILENO, F_DUPFD, 200);

    old_kernel = true;
    for (int i = 0; i < 2; i++) {
        rig->helper = i;
        assert_string_equal(output_of(rig, echo), "x\n");
        assert_string_equal(output_of(rig, leaves), "done\n");
        assert_int_equal(run(rig, hang), -ETIMEDOUT);
        assert_null(strstr(output_of(rig, list), "200"));
    }
    pid_t pid = commands_helper_pid(rig->commands);
    rig->commands = commands_free(rig->commands);
    WAIT_FOR(is_gone(pid));
    close(high);

    /* A killed agent's helper sees the end of its socket. */
    assert_int_equal(commands_new(&rig->commands, NULL), 0);
    kill_an_agent(rig, false);
    old_kernel = false;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        TEST(little_is_kept),
        TEST(signals_are_for_the_agent),
        TEST(a_subreaper_stays_one),
        TEST(runs_of_before_are_forgotten),
        TEST(orphans_are_waited_for),
        TEST(helper_killed),
        TEST(helper_stopped),
        TEST(helper_ends_when_freed),
        TEST(agent_killed),
        TEST(agent_ends_at_once),
        TEST(hostile_requests),
        TEST(answer_not_taken),
        TEST(a_liar_for_a_helper),
        TEST(without_standard_descriptors),
        TEST(no_process_for_a_helper),
        TEST(on_an_old_kernel),
    };

    with_helper = true;
    return cmocka_run_group_tests_name("helper", tests, NULL, NULL);
}

int main(void)
{
    return run_twice(run_all);
}
