/* SPDX-License-Identifier: Apache-2.0 */
/* Laws of the split that hold for every window, over a million random ones with extreme values among them: the sum is
 * exact; every share is within its bound of the ideal rational share (1 uJ, 3 uJ under the policy equal, which rounds
 * three times); who did not run gets nothing; a bigger weight never gets less by more than 1 uJ; scaling all times
 * changes nothing.
 *
 * CARNOT_PROPERTY_SEED and CARNOT_PROPERTY_ROUNDS choose another run; the seed is printed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attribution/split.h"
#include "base/parse.h"

#define SEED_DEFAULT   0x9e3779b97f4a7c15ULL
#define ROUNDS_DEFAULT 1000000ULL
#define CELLS_MAX      50U
#define GROUPS_MAX     12U
#define ENERGY_BITS    50U

typedef unsigned __int128 u128;

struct window {
    struct split_input in;
    uint64_t weight_ns[CELLS_MAX];
    uint32_t group[CELLS_MAX];
    uint64_t scratch[2 * GROUPS_MAX];
    uint64_t cell_uj[CELLS_MAX];
    struct split_result result;
    uint64_t sum_ns;
};

static uint64_t rng_state;

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t rnd(void)
{
    uint64_t z = rng_state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static uint64_t rnd_below(uint64_t n)
{
    return rnd() % n;
}

/* Any size equally likely, with 0 and 1 and powers of two more often than chance: up to 2^bits. */
static uint64_t rnd_size(unsigned bits)
{
    uint64_t power = 1ULL << rnd_below(bits + 1);

    switch (rnd_below(8)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return power;
    case 3:
        return power - 1;
    default:
        return rnd() & (power - 1);
    }
}

static void window_random(struct window *w)
{
    w->in = (struct split_input){
        .energy_uj = rnd_size(ENERGY_BITS),
        .window_ns = rnd_below(2) ? 1000000000ULL : rnd_size(42), /* up to an hour */
        .n_cpus = (uint32_t)rnd_size(12),
        .idle_uw = rnd_below(2) ? 0 : rnd_size(34),
        .policy = (enum idle_policy)rnd_below(IDLE_POLICIES),
        .weight_ns = w->weight_ns,
        .group = w->group,
        .n = rnd_below(CELLS_MAX + 1),
        .n_groups = (uint32_t)rnd_below(GROUPS_MAX + 1),
        .scratch = w->scratch,
    };
    /* Small weights leave idle time, large ones exceed the capacity, 2^50 exceeds anything. */
    unsigned bits = (unsigned)(rnd_below(4) == 0 ? 50 : rnd_below(34));
    bool nobody = rnd_below(50) == 0;

    w->sum_ns = 0;
    for (size_t i = 0; i < w->in.n; i++) {
        w->weight_ns[i] = nobody ? 0 : rnd_size(bits);
        w->group[i] = rnd_below(5) == 0 || w->in.n_groups == 0 ? SPLIT_NO_GROUP : (uint32_t)rnd_below(w->in.n_groups);
        w->cell_uj[i] = UINT64_MAX; /* what is not written is seen */
        w->sum_ns += w->weight_ns[i];
    }
    memset(w->scratch, 0xa5, sizeof(w->scratch));
}

/* |a/b - c/d| <= bound, each fraction of a non-negative number below 2^64 with denominator below 2^63: compared as
 * share * whole against total * part. */
static bool within(uint64_t share, uint64_t total, uint64_t part, uint64_t whole, u128 bound_uj)
{
    u128 have = (u128)share * whole, ideal = (u128)total * part;

    return (have > ideal ? have - ideal : ideal - have) < bound_uj * whole;
}

static const char *check_parts(const struct window *w)
{
    const struct split_input *in = &w->in;
    const struct split_result *r = &w->result;
    u128 capacity = (u128)in->n_cpus * in->window_ns;

    if (r->active_uj + r->idle_uj != in->energy_uj)
        return "active + idle is not the energy";
    if (r->idle_left_uj > r->idle_uj)
        return "more idle energy left than there was";
    if (r->residual_uj != (w->sum_ns == 0 ? r->active_uj : 0))
        return "residual is not what nobody ran for";
    if (capacity == 0)
        return r->idle_uj ? "an idle part without a capacity" : NULL;
    if (in->idle_uw) {
        u128 known = (u128)in->idle_uw * in->window_ns / 1000000000U;
        return r->idle_uj == (known < in->energy_uj ? known : in->energy_uj) ? NULL : "known idle power not kept to";
    }
    u128 busy = w->sum_ns < capacity ? w->sum_ns : capacity;
    return r->active_uj == (u128)in->energy_uj * busy / capacity ? NULL : "active part is not energy x utilisation";
}

static const char *check_sum(const struct window *w)
{
    u128 sum = (u128)w->result.idle_left_uj + w->result.residual_uj;

    for (size_t i = 0; i < w->in.n; i++)
        sum += w->cell_uj[i];
    return sum == w->in.energy_uj ? NULL : "cells + idle + residual is not the energy";
}

static const char *check_null_player(const struct window *w)
{
    for (size_t i = 0; i < w->in.n; i++) {
        if (w->weight_ns[i] == 0 && w->cell_uj[i] != 0)
            return "energy for a cell that did not run";
    }
    return NULL;
}

/* none and proportional: one rounding. */
static const char *check_shares_weighted(const struct window *w)
{
    bool all = w->in.policy == IDLE_PROPORTIONAL;
    uint64_t total = all ? w->in.energy_uj : w->result.active_uj;

    if (w->sum_ns == 0)
        return w->result.idle_left_uj == w->result.idle_uj ? NULL : "idle energy given to nobody";
    if (w->result.idle_left_uj != (all ? 0 : w->result.idle_uj))
        return "idle energy left does not fit the policy";
    for (size_t i = 0; i < w->in.n; i++) {
        if (!within(w->cell_uj[i], total, w->weight_ns[i], w->sum_ns, 1))
            return "a share is 1 uJ or more from the ideal";
        for (size_t j = 0; j < i; j++) {
            size_t big = w->weight_ns[i] >= w->weight_ns[j] ? i : j, small = i + j - big;
            if (w->cell_uj[big] + 1 < w->cell_uj[small])
                return "a bigger weight got less";
        }
    }
    return NULL;
}

/* equal: the active share, the group's idle share and the cell's part of it are rounded, each by less than 1 uJ. */
static const char *check_shares_equal(const struct window *w)
{
    uint64_t group_ns[GROUPS_MAX] = {0}, group_uj[GROUPS_MAX] = {0}, n_ran = 0;
    double active = (double)w->result.active_uj, idle = (double)w->result.idle_uj;

    for (size_t i = 0; i < w->in.n; i++) {
        if (w->group[i] < GROUPS_MAX)
            group_ns[w->group[i]] += w->weight_ns[i];
    }
    for (size_t g = 0; g < GROUPS_MAX; g++)
        n_ran += group_ns[g] > 0;
    if (w->result.idle_left_uj != (n_ran ? 0 : w->result.idle_uj))
        return "idle energy left does not fit the policy";
    for (size_t i = 0; i < w->in.n; i++) {
        uint32_t g = w->group[i];
        if (g == SPLIT_NO_GROUP) {
            if (w->sum_ns && !within(w->cell_uj[i], w->result.active_uj, w->weight_ns[i], w->sum_ns, 1))
                return "a cell without a group got something else than its active share";
            continue;
        }
        group_uj[g] += w->cell_uj[i];
        if (group_ns[g] == 0)
            continue;
        double ideal = active * (double)w->weight_ns[i] / (double)w->sum_ns +
                       idle / (double)n_ran * ((double)w->weight_ns[i] / (double)group_ns[g]);
        double diff = (double)w->cell_uj[i] - ideal;
        /* energies are below 2^50: a double is exact to 2^-3 */
        if (diff > 3.25 || diff < -3.25)
            return "a share under equal is more than 3 uJ from the ideal";
    }
    /* Whole groups: what is beyond the active part differs from idle / n by the active roundings (1) and its own (1).
     */
    for (size_t g = 0; g < GROUPS_MAX; g++) {
        double ideal = group_ns[g] ? active * (double)group_ns[g] / (double)w->sum_ns + idle / (double)n_ran : 0;
        double diff = (double)group_uj[g] - ideal;
        if (diff > (double)w->in.n + 1.25 || diff < -(double)w->in.n - 1.25)
            return "a group under equal is off";
    }
    return NULL;
}

/* All times twice (or k times) as long: the same energies. Only with idle power unknown; a known power is per time. */
static const char *check_scale(const struct window *w)
{
    struct window scaled = *w;
    uint64_t k = 2 + rnd_below(9);

    if (w->in.idle_uw)
        return NULL;
    for (size_t i = 0; i < w->in.n; i++)
        scaled.weight_ns[i] *= k;
    scaled.in.weight_ns = scaled.weight_ns;
    scaled.in.group = scaled.group;
    scaled.in.scratch = scaled.scratch;
    scaled.in.window_ns *= k;
    split_cpu_time(&scaled.in, scaled.cell_uj, &scaled.result);
    if (memcmp(&scaled.result, &w->result, sizeof(w->result)) != 0)
        return "scaling the times changed the parts";
    if (w->in.n && memcmp(scaled.cell_uj, w->cell_uj, w->in.n * sizeof(w->cell_uj[0])) != 0)
        return "scaling the times changed a share";
    return NULL;
}

static const char *check_apportion(const struct window *w)
{
    uint64_t shares[CELLS_MAX];
    uint64_t given = apportion(w->in.energy_uj, w->weight_ns, w->in.n, shares);
    u128 cumulative = 0;
    uint64_t sum = 0;

    if (given != (w->sum_ns ? w->in.energy_uj : 0))
        return "apportion does not return what it gave";
    for (size_t i = 0; i < w->in.n; i++) {
        cumulative += w->weight_ns[i];
        sum += shares[i];
        /* the definition itself, by division */
        if (sum != (w->sum_ns ? (u128)w->in.energy_uj * cumulative / w->sum_ns : 0))
            return "apportion is not cumulative rounding";
    }
    return sum == given ? NULL : "shares do not add up";
}

static const char *check(struct window *w)
{
    const char *bad = check_apportion(w);

    split_cpu_time(&w->in, w->cell_uj, &w->result);
    if (!bad)
        bad = check_parts(w);
    if (!bad)
        bad = check_sum(w);
    if (!bad)
        bad = check_null_player(w);
    if (!bad)
        bad = w->in.policy == IDLE_EQUAL ? check_shares_equal(w) : check_shares_weighted(w);
    if (!bad)
        bad = check_scale(w);
    return bad;
}

static void print_window(const struct window *w)
{
    printf("energy %" PRIu64 " uJ, window %" PRIu64 " ns, %u CPUs, idle %" PRIu64 " uW, policy %s, %u groups\n",
           w->in.energy_uj, w->in.window_ns, w->in.n_cpus, w->in.idle_uw, idle_policy_names[w->in.policy],
           w->in.n_groups);
    for (size_t i = 0; i < w->in.n; i++)
        printf("  cell %zu: %" PRIu64 " ns, group %" PRId32 ": %" PRIu64 " uJ\n", i, w->weight_ns[i],
               (int32_t)w->group[i], w->cell_uj[i]);
    printf("active %" PRIu64 ", idle %" PRIu64 ", idle left %" PRIu64 ", residual %" PRIu64 "\n", w->result.active_uj,
           w->result.idle_uj, w->result.idle_left_uj, w->result.residual_uj);
}

static int setting(const char *name, uint64_t def, uint64_t *ret)
{
    const char *text = getenv(name);

    *ret = def;
    if (!text || parse_u64(text_of(text), ret) >= 0)
        return 0;
    fprintf(stderr, "%s: \"%s\" is not a decimal number\n", name, text);
    return -1;
}

int main(void)
{
    static struct window w;
    uint64_t seed, rounds;
    uint64_t per_policy[IDLE_POLICIES] = {0}, nobody = 0, over = 0;

    if (setting("CARNOT_PROPERTY_SEED", SEED_DEFAULT, &seed) < 0 ||
        setting("CARNOT_PROPERTY_ROUNDS", ROUNDS_DEFAULT, &rounds) < 0)
        return 64;
    printf("CARNOT_PROPERTY_SEED=%" PRIu64 " CARNOT_PROPERTY_ROUNDS=%" PRIu64 "\n", seed, rounds);
    rng_state = seed;
    for (uint64_t i = 0; i < rounds; i++) {
        window_random(&w);
        const char *bad = check(&w);
        if (bad) {
            printf("window %" PRIu64 ": %s\n", i, bad);
            print_window(&w);
            return 1;
        }
        per_policy[w.in.policy]++;
        nobody += w.sum_ns == 0;
        over += w.sum_ns > (u128)w.in.n_cpus * w.in.window_ns;
    }
    printf("%" PRIu64 " windows: none %" PRIu64 ", equal %" PRIu64 ", proportional %" PRIu64 "; nobody ran in %" PRIu64
           ", more than the capacity in %" PRIu64 "\n",
           rounds, per_policy[IDLE_NONE], per_policy[IDLE_EQUAL], per_policy[IDLE_PROPORTIONAL], nobody, over);
    return 0;
}
