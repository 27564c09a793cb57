/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of a trace: columns of the CSV, the JSON document, a summary that hides no flaw. */
#include "files.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "cli/svg.h"
#include "cli/trace_out.h"

static const struct domain domains[] = {
    {.name = "package-0", .source = "rapl_powercap", .in_total = true},
    {.name = "core-0", .kind = DOMAIN_CORE, .source = "rapl_powercap"},
};
static const uint64_t span_ns[] = {4000000, 0};
static char word_a[] = "sh", word_b[] = "-c", word_c[] = "a\n\"b\", \x1b[2J";
static char *const command[] = {word_a, word_b, word_c, NULL};
static const uint64_t command_uj[] = {3000000, 1};
static struct burst_domain_report reports[2];
static struct trace_summary summary;
static struct buf text;

static struct trace_info info_of(enum trace_format format)
{
    return (struct trace_info){.format = format,
                               .domains = domains,
                               .n_domains = 2,
                               .span_ns = span_ns,
                               .rate_hz = 1000,
                               .real_offset_ns = 1700000000 * NS_PER_SEC,
                               .command = command};
}

static int setup(void **state)
{
    reports[0] = (struct burst_domain_report){.energy_uj = 3500000,
                                              .peak_uw = 99000000,
                                              .first_ns = NS_PER_SEC,
                                              .last_ns = 2 * NS_PER_SEC,
                                              .readings = 3,
                                              .changes = 1,
                                              .wraps = 1};
    reports[1] = (struct burst_domain_report){0};
    summary = (struct trace_summary){.burst = {.n_readers = 1, .n_fifo = 1, .n_locked = 1, .samples = 3},
                                     .domains = reports,
                                     .asked_hz = 1000,
                                     .rows = 3,
                                     .wall_ns = NS_PER_SEC,
                                     .has_command = true,
                                     .exit_status = 7,
                                     .command_ns = NS_PER_SEC - 5,
                                     .command_uj = command_uj};
    histogram_add(&summary.burst.late, 12345);
    histogram_add(&summary.burst.took, 678);
    buf_init(&text, SVG_BYTES_MAX);
    return 0;
}

static int teardown(void **state)
{
    buf_done(&text);
    return 0;
}

/* Three rows: a baseline, a change without power and a failed reading, a change with one. */
static void write_trace(const struct trace_info *info)
{
    const struct burst_cell cells[3][2] = {
        {{.read = true}, {.read = true}},
        {{.read = true, .changed = true, .energy_uj = 500000}, {0}},
        {{.read = true,
          .changed = true,
          .has_power = true,
          .energy_uj = 3500000,
          .power_uw = 12345678,
          .from_ns = 1001 * NS_PER_MS,
          .since_ns = 1001 * NS_PER_MS},
         {.read = true}},
    };
    struct trace_out *out = NULL;

    assert_int_equal(trace_out_new(info, &text, &out), 0);
    for (uint64_t i = 0; i < 3; i++) {
        struct burst_row row = {.tick = i, .mono_ns = NS_PER_SEC + i * NS_PER_MS + i, .cells = cells[i]};
        trace_out_row(out, &row);
    }
    assert_int_equal(trace_out_end(out, &summary), 0);
    trace_out_free(out);
}

static void csv(void **state)
{
    struct trace_info info = info_of(TRACE_CSV);

    write_trace(&info);
    assert_string_equal(buf_str(&text),
                        "# carnot trace, version 1\n"
                        "# start_unix_s: 1700000001\n"
                        "# rate_hz: 1000\n"
                        "# command: sh -c a?\"b\", ?[2J\n"
                        "# package-0: rapl_powercap, measured, power over at least 0.004 s\n"
                        "# core-0: rapl_powercap, measured, power over at least 0 s\n"
                        "time_s,package-0_energy_uj,package-0_power_w,package-0_new,core-0_energy_uj,core-0_power_w,"
                        "core-0_new\n"
                        "0,0,,0,0,,0\n"
                        "0.001000001,500000,,1,,,\n"
                        "0.002000002,3500000,12.345678,1,0,,0\n");
}

static uint64_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value))
        fail_msg("no number %s", key);
    return (uint64_t)json_integer_value(value);
}

static void json(void **state)
{
    struct trace_info info = info_of(TRACE_JSON);
    json_error_t error;

    write_trace(&info);
    json_t *root = json_loads(buf_str(&text), JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("%s in line %d", error.text, error.line);
    assert_int_equal(number(root, "v"), 1);
    assert_int_equal(number(root, "start_unix_ns"), 1700000001 * NS_PER_SEC);
    assert_int_equal(number(root, "rate_hz"), 1000);
    assert_string_equal(json_string_value(json_array_get(json_object_get(root, "command"), 2)), word_c);
    const json_t *columns = json_object_get(root, "columns"), *samples = json_object_get(root, "samples");
    assert_int_equal(json_array_size(columns), 7);
    assert_string_equal(json_string_value(json_array_get(columns, 5)), "core-0_power_uw");
    assert_int_equal(json_array_size(samples), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(json_array_size(json_array_get(samples, i)), 7);
    const json_t *second = json_array_get(samples, 1), *third = json_array_get(samples, 2);
    assert_int_equal(json_integer_value(json_array_get(second, 0)), 1000001);
    assert_int_equal(json_integer_value(json_array_get(second, 1)), 500000);
    assert_true(json_is_null(json_array_get(second, 2)));
    assert_int_equal(json_integer_value(json_array_get(second, 3)), 1);
    for (size_t i = 4; i < 7; i++) /* a reading that failed is no 0 */
        assert_true(json_is_null(json_array_get(second, i)));
    assert_int_equal(json_integer_value(json_array_get(third, 2)), 12345678);
    const json_t *end = json_object_get(root, "summary");
    const json_t *first = json_array_get(json_object_get(end, "domains"), 0);
    assert_int_equal(number(end, "exit_status"), 7);
    assert_int_equal(number(end, "rows"), 3);
    assert_int_equal(number(json_object_get(end, "late_ns"), "max"), 12345);
    assert_int_equal(number(first, "energy_uj"), 3500000);
    assert_int_equal(number(first, "mean_uw"), 3500000);
    assert_int_equal(number(first, "wraps"), 1);
    assert_int_equal(number(first, "command_energy_uj"), 3000000);
    json_decref(root);
}

static void nothing_was_read(void **state)
{
    static const enum trace_format formats[] = {TRACE_CSV, TRACE_JSON, TRACE_SVG};

    for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
        struct trace_info info = info_of(formats[i]);
        struct trace_out *out = NULL;

        buf_reset(&text);
        assert_int_equal(trace_out_new(&info, &text, &out), 0);
        assert_int_equal(trace_out_end(out, &summary), 0);
        assert_true(text.len > 0);
        trace_out_free(out);
        if (formats[i] != TRACE_JSON)
            continue;
        json_t *root = json_loads(buf_str(&text), 0, NULL);
        assert_non_null(root);
        json_decref(root);
    }
}

static void a_long_command_is_cut(void **state)
{
    static char longest[5000];
    char *const words[] = {word_a, longest, word_a, NULL};
    struct trace_info info = info_of(TRACE_CSV);

    memset(longest, 'x', sizeof(longest) - 1);
    info.command = words;
    write_trace(&info);
    assert_non_null(strstr(buf_str(&text), "xxx...\n"));
    assert_true(text.len < 2000);
}

static const char *report(void)
{
    struct trace_info info = info_of(TRACE_CSV);

    buf_reset(&text);
    assert_int_equal(trace_report_text(&info, &summary, (struct text_style){.utf8 = true}, &text), 0);
    return buf_str(&text);
}

static void a_summary_tells_all(void **state)
{
    const char *told = report();

    assert_non_null(strstr(told, "exit 7"));
    assert_non_null(strstr(told, "3 rows at 1000 a second; 0 deadlines missed, 0 samples lost"));
    assert_non_null(strstr(told, "SCHED_FIFO, memory locked"));
    assert_non_null(strstr(told, "moved in 1 of 2 readings, wrapped 1 time\n"));
    assert_non_null(strstr(told, "(core-0)    no reading"));
    assert_non_null(strstr(told, "measured (rapl_powercap)"));
    summary.burst.n_fifo = 0;
    summary.burst.n_locked = 0;
    summary.burst.fifo_errno = EPERM;
    summary.asked_hz = 500;
    summary.cut = true;
    reports[0].failed = 4;
    reports[0].gaps = 2;
    told = report();
    assert_non_null(strstr(told, "ordinary priority (SCHED_FIFO: Operation not permitted"));
    assert_non_null(strstr(told, "memory not locked"));
    assert_non_null(strstr(told, "(not 500: "));
    assert_non_null(strstr(told, "to the end of the trace"));
    assert_non_null(strstr(told, "; 4 readings failed; 2 gaps: the energy is a lower bound"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(csv), TEST(json), TEST(nothing_was_read), TEST(a_long_command_is_cut),
                                       TEST(a_summary_tells_all)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
