/* SPDX-License-Identifier: Apache-2.0 */
/* What amd-smi and rocm-smi print, in the forms of several releases; the source that runs them, against scripts in
 * their place; and the inventories of recorded answers. Knows no real GPU. */
#include "recorded_gpus.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/commands.h"
#include "sources/amd_smi_json.h"
#include "sources/registry.h"

static struct amd_smi_json_list found;
static struct carnot_err err;

static int parse(const char *json)
{
    err = CARNOT_ERR_INIT;
    return amd_smi_json_parse(text_of(json), &found, &err);
}

/* Of one device. */
static void assert_figures(const char *json, uint64_t power_uw, uint64_t energy_uj)
{
    if (parse(json) < 0)
        fail_msg("%s: %s", json, err.msg);
    assert_int_equal(found.n, 1);
    if (found.gpus[0].power_uw != power_uw || found.gpus[0].energy_uj != energy_uj)
        fail_msg("%s: %llu uW, %llu uJ", json, (unsigned long long)found.gpus[0].power_uw,
                 (unsigned long long)found.gpus[0].energy_uj);
}

/* --- the parser --------------------------------------------------------------------------------------------------- */

static void figures_of_amd_smi(void **state)
{
    assert_figures(
        "[{\"gpu\":0,\"power\":{\"socket_power\":{\"value\":140,\"unit\":\"W\"},\"gfx_voltage\":{\"value\":806,"
        "\"unit\":\"mV\"}},\"energy\":{\"total_energy_consumption\":{\"value\":14292727.274,\"unit\":\"J\"}}}]",
        140000000, 14292727274000);
    assert_figures("{\"gpu_data\":[{\"gpu\":0,\"power\":{\"socket_power\":140.5}}]}", 140500000, 0); /* ROCm 7 */
    assert_figures(
        "[{\"gpu\":0,\"power\":{\"current_power\":\"N/A\",\"average_power\":{\"value\":\"90\",\"unit\":\"W\"}}}]",
        90000000, 0);
    assert_figures("[{\"gpu\":0,\"power\":{\"current_socket_power\":\"89 W\"}}]", 89000000, 0);
    assert_figures("[{\"gpu\":\"0\",\"energy\":{\"total_energy_consumption\":\"1.004 J\"}}]", 0, 1004000);
    assert_figures("[{\"gpu\":0,\"power\":{\"average_socket_power\":90,\"current_socket_power\":140}}]", 140000000, 0);
    /* Lines of warnings before it, and after. */
    assert_figures("WARNING: [0000:c1:00.0] is slow\nUser is missing the following required groups: render\n\n"
                   "  [{\"gpu\":0,\"power\":{\"socket_power\":1}}]\ntrailing words\n",
                   1000000, 0);
}

static void figures_of_rocm_smi(void **state)
{
    assert_figures("{\"card0\":{\"Average Graphics Package Power (W)\":\"89.0\",\"Energy counter\":\"65536\","
                   "\"Accumulated Energy (uJ)\":\"1002700.8\"},\"system\":{\"Driver version\":\"6.2.4\"}}",
                   89000000, 1000000);
    assert_figures("{\"card7\":{\"Current Socket Graphics Package Power (W)\":550}}", 550000000, 0);
    assert_int_equal(found.gpus[0].index, 7);
    assert_figures("{\"card0\":{\"Average Graphics Package Power (W)\":\"N/A (Secondary die)\"}}", 0, 0);
}

static void no_figure_is_no_power(void **state)
{
    static const char *const values[] = {
        "\"N/A\"",
        "null",
        "0",
        "0.0",
        "-5",
        "-5.0",
        "\"-5\"",
        "true",
        "[]",
        "{}",
        "{\"value\":\"N/A\",\"unit\":\"W\"}",
        "{\"value\":5,\"unit\":\"mW\"}",
        "{\"unit\":\"W\"}",
        "\"5 mW\"",
        "\"\"",
        "1e300",
        "10000.000001",
        "20000",
        "\"99999999999999999999\"",
        "{\"value\":{\"value\":5}}",
        "9223372036854775807",
    };
    char json[256];

    for (size_t i = 0; i < ELEMENTSOF(values); i++) {
        snprintf(json, sizeof(json), "[{\"gpu\":0,\"power\":{\"socket_power\":%s}}]", values[i]);
        assert_figures(json, 0, 0);
    }
}

static void who_they_are(void **state)
{
    assert_int_equal(
        parse("[{\"gpu\":3,\"bus\":{\"bdf\":\"0000:C8:00.1\"},\"board\":{\"product_serial\":\" 2017\033\"},"
              "\"partition\":{\"compute_partition\":\"CPX\",\"partition_id\":1},"
              "\"asic\":{\"num_compute_units\":38}},"
              "{\"gpu\":1,\"bdf\":\"0000:c5:00.0\",\"uuid\":\"1aff-2\"},"
              "{\"gpu\":2,\"bus\":{\"bdf\":\"N/A\"},\"board\":{\"product_serial\":\"N/A\"}},"
              "{\"cpu\":0},{\"gpu\":\"x\"},7]"),
        -EPROTO); /* an escape is no character of a JSON string */
    assert_int_equal(
        parse("[{\"gpu\":3,\"bus\":{\"bdf\":\"0000:C8:00.1\"},\"board\":{\"product_serial\":\" 2017\\u001b\"},"
              "\"partition\":{\"compute_partition\":\"CPX\",\"partition_id\":1},"
              "\"asic\":{\"num_compute_units\":38}},"
              "{\"gpu\":1,\"bdf\":\"0000:c5:00.0\",\"uuid\":\"1aff-2\"},"
              "{\"gpu\":2,\"bus\":{\"bdf\":\"N/A\"},\"board\":{\"product_serial\":\"N/A\"}},"
              "{\"cpu\":0},{\"gpu\":\"x\"},7]"),
        0);
    assert_int_equal(found.n, 3); /* by index */
    assert_int_equal(found.gpus[0].index, 1);
    assert_string_equal(found.gpus[0].device.pci, "0000:c5:00.0");
    assert_string_equal(found.gpus[0].device.id, "1aff-2");
    assert_int_equal(found.gpus[1].index, 2);
    assert_string_equal(found.gpus[1].device.pci, "");
    assert_string_equal(found.gpus[1].device.id, ""); /* not a serial number that many cards have */
    assert_int_equal(found.gpus[2].index, 3);
    assert_string_equal(found.gpus[2].device.pci, "0000:c8:00.1");
    assert_string_equal(found.gpus[2].device.id, "2017?"); /* it may be shown on a terminal */
    assert_true(found.gpus[2].partitioned);
    assert_int_equal(found.gpus[2].partition, 1);
    assert_int_equal(found.gpus[2].compute_units, 38);
}

static void more_than_there_is_room_for(void **state)
{
    struct buf json;

    buf_init(&json, 1 << 20);
    for (int i = 0; i < AMD_DEVICES_MAX + 2; i++)
        buf_printf(&json, "%c{\"gpu\":%d}", i ? ',' : '[', i);
    buf_putc(&json, ']');
    assert_int_equal(parse(buf_str(&json)), 0);
    assert_int_equal(found.n, AMD_DEVICES_MAX);
    assert_int_equal(found.left_out, 2);
    buf_done(&json);
}

static void what_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "ERROR:root:Unable to detect any GPU devices\n",
        "[",
        "[]",
        "{}",
        "{\"gpu_data\":[]}",
        "{\"card\":{}}",
        "[1,2]",
        "{\"card0\":5}",
        "{\"cardx\":{}}",
        "[{\"gpu\":0}",
        "{\"a\033[2J",
    };
    struct buf deep;

    found.n = 77;
    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        assert_int_equal(parse(texts[i]), -EPROTO);
        assert_null(strchr(err.msg, '\033'));
        assert_int_equal(found.n, 77); /* written only on success */
        assert_int_equal(amd_smi_json_parse(text_of(texts[i]), &found, NULL), -EPROTO);
    }
    buf_init(&deep, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buf_putc(&deep, '[');
    assert_int_equal(parse(buf_str(&deep)), -EPROTO);
    buf_done(&deep);
    assert_int_equal(amd_smi_json_parse((struct text){"", AMD_SMI_JSON_MAX + 1}, &found, &err), -E2BIG);
}

/* --- the source --------------------------------------------------------------------------------------------------- */

static struct scratch s;
static struct amd_smi_json_settings settings;
static struct source_args args;
static struct reading readings[DOMAINS_MAX];
static void *self;

static int setup(void **state)
{
    scratch_init(&s);
    settings = (struct amd_smi_json_settings){.amd_smi = "/nonexistent/amd-smi", .rocm_smi = "/nonexistent/rocm-smi"};
    args = (struct source_args){.env = &s.env, .settings = &settings};
    err = CARNOT_ERR_INIT;
    self = NULL;
    assert_int_equal(commands_new(&s.env.commands, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    source_amd_smi_json.close(self);
    s.env.commands = commands_free(s.env.commands);
    scratch_done(&s);
    return 0;
}

/* What stands for a program: for its first argument it prints the file of that name. */
static const char *program(const char *name, int status)
{
    char text[256];

    snprintf(text, sizeof(text), "#!/bin/sh\necho some warning\necho it is broken >&2\ncat \"%s/%s$1\"\nexit %d\n",
             s.dir, name, status);
    scratch_write(&s, name, text);
    assert_int_equal(chmod(scratch_path(&s, name), 0755), 0);
    return scratch_path(&s, name);
}

static void open_source(void)
{
    assert_int_equal(source_amd_smi_json.probe(&args, &err), 0);
    if (source_amd_smi_json.open(&args, &self, &err) < 0)
        fail_msg("%s", err.msg);
}

static int read_after(uint64_t ns)
{
    err = CARNOT_ERR_INIT;
    fake_clock_advance(&s.clock, ns);
    return source_amd_smi_json.read(self, s.clock.now.mono_ns, readings, &err);
}

static void assert_described(const char *text)
{
    struct buf out;

    buf_init(&out, 65536);
    source_amd_smi_json.describe(self, &out);
    assert_string_equal(buf_str(&out), text);
    buf_done(&out);
}

#define STATIC                                                                                                         \
    "[{\"gpu\":0,\"bus\":{\"bdf\":\"0000:C5:00.0\"},\"board\":{\"product_serial\":\"N/A\"}},"                          \
    "{\"gpu\":1,\"bus\":{\"bdf\":\"0000:C8:00.0\"},\"board\":{\"product_serial\":\"N/A\"}},"                           \
    "{\"gpu\":2,\"bus\":{\"bdf\":\"0000:C8:00.0\"},\"board\":{\"product_serial\":\"N/A\"}}]"

static void metric(const char *first_j, const char *second_w)
{
    char text[512];

    snprintf(text, sizeof(text),
             "[{\"gpu\":0,\"power\":{\"socket_power\":{\"value\":500,\"unit\":\"W\"}},\"energy\":"
             "{\"total_energy_consumption\":{\"value\":%s,\"unit\":\"J\"}}},"
             "{\"gpu\":1,\"power\":{\"socket_power\":{\"value\":\"N/A\",\"unit\":\"W\"}}},"
             "{\"gpu\":2,\"power\":{\"socket_power\":{\"value\":%s,\"unit\":\"W\"}}}]",
             first_j, second_w);
    scratch_write(&s, "amd-smimetric", text);
}

static void not_there(void **state)
{
    assert_int_equal(source_amd_smi_json.probe(&args, &err), -ENODEV);
    assert_int_equal(source_amd_smi_json.open(&args, &self, &err), -ENODEV);
    assert_null(self);
    s.env.commands = commands_free(s.env.commands);
    assert_int_equal(source_amd_smi_json.probe(&args, &err), -ENODEV);
    assert_int_equal(source_amd_smi_json.open(&args, &self, &err), -ENODEV);
}

static void cards_by_amd_smi(void **state)
{
    const struct domain *domains;

    settings.amd_smi = program("amd-smi", 0);
    scratch_write(&s, "amd-smistatic", STATIC);
    metric("1000.5", "600");
    open_source();
    assert_int_equal(source_amd_smi_json.domains(self, &domains), 2);
    assert_string_equal(domains[0].name, "gpu-0-amd"); /* as the libraries' source names them */
    assert_string_equal(domains[0].pci, "0000:c5:00.0");
    assert_string_equal(domains[1].pci, "0000:c8:00.0");
    assert_int_equal(domains[0].quality, QUALITY_MEASURED);
    assert_int_equal(domains[1].quality, QUALITY_DERIVED);
    assert_string_equal(source_amd_smi_json.group, source_amd_smi.group);
    assert_described("read through amd-smi, once in ten seconds\n"
                     "gpu-0-amd: 0000:c5:00.0, energy counter of the card, in steps of 2^-16 J\n"
                     "gpu-1-amd: 0000:c8:00.0, 2 partitions, no energy counter: its power over time\n");
    assert_int_equal(read_after(0), 2);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[0].counter_uj, 1000500000);
    assert_int_equal(readings[1].status, 0);
    metric("6000.5", "800");
    read_after(10 * NS_PER_SEC);
    assert_int_equal(readings[0].counter_uj, 6000500000);
    assert_false(readings[0].is_power);
    assert_true(readings[1].is_power);
    assert_int_equal(readings[1].power_uw, 800000000); /* once for both partitions */
    metric("\"N/A\"", "0");
    read_after(10 * NS_PER_SEC);
    assert_int_equal(readings[0].status, -ENODATA); /* never 0 W */
    assert_int_equal(readings[1].status, -ENODATA);
    assert_string_equal(err.msg, "");
    scratch_write(&s, "amd-smimetric", "[{\"gpu\":1}]");
    read_after(10 * NS_PER_SEC);
    assert_int_equal(readings[0].status, -ENODEV);
    assert_non_null(strstr(err.msg, "gpu-0-amd"));
    scratch_write(&s, "amd-smimetric", "no JSON");
    assert_int_equal(read_after(0), -EPROTO);
    assert_non_null(strstr(err.msg, "amd-smi: "));
}

static void rocm_smi_where_there_is_no_amd_smi(void **state)
{
    settings.rocm_smi = program("rocm-smi", 0);
    scratch_write(&s, "rocm-smi--showpower",
                  "{\"card0\":{\"PCI Bus\":\"0000:2F:00.0\",\"Energy counter\":\"65536\"},"
                  "\"card1\":{\"PCI Bus\":\"0000:32:00.0\",\"Energy counter\":\"0\","
                  "\"Average Graphics Package Power (W)\":\"N/A (Secondary die)\"}}");
    open_source();
    assert_described(
        "read through rocm-smi, once in ten seconds\n"
        "gpu-0-amd: 0000:2f:00.0, energy counter of the card, in steps of 2^-16 J\n"
        "gpu-1-amd: 0000:32:00.0, gives neither energy nor power: no readings; the second die of an MI250 is "
        "in the figures of the first\n");
    read_after(0);
    assert_int_equal(readings[0].counter_uj, 1000000);
    assert_int_equal(readings[1].status, -ENODATA);
}

/* amd-smi is there and fails; rocm-smi works. And both fail: the sentence is amd-smi's. */
static void amd_smi_that_fails(void **state)
{
    settings.amd_smi = program("amd-smi", 1);
    scratch_write(&s, "amd-smistatic", "");
    assert_int_equal(source_amd_smi_json.open(&args, &self, &err), -EIO);
    assert_non_null(strstr(err.msg, "amd-smi gives no figures (exit status 1): it is broken"));
    settings.rocm_smi = program("rocm-smi", 0);
    scratch_write(&s, "rocm-smi--showpower", "{\"card0\":{\"Current Socket Graphics Package Power (W)\":\"5.0\"}}");
    open_source();
}

/* --- recorded answers --------------------------------------------------------------------------------------------- */

static void check_index(const struct recorded_gpu *wanted, void *userdata)
{
    for (size_t i = 0; i < found.n; i++) {
        const struct amd_smi_json_gpu *gpu = &found.gpus[i];
        char instance[16] = "";

        if (gpu->partitioned)
            snprintf(instance, sizeof(instance), "%u", gpu->partition);
        if (strcmp(gpu->device.id, wanted->uuid) != 0 || strcmp(instance, wanted->instance) != 0)
            continue;
        assert_int_equal(gpu->index, wanted->index);
        if (wanted->units && gpu->compute_units)
            assert_int_equal(gpu->compute_units, wanted->units);
        return;
    }
    fail_msg("GPU %s, partition \"%s\" was not found", wanted->uuid, wanted->instance);
}

static void recorded_inventories(void **state)
{
    static const struct {
        const char *answer;
        bool units;
    } answers[] = {{"commands/amd-smi.static.out", true}, {"commands/rocm-smi.out", false}};
    static const char *const expositions[] = {"golden/exporter/cgroupsv2-amd-ipmitool-output.txt",
                                              "golden/exporter/cgroupsv2-all-metrics-output.txt",
                                              "golden/exporter/cgroupsv2-k8s-output.txt"};

    for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
        struct amd_device devices[AMD_DEVICES_MAX];
        struct amd_figures figures[AMD_DEVICES_MAX] = {0};
        char *recorded = recorded_read(answers[i].answer);
        struct amd_cards *cards;

        if (!recorded)
            RECORDED_SKIP();
        assert_int_equal(parse(recorded), 0);
        free(recorded);
        assert_int_equal(found.n, 12);
        for (size_t k = 0; k < found.n; k++) {
            assert_int_equal(found.gpus[k].index, k);
            assert_int_equal(found.gpus[k].partitioned, k != 0 && k != 11);
            assert_int_equal(found.gpus[k].compute_units != 0, answers[i].units);
            assert_int_equal(found.gpus[k].power_uw, 0); /* an inventory only */
            devices[k] = found.gpus[k].device;
        }
        for (size_t e = 0; e < ELEMENTSOF(expositions); e++)
            assert_true(recorded_gpus(expositions[e], "20", check_index, NULL) > 0);

        cards = calloc(1, sizeof(*cards));
        assert_non_null(cards);
        amd_cards_make(devices, figures, found.n, "test", true, cards);
        assert_int_equal(cards->n, 4);
        assert_string_equal(cards->domains[0].pci, "0000:c5:00.0");
        assert_string_equal(cards->domains[1].pci, "0000:c8:00.0");
        assert_string_equal(cards->domains[2].pci, "0000:8a:00.0");
        assert_string_equal(cards->domains[3].pci, "0000:8d:00.0");
        assert_int_equal(cards->cards[1].n_devices, 8);
        assert_int_equal(cards->cards[2].n_devices, 2);
        free(cards);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_of_amd_smi),
        cmocka_unit_test(figures_of_rocm_smi),
        cmocka_unit_test(no_figure_is_no_power),
        cmocka_unit_test(who_they_are),
        cmocka_unit_test(more_than_there_is_room_for),
        cmocka_unit_test(what_is_refused),
        TEST(not_there),
        TEST(cards_by_amd_smi),
        TEST(rocm_smi_where_there_is_no_amd_smi),
        TEST(amd_smi_that_fails),
        cmocka_unit_test(recorded_inventories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
