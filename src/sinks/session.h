/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of one session as one line of JSON (docs/PROTOCOL.md): for `carnot run`, by way of the socket or in
 * process. */
#ifndef CARNOT_SINKS_SESSION_H
#define CARNOT_SINKS_SESSION_H

#include "sinks/snapshot.h"

/* `op` is what the answer calls itself. Energy is cut to the viewer's quantum unless the viewer sees all; then node
 * totals of the batch are given too. -ENOENT when the batch has no such session. */
int session_write(const struct batch *batch, const struct viewer *viewer, uint32_t session, const char *op,
                  uint64_t begin_real_ns, struct buf *out);

#endif
