/* SPDX-License-Identifier: Apache-2.0 */
/* Several ways to one GPU, and GPUs of several makers: which source is used, what is counted once. Libraries are
 * stand-ins (tests/sim), programs are scripts. */
#include "../sources/scratch.h"

#include <stdio.h>

#include "../../sim/amd/fake_amd.h"
#include "../../sim/nvml/fake_nvml.h"
#include "base/commands.h"
#include "meter/energy.h"
#include "sources/amd_smi.h"
#include "sources/amd_smi_json.h"
#include "sources/gpu_usage.h"
#include "sources/nvidia_smi.h"
#include "sources/nvml.h"
#include "sources/registry.h"

#define NOWHERE "/nonexistent/library"

static struct scratch s;
static struct energy energy;
static struct carnot_err err;

static int setup(void **state)
{
    struct nvml_settings *nvml = source_nvml.settings;
    struct nvidia_smi_settings *nvidia_smi = source_nvidia_smi.settings;
    struct amd_smi_settings *amd = source_amd_smi.settings;
    struct amd_smi_json_settings *amd_json = source_amd_smi_json.settings;

    scratch_init(&s);
    err = CARNOT_ERR_INIT;
    energy = (struct energy){0};
    assert_int_equal(commands_new(&s.env.commands, &err), 0);
    assert_int_equal(setenv(FAKE_NVML_SCRIPT, scratch_path(&s, "nvidia.txt"), 1), 0);
    assert_int_equal(setenv(FAKE_AMD_SCRIPT, scratch_path(&s, "amd.txt"), 1), 0);
    nvml->library = amd->library = NOWHERE;
    nvidia_smi->program = amd_json->amd_smi = amd_json->rocm_smi = NOWHERE;
    return 0;
}

static int teardown(void **state)
{
    energy_close(&energy);
    s.env.commands = commands_free(s.env.commands);
    scratch_done(&s);
    return 0;
}

static char *program(const char *name, const char *prints)
{
    char text[256];

    scratch_write(&s, "printed", prints);
    snprintf(text, sizeof(text), "#!/bin/sh\ncat %s/printed\n", s.dir);
    scratch_write(&s, name, text);
    assert_int_equal(chmod(scratch_path(&s, name), 0755), 0);
    char *path = strdup(scratch_path(&s, name));
    assert_non_null(path);
    return path;
}

static void open_energy(void)
{
    static const struct option_list gpus_only = {.items = {"nvml", "nvidia_smi", "amd_smi", "amd_smi_json", "hwmon"},
                                                 .count = 5};

    if (energy_open(&s.env, NULL, &gpus_only, NULL, &energy, &err) < 0)
        fail_msg("%s", err.msg);
}

static const struct energy_source *source(const char *name)
{
    for (size_t i = 0; i < energy.n_sources; i++)
        if (strcmp(energy.sources[i].ops->name, name) == 0)
            return &energy.sources[i];
    fail_msg("no source %s", name);
    return NULL;
}

static void assert_totals(const char *names)
{
    char all[512] = "";
    size_t n = 0;

    for (size_t i = 0; i < energy.n_domains; i++)
        if (energy.domains[i].domain.in_total)
            n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", n ? " " : "", energy.domains[i].domain.name);
    assert_string_equal(all, names);
}

static void program_is_not_needed(void **state)
{
    struct nvml_settings *nvml = source_nvml.settings;
    struct nvidia_smi_settings *nvidia_smi = source_nvidia_smi.settings;
    struct gpu_usage *usage = calloc(1, sizeof(*usage));

    nvml->library = FAKE_NVML;
    scratch_write(&s, "nvidia.txt", "gpus 1\ngpu 0 energy-mj 1\n");
    char *path = program("nvidia-smi", "never printed");
    nvidia_smi->program = path;
    open_energy();
    assert_int_equal(source("nvml")->state, 0);
    assert_int_equal(source("nvidia_smi")->state, -EALREADY);
    assert_non_null(usage);
    assert_int_equal(source("nvml")->ops->usage(source("nvml")->self, usage), -ENODATA); /* nothing was read so far */
    free(usage);
    free(path);
}

static void program_where_there_is_no_library(void **state)
{
    struct nvidia_smi_settings *nvidia_smi = source_nvidia_smi.settings;
    char *path = program("nvidia-smi",
                         "<nvidia_smi_log><gpu id=\"00000000:C1:00.0\"><uuid>GPU-1</uuid><power_readings><power_draw>"
                         "100 W</power_draw></power_readings></gpu></nvidia_smi_log>\n");

    nvidia_smi->program = path;
    open_energy();
    assert_int_equal(source("nvml")->state, -ENODEV);
    assert_int_equal(source("nvidia_smi")->state, 0);
    assert_totals("gpu-0");
    free(path);
}

static void amd_programs_where_there_is_no_library(void **state)
{
    struct amd_smi_json_settings *amd_json = source_amd_smi_json.settings;
    char *path = program("rocm-smi", "{\"card0\":{\"PCI Bus\":\"0000:C1:00.0\",\"Energy counter\":\"65536\"}}\n");

    amd_json->rocm_smi = path;
    open_energy();
    assert_int_equal(source("amd_smi")->state, -ENODEV);
    assert_int_equal(source("amd_smi_json")->state, 0);
    assert_totals("gpu-0-amd");
    free(path);
}

static void put_hwmon(unsigned number, const char *address, const char *chip, const char *file, const char *value)
{
    char path[256], target[256];

    snprintf(path, sizeof(path), "sys/devices/pci0000:00/%s/hwmon/hwmon%u/name", address, number);
    scratch_write(&s, path, chip);
    snprintf(path, sizeof(path), "sys/devices/pci0000:00/%s/hwmon/hwmon%u/%s", address, number, file);
    scratch_write(&s, path, value);
    snprintf(path, sizeof(path), "sys/devices/pci0000:00/%s/hwmon/hwmon%u/power1_cap", address, number);
    scratch_write(&s, path, "300000000\n");
    snprintf(target, sizeof(target), "../../../%s", address);
    snprintf(path, sizeof(path), "sys/devices/pci0000:00/%s/hwmon/hwmon%u/device", address, number);
    assert_int_equal(symlink(target, scratch_path(&s, path)), 0);
    snprintf(target, sizeof(target), "../../devices/pci0000:00/%s/hwmon/hwmon%u", address, number);
    snprintf(path, sizeof(path), "sys/class/hwmon/hwmon%u", number);
    assert_int_equal(symlink(target, scratch_path(&s, path)), 0);
}

/* NVIDIA, AMD and Intel in one machine; the AMD card is seen by hwmon too, the NVIDIA one by nouveau's. */
static void cards_of_three_makers(void **state)
{
    struct nvml_settings *nvml = source_nvml.settings;
    struct amd_smi_settings *amd = source_amd_smi.settings;

    nvml->library = FAKE_NVML;
    amd->library = FAKE_AMD_SMI;
    scratch_write(&s, "nvidia.txt", "gpus 1\ngpu 0 energy-mj 1\ngpu 0 pci-bus 193\n");
    scratch_write(&s, "amd.txt", "gpus 1\ngpu 0 steps 1\ngpu 0 bus 194\n");
    scratch_mkdirs(&s, "sys/class/hwmon");
    put_hwmon(0, "0000:c1:00.0", "nouveau\n", "power1_input", "9000000\n");
    put_hwmon(1, "0000:c2:00.0", "amdgpu\n", "power1_average", "35000000\n");
    put_hwmon(2, "0000:03:00.0", "i915\n", "energy1_input", "5\n");
    put_hwmon(3, "0000:04:00.0", "xe\n", "energy2_input", "5\n");
    scratch_write(&s, "sys/devices/pci0000:00/0000:04:00.0/hwmon/hwmon3/energy2_label", "pkg\n");
    open_energy();
    assert_int_equal(energy.n_domains, 6);
    assert_totals("gpu-0 gpu-0-amd gpu-0000:03:00.0-hwmon gpu-0000:04:00.0-hwmon");
    for (size_t i = 0; i < energy.n_domains; i++) {
        assert_int_equal(energy.domains[i].domain.kind, DOMAIN_GPU);
        assert_int_equal(strlen(energy.domains[i].domain.pci), strlen("0000:c1:00.0"));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(energy.domains[i].domain.name, energy.domains[k].domain.name);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(program_is_not_needed),
        TEST(program_where_there_is_no_library),
        TEST(amd_programs_where_there_is_no_library),
        TEST(cards_of_three_makers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
