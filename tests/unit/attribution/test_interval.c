/* SPDX-License-Identifier: Apache-2.0 */
/* How errors go together: each kind by an example worked out by hand, and the sensor's against a simulated counter. */
#include <math.h>
#include <string.h>

#include "../base/unit_test.h"
#include "attribution/interval.h"
#include "base/clock.h"

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.12g is not %.12g +- %g", value, expected, tolerance);
}

static void test_sensor(void **state)
{
    /* a counter of 61 uJ; 100 W: 1 ms are 0.1 J */
    struct sensor sensor = {.resolution_uj = 61, .update_ns = NS_PER_MS};

    assert_near(sensor_edge_sigma_uj(&sensor, 0), 61 / sqrt(12.0), 1e-9);
    assert_near(sensor_edge_sigma_uj(&sensor, 100000000), 100000 / sqrt(3.0), 1.0);
    assert_near((double)sensor_window_sigma_uj(&sensor, 100000000, NS_PER_SEC), 100000 * sqrt(2.0 / 3.0), 1.0);
    assert_int_equal(sensor_window_sigma_uj(&sensor, 10, NS_PER_MS), 10); /* no more than there is */
    sensor.align_ns = NS_PER_MS;
    assert_near(sensor_edge_sigma_uj(&sensor, 100000000), 100000 * sqrt(2.0 / 3.0), 1.0);
}

static const struct method_result one_group = {.active_uj = 1000000, .crowding = 1.0, .epoch = 1};

static struct interval_window window_of(bool follows, const struct method_result *result)
{
    return (struct interval_window){.energy_uj = 1000000, .edge_uj = 100.0, .follows = follows, .result = result};
}

/* A constant part: only the first and the last edge count, however many windows. */
static void test_edges_telescope(void **state)
{
    struct interval_sum sum = {0};

    for (unsigned i = 0; i < 50; i++) {
        struct interval_window window = window_of(i > 0, &one_group);
        interval_add(&sum, &window, 500000, NULL);
    }
    assert_near(interval_part(&sum).sensor_uj, 0.5 * 100.0 * sqrt(2.0), 1e-9);
    assert_int_equal(interval_part(&sum).uj, 25000000);

    /* all, nothing, all: no edge is shared */
    sum = (struct interval_sum){0};
    for (unsigned i = 0; i < 3; i++) {
        struct interval_window window = window_of(i > 0, &one_group);
        interval_add(&sum, &window, i == 1 ? 0 : 1000000, NULL);
    }
    assert_near(interval_part(&sum).sensor_uj, 200.0, 1e-9);

    /* a pause between two windows: four edges */
    sum = (struct interval_sum){0};
    for (unsigned i = 0; i < 2; i++) {
        struct interval_window window = window_of(false, &one_group);
        interval_add(&sum, &window, 1000000, NULL);
    }
    assert_near(interval_part(&sum).sensor_uj, 200.0, 1e-9);
}

/* What the model has wrong it has wrong in every window: errors add up. After it began anew they are other ones. */
static void test_modes_over_windows(void **state)
{
    struct method_result later = one_group;
    struct method_error error = {.mode_uj = {3.0, 4.0}};
    struct interval_sum sum = {0};

    for (unsigned i = 0; i < 10; i++) {
        struct interval_window window = window_of(i > 0, &one_group);
        interval_add(&sum, &window, 0, &error);
    }
    assert_near(interval_part(&sum).model_uj, 50.0, 1e-9);
    later.epoch = 2;
    struct interval_window window = window_of(true, &later);
    interval_add(&sum, &window, 0, &error);
    assert_near(interval_part(&sum).model_uj, sqrt(2500.0 + 25.0), 1e-9);
}

/* Two cells and idle: what one has too much another has too little, and the total has no such error. */
static void test_modes_over_cells(void **state)
{
    const struct method_error errors[3] = {
        {.mode_uj = {5.0, 1.0}}, {.mode_uj = {-2.0, 1.0}}, {.mode_uj = {-3.0, -2.0}}};
    struct method_error total = {0};
    struct interval_sum sum = {0};

    for (size_t i = 0; i < 3; i++)
        method_error_add(&total, &errors[i]);
    struct interval_window window = window_of(false, &one_group);
    interval_add(&sum, &window, 1000000, &total);
    assert_near(interval_part(&sum).model_uj, 0.0, 0.0);
    assert_near(interval_part(&sum).spread_uj, 0.0, 0.0);
}

/* Two packages: counters and models err independently, the workload is the same on both, the kind of meter too. */
static void test_domains(void **state)
{
    const struct interval_part parts[2] = {
        {.uj = 1000, .most_uj = 5000, .sensor_uj = 3.0, .model_uj = 4.0, .spread_uj = 6.0},
        {.uj = 1000, .most_uj = 5000, .sensor_uj = 3.0, .model_uj = 4.0, .spread_uj = 6.0},
    };
    struct interval interval = interval_of(parts, 2, 0.0);

    assert_int_equal(interval.uj, 2000);
    assert_near(interval.sigma_uj, sqrt(50.0 + 144.0), 1e-9);
    assert_int_equal(interval.low_uj, 2000 - 27);
    assert_int_equal(interval.high_uj, 2000 + 27);
    interval = interval_of(parts, 2, 0.01);
    assert_near(interval.sigma_uj, sqrt(50.0 + 144.0 + 400.0), 1e-9);
}

/* Never below nothing, never above what there was. */
static void test_bounds(void **state)
{
    struct interval_part part = {.uj = 100, .most_uj = 150, .model_uj = 1e6};
    struct interval interval = interval_of(&part, 1, 0.0);

    assert_int_equal(interval.low_uj, 0);
    assert_int_equal(interval.high_uj, 150);
    part = (struct interval_part){.uj = 200, .most_uj = 150}; /* a method that does not conserve */
    interval = interval_of(&part, 1, 0.0);
    assert_int_equal(interval.low_uj, 150);
    assert_int_equal(interval.high_uj, 200);
    interval = interval_of(NULL, 0, 0.0);
    assert_int_equal(interval.high_uj, 0);
}

static double unit(uint64_t *random)
{
    return (double)(next_random(random) >> 11) * 0x1p-53;
}

/* A counter of 100 W that is up to 1 ms old: over 1, 10 and 100 windows of 100 ms, 95 % intervals hold 92 to 98 %. The
 * error is uniform, whose tails are short: one window's may hold all. */
static void test_coverage_of_edges(void **state)
{
    const struct sensor sensor = {.resolution_uj = 61, .update_ns = NS_PER_MS};
    const double power_w = 100.0;
    uint64_t random = 5;

    for (unsigned windows = 1; windows <= 100; windows *= 10) {
        unsigned inside = 0;
        for (unsigned round = 0; round < 2000; round++) {
            struct interval_sum sum = {0};
            double lag_s = (2.0 * unit(&random) - 1.0) * 1e-3, true_uj = 0.0;
            double part = unit(&random);
            for (unsigned i = 0; i < windows; i++) {
                double next_s = (2.0 * unit(&random) - 1.0) * 1e-3;
                double uj = power_w * 1e6 * (0.1 + next_s - lag_s);
                struct interval_window window = {.energy_uj = (uint64_t)uj,
                                                 .edge_uj = sensor_edge_sigma_uj(&sensor, 100000000),
                                                 .follows = i > 0,
                                                 .result = &one_group};
                lag_s = next_s;
                true_uj += power_w * 1e6 * 0.1 * part;
                interval_add(&sum, &window, (uint64_t)(uj * part), NULL);
            }
            struct interval_part p = interval_part(&sum);
            struct interval interval = interval_of(&p, 1, 0.0);
            inside += true_uj >= (double)interval.low_uj && true_uj <= (double)interval.high_uj;
        }
        assert_in_range(inside, 1840, 1960);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sensor),
        cmocka_unit_test(test_edges_telescope),
        cmocka_unit_test(test_modes_over_windows),
        cmocka_unit_test(test_modes_over_cells),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_coverage_of_edges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
