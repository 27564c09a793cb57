/* SPDX-License-Identifier: Apache-2.0 */
/* The domains' counters for who reads energy rather than attributes it: as carbon-ops' governor answers, and as our own
 * protocol does (docs/PROTOCOL.md). Pure: what may be shown to whom is decided before. */
#ifndef CARNOT_SINKS_GOVERNOR_H
#define CARNOT_SINKS_GOVERNOR_H

#include "base/buf.h"
#include "meter/meter.h"

/* One line without its newline, keys in the order of the legacy protocol, ours behind them. totals_uj and deltas_uj
 * have every domain; counters_uj those that add up to the processors and their memory with nothing twice, since its
 * readers sum over it and add GPUs themselves. 0 or buf_error. */
int governor_write_legacy(const struct meter_counters *counters, const char *epoch, struct buf *out);

/* Answer to a legacy request before the first window. */
int governor_write_warming_up(struct buf *out);

struct governor_run {
    const char *epoch, *boot; /* of this run of the program; id of this boot, "" unknown */
};

/* The answer to {"v":1,"op":"counters"}. */
int governor_write_counters(const struct meter_counters *counters, const struct governor_run *run, struct buf *out);

#endif
