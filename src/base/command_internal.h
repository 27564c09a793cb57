/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of commands: one command, one run of it, an answer of the helper. Internal to base. */
#ifndef CARNOT_BASE_COMMAND_INTERNAL_H
#define CARNOT_BASE_COMMAND_INTERNAL_H

#include <poll.h>
#include <pthread.h>

#include "base/commands.h"
#include "base/parse.h"

#define COMMAND_PATH "/usr/sbin:/usr/bin:/sbin:/bin" /* where programs are looked up, and their own PATH */

/* --- a command of the set ----------------------------------------------------------------------------------------- */

struct command {
    char *path;  /* absolute, without symbolic links */
    char **argv; /* [0] as it was given; ends with NULL */
    struct command_limits limits;
};

/* --- a run (command_run.c) ---------------------------------------------------------------------------------------- */

/* How long the kernel may take to end what was killed. It is done within milliseconds, or hangs in a driver. */
#define COMMAND_KILL_WAIT_NS (1 * NS_PER_SEC)

/* The most that is read of standard error, and so much of it is kept to find its first line. */
#define COMMAND_ERROR_OUTPUT_MAX 65536
#define COMMAND_ERROR_KEPT       4096

enum command_fd { COMMAND_FD_EXEC, COMMAND_FD_OUTPUT, COMMAND_FD_ERROR, COMMAND_FD_PROCESS, COMMAND_FDS };

struct command_run {
    const struct command *command;
    pid_t pid;            /* > 0: not waited for so far */
    int fds[COMMAND_FDS]; /* -1: closed, or the kernel has none */
    bool killed;
    uint64_t until_ns; /* then it is killed; once killed, left behind */
    int result;        /* 0, or what ended it early */
    bool not_executed; /* that was execve() */
    int status;
    size_t error_seen, error_kept;
    char error[COMMAND_ERROR_KEPT];
    struct buf output;
};

void command_run_init(struct command_run *run, const struct command *command); /* which stays the caller's */
void command_run_done(struct command_run *run);                                /* kills what runs */

/* Starts it. -EBUSY: the last run was left behind and is still there. */
int command_run_begin(struct command_run *run, int null_fd, struct carnot_err *err);
/* What to wait for, [COMMAND_FDS], and until when at the latest. */
void command_run_watch(const struct command_run *run, struct pollfd *out);
uint64_t command_run_wake_ns(const struct command_run *run, uint64_t now_ns);
/* Takes what has come. True when the run is over. */
bool command_run_step(struct command_run *run, uint64_t now_ns);
/* The next step kills it: -ECANCELED. */
void command_run_cancel(struct command_run *run);
/* How it went, once over. The output is in run->output. */
int command_run_result(const struct command_run *run, struct command_end *ret_end, struct carnot_err *err);
/* Whether a run that is over still has its process, left behind; waits for it if that can be done at once. */
bool command_run_is_left(struct command_run *run);

/* First non-empty line of what was said on standard error, in printable ASCII. */
void command_first_line(struct text said, char out[COMMAND_ERROR_MAX]);

/* For a process just forked, with system calls only. */
void command_reset_signals(void);
int command_give_up_rights(void);                          /* 0 or -errno */
void command_close_others(const int *keep, size_t n_keep); /* all descriptors but these, which ascend */

/* Moves a descriptor out of the way of standard input, output and error. 0 or -errno. */
int command_fd_raise(int *fd);

/* Waits for descriptors until a time of the monotonic clock. The count of those ready, 0, or -errno. */
int command_wait(struct pollfd *fds, size_t n, uint64_t until_ns, const sigset_t *signals);
uint64_t command_now_ns(void);

/* --- the helper (command_helper.c) -------------------------------------------------------------------------------- */

#define COMMAND_REQUEST_MAGIC 0x43524551U /* "CREQ" */
#define COMMAND_ANSWER_MAGIC  0x43414e53U /* "CANS" */

/* How long an answer may take beside the run itself: a busy machine, a large output. */
#define COMMAND_ANSWER_WAIT_NS (3 * NS_PER_SEC)

/* Both sides are one program: host byte order. A socket for the answer goes with it. */
struct command_request {
    uint32_t magic;
    uint32_t number;
};

/* Then output_len bytes of output, then the end of the stream. */
struct command_answer_head {
    uint32_t magic;
    int32_t result; /* 0 or -errno */
    int32_t status;
    uint32_t output_len;
    char error[COMMAND_ERROR_MAX];    /* NUL-terminated, printable */
    char message[CARNOT_ERR_MSG_MAX]; /* NUL-terminated, of a result below 0 */
};

struct command_answer {
    int result;
    struct command_end end;
    char message[CARNOT_ERR_MSG_MAX];
    struct text output; /* within the text that was parsed */
};

/* -ENODATA: cut short; -EPROTO: no answer of ours; -E2BIG: more output than allowed. */
int command_answer_parse(struct text answer, size_t output_max, struct command_answer *ret_answer);

/* --- the set (commands.c) ----------------------------------------------------------------------------------------- */

struct command_slot {
    struct command command;
    pthread_mutex_t turn;   /* one run of it at a time; for all below */
    struct command_run run; /* without a helper, and in the helper */
    struct buf answer;      /* of the helper */
};

struct commands {
    pthread_mutex_t lock; /* for the four below */
    unsigned n;
    bool closed, stopping;
    unsigned n_running;       /* callers in commands_run() */
    pthread_cond_t none_runs; /* n_running has become 0 */
    int stop_fd;              /* readable when stopping */
    int null_fd;              /* /dev/null */
    int helper_fd;            /* requests; -1: no helper */
    pid_t helper_pid;
    struct command_slot slots[COMMANDS_MAX];
};

#endif
