/* SPDX-License-Identifier: Apache-2.0 */
/* What the BPF activity reader tells beyond struct activity_ops: its own cost and the state of its tables, for
 * diagnosis, tests and benchmarks. `self` is what activity_bpf.open() gave. */
#ifndef CARNOT_SOURCES_ACTIVITY_BPF_H
#define CARNOT_SOURCES_ACTIVITY_BPF_H

#include "base/err.h"

struct activity_bpf_info {
    uint32_t rows_total;
    uint32_t rows_free;    /* neither side uses them */
    uint32_t rows_waiting; /* handed to the kernel side, not taken */
    uint32_t rows_live;    /* of a thread that lives, in its cgroup of now */
    uint32_t rows_closed;  /* left behind, not yet drained */
    uint32_t rests_used;   /* cgroups (by session) that have time of threads without a row, or had lately */
    uint64_t births, seeded, dropped, missed;
    uint64_t switch_run_ns, switch_run_count; /* of the program at each switch; 0 unless measured */
    bool in_progress_denied; /* slices in progress wait for their switch: the right to run programs was given up */
};

void activity_bpf_info(const void *self, struct activity_bpf_info *ret_info);

/* Lets the kernel measure the run time of BPF programs, for activity_window.run_ns; costs some 20 ns per run of every
 * BPF program of the machine, hence only on demand. -EPERM with a sentence. */
int activity_bpf_measure(void *self, struct carnot_err *err);

#endif
