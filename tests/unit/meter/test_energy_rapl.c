/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the ways to RAPL the meter takes: the first that works and is wanted, and only that one. The PMU "power" of
 * the tree is the kernel's own clock event, so that opening it is real. */
#include "../sources/scratch.h"

#include "meter/energy.h"
#include "sources/rapl_mode.h"
#include "sources/registry.h"

static struct scratch s;
static struct topology topology;
static struct topology_cpu cpus[1];

static int setup(void **state)
{
    scratch_init(&s);
    cpus[0] = (struct topology_cpu){.online = true};
    topology = (struct topology){.cpus = cpus, .n_cpus = 1, .n_online = 1, .vendor = "GenuineIntel", .family = 6};
    rapl_default_settings.mode = RAPL_AUTO;
    return 0;
}

static int teardown(void **state)
{
    scratch_done(&s);
    return 0;
}

static void put_powercap(void)
{
    scratch_write(&s, "sys/class/powercap/intel-rapl:0/name", "package-0\n");
    scratch_write(&s, "sys/class/powercap/intel-rapl:0/energy_uj", "1\n");
}

static void put_pmu(void)
{
    scratch_write(&s, "sys/bus/event_source/devices/power/type", "1\n"); /* PERF_TYPE_SOFTWARE */
    scratch_write(&s, "sys/bus/event_source/devices/power/cpumask", "0\n");
    scratch_write(&s, "sys/bus/event_source/devices/power/events/energy-pkg", "event=0x00\n");
    scratch_write(&s, "sys/bus/event_source/devices/power/events/energy-pkg.scale", "2.3283064365386962890625e-10\n");
    scratch_write(&s, "sys/bus/event_source/devices/power/events/energy-pkg.unit", "Joules\n");
}

static void put_register(uint64_t reg, uint64_t value)
{
    scratch_mkdirs(&s, "dev/cpu/0");
    int fd = open(scratch_path(&s, "dev/cpu/0/msr"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &value, sizeof(value), (off_t)reg), sizeof(value));
    close(fd);
}

static const struct energy_source *source(const struct energy *energy, const char *name)
{
    for (size_t i = 0; i < energy->n_sources; i++) {
        if (strcmp(energy->sources[i].ops->name, name) == 0)
            return &energy->sources[i];
    }
    fail_msg("no source %s", name);
    return NULL;
}

static void assert_used(const struct option_list *off, const char *used, const char *unused, int state,
                        const char *message)
{
    struct energy energy;
    struct carnot_err err = CARNOT_ERR_INIT;
    static const char *const all[] = {"rapl_perf", "rapl_powercap", "rapl_msr"};

    assert_int_equal(energy_open(&s.env, &topology, NULL, off, &energy, &err), 0);
    for (size_t i = 0; i < ELEMENTSOF(all); i++)
        assert_int_equal(source(&energy, all[i])->self != NULL, strcmp(all[i], used) == 0);
    assert_int_equal(source(&energy, unused)->state, state);
    assert_string_equal(source(&energy, unused)->message, message);
    assert_string_equal(energy.domains[0].domain.name, "package-0");
    assert_string_equal(energy.domains[0].domain.source, used);
    energy_close(&energy);
}

static void powercap_before_registers(void **state)
{
    struct option_list off = {.items = {"rapl_powercap"}, .count = 1};

    put_powercap();
    put_register(0x606, 0xa0e03);
    put_register(0x611, 16384);
    assert_used(NULL, "rapl_powercap", "rapl_msr", -EALREADY,
                "not needed but to check it: rapl_powercap reads the same counters");
    assert_used(&off, "rapl_msr", "rapl_powercap", -ECANCELED, "switched off"); /* the next one takes over */
    rapl_default_settings.mode = RAPL_MSR;
    assert_used(NULL, "rapl_msr", "rapl_powercap", -ECANCELED, "not used: rapl.mode is msr");
    rapl_default_settings.mode = RAPL_SYSFS;
    assert_used(NULL, "rapl_powercap", "rapl_msr", -EALREADY, "not needed: rapl_powercap reads the same counters");
    assert_used(NULL, "rapl_powercap", "rapl_perf", -ECANCELED, "not used: rapl.mode is sysfs");
}

static void perf_before_all(void **state)
{
    struct source_args args = {.env = &s.env, .topology = &topology};
    struct carnot_err err = CARNOT_ERR_INIT;

    put_powercap();
    put_pmu();
    if (source_rapl_perf.probe(&args, &err) < 0) {
        print_message("skipped: this kernel lets us open no event: %s\n", err.msg);
        skip();
    }
    assert_used(NULL, "rapl_perf", "rapl_powercap", -EALREADY,
                "not needed but to check it: rapl_perf reads the same counters");
    rapl_default_settings.mode = RAPL_SYSFS;
    assert_used(NULL, "rapl_powercap", "rapl_perf", -ECANCELED, "not used: rapl.mode is sysfs");
}

/* Two ways read by the same meter: powercap in microjoules, the register in its own unit of 2^-14 J. */
static void advance_both(struct energy *energy, uint64_t *counter, unsigned seconds, uint64_t msr_numerator)
{
    char text[32];

    for (unsigned i = 0; i < seconds; i++) {
        *counter += 200 << 14; /* 200 W */
        snprintf(text, sizeof(text), "%llu\n", (unsigned long long)(*counter * 15625 >> 8));
        scratch_write(&s, "sys/class/powercap/intel-rapl:0/energy_uj", text);
        put_register(0x611, *counter / msr_numerator);
        fake_clock_advance(&s.clock, NS_PER_SEC);
        energy_sample(energy, true);
        energy_window_reset(energy);
    }
}

static void two_ways_are_compared(void **state)
{
    const struct energy_source *msr;
    struct energy energy;
    uint64_t counter = 1 << 20;

    put_powercap();
    put_register(0x606, 0xa0e03);
    put_register(0x611, 16384);
    assert_int_equal(energy_open(&s.env, &topology, NULL, NULL, &energy, NULL), 0);
    msr = source(&energy, "rapl_msr");
    assert_int_equal(msr->crosscheck_ppm, INT64_MIN);
    advance_both(&energy, &counter, 50, 1);
    assert_int_equal(msr->crosscheck_ppm, INT64_MIN); /* not yet */
    advance_both(&energy, &counter, 30, 1);
    assert_in_range(msr->crosscheck_ppm + 3, 0, 6);
    assert_non_null(strstr(msr->message, "they agree to "));

    /* A unit of which one is four times the other: what a driver with a wrong table does. */
    put_register(0x611, counter / 4);
    advance_both(&energy, &counter, 90, 4);
    assert_in_range(msr->crosscheck_ppm + 750000, 0, 20);
    assert_non_null(strstr(msr->message, "75.0 % less than rapl_powercap of package-0"));
    assert_int_equal(energy.domains[0].status, 0); /* the one in use goes on */
    energy_close(&energy);
}

/* A way that cannot be read for a while tells its energy later: that is no difference. */
static void silence_is_no_difference(void **state)
{
    const struct energy_source *msr;
    struct energy energy;
    uint64_t counter = 1 << 20;
    bool agreed = false;

    put_powercap();
    put_register(0x606, 0xa0e03);
    put_register(0x611, 16384);
    assert_int_equal(energy_open(&s.env, &topology, NULL, NULL, &energy, NULL), 0);
    msr = source(&energy, "rapl_msr");
    advance_both(&energy, &counter, 45, 1);
    for (unsigned i = 0; i < 40; i++) { /* over the end of the minute */
        counter += 200 << 14;
        scratch_write(&s, "sys/class/powercap/intel-rapl:0/energy_uj", "?\n");
        put_register(0x611, counter);
        fake_clock_advance(&s.clock, NS_PER_SEC);
        energy_sample(&energy, true);
        energy_window_reset(&energy);
        assert_int_equal(msr->crosscheck_ppm, INT64_MIN);
    }
    assert_true(energy.domains[0].status < 0);
    for (unsigned i = 0; i < 250; i++) {
        advance_both(&energy, &counter, 1, 1);
        if (msr->crosscheck_ppm == INT64_MIN)
            continue;
        assert_in_range(msr->crosscheck_ppm + 3, 0, 6);
        agreed = true;
    }
    assert_true(agreed);
    energy_close(&energy);
}

/* The register tells, whichever way the energy is read. */
static void filtering_marks_powercap(void **state)
{
    struct energy energy;
    struct buf out;

    put_powercap();
    put_register(0xbc, 1);
    assert_int_equal(energy_open(&s.env, &topology, NULL, NULL, &energy, NULL), 0);
    assert_int_equal(energy.domains[0].domain.quality, QUALITY_DERIVED);
    buf_init(&out, 4096);
    source_rapl_powercap.describe(source(&energy, "rapl_powercap")->self, &out);
    assert_non_null(strstr(buf_str(&out), "energy filtering is on"));
    buf_done(&out);
    energy_close(&energy);

    put_register(0xbc, 0);
    assert_int_equal(energy_open(&s.env, &topology, NULL, NULL, &energy, NULL), 0);
    assert_int_equal(energy.domains[0].domain.quality, QUALITY_MEASURED);
    energy_close(&energy);
}

static void filtering_may_be_on(void **state)
{
    struct energy energy;
    struct buf out;

    put_powercap();
    topology.sgx = true;
    assert_int_equal(energy_open(&s.env, &topology, NULL, NULL, &energy, NULL), 0);
    assert_int_equal(energy.domains[0].domain.quality, QUALITY_MEASURED);
    buf_init(&out, 4096);
    source_rapl_powercap.describe(source(&energy, "rapl_powercap")->self, &out);
    assert_non_null(strstr(buf_str(&out), "may be on"));
    buf_done(&out);
    energy_close(&energy);
}

/* A reading that is a lower bound is counted as a gap, and its energy is given. */
static struct reading next;

static int fake_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    *ret_self = &next;
    return 0;
}

static size_t fake_domains(const void *self, const struct domain **ret_domains)
{
    static struct domain domain;

    domain = rapl_domain(DOMAIN_PACKAGE, 0, -1, "fake");
    *ret_domains = &domain;
    return 1;
}

static int fake_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    *out = next;
    out->mono_ns = now_mono_ns;
    return 1;
}

static void *fake_close(void *self)
{
    return NULL;
}

static void gaps_of_a_source_are_counted(void **state)
{
    static const struct source_ops ops = {
        .name = "fake", .open = fake_open, .domains = fake_domains, .read = fake_read, .close = fake_close};
    struct energy energy;

    put_powercap();
    assert_int_equal(energy_open(&s.env, &topology, NULL, NULL, &energy, NULL), 0);
    for (size_t i = 0; i < energy.n_sources; i++) { /* the fake in the place of the one that is in use */
        if (!energy.sources[i].self)
            continue;
        if (energy.sources[i].ops == &source_rapl_powercap) {
            energy.sources[i].ops->close(energy.sources[i].self);
            energy.sources[i].ops = &ops;
            energy.sources[i].self = &next;
        }
    }
    next = (struct reading){.counter_uj = 100, .gap = true};
    energy_sample(&energy, true);
    assert_int_equal(energy.domains[0].delta.gaps, 0); /* the first: nothing to miss */
    fake_clock_advance(&s.clock, NS_PER_SEC);
    next = (struct reading){.counter_uj = 150, .gap = true};
    energy_sample(&energy, true);
    assert_int_equal(energy.domains[0].delta.gaps, 1);
    assert_int_equal(energy.domains[0].window_uj, 50);
    assert_int_equal(energy.domains[0].peak_uw, 0); /* nothing is known of its power */
    fake_clock_advance(&s.clock, NS_PER_SEC);
    next = (struct reading){.counter_uj = 160};
    energy_sample(&energy, true);
    assert_int_equal(energy.domains[0].delta.gaps, 1);
    assert_int_equal(energy.domains[0].window_uj, 60);
    energy_close(&energy);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(powercap_before_registers), TEST(perf_before_all),     TEST(two_ways_are_compared),
        TEST(filtering_marks_powercap),  TEST(filtering_may_be_on), TEST(gaps_of_a_source_are_counted),
        TEST(silence_is_no_difference),
    };

    return cmocka_run_group_tests_name("energy_rapl", tests, NULL, NULL);
}
