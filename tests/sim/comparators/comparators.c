/* SPDX-License-Identifier: Apache-2.0 */
/* Kepler, Scaphandre, HaPPy in a few lines each; SmartWatts is in smartwatts.c. DRAM: as their package rule, which is
 * what they do. */
#include "comparators.h"

#include <math.h>
#include <string.h>

#include "smartwatts.h"

#define JIFFY_NS   10000000ULL /* 100 Hz */
#define HAPPY_BOTH 0.55        /* 11/20: each of two hyperthreads of a core that draws 1.1 times one */

static int open_nothing(const struct method_settings *settings, void **ret_self, struct carnot_err *err)
{
    (void)settings;
    (void)err;
    *ret_self = NULL;
    return 0;
}

static void *close_nothing(void *self)
{
    return self;
}

static uint64_t rounded(double uj)
{
    return uj > 0.0 && uj < 0x1p63 ? (uint64_t)llround(uj) : 0;
}

static uint64_t value_of(const struct method_window *window, size_t i, enum feature feature)
{
    return window->known & FEATURE_BIT(feature) ? window->cells[i].value[feature] : 0;
}

static void finish(const struct method_window *window, double idle_uj, const char *used, const uint64_t *uj,
                   struct method_error *errors, struct method_result *result)
{
    *result = (struct method_result){.idle_uj = rounded(idle_uj), .crowding = 1.0, .used = used};
    for (size_t i = 0; i < window->n; i++) {
        result->active_uj += uj[i];
        if (errors)
            errors[i] = (struct method_error){0};
    }
    uint64_t given = result->active_uj + result->idle_uj;
    result->residual_uj = given < window->energy_uj ? window->energy_uj - given : 0;
}

static void kepler_split(void *self, const struct method_window *window, uint64_t *uj, struct method_error *errors,
                         struct method_result *result)
{
    double sum = 0.0, capacity = (double)window->window_ns * window->n_cpus;

    (void)self;
    for (size_t i = 0; i < window->n; i++)
        sum += (double)value_of(window, i, FEATURE_CPU_NS);
    double active = capacity > 0.0 ? (double)window->energy_uj * fmin(sum / capacity, 1.0) : 0.0;
    for (size_t i = 0; i < window->n; i++)
        uj[i] = sum > 0.0 ? rounded(active * (double)value_of(window, i, FEATURE_CPU_NS) / sum) : 0;
    finish(window, (double)window->energy_uj - active, "kepler", uj, errors, result);
}

/* Jiffies of the process in whole ticks, over those of all; the whole power, idle part and all. */
static void scaphandre_split(void *self, const struct method_window *window, uint64_t *uj, struct method_error *errors,
                             struct method_result *result)
{
    double sum = 0.0;

    (void)self;
    for (size_t i = 0; i < window->n; i++)
        sum += (double)value_of(window, i, FEATURE_CPU_NS) / (double)JIFFY_NS;
    for (size_t i = 0; i < window->n; i++) {
        uint64_t jiffies = value_of(window, i, FEATURE_CPU_NS) / JIFFY_NS;
        uj[i] = sum > 0.0 ? rounded((double)window->energy_uj * (double)jiffies / sum) : 0;
    }
    finish(window, 0.0, "scaphandre", uj, errors, result);
}

/* Cycles where counted, else time. The idle task is a process like others: its part is known idle power, else what is
 * left of the window's capacity at the same frequency. */
static void happy_split(void *self, const struct method_window *window, uint64_t *uj, struct method_error *errors,
                        struct method_result *result)
{
    bool cycles = window->known & FEATURE_BIT(FEATURE_CYCLES);
    double sum = 0.0, cpu_ns = 0.0, capacity, active;

    (void)self;
    for (size_t i = 0; i < window->n; i++) {
        double cpu = (double)value_of(window, i, FEATURE_CPU_NS);
        double overlap = fmin((double)value_of(window, i, FEATURE_OVERLAP_NS), cpu);
        double work = cycles ? (double)value_of(window, i, FEATURE_CYCLES) : cpu;
        double weighted = cpu > 0.0 ? work * (cpu - overlap + HAPPY_BOTH * overlap) / cpu : 0.0;
        cpu_ns += cpu - overlap + HAPPY_BOTH * overlap;
        sum += weighted;
        uj[i] = rounded(weighted);
    }
    capacity = (double)window->window_ns * (window->n_cores && window->n_cores < window->n_cpus ? HAPPY_BOTH : 1.0) *
               window->n_cpus;
    if (window->idle_uw)
        active = fmax((double)window->energy_uj - (double)window->idle_uw * (double)window->window_ns * 1e-9, 0.0);
    else
        active = capacity > 0.0 ? (double)window->energy_uj * fmin(cpu_ns / capacity, 1.0) : 0.0;
    for (size_t i = 0; i < window->n; i++)
        uj[i] = sum > 0.0 ? rounded(active * ((double)uj[i] / sum)) : 0;
    finish(window, (double)window->energy_uj - active, "happy", uj, errors, result);
}

const struct method_ops comparator_kepler = {
    .name = "kepler",
    .summary = "CPU-time share of energy x utilisation (Kepler 0.10 on)",
    .needs = FEATURE_BIT(FEATURE_CPU_NS),
    .open = open_nothing,
    .split = kepler_split,
    .close = close_nothing,
};

const struct method_ops comparator_scaphandre = {
    .name = "scaphandre",
    .summary = "share of jiffies x all of the power",
    .needs = FEATURE_BIT(FEATURE_CPU_NS),
    .open = open_nothing,
    .split = scaphandre_split,
    .close = close_nothing,
};

const struct method_ops comparator_happy = {
    .name = "happy",
    .summary = "share of cycles, those beside a busy sibling counting 11/20",
    .needs = FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS),
    .open = open_nothing,
    .split = happy_split,
    .close = close_nothing,
};

const struct method_ops *const comparators[] = {
    &comparator_kepler,
    &comparator_scaphandre,
    &comparator_happy,
    &comparator_smartwatts,
};
const size_t comparators_count = ELEMENTSOF(comparators);
