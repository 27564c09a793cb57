/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs run for what they print: ipmitool, nvidia-smi. A closed set of them is named before rights are given
 * up; from then on one can only say "run number 3", and what runs is done by a helper process that kept its rights.
 *
 * No shell, no argument from outside, an absolute path, a minimal environment (PATH, LC_ALL=C), /dev/null as input, "/"
 * as directory, a process group of its own that is killed as a whole when time is up or the program has ended. It keeps
 * our user, and with it the right to open what belongs to that user, but has no capability and can gain none; it does
 * not outlive us. Knows nothing of what the output means. */
#ifndef CARNOT_BASE_COMMANDS_H
#define CARNOT_BASE_COMMANDS_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#define COMMANDS_MAX      16  /* more than all sources together name */
#define COMMAND_ARGS_MAX  24  /* the program's name among them */
#define COMMAND_ERROR_MAX 512 /* of what it says on standard error the first line is kept, so much of it */

/* The most that limits may ask for. A BMC answers within seconds or not at all; nothing that we read is as long. */
#define COMMAND_TIMEOUT_MAX_NS (600 * NS_PER_SEC)
#define COMMAND_OUTPUT_MAX     ((size_t)16 << 20)

struct command_limits {
    uint64_t timeout_ns; /* then its process group is killed */
    size_t output_max;   /* more output than that: killed, -E2BIG */
};

/* How a command ended. */
struct command_end {
    int status;                    /* as of waitpid() */
    char error[COMMAND_ERROR_MAX]; /* first non-empty line of its standard error, printable ASCII; "" */
};

struct commands;

int commands_new(struct commands **ret_commands, struct carnot_err *err);
/* Ends what runs, and the helper. Every commands_run(), under way or to come, gives -ECANCELED at once: to be called
 * before threads that run commands are waited for. From any thread; NULL-safe. */
void commands_stop(struct commands *commands);
/* Stops, and waits for those who are still in commands_run(). NULL-safe, returns NULL. */
struct commands *commands_free(struct commands *commands);

/* Adds a command to the set. argv[0] is an absolute path, or a name looked up now in the fixed list of system
 * directories (not in the user's PATH); argv ends with NULL. Everything is copied. Gives its number; the same command
 * with the same limits added again is the same number. -ENOENT: no such program; -EACCES: it may not be executed;
 * -EPERM: another user than root could change it while we are root; -EINVAL: a relative path, limits out of range;
 * -E2BIG: the set is full or the arguments too many; -EBUSY: the set is closed. */
int commands_add(struct commands *commands, const char *const *argv, const struct command_limits *limits,
                 unsigned *ret_number, struct carnot_err *err);

/* Closes the set and forks the helper, with the rights that we have now; call once, before any thread is started. No
 * helper is made when the set is empty. The helper ends when this process does. It is nobody's child here: a program
 * that waits for all its children, or counts them, does not meet it (unless it is process 1 of a container, to which
 * all orphans go). */
int commands_start_helper(struct commands *commands, struct carnot_err *err);

/* Its process, 0 when there is none. */
pid_t commands_helper_pid(const struct commands *commands);

/* Runs number `number` to its end and appends what it printed on standard output to `out`. Blocks for the command's
 * timeout at most (and some seconds more when the kernel does not end what was killed, or the helper is held up); from
 * any thread, different numbers beside each other (the same one: one after the other). It has ended when the program
 * has, whoever of its children still holds its output. 0 when it ran, whatever its status; -ETIMEDOUT, -E2BIG (of
 * `out` too); -ENOENT, -EACCES, ...: it could not be executed; -EBUSY: its last run was killed and still hangs in the
 * kernel; -EPIPE: the helper is gone; -ECANCELED: stopped; -EINVAL: no such number. Without a helper (a program that
 * keeps its rights, tests) it is run by this process, which then must not wait for children that it does not know, nor
 * ignore SIGCHLD. */
int commands_run(struct commands *commands, unsigned number, struct buf *out, struct command_end *ret_end,
                 struct carnot_err *err);

#endif
