/* SPDX-License-Identifier: Apache-2.0 */
/* Other monitors' rules do what their formulas say, and are what they are compared for: behind on the same input. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/unit_test.h"
#include "base/clock.h"
#include "comparators.h"
#include "smartwatts.h"
#include "synthetic.h"

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.12g is not %.12g +- %g", value, expected, tolerance);
}

/* Two cells on two cores with two hyperthreads each, one second, 10 J. */
static void split(const struct method_ops *ops, uint64_t first_ns, uint64_t second_ns, uint64_t *uj,
                  struct method_result *result)
{
    const struct cell_features cells[2] = {
        {.value = {[FEATURE_CPU_NS] = first_ns, [FEATURE_CYCLES] = 2 * first_ns}},
        {.value = {[FEATURE_CPU_NS] = second_ns, [FEATURE_OVERLAP_NS] = second_ns, [FEATURE_CYCLES] = 2 * second_ns}},
    };
    const struct method_window window = {
        .energy_uj = 10000000,
        .window_ns = NS_PER_SEC,
        .n_cpus = 4,
        .n_cores = 2,
        .known = FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS) | FEATURE_BIT(FEATURE_CYCLES),
        .n = 2,
        .cells = cells,
    };
    void *self;

    assert_int_equal(ops->open(&METHOD_SETTINGS_DEFAULT, &self, NULL), 0);
    ops->split(self, &window, uj, NULL, result);
    ops->close(self);
}

static void test_rules(void **state)
{
    struct method_result result;
    uint64_t uj[2];

    split(&comparator_kepler, NS_PER_SEC, NS_PER_SEC, uj, &result);
    assert_int_equal(uj[0], 2500000);
    assert_int_equal(result.idle_uj, 5000000);

    split(&comparator_scaphandre, 995000000, 1005000000, uj, &result); /* 99 and 100 jiffies of 200 */
    assert_int_equal(uj[0], 4950000);
    assert_int_equal(uj[1], 5000000);

    split(&comparator_happy, NS_PER_SEC, NS_PER_SEC, uj, &result); /* 1 and 0.55 of 2.2 */
    assert_near((double)uj[0], 10e6 / 2.2, 1.0);
    assert_near((double)uj[1], 5.5e6 / 2.2, 1.0);

    split(&comparator_smartwatts, NS_PER_SEC, NS_PER_SEC, uj, &result); /* no model yet */
    assert_int_equal(uj[0] + uj[1], 0);
    assert_int_equal(result.residual_uj, 10000000);
}

/* 20 W and 3 nJ a cycle, 1 nJ an instruction, 10 nJ a miss: found, up to the small pull of the penalty. */
static void test_elastic_net(void **state)
{
    static struct smartwatts_layer layer;
    uint64_t random = 17;

    for (size_t i = 0; i < SMARTWATTS_HISTORY; i++) {
        double *events = layer.events[i];
        events[0] = (double)(next_random(&random) % 1000000) * 1e4;
        events[2] = (double)(next_random(&random) % 1000000) * 1e4;
        events[3] = (double)(next_random(&random) % 1000000) * 1e2;
        layer.watts[i] = 20.0 + 3e-9 * events[0] + 1e-9 * events[2] + 10e-9 * events[3];
    }
    layer.n = SMARTWATTS_HISTORY;
    smartwatts_train(&layer, true);
    assert_near(layer.intercept, 20.0, 0.1);
    assert_near(layer.weight[0], 3e-9, 1e-11);
    assert_near(layer.weight[1], 0.0, 0.0);
    assert_near(layer.weight[2], 1e-9, 1e-11);
    assert_near(layer.weight[3], 10e-9, 1e-9);
}

static double error_of(const struct method_ops *ops)
{
    double error = 0.0, n = 0.0;

    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct synthetic_machine machine = synthetic_draw(seed);
        struct synthetic_run run = synthetic_start(&machine, seed);
        struct synthetic_window window;
        struct method_result result;
        uint64_t uj[SYNTHETIC_TENANTS_MAX];
        void *self;

        assert_int_equal(ops->open(&METHOD_SETTINGS_DEFAULT, &self, NULL), 0);
        for (unsigned i = 0; i < 300; i++) {
            synthetic_step(&run, &window);
            window.window.idle_uw = (uint64_t)(machine.idle_w * 1e6); /* calibrated */
            ops->split(self, &window.window, uj, NULL, &result);
            for (size_t t = 0; i >= 200 && t < machine.n; t++) {
                if (window.true_uj[t] < 1e6)
                    continue;
                error += fabs((double)uj[t] - window.true_uj[t]) / window.true_uj[t];
                n++;
            }
        }
        ops->close(self);
    }
    printf("%-12s %6.2f %%\n", ops->name, 100.0 * error / n);
    return error / n;
}

/* On machines of the learning method's own shape: an upper bound of how much better it is. */
static void test_side_by_side(void **state)
{
    double ours = error_of(method_find("counters"));

    assert_true(ours < 0.02);
    for (size_t i = 0; i < comparators_count; i++)
        assert_true(error_of(comparators[i]) > 5.0 * ours);
    assert_true(error_of(method_find("energat")) > 5.0 * ours);
    error_of(method_find("cpu_time"));
    error_of(method_find("smt"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_elastic_net),
        cmocka_unit_test(test_side_by_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
