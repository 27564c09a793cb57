/* SPDX-License-Identifier: Apache-2.0 */
/* What a person or a test tells the simulated machine: powers, times, and commands. Text only. */
#ifndef CARNOT_SIM_SCRIPT_H
#define CARNOT_SIM_SCRIPT_H

#include "base/err.h"
#include "base/parse.h"
#include "machine.h"

/* "12.5W", "300mW", "7uW", "12.5": exact microwatts. -EINVAL, -ERANGE. */
int sim_parse_power(struct text text, uint64_t *ret_uw);

/* Lines "t_s zone watts", '#' begins a comment. */
int sim_parse_script(struct sim_machine *machine, const char *file, struct text text, struct carnot_err *err);

/* One command: "advance 1s" (only when time is manual), "power ZONE 25W", "fail ZONE EIO|EACCES|...|ok", "vanish ZONE",
 * "restore ZONE", "reset ZONE". */
int sim_command(struct sim_machine *machine, struct text line, bool manual_clock, struct carnot_err *err);

#endif
