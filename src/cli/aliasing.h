/* SPDX-License-Identifier: Apache-2.0 */
/* What a poller makes of a counter that wraps, and what it ought to: sums over given readings, closed forms, and a
 * simulated counter. Pure: no clock, no file, no text. Formulas in docs/METHODS.md, "Pollers". */
#ifndef CARNOT_CLI_ALIASING_H
#define CARNOT_CLI_ALIASING_H

#include "attribution/delta.h"
#include "cli/plot_series.h"

/* A 64-bit counter of microjoules cut to 32 bits: it wraps every 4294.97 J. */
#define ALIASING_MASK_MODULUS_UJ (1ULL << 32)

/* One that reads the counter now and then and adds differences up. */
struct aliasing_poller {
    uint64_t modulus_uj;
    bool primed;
    uint64_t last_uj;
    uint64_t naive_uj;    /* negative differences dropped */
    uint64_t one_wrap_uj; /* the modulus added to negative differences, once */
    uint64_t polls, dropped;
};

/* A reading; the counter is taken modulo the modulus (0: as it is). Returns the difference that a naive poller shows as
 * energy of this interval. */
uint64_t aliasing_poll(struct aliasing_poller *poller, uint64_t counter_uj);

/* 1 - shown / exact; 0 when nothing was used. May be negative. */
double aliasing_loss(uint64_t exact_uj, uint64_t shown_uj);

/* The loss to expect at constant power, as a mean over all phases of the counter: `energy_uj` is that of one interval.
 */
double aliasing_naive_loss(uint64_t energy_uj, uint64_t modulus_uj);
double aliasing_one_wrap_loss(uint64_t energy_uj, uint64_t modulus_uj);

/* A load: base power, and bursts that begin at every multiple of the period. */
struct aliasing_load {
    uint64_t base_uw, burst_uw; /* without and with a burst */
    uint64_t period_ns, burst_ns;
};

/* True energy from 0 to t, in whole microjoules. */
uint64_t aliasing_energy_uj(const struct aliasing_load *load, uint64_t t_ns);

struct aliasing_case {
    struct aliasing_load load;
    uint64_t modulus_uj;
    uint64_t our_interval_ns;  /* how often we read */
    uint64_t poll_interval_ns; /* how often the poller reads; a multiple of ours */
    uint64_t polls;            /* intervals of the poller */
};

struct aliasing_result {
    uint64_t true_uj; /* of the load */
    uint64_t ours_uj; /* counted by attribution/delta from the simulated readings */
    uint64_t wraps;   /* as counted */
    struct aliasing_poller poller;
};

/* Runs a case from a counter at 0. `ours` and `polled`, when not NULL, get the powers that each shows. */
void aliasing_simulate(const struct aliasing_case *of, struct plot_series *ours, struct plot_series *polled,
                       struct aliasing_result *ret_result);

/* Bursts that a poller cannot see: as long as a 15th of its interval, at a period a 15th shorter than it, so that their
 * number in an interval is now one, now two. */
void aliasing_bursts(uint64_t poll_interval_ns, uint64_t *ret_period_ns, uint64_t *ret_burst_ns);

#endif
