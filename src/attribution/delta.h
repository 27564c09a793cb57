/* SPDX-License-Identifier: Apache-2.0 */
/* From raw counter readings to energy: the one place that knows wrap, reset and gap.
 *
 * Invariant: nothing is invented and nothing is lost that could be known. What cannot be known (a reset between two
 * readings, more than one wrap) is not guessed: it is counted. */
#ifndef CARNOT_ATTRIBUTION_DELTA_H
#define CARNOT_ATTRIBUTION_DELTA_H

#include "base/util.h"

enum delta_kind {
    DELTA_FIRST,   /* no baseline yet: 0 uJ */
    DELTA_FORWARD, /* ordinary */
    DELTA_WRAPPED, /* passed its modulus once; counted right */
    DELTA_RESET,   /* went back to 0: 0 uJ given, baseline taken anew */
    DELTA_GAP, /* so long since the last reading that it may have wrapped unseen: the difference is a lower bound, given
                  and counted */
    DELTA_ABSURD, /* more than the domain could draw in that time: 0 uJ given, baseline taken anew */
};

struct delta {
    uint64_t last_uj;
    uint64_t last_ns;
    bool primed;
    uint64_t total_uj; /* sum of all differences given */
    uint64_t wraps, resets, gaps, absurd;
};

/* Takes a reading at time now_ns (monotonic, not before the last). modulus_uj 0: the counter is not known to wrap, a
 * step back is a reset. max_uw: most the domain can draw (0: 10 kW is assumed); a step back is a wrap when the wrapped
 * difference is within max_uw x time x 2 + 10 J, else a reset. Returns the kind; *ret_uj gets the energy since the last
 * reading. */
enum delta_kind delta_step(struct delta *delta, uint64_t counter_uj, uint64_t modulus_uj, uint64_t max_uw,
                           uint64_t now_ns, uint64_t *ret_uj);

/* Forgets the baseline (suspend, re-opened source), keeps the total; counted as a gap when it was primed. */
void delta_rebase(struct delta *delta);

#endif
