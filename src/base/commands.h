/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs run for what they print: ipmitool, nvidia-smi. A closed set of them is named before rights are given
 * up; from then on one can only say "run number 3", and what runs is done by a helper process that kept its rights.
 *
 * No shell, no argument from outside, an absolute path, a minimal environment (PATH, LC_ALL=C), /dev/null as input, a
 * process group of its own that is killed as a whole when time is up. Knows nothing of what the output means. */
#ifndef CARNOT_BASE_COMMANDS_H
#define CARNOT_BASE_COMMANDS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

#define COMMANDS_MAX      16 /* more than all sources together name */
#define COMMAND_ARGS_MAX  24
#define COMMAND_ERROR_MAX 512 /* of what it says on standard error the first line is kept, so much of it */

struct command_limits {
    uint64_t timeout_ns; /* then its process group is killed */
    size_t output_max;   /* more output than that: killed, -E2BIG */
};

/* How a command ended. */
struct command_end {
    int status;                    /* as of waitpid() */
    char error[COMMAND_ERROR_MAX]; /* first non-empty line of its standard error, printable; "" */
};

struct commands;

int commands_new(struct commands **ret_commands, struct carnot_err *err);
struct commands *commands_free(struct commands *commands); /* ends the helper too; NULL-safe, returns NULL */

/* Adds a command to the set. argv[0] is an absolute path, or a name looked up now in the fixed list of system
 * directories (not in the user's PATH). Everything is copied. Gives its number. -ENOENT: no such program; -EACCES: it
 * may not be executed; -EPERM: another user than root could change it while we are root; -E2BIG: the set is full or the
 * arguments too many; -EBUSY: the helper has been started and the set is closed. */
int commands_add(struct commands *commands, const char *const *argv, const struct command_limits *limits,
                 unsigned *ret_number, struct carnot_err *err);

/* Forks the helper, with the rights that we have now; call before any thread is started. Does nothing when the set is
 * empty. The helper ends when this process does. */
int commands_start_helper(struct commands *commands, struct carnot_err *err);

/* Runs number `number` to its end and appends what it printed on standard output to `out`. Blocks for the command's
 * timeout at most; from any thread, different numbers beside each other (the same one: one after the other). 0 when it
 * ran, whatever its status; -ETIMEDOUT, -E2BIG; -EPIPE: the helper is gone. Without a helper (a program that keeps its
 * rights, tests) it is run by this process. */
int commands_run(struct commands *commands, unsigned number, struct buf *out, struct command_end *ret_end,
                 struct carnot_err *err);

#endif
