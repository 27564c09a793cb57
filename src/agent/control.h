/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's side of docs/PROTOCOL.md: who asks, what they may see, sessions. Runs on the agent's loop. */
#ifndef CARNOT_AGENT_CONTROL_H
#define CARNOT_AGENT_CONTROL_H

#include <systemd/sd-event.h>

#include "agent/settings.h"

struct control;

int control_start(sd_event *loop, const struct agent_settings *settings, const struct carnot_env *env,
                  struct meter *meter, struct control **ret_control, struct carnot_err *err);
struct control *control_stop(struct control *control); /* NULL-safe, returns NULL */

/* Says in the log where it listens, and what is not as asked. */
void control_log(const struct control *control);

/* A new batch was sealed: moves the slot grid on and answers who waits for it. */
void control_tick(struct control *control);

#endif
