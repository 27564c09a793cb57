/* SPDX-License-Identifier: Apache-2.0 */
/* Energy of something that only tells its power: readings of microwatts become a counter of whole microjoules. Knows
 * arithmetic and time; refuses to know files, hardware or what a plausible power is.
 *
 * The counter never goes back and does not wrap in practice (quantity.h). What is below a microjoule is carried, so
 * that any number of short steps gives what one long step gives. */
#ifndef CARNOT_SOURCES_POWER_INTEGRAL_H
#define CARNOT_SOURCES_POWER_INTEGRAL_H

#include "base/util.h"

enum power_rule {
    POWER_TRAPEZOID, /* (P0 + P1) / 2 * dt: a value of this moment, or a mean over about as long as readings lie apart
                      */
    POWER_PREVIOUS,  /* P0 * dt: a value that the device holds until it tells the next */
};

enum power_step {
    POWER_FIRST, /* no earlier reading: 0 uJ */
    POWER_ADDED, /* ordinary */
    POWER_GAP,   /* further apart than allowed: 0 uJ for the time between, counted */
    POWER_BACK,  /* not later than the last: 0 uJ; of the same moment, the new power replaces the old one */
};

struct power_integral {
    enum power_rule rule;
    uint64_t max_gap_ns;
    uint64_t uj;     /* the counter */
    uint64_t rest;   /* what is not yet a microjoule, in halves of uW * ns: below 2e9 */
    uint64_t gaps;   /* how often the time between two readings was left out */
    uint64_t gap_ns; /* and how much time that was */
    uint64_t last_uw, last_ns;
    bool primed;
};

/* max_gap_ns > 0: beyond it nobody knows what was drawn, and nothing is invented. */
void power_integral_init(struct power_integral *integral, enum power_rule rule, uint64_t max_gap_ns);

/* Takes power_uw at monotonic time now_ns. Exact: for a power that is constant between readings `uj` is floor(P * t /
 * 1e9) of the whole time; for one that is linear between them the trapezoid is. */
enum power_step power_integral_add(struct power_integral *integral, uint64_t power_uw, uint64_t now_ns);

/* Forgets the last reading (a suspend), keeps the counter; a gap when there was one. */
void power_integral_reset(struct power_integral *integral);

#endif
