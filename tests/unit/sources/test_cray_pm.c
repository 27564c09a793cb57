/* SPDX-License-Identifier: Apache-2.0 */
/* Cray's counters on trees written by each test, and on a recorded one. A set that changes while it is read is made by
 * standing in front of the function that reads the file "freshness". */
#include "recorded.h"

#include <inttypes.h>
#include <stdio.h>

#include "sources/cray_pm.h"
#include "sources/registry.h"

#define PM "sys/cray/pm_counters/"

static struct scratch s;
static struct source_args args;
static struct reading readings[DOMAINS_MAX];

/* Called after each reading of "freshness", with how many there were. */
static void (*after_freshness)(int count);
static int freshness_count;

ssize_t __real_fsroot_read_line(const struct fsroot *root, const char *path, char *buf, size_t size,
                                struct carnot_err *err);
ssize_t __wrap_fsroot_read_line(const struct fsroot *root, const char *path, char *buf, size_t size,
                                struct carnot_err *err);

ssize_t __wrap_fsroot_read_line(const struct fsroot *root, const char *path, char *buf, size_t size,
                                struct carnot_err *err)
{
    ssize_t n = __real_fsroot_read_line(root, path, buf, size, err);

    if (after_freshness && strcmp(path, "cray/pm_counters/freshness") == 0)
        after_freshness(++freshness_count);
    return n;
}

static int setup(void **state)
{
    scratch_init(&s);
    args = (struct source_args){.env = &s.env};
    after_freshness = NULL;
    freshness_count = 0;
    return 0;
}

static int teardown(void **state)
{
    scratch_done(&s);
    return 0;
}

static void put(const char *file, const char *text)
{
    char path[128];

    assert_true(snprintf(path, sizeof(path), PM "%s", file) < (int)sizeof(path));
    scratch_write(&s, path, text);
}

static void put_energy(const char *file, uint64_t joules, uint64_t sampled_us)
{
    char text[96];

    snprintf(text, sizeof(text), "%" PRIu64 " J %" PRIu64 " us\n", joules, sampled_us);
    put(file, text);
}

static void *open_source(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self = NULL;

    assert_int_equal(source_cray_pm.probe(&args, &err), 0);
    assert_int_equal(source_cray_pm.open(&args, &self, &err), 0);
    return self;
}

static const struct domain *domain_at(const void *self, size_t i, const char *name)
{
    const struct domain *domains;

    assert_true(source_cray_pm.domains(self, &domains) > i);
    assert_string_equal(domains[i].name, name);
    assert_string_equal(domains[i].source, "cray_pm");
    assert_int_equal(domains[i].quality, QUALITY_MEASURED);
    assert_true(domains[i].lasting);
    return &domains[i];
}

static struct reading read_one(void *self, uint64_t now_ns, size_t i, struct carnot_err *err)
{
    assert_true(source_cray_pm.read(self, now_ns, readings, err) > (int)i);
    assert_int_equal(readings[i].domain, i);
    assert_int_equal(readings[i].mono_ns, now_ns);
    assert_int_equal(readings[i].modulus_uj, 0);
    return readings[i];
}

static void lines(void **state)
{
    static const struct {
        const char *text, *unit;
        int result;
        uint64_t value, sampled_us;
    } cases[] = {
        {"1360621494 J 1734094386309238 us\n", "J", 0, 1360621494, 1734094386309238},
        {"873 W 1734094386309238 us\n", "W", 0, 873, 1734094386309238},
        {"0 W\n", "W", 0, 0, 0},
        {"48 C 1734094386060680 us", "C", 0, 48, 1734094386060680},
        {"18446744073709551615 J 18446744073709551615 us", "J", 0, UINT64_MAX, UINT64_MAX},
        {"", "J", -ENODATA, 0, 0},
        {" \n", "J", -ENODATA, 0, 0},
        {"12", "J", -EPROTO, 0, 0},
        {"12 W", "J", -EPROTO, 0, 0},
        {"12 J 5", "J", -EPROTO, 0, 0},
        {"12 J 5 ms", "J", -EPROTO, 0, 0},
        {"12 J 5 us more", "J", -EPROTO, 0, 0},
        {"12.5 J 5 us", "J", -EPROTO, 0, 0},
        {"-12 J 5 us", "J", -EPROTO, 0, 0},
        {"J 12 us", "J", -EPROTO, 0, 0},
        {"18446744073709551616 J 5 us", "J", -ERANGE, 0, 0},
        {"1 J 18446744073709551616 us", "J", -ERANGE, 0, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct cray_pm_value value = {7, 7};
        assert_int_equal(cray_pm_parse(text_of(cases[i].text), cases[i].unit, &value), cases[i].result);
        assert_int_equal(value.value, cases[i].result ? 7 : cases[i].value);
        assert_int_equal(value.sampled_us, cases[i].result ? 7 : cases[i].sampled_us);
    }
}

static void names(void **state)
{
    struct topology_cpu cpus[] = {{.package = 36}, {.package = 8}, {.package = -1}, {.package = 36}};
    struct topology topology = {.cpus = cpus, .n_cpus = ELEMENTSOF(cpus)};
    static const char *const no[] = {"power",           "cpu_power",
                                     "_energy",         "accel_energy",
                                     "cpux_energy",     "fan_energy",
                                     "energy_energy",   "cpu0_energy_cap",
                                     "freshness",       "cpu0_temp",
                                     "Energy",          "accel-1_energy",
                                     "cpu99999_energy", ""};
    struct domain d;

    for (size_t i = 0; i < ELEMENTSOF(no); i++)
        assert_false(cray_pm_domain(no[i], NULL, &d));
    assert_true(cray_pm_domain("cpu1_energy", &topology, &d));
    assert_string_equal(d.name, "cpu-1-cray");
    assert_int_equal(d.package, 36); /* the second in order */
    assert_true(cray_pm_domain("cpu0_energy", &topology, &d));
    assert_int_equal(d.package, 8);
    assert_true(cray_pm_domain("memory2_energy", &topology, &d));
    assert_int_equal(d.kind, DOMAIN_DRAM);
    assert_int_equal(d.package, 2); /* more sockets than packages */
    assert_true(cray_pm_domain("cpu1_energy", NULL, &d));
    assert_int_equal(d.package, 1);
}

static void put_node(uint64_t step)
{
    put_energy("energy", 2000 + 90 * step, 5000000 + step * 100000);
    put_energy("cpu_energy", 300 + 20 * step, 5000001 + step * 100000);
    put_energy("memory_energy", 100 + 5 * step, 5000002 + step * 100000);
    put_energy("accel0_energy", 200 + 25 * step, 5000003 + step * 100000);
    put_energy("accel10_energy", 210 + 30 * step, 5000004 + step * 100000);
    put_energy("accel2_energy", 220, 5000005 + step * 100000);
}

static void a_node(void **state)
{
    const struct domain *domains;

    put_node(0);
    put("freshness", "128950022\n");
    put("power", "873 W 1734094386309238 us\n");
    put("power_cap", "0 W\n");
    put("version", "3\n");
    void *self = open_source();
    assert_int_equal(source_cray_pm.domains(self, &domains), 6);
    assert_int_equal(domain_at(self, 0, "host-cray")->kind, DOMAIN_HOST);
    assert_int_equal(domain_at(self, 1, "cpu-cray")->kind, DOMAIN_PACKAGE);
    assert_int_equal(domain_at(self, 1, "cpu-cray")->package, -1);
    assert_int_equal(domain_at(self, 2, "memory-cray")->kind, DOMAIN_DRAM);
    assert_int_equal(domain_at(self, 3, "accel-0-cray")->kind, DOMAIN_GPU);
    domain_at(self, 4, "accel-2-cray");
    domain_at(self, 5, "accel-10-cray");

    assert_int_equal(read_one(self, 10, 0, NULL).counter_uj, 2000000000);
    assert_int_equal(readings[5].counter_uj, 210000000);
    assert_int_equal(read_one(self, 20, 0, NULL).status, -ENODATA); /* the same sample */
    put_node(1);
    assert_int_equal(read_one(self, 30, 0, NULL).status, 0);
    assert_int_equal(readings[0].counter_uj, 2090000000);
    assert_int_equal(readings[4].status, 0); /* no joule more, but a new sample */
    assert_int_equal(readings[4].counter_uj, 220000000);

    struct domain copy[DOMAINS_MAX];
    struct domain_rest rest;
    uint64_t energy_uj[DOMAINS_MAX], excess_uj;
    memcpy(copy, domains, 6 * sizeof(*copy));
    domains_mark_total(copy, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(copy[i].in_total, i == 0); /* the node holds all others */
        energy_uj[i] = readings[i].counter_uj;
    }
    assert_int_equal(domain_rest(copy, 6, 0, &rest), 0);
    assert_int_equal(rest.n_parts, 5);
    assert_int_equal(domain_rest_uj(&rest, energy_uj[0], energy_uj, &excess_uj), 980000000);
    assert_int_equal(excess_uj, 0);
    assert_null(source_cray_pm.close(self));
}

static void nothing_new_for_long(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    put_energy("energy", 5, 100);
    void *self = open_source();
    assert_int_equal(read_one(self, NS_PER_SEC, 0, &err).status, 0);
    assert_int_equal(read_one(self, 31 * NS_PER_SEC, 0, &err).status, -ENODATA);
    assert_int_equal(err.code, 0); /* nothing to complain of */
    assert_int_equal(read_one(self, 31 * NS_PER_SEC + 1, 0, &err).status, -ESTALE);
    assert_non_null(strstr(err.msg, "cray/pm_counters/energy"));
    put_energy("energy", 5, 101);
    assert_int_equal(read_one(self, 32 * NS_PER_SEC, 0, NULL).status, 0);
    put_energy("energy", 6, 90); /* the controller's clock was set back: still a new sample */
    assert_int_equal(read_one(self, 33 * NS_PER_SEC, 0, NULL).status, 0);
    put("energy", "7 J\n"); /* without a time */
    assert_int_equal(read_one(self, 34 * NS_PER_SEC, 0, NULL).status, 0);
    assert_int_equal(read_one(self, 35 * NS_PER_SEC, 0, NULL).status, 0);
    assert_int_equal(readings[0].counter_uj, 7000000);
    source_cray_pm.close(self);
}

/* The set changes once, after the second file of "freshness" was due, that is while the counters were read. */
static void change_once(int count)
{
    if (count != 1)
        return;
    put_node(1);
    put("freshness", "2\n");
}

static void change_always(int count)
{
    char text[16];

    snprintf(text, sizeof(text), "%d\n", count + 100);
    put("freshness", text);
}

static void a_set_that_changes_while_read(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    put_node(0);
    put("freshness", "1\n");
    void *self = open_source();
    after_freshness = change_once;
    assert_int_equal(read_one(self, 1, 0, NULL).counter_uj, 2090000000);
    assert_int_equal(freshness_count, 4); /* read twice */
    assert_int_equal(readings[1].counter_uj, 320000000);

    put_node(2);
    freshness_count = 0;
    after_freshness = change_always;
    assert_int_equal(read_one(self, 2, 0, &err).status, -EAGAIN);
    assert_int_equal(freshness_count, 8); /* once, and three times more */
    assert_non_null(strstr(err.msg, "nothing is lost"));
    after_freshness = NULL;
    assert_int_equal(read_one(self, 3, 0, NULL).status, 0); /* nothing was lost */
    assert_int_equal(readings[0].counter_uj, 2180000000);
    source_cray_pm.close(self);
}

static void files_that_go_and_break(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    put_node(0);
    void *self = open_source();
    scratch_remove(&s, PM "cpu_energy");
    put("memory_energy", "100 W 5 us\n");
    put("accel0_energy", "");
    put("accel2_energy", "18446744073710 J 5 us\n"); /* a microjoule more than 64 bits hold */
    assert_int_equal(read_one(self, 1, 0, &err).status, 0);
    assert_int_equal(readings[1].status, -ENOENT);
    assert_int_equal(readings[2].status, -EPROTO);
    assert_int_equal(readings[3].status, -ENODATA);
    assert_int_equal(readings[4].status, -ERANGE);
    assert_int_equal(readings[5].status, 0);
    assert_non_null(strstr(err.msg, "cpu_energy")); /* the first is told */
    put_node(1);
    assert_int_equal(read_one(self, 2, 1, NULL).status, 0); /* back again */
    source_cray_pm.close(self);
}

static void absent_and_too_many(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self;

    assert_int_equal(source_cray_pm.probe(&args, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "cray/pm_counters"));
    assert_int_equal(source_cray_pm.open(&args, &self, &err), -ENODEV);
    put("power", "1 W\n"); /* a power alone counts nothing */
    assert_int_equal(source_cray_pm.probe(&args, NULL), -ENODEV);
    for (unsigned i = 0; i < 41; i++) {
        char file[32];
        snprintf(file, sizeof(file), "accel%u_energy", i);
        put_energy(file, i, 1);
    }
    assert_int_equal(source_cray_pm.open(&args, &self, &err), -E2BIG);
    assert_null(source_cray_pm.close(NULL));
}

static void no_right_to_read(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self = NULL;

    put_node(0);
    assert_int_equal(chmod(scratch_path(&s, "sys/cray"), 0), 0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    int probed = source_cray_pm.probe(&args, &err), opened = source_cray_pm.open(&args, &self, NULL);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(scratch_path(&s, "sys/cray"), 0755), 0);
    assert_int_equal(probed, -EACCES);
    assert_int_equal(opened, -EACCES);
    assert_non_null(strstr(err.msg, "CAP_DAC_READ_SEARCH"));
}

static void description(void **state)
{
    struct buf out;

    put_energy("energy", 1, 1);
    void *self = open_source();
    buf_init(&out, 4096);
    source_cray_pm.describe(self, &out);
    assert_string_equal(buf_str(&out), "host-cray: cray/pm_counters/energy, whole joules, ten samples a second\n");
    buf_done(&out);
    source_cray_pm.close(self);
}

/* The same node as other tools saw it: the joules and watts that they printed. */
static void recorded_node(void **state)
{
    static const struct {
        const char *name;
        uint64_t joules;
    } expected[] = {
        {"host-cray", 1360621494},   {"cpu-cray", 139431088},     {"memory-cray", 104283458},
        {"accel-0-cray", 208970342}, {"accel-1-cray", 268461017}, {"accel-2-cray", 271696890},
        {"accel-3-cray", 251713932},
    };
    static const struct {
        const char *file;
        uint64_t watts;
    } powers[] = {{"power", 873},        {"cpu_power", 83},     {"memory_power", 75}, {"accel0_power", 99},
                  {"accel1_power", 197}, {"accel2_power", 263}, {"accel3_power", 123}};
    const struct domain *domains;

    RECORDED_OR_SKIP(&s, "sys.tar.gz", "sys/cray");
    void *self = open_source();
    assert_int_equal(source_cray_pm.domains(self, &domains), ELEMENTSOF(expected));
    assert_int_equal(source_cray_pm.read(self, 1, readings, NULL), ELEMENTSOF(expected));
    for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
        domain_at(self, i, expected[i].name);
        assert_int_equal(readings[i].status, 0);
        assert_int_equal(readings[i].counter_uj, expected[i].joules * 1000000);
    }
    source_cray_pm.close(self);
    for (size_t i = 0; i < ELEMENTSOF(powers); i++) {
        char path[64], text[96];
        struct cray_pm_value value;
        snprintf(path, sizeof(path), "cray/pm_counters/%s", powers[i].file);
        ssize_t n = fsroot_read(&s.env.sys, path, text, sizeof(text), NULL);
        assert_true(n > 0);
        assert_int_equal(cray_pm_parse((struct text){text, (size_t)n}, "W", &value), 0);
        assert_int_equal(value.value, powers[i].watts);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines),
        TEST(names),
        TEST(a_node),
        TEST(nothing_new_for_long),
        TEST(a_set_that_changes_while_read),
        TEST(files_that_go_and_break),
        TEST(absent_and_too_many),
        TEST(no_right_to_read),
        TEST(description),
        TEST(recorded_node),
    };

    return cmocka_run_group_tests_name("cray_pm", tests, NULL, NULL);
}
