/* SPDX-License-Identifier: Apache-2.0 */
/* The unknowns are multiples of first guesses, believed to be about 1 before anything is known. Their square-root
 * information (linalg_small.h) takes one row a window. docs/METHODS.md has the formulas ("counters"). */
#include "attribution/fit.h"

#include <math.h>
#include <string.h>

/* How far machines are from the first guesses, once these have the size of the machine: relative standard deviation. A
 * calibrated idle power is nearer. */
#define PRIOR_SIGMA            0.65
#define PRIOR_IDLE_KNOWN_SIGMA 0.05

/* A thousand seconds of windows that speak of a direction replace what was known of it (temperature, ageing of the
 * first guess, a changed firmware); a direction of which nothing is said is kept for days and then led back to the
 * guess. */
#define FADE_S 1000.0
#define LEAK_S 200000.0

/* Leakage follows the temperature of the package over minutes: standard deviation of the idle power's walk, relative,
 * per root of a second. The first figure is 2 % a minute; which it is on this machine, the residuals tell. */
#define IDLE_DRIFT_FIRST (0.02 / 7.746)
#define IDLE_DRIFT_MIN   (0.003 / 7.746)
#define IDLE_DRIFT_MAX   (0.06 / 7.746)
#define DRIFT_OF_GUESS   0.1  /* idle power below this part of the guess drifts as that does */
#define DRIFT_ADAPT_S    30.0 /* e-fold at a correlation of 1 */

/* A tenant's way of using energy changes with what it computes: in ten minutes half of what was known of it is gone. */
#define DEVIATION_S 900.0
#define FORGET_ALL  1e6

/* Until there are residuals to tell: linear models of packages miss by some percent. */
#define MISFIT_FIRST  0.05
#define MISFIT_MIN    0.0003
#define RESIDUALS_MIN 8

/* Hampel's filter: beyond 3 robust standard deviations a residual is an outlier. 1.4826 makes a median absolute
 * deviation a standard deviation for a normal distribution. */
#define HAMPEL       3.0
#define MAD_TO_SIGMA 1.4826

/* So many in a row are no outliers: something has changed for good. They are believed, and of what was known before
 * them only this part of the information is kept. */
#define OUTLIERS_MAX  5
#define OUTLIERS_KEEP 0.5

/* Correlation of successive residuals below this is chance in 32 of them (two standard deviations). */
#define CORRELATION_CHANCE 0.35
#define CORRELATION_MAX    0.9

/* Absolute floor of a window's standard deviation: counters are read in whole microjoules. */
#define SIGMA_MIN_UJ 1.0

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

void fit_start(struct fit *fit, size_t n_costs, const double *uj_per_unit, double idle_uj, double deviation_sd)
{
    double mean[LINALG_MAX], sd[LINALG_MAX];

    *fit = (struct fit){.n_costs = n_costs, .n = n_costs + FIT_TENANTS_MAX};
    for (size_t j = 0; j < fit->n; j++) {
        bool cost = j < n_costs;
        fit->unit_uj[j] = cost ? uj_per_unit[j] : deviation_sd / PRIOR_SIGMA;
        mean[j] = cost ? 1.0 : 0.0;
        sd[j] = PRIOR_SIGMA;
    }
    if (idle_uj > 0.0) {
        fit->unit_uj[0] = idle_uj;
        sd[0] = PRIOR_IDLE_KNOWN_SIGMA;
    }
    info_root_prior(&fit->prior, fit->n, mean, sd);
    fit->root = fit->prior;
    fit->idle_drift = IDLE_DRIFT_FIRST;
}

bool fit_guess(const struct fit *fit, double *ret_uj_per_unit)
{
    double x[LINALG_MAX];

    if (!info_root_solve_nonnegative(&fit->root, fit->n_costs, x))
        return false;
    for (size_t j = 0; j < fit->n_costs; j++)
        ret_uj_per_unit[j] = x[j] * fit->unit_uj[j];
    return true;
}

/* A deviation wanders (its variance grows by `grown` of what it is before anything is known) and is drawn back to 0 (by
 * an observation of that with `weight` of the prior's information): with both the same and small it stays within the
 * prior for ever. */
static void revert_deviation(struct fit *fit, size_t j, double grown, double weight)
{
    double row[LINALG_MAX] = {0};

    info_root_diffuse(&fit->root, j, grown * PRIOR_SIGMA * PRIOR_SIGMA);
    row[j] = sqrt(weight) / PRIOR_SIGMA;
    info_root_add(&fit->root, row, 0.0);
}

void fit_replace_tenant(struct fit *fit, size_t tenant)
{
    revert_deviation(fit, fit->n_costs + tenant, FORGET_ALL, 1.0);
}

/* The window in uJ at the first guesses. */
static void row_of(const struct fit *fit, const struct fit_window *window, double *ret_row)
{
    for (size_t j = 0; j < fit->n; j++)
        ret_row[j] = window->total[j] * fit->unit_uj[j];
}

/* The first window in which anybody runs sets the size of the machine: all guesses but a known idle power times one
 * factor. */
static void scale_guesses(struct fit *fit, const double *row, double energy_uj)
{
    bool idle_known = fit->prior.r[0][0] > 1.0 / PRIOR_SIGMA;
    double fixed = idle_known ? row[0] : 0.0, guessed = -fixed;

    for (size_t j = 0; j < fit->n_costs; j++)
        guessed += row[j];
    if (fit->n_costs < 2 || !(guessed > 0.0) || !(row[1] > 0.0) || !(energy_uj > fixed))
        return;
    double factor = fmin(fmax((energy_uj - fixed) / guessed, 0.05), 20.0);
    for (size_t j = idle_known; j < fit->n_costs; j++)
        fit->unit_uj[j] *= factor;
    fit->scaled = true;
}

static double median(double *values, size_t n)
{
    for (size_t i = 1; i < n; i++) { /* insertion: 32 values */
        double value = values[i];
        size_t j = i;
        for (; j > 0 && values[j - 1] > value; j--)
            values[j] = values[j - 1];
        values[j] = value;
    }
    return n == 0 ? 0.0 : n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2.0;
}

static size_t residual_count(const struct fit *fit)
{
    return fit->n_residuals < FIT_RESIDUALS ? (size_t)fit->n_residuals : FIT_RESIDUALS;
}

/* Robust size of the residuals about 0. */
static double residual_sigma(const struct fit *fit)
{
    double size[FIT_RESIDUALS];
    size_t n = residual_count(fit);

    for (size_t i = 0; i < n; i++)
        size[i] = fabs(fit->residual[i]);
    return MAD_TO_SIGMA * median(size, n);
}

/* What the model misses, relative to a window's energy: of the residuals' variance the part that neither the sensor nor
 * the uncertainty of the unknowns explains. */
static double misfit_sigma(const struct fit *fit)
{
    double expected[FIT_RESIDUALS], sigma;
    size_t n = residual_count(fit);

    if (n < RESIDUALS_MIN)
        return MISFIT_FIRST;
    memcpy(expected, fit->expected, sizeof(expected));
    sigma = residual_sigma(fit);
    return sqrt(fmax(sigma * sigma - median(expected, n), MISFIT_MIN * MISFIT_MIN));
}

/* Of residuals from window to window; 0 until there are enough of them. */
static double residual_correlation(const struct fit *fit)
{
    double products = 0.0, squares = 0.0;

    if (fit->n_residuals < FIT_RESIDUALS)
        return 0.0;
    for (size_t k = 0; k < FIT_RESIDUALS; k++) {
        double now = fit->residual[(fit->n_residuals + k) % FIT_RESIDUALS]; /* oldest first */
        squares += now * now;
        if (k + 1 < FIT_RESIDUALS)
            products += now * fit->residual[(fit->n_residuals + k + 1) % FIT_RESIDUALS];
    }
    return squares > 0.0 ? products / squares : 0.0;
}

/* Residuals that hang together (one workload's own way of using energy, over and over) are fewer observations than
 * windows: (1 + r) / (1 - r) of them make one, r their correlation. */
static double windows_per_observation(double correlation)
{
    double r = fmin(correlation, CORRELATION_MAX);

    return r < CORRELATION_CHANCE ? 1.0 : (1.0 + r) / (1.0 - r);
}

/* Idle power that drifts faster than is believed leaves residuals that hang together; slower, residuals that alternate.
 */
static void adapt_drift(struct fit *fit, double correlation, double seconds)
{
    double step = fmin(fmax(correlation, -0.5), 0.5) * fmin(seconds / DRIFT_ADAPT_S, 1.0);

    fit->idle_drift = fmin(fmax(fit->idle_drift * exp(step), IDLE_DRIFT_MIN), IDLE_DRIFT_MAX);
}

static bool is_outlier(const struct fit *fit, double residual, double expected, double misfit)
{
    if (residual_count(fit) < FIT_RESIDUALS)
        return false;
    double usual = residual_sigma(fit), own = sqrt(expected + misfit * misfit);
    return fabs(residual) > HAMPEL * fmax(usual, own);
}

static double variance_of_row(const double inv[LINALG_MAX][LINALG_MAX], const double *row, size_t n)
{
    double variance = 0.0;

    for (size_t k = 0; k < n; k++) {
        double along = 0.0;
        for (size_t j = 0; j <= k; j++)
            along += inv[j][k] * row[j];
        variance += along * along;
    }
    return variance;
}

double fit_learn(struct fit *fit, const struct fit_window *window)
{
    double row[LINALG_MAX], x[LINALG_MAX], inv[LINALG_MAX][LINALG_MAX];

    if (!(window->energy_uj > 0.0))
        return 0.0;
    row_of(fit, window, row);
    if (!fit->scaled) {
        scale_guesses(fit, row, window->energy_uj);
        row_of(fit, window, row);
    }
    if (!info_root_solve_nonnegative(&fit->root, fit->n_costs, x) || !info_root_inverse(&fit->root, inv))
        return 0.0;

    double energy = window->energy_uj, sensor = window->sensor_uj;
    double residual = (energy - dot(row, x, fit->n)) / energy;
    double expected = (variance_of_row(inv, row, fit->n) + sensor * sensor) / (energy * energy);
    double misfit = misfit_sigma(fit);
    bool outlier = is_outlier(fit, residual, expected, misfit);

    fit->residual[fit->n_residuals % FIT_RESIDUALS] = residual;
    fit->expected[fit->n_residuals % FIT_RESIDUALS] = expected;
    fit->n_residuals++;
    fit->outliers = outlier ? fit->outliers + 1 : 0;
    if (fit->outliers >= OUTLIERS_MAX) {
        info_root_blend(&fit->root, &fit->prior, OUTLIERS_KEEP);
        fit->outliers = 0;
    } else if (outlier) {
        return fabs(residual);
    }

    double correlation = residual_correlation(fit);
    adapt_drift(fit, correlation, window->seconds);
    double variance = sensor * sensor + misfit * misfit * energy * energy * windows_per_observation(correlation);
    double sigma = fmax(sqrt(variance), SIGMA_MIN_UJ);
    for (size_t j = 0; j < fit->n; j++)
        row[j] /= sigma;
    info_root_fade(&fit->root, row, exp(-window->seconds / FADE_S));
    info_root_blend(&fit->root, &fit->prior, exp(-window->seconds / LEAK_S));
    double drift = fit->idle_drift * fmax(x[0], DRIFT_OF_GUESS);
    info_root_diffuse(&fit->root, 0, drift * drift * window->seconds);
    for (size_t j = fit->n_costs; j < fit->n; j++) {
        double part = fmin(window->seconds / DEVIATION_S, 1.0);
        if (row[j] > 0.0)
            revert_deviation(fit, j, part, part);
    }
    info_root_add(&fit->root, row, energy / sigma);
    fit->learned++;
    return fabs(residual);
}

/* Covariance of the costs with the window's totals: S row, where S has what the unknowns' own covariance leaves, the
 * model's misses in proportion to active cost, the sensor's error in proportion to all. Only over the costs in `in`. */
static void covariance_with_total(const double inv[LINALG_MAX][LINALG_MAX], const double *row, const double *x,
                                  const bool *in, size_t n, double misfit_uj, double sensor_uj, double *ret)
{
    double along[LINALG_MAX] = {0}, active = 0.0, all = 0.0;

    for (size_t k = 0; k < n; k++) {
        for (size_t j = 0; j <= k; j++)
            along[k] += in[j] ? inv[j][k] * row[j] : 0.0;
    }
    for (size_t j = 0; j < n; j++) {
        all += in[j] ? row[j] * x[j] : 0.0;
        active += in[j] && j > 0 ? row[j] * x[j] : 0.0;
    }
    for (size_t j = 0; j < n; j++) {
        ret[j] = 0.0;
        if (!in[j])
            continue;
        for (size_t k = j; k < n; k++)
            ret[j] += inv[j][k] * along[k];
        if (j > 0 && active > 0.0)
            ret[j] += misfit_uj * misfit_uj / active * x[j];
        if (all > 0.0)
            ret[j] += sensor_uj * sensor_uj / all * x[j];
    }
}

/* One more measurement, without an error: costs * totals = energy. A cost that it would push below 0 is 0, and the
 * others pay. */
static bool conserve(const double inv[LINALG_MAX][LINALG_MAX], const double *row, double energy_uj, double misfit_uj,
                     double sensor_uj, size_t n_costs, size_t n, double *x, double *ret_gain)
{
    bool in[LINALG_MAX];
    double best[LINALG_MAX];

    memcpy(best, x, n * sizeof(*x));
    for (size_t j = 0; j < n; j++)
        in[j] = true;
    for (size_t round = 0; round <= n; round++) {
        double gain[LINALG_MAX], sum = 0.0, gap = energy_uj;
        bool negative = false;

        covariance_with_total(inv, row, best, in, n, misfit_uj, sensor_uj, gain);
        for (size_t j = 0; j < n; j++) {
            sum += gain[j] * row[j];
            gap -= in[j] ? row[j] * best[j] : 0.0;
        }
        if (!(sum > 0.0) || !isfinite(sum))
            return false;
        for (size_t j = 0; j < n; j++) {
            ret_gain[j] = gain[j] / sum;
            x[j] = in[j] ? best[j] + ret_gain[j] * gap : 0.0;
        }
        for (size_t j = 0; j < n_costs; j++) {
            if (x[j] < 0.0) {
                in[j] = false;
                negative = true;
            }
        }
        if (!negative)
            return true;
    }
    return false;
}

/* Where the covariance says nothing, all costs are scaled. */
static bool scale_costs(const double *row, double energy_uj, size_t n, double *x, double *ret_gain)
{
    double all = dot(row, x, n);

    if (!(all > 0.0) || !isfinite(all))
        return false;
    for (size_t j = 0; j < n; j++) {
        ret_gain[j] = x[j] / all;
        x[j] *= energy_uj / all;
    }
    return true;
}

bool fit_costs(const struct fit *fit, const struct fit_window *window, struct fit_costs *ret)
{
    double row[LINALG_MAX], x[LINALG_MAX], guess[LINALG_MAX], gain[LINALG_MAX], inv[LINALG_MAX][LINALG_MAX];
    size_t n = fit->n;

    *ret = (struct fit_costs){.misfit_sigma_uj = misfit_sigma(fit) * window->energy_uj};
    if (!info_root_solve_nonnegative(&fit->root, fit->n_costs, guess) || !info_root_inverse(&fit->root, inv))
        return false;
    row_of(fit, window, row);
    memcpy(x, guess, sizeof(x));
    if (!conserve(inv, row, window->energy_uj, ret->misfit_sigma_uj, window->sensor_uj, fit->n_costs, n, x, gain)) {
        memcpy(x, guess, sizeof(x));
        if (!scale_costs(row, window->energy_uj, n, x, gain))
            return false;
    }

    /* error of the costs after conservation: (1 - gain row') times their error before, of which inv is a root */
    for (size_t k = 0; k < n; k++) {
        double total = 0.0;
        for (size_t j = 0; j <= k; j++)
            total += row[j] * inv[j][k];
        for (size_t j = 0; j < n; j++)
            ret->mode_uj_per_unit[j][k] = (inv[j][k] - gain[j] * total) * fit->unit_uj[j];
    }
    for (size_t j = 0; j < n; j++)
        ret->uj_per_unit[j] = x[j] * fit->unit_uj[j];
    return true;
}
