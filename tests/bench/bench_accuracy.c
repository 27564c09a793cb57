/* SPDX-License-Identifier: Apache-2.0 */
/* How far each method is from the truth of the simulated machine (tests/sim/twin), side by side with the rules of other
 * monitors, on the same windows: a line of JSON for each scenario, tier and method.
 *
 *   package_mape  mean over tenants of |given - true| / true, active energy of both packages after the methods had a
 * minute to learn; tenants with less than 1 % of it are left out of the mean dram_mape     the same for memory beyond
 * its idle power coverage      of the 95 % intervals of tenants' package energy over ten windows: the part that holds
 * the truth conservation  largest |sum of shares + idle + residual - measured| of any window, uJ
 *
 * Everything is simulated, and follows from the seeds. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attribution/interval.h"
#include "base/clock.h"
#include "comparators.h"
#include "scenarios.h"

#define WARM_WINDOWS 60
#define WINDOWS      240
#define SEGMENT      10 /* windows to an interval */
#define SEEDS        3
#define SMALL        0.01
#define ALL          (~0U)

static const struct {
    const char *name;
    unsigned known;
} tiers[] = {
    {"T4", ALL},
    {"T3", FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS) | FEATURE_BIT(FEATURE_PRESENT_NS) |
               FEATURE_BIT(FEATURE_CYCLES) | FEATURE_BIT(FEATURE_RESIDENT)},
    {"T2", FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS) | FEATURE_BIT(FEATURE_PRESENT_NS) |
               FEATURE_BIT(FEATURE_RESIDENT)},
    {"T1", FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_RESIDENT)},
};

static const struct sensor package_sensor = {.resolution_uj = 61, .update_ns = NS_PER_MS};
static const struct sensor dram_sensor = {.resolution_uj = 15, .update_ns = NS_PER_MS};

enum { DOMAINS = 2 * TWIN_SOCKETS_MAX }; /* packages, then nodes */

/* One method at one tier on one machine. */
struct trial {
    const struct method_ops *ops;
    bool ours;
    size_t tier;
    void *self[DOMAINS];
    double given_j[2][TWIN_TENANTS_MAX]; /* packages, memory */
    struct interval_sum sums[TWIN_SOCKETS_MAX][TWIN_TENANTS_MAX];
    unsigned n_intervals, n_covered;
    uint64_t worst_uj;
    bool fresh; /* the next window begins a segment */
};

struct score {
    double error[2];
    unsigned n[2];
    unsigned n_intervals, n_covered;
    uint64_t worst_uj;
};

static struct method_window degraded(const struct twin_domain *domain, size_t tier, const struct sensor *sensor)
{
    struct method_window window = domain->window;

    twin_degrade(&window, tiers[tier].known);
    window.sensor_uj = sensor_window_sigma_uj(sensor, window.energy_uj, window.window_ns);
    return window;
}

static uint64_t conservation_error(const struct method_window *window, const uint64_t *uj,
                                   const struct method_result *result)
{
    uint64_t sum = result->idle_uj + result->residual_uj;

    for (size_t i = 0; i < window->n; i++)
        sum += uj[i];
    return sum > window->energy_uj ? sum - window->energy_uj : window->energy_uj - sum;
}

/* A tenant's error is the sum of its threads'. */
static void add_intervals(struct trial *trial, unsigned socket, const struct twin_domain *domain,
                          const struct method_window *window, const uint64_t *uj, const struct method_error *errors,
                          const struct method_result *result)
{
    uint64_t power_uw = (uint64_t)((double)window->energy_uj * 1e9 / (double)window->window_ns);
    struct interval_window common = {.energy_uj = window->energy_uj,
                                     .edge_uj = sensor_edge_sigma_uj(&package_sensor, power_uw),
                                     .follows = !trial->fresh,
                                     .result = result};

    for (unsigned t = 0; t < window->n_groups; t++) {
        struct method_error error = {0};
        uint64_t share_uj = 0;

        for (size_t i = 0; i < window->n; i++) {
            if (domain->group[i] != t)
                continue;
            share_uj += uj[i];
            method_error_add(&error, &errors[i]);
        }
        interval_add(&trial->sums[socket][t], &common, share_uj, &error);
    }
}

static void take_window(struct trial *trial, unsigned domain_at, const struct twin_domain *domain, bool counts)
{
    static uint64_t uj[TWIN_THREADS_MAX];
    static struct method_error errors[TWIN_THREADS_MAX];
    bool dram = domain_at >= TWIN_SOCKETS_MAX;
    struct method_window window = degraded(domain, trial->tier, dram ? &dram_sensor : &package_sensor);
    struct method_result result = {0};

    memset(errors, 0, sizeof(errors));
    trial->ops->split(trial->self[domain_at], &window, uj, errors, &result);
    trial->worst_uj = max_u64(trial->worst_uj, conservation_error(&window, uj, &result));
    if (!counts)
        return;
    for (size_t i = 0; i < window.n; i++)
        trial->given_j[dram][domain->group[i]] += (double)uj[i] / 1e6;
    if (!dram && trial->ours)
        add_intervals(trial, domain_at, domain, &window, uj, errors, &result);
}

static void end_segment(struct trial *trial, const struct twin_hardware *hardware, unsigned n_tenants,
                        const double *true_j)
{
    for (unsigned t = 0; t < n_tenants; t++) {
        struct interval_part parts[TWIN_SOCKETS_MAX];

        for (unsigned s = 0; s < hardware->sockets; s++)
            parts[s] = interval_part(&trial->sums[s][t]);
        struct interval interval = interval_of(parts, hardware->sockets, 0);
        uint64_t true_uj = (uint64_t)(true_j[t] * 1e6);
        trial->n_intervals++;
        trial->n_covered += true_uj >= interval.low_uj && true_uj <= interval.high_uj;
    }
    memset(trial->sums, 0, sizeof(trial->sums));
    trial->fresh = true;
}

static void add_errors(const struct trial *trial, const double true_j[2][TWIN_TENANTS_MAX], unsigned n_tenants,
                       struct score *score)
{
    for (int kind = 0; kind < 2; kind++) {
        double total = 0;

        for (unsigned t = 0; t < n_tenants; t++)
            total += true_j[kind][t];
        for (unsigned t = 0; t < n_tenants; t++) {
            if (true_j[kind][t] < SMALL * total || total <= 0)
                continue;
            score->error[kind] += fabs(trial->given_j[kind][t] - true_j[kind][t]) / true_j[kind][t];
            score->n[kind]++;
        }
    }
    score->n_intervals += trial->n_intervals;
    score->n_covered += trial->n_covered;
    score->worst_uj = max_u64(score->worst_uj, trial->worst_uj);
}

static struct method_settings settings_of(const struct twin_hardware *hardware, bool dram)
{
    struct method_settings settings = METHOD_SETTINGS_DEFAULT;

    settings.base_uw = dram ? twin_dram_idle_uw(hardware) : twin_idle_uw(hardware);
    return settings;
}

static int open_trial(struct trial *trial, const struct method_ops *ops, bool ours, size_t tier,
                      const struct twin_hardware *hardware)
{
    *trial = (struct trial){.ops = ops, .ours = ours, .tier = tier, .fresh = true};
    for (unsigned d = 0; d < DOMAINS; d++) {
        struct method_settings settings = settings_of(hardware, d >= TWIN_SOCKETS_MAX);
        struct carnot_err err = CARNOT_ERR_INIT;

        if (ops->open(&settings, &trial->self[d], &err) < 0) {
            fprintf(stderr, "%s: %s\n", ops->name, err.msg);
            return -1;
        }
    }
    return 0;
}

static void run_machine(struct trial *trials, size_t n_trials, const struct twin_setup *setup, struct score *scores)
{
    static struct twin_window window;
    double true_j[2][TWIN_TENANTS_MAX] = {{0}}, segment_j[TWIN_TENANTS_MAX] = {0};
    struct twin *twin;

    if (twin_new(setup, &twin) < 0)
        return;
    for (unsigned w = 0; w < WARM_WINDOWS + WINDOWS; w++) {
        bool counts = w >= WARM_WINDOWS;

        twin_run(twin, NS_PER_SEC, &window);
        for (unsigned s = 0; s < setup->hardware->sockets; s++) {
            for (size_t i = 0; i < setup->n_threads && counts; i++) {
                true_j[0][setup->threads[i].tenant] += window.package[s].true_j[i];
                segment_j[setup->threads[i].tenant] += window.package[s].true_j[i];
                true_j[1][setup->threads[i].tenant] += window.dram[s].true_j[i];
            }
            for (size_t k = 0; k < n_trials; k++) {
                take_window(&trials[k], s, &window.package[s], counts);
                take_window(&trials[k], TWIN_SOCKETS_MAX + s, &window.dram[s], counts);
            }
        }
        for (size_t k = 0; k < n_trials && counts; k++)
            trials[k].fresh = false;
        if (!counts || (w + 1 - WARM_WINDOWS) % SEGMENT)
            continue;
        for (size_t k = 0; k < n_trials; k++)
            if (trials[k].ours)
                end_segment(&trials[k], setup->hardware, setup->n_tenants, segment_j);
        memset(segment_j, 0, sizeof(segment_j));
    }
    for (size_t k = 0; k < n_trials; k++)
        add_errors(&trials[k], true_j, setup->n_tenants, &scores[k]);
    twin_free(twin);
}

static void print_score(const struct scenario *scenario, const struct trial *trial, const struct score *score)
{
    static const char *const classes[] = {"cpu", "mixed", "smt", "noisy", "hard"};

    printf("{\"scenario\":\"%s\",\"class\":\"%s\",\"tier\":\"%s\",\"method\":\"%s\",\"ours\":%s", scenario->name,
           classes[scenario->class], tiers[trial->tier].name, trial->ops->name, trial->ours ? "true" : "false");
    if (score->n[0])
        printf(",\"package_mape\":%.2f", 100 * score->error[0] / score->n[0]);
    if (score->n[1])
        printf(",\"dram_mape\":%.2f", 100 * score->error[1] / score->n[1]);
    if (score->n_intervals)
        printf(",\"coverage\":%.1f", 100.0 * score->n_covered / score->n_intervals);
    printf(",\"conservation_uj\":%" PRIu64 "}\n", score->worst_uj);
}

int main(int argc, char **argv)
{
    static struct trial trials[64];
    static struct score scores[64];

    for (size_t k = 0; k < scenarios_count; k++) {
        size_t n = 0;

        if (argc > 1 && strcmp(argv[1], scenarios[k].name) != 0)
            continue;
        memset(scores, 0, sizeof(scores));
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct twin_setup setup;

            scenario_setup(&scenarios[k], true, seed, &setup);
            n = 0;
            for (size_t tier = 0; tier < ELEMENTSOF(tiers); tier++) {
                for (size_t m = 0; m < method_registry_count + comparators_count; m++) {
                    bool ours = m < method_registry_count;
                    const struct method_ops *ops = ours ? method_registry[m] : comparators[m - method_registry_count];
                    if (open_trial(&trials[n++], ops, ours, tier, setup.hardware) < 0)
                        return 1;
                }
            }
            run_machine(trials, n, &setup, scores);
            for (size_t i = 0; i < n; i++)
                for (unsigned d = 0; d < DOMAINS; d++)
                    trials[i].self[d] = trials[i].ops->close(trials[i].self[d]);
        }
        for (size_t i = 0; i < n; i++)
            print_score(&scenarios[k], &trials[i], &scores[i]);
    }
    return 0;
}
