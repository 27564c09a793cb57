/* SPDX-License-Identifier: Apache-2.0 */
/* What nvidia-smi prints, in the forms of several drivers; the source that runs it, against a script in its place; and
 * the inventory of a recorded answer. Knows no real GPU. */
#include "recorded_gpus.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/commands.h"
#include "sources/nvidia_smi.h"
#include "sources/nvidia_smi_xml.h"
#include "sources/registry.h"

#define HEAD                                                                                                           \
    "<?xml version=\"1.0\" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v12.dtd\">\n<nvidia_smi_log>\n"          \
    "<driver_version>570.86.15</driver_version><attached_gpus>2</attached_gpus>\n"
#define TAIL "</nvidia_smi_log>\n"
#define GPU0 "<gpu id=\"00000000:C1:00.0\"><product_name>NVIDIA H200</product_name><uuid>GPU-0a</uuid>"
#define GPU1 "<gpu id=\"00000000:E2:00.0\"><product_name>NVIDIA H200</product_name><uuid>GPU-1b</uuid>"
#define END  "</gpu>"

static struct nvidia_smi_log found;
static struct carnot_err err;

static int parse(const char *xml)
{
    err = CARNOT_ERR_INIT;
    return nvidia_smi_xml_parse(text_of(xml), &found, &err);
}

/* A copy of exactly its size, so that a sanitizer sees a read beyond the end. */
static void assert_power(const char *xml, uint64_t power_uw)
{
    char text[4096], *copy;
    int n = snprintf(text, sizeof(text), HEAD GPU0 "%s" END TAIL, xml);

    assert_true(n > 0 && n < (int)sizeof(text));
    copy = malloc((size_t)n);
    assert_non_null(copy);
    memcpy(copy, text, (size_t)n);
    err = CARNOT_ERR_INIT;
    if (nvidia_smi_xml_parse((struct text){copy, (size_t)n}, &found, &err) < 0)
        fail_msg("%s", err.msg);
    free(copy);
    assert_int_equal(found.n, 1);
    if (found.gpus[0].power_uw != power_uw)
        fail_msg("%s: %llu uW", xml, (unsigned long long)found.gpus[0].power_uw);
}

/* --- the parser --------------------------------------------------------------------------------------------------- */

static void powers_of_many_drivers(void **state)
{
    /* up to R525, R530 to R550, R555 on */
    assert_power("<power_readings><power_state>P0</power_state><power_draw>43.60 W</power_draw></power_readings>",
                 43600000);
    assert_power("<gpu_power_readings><power_draw>117.98 W</power_draw></gpu_power_readings>", 117980000);
    assert_power("<gpu_power_readings><average_power_draw>11.15 W</average_power_draw>"
                 "<instant_power_draw>11.26 W</instant_power_draw></gpu_power_readings>",
                 11150000);
    assert_power("<gpu_power_readings><instant_power_draw>11.26 W</instant_power_draw>"
                 "<average_power_draw>11.15 W</average_power_draw></gpu_power_readings>",
                 11150000);
    assert_power("<gpu_power_readings><average_power_draw>N/A</average_power_draw>"
                 "<instant_power_draw>11.26 W</instant_power_draw></gpu_power_readings>",
                 11260000);
    assert_power("<gpu_power_readings>\n\t<power_draw>\n\t 5 W \n</power_draw>\n</gpu_power_readings>", 5000000);
    /* A module holds a processor, a memory is inside the GPU; limits are no draw. */
    assert_power("<module_power_readings><power_draw>600 W</power_draw></module_power_readings>"
                 "<gpu_memory_power_readings><average_power_draw>60 W</average_power_draw></gpu_memory_power_readings>"
                 "<gpu_power_readings><current_power_limit>700.00 W</current_power_limit></gpu_power_readings>",
                 0);
}

static void no_reading_is_no_power(void **state)
{
    static const char *const texts[] = {
        "N/A",
        "[N/A]",
        "[Unknown Error]",
        "Insufficient Permissions",
        "[Not Supported]",
        "",
        "W",
        "43.60",
        "43.60 mW",
        "-1.00 W",
        "0.00 W",
        "10000.01 W",
        "43,60 W",
        "1e3 W",
        "43.60 W W",
    };
    char xml[256];

    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        snprintf(xml, sizeof(xml), "<gpu_power_readings><power_draw>%s</power_draw></gpu_power_readings>", texts[i]);
        assert_power(xml, 0);
    }
    /* Long beyond all measure, and nothing but digits to the end of what is kept. */
    char digits[NVIDIA_SMI_TEXT_MAX + 32];
    memset(digits, '0', sizeof(digits));
    snprintf(digits + sizeof(digits) - 8, 8, "43.60 W");
    char *longest = malloc(512);
    assert_non_null(longest);
    snprintf(longest, 512, "<power_readings><power_draw>%s</power_draw></power_readings>", digits);
    assert_power(longest, 0);
    free(longest);
}

static void names_and_addresses(void **state)
{
    assert_int_equal(parse(HEAD GPU0 "<pci><pci_bus_id>00000000:C2:00.0</pci_bus_id></pci>" END
                                     "<gpu><uuid>GPU-\xc3\xa9</uuid><product_name>A &amp; B</product_name>"
                                     "<pci><pci_bus_id>00010000:E2:1F.0</pci_bus_id></pci>" END
                                     "<gpu id=\"none\">" END TAIL),
                     0);
    assert_int_equal(found.n, 3);
    assert_string_equal(found.gpus[0].name, "NVIDIA H200");
    assert_string_equal(found.gpus[0].uuid, "GPU-0a");
    assert_string_equal(found.gpus[0].pci, "0000:c2:00.0");
    assert_string_equal(found.gpus[1].name, "A & B");
    assert_string_equal(found.gpus[1].uuid, "GPU-??"); /* it may be shown on a terminal */
    assert_string_equal(found.gpus[1].pci, "10000:e2:1f.0");
    assert_string_equal(found.gpus[2].pci, "");
}

static void instances(void **state)
{
    assert_int_equal(
        parse(HEAD GPU0
              "<mig_mode><current_mig>Enabled</current_mig></mig_mode><mig_devices>"
              "<mig_device><index>0</index><gpu_instance_id>1</gpu_instance_id><compute_instance_id>0"
              "</compute_instance_id><device_attributes><shared><multiprocessor_count>42</multiprocessor_count>"
              "</shared></device_attributes></mig_device>"
              "<mig_device><index>N/A</index><gpu_instance_id>5</gpu_instance_id><compute_instance_id>0"
              "</compute_instance_id></mig_device>"
              "<mig_device><index>2</index><gpu_instance_id>13</gpu_instance_id><compute_instance_id>1"
              "</compute_instance_id><device_attributes><shared><multiprocessor_count>N/A</multiprocessor_count>"
              "</shared></device_attributes></mig_device></mig_devices>" END GPU1
              "<mig_mode><current_mig>Disabled</current_mig></mig_mode><mig_devices>None</mig_devices>" END TAIL),
        0);
    assert_int_equal(found.n, 2);
    assert_true(found.gpus[0].mig);
    assert_int_equal(found.gpus[0].n_instances, 2); /* one that does not tell who it is is none; the others stay */
    assert_int_equal(found.gpus[0].instances[0].gpu_instance, 1);
    assert_int_equal(found.gpus[0].instances[0].sms, 42);
    assert_int_equal(found.gpus[0].instances[1].index, 2);
    assert_int_equal(found.gpus[0].instances[1].gpu_instance, 13);
    assert_int_equal(found.gpus[0].instances[1].compute_instance, 1);
    assert_int_equal(found.gpus[0].instances[1].sms, 0);
    assert_false(found.gpus[1].mig);
    assert_int_equal(found.gpus[1].n_instances, 0);
    assert_string_equal(found.gpus[1].pci, "0000:e2:00.0");
}

static void more_than_there_is_room_for(void **state)
{
    struct buf xml;

    buf_init(&xml, 1 << 20);
    buf_puts(&xml, HEAD);
    for (int i = 0; i < NVIDIA_SMI_GPUS_MAX + 3; i++)
        buf_puts(&xml, GPU0 END);
    buf_puts(&xml, GPU1);
    for (int i = 0; i < NVIDIA_SMI_INSTANCES_MAX + 2; i++)
        buf_puts(&xml, "<mig_devices><mig_device><index>0</index><gpu_instance_id>1</gpu_instance_id>"
                       "<compute_instance_id>0</compute_instance_id></mig_device></mig_devices>");
    buf_puts(&xml, END TAIL);
    assert_int_equal(parse(buf_str(&xml)), 0);
    assert_int_equal(found.n, NVIDIA_SMI_GPUS_MAX);
    assert_int_equal(found.left_out, 3 + 2 + 1);
    buf_done(&xml);
}

static void assert_refused(const char *xml, int result, const char *word)
{
    struct nvidia_smi_log *before = malloc(sizeof(*before));

    assert_non_null(before);
    *before = found;
    assert_int_equal(parse(xml), result);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
    assert_memory_equal(&found, before, sizeof(found)); /* written only on success */
    assert_int_equal(nvidia_smi_xml_parse(text_of(xml), &found, NULL), result);
    free(before);
}

static void what_is_refused(void **state)
{
    struct buf deep;

    assert_refused("", -EPROTO, "line 1");
    assert_refused("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", -EPROTO,
                   "line 1");
    assert_refused(HEAD GPU0, -EPROTO, "line");
    assert_refused(HEAD GPU0 "</cpu>" TAIL, -EPROTO, "mismatched");
    assert_refused("<html></html>", -EPROTO, "outermost");
    assert_refused("<?xml version=1.0 ?>" TAIL, -EPROTO, "line 1");
    assert_refused(HEAD GPU0 "<uuid>\033[2J</uuid>" END TAIL, -EPROTO, "line 5");
    /* Entities that grow, and files that are read, are attacks. */
    assert_refused("<!DOCTYPE nvidia_smi_log [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;\">]>"
                   "<nvidia_smi_log>" GPU0 "<product_name>&b;</product_name>" END TAIL,
                   -EPROTO, "entity");
    assert_refused("<!DOCTYPE nvidia_smi_log [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><nvidia_smi_log>&a;" TAIL,
                   -EPROTO, "entity");
    assert_refused("<!DOCTYPE nvidia_smi_log [<!ENTITY % a SYSTEM \"file:///etc/passwd\"> %a;]><nvidia_smi_log>" TAIL,
                   -EPROTO, "entity");
    buf_init(&deep, 65536);
    buf_puts(&deep, HEAD);
    for (int i = 0; i < 17; i++)
        buf_puts(&deep, "<gpu>");
    assert_refused(buf_str(&deep), -E2BIG, "deep");
    buf_done(&deep);
    assert_int_equal(nvidia_smi_xml_parse((struct text){"", NVIDIA_SMI_XML_MAX + 1}, &found, &err), -E2BIG);
}

/* Long names of elements do not become the path of something else. */
static void long_element_names(void **state)
{
    char name[300], xml[1024];

    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    snprintf(xml, sizeof(xml), "<%s><uuid>1</uuid></%s><power_readings><power_draw>7 W</power_draw></power_readings>",
             name, name);
    assert_power(xml, 7000000);
    assert_string_equal(found.gpus[0].uuid, "GPU-0a");
}

/* --- the source --------------------------------------------------------------------------------------------------- */

static struct scratch s;
static struct nvidia_smi_settings settings;
static struct source_args args;
static struct reading readings[DOMAINS_MAX];
static void *self;

static int setup(void **state)
{
    scratch_init(&s);
    settings = (struct nvidia_smi_settings){0};
    args = (struct source_args){.env = &s.env, .settings = &settings};
    err = CARNOT_ERR_INIT;
    self = NULL;
    assert_int_equal(commands_new(&s.env.commands, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    source_nvidia_smi.close(self);
    s.env.commands = commands_free(s.env.commands);
    scratch_done(&s);
    return 0;
}

/* What stands for nvidia-smi: a script that prints the file answer.xml, if its arguments are right. */
static void answer(const char *xml, int status)
{
    char text[256];

    scratch_write(&s, "answer.xml", xml);
    snprintf(text, sizeof(text), "#!/bin/sh\n[ \"$*\" = \"-q -x\" ] || exit 2\ncat %s/answer.xml\nexit %d\n", s.dir,
             status);
    scratch_write(&s, "nvidia-smi", text);
    assert_int_equal(chmod(scratch_path(&s, "nvidia-smi"), 0755), 0);
    settings.program = scratch_path(&s, "nvidia-smi");
}

static void powers(const char *first, const char *second)
{
    char text[2048];

    snprintf(text, sizeof(text),
             HEAD GPU0 "<gpu_power_readings><power_draw>%s</power_draw></gpu_power_readings>" END GPU1
                       "<power_readings><power_draw>%s</power_draw></power_readings>" END TAIL,
             first, second);
    answer(text, 0);
}

static void open_source(void)
{
    assert_int_equal(source_nvidia_smi.probe(&args, &err), 0);
    if (source_nvidia_smi.open(&args, &self, &err) < 0)
        fail_msg("%s", err.msg);
}

static int read_after(uint64_t ns)
{
    err = CARNOT_ERR_INIT;
    fake_clock_advance(&s.clock, ns);
    return source_nvidia_smi.read(self, s.clock.now.mono_ns, readings, &err);
}

static void assert_says(const char *word)
{
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
}

static void not_there(void **state)
{
    settings.program = "carnot-has-no-such-program";
    assert_int_equal(source_nvidia_smi.probe(&args, &err), -ENODEV);
    assert_says("carnot-has-no-such-program");
    assert_int_equal(source_nvidia_smi.open(&args, &self, &err), -ENODEV);
    assert_null(self);
    s.env.commands = commands_free(s.env.commands);
    assert_int_equal(source_nvidia_smi.probe(&args, &err), -ENODEV);
    assert_int_equal(source_nvidia_smi.open(&args, &self, &err), -ENODEV);
}

static void powers_told_seldom(void **state)
{
    const struct domain *domains;
    struct buf out;

    powers("100.00 W", "N/A");
    open_source();
    assert_int_equal(source_nvidia_smi.domains(self, &domains), 2);
    assert_string_equal(domains[0].name, "gpu-0"); /* as the library's source names them */
    assert_string_equal(domains[0].pci, "0000:c1:00.0");
    assert_string_equal(domains[1].pci, "0000:e2:00.0");
    assert_int_equal(domains[0].quality, QUALITY_DERIVED);
    assert_string_equal(domains[0].source, "nvidia_smi");
    assert_string_equal(source_nvidia_smi.group, source_nvml.group);
    buf_init(&out, 4096);
    source_nvidia_smi.describe(self, &out);
    assert_string_equal(buf_str(&out), "gpu-0: NVIDIA H200, GPU-0a, its power once in ten seconds\n"
                                       "gpu-1: NVIDIA H200, GPU-1b, told no power at the start\n");
    buf_done(&out);

    assert_int_equal(read_after(0), 2);
    assert_int_equal(readings[0].status, 0);
    assert_true(readings[0].is_power); /* the meter counts it in every window until the next */
    assert_int_equal(readings[0].power_uw, 100000000);
    assert_int_equal(readings[0].mono_ns, s.clock.now.mono_ns);
    assert_int_equal(readings[1].status, -ENODATA);
    powers("300.00 W", "50.00 W");
    read_after(10 * NS_PER_SEC);
    assert_int_equal(readings[0].power_uw, 300000000);
    assert_int_equal(readings[1].status, 0);
    assert_int_equal(readings[1].power_uw, 50000000);
    powers("[N/A]", "0.00 W");
    read_after(10 * NS_PER_SEC);
    assert_int_equal(readings[0].status, -ENODATA);
    assert_int_equal(readings[1].status, -ENODATA); /* never 0 W */
    assert_string_equal(err.msg, "");
}

/* Numbers go to other cards when one falls off the bus. */
static void lost_card(void **state)
{
    powers("100 W", "50 W");
    open_source();
    read_after(0);
    answer(HEAD GPU1 "<power_readings><power_draw>50 W</power_draw></power_readings>" END TAIL, 0);
    read_after(10 * NS_PER_SEC);
    assert_int_equal(readings[0].status, -ENODEV);
    assert_says("gpu-0 (GPU-0a)");
    assert_int_equal(readings[1].status, 0);
    assert_int_equal(readings[1].power_uw, 50000000);
}

static void program_that_fails(void **state)
{
    static const struct {
        int exit, status;
    } cases[] = {{9, -ENODEV}, {4, -EACCES}, {15, -ENODEV}, {1, -EIO}};

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        answer("NVIDIA-SMI has failed \033[31mbecause\n of much more\n", cases[i].exit);
        assert_int_equal(source_nvidia_smi.open(&args, &self, &err), cases[i].status);
        assert_null(self);
        assert_says("NVIDIA-SMI has failed ?[31mbecause;");
    }
    answer("no XML\n", 0);
    assert_int_equal(source_nvidia_smi.open(&args, &self, &err), -EPROTO);
    answer(HEAD TAIL, 0);
    assert_int_equal(source_nvidia_smi.open(&args, &self, &err), -ENODEV);

    powers("100 W", "50 W");
    open_source();
    answer("NVIDIA-SMI has failed\n", 255);
    assert_int_equal(read_after(0), -EIO);
    answer(HEAD GPU0 "<power_readings><power_draw>50 W</power_draw></power_readings>" END TAIL, 14);
    assert_int_equal(read_after(0), 2); /* a corrupted infoROM, and figures beside it */
    assert_int_equal(readings[0].status, 0);
}

/* --- a recorded answer -------------------------------------------------------------------------------------------- */

/* The recorder lost the quotes of two attributes. */
static void quote(struct buf *out, const char *recorded)
{
    static const struct {
        const char *lost, *meant;
    } repairs[] = {{"version=1.0 ", "version=\"1.0\" "},
                   {"SYSTEM nvsmi_device_v12.dtd>", "SYSTEM \"nvsmi_device_v12.dtd\">"}};

    while (*recorded) {
        size_t i = 0;
        while (i < ELEMENTSOF(repairs) && strncmp(recorded, repairs[i].lost, strlen(repairs[i].lost)) != 0)
            i++;
        if (i == ELEMENTSOF(repairs)) {
            buf_putc(out, *recorded++);
            continue;
        }
        buf_puts(out, repairs[i].meant);
        recorded += strlen(repairs[i].lost);
    }
}

/* A whole GPU has an index, a partitioned one none; then each of its instances has, in the order of the answer. */
static void check_index(const struct recorded_gpu *wanted, void *userdata)
{
    uint64_t index = 0;

    for (size_t g = 0; g < found.n; g++) {
        const struct nvidia_smi_gpu *gpu = &found.gpus[g];
        for (size_t i = 0; i < (gpu->mig ? gpu->n_instances : 1); i++, index++) {
            char instance[16] = "";

            if (gpu->mig)
                snprintf(instance, sizeof(instance), "%u", gpu->instances[i].gpu_instance);
            if (strcmp(gpu->uuid, wanted->uuid) != 0 || strcmp(instance, wanted->instance) != 0)
                continue;
            assert_int_equal(index, wanted->index);
            if (gpu->mig && wanted->units)
                assert_int_equal(gpu->instances[i].sms, wanted->units);
            return;
        }
    }
    fail_msg("GPU %s, instance \"%s\" was not found", wanted->uuid, wanted->instance);
}

static void recorded_inventory(void **state)
{
    static const char *const expositions[] = {
        "golden/exporter/cgroupsv1-output.txt", "golden/exporter/cgroupsv1-libvirt-output.txt",
        "golden/exporter/cgroupsv2-nvidia-ipmiutil-output.txt", "golden/exporter/cgroupsv2-procfs-output.txt"};
    static const unsigned instances[][4] = {{1, 42, 0, 0}, {5, 14, 1, 0}, {13, 14, 2, 0}};
    char *recorded = recorded_read("commands/nvidia-smi.queryxmlformat.out");
    struct buf xml;

    if (!recorded)
        RECORDED_SKIP();
    buf_init(&xml, NVIDIA_SMI_XML_MAX);
    quote(&xml, recorded);
    free(recorded);
    assert_int_equal(parse(buf_str(&xml)), 0);
    buf_done(&xml);
    assert_int_equal(found.n, 8);
    assert_string_equal(found.gpus[0].name, "NVIDIA A100-PCIE-40GB");
    assert_string_equal(found.gpus[0].pci, "0000:10:00.0");
    assert_string_equal(found.gpus[7].pci, "0000:89:00.0");
    for (size_t i = 0; i < found.n; i++) {
        assert_int_equal(found.gpus[i].mig, i == 2 || i == 3);
        assert_int_equal(found.gpus[i].n_instances, i == 2 || i == 3 ? 3 : 0);
        assert_int_equal(found.gpus[i].power_uw, 0); /* it tells none */
    }
    for (size_t i = 0; i < ELEMENTSOF(instances); i++) {
        const struct nvidia_smi_instance *instance = &found.gpus[2].instances[i];
        assert_int_equal(instance->gpu_instance, instances[i][0]);
        assert_int_equal(instance->sms, instances[i][1]);
        assert_int_equal(instance->index, instances[i][2]);
        assert_int_equal(instance->compute_instance, instances[i][3]);
    }
    for (size_t i = 0; i < ELEMENTSOF(expositions); i++)
        assert_true(recorded_gpus(expositions[i], "GPU-", check_index, NULL) > 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(powers_of_many_drivers),
        cmocka_unit_test(no_reading_is_no_power),
        cmocka_unit_test(names_and_addresses),
        cmocka_unit_test(instances),
        cmocka_unit_test(more_than_there_is_room_for),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(long_element_names),
        TEST(not_there),
        TEST(powers_told_seldom),
        TEST(lost_card),
        TEST(program_that_fails),
        cmocka_unit_test(recorded_inventory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
