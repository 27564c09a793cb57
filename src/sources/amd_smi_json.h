/* SPDX-License-Identifier: Apache-2.0 */
/* What `amd-smi static|metric --json` and `rocm-smi --json` print. Keys changed with the releases; those that we look
 * for are in two tables in amd_smi_json_parse.c. And the settings of the source amd_smi_json. */
#ifndef CARNOT_SOURCES_AMD_SMI_JSON_H
#define CARNOT_SOURCES_AMD_SMI_JSON_H

#include "base/err.h"
#include "base/parse.h"
#include "sources/amd_cards.h"

/* A whole answer: 64 partitions at 2 KiB, and room. */
#define AMD_SMI_JSON_MAX ((size_t)2 << 20)

struct amd_smi_json_gpu {
    uint32_t index;           /* the program's number of the device */
    uint32_t partition;       /* of its card */
    uint32_t compute_units;   /* 0: not told */
    bool partitioned;         /* DPX, TPX, QPX or CPX */
    struct amd_device device; /* id: the serial number, else the unique id or UUID */
    uint64_t energy_uj;       /* 0: not told */
    uint64_t power_uw;        /* 0: not told; no card draws nothing */
};

/* By index, ascending. */
struct amd_smi_json_list {
    size_t n;
    unsigned left_out; /* beyond the room for them */
    struct amd_smi_json_gpu gpus[AMD_DEVICES_MAX];
};

/* Takes either program's answer; lines of warnings before it are skipped. -EPROTO when it is none of them, -E2BIG when
 * it is too long; then *ret_list is as it was. What a device does not tell ("N/A") is left empty. */
int amd_smi_json_parse(struct text json, struct amd_smi_json_list *ret_list, struct carnot_err *err);

struct amd_smi_json_settings {
    const char *amd_smi, *rocm_smi; /* "" or NULL: in the directories of the system, else in /opt/rocm/bin */
};

/* Either is a Python program that takes a second of a core. */
#define AMD_SMI_JSON_INTERVAL_NS (10 * NS_PER_SEC)
#define AMD_SMI_JSON_TIMEOUT_NS  (30 * NS_PER_SEC)

#endif
