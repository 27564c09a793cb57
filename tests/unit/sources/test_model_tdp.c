/* SPDX-License-Identifier: Apache-2.0 */
/* The power model: its formula, the choice of TDP, exact integration over given times, memory. */
#include "scratch.h"

#include <math.h>
#include <stdio.h>

#include "sources/cpu_table.h"
#include "sources/model_tdp.h"
#include "sources/proc_stat.h"
#include "sources/registry.h"

#define CPUS 4

static struct scratch s;
static struct topology_cpu cpus[CPUS];
static struct topology topology;
static struct model_tdp_settings settings;
static struct source_args args;
static struct reading readings[DOMAINS_MAX];

/* CPUs 0 and 1 on package 0, 2 and 3 on package 1, no SMT. */
static int setup(void **state)
{
    scratch_init(&s);
    for (int i = 0; i < CPUS; i++)
        cpus[i] = (struct topology_cpu){.package = i / 2, .core = i, .first_sibling = i, .online = true};
    topology = (struct topology){.cpus = cpus, .n_cpus = CPUS, .n_online = CPUS, .n_packages = 2, .n_cores = CPUS};
    settings = (struct model_tdp_settings){.tdp_watts = 85, .idle_ratio = 0.2, .gamma = 0.8};
    settings.memory_watts_per_gb = 0.375;
    args = (struct source_args){.env = &s.env, .topology = &topology, .settings = &settings};
    return 0;
}

static int teardown(void **state)
{
    scratch_done(&s);
    return 0;
}

/* Busy and idle ticks of each CPU since boot. */
static void put_stat(const uint64_t busy[CPUS], const uint64_t idle[CPUS])
{
    char text[2048];
    int n = snprintf(text, sizeof(text), "cpu  1 2 3 4 5 6 7 8 9 10\n");

    for (int i = 0; i < CPUS; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "cpu%d %llu 0 0 %llu 0 0 0 0 0 0\n", i,
                      (unsigned long long)busy[i], (unsigned long long)idle[i]);
    snprintf(text + n, sizeof(text) - (size_t)n, "intr 1 2 3\nctxt 5\n");
    scratch_write(&s, "proc/stat", text);
}

static void *open_source(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self = NULL;

    assert_int_equal(source_model_tdp.probe(&args, &err), 0);
    assert_int_equal(source_model_tdp.open(&args, &self, &err), 0);
    return self;
}

static void assert_watts(double got, double expected)
{
    if (fabs(got - expected) > 1e-12 * expected)
        fail_msg("%.17g W, expected %.17g W", got, expected);
}

/* Vectors of carbon-ops at a TDP of 85 W, which runs the same formula. */
static void formula(void **state)
{
    static const struct {
        double u, watts;
    } vectors[] = {
        {0, 17.0},
        {0.01, 18.708082773426515},
        {0.10, 27.77727370873557},
        {0.25, 39.431634483139206},
        {0.50, 56.055744069899184},
        {0.75, 71.02041589348943},
        {1.00, 85.0},
        {1.50, 85.0},
        {-0.5, 17.0},
    };

    for (size_t i = 0; i < ELEMENTSOF(vectors); i++)
        assert_watts(model_tdp_power_w(85, 0.2, 0.8, vectors[i].u), vectors[i].watts);
    assert_watts(model_tdp_power_w(100, 0, 1, 0.3), 30);
    assert_watts(model_tdp_power_w(100, 1, 2, 0.3), 100);
}

static void energy_of_busy_time(void **state)
{
    const struct domain *domains;

    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){1000, 1000, 1000, 1000});
    void *self = open_source();
    assert_int_equal(source_model_tdp.domains(self, &domains), 2); /* no meminfo, no memory */
    assert_string_equal(domains[1].name, "package-1");
    assert_int_equal(domains[1].kind, DOMAIN_PACKAGE);
    assert_int_equal(domains[1].package, 1);
    assert_int_equal(domains[1].quality, QUALITY_MODELLED);
    assert_int_equal(domains[1].idle_uw, 17000000);
    assert_int_equal(domains[1].max_uw, 85000000);

    assert_int_equal(source_model_tdp.read(self, 10 * NS_PER_SEC, readings, NULL), 2);
    assert_int_equal(readings[0].counter_uj, 0); /* no time has passed yet */
    assert_int_equal(readings[0].modulus_uj, 0);

    /* package 0: one CPU busy, one idle: u = 0.5; package 1 idle */
    put_stat((uint64_t[]){100, 0, 0, 0}, (uint64_t[]){1000, 1100, 1100, 1100});
    source_model_tdp.read(self, 11 * NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[0].mono_ns, 11 * NS_PER_SEC);
    assert_int_equal(readings[0].counter_uj, 56055744);
    assert_int_equal(readings[1].counter_uj, 17000000);

    /* both full for 3 s */
    put_stat((uint64_t[]){400, 300, 300, 300}, (uint64_t[]){1000, 1100, 1100, 1100});
    source_model_tdp.read(self, 14 * NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[0].counter_uj, 56055744 + 255000000);
    assert_int_equal(readings[1].counter_uj, 17000000 + 255000000);
    source_model_tdp.close(self);
}

/* 1/3 uW steps must not be lost: 1000 readings of 1 ms at 17.000001 W. */
static void remainders_are_carried(void **state)
{
    settings.tdp_watts = 85.000005;
    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){1000, 1000, 1000, 1000});
    void *self = open_source();
    for (uint64_t ns = 0; ns <= NS_PER_SEC; ns += NS_PER_MS / 3 + 1)
        source_model_tdp.read(self, ns, readings, NULL);
    source_model_tdp.read(self, NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[0].counter_uj, 17000001);
    source_model_tdp.close(self);
}

static void short_intervals_keep_the_last_share(void **state)
{
    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){0, 0, 0, 0});
    void *self = open_source();
    source_model_tdp.read(self, 0, readings, NULL);
    put_stat((uint64_t[]){100, 100, 0, 0}, (uint64_t[]){0, 0, 100, 100});
    source_model_tdp.read(self, NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[0].counter_uj, 85000000);

    /* 20 ms later one tick of idleness: noise; but these ticks are not lost for the next interval */
    put_stat((uint64_t[]){101, 101, 0, 0}, (uint64_t[]){1, 1, 102, 102});
    source_model_tdp.read(self, NS_PER_SEC + 20 * NS_PER_MS, readings, NULL);
    assert_int_equal(readings[0].counter_uj, 85000000 + 1700000);
    put_stat((uint64_t[]){150, 150, 0, 0}, (uint64_t[]){50, 50, 200, 200});
    source_model_tdp.read(self, 2 * NS_PER_SEC, readings, NULL);
    /* u = 100 / 200 over the whole second, applied to the 980 ms since the last reading */
    assert_int_equal(readings[0].counter_uj, 85000000 + 1700000 + 54934629);
    source_model_tdp.close(self);
}

static void reset_forgets_the_baseline(void **state)
{
    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){0, 0, 0, 0});
    void *self = open_source();
    source_model_tdp.read(self, 0, readings, NULL);
    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){100, 100, 100, 100});
    source_model_tdp.read(self, NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[0].counter_uj, 17000000);
    source_model_tdp.reset(self, 5 * NS_PER_SEC);
    put_stat((uint64_t[]){900, 900, 900, 900}, (uint64_t[]){100, 100, 100, 100});
    source_model_tdp.read(self, 9 * NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[0].counter_uj, 17000000); /* a baseline, no energy */
    put_stat((uint64_t[]){900, 900, 900, 900}, (uint64_t[]){200, 200, 200, 200});
    source_model_tdp.read(self, 10 * NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[0].counter_uj, 34000000);
    source_model_tdp.close(self);
}

static void memory(void **state)
{
    const struct domain *domains;

    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){0, 0, 0, 0});
    scratch_write(&s, "proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB\n");
    void *self = open_source();
    assert_int_equal(source_model_tdp.domains(self, &domains), 3);
    assert_string_equal(domains[2].name, "dram-0");
    assert_int_equal(domains[2].kind, DOMAIN_DRAM);
    assert_int_equal(domains[2].package, -1);
    assert_int_equal(domains[2].max_uw, 6000000);

    assert_int_equal(source_model_tdp.read(self, NS_PER_SEC, readings, NULL), 3);
    assert_true(readings[2].idle_uw == DOMAIN_ALL_IDLE);
    assert_int_equal(readings[2].counter_uj, 0);
    source_model_tdp.read(self, 3 * NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[2].counter_uj, 6000000); /* 8 GB x 0.375 W x 2 s */
    scratch_write(&s, "proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 16777216 kB\n");
    source_model_tdp.read(self, 4 * NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[2].counter_uj, 6000000);
    assert_true(readings[2].idle_uw == DOMAIN_ALL_IDLE);
    scratch_write(&s, "proc/meminfo", "nothing\n");
    source_model_tdp.read(self, 5 * NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[2].status, -EPROTO);
    assert_int_equal(readings[0].status, 0);
    source_model_tdp.close(self);
}

static void broken_stat(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self;

    assert_int_equal(source_model_tdp.probe(&args, &err), -ENODEV);
    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){0, 0, 0, 0});
    self = open_source();
    source_model_tdp.read(self, 0, readings, NULL);
    scratch_write(&s, "proc/stat", "no cpus here\n");
    assert_int_equal(source_model_tdp.read(self, NS_PER_SEC, readings, &err), 2);
    assert_int_equal(readings[1].status, -EPROTO);
    assert_int_equal(err.code, EPROTO);
    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){200, 200, 200, 200});
    source_model_tdp.read(self, 2 * NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[1].status, 0);
    assert_int_equal(readings[1].counter_uj, 34000000); /* the whole time, the failed second included */
    source_model_tdp.close(self);
}

static void stat_text(void **state)
{
    struct text rest = text_of("cpu  1 1 1 1 1 1 1 1\n"
                               "cpu0 10 20 30 400 50 6 7 8 9 10\n"
                               "cpu7 10 20 30 400\n"
                               "cpux 1\ncpu3 a\n"
                               "cpu12 1 2 3 4 5 6 7 8");
    struct proc_stat_cpu cpu;

    assert_true(proc_stat_next_cpu(&rest, &cpu));
    assert_int_equal(cpu.cpu, 0);
    assert_int_equal(cpu.busy, 10 + 20 + 30 + 6 + 7); /* guest is in user, steal is not ours */
    assert_int_equal(cpu.total, 10 + 20 + 30 + 400 + 50 + 6 + 7 + 8);
    assert_true(proc_stat_next_cpu(&rest, &cpu));
    assert_int_equal(cpu.cpu, 7);
    assert_int_equal(cpu.total, 460);
    assert_false(proc_stat_next_cpu(&rest, &cpu)); /* the last line was cut */
}

static void meminfo_text(void **state)
{
    uint64_t used, total;

    assert_int_equal(
        meminfo_used_bytes(text_of("MemTotal: 10 kB\nMemFree: 2 kB\nBuffers: 1 kB\nCached: 3 kB\n"), &used, &total), 0);
    assert_int_equal(used, 4096);
    assert_int_equal(total, 10240);
    assert_int_equal(meminfo_used_bytes(text_of("MemFree: 2 kB\n"), &used, &total), -EINVAL);
    assert_int_equal(meminfo_used_bytes(text_of("MemTotal: 1 kB\nMemAvailable: 2 kB\n"), &used, &total), 0);
    assert_int_equal(used, 0);
}

static void cpu_names(void **state)
{
    static const struct {
        const char *name, *pattern;
    } cases[] = {
        {"Intel(R) Xeon(R) CPU E5-2690 v4 @ 2.60GHz", "E5-2690 v4"},
        {"Intel(R) Xeon(R) CPU E5-2690 0 @ 2.90GHz", "E5-2690"},
        {"Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz", "Gold 6248R"},
        {"Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", "Gold 6248"},
        {"Intel(R) Xeon(R) Platinum 8480+", "Platinum 8480+"},
        {"AMD EPYC 7763 64-Core Processor", "EPYC 7763"},
        {"AMD Ryzen 7 5800X3D 8-Core Processor", "Ryzen 7 5800X3D"},
        {"12th Gen Intel(R) Core(TM) i5-1240P", "i5-1240P"},
        {"AMD EPYC 77631 x", NULL},
        {"AMD EPYC", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const struct cpu_part *part = cpu_table_find(cases[i].name);
        if (!cases[i].pattern) {
            assert_null(part);
            continue;
        }
        assert_non_null(part);
        assert_string_equal(part->pattern, cases[i].pattern);
        assert_true(part->tdp_w >= 15 && part->tdp_w <= 500 && part->threads >= 4);
    }
    assert_string_equal(cpu_table_generation("AuthenticAMD", 26, 2)->name, "Turin");
    assert_string_equal(cpu_table_generation("GenuineIntel", 6, 143)->name, "Sapphire Rapids");
    assert_null(cpu_table_generation("GenuineIntel", 6, 142));
    assert_null(cpu_table_generation("", 0, 0));
}

/* Opens on a machine of that name, gives the TDP of package 0 and its quality, and looks for a phrase in describe(). */
static void assert_tdp(const char *vendor, uint32_t family, uint32_t model, const char *name, bool hypervisor,
                       uint64_t tdp_uw, enum quality quality, const char *phrase)
{
    const struct domain *domains;
    struct buf out;

    topology.family = family;
    topology.model = model;
    topology.hypervisor = hypervisor;
    snprintf(topology.vendor, sizeof(topology.vendor), "%s", vendor);
    snprintf(topology.model_name, sizeof(topology.model_name), "%s", name);
    void *self = open_source();
    source_model_tdp.domains(self, &domains);
    assert_int_equal(domains[0].max_uw, tdp_uw);
    assert_int_equal(domains[0].quality, quality);
    buf_init(&out, 4096);
    source_model_tdp.describe(self, &out);
    if (!strstr(buf_str(&out), phrase))
        fail_msg("no \"%s\" in: %s", phrase, buf_str(&out));
    buf_done(&out);
    source_model_tdp.close(self);
}

static void choice_of_tdp(void **state)
{
    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){0, 0, 0, 0});
    settings.tdp_watts = 0;
    /* 2 CPUs on each package */
    assert_tdp("AuthenticAMD", 25, 1, "AMD EPYC 7763 64-Core Processor", true, 4375000, QUALITY_MODELLED,
               "EPYC 7763, 280 W, for 2 of the 128 threads");
    assert_tdp("AuthenticAMD", 25, 1, "AMD EPYC 7763 64-Core Processor", false, 4375000, QUALITY_MODELLED,
               "2 of the 128");
    assert_tdp("AuthenticAMD", 26, 2, "AMD EPYC", true, 3906250, QUALITY_MODELLED, "Turin by family and model");
    assert_tdp("GenuineIntel", 6, 85, "Intel Xeon Processor", true, 7321429, QUALITY_MODELLED, "205 W / 56 threads");
    assert_tdp("GenuineIntel", 15, 6, "Common KVM processor", true, 5000000, QUALITY_DEFAULT,
               "2.50 W for each of 2 CPUs");
    assert_tdp("", 0, 0, "", false, 85000000, QUALITY_DEFAULT, "set model.tdp-watts");
    settings.tdp_watts = 120;
    assert_tdp("AuthenticAMD", 26, 2, "AMD EPYC", true, 120000000, QUALITY_MODELLED, "set by model.tdp-watts");
}

static void whole_part_with_smt_off(void **state)
{
    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){0, 0, 0, 0});
    settings.tdp_watts = 0;
    for (int i = 0; i < CPUS; i++)
        cpus[i].package = 0;
    /* 8 threads, of which SMT off leaves 4 */
    assert_tdp("GenuineIntel", 6, 142, "Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", false, 15000000, QUALITY_MODELLED,
               "i7-8650U, from the table");
    assert_tdp("GenuineIntel", 6, 142, "Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", true, 7500000, QUALITY_MODELLED,
               "for 4 of the 8");
}

/* ---- calibrated ---- */

static struct calibration calibration;

static void calibrate(const char *text)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    memset(&calibration, 0, sizeof(calibration));
    if (calibration_parse(text_of(text), "file", &calibration, &err) < 0)
        fail_msg("%s", err.msg);
    args.calibration = &calibration;
    settings.tdp_watts = 0;
}

static void assert_described(void *self, const char *phrase)
{
    struct buf out;

    buf_init(&out, 4096);
    source_model_tdp.describe(self, &out);
    if (!strstr(buf_str(&out), phrase))
        fail_msg("no \"%s\" in: %s", phrase, buf_str(&out));
    buf_done(&out);
}

/* An unknown processor is no default any more; its powers are those of the file, at both ends exactly. */
static void calibrated_powers(void **state)
{
    const struct domain *domains;

    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){0, 0, 0, 0});
    scratch_write(&s, "proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB\n");
    calibrate("{\"carnot_calibration\":1,\"method\":\"rapl\",\"domains\":["
              "{\"name\":\"package-0\",\"kind\":\"package\",\"package\":0,\"idle_uw\":20000000,\"loaded_uw\":60000000},"
              "{\"name\":\"package-1\",\"kind\":\"package\",\"package\":1,\"idle_uw\":21000000,\"loaded_uw\":64000000},"
              "{\"name\":\"dram-0\",\"kind\":\"dram\",\"package\":0,\"idle_uw\":2000000,\"loaded_uw\":3000000},"
              "{\"name\":\"dram-1\",\"kind\":\"dram\",\"package\":1,\"idle_uw\":2500000,\"loaded_uw\":4500000}]}");
    void *self = open_source();
    assert_int_equal(source_model_tdp.domains(self, &domains), 3);
    assert_int_equal(domains[1].idle_uw, 21000000);
    assert_int_equal(domains[1].max_uw, 64000000);
    assert_int_equal(domains[1].quality, QUALITY_MODELLED);
    assert_int_equal(domains[2].idle_uw, 4500000);
    assert_int_equal(domains[2].max_uw, 7500000);
    assert_described(self, "package-1: idle and loaded power from the calibration; power = 21.00 W + 43.00 W * u^0.8");
    assert_described(self, "dram-0: 4.50 W + 3.00 W * busy share of all CPUs, from the calibration");

    source_model_tdp.read(self, 0, readings, NULL);
    put_stat((uint64_t[]){100, 100, 0, 0}, (uint64_t[]){0, 0, 100, 100}); /* package 0 full, package 1 idle */
    source_model_tdp.read(self, NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[0].counter_uj, 60000000);
    assert_int_equal(readings[1].counter_uj, 21000000);
    assert_int_equal(readings[2].counter_uj, 6000000); /* half of all CPUs */
    assert_int_equal(readings[2].idle_uw, 4500000);
    source_model_tdp.close(self);

    settings.tdp_watts = 85; /* by hand: stands before the file */
    self = open_source();
    source_model_tdp.domains(self, &domains);
    assert_int_equal(domains[0].idle_uw, 17000000);
    assert_described(self, "set by model.tdp-watts");
    assert_described(self, "dram-0: 0.375 W per GB");
    source_model_tdp.close(self);
}

/* EnergAt tells idle power alone: the upper end is the TDP's, and all of memory is idle. */
static void calibrated_idle_power_alone(void **state)
{
    const struct domain *domains;

    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){0, 0, 0, 0});
    calibrate("{\"pkg_base_w\":[3,2],\"dram_base_w\":[1,1],\"pkg_base_percents\":[0,0],\"dram_base_percents\":[0,0]}");
    topology.hypervisor = true; /* of an unknown processor: 2.5 W for each CPU */
    void *self = open_source();
    assert_int_equal(source_model_tdp.domains(self, &domains), 3); /* memory too, though there is no meminfo */
    assert_int_equal(domains[0].idle_uw, 3000000);
    assert_int_equal(domains[0].max_uw, 5000000);
    assert_int_equal(domains[0].quality, QUALITY_DEFAULT); /* of which that TDP is a part */
    assert_described(self, "), idle power from the calibration; power = 3.00 W + 2.00 W * u^0.8");
    assert_described(self, "dram-0: 2.00 W, from the calibration");
    source_model_tdp.read(self, 0, readings, NULL);
    put_stat((uint64_t[]){0, 0, 100, 100}, (uint64_t[]){100, 100, 0, 0});
    source_model_tdp.read(self, NS_PER_SEC, readings, NULL);
    assert_int_equal(readings[0].counter_uj, 3000000);
    assert_int_equal(readings[1].counter_uj, 5000000);
    assert_int_equal(readings[2].counter_uj, 2000000);
    assert_true(readings[2].idle_uw == DOMAIN_ALL_IDLE);
    source_model_tdp.close(self);
}

/* Bio_pype tells the node: shared among the packages by their CPUs, memory in it or not. */
static void calibrated_node_power(void **state)
{
    const struct domain *domains;

    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){0, 0, 0, 0});
    scratch_write(&s, "proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB\n");
    for (int i = 0; i < CPUS; i++)
        cpus[i].package = i == 3;
    calibrate(
        "{\"idle_w\":40,\"loaded_w\":200,\"method\":\"rapl\",\"domains\":[\"package-0\",\"package-1\",\"dram-0\"]}");
    void *self = open_source();
    assert_int_equal(source_model_tdp.domains(self, &domains), 3);
    assert_int_equal(domains[0].idle_uw, 30000000);
    assert_int_equal(domains[1].idle_uw, 10000000);
    assert_int_equal(domains[1].max_uw, 50000000);
    assert_true(domains[0].with_dram && domain_contains(&domains[0], &domains[2])); /* never added twice */
    source_model_tdp.close(self);

    calibrate("{\"idle_w\":40,\"loaded_w\":200,\"method\":\"rapl\"}");
    self = open_source();
    source_model_tdp.domains(self, &domains);
    assert_false(domain_contains(&domains[0], &domains[2]));
    source_model_tdp.close(self);
}

static void options_match_the_settings(void **state)
{
    assert_int_equal(source_model_tdp.n_options, 4);
    assert_true(source_model_tdp.flags & SOURCE_MODEL);
    assert_int_equal(source_model_tdp.min_interval_ns, NS_PER_SEC);
    const struct model_tdp_settings *defaults = source_model_tdp.settings;
    for (size_t i = 0; i < source_model_tdp.n_options; i++) {
        const struct carnot_option *option = &source_model_tdp.options[i];
        double text_value, value;
        assert_int_equal(option->type, OPTION_F64);
        assert_int_equal(parse_f64(text_of(option->def), &text_value), 0);
        memcpy(&value, (const char *)defaults + option->offset, sizeof(value));
        assert_true(value == text_value); /* bit for bit: one constant makes both */
    }
    args.settings = NULL; /* defaults then */
    put_stat((uint64_t[]){0, 0, 0, 0}, (uint64_t[]){0, 0, 0, 0});
    void *self = open_source();
    source_model_tdp.close(self);
    assert_null(source_model_tdp.close(NULL));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(formula),
        TEST(energy_of_busy_time),
        TEST(remainders_are_carried),
        TEST(short_intervals_keep_the_last_share),
        TEST(reset_forgets_the_baseline),
        TEST(memory),
        TEST(broken_stat),
        TEST(stat_text),
        TEST(meminfo_text),
        TEST(cpu_names),
        TEST(choice_of_tdp),
        TEST(whole_part_with_smt_off),
        TEST(calibrated_powers),
        TEST(calibrated_idle_power_alone),
        TEST(calibrated_node_power),
        TEST(options_match_the_settings),
    };

    return cmocka_run_group_tests_name("model_tdp", tests, NULL, NULL);
}
