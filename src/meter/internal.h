/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct meter, shared by the files of this directory only. */
#ifndef CARNOT_METER_INTERNAL_H
#define CARNOT_METER_INTERNAL_H

#include <pthread.h>

#include "meter/calibration_file.h"
#include "meter/cells.h"
#include "meter/energy.h"
#include "meter/lifetime.h"
#include "meter/meter.h"

/* An ended unit that no scrape has shown waits this many times keep_ended_ns: a Prometheus that is down for an hour
 * loses nothing. */
#define KEEP_UNREPORTED 12

/* Windows after which a process that did not run once is forgotten: a day-long sleeper comes back as a new unit, memory
 * stays bounded. */
#define FORGET_IDLE_WINDOWS 900

/* Cgroups compared with the kernel's own counter per tick: a cold read of cpu.stat costs 20 to 35 us, mostly the kernel
 * summing over CPUs; 200 cgroups take 40 s for a round. */
#define CROSSCHECK_PER_TICK 5

struct crosscheck {
    uint64_t *ours_ns;    /* [cap] on-CPU time of each cgroup and all below since start, by cgroup index */
    uint64_t *ours_at_ns; /* [cap] the same when the kernel's was last read */
    uint64_t *kernel_ns;  /* [cap] the kernel's at that reading */
    uint64_t *id;         /* [cap] cgroup id, to notice an index that was reused */
    uint32_t cap, next;
    uint64_t round_ours_ns, round_kernel_ns; /* sums of this round */
    int64_t ppm;                             /* of the last whole round; INT64_MIN: none yet */
};

struct meter {
    const struct carnot_env *env;
    struct meter_settings settings;
    struct topology topology;
    struct topology_buckets buckets;
    struct cgroup_tree *cgroups;
    const struct activity_ops *activity;
    void *activity_self;
    char activity_note[CARNOT_ERR_MSG_MAX + 16]; /* why not a better one */
    struct calibration_file calibration;
    struct energy energy;
    struct lifetime lifetime;
    struct intensity intensity;
    struct unit_table units;
    struct cells cells;
    struct crosscheck crosscheck;
    struct clock_watch watch;

    uint64_t (*entity_uj)[ENTITIES];        /* [n_domains] since start */
    uint64_t (*entity_window_uj)[ENTITIES]; /* [n_domains] */
    uint64_t *weights;                      /* [cells.cap] scratch */
    uint64_t *shares;                       /* [cells.cap] scratch */
    uint32_t scratch_cells;
    uint64_t *group_scratch; /* [2 * scratch_groups] */
    uint32_t scratch_groups;
    uint32_t *batch_index; /* [scratch_units] unit -> index in the batch */
    uint32_t scratch_units;

    uint64_t seq;
    struct carnot_now window_begin;
    uint64_t activity_end_ns;
    struct batch_activity activity_stats;
    struct batch_self self;
    uint32_t next_session;
    atomic_uint_fast64_t reported_seq;

    struct batch_pool *pool;
    pthread_mutex_t latest_lock;
    struct batch *latest;
};

/* attribute.c: splits the window's energy of every domain among the cells and adds it to units and entities. Without
 * known activity all of it is residual and -ENODATA is returned. */
int meter_attribute(struct meter *meter, uint64_t window_ns, bool activity_known);

/* Is time beside a busy hyperthread of the same core counted for less (method `smt`)? */
bool meter_uses_smt(const struct meter *meter);

/* crosscheck.c */
int crosscheck_add(struct crosscheck *check, const struct cgroup_tree *tree, const struct cells *cells);
void crosscheck_step(struct crosscheck *check, struct cgroup_tree *tree, uint64_t now_mono_ns);
void crosscheck_done(struct crosscheck *check);

/* seal.c: the batch of this window, with one reference. */
int meter_seal(struct meter *meter, const struct carnot_now *end, struct batch **ret_batch, struct carnot_err *err);

/* retire.c: marks units of gone cgroups as ended, forgets those that were reported or waited long enough. */
void meter_mark_ended(struct meter *meter);
void meter_retire(struct meter *meter);

#endif
