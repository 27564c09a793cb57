/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the BPF programs and their reader share: the layout of the mapped tables and of the control block.
 *
 * All of it is mapped into the reader, so that a sample costs no system call. Who writes a field is said beside it;
 * nothing here knows energy, units or the directory tree of cgroups. */
#ifndef CARNOT_SOURCES_BPF_SWITCH_H
#define CARNOT_SOURCES_BPF_SWITCH_H

#ifndef __bpf__
#include <stdint.h>
#endif

#define SWITCH_COMM_LEN    16
#define SWITCH_PATH_MAX    512 /* a path of Kubernetes in systemd style has about 200 bytes; a longer one is looked up */
#define SWITCH_BUCKETS_MAX 64  /* as BUCKETS_MAX of model/topology.h */
#define SWITCH_CPUS_MAX    4096 /* as CPUS_MAX of model/topology.h */
#define SWITCH_RESTS       1024 /* cgroups that can have time of threads without a row; the first entry takes all others */
#define SWITCH_DEPTH_MAX                                                                                               \
    32 /* as CGROUP_DEPTH_MAX of sources/cgroup.h: what is deeper is billed to its ancestor there */

/* One per CPU, one cache line: the slice that is running. Written by that CPU with interrupts off, `bucket` by the
 * reader before the start, split_* by whoever moves the task to another cgroup. */
struct switch_cpu {
    uint64_t task;       /* address of the task that runs: an identity, never followed without a probe; 0 unknown */
    uint64_t start_ns;   /* its sum_exec_runtime when it came, or when it was last accounted */
    uint64_t split_task; /* this task changed its cgroup in the middle of the slice ... */
    uint64_t split_ns;   /* ... when its sum_exec_runtime was this much */
    uint64_t switches;
    uint64_t missed; /* slices whose begin is not known: not accounted */
    uint32_t pid;    /* 0: idle */
    uint32_t tgid;
    uint32_t bucket;
    uint32_t pad;
} __attribute__((aligned(64)));

/* One per CPU, one cache line, only on machines with two hyperthreads to a core: how much of its slices the sibling ran.
 * Written by that CPU, read by the sibling at its own switches; `sibling` and `column` by the reader before the start.
 *
 * `busy` is one word, so that it is read whole without a lock: the lowest bit says whether a task runs, the rest is a time
 * v. The CPU has been busy for v ns so far when idle, for v + now ns when a task runs (modulo 2^63). */
struct switch_core {
    uint64_t busy;
    uint64_t sibling_then; /* busy time of the sibling when this CPU's slice began */
    uint32_t sibling;      /* CPU; itself: it has none, or none known */
    uint32_t column;       /* of the rows of time, where overlap on this CPU's package is added up */
    uint64_t pad[5];
} __attribute__((aligned(64)));

enum {
    SWITCH_ROW_LIVE = 1 << 0,    /* taken; set last, so that a reader who sees it sees the rest */
    SWITCH_ROW_ENDED = 1 << 1,   /* the task has switched out for the last time */
    SWITCH_ROW_MOVED = 1 << 2,   /* the task lives on in another cgroup and has another row */
    SWITCH_ROW_KTHREAD = 1 << 3, /* PF_KTHREAD */
    /* With ENDED: every thread of the process has begun to exit. Threads that exit at the same time may all have it; in
     * the order of the ring of closed rows, no ended row of the process without it comes after one with it. */
    SWITCH_ROW_PROCESS_ENDED = 1 << 4,
    SWITCH_ROW_THREADED = 1 << 5, /* with ENDED: the process has had more than one thread */
};

/* One per thread and cgroup, one cache line. Written by the CPU on which the thread is; zeroed by the reader when both
 * are done with it. The nanoseconds are in a table of their own: ns[row * n_columns + bucket], ever growing; after the buckets,
 * on machines with hyperthreads, one column per package: the part of it in which the sibling ran too. */
struct switch_row {
    uint32_t tid;
    uint32_t tgid;
    uint32_t ppid;
    uint32_t uid;
    uint64_t cgroup_id;
    uint64_t start_boot_ns;     /* of the thread group */
    char comm[SWITCH_COMM_LEN]; /* of the thread group's leader */
    uint32_t session;
    uint32_t touched; /* the reader's epoch in which it last ran: rows that did not run are passed over */
    uint32_t state;
    uint32_t pad;
};

/* Time of threads that have no row, by cgroup and session: ns[entry * n_columns + bucket], ever growing, also from one
 * use of the entry to the next. The key of the index of entries, too. Written by who takes a free entry, before anybody
 * adds to it. */
struct switch_rest {
    uint64_t cgroup_id; /* 0: entry 0, or never used */
    uint32_t session;
    uint32_t pad;
};

/* Positions in the two rings are counted up for ever, the masks are constants of the program. An entry of the ring of
 * free rows is (position + 1) << 32 | row, so that a stale entry is told from a fresh one; an entry of the ring of
 * closed rows is row + 1, zeroed by the reader. */
struct switch_control {
    uint32_t epoch;           /* reader */
    uint32_t sessions_active; /* reader: children may have to inherit a session */
    uint64_t free_tail;       /* reader */
    uint64_t pad_reader[6];   /* the lines below are written by the kernel side */
    uint64_t free_head;       /* atomic */
    uint64_t closed_head;     /* atomic */
    uint64_t births;          /* threads */
    uint64_t births_process;
    uint64_t dropped; /* times that a slice found no row; counted after its time was added to an entry for cgroups */
    uint64_t cgroup_events_lost;
    uint64_t tasks_seeded; /* threads found by the walk at the start */
    uint64_t own_tgid;     /* the reader's pid in the initial pid namespace, which is what rows have */
} __attribute__((aligned(64)));

enum { SWITCH_CGROUP_MADE = 1, SWITCH_CGROUP_GONE = 2 };

/* None comes of a cgroup deeper than SWITCH_DEPTH_MAX. */
struct switch_cgroup_event {
    uint64_t id;
    uint64_t parent_id; /* of one that was made; 0 unknown */
    uint32_t kind;
    uint32_t path_len; /* with the final NUL; SWITCH_PATH_MAX: cut */
    char path[SWITCH_PATH_MAX];
};

#endif
