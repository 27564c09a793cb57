/* SPDX-License-Identifier: Apache-2.0 */
/* Which closed row is the last one of its process. Threads that exit together all see that their process is at its end;
 * the last is the one of whose process no other row is in use.
 *
 * Counts rows by process only when a process with several threads has come to its end. Internal to activity_bpf.c. */
#ifndef CARNOT_SOURCES_BPF_ENDS_H
#define CARNOT_SOURCES_BPF_ENDS_H

#include "base/u64map.h"
#include "sources/bpf_tables.h"

struct bpf_ends {
    struct u64map rows_of; /* pid -> rows in use, of the processes with several threads that end */
    struct u64map told,
        told_before; /* processes whose end was told, since this bpf_ends_begin() and the one before: a
                      * thread whose first slice is its last takes its row after the others were counted */
};

void bpf_ends_done(struct bpf_ends *ends);

/* Looks the closed rows over that wait now. Returns how many there are: so many may be passed to bpf_ends_last(). */
uint32_t bpf_ends_begin(struct bpf_ends *ends, const struct bpf_tables *tables);

/* Once for each closed row, in their order: whether its process has ended with it. */
bool bpf_ends_last(struct bpf_ends *ends, const struct switch_row *row);

#endif
