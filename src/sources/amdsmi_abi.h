/* SPDX-License-Identifier: Apache-2.0 */
/* What we call of AMD SMI, declared in our own words after its published reference: releases 23 (ROCm 5.7) to 26 (ROCm
 * 7). Functions with the same arguments in all of them; of the two structs that changed, the parts that we can tell. */
#ifndef CARNOT_SOURCES_AMDSMI_ABI_H
#define CARNOT_SOURCES_AMDSMI_ABI_H

#include <stdint.h>

enum {
    AMDSMI_OK = 0,
    AMDSMI_NOT_SUPPORTED = 2,
    AMDSMI_NOT_YET_IMPLEMENTED = 3,
    AMDSMI_TIMEOUT = 8,
    AMDSMI_RETRY = 9,
    AMDSMI_NO_PERMISSION = 10,
    AMDSMI_BUSY = 30,
    AMDSMI_NOT_FOUND = 31,
    AMDSMI_NO_DATA = 40,
};

#define AMDSMI_INIT_AMD_GPUS     (UINT64_C(1) << 1)
#define AMDSMI_PROCESSOR_AMD_GPU 1
#define AMDSMI_UUID_ROOM         64        /* it wants 38 */
#define AMDSMI_BDF_FUNCTION(bdf) ((bdf)&7) /* in a partitioned card the partition's number */
#define AMDSMI_BDF_DEVICE(bdf)   ((bdf) >> 3 & 0x1f)
#define AMDSMI_BDF_BUS(bdf)      ((bdf) >> 8 & 0xff)
#define AMDSMI_BDF_DOMAIN(bdf)   ((bdf) >> 16)

/* The version: {major, minor, release, build} up to ROCm 5.6 and from 7.0 on, {year, major, minor, release, build}
 * between; the major number was the year then, so the first word is 23, 24, 25, 26 in either. */
union amdsmi_version {
    uint32_t first;
    uint64_t room[32]; /* it wants 40 bytes at most */
};

/* Power in whole watts; AMDSMI_UNKNOWN, or 65535 from firmware tables, where a card does not tell it. Releases 24 begin
 * with current and average power, 25 and later have a word of 64 bits before them. Release 23 was the one or the other
 * of two: not read. */
union amdsmi_power {
    struct {
        uint32_t current_w, average_w;
    } release_24;
    struct {
        uint64_t socket_w;
        uint32_t current_w, average_w;
    } release_25;
    uint64_t room[64]; /* it wants 200 bytes at most */
};

#define AMDSMI_UNKNOWN    UINT32_MAX
#define AMDSMI_UNKNOWN_16 UINT16_MAX

struct amdsmi_api {
    int (*init)(uint64_t flags);
    int (*shut_down)(void);
    int (*version)(union amdsmi_version *ret_version);
    int (*status_text)(int status, const char **ret_text);
    int (*sockets)(uint32_t *count, void **out); /* out NULL: only counts */
    int (*processors)(void *socket, uint32_t *count, void **out);
    int (*type)(void *processor, int *ret_type);
    int (*bdf)(void *processor, uint64_t *ret_bdf);
    int (*uuid)(void *processor, unsigned int *size, char *out);
    int (*energy)(void *processor, uint64_t *ret_steps, float *ret_step_uj, uint64_t *ret_time_ns);
    int (*power)(void *processor, union amdsmi_power *ret_power);
};

#endif
