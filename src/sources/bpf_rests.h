/* SPDX-License-Identifier: Apache-2.0 */
/* The reader's side of the entries for time of threads that have no row: what each gained, and which are to be used
 * again.
 *
 * An entry belongs to one cgroup and session from the first slice that needs it. One that gained nothing for some
 * readings is given back, since its cgroup is gone, its session has ended, or there is room again; a cgroup that needs
 * one later takes one anew. Internal to activity_bpf.c. */
#ifndef CARNOT_SOURCES_BPF_RESTS_H
#define CARNOT_SOURCES_BPF_RESTS_H

#include "sources/bpf_tables.h"

struct bpf_rests_args {
    uint32_t n_columns;
    int rests_fd, ns_fd, index_fd, free_fd;
    const struct switch_control *control;
};

struct bpf_rests {
    uint32_t n_columns;
    int index_fd, free_fd;                /* not owned */
    const struct switch_control *control; /* not owned */
    struct bpf_region rests, ns;
    uint64_t *prev;            /* [SWITCH_RESTS * n_columns] ns at the last reading */
    uint8_t use[SWITCH_RESTS]; /* how long without gain; 0: not in use as far as we know */
    uint32_t n_used;           /* entries in use */
    uint64_t dropped_before, dropped_now;
    bool denied; /* the right to delete from the index was given up: entries stay with their first owner */
};

int bpf_rests_open(struct bpf_rests *rests, const struct bpf_rests_args *args, struct carnot_err *err);
void bpf_rests_close(struct bpf_rests *rests);

/* Begins a reading; false when nothing was gained since the last one. */
bool bpf_rests_begin(struct bpf_rests *rests);
/* Whether the entry gained time, and whose it is: cgroup_id 0 for those for whom there was no entry. */
bool bpf_rests_gained(const struct bpf_rests *rests, uint32_t entry, struct switch_rest *ret_owner);
/* Adds what the entry gained since last taken to sum[n_columns]. */
void bpf_rests_take(struct bpf_rests *rests, uint32_t entry, uint64_t *sum);
/* Ends a reading in which all was taken: gives back what is long idle. */
void bpf_rests_done(struct bpf_rests *rests);

#endif
