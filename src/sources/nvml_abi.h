/* SPDX-License-Identifier: Apache-2.0 */
/* What we call of NVIDIA's management library, declared in our own words after its published reference: result codes,
 * an opaque handle, the types of ten functions. Units are in the names of the parameters. */
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

struct nvml_device;

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
    int (*mig_mode)(struct nvml_device *device, unsigned int *ret_now,
                    unsigned int *ret_pending); /* 1: on; Ampere on */
};

#endif
