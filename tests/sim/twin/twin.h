/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated machine on which the energy of every thread is known, for judging methods of attribution. Physics in,
 * truth and what sensors and counters would have shown out. Knows no file system and no method; everything follows from
 * the seed.
 *
 * What is called true is a convention where energy has several causes, the one that docs/METHODS.md states: what a core
 * needs for being on is shared equally by the hyperthreads that are on, what a package needs for being awake equally by
 * the tenants that are present (Shapley values of those games), everything else belongs to the thread that caused it;
 * what a machine draws with nobody on it, at its temperature, is idle energy. */
#ifndef CARNOT_SIM_TWIN_H
#define CARNOT_SIM_TWIN_H

#include "attribution/method.h"

#define TWIN_SLICE_NS    1000000ULL /* who runs where changes at most once a millisecond */
#define TWIN_SOCKETS_MAX 2
#define TWIN_CORES_MAX   64 /* per socket */
#define TWIN_SMT_MAX     2
#define TWIN_CPUS_MAX    (TWIN_SOCKETS_MAX * TWIN_CORES_MAX * TWIN_SMT_MAX)
#define TWIN_THREADS_MAX 192
#define TWIN_TENANTS_MAX 32

/* Watts per socket or core, nanojoules per event at nominal voltage. */
struct twin_hardware {
    unsigned sockets, cores, smt;
    double base_ghz, turbo_ghz, all_turbo_ghz; /* nominal; one core awake; all awake */
    double voltage_slope;                      /* relative change of voltage over that of frequency */
    double leak_w, leak_per_degree;            /* of a socket at 40 degrees; relative change per degree */
    double degrees_per_w, thermal_s;           /* above ambient; time constant */
    double uncore_idle_w, uncore_awake_w;      /* always; while any core is on */
    double core_on_w, core_ghz_w;              /* of a core that is on: times V, and times f V^2 */
    double smt_yield;                          /* throughput of each of two hyperthreads over that of one alone */
    double miss_nj, remote_nj;                 /* in the package of who asks; more for another node's memory */
    double dram_idle_w, dram_miss_nj;          /* per node */
    double cap_w;                              /* power limit of a socket, 0: none */
};
extern const struct twin_hardware twin_server; /* two sockets of 16 cores, 3.0 GHz, some 250 W each */

/* What a model does not know of, each off by 0. */
struct twin_mismatch {
    double toggle;    /* energy per instruction wanders by so much (0.15), as operands change */
    double cache;     /* share of hidden cache energy that is really there (1: all of twin_work.cache_nj) */
    double filtering; /* noise of the energy counter, relative to the energy of 20 ms */
    double multiplex; /* relative noise of counters that share a register */
};

/* What a thread does when it runs, and when it wants to. */
struct twin_work {
    double ipc, instruction_nj, cache_nj, mpki, remote; /* remote: part of the misses served by the other node */
    double duty, period_s, phase;                       /* wants to run for duty of each period; 0 s: at random */
    double from_s, until_s;                             /* alive; until 0: for ever */
    int socket, cpu;                                    /* -1: anywhere; cpu pins */
    double gib;                                         /* resident on its socket's node */
};

struct twin_thread {
    unsigned tenant;
    struct twin_work work;
};

struct twin_setup {
    const struct twin_hardware *hardware;
    struct twin_mismatch mismatch;
    struct twin_thread threads[TWIN_THREADS_MAX];
    size_t n_threads;
    unsigned n_tenants;
    uint64_t seed;
};

/* One package or node in one window: what would have been measured, and what was. Cells are threads, groups tenants. */
struct twin_domain {
    struct method_window window; /* points into this */
    struct cell_features cells[TWIN_THREADS_MAX];
    uint32_t group[TWIN_THREADS_MAX];
    double true_j[TWIN_THREADS_MAX]; /* by thread */
    double true_idle_j, true_total_j;
};

struct twin_window {
    struct twin_domain package[TWIN_SOCKETS_MAX], dram[TWIN_SOCKETS_MAX];
};

struct twin;

/* -ENOMEM; -EINVAL for a setup out of bounds. */
int twin_new(const struct twin_setup *setup, struct twin **ret_twin);
struct twin *twin_free(struct twin *twin); /* NULL-safe, returns NULL */

/* Lets window_ns pass (whole slices) and tells what happened. */
void twin_run(struct twin *twin, uint64_t window_ns, struct twin_window *ret_window);

/* What a calibration of this machine with nobody on it would give, per socket and node. */
uint64_t twin_idle_uw(const struct twin_hardware *hardware);
uint64_t twin_dram_idle_uw(const struct twin_hardware *hardware);

/* A better-known tier is made poorer: only these features stay known, and the times that need context switches go with
 * FEATURE_OVERLAP_NS. */
void twin_degrade(struct method_window *window, unsigned known);

#endif
