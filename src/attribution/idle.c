/* SPDX-License-Identifier: Apache-2.0 */
/* Idle policies as weights for one apportionment. Knows that every microjoule goes to a player or stays idle. */
#include "attribution/idle.h"

#include <math.h>
#include <string.h>

#include "attribution/shapley.h"
#include "model/quantity.h"

const char *const idle_policy_all_names[] = {"none", "equal", "proportional", "reservation", "shapley", NULL};
_Static_assert(sizeof(idle_policy_all_names) / sizeof(idle_policy_all_names[0]) == IDLE_POLICIES_ALL + 1,
               "a name per policy");

/* Shapley values are parts of 1 in units of this: a double has 53 bits. */
#define PART_ONE (1ULL << 52)

static bool pays(const struct idle_players *players, size_t i)
{
    return !players->pays || players->pays[i];
}

static uint64_t share_equally(uint64_t total_uj, const struct idle_players *players, uint64_t *ret_uj)
{
    for (size_t i = 0; i < players->n; i++)
        ret_uj[i] = pays(players, i);
    return apportion(total_uj, ret_uj, players->n, ret_uj);
}

static uint64_t share_by_use(uint64_t total_uj, const struct idle_players *players, uint64_t *ret_uj)
{
    memcpy(ret_uj, players->active_uj, players->n * sizeof(*ret_uj));
    weights_normalise(ret_uj, players->n);
    return apportion(total_uj, ret_uj, players->n, ret_uj);
}

/* What is reserved pays, what is not stays idle; overbooked, all is reserved. */
static uint64_t share_by_reservation(uint64_t total_uj, const struct idle_players *players, uint64_t *ret_uj)
{
    for (size_t i = 0; i < players->n; i++)
        ret_uj[i] = pays(players, i) ? min_u64(players->reserved[i], players->capacity) : 0;
    uint64_t reserved = weights_normalise(ret_uj, players->n);
    uint64_t due_uj = muldiv_u64(total_uj, min_u64(reserved, players->capacity), players->capacity);
    return apportion(due_uj, ret_uj, players->n, ret_uj);
}

/* The cost is there as soon as anybody is. Parts of the window in which nobody was stay idle. */
static uint64_t share_by_presence(uint64_t total_uj, const struct idle_players *players, uint64_t *ret_uj)
{
    double *part = players->scratch, *presence = players->scratch + players->n;

    for (size_t i = 0; i < players->n; i++)
        presence[i] = pays(players, i) ? players->presence[i] : 0.0;
    double somebody = fmin(shapley_or(presence, players->n, part), 1.0);
    for (size_t i = 0; i < players->n; i++)
        ret_uj[i] = (uint64_t)(fmin(part[i], 1.0) * (double)PART_ONE);
    weights_normalise(ret_uj, players->n);
    uint64_t due_uj = muldiv_u64(total_uj, (uint64_t)(somebody * (double)PART_ONE), PART_ONE);
    return apportion(due_uj, ret_uj, players->n, ret_uj);
}

uint64_t idle_share(enum idle_policy policy, uint64_t total_uj, const struct idle_players *players, uint64_t *ret_uj)
{
    if (players->n == 0)
        return 0;
    switch (policy) {
    case IDLE_EQUAL:
        return share_equally(total_uj, players, ret_uj);
    case IDLE_PROPORTIONAL:
        return share_by_use(total_uj, players, ret_uj);
    case IDLE_RESERVATION:
        return share_by_reservation(total_uj, players, ret_uj);
    case IDLE_SHAPLEY:
        return share_by_presence(total_uj, players, ret_uj);
    case IDLE_NONE:
    case IDLE_POLICIES_ALL:
    default:
        memset(ret_uj, 0, players->n * sizeof(*ret_uj));
        return 0;
    }
}

uint64_t idle_reserved_mcpu(uint64_t quota_us, uint64_t period_us, uint32_t cpuset_cpus, uint32_t machine_cpus)
{
    uint64_t most = 1000ULL * machine_cpus;

    if (cpuset_cpus)
        most = min_u64(most, 1000ULL * cpuset_cpus);
    if (quota_us && period_us)
        most = min_u64(most, muldiv_u64(quota_us, 1000, period_us));
    return most;
}

uint64_t idle_reserved_bytes(uint64_t limit, uint64_t machine_bytes)
{
    return limit ? min_u64(limit, machine_bytes) : machine_bytes;
}

/* floor(uj * upto / whole) - floor(uj * before / whole), as in apportion, with one running sum a player. */
uint64_t idle_to_cells(const uint64_t *player_uj, size_t n, const uint32_t *group, const uint64_t *weight,
                       size_t n_cells, uint64_t *sums, uint64_t *ret_uj)
{
    uint64_t *whole = sums, *upto = sums + n, given = 0;

    if (n)
        memset(sums, 0, 2 * n * sizeof(*sums));
    for (size_t i = 0; i < n_cells; i++) {
        if (group[i] < n)
            whole[group[i]] = add_saturating_u64(whole[group[i]], weight[i]);
    }
    for (size_t i = 0; i < n_cells; i++) {
        size_t g = group[i];
        ret_uj[i] = 0;
        if (g >= n || (whole[g] == 0 && upto[g]))
            continue;
        if (whole[g] == 0) { /* nobody in it did anything: the first stands for all */
            ret_uj[i] = player_uj[g];
            upto[g] = 1;
        } else {
            uint64_t before = upto[g];
            upto[g] = before + min_u64(weight[i], whole[g] - before);
            ret_uj[i] = muldiv_u64(player_uj[g], upto[g], whole[g]) - muldiv_u64(player_uj[g], before, whole[g]);
        }
        given += ret_uj[i];
    }
    return given;
}
