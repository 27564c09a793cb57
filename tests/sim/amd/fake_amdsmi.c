/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for AMD SMI, see fake_amd.h. Structures are laid out as the release says that it is. */
#include <stdatomic.h>
#include <string.h>

#include "base/util.h"
#include "fake_amd.h"

#define EXPORT __attribute__((visibility("default")))

enum { OK = 0, INVALID = 1, NOT_SUPPORTED = 2, NOT_INITIALISED = 32 };

static atomic_int users;
static unsigned char sockets[FAKE_AMD_GPUS_MAX], processors[FAKE_AMD_GPUS_MAX];

EXPORT int fake_amd_users(void);
int fake_amd_users(void)
{
    return atomic_load(&users);
}

EXPORT int amdsmi_init(uint64_t flags);
int amdsmi_init(uint64_t flags)
{
    struct fake_amd amd;

    fake_amd_load(&amd);
    if (flags != 2) /* GPUs only */
        return INVALID;
    if (amd.init == OK)
        atomic_fetch_add(&users, 1);
    return (int)amd.init;
}

EXPORT int amdsmi_shut_down(void);
int amdsmi_shut_down(void)
{
    atomic_fetch_sub(&users, 1);
    return OK;
}

EXPORT int amdsmi_status_code_to_string(int status, const char **ret_text);
int amdsmi_status_code_to_string(int status, const char **ret_text)
{
    *ret_text = status == 10 ? "AMDSMI_STATUS_NO_PERM - Permission Denied" : "something odd\033[1m";
    return OK;
}

EXPORT int amdsmi_get_lib_version(void *out);
int amdsmi_get_lib_version(void *out)
{
    struct fake_amd amd;

    fake_amd_load(&amd);
    if (amd.release >= 26)
        memcpy(out, (uint32_t[]){(uint32_t)amd.release, 0, 0, 0}, 16);
    else
        memcpy(out, (uint32_t[]){(uint32_t)amd.release, 7, 1, 0}, 16);
    return OK;
}

EXPORT int amdsmi_get_socket_handles(uint32_t *count, void **out);
int amdsmi_get_socket_handles(uint32_t *count, void **out)
{
    struct fake_amd amd;
    uint32_t n = 0;

    fake_amd_load(&amd);
    if (atomic_load(&users) <= 0)
        return NOT_INITIALISED;
    if (amd.list)
        return (int)amd.list;
    for (size_t s = 0; s < FAKE_AMD_GPUS_MAX; s++) {
        bool used = false;
        for (size_t i = 0; i < amd.gpus; i++)
            used |= amd.gpu[i][FAKE_SOCKET] == s;
        if (used && out && n < *count)
            out[n] = &sockets[s];
        n += used;
    }
    *count = n;
    return OK;
}

EXPORT int amdsmi_get_processor_handles(void *socket, uint32_t *count, void **out);
int amdsmi_get_processor_handles(void *socket, uint32_t *count, void **out)
{
    struct fake_amd amd;
    uint32_t n = 0;

    fake_amd_load(&amd);
    for (size_t i = 0; i < amd.gpus; i++) {
        if (socket != &sockets[amd.gpu[i][FAKE_SOCKET] % FAKE_AMD_GPUS_MAX])
            continue;
        if (out && n < *count)
            out[n] = &processors[i];
        n++;
    }
    *count = n;
    return OK;
}

/* NULL: no processor of ours. */
static const uint64_t *find(const struct fake_amd *amd, const void *processor)
{
    size_t i = (size_t)((const unsigned char *)processor - processors);

    return atomic_load(&users) > 0 && i < amd->gpus ? amd->gpu[i] : NULL;
}

EXPORT int amdsmi_get_processor_type(void *processor, int *ret_type);
int amdsmi_get_processor_type(void *processor, int *ret_type)
{
    struct fake_amd amd;
    const uint64_t *gpu;

    fake_amd_load(&amd);
    gpu = find(&amd, processor);
    if (!gpu)
        return INVALID;
    *ret_type = gpu[FAKE_CPU] ? 2 : 1;
    return OK;
}

EXPORT int amdsmi_get_gpu_device_bdf(void *processor, uint64_t *ret_bdf);
int amdsmi_get_gpu_device_bdf(void *processor, uint64_t *ret_bdf)
{
    struct fake_amd amd;
    const uint64_t *gpu;

    fake_amd_load(&amd);
    gpu = find(&amd, processor);
    if (!gpu || gpu[FAKE_BDF_RESULT])
        return gpu ? (int)gpu[FAKE_BDF_RESULT] : INVALID;
    *ret_bdf = gpu[FAKE_DOMAIN] << 16 | gpu[FAKE_BUS] << 8 | gpu[FAKE_DEVICE] << 3 | gpu[FAKE_FUNCTION];
    return OK;
}

EXPORT int amdsmi_get_gpu_device_uuid(void *processor, unsigned int *size, char *out);
int amdsmi_get_gpu_device_uuid(void *processor, unsigned int *size, char *out)
{
    struct fake_amd amd;
    const uint64_t *gpu;

    fake_amd_load(&amd);
    gpu = find(&amd, processor);
    if (!gpu || gpu[FAKE_ID_RESULT])
        return gpu ? (int)gpu[FAKE_ID_RESULT] : INVALID;
    if (gpu[FAKE_UNIQUE] == FAKE_AMD_UNSET)
        return NOT_SUPPORTED;
    snprintf(out, *size, "%08x-0000-1000-80%010llx", 0x740c, (unsigned long long)gpu[FAKE_UNIQUE]);
    return OK;
}

EXPORT int amdsmi_get_energy_count(void *processor, uint64_t *ret_steps, float *ret_step_uj, uint64_t *ret_time_ns);
int amdsmi_get_energy_count(void *processor, uint64_t *ret_steps, float *ret_step_uj, uint64_t *ret_time_ns)
{
    struct fake_amd amd;
    const uint64_t *gpu;

    fake_amd_load(&amd);
    gpu = find(&amd, processor);
    if (!gpu || gpu[FAKE_ENERGY_RESULT])
        return gpu ? (int)gpu[FAKE_ENERGY_RESULT] : INVALID;
    if (gpu[FAKE_STEPS] == FAKE_AMD_UNSET)
        return NOT_SUPPORTED;
    *ret_steps = gpu[FAKE_STEPS];
    *ret_step_uj = (float)gpu[FAKE_STEP_NJ] / 1000;
    *ret_time_ns = 1;
    return OK;
}

static uint32_t watts(uint64_t field)
{
    return field == FAKE_AMD_UNSET ? UINT32_MAX : (uint32_t)field;
}

EXPORT int amdsmi_get_power_info(void *processor, void *out);
int amdsmi_get_power_info(void *processor, void *out)
{
    struct fake_amd amd;
    const uint64_t *gpu;

    fake_amd_load(&amd);
    gpu = find(&amd, processor);
    if (!gpu || gpu[FAKE_POWER_RESULT])
        return gpu ? (int)gpu[FAKE_POWER_RESULT] : INVALID;
    uint32_t current_w = watts(gpu[FAKE_CURRENT_W]), average_w = watts(gpu[FAKE_AVERAGE_W]);
    if (amd.release <= 24)
        memcpy(out, (uint32_t[17]){current_w, average_w, 806, 799, 0, 300}, 68);
    else if (amd.release == 25)
        memcpy(out, (uint32_t[10]){UINT32_MAX, 0, current_w, average_w, 806, 799, 0, 300}, 40);
    else
        memcpy(out, (uint64_t[25]){current_w, (uint64_t)average_w << 32 | current_w, 806, 799, 0, 300}, 200);
    return OK;
}
