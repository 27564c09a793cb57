/* SPDX-License-Identifier: Apache-2.0 */
/* The register back end: units against known values, registers in files as the msr driver gives them, and a machine of
 * the test's own (rapl_fake.h) whose CPUs come and go. */
#include "scratch.h"

#include <stdio.h>

#include "rapl_fake.h"
#include "sources/rapl_cpu_units.h"
#include "sources/rapl_mode.h"
#include "sources/registry.h"

#define S         NS_PER_SEC
#define UNIT_14   0xa0e03 /* 2^-14 J: 61.03515625 uJ */
#define UNIT_16   0xa1003 /* 2^-16 J: 15.2587890625 uJ */
#define MOD_14    262144000000ULL
#define MOD_16    65536000000ULL
#define COUNTS_14 16384ULL /* a joule */
#define COUNTS_16 65536ULL

static struct scratch s;
static struct fake_machine machine;
static struct source_args args;
static struct rapl_settings settings;
static struct reading readings[DOMAINS_MAX];

static int setup(void **state)
{
    scratch_init(&s);
    settings = (struct rapl_settings){.mode = RAPL_AUTO};
    args = (struct source_args){.env = &s.env, .topology = &machine.topology, .settings = &settings};
    memset(&machine, 0, sizeof(machine));
    return 0;
}

static int teardown(void **state)
{
    assert_false(machine.broken);
    assert_int_equal(machine.n_open, 0);
    scratch_done(&s);
    return 0;
}

static void *open_fake(int expected, struct carnot_err *err)
{
    struct rapl_msr_io io = fake_msr_io(&machine);
    void *self = NULL;

    assert_int_equal(rapl_msr_open_with(&args, &io, &self, err), expected);
    return self;
}

static const struct domain *find(const void *self, const char *name, uint32_t *ret_index)
{
    const struct domain *domains;
    size_t n = source_rapl_msr.domains(self, &domains);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(domains[i].name, name) == 0) {
            if (ret_index)
                *ret_index = (uint32_t)i;
            return &domains[i];
        }
    }
    return NULL;
}

static struct reading read_after(void *self, uint64_t ns, const char *name)
{
    uint32_t i = 0;

    assert_non_null(find(self, name, &i));
    machine.now_ns += ns;
    assert_true(source_rapl_msr.read(self, machine.now_ns, readings, NULL) > (int)i);
    return readings[i];
}

static void assert_reading(struct reading r, int status, uint64_t counter_uj, uint64_t modulus_uj, bool gap)
{
    assert_int_equal(r.status, status);
    if (status == 0)
        assert_int_equal(r.counter_uj, counter_uj);
    assert_int_equal(r.modulus_uj, modulus_uj);
    assert_int_equal(r.gap, gap);
}

static struct fake_counter *put(int package, int die, int core, uint32_t reg, uint64_t value)
{
    return fake_counter_add(&machine, package, die, core, 0, reg, value);
}

/* ---- units ---- */

static void units_from_the_register(void **state)
{
    struct rapl_cpu_units u = rapl_cpu_units_intel(UNIT_14, 6, 0x9e);

    /* 61.03515625 uJ: 10^8 counts are 6103515625 uJ */
    assert_int_equal(rapl_unit_uj(u.package, 100000000), 6103515625);
    assert_int_equal(rapl_unit_uj(u.package, 1), 61);
    assert_int_equal(rapl_unit_uj(u.package, UINT32_MAX), 262143999938); /* 262143999938.96... */
    assert_int_equal(rapl_unit_modulus_uj(u.package, 32), MOD_14);
    u = rapl_cpu_units_intel(UNIT_16, 6, 0x9e);
    assert_int_equal(rapl_unit_uj(u.package, 10000000000ULL), 152587890625);
    assert_int_equal(rapl_unit_modulus_uj(u.package, 32), MOD_16);
    u = rapl_cpu_units_intel(0x800, 6, 0x9e);
    assert_int_equal(rapl_unit_uj(u.package, 100), 390625);
    u = rapl_cpu_units_intel(0x1f00, 6, 0x9e); /* 0.00046566128730773926 uJ */
    assert_int_equal(rapl_unit_uj(u.package, 1ULL << 31), 1000000);
    assert_int_equal(rapl_unit_modulus_uj(u.package, 32), 2000000);
    u = rapl_cpu_units_intel(0, 6, 0x9e);
    assert_int_equal(rapl_unit_uj(u.package, 3), 3000000); /* no bits: whole joules */
    assert_int_equal(rapl_unit_modulus_uj(u.package, 32), 4294967296000000ULL);
    assert_int_equal(rapl_unit_uj((struct rapl_unit){1000000, 0}, UINT64_MAX), UINT64_MAX);
    assert_int_equal(rapl_unit_modulus_uj((struct rapl_unit){1000000, 0}, 64), 0); /* does not fit */
    assert_int_equal(rapl_unit_modulus_uj((struct rapl_unit){1, 1}, 0), 0);        /* no whole number */
}

static void units_by_model(void **state)
{
    static const uint32_t dram_16[] = {0x3f, 0x4f, 0x56, 0x55, 0x6a, 0x6c, 0x57, 0x85};
    static const uint32_t psys_1j[] = {0x8f, 0xcf};
    static const uint32_t microjoules[] = {0x37, 0x4a, 0x5a, 0x4c};

    for (size_t i = 0; i < ELEMENTSOF(dram_16); i++) {
        struct rapl_cpu_units u = rapl_cpu_units_intel(UNIT_14, 6, dram_16[i]);
        assert_int_equal(u.package.shift, 14);
        assert_int_equal(u.dram.shift, 16);
        assert_int_equal(u.psys.shift, 14);
        u = rapl_cpu_units_intel(UNIT_14, 7, dram_16[i]); /* numbers of another family */
        assert_int_equal(u.dram.shift, 14);
    }
    for (size_t i = 0; i < ELEMENTSOF(psys_1j); i++) {
        struct rapl_cpu_units u = rapl_cpu_units_intel(UNIT_14, 6, psys_1j[i]);
        assert_int_equal(u.dram.shift, 14); /* 61 uJ again */
        assert_int_equal(u.psys.shift, 0);
        assert_int_equal(rapl_unit_uj(u.psys, 1), 1000000);
    }
    for (size_t i = 0; i < ELEMENTSOF(microjoules); i++) {
        struct rapl_cpu_units u = rapl_cpu_units_intel(0x505, 6, microjoules[i]);
        assert_int_equal(rapl_unit_uj(u.package, 3), 96); /* 2^5 uJ each */
        assert_int_equal(rapl_unit_modulus_uj(u.package, 32), 1ULL << 37);
    }
    assert_int_equal(rapl_cpu_units_amd(UNIT_16).package.shift, 16);
}

/* For every unit that a register can tell, differences modulo the modulus are those of an endless counter. */
static void every_unit_is_exact_over_its_turn(void **state)
{
    for (uint32_t bits = 0; bits < 32; bits++) {
        struct rapl_unit unit = rapl_unit_joules(bits);
        uint64_t modulus = rapl_unit_modulus_uj(unit, 32);

        assert_true(modulus > 0);
        for (uint64_t count = (3ULL << 32) - 1000; count < (3ULL << 32) + 1000; count++)
            assert_int_equal(rapl_unit_uj(unit, count) % modulus, rapl_unit_uj(unit, count & UINT32_MAX));
    }
}

/* ---- registers in files ---- */

static void write_register(uint32_t cpu, uint64_t reg, uint64_t value)
{
    char path[64];

    snprintf(path, sizeof(path), "dev/cpu/%u", cpu);
    scratch_mkdirs(&s, path);
    snprintf(path, sizeof(path), "dev/cpu/%u/msr", cpu);
    int fd = open(scratch_path(&s, path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &value, sizeof(value), (off_t)reg), sizeof(value));
    close(fd);
}

static void from_device_files(void **state)
{
    void *self = NULL;
    struct carnot_err err = CARNOT_ERR_INIT;

    /* In a plain file neighbours overlap: byte 1 of the unit is byte 0 of the core's counter, and so on. The values are
     * such that all three come out, in the order in which they are written. */
    fake_machine_init(&machine, "AuthenticAMD", 0x19, 1, 1, 1, 1, 1);
    write_register(0, 0xc0010299, UNIT_16); /* the highest numbers: beyond 31 bits */
    write_register(0, 0xc001029b, 9 * COUNTS_16);
    assert_int_equal(source_rapl_msr.probe(&args, &err), 0);
    assert_int_equal(source_rapl_msr.open(&args, &self, &err), 0);
    assert_reading(read_after(self, S, "package-0"), 0, 9000000, MOD_16, false);
    assert_reading(readings[1], 0, 0, MOD_16, false); /* a sum begins at 0 */
    write_register(0, 0xc001029b, 9 * COUNTS_16 + COUNTS_16 / 2);
    assert_reading(read_after(self, S, "package-0"), 0, 9500000, MOD_16, false);
    assert_reading(readings[1], 0, 128000000, MOD_16, false); /* bits 8 further up: 0.5 J * 256 */
    assert_null(source_rapl_msr.close(self));
}

static void no_device(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    fake_machine_init(&machine, "GenuineIntel", 6, 0x9e, 1, 1, 2, 1);
    assert_int_equal(source_rapl_msr.probe(&args, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "dev/cpu/0/msr"));
    assert_non_null(strstr(err.msg, "modprobe msr"));
    write_register(0, 0x606, UNIT_14); /* and nothing beyond: a short read */
    assert_int_equal(source_rapl_msr.probe(&args, &err), -ENODEV);

    settings.mode = RAPL_PERF;
    assert_int_equal(source_rapl_msr.probe(&args, &err), -ECANCELED);
    assert_string_equal(err.msg, "not used: rapl.mode is perf");
    settings.mode = RAPL_MSR;
    settings.msr_cpus = "0-x";
    assert_int_equal(source_rapl_msr.probe(&args, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "\"0-x\""));
    assert_null(source_rapl_msr.close(NULL));
}

/* ---- machines ---- */

/* Two packages, two cores each, two threads; psys on the first alone. */
static void make_server(uint32_t model)
{
    fake_machine_init(&machine, "GenuineIntel", 6, model, 2, 1, 2, 2);
    put(-1, -1, -1, 0x606, UNIT_14);
    for (int package = 0; package < 2; package++) {
        put(package, -1, -1, 0x611, 1000);
        put(package, -1, -1, 0x619, 2000);
        put(package, -1, -1, 0x639, 0); /* a server: no counter of cores */
        put(package, -1, -1, 0x64d, package == 0 ? 77 : 0);
    }
}

static struct fake_counter *reg(uint32_t cpu, uint32_t number)
{
    return fake_counter_of(&machine, cpu, 0, number);
}

static void domains_of_a_server(void **state)
{
    static const char *const names[] = {"package-0", "dram-0", "psys", "package-1", "dram-1"};
    const struct domain *domains;
    struct buf out;

    make_server(0x8f);
    void *self = open_fake(0, NULL);
    assert_int_equal(source_rapl_msr.domains(self, &domains), ELEMENTSOF(names));
    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        assert_string_equal(domains[i].name, names[i]);
        assert_string_equal(domains[i].source, "rapl_msr");
        assert_int_equal(domains[i].quality, QUALITY_MEASURED);
        assert_true(domains[i].lasting);
    }
    assert_string_equal(domains[0].address, "package-0:msr");
    assert_int_equal(find(self, "psys", NULL)->package, -1);
    assert_reading(read_after(self, 0, "psys"), 0, 77000000, 4294967296000000ULL, false);
    assert_reading(readings[0], 0, 61035, MOD_14, false);
    assert_reading(readings[1], 0, 122070, MOD_14, false);
    reg(2, 0x611)->true_count = (1ULL << 32) - 1000 + 5; /* wraps: delta's work, exact by the modulus */
    assert_reading(read_after(self, S, "package-1"), 0, 305, MOD_14, false);

    buf_init(&out, 4096);
    source_rapl_msr.describe(self, &out);
    assert_non_null(strstr(buf_str(&out), "package-1: register 0x611, unit 2^-14 J, wraps at 262144 J, CPU 2\n"));
    assert_non_null(strstr(buf_str(&out), "psys: register 0x64D, unit 1000000 uJ, wraps at 4294967296 J, CPU 0\n"));
    assert_null(strstr(buf_str(&out), "energy filtering is on"));
    buf_done(&out);
    source_rapl_msr.close(self);
}

static void dram_of_an_older_server(void **state)
{
    make_server(0x55);
    void *self = open_fake(0, NULL);
    assert_reading(read_after(self, 0, "dram-0"), 0, 30517, MOD_16, false);
    assert_reading(readings[0], 0, 61035, MOD_14, false);
    source_rapl_msr.close(self);
}

static void client_with_graphics(void **state)
{
    fake_machine_init(&machine, "GenuineIntel", 6, 0x9e, 1, 1, 2, 2);
    put(-1, -1, -1, 0x606, UNIT_14);
    put(0, -1, -1, 0x611, 16384);
    put(0, -1, -1, 0x639, 16384);
    put(0, -1, -1, 0x641, 16384);
    void *self = open_fake(0, NULL);
    assert_int_equal(find(self, "core-0", NULL)->kind, DOMAIN_CORE);
    assert_int_equal(find(self, "uncore-0", NULL)->kind, DOMAIN_UNCORE);
    assert_null(find(self, "dram-0", NULL));
    assert_reading(read_after(self, S / 10, "uncore-0"), 0, 1000000, MOD_14, false);
    source_rapl_msr.close(self);
}

static void dies(void **state)
{
    fake_machine_init(&machine, "GenuineIntel", 6, 0x55, 1, 2, 2, 1);
    put(-1, -1, -1, 0x606, UNIT_14);
    put(0, 0, -1, 0x611, 16384);
    put(0, 1, -1, 0x611, 32768);
    void *self = open_fake(0, NULL);
    assert_int_equal(find(self, "package-0-die-1", NULL)->die, 1);
    assert_reading(read_after(self, S, "package-0-die-0"), 0, 1000000, MOD_14, false);
    assert_reading(readings[1], 0, 2000000, MOD_14, false);
    source_rapl_msr.close(self);
}

static void filtering_is_flagged(void **state)
{
    struct buf out;

    make_server(0x6a);
    put(-1, -1, -1, 0xbc, 1);
    void *self = open_fake(0, NULL);
    assert_int_equal(find(self, "package-0", NULL)->quality, QUALITY_DERIVED);
    assert_int_equal(find(self, "dram-1", NULL)->quality, QUALITY_DERIVED);
    buf_init(&out, 4096);
    source_rapl_msr.describe(self, &out);
    assert_non_null(strstr(buf_str(&out), "energy filtering is on"));
    buf_done(&out);
    source_rapl_msr.close(self);
}

static void hypervisors(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    fake_machine_init(&machine, "GenuineIntel", 6, 0x9e, 1, 1, 2, 1);
    machine.topology.hypervisor = true;
    open_fake(-ENODEV, &err); /* the registers fault */
    assert_non_null(strstr(err.msg, "virtual machine"));
    put(-1, -1, -1, 0x606, 0);
    put(-1, -1, -1, 0x611, 0);
    open_fake(-ENODEV, &err); /* or are there and hold 0, for ever */
    assert_non_null(strstr(err.msg, "virtual machine"));
    snprintf(machine.topology.vendor, sizeof(machine.topology.vendor), "ARM");
    open_fake(-ENODEV, &err);
    assert_non_null(strstr(err.msg, "\"ARM\""));
}

static void a_missing_right(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    make_server(0x8f);
    machine.open_error = -EPERM;
    open_fake(-EPERM, &err);
    assert_non_null(strstr(err.msg, "CAP_SYS_RAWIO"));
    assert_true(machine.opens < 20); /* not every CPU is asked in turn for each register */
}

/* The reader goes; the others of its package show the same register. The right to open is gone by then. */
static void the_reader_moves(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    make_server(0x8f);
    void *self = open_fake(0, NULL);
    read_after(self, 0, "package-0");
    machine.open_error = -EPERM;
    for (uint32_t cpu = 0; cpu <= 1; cpu++) { /* two readers are in reserve */
        fake_set_online(&machine, cpu, false);
        fake_topology_follow(&machine);
        reg(0, 0x611)->true_count += 16384;
        assert_reading(read_after(self, S, "package-0"), 0, 61035 + (cpu + 1) * 1000000, MOD_14, false);
    }
    fake_set_online(&machine, 4, false);
    fake_topology_follow(&machine);
    machine.now_ns += S;
    assert_int_equal(source_rapl_msr.read(self, machine.now_ns, readings, &err), 5);
    assert_reading(readings[0], -EPERM, 0, MOD_14, false); /* CPU 5 could be opened, were it allowed */
    machine.open_error = 0;
    assert_reading(read_after(self, S, "package-0"), 0, 2061035, MOD_14, false);
    fake_set_online(&machine, 5, false);
    fake_topology_follow(&machine);
    assert_int_equal(source_rapl_msr.read(self, machine.now_ns, readings, &err), 5);
    assert_reading(readings[0], -ENODEV, 0, MOD_14, false);
    assert_reading(readings[3], 0, 61035, MOD_14, false); /* the other package goes on */
    assert_non_null(strstr(err.msg, "online"));
    fake_set_online(&machine, 1, true);
    fake_topology_follow(&machine);
    reg(0, 0x611)->true_count += 16384;
    assert_reading(read_after(self, S, "package-0"), 0, 3061035, MOD_14, false);
    source_rapl_msr.close(self);
}

static void only_listed_cpus_are_asked(void **state)
{
    make_server(0x8f);
    settings.msr_cpus = "3,7";
    void *self = open_fake(0, NULL);
    assert_null(find(self, "package-0", NULL));
    assert_non_null(find(self, "package-1", NULL));
    assert_int_equal(machine.n_open, 2);
    source_rapl_msr.close(self);

    settings.msr_cpus = "60-63";
    struct carnot_err err = CARNOT_ERR_INIT;
    open_fake(-ENODEV, &err);
    assert_non_null(strstr(err.msg, "rapl.msr-cpus"));
}

/* ---- cores of AMD ---- */

static void make_amd(void)
{
    fake_machine_init(&machine, "AuthenticAMD", 0x19, 1, 1, 2, 2, 2); /* dies tell nothing here */
    put(-1, -1, -1, 0xc0010299, UNIT_16);
    put(0, -1, -1, 0xc001029b, 12345);
    for (int core = 0; core < 4; core++)
        put(0, core / 2, core % 2, 0xc001029a, UINT32_MAX - 10 * COUNTS_16); /* all about to wrap */
}

static struct fake_counter *core(int i)
{
    return &machine.counters[2 + i];
}

static void cores_are_added_up_once(void **state)
{
    const struct domain *domains;

    make_amd();
    void *self = open_fake(0, NULL);
    assert_int_equal(source_rapl_msr.domains(self, &domains), 2);
    assert_string_equal(domains[0].name, "package-0");
    assert_string_equal(domains[1].name, "core-0");
    assert_true(domains[0].lasting);
    assert_false(domains[1].lasting); /* a sum that begins anew */
    assert_reading(read_after(self, 0, "core-0"), 0, 0, MOD_16, false);
    for (int i = 0; i < 4; i++) /* 8 CPUs show 4 counters; each wraps by itself */
        core(i)->true_count += 20 * COUNTS_16 + (uint64_t)i;
    assert_reading(read_after(self, S / 2, "core-0"), 0, 0, MOD_16, false);
    assert_int_equal(readings[1].mono_ns, machine.now_ns - S / 2);                 /* once a second */
    assert_reading(read_after(self, S / 2, "core-0"), 0, 80000091, MOD_16, false); /* + 6 counts of 15.26 uJ */

    /* One starts anew: nothing is made of that, the others go on. */
    core(2)->bias -= 5000000;
    core(1)->true_count += COUNTS_16;
    assert_reading(read_after(self, S, "core-0"), 0, 81000091, MOD_16, true);
    assert_reading(read_after(self, S, "core-0"), 0, 81000091, MOD_16, false);

    /* One thread goes: its sibling answers. The other too: the sum stays. It comes back with another number. */
    fake_set_online(&machine, 3, false);
    fake_topology_follow(&machine);
    core(3)->true_count += COUNTS_16;
    /* all there; flagged since some core could have come and gone with the CPUs */
    assert_reading(read_after(self, S, "core-0"), 0, 82000091, MOD_16, true);
    assert_reading(read_after(self, S, "core-0"), 0, 82000091, MOD_16, false);
    fake_set_online(&machine, 7, false);
    fake_topology_follow(&machine);
    core(3)->true_count += COUNTS_16;
    assert_reading(read_after(self, S, "core-0"), 0, 82000091, MOD_16, true);
    assert_reading(read_after(self, S, "core-0"), 0, 82000091, MOD_16, false);
    core(3)->bias = 0;
    fake_set_online(&machine, 3, true);
    fake_topology_follow(&machine);
    assert_reading(read_after(self, S, "core-0"), 0, 82000091, MOD_16, true);
    core(3)->true_count += COUNTS_16;
    assert_reading(read_after(self, S, "core-0"), 0, 83000091, MOD_16, false);

    /* One that cannot be read: no figure this time, all of it the next. */
    core(0)->error = -EIO;
    core(1)->true_count += COUNTS_16;
    assert_reading(read_after(self, S, "core-0"), -EIO, 0, MOD_16, false);
    core(0)->error = 0;
    core(0)->true_count += COUNTS_16;
    assert_reading(read_after(self, S, "core-0"), 0, 85000091, MOD_16, false);

    /* So long that one of them may have wrapped. */
    assert_reading(read_after(self, 656 * S, "core-0"), 0, 85000091, MOD_16, true);

    source_rapl_msr.reset(self, machine.now_ns);
    core(0)->bias = 0;
    assert_reading(read_after(self, 3600 * S, "core-0"), 0, 85000091, MOD_16, false);
    source_rapl_msr.close(self);
}

static void a_core_that_was_never_seen_joins(void **state)
{
    make_amd();
    fake_set_online(&machine, 3, false);
    fake_set_online(&machine, 7, false);
    fake_topology_follow(&machine);
    machine.cpus[3].package = machine.cpus[7].package = -1;
    void *self = open_fake(0, NULL);
    assert_reading(read_after(self, 0, "core-0"), 0, 0, MOD_16, false);
    fake_set_online(&machine, 7, true);
    machine.cpus[7].package = 0;
    fake_topology_follow(&machine);
    core(3)->true_count += COUNTS_16;
    assert_reading(read_after(self, S, "core-0"), 0, 0, MOD_16, true);
    core(3)->true_count += COUNTS_16;
    assert_reading(read_after(self, S, "core-0"), 0, 1000000, MOD_16, false);
    source_rapl_msr.close(self);
}

/* A list that leaves cores out gives no sum of cores. */
static void cores_all_or_none(void **state)
{
    make_amd();
    settings.msr_cpus = "0-2";
    void *self = open_fake(0, NULL);
    assert_null(find(self, "core-0", NULL));
    assert_non_null(find(self, "package-0", NULL));
    source_rapl_msr.close(self);
    settings.msr_cpus = "0-2,7"; /* the second thread of the fourth core */
    self = open_fake(0, NULL);
    assert_non_null(find(self, "core-0", NULL));
    source_rapl_msr.close(self);
}

/* ---- which of the three ---- */

static void one_group(void **state)
{
    static const struct source_ops *const ways[] = {&source_rapl_perf, &source_rapl_powercap, &source_rapl_msr};
    size_t found = 0;

    for (size_t i = 0; i < source_registry_count; i++) {
        if (source_registry[i]->group && strcmp(source_registry[i]->group, RAPL_GROUP) == 0) {
            assert_true(found < ELEMENTSOF(ways));
            assert_ptr_equal(source_registry[i], ways[found++]); /* in order of preference */
        }
    }
    assert_int_equal(found, ELEMENTSOF(ways));
    for (size_t i = 0; i < ELEMENTSOF(ways); i++)
        assert_ptr_equal(ways[i]->settings, &rapl_default_settings);
    assert_int_equal(rapl_mode_check(RAPL_SYSFS, NULL, NULL), 0);
    settings.mode = RAPL_SYSFS;
    assert_int_equal(rapl_mode_check(RAPL_SYSFS, &settings, NULL), 0);
    assert_int_equal(rapl_mode_check(RAPL_MSR, &settings, NULL), -ECANCELED);
    assert_string_equal(rapl_domain(DOMAIN_DRAM, 11, 1, "x").name, "dram-11-die-1");
    assert_string_equal(rapl_domain(DOMAIN_PACKAGE, 0, -1, "x").name, "package-0");
    assert_string_equal(rapl_domain(DOMAIN_PSYS, -1, -1, "x").name, "psys");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(units_from_the_register),
        TEST(units_by_model),
        TEST(every_unit_is_exact_over_its_turn),
        TEST(from_device_files),
        TEST(no_device),
        TEST(domains_of_a_server),
        TEST(dram_of_an_older_server),
        TEST(client_with_graphics),
        TEST(dies),
        TEST(filtering_is_flagged),
        TEST(hypervisors),
        TEST(a_missing_right),
        TEST(the_reader_moves),
        TEST(only_listed_cpus_are_asked),
        TEST(cores_are_added_up_once),
        TEST(a_core_that_was_never_seen_joins),
        TEST(cores_all_or_none),
        TEST(one_group),
    };

    return cmocka_run_group_tests_name("rapl_msr", tests, NULL, NULL);
}
