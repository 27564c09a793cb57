/* SPDX-License-Identifier: Apache-2.0 */
/* Who pays for energy that nobody's work caused: idle power of a domain, what of a node no meter explains (host minus
 * its parts), an idle accelerator. One set of policies for all of it; each conserves to the microjoule.
 *
 * Knows players (control groups, jobs, tenants) as numbers; does not know what they are. */
#ifndef CARNOT_ATTRIBUTION_IDLE_H
#define CARNOT_ATTRIBUTION_IDLE_H

#include "attribution/split.h"

extern const char *const idle_policy_all_names[]; /* "none", "equal", "proportional", "reservation", "shapley", NULL */

/* Each array has a value for every player; one that the policy does not use may be NULL. */
struct idle_players {
    size_t n;
    const bool *pays;          /* NULL: all. Others (kernel, monitor) get nothing under any policy but proportional */
    const uint64_t *active_uj; /* proportional: what each used */
    const uint64_t *reserved;  /* reservation: what each holds of the capacity, in any one unit */
    uint64_t capacity;         /* reservation: of which that is a part */
    const double *presence;    /* shapley: part of the window during which it ran, 0 .. 1 */
    double *scratch;           /* shapley: room for 2 n values */
};

/* ret_uj[n] gets each player's part. Returns their sum; the rest of total_uj stays with the entity idle:
 *   none          all of it
 *   equal         nothing (all, when nobody pays)
 *   proportional  nothing (all, when nobody used anything)
 *   reservation   what nobody reserved; nothing when all reservations fill the capacity or more
 *   shapley       the part of the window in which nobody was present */
uint64_t idle_share(enum idle_policy policy, uint64_t total_uj, const struct idle_players *players, uint64_t *ret_uj);

/* What a player reserves of a machine's CPUs, in thousandths of a CPU: the least of its quota (quota_us of every
 * period_us; a quota of 0 or a period of 0: none), its set of CPUs (0: all) and the machine. */
uint64_t idle_reserved_mcpu(uint64_t quota_us, uint64_t period_us, uint32_t cpuset_cpus, uint32_t machine_cpus);

/* Of memory, in bytes: its limit, at most the machine's; without a limit (0) all of it. */
uint64_t idle_reserved_bytes(uint64_t limit, uint64_t machine_bytes);

/* Gives each player's part to its cells by weight, exactly: ret_uj[i] is the part of cell i, of player group[i] (values
 * of n and above: none, gets 0). A player whose cells weigh nothing gives its part to the first of them. sums[2 * n] is
 * scratch. Returns what was given: all but the parts of players without a cell. */
uint64_t idle_to_cells(const uint64_t *player_uj, size_t n, const uint32_t *group, const uint64_t *weight,
                       size_t n_cells, uint64_t *sums, uint64_t *ret_uj);

#endif
