/* SPDX-License-Identifier: Apache-2.0 */
/* What we call of NVIDIA's management library, declared in our own words after its published reference: result codes,
 * an opaque handle, the types of twenty functions. Units are in the names of the parameters. What a function fills has
 * one layout in all releases that have the function (a new layout gets a new name, `_v3`); it is given more room than
 * it asks for all the same, see nvml_processes_fn. */
#ifndef CARNOT_SOURCES_NVML_ABI_H
#define CARNOT_SOURCES_NVML_ABI_H

/* Results that we tell apart; any other is a failure without more meaning to us. */
enum {
    NVML_OK = 0,
    NVML_UNINITIALIZED = 1,
    NVML_INVALID_ARGUMENT = 2,
    NVML_NOT_SUPPORTED = 3,
    NVML_NO_PERMISSION = 4,
    NVML_NOT_FOUND = 6,
    NVML_INSUFFICIENT_SIZE = 7,
    NVML_DRIVER_NOT_LOADED = 9,
    NVML_TIMEOUT = 10,
    NVML_FUNCTION_NOT_FOUND = 13,
    NVML_GPU_IS_LOST = 15,
    NVML_RESET_REQUIRED = 16,
    NVML_OPERATING_SYSTEM = 17,        /* the device file is closed to us (a container's rules) */
    NVML_LIB_RM_VERSION_MISMATCH = 18, /* library and kernel driver are of different releases */
    NVML_NO_MEMORY = 20,
    NVML_NO_DATA = 21,
    NVML_NOT_READY = 27,
    NVML_GPU_NOT_FOUND = 28,
    NVML_UNKNOWN = 999,
};

/* Room that the library asks for, NUL included. */
#define NVML_NAME_MAX 96
#define NVML_UUID_MAX 96

struct nvml_device; /* a GPU, or an instance of one */

struct nvml_pci {
    char legacy_bus_id[16];
    unsigned int domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
    unsigned char room[64]; /* not theirs */
};

struct nvml_attributes {
    unsigned int sms, copy_engines, decoders, encoders, jpegs, ofas;
    unsigned int gpu_slices;     /* of the GPU instance */
    unsigned int compute_slices; /* of the compute instance in it */
    unsigned long long memory_mib;
    unsigned char room[64]; /* not theirs */
};

/* A kind of GPU instance. */
struct nvml_profile {
    unsigned int id, p2p, slices, instances, sms, copy_engines, decoders, encoders, jpegs, ofas;
    unsigned long long memory_mib;
    unsigned char room[64]; /* not theirs */
};

/* Numbers of the profiles that are a whole GPU: of seven slices (A100, H100 and later), of four (A30). */
enum { NVML_PROFILE_7_SLICES = 4, NVML_PROFILE_4_SLICES = 3 };

struct nvml_process {
    unsigned int pid;
    unsigned long long memory_bytes;             /* all of the process's on this device; NVML_NOT_AVAILABLE */
    unsigned int gpu_instance, compute_instance; /* NVML_NO_INSTANCE without MIG */
};

#define NVML_NOT_AVAILABLE UINT64_MAX
#define NVML_NO_INSTANCE   UINT32_MAX

struct nvml_sample {
    unsigned int pid;
    unsigned long long time_us; /* of the day: since the Unix epoch */
    unsigned int sm_percent, memory_percent, encoder_percent, decoder_percent;
};

/* *count: room for so many, then so many there are. Some drivers of the 530 and 535 series write entries of 32 bytes
 * under this name: a caller has room for `count` of that size, and takes no entry that makes no sense. */
typedef int (*nvml_processes_fn)(struct nvml_device *device, unsigned int *count, struct nvml_process *out);
#define NVML_PROCESS_BYTES_MAX 32

/* Every function returns one of the results above, but for error_string. */
struct nvml_api {
    int (*init)(void); /* counted: each one wants its shutdown */
    int (*shutdown)(void);
    const char *(*error_string)(int result);
    int (*count)(unsigned int *ret_count);
    int (*handle)(unsigned int index, struct nvml_device **ret_device);
    int (*energy)(struct nvml_device *device, unsigned long long *ret_mj); /* since the driver was loaded; Volta on */
    int (*power)(struct nvml_device *device, unsigned int *ret_mw);
    int (*uuid)(struct nvml_device *device, char *out, unsigned int size);
    int (*name)(struct nvml_device *device, char *out, unsigned int size);
    int (*pci)(struct nvml_device *device, struct nvml_pci *ret_pci);

    /* MIG, Ampere on. */
    int (*mig_mode)(struct nvml_device *device, unsigned int *ret_now, unsigned int *ret_pending); /* 1: on */
    int (*mig_max)(struct nvml_device *device, unsigned int *ret_count);
    /* NVML_NOT_FOUND: no instance has that index; a greater one may. */
    int (*mig_handle)(struct nvml_device *device, unsigned int index, struct nvml_device **ret_instance);
    int (*profile)(struct nvml_device *device, unsigned int profile, struct nvml_profile *ret_profile);
    /* Of an instance. */
    int (*gpu_instance)(struct nvml_device *instance, unsigned int *ret_id);
    int (*compute_instance)(struct nvml_device *instance, unsigned int *ret_id);
    int (*attributes)(struct nvml_device *instance, struct nvml_attributes *ret_attributes);

    /* Of a GPU or an instance. A GPU with MIG on gives the processes of all its instances, but only to those who may
     * use them all. */
    nvml_processes_fn compute_processes;
    nvml_processes_fn graphics_processes;
    /* What was sampled after seen_us; NVML_NOT_FOUND: nothing. Not with MIG on. */
    int (*utilization)(struct nvml_device *device, struct nvml_sample *out, unsigned int *count,
                       unsigned long long seen_us);
};

#endif
