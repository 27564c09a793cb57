/* SPDX-License-Identifier: Apache-2.0 */
/* The input as an answer of nvidia-smi. */
#include <string.h>

#include "check.h"
#include "sources/nvidia_smi_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
    size_t n = strnlen(text, size);

    CHECK(n < size);
    for (size_t i = 0; i < n; i++)
        CHECK(text[i] >= ' ' && text[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct nvidia_smi_log log;
    struct carnot_err err = CARNOT_ERR_INIT;

    log = (struct nvidia_smi_log){.n = 7777};
    if (nvidia_smi_xml_parse((struct text){(const char *)data, size}, &log, &err) < 0) {
        CHECK(log.n == 7777 && err.msg[0]);
        check_text(err.msg, sizeof(err.msg));
        return 0;
    }
    CHECK(log.n <= NVIDIA_SMI_GPUS_MAX);
    for (size_t i = 0; i < log.n; i++) {
        const struct nvidia_smi_gpu *gpu = &log.gpus[i];
        check_text(gpu->name, sizeof(gpu->name));
        check_text(gpu->uuid, sizeof(gpu->uuid));
        check_text(gpu->pci, sizeof(gpu->pci));
        CHECK(gpu->power_uw <= NVIDIA_SMI_MAX_UW);
        CHECK(gpu->n_instances <= NVIDIA_SMI_INSTANCES_MAX);
    }
    return 0;
}
