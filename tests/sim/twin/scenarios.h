/* SPDX-License-Identifier: Apache-2.0 */
/* The situations in which methods of attribution are compared: what runs, and what of the machine a model gets wrong.
 */
#ifndef CARNOT_SIM_TWIN_SCENARIOS_H
#define CARNOT_SIM_TWIN_SCENARIOS_H

#include "twin.h"

enum scenario_class {
    SCENARIO_CPU,   /* tenants that compute */
    SCENARIO_MIXED, /* computing, memory-bound, light */
    SCENARIO_SMT,   /* packed on hyperthreads beside whole cores */
    SCENARIO_NOISY, /* bursts beside a steady tenant */
    SCENARIO_HARD,  /* what cannot be told apart: only intervals are judged */
};

struct scenario {
    const char *name, *what;
    enum scenario_class class;
    void (*fill)(struct twin_setup *setup);
};

extern const struct scenario scenarios[];
extern const size_t scenarios_count;

/* Everything a model does not know of, as strong as machines show it. */
extern const struct twin_mismatch scenario_mismatch;

/* A setup of that scenario. */
void scenario_setup(const struct scenario *scenario, bool mismatch, uint64_t seed, struct twin_setup *ret_setup);

#endif
