/* SPDX-License-Identifier: Apache-2.0 */
/* Units: identity over pid reuse, names and labels, growth, folding of too many short-lived ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "meter/unit_table.h"

static struct carnot_env env;
static struct unit_table table;

static int setup(void **state)
{
    if (carnot_env_open(NULL, NULL, NULL, NULL, &env, NULL) < 0)
        return -1;
    return unit_table_init(&table, &env, NULL, 2);
}

static int teardown(void **state)
{
    unit_table_done(&table);
    carnot_env_close(&env);
    return 0;
}

static void test_a_reused_pid_is_another_process(void **state)
{
    int first = unit_table_process(&table, 42, 1000, 1, 0, 0, "a");
    int same = unit_table_process(&table, 42, 1000, 1, 0, 0, "renamed");
    int other = unit_table_process(&table, 42, 2000, 1, 0, 0, "b");

    assert_true(first >= 0);
    assert_int_equal(first, same);
    assert_int_not_equal(first, other);
    assert_string_equal(table.units[first].comm, "renamed");
    assert_int_equal(unit_table_find_process(&table, 42, 1000), first);
    assert_int_equal(unit_table_find_process(&table, 42, 3000), -ENOENT);
    assert_int_not_equal(table.units[first].id, table.units[other].id);
}

static void test_users_are_named(void **state)
{
    int root = unit_table_user(&table, 0, 1);
    int nobody_knows = unit_table_user(&table, 3999999999U, 1);
    int unknown = unit_table_user(&table, UNIT_UID_UNKNOWN, 1);

    assert_string_equal(table.units[root].name, "root");
    assert_string_equal(table.units[root].labels, "user=\"root\",uid=\"0\"");
    assert_string_equal(table.units[nobody_knows].name, "3999999999");
    assert_string_equal(table.units[unknown].labels, "user=\"(unknown)\",uid=\"\"");
}

static void test_grows_and_reuses(void **state)
{
    int kept = unit_table_process(&table, 1, 1, 1, 0, 0, "kept");

    unit_table_add_energy(&table, (uint32_t)kept, 1, 77);
    for (uint32_t pid = 2; pid < 3000; pid++)
        assert_true(unit_table_process(&table, pid, 1, 1, 0, 0, "p") >= 0);
    assert_int_equal(table.energy_uj[(size_t)kept * 2 + 1], 77);
    uint32_t high = table.high;
    for (uint32_t pid = 2; pid < 3000; pid++)
        unit_table_remove(&table, (uint32_t)unit_table_find_process(&table, pid, 1));
    for (uint32_t pid = 5000; pid < 7998; pid++)
        assert_true(unit_table_process(&table, pid, 1, 1, 0, 0, "q") >= 0);
    assert_int_equal(table.high, high);
    int again = unit_table_find_process(&table, 5000, 1);
    assert_int_equal(table.energy_uj[(size_t)again * 2], 0);
}

static void test_window_reset_keeps_the_sum(void **state)
{
    int unit = unit_table_process(&table, 9, 9, 1, 0, 0, "x");

    unit_table_add_energy(&table, (uint32_t)unit, 0, 5);
    unit_table_add_cpu(&table, (uint32_t)unit, 100, 1);
    unit_table_window_reset(&table);
    unit_table_add_energy(&table, (uint32_t)unit, 0, 6);
    assert_int_equal(table.energy_uj[(size_t)unit * 2], 11);
    assert_int_equal(table.window_uj[(size_t)unit * 2], 6);
    assert_int_equal(table.units[unit].cpu_ns, 100);
    assert_int_equal(table.units[unit].window_cpu_ns, 0);
}

static void test_too_many_kinds_of_short_lived_fold(void **state)
{
    int folded = 0;

    for (unsigned i = 0; i < AGGREGATES_MAX + 10; i++) {
        char comm[16];

        snprintf(comm, sizeof comm, "job%u", i);
        int unit = unit_table_aggregate(&table, 0, 0, comm, 1);
        assert_true(unit >= 0);
        folded += strcmp(table.units[unit].comm, "(processes not listed)") == 0;
    }
    assert_int_equal(folded, 10);
    assert_int_equal(table.n_folded, 10);
    assert_int_equal(table.n_aggregates, AGGREGATES_MAX + 1); /* the ten share one */
}

static void test_limit(void **state)
{
    int r = 0;

    for (uint32_t pid = 1; pid <= PROCESSES_MAX + 1 && r >= 0; pid++)
        r = unit_table_process(&table, pid, 1, 1, 0, 0, "p");
    assert_int_equal(r, -E2BIG);
    assert_int_equal(table.n_processes, PROCESSES_MAX);
    /* There is still room for what gathers the rest. */
    assert_true(unit_table_aggregate(&table, 0, 0, NULL, 1) >= 0);
}

static void test_users_beyond_the_limit_share_one(void **state)
{
    int shared = -1;

    for (uint32_t uid = 100000; uid < 100000 + USERS_MAX + 50; uid++) {
        int unit = unit_table_user(&table, uid, 1);
        assert_true(unit >= 0);
        if (uid >= 100000 + USERS_MAX) {
            assert_true(shared < 0 || unit == shared);
            shared = unit;
        }
    }
    assert_int_equal(table.units[shared].uid, UNIT_UID_UNKNOWN);
    /* Aggregates of such users are one as well. */
    int first = unit_table_aggregate(&table, 0, 200000, "sh", 1),
        second = unit_table_aggregate(&table, 0, 200001, "sh", 1);
    assert_int_equal(first, second);
}

static void test_a_full_table_of_aggregates_still_feeds_the_old(void **state)
{
    int bash = unit_table_aggregate(&table, 0, 0, "bash", 1);

    for (unsigned i = 0; i < AGGREGATES_MAX + 10; i++) {
        char comm[16];

        snprintf(comm, sizeof comm, "job%u", i);
        assert_true(unit_table_aggregate(&table, 0, 0, comm, 1) >= 0);
    }
    assert_int_equal(unit_table_aggregate(&table, 0, 0, "bash", 1), bash);
}

static void test_a_sleeping_cgroup_keeps_its_sum(void **state)
{
    int unit = unit_table_cgroup(&table, 0, 1);

    unit_table_add_energy(&table, (uint32_t)unit, 0, 10);
    unit_table_put_to_sleep(&table, (uint32_t)unit);
    assert_true(table.units[unit].dormant);
    assert_int_equal(table.n_dormant, 1);
    /* Without a tree every index has the path of the root: index 7 is "the same path made again". */
    assert_int_equal(unit_table_cgroup(&table, 7, 1), unit);
    assert_false(table.units[unit].dormant);
    assert_int_equal(table.n_dormant, 0);
    assert_int_equal(table.energy_uj[(size_t)unit * 2], 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_reused_pid_is_another_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_users_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grows_and_reuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_window_reset_keeps_the_sum, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_kinds_of_short_lived_fold, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_users_beyond_the_limit_share_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_table_of_aggregates_still_feeds_the_old, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sleeping_cgroup_keeps_its_sum, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
