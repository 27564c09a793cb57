/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The tables of the programs and their settings. Sizes of one entry are set by the reader before the load; what the
 * entries mean is said in switch.h, what is only the programs' own is said here. */
#ifndef CARNOT_SOURCES_BPF_SWITCH_TABLES_H
#define CARNOT_SOURCES_BPF_SWITCH_TABLES_H

#include "vmlinux_min.h"

#include <bpf/bpf_helpers.h>

#include "switch.h"

/* Settings, fixed at load. */
const volatile uint32_t n_columns = 1; /* of a row of time: buckets, then overlap per package */
const volatile bool smt = false;       /* two hyperthreads to a core: overlap is counted */
const volatile uint32_t n_cpus = 1;
const volatile uint32_t free_mask = 0;
const volatile uint32_t closed_mask = 0;
const volatile bool use_cpuacct = false;
const volatile int hierarchy_id = 0;

struct switch_control control;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* this and the sizes of the other tables are set before the load */
    __type(key, uint32_t);
    __type(value, struct switch_cpu);
} cpus SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct switch_core);
} cores SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct switch_row);
} rows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, uint64_t);
} row_ns SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, uint64_t);
} free_ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, uint64_t);
} closed_ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SWITCH_RESTS);
    __type(key, uint32_t);
    __type(value, struct switch_rest);
} rests SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, uint64_t);
} rest_ns SEC(".maps");

/* Entries are added under the lock of the run queue, hence preallocated; the reader deletes those long without time. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SWITCH_RESTS);
    __type(key, struct switch_rest);
    __type(value, uint32_t);
} rest_index SEC(".maps");

/* Numbers of free entries; filled by the reader. */
struct {
    __uint(type, BPF_MAP_TYPE_STACK);
    __uint(max_entries, SWITCH_RESTS);
    __type(value, uint32_t);
} rest_free SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 512 * 1024); /* about 1,000 cgroups made between two drains */
} cgroup_events SEC(".maps");

/* What a thread remembers. */
struct thread_state {
    uint32_t row; /* + 1; 0: none */
    uint32_t epoch;
    uint64_t cgroup_id; /* of the row */
    uint64_t seen_ns;   /* sum_exec_runtime up to which it is billed */
    uint32_t session;
    uint16_t primed;   /* seen_ns is known */
    uint16_t threaded; /* the thread is not the only one that its process has had */
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct thread_state);
} threads SEC(".maps");

/* On the leader of a process whose children are to carry a session; written by the reader through a pidfd. A map of its
 * own, so that the reader does not write over what a switch is writing. */
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, uint32_t);
} session_marks SEC(".maps");

#endif
