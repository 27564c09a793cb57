/* SPDX-License-Identifier: Apache-2.0 */
/* Least squares with a handful of unknowns, kept as the square root of the information: an upper triangle R and a
 * vector z with R x = z + noise of unit variance. The covariance of x is (R'R)^-1, which is never formed, so that it
 * cannot lose its symmetry or become negative, and numbers need only half the digits that normal equations need
 * (G. Bierman, "Factorization Methods for Discrete Sequential Estimation", 1977).
 *
 * Nothing here allocates, and nothing knows what the unknowns mean. All input must be finite. */
#ifndef CARNOT_ATTRIBUTION_LINALG_SMALL_H
#define CARNOT_ATTRIBUTION_LINALG_SMALL_H

#include "base/util.h"

#define LINALG_MAX 16 /* unknowns: eight terms of one package and eight tenants' deviations */

struct info_root {
    size_t n;
    double r[LINALG_MAX][LINALG_MAX]; /* upper triangle, the rest 0 */
    double z[LINALG_MAX];
};

/* What is believed before any measurement: each unknown apart, mean +- sd (sd > 0). */
void info_root_prior(struct info_root *root, size_t n, const double *mean, const double *sd);

/* Adds one measurement row * x = value, both divided by the standard deviation of the value. */
void info_root_add(struct info_root *root, const double *row, double value);

/* Forgets along the direction that a measurement of `row` would tell something about, and nowhere else: its information
 * is multiplied by keep (0 < keep <= 1). The solution stays where it is. */
void info_root_fade(struct info_root *root, const double *row, double keep);

/* Moves the information towards another: keep * own + (1 - keep) * other, means included. */
void info_root_blend(struct info_root *root, const struct info_root *other, double keep);

/* Unknown i drifts: its variance grows by `variance`. */
void info_root_diffuse(struct info_root *root, size_t i, double variance);

/* Solves R x = z. false where R is singular to working precision. */
bool info_root_solve(const struct info_root *root, double *ret_x);

/* The most likely x with none of the first n_nonnegative components below 0 (Lawson and Hanson's active set; the others
 * are always in it). false as above. */
bool info_root_solve_nonnegative(const struct info_root *root, size_t n_nonnegative, double *ret_x);

/* inv = R^-1, upper triangle: the covariance is inv * inv'. false as above. */
bool info_root_inverse(const struct info_root *root, double ret_inv[LINALG_MAX][LINALG_MAX]);

#endif
