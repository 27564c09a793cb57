/* SPDX-License-Identifier: Apache-2.0 */
/* Calibrations: the three forms read and written, what is refused and by which key, and what a machine, a domain, a
 * package is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "model/calibration.h"

#define CPU "Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz"

#define HEAD                                                                                                           \
    "{\"carnot_calibration\":1,\"method\":\"rapl\",\"at\":\"2026-06-14T10:15:00Z\",\"cpu_model\":\"" CPU               \
    "\",\"threads\":8,\"packages\":2,\"loaded_threads\":8,\"idle_ns\":10000000000,\"load_ns\":20000000000,"
#define PACKAGE(n, idle, loaded)                                                                                       \
    "{\"name\":\"package-" #n "\",\"kind\":\"package\",\"source\":\"rapl_powercap\",\"package\":" #n                   \
    ",\"in_total\":true,\"idle_uw\":" #idle ",\"loaded_uw\":" #loaded "}"
#define DRAM(n, idle, loaded)                                                                                          \
    "{\"name\":\"dram-" #n "\",\"kind\":\"dram\",\"source\":\"rapl_powercap\",\"package\":" #n                         \
    ",\"in_total\":true,\"idle_uw\":" #idle ",\"loaded_uw\":" #loaded "}"
#define WHOLE                                                                                                          \
    HEAD "\"domains\":[" PACKAGE(0, 20000000, 90000000) "," DRAM(0, 3000000, 4000000) "," PACKAGE(                     \
        1, 21000000, 95000000) "," DRAM(1, 3500000, null) "]}"

#define ENERGAT                                                                                                        \
    "{\"pkg_base_w\":[20.5,21.25],\"dram_base_w\":[3,0],\"pkg_base_percents\":[0.5,1.25],\"dram_base_percents\":[12,"  \
    "13"                                                                                                               \
    "]}"
#define BIO_PYPE                                                                                                       \
    "{\"idle_w\":45.5,\"loaded_w\":200,\"method\":\"rapl\",\"domains\":[\"package-0\",\"package-1\",\"dram-0\"],"      \
    "\"duration_s\":30,\"cpu_model\":\"" CPU "\",\"n_threads\":8,\"at\":\"2026-06-14T10:15:00\"}"

static struct calibration c;
static struct carnot_err err;
static struct buf out;
static struct topology_cpu cpus[8];
static struct topology topology;

static int setup(void **state)
{
    for (int i = 0; i < 8; i++)
        cpus[i] = (struct topology_cpu){.package = i / 4, .online = true};
    topology = (struct topology){.cpus = cpus, .n_cpus = 8, .n_online = 8, .n_packages = 2};
    snprintf(topology.model_name, sizeof(topology.model_name), "%s", CPU);
    memset(&c, 0, sizeof(c));
    err = CARNOT_ERR_INIT;
    buf_init(&out, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    buf_done(&out);
    return 0;
}

static void parse(const char *text)
{
    if (calibration_parse(text_of(text), "file", &c, &err) < 0)
        fail_msg("%s\n%s", err.msg, text);
}

static void refused(const char *text, const char *sentence)
{
    struct calibration before = c;

    assert_int_equal(calibration_parse(text_of(text), "file", &c, &err), -EINVAL);
    assert_memory_equal(&c, &before, sizeof(c));
    if (!strstr(err.msg, sentence) || strncmp(err.msg, "file", 4) != 0)
        fail_msg("no \"%s\" in: %s", sentence, err.msg);
}

static struct domain domain(enum domain_kind kind, int package, const char *name)
{
    struct domain d = {.kind = kind, .package = package, .die = -1, .node = -1, .source = "rapl_powercap"};

    snprintf(d.name, sizeof(d.name), "%s", name);
    return d;
}

static void our_form(void **state)
{
    parse(WHOLE);
    assert_int_equal(c.format, CALIBRATION_CARNOT);
    assert_string_equal(c.method, "rapl");
    assert_string_equal(c.at, "2026-06-14T10:15:00Z");
    assert_string_equal(c.cpu_model, CPU);
    assert_int_equal(c.threads, 8);
    assert_int_equal(c.packages, 2);
    assert_int_equal(c.idle_ns, 10000000000);
    assert_int_equal(c.quality, QUALITY_MEASURED);
    assert_int_equal(c.n_domains, 4);
    assert_int_equal(c.domains[1].kind, DOMAIN_DRAM);
    assert_int_equal(c.domains[1].package, 0);
    assert_int_equal(c.domains[1].die, -1); /* not there */
    assert_int_equal(c.domains[1].idle_uw, 3000000);
    assert_int_equal(c.domains[3].loaded_uw, 0); /* null */
    assert_int_equal(c.domains[3].idle_busy_ppm, CALIBRATION_BUSY_UNKNOWN);
    calibration_describe(&c, &out);
    assert_string_equal(buf_str(&out), "rapl, 2026-06-14T10:15:00Z");
}

static void what_is_written_is_what_is_read(void **state)
{
    struct calibration again;

    parse(WHOLE);
    c.domains[0].idle_busy_ppm = 1234;
    c.domains[2].with_dram = true;
    c.domains[3].die = 7;
    assert_int_equal(calibration_write(&c, CALIBRATION_CARNOT, &out, &err), 0);
    memset(&again, 0, sizeof(again));
    assert_int_equal(calibration_parse((struct text){out.data, out.len}, "file", &again, &err), 0);
    assert_memory_equal(&again, &c, sizeof(c));
}

/* The largest that can be: every domain with the longest words. */
static void the_largest_file_is_within_the_limit(void **state)
{
    struct calibration again;

    c = (struct calibration){.threads = CPUS_MAX, .packages = CPUS_MAX, .loaded_threads = CPUS_MAX};
    c.idle_ns = c.load_ns = INT64_MAX;
    memset(c.method, 'm', sizeof(c.method) - 1);
    memset(c.at, 'a', sizeof(c.at) - 1);
    memset(c.cpu_model, '"', sizeof(c.cpu_model) - 1);
    c.n_domains = DOMAINS_MAX;
    for (int i = 0; i < DOMAINS_MAX; i++) {
        struct calibration_domain *d = &c.domains[i];
        *d = (struct calibration_domain){.kind = DOMAIN_PACKAGE, .package = INT32_MAX, .die = INT32_MAX};
        d->node = INT32_MAX;
        d->idle_uw = d->loaded_uw = CALIBRATION_MAX_UW;
        d->idle_busy_ppm = 1000000;
        memset(d->name, 'n', sizeof(d->name) - 1);
        d->name[0] = (char)('A' + i / 26);
        d->name[1] = (char)('A' + i % 26);
        memset(d->source, 's', sizeof(d->source) - 1);
    }
    assert_int_equal(calibration_write(&c, CALIBRATION_CARNOT, &out, &err), 0);
    assert_in_range(out.len, CALIBRATION_FILE_MAX / 4, CALIBRATION_FILE_MAX);
    memset(&again, 0, sizeof(again));
    assert_int_equal(calibration_parse((struct text){out.data, out.len}, "file", &again, &err), 0);
    assert_memory_equal(&again, &c, sizeof(c));
}

static void energat_form(void **state)
{
    const int package_of[] = {3, 9};

    parse(ENERGAT);
    assert_int_equal(c.format, CALIBRATION_ENERGAT);
    assert_int_equal(c.packages, 2);
    assert_int_equal(c.n_domains, 3); /* 0 W of memory: there was no counter */
    assert_string_equal(c.domains[0].name, "package-0");
    assert_int_equal(c.domains[0].idle_uw, 20500000);
    assert_int_equal(c.domains[0].loaded_uw, 0);
    assert_int_equal(c.domains[0].idle_busy_ppm, 5000);
    assert_string_equal(c.domains[1].name, "dram-0");
    assert_int_equal(c.domains[1].idle_busy_ppm, 120000);
    assert_int_equal(c.domains[2].idle_uw, 21250000);

    calibration_renumber(&c, package_of);
    assert_string_equal(c.domains[1].name, "dram-3");
    assert_string_equal(c.domains[2].name, "package-9");
    assert_int_equal(c.domains[2].package, 9);
    calibration_describe(&c, &out);
    assert_string_equal(buf_str(&out), "EnergAt's baseline");
}

static double number_at(const json_t *root, const char *key, size_t i)
{
    return json_number_value(json_array_get(json_object_get(root, key), i));
}

/* Exactly the four keys, a list of a figure a socket each; dies of a package are one. */
static void energat_is_written(void **state)
{
    parse(WHOLE);
    c.domains[0].idle_busy_ppm = 12500;
    c.domains[2] = c.domains[0]; /* the two dies of package 0 */
    c.domains[0].die = 0;
    c.domains[2].die = 1;
    assert_int_equal(calibration_write(&c, CALIBRATION_ENERGAT, &out, &err), 0);
    json_auto_t *root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_object_size(root), 4);
    assert_int_equal(json_array_size(json_object_get(root, "pkg_base_w")), 1);
    assert_true(number_at(root, "pkg_base_w", 0) == 40);
    assert_true(number_at(root, "dram_base_w", 0) == 3);
    assert_true(number_at(root, "pkg_base_percents", 0) == 1.25);
    assert_true(number_at(root, "dram_base_percents", 0) == 0);

    parse(BIO_PYPE);
    buf_reset(&out);
    assert_int_equal(calibration_write(&c, CALIBRATION_ENERGAT, &out, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "--format carnot"));
}

static void energat_reads_its_own(void **state)
{
    struct calibration again;

    parse(ENERGAT);
    assert_int_equal(calibration_write(&c, CALIBRATION_ENERGAT, &out, &err), 0);
    memset(&again, 0, sizeof(again));
    assert_int_equal(calibration_parse((struct text){out.data, out.len}, "file", &again, &err), 0);
    assert_memory_equal(&again, &c, sizeof(c));
}

static void bio_pype_form(void **state)
{
    parse(BIO_PYPE);
    assert_int_equal(c.format, CALIBRATION_BIO_PYPE);
    assert_int_equal(c.n_domains, 1);
    assert_int_equal(c.domains[0].package, -1);
    assert_true(c.domains[0].with_dram);
    assert_int_equal(c.domains[0].idle_uw, 45500000);
    assert_int_equal(c.domains[0].loaded_uw, 200000000);
    assert_int_equal(c.threads, 8);
    assert_int_equal(c.quality, QUALITY_MEASURED);

    parse("{\"idle_w\":10,\"loaded_w\":20,\"method\":\"rapl\",\"domains\":[\"package-2\"]}");
    assert_string_equal(c.domains[0].name, "package-2");
    assert_int_equal(c.domains[0].package, 2);
    assert_false(c.domains[0].with_dram);
    parse("{\"idle_w\":10,\"loaded_w\":20,\"method\":\"rapl\",\"domains\":[\"package-0\",\"package-1\"]}");
    assert_false(c.domains[0].with_dram);
    parse("{\"idle_w\":10,\"loaded_w\":20,\"method\":\"rapl\",\"domains\":[\"psys\"]}");
    assert_true(c.domains[0].with_dram);
    parse("{\"idle_w\":10,\"loaded_w\":20,\"method\":\"wall meter\"}");
    assert_string_equal(c.domains[0].name, "node");
    parse("{\"idle_w\":10,\"loaded_w\":20,\"method\":\"tdp\"}");
    assert_int_equal(c.quality, QUALITY_MODELLED);
}

static void bio_pype_is_written(void **state)
{
    parse(WHOLE);
    c.domains[3].loaded_uw = 3600000;
    assert_int_equal(calibration_write(&c, CALIBRATION_BIO_PYPE, &out, &err), 0);
    json_auto_t *root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_number_value(json_object_get(root, "idle_w")) == 47.5);
    assert_true(json_number_value(json_object_get(root, "loaded_w")) == 192.6);
    assert_string_equal(json_string_value(json_object_get(root, "method")), "rapl");
    assert_string_equal(json_string_value(json_object_get(root, "quality")), "measured");
    assert_int_equal(json_array_size(json_object_get(root, "domains")), 4);
    assert_true(json_number_value(json_object_get(root, "duration_s")) == 30);
    assert_string_equal(json_string_value(json_object_get(root, "cpu_model")), CPU);
    assert_int_equal(json_integer_value(json_object_get(root, "n_threads")), 8);
    assert_string_equal(json_string_value(json_object_get(root, "at")), "2026-06-14T10:15:00Z");

    c.domains[3].loaded_uw = 0; /* then nothing is known of the node under load */
    buf_reset(&out);
    assert_int_equal(calibration_write(&c, CALIBRATION_BIO_PYPE, &out, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "loaded power of the node is not known"));
}

static void a_models_figures_are_only_written_as_such(void **state)
{
    parse("{\"idle_w\":10,\"loaded_w\":20,\"method\":\"tdp\"}");
    assert_int_equal(calibration_write(&c, CALIBRATION_CARNOT, &out, &err), -EINVAL);
    buf_reset(&out);
    assert_int_equal(calibration_write(&c, CALIBRATION_BIO_PYPE, &out, &err), 0);
    assert_non_null(strstr(buf_str(&out), "\"method\":\"tdp\",\"quality\":\"modelled\""));
}

static void wrong_files(void **state)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "not JSON"},
        {"{\"a\":", "file:1: not JSON"},
        {"[]", "none of the keys"},
        {"{}", "none of the keys"},
        {"{\"carnot_calibration\":1,\"carnot_calibration\":1}", "not JSON"},
        {"{\"carnot_calibration\":2,\"domains\":[]}", "carnot_calibration: a version that this Carnot does not know"},
        {"{\"carnot_calibration\":\"1\"}", "carnot_calibration: not a whole number"},
        {"{\"carnot_calibration\":null}", "carnot_calibration: a version"},
        {HEAD "\"domains\":[]}", "domains: not a list of domains"},
        {HEAD "\"domains\":{}}", "domains: not a list of domains"},
        {HEAD "\"domains\":[3]}", "domains[0]: not an object"},
        {HEAD "\"domains\":[{}]}", "domains[0].name: missing"},
        {HEAD "\"domains\":[{\"name\":7}]}", "domains[0].name: not a text"},
        {HEAD "\"domains\":[{\"name\":\"a\\u001b[2J\"}]}", "domains[0].name: not printable"},
        {HEAD "\"domains\":[{\"name\":\"0123456789012345678901234567890123456789012345678901\"}]}",
         "domains[0].name: too long"},
        {HEAD "\"domains\":[{\"name\":\"a\"}]}", "domains[0].kind: no kind of domain"},
        {HEAD "\"domains\":[{\"name\":\"a\",\"kind\":\"cpu\"}]}", "domains[0].kind: no kind of domain"},
        {HEAD "\"domains\":[{\"name\":\"a\",\"kind\":\"dram\",\"package\":-2}]}", "domains[0].package: out of bounds"},
        {HEAD "\"domains\":[{\"name\":\"a\",\"kind\":\"dram\",\"in_total\":1}]}", "domains[0].in_total: neither true"},
        {HEAD "\"domains\":[{\"name\":\"a\",\"kind\":\"dram\"}]}", "domains[0]: neither idle_uw nor loaded_uw"},
        {HEAD "\"domains\":[{\"name\":\"a\",\"kind\":\"dram\",\"idle_uw\":1.5}]}",
         "domains[0].idle_uw: not a whole number"},
        {HEAD "\"domains\":[{\"name\":\"a\",\"kind\":\"dram\",\"idle_uw\":-1}]}", "domains[0].idle_uw: out of bounds"},
        {HEAD "\"domains\":[{\"name\":\"a\",\"kind\":\"dram\",\"idle_uw\":100000000001}]}",
         "domains[0].idle_uw: out of bounds"},
        {HEAD "\"domains\":[" PACKAGE(0, 5, 4) "]}", "domains[0]: loaded_uw is less than idle_uw"},
        {HEAD "\"domains\":[" PACKAGE(0, 4, 5) "," PACKAGE(0, 4, 5) "]}", "domains[1].name: there twice"},
        {"{\"carnot_calibration\":1,\"threads\":5000}", "threads: out of bounds"},
        {"{\"carnot_calibration\":1,\"cpu_model\":[]}", "cpu_model: not a text"},
        {"{\"pkg_base_w\":[1],\"dram_base_w\":[1],\"pkg_base_percents\":[1]}", "dram_base_percents: not a list"},
        {"{\"pkg_base_w\":[],\"dram_base_w\":[],\"pkg_base_percents\":[],\"dram_base_percents\":[]}",
         "pkg_base_w: no figure"},
        {"{\"pkg_base_w\":[1,2],\"dram_base_w\":[1],\"pkg_base_percents\":[1,2],\"dram_base_percents\":[1,2]}",
         "dram_base_w: not as long as pkg_base_w"},
        {"{\"pkg_base_w\":[1,-2],\"dram_base_w\":[1,1],\"pkg_base_percents\":[1,2],\"dram_base_percents\":[1,2]}",
         "pkg_base_w[1]: no power in watts"},
        {"{\"pkg_base_w\":[1,\"2\"],\"dram_base_w\":[1,1],\"pkg_base_percents\":[1,2],\"dram_base_percents\":[1,2]}",
         "pkg_base_w[1]: not a number"},
        {"{\"pkg_base_w\":[0],\"dram_base_w\":[1],\"pkg_base_percents\":[1],\"dram_base_percents\":[1]}",
         "pkg_base_w[0]: 0 W"},
        {"{\"pkg_base_w\":[1e9],\"dram_base_w\":[1],\"pkg_base_percents\":[1],\"dram_base_percents\":[1]}",
         "pkg_base_w[0]: no power in watts"},
        {"{\"pkg_base_w\":[1],\"dram_base_w\":[1],\"pkg_base_percents\":[101],\"dram_base_percents\":[1]}",
         "pkg_base_percents[0]: not a percentage"},
        {"{\"idle_w\":1}", "loaded_w: not a number"},
        {"{\"idle_w\":2,\"loaded_w\":1,\"method\":\"rapl\"}", "loaded_w: less than idle_w"},
        {"{\"idle_w\":0,\"loaded_w\":1,\"method\":\"rapl\"}", "idle_w: 0 W"},
        {"{\"idle_w\":1,\"loaded_w\":2}", "method: missing"},
        {"{\"idle_w\":1,\"loaded_w\":2,\"method\":\"rapl\",\"domains\":7}", "domains: not a list"},
        {"{\"idle_w\":1,\"loaded_w\":2,\"method\":\"rapl\",\"domains\":[7]}", "domains[0]: not a text"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        refused(cases[i].text, cases[i].sentence);
}

static void more_than_the_limit(void **state)
{
    char *text = calloc(1, CALIBRATION_FILE_MAX + 1);

    assert_non_null(text);
    memset(text, ' ', CALIBRATION_FILE_MAX + 1);
    assert_int_equal(calibration_parse((struct text){text, CALIBRATION_FILE_MAX + 1}, "file", &c, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "file is larger"));
    free(text);
}

static void assert_other_machine(const char *phrase)
{
    assert_int_equal(calibration_check_machine(&c, &topology, "file", &err), -EINVAL);
    if (!strstr(err.msg, phrase))
        fail_msg("no \"%s\" in: %s", phrase, err.msg);
}

static void only_for_its_own_machine(void **state)
{
    parse(WHOLE);
    assert_int_equal(calibration_check_machine(&c, &topology, "file", &err), 0);
    snprintf(c.cpu_model, sizeof(c.cpu_model), "AMD EPYC 7763");
    assert_other_machine("its processor is \"AMD EPYC 7763\", this one's is \"" CPU "\"; run `carnot calibrate`");
    parse(WHOLE);
    topology.n_online = 7;
    assert_other_machine("8 threads were online there, here 7 are");
    topology.n_online = 8;
    topology.n_packages = 1;
    assert_other_machine("it has 2 packages, this one 1");
    parse(ENERGAT); /* tells its sockets and nothing else */
    assert_other_machine("it has 2 packages");
    topology.n_packages = 2;
    assert_int_equal(calibration_check_machine(&c, &topology, "file", &err), 0);
    parse("{\"idle_w\":10,\"loaded_w\":20,\"method\":\"tdp\"}");
    assert_other_machine("figures of a model (method tdp)");
}

static void only_for_its_own_counters(void **state)
{
    struct domain domains[] = {domain(DOMAIN_PACKAGE, 0, "package-0"), domain(DOMAIN_DRAM, 0, "dram-0"),
                               domain(DOMAIN_CORE, 0, "core-0")};
    struct calibration_power power;

    parse(WHOLE);
    assert_int_equal(calibration_check_domains(&c, domains, 3, "file", &err), 0); /* fewer, and a core: no matter */
    domains[1] = domain(DOMAIN_DRAM, 2, "dram-2");
    assert_int_equal(calibration_check_domains(&c, domains, 3, "file", &err), -EINVAL);
    assert_non_null(strstr(err.msg, "file does not know dram-2, which rapl_powercap measures here"));
    parse(HEAD "\"domains\":[{\"name\":\"package-0\",\"kind\":\"package\",\"package\":0,\"idle_uw\":7},"
               "{\"name\":\"dram-2\",\"kind\":\"dram\",\"package\":2,\"idle_uw\":null,\"loaded_uw\":null}]}");
    assert_int_equal(calibration_check_domains(&c, domains, 2, "file", &err), 0); /* known, and that it tells nothing */
    assert_false(calibration_memory(&c, &power));
    parse(WHOLE);
    domains[1].quality = QUALITY_MODELLED; /* of a model everything may be new */
    assert_int_equal(calibration_check_domains(&c, domains, 3, "file", &err), 0);
    domains[1].quality = QUALITY_MEASURED;
    parse(ENERGAT);
    assert_int_equal(calibration_check_domains(&c, domains, 3, "file", &err), 0);
}

static void found_by_name_and_place(void **state)
{
    struct domain dram = domain(DOMAIN_DRAM, 1, "dram-1"), model = domain(DOMAIN_DRAM, -1, "dram-0"),
                  kind = domain(DOMAIN_OTHER, 1, "package-1");

    parse(WHOLE);
    assert_ptr_equal(calibration_find(&c, &dram), &c.domains[3]);
    assert_null(calibration_find(&c, &model)); /* the memory of the whole machine is not that of a package */
    assert_null(calibration_find(&c, &kind));
}

static void power_of_a_package(void **state)
{
    struct calibration_power power;

    parse(WHOLE);
    assert_true(calibration_package(&c, 1, 4, 8, &power));
    assert_int_equal(power.idle_uw, 21000000);
    assert_int_equal(power.loaded_uw, 95000000);
    assert_false(calibration_package(&c, 2, 4, 8, &power));

    c.loaded_threads = 4; /* half of the threads were busy: that is not loaded */
    assert_true(calibration_package(&c, 1, 4, 8, &power));
    assert_int_equal(power.loaded_uw, 0);
    c.loaded_threads = 8;

    c.domains[2] = c.domains[0];
    c.domains[0].die = 0;
    c.domains[2].die = 1;
    assert_true(calibration_package(&c, 0, 4, 8, &power));
    assert_int_equal(power.idle_uw, 40000000);
    snprintf(c.domains[2].source, sizeof(c.domains[2].source), "hwmon"); /* the same seen by another: not twice */
    assert_true(calibration_package(&c, 0, 4, 8, &power));
    assert_int_equal(power.idle_uw, 20000000);

    parse(BIO_PYPE); /* of all packages what falls on these CPUs */
    assert_true(calibration_package(&c, 1, 2, 8, &power));
    assert_int_equal(power.idle_uw, 45500000 / 4);
    assert_int_equal(power.loaded_uw, 50000000);
    assert_true(power.with_dram);
}

static void power_of_memory_and_node(void **state)
{
    struct calibration_power power;
    uint64_t idle_uw, loaded_uw;

    parse(WHOLE);
    assert_true(calibration_memory(&c, &power));
    assert_int_equal(power.idle_uw, 6500000);
    assert_int_equal(power.loaded_uw, 0); /* of one half it is not known */
    calibration_node(&c, &idle_uw, &loaded_uw);
    assert_int_equal(idle_uw, 47500000);
    assert_int_equal(loaded_uw, 0);
    c.domains[3].loaded_uw = 3400000; /* less than idle, by noise */
    assert_true(calibration_memory(&c, &power));
    assert_int_equal(power.loaded_uw, 7400000);
    c.domains[3].in_total = false;
    calibration_node(&c, &idle_uw, &loaded_uw);
    assert_int_equal(idle_uw, 44000000);
    assert_int_equal(loaded_uw, 189000000);
    c.domains[1].idle_uw = 0;
    assert_false(calibration_memory(&c, &power));
    c.n_domains = 1;
    assert_false(calibration_memory(&c, &power));
}

static void a_busy_machine_is_told(void **state)
{
    parse("{\"pkg_base_w\":[9],\"dram_base_w\":[1],\"pkg_base_percents\":[37.9],\"dram_base_percents\":[90]}");
    calibration_describe(&c, &out);
    assert_string_equal(buf_str(&out), "EnergAt's baseline, CPUs 37 % busy while idle power was measured");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(our_form),
        TEST(what_is_written_is_what_is_read),
        TEST(the_largest_file_is_within_the_limit),
        TEST(energat_form),
        TEST(energat_is_written),
        TEST(energat_reads_its_own),
        TEST(bio_pype_form),
        TEST(bio_pype_is_written),
        TEST(a_models_figures_are_only_written_as_such),
        TEST(wrong_files),
        TEST(more_than_the_limit),
        TEST(only_for_its_own_machine),
        TEST(only_for_its_own_counters),
        TEST(found_by_name_and_place),
        TEST(power_of_a_package),
        TEST(power_of_memory_and_node),
        TEST(a_busy_machine_is_told),
    };

    return cmocka_run_group_tests_name("calibration", tests, NULL, NULL);
}
