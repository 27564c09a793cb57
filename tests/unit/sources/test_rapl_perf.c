/* SPDX-License-Identifier: Apache-2.0 */
/* The perf back end: sysfs as each test writes it, a kernel of the test's own (rapl_fake.h), and once the real one, on
 * a PMU that every machine has, since few test machines have the PMU "power". */
#include "scratch.h"

#include <stdio.h>

#include "rapl_fake.h"
#include "sources/rapl_cpu_units.h"
#include "sources/rapl_mode.h"
#include "sources/rapl_pmu.h"
#include "sources/registry.h"

#define POWER      9
#define POWER_CORE 10
#define SCALE      "2.3283064365386962890625e-10\n" /* 2^-32, as kernels write it */
#define JOULE      (1ULL << 32)
#define MODULUS    4294967296000000ULL /* 2^64 * 2^-32 J */
#define S          NS_PER_SEC

static struct scratch s;
static struct fake_machine machine;
static struct source_args args;
static struct reading readings[DOMAINS_MAX];

static int setup(void **state)
{
    scratch_init(&s);
    args = (struct source_args){.env = &s.env, .topology = &machine.topology};
    return 0;
}

static int teardown(void **state)
{
    assert_false(machine.broken);
    assert_int_equal(machine.n_open, 0);
    scratch_done(&s);
    return 0;
}

static void put(const char *pmu, const char *file, const char *text)
{
    char path[256];

    assert_true(snprintf(path, sizeof(path), "sys/bus/event_source/devices/%s/%s", pmu, file) < (int)sizeof(path));
    scratch_write(&s, path, text);
}

static void put_event(const char *pmu, const char *name, const char *event)
{
    char file[64];

    snprintf(file, sizeof(file), "events/%s", name);
    put(pmu, file, event);
    snprintf(file, sizeof(file), "events/%s.scale", name);
    put(pmu, file, SCALE);
    snprintf(file, sizeof(file), "events/%s.unit", name);
    put(pmu, file, "Joules\n");
}

static void put_power(const char *mask)
{
    put("power", "type", "9\n");
    put("power", "cpumask", mask);
}

static void put_server(const char *mask)
{
    put_power(mask);
    put_event("power", "energy-pkg", "event=0x02\n");
    put_event("power", "energy-cores", "event=0x01\n");
    put_event("power", "energy-gpu", "event=0x04\n");
    put_event("power", "energy-ram", "event=0x03\n");
    put_event("power", "energy-psys", "event=0x05\n");
}

static void *open_fake(int expected, struct carnot_err *err)
{
    struct rapl_perf_io io = fake_perf_io(&machine);
    void *self = NULL;

    assert_int_equal(rapl_perf_open_with(&args, &io, &self, err), expected);
    return self;
}

static uint32_t find(const void *self, const char *name)
{
    const struct domain *domains;
    size_t n = source_rapl_perf.domains(self, &domains);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(domains[i].name, name) == 0)
            return (uint32_t)i;
    }
    fail_msg("no domain %s", name);
    return 0;
}

static const struct domain *domain_of(const void *self, const char *name)
{
    const struct domain *domains;

    source_rapl_perf.domains(self, &domains);
    return &domains[find(self, name)];
}

/* Lets time pass, and reads. */
static struct reading read_after(void *self, uint64_t ns, const char *name)
{
    uint32_t i = find(self, name);

    machine.now_ns += ns;
    assert_true(source_rapl_perf.read(self, machine.now_ns, readings, NULL) > (int)i);
    assert_int_equal(readings[i].domain, i);
    return readings[i];
}

static void assert_reading(struct reading r, int status, uint64_t counter_uj, bool gap)
{
    assert_int_equal(r.status, status);
    if (status == 0)
        assert_int_equal(r.counter_uj, counter_uj);
    assert_int_equal(r.gap, gap);
    assert_int_equal(r.modulus_uj, MODULUS);
}

/* Two packages of two cores; every event counted. */
static void make_server(void)
{
    fake_machine_init(&machine, "GenuineIntel", 6, 0x8f, 2, 1, 2, 1);
    for (int package = 0; package < 2; package++) {
        for (uint64_t event = 1; event <= 5; event++)
            fake_counter_add(&machine, package, -1, -1, POWER, event, 0);
    }
}

static struct fake_counter *counter(uint32_t cpu, uint64_t event)
{
    return fake_counter_of(&machine, cpu, POWER, event);
}

static void domains_of_a_server(void **state)
{
    static const char *const names[] = {"package-0", "package-1", "core-0", "core-1", "uncore-0",
                                        "uncore-1",  "dram-0",    "dram-1", "psys"};
    const struct domain *domains;
    struct buf out;

    make_server();
    put_server("0,2\n");
    void *self = open_fake(0, NULL);
    assert_int_equal(source_rapl_perf.domains(self, &domains), ELEMENTSOF(names));
    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        assert_string_equal(domains[i].name, names[i]);
        assert_int_equal(domains[i].quality, QUALITY_MEASURED);
        assert_int_equal(domains[i].die, -1);
        assert_string_equal(domains[i].source, "rapl_perf");
    }
    assert_int_equal(domain_of(self, "dram-1")->package, 1);
    assert_int_equal(domain_of(self, "dram-1")->kind, DOMAIN_DRAM);
    assert_int_equal(domain_of(self, "uncore-0")->kind, DOMAIN_UNCORE);
    assert_int_equal(domain_of(self, "psys")->package, -1);
    assert_int_equal(domain_of(self, "psys")->max_uw, 0);
    assert_int_equal(machine.n_open, 10); /* psys on both packages: only the master's moves */

    assert_reading(read_after(self, 0, "package-1"), 0, 0, false);
    counter(2, 2)->true_count = 3 * JOULE + 1;
    counter(2, 5)->true_count = 7 * JOULE;
    assert_reading(read_after(self, S, "package-1"), 0, 3000000, false);
    assert_reading(readings[find(self, "psys")], 0, 7000000, false);
    assert_reading(readings[find(self, "package-0")], 0, 0, false);
    assert_int_equal(readings[0].mono_ns, machine.now_ns);

    buf_init(&out, 4096);
    source_rapl_perf.describe(self, &out);
    assert_non_null(strstr(buf_str(&out), "rapl.mode is auto: the first of perf, sysfs and msr that works\n"));
    assert_non_null(strstr(buf_str(&out), "package-1: PMU power, unit 2^-32 J, CPU 2\n"));
    assert_non_null(strstr(buf_str(&out), "psys: PMU power, unit 2^-32 J, sum of 2 packages\n"));
    buf_done(&out);
    assert_null(source_rapl_perf.close(self));
}

static void exact_over_the_turn_of_64_bits(void **state)
{
    make_server();
    put_server("0,2\n");
    void *self = open_fake(0, NULL);
    read_after(self, 0, "package-0");
    /* 2^64 counts are 4.29 GJ, 50 days at 1 kW; a step of less than half of that is believed */
    counter(0, 2)->true_count = UINT64_MAX >> 1;
    assert_reading(read_after(self, S, "package-0"), 0, MODULUS / 2 - 1, false);
    counter(0, 2)->true_count += JOULE << 30;
    assert_reading(read_after(self, S, "package-0"), 0, MODULUS / 4 * 3 - 1, false);
    counter(0, 2)->true_count += JOULE << 30;
    assert_reading(read_after(self, S, "package-0"), 0, MODULUS - 1, false);
    counter(0, 2)->true_count += JOULE << 30;
    assert_reading(read_after(self, S, "package-0"), 0, MODULUS / 4 - 1, false);
    source_rapl_perf.close(self);
}

static void dies_are_named(void **state)
{
    fake_machine_init(&machine, "GenuineIntel", 6, 0x55, 2, 2, 2, 1);
    fake_counter_add(&machine, -1, -1, -1, POWER, 2, 0);
    put_power("0,2,4,6\n");
    put_event("power", "energy-pkg", "event=0x02\n");
    void *self = open_fake(0, NULL);
    assert_int_equal(domain_of(self, "package-0-die-0")->die, 0);
    assert_int_equal(domain_of(self, "package-1-die-1")->die, 1);
    assert_int_equal(domain_of(self, "package-1-die-1")->package, 1);
    source_rapl_perf.close(self);
}

/* An AMD machine: the PMU answers once per package although it has dies, and cores have a PMU of their own. */
static void make_amd(void)
{
    fake_machine_init(&machine, "AuthenticAMD", 0x19, 1, 1, 2, 2, 2);
    fake_counter_add(&machine, 0, -1, -1, POWER, 2, 0);
    for (int core = 0; core < 4; core++)
        fake_counter_add(&machine, 0, core / 2, core % 2, POWER_CORE, 1, 0);
    put_power("0\n");
    put_event("power", "energy-pkg", "event=0x02\n");
    put("power_core", "type", "10\n");
    put("power_core", "cpumask", "0-3\n");
    put_event("power_core", "energy-core", "event=0x01\n");
}

static void cores_of_amd_are_added_up(void **state)
{
    struct buf out;

    make_amd();
    void *self = open_fake(0, NULL);
    assert_int_equal(domain_of(self, "package-0")->die, -1);
    assert_int_equal(machine.n_open, 5); /* SMT siblings are in no mask */
    assert_reading(read_after(self, 0, "core-0"), 0, 0, false);
    for (int core = 0; core < 4; core++)
        machine.counters[1 + core].true_count = (uint64_t)(core + 1) * JOULE + JOULE / 2;
    machine.counters[0].true_count = 20 * JOULE;

    /* cores once a second, the package each time */
    assert_reading(read_after(self, S / 2, "core-0"), 0, 0, false);
    assert_int_equal(readings[find(self, "core-0")].mono_ns, machine.now_ns - S / 2);
    assert_reading(readings[find(self, "package-0")], 0, 20000000, false);
    assert_reading(read_after(self, S / 2, "core-0"), 0, 12000000, false);
    assert_int_equal(readings[find(self, "core-0")].mono_ns, machine.now_ns);

    buf_init(&out, 4096);
    source_rapl_perf.describe(self, &out);
    assert_non_null(strstr(buf_str(&out), "core-0: PMU power_core, unit 2^-32 J, sum of 4 cores, once a second\n"));
    buf_done(&out);

    /* A core goes: its sum stays, and what it drew at last is not known. It comes back: it goes on from there. */
    machine.counters[1 + 3].true_count += JOULE;
    fake_set_online(&machine, 3, false);
    machine.counters[1 + 3].true_count += JOULE; /* seen by nobody */
    put("power_core", "cpumask", "0-2\n");
    assert_reading(read_after(self, S, "core-0"), 0, 13000000, true);
    machine.counters[1].true_count += JOULE;
    assert_reading(read_after(self, S, "core-0"), 0, 14000000, false);
    fake_set_online(&machine, 3, true);
    put("power_core", "cpumask", "0-3\n");
    assert_reading(read_after(self, S, "core-0"), 0, 14000000, true);
    machine.counters[1 + 3].true_count += JOULE;
    assert_reading(read_after(self, S, "core-0"), 0, 15000000, false);

    /* its sibling answers from now on */
    fake_set_online(&machine, 3, false);
    put("power_core", "cpumask", "0-2,7\n");
    machine.counters[1 + 3].true_count += JOULE;
    assert_reading(read_after(self, S, "core-0"), 0, 15000000, true);
    machine.counters[1 + 3].true_count += JOULE;
    assert_reading(read_after(self, S, "core-0"), 0, 16000000, false);
    source_rapl_perf.close(self);
}

static void a_core_that_was_never_seen_joins(void **state)
{
    make_amd();
    put("power_core", "cpumask", "0-2\n");
    fake_set_online(&machine, 3, false);
    fake_set_online(&machine, 7, false);
    fake_topology_follow(&machine);
    machine.cpus[3].package = machine.cpus[7].package = -1;
    void *self = open_fake(0, NULL);
    assert_reading(read_after(self, 0, "core-0"), 0, 0, false);

    fake_set_online(&machine, 3, true);
    put("power_core", "cpumask", "0-3\n");
    assert_reading(read_after(self, S, "core-0"), 0, 0, false); /* the topology does not know it yet */
    machine.cpus[3].package = 0;
    fake_topology_follow(&machine);
    machine.counters[1 + 3].true_count = 5 * JOULE;
    assert_reading(read_after(self, S, "core-0"), 0, 0, true);
    machine.counters[1 + 3].true_count += JOULE;
    assert_reading(read_after(self, S, "core-0"), 0, 1000000, false);
    source_rapl_perf.close(self);
}

static void the_reader_of_a_package_moves(void **state)
{
    make_server();
    put_server("0,2\n");
    void *self = open_fake(0, NULL);
    read_after(self, 0, "package-0");
    counter(0, 2)->true_count = 5 * JOULE;
    fake_set_online(&machine, 0, false);
    counter(0, 2)->true_count += JOULE; /* nobody counts this */
    put("power", "cpumask", "1-2\n");
    assert_reading(read_after(self, S, "package-0"), 0, 5000000, true); /* up to the old event's end; never back */
    assert_reading(readings[find(self, "package-1")], 0, 0, false);
    counter(0, 2)->true_count += JOULE;
    assert_reading(read_after(self, S, "package-0"), 0, 6000000, false);

    /* The whole package goes, and comes back. */
    fake_set_online(&machine, 1, false);
    put("power", "cpumask", "2\n");
    assert_reading(read_after(self, S, "package-0"), -ENODEV, 0, true);
    assert_reading(read_after(self, S, "package-1"), 0, 0, false);
    fake_set_online(&machine, 0, true);
    put("power", "cpumask", "0,2\n");
    counter(0, 2)->true_count += JOULE;
    assert_reading(read_after(self, S, "package-0"), 0, 6000000, true);
    counter(0, 2)->true_count += JOULE;
    assert_reading(read_after(self, S, "package-0"), 0, 7000000, false);
    source_rapl_perf.close(self);
}

/* Off and on between two looks at the mask: nothing tells but the event, which stands still. */
static void a_dead_event_is_opened_again(void **state)
{
    make_server();
    put_server("0,2\n");
    void *self = open_fake(0, NULL);
    read_after(self, 0, "package-0");
    fake_set_online(&machine, 0, false);
    fake_set_online(&machine, 0, true);
    assert_reading(read_after(self, S / 10, "package-0"), 0, 0, true);
    counter(0, 2)->true_count += JOULE;
    assert_reading(read_after(self, S / 10, "package-0"), 0, 1000000, false);
    assert_reading(read_after(self, 0, "package-0"), 0, 1000000, false); /* twice in one instant is no death */
    source_rapl_perf.close(self);
}

static void failures_of_one_read_lose_nothing(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    make_server();
    put_server("0,2\n");
    void *self = open_fake(0, NULL);
    read_after(self, 0, "package-0");
    counter(0, 2)->true_count = JOULE;
    counter(0, 2)->error = -EIO;
    machine.now_ns += S;
    assert_int_equal(source_rapl_perf.read(self, machine.now_ns, readings, &err), 9);
    assert_reading(readings[0], -EIO, 0, false);
    assert_non_null(strstr(err.msg, "event 0x2 of the PMU \"power\" on CPU 0"));
    counter(0, 2)->error = 0;
    counter(0, 2)->true_count += JOULE;
    assert_reading(read_after(self, S, "package-0"), 0, 2000000, false);

    /* the event is in error state, and rights are gone */
    counter(0, 2)->error = -ESTALE;
    machine.open_error = -EACCES;
    assert_reading(read_after(self, S, "package-0"), -EACCES, 0, true);
    counter(0, 2)->error = 0;
    assert_reading(read_after(self, S, "package-0"), -EACCES, 0, true);
    machine.open_error = 0;
    assert_reading(read_after(self, S, "package-0"), 0, 2000000, true);
    source_rapl_perf.close(self);
}

static void what_the_kernel_misses_is_flagged(void **state)
{
    make_server();
    put_server("0,2\n");
    void *self = open_fake(0, NULL);
    read_after(self, 0, "package-0");
    counter(0, 2)->true_count = 100 * JOULE;
    assert_reading(read_after(self, S, "package-0"), 0, 100000000, false);
    counter(0, 2)->true_count -= 30 * JOULE; /* more than half a turn since the last look */
    assert_reading(read_after(self, S, "package-0"), 0, 100000000, true);
    counter(0, 2)->true_count += JOULE;
    assert_reading(read_after(self, 30 * S, "package-0"), 0, 101000000, false);
    assert_reading(read_after(self, 30 * S + 1, "package-0"), 0, 101000000, true);

    source_rapl_perf.reset(self, machine.now_ns); /* a suspend: whatever is there is the new baseline */
    counter(0, 2)->true_count = 3;
    assert_reading(read_after(self, 3600 * S, "package-0"), 0, 101000000, false);
    counter(0, 2)->true_count += JOULE;
    assert_reading(read_after(self, S, "package-0"), 0, 102000000, false);
    source_rapl_perf.close(self);
}

static void no_hardware_no_right(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct rapl_settings settings = {.mode = RAPL_SYSFS};

    make_server();
    open_fake(-ENODEV, &err);
    assert_non_null(strstr(err.msg, "modprobe rapl"));
    assert_int_equal(source_rapl_perf.probe(&args, NULL), -ENODEV);

    put_power("0,2\n");
    open_fake(-EPROTO, &err);
    put_server("0,2\n");
    machine.open_error = -EACCES;
    open_fake(-EACCES, &err);
    assert_non_null(strstr(err.msg, "CAP_PERFMON"));
    assert_non_null(strstr(err.msg, "sysctl kernel.perf_event_paranoid"));
    machine.open_error = -EMFILE;
    open_fake(-EMFILE, &err);
    assert_non_null(strstr(err.msg, "LimitNOFILE"));
    machine.open_error = 0;

    put("power", "cpumask", "\n");
    open_fake(-ENODEV, &err);
    put("power", "cpumask", "0-\n");
    open_fake(-EINVAL, &err);
    assert_non_null(strstr(err.msg, "cpumask"));
    put("power", "cpumask", "63\n"); /* a CPU that the topology does not have */
    open_fake(-ENODEV, &err);
    put_power("0,2\n");
    put("power", "type", "many\n");
    open_fake(-EPROTO, &err);

    args.settings = &settings;
    assert_int_equal(source_rapl_perf.probe(&args, &err), -ECANCELED);
    assert_string_equal(err.msg, "not used: rapl.mode is sysfs");
    assert_null(source_rapl_perf.close(NULL));
}

static void odd_events_are_left_out(void **state)
{
    const struct domain *domains;

    make_server();
    put_server("0\n");
    put("power", "events/energy-ram.scale", "6.1e-5\n");
    put("power", "events/energy-gpu.unit", "Watts\n");
    put("power", "events/energy-cores", "config=1\n");
    put("power", "events/energy-psys", "event=0x7\n"); /* the kernel will not have it */
    void *self = open_fake(0, NULL);
    assert_int_equal(source_rapl_perf.domains(self, &domains), 1);
    assert_string_equal(domains[0].name, "package-0");
    source_rapl_perf.close(self);
}

static void texts(void **state)
{
    static const struct {
        const char *text;
        int r;
        uint32_t shift;
    } scales[] = {
        {"2.3283064365386962890625e-10", 0, 32},
        {"9.5367431640625e-07", 0, 20},
        {"1.52587890625e-05", -ERANGE, 0},
        {"9.094947017729282379150390625e-13", 0, 40},
        {"4.5474735088646411895751953125e-13", -ERANGE, 0},
        {"2.3e-10", -ERANGE, 0},
        {"0", -ERANGE, 0},
        {"-2.3283064365386962890625e-10", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"1e-10 J", -EINVAL, 0},
    };
    static const struct {
        const char *text;
        int r;
        uint64_t config;
    } events[] = {
        {"event=0x02\n", 0, 2},
        {"event=0xff", 0, 255},
        {"event=0x100", -ERANGE, 0},
        {"event=", -EINVAL, 0},
        {"event=0x02,umask=1", -EINVAL, 0},
        {"config=0x02", -EINVAL, 0},
        {"", -EINVAL, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(scales); i++) {
        uint32_t shift = 0;
        assert_int_equal(rapl_pmu_parse_scale(text_of(scales[i].text), &shift), scales[i].r);
        assert_int_equal(shift, scales[i].shift);
    }
    for (size_t i = 0; i < ELEMENTSOF(events); i++) {
        uint64_t config = 0;
        assert_int_equal(rapl_pmu_parse_event(text_of(events[i].text), &config), events[i].r);
        assert_int_equal(config, events[i].config);
    }
}

/* The whole way through the kernel: perf_event_open, read, close. Counted is time ("cpu-clock", nanoseconds), which
 * stands here for 2^-32 J. */
static void through_the_real_kernel(void **state)
{
    char online[64];
    struct carnot_err err = CARNOT_ERR_INIT;
    struct carnot_env real;
    uint64_t last = 0;
    void *self = NULL;

    assert_int_equal(carnot_env_open(NULL, NULL, NULL, NULL, &real, &err), 0);
    ssize_t n = fsroot_read_line(&real.sys, "devices/system/cpu/online", online, sizeof(online), NULL);
    carnot_env_close(&real);
    make_server();
    put("power", "type", "1\n"); /* PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK */
    put("power", "cpumask", "0\n");
    put_event("power", "energy-pkg", "event=0x00\n");
    assert_true(n > 0);
    int r = source_rapl_perf.probe(&args, &err);
    if (r == -EACCES || r == -EPERM || r == -ENOSYS || online[0] != '0') {
        print_message("skipped: this kernel lets us open no event on CPU 0: %s\n", err.msg);
        skip();
    }
    assert_int_equal(r, 0);
    assert_int_equal(source_rapl_perf.open(&args, &self, &err), 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_int_equal(source_rapl_perf.read(self, i * S, readings, &err), 1);
        assert_int_equal(readings[0].status, 0);
        assert_false(readings[0].gap); /* the enabled time moves: it is not taken for dead */
        assert_true(readings[0].counter_uj >= last);
        last = readings[0].counter_uj;
    }
    for (uint64_t i = 0; last == 0 && i < 100000000; i++) { /* 4295 ns are 1 uJ: until it counts */
        source_rapl_perf.read(self, (1001 + i) * S, readings, &err);
        last = readings[0].counter_uj;
    }
    assert_true(last > 0);
    source_rapl_perf.close(self);
}

/* What happens when the event is denied is the kernel's word as well. */
static void the_real_kernel_says_no(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    make_server();
    put("power", "type", "4294967295\n"); /* no such PMU */
    put("power", "cpumask", "0\n");
    put_event("power", "energy-pkg", "event=0x02\n");
    assert_true(source_rapl_perf.probe(&args, &err) < 0);
    assert_non_null(strstr(err.msg, "PMU \"power\""));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(domains_of_a_server),
        TEST(exact_over_the_turn_of_64_bits),
        TEST(dies_are_named),
        TEST(cores_of_amd_are_added_up),
        TEST(a_core_that_was_never_seen_joins),
        TEST(the_reader_of_a_package_moves),
        TEST(a_dead_event_is_opened_again),
        TEST(failures_of_one_read_lose_nothing),
        TEST(what_the_kernel_misses_is_flagged),
        TEST(no_hardware_no_right),
        TEST(odd_events_are_left_out),
        TEST(texts),
        TEST(through_the_real_kernel),
        TEST(the_real_kernel_says_no),
    };

    return cmocka_run_group_tests_name("rapl_perf", tests, NULL, NULL);
}
