/* SPDX-License-Identifier: Apache-2.0 */
/* The split of one domain's energy among cells. Knows the method cpu_time and the idle policies (docs/METHODS.md holds
 * the proof that they conserve); refuses to know what a cell stands for. */
#include "attribution/split.h"

#include <string.h>

#include "model/quantity.h"

const char *const idle_policy_names[] = {"none", "equal", "proportional", NULL};
_Static_assert(sizeof(idle_policy_names) / sizeof(idle_policy_names[0]) == IDLE_POLICIES + 1, "a name per policy");

/* floor(total * part / whole) for any 0 <= part <= whole, with whole fixed: two products instead of a division.
 *
 * scale = floor(total * 2^shift / whole) with 2^shift > whole, hence scale / 2^shift is at most 2^-shift below
 * total / whole, and scale * part / 2^shift less than 1 below the wanted quotient: the remainder tells. */
struct ratio {
    uint64_t total, whole, scale;
    unsigned shift;
};

/* total < 2^63, so that scale < 2 * total fits 64 bits; whole > 0. */
static struct ratio ratio_of(uint64_t total, uint64_t whole)
{
    unsigned shift = 64U - (unsigned)__builtin_clzll(whole);

    return (struct ratio){
        .total = total,
        .whole = whole,
        .scale = (uint64_t)(((unsigned __int128)total << shift) / whole),
        .shift = shift,
    };
}

static inline uint64_t ratio_floor(const struct ratio *ratio, uint64_t part)
{
    uint64_t q = (uint64_t)(((unsigned __int128)ratio->scale * part) >> ratio->shift);
    unsigned __int128 rest = (unsigned __int128)ratio->total * part - (unsigned __int128)q * ratio->whole;

    return q + (rest >= ratio->whole);
}

static uint64_t sum_u64(const uint64_t *values, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return sum;
}

/* As apportion, with the sum of the weights known and not 0. */
static void apportion_known(uint64_t total_uj, const uint64_t *weights, size_t n, uint64_t sum, uint64_t *ret_shares)
{
    uint64_t cumulative = 0, given = 0;

    if (total_uj > INT64_MAX) { /* 9 TJ in one window: no machine, but no reason to be wrong either */
        for (size_t i = 0; i < n; i++) {
            cumulative += weights[i];
            uint64_t upto = muldiv_u64(total_uj, cumulative, sum);
            ret_shares[i] = upto - given;
            given = upto;
        }
        return;
    }

    struct ratio ratio = ratio_of(total_uj, sum);
    for (size_t i = 0; i < n; i++) {
        cumulative += weights[i];
        uint64_t upto = ratio_floor(&ratio, cumulative);
        ret_shares[i] = upto - given;
        given = upto;
    }
}

static void clear(uint64_t *values, size_t n)
{
    if (n)
        memset(values, 0, n * sizeof(*values));
}

uint64_t apportion(uint64_t total_uj, const uint64_t *weights, size_t n, uint64_t *ret_shares)
{
    uint64_t sum = sum_u64(weights, n);

    if (sum == 0) {
        clear(ret_shares, n);
        return 0;
    }
    apportion_known(total_uj, weights, n, sum, ret_shares);
    return total_uj;
}

uint64_t weights_normalise(uint64_t *weights, size_t n)
{
    unsigned __int128 sum = 0;
    unsigned shift = 0;

    for (size_t i = 0; i < n; i++)
        sum += weights[i];
    while (sum >> shift > INT64_MAX)
        shift++;
    for (size_t i = 0; shift && i < n; i++)
        weights[i] >>= shift;
    return sum > UINT64_MAX ? UINT64_MAX : (uint64_t)sum;
}

uint64_t split_idle_uj(uint64_t energy_uj, uint64_t window_ns, uint64_t idle_uw, uint64_t busy, uint64_t capacity)
{
    if (capacity == 0)
        return 0;
    if (idle_uw)
        return min_u64(energy_uj, energy_of_power_uj(idle_uw, window_ns));
    return energy_uj - muldiv_u64(energy_uj, min_u64(busy, capacity), capacity);
}

/* The part of the energy that the domain would have used with nobody on its CPUs. */
static uint64_t idle_part_uj(const struct split_input *in, uint64_t busy_ns)
{
    uint64_t capacity_ns = mul_saturating_u64(in->window_ns, in->n_cpus);

    return split_idle_uj(in->energy_uj, in->window_ns, in->idle_uw, busy_ns, capacity_ns);
}

/* What one group that ran gets of the idle energy: the same for all, and the microjoules that do not divide go one each
 * to the first groups. */
struct equal_shares {
    uint64_t each_uj;
    uint32_t first_without; /* groups below this one get one microjoule more */
};

/* Fills sums[n_groups] with the weight of each group. Returns the number of groups that ran. */
static uint32_t sum_groups(const struct split_input *in, uint64_t *sums)
{
    uint32_t n_ran = 0;

    clear(sums, in->n_groups);
    for (size_t i = 0; i < in->n; i++) {
        if (in->group[i] < in->n_groups)
            sums[in->group[i]] += in->weight_ns[i];
    }
    for (uint32_t g = 0; g < in->n_groups; g++)
        n_ran += sums[g] > 0;
    return n_ran;
}

static struct equal_shares divide_equally(uint64_t idle_uj, const uint64_t *sums, uint32_t n_groups, uint32_t n_ran)
{
    struct equal_shares shares = {.each_uj = idle_uj / n_ran};
    uint64_t extra = idle_uj % n_ran;

    for (uint32_t g = 0; g < n_groups && extra; g++) {
        extra -= sums[g] > 0;
        shares.first_without = g + 1;
    }
    return shares;
}

/* Adds idle energy to the cells: equal among groups, inside a group by weight, cumulatively rounded as in apportion.
 * Returns what was given. */
static uint64_t add_idle_equally(const struct split_input *in, uint64_t idle_uj, uint64_t *cell_uj)
{
    if (in->n_groups == 0)
        return 0;

    uint64_t *sums = in->scratch;
    uint64_t *cumulative = in->scratch + in->n_groups;
    uint32_t n_ran = sum_groups(in, sums);
    if (n_ran == 0)
        return 0;

    struct equal_shares shares = divide_equally(idle_uj, sums, in->n_groups, n_ran);
    clear(cumulative, in->n_groups);
    for (size_t i = 0; i < in->n; i++) {
        uint32_t g = in->group[i];
        if (g >= in->n_groups || in->weight_ns[i] == 0)
            continue;

        uint64_t group_uj = shares.each_uj + (g < shares.first_without);
        uint64_t before = cumulative[g];
        cumulative[g] += in->weight_ns[i];
        cell_uj[i] += muldiv_u64(group_uj, cumulative[g], sums[g]) - muldiv_u64(group_uj, before, sums[g]);
    }
    return idle_uj;
}

void split_cpu_time(const struct split_input *in, uint64_t *cell_uj, struct split_result *ret)
{
    uint64_t sum_ns = sum_u64(in->weight_ns, in->n);
    uint64_t idle_uj = idle_part_uj(in, max_u64(in->busy_ns, sum_ns));
    uint64_t active_uj = in->energy_uj - idle_uj;

    *ret = (struct split_result){.active_uj = active_uj, .idle_uj = idle_uj, .idle_left_uj = idle_uj};
    if (sum_ns == 0) { /* nobody ran: no owner for the one part, nobody to give the other to */
        ret->residual_uj = active_uj;
        clear(cell_uj, in->n);
        return;
    }
    switch (in->policy) {
    case IDLE_PROPORTIONAL: /* both parts by the same weights: one apportionment, rounded once */
        apportion_known(in->energy_uj, in->weight_ns, in->n, sum_ns, cell_uj);
        ret->idle_left_uj = 0;
        break;
    case IDLE_EQUAL:
        apportion_known(active_uj, in->weight_ns, in->n, sum_ns, cell_uj);
        ret->idle_left_uj = idle_uj - add_idle_equally(in, idle_uj, cell_uj);
        break;
    case IDLE_NONE:
    default:
        apportion_known(active_uj, in->weight_ns, in->n, sum_ns, cell_uj);
        break;
    }
}
