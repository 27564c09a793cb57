/* SPDX-License-Identifier: Apache-2.0 */
/* The calibration's way into the meter: which file, what happens to a bad one, and which domains get an idle power. */
#include "../sources/scratch.h"

#include "meter/calibration_file.h"
#include "meter/energy.h"
#include "sources/rapl_mode.h"

#define DEFAULT_FILE CALIBRATION_DEFAULT_FILE

#define HEAD "{\"carnot_calibration\":1,\"method\":\"rapl\",\"at\":\"2026-06-14T10:15:00Z\",\"cpu_model\":\"CPU\","
#define DOMAINS                                                                                                        \
    "\"domains\":[{\"name\":\"package-0\",\"kind\":\"package\",\"package\":0,\"idle_uw\":7000000,\"loaded_uw\":"       \
    "30000000,\"in_total\":true},{\"name\":\"core-0\",\"kind\":\"core\",\"package\":0,\"idle_uw\":2000000}]}"
#define GOOD  HEAD "\"threads\":2,\"packages\":1," DOMAINS
#define OTHER HEAD "\"threads\":4,\"packages\":1," DOMAINS

static struct scratch s;
static struct topology topology;
static struct topology_cpu cpus[2];
static struct calibration_file file;
static struct carnot_err err;
static struct buf text;

static int setup(void **state)
{
    scratch_init(&s);
    cpus[0] = cpus[1] = (struct topology_cpu){.package = 5, .online = true};
    topology = (struct topology){.cpus = cpus, .n_cpus = 2, .n_online = 2, .n_packages = 1};
    snprintf(topology.model_name, sizeof(topology.model_name), "CPU");
    rapl_default_settings.mode = RAPL_SYSFS;
    file = (struct calibration_file){0};
    err = CARNOT_ERR_INIT;
    buf_init(&text, 65536);
    return 0;
}

static int teardown(void **state)
{
    calibration_file_done(&file);
    buf_done(&text);
    scratch_done(&s);
    return 0;
}

static const char *described(void)
{
    buf_reset(&text);
    calibration_file_describe(&file, &text);
    return buf_str(&text);
}

static void load_default(void)
{
    assert_int_equal(calibration_file_load(&s.env, &topology, "", &file, &err), 0);
}

static void assert_refused(const char *path, int code, const char *phrase)
{
    assert_int_equal(calibration_file_load(&s.env, &topology, path, &file, &err), -code);
    assert_null(file.calibration);
    if (!strstr(err.msg, phrase) || strncmp(err.msg, "--calibration.file: ", 20) != 0)
        fail_msg("no \"%s\" in: %s", phrase, err.msg);
}

static void a_default_file_may_be_absent(void **state)
{
    load_default();
    assert_null(file.calibration);
    assert_string_equal(file.why, "");
    assert_non_null(strstr(described(), "none (there is no "));
    assert_non_null(strstr(described(), "/" DEFAULT_FILE));
}

static void a_default_file_is_used(void **state)
{
    scratch_write(&s, DEFAULT_FILE, GOOD);
    load_default();
    assert_non_null(file.calibration);
    assert_non_null(strstr(described(), "calibration.json (rapl, 2026-06-14T10:15:00Z)"));
    calibration_file_done(&file);
    assert_int_equal(calibration_file_load(&s.env, &topology, "none", &file, &err), 0);
    assert_null(file.calibration);
    assert_string_equal(described(), "none, as --calibration.file says");
}

static void a_bad_default_file_is_left_alone_and_told(void **state)
{
    scratch_write(&s, DEFAULT_FILE, OTHER);
    load_default();
    assert_null(file.calibration);
    assert_non_null(strstr(described(), "not used: "));
    assert_non_null(strstr(described(), "4 threads were online there, here 2 are"));
    calibration_file_done(&file);
    scratch_write(&s, DEFAULT_FILE, "{\"pkg_base_w\":3}");
    load_default();
    assert_null(file.calibration);
    assert_non_null(strstr(file.why, DEFAULT_FILE ": pkg_base_w: not a list"));
}

static void a_file_that_was_asked_for_must_be_right(void **state)
{
    scratch_write(&s, "mine.json", GOOD);
    scratch_write(&s, "other.json", OTHER);
    assert_int_equal(calibration_file_load(&s.env, &topology, scratch_path(&s, "mine.json"), &file, &err), 0);
    assert_non_null(file.calibration);
    calibration_file_done(&file);
    assert_refused(scratch_path(&s, "absent.json"), ENOENT, "absent.json: No such file");
    assert_refused(scratch_path(&s, "other.json"), EINVAL, "is of another machine");
    assert_refused(s.dir, EINVAL, "no regular file");
    assert_int_equal(mkfifo(scratch_path(&s, "pipe"), 0600), 0);
    assert_refused(scratch_path(&s, "pipe"), EINVAL, "no regular file"); /* and nobody waits for a writer */
}

static void a_file_beyond_the_limit(void **state)
{
    char *big = malloc(CALIBRATION_FILE_MAX + 2);

    assert_non_null(big);
    memset(big, ' ', CALIBRATION_FILE_MAX + 1);
    big[CALIBRATION_FILE_MAX + 1] = '\0';
    scratch_write(&s, "big.json", big);
    free(big);
    assert_refused(scratch_path(&s, "big.json"), EINVAL, "larger than any calibration");
}

static void sockets_are_packages_by_their_order(void **state)
{
    scratch_write(&s, DEFAULT_FILE,
                  "{\"pkg_base_w\":[7],\"dram_base_w\":[2],\"pkg_base_percents\":[0.1],\"dram_base_percents\":[9]}");
    load_default();
    assert_non_null(file.calibration);
    assert_string_equal(file.calibration->domains[0].name, "package-5"); /* the one that there is */
    assert_int_equal(file.calibration->domains[1].package, 5);
}

/* ---- into the domains ---- */

static void put_zone(const char *zone, const char *name)
{
    char path[128], line[64];

    snprintf(path, sizeof(path), "sys/class/powercap/%s/name", zone);
    snprintf(line, sizeof(line), "%s\n", name);
    scratch_write(&s, path, line);
    snprintf(path, sizeof(path), "sys/class/powercap/%s/energy_uj", zone);
    scratch_write(&s, path, "1\n");
}

static void put_stat(void)
{
    scratch_write(&s, "proc/stat", "cpu  1 0 0 1 0 0 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0 0 0\ncpu1 1 0 0 1 0 0 0 0 0 0\n");
}

static void open_all(struct energy *energy)
{
    scratch_write(&s, DEFAULT_FILE, GOOD);
    load_default();
    assert_int_equal(energy_open_calibrated(&s.env, &topology, NULL, NULL, file.calibration, file.path, energy, &err),
                     0);
}

static const struct energy_domain *domain(const struct energy *energy, const char *name)
{
    for (size_t i = 0; i < energy->n_domains; i++)
        if (strcmp(energy->domains[i].domain.name, name) == 0)
            return &energy->domains[i];
    fail_msg("no domain %s", name);
    return NULL;
}

static void measured_domains_get_their_idle_power(void **state)
{
    struct energy energy;

    put_zone("intel-rapl:0", "package-0");
    put_zone("intel-rapl:0/intel-rapl:0:0", "core");
    put_zone("intel-rapl:0/intel-rapl:0:1", "uncore");
    open_all(&energy);
    assert_int_equal(domain(&energy, "package-0")->idle_uw, 7000000);
    assert_int_equal(domain(&energy, "package-0")->domain.idle_uw, 7000000);
    assert_true(domain(&energy, "package-0")->idle_calibrated);
    assert_int_equal(domain(&energy, "core-0")->idle_uw, 2000000);
    assert_int_equal(domain(&energy, "uncore-0")->idle_uw, 0); /* not in the file */
    assert_string_equal(energy.calibration_why, "");
    energy_close(&energy);

    assert_int_equal(energy_open(&s.env, &topology, NULL, NULL, &energy, &err), 0);
    assert_int_equal(domain(&energy, "package-0")->idle_uw, 0);
    energy_close(&energy);
}

static void counters_that_the_file_does_not_know_rule_it_out(void **state)
{
    struct energy energy;

    put_stat();
    put_zone("intel-rapl:0", "package-0");
    put_zone("intel-rapl:0/intel-rapl:0:0", "dram");
    open_all(&energy);
    assert_null(energy.calibration);
    assert_non_null(strstr(energy.calibration_why, "does not know dram-0, which rapl_powercap measures here"));
    assert_int_equal(domain(&energy, "package-0")->idle_uw, 0);
    energy_close(&energy);
}

static void a_model_takes_both_powers(void **state)
{
    struct energy energy;

    put_stat();
    cpus[0].package = cpus[1].package = 0;
    open_all(&energy);
    const struct energy_domain *package = domain(&energy, "package-0");
    assert_string_equal(package->domain.source, "model_tdp");
    assert_int_equal(package->idle_uw, 7000000);
    assert_int_equal(package->domain.max_uw, 30000000);
    assert_int_equal(package->domain.quality, QUALITY_MODELLED);
    assert_false(package->idle_calibrated); /* it is the model's own word */
    energy_close(&energy);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_default_file_may_be_absent),
        TEST(a_default_file_is_used),
        TEST(a_bad_default_file_is_left_alone_and_told),
        TEST(a_file_that_was_asked_for_must_be_right),
        TEST(a_file_beyond_the_limit),
        TEST(sockets_are_packages_by_their_order),
        TEST(measured_domains_get_their_idle_power),
        TEST(counters_that_the_file_does_not_know_rule_it_out),
        TEST(a_model_takes_both_powers),
    };

    return cmocka_run_group_tests_name("calibration_file", tests, NULL, NULL);
}
