/* SPDX-License-Identifier: Apache-2.0 */
/* Power over time against sums that are made at once, in 128 bits: nothing lost below a microjoule, nothing invented
 * across a gap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sources/power_integral.h"

static struct power_integral p;

static void a_constant_power(void **state)
{
    power_integral_init(&p, POWER_TRAPEZOID, NS_PER_SEC);
    assert_int_equal(power_integral_add(&p, 234000000, 5), POWER_FIRST);
    assert_int_equal(p.uj, 0);
    for (uint64_t i = 1; i <= 100; i++)
        assert_int_equal(power_integral_add(&p, 234000000, 5 + i * 100 * NS_PER_MS), POWER_ADDED);
    assert_int_equal(p.uj, 2340000000); /* 234 W for 10 s */
    assert_int_equal(p.rest, 0);
}

static void less_than_a_microjoule_is_kept(void **state)
{
    power_integral_init(&p, POWER_TRAPEZOID, NS_PER_SEC);
    power_integral_add(&p, 1, 0);
    for (uint64_t i = 1; i < 1000; i++) /* 1 uW for 1 ms is a thousandth of a thousandth of a microjoule */
        power_integral_add(&p, 1, i * NS_PER_MS);
    assert_int_equal(p.uj, 0);
    power_integral_add(&p, 1, NS_PER_SEC);
    assert_int_equal(p.uj, 1);
    assert_int_equal(p.rest, 0);
}

static void rules_differ_on_a_ramp(void **state)
{
    power_integral_init(&p, POWER_TRAPEZOID, NS_PER_SEC);
    for (uint64_t i = 0; i <= 10; i++)
        power_integral_add(&p, i * 1000000, i * NS_PER_SEC);
    assert_int_equal(p.uj, 50000000); /* 10 s at 5 W in the mean */

    power_integral_init(&p, POWER_PREVIOUS, NS_PER_SEC);
    for (uint64_t i = 0; i <= 10; i++)
        power_integral_add(&p, i * 1000000, i * NS_PER_SEC);
    assert_int_equal(p.uj, 45000000); /* 0 + 1 + ... + 9 */
}

static void gaps_give_nothing(void **state)
{
    power_integral_init(&p, POWER_TRAPEZOID, NS_PER_SEC);
    power_integral_add(&p, 1000000, 0);
    assert_int_equal(power_integral_add(&p, 1000000, NS_PER_SEC), POWER_ADDED); /* just allowed */
    assert_int_equal(power_integral_add(&p, 9000000, 2 * NS_PER_SEC + 1), POWER_GAP);
    assert_int_equal(p.uj, 1000000);
    assert_int_equal(p.gaps, 1);
    assert_int_equal(p.gap_ns, NS_PER_SEC + 1);
    assert_int_equal(power_integral_add(&p, 9000000, 3 * NS_PER_SEC + 1), POWER_ADDED); /* from the new baseline */
    assert_int_equal(p.uj, 10000000);

    power_integral_reset(&p);
    assert_int_equal(p.gaps, 2);
    power_integral_reset(&p); /* nothing to forget */
    assert_int_equal(p.gaps, 2);
    assert_int_equal(power_integral_add(&p, 9000000, 3 * NS_PER_SEC + 2), POWER_FIRST);
    assert_int_equal(p.uj, 10000000);
}

static void time_that_stands_or_goes_back(void **state)
{
    power_integral_init(&p, POWER_TRAPEZOID, 10 * NS_PER_SEC);
    power_integral_add(&p, 1000000, 5 * NS_PER_SEC);
    assert_int_equal(power_integral_add(&p, 3000000, 5 * NS_PER_SEC), POWER_BACK); /* of the same moment: the newer */
    assert_int_equal(power_integral_add(&p, 9000000, 4 * NS_PER_SEC), POWER_BACK); /* refused */
    assert_int_equal(power_integral_add(&p, 3000000, 6 * NS_PER_SEC), POWER_ADDED);
    assert_int_equal(p.uj, 3000000);
    assert_int_equal(p.gaps, 0);
}

/* A small generator, so that a failure can be repeated. */
static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 20;
}

static void random_steps_against_one_sum(void **state)
{
    uint64_t seed = 7;

    for (int rule = POWER_TRAPEZOID; rule <= POWER_PREVIOUS; rule++) {
        for (int round = 0; round < 2000; round++) {
            unsigned __int128 halves = 0;
            uint64_t now_ns = next_random(&seed) % NS_PER_SEC, last_uw = next_random(&seed) % 100000000000ULL;

            power_integral_init(&p, (enum power_rule)rule, 60 * NS_PER_SEC);
            power_integral_add(&p, last_uw, now_ns);
            for (int i = 0; i < 200; i++) {
                uint64_t uw = next_random(&seed) % 100000000000ULL;
                uint64_t step_ns = 1 + next_random(&seed) % (i % 3 ? NS_PER_SEC : 60 * NS_PER_SEC - 1);
                uint64_t before_uj = p.uj;
                now_ns += step_ns;
                assert_int_equal(power_integral_add(&p, uw, now_ns), POWER_ADDED);
                assert_true(p.uj >= before_uj);
                halves += (unsigned __int128)(last_uw + (rule == POWER_TRAPEZOID ? uw : last_uw)) * step_ns;
                last_uw = uw;
            }
            assert_int_equal(p.uj, (uint64_t)(halves / (2 * NS_PER_SEC)));
            assert_int_equal(p.rest, (uint64_t)(halves % (2 * NS_PER_SEC)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_power),
        cmocka_unit_test(less_than_a_microjoule_is_kept),
        cmocka_unit_test(rules_differ_on_a_ramp),
        cmocka_unit_test(gaps_give_nothing),
        cmocka_unit_test(time_that_stands_or_goes_back),
        cmocka_unit_test(random_steps_against_one_sum),
    };

    return cmocka_run_group_tests_name("power_integral", tests, NULL, NULL);
}
