/* SPDX-License-Identifier: Apache-2.0 */
/* Answers with the machine's counters: to clients of carbon-ops' governor, who send "{}" or nothing, and to our own
 * (docs/PROTOCOL.md). Node totals tell what others do, so they are for root and the socket's group alone. */
#ifndef CARNOT_AGENT_GOVERNOR_H
#define CARNOT_AGENT_GOVERNOR_H

#include "agent/settings.h"
#include "sinks/governor.h"

struct governor;

int governor_new(const struct carnot_env *env, const struct meter *meter, const char *epoch,
                 struct governor **ret_governor);
struct governor *governor_free(struct governor *governor); /* NULL-safe, returns NULL */

/* The one line of the legacy protocol. 0, or buf_error. */
int governor_answer_legacy(struct governor *governor, struct buf *answer);
/* {"v":1,"op":"counters"}. -EAGAIN before the first window, buf_error. */
int governor_answer_counters(struct governor *governor, struct buf *answer);

#endif
