/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of `carnot calibrate`: when a machine is quiet, who keeps it busy, threads that keep CPUs busy and end, the
 * bar and the report. */
#include "../sources/scratch.h"

#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "cli/calibrate_busy.h"
#include "cli/calibrate_load.h"
#include "cli/calibrate_report.h"
#include "cli/calibrate_settle.h"
#include "cli/progress.h"

#define UNKNOWN CALIBRATION_BUSY_UNKNOWN

static struct scratch s;
static struct buf out;

static int setup(void **state)
{
    scratch_init(&s);
    buf_init(&out, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    buf_done(&out);
    scratch_done(&s);
    return 0;
}

/* ---- quiet ---- */

static struct settle judge(uint64_t first_uw, uint64_t second_uw, uint64_t third_uw, uint32_t busy_ppm)
{
    struct settle_second seconds[] = {{first_uw, 1000}, {second_uw, busy_ppm}, {third_uw, UNKNOWN}};

    return settle_judge(seconds, 3, 50000);
}

static void steady_power(void **state)
{
    struct settle settle = judge(100000000, 100000000, 100000000, 50000);

    assert_true(settle.steady && settle.quiet);
    assert_int_equal(settle.mean_uw, 100000000);
    assert_int_equal(settle.busy_ppm, 50000);
    assert_true(judge(95000000, 100000000, 105000000, 0).steady); /* 5 % */
    assert_false(judge(94000000, 100000000, 106000000, 0).steady);
    assert_true(judge(1500000, 2000000, 2500000, 0).steady); /* half a watt */
    assert_false(judge(1400000, 2000000, 2600000, 0).steady);
    assert_false(judge(0, 100000000, 100000000, 0).steady); /* a second of which nothing is known */
}

static void a_steady_load_is_not_idle(void **state)
{
    struct settle settle = judge(100000000, 100000000, 100000000, 50001);

    assert_true(settle.steady);
    assert_false(settle.quiet);
    assert_int_equal(settle.busy_ppm, 50001);
    struct settle_second second = {100000000, UNKNOWN};
    settle = settle_judge(&second, 1, 0);
    assert_true(settle.quiet); /* nothing known is held against nobody */
    assert_int_equal(settle.busy_ppm, UNKNOWN);
}

/* ---- busy ---- */

static void busy_shares(void **state)
{
    struct topology_cpu cpus[4] = {{.package = 2, .online = true},
                                   {.package = 7, .online = true},
                                   {.package = 7, .online = true},
                                   {.package = -1}};
    struct topology topology = {.cpus = cpus, .n_cpus = 4, .n_online = 3, .n_packages = 2};
    struct busy busy;
    struct busy_ticks from[2], to[2];

    scratch_write(&s, "proc/stat",
                  "cpu  0 0 0 0 0 0 0 0\ncpu0 10 0 0 100 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\ncpu2 0 0 0 0 0 0 0 0\n");
    assert_int_equal(busy_open(&s.env, &topology, &busy, NULL), 0);
    assert_int_equal(busy.n_packages, 2);
    assert_int_equal(busy.packages[1], 7);
    busy_read(&busy, from);
    assert_int_equal(busy_share_ppm(from, from, 2), UNKNOWN);
    /* Package 2: 1 of 3 ticks; package 7: 10 of 20, beside 100 stolen ones, which are nobody's. */
    scratch_write(&s, "proc/stat",
                  "cpu  0 0 0 0 0 0 0 0\ncpu0 10 0 1 99 3 0 0 0\ncpu1 5 5 0 0 0 0 0 100\ncpu2 0 0 0 6 4 0 0 0\n");
    busy_read(&busy, to);
    assert_int_equal(busy_share_ppm(&from[0], &to[0], 1), 333333); /* idle and waiting together are 2 more */
    assert_int_equal(busy_share_ppm(&from[1], &to[1], 1), 500000);
    assert_int_equal(busy_share_ppm(from, to, 2), 478260); /* 11 of 23 */
    assert_int_equal(busy_share_ppm(to, from, 2), UNKNOWN);
    busy_close(&busy);
}

static void nothing_is_known_without_proc(void **state)
{
    struct topology_cpu cpus[1] = {{.online = true}};
    struct topology topology = {.cpus = cpus, .n_cpus = 1, .n_online = 1};
    struct busy busy;
    struct busy_ticks ticks[1];

    assert_int_equal(busy_open(&s.env, &topology, &busy, NULL), 0);
    busy_read(&busy, ticks);
    assert_int_equal(busy_share_ppm(ticks, ticks, 1), UNKNOWN);
    busy_close(&busy);
    assert_int_equal(busy_memory_ppm(&s.env), UNKNOWN);
    scratch_write(&s, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 750 kB\n");
    assert_int_equal(busy_memory_ppm(&s.env), 250000);
}

static void put_process(unsigned pid, const char *name, unsigned ticks, unsigned start)
{
    char path[64], text[256];

    snprintf(path, sizeof(path), "proc/%u/stat", pid);
    snprintf(text, sizeof(text), "%u (%s) R 1 1 1 0 -1 0 0 0 0 0 %u 0 0 0 20 0 1 0 %u 0 0\n", pid, name, ticks, start);
    scratch_write(&s, path, text);
}

static void the_busiest_process(void **state)
{
    struct busy_processes *then = NULL;
    struct busy_process most;

    put_process(10, "old worker", 500, 1);
    put_process(11, "quiet", 7, 1);
    put_process(12, "reused", 900, 1);
    assert_int_equal(busy_processes_take(&s.env, &then), 0);
    assert_false(busy_processes_most(&s.env, then, &most)); /* nobody has run since */
    put_process(10, "old worker", 520, 1);
    put_process(11, "quiet", 8, 1);
    put_process(12, "new one", 25, 2); /* another process of that number: all of its time is new */
    put_process((unsigned)getpid(), "this test", 5000, 2);
    assert_true(busy_processes_most(&s.env, then, &most));
    assert_int_equal(most.pid, 12);
    assert_string_equal(most.name, "new one");
    assert_int_equal(most.cpu_ns, 250 * NS_PER_MS);
    put_process(10, "old worker", 526, 1);
    assert_true(busy_processes_most(&s.env, then, &most));
    assert_string_equal(most.name, "old worker");
    assert_null(busy_processes_free(then));
    assert_false(busy_processes_most(&s.env, NULL, &most));
}

/* ---- load ---- */

static unsigned count_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    unsigned n = 0;

    assert_non_null(d);
    for (struct dirent *entry = readdir(d); entry; entry = readdir(d))
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

static void every_allowed_cpu_is_kept_busy(void **state)
{
    struct carnot_env env;
    struct topology topology;
    struct carnot_err err = CARNOT_ERR_INIT;
    struct load *load = NULL;

    assert_int_equal(carnot_env_open(NULL, NULL, NULL, NULL, &env, &err), 0);
    assert_int_equal(topology_read(&env, &topology, &err), 0);
    bool *allowed = calloc(topology.n_cpus, sizeof(*allowed));
    assert_non_null(allowed);
    int n = load_allowed_cpus(&topology, allowed, &err);
    assert_in_range(n, 1, topology.n_online);

    unsigned before = count_threads();
    assert_int_equal(load_start(&topology, allowed, &load, &err), 0);
    assert_int_equal(count_threads(), before + (unsigned)n);
    uint64_t give_up_ns = clock_now(env.clock).mono_ns + 60 * NS_PER_SEC;
    while (load_blocks_of_slowest(load) < 3 && clock_now(env.clock).mono_ns < give_up_ns)
        sched_yield();
    assert_true(load_blocks_of_slowest(load) >= 3);
    assert_null(load_stop(load));
    /* A joined thread leaves /proc a moment later. */
    while (count_threads() != before && clock_now(env.clock).mono_ns < give_up_ns)
        sched_yield();
    assert_int_equal(count_threads(), before);
    assert_null(load_stop(NULL));
    free(allowed);
    topology_done(&topology);
    carnot_env_close(&env);
}

static void a_cpu_that_is_not_there(void **state)
{
    struct topology_cpu cpus[CPUS_MAX] = {{.online = true}};
    struct topology topology = {.cpus = cpus, .n_cpus = CPUS_MAX, .n_online = 2};
    static bool allowed[CPUS_MAX];
    struct carnot_err err = CARNOT_ERR_INIT;
    struct load *load = NULL;
    unsigned before = count_threads();

    if (sysconf(_SC_NPROCESSORS_CONF) >= CPUS_MAX) {
        print_message("skipped: this machine has CPU %d\n", CPUS_MAX - 1);
        skip();
    }
    allowed[0] = allowed[CPUS_MAX - 1] = true;
    assert_true(load_start(&topology, allowed, &load, &err) < 0);
    assert_non_null(strstr(err.msg, "cannot start a thread on CPU 4095"));
    assert_null(load);
    for (unsigned tries = 0; count_threads() != before && tries < 1000000; tries++)
        sched_yield();
    assert_int_equal(count_threads(), before); /* the first one was ended */
}

/* ---- what is told ---- */

static const char *bar(uint64_t done_s, uint64_t total_ms, unsigned width, bool utf8)
{
    buf_reset(&out);
    progress_line(&out, "idle", done_s * NS_PER_SEC, total_ms * NS_PER_MS, "20.3 W", width, utf8);
    return buf_str(&out);
}

static void progress_bar(void **state)
{
    assert_string_equal(bar(0, 10000, 0, false), "idle     [------------------------]  0 of 10 s  20.3 W");
    assert_string_equal(bar(5, 10000, 0, false), "idle     [############------------]  5 of 10 s  20.3 W");
    assert_string_equal(bar(99, 2500, 0, false), "idle     [########################]  2 of 2.5 s  20.3 W");
    assert_int_equal(text_width(bar(5, 10000, 0, true)), 52);
    assert_int_equal(text_width(bar(5, 10000, 30, true)), 30);
    assert_int_equal(strlen(bar(5, 10000, 30, false)), 30);
    assert_string_equal(bar(0, 0, 0, false), "idle     [------------------------]  0 of 0 s  20.3 W");
}

static struct calibrate_result result;

static struct calibrate_report report_of(const char *why)
{
    static const char text[] =
        "{\"carnot_calibration\":1,\"method\":\"rapl\",\"at\":\"2026-06-14T10:15:00Z\",\"cpu_model\":\"CPU\","
        "\"threads\":"
        "64,\"idle_ns\":10000000000,\"load_ns\":20000000000,\"domains\":[{\"name\":\"package-0\",\"kind\":\"package\","
        "\"source\":\"rapl_powercap\",\"package\":0,\"in_total\":true,\"idle_uw\":20004000,\"loaded_uw\":60000000},{"
        "\"name\":\"core-0\",\"kind\":\"core\",\"source\":\"rapl_powercap\",\"package\":0,\"idle_uw\":8000000},{"
        "\"name\":"
        "\"dram-0\",\"kind\":\"dram\",\"source\":\"rapl_powercap\",\"package\":0,\"in_total\":true,\"idle_uw\":3000000,"
        "\"loaded_uw\":6000000}]}";

    memset(&result, 0, sizeof(result));
    assert_int_equal(calibration_parse(text_of(text), "file", &result.calibration, NULL), 0);
    result.settle = (struct settle){.min_uw = 22900000, .max_uw = 23100000, .busy_ppm = 12000};
    result.waited_ns = 4 * NS_PER_SEC;
    result.load_busy_ppm = 999000;
    result.n_cpus = 64;
    result.figures[CALIBRATE_IDLE][0] = (struct calibrate_figure){200040000, 1000, 10000001000, 77};
    snprintf(result.loaded_why, sizeof(result.loaded_why), "%s", why);
    return (struct calibrate_report){
        .result = &result, .path = "/var/lib/carnot/calibration.json", .format = "carnot", .hint = "A hint."};
}

static void report_text(void **state)
{
    struct calibrate_report report = report_of("");

    assert_int_equal(calibrate_report_text(&report, (struct text_style){0}, &out), 0);
    assert_string_equal(buf_str(&out), "domain        idle   loaded  source\n"
                                       "package-0  20.00 W  60.00 W  rapl_powercap\n"
                                       "(core-0)   8.000 W        -  rapl_powercap\n"
                                       "dram-0     3.000 W  6.000 W  rapl_powercap\n"
                                       "node       23.00 W  66.00 W\n"
                                       "\n"
                                       "idle_w 23.004\n"
                                       "loaded_w 66\n"
                                       "\n"
                                       "idle: 10.00 s, after waiting 4.000 s for a quiet machine, each second between "
                                       "22.90 W and 23.10 W, CPUs 1.2 % busy\n"
                                       "loaded: 20.00 s, a thread on each of 64 CPUs, CPUs 99.9 % busy\n"
                                       "\n"
                                       "Written to /var/lib/carnot/calibration.json (carnot). A hint.\n");
}

static void report_of_less(void **state)
{
    struct calibrate_report report = report_of("only 2 of 64 CPUs may be used by this process");

    result.calibration.domains[0].loaded_uw = 0;
    result.calibration.load_ns = 2 * NS_PER_SEC;
    assert_int_equal(calibrate_report_text(&report, (struct text_style){0}, &out), 0);
    assert_non_null(strstr(buf_str(&out), "\nloaded_w unknown\n"));
    assert_non_null(strstr(buf_str(&out), "\nLoaded power is not known: only 2 of 64 CPUs may be used"));
    assert_non_null(strstr(buf_str(&out), "\nShorter than the 10 s idle and 20 s loaded that are advised.\n"));
    result.calibration.quality = QUALITY_DEFAULT;
    buf_reset(&out);
    assert_int_equal(calibrate_report_text(&report, (struct text_style){0}, &out), 0);
    assert_non_null(strstr(buf_str(&out), "\nNothing was measured: "));
}

static void report_json(void **state)
{
    struct calibrate_report report = report_of("");

    assert_int_equal(calibrate_report_json(&report, &out), 0);
    json_auto_t *root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_true(json_number_value(json_object_get(root, "idle_w")) == 23.004);
    assert_int_equal(json_integer_value(json_object_get(root, "load_busy_ppm")), 999000);
    const json_t *domains = json_object_get(root, "domains");
    assert_int_equal(json_array_size(domains), 3);
    const json_t *idle = json_object_get(json_array_get(domains, 0), "idle");
    assert_int_equal(json_integer_value(json_object_get(idle, "power_uw")), 20004000);
    assert_int_equal(json_integer_value(json_object_get(idle, "energy_uj")), 200040000);
    assert_int_equal(json_integer_value(json_object_get(idle, "end_mono_ns")), 10000001000);
    assert_true(json_is_null(json_object_get(json_array_get(domains, 1), "loaded")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(steady_power),
        TEST(a_steady_load_is_not_idle),
        TEST(busy_shares),
        TEST(nothing_is_known_without_proc),
        TEST(the_busiest_process),
        TEST(every_allowed_cpu_is_kept_busy),
        TEST(a_cpu_that_is_not_there),
        TEST(progress_bar),
        TEST(report_text),
        TEST(report_of_less),
        TEST(report_json),
    };

    return cmocka_run_group_tests_name("calibrate", tests, NULL, NULL);
}
