/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated package whose energy is a sum of costs of what its tenants do, so that everybody's true energy is known.
 * It has the shape of the model in src/attribution/terms.c, on purpose: it shows that the arithmetic learns what can be
 * learned and tells how well, not that machines are like this. */
#ifndef CARNOT_UNIT_ATTRIBUTION_SYNTHETIC_H
#define CARNOT_UNIT_ATTRIBUTION_SYNTHETIC_H

#include "attribution/method.h"

#define SYNTHETIC_TENANTS_MAX 8
#define SYNTHETIC_CORES       16 /* each with two hyperthreads */
#define SYNTHETIC_GHZ         2.5

struct synthetic_tenant {
    double threads;      /* hyperthreads it keeps busy at full activity */
    double activity;     /* mean part of the time, 0 .. 1 */
    double swing;        /* how far its activity moves about the mean, 0: constant */
    double instructions; /* per cycle */
    double misses;       /* per 1000 instructions */
    double remote;       /* part of them */
    double overlap;      /* part of its time beside a busy sibling */
    double mix;          /* how far instructions per cycle and misses move from window to window, 0: constant */
    double deviation;    /* of its energy per cycle, instruction and miss from everybody's, relative */
};

struct synthetic_machine {
    double idle_w, present_w, core_w;
    double clock_j, instruction_j;   /* per 10^9 */
    double local_j, remote_j;        /* per 10^6 */
    double ghz_swing, voltage_slope; /* the frequency moves so far about SYNTHETIC_GHZ, and voltage with it, relative */
    double edge_uj;                  /* standard deviation of the counter's error at each reading */
    uint64_t window_ns;
    bool no_counters; /* on-CPU time and overlap only */
    size_t n;
    struct synthetic_tenant tenant[SYNTHETIC_TENANTS_MAX];
};

struct synthetic_window {
    struct method_window window;
    struct cell_features cells[SYNTHETIC_TENANTS_MAX];
    uint32_t group[SYNTHETIC_TENANTS_MAX];
    double true_uj[SYNTHETIC_TENANTS_MAX], true_idle_uj;
};

struct synthetic_run {
    const struct synthetic_machine *machine;
    uint64_t random;
    double edge_uj; /* the counter's error at the last reading */
    double pace;    /* a random walk, about -1 .. 1: of the frequency */
    double level[SYNTHETIC_TENANTS_MAX], blend[SYNTHETIC_TENANTS_MAX]; /* slow random walks, about -1 .. 1 */
};

/* A machine and tenants drawn at random: usual sizes and mixes. */
struct synthetic_machine synthetic_draw(uint64_t seed);

struct synthetic_run synthetic_start(const struct synthetic_machine *machine, uint64_t seed);
void synthetic_step(struct synthetic_run *run, struct synthetic_window *ret);

/* Standard normal. */
double synthetic_normal(uint64_t *random);

#endif
