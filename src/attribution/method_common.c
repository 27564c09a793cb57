/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting by one weight a cell, with the errors that this has. Knows idle power and utilisation; does not know what
 * a weight means. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attribution/method_internal.h"
#include "model/quantity.h"

/* A calibrated idle power drifts with temperature. */
#define IDLE_KNOWN_SIGMA 0.05

/* Beyond these a setting is a slip of the pen. */
#define SMT_FACTOR_MAX 2.0 /* two hyperthreads do not draw more than two cores */
#define EXPONENT_MAX   4.0
#define SLOPE_MAX      2.0

bool group_sums_start(struct group_sums *groups, const struct method_window *window, size_t columns)
{
    size_t need = players_of(window) * columns;

    if (!window->group)
        return false;
    if (groups->cap < need) {
        double *larger = realloc(groups->sum, need * sizeof(*larger));
        if (!larger)
            return false;
        groups->sum = larger;
        groups->cap = need;
    }
    memset(groups->sum, 0, need * sizeof(*groups->sum));
    return true;
}

double method_spread_uj(const struct method_result *result, uint64_t share_uj, double spread_uj)
{
    if (result->active_uj == 0)
        return 0.0;
    double part = fmin((double)share_uj / (double)result->active_uj, 1.0), own = (1.0 - part) * (1.0 - part);
    double others = fmin(fmax(result->crowding - part * part, 0.0), own);
    return spread_uj * sqrt(own + others);
}

void method_error_add(struct method_error *sum, const struct method_error *cell)
{
    sum->spread_uj += cell->spread_uj;
    for (size_t m = 0; m < METHOD_MODES; m++)
        sum->mode_uj[m] += cell->mode_uj[m];
}

double mode_length(const double *mode_uj)
{
    double square = 0.0;

    for (size_t m = 0; m < METHOD_MODES; m++)
        square += mode_uj[m] * mode_uj[m];
    return sqrt(square);
}

void error_total(const struct method_result *result, uint64_t share_uj, struct method_error *error)
{
    error->sigma_uj = hypot(method_spread_uj(result, share_uj, error->spread_uj), mode_length(error->mode_uj));
}

void result_crowding(struct group_sums *groups, const struct method_window *window, const uint64_t *uj,
                     struct method_result *result)
{
    result->crowding = 1.0;
    if (result->active_uj == 0 || !group_sums_start(groups, window, 1))
        return;

    double squares = 0.0;
    for (size_t i = 0; i < window->n; i++)
        groups->sum[group_of(window, i)] += (double)uj[i] / (double)result->active_uj;
    for (size_t g = 0; g < players_of(window); g++)
        squares += groups->sum[g] * groups->sum[g];
    result->crowding = fmin(squares, 1.0);
}

/* Idle energy is uncertain by sigma, and what it has too much the cells have too little, each in proportion. */
static void errors_of_idle(struct group_sums *groups, const struct method_window *window, double sigma_uj,
                           double spread, const uint64_t *uj, struct method_error *errors, struct method_result *result)
{
    result->idle = (struct method_error){.sigma_uj = sigma_uj, .mode_uj = {sigma_uj}};
    result_crowding(groups, window, uj, result);
    for (size_t i = 0; errors && i < window->n; i++) {
        errors[i] = (struct method_error){.spread_uj = spread * (double)uj[i]};
        if (result->active_uj)
            errors[i].mode_uj[0] = -sigma_uj * ((double)uj[i] / (double)result->active_uj);
        error_total(result, uj[i], &errors[i]);
    }
}

/* Without a known power the idle part may be anything from nothing to all: what a uniform distribution deviates from
 * the figure that was given. */
static double idle_sigma_uj(const struct method_window *window, uint64_t idle_uj)
{
    double energy = (double)window->energy_uj, off = (double)idle_uj - energy / 2.0;

    return window->idle_uw ? IDLE_KNOWN_SIGMA * (double)idle_uj : sqrt(energy * energy / 12.0 + off * off);
}

void split_weighted(struct group_sums *groups, const struct method_window *window, uint64_t busy, uint64_t capacity,
                    double spread, uint64_t *uj, struct method_error *errors, struct method_result *result)
{
    result->idle_uj = split_idle_uj(window->energy_uj, window->window_ns, window->idle_uw, busy, capacity);
    result->active_uj = apportion(window->energy_uj - result->idle_uj, uj, window->n, uj);
    result->residual_uj = window->energy_uj - result->idle_uj - result->active_uj;
    errors_of_idle(groups, window, idle_sigma_uj(window, result->idle_uj), spread, uj, errors, result);
}

static void take_weights(const struct method_window *window, enum feature feature, uint64_t *uj)
{
    for (size_t i = 0; i < window->n; i++)
        uj[i] = window->cells[i].value[feature];
}

void split_nothing(const struct method_window *window, const char *why, uint64_t *uj, struct method_error *errors,
                   struct method_result *result)
{
    *result = (struct method_result){.residual_uj = window->energy_uj, .crowding = 1.0, .used = why};
    if (window->n)
        memset(uj, 0, window->n * sizeof(*uj));
    for (size_t i = 0; errors && i < window->n; i++)
        errors[i] = (struct method_error){0};
}

/* Bytes that nobody here holds (page cache, kernel) take their part of the energy to idle. */
static void split_resident(struct group_sums *groups, const struct method_window *window, uint64_t *uj,
                           struct method_error *errors, struct method_result *result)
{
    *result = (struct method_result){.used = "resident memory"};
    take_weights(window, FEATURE_RESIDENT, uj);
    uint64_t held = weights_normalise(uj, window->n);
    uint64_t idle_uj = split_idle_uj(window->energy_uj, window->window_ns, window->idle_uw, 1, 1);
    uint64_t rest_uj = window->energy_uj - idle_uj;
    uint64_t owned_uj = muldiv_u64(rest_uj, held, max_u64(held, window->resident));

    result->active_uj = apportion(owned_uj, uj, window->n, uj);
    result->idle_uj = held ? window->energy_uj - result->active_uj : idle_uj;
    result->residual_uj = window->energy_uj - result->idle_uj - result->active_uj;
    errors_of_idle(groups, window, idle_sigma_uj(window, result->idle_uj), SPREAD_RESIDENT, uj, errors, result);
}

void split_memory(struct group_sums *groups, const struct method_window *window, uint64_t *uj,
                  struct method_error *errors, struct method_result *result)
{
    if (knows(window, FEATURE_NODE_MISSES)) {
        *result = (struct method_result){.used = "misses"};
        take_weights(window, FEATURE_NODE_MISSES, uj);
        weights_normalise(uj, window->n);
        split_weighted(groups, window, 1, 1, SPREAD_MISSES, uj, errors, result);
    } else if (knows(window, FEATURE_RESIDENT)) {
        split_resident(groups, window, uj, errors, result);
    } else {
        split_nothing(window, "none: nothing is known of memory use", uj, errors, result);
    }
}

void split_by_cpu_time(struct group_sums *groups, const struct method_window *window, uint64_t *uj,
                       struct method_error *errors, struct method_result *result)
{
    if (!knows(window, FEATURE_CPU_NS)) {
        split_nothing(window, "none: on-CPU time is not known", uj, errors, result);
        return;
    }
    *result = (struct method_result){.used = "cpu_time"};
    take_weights(window, FEATURE_CPU_NS, uj);
    uint64_t busy = weights_normalise(uj, window->n);
    split_weighted(groups, window, busy, mul_saturating_u64(window->window_ns, window->n_cpus), SPREAD_CPU_TIME, uj,
                   errors, result);
}

/* factor / 2 for an instant shared with the sibling, in millionths. */
static uint64_t smt_weight(const struct cell_features *cell, uint64_t half_factor_ppm)
{
    uint64_t cpu = cell->value[FEATURE_CPU_NS], overlap = min_u64(cell->value[FEATURE_OVERLAP_NS], cpu);

    return cpu - overlap + muldiv_u64(overlap, half_factor_ppm, 1000000);
}

void split_by_smt(struct group_sums *groups, const struct method_window *window, double smt_factor, uint64_t *uj,
                  struct method_error *errors, struct method_result *result)
{
    uint64_t half_factor_ppm = (uint64_t)(smt_factor * 500000.0 + 0.5);

    if (!knows(window, FEATURE_CPU_NS) || (!knows(window, FEATURE_OVERLAP_NS) && has_smt(window))) {
        split_by_cpu_time(groups, window, uj, errors, result);
        if (knows(window, FEATURE_CPU_NS))
            result->used = "cpu_time: the overlap of hyperthreads is not known";
        return;
    }
    *result = (struct method_result){.used = "smt"};
    for (size_t i = 0; i < window->n; i++)
        uj[i] =
            has_smt(window) ? smt_weight(&window->cells[i], half_factor_ppm) : window->cells[i].value[FEATURE_CPU_NS];
    uint64_t busy = weights_normalise(uj, window->n);
    /* with every hyperthread busy each counts factor / 2 */
    uint64_t capacity = mul_saturating_u64(window->window_ns, window->n_cpus);
    if (has_smt(window))
        capacity = muldiv_u64(capacity, half_factor_ppm, 1000000);
    split_weighted(groups, window, busy, capacity, SPREAD_SMT, uj, errors, result);
}

int settings_check(const struct method_settings *settings, struct carnot_err *err)
{
    if (!(settings->smt_factor >= 1.0 && settings->smt_factor <= SMT_FACTOR_MAX))
        return carnot_err_set(err, EINVAL,
                              "a hyperthread factor of %g: give 1 to %g (power of a core with both "
                              "hyperthreads busy over one)",
                              settings->smt_factor, SMT_FACTOR_MAX);
    if (!(settings->gamma > 0.0 && settings->gamma <= EXPONENT_MAX && settings->delta > 0.0 &&
          settings->delta <= EXPONENT_MAX))
        return carnot_err_set(err, EINVAL, "exponents gamma %g and delta %g: give numbers above 0, up to %g",
                              settings->gamma, settings->delta, EXPONENT_MAX);
    if (!(settings->voltage_slope >= 0.0 && settings->voltage_slope <= SLOPE_MAX))
        return carnot_err_set(err, EINVAL, "a slope of voltage of %g: give 0 to %g (0.5 is usual)",
                              settings->voltage_slope, SLOPE_MAX);
    if (!(settings->spread >= 0.0 && settings->spread <= 1.0))
        return carnot_err_set(err, EINVAL, "a spread of %g: give 0 to 1 (0.07 is usual)", settings->spread);
    return 0;
}
