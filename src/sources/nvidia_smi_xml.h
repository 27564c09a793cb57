/* SPDX-License-Identifier: Apache-2.0 */
/* What `nvidia-smi -q -x` prints. Element names changed with the drivers; those that we look for are in one table in
 * nvidia_smi_xml.c. Knows no command and no time. */
#ifndef CARNOT_SOURCES_NVIDIA_SMI_XML_H
#define CARNOT_SOURCES_NVIDIA_SMI_XML_H

#include "base/err.h"
#include "base/parse.h"
#include "model/domain.h"

#define NVIDIA_SMI_GPUS_MAX      64 /* four times the largest machine */
#define NVIDIA_SMI_INSTANCES_MAX 8  /* of a GPU; 7 so far */
#define NVIDIA_SMI_TEXT_MAX      96 /* names and UUIDs; a longer text is none that we know */

/* A whole answer. 16 GPUs with some hundred processes each are 1 MiB. */
#define NVIDIA_SMI_XML_MAX ((size_t)4 << 20)

/* A power beyond this is garbage: ten times what the largest GPU draws. */
#define NVIDIA_SMI_MAX_UW (10000ULL * 1000000)

struct nvidia_smi_instance {
    uint32_t index, gpu_instance, compute_instance;
    uint32_t sms; /* 0: not told */
};

struct nvidia_smi_gpu {
    char name[NVIDIA_SMI_TEXT_MAX], uuid[NVIDIA_SMI_TEXT_MAX];
    char pci[DOMAIN_PCI_MAX]; /* in the kernel's form */
    bool mig;
    uint64_t power_uw; /* 0: not told; no GPU draws nothing */
    size_t n_instances;
    struct nvidia_smi_instance instances[NVIDIA_SMI_INSTANCES_MAX];
};

/* In the order of the answer, which is the driver's own numbering. */
struct nvidia_smi_log {
    size_t n;
    unsigned left_out; /* GPUs and instances beyond the room for them */
    struct nvidia_smi_gpu gpus[NVIDIA_SMI_GPUS_MAX];
};

/* -EPROTO when it is no such XML or declares an entity, -E2BIG when it is too long or too deep; then *ret_log is as it
 * was. What a GPU does not tell ("N/A", "[Unknown Error]") is left empty. */
int nvidia_smi_xml_parse(struct text xml, struct nvidia_smi_log *ret_log, struct carnot_err *err);

#endif
