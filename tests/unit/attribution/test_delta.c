/* SPDX-License-Identifier: Apache-2.0 */
/* One counter through its life: first reading, wrap, reset, gap, absurd jump, rebase. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attribution/delta.h"
#include "base/clock.h"
#include "model/quantity.h"

#define MODULUS   262143328911ULL
#define MAX_UW    (150 * 1000000ULL)
#define SECOND    NS_PER_SEC
#define POISON_UJ 0xdeadULL

static struct delta d;

static int setup(void **state)
{
    d = (struct delta){0};
    return 0;
}

static void assert_step(uint64_t counter_uj, uint64_t modulus_uj, uint64_t max_uw, uint64_t now_ns,
                        enum delta_kind kind, uint64_t uj)
{
    uint64_t got = POISON_UJ;

    assert_int_equal(delta_step(&d, counter_uj, modulus_uj, max_uw, now_ns, &got), kind);
    assert_int_equal(got, uj);
}

static void forward(void **state)
{
    assert_step(1000, MODULUS, MAX_UW, 5 * SECOND, DELTA_FIRST, 0);
    assert_step(1250, MODULUS, MAX_UW, 6 * SECOND, DELTA_FORWARD, 250);
    assert_step(1250, MODULUS, MAX_UW, 6 * SECOND, DELTA_FORWARD, 0);
    assert_step(2000, 0, 0, 7 * SECOND, DELTA_FORWARD, 750);
    assert_int_equal(d.total_uj, 1000);
    assert_int_equal(d.wraps + d.resets + d.gaps + d.absurd, 0);
}

static void wrap(void **state)
{
    assert_step(262143328000, MODULUS, MAX_UW, 1 * SECOND, DELTA_FIRST, 0);
    assert_step(5000000, MODULUS, MAX_UW, 2 * SECOND, DELTA_WRAPPED, 5000911);
    assert_int_equal(d.wraps, 1);
    /* exactly at the modulus */
    assert_step(MODULUS - 1, MODULUS, 0, 100 * SECOND, DELTA_FORWARD, MODULUS - 1 - 5000000);
    assert_step(0, MODULUS, MAX_UW, 101 * SECOND, DELTA_WRAPPED, 1);
    assert_int_equal(d.total_uj, 5000911 + (MODULUS - 1 - 5000000) + 1);
}

static void a_step_back_that_cannot_be_a_wrap_is_a_reset(void **state)
{
    assert_step(1000000000, MODULUS, MAX_UW, 1 * SECOND, DELTA_FIRST, 0);
    assert_step(7, MODULUS, MAX_UW, 2 * SECOND, DELTA_RESET, 0);
    assert_step(107, MODULUS, MAX_UW, 3 * SECOND, DELTA_FORWARD, 100);
    assert_int_equal(d.resets, 1);
    assert_int_equal(d.total_uj, 100);

    assert_step(50, 0, MAX_UW, 4 * SECOND, DELTA_RESET, 0); /* no modulus */
    assert_step(900, 100, MAX_UW, 4 * SECOND, DELTA_FORWARD, 850);
    assert_step(10, 100, MAX_UW, 4 * SECOND, DELTA_RESET, 0); /* the baseline was beyond the modulus */
    assert_int_equal(d.resets, 3);
}

static void the_bound_of_a_wrap(void **state)
{
    /* 150 W x 1 s x 2 + 10 J = 310 J */
    assert_step(MODULUS - 310000000, MODULUS, MAX_UW, 1 * SECOND, DELTA_FIRST, 0);
    assert_step(0, MODULUS, MAX_UW, 2 * SECOND, DELTA_WRAPPED, 310000000);
    assert_step(MODULUS - 310000001, MODULUS, 0, 2000 * SECOND, DELTA_GAP, MODULUS - 310000001);
    assert_step(0, MODULUS, MAX_UW, 2001 * SECOND, DELTA_RESET, 0);
}

static void absurd(void **state)
{
    assert_step(0, MODULUS, MAX_UW, 1 * SECOND, DELTA_FIRST, 0);
    assert_step(310000000, MODULUS, MAX_UW, 2 * SECOND, DELTA_FORWARD, 310000000);
    assert_step(620000001, MODULUS, MAX_UW, 3 * SECOND, DELTA_ABSURD, 0);
    assert_step(620000002, MODULUS, MAX_UW, 4 * SECOND, DELTA_FORWARD, 1); /* baseline taken anew */
    assert_int_equal(d.absurd, 1);
    /* 10 kW are assumed where nothing is known: 20 kJ + 10 J in a second */
    assert_step(620000002 + 20010000000ULL, MODULUS, 0, 5 * SECOND, DELTA_FORWARD, 20010000000ULL);
    assert_step(620000002 + 2 * 20010000000ULL + 1, MODULUS, 0, 6 * SECOND, DELTA_ABSURD, 0);
}

static void gap(void **state)
{
    /* 262143.328911 J at 150 W last 1747.6 s */
    assert_step(0, MODULUS, MAX_UW, 0, DELTA_FIRST, 0);
    assert_step(1000, MODULUS, MAX_UW, 1747 * SECOND, DELTA_FORWARD, 1000);
    assert_step(3000, MODULUS, MAX_UW, (1747 + 1748) * SECOND, DELTA_GAP, 2000);
    assert_step(1000, MODULUS, MAX_UW, (1747 + 2 * 1748) * SECOND, DELTA_GAP, MODULUS - 2000);
    assert_int_equal(d.gaps, 2);
    assert_int_equal(d.wraps, 1);
    /* limit unknown: 2 kW, 131.07 s */
    assert_step(1001, MODULUS, 0, (1747 + 2 * 1748 + 131) * SECOND, DELTA_FORWARD, 1);
    assert_step(1002, MODULUS, 0, (1747 + 2 * 1748 + 131 + 132) * SECOND, DELTA_GAP, 1);
    /* a counter that does not wrap has no gaps */
    assert_step(1003, 0, 0, 1000000 * SECOND, DELTA_FORWARD, 1);
    assert_int_equal(d.gaps, 3);
}

static void rebase(void **state)
{
    delta_rebase(&d);
    assert_int_equal(d.gaps, 0); /* nothing was lost */
    assert_step(10, MODULUS, MAX_UW, 1 * SECOND, DELTA_FIRST, 0);
    assert_step(30, MODULUS, MAX_UW, 2 * SECOND, DELTA_FORWARD, 20);
    delta_rebase(&d);
    delta_rebase(&d);
    assert_int_equal(d.gaps, 1);
    assert_step(5, MODULUS, MAX_UW, 3 * SECOND, DELTA_FIRST, 0);
    assert_step(6, MODULUS, MAX_UW, 4 * SECOND, DELTA_FORWARD, 1);
    assert_int_equal(d.total_uj, 21);
}

static void extremes(void **state)
{
    assert_step(UINT64_MAX, 0, UINT64_MAX, UINT64_MAX - 1, DELTA_FIRST, 0);
    assert_step(0, 0, UINT64_MAX, UINT64_MAX, DELTA_RESET, 0);
    assert_step(UINT64_MAX, 0, UINT64_MAX, 0, DELTA_ABSURD, 0); /* time that went back is no time */
    d = (struct delta){0};
    assert_step(0, UINT64_MAX, UINT64_MAX, 0, DELTA_FIRST, 0);
    assert_step(UINT64_MAX - 1, UINT64_MAX, UINT64_MAX, UINT64_MAX, DELTA_GAP, UINT64_MAX - 1);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(forward),
        TEST(wrap),
        TEST(a_step_back_that_cannot_be_a_wrap_is_a_reset),
        TEST(the_bound_of_a_wrap),
        TEST(absurd),
        TEST(gap),
        TEST(rebase),
        TEST(extremes),
    };

    return cmocka_run_group_tests_name("delta", tests, NULL, NULL);
}
