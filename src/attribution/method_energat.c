/* SPDX-License-Identifier: Apache-2.0 */
/* Method energat: base power apart, then each cell's share of CPU time (memory) to the power of 0.3 (0.2). As published
 * it does not conserve: exponents below 1 give small shares more than they used, and the sum grows with their number.
 * Normalised, shares are f^gamma / sum f^gamma, which conserves but is still not the same for a job in one piece and in
 * two. */
#include "attribution/method_energat.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attribution/method_internal.h"
#include "model/quantity.h"

/* EnergAt's stand-in for 0 in fractions. */
#define NEARLY_NOTHING 1e-5

/* Normalised weights are fractions of 1 in units of this, so that 2^22 of them fit 63 bits. */
#define WEIGHT_ONE (1ULL << 40)

struct energat {
    struct method_settings settings;
};

double energat_dynamic(double energy, double base_power, double duration)
{
    return fmax(0.0, energy - base_power * duration);
}

double energat_cpu_fraction(double target, double server)
{
    return server > 0.0 ? fmin(1.0, target / server) : NEARLY_NOTHING;
}

double energat_memory_fraction(const double *target, const double *used, size_t n)
{
    double sum = 0.0;

    if (n == 0)
        return NEARLY_NOTHING;
    for (size_t i = 0; i < n; i++)
        sum += used[i] > 0.0 ? target[i] / used[i] : 1.0;
    return fmin(1.0, sum / (double)n);
}

double energat_ascribed(double dynamic, double fraction, double exponent)
{
    return fraction > 0.0 ? dynamic * pow(fraction, exponent) : 0.0;
}

static int energat_open(const struct method_settings *settings, void **ret_self, struct carnot_err *err)
{
    struct energat *self;
    int r = settings_check(settings, err);

    if (r < 0)
        return r;
    self = calloc(1, sizeof(*self));
    if (!self)
        return carnot_err_set(err, ENOMEM, "no memory for the method energat");
    self->settings = *settings;
    *ret_self = self;
    return 0;
}

static uint64_t to_uj(double uj)
{
    return uj >= 0x1p64 ? UINT64_MAX : (uint64_t)round(uj);
}

static double denominator(const struct method_window *window, enum feature feature)
{
    double sum = 0.0;

    for (size_t i = 0; i < window->n; i++)
        sum += (double)window->cells[i].value[feature];
    return feature == FEATURE_RESIDENT ? fmax(sum, (double)window->resident) : sum;
}

/* Raw: every cell by the formula, whatever they add up to. */
static void split_raw(const struct method_window *window, enum feature feature, double exponent, double dynamic_uj,
                      uint64_t *uj, struct method_result *result)
{
    double server = denominator(window, feature);

    for (size_t i = 0; i < window->n; i++) {
        double fraction = energat_cpu_fraction((double)window->cells[i].value[feature], server);
        uj[i] = to_uj(energat_ascribed(dynamic_uj, server > 0.0 ? fraction : 0.0, exponent));
        if (__builtin_add_overflow(result->active_uj, uj[i], &result->active_uj))
            result->active_uj = UINT64_MAX;
    }
}

static void split_normalised(const struct method_window *window, enum feature feature, double exponent,
                             uint64_t dynamic_uj, uint64_t *uj, struct method_result *result)
{
    double server = denominator(window, feature);

    for (size_t i = 0; i < window->n; i++) {
        double value = (double)window->cells[i].value[feature];
        uj[i] = value > 0.0 ? (uint64_t)(pow(fmin(value / server, 1.0), exponent) * (double)WEIGHT_ONE) : 0;
    }
    weights_normalise(uj, window->n);
    result->active_uj = apportion(dynamic_uj, uj, window->n, uj);
}

static void energat_split(void *arg, const struct method_window *window, uint64_t *ret_uj,
                          struct method_error *ret_errors, struct method_result *ret_result)
{
    struct energat *self = arg;
    enum feature feature = window->dram ? FEATURE_RESIDENT : FEATURE_CPU_NS;
    double exponent = window->dram ? self->settings.delta : self->settings.gamma;

    if (!knows(window, feature)) {
        split_nothing(window, window->dram ? "none: resident memory is not known" : "none: on-CPU time is not known",
                      ret_uj, ret_errors, ret_result);
        return;
    }

    uint64_t base_uj = min_u64(window->energy_uj, energy_of_power_uj(self->settings.base_uw, window->window_ns));
    uint64_t dynamic_uj = window->energy_uj - base_uj;

    *ret_result = (struct method_result){
        .idle_uj = base_uj,
        .crowding = 1.0,
        .used = self->settings.normalise ? "energat, normalised" : "energat",
    };
    if (self->settings.normalise)
        split_normalised(window, feature, exponent, dynamic_uj, ret_uj, ret_result);
    else
        split_raw(window, feature, exponent, (double)dynamic_uj, ret_uj, ret_result);
    if (ret_result->active_uj < dynamic_uj)
        ret_result->residual_uj = dynamic_uj - ret_result->active_uj;
    for (size_t i = 0; ret_errors && i < window->n; i++) {
        ret_errors[i] = (struct method_error){.spread_uj = SPREAD_NONE * (double)ret_uj[i]};
        error_total(ret_result, ret_uj[i], &ret_errors[i]);
    }
}

static void *energat_close(void *arg)
{
    free(arg);
    return NULL;
}

const struct method_ops method_energat = {
    .name = "energat",
    .summary =
        "EnergAt's: the share of CPU time to the power of 0.3, of memory 0.2; does not conserve unless normalised",
    .needs = FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_RESIDENT),
    .conserves = false,
    .open = energat_open,
    .split = energat_split,
    .close = energat_close,
};
