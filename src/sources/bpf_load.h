/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF programs loaded, sized and attached; the only place that knows the generated skeleton.
 *
 * Gives descriptors and the mapped control block. Knows nothing of what the tables mean. Internal to activity_bpf.c. */
#ifndef CARNOT_SOURCES_BPF_LOAD_H
#define CARNOT_SOURCES_BPF_LOAD_H

#include "base/err.h"
#include "base/fsroot.h"
#include "sources/bpf/switch.h"

struct bpf_settings {
    uint32_t n_rows;
    uint32_t n_columns; /* of a row of time */
    bool smt;           /* the last ones are overlap of hyperthreads, see bpf_cores.h */
    uint32_t n_cpus;
    uint32_t free_ring_size;   /* power of two */
    uint32_t closed_ring_size; /* power of two, at least n_rows */
    bool cpuacct;
    int hierarchy_id;
};

struct switch_bpf;

struct bpf_programs {
    struct switch_bpf *skel;
    struct switch_control *control;
    int cores_fd; /* owned by the skeleton, as the next are */
    int cpus_fd, rows_fd, row_ns_fd, free_ring_fd, closed_ring_fd, rests_fd, rest_ns_fd;
    int rest_index_fd, rest_free_fd, events_fd, marks_fd;
    int account_fd;
    int stats_fd; /* -1: the kernel does not measure the programs for us */
};

/* 0, or why these programs cannot be loaded here: -EPERM, -ENOSYS; the sentence has the remedy. */
int bpf_programs_probe(const struct carnot_env *env, struct carnot_err *err);

/* Loads; nothing runs yet, so that the caller can fill the tables. */
int bpf_programs_load(const struct bpf_settings *settings, struct bpf_programs *ret_programs, struct carnot_err *err);

/* Births first, then the threads that exist get their memory, then switches, moves and cgroups. */
int bpf_programs_attach(struct bpf_programs *programs, struct carnot_err *err);

/* Bills the slice in progress on one CPU. -ENXIO: the CPU is offline. */
int bpf_programs_account(const struct bpf_programs *programs, uint32_t cpu);

/* The caller's pid in the initial pid namespace, as rows have it; 0 when the kernel does not tell. */
uint32_t bpf_programs_own_pid(const struct bpf_programs *programs);

/* Makes the kernel count the run time of BPF programs (all of the machine's, at some cost) until close. */
int bpf_programs_measure(struct bpf_programs *programs, struct carnot_err *err);
/* Run time and count of our programs since the load; 0 while not measured. */
void bpf_programs_run_time(const struct bpf_programs *programs, uint64_t *ret_ns, uint64_t *ret_count);
/* Of the one program that runs at each switch. */
void bpf_programs_switch_time(const struct bpf_programs *programs, uint64_t *ret_ns, uint64_t *ret_count);

void bpf_programs_close(struct bpf_programs *programs);

#endif
