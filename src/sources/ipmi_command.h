/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's power from what other programs print of its BMC, run through base/commands.h. */
#ifndef CARNOT_SOURCES_IPMI_COMMAND_H
#define CARNOT_SOURCES_IPMI_COMMAND_H

#include "base/buf.h"
#include "base/fsroot.h"
#include "sources/ipmi.h"
#include "sources/ipmi_msg.h"

/* ipmitool over a network needs a second or two; a read must end before ENERGY_CLOSE_WAIT_NS (meter/energy.h). */
#define IPMI_COMMAND_TIMEOUT_NS (5 * NS_PER_SEC)
#define IPMI_COMMAND_OUTPUT_MAX 65536 /* they print some twenty lines */

struct ipmi_command;

/* The user's own mistakes: -EINVAL; a password file that others can read: -EACCES. Runs nothing. */
int ipmi_command_check(const struct carnot_env *env, enum ipmi_way way, const struct ipmi_settings *settings,
                       struct carnot_err *err);

/* `way`: IPMI_FREEIPMI to IPMI_CAPMC. Adds the program to env->commands and runs it once: it must tell a power, or fail
 * in a way that may pass. -ENOENT: no such program; -ENODEV: no commands in this program. */
int ipmi_command_open(const struct carnot_env *env, enum ipmi_way way, const struct ipmi_settings *settings,
                      struct ipmi_command **ret_command, struct carnot_err *err);

/* -ENODATA: not measuring just now. */
int ipmi_command_ask(struct ipmi_command *command, struct ipmi_power *ret, struct carnot_err *err);

void ipmi_command_describe(const struct ipmi_command *command, struct buf *out);
struct ipmi_command *ipmi_command_close(struct ipmi_command *command); /* NULL-safe, returns NULL */

#endif
