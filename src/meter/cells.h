/* SPDX-License-Identifier: Apache-2.0 */
/* Cells: the smallest owners of energy in one window. One cell is one process in one cgroup (and session), or what a
 * cgroup used beyond its listed processes, or the kernel's threads, or this program. Made from an activity window;
 * units are sums of cells. Not thread-safe. */
#ifndef CARNOT_METER_CELLS_H
#define CARNOT_METER_CELLS_H

#include "base/u64map.h"
#include "meter/unit_table.h"
#include "model/topology.h"
#include "sources/activity.h"

/* Cells of one window: as many as processes that ran, and those born and ended in it come as one per name, cgroup and
 * user. */
#define CELLS_MAX UNITS_MAX

enum cell_owner { CELL_UNITS, CELL_KERNEL, CELL_MONITOR, CELL_RESIDUAL };

struct cell {
    enum cell_owner owner;
    uint32_t process, cgroup_unit, user; /* indices in the unit table */
    uint32_t session_unit;               /* UNIT_NO_INDEX: none */
    uint32_t cgroup;                     /* index in the cgroup tree */
    uint64_t cpu_ns;
};

struct cells {
    struct cell *cells;  /* [cap] */
    uint64_t *bucket_ns; /* [cap * n_columns], rows of time as activity_window has them */
    uint32_t n, cap, n_buckets, n_columns;
    uint32_t *group; /* [cap] for split: the cgroup, or SPLIT_NO_GROUP */
    struct u64map by_key;
    uint64_t lost_ns; /* on-CPU time that found no owner (out of memory): in cell 0, whose energy is residual */
};

void cells_done(struct cells *cells);

/* What the caller knows of time: start times are reckoned from boot, shown since 1970. */
struct cells_window {
    uint64_t boot_to_real_ns, now_real_ns, seq;
};

/* Overlap is known when there are columns beyond the buckets. */
static inline bool cells_have_overlap(const struct cells *cells)
{
    return cells->n_columns > cells->n_buckets;
}

/* Fills cells from the activity, making units as needed and marking ended ones. 0, or -ENOMEM (what did not fit is in
 * lost_ns). */
int cells_build(struct cells *cells, struct unit_table *table, const struct activity_window *activity,
                uint32_t n_buckets, const struct cells_window *window);

#endif
