/* SPDX-License-Identifier: Apache-2.0 */
/* Shapley values of cost games: what each player pays is the mean, over all orders in which the players could have
 * come, of the cost that its coming added (L. Shapley, "A Value for n-Person Games", 1953). The only split that
 * distributes the whole, treats equals equally, charges nothing to who costs nothing, and adds up over games.
 *
 * Knows games, not energy. */
#ifndef CARNOT_ATTRIBUTION_SHAPLEY_H
#define CARNOT_ATTRIBUTION_SHAPLEY_H

#include "base/err.h"
#include "base/util.h"

/* The game "somebody is there": player i is there a part presence[i] of the time (clipped to 0 .. 1), independently of
 * the others, and an instant costs 1 as soon as anybody is. shares add up to 1 - product(1 - presence), which is
 * returned. In closed form, any number of players. */
double shapley_or(const double *presence, size_t n, double *ret_shares);

/* Games given as a function: the cost of a set of players (bit i of the words: player i is in it). Must be 0 for none.
 */
typedef double (*shapley_cost)(const uint64_t *set, size_t n, void *arg);

#define SHAPLEY_EXACT_MAX   12   /* 2^12 sets */
#define SHAPLEY_SAMPLED_MAX 4096 /* players; bounds the stack and the time of one permutation */

/* All 2^n sets, n <= SHAPLEY_EXACT_MAX (else -E2BIG). */
int shapley_exact(shapley_cost cost, size_t n, void *arg, double *ret_shares);

/* Mean over `permutations` random orders, each also in reverse, the same for the same seed. ret_half_width[i] is half
 * the 95 % confidence interval. The shares add up to the cost of all. permutations >= 2, n <= SHAPLEY_SAMPLED_MAX (else
 * -EINVAL, -E2BIG). */
int shapley_sampled(shapley_cost cost, size_t n, void *arg, uint64_t permutations, uint64_t seed, double *ret_shares,
                    double *ret_half_width);

#endif
