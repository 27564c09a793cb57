/* SPDX-License-Identifier: Apache-2.0 */
#include "smartwatts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comparators.h"

#define ALPHA         1.0
#define L1_RATIO      0.5
#define ROUNDS        1000
#define THRESHOLD_W   2.0
#define SAMPLES_MIN   10
#define TDP_W         400.0
#define REFERENCE_GHZ 2.1 /* cycles at the base frequency */

struct smartwatts {
    struct smartwatts_layer layer[SMARTWATTS_LAYERS];
};

static size_t kept(size_t n)
{
    return n < SMARTWATTS_HISTORY ? n : SMARTWATTS_HISTORY;
}

void smartwatts_train(struct smartwatts_layer *layer, bool with_intercept)
{
    double mean[SMARTWATTS_EVENTS] = {0}, mean_watts = 0.0, rest[SMARTWATTS_HISTORY];
    size_t n = kept(layer->n);

    memset(layer->weight, 0, sizeof(layer->weight));
    for (size_t i = 0; with_intercept && i < n; i++) {
        mean_watts += layer->watts[i] / (double)n;
        for (size_t j = 0; j < SMARTWATTS_EVENTS; j++)
            mean[j] += layer->events[i][j] / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        rest[i] = layer->watts[i] - mean_watts;
    for (unsigned round = 0; round < ROUNDS; round++) {
        double moved = 0.0;
        for (size_t j = 0; j < SMARTWATTS_EVENTS; j++) {
            double product = 0.0, size = 0.0, old = layer->weight[j];
            for (size_t i = 0; i < n; i++) {
                double x = layer->events[i][j] - mean[j];
                product += x * (rest[i] + old * x);
                size += x * x;
            }
            double weight = fmax(product - ALPHA * L1_RATIO * (double)n, 0.0);
            weight = weight > 0.0 ? weight / (size + ALPHA * (1.0 - L1_RATIO) * (double)n) : 0.0;
            for (size_t i = 0; i < n; i++)
                rest[i] -= (weight - old) * (layer->events[i][j] - mean[j]);
            moved = fmax(moved, fabs(weight - old) * sqrt(size));
            layer->weight[j] = weight;
        }
        if (moved < 1e-6)
            break;
    }
    layer->intercept = mean_watts;
    for (size_t j = 0; j < SMARTWATTS_EVENTS; j++)
        layer->intercept -= layer->weight[j] * mean[j];
}

static int smartwatts_open(const struct method_settings *settings, void **ret_self, struct carnot_err *err)
{
    struct smartwatts *self = calloc(1, sizeof(*self));

    (void)settings;
    if (!self)
        return carnot_err_set(err, ENOMEM, "no memory for smartwatts");
    *ret_self = self;
    return 0;
}

static void events_of(const struct method_window *window, size_t i, double seconds, double *ret)
{
    const uint64_t *value = window->cells[i].value;

    ret[0] = (double)value[FEATURE_CYCLES] / seconds;
    ret[1] = (double)value[FEATURE_CPU_NS] * REFERENCE_GHZ / seconds;
    ret[2] = (double)value[FEATURE_INSTRUCTIONS] / seconds;
    ret[3] = (double)(value[FEATURE_LOCAL_MISSES] + value[FEATURE_REMOTE_MISSES]) / seconds;
}

static double predict(const struct smartwatts_layer *layer, const double *events)
{
    double watts = 0.0;

    for (size_t j = 0; j < SMARTWATTS_EVENTS; j++)
        watts += layer->weight[j] * events[j];
    return watts;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double median_error(const struct smartwatts_layer *layer)
{
    double sorted[SMARTWATTS_HISTORY];
    size_t n = kept(layer->n_errors);

    memcpy(sorted, layer->error, sizeof(sorted));
    qsort(sorted, n, sizeof(*sorted), compare);
    return n ? sorted[n / 2] : INFINITY;
}

static void learn(struct smartwatts_layer *layer, const double *events, double watts)
{
    memcpy(layer->events[layer->n % SMARTWATTS_HISTORY], events, sizeof(layer->events[0]));
    layer->watts[layer->n % SMARTWATTS_HISTORY] = watts;
    layer->n++;
    if (layer->trained)
        layer->error[layer->n_errors++ % SMARTWATTS_HISTORY] = fabs(watts - predict(layer, events) - layer->intercept);
    if (layer->n < SAMPLES_MIN || (layer->trained && median_error(layer) <= THRESHOLD_W))
        return;

    struct smartwatts_layer before = *layer;
    smartwatts_train(layer, layer->n >= SMARTWATTS_HISTORY);
    if (layer->intercept >= 0.0 && layer->intercept < TDP_W) {
        layer->trained = true;
        layer->n_errors = 0;
    } else {
        *layer = before;
    }
}

static void smartwatts_split(void *arg, const struct method_window *window, uint64_t *uj, struct method_error *errors,
                             struct method_result *result)
{
    struct smartwatts *self = arg;
    double sum[SMARTWATTS_EVENTS] = {0}, events[SMARTWATTS_EVENTS], cpu_ns = 0.0;
    double seconds = (double)window->window_ns * 1e-9;

    *result = (struct method_result){.crowding = 1.0, .used = "smartwatts"};
    for (size_t i = 0; i < window->n && seconds > 0.0; i++) {
        events_of(window, i, seconds, events);
        cpu_ns += (double)window->cells[i].value[FEATURE_CPU_NS];
        for (size_t j = 0; j < SMARTWATTS_EVENTS; j++)
            sum[j] += events[j];
    }
    double ghz = cpu_ns > 0.0 ? sum[0] * seconds / cpu_ns : 0.0;
    struct smartwatts_layer *layer = &self->layer[(size_t)fmin(fmax(ghz * 10.0, 0.0), SMARTWATTS_LAYERS - 1.0)];
    if (seconds > 0.0)
        learn(layer, sum, (double)window->energy_uj * 1e-6 / seconds);

    double global = predict(layer, sum);
    for (size_t i = 0; i < window->n; i++) {
        double watts = 0.0;
        if (layer->trained && global > 0.0) {
            events_of(window, i, seconds, events);
            watts = predict(layer, events);
            watts += layer->intercept * watts / global;
        }
        uj[i] = (uint64_t)llround(fmin(watts * seconds * 1e6, 0x1p60));
        result->active_uj += uj[i];
        if (errors)
            errors[i] = (struct method_error){0};
    }
    if (result->active_uj < window->energy_uj)
        result->residual_uj = window->energy_uj - result->active_uj;
}

static void *smartwatts_close(void *arg)
{
    free(arg);
    return NULL;
}

const struct method_ops comparator_smartwatts = {
    .name = "smartwatts",
    .summary = "non-negative elastic net by frequency layer, as predicted",
    .needs = FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_CYCLES),
    .open = smartwatts_open,
    .split = smartwatts_split,
    .close = smartwatts_close,
};
