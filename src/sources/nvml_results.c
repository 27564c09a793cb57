/* SPDX-License-Identifier: Apache-2.0 */
/* See nvml_results.h. */
#include "sources/nvml_results.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sources/printable.h"

static const struct {
    int result;
    int status;
    const char *advice;
} meanings[] = {
    {NVML_OK, 0, ""},
    {NVML_NOT_SUPPORTED, -ENODATA, ""},
    {NVML_FUNCTION_NOT_FOUND, -ENODATA, ""},
    {NVML_NO_DATA, -ENODATA, ""},
    {NVML_NOT_READY, -ENODATA, ""},
    {NVML_TIMEOUT, -ETIMEDOUT, "; it is asked again"},
    {NVML_NO_PERMISSION, -EACCES, "; give this program the right to open /dev/nvidiactl and /dev/nvidia[0-9]*"},
    {NVML_OPERATING_SYSTEM, -EACCES, "; the device rules of our control group or container must allow /dev/nvidia*"},
    {NVML_DRIVER_NOT_LOADED, -ENODEV,
     "; the library is there, the kernel's driver is not: try `modprobe nvidia` or `nvidia-smi`"},
    {NVML_GPU_IS_LOST, -ENODEV, "; see `dmesg` for Xid messages: the GPU wants a reset or the machine a restart"},
    {NVML_GPU_NOT_FOUND, -ENODEV, ""},
    {NVML_NOT_FOUND, -ENODEV, ""},
    {NVML_RESET_REQUIRED, -EIO, "; `nvidia-smi --gpu-reset` mends it"},
    {NVML_LIB_RM_VERSION_MISMATCH, -EPROTO,
     "; the driver was updated while the old one runs: load the new one, or restart the machine"},
    {NVML_NO_MEMORY, -ENOMEM, ""},
};

const char *nvml_advice(int result)
{
    for (size_t i = 0; i < ELEMENTSOF(meanings); i++)
        if (meanings[i].result == result)
            return meanings[i].advice;
    return "; `nvidia-smi` may tell more";
}

int nvml_status(int result)
{
    for (size_t i = 0; i < ELEMENTSOF(meanings); i++)
        if (meanings[i].result == result)
            return meanings[i].status;
    return -EIO;
}

void nvml_copy_text(char *out, size_t size, const char *in)
{
    printable_copy(out, size, (struct text){in, strnlen(in, size - 1)});
}

void nvml_text(const struct nvml_api *api, int result, char *out, size_t size)
{
    const char *text = api->error_string ? api->error_string(result) : NULL;

    if (text)
        nvml_copy_text(out, size, text);
    else
        snprintf(out, size, "NVML result %d", result);
}

int nvml_explain(const struct nvml_api *api, int result, const char *what, struct carnot_err *err)
{
    char text[128];

    nvml_text(api, result, text, sizeof(text));
    return carnot_err_set(err, nvml_status(result), "%s: %s%s", what, text, nvml_advice(result));
}
