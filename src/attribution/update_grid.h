/* SPDX-License-Identifier: Apache-2.0 */
/* Power from a counter that is updated on a grid of its own, about as often as it is read.
 *
 * Between two updates the counter stands still, so energy over the time between two *readings* would give 0 W, then
 * twice the power. Here a power is the energy between two readings that showed a change over the time between those
 * two, no shorter than a span chosen by the caller. An update lies at most b before the reading that showed it, b being
 * the shorter of reading interval and update interval, so the error is below b / span (docs/METHODS.md, "Bursts"). */
#ifndef CARNOT_ATTRIBUTION_UPDATE_GRID_H
#define CARNOT_ATTRIBUTION_UPDATE_GRID_H

#include "base/util.h"

/* Changes remembered: a span of a second at 1000 readings a second. Where more fall into a span, it is shorter. */
#define UPDATE_GRID_KEPT 1024

struct update_grid {
    uint64_t span_ns; /* a power is never taken over less; 0: from each change to the next */
    bool continuous;  /* the counter is up to date at each reading: the first one is a change, too */
    bool primed;      /* there is a reading */
    uint64_t last_uj; /* of the last reading */
    size_t first, n;  /* remembered changes: ring positions */
    struct {
        uint64_t t_ns, energy_uj;
    } changes[UPDATE_GRID_KEPT];
};

struct update_step {
    bool changed; /* the counter moved since the reading before */
    bool has_power;
    uint64_t power_uw; /* mean from from_ns to this reading */
    uint64_t from_ns;
    uint64_t since_ns; /* with a power: when the change before this one was seen; a plot is drawn from there */
};

void update_grid_init(struct update_grid *grid, uint64_t span_ns, bool continuous);

/* Takes the counter's total (never going back) at a time (never going back). */
void update_grid_step(struct update_grid *grid, uint64_t t_ns, uint64_t energy_uj, struct update_step *ret_step);

/* Energy was lost before the next reading (reset, gap): no power is taken across. */
void update_grid_break(struct update_grid *grid);

/* The span that keeps the error below a quarter: four times the shorter of both intervals. */
uint64_t update_grid_span_ns(uint64_t reading_interval_ns, uint64_t update_interval_ns);

#endif
