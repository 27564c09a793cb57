/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU time of each cgroup itself, without those below it, per window, from the kernel's own totals. Internal to
 * sources. A window lasts until its owner takes it: what an update has found is kept when the owner's window fails for
 * some other reason, and the next update adds to it.
 *
 * own = growth of its total - growth of its children's totals. Children are read at other instants than their parent,
 * so that a difference may come out negative: it counts as 0 and is carried into the next window, so that in the long
 * run the owns of a tree add up to its root's total. What a cgroup used after its last reading and before its removal
 * is in its parent's total and is subtracted for nobody: it appears as the parent's own. */
#ifndef CARNOT_SOURCES_CGROUP_USAGE_H
#define CARNOT_SOURCES_CGROUP_USAGE_H

#include "sources/cgroup.h"

struct cgroup_own {
    uint64_t id;       /* of the cgroup that the figures belong to, 0 for none: indexes are reused */
    uint32_t parent;   /* when last alive */
    uint64_t total_ns; /* last reading */
    uint64_t grown_ns; /* total's growth at the last update */
    __int128 carry_ns; /* <= 0 between windows: what earlier ones gave too much; no sum of 64-bit values overflows it */
    uint64_t own_ns;   /* in the window */
};

struct cgroup_usage {
    struct cgroup_tree *tree;
    struct cgroup_own *own; /* [cap], by index in the tree */
    uint32_t cap;
    bool primed;
    bool was_incomplete;  /* the scan before had left cgroups out: those that appear now may be old */
    uint64_t children_ns; /* growth of the root's children in the window, together */
};

void cgroup_usage_init(struct cgroup_usage *usage, struct cgroup_tree *tree);
void cgroup_usage_done(struct cgroup_usage *usage);

/* Scans the tree and adds to the window what there was since the last update. The root's own is left alone where it has
 * no total (v2). An error has added nothing. */
int cgroup_usage_update(struct cgroup_usage *usage, uint64_t now_mono_ns, struct carnot_err *err);

/* Begins a window: the figures of the one before have reached whom they are for. */
void cgroup_usage_taken(struct cgroup_usage *usage);

#endif
