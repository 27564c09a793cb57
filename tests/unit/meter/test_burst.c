/* SPDX-License-Identifier: Apache-2.0 */
/* Burst reading: the ring, the grid of deadlines, rows from counters in files, readers of one package each. The PMU
 * "power" of the tree is the kernel's own clock event, so that opening and reading it is real. */
#include "../sources/scratch.h"

#include <poll.h>

#include "meter/burst_reader.h"
#include "sources/rapl_mode.h"
#include "sources/source.h"

#define ZONE          "sys/class/powercap/intel-rapl:0/"
#define WAIT_LIMIT_NS (60 * NS_PER_SEC)

static struct scratch s;
static struct burst *burst;
static struct burst_row row;

static int setup(void **state)
{
    scratch_init(&s);
    s.env.clock = carnot_clock_system(); /* deadlines are real */
    rapl_default_settings.mode = RAPL_AUTO;
    return 0;
}

static int teardown(void **state)
{
    burst = burst_close(burst);
    scratch_done(&s);
    return 0;
}

/* In place, as the kernel's own file would: the reader holds it open. */
static void put_counter(const char *zone, uint64_t uj)
{
    char text[32], path[128];

    snprintf(path, sizeof(path), "sys/class/powercap/%s/energy_uj", zone);
    snprintf(text, sizeof(text), "%20llu\n", (unsigned long long)uj);
    int fd = open(scratch_path(&s, path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    close(fd);
}

static void put_zones(uint64_t uj)
{
    scratch_write(&s, ZONE "name", "package-0\n");
    scratch_write(&s, ZONE "max_energy_range_uj", "262143328850\n");
    put_counter("intel-rapl:0", uj);
}

static int open_burst(uint64_t rate_hz, uint64_t max_samples, uint64_t span_ns, struct carnot_err *err)
{
    struct burst_settings settings = {.rate_hz = rate_hz, .max_samples = max_samples, .span_ns = span_ns};

    return burst_open(&s.env, &settings, &burst, err);
}

static void must_open(uint64_t rate_hz, uint64_t max_samples, uint64_t span_ns)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    if (open_burst(rate_hz, max_samples, span_ns, &err) < 0)
        fail_msg("%s", err.msg);
}

static void must_start(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    if (burst_start(burst, &err) < 0)
        fail_msg("%s", err.msg);
}

/* --- ring --- */

static void a_ring_counts_what_it_cannot_take(void **state)
{
    struct burst_ring ring;
    struct burst_sample *sample;
    uint64_t next = 0;

    assert_int_equal(burst_ring_init(&ring, 2, 3, NULL), 0);
    assert_null(burst_ring_peek(&ring));
    for (unsigned turn = 0; turn < 10; turn++) { /* past the end of its memory again and again */
        for (uint64_t i = 0; i < 5; i++) {
            sample = burst_ring_begin(&ring, false);
            assert_int_equal(sample != NULL, i < 3);
            if (!sample)
                continue;
            sample->tick = next++;
            sample->values[1].counter_uj = sample->tick * 7;
            burst_ring_push(&ring);
        }
        assert_int_equal(burst_ring_overruns(&ring), 2 * (turn + 1));
        sample = burst_ring_begin(&ring, true); /* the last one always finds room */
        assert_non_null(sample);
        sample->tick = next++;
        sample->values[1].counter_uj = sample->tick * 7;
        burst_ring_push(&ring);
        for (unsigned i = 0; i < 4; i++) {
            const struct burst_sample *got = burst_ring_peek(&ring);
            assert_non_null(got);
            assert_int_equal(got->tick, next - 4 + i);
            assert_int_equal(got->values[1].counter_uj, got->tick * 7);
            burst_ring_pop(&ring);
        }
        assert_null(burst_ring_peek(&ring));
    }
    burst_ring_done(&ring);
}

static void a_ring_that_cannot_be_had(void **state)
{
    struct burst_ring ring;
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(burst_ring_init(&ring, 1, 0, &err), -ENOMEM);
    assert_int_equal(burst_ring_init(&ring, 1, SIZE_MAX, &err), -ENOMEM);
    assert_int_equal(burst_ring_init(&ring, 1, SIZE_MAX / 2, &err), -ENOMEM);
    assert_non_null(strstr(err.msg, "--max-samples"));
}

/* --- deadlines --- */

static void deadlines_do_not_drift(void **state)
{
    assert_int_equal(burst_deadline_ns(100, 1000, 0), 100);
    assert_int_equal(burst_deadline_ns(100, 1000, 5), 100 + 5 * NS_PER_MS);
    assert_int_equal(burst_deadline_ns(0, 3, 3000000),
                     1000000 * NS_PER_SEC); /* a third of a second is no number of ns */
    assert_int_equal(burst_deadline_ns(0, 7, 1), NS_PER_SEC / 7);
}

static void missed_deadlines_are_left_out(void **state)
{
    const uint64_t start = 1000, ms = NS_PER_MS;

    assert_int_equal(burst_next_tick(start, 1000, 1, 0, start), 1);
    assert_int_equal(burst_next_tick(start, 1000, 1, 0, start + ms - 1), 1);
    assert_int_equal(burst_next_tick(start, 1000, 1, 0, start + ms), 1);         /* late, still its turn */
    assert_int_equal(burst_next_tick(start, 1000, 1, 0, start + 2 * ms - 1), 1); /* very late */
    assert_int_equal(burst_next_tick(start, 1000, 1, 0, start + 2 * ms), 2);     /* 1 is missed */
    assert_int_equal(burst_next_tick(start, 1000, 1, 7, start + 100 * ms + 1), 100);
    assert_int_equal(burst_next_tick(start, 1000, 1, 7, start), 8); /* never back */
    assert_int_equal(burst_next_tick(start, 1000, 10, 20, start + 25 * ms), 30);
    assert_int_equal(burst_next_tick(start, 1000, 10, 20, start + 39 * ms), 30);
    assert_int_equal(burst_next_tick(start, 1000, 10, 20, start + 47 * ms), 40);
    assert_int_equal(burst_next_tick(start, 1000, 10, 20, 0), 30);
}

/* --- opening --- */

static void rates_out_of_bounds(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    put_zones(1);
    assert_int_equal(open_burst(0, 100, 0, &err), -EINVAL);
    assert_int_equal(open_burst(1001, 100, 0, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "once a millisecond"));
    must_open(1000, 100, 0);
}

static void nothing_to_read_fast(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(open_burst(1000, 100, 0, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "carnot doctor"));
    assert_non_null(strstr(err.msg, "--model"));
}

static void nothing_that_may_be_read(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    if (geteuid() == 0) {
        print_message("skipped: root may read everything\n");
        skip();
    }
    put_zones(1);
    assert_int_equal(chmod(scratch_path(&s, ZONE "energy_uj"), 0), 0);
    assert_int_equal(open_burst(1000, 100, 0, &err), -EACCES);
    assert_non_null(strstr(err.msg, "energy_uj"));
}

/* A model is read at its own pace, and only when asked for. */
static void a_model_when_asked(void **state)
{
    struct burst_settings settings = {.rate_hz = 1000, .max_samples = 100, .span_ns = BURST_SPAN_AUTO, .model = true};
    struct carnot_err err = CARNOT_ERR_INIT;
    const struct domain *domains;

    scratch_write(&s, "proc/stat", "cpu 100 0 0 900 0 0 0 0 0 0\ncpu0 100 0 0 900 0 0 0 0 0 0\n");
    scratch_write(&s, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 500 kB\n");
    scratch_write(&s, "proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\n");
    if (burst_open(&s.env, &settings, &burst, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(burst_rate_hz(burst), 1);
    assert_true(burst_domains(burst, &domains) >= 1);
    assert_int_equal(domains[0].quality == QUALITY_MEASURED, 0);
    assert_int_equal(burst_span_ns(burst, 0), 0);
    burst = burst_close(burst);

    put_zones(1);
    if (burst_open(&s.env, &settings, &burst, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(burst_rate_hz(burst), 1000);
    assert_int_equal(burst_domains(burst, &domains), 1); /* memory is not modelled beside it */
    assert_int_equal(burst_span_ns(burst, 0), 4 * NS_PER_MS);
}

/* --- rows --- */

static void take_rows(uint64_t *n_rows, uint64_t *last_uj)
{
    while (burst_next(burst, &row)) {
        (*n_rows)++;
        if (row.cells[0].read)
            *last_uj = row.cells[0].energy_uj;
    }
}

static void await_rows(uint64_t wanted, uint64_t *n_rows, uint64_t *last_uj)
{
    uint64_t limit_ns = clock_now(s.env.clock).mono_ns + WAIT_LIMIT_NS, until = *n_rows + wanted;

    while (*n_rows < until) {
        assert_true(clock_now(s.env.clock).mono_ns < limit_ns);
        poll(NULL, 0, 1);
        take_rows(n_rows, last_uj);
    }
}

/* What is counted between start and stop is all there, over a wrap. */
static void energy_is_exact_over_a_wrap(void **state)
{
    const uint64_t modulus_uj = 262143328911ULL, start_uj = modulus_uj - 3000000;
    uint64_t n_rows = 0, last_uj = 0;
    struct burst_report *report = calloc(1, sizeof(*report));

    assert_non_null(report);
    put_zones(start_uj);
    must_open(1000, 1000, 0);
    must_start();
    await_rows(3, &n_rows, &last_uj);
    assert_int_equal(last_uj, 0);
    for (uint64_t uj = 1; uj <= 8; uj++) {
        put_counter("intel-rapl:0", (start_uj + uj * 1000000) % modulus_uj);
        await_rows(2, &n_rows, &last_uj);
    }
    assert_int_equal(last_uj, 8000000);
    put_counter("intel-rapl:0", 5123456); /* 5 s of 0.02 W after the last row: the last sample brings it */
    burst_stop(burst);
    take_rows(&n_rows, &last_uj);
    assert_true(row.last);
    assert_int_equal(last_uj, 8123456);
    struct burst_domain_report domain = burst_domain_report(burst, 0);
    assert_int_equal(domain.energy_uj, 8123456);
    assert_int_equal(domain.wraps, 1);
    assert_int_equal(domain.resets + domain.absurd + domain.failed + domain.gaps, 0);
    assert_int_equal(domain.changes, 9);
    burst_report(burst, report);
    assert_int_equal(report->samples, n_rows);
    assert_int_equal(report->overruns, 0);
    assert_int_equal(report->n_readers, 1);
    assert_int_equal(report->late.count, n_rows - 1); /* the last is on no deadline */
    assert_false(burst_next(burst, &row));
    free(report);
}

static void rows_follow_the_deadlines(void **state)
{
    uint64_t last_tick = 0, last_ns = 0, first_ns = 0, n_rows = 0, last_uj = 0;
    struct burst_report *report = calloc(1, sizeof(*report));

    assert_non_null(report);
    put_zones(1);
    must_open(200, 1000, 0);
    must_start();
    while (n_rows < 20) {
        if (!burst_next(burst, &row)) {
            poll(NULL, 0, 1);
            continue;
        }
        if (n_rows++ == 0)
            first_ns = row.mono_ns;
        else
            assert_true(row.tick > last_tick && row.mono_ns > last_ns);
        assert_true(row.cells[0].read && !row.cells[0].changed && !row.cells[0].has_power);
        assert_true(row.cells[0].has_raw);
        assert_int_equal(row.cells[0].raw_uj, 1);
        /* Never before its deadline; the first may itself have been late. */
        assert_true(row.mono_ns >= burst->readers[0]->start_ns + row.tick * 5 * NS_PER_MS);
        last_tick = row.tick;
        last_ns = row.mono_ns;
    }
    assert_true(first_ns >= burst->readers[0]->start_ns);
    burst_stop(burst);
    take_rows(&n_rows, &last_uj);
    burst_report(burst, report);
    assert_int_equal(report->samples, n_rows);
    free(report);
}

/* A consumer that is away loses samples, which are counted, and no energy. */
static void an_overrun_loses_no_energy(void **state)
{
    uint64_t limit_ns, n_rows = 0, last_uj = 0;
    struct burst_report *report = calloc(1, sizeof(*report));

    assert_non_null(report);
    put_zones(1000);
    must_open(1000, BURST_SAMPLES_MIN, 0);
    must_start();
    limit_ns = clock_now(s.env.clock).mono_ns + WAIT_LIMIT_NS;
    while (burst_ring_overruns(&burst->readers[0]->ring) < 5) {
        assert_true(clock_now(s.env.clock).mono_ns < limit_ns);
        poll(NULL, 0, 1);
    }
    put_counter("intel-rapl:0", 7001000);
    burst_stop(burst);
    take_rows(&n_rows, &last_uj);
    assert_true(row.last);
    assert_int_equal(n_rows, BURST_SAMPLES_MIN + 1);
    assert_int_equal(last_uj, 7000000);
    burst_report(burst, report);
    assert_true(report->overruns >= 5);
    assert_int_equal(report->samples, n_rows);
    free(report);
}

static void a_counter_that_fails_for_a_while(void **state)
{
    uint64_t n_rows = 0, last_uj = 0, limit_ns;
    struct burst_report *report = calloc(1, sizeof(*report));

    assert_non_null(report);
    put_zones(500);
    must_open(1000, 1000, 0);
    must_start();
    await_rows(3, &n_rows, &last_uj);
    scratch_write(&s, ZONE "energy_uj", "what?\n");
    limit_ns = clock_now(s.env.clock).mono_ns + WAIT_LIMIT_NS;
    do {
        assert_true(clock_now(s.env.clock).mono_ns < limit_ns);
        poll(NULL, 0, 1);
        take_rows(&n_rows, &last_uj);
    } while (burst_domain_report(burst, 0).failed < 3);
    assert_false(row.cells[0].read); /* and not 0 */
    put_counter("intel-rapl:0", 4000500);
    burst_stop(burst);
    take_rows(&n_rows, &last_uj);
    assert_int_equal(last_uj, 4000000);
    burst_report(burst, report);
    assert_non_null(strstr(report->message, "energy_uj"));
    free(report);
}

static void a_reset_is_counted_and_invents_nothing(void **state)
{
    uint64_t n_rows = 0, last_uj = 0;

    put_zones(200000000000ULL);
    must_open(1000, 1000, 0);
    must_start();
    await_rows(3, &n_rows, &last_uj);
    put_counter("intel-rapl:0", 5);
    await_rows(3, &n_rows, &last_uj);
    put_counter("intel-rapl:0", 1000005);
    burst_stop(burst);
    take_rows(&n_rows, &last_uj);
    assert_int_equal(last_uj, 1000000);
    assert_int_equal(burst_domain_report(burst, 0).resets, 1);
}

static void closing_without_stopping(void **state)
{
    put_zones(1);
    must_open(1000, 100, 0);
    must_start();
    burst = burst_close(burst);
    must_open(1000, 100, 0); /* and without starting */
}

/* --- one reader per package --- */

static void put_cpu(unsigned cpu, unsigned package)
{
    char path[96], text[16];

    snprintf(path, sizeof(path), "sys/devices/system/cpu/cpu%u/topology/physical_package_id", cpu);
    snprintf(text, sizeof(text), "%u\n", package);
    scratch_write(&s, path, text);
    snprintf(path, sizeof(path), "sys/devices/system/cpu/cpu%u/topology/core_id", cpu);
    scratch_write(&s, path, "0\n");
}

static void put_event(const char *event)
{
    static const char *const files[] = {"", ".scale", ".unit"};
    static const char *const texts[] = {"event=0x00\n", "2.3283064365386962890625e-10\n", "Joules\n"};

    for (size_t i = 0; i < ELEMENTSOF(files); i++) {
        char path[96];
        snprintf(path, sizeof(path), "sys/bus/event_source/devices/power/events/%s%s", event, files[i]);
        scratch_write(&s, path, texts[i]);
    }
}

/* Two packages of one CPU each, whose counters are the kernel's clock. */
static void put_two_packages(void)
{
    scratch_write(&s, "sys/devices/system/cpu/possible", "0-1\n");
    scratch_write(&s, "sys/devices/system/cpu/online", "0-1\n");
    put_cpu(0, 0);
    put_cpu(1, 3);
    scratch_write(&s, "sys/bus/event_source/devices/power/type", "1\n"); /* PERF_TYPE_SOFTWARE, 0: cpu-clock */
    scratch_write(&s, "sys/bus/event_source/devices/power/cpumask", "0-1\n");
    put_event("energy-pkg");
    put_event("energy-psys");
}

static void a_reader_for_each_package(void **state)
{
    uint64_t n_rows = 0, last_uj = 0;
    struct burst_report *report = calloc(1, sizeof(*report));
    const struct domain *domains;
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_non_null(report);
    put_two_packages();
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || open_burst(1000, 10000, BURST_SPAN_AUTO, &err) < 0) {
        print_message("skipped: not two CPUs, or no event may be opened: %s\n", err.msg);
        free(report);
        skip();
    }
    assert_int_equal(burst_domains(burst, &domains), 3);
    assert_string_equal(domains[0].name, "package-0");
    assert_string_equal(domains[1].name, "package-3");
    assert_string_equal(domains[2].name, "psys");
    assert_int_equal(burst->n_readers, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(burst->readers[i]->n_values, 2);
        assert_int_equal(burst->readers[i]->domain_of[0], i);
        assert_int_equal(burst->readers[i]->domain_of[1], 2); /* the platform's is in both */
    }
    must_start();
    await_rows(50, &n_rows, &last_uj);
    burst_stop(burst);
    take_rows(&n_rows, &last_uj);
    burst_report(burst, report);
    assert_int_equal(report->n_pinned, 2);
    for (size_t i = 0; i < 3; i++)
        assert_true(burst_domain_report(burst, i).readings > 25);
    /* One clock: both packages draw alike, the platform as both together. All last samples are in one row. */
    uint64_t uj[3];
    for (size_t i = 0; i < 3; i++) {
        assert_true(row.cells[i].read);
        uj[i] = row.cells[i].energy_uj;
    }
    assert_true(row.last && row.cells[0].has_raw && !row.cells[2].has_raw);
    assert_true(uj[0] > 0 && uj[1] > 0);
    assert_true(uj[2] + 2 >= uj[0] + uj[1]); /* floors of each; read after them in each reader */
    free(report);
}

/* powercap shows every package whoever asks: one reader. */
static void one_reader_where_a_source_cannot_be_split(void **state)
{
    put_two_packages();
    scratch_remove(&s, "sys/bus");
    put_zones(1);
    scratch_write(&s, "sys/class/powercap/intel-rapl:1/name", "package-3\n");
    put_counter("intel-rapl:1", 1);
    must_open(1000, 100, 0);
    assert_int_equal(burst->n_readers, 1);
    assert_int_equal(burst->readers[0]->n_values, 2);
    assert_null(burst->readers[0]->pinned_to);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_counts_what_it_cannot_take),
        cmocka_unit_test(a_ring_that_cannot_be_had),
        cmocka_unit_test(deadlines_do_not_drift),
        cmocka_unit_test(missed_deadlines_are_left_out),
        TEST(rates_out_of_bounds),
        TEST(nothing_to_read_fast),
        TEST(nothing_that_may_be_read),
        TEST(a_model_when_asked),
        TEST(energy_is_exact_over_a_wrap),
        TEST(rows_follow_the_deadlines),
        TEST(an_overrun_loses_no_energy),
        TEST(a_counter_that_fails_for_a_while),
        TEST(a_reset_is_counted_and_invents_nothing),
        TEST(closing_without_stopping),
        TEST(a_reader_for_each_package),
        TEST(one_reader_where_a_source_cannot_be_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
