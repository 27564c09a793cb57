/* SPDX-License-Identifier: Apache-2.0 */
/* Splits the energy of one domain and window among cells, in whole microjoules, with nothing left over.
 *
 * A cell is the smallest owner: one process in one cgroup (or what a cgroup used beyond its listed processes, the
 * kernel's own threads, the monitor). Units are sums of cells, so that what holds for cells holds at every level. */
#ifndef CARNOT_ATTRIBUTION_SPLIT_H
#define CARNOT_ATTRIBUTION_SPLIT_H

#include "base/err.h"
#include "base/util.h"

/* Those up to IDLE_POLICIES are known to split_cpu_time, all to idle.h. */
enum idle_policy {
    IDLE_NONE,
    IDLE_EQUAL,
    IDLE_PROPORTIONAL,
    IDLE_POLICIES,
    IDLE_RESERVATION = IDLE_POLICIES,
    IDLE_SHAPLEY,
    IDLE_POLICIES_ALL,
};
extern const char *const idle_policy_names[]; /* "none", "equal", "proportional", NULL */

/* Exact apportionment: shares proportional to weights with sum(shares) == total_uj, each within 1 uJ of the ideal.
 * Cumulative rounding: share_i = floor(E*W_i/W) - floor(E*W_{i-1}/W) with W_i the running sum; O(n), no allocation.
 * Returns what was given: total_uj, or 0 when every weight is 0 (the shares are then 0). Sums of weights must fit 64
 * bits (n * window_ns does for 10^10 threads and a second). ret_shares may be weights. */
uint64_t apportion(uint64_t total_uj, const uint64_t *weights, size_t n, uint64_t *ret_shares);

/* Where the sum of the weights does not fit 63 bits, all of them are shifted right until it does. Returns the sum as it
 * was, at most UINT64_MAX. */
uint64_t weights_normalise(uint64_t *weights, size_t n);

/* What a domain would have used with nobody on its CPUs: known idle power x time, else energy x (1 - utilisation), with
 * busy and capacity in any one unit. 0 for a capacity of 0; never more than the energy. */
uint64_t split_idle_uj(uint64_t energy_uj, uint64_t window_ns, uint64_t idle_uw, uint64_t busy, uint64_t capacity);

#define SPLIT_NO_GROUP UINT32_MAX

struct split_input {
    uint64_t energy_uj; /* measured in this window */
    uint64_t window_ns;
    uint32_t n_cpus;  /* online CPUs that the domain covers; 0: none known */
    uint64_t idle_uw; /* known idle power; 0: unknown, then the idle part is energy x (1 - utilisation) */
    enum idle_policy policy;
    const uint64_t *weight_ns; /* [n] on-CPU time of each cell on the CPUs of the domain, or what counts of it */
    uint64_t busy_ns;          /* on-CPU time of all cells, for the utilisation; 0: the sum of the weights */
    const uint32_t *group; /* [n] the cell's cgroup, for the policy `equal`; SPLIT_NO_GROUP (kernel, monitor) takes no
                              idle energy under equal */
    size_t n;
    uint32_t n_groups; /* groups are 0 .. n_groups - 1 */
    uint64_t *scratch; /* room for 2 * n_groups values */
};

struct split_result {
    uint64_t active_uj, idle_uj; /* of the domain, before the policy gave idle energy away */
    uint64_t idle_left_uj;       /* entity idle: what the policy left */
    uint64_t residual_uj;        /* entity residual: energy for which no owner is known */
};

/* cell_uj[n] gets each cell's energy (active and, by the policy, idle). Always: sum(cell_uj) + idle_left + residual ==
 * energy_uj. Method `cpu_time`: active energy in proportion to weight_ns. */
void split_cpu_time(const struct split_input *in, uint64_t *cell_uj, struct split_result *ret);

#endif
