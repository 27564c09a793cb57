/* SPDX-License-Identifier: Apache-2.0 */
/* What the methods share: splitting by one weight a cell with an idle part and its errors, and memory, which no method
 * may split by CPU time. */
#ifndef CARNOT_ATTRIBUTION_METHOD_INTERNAL_H
#define CARNOT_ATTRIBUTION_METHOD_INTERNAL_H

#include "attribution/method.h"
#include "attribution/split.h"

extern const struct method_ops method_cpu_time, method_smt, method_counters, method_energat;

/* Relative standard deviation, over workloads, of the energy of what a method takes for equal; 1: nothing is known.
 * HaPPy (ATC'14) found mean errors of 20.5 % for shares by CPU time and 7.5 % with the siblings' overlap, on one
 * service's tasks (a mean absolute error is 0.8 standard deviations of a normal distribution). Tasks that differ in
 * kind (memory, vector code) are further apart: in the simulated mixes of tests/unit/attribution/synthetic.c, whose
 * memory and CPU-bound tenants differ by a factor of two per second, shares are off by 16 % with either. */
#define SPREAD_CPU_TIME 0.30
#define SPREAD_SMT      0.25
/* DRAM: reads, writes and row misses cost differently per miss; bytes held say next to nothing of traffic. */
#define SPREAD_MISSES   0.15
#define SPREAD_RESIDENT 1.0
#define SPREAD_NONE     1.0

/* Sums of the groups; grown when there are more of them than ever before. */
struct group_sums {
    double *sum;
    size_t cap;
};

/* Kernel and monitor are one player beside the groups. */
static inline size_t players_of(const struct method_window *window)
{
    return (size_t)window->n_groups + 1;
}

/* Clears `columns` sums for each player. false without groups or memory. */
bool group_sums_start(struct group_sums *groups, const struct method_window *window, size_t columns);

static inline size_t group_of(const struct method_window *window, size_t i)
{
    return window->group[i] < window->n_groups ? window->group[i] : window->n_groups;
}

static inline bool knows(const struct method_window *window, enum feature feature)
{
    return window->known & FEATURE_BIT(feature);
}

static inline uint32_t cores_of(const struct method_window *window)
{
    return window->n_cores && window->n_cores < window->n_cpus ? window->n_cores : window->n_cpus;
}

/* Hyperthreads share cores, or nothing is known of that. */
static inline bool has_smt(const struct method_window *window)
{
    return cores_of(window) != window->n_cpus;
}

/* Splits idle and active energy of a package: on entry uj holds weights, `busy` is their sum (weights_normalise) and
 * `capacity` what it would be with every CPU busy. result->used is the caller's. */
void split_weighted(struct group_sums *groups, const struct method_window *window, uint64_t busy, uint64_t capacity,
                    double spread, uint64_t *uj, struct method_error *errors, struct method_result *result);

/* Memory without a model: by misses that the node served, else by bytes held. Sets the whole result. */
void split_memory(struct group_sums *groups, const struct method_window *window, uint64_t *uj,
                  struct method_error *errors, struct method_result *result);

/* By on-CPU time; by time with the overlap shared, where it is known. Set the whole result. */
void split_by_cpu_time(struct group_sums *groups, const struct method_window *window, uint64_t *uj,
                       struct method_error *errors, struct method_result *result);
void split_by_smt(struct group_sums *groups, const struct method_window *window, double smt_factor, uint64_t *uj,
                  struct method_error *errors, struct method_result *result);

/* No owner is known. */
void split_nothing(const struct method_window *window, const char *why, uint64_t *uj, struct method_error *errors,
                   struct method_result *result);

/* result->crowding from the shares; needs active_uj. */
void result_crowding(struct group_sums *groups, const struct method_window *window, const uint64_t *uj,
                     struct method_result *result);

double mode_length(const double *mode_uj);

/* sigma_uj from the modes and the spread. */
void error_total(const struct method_result *result, uint64_t share_uj, struct method_error *error);

int settings_check(const struct method_settings *settings, struct carnot_err *err);

#endif
