/* SPDX-License-Identifier: Apache-2.0 */
/* One run of one command: from fork to the last byte. Knows processes, pipes and time; refuses to know who asked.
 *
 * A run is stepped, never waited for in here, so that one thread can have many under way: the helper does. It is over
 * when the program has ended, not when its pipes have: what it wrote is in them by then, and who else holds them is
 * nobody's business. */
#include "base/command_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define READ_CHUNK 16384

/* Without a descriptor of the process (Linux before 5.3) its end is looked for so often. */
#define LOOK_INTERVAL_NS (10 * NS_PER_MS)

#define STATUS_NOT_EXECUTED 127 /* as shells say it; nobody sees it, the pipe tells */

static char *const environment[] = {(char[]){"PATH=" COMMAND_PATH}, (char[]){"LC_ALL=C"}, NULL};

/* --- small tools -------------------------------------------------------------------------------------------------- */

uint64_t command_now_ns(void)
{
    /* Of real processes, whatever clock the sources were given. */
    return clock_now(carnot_clock_system()).mono_ns;
}

int command_wait(struct pollfd *fds, size_t n, uint64_t until_ns, const sigset_t *signals)
{
    uint64_t now_ns = command_now_ns();
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_SEC), .tv_nsec = (long)(wait_ns % NS_PER_SEC)};
    int r = ppoll(fds, n, &wait, signals);

    return r < 0 ? -errno : r;
}

int command_fd_raise(int *fd)
{
    int higher;

    if (*fd < 0 || *fd > STDERR_FILENO)
        return 0;
    higher = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (higher < 0)
        return -errno;
    close(*fd);
    *fd = higher;
    return 0;
}

static void close_fd(int *fd)
{
    cleanup_closep(fd);
    *fd = -1;
}

static void close_range_or_each(unsigned first, unsigned last)
{
    struct rlimit limit;

    if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
        return;
    /* Linux before 5.9. Those above a lowered limit are missed; all of ours are close-on-exec besides. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= last)
        last = (unsigned)limit.rlim_cur;
    for (unsigned fd = first; fd <= last && fd <= INT32_MAX; fd++)
        close((int)fd);
}

void command_close_others(const int *keep, size_t n_keep)
{
    unsigned next = 0;

    for (size_t i = 0; i < n_keep; i++) {
        if (keep[i] < 0)
            continue;
        if ((unsigned)keep[i] > next)
            close_range_or_each(next, (unsigned)keep[i] - 1);
        next = (unsigned)keep[i] + 1;
    }
    close_range_or_each(next, UINT32_MAX);
}

void command_reset_signals(void)
{
    const struct sigaction as_usual = {.sa_handler = SIG_DFL};
    sigset_t none;

    /* Handlers would go by themselves at execve(), what is ignored would not. */
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        sigaction(sig, &as_usual, NULL); /* fails for those that cannot be had otherwise */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* No capability is kept, since none is needed. In-band IPMI tools open /dev/ipmi0 (root's, 0600) and talk to it by
 * ioctls that the kernel allows to whoever has it open; nvidia-smi opens /dev/nvidiactl and /dev/nvidia0 likewise. Both
 * do with being root by user id. CAP_SYS_RAWIO would let FreeIPMI and ipmiutil reach a BMC without the kernel's driver,
 * by ports and /dev/mem: the whole machine, for a case that `modprobe ipmi_devintf` mends. CAP_SYS_ADMIN changes
 * settings of GPUs, which nobody here asks for. By no-new-privileges execve() gives none back, not to root either. */
int command_give_up_rights(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    const struct rlimit no_core = {0};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &head, none) < 0 ||
        setrlimit(RLIMIT_CORE, &no_core) < 0)
        return -errno;
    return 0;
}

/* --- the program's side ------------------------------------------------------------------------------------------- */

struct program_fds {
    int input, output, error, exec;
};

/* Between fork() and execve() of a process that may have threads: system calls only. */
static int prepare(const struct program_fds *fds, pid_t parent)
{
    const int keep[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, fds->exec};

    setpgid(0, 0);
    command_reset_signals();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    if (getppid() != parent) /* it ended before it was to be told of */
        return -ESRCH;
    if (dup2(fds->input, STDIN_FILENO) < 0 || dup2(fds->output, STDOUT_FILENO) < 0 ||
        dup2(fds->error, STDERR_FILENO) < 0)
        return -errno;
    command_close_others(keep, ELEMENTSOF(keep));
    umask(0077);
    if (chdir("/") < 0)
        return -errno;
    return command_give_up_rights();
}

static _Noreturn void become(const struct command *command, const struct program_fds *fds, pid_t parent)
{
    int code = -prepare(fds, parent);
    ssize_t n MAYBE_UNUSED;

    if (code == 0) {
        execve(command->path, command->argv, environment);
        code = errno;
    }
    n = write(fds->exec, &code, sizeof(code)); /* whoever could read it is gone, or a pipe has room for four bytes */
    _exit(STATUS_NOT_EXECUTED);
}

static pid_t fork_program(const struct command *command, const struct program_fds *fds)
{
    sigset_t all, before;
    pid_t parent = getpid(), pid;
    int code;

    /* No handler of ours runs in the new process. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        become(command, fds, parent);
    code = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return -code;
    setpgid(pid, pid); /* both sides do, so that it holds for whoever comes first */
    return pid;
}

/* --- begin and end ------------------------------------------------------------------------------------------------ */

static int open_pipe(int *ret_ours, int *ret_theirs)
{
    int ends[2], r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    *ret_ours = ends[0];
    *ret_theirs = ends[1];
    r = command_fd_raise(ret_ours);
    if (r >= 0)
        r = command_fd_raise(ret_theirs);
    if (r >= 0 && fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0)
        r = -errno;
    return r;
}

static void close_all(struct command_run *run)
{
    for (int i = 0; i < COMMAND_FDS; i++)
        close_fd(&run->fds[i]);
}

void command_run_init(struct command_run *run, const struct command *command)
{
    *run = (struct command_run){.command = command, .fds = {-1, -1, -1, -1}};
    buf_init(&run->output, command->limits.output_max);
}

bool command_run_is_left(struct command_run *run)
{
    /* -1: somebody else waited for it. */
    if (run->pid > 0 && waitpid(run->pid, NULL, WNOHANG) != 0)
        run->pid = 0;
    if (run->pid == 0)
        close_fd(&run->fds[COMMAND_FD_PROCESS]);
    return run->pid > 0;
}

static void kill_group(const struct command_run *run)
{
    /* Not waited for, hence its number is nobody else's. */
    kill(-run->pid, SIGKILL);
    kill(run->pid, SIGKILL);
}

void command_run_done(struct command_run *run)
{
    uint64_t until_ns = command_now_ns() + COMMAND_KILL_WAIT_NS;

    if (run->pid > 0)
        kill_group(run);
    while (command_run_is_left(run) && command_now_ns() < until_ns) {
        struct pollfd end = {.fd = run->fds[COMMAND_FD_PROCESS], .events = POLLIN};
        command_wait(&end, 1, end.fd < 0 ? command_now_ns() + LOOK_INTERVAL_NS : until_ns, NULL);
    }
    close_all(run);
    buf_done(&run->output);
}

int command_run_begin(struct command_run *run, int null_fd, struct carnot_err *err)
{
    const struct command *command = run->command;
    struct program_fds fds = {.input = null_fd, .output = -1, .error = -1, .exec = -1};
    pid_t pid = 0;
    int r;

    if (command_run_is_left(run))
        return carnot_err_set(err, EBUSY,
                              "%s was killed when its time was up and still hangs in the kernel (process %d): see the "
                              "kernel's log for the device that it waits for",
                              command->path, (int)run->pid);
    run->killed = run->not_executed = false;
    run->result = run->status = 0;
    run->error_seen = run->error_kept = 0;
    buf_reset(&run->output);

    r = open_pipe(&run->fds[COMMAND_FD_EXEC], &fds.exec);
    if (r >= 0)
        r = open_pipe(&run->fds[COMMAND_FD_OUTPUT], &fds.output);
    if (r >= 0)
        r = open_pipe(&run->fds[COMMAND_FD_ERROR], &fds.error);
    if (r >= 0)
        r = pid = fork_program(command, &fds);
    close_fd(&fds.exec);
    close_fd(&fds.output);
    close_fd(&fds.error);
    if (r < 0) {
        close_all(run);
        return carnot_err_errno(err, r, "cannot start %s", command->path);
    }
    run->pid = pid;
    run->fds[COMMAND_FD_PROCESS] = (int)syscall(SYS_pidfd_open, pid, 0); /* -1: Linux before 5.3 */
    run->until_ns = command_now_ns() + command->limits.timeout_ns;
    return 0;
}

/* --- stepping ----------------------------------------------------------------------------------------------------- */

void command_run_watch(const struct command_run *run, struct pollfd *out)
{
    for (int i = 0; i < COMMAND_FDS; i++)
        out[i] = (struct pollfd){.fd = run->fds[i], .events = POLLIN};
}

uint64_t command_run_wake_ns(const struct command_run *run, uint64_t now_ns)
{
    return run->fds[COMMAND_FD_PROCESS] < 0 ? min_u64(run->until_ns, now_ns + LOOK_INTERVAL_NS) : run->until_ns;
}

/* Looks only: while nobody has waited for it, its number and its group's are taken. */
static bool has_ended(struct command_run *run)
{
    siginfo_t info = {0};

    if (waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
        return info.si_pid == run->pid;
    run->result = -errno; /* ECHILD: somebody else waited for it, and its number may be another's */
    run->pid = 0;
    return true;
}

static void take_output(struct command_run *run, const char *data, size_t len)
{
    buf_append(&run->output, data, len);
    run->result = buf_error(&run->output);
}

static void take_error(struct command_run *run, const char *data, size_t len)
{
    size_t kept = min_size(len, sizeof(run->error) - run->error_kept);

    memcpy(run->error + run->error_kept, data, kept);
    run->error_kept += kept;
    run->error_seen += len;
    if (run->error_seen > COMMAND_ERROR_OUTPUT_MAX)
        run->result = -E2BIG;
}

static void take_exec(struct command_run *run, const char *data, size_t len)
{
    int code;

    if (len != sizeof(code))
        return;
    memcpy(&code, data, sizeof(code));
    run->result = code > 0 ? -code : -EIO;
    run->not_executed = true;
}

/* All that is there now; `most` bounds it against a writer that is faster than we are. */
static void read_pipe(struct command_run *run, int *fd, size_t most,
                      void (*take)(struct command_run *run, const char *data, size_t len))
{
    char chunk[READ_CHUNK];

    while (*fd >= 0 && most > 0 && run->result == 0) {
        ssize_t n = read(*fd, chunk, min_size(most, sizeof(chunk)));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            close_fd(fd);
            return;
        }
        take(run, chunk, (size_t)n);
        most -= (size_t)n;
    }
}

/* After the program's end no more than what is in the pipe already: it may have left somebody who goes on writing. */
static size_t pipe_content(int fd, bool ended)
{
    int n = 0;

    if (!ended)
        return SIZE_MAX;
    return fd >= 0 && ioctl(fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

static void read_pipes(struct command_run *run, bool ended)
{
    int *fds = run->fds;

    read_pipe(run, &fds[COMMAND_FD_EXEC], SIZE_MAX, take_exec);
    read_pipe(run, &fds[COMMAND_FD_OUTPUT], pipe_content(fds[COMMAND_FD_OUTPUT], ended), take_output);
    read_pipe(run, &fds[COMMAND_FD_ERROR], pipe_content(fds[COMMAND_FD_ERROR], ended), take_error);
}

static void finish(struct command_run *run)
{
    if (run->pid > 0)
        waitpid(run->pid, &run->status, WNOHANG);
    run->pid = 0;
    close_all(run);
}

static void kill_early(struct command_run *run, uint64_t now_ns)
{
    kill_group(run);
    run->killed = true;
    run->until_ns = now_ns + COMMAND_KILL_WAIT_NS;
    close_fd(&run->fds[COMMAND_FD_EXEC]);
    close_fd(&run->fds[COMMAND_FD_OUTPUT]);
    close_fd(&run->fds[COMMAND_FD_ERROR]);
}

void command_run_cancel(struct command_run *run)
{
    if (run->result == 0)
        run->result = -ECANCELED;
}

bool command_run_step(struct command_run *run, uint64_t now_ns)
{
    bool ended = has_ended(run);

    if (ended && run->pid > 0)
        kill_group(run); /* whom it left behind */
    read_pipes(run, ended);
    if (ended) {
        finish(run);
        return true;
    }
    if (run->killed)
        return now_ns >= run->until_ns;
    if (run->result == 0 && now_ns >= run->until_ns)
        run->result = -ETIMEDOUT;
    if (run->result < 0)
        kill_early(run, now_ns);
    return false;
}

/* --- what came of it ---------------------------------------------------------------------------------------------- */

void command_first_line(struct text said, char out[COMMAND_ERROR_MAX])
{
    struct text line = {"", 0};
    size_t n;

    while (scan_line(&said, &line)) {
        line = text_trim(line);
        if (line.n > 0)
            break;
    }
    n = min_size(line.n, COMMAND_ERROR_MAX - 1);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(line.p[i] >= ' ' && line.p[i] <= '~' ? line.p[i] : line.p[i] == '\t' ? ' ' : '?');
    out[n] = '\0';
}

static int explain(const struct command_run *run, const char *said, struct carnot_err *err)
{
    const struct command *command = run->command;
    const char *colon = said[0] ? "; it had said: " : "";

    if (run->not_executed)
        return carnot_err_errno(err, run->result, "cannot execute %s", command->path);
    if (run->result == -ETIMEDOUT)
        return carnot_err_set(err, ETIMEDOUT, "%s did not end within %llu ms and was killed%s%s", command->path,
                              (unsigned long long)(command->limits.timeout_ns / NS_PER_MS), colon, said);
    if (run->result == -E2BIG && run->error_seen > COMMAND_ERROR_OUTPUT_MAX)
        return carnot_err_set(err, E2BIG, "%s was killed for more than %d bytes of error messages; the first: %s",
                              command->path, COMMAND_ERROR_OUTPUT_MAX, said);
    if (run->result == -E2BIG)
        return carnot_err_set(err, E2BIG, "%s printed more than the %zu bytes allowed and was killed%s%s",
                              command->path, command->limits.output_max, colon, said);
    if (run->result == -ECANCELED)
        return carnot_err_set(err, ECANCELED, "%s was killed, since this program stops", command->path);
    if (run->result == -ECHILD)
        return carnot_err_set(err, ECHILD,
                              "how %s ended is not known: this program ignores SIGCHLD, or waits for all its children",
                              command->path);
    return carnot_err_errno(err, run->result, "cannot run %s", command->path);
}

int command_run_result(const struct command_run *run, struct command_end *ret_end, struct carnot_err *err)
{
    struct command_end end = {.status = run->status};

    command_first_line((struct text){run->error, run->error_kept}, end.error);
    if (run->result < 0)
        return explain(run, end.error, err);
    *ret_end = end;
    return 0;
}
