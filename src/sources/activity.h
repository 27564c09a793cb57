/* SPDX-License-Identifier: Apache-2.0 */
/* Activity: who was on which CPU for how long. One interface, several ways to know it (BPF, /proc, the caller's own
 * children).
 *
 * A reading covers the time since the reading before, without gap and without overlap: on-CPU nanoseconds that fall
 * between two readings appear in exactly one of them, those of ended threads too. */
#ifndef CARNOT_SOURCES_ACTIVITY_H
#define CARNOT_SOURCES_ACTIVITY_H

#include "base/fsroot.h"
#include "model/topology.h"
#include "sources/cgroup.h"

#define TASK_COMM_LEN 16

enum {
    TASK_KERNEL = 1 << 0,  /* a kernel thread in the root cgroup: entity `kernel` */
    TASK_MONITOR = 1 << 1, /* this program itself: entity `monitor` */
    TASK_ENDED = 1 << 2,   /* exited; this is its last appearance */
    TASK_PROCESS_ENDED =
        1 << 3, /* with TASK_ENDED: the last thread of its process; the leader may end long before it */
};

/* On-CPU time of one thread (or, where the reader sees only processes, of one process: tid == pid) while in one cgroup.
 */
struct activity_task {
    uint32_t pid; /* thread group */
    uint32_t tid;
    uint32_t ppid;
    uint32_t uid;
    uint32_t cgroup;  /* index in the cgroup tree; CGROUP_ROOT when nothing better is known */
    uint32_t session; /* 0: none */
    unsigned flags;
    uint64_t start_boot_ns;   /* with pid: identity, since pids are reused */
    char comm[TASK_COMM_LEN]; /* of the process (its first thread), not of the thread */
    const uint64_t *ns;       /* [n_columns] in this window: time by bucket, see activity_window; valid until the next
                               * call */
};

/* On-CPU time of a cgroup in this window that belongs to no task listed (table full, ended unseen between two polls).
 */
struct activity_rest {
    uint32_t cgroup;
    uint32_t session;   /* 0: none */
    const uint64_t *ns; /* [n_columns] */
};

/* A row of time has a column per bucket, and, where overlap is known, one more per package
 * (topology_buckets.package_id): the part of the time there during which the other hyperthread of the core ran, too. */
struct activity_window {
    uint64_t end_mono_ns;
    uint32_t n_columns; /* n_buckets + n_packages with overlap; 0 or n_buckets without */
    const struct activity_task *tasks; /* those that ran, and (TASK_ENDED, 0 ns) those listed before that ended since */
    size_t n_tasks;
    const struct activity_rest *rests;
    size_t n_rests;
    /* since start, for self metrics */
    uint64_t switches, run_ns, unlisted_ns, dropped, processes_seen;
};

struct activity_args {
    const struct carnot_env *env;
    const struct topology *topology;
    const struct topology_buckets *buckets;
    struct cgroup_tree *cgroups; /* may be NULL for "tree" */
    uint32_t monitor_pid;        /* our own pid in the pid namespace of env->proc */
    bool measure_bpf;            /* have the kernel time our BPF programs */
    uint32_t max_tasks;          /* table size wanted; 0: default */
};

struct activity_ops {
    const char *name; /* "bpf" */
    const char *tier; /* "T2", "T1", "T0" */
    const char *summary;
    const char *blind; /* what this way does not see, one sentence, "" when nothing */
    bool pids_as_proc; /* session_begin wants the pid as env->proc shows it, not as our own pid namespace does */
    int (*probe)(const struct activity_args *args,
                 struct carnot_err *err); /* 0, or -EPERM/-ENOSYS/... with the remedy */
    int (*open)(const struct activity_args *args, void **ret_self, struct carnot_err *err);
    int (*drain)(void *self, struct carnot_err *err); /* cheap upkeep at the sampling rate; NULL when not needed */
    int (*read)(void *self, struct activity_window *ret_window, struct carnot_err *err);
    /* From now on every child forked by process `pid` (and theirs) carries `session` (> 0, unique while in use). */
    int (*session_begin)(void *self, uint32_t pid, uint32_t session, struct carnot_err *err);
    void (*session_end)(void *self, uint32_t session);
    void *(*close)(void *self); /* NULL-safe, returns NULL */
};

/* In order of preference. "tree" is not in the list: it is only for `carnot run` without rights. */
extern const struct activity_ops *const activity_registry[];
extern const size_t activity_registry_count;

extern const struct activity_ops activity_bpf, activity_procfs, activity_tree;

#endif
