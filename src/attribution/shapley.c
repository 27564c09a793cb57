/* SPDX-License-Identifier: Apache-2.0 */
/* Shapley values in closed form, by all sets, by sampled orders. Knows costs of sets; does not know what costs. */
#include "attribution/shapley.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Gauss-Legendre, 8 nodes on 0 .. 1: nodes and weights of one half, the other half mirrors them (Abramowitz and Stegun,
 * table 25.4). */
static const double gauss_node[4] = {0.0198550717512319, 0.1016667612931866, 0.2372337950418355, 0.4082826787521751};
static const double gauss_weight[4] = {0.0506142681451881, 0.1111905172266872, 0.1568533229389436, 0.1813418916891810};

/* Half the width of a 95 % interval in standard deviations. */
#define Z_95 1.959964

static double clip(double part)
{
    return part > 0.0 ? fmin(part, 1.0) : 0.0;
}

/* Adds the integrand's part at u = 1 - t, for all players: p_i prod_{j != i} (1 - p_j u). */
static void or_node(const double *presence, size_t n, double u, double weight, double *shares)
{
    double all = weight;

    for (size_t i = 0; i < n; i++)
        all *= 1.0 - clip(presence[i]) * u;
    for (size_t i = 0; i < n; i++) {
        double p = clip(presence[i]);
        shares[i] += p * all / (1.0 - p * u);
    }
}

/* Coming into an order at a time t uniform in 0 .. 1, player i finds player j there and earlier with probability p_j t,
 * so that it opens with probability p_i prod_{j != i} (1 - p_j t), and its share is the integral over t. The integrand
 * falls like exp(-t sum p): panels grow in steps of that length, and eight nodes a panel leave 10^-10 of the whole. The
 * sum is known exactly, and scaling to it takes the rest of the error away. */
double shapley_or(const double *presence, size_t n, double *ret_shares)
{
    double expected = 0.0, nobody = 1.0, sum = 0.0;

    for (size_t i = 0; i < n; i++) {
        expected += clip(presence[i]);
        nobody *= 1.0 - clip(presence[i]);
        ret_shares[i] = 0.0;
    }
    if (!(expected > 0.0))
        return 0.0;

    double from = 0.0, width = fmin(1.0, 1.0 / expected);
    while (from < 1.0) {
        double to = fmin(1.0, from + width);
        for (size_t k = 0; k < ELEMENTSOF(gauss_node); k++) {
            or_node(presence, n, from + (to - from) * gauss_node[k], (to - from) * gauss_weight[k], ret_shares);
            or_node(presence, n, to - (to - from) * gauss_node[k], (to - from) * gauss_weight[k], ret_shares);
        }
        from = to;
        width *= 2.0;
    }
    for (size_t i = 0; i < n; i++)
        sum += ret_shares[i];
    for (size_t i = 0; i < n && sum > 0.0; i++)
        ret_shares[i] *= (1.0 - nobody) / sum;
    return 1.0 - nobody;
}

/* Sets by their number: the marginal cost of i over every set without it, weighted |S|! (n - |S| - 1)! / n!. */
int shapley_exact(shapley_cost cost, size_t n, void *arg, double *ret_shares)
{
    double value[1U << SHAPLEY_EXACT_MAX], weight[SHAPLEY_EXACT_MAX];

    if (n > SHAPLEY_EXACT_MAX)
        return -E2BIG;
    if (n == 0)
        return 0;
    for (uint64_t set = 0; set < 1ULL << n; set++)
        value[set] = cost(&set, n, arg);
    weight[0] = 1.0 / (double)n;
    for (size_t size = 1; size < n; size++)
        weight[size] = weight[size - 1] * (double)size / (double)(n - size);
    for (size_t i = 0; i < n; i++) {
        ret_shares[i] = 0.0;
        for (uint64_t set = 0; set < 1ULL << n; set++) {
            if (!(set >> i & 1))
                ret_shares[i] += weight[__builtin_popcountll(set)] * (value[set | 1ULL << i] - value[set]);
        }
    }
    return 0;
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* Marginal costs along the order, added to `marginal`. */
static void walk(shapley_cost cost, size_t n, void *arg, const uint16_t *order, bool reverse, double *marginal)
{
    uint64_t set[SHAPLEY_SAMPLED_MAX / 64] = {0};
    double before = 0.0;

    for (size_t k = 0; k < n; k++) {
        size_t i = order[reverse ? n - 1 - k : k];
        set[i / 64] |= 1ULL << i % 64;
        double after = cost(set, n, arg);
        marginal[i] += after - before;
        before = after;
    }
}

int shapley_sampled(shapley_cost cost, size_t n, void *arg, uint64_t permutations, uint64_t seed, double *ret_shares,
                    double *ret_half_width)
{
    uint16_t order[SHAPLEY_SAMPLED_MAX];
    double marginal[SHAPLEY_SAMPLED_MAX];

    if (n > SHAPLEY_SAMPLED_MAX)
        return -E2BIG;
    if (permutations < 2)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint16_t)i;
        ret_shares[i] = ret_half_width[i] = 0.0;
    }
    for (uint64_t round = 1; round <= permutations; round++) {
        for (size_t i = n; i-- > 1;) { /* Fisher and Yates; the bias of % is below n / 2^64 */
            size_t j = next_random(&seed) % (i + 1);
            uint16_t swap = order[i];
            order[i] = order[j];
            order[j] = swap;
        }
        memset(marginal, 0, n * sizeof(*marginal));
        walk(cost, n, arg, order, false, marginal);
        walk(cost, n, arg, order, true, marginal);
        for (size_t i = 0; i < n; i++) { /* Welford: mean and sum of squared distances in one pass */
            double distance = marginal[i] / 2.0 - ret_shares[i];
            ret_shares[i] += distance / (double)round;
            ret_half_width[i] += distance * (marginal[i] / 2.0 - ret_shares[i]);
        }
    }
    for (size_t i = 0; i < n; i++)
        ret_half_width[i] = Z_95 * sqrt(ret_half_width[i] / (double)(permutations - 1) / (double)permutations);
    return 0;
}
