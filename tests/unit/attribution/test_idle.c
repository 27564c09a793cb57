/* SPDX-License-Identifier: Apache-2.0 */
/* Idle policies and Shapley values by examples worked out by hand; laws are in tests/property/test_idle.c. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "../base/unit_test.h"
#include "attribution/idle.h"
#include "attribution/shapley.h"

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.12g is not %.12g +- %g", value, expected, tolerance);
}

static void assert_parts(const uint64_t *parts, const uint64_t *expected, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(parts[i], expected[i]);
}

/* Three tenants and the kernel, which pays only for what it used. */
static struct idle_players players(double *scratch)
{
    static const bool pays[] = {true, true, true, false};
    static const uint64_t active_uj[] = {100, 300, 0, 100};
    static const uint64_t reserved[] = {2000, 1000, 1000, 0};
    static const double presence[] = {1.0, 0.5, 0.0, 1.0};

    return (struct idle_players){.n = 4,
                                 .pays = pays,
                                 .active_uj = active_uj,
                                 .reserved = reserved,
                                 .capacity = 8000,
                                 .presence = presence,
                                 .scratch = scratch};
}

static void test_policies(void **state)
{
    double scratch[8];
    struct idle_players in = players(scratch);
    uint64_t uj[4];

    assert_int_equal(idle_share(IDLE_NONE, 1000, &in, uj), 0);
    assert_parts(uj, (const uint64_t[]){0, 0, 0, 0}, 4);
    assert_int_equal(idle_share(IDLE_EQUAL, 1000, &in, uj), 1000);
    assert_parts(uj, (const uint64_t[]){333, 333, 334, 0}, 4);
    assert_int_equal(idle_share(IDLE_PROPORTIONAL, 1000, &in, uj), 1000);
    assert_parts(uj, (const uint64_t[]){200, 600, 0, 200}, 4);
    assert_int_equal(idle_share(IDLE_RESERVATION, 1000, &in, uj), 500); /* half of the machine is reserved */
    assert_parts(uj, (const uint64_t[]){250, 125, 125, 0}, 4);
    /* alone half of the time, with the second the other half: 3/4 and 1/4 */
    assert_int_equal(idle_share(IDLE_SHAPLEY, 1000, &in, uj), 1000);
    assert_near((double)uj[0], 750, 1.0);
    assert_near((double)uj[1], 250, 1.0);
    assert_int_equal(uj[2] + uj[3], 0);
}

static void test_nobody_to_pay(void **state)
{
    static const bool nobody[4] = {false};
    static const uint64_t nothing[4] = {0};
    static const double absent[4] = {0.0};
    double scratch[8];
    struct idle_players in = players(scratch);
    uint64_t uj[4];

    in.pays = nobody;
    in.active_uj = nothing;
    in.presence = absent;
    for (int policy = 0; policy < IDLE_POLICIES_ALL; policy++) {
        assert_int_equal(idle_share((enum idle_policy)policy, 1000, &in, uj), 0);
        assert_parts(uj, nothing, 4);
    }
    in.n = 0;
    assert_int_equal(idle_share(IDLE_EQUAL, 1000, &in, uj), 0);
    in = players(scratch);
    in.capacity = 0;
    assert_int_equal(idle_share(IDLE_RESERVATION, 1000, &in, uj), 0);
}

/* More reserved than there is: all of it is, in proportion. */
static void test_overbooked(void **state)
{
    struct idle_players in = {.n = 2, .reserved = (const uint64_t[]){6000, 2000}, .capacity = 4000};
    uint64_t uj[2];

    assert_int_equal(idle_share(IDLE_RESERVATION, 1000, &in, uj), 1000);
    assert_parts(uj, (const uint64_t[]){666, 334}, 2); /* 4000 (all there is) and 2000 */
}

static void test_reservations(void **state)
{
    assert_int_equal(idle_reserved_mcpu(50000, 100000, 0, 8), 500);
    assert_int_equal(idle_reserved_mcpu(0, 100000, 0, 8), 8000);
    assert_int_equal(idle_reserved_mcpu(400000, 100000, 2, 8), 2000);
    assert_int_equal(idle_reserved_mcpu(400000, 0, 3, 8), 3000);
    assert_int_equal(idle_reserved_mcpu(UINT64_MAX, 1, 0, 8), 8000);
    assert_int_equal(idle_reserved_bytes(0, 64), 64);
    assert_int_equal(idle_reserved_bytes(10, 64), 10);
    assert_int_equal(idle_reserved_bytes(UINT64_MAX, 64), 64);
}

static void test_names(void **state)
{
    for (int policy = 0; policy < IDLE_POLICIES; policy++)
        assert_string_equal(idle_policy_all_names[policy], idle_policy_names[policy]);
    assert_string_equal(idle_policy_all_names[IDLE_SHAPLEY], "shapley");
}

static void test_to_cells(void **state)
{
    const uint64_t player_uj[] = {100, 10, 7};
    const uint32_t group[] = {0, 1, 0, UINT32_MAX, 1, 0};
    const uint64_t weight[] = {1, 0, 1, 50, 0, 2};
    uint64_t sums[6], uj[6];

    /* the third has no cell: its part is not given */
    assert_int_equal(idle_to_cells(player_uj, 3, group, weight, 6, sums, uj), 110);
    assert_parts(uj, (const uint64_t[]){25, 10, 25, 0, 0, 50}, 6);
}

/* One there all the time, one half, one a tenth, independently: integrals of p prod (1 - p_j t) by hand. */
static void test_shapley_or(void **state)
{
    double shares[3];

    assert_near(shapley_or((const double[]){1.0, 1.0}, 2, shares), 1.0, 1e-15);
    assert_near(shares[0], 0.5, 1e-12);
    assert_near(shapley_or((const double[]){0.5, 0.5}, 2, shares), 0.75, 1e-12);
    assert_near(shares[0], 0.375, 1e-12);
    assert_near(shapley_or((const double[]){1.0, 0.5, 0.1}, 3, shares), 1.0, 1e-12);
    /* int (1 - t/2)(1 - t/10) = 1 - 0.3 + 0.05/3 */
    assert_near(shares[0], 0.7 + 0.05 / 3, 1e-12);
    assert_near(shares[1], 0.5 * (1 - 0.55 + 0.1 / 3), 1e-12);
    assert_near(shapley_or((const double[]){-1.0, 7.0, 0.0}, 3, shares), 1.0, 1e-15);
    assert_near(shares[1], 1.0, 1e-12);
    assert_near(shapley_or(NULL, 0, shares), 0.0, 0.0);
}

/* Ten thousand players: equal ones share equally, whatever the panels do. */
static void test_shapley_or_many(void **state)
{
    enum { MANY = 10000 };
    static double presence[MANY], shares[MANY];

    for (size_t i = 0; i < MANY; i++)
        presence[i] = i % 2 ? 0.5 : 0.25;
    assert_near(shapley_or(presence, MANY, shares), 1.0, 1e-12);
    assert_near(shares[0] / shares[1], 0.5, 1e-3);
    double sum = 0.0;
    for (size_t i = 0; i < MANY; i++)
        sum += shares[i];
    assert_near(sum, 1.0, 1e-9);
}

/* A machine sized for the largest demand: v(S) = max. Littlechild and Owen's airport: 1, 3 and 6 pay 1/3, 1/3 + 2/2 and
 * 1/3 + 2/2 + 3. */
static double cost_max(const uint64_t *set, size_t n, void *arg)
{
    const double *demand = arg;
    double most = 0.0;

    for (size_t i = 0; i < n; i++) {
        if (set[i / 64] >> i % 64 & 1)
            most = fmax(most, demand[i]);
    }
    return most;
}

static void test_shapley_games(void **state)
{
    double demand[] = {1.0, 3.0, 6.0}, shares[3], width[3];
    const double expected[] = {1.0 / 3, 4.0 / 3, 13.0 / 3};

    assert_int_equal(shapley_exact(cost_max, 3, demand, shares), 0);
    for (size_t i = 0; i < 3; i++)
        assert_near(shares[i], expected[i], 1e-12);

    assert_int_equal(shapley_sampled(cost_max, 3, demand, 20000, 42, shares, width), 0);
    assert_near(shares[0] + shares[1] + shares[2], 6.0, 1e-9);
    for (size_t i = 0; i < 3; i++) {
        assert_near(shares[i], expected[i], 2.0 * width[i]);
        assert_true(width[i] > 0.0 && width[i] < 0.05);
    }
    double again[3];
    assert_int_equal(shapley_sampled(cost_max, 3, demand, 20000, 42, again, width), 0);
    assert_memory_equal(shares, again, sizeof(shares));
}

/* The confidence interval holds what it says: 95 of 100 seeds, give or take. */
static void test_shapley_interval(void **state)
{
    double demand[20], shares[20], width[20];
    unsigned inside = 0;

    for (size_t i = 0; i < 20; i++)
        demand[i] = (double)(i + 1);
    for (uint64_t seed = 1; seed <= 200; seed++) {
        assert_int_equal(shapley_sampled(cost_max, 20, demand, 100, seed, shares, width), 0);
        double expected = 0.0; /* of the tenth: sum of 1 / (players that need the k-th unit) */
        for (size_t k = 0; k < 10; k++)
            expected += 1.0 / (double)(20 - k);
        inside += fabs(shares[9] - expected) <= width[9];
    }
    assert_in_range(inside, 176, 200);
}

static void test_shapley_limits(void **state)
{
    double demand[1] = {1.0}, shares[1], width[1];

    assert_int_equal(shapley_exact(cost_max, SHAPLEY_EXACT_MAX + 1, demand, shares), -E2BIG);
    assert_int_equal(shapley_sampled(cost_max, SHAPLEY_SAMPLED_MAX + 1, demand, 10, 1, shares, width), -E2BIG);
    assert_int_equal(shapley_sampled(cost_max, 1, demand, 1, 1, shares, width), -EINVAL);
    assert_int_equal(shapley_exact(cost_max, 0, demand, shares), 0);
    assert_int_equal(shapley_exact(cost_max, 1, demand, shares), 0);
    assert_near(shares[0], 1.0, 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies),       cmocka_unit_test(test_nobody_to_pay),
        cmocka_unit_test(test_overbooked),     cmocka_unit_test(test_reservations),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_to_cells),
        cmocka_unit_test(test_shapley_or),     cmocka_unit_test(test_shapley_or_many),
        cmocka_unit_test(test_shapley_games),  cmocka_unit_test(test_shapley_interval),
        cmocka_unit_test(test_shapley_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
