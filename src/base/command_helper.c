/* SPDX-License-Identifier: Apache-2.0 */
/* The process that runs commands for one that has given up its rights. Knows the closed set, which it inherited, and
 * takes nothing from the other side but numbers in that set; refuses to know what a command is for.
 *
 * One thread, one loop. It believes the agent nothing: whoever has taken the agent over can make it run what would be
 * run anyway, and no more. It ends when the agent does: the request socket then ends (no other process has the other
 * side: it is close-on-exec) and, where the kernel has it, the descriptor of the agent's process becomes readable, also
 * if it happened before we look. PR_SET_PDEATHSIG would not do: we are not the agent's child. */
#include "base/command_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define HELPER_NAME "carnotd-helper" /* at most 15 characters, which are what the kernel keeps */

/* The helper is two forks away; more than that is a machine that stands still. */
#define START_WAIT_NS (10 * NS_PER_SEC)

/* How long nobody may take an answer before it is dropped. */
#define TAKE_WAIT_NS (10 * NS_PER_SEC)

/* With nothing to do. */
#define IDLE_WAIT_NS (3600 * NS_PER_SEC)

/* So many requests at once, then whoever runs is looked after. */
#define REQUESTS_PER_TURN COMMANDS_MAX

/* A message may bring so many descriptors in the room for one: alignment leaves room for a second. */
#define PASSED_MAX 4

enum job_state { JOB_NONE, JOB_RUNNING, JOB_ANSWERING, JOB_LEFT };

/* What is under way for one number. */
struct job {
    enum job_state state;
    int reply_fd; /* running and answering */
    struct command_answer_head head;
    size_t sent;
    uint64_t until_ns; /* answering: then dropped */
};

enum { POLL_REQUESTS, POLL_AGENT, POLL_JOBS };
#define POLLS_PER_JOB (COMMAND_FDS + 1)

struct helper {
    struct commands *commands;
    int request_fd, agent_fd;
    struct job jobs[COMMANDS_MAX];
    struct pollfd polls[POLL_JOBS + COMMANDS_MAX * POLLS_PER_JOB];
};

/* The first message, from us. */
struct ready {
    int32_t result; /* 0 or -errno */
    int32_t pid;
};

/* --- answers ------------------------------------------------------------------------------------------------------ */

static struct command_run *run_of(const struct helper *helper, unsigned number)
{
    return &helper->commands->slots[number].run;
}

static void drop_job(struct helper *helper, unsigned number)
{
    struct job *job = &helper->jobs[number];

    cleanup_closep(&job->reply_fd);
    *job = (struct job){.state = command_run_is_left(run_of(helper, number)) ? JOB_LEFT : JOB_NONE, .reply_fd = -1};
}

/* Sends what the socket takes now. */
static void answer(struct helper *helper, unsigned number, uint64_t now_ns)
{
    struct job *job = &helper->jobs[number];
    const struct command_run *run = run_of(helper, number);
    size_t of_head = min_size(job->sent, sizeof(job->head)), of_output = job->sent - of_head;
    struct iovec parts[] = {
        {.iov_base = (char *)&job->head + of_head, .iov_len = sizeof(job->head) - of_head},
        {.iov_base = run->output.data + of_output, .iov_len = job->head.output_len - of_output},
    };
    /* Without output there is no second part, and data may be NULL. */
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = job->head.output_len ? 2 : 1};
    ssize_t n = sendmsg(job->reply_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (now_ns >= job->until_ns)
            drop_job(helper, number);
        return;
    }
    if (n > 0)
        job->sent += (size_t)n;
    if (n < 0 || job->sent == sizeof(job->head) + job->head.output_len)
        drop_job(helper, number);
}

static void fill_head(struct command_answer_head *head, int result, const struct command_end *end,
                      const struct carnot_err *err, size_t output_len)
{
    *head = (struct command_answer_head){.magic = COMMAND_ANSWER_MAGIC, .result = result};
    if (result < 0) {
        memcpy(head->message, err->msg, sizeof(head->message));
    } else {
        head->status = end->status;
        head->output_len = (uint32_t)output_len;
        memcpy(head->error, end->error, sizeof(head->error));
    }
}

static void begin_answer(struct helper *helper, unsigned number, int begun, struct carnot_err *err, uint64_t now_ns)
{
    struct job *job = &helper->jobs[number];
    const struct command_run *run = run_of(helper, number);
    struct command_end end;
    int r = begun < 0 ? begun : command_run_result(run, &end, err);

    fill_head(&job->head, r, &end, err, run->output.len);
    job->state = JOB_ANSWERING;
    job->sent = 0;
    job->until_ns = now_ns + TAKE_WAIT_NS;
    answer(helper, number, now_ns);
}

/* Says no at once, or not at all. */
static void refuse(int reply_fd, int result, const char *why)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct command_answer_head head;
    ssize_t n MAYBE_UNUSED;

    carnot_err_set(&err, result, "%s", why);
    fill_head(&head, result, NULL, &err, 0);
    n = send(reply_fd, &head, sizeof(head), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void begin_job(struct helper *helper, unsigned number, int *reply_fd, uint64_t now_ns)
{
    struct job *job = &helper->jobs[number];
    struct carnot_err err = CARNOT_ERR_INIT;

    /* One that was left behind is explained by the run itself. */
    if (job->state == JOB_RUNNING || job->state == JOB_ANSWERING) {
        refuse(*reply_fd, -EBUSY, "the command is being run for somebody else who has not waited for it; try again");
        return;
    }
    int r = command_run_begin(run_of(helper, number), helper->commands->null_fd, &err);
    job->state = JOB_RUNNING;
    job->reply_fd = TAKE_FD(*reply_fd);
    if (r < 0)
        begin_answer(helper, number, r, &err, now_ns);
}

/* The descriptor that came along; -1 when there is none or more than one. */
static int take_passed(struct msghdr *msg)
{
    int passed[PASSED_MAX];
    size_t n = 0;

    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        size_t len = cmsg->cmsg_len - CMSG_LEN(0);

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; at + sizeof(int) <= len && n < PASSED_MAX; at += sizeof(int))
            memcpy(&passed[n++], CMSG_DATA(cmsg) + at, sizeof(int));
    }
    if (n == 1 && !(msg->msg_flags & MSG_CTRUNC))
        return passed[0];
    while (n > 0)
        close(passed[--n]);
    return -1;
}

/* 1: there was one; 0: none now; -EPIPE: there will be none any more. */
static int take_request(struct helper *helper, uint64_t now_ns)
{
    struct command_request request;
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {.iov_base = &request, .iov_len = sizeof(request)};
    struct msghdr msg = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.room)};
    ssize_t n = recvmsg(helper->request_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (n == 0)
        return -EPIPE;

    _cleanup_close_ int reply_fd = take_passed(&msg);
    if (reply_fd < 0)
        return 1;
    if (n != sizeof(request) || msg.msg_flags & MSG_TRUNC || request.magic != COMMAND_REQUEST_MAGIC)
        refuse(reply_fd, -EPROTO, "carnotd-helper was sent something other than a request");
    else if (request.number >= helper->commands->n)
        refuse(reply_fd, -EINVAL, "carnotd-helper knows no command of that number");
    else
        begin_job(helper, request.number, &reply_fd, now_ns);
    return 1;
}

static int take_requests(struct helper *helper, uint64_t now_ns)
{
    int r = 1;

    for (unsigned i = 0; i < REQUESTS_PER_TURN && r > 0; i++)
        r = take_request(helper, now_ns);
    return r;
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static void step_job(struct helper *helper, unsigned number, uint64_t now_ns)
{
    struct job *job = &helper->jobs[number];
    struct carnot_err err = CARNOT_ERR_INIT;

    if (job->state == JOB_RUNNING) {
        if (command_run_step(run_of(helper, number), now_ns))
            begin_answer(helper, number, 0, &err, now_ns);
        return;
    }
    bool left = command_run_is_left(run_of(helper, number)); /* waits for one that has ended meanwhile */
    if (job->state == JOB_ANSWERING)
        answer(helper, number, now_ns);
    else if (!left)
        job->state = JOB_NONE;
}

static bool is_ours(const struct helper *helper, pid_t pid)
{
    for (unsigned i = 0; i < helper->commands->n; i++)
        if (run_of(helper, i)->pid == pid)
            return true;
    return false;
}

/* Whom commands left behind are ours to wait for (we are their subreaper): where carnotd is process 1 nobody else
 * would. Those that are runs are waited for by their steps. */
static void reap_orphans(const struct helper *helper)
{
    siginfo_t info = {0};

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0) {
        if (is_ours(helper, info.si_pid))
            return; /* its step is next, and SIGCHLD or its descriptor wakes us for those after it */
        waitpid(info.si_pid, NULL, 0);
        info.si_pid = 0;
    }
}

/* What to wait for; returns until when. */
static uint64_t watch(struct helper *helper, uint64_t now_ns)
{
    uint64_t until_ns = now_ns + IDLE_WAIT_NS;

    helper->polls[POLL_REQUESTS] = (struct pollfd){.fd = helper->request_fd, .events = POLLIN};
    helper->polls[POLL_AGENT] = (struct pollfd){.fd = helper->agent_fd, .events = POLLIN};
    for (unsigned i = 0; i < helper->commands->n; i++) {
        struct pollfd *polls = &helper->polls[POLL_JOBS + i * POLLS_PER_JOB];
        const struct job *job = &helper->jobs[i];

        /* Of a run that is over only its process may be left, of one that was never begun nothing. */
        command_run_watch(run_of(helper, i), polls);
        polls[COMMAND_FDS] = (struct pollfd){.fd = job->state == JOB_ANSWERING ? job->reply_fd : -1, .events = POLLOUT};
        if (job->state == JOB_RUNNING)
            until_ns = min_u64(until_ns, command_run_wake_ns(run_of(helper, i), now_ns));
        if (job->state == JOB_ANSWERING)
            until_ns = min_u64(until_ns, job->until_ns);
    }
    return until_ns;
}

static void serve(struct helper *helper)
{
    size_t n_polls = POLL_JOBS + helper->commands->n * POLLS_PER_JOB;
    sigset_t none;

    sigemptyset(&none); /* SIGCHLD comes in while we wait, and only then */
    for (;;) {
        uint64_t until_ns = watch(helper, command_now_ns()), now_ns;
        int r = command_wait(helper->polls, n_polls, until_ns, &none);

        now_ns = command_now_ns();
        if (r > 0 && helper->polls[POLL_AGENT].revents)
            return;
        for (unsigned i = 0; i < helper->commands->n; i++)
            step_job(helper, i, now_ns);
        reap_orphans(helper);
        if (r > 0 && helper->polls[POLL_REQUESTS].revents && take_requests(helper, now_ns) < 0)
            return;
    }
}

/* --- birth and death ---------------------------------------------------------------------------------------------- */

static void on_child(int sig)
{
    /* Ends the wait. */
}

/* The agent tells us when to end: a signal to all processes of the service, or of the terminal, is for the agent. */
static void set_signals(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
    const struct sigaction ignore = {.sa_handler = SIG_IGN}, wake = {.sa_handler = on_child};
    sigset_t child;

    command_reset_signals();
    for (size_t i = 0; i < ELEMENTSOF(ignored); i++)
        sigaction(ignored[i], &ignore, NULL);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    sigaction(SIGCHLD, &wake, NULL);
}

static int compare_fds(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int settle(const struct helper *helper)
{
    int keep[] = {STDIN_FILENO,       STDOUT_FILENO,   STDERR_FILENO, helper->commands->null_fd,
                  helper->request_fd, helper->agent_fd};

    set_signals();
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (dup2(helper->commands->null_fd, fd) < 0)
            return -errno;
    qsort(keep, ELEMENTSOF(keep), sizeof(*keep), compare_fds); /* an agent_fd of -1 comes first and is passed over */
    command_close_others(keep, ELEMENTSOF(keep));
    umask(0077);
    if (chdir("/") < 0 || prctl(PR_SET_NAME, HELPER_NAME, 0, 0, 0) < 0 ||
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    return command_give_up_rights();
}

static bool send_ready(int fd, int result)
{
    struct ready ready = {.result = result, .pid = getpid()};

    return send(fd, &ready, sizeof(ready), MSG_NOSIGNAL) == (ssize_t)sizeof(ready);
}

/* Runs of the time before are the agent's: their processes are not our children, their descriptors not open here. */
static void forget_runs(struct helper *helper)
{
    for (unsigned i = 0; i < helper->commands->n; i++) {
        struct command_run *run = run_of(helper, i);

        buf_done(&run->output);
        command_run_init(run, run->command);
    }
    for (size_t i = 0; i < COMMANDS_MAX; i++)
        helper->jobs[i].reply_fd = -1;
}

static _Noreturn void live(struct commands *commands, int request_fd, int agent_fd)
{
    struct helper helper = {.commands = commands, .request_fd = request_fd, .agent_fd = agent_fd};
    int r;

    forget_runs(&helper);
    r = settle(&helper);
    if (send_ready(request_fd, r) && r >= 0)
        serve(&helper);
    for (unsigned i = 0; i < commands->n; i++)
        command_run_done(run_of(&helper, i));
    _exit(0);
}

/* A session of its own, and a parent that has ended: the helper has no terminal and is nobody's child. */
static _Noreturn void fork_again(struct commands *commands, int request_fd, int agent_fd)
{
    pid_t pid;

    setsid();
    pid = fork();
    if (pid == 0)
        live(commands, request_fd, agent_fd);
    if (pid < 0)
        send_ready(request_fd, -errno);
    _exit(0);
}

static int fork_helper(struct commands *commands, int request_fd)
{
    _cleanup_close_ int agent_fd = (int)syscall(SYS_pidfd_open, getpid(), 0); /* -1: Linux before 5.3 */
    sigset_t all, before;
    int reaper = 0, r = command_fd_raise(&agent_fd);
    pid_t pid;

    if (r < 0)
        return r;
    /* An orphan goes to the nearest subreaper: for this moment not to us. */
    prctl(PR_GET_CHILD_SUBREAPER, &reaper, 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        fork_again(commands, request_fd, agent_fd);
    r = pid < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    prctl(PR_SET_CHILD_SUBREAPER, reaper, 0, 0, 0);
    return r;
}

static int await_ready(int fd, pid_t *ret_pid)
{
    struct pollfd first = {.fd = fd, .events = POLLIN};
    uint64_t until_ns = command_now_ns() + START_WAIT_NS;
    struct ready ready;
    int r;

    do
        r = command_wait(&first, 1, until_ns, NULL);
    while (r == -EINTR);
    if (r == 0)
        return -ETIMEDOUT;
    ssize_t n = recv(fd, &ready, sizeof(ready), MSG_DONTWAIT);
    if (n != (ssize_t)sizeof(ready))
        return n < 0 ? -errno : -EPIPE;
    if (ready.result < 0)
        return ready.result;
    *ret_pid = ready.pid;
    return 0;
}

int commands_start_helper(struct commands *commands, struct carnot_err *err)
{
    int ends[2], r;

    if (commands->helper_fd >= 0)
        return carnot_err_set(err, EBUSY, "the helper that runs commands has been started before");
    commands->closed = true;
    if (commands->n == 0)
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return carnot_err_errno(err, errno, "cannot make a socket for the helper that runs commands");

    _cleanup_close_ int ours = ends[0];
    _cleanup_close_ int theirs = ends[1];
    r = command_fd_raise(&ours);
    if (r >= 0)
        r = command_fd_raise(&theirs);
    if (r >= 0)
        r = fork_helper(commands, theirs);
    cleanup_closep(&theirs);
    theirs = -1;
    if (r >= 0)
        r = await_ready(ours, &commands->helper_pid);
    if (r < 0)
        return carnot_err_errno(err, r, "cannot start the helper that runs commands");
    commands->helper_fd = TAKE_FD(ours);
    return 0;
}
