/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated machine: zones with a power, time that passes, and the exact energy that follows. Knows no file system
 * and no parser; time is told to it. */
#ifndef CARNOT_SIM_MACHINE_H
#define CARNOT_SIM_MACHINE_H

#include "base/util.h"

#define SIM_ZONES_MAX  512
#define SIM_EVENTS_MAX 65536 /* lines of a power script */

struct sim_zone {
    char id[48];       /* "intel-rapl:0:1" */
    char name[40];     /* the file "name": "dram" */
    char alias[48];    /* how a script may call it: "dram-0" */
    int parent;        /* index, -1 for a top zone */
    int follows;       /* index of the zone whose energy this one shows again, -1 */
    uint64_t range_uj; /* what max_energy_range_uj says */
    uint64_t modulus_uj;
    uint64_t start_uj; /* counter at the beginning, or 0 after a reset */
    uint64_t max_power_uw;

    uint64_t power_uw;
    uint64_t busy_uw;               /* beside it, for each busy CPU (live) */
    unsigned __int128 energy_uw_ns; /* true energy since the mount, 10^9 to a microjoule */
    uint64_t origin_uj;             /* true energy when the counter stood at start_uj */
    uint64_t wraps_before, resets;

    int fail_errno; /* what reading the counter gives, 0: the counter */
    bool vanished;
    unsigned generation; /* of its files: what was open when the zone vanished stays dead */
};

struct sim_event {
    uint64_t t_ns;
    int zone;
    uint64_t power_uw;
};

struct sim_machine {
    struct sim_zone zones[SIM_ZONES_MAX];
    int n_zones;
    struct sim_event *events; /* sorted by time */
    size_t n_events, next_event;
    uint64_t now_ns; /* since the mount */
};

struct sim_shape {
    unsigned packages, dies;
    bool core, uncore, dram, psys, mmio;
};

/* Makes the zones of that shape with the ranges of a common server (61035 nJ, DRAM 15300 nJ). -E2BIG. */
int sim_machine_init(struct sim_machine *machine, const struct sim_shape *shape);
void sim_machine_done(struct sim_machine *machine);

/* By id, alias or name; -1 when there is none. */
int sim_zone_find(const struct sim_machine *machine, const char *name, size_t len);

/* Adds a change of power; call sim_events_sort when all are there. -E2BIG, -ENOMEM. */
int sim_event_add(struct sim_machine *machine, uint64_t t_ns, int zone, uint64_t power_uw);
void sim_events_sort(struct sim_machine *machine);

/* Lets time pass up to t_ns at the scripted powers. Time does not go back. */
void sim_advance_to(struct sim_machine *machine, uint64_t t_ns);

/* CPU time that was spent on a top zone's CPUs (live). */
void sim_add_busy(struct sim_machine *machine, int zone, uint64_t busy_ns);

uint64_t sim_true_uj(const struct sim_machine *machine, int zone);
uint64_t sim_counter_uj(const struct sim_machine *machine, int zone);
uint64_t sim_wraps(const struct sim_machine *machine, int zone);

void sim_reset(struct sim_machine *machine, int zone);
void sim_set_vanished(struct sim_machine *machine, int zone, bool vanished); /* with its subzones */

#endif
