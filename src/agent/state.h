/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the meter's totals over restarts: reads them at the start, saves them at the first window, from time to time
 * and at the stop. A state that cannot be kept is a warning in the log: measuring goes on without. */
#ifndef CARNOT_AGENT_STATE_H
#define CARNOT_AGENT_STATE_H

#include "agent/settings.h"

struct state;

/* While rights are there: takes the file, reads it, gives it to the meter. NULL: none is kept. */
struct state *state_open(const struct agent_settings *settings, const struct carnot_env *env, struct meter *meter);
/* Once rights were given up. */
void state_start(struct state *state);
void state_tick(struct state *state, uint64_t now_ns); /* after each window; `state` may be NULL here and above */
struct state *state_close(struct state *state);        /* saves a last time; NULL-safe, returns NULL */

#endif
