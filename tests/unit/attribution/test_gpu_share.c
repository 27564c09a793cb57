/* SPDX-License-Identifier: Apache-2.0 */
/* Boards among users by examples worked out by hand; laws are in tests/property/test_idle.c. */
#include "../base/unit_test.h"
#include "attribution/gpu_share.h"
#include "base/clock.h"

static void assert_parts(const uint64_t *parts, const uint64_t *expected, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(parts[i], expected[i]);
}

/* 300 J in a second of a board that idles at 60 W. */
static struct gpu_board board_of(struct gpu_instance *instances, size_t n_instances, const struct gpu_user *users,
                                 size_t n_users)
{
    return (struct gpu_board){.energy_uj = 300000000,
                              .window_ns = NS_PER_SEC,
                              .idle_uw = 60000000,
                              .sms = 100,
                              .instances = instances,
                              .n_instances = n_instances,
                              .users = users,
                              .n_users = n_users};
}

/* Two processes in turn on a whole board that one job holds. */
static void test_time_slices(void **state)
{
    struct gpu_instance whole = {.sms = 100};
    const struct gpu_user users[] = {
        {.utilisation_ppm = 600000, .holds = true},
        {.utilisation_ppm = 200000},
    };
    struct gpu_board board = board_of(&whole, 1, users, 2);
    struct gpu_result result;
    uint64_t uj[2];

    gpu_share(&board, uj, &result);
    assert_parts(uj, (const uint64_t[]){180000000 + 60000000, 60000000}, 2);
    assert_int_equal(result.active_uj, 240000000);
    assert_int_equal(result.idle_left_uj, 0);

    board.idle_uw = 0; /* 80 % busy */
    gpu_share(&board, uj, &result);
    assert_int_equal(result.idle_uj, 60000000);
    assert_parts(uj, (const uint64_t[]){240000000, 60000000}, 2);
}

/* Three instances of 40, 40 and 10 of 100 multiprocessors: the first busy, the second held and idle, the third
 * nobody's. */
static void test_instances(void **state)
{
    struct gpu_instance instances[] = {{.sms = 40}, {.sms = 40}, {.sms = 10}};
    const struct gpu_user users[] = {
        {.instance = 0, .utilisation_ppm = 500000, .holds = true},
        {.instance = 1, .holds = true},
        {.instance = 7, .utilisation_ppm = 1000000, .holds = true}, /* does not exist */
    };
    struct gpu_board board = board_of(instances, 3, users, 3);
    struct gpu_result result;
    uint64_t uj[3];

    gpu_share(&board, uj, &result);
    assert_parts(uj, (const uint64_t[]){240000000 + 24000000, 24000000, 0}, 3);
    assert_int_equal(result.idle_left_uj, 12000000); /* the third, and what is in no instance */
    assert_int_equal(result.residual_uj, 0);
}

/* MPS: three clients on one instance, one limited to half, none running: idle by limits. */
static void test_limits(void **state)
{
    struct gpu_instance whole = {.sms = 100};
    const struct gpu_user users[] = {
        {.limit_ppm = 500000, .holds = true},
        {.holds = true},
        {.limit_ppm = 1000000, .holds = true},
    };
    struct gpu_board board = board_of(&whole, 1, users, 3);
    struct gpu_result result;
    uint64_t uj[3];

    gpu_share(&board, uj, &result);
    assert_parts(uj, (const uint64_t[]){12000000, 24000000, 24000000}, 3);
    assert_int_equal(result.residual_uj, 240000000); /* somebody ran, nobody was seen */
}

static void test_nothing(void **state)
{
    struct gpu_board board = board_of(NULL, 0, NULL, 0);
    struct gpu_result result;

    gpu_share(&board, NULL, &result);
    assert_int_equal(result.idle_left_uj, 60000000);
    assert_int_equal(result.residual_uj, 240000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_slices),
        cmocka_unit_test(test_instances),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
