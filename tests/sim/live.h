/* SPDX-License-Identifier: Apache-2.0 */
/* Busy time of the real machine, turned into energy of the simulated one. What it reads is the truth by definition. */
#ifndef CARNOT_SIM_LIVE_H
#define CARNOT_SIM_LIVE_H

#include "base/fsroot.h"
#include "machine.h"
#include "model/topology.h"

struct sim_live {
    int fd; /* /proc/stat */
    struct topology topology;
    uint64_t *busy_ticks; /* [n_cpus] at the last update */
    char *text;
    size_t size;
    uint64_t tick_ns;
};

int sim_live_init(struct sim_live *live, const struct carnot_env *env, struct sim_machine *machine, uint64_t cpu_uw,
                  struct carnot_err *err);
void sim_live_update(struct sim_live *live, struct sim_machine *machine);
void sim_live_done(struct sim_live *live);

#endif
