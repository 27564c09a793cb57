/* SPDX-License-Identifier: Apache-2.0 */
/* The system's clock runs, the fake one stands, suspends and steps are told apart. */
#include "base/clock.h"
#include "unit_test.h"

static void system_clock_runs(void **state)
{
    struct carnot_now first = clock_now(carnot_clock_system());
    struct carnot_now second = clock_now(carnot_clock_system());

    assert_true(first.mono_ns > 0);
    assert_true(first.boot_ns >= first.mono_ns);
    assert_true(first.real_ns > 1577836800 * NS_PER_SEC); /* later than 2020 */
    assert_true(second.mono_ns >= first.mono_ns);
    assert_true(second.boot_ns >= first.boot_ns);
}

/* Works until both have moved: a clock that stands would be seen by the runner's time limit. */
static void cpu_clocks_count_work(void **state)
{
    uint64_t thread_ns = clock_thread_cpu_ns(), process_ns = clock_process_cpu_ns();
    uint64_t thread_after_ns, process_after_ns;

    do {
        thread_after_ns = clock_thread_cpu_ns();
        process_after_ns = clock_process_cpu_ns();
        assert_true(thread_after_ns >= thread_ns);
        assert_true(process_after_ns >= process_ns);
    } while (thread_after_ns < thread_ns + NS_PER_MS || process_after_ns < process_ns + NS_PER_MS);
    assert_true(process_after_ns >= thread_after_ns);
}

static void fake_clock_stands_until_told(void **state)
{
    struct fake_clock fake;

    fake_clock_init(&fake, 1700000000 * NS_PER_SEC);
    struct carnot_now first = clock_now(&fake.clock);
    assert_true(clock_now(&fake.clock).mono_ns == first.mono_ns);
    assert_true(first.real_ns == 1700000000 * NS_PER_SEC);
    fake_clock_advance(&fake, 5);
    struct carnot_now second = clock_now(&fake.clock);
    assert_true(second.mono_ns == first.mono_ns + 5);
    assert_true(second.boot_ns == first.boot_ns + 5);
    assert_true(second.real_ns == first.real_ns + 5);
}

/* What a watch says after the three clocks moved by so much. */
static struct clock_event moved(int64_t mono_ns, int64_t boot_ns, int64_t real_ns)
{
    struct fake_clock fake;
    struct clock_watch watch = {0};

    fake_clock_init(&fake, 1700000000 * NS_PER_SEC);
    struct clock_event first = clock_watch_update(&watch, &fake.now);
    assert_int_equal(first.suspended_ns, 0);
    assert_int_equal(first.step_ns, 0);
    fake.now.mono_ns += (uint64_t)mono_ns;
    fake.now.boot_ns += (uint64_t)boot_ns;
    fake.now.real_ns += (uint64_t)real_ns;
    return clock_watch_update(&watch, &fake.now);
}

static void tells_suspends_from_steps(void **state)
{
    const int64_t s = NS_PER_SEC, ms = NS_PER_MS;
    const struct {
        int64_t mono, boot, real;
        uint64_t suspended;
        int64_t step;
    } cases[] = {
        {s, s, s, 0, 0},                                       /* nothing */
        {s, s + 10 * ms - 1, s, 0, 0},                         /* noise between the readings */
        {s, s + 10 * ms, s + 10 * ms, (uint64_t)(10 * ms), 0}, /* the shortest suspend */
        {s, 3601 * s, 3601 * s, (uint64_t)(3600 * s), 0},      /* an hour asleep */
        {s, s, s + 500 * ms - 1, 0, 0},                        /* slewing */
        {s, s, s + 500 * ms, 0, 500 * ms},                     /* a step */
        {s, s, s - 500 * ms, 0, -500 * ms},                    /* a step back */
        {s, s, -3600 * s, 0, -3601 * s},                       /* an hour back */
        {s, 61 * s, 0, (uint64_t)(60 * s), -61 * s},           /* both at once */
        {s, s - 20 * ms, s, 0, 0},                             /* boot behind mono: no such thing, and no huge number */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct clock_event event = moved(cases[i].mono, cases[i].boot, cases[i].real);
        assert_true(event.suspended_ns == cases[i].suspended);
        assert_true(event.step_ns == cases[i].step);
    }
}

static void each_event_is_told_once(void **state)
{
    struct fake_clock fake;
    struct clock_watch watch = {0};

    fake_clock_init(&fake, 1700000000 * NS_PER_SEC);
    clock_watch_update(&watch, &fake.now);
    fake.now.boot_ns += 60 * NS_PER_SEC;
    fake.now.real_ns += 60 * NS_PER_SEC;
    assert_true(clock_watch_update(&watch, &fake.now).suspended_ns == 60 * NS_PER_SEC);
    fake_clock_advance(&fake, NS_PER_SEC);
    assert_true(clock_watch_update(&watch, &fake.now).suspended_ns == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_clock_runs),
        cmocka_unit_test(cpu_clocks_count_work),
        cmocka_unit_test(fake_clock_stands_until_told),
        cmocka_unit_test(tells_suspends_from_steps),
        cmocka_unit_test(each_event_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
