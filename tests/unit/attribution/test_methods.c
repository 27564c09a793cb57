/* SPDX-License-Identifier: Apache-2.0 */
/* The methods that do not learn, each rule by an example worked out by hand. Laws that hold for every input are in
 * tests/property/test_methods.c. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "../base/unit_test.h"
#include "attribution/method.h"
#include "attribution/method_energat.h"
#include "base/clock.h"

#define CELLS 4

struct rig {
    struct method_window window;
    struct cell_features cells[CELLS];
    uint32_t group[CELLS];
    uint64_t uj[CELLS];
    struct method_error errors[CELLS];
    struct method_result result;
};

/* One second on two cores with two hyperthreads each. */
static struct rig rig_of(size_t n)
{
    return (struct rig){.window = {.energy_uj = 10000000,
                                   .window_ns = NS_PER_SEC,
                                   .n_cpus = 4,
                                   .n_cores = 2,
                                   .known = FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS),
                                   .n = n}};
}

static void split(struct rig *rig, const char *name, const struct method_settings *settings)
{
    const struct method_ops *ops = method_find(name);
    void *self;

    assert_non_null(ops);
    assert_int_equal(ops->open(settings, &self, NULL), 0);
    rig->window.cells = rig->cells;
    ops->split(self, &rig->window, rig->uj, rig->errors, &rig->result);
    assert_null(ops->close(self));
}

static void assert_shares(const struct rig *rig, const uint64_t *expected)
{
    for (size_t i = 0; i < rig->window.n; i++)
        assert_int_equal(rig->uj[i], expected[i]);
}

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.15g is not %.15g +- %g", value, expected, tolerance);
}

static void test_registry(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(method_registry_count, 4);
    assert_null(method_find("guess"));
    for (size_t i = 0; i < method_registry_count; i++) {
        void *self = NULL;
        assert_int_equal(method_registry[i]->open(&METHOD_SETTINGS_DEFAULT, &self, &err), 0);
        assert_null(method_registry[i]->close(self));
        assert_null(method_registry[i]->close(NULL));
    }
}

static void test_settings_out_of_range(void **state)
{
    const struct {
        const char *method;
        struct method_settings settings;
        const char *word;
    } wrong[] = {
        {"smt", {.smt_factor = 0.9, .gamma = 0.3, .delta = 0.2}, "hyperthread"},
        {"smt", {.smt_factor = NAN, .gamma = 0.3, .delta = 0.2}, "hyperthread"},
        {"energat", {.smt_factor = 1.1, .gamma = 0.0, .delta = 0.2}, "gamma"},
        {"energat", {.smt_factor = 1.1, .gamma = 0.3, .delta = 5.0}, "delta"},
        {"counters", {.smt_factor = 1.1, .gamma = 0.3, .delta = 0.2, .voltage_slope = -1.0}, "voltage"},
        {"counters", {.smt_factor = 1.1, .gamma = 0.3, .delta = 0.2, .spread = 2.0}, "spread"},
    };

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        struct carnot_err err = CARNOT_ERR_INIT;
        void *self = NULL;
        assert_int_equal(method_find(wrong[i].method)->open(&wrong[i].settings, &self, &err), -EINVAL);
        assert_null(self);
        assert_non_null(strstr(err.msg, wrong[i].word));
    }
}

/* 3 s on 4 CPUs for a second: three quarters of 10 J are active, 2 to 1. */
static void test_cpu_time(void **state)
{
    struct rig rig = rig_of(2);

    rig.cells[0].value[FEATURE_CPU_NS] = 2 * NS_PER_SEC;
    rig.cells[1].value[FEATURE_CPU_NS] = NS_PER_SEC;
    split(&rig, "cpu_time", &METHOD_SETTINGS_DEFAULT);
    assert_shares(&rig, (const uint64_t[]){5000000, 2500000});
    assert_int_equal(rig.result.idle_uj, 2500000);
    assert_int_equal(rig.result.residual_uj, 0);
    assert_string_equal(rig.result.used, "cpu_time");

    rig.window.idle_uw = 4000000;
    split(&rig, "cpu_time", &METHOD_SETTINGS_DEFAULT);
    assert_shares(&rig, (const uint64_t[]){4000000, 2000000});
    /* 5 % of 4 J, two thirds of it with the opposite sign */
    assert_near(rig.result.idle.mode_uj[0], 200000, 1e-6);
    assert_near(rig.errors[0].mode_uj[0], -200000.0 * 2 / 3, 1e-6);
}

static void test_nobody_ran(void **state)
{
    struct rig rig = rig_of(2);

    rig.window.idle_uw = 4000000;
    split(&rig, "cpu_time", &METHOD_SETTINGS_DEFAULT);
    assert_shares(&rig, (const uint64_t[]){0, 0});
    assert_int_equal(rig.result.idle_uj, 4000000);
    assert_int_equal(rig.result.residual_uj, 6000000);

    rig.window.known = 0;
    split(&rig, "smt", &METHOD_SETTINGS_DEFAULT);
    assert_int_equal(rig.result.residual_uj, 10000000);
    assert_string_equal(rig.result.used, "none: on-CPU time is not known");
}

/* Cell 0 alone on a core for a second; cells 1 and 2 together on the other: weights 1, 0.55, 0.55. With idle power
 * known 9 of 10 J are active. */
static void test_smt(void **state)
{
    struct rig rig = rig_of(3);

    for (size_t i = 0; i < 3; i++)
        rig.cells[i].value[FEATURE_CPU_NS] = NS_PER_SEC;
    rig.cells[1].value[FEATURE_OVERLAP_NS] = rig.cells[2].value[FEATURE_OVERLAP_NS] = NS_PER_SEC;
    rig.window.idle_uw = 1000000;
    split(&rig, "smt", &METHOD_SETTINGS_DEFAULT);
    assert_near((double)rig.uj[0], 9e6 / 2.1, 1.0);
    assert_near((double)rig.uj[1], 9e6 * 0.55 / 2.1, 1.0);
    assert_near((double)rig.uj[2], 9e6 * 0.55 / 2.1, 1.0);
    assert_string_equal(rig.result.used, "smt");

    /* unknown: one core of two fully busy is 1 + 0 of 2 x 1.1; half a core more than cpu_time would say */
    rig = rig_of(1);
    rig.cells[0].value[FEATURE_CPU_NS] = NS_PER_SEC;
    split(&rig, "smt", &METHOD_SETTINGS_DEFAULT);
    assert_near((double)rig.uj[0], 10e6 / 2.2, 1.0);

    /* every hyperthread busy: nothing is idle */
    rig = rig_of(4);
    for (size_t i = 0; i < 4; i++)
        rig.cells[i].value[FEATURE_CPU_NS] = rig.cells[i].value[FEATURE_OVERLAP_NS] = NS_PER_SEC;
    split(&rig, "smt", &METHOD_SETTINGS_DEFAULT);
    assert_shares(&rig, (const uint64_t[]){2500000, 2500000, 2500000, 2500000});
    assert_int_equal(rig.result.idle_uj, 0);
}

static void test_smt_without_what_it_needs(void **state)
{
    struct rig rig = rig_of(1);

    rig.cells[0].value[FEATURE_CPU_NS] = NS_PER_SEC;
    rig.window.known = FEATURE_BIT(FEATURE_CPU_NS);
    split(&rig, "smt", &METHOD_SETTINGS_DEFAULT);
    assert_int_equal(rig.uj[0], 2500000);
    assert_string_equal(rig.result.used, "cpu_time: the overlap of hyperthreads is not known");

    rig.window.n_cores = 4; /* no hyperthreads: nothing can overlap */
    split(&rig, "smt", &METHOD_SETTINGS_DEFAULT);
    assert_int_equal(rig.uj[0], 2500000);
    assert_string_equal(rig.result.used, "smt");
}

/* Memory is never split by CPU time. */
static void test_memory(void **state)
{
    static const char *const methods[] = {"cpu_time", "smt"};

    for (size_t m = 0; m < ELEMENTSOF(methods); m++) {
        struct rig rig = rig_of(2);
        rig.window.dram = true;
        rig.window.idle_uw = 2000000;
        rig.cells[0].value[FEATURE_CPU_NS] = NS_PER_SEC;
        rig.cells[1].value[FEATURE_NODE_MISSES] = 3000;
        rig.cells[0].value[FEATURE_NODE_MISSES] = 1000;
        rig.cells[0].value[FEATURE_RESIDENT] = 30;
        rig.cells[1].value[FEATURE_RESIDENT] = 10;

        split(&rig, methods[m], &METHOD_SETTINGS_DEFAULT); /* time on CPUs alone */
        assert_int_equal(rig.result.residual_uj, 10000000);

        rig.window.known |= FEATURE_BIT(FEATURE_RESIDENT);
        rig.window.resident = 80; /* half of it the kernel's */
        split(&rig, methods[m], &METHOD_SETTINGS_DEFAULT);
        assert_shares(&rig, (const uint64_t[]){3000000, 1000000});
        assert_int_equal(rig.result.idle_uj, 6000000);
        assert_string_equal(rig.result.used, "resident memory");

        rig.window.known |= FEATURE_BIT(FEATURE_NODE_MISSES);
        split(&rig, methods[m], &METHOD_SETTINGS_DEFAULT);
        assert_shares(&rig, (const uint64_t[]){2000000, 6000000});
        assert_int_equal(rig.result.idle_uj, 2000000);
        assert_string_equal(rig.result.used, "misses");
    }
}

/* EnergAt's own figures, to the last digit. */
static void test_energat_formulas(void **state)
{
    double dynamic = energat_dynamic(80.0, 30.0, 1.0);

    assert_near(energat_ascribed(dynamic, energat_cpu_fraction(1.5, 6.0), 0.3), 32.98769776932235, 1e-14);
    assert_near(energat_ascribed(dynamic, energat_cpu_fraction(6.5, 6.0), 0.3), 50.0, 0.0);
    assert_near(energat_dynamic(20.0, 30.0, 1.0), 0.0, 0.0);
    assert_near(energat_cpu_fraction(1.0, 0.0), 1e-5, 0.0);
    assert_near(energat_ascribed(dynamic, 1e-5, 0.3), 1.58113883008419, 1e-14);
    assert_near(energat_ascribed(dynamic, energat_cpu_fraction(0.0, 6.0), 0.3), 0.0, 0.0);

    double fraction = energat_memory_fraction((double[]){1024, 2048, 1024}, (double[]){8192, 8192, 16384}, 3);
    assert_near(fraction, 0.14583333333333334, 1e-16);
    assert_near(energat_ascribed(energat_dynamic(12.0, 5.0, 1.0), fraction, 0.2), 4.7628773775055855, 1e-14);
    fraction = energat_memory_fraction((double[]){100, 0}, (double[]){0, 1000}, 2);
    assert_near(fraction, 0.5, 0.0);
    assert_near(energat_ascribed(7.0, fraction, 0.2), 6.093853943072869, 1e-14);
    assert_near(energat_memory_fraction(NULL, NULL, 0), 1e-5, 0.0);
    assert_near(pow(0.01, 0.3), 0.2512, 5e-5);
    assert_near(pow(0.1, 0.2), 0.6310, 5e-5);
}

/* 80 J, base 30 W: raw, cells of a quarter and three quarters get 65.98 and 91.72 % of 50 J. */
static void test_energat(void **state)
{
    struct method_settings settings = METHOD_SETTINGS_DEFAULT;
    struct rig rig = rig_of(2);

    settings.base_uw = 30000000;
    rig.window.energy_uj = 80000000;
    rig.cells[0].value[FEATURE_CPU_NS] = 1500000000;
    rig.cells[1].value[FEATURE_CPU_NS] = 4500000000;
    split(&rig, "energat", &settings);
    assert_int_equal(rig.uj[0], 32987698);
    assert_near((double)rig.uj[1], 50e6 * pow(0.75, 0.3), 1.0);
    assert_int_equal(rig.result.idle_uj, 30000000);
    assert_int_equal(rig.result.active_uj, rig.uj[0] + rig.uj[1]); /* more than there was */
    assert_true(rig.result.active_uj > 50000000);
    assert_false(method_find("energat")->conserves);

    settings.normalise = true;
    split(&rig, "energat", &settings);
    assert_int_equal(rig.uj[0] + rig.uj[1], 50000000);
    double first = pow(0.25, 0.3), second = pow(0.75, 0.3);
    assert_near((double)rig.uj[0], 50e6 * first / (first + second), 2.0);
    assert_string_equal(rig.result.used, "energat, normalised");
}

/* 64-bit extremes and no cells at all. */
static void test_extremes(void **state)
{
    for (size_t m = 0; m < method_registry_count; m++) {
        struct method_settings settings = METHOD_SETTINGS_DEFAULT;
        struct rig rig = rig_of(CELLS);
        settings.normalise = true;
        memset(rig.cells, 0xff, sizeof(rig.cells));
        rig.window.energy_uj = UINT64_MAX;
        rig.window.sensor_uj = UINT64_MAX;
        rig.window.window_ns = UINT64_MAX;
        rig.window.known = (1U << FEATURES) - 1;
        split(&rig, method_registry[m]->name, &settings);
        uint64_t sum = rig.result.idle_uj + rig.result.residual_uj;
        for (size_t i = 0; i < CELLS; i++) {
            sum += rig.uj[i];
            assert_true(isfinite(rig.errors[i].sigma_uj));
        }
        assert_true(sum == UINT64_MAX);

        rig = rig_of(0);
        split(&rig, method_registry[m]->name, &settings);
        assert_int_equal(rig.result.active_uj, 0);
        assert_int_equal(rig.result.idle_uj + rig.result.residual_uj, 10000000);
    }
}

/* A share's error by differences between workloads: none for all or nothing, the same in one piece or two. */
static void test_spread(void **state)
{
    struct method_result result = {.active_uj = 1000, .crowding = 1.0};

    assert_near(method_spread_uj(&result, 1000, 200.0), 0.0, 0.0);
    assert_near(method_spread_uj(&result, 0, 0.0), 0.0, 0.0);
    /* two equal tenants: 0.2 x 500 x (1/2) x sqrt(2) */
    assert_near(method_spread_uj(&result, 500, 100.0), 100.0 * 0.5 * sqrt(2.0), 1e-9);
    /* one of ten: nine others even out */
    result.crowding = 0.1;
    assert_near(method_spread_uj(&result, 100, 20.0), 20.0 * sqrt(0.81 + 0.09), 1e-9);

    struct method_error sum = {0}, piece = {.spread_uj = 50.0, .mode_uj = {1.0, -2.0}};
    method_error_add(&sum, &piece);
    method_error_add(&sum, &piece);
    assert_near(sum.spread_uj, 100.0, 0.0);
    assert_near(sum.mode_uj[1], -4.0, 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry), cmocka_unit_test(test_settings_out_of_range),
        cmocka_unit_test(test_cpu_time), cmocka_unit_test(test_nobody_ran),
        cmocka_unit_test(test_smt),      cmocka_unit_test(test_smt_without_what_it_needs),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_energat_formulas),
        cmocka_unit_test(test_energat),  cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
