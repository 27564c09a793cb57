/* SPDX-License-Identifier: Apache-2.0 */
/* How near the method that learns comes to the truth, and how well it knows: mean figures over many simulated packages,
 * which are of the model's own shape (synthetic.h). */
#include <math.h>
#include <stdio.h>

#include "attribution/interval.h"
#include "counters_rig.h"

#define MACHINES 200 /* per figure */
#define LOOK     100 /* windows looked at */

static void hold_still(struct synthetic_machine *machine)
{
    for (size_t t = 0; t < machine->n; t++)
        machine->tenant[t].swing = machine->tenant[t].mix = 0.0;
}

static void deviate(struct synthetic_machine *machine, uint64_t seed, double sd)
{
    for (size_t t = 0; t < machine->n; t++)
        machine->tenant[t].deviation = sd * synthetic_normal(&seed);
}

struct figures {
    double error, sum_error;       /* mean absolute relative: of windows, of their sum */
    double coverage, sum_coverage; /* of 95 % intervals */
    double sigma;                  /* mean, relative to the share */
    double identified;             /* part of windows */
};

/* Over the windows looked at, one figure for each tenant and one for its sum. */
static void look(void *self, struct synthetic_run *run, struct figures *sum, double *n, double *n_sums)
{
    const struct synthetic_machine *machine = run->machine;
    struct interval_sum total[SYNTHETIC_TENANTS_MAX] = {0};
    double true_uj[SYNTHETIC_TENANTS_MAX] = {0};
    struct synthetic_window window;
    struct answer answer;

    for (unsigned i = 0; i < LOOK; i++) {
        synthetic_step(run, &window);
        ask(self, &window.window, &answer);
        sum->identified += strcmp(answer.result.used, "counters") == 0 ? 1.0 / LOOK : 0.0;
        struct interval_window in = {.energy_uj = window.window.energy_uj,
                                     .edge_uj = machine->edge_uj,
                                     .follows = i > 0,
                                     .result = &answer.result};
        for (size_t t = 0; t < machine->n; t++) {
            struct interval_sum one = {0};
            interval_add(&one, &in, answer.uj[t], &answer.errors[t]);
            interval_add(&total[t], &in, answer.uj[t], &answer.errors[t]);
            true_uj[t] += window.true_uj[t];
            if (window.true_uj[t] < WORTH_UJ)
                continue;
            struct interval_part part = interval_part(&one);
            struct interval interval = interval_of(&part, 1, 0.0);
            sum->error += fabs((double)answer.uj[t] - window.true_uj[t]) / window.true_uj[t];
            sum->coverage += (double)interval.low_uj <= window.true_uj[t] + 1.0 &&
                             (double)interval.high_uj >= window.true_uj[t] - 1.0;
            sum->sigma += interval.sigma_uj / window.true_uj[t];
            (*n)++;
        }
    }
    for (size_t t = 0; t < machine->n; t++) {
        if (true_uj[t] < LOOK * WORTH_UJ / 10.0)
            continue;
        struct interval_part part = interval_part(&total[t]);
        struct interval interval = interval_of(&part, 1, 0.0);
        sum->sum_error += fabs((double)total[t].uj - true_uj[t]) / true_uj[t];
        sum->sum_coverage += (double)interval.low_uj <= true_uj[t] && (double)interval.high_uj >= true_uj[t];
        (*n_sums)++;
    }
}

struct trial {
    const char *name;
    double spread, deviation;
    double ghz_swing, voltage_slope;
    bool rest, still, no_counters;
};

static struct figures try(const struct trial *trial)
{
    struct figures sum = {0};
    double n = 0.0, n_sums = 0.0;

    for (uint64_t seed = 1; seed <= MACHINES; seed++) {
        struct synthetic_machine machine = synthetic_draw(7919 * seed);
        machine.no_counters = trial->no_counters;
        machine.ghz_swing = trial->ghz_swing;
        machine.voltage_slope = trial->voltage_slope;
        if (trial->rest)
            let_rest(&machine);
        if (trial->still)
            hold_still(&machine);
        deviate(&machine, seed, trial->deviation);
        struct synthetic_run run = synthetic_start(&machine, seed);
        void *self = open_counters(trial->spread);
        learn(self, &run, LEARN);
        look(self, &run, &sum, &n, &n_sums);
        close_counters(self);
    }
    struct figures mean = {
        .error = sum.error / n,
        .sum_error = sum.sum_error / n_sums,
        .coverage = sum.coverage / n,
        .sum_coverage = sum.sum_coverage / n_sums,
        .sigma = sum.sigma / n,
        .identified = sum.identified / MACHINES,
    };
    printf(
        "%-34s error %5.2f %% (of sums %5.2f %%), coverage %5.1f %% (%5.1f %%), sigma %5.2f %%, identified %5.1f %%\n",
        trial->name, 100 * mean.error, 100 * mean.sum_error, 100 * mean.coverage, 100 * mean.sum_coverage,
        100 * mean.sigma, 100 * mean.identified);
    return mean;
}

/* A machine that shows all it can do: found to 1 %. Intervals are then wider than they had to be, by a factor of two or
 * so: what a reading has too much the next one has too little, of which the method makes no use. */
static void test_learns(void **state)
{
    struct figures f = try(&(struct trial){.name = "linear, resting", .spread = 0.0, .rest = true});

    assert_between(f.error, 0.0, 0.01);
    assert_between(f.sum_error, 0.0, 0.01);
    assert_between(f.coverage, 0.92, 1.0);
    assert_between(f.sigma, f.error, 3.0 * f.error);
    assert_between(f.identified, 0.95, 1.0);
}

/* Tenants whose instructions cost more or less than others' by 9 % (+-15 % uniform): learned as well. */
static void test_learns_tenants(void **state)
{
    struct figures f =
        try(&(struct trial){.name = "tenants differ, resting", .spread = 0.07, .deviation = 0.087, .rest = true});

    assert_between(f.error, 0.0, 0.01);
    assert_between(f.coverage, 0.92, 1.0);
    assert_between(f.sigma, f.error, 3.0 * f.error);
}

/* A machine that never idles: idle and awake cannot be told apart, and the intervals say so. */
static void test_never_idle(void **state)
{
    struct figures f = try(&(struct trial){.name = "linear, never idle", .spread = 0.0});

    assert_between(f.error, 0.0, 0.08);
    assert_between(f.coverage, 0.92, 0.98);
    assert_between(f.sum_coverage, 0.92, 0.98);
}

/* Constant tenants: one equation for seven unknowns. Wide, and right about it. */
static void test_rank_deficient(void **state)
{
    struct figures f = try(&(struct trial){.name = "rank-deficient", .spread = 0.0, .still = true});
    struct figures g = try(
        &(struct trial){.name = "rank-deficient, tenants differ", .spread = 0.07, .deviation = 0.087, .still = true});

    assert_between(f.sigma, 0.1, 1.0);
    assert_between(f.coverage, 0.92, 0.98);
    assert_between(f.identified, 0.0, 0.5);
    assert_between(g.coverage, 0.92, 0.98);
}

/* Nothing but time on CPUs and overlap: tenants' energies per second are learned where they vary. */
static void test_times_only(void **state)
{
    struct figures f =
        try(&(struct trial){.name = "times only, resting", .spread = 0.07, .rest = true, .no_counters = true});

    assert_between(f.error, 0.0, 0.08);
    assert_between(f.coverage, 0.9, 0.98);
}

/* Frequency moves by +-20 %, and voltage with it otherwise than is believed (0.5). */
static void test_wrong_voltage(void **state)
{
    const double slope[] = {0.3, 0.7};

    for (size_t i = 0; i < ELEMENTSOF(slope); i++) {
        struct figures f = try(&(struct trial){.name = "voltage guessed wrong, resting",
                                               .spread = 0.07,
                                               .ghz_swing = 0.2,
                                               .voltage_slope = slope[i],
                                               .rest = true});
        assert_between(f.error, 0.0, 0.02);
        assert_between(f.coverage, 0.88, 1.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),     cmocka_unit_test(test_learns_tenants),
        cmocka_unit_test(test_never_idle), cmocka_unit_test(test_rank_deficient),
        cmocka_unit_test(test_times_only), cmocka_unit_test(test_wrong_voltage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
