/* SPDX-License-Identifier: Apache-2.0 */
/* What we call of ROCm SMI, declared in our own words after its published reference (ROCm 4.3 to 7): results, devices
 * by number, no struct at all. */
#ifndef CARNOT_SOURCES_RSMI_ABI_H
#define CARNOT_SOURCES_RSMI_ABI_H

#include <stddef.h>
#include <stdint.h>

enum {
    RSMI_OK = 0,
    RSMI_NOT_SUPPORTED = 2,
    RSMI_NO_PERMISSION = 4,
    RSMI_NOT_YET_IMPLEMENTED = 9,
    RSMI_NOT_FOUND = 10,
    RSMI_NO_DATA = 14,
    RSMI_BUSY = 16,
};

/* Domain in the upper 32 bits; bits 31:28 may be the partition's number, as may be the function. */
#define RSMI_BDF_FUNCTION(bdf) ((bdf)&7)
#define RSMI_BDF_DEVICE(bdf)   ((bdf) >> 3 & 0x1f)
#define RSMI_BDF_BUS(bdf)      ((bdf) >> 8 & 0xff)
#define RSMI_BDF_DOMAIN(bdf)   ((bdf) >> 32)

struct rsmi_api {
    int (*init)(uint64_t flags);
    int (*shut_down)(void);
    int (*status_text)(int status, const char **ret_text);
    int (*count)(uint32_t *ret_count);
    int (*pci_id)(uint32_t device, uint64_t *ret_bdf);
    int (*unique_id)(uint32_t device, uint64_t *ret_id);
    int (*energy)(uint32_t device, uint64_t *ret_steps, float *ret_step_uj, uint64_t *ret_time_ns);
    int (*power)(uint32_t device, uint64_t *ret_uw, int *ret_type); /* the one that the card has; ROCm 6 on */
    int (*average_power)(uint32_t device, uint32_t sensor, uint64_t *ret_uw);
};

#endif
