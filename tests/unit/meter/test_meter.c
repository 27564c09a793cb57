/* SPDX-License-Identifier: Apache-2.0 */
/* The meter whole, on a machine made of files and with a clock of the test's own: a suspend is a gap and no energy, a
 * step of the wall clock is counted and concerns no energy, and what was measured has owners to the microjoule. */
#include "../sources/activity_test.h"

#include "meter/meter.h"

#define WATT      1000000ULL
#define PACKAGE_W 50

static struct machine m;
static struct meter *meter;
static uint64_t counter_uj;

static void put_counter(void)
{
    char text[32];

    snprintf(text, sizeof(text), "%llu\n", (unsigned long long)counter_uj);
    scratch_write(&m.scratch, "sys/class/powercap/intel-rapl:0/energy_uj", text);
}

static int setup(void **state)
{
    struct meter_settings settings = {.attribution_interval_ns = NS_PER_SEC,
                                      .sampling_interval_ns = 100 * NS_PER_MS,
                                      .activity = ACTIVITY_TREE,
                                      .intensity_g_per_kwh = 100,
                                      .only_sources = {.items = {"rapl_powercap"}, .count = 1}};
    struct carnot_err err = CARNOT_ERR_INIT;

    machine_init(&m);
    scratch_write(&m.scratch, "proc/cpuinfo",
                  "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nphysical id\t: 0\n\n"
                  "processor\t: 1\nphysical id\t: 0\n\n");
    scratch_write(&m.scratch, "proc/meminfo", "MemTotal: 1000 kB\n");
    scratch_write(&m.scratch, "sys/devices/system/cpu/online", "0-1\n");
    scratch_write(&m.scratch, "sys/devices/system/cpu/possible", "0-1\n");
    scratch_write(&m.scratch, "sys/class/powercap/intel-rapl:0/name", "package-0\n");
    scratch_write(&m.scratch, "sys/class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850\n");
    counter_uj = 1000000;
    put_counter();
    machine_process(&m, (struct fake_process){.pid = 1, .utime = 5000});
    if (meter_open(&m.scratch.env, &settings, &meter, &err) < 0)
        fail_msg("%s", err.msg);
    meter_start(meter);
    return 0;
}

static int teardown(void **state)
{
    meter = meter_close(meter);
    machine_done(&m);
    return 0;
}

/* A second at 50 W in which one of two CPUs was busy. */
static void second(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    counter_uj += PACKAGE_W * WATT;
    put_counter();
    m.cpu_ticks[0] += 100;
    machine_write_stat(&m);
    fake_clock_advance(&m.scratch.clock, NS_PER_SEC);
    if (meter_tick(meter, &err) < 0)
        fail_msg("%s", err.msg);
}

static void assert_conserves(const struct batch *batch)
{
    assert_int_equal(batch_conservation_error_uj(batch), 0);
    assert_int_equal(batch->self.conservation_error_uj, 0);
}

static void energy_of_ordinary_windows(void **state)
{
    for (int i = 0; i < 5; i++) {
        second();
        struct batch *batch = meter_latest(meter);
        assert_int_equal(batch->domains[0].window_uj, PACKAGE_W * WATT);
        assert_int_equal(batch->domains[0].span_ns, NS_PER_SEC);
        assert_conserves(batch);
        batch_unref(batch);
    }
}

static void a_step_of_the_wall_clock(void **state)
{
    static const int64_t steps_s[] = {3600, -3600, 86400, -1};
    uint64_t before_uj = 0;

    second();
    for (size_t i = 0; i < ELEMENTSOF(steps_s); i++) {
        m.scratch.clock.now.real_ns += (uint64_t)(steps_s[i] * (int64_t)NS_PER_SEC);
        second();
        struct batch *batch = meter_latest(meter);
        assert_int_equal(batch->domains[0].window_uj, PACKAGE_W * WATT);
        assert_int_equal(batch->domains[0].gaps, 0);
        assert_int_equal(batch->self.clock_steps, i + 1);
        assert_int_equal(batch->self.suspends, 0);
        assert_int_equal(batch->end.mono_ns - batch->begin.mono_ns, NS_PER_SEC);
        assert_true(before_uj == 0 || batch->domains[0].energy_uj - before_uj == PACKAGE_W * WATT);
        before_uj = batch->domains[0].energy_uj;
        assert_conserves(batch);
        batch_unref(batch);
    }
}

/* The counter stood somewhere else after an hour of sleep; who could say what was drawn? */
static void a_suspend(void **state)
{
    second();
    m.scratch.clock.now.boot_ns += 3600 * NS_PER_SEC;
    m.scratch.clock.now.real_ns += 3600 * NS_PER_SEC;
    counter_uj = 77;
    second();
    struct batch *batch = meter_latest(meter);
    assert_int_equal(batch->self.suspends, 1);
    assert_int_equal(batch->self.clock_steps, 0);
    assert_int_equal(batch->domains[0].window_uj, 0);
    assert_int_equal(batch->domains[0].gaps, 1);
    assert_int_equal(batch->domains[0].resets, 0);
    assert_conserves(batch);
    batch_unref(batch);

    second();
    batch = meter_latest(meter);
    assert_int_equal(batch->domains[0].window_uj, PACKAGE_W * WATT);
    assert_int_equal(batch->domains[0].gaps, 1);
    assert_conserves(batch);
    batch_unref(batch);
}

/* The program stood still (a debugger, a full machine), the counter did not: everything is there, and the part for
 * which the activity is known has owners. */
static void a_pause(void **state)
{
    second();
    counter_uj += 59 * PACKAGE_W * WATT;
    m.cpu_ticks[0] += 5900;
    fake_clock_advance(&m.scratch.clock, 59 * NS_PER_SEC);
    second();
    struct batch *batch = meter_latest(meter);
    assert_int_equal(batch->domains[0].window_uj, 60 * PACKAGE_W * WATT);
    assert_int_equal(batch->domains[0].span_ns, 60 * NS_PER_SEC);
    assert_conserves(batch);
    batch_unref(batch);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(energy_of_ordinary_windows),
        TEST(a_step_of_the_wall_clock),
        TEST(a_suspend),
        TEST(a_pause),
    };

    return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
