/* SPDX-License-Identifier: Apache-2.0 */
/* The instances of one GPU (MIG), found out one call of NVIDIA's library at a time, since each may take 100 ms. Knows
 * nothing of processes. */
#ifndef CARNOT_SOURCES_NVML_MIG_H
#define CARNOT_SOURCES_NVML_MIG_H

#include "sources/gpu_usage.h"
#include "sources/nvml_abi.h"

#define NVML_MIG_MAX 8 /* 7 on every GPU so far; the reference has profiles of 8 slices */

struct nvml_instance {
    struct nvml_device *handle; /* NULL: no instance has this index */
    uint32_t gpu_instance, compute_instance, sms, slices;
    char uuid[GPU_UUID_MAX];
};

struct nvml_mig {
    bool on;
    uint32_t sms, slices; /* that instances can have, all together; 0: unknown */
    struct nvml_instance instances[NVML_MIG_MAX];
};

/* A look in progress; zeroed, it is at its beginning. */
struct nvml_mig_look {
    int stage;
    unsigned index, profile, max;
    struct nvml_mig found;
};

/* Goes on until it has called the library once, or is done. 0: not done. 1: done, *known is what it found. -EAGAIN:
 * given up, the GPU does not answer; *known stays as it was. After 1 and -EAGAIN `look` is at its beginning again. What
 * is known of instances that are still there under the same handle is not asked again, but for their size. */
int nvml_mig_look(const struct nvml_api *api, struct nvml_device *gpu, struct nvml_mig_look *look,
                  struct nvml_mig *known);

#endif
