/* SPDX-License-Identifier: Apache-2.0 */
/* The units that the meter knows: cgroups, users, processes, sessions, each with its cumulative and window energy per
 * domain. Knows how a unit is named and how long an ended one is kept; knows nothing of how energy is split. Not
 * thread-safe. */
#ifndef CARNOT_METER_UNIT_TABLE_H
#define CARNOT_METER_UNIT_TABLE_H

#include "base/fsroot.h"
#include "base/u64map.h"
#include "model/batch.h"
#include "sources/cgroup.h"

/* Units of one machine: CGROUPS_MAX cgroups, 32,768 threads' processes, users and sessions. Beyond it, energy goes to
 * the aggregate of the cgroup. */
#define UNITS_MAX 65536

/* Users told apart; beyond it (a container that runs through its 65,536 subordinate uids) they share the unit
 * "(unknown)". */
#define USERS_MAX 2048

/* Processes may not take the room that cgroups, users and aggregates need. */
#define PROCESSES_MAX (UNITS_MAX - CGROUPS_MAX - USERS_MAX - AGGREGATES_MAX)

/* Cgroups that ended, were reported, and are remembered for their sums only: a timer's service that comes back goes on
 * from its old counter. About 600 bytes each; beyond it the one that ended first is forgotten. */
#define DORMANT_MAX 1024

/* Different short-lived programs (by name, cgroup and user) told apart in one machine's life; the rest share one
 * aggregate per cgroup. */
#define AGGREGATES_MAX 4096

#define UNIT_UID_UNKNOWN UINT32_MAX

/* The kernel's 15 bytes of a process's name; longer than any, so that no process can take the name of the aggregate of
 * those not listed. */
#define UNIT_COMM_MAX 32

struct unit {
    enum unit_kind kind;
    unsigned flags;
    bool in_use;
    bool dormant;  /* a cgroup that ended and was reported; see DORMANT_MAX */
    bool exported; /* was in at least one sealed batch */
    uint32_t id;   /* serial */
    uint32_t pid, uid;
    uint32_t cgroup;         /* index in the cgroup tree; CGROUP_NONE: has none any more */
    uint32_t cgroup_unit_id; /* processes: id of their cgroup's unit, since the tree reuses its indices */
    uint32_t session;        /* session units: the session's number */
    uint64_t key;            /* in the map of its kind */
    uint64_t start_boot_ns;
    uint64_t start_real_ns;
    uint64_t cpu_ns, window_cpu_ns;
    uint64_t peak_uw;           /* session units */
    uint64_t active_seq;        /* last window in which it ran */
    uint64_t ended_seq;         /* window in which it ended, 0: has not */
    char comm[UNIT_COMM_MAX];   /* process: its name */
    char *name, *path, *labels; /* owned; NULL for processes */
    const char *manager, *type; /* static */
};

struct unit_table {
    const struct carnot_env *env;
    const struct cgroup_tree *cgroups; /* may be NULL */
    size_t n_domains;
    struct unit *units;  /* [cap] */
    uint64_t *energy_uj; /* [cap * n_domains] */
    uint64_t *window_uj; /* [cap * n_domains] */
    uint32_t cap, high;  /* high: highest index in use + 1 */
    uint32_t *free_list; /* [cap] */
    uint32_t n_free;
    uint32_t next_id;
    uint32_t n_aggregates, n_users, n_processes, n_dormant;
    uint64_t n_folded; /* processes that had no unit of their own */
    struct u64map
        by_key[UNIT_KINDS]; /* cgroups: by index in the tree, several of which may be one unit, see unit_table_cgroup */
    struct u64map by_path;  /* cgroups: by hash of the path */
};

int unit_table_init(struct unit_table *table, const struct carnot_env *env, const struct cgroup_tree *cgroups,
                    size_t n_domains);
void unit_table_done(struct unit_table *table);

/* Each finds the unit or makes it; the index, or -ENOMEM/-E2BIG.
 * A cgroup that was removed and made again under the same path (a service that restarts) goes on as the same unit, so
 * that its counter goes on too and no two series have the same labels. */
int unit_table_cgroup(struct unit_table *table, uint32_t cgroup, uint64_t now_real_ns);
int unit_table_user(struct unit_table *table, uint32_t uid, uint64_t now_real_ns);
/* A process is known by pid and start time: a pid is reused. */
int unit_table_process(struct unit_table *table, uint32_t pid, uint64_t start_boot_ns, uint64_t start_real_ns,
                       uint32_t cgroup, uint32_t uid, const char *comm);
/* What several short-lived processes of one name, cgroup and user used together; comm NULL: what a cgroup used beyond
 * any process seen. */
int unit_table_aggregate(struct unit_table *table, uint32_t cgroup, uint32_t uid, const char *comm,
                         uint64_t now_real_ns);
int unit_table_session(struct unit_table *table, uint32_t session, uint32_t uid, const char *label,
                       uint64_t now_real_ns);

/* Index of a process already known, or -ENOENT: makes nothing. */
int unit_table_find_process(const struct unit_table *table, uint32_t pid, uint64_t start_boot_ns);
int unit_table_find_session(const struct unit_table *table, uint32_t session);

/* Adds to the unit's window and cumulative energy in one domain. */
static inline void unit_table_add_energy(struct unit_table *table, uint32_t unit, size_t domain, uint64_t share_uj)
{
    table->energy_uj[unit * table->n_domains + domain] += share_uj;
    table->window_uj[unit * table->n_domains + domain] += share_uj;
}

static inline void unit_table_add_cpu(struct unit_table *table, uint32_t unit, uint64_t cpu_ns, uint64_t seq)
{
    table->units[unit].cpu_ns += cpu_ns;
    table->units[unit].window_cpu_ns += cpu_ns;
    table->units[unit].active_seq = seq;
}

void unit_table_window_reset(struct unit_table *table);
/* The tree index `cgroup` is gone and another stands for its unit: forgets the old one. True if nothing refers to the
 * index any more. */
bool unit_table_release_cgroup(struct unit_table *table, uint32_t cgroup);
void unit_table_remove(struct unit_table *table, uint32_t unit);

/* Of a cgroup: keeps its sums for a return under the same path, see DORMANT_MAX. */
void unit_table_put_to_sleep(struct unit_table *table, uint32_t unit);

#endif
