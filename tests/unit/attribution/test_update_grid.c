/* SPDX-License-Identifier: Apache-2.0 */
/* Power from counters that are updated on a grid of their own: no zero that is not, no peak that is not, whatever the
 * two grids do to each other. */
#include "../base/unit_test.h"

#include "attribution/update_grid.h"
#include "base/clock.h"
#include "model/quantity.h"

static struct update_grid grid;
static struct update_step step;

static void at(uint64_t t_ns, uint64_t energy_uj)
{
    update_grid_step(&grid, t_ns, energy_uj, &step);
}

static void from_change_to_change(void **state)
{
    update_grid_init(&grid, 0, false);
    at(0, 1000);
    assert_false(step.changed); /* nobody knows when it was updated */
    at(1 * NS_PER_MS, 2000);
    assert_true(step.changed);
    assert_false(step.has_power);
    at(2 * NS_PER_MS, 2000); /* not updated yet: no reading of 0 W */
    assert_false(step.changed);
    assert_false(step.has_power);
    at(3 * NS_PER_MS, 4000);
    assert_true(step.changed && step.has_power);
    assert_int_equal(step.power_uw, 1000000); /* 2000 uJ in 2 ms, not in 1 */
    assert_int_equal(step.from_ns, 1 * NS_PER_MS);
    assert_int_equal(step.since_ns, 1 * NS_PER_MS);
}

static void a_span_slides(void **state)
{
    update_grid_init(&grid, 4 * NS_PER_MS, false);
    for (uint64_t i = 0; i <= 20; i++) {
        at(i * NS_PER_MS, i * i * 100);
        assert_int_equal(step.changed, i > 0);
        assert_int_equal(step.has_power, i >= 5); /* changes are seen from 1 ms on */
        if (!step.has_power)
            continue;
        assert_int_equal(step.from_ns, (i - 4) * NS_PER_MS);
        assert_int_equal(step.since_ns, (i - 1) * NS_PER_MS);
        assert_int_equal(step.power_uw, (i * i - (i - 4) * (i - 4)) * 100 * 1000 / 4);
    }
}

static void a_continuous_counter_needs_no_second_change(void **state)
{
    update_grid_init(&grid, 0, true);
    at(5, 0);
    assert_false(step.changed);
    at(5 + NS_PER_SEC, 7);
    assert_true(step.has_power);
    assert_int_equal(step.power_uw, 7);
}

static void nothing_is_told_across_a_break(void **state)
{
    update_grid_init(&grid, 0, false);
    at(0, 0);
    at(1 * NS_PER_MS, 1000);
    at(2 * NS_PER_MS, 2000);
    assert_true(step.has_power);
    update_grid_break(&grid);
    at(3 * NS_PER_MS, 900000);
    assert_false(step.changed || step.has_power);
    at(4 * NS_PER_MS, 901000);
    assert_true(step.changed);
    assert_false(step.has_power);
    at(5 * NS_PER_MS, 902000);
    assert_int_equal(step.power_uw, 1000000);
}

static void two_readings_at_one_time(void **state)
{
    update_grid_init(&grid, 0, false);
    at(0, 0);
    at(10, 1);
    at(10, 2);
    assert_true(step.changed);
    assert_false(step.has_power);
}

/* More changes in a span than are remembered: the span gets shorter, the power stays right. */
static void a_span_too_long_to_remember(void **state)
{
    unsigned powers = 0;

    update_grid_init(&grid, NS_PER_SEC, false);
    for (uint64_t i = 0; i < 3 * UPDATE_GRID_KEPT; i++) {
        at(i * 1000, i * 5);
        if (!step.has_power)
            continue;
        powers++;
        assert_int_equal(step.power_uw, 5 * NS_PER_SEC / 1000);
    }
    assert_in_range(powers, UPDATE_GRID_KEPT, 3 * UPDATE_GRID_KEPT);
}

/* A constant power, counted on a jittering grid of about 1 ms and read on another of 1 ms with jitter. */
static void check_grids(uint64_t update_ns, uint64_t update_jitter_ns, uint64_t reading_jitter_ns)
{
    const uint64_t uw = 80 * UJ_PER_J, reading_ns = NS_PER_MS;
    uint64_t random = 88172645463325252ULL, updated_ns = 0, update = 0, last_ns = 0, least_uw = UINT64_MAX;
    uint64_t most_uw = 0;

    update_grid_init(&grid, update_grid_span_ns(reading_ns, NS_PER_MS), false);
    assert_int_equal(grid.span_ns, 4 * NS_PER_MS);
    for (uint64_t i = 1; i <= 20000; i++) {
        uint64_t t_ns = i * reading_ns + next_random(&random) % (reading_jitter_ns + 1);
        for (;;) { /* the counter's own updates up to now */
            uint64_t next_ns = (update + 1) * update_ns + next_random(&random) % (update_jitter_ns + 1);
            if (next_ns > t_ns)
                break;
            updated_ns = max_u64(updated_ns, next_ns);
            update++;
        }
        at(t_ns, energy_of_power_uj(uw, updated_ns));
        assert_true(t_ns > last_ns);
        last_ns = t_ns;
        if (!step.has_power)
            continue;
        least_uw = min_u64(least_uw, step.power_uw);
        most_uw = max_u64(most_uw, step.power_uw);
    }
    /* |P - P*| < P* b / span: below a quarter (and what both jitters add to b). */
    uint64_t b_ns = reading_ns + update_jitter_ns + reading_jitter_ns;
    uint64_t slack_uw = muldiv_u64(uw, b_ns, grid.span_ns);
    assert_in_range(least_uw, uw - slack_uw, uw);
    assert_in_range(most_uw, uw, uw + slack_uw);
}

static void no_false_zero_and_no_false_peak(void **state)
{
    check_grids(NS_PER_MS, 0, 0);
    check_grids(976562, 0, 0);  /* 2^-10 s: now and then two updates between two readings */
    check_grids(1020000, 0, 0); /* now and then none */
    check_grids(976562, 50000, 0);
    check_grids(NS_PER_MS, 50000, 100000);
    check_grids(1003000, 20000, 200000);
    check_grids(5000000, 0, 50000); /* a slow one */
}

static void spans(void **state)
{
    assert_int_equal(update_grid_span_ns(NS_PER_MS, NS_PER_MS), 4 * NS_PER_MS);
    assert_int_equal(update_grid_span_ns(100 * NS_PER_MS, NS_PER_MS), 4 * NS_PER_MS);
    assert_int_equal(update_grid_span_ns(NS_PER_MS, 100 * NS_PER_MS), 4 * NS_PER_MS);
    assert_int_equal(update_grid_span_ns(NS_PER_MS, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_change_to_change),
        cmocka_unit_test(a_span_slides),
        cmocka_unit_test(a_continuous_counter_needs_no_second_change),
        cmocka_unit_test(nothing_is_told_across_a_break),
        cmocka_unit_test(two_readings_at_one_time),
        cmocka_unit_test(a_span_too_long_to_remember),
        cmocka_unit_test(no_false_zero_and_no_false_peak),
        cmocka_unit_test(spans),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
