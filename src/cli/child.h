/* SPDX-License-Identifier: Apache-2.0 */
/* One command run as a shell would run it: same terminal, same process group, same signals; its status and every
 * descendant's CPU time come back. Knows processes and signals, no energy. */
#ifndef CARNOT_CLI_CHILD_H
#define CARNOT_CLI_CHILD_H

#include <signal.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/fsroot.h"

struct child {
    pid_t pid;
    bool ended;
    int status;        /* of waitpid, when ended */
    uint64_t ended_ns; /* by the clock given to child_on_signal */
    int stop_signal;   /* SIGINT, SIGQUIT, SIGTERM or SIGHUP that arrived here meanwhile; 0: none */
};

/* The signals that carnot takes through a descriptor while the command runs. */
struct child_signals {
    int fd;          /* signalfd, readable when one is there */
    sigset_t before; /* the mask that the command gets back */
};

/* Blocks the signals, opens the descriptor, makes this process the reaper of orphaned descendants. */
int child_signals_open(struct child_signals *signals, struct carnot_err *err);
void child_signals_close(struct child_signals *signals);

/* Forks and executes argv by PATH. -ENOENT (shells: 127) or -EACCES and others (126) with a sentence when it cannot be
 * executed. */
int child_start(char *const *argv, const struct child_signals *signals, struct child *ret_child,
                struct carnot_err *err);

/* The status that a shell gives for such a failure. */
int child_start_status(int r);

/* Takes everything that the descriptor has: hands signals on, reaps. Sees the end of the command in child->ended. */
void child_on_signal(struct child *child, const struct child_signals *signals, struct carnot_clock *clock);

/* The status a shell would give: the command's own, or 128 + signal. */
int child_exit_status(int status);

/* Descendants of this process that are alive. 0 when there are none. */
uint64_t child_count_left(const struct carnot_env *env);

#endif
