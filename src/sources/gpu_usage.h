/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses the GPUs of a machine, as far as their driver tells: the instances that a GPU is cut into, and the processes
 * on it with their part of its time and memory. Knows no vendor and no energy: an instance has no sensor, so what it
 * used is for attribution to say.
 *
 * Asking a driver costs tens of milliseconds a call, so the parts are of different age; each says when it was read. */
#ifndef CARNOT_SOURCES_GPU_USAGE_H
#define CARNOT_SOURCES_GPU_USAGE_H

#include "model/domain.h"

#define GPU_UUID_MAX       96         /* the longest that NVML documents, NUL included */
#define GPU_INSTANCES_MAX  256        /* 32 GPUs of 8; the largest machines have 16 of 7 */
#define GPU_PROCESSES_MAX  1024       /* with MPS 48 clients a GPU; more is counted in left_out */
#define GPU_WHOLE          UINT32_MAX /* in place of an instance */
#define GPU_UNKNOWN        UINT32_MAX
#define GPU_UNKNOWN_BYTES  UINT64_MAX
#define GPU_PERMILLE_WHOLE 1000

struct gpu_use {
    uint32_t domain;  /* index into the source's domains */
    bool partitioned; /* it runs nothing but instances */
    uint32_t sms; /* streaming multiprocessors that instances can have, all together; 0: unknown, or not partitioned */
    uint32_t slices;  /* likewise */
    uint64_t read_ns; /* monotonic: when its processes were known last; 0: never */
};

/* Its part of the GPU is sms / gpu_use.sms; what no instance has is nobody's. */
struct gpu_instance {
    uint32_t gpu;              /* index into gpus */
    uint32_t index;            /* among the GPU's instances, as the driver counts them; numbers may be missing */
    uint32_t gpu_instance;     /* the hardware partition: memory and engines */
    uint32_t compute_instance; /* the share of that partition's multiprocessors */
    uint32_t sms;              /* 0: unknown */
    uint32_t slices;           /* of the GPU, that its multiprocessors belong to; 0: unknown */
    char uuid[GPU_UUID_MAX];   /* "" when the driver gives none */
};

/* A process on several GPUs or instances is here several times. */
struct gpu_process {
    uint32_t gpu;         /* index into gpus */
    uint32_t instance;    /* index into instances; GPU_WHOLE: not on one, or on one that is not known (any more) */
    uint32_t pid;         /* in the driver's pid namespace: the host's */
    uint32_t sm_permille; /* mean part of the time, between begin_ns and end_ns, in which one of its kernels ran; of all
                           * processes of a GPU these can add up to more than 1000. 0: it ran none; GPU_UNKNOWN: not
                           * told */
    uint64_t begin_ns, end_ns; /* monotonic; 0 with GPU_UNKNOWN */
    uint64_t memory_bytes;     /* GPU_UNKNOWN_BYTES: not told, or it had ended by then */
};

struct gpu_usage {
    size_t n_gpus, n_instances, n_processes;
    unsigned left_out; /* instances and processes beyond the room for them, or that the driver had too many of */
    struct gpu_use gpus[DOMAINS_MAX];
    struct gpu_instance instances[GPU_INSTANCES_MAX];
    struct gpu_process processes[GPU_PROCESSES_MAX];
};

#endif
