/* SPDX-License-Identifier: Apache-2.0 */
/* carnotd's life: opens the meter, drops privileges, serves, ticks, stops. */
#ifndef CARNOT_AGENT_AGENT_H
#define CARNOT_AGENT_AGENT_H

#include "agent/settings.h"

/* Runs until SIGTERM or SIGINT. 0 after a clean stop, or a negative errno with the sentence; nothing is left behind
 * either way. */
int agent_run(const struct agent_settings *settings, struct carnot_err *err);

#endif
