/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that /proc lists, polled: what each used since the poll before, where it belongs, whose child it is.
 * Internal to sources. A process is known by pid and start time. */
#ifndef CARNOT_SOURCES_PROC_TABLE_H
#define CARNOT_SOURCES_PROC_TABLE_H

#include "base/u64map.h"
#include "sources/activity.h"
#include "sources/proc_parse.h"

#define PROC_TABLE_DEFAULT 8192 /* a busy node has 2,000 processes; 128 bytes each */
#define PROC_SESSIONS_MAX  64   /* `carnot run` at once on one machine */

struct proc_entry {
    uint32_t pid, ppid, uid;
    uint32_t cgroup; /* index */
    uint64_t cgroup_id;
    uint32_t session;
    unsigned flags; /* TASK_* */
    uint64_t start_ticks;
    uint64_t total_ns;   /* highest seen */
    uint64_t delta_ns;   /* used in the window, until taken */
    uint64_t pending_ns; /* seen, but more than the cgroup's counter has allowed so far */
    uint32_t seen;       /* number of the poll */
    bool used;
    bool ended;        /* not there any more, entry goes when the window is taken */
    bool listed;       /* the caller has shown it at least once */
    bool cgroup_exact; /* false: its cgroup was not in the tree, this is an ancestor */
    char comm[TASK_COMM_LEN];
};

struct proc_session {
    uint32_t pid; /* children of this one */
    uint32_t session;
    uint64_t begin_boot_ns;
};

struct proc_table {
    const struct carnot_env *env;
    struct cgroup_tree *cgroups;
    uint32_t monitor_pid;
    struct proc_entry *entries; /* [max] */
    uint32_t max;
    uint32_t count; /* highest in use + 1 */
    uint32_t n_used;
    uint32_t free_hint; /* no free entry below */
    struct u64map by_pid;
    uint32_t polls;
    uint64_t poll_boot_ns; /* begin of the last poll that reached its end */
    uint64_t prev_boot_ns; /* and of the one before the running one */
    uint64_t processes_seen, dropped;
    struct proc_session sessions[PROC_SESSIONS_MAX];
    size_t n_sessions;
};

int proc_table_init(struct proc_table *table, const struct activity_args *args, struct carnot_err *err);
void proc_table_done(struct proc_table *table);

/* Polls all processes. The first poll sets the baseline. Those not there any more are `ended` until the window is
 * taken. After an error some processes have been read, others not: the next poll makes it good. */
int proc_table_poll(struct proc_table *table, struct carnot_err *err);

/* Begins a window: deltas and ends have reached whom they are for. Without it the next poll adds to them. */
void proc_table_taken(struct proc_table *table);

/* -ESRCH when env->proc has no process of that number. */
int proc_table_session_begin(struct proc_table *table, uint32_t pid, uint32_t session, struct carnot_err *err);
void proc_table_session_end(struct proc_table *table, uint32_t session);

#endif
