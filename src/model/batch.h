/* SPDX-License-Identifier: Apache-2.0 */
/* The sealed batch: everything that one tick found, immutable, shared by any number of readers on any thread.
 *
 * A batch owns an arena with all its arrays and strings; the last batch_unref gives it back to its pool, whose memory
 * is reused, so that after warm-up a tick allocates nothing. Readers hold a reference and no lock.
 *
 * The promise (checked by batch_conservation_error_uj): for every domain and window, in whole microjoules,
 *     sum of units of one kind + idle + kernel + monitor + residual = measured
 * where "one kind" is processes, or cgroups, or users: each kind is a full partition of the same energy. Sessions are
 * not a partition. It holds per window, not for cumulative energies: a unit that ended and was reported is dropped and
 * takes its own sum with it. */
#ifndef CARNOT_MODEL_BATCH_H
#define CARNOT_MODEL_BATCH_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/clock.h"
#include "model/domain.h"

enum unit_kind { UNIT_PROCESS, UNIT_CGROUP, UNIT_USER, UNIT_SESSION, UNIT_KINDS };

/* What is not a unit but owns energy. */
enum entity { ENTITY_IDLE, ENTITY_KERNEL, ENTITY_MONITOR, ENTITY_RESIDUAL, ENTITIES };

enum {
    UNIT_ENDED = 1 << 0, /* billed to its last nanosecond, will not come back */
    UNIT_AGGREGATE =
        1 << 1, /* stands for several: processes that ended, or that were never seen singly, of one cgroup */
};

#define UNIT_NO_INDEX UINT32_MAX

struct batch_unit {
    enum unit_kind kind;
    unsigned flags;
    uint32_t id;         /* serial, never reused while the program runs */
    uint32_t pid;        /* process */
    uint32_t uid;        /* process, user; for a cgroup its owner if told by its name, else UINT32_MAX */
    uint32_t cgroup;     /* process: index in units[] of its cgroup; else UNIT_NO_INDEX */
    uint32_t session;    /* session units: its number */
    const char *name;    /* "nginx.service", "cc1", "alice", the session's label */
    const char *path;    /* cgroup path from the hierarchy's root; "" otherwise */
    const char *manager; /* "systemd", "docker", "podman", "kubernetes", ...; "" when none */
    const char *type;    /* "service", "scope", "slice", "container", "process", "user" ... */
    const char *labels;  /* escaped Prometheus labels without braces, made once: cgroup="/a",unit="a" */
    uint64_t start_real_ns;
    uint64_t cpu_ns, window_cpu_ns;
    uint64_t peak_uw;          /* session: highest mean power of a window, over the domains in_total; else 0 */
    const uint64_t *energy_uj; /* [n_domains] since first seen */
    const uint64_t *window_uj; /* [n_domains] in this window */
};

struct batch_domain {
    struct domain domain;
    int status;         /* 0 read in this window; -ENODATA nothing new; else the errno of the last failure */
    uint64_t energy_uj; /* since start: the accumulated, wrap-safe counter */
    uint64_t window_uj;
    uint64_t span_ns; /* time that window_uj covers: longer than the window when a source comes back after failing; 0:
                         no reading */
    uint64_t peak_uw; /* highest mean power between two readings inside the window */
    uint64_t entity_uj[ENTITIES];
    uint64_t entity_window_uj[ENTITIES];
    uint64_t wraps, resets, gaps; /* counted since start */
    uint64_t lifetime_uj;         /* over all runs of the program, as of lifetime_real_ns; 0 where none is kept */
    uint64_t lifetime_bridged_uj; /* part of it that was used between runs: in no window, with no owner */
};

struct batch_source {
    const char *name;
    bool up;
    uint64_t reads, errors; /* since start */
    uint64_t read_ns;       /* duration of the last reading */
    uint64_t last_success_real_ns;
    int64_t crosscheck_ppm; /* a second way to counters: what it tells less what the one in use tells, parts per million
                               of the larger; INT64_MIN: none, or not yet */
    const char *message;    /* what is wrong, "" when up */
};

struct batch_activity {
    const char *name;        /* "bpf", "procfs", "tree" */
    const char *tier;        /* "T2" */
    uint64_t switches;       /* context switches seen since start (BPF), else 0 */
    uint64_t run_ns;         /* time in our BPF programs since start, 0 when the kernel does not count it */
    uint64_t unlisted_ns;    /* on-CPU time billed to a cgroup with no thread named, since start */
    uint64_t dropped;        /* threads or cgroups that did not fit a table, since start */
    uint64_t processes_seen; /* since start */
    int64_t crosscheck_ppm;  /* our cgroup total against the kernel's own, parts per million of difference; INT64_MIN:
                                not yet */
};

struct batch_intensity {
    uint64_t mg_kwh;
    const char *zone;      /* "FRA" */
    const char *source;    /* "Ember via OWID 2024" */
    const char *chosen_by; /* "time zone Europe/Paris" */
    enum quality quality;
};

struct batch_self {
    uint64_t cpu_ns; /* user + system of this process */
    uint64_t rss_bytes;
    uint64_t tick_ns; /* CPU time of the tick before this batch's, sealing included */
    uint64_t missed_ticks;
    uint64_t suspends, clock_steps;
    uint64_t conservation_error_uj; /* largest ever seen, over domains and windows: 0 */
    uint64_t windows;
};

struct batch_pool;

struct batch {
    atomic_uint refs;
    struct batch_pool *pool;
    struct arena arena;

    uint64_t seq;                 /* 1, 2, 3, ... */
    struct carnot_now begin, end; /* of the window */
    uint64_t lifetime_real_ns;    /* when lifetimes were last saved; 0: they are not kept, or not yet */
    const char *method;           /* "cpu_time" */
    const char *idle_policy;      /* "none" */

    struct batch_domain *domains;
    size_t n_domains;
    struct batch_unit *units; /* cgroups first, then users, processes, sessions */
    size_t n_units;
    size_t first_of_kind[UNIT_KINDS + 1]; /* [0] first cgroup, [1] user, [2] process, [3] session, [4] n_units */
    struct batch_source *sources;
    size_t n_sources;
    struct batch_activity activity;
    struct batch_intensity intensity;
    struct batch_self self;
};

/* Pool of reusable batches. */
int batch_pool_new(struct batch_pool **ret_pool);
struct batch_pool *
batch_pool_free(struct batch_pool *pool); /* NULL-safe, returns NULL; batches still referenced live until unref'ed */

/* A fresh batch with one reference and an empty arena. -ENOMEM. Thread-safe. */
int batch_new(struct batch_pool *pool, struct batch **ret_batch);
struct batch *batch_ref(struct batch *batch);
struct batch *batch_unref(struct batch *batch); /* NULL-safe, returns NULL */

/* The units of one kind: pointer and count (units are sorted by kind in the order CGROUP, USER, PROCESS, SESSION). */
const struct batch_unit *batch_kind(const struct batch *batch, enum unit_kind kind, size_t *ret_n);

/* The largest |measured - (units + entities)| over domains and the three partitions, of this window, in microjoules: 0,
 * or a bug. */
uint64_t batch_conservation_error_uj(const struct batch *batch);

/* Energy of the node: the domains with in_total. */
uint64_t batch_total_window_uj(const struct batch *batch);
uint64_t batch_total_energy_uj(const struct batch *batch);
/* Energy of one unit over the domains with in_total. */
uint64_t batch_unit_window_uj(const struct batch *batch, const struct batch_unit *unit);
uint64_t batch_unit_energy_uj(const struct batch *batch, const struct batch_unit *unit);

const char *entity_name(enum entity entity);     /* "idle" */
const char *unit_kind_name(enum unit_kind kind); /* "process" */

#endif
