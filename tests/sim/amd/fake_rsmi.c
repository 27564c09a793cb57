/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for ROCm SMI, see fake_amd.h. */
#include <stdatomic.h>

#include "base/util.h"
#include "fake_amd.h"

#define EXPORT __attribute__((visibility("default")))

enum { OK = 0, INVALID = 1, NOT_SUPPORTED = 2 };

static atomic_int users;

EXPORT int fake_amd_users(void);
int fake_amd_users(void)
{
    return atomic_load(&users);
}

EXPORT int rsmi_init(uint64_t flags);
int rsmi_init(uint64_t flags)
{
    struct fake_amd amd;

    fake_amd_load(&amd);
    if (flags)
        return INVALID;
    if (amd.init == OK)
        atomic_fetch_add(&users, 1);
    return (int)amd.init;
}

EXPORT int rsmi_shut_down(void);
int rsmi_shut_down(void)
{
    atomic_fetch_sub(&users, 1);
    return OK;
}

EXPORT int rsmi_status_string(int status, const char **ret_text);
int rsmi_status_string(int status, const char **ret_text)
{
    *ret_text = status == 4 ? "RSMI_STATUS_PERMISSION: The user ID of the calling process lacks a right" : "odd\033[1m";
    return OK;
}

EXPORT int rsmi_num_monitor_devices(uint32_t *ret_count);
int rsmi_num_monitor_devices(uint32_t *ret_count)
{
    struct fake_amd amd;

    fake_amd_load(&amd);
    *ret_count = (uint32_t)amd.gpus;
    return (int)amd.list;
}

static const uint64_t *find(struct fake_amd *amd, uint32_t device)
{
    fake_amd_load(amd);
    return atomic_load(&users) > 0 && device < amd->gpus ? amd->gpu[device] : NULL;
}

EXPORT int rsmi_dev_pci_id_get(uint32_t device, uint64_t *ret_bdf);
int rsmi_dev_pci_id_get(uint32_t device, uint64_t *ret_bdf)
{
    struct fake_amd amd;
    const uint64_t *gpu = find(&amd, device);

    if (!gpu || gpu[FAKE_BDF_RESULT])
        return gpu ? (int)gpu[FAKE_BDF_RESULT] : INVALID;
    /* The partition's number stands in both places where the real library puts it. */
    *ret_bdf = gpu[FAKE_DOMAIN] << 32 | gpu[FAKE_FUNCTION] << 28 | gpu[FAKE_BUS] << 8 | gpu[FAKE_DEVICE] << 3 |
               gpu[FAKE_FUNCTION];
    return OK;
}

EXPORT int rsmi_dev_unique_id_get(uint32_t device, uint64_t *ret_id);
int rsmi_dev_unique_id_get(uint32_t device, uint64_t *ret_id)
{
    struct fake_amd amd;
    const uint64_t *gpu = find(&amd, device);

    if (!gpu || gpu[FAKE_ID_RESULT])
        return gpu ? (int)gpu[FAKE_ID_RESULT] : INVALID;
    if (gpu[FAKE_UNIQUE] == FAKE_AMD_UNSET)
        return NOT_SUPPORTED;
    *ret_id = gpu[FAKE_UNIQUE];
    return OK;
}

EXPORT int rsmi_dev_energy_count_get(uint32_t device, uint64_t *ret_steps, float *ret_step_uj, uint64_t *ret_time_ns);
int rsmi_dev_energy_count_get(uint32_t device, uint64_t *ret_steps, float *ret_step_uj, uint64_t *ret_time_ns)
{
    struct fake_amd amd;
    const uint64_t *gpu = find(&amd, device);

    if (!gpu || gpu[FAKE_ENERGY_RESULT])
        return gpu ? (int)gpu[FAKE_ENERGY_RESULT] : INVALID;
    if (gpu[FAKE_STEPS] == FAKE_AMD_UNSET)
        return NOT_SUPPORTED;
    *ret_steps = gpu[FAKE_STEPS];
    *ret_step_uj = (float)gpu[FAKE_STEP_NJ] / 1000;
    *ret_time_ns = 1;
    return OK;
}

EXPORT int rsmi_dev_power_get(uint32_t device, uint64_t *ret_uw, int *ret_type);
int rsmi_dev_power_get(uint32_t device, uint64_t *ret_uw, int *ret_type)
{
    struct fake_amd amd;
    const uint64_t *gpu = find(&amd, device);

    if (!gpu || gpu[FAKE_POWER_RESULT])
        return gpu ? (int)gpu[FAKE_POWER_RESULT] : INVALID;
    *ret_type = gpu[FAKE_CURRENT_W] != FAKE_AMD_UNSET;
    uint64_t power_w = *ret_type ? gpu[FAKE_CURRENT_W] : gpu[FAKE_AVERAGE_W];
    if (power_w == FAKE_AMD_UNSET)
        return NOT_SUPPORTED;
    *ret_uw = power_w * 1000000;
    return OK;
}
