/* SPDX-License-Identifier: Apache-2.0 */
/* One command, see child.h. The command stays in our process group, so that the terminal's own signals (^C, ^\, ^Z, a
 * new size) reach it as if it had been started directly; those that somebody sends to us alone are handed on. */
#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/parse.h"

#define EXIT_NOT_FOUND      127 /* as shells say it */
#define EXIT_NOT_EXECUTABLE 126

static const int taken_signals[] = {SIGINT,  SIGQUIT,  SIGTERM, SIGHUP,  SIGUSR1,
                                    SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT, SIGCHLD};

int child_signals_open(struct child_signals *signals, struct carnot_err *err)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTSOF(taken_signals); i++)
        sigaddset(&set, taken_signals[i]);
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->fd < 0)
        return carnot_err_errno(err, errno, "cannot make a signal descriptor");
    sigprocmask(SIG_BLOCK, &set, &signals->before);
    /* Descendants that lose their parent become our children: they are counted and reaped here. */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    return 0;
}

void child_signals_close(struct child_signals *signals)
{
    close(signals->fd);
    signals->fd = -1;
    sigprocmask(SIG_SETMASK, &signals->before, NULL);
}

static void exec_or_tell(char *const *argv, const struct child_signals *signals, int tell_fd)
{
    sigprocmask(SIG_SETMASK, &signals->before, NULL);
    execvp(argv[0], argv);
    int code = errno;
    while (write(tell_fd, &code, sizeof(code)) < 0 && errno == EINTR)
        ;
    _exit(EXIT_NOT_FOUND);
}

int child_start(char *const *argv, const struct child_signals *signals, struct child *ret_child, struct carnot_err *err)
{
    int tell[2], code = 0;
    ssize_t n;
    pid_t pid;

    if (pipe2(tell, O_CLOEXEC) < 0)
        return carnot_err_errno(err, errno, "cannot make a pipe");
    pid = fork();
    if (pid < 0) {
        code = errno;
        close(tell[0]);
        close(tell[1]);
        return carnot_err_errno(err, code, "cannot start a process");
    }
    if (pid == 0)
        exec_or_tell(argv, signals, tell[1]);
    close(tell[1]);
    /* Closed by a successful exec, written by a failed one. */
    do
        n = read(tell[0], &code, sizeof(code));
    while (n < 0 && errno == EINTR);
    close(tell[0]);
    if (n == (ssize_t)sizeof(code)) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        if (code == ENOENT)
            return carnot_err_set(err, ENOENT, "%.200s: command not found", argv[0]);
        return carnot_err_errno(err, code, "%.200s: cannot execute", argv[0]);
    }
    *ret_child = (struct child){.pid = pid};
    return 0;
}

int child_start_status(int r)
{
    return r == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static void reap(struct child *child, struct carnot_clock *clock)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != child->pid)
            continue; /* an orphan that ended */
        child->ended = true;
        child->status = status;
        child->ended_ns = clock_now(clock).mono_ns;
    }
}

/* Stops ourselves as the terminal wanted, so that the shell takes the terminal back. In an orphaned process group the
 * kernel ignores this, and so it should. */
static void stop_self(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &set, NULL); /* here it is delivered; we go on after SIGCONT */
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void hand_on(struct child *child, const struct signalfd_siginfo *info)
{
    int sig = (int)info->ssi_signo;
    bool from_terminal = info->ssi_code == SI_KERNEL;

    /* The terminal told the whole process group, the command too. */
    if (!from_terminal && !child->ended)
        kill(child->pid, sig);
    if (sig == SIGINT || sig == SIGQUIT || sig == SIGTERM || sig == SIGHUP)
        child->stop_signal = sig;
    if (sig == SIGTSTP)
        stop_self();
}

void child_on_signal(struct child *child, const struct child_signals *signals, struct carnot_clock *clock)
{
    struct signalfd_siginfo info;

    while (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            hand_on(child, &info);
    reap(child, clock); /* whatever came: signals of one kind are merged, ends are not */
}

int child_exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- descendants ---- */

#define PROCESSES_MAX 65536 /* beyond this "many" is said by the number that fits */

struct process {
    uint32_t pid, ppid;
    bool ours;
};

struct process_list {
    const struct carnot_env *env;
    struct process *processes;
    size_t n;
};

static int read_parent(const char *name, unsigned char d_type, void *userdata)
{
    struct process_list *list = userdata;
    char path[64], stat[1024];
    uint64_t pid, ppid;
    struct text rest, state;
    const char *end;

    if (parse_u64(text_of(name), &pid) < 0 || pid > UINT32_MAX || list->n == PROCESSES_MAX)
        return 0;
    snprintf(path, sizeof(path), "%s/stat", name);
    ssize_t len = fsroot_read(&list->env->proc, path, stat, sizeof(stat), NULL);
    if (len < 0)
        return 0;                          /* it has just ended */
    end = memrchr(stat, ')', (size_t)len); /* the name before it may hold anything */
    if (!end)
        return 0;
    rest = (struct text){end + 1, (size_t)(stat + len - end - 1)};
    if (!scan_word(&rest, &state) || text_is(state, "Z") || scan_u64(&rest, &ppid) < 0)
        return 0;
    list->processes[list->n++] = (struct process){.pid = (uint32_t)pid, .ppid = (uint32_t)ppid};
    return 0;
}

uint64_t child_count_left(const struct carnot_env *env)
{
    struct process_list list = {.env = env};
    uint32_t self = (uint32_t)getpid();
    uint64_t count = 0, before;
    siginfo_t info;

    /* Nobody, or only the dead, which a wait takes away: the usual case costs two calls. */
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return 0;
    list.processes = calloc(PROCESSES_MAX, sizeof(*list.processes));
    if (!list.processes || fsroot_list(&env->proc, "", read_parent, &list, NULL) < 0)
        list.n = 0;
    do { /* a generation per round */
        before = count;
        for (size_t i = 0; i < list.n; i++) {
            bool ours = list.processes[i].ppid == self;

            for (size_t j = 0; j < list.n && !ours && count > 0; j++)
                ours = list.processes[j].ours && list.processes[j].pid == list.processes[i].ppid;
            if (ours && !list.processes[i].ours) {
                list.processes[i].ours = true;
                count++;
            }
        }
    } while (count != before);
    free(list.processes);
    return count > 0 ? count : 1; /* the kernel says that there is one */
}
