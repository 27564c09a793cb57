/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a run: figures, repeats, and the three forms as golden text. */
#include "files.h"

#include <jansson.h>

#include "cli/run_report.h"

static char make[] = "make", jobs[] = "-j2", quoted[] = "say \"hi\", all\n";
static char *const command[] = {make, jobs, NULL};
static char *const odd_command[] = {quoted, NULL};

static const struct run_figures one_run = {
    .wall_ns = 12410000000,
    .user_ns = 20000000000,
    .system_ns = 2800000000,
    .session_cpu_ns = 22790000000,
    .has_energy = true,
    .energy_uj = 182400000,
    .peak_uw = 21300000,
    .has_machine = true,
    .machine_uj = 240100000,
    .machine_ns = 12420000000,
};
static const uint64_t domain_uj[] = {171000000, 99000000, 11400000};

static void coverage_compares_with_the_kernel(void **state)
{
    struct run_figures run = one_run;

    assert_int_equal(run_cpu_ns(&run), 22800000000);
    assert_int_equal(run_coverage_ppm(&run), 999561);
    run.session_cpu_ns = 23000000000; /* descendants that nobody waited for */
    assert_int_equal(run_cpu_ns(&run), 23000000000);
    assert_int_equal(run_coverage_ppm(&run), 1000000);
    run.session_cpu_ns = 0;
    assert_int_equal(run_coverage_ppm(&run), 0);
    run.user_ns = run.system_ns = 0;
    assert_int_equal(run_coverage_ppm(&run), 1000000); /* nothing used, nothing missed */
    run.has_energy = false;
    assert_int_equal(run_coverage_ppm(&run), 0);
}

static void golden_forms(void **state)
{
    struct view *view = golden_view("session.json");
    struct run_report report = {.command = command,
                                .label = "",
                                .runs = &one_run,
                                .n_runs = 1,
                                .domain_uj = domain_uj,
                                .view = view,
                                .way = "agent"};
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(run_report_text(&report, (struct text_style){.utf8 = true}, &out), 0);
    assert_golden(&out, "run.txt");
    buf_reset(&out);
    assert_int_equal(run_report_json(&report, &out), 0);
    assert_golden(&out, "run.json");
    buf_reset(&out);
    report.command = odd_command;
    report.label = "a,b";
    assert_int_equal(run_report_csv(&report, &out), 0);
    assert_golden(&out, "run.csv");
    buf_done(&out);
    view_free(view);
}

static void golden_repeats(void **state)
{
    struct run_figures runs[] = {one_run, one_run, one_run};
    const uint64_t sum_uj[] = {3 * 171000000ULL, 3 * 99000000ULL, 3 * 11400000ULL};
    struct view *view = golden_view("session.json");
    struct run_report report = {.command = command,
                                .label = "nightly",
                                .runs = runs,
                                .n_runs = 3,
                                .domain_uj = sum_uj,
                                .view = view,
                                .way = "in process",
                                .left_running = 2,
                                .interrupted = true};
    struct buf out;

    runs[1].wall_ns += 1000000000;
    runs[2].energy_uj -= 10000000;
    runs[1].session_cpu_ns = 11400000000; /* half was not seen */
    runs[2].exit_status = 3;
    buf_init(&out, 1 << 20);
    assert_int_equal(run_report_text(&report, (struct text_style){.utf8 = false}, &out), 0);
    assert_golden(&out, "repeats.txt");
    buf_reset(&out);
    assert_int_equal(run_report_json(&report, &out), 0);
    assert_golden(&out, "repeats.json");
    buf_done(&out);
    view_free(view);
}

static void time_only_without_energy(void **state)
{
    struct run_figures run = {.wall_ns = 5000000, .user_ns = 1000000, .exit_status = 143, .signal = 15};
    struct run_report report = {
        .command = command, .runs = &run, .n_runs = 1, .way = "in process", .why_no_energy = "no source at all"};
    json_t *json;
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(run_report_text(&report, (struct text_style){.utf8 = true}, &out), 0);
    assert_golden(&out, "no_energy.txt");
    buf_reset(&out);
    assert_int_equal(run_report_json(&report, &out), 0);
    json = json_loads(out.data, 0, NULL);
    assert_non_null(json);
    assert_true(json_is_null(json_object_get(json, "energy_uj")));
    assert_string_equal(json_string_value(json_object_get(json, "why_no_energy")), "no source at all");
    assert_int_equal(json_integer_value(json_object_get(json, "exit_status")), 143);
    json_decref(json);
    buf_done(&out);
}

static void title_is_cleaned_and_bold_only_when_asked(void **state)
{
    static char hostile[] = "x\x1b[2J";
    static char *const argv[] = {hostile, NULL};
    struct run_figures run = {.wall_ns = 1};
    struct run_report report = {.command = argv, .runs = &run, .n_runs = 1, .way = "agent"};
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(run_report_text(&report, (struct text_style){.utf8 = true}, &out), 0);
    assert_null(strchr(out.data, '\x1b'));
    assert_non_null(strstr(out.data, "carnot: x?[2J"));
    buf_reset(&out);
    assert_int_equal(run_report_text(&report, (struct text_style){.utf8 = true, .bold = true}, &out), 0);
    assert_non_null(strstr(out.data, "\x1b[1mcarnot: x?[2J"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coverage_compares_with_the_kernel),
        cmocka_unit_test(golden_forms),
        cmocka_unit_test(golden_repeats),
        cmocka_unit_test(time_only_without_energy),
        cmocka_unit_test(title_is_cleaned_and_bold_only_when_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
