/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's counters as carbon-ops' clients read them, and as ours do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "sinks/governor.h"

static struct domain domains[DOMAINS_MAX];
static struct meter_counters counters;

static struct meter_counter *add(const char *name, enum domain_kind kind, int package, const char *address,
                                 uint64_t total_uj)
{
    size_t i = counters.n++;

    domains[i] = (struct domain){.kind = kind, .package = package, .die = -1, .node = -1, .source = "rapl_powercap"};
    snprintf(domains[i].name, sizeof(domains[i].name), "%s", name);
    snprintf(domains[i].address, sizeof(domains[i].address), "%s", address);
    counters.items[i] = (struct meter_counter){
        .domain = &domains[i], .known = true, .step_uj = i + 1, .run_uj = total_uj / 2, .total_uj = total_uj};
    return &counters.items[i];
}

static int setup(void **state)
{
    memset(&counters, 0, sizeof(counters));
    counters.when = (struct carnot_now){.mono_ns = 5, .boot_ns = 6, .real_ns = 1795214456624764680};
    return 0;
}

/* Two packages, what is inside and beside them, and the same seen in other ways. */
static void fill_server(void)
{
    add("package-0", DOMAIN_PACKAGE, 0, "package-0:intel-rapl:0", 1000);
    add("core-0", DOMAIN_CORE, 0, "core:intel-rapl:0:0", 400);
    add("dram-0", DOMAIN_DRAM, 0, "dram:intel-rapl:0:1", 100);
    add("package-1", DOMAIN_PACKAGE, 1, "package-1:intel-rapl:1", 2000);
    add("psys", DOMAIN_PSYS, -1, "psys:intel-rapl:2", 5000);
    add("package-0-mmio", DOMAIN_OTHER, 0, "package-0:intel-rapl-mmio:0", 1000);
    add("gpu-0", DOMAIN_GPU, -1, "", 70000);
    domains[6].source = "nvml";
    add("host", DOMAIN_HOST, -1, "", 90000);
    domains[7].source = "cray_pm";
}

static void the_legacy_line(void **state)
{
    struct buf out;

    fill_server();
    counters.items[2].known = false; /* its memory was never read: 0 would be a figure */
    buf_init(&out, 1 << 20);
    assert_int_equal(governor_write_legacy(&counters, "e1", &out), 0);
    assert_string_equal(
        buf_str(&out),
        "{\"status\":\"ok\",\"timestamp\":1795214456.6247647,"
        "\"deltas_uj\":{\"package-0:intel-rapl:0\":1,\"core:intel-rapl:0:0\":2,\"package-1:intel-rapl:1\":4,"
        "\"psys:intel-rapl:2\":5,\"package-0:intel-rapl-mmio:0\":6,\"gpu-0:nvml\":7,\"host:cray_pm\":8},"
        "\"totals_uj\":{\"package-0:intel-rapl:0\":1000,\"core:intel-rapl:0:0\":400,\"package-1:intel-rapl:1\":2000,"
        "\"psys:intel-rapl:2\":5000,\"package-0:intel-rapl-mmio:0\":1000,\"gpu-0:nvml\":70000,"
        "\"host:cray_pm\":90000},"
        "\"counters_uj\":{\"package-0:intel-rapl:0\":1000,\"package-1:intel-rapl:1\":2000},"
        "\"package_total_uj\":3000,\"quality\":\"measured\",\"epoch\":\"e1\"}");
    buf_done(&out);
}

static json_t *legacy(void)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(governor_write_legacy(&counters, "e1", &out), 0);
    json_t *answer = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(answer);
    buf_done(&out);
    return answer;
}

/* What its clients make of it: they add all of counters_uj up. */
static void expect_sum(uint64_t sum_uj, uint64_t package_total_uj, const char *quality)
{
    json_t *answer = legacy(), *value;
    const char *key;
    uint64_t sum = 0;

    json_object_foreach(json_object_get(answer, "counters_uj"), key, value) sum += (uint64_t)json_integer_value(value);
    assert_int_equal(sum, sum_uj);
    assert_int_equal(json_integer_value(json_object_get(answer, "package_total_uj")), package_total_uj);
    assert_string_equal(json_string_value(json_object_get(answer, "quality")), quality);
    json_decref(answer);
}

static void nothing_is_summed_twice(void **state)
{
    fill_server();
    expect_sum(3100, 3000, "measured"); /* packages and memory; GPUs they add themselves */

    setup(NULL);
    add("psys", DOMAIN_PSYS, -1, "psys:intel-rapl:1", 5000);
    add("gpu-0", DOMAIN_GPU, -1, "", 70000);
    expect_sum(5000, 0, "measured");

    setup(NULL);
    add("host", DOMAIN_HOST, -1, "", 9000);
    add("gpu-0", DOMAIN_GPU, -1, "", 7000);
    expect_sum(9000, 0, "measured"); /* nothing inside it is known */

    setup(NULL);
    add("package-0", DOMAIN_PACKAGE, 0, "", 1000);
    add("dram", DOMAIN_DRAM, -1, "", 50);
    domains[0].quality = QUALITY_MODELLED;
    domains[1].quality = QUALITY_DEFAULT;
    expect_sum(1050, 1000, "default");

    setup(NULL);
    expect_sum(0, 0, "measured");
}

static void before_the_first_window(void **state)
{
    struct buf out;

    buf_init(&out, 64);
    assert_int_equal(governor_write_warming_up(&out), 0);
    assert_string_equal(buf_str(&out), "{\"status\":\"warming_up\"}");
    buf_done(&out);
}

/* Names come from the kernel and from firmware: they stay inside their quotes. */
static void odd_names(void **state)
{
    add("package-0", DOMAIN_PACKAGE, 0, "a\"b\\\n:intel-rapl:0", 1);
    json_t *answer = legacy();
    assert_int_equal(json_integer_value(json_object_get(json_object_get(answer, "totals_uj"), "a\"b\\\n:intel-rapl:0")),
                     1);
    json_decref(answer);
}

static void our_own_answer(void **state)
{
    const struct governor_run run = {.epoch = "e1", .boot = "b1"};
    struct buf out;
    size_t lasting = 0;

    fill_server();
    domains[0].lasting = true;
    domains[0].in_total = true;
    counters.items[0].bridged_uj = 7;
    counters.items[0].gaps = 2;
    counters.items[0].since_real_ns = 99;
    counters.items[1].status = -EIO;
    counters.items[2].known = false;
    buf_init(&out, 1 << 20);
    assert_int_equal(governor_write_counters(&counters, &run, &out), 0);
    json_t *answer = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    buf_done(&out);
    assert_non_null(answer);
    assert_int_equal(json_integer_value(json_object_get(answer, "v")), 1);
    assert_string_equal(json_string_value(json_object_get(answer, "op")), "counters");
    assert_string_equal(json_string_value(json_object_get(answer, "boot")), "b1");
    assert_int_equal(json_integer_value(json_object_get(answer, "boot_ns")), 6);

    json_t *list = json_object_get(answer, "domains");
    assert_int_equal(json_array_size(list), 8);
    for (size_t i = 0; i < 8; i++)
        lasting += json_is_true(json_object_get(json_array_get(list, i), "lasting"));
    assert_int_equal(lasting, 1);
    json_t *package = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(package, "id")), "package-0:intel-rapl:0");
    assert_int_equal(json_integer_value(json_object_get(package, "total_uj")), 1000);
    assert_int_equal(json_integer_value(json_object_get(package, "run_uj")), 500);
    assert_int_equal(json_integer_value(json_object_get(package, "bridged_uj")), 7);
    assert_int_equal(json_integer_value(json_object_get(package, "gaps")), 2);
    assert_true(json_is_true(json_object_get(package, "in_counters")));
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 1), "status")), -EIO);
    assert_null(json_object_get(json_array_get(list, 2), "total_uj"));
    json_decref(answer);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_legacy_line), TEST(nothing_is_summed_twice), TEST(before_the_first_window),
        TEST(odd_names),       TEST(our_own_answer),
    };

    return cmocka_run_group_tests_name("governor", tests, NULL, NULL);
}
