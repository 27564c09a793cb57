/* SPDX-License-Identifier: Apache-2.0 */
/* The split of one domain and window: each rule by an example worked out by hand. The laws that hold for every input
 * are in tests/property/test_conservation.c. */
#include <string.h>

#include "../base/unit_test.h"
#include "attribution/split.h"
#include "base/clock.h"

#define CELLS_MAX 8U

/* One second on 4 CPUs. */
static struct split_input input(uint64_t energy_uj, const uint64_t *weights, size_t n, enum idle_policy policy)
{
    return (struct split_input){
        .energy_uj = energy_uj, .window_ns = NS_PER_SEC, .n_cpus = 4, .policy = policy, .weight_ns = weights, .n = n};
}

static void assert_cells(const uint64_t *cells, const uint64_t *expected, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(cells[i], expected[i]);
}

static void assert_conserves(const struct split_input *in, const uint64_t *cells, const struct split_result *result)
{
    uint64_t sum = result->idle_left_uj + result->residual_uj;

    for (size_t i = 0; i < in->n; i++)
        sum += cells[i];
    assert_int_equal(sum, in->energy_uj);
    assert_int_equal(result->active_uj + result->idle_uj, in->energy_uj);
}

static void test_apportion_exact(void **state)
{
    const uint64_t weights[] = {1, 2, 3, 4};
    uint64_t shares[4];

    assert_int_equal(apportion(1000, weights, 4, shares), 1000);
    assert_cells(shares, (const uint64_t[]){100, 200, 300, 400}, 4);
}

static void test_apportion_rounds_cumulatively(void **state)
{
    const uint64_t weights[] = {1, 1, 1};
    uint64_t shares[3];

    /* floor(10/3) = 3, floor(20/3) = 6, 10 */
    assert_int_equal(apportion(10, weights, 3, shares), 10);
    assert_cells(shares, (const uint64_t[]){3, 3, 4}, 3);
}

static void test_apportion_nothing(void **state)
{
    const uint64_t zeros[] = {0, 0}, some[] = {5, 6};
    uint64_t shares[2] = {7, 7};

    assert_int_equal(apportion(10, zeros, 2, shares), 0);
    assert_cells(shares, zeros, 2);
    shares[0] = shares[1] = 7;
    assert_int_equal(apportion(0, some, 2, shares), 0);
    assert_cells(shares, zeros, 2);
    assert_int_equal(apportion(10, NULL, 0, NULL), 0);
}

/* The largest values that the contract allows: products of 127 bits, and a total beyond what the fast way takes. */
static void test_apportion_extremes(void **state)
{
    const uint64_t weights[] = {UINT64_MAX / 2, 1, UINT64_MAX / 2};
    const uint64_t one[] = {0, 1, 0};
    uint64_t shares[3];

    assert_true(apportion(INT64_MAX, weights, 3, shares) == INT64_MAX);
    assert_true(shares[0] + shares[1] + shares[2] == INT64_MAX);
    assert_true(shares[0] == INT64_MAX / 2);
    assert_true(apportion(UINT64_MAX, weights, 3, shares) == UINT64_MAX);
    assert_cells(shares, weights, 3);
    assert_true(apportion(UINT64_MAX, one, 3, shares) == UINT64_MAX);
    assert_true(shares[1] == UINT64_MAX);
    assert_true(apportion(INT64_MAX, one, 3, shares) == INT64_MAX);
    assert_true(shares[0] == 0 && shares[1] == INT64_MAX && shares[2] == 0);
}

/* 4 CPUs x 1 s, 1 s used: a quarter of the energy is active. */
static void test_idle_by_utilisation(void **state)
{
    const uint64_t weights[] = {250 * NS_PER_MS, 750 * NS_PER_MS};
    struct split_input in = input(100000000, weights, 2, IDLE_NONE);
    struct split_result result;
    uint64_t cells[CELLS_MAX];

    split_cpu_time(&in, cells, &result);
    assert_int_equal(result.active_uj, 25000000);
    assert_int_equal(result.idle_uj, 75000000);
    assert_int_equal(result.idle_left_uj, 75000000);
    assert_int_equal(result.residual_uj, 0);
    assert_cells(cells, (const uint64_t[]){6250000, 18750000}, 2);
    assert_conserves(&in, cells, &result);
}

static void test_idle_rounds_towards_idle(void **state)
{
    const uint64_t weights[] = {1};
    struct split_input in = input(7, weights, 1, IDLE_NONE);
    struct split_result result;
    uint64_t cells[1];

    in.n_cpus = 1;
    in.window_ns = 3; /* floor(7 / 3) = 2 active */
    split_cpu_time(&in, cells, &result);
    assert_int_equal(result.active_uj, 2);
    assert_int_equal(result.idle_uj, 5);
}

static void test_known_idle_power(void **state)
{
    const uint64_t weights[] = {NS_PER_SEC, NS_PER_SEC};
    struct split_input in = input(50000000, weights, 2, IDLE_NONE);
    struct split_result result;
    uint64_t cells[CELLS_MAX];

    in.idle_uw = 20000000; /* 20 W for one second */
    split_cpu_time(&in, cells, &result);
    assert_int_equal(result.idle_uj, 20000000);
    assert_cells(cells, (const uint64_t[]){15000000, 15000000}, 2);
    assert_conserves(&in, cells, &result);

    /* Less was used than idle power says: everything is idle. */
    in.energy_uj = 12000000;
    split_cpu_time(&in, cells, &result);
    assert_int_equal(result.idle_uj, 12000000);
    assert_int_equal(result.active_uj, 0);
    assert_cells(cells, (const uint64_t[]){0, 0}, 2);
}

/* A clock that disagrees by a little: more on-CPU time than there was. */
static void test_more_than_capacity(void **state)
{
    const uint64_t weights[] = {3 * NS_PER_SEC, 3 * NS_PER_SEC};
    struct split_input in = input(1000, weights, 2, IDLE_NONE);
    struct split_result result;
    uint64_t cells[CELLS_MAX];

    split_cpu_time(&in, cells, &result);
    assert_int_equal(result.idle_uj, 0);
    assert_cells(cells, (const uint64_t[]){500, 500}, 2);
}

static void test_nobody_ran(void **state)
{
    const uint64_t weights[] = {0, 0};
    const uint32_t groups[] = {0, 1};
    uint64_t scratch[4];
    uint64_t cells[CELLS_MAX];
    struct split_result result;

    for (int policy = 0; policy < IDLE_POLICIES; policy++) {
        struct split_input in = input(1000, weights, 2, (enum idle_policy)policy);

        in.group = groups;
        in.n_groups = 2;
        in.scratch = scratch;
        split_cpu_time(&in, cells, &result);
        assert_int_equal(result.idle_left_uj, 1000);
        assert_int_equal(result.residual_uj, 0);
        assert_cells(cells, weights, 2);

        /* With known idle power, what is above it has no owner. */
        in.idle_uw = 400;
        split_cpu_time(&in, cells, &result);
        assert_int_equal(result.idle_left_uj, 400);
        assert_int_equal(result.residual_uj, 600);
        assert_cells(cells, weights, 2);
    }
}

/* No CPUs or no time known: no idle part can be told. */
static void test_no_capacity(void **state)
{
    const uint64_t weights[] = {1, 3}, zeros[] = {0, 0};
    struct split_input in = input(1000, weights, 2, IDLE_NONE);
    struct split_result result;
    uint64_t cells[CELLS_MAX];

    in.n_cpus = 0;
    in.idle_uw = 500;
    split_cpu_time(&in, cells, &result);
    assert_int_equal(result.idle_uj, 0);
    assert_cells(cells, (const uint64_t[]){250, 750}, 2);

    in.n_cpus = 4;
    in.window_ns = 0;
    split_cpu_time(&in, cells, &result);
    assert_int_equal(result.idle_uj, 0);
    assert_cells(cells, (const uint64_t[]){250, 750}, 2);

    in.weight_ns = zeros;
    split_cpu_time(&in, cells, &result);
    assert_int_equal(result.residual_uj, 1000);
    assert_cells(cells, zeros, 2);
}

static void test_no_cells(void **state)
{
    struct split_input in = input(1000, NULL, 0, IDLE_EQUAL);
    struct split_result result;

    split_cpu_time(&in, NULL, &result);
    assert_int_equal(result.idle_left_uj, 1000);
    assert_int_equal(result.residual_uj, 0);
}

static void test_proportional(void **state)
{
    const uint64_t weights[] = {250 * NS_PER_MS, 0, 750 * NS_PER_MS};
    struct split_input in = input(100000000, weights, 3, IDLE_PROPORTIONAL);
    struct split_result result;
    uint64_t cells[CELLS_MAX];

    split_cpu_time(&in, cells, &result);
    assert_int_equal(result.active_uj, 25000000);
    assert_int_equal(result.idle_uj, 75000000);
    assert_int_equal(result.idle_left_uj, 0);
    assert_cells(cells, (const uint64_t[]){25000000, 0, 75000000}, 3);
}

/* Three cgroups and the kernel; cgroup 1 did not run. Idle 60 uJ: 30 each to cgroups 0 and 2, inside 0 by weight. */
static void test_equal(void **state)
{
    const uint64_t weights[] = {10, 0, 20, 10, 40};
    const uint32_t groups[] = {0, 1, 0, 2, SPLIT_NO_GROUP};
    uint64_t scratch[6], cells[CELLS_MAX];
    struct split_input in = input(80 + 60, weights, 5, IDLE_EQUAL);
    struct split_result result;

    in.group = groups;
    in.n_groups = 3;
    in.scratch = scratch;
    in.idle_uw = 60;
    split_cpu_time(&in, cells, &result);
    assert_int_equal(result.idle_uj, 60);
    assert_int_equal(result.idle_left_uj, 0);
    assert_cells(cells, (const uint64_t[]){10 + 10, 0, 20 + 20, 10 + 30, 40}, 5);
    assert_conserves(&in, cells, &result);
}

/* 11 uJ among three groups: the first two that ran get 4, the third 3. */
static void test_equal_remainder(void **state)
{
    const uint64_t weights[] = {5, 5, 0, 5};
    const uint32_t groups[] = {3, 1, 0, 2};
    uint64_t scratch[8], cells[CELLS_MAX];
    struct split_input in = input(11, weights, 4, IDLE_EQUAL);
    struct split_result result;

    in.group = groups;
    in.n_groups = 4;
    in.scratch = scratch;
    in.idle_uw = 11;
    split_cpu_time(&in, cells, &result);
    assert_cells(cells, (const uint64_t[]){3, 4, 0, 4}, 4);
    assert_conserves(&in, cells, &result);
}

/* Only the kernel ran: its active energy is its own, idle energy stays idle. */
static void test_equal_without_groups(void **state)
{
    const uint64_t weights[] = {2 * NS_PER_SEC};
    const uint32_t groups[] = {SPLIT_NO_GROUP};
    uint64_t scratch[4], cells[CELLS_MAX];
    struct split_input in = input(1000, weights, 1, IDLE_EQUAL);
    struct split_result result;

    in.group = groups;
    for (uint32_t n_groups = 0; n_groups <= 2; n_groups += 2) {
        in.n_groups = n_groups;
        in.scratch = n_groups ? scratch : NULL;
        split_cpu_time(&in, cells, &result);
        assert_int_equal(cells[0], 500);
        assert_int_equal(result.idle_left_uj, 500);
        assert_int_equal(result.residual_uj, 0);
    }
}

static void test_policy_names(void **state)
{
    assert_string_equal(idle_policy_names[IDLE_NONE], "none");
    assert_string_equal(idle_policy_names[IDLE_EQUAL], "equal");
    assert_string_equal(idle_policy_names[IDLE_PROPORTIONAL], "proportional");
    assert_null(idle_policy_names[IDLE_POLICIES]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apportion_exact),
        cmocka_unit_test(test_apportion_rounds_cumulatively),
        cmocka_unit_test(test_apportion_nothing),
        cmocka_unit_test(test_apportion_extremes),
        cmocka_unit_test(test_idle_by_utilisation),
        cmocka_unit_test(test_idle_rounds_towards_idle),
        cmocka_unit_test(test_known_idle_power),
        cmocka_unit_test(test_more_than_capacity),
        cmocka_unit_test(test_nobody_ran),
        cmocka_unit_test(test_no_capacity),
        cmocka_unit_test(test_no_cells),
        cmocka_unit_test(test_proportional),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_equal_remainder),
        cmocka_unit_test(test_equal_without_groups),
        cmocka_unit_test(test_policy_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
