/* SPDX-License-Identifier: Apache-2.0 */
/* A sealed batch as one line of JSON for the socket and the command line, as one viewer may see it.
 *
 * Administrators see all. An ordinary user sees only units of their own uid, no node totals and no entities, with
 * cumulative energy cut down to whole quanta (the remainder stays in the counter and comes with a later slot, so that
 * billing closes), per DESIGN.md section 8: readings at high rate and resolution leak secrets (PLATYPUS,
 * CVE-2020-8694). Window values for such a viewer are differences of the cut cumulative values. */
#ifndef CARNOT_SINKS_SNAPSHOT_H
#define CARNOT_SINKS_SNAPSHOT_H

#include "base/buf.h"
#include "model/batch.h"

struct viewer {
    bool all;
    uint32_t uid;
    uint64_t quantum_uj; /* for !all; >= 1 */
};

struct snapshot_options {
    unsigned kinds;       /* bit per enum unit_kind; 0: no units */
    const char *op;       /* what the answer calls itself; NULL: "snapshot" */
    const uint32_t *pids; /* processes with one of these pids alone; n_pids 0: all */
    size_t n_pids;
    size_t limit;      /* most units per kind, the ones with most energy in the window first; 0: all, in batch order */
    uint64_t slot_ns;  /* grid of this viewer */
    const char *epoch; /* random id of this run of the program: counters of another epoch do not continue */
};

/* Appends the object without a newline. 0, -ENOMEM, or buf_error(out); after a failure what is in out is of no use.
 * `truncated` counts only units that the viewer may see. */

int snapshot_write(const struct batch *batch, const struct viewer *viewer, const struct snapshot_options *options,
                   struct buf *out);

#endif
