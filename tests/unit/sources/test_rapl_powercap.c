/* SPDX-License-Identifier: Apache-2.0 */
/* The powercap reader on trees written by each test: names, doubles, limits, ranges, files that cannot be read. What
 * needs a device that vanishes is tested on the simulated machine (tests/system/test_sim.py). */
#include "scratch.h"

#include <stdio.h>

#include "sources/rapl_zones.h"
#include "sources/registry.h"

#define NOBODY 65534

static struct scratch s;
static struct source_args args;
static struct reading readings[DOMAINS_MAX];

static int setup(void **state)
{
    scratch_init(&s);
    args = (struct source_args){.env = &s.env};
    return 0;
}

static int teardown(void **state)
{
    scratch_done(&s);
    return 0;
}

static void put(const char *zone, const char *file, const char *text)
{
    char path[256];

    assert_true(snprintf(path, sizeof(path), "sys/class/powercap/%s/%s", zone, file) < (int)sizeof(path));
    scratch_write(&s, path, text);
}

static void put_zone(const char *zone, const char *name, const char *energy, const char *range)
{
    put(zone, "name", name);
    put(zone, "energy_uj", energy);
    if (range)
        put(zone, "max_energy_range_uj", range);
}

static void *open_source(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self = NULL;

    assert_int_equal(source_rapl_powercap.open(&args, &self, &err), 0);
    return self;
}

static const struct domain *find(const void *self, const char *name, uint32_t *ret_index)
{
    const struct domain *domains;
    size_t n = source_rapl_powercap.domains(self, &domains);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(domains[i].name, name) == 0) {
            *ret_index = (uint32_t)i;
            return &domains[i];
        }
    }
    fail_msg("no domain %s", name);
    return NULL;
}

static void assert_domain(const void *self, const char *name, enum domain_kind kind, int package, int die)
{
    uint32_t i;
    const struct domain *domain = find(self, name, &i);

    assert_int_equal(domain->kind, kind);
    assert_int_equal(domain->package, package);
    assert_int_equal(domain->die, die);
    assert_int_equal(domain->node, -1);
    assert_int_equal(domain->quality, QUALITY_MEASURED);
    assert_string_equal(domain->source, "rapl_powercap");
}

static struct reading read_one(void *self, const char *name)
{
    uint32_t i;

    find(self, name, &i);
    assert_true(source_rapl_powercap.read(self, 42, readings, NULL) > (int)i);
    assert_int_equal(readings[i].domain, i);
    assert_int_equal(readings[i].mono_ns, 42);
    return readings[i];
}

static void put_server(void)
{
    /* a control type's own directory, which is no zone */
    put("intel-rapl", "enabled", "1\n");
    put_zone("intel-rapl:0", "package-0\n", "258218293244\n", "262143328850\n");
    put("intel-rapl:0", "enabled", "0\n"); /* no limit enforced; the counter runs */
    put("intel-rapl:0", "constraint_0_max_power_uw", "150000000\n");
    put("intel-rapl:0", "constraint_0_power_limit_uw", "300000000\n");
    put("intel-rapl:0", "constraint_1_max_power_uw", "376000000\n");
    put_zone("intel-rapl:0/intel-rapl:0:0", "core\n", "1\n", "262143328850\n");
    put_zone("intel-rapl:0/intel-rapl:0:1", "uncore\n", "2\n", "262143328850\n");
    put_zone("intel-rapl:0:2", "dram\n", "24468409791\n", "65712999613\n"); /* flat, as the class directory has it */
    put("intel-rapl:0:2", "constraint_0_max_power_uw", "64500000\n");
    put_zone("intel-rapl:1", "package-1\n", "130570505826\n", "262143328850\n");
    put_zone("intel-rapl:1:0", "dram\n", "64930394974\n", "65712999613\n");
    put_zone("intel-rapl:1/intel-rapl:1:0", "dram\n", "64930394974\n", "65712999613\n"); /* the same again */
    put_zone("intel-rapl:2", "psys\n", "5\n", NULL);
    put_zone("intel-rapl-mmio:0", "package-0\n", "7\n", "262143328850\n");
    put_zone("intel-rapl-mmio:0:0", "dram\n", "8\n", "65712999613\n");
    put_zone("dtpm:0", "soc\n", "9\n", "1000\n");
}

static void zones_of_a_server(void **state)
{
    const struct domain *domains;

    put_server();
    assert_int_equal(source_rapl_powercap.probe(&args, NULL), 0);
    void *self = open_source();
    size_t n = source_rapl_powercap.domains(self, &domains);

    assert_int_equal(n, 10);
    assert_string_equal(domains[0].name, "package-0");
    assert_domain(self, "package-0", DOMAIN_PACKAGE, 0, -1);
    assert_domain(self, "core-0", DOMAIN_CORE, 0, -1);
    assert_domain(self, "uncore-0", DOMAIN_UNCORE, 0, -1);
    assert_domain(self, "dram-0", DOMAIN_DRAM, 0, -1);
    assert_domain(self, "package-1", DOMAIN_PACKAGE, 1, -1);
    assert_domain(self, "dram-1", DOMAIN_DRAM, 1, -1);
    assert_domain(self, "psys", DOMAIN_PSYS, -1, -1);
    assert_domain(self, "package-0-mmio", DOMAIN_OTHER, 0, -1);
    assert_domain(self, "dram-0-mmio", DOMAIN_OTHER, 0, -1);
    assert_domain(self, "soc", DOMAIN_OTHER, -1, -1);

    assert_int_equal(read_one(self, "package-0").counter_uj, 258218293244);
    assert_int_equal(read_one(self, "package-0").modulus_uj, 262143328911);
    assert_int_equal(read_one(self, "dram-1").counter_uj, 64930394974);
    assert_int_equal(read_one(self, "dram-1").modulus_uj, 65712999628);
    assert_int_equal(read_one(self, "psys").status, 0);
    assert_int_equal(read_one(self, "psys").modulus_uj, 0); /* range unknown */
    assert_int_equal(read_one(self, "soc").modulus_uj, 1000);

    uint32_t i;
    assert_int_equal(find(self, "package-0", &i)->max_uw, 752000000);
    assert_int_equal(find(self, "dram-0", &i)->max_uw, 500000000); /* never held to less */
    assert_int_equal(find(self, "package-1", &i)->max_uw, 0);

    assert_string_equal(find(self, "package-0", &i)->address, "package-0:intel-rapl:0");
    assert_string_equal(find(self, "dram-1", &i)->address, "dram:intel-rapl:1:0");
    assert_string_equal(find(self, "package-0-mmio", &i)->address, "package-0:intel-rapl-mmio:0");
    for (size_t k = 0; k < n; k++)
        assert_true(domains[k].lasting);

    struct domain copy[DOMAINS_MAX];
    memcpy(copy, domains, n * sizeof(*copy));
    domains_mark_total(copy, n);
    for (size_t k = 0; k < n; k++)
        assert_int_equal(copy[k].in_total, copy[k].kind == DOMAIN_PACKAGE || copy[k].kind == DOMAIN_DRAM);

    put("intel-rapl:0", "energy_uj", "17\n"); /* fresh at each reading */
    assert_int_equal(read_one(self, "package-0").counter_uj, 17);
    assert_null(source_rapl_powercap.close(self));
}

/* What is read by perf events is found under the names of powercap's zones. */
static void addresses_for_other_ways(void **state)
{
    struct domain domains[] = {{.name = "package-1"}, {.name = "dram-0"}, {.name = "gpu-0", .address = "kept"}};

    rapl_zones_addresses(&s.env.sys, domains, ELEMENTSOF(domains)); /* no powercap at all */
    assert_string_equal(domains[0].address, "");
    put_server();
    rapl_zones_addresses(&s.env.sys, domains, ELEMENTSOF(domains));
    assert_string_equal(domains[0].address, "package-1:intel-rapl:1");
    assert_string_equal(domains[1].address, "dram:intel-rapl:0:2");
    assert_string_equal(domains[2].address, "kept");
}

static void dies_and_many_zones(void **state)
{
    for (int package = 0; package < 12; package++) {
        for (int die = 0; die < 2; die++) {
            char zone[64], sub[64], name[64];
            snprintf(zone, sizeof(zone), "intel-rapl:%d", package * 2 + die);
            snprintf(sub, sizeof(sub), "intel-rapl:%d:0", package * 2 + die);
            snprintf(name, sizeof(name), "package-%d-die-%d\n", package, die);
            put_zone(zone, name, "1\n", "262143328850\n");
            put_zone(sub, "dram\n", "1\n", "262143328850\n");
        }
    }
    void *self = open_source();
    const struct domain *domains;
    assert_int_equal(source_rapl_powercap.domains(self, &domains), 48);
    assert_string_equal(domains[0].name, "package-0-die-0");
    assert_string_equal(domains[47].name, "dram-11-die-1"); /* zone 23 comes after zone 9 */
    assert_domain(self, "package-10-die-1", DOMAIN_PACKAGE, 10, 1);
    assert_domain(self, "dram-10-die-1", DOMAIN_DRAM, 10, 1);
    source_rapl_powercap.close(self);
}

static void odd_names(void **state)
{
    put_zone("intel-rapl:0", "package-0\n", "1\n", NULL);
    put_zone("intel-rapl:1", "package-0\n", "2\n", NULL); /* two of one name */
    put_zone("intel-rapl:2", "package-0-2\n", "3\n", NULL);
    put_zone("intel-rapl:3", "package-\n", "4\n", NULL);
    put_zone("intel-rapl:4", "dram\n", "5\n", NULL); /* at the top: of no package */
    put_zone("intel-rapl:5", "a name, \"with\" {signs}\n", "6\n", NULL);
    put("intel-rapl:6", "energy_uj", "7\n"); /* no name */
    put_zone("intel-rapl:7", "a name far too long to be that of any zone that a kernel has made\n", "8\n", NULL);
    put_zone("a-zone-id-that-is-longer-than-anything-a-driver-would-make", "x\n", "9\n", NULL);
    put_zone("intel-rapl:8", "package-99999999999\n", "10\n", NULL);

    void *self = open_source();
    const struct domain *domains;
    assert_int_equal(source_rapl_powercap.domains(self, &domains), 9);
    assert_int_equal(read_one(self, "package-0").counter_uj, 1);
    assert_int_equal(read_one(self, "package-0-2").counter_uj, 2);
    assert_domain(self, "package-0-2", DOMAIN_PACKAGE, 0, -1);
    assert_int_equal(read_one(self, "package-0-2-2").counter_uj, 3);
    assert_domain(self, "package-0-2-2", DOMAIN_OTHER, -1, -1);
    assert_domain(self, "package-", DOMAIN_OTHER, -1, -1);
    assert_domain(self, "dram", DOMAIN_DRAM, -1, -1);
    assert_domain(self, "a_name___with___signs_", DOMAIN_OTHER, -1, -1);
    assert_int_equal(read_one(self, "intel-rapl:6").counter_uj, 7);
    uint32_t i;
    assert_string_equal(find(self, "intel-rapl:6", &i)->address, "intel-rapl:6:intel-rapl:6");
    assert_int_equal(read_one(self, "intel-rapl:7").counter_uj, 8);
    assert_domain(self, "package-99999999999", DOMAIN_OTHER, -1, -1);
    source_rapl_powercap.close(self);
}

static void a_link_back_to_the_parent_ends(void **state)
{
    put_zone("intel-rapl:0", "package-0\n", "1\n", NULL);
    assert_int_equal(symlink("../intel-rapl:0", scratch_path(&s, "sys/class/powercap/intel-rapl:0/device")), 0);
    assert_int_equal(symlink("intel-rapl:0", scratch_path(&s, "sys/class/powercap/intel-rapl:7")), 0);
    void *self = open_source();
    const struct domain *domains;
    assert_int_equal(source_rapl_powercap.domains(self, &domains), 2);
    source_rapl_powercap.close(self);
}

static void too_many_zones(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self;

    for (int i = 0; i <= DOMAINS_MAX; i++) {
        char zone[64];
        snprintf(zone, sizeof(zone), "intel-rapl:%d", i);
        put(zone, "energy_uj", "1\n");
    }
    assert_int_equal(source_rapl_powercap.open(&args, &self, &err), -E2BIG);
    assert_non_null(strstr(err.msg, "128"));
}

static void no_hardware(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self;

    assert_int_equal(source_rapl_powercap.probe(&args, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "modprobe"));
    assert_int_equal(source_rapl_powercap.open(&args, &self, &err), -ENODEV);
    put("intel-rapl", "enabled", "1\n"); /* the control type alone */
    assert_int_equal(source_rapl_powercap.probe(&args, &err), -ENODEV);
    assert_null(source_rapl_powercap.close(NULL));
}

/* Runs without the right to read what is 0000: as nobody when we are root. */
static void drop_rights(void)
{
    if (geteuid() == 0)
        assert_int_equal(seteuid(NOBODY), 0);
}

static void regain_rights(void)
{
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
}

static void set_mode(const char *zone, mode_t mode)
{
    char path[256];

    snprintf(path, sizeof(path), "sys/class/powercap/%s/energy_uj", zone);
    assert_int_equal(chmod(scratch_path(&s, path), mode), 0);
}

static void unreadable_counters(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self = NULL;

    put_zone("intel-rapl:0", "package-0\n", "1\n", "262143328850\n");
    put_zone("intel-rapl:1", "package-1\n", "2\n", "262143328850\n");
    set_mode("intel-rapl:0", 0);
    set_mode("intel-rapl:1", 0);

    drop_rights();
    int probed = source_rapl_powercap.probe(&args, &err);
    int opened = source_rapl_powercap.open(&args, &self, NULL);
    regain_rights();
    assert_int_equal(probed, -EACCES);
    assert_int_equal(opened, -EACCES);
    assert_non_null(strstr(err.msg, "intel-rapl:0/energy_uj"));
    assert_non_null(strstr(err.msg, "CAP_DAC_READ_SEARCH"));
    assert_non_null(strstr(err.msg, "chmod a+r"));

    /* one of two is enough to run; the other is taken up when it becomes readable */
    set_mode("intel-rapl:1", 0444);
    drop_rights();
    probed = source_rapl_powercap.probe(&args, NULL);
    opened = source_rapl_powercap.open(&args, &self, NULL);
    int n = opened == 0 ? source_rapl_powercap.read(self, 1, readings, &err) : -1;
    regain_rights();
    assert_int_equal(probed, 0);
    assert_int_equal(opened, 0);
    assert_int_equal(n, 2);
    assert_int_equal(readings[0].status, -EACCES);
    assert_int_equal(readings[1].status, 0);
    assert_int_equal(readings[1].counter_uj, 2);
    assert_int_equal(err.code, EACCES);

    set_mode("intel-rapl:0", 0444);
    assert_int_equal(read_one(self, "package-0").counter_uj, 1);
    source_rapl_powercap.close(self);
}

static void unreadable_contents(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"", -ENODATA},
        {"many\n", -EPROTO},
        {"-1\n", -EPROTO},
        {"99999999999999999999999\n", -EPROTO},
        {"18446744073709551615\n", 0},
        {" 12 \n", 0},
    };

    put_zone("intel-rapl:0", "package-0\n", "1\n", "nonsense\n");
    void *self = open_source();
    assert_int_equal(read_one(self, "package-0").modulus_uj, 0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        put("intel-rapl:0", "energy_uj", cases[i].text);
        assert_int_equal(read_one(self, "package-0").status, cases[i].status);
    }
    put("intel-rapl:0", "energy_uj",
        "1111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111\n");
    assert_int_equal(read_one(self, "package-0").status, -E2BIG);
    source_rapl_powercap.close(self);
}

static void moduli(void **state)
{
    assert_int_equal(rapl_modulus_uj(262143328850), 262143328911); /* 61035 nJ */
    assert_int_equal(rapl_modulus_uj(65712999613), 65712999628);   /* 15300 nJ */
    assert_int_equal(rapl_modulus_uj(65532610987), 65532611002);   /* 15258 nJ, AMD */
    assert_int_equal(rapl_modulus_uj(4294967295), 4294967296);     /* 1000 nJ */
    assert_int_equal(rapl_modulus_uj(262143328851), 262143328851); /* no unit explains it */
    assert_int_equal(rapl_modulus_uj(262143328849), 262143328849);
    assert_int_equal(rapl_modulus_uj(10000), 10000);
    assert_int_equal(rapl_modulus_uj(0), 0);
    assert_int_equal(rapl_modulus_uj(UINT64_MAX), UINT64_MAX);
    for (uint64_t unit_nj = 1; unit_nj < 2000000; unit_nj += 997) {
        uint64_t range = UINT32_MAX * unit_nj / 1000, modulus = (unit_nj << 32) / 1000;
        assert_int_equal(rapl_modulus_uj(range), modulus);
    }
}

static void description(void **state)
{
    struct buf out;

    put_zone("intel-rapl:0", "package-0\n", "1\n", "262143328850\n");
    put("intel-rapl:0", "constraint_0_max_power_uw", "376000000\n");
    put_zone("intel-rapl:1", "psys\n", "1\n", NULL);
    put("intel-rapl:1", "constraint_0_power_limit_uw", "9000000000\n"); /* a filler */
    void *self = open_source();
    buf_init(&out, 4096);
    source_rapl_powercap.describe(self, &out);
    assert_string_equal(buf_str(&out), "read by powercap, microjoules as the kernel rounds them; rapl.mode is auto: "
                                       "the first of perf, sysfs and msr that works\n"
                                       "package-0: intel-rapl:0, wraps at 262143.328911 J, at most 752 W believed\n"
                                       "psys: intel-rapl:1, range not readable: a wrap is counted as a reset\n");
    buf_done(&out);
    source_rapl_powercap.close(self);
}

static void registered(void **state)
{
    assert_true(source_registry_count >= 2);
    assert_ptr_equal(source_registry[source_registry_count - 1], &source_model_tdp); /* what measures comes first */
    for (size_t i = 0; i < source_registry_count; i++) {
        assert_non_null(source_registry[i]->probe);
        assert_non_null(source_registry[i]->open);
        assert_non_null(source_registry[i]->domains);
        assert_non_null(source_registry[i]->read);
        assert_non_null(source_registry[i]->close);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(zones_of_a_server),
        TEST(addresses_for_other_ways),
        TEST(dies_and_many_zones),
        TEST(odd_names),
        TEST(a_link_back_to_the_parent_ends),
        TEST(too_many_zones),
        TEST(no_hardware),
        TEST(unreadable_counters),
        TEST(unreadable_contents),
        TEST(moduli),
        TEST(description),
        TEST(registered),
    };

    return cmocka_run_group_tests_name("rapl_powercap", tests, NULL, NULL);
}
