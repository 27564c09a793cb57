/* SPDX-License-Identifier: Apache-2.0 */
/* Learns what one unit of each term costs, and by how much each of a few tenants deviates from that, from the energy of
 * whole windows: recursive least squares with no cost below 0, that forgets only in directions in which it is told
 * something new, and that knows how well it knows.
 *
 * Knows terms, tenants as numbers, and energies; does not know cells. One object per domain. */
#ifndef CARNOT_ATTRIBUTION_FIT_H
#define CARNOT_ATTRIBUTION_FIT_H

#include "attribution/linalg_small.h"

#define FIT_COSTS_MAX   8
#define FIT_TENANTS_MAX 8
_Static_assert(FIT_COSTS_MAX + FIT_TENANTS_MAX <= LINALG_MAX, "room for all unknowns");

#define FIT_RESIDUALS 32 /* windows whose residuals are looked at: half a minute */

/* Unknowns: first the costs, then the tenants' deviations. */
struct fit {
    size_t n_costs, n;
    double unit_uj[LINALG_MAX]; /* what an unknown of 1 means: a cost's first guess, a usual deviation */
    struct info_root root, prior;
    double idle_drift;              /* standard deviation of the idle power's walk, relative, per root of a second */
    double correlation;             /* of residuals, in the long run */
    bool scaled;                    /* the guesses were brought to the size of this machine */
    double residual[FIT_RESIDUALS]; /* (measured - predicted) / measured, newest at (n_residuals - 1) % FIT_RESIDUALS */
    double expected[FIT_RESIDUALS]; /* variance of it that sensor and unknowns explain */
    uint64_t n_residuals;
    uint64_t learned;  /* windows taken in */
    unsigned outliers; /* in a row */
};

struct fit_window {
    double total[LINALG_MAX]; /* of the whole domain: units of each term, the first is idle; then, in uJ, what each
                                 tenant would have cost of what deviations apply to (fit_guess) */
    double energy_uj, sensor_uj, seconds;
};

/* idle_uj: known idle energy per unit of the first term, 0 for unknown. deviation_sd: a tenant's deviation before
 * anything is known of it is 0 +- this. */
void fit_start(struct fit *fit, size_t n_costs, const double *uj_per_unit, double idle_uj, double deviation_sd);

/* The costs as they are known now, in uJ per unit, >= 0. false where the numbers are none any more: start anew. */
bool fit_guess(const struct fit *fit, double *ret_uj_per_unit);

/* Place `tenant` is somebody else's from here on. */
void fit_replace_tenant(struct fit *fit, size_t tenant);

/* Takes a window in, unless it is an outlier. Returns |measured - predicted| / measured, by what was known before. */
double fit_learn(struct fit *fit, const struct fit_window *window);

/* What a unit of each term costs in this window, so that all of it is exactly the measured energy. */
struct fit_costs {
    double uj_per_unit[LINALG_MAX];                  /* of costs: >= 0; of tenants: the deviation */
    double mode_uj_per_unit[LINALG_MAX][LINALG_MAX]; /* [unknown][mode]: independent errors of standard deviation 1 */
    double misfit_sigma_uj;                          /* what the model misses of a window, standard deviation */
};

/* false where no costs >= 0 give that energy: nothing but idle can pay. */
bool fit_costs(const struct fit *fit, const struct fit_window *window, struct fit_costs *ret);

#endif
