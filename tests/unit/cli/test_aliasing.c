/* SPDX-License-Identifier: Apache-2.0 */
/* The poller's sums, and simulated counters against the closed forms. */
#include "files.h"

#include <math.h>

#include "base/clock.h"
#include "cli/aliasing.h"
#include "model/quantity.h"

static void a_poller_over_a_wrap(void **state)
{
    struct aliasing_poller poller = {.modulus_uj = 1000};

    assert_int_equal(aliasing_poll(&poller, 900), 0); /* a baseline */
    assert_int_equal(aliasing_poll(&poller, 950), 50);
    assert_int_equal(aliasing_poll(&poller, 30), 0); /* 80 were used */
    assert_int_equal(aliasing_poll(&poller, 40), 10);
    assert_int_equal(poller.polls, 3);
    assert_int_equal(poller.dropped, 1);
    assert_int_equal(poller.naive_uj, 60);
    assert_int_equal(poller.one_wrap_uj, 140);
}

static void a_poller_that_knows_no_modulus(void **state)
{
    struct aliasing_poller poller = {0};

    aliasing_poll(&poller, 900);
    assert_int_equal(aliasing_poll(&poller, 30), 0);
    assert_int_equal(poller.one_wrap_uj, 0);
}

static void a_poller_that_masks(void **state)
{
    struct aliasing_poller poller = {.modulus_uj = ALIASING_MASK_MODULUS_UJ};

    aliasing_poll(&poller, 3 * ALIASING_MASK_MODULUS_UJ + 5);
    assert_int_equal(aliasing_poll(&poller, 3 * ALIASING_MASK_MODULUS_UJ + 105), 100);
    assert_int_equal(aliasing_poll(&poller, 4 * ALIASING_MASK_MODULUS_UJ + 106), 1); /* a whole turn is not seen */
}

static void losses(void **state)
{
    assert_true(aliasing_loss(0, 0) == 0.0);
    assert_true(aliasing_loss(100, 75) == 0.25);
    assert_true(aliasing_loss(100, 150) == -0.5);
    /* P * interval < M: the share of intervals that hold a wrap */
    assert_true(aliasing_naive_loss(2250, 65536) == 2250.0 / 65536.0);
    assert_true(aliasing_one_wrap_loss(2250, 65536) == 0.0);
    /* E = M: nothing is ever seen */
    assert_true(aliasing_naive_loss(1000, 1000) == 1.0);
    assert_true(aliasing_one_wrap_loss(1000, 1000) == 1.0);
    /* E = M + M/2: half a turn is seen in half of the phases */
    assert_true(aliasing_naive_loss(1500, 1000) == (1000.0 + 250.0) / 1500.0);
    assert_true(aliasing_one_wrap_loss(1500, 1000) == 1000.0 / 1500.0);
    assert_true(aliasing_naive_loss(0, 1000) == 0.0);
    assert_true(aliasing_naive_loss(1000, 0) == 0.0);
}

/* The closed form is the mean over all phases: summed up over each of them. */
static void the_formula_is_the_mean_over_phases(void **state)
{
    const uint64_t modulus_uj = 997;

    for (uint64_t energy_uj = 1; energy_uj < 3 * modulus_uj; energy_uj += 13) {
        uint64_t naive_uj = 0, one_wrap_uj = 0;
        for (uint64_t phase = 0; phase < modulus_uj; phase++) {
            struct aliasing_poller poller = {.modulus_uj = modulus_uj};
            aliasing_poll(&poller, phase);
            aliasing_poll(&poller, phase + energy_uj);
            naive_uj += poller.naive_uj;
            one_wrap_uj += poller.one_wrap_uj;
        }
        assert_true(fabs(aliasing_loss(energy_uj * modulus_uj, naive_uj) - aliasing_naive_loss(energy_uj, modulus_uj)) <
                    1e-12);
        assert_true(fabs(aliasing_loss(energy_uj * modulus_uj, one_wrap_uj) -
                         aliasing_one_wrap_loss(energy_uj, modulus_uj)) < 1e-12);
    }
}

/* In a run the number of wraps is that of the mean within one, each worth at most one interval. */
static void simulated_counters_against_the_formulas(void **state)
{
    static const uint64_t moduli_uj[] = {65536000000, 262144000000, ALIASING_MASK_MODULUS_UJ};

    for (size_t m = 0; m < ELEMENTSOF(moduli_uj); m++) {
        for (uint64_t watts = 50; watts <= 600; watts += 25) {
            struct aliasing_case of = {.load = {.base_uw = watts * 1000000, .burst_uw = watts * 1000000},
                                       .modulus_uj = moduli_uj[m],
                                       .our_interval_ns = 100 * NS_PER_MS,
                                       .poll_interval_ns = 15 * NS_PER_SEC,
                                       .polls = 400};
            struct aliasing_result result;
            uint64_t interval_uj = watts * 15000000;

            aliasing_simulate(&of, NULL, NULL, &result);
            assert_int_equal(result.true_uj, interval_uj * 400);
            assert_int_equal(result.ours_uj, result.true_uj); /* to the microjoule, over all wraps */
            assert_int_equal(result.wraps, result.true_uj / of.modulus_uj);
            assert_int_equal(result.poller.polls, 400);
            assert_true(fabs(aliasing_loss(result.true_uj, result.poller.naive_uj) -
                             aliasing_naive_loss(interval_uj, of.modulus_uj)) <= 1.0 / 400 + 1e-12);
            assert_true(fabs(aliasing_loss(result.true_uj, result.poller.one_wrap_uj) -
                             aliasing_one_wrap_loss(interval_uj, of.modulus_uj)) < 1e-12);
        }
    }
}

static void energy_of_a_load_in_bursts(void **state)
{
    struct aliasing_load load = {.base_uw = 10, .burst_uw = 110, .period_ns = 14, .burst_ns = 1};
    uint64_t sum_uw_ns = 0;

    for (uint64_t t = 0; t < 100; t++) {
        load.base_uw = 10 * NS_PER_SEC; /* uJ in a ns, so that nothing is rounded */
        load.burst_uw = 110 * NS_PER_SEC;
        assert_int_equal(aliasing_energy_uj(&load, t), sum_uw_ns);
        sum_uw_ns += t % 14 < 1 ? 110 : 10;
    }
}

/* One burst or two in an interval of the poller: a mean that beats, and no burst to be seen. */
static void bursts_that_a_poller_cannot_see(void **state)
{
    static struct plot_series ours, polled;
    struct aliasing_case of = {.load = {.base_uw = 50000000, .burst_uw = 600000000},
                               .modulus_uj = 262144000000,
                               .our_interval_ns = 100 * NS_PER_MS,
                               .poll_interval_ns = 15 * NS_PER_SEC,
                               .polls = 30};
    struct aliasing_result result;
    uint64_t low_uw, high_uw;

    aliasing_bursts(of.poll_interval_ns, &of.load.period_ns, &of.load.burst_ns);
    assert_int_equal(of.load.burst_ns, NS_PER_SEC);
    assert_int_equal(of.load.period_ns, 14 * NS_PER_SEC);
    plot_series_init(&ours, 100 * NS_PER_MS);
    plot_series_init(&polled, 100 * NS_PER_MS);
    aliasing_simulate(&of, &ours, &polled, &result);
    assert_true(plot_series_range(&ours, 0, UINT64_MAX, &low_uw, &high_uw));
    assert_int_equal(low_uw, 50000000);
    assert_int_equal(high_uw, 600000000);
    assert_true(plot_series_range(&polled, 0, UINT64_MAX, &low_uw, &high_uw));
    assert_int_equal(low_uw, (14 * 50000000ULL + 600000000) / 15);
    assert_int_equal(high_uw, (13 * 50000000ULL + 2 * 600000000ULL) / 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_poller_over_a_wrap),
        cmocka_unit_test(a_poller_that_knows_no_modulus),
        cmocka_unit_test(a_poller_that_masks),
        cmocka_unit_test(losses),
        cmocka_unit_test(the_formula_is_the_mean_over_phases),
        cmocka_unit_test(simulated_counters_against_the_formulas),
        cmocka_unit_test(energy_of_a_load_in_bursts),
        cmocka_unit_test(bursts_that_a_poller_cannot_see),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
