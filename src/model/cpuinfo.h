/* SPDX-License-Identifier: Apache-2.0 */
/* The text of /proc/cpuinfo, parsed: who made the processor, and where each CPU sits when /sys does not tell.
 * Knows only text; opens nothing. Every field may be missing (ARM tells almost nothing). */
#ifndef CARNOT_MODEL_CPUINFO_H
#define CARNOT_MODEL_CPUINFO_H

#include "base/parse.h"

struct cpuinfo_head {
    char vendor[24];
    char model_name[128];
    uint32_t family, model;
    bool hypervisor, sgx;
};

struct cpuinfo_cpu {
    uint64_t cpu;
    int package; /* -1: not told */
    int core;    /* -1: not told */
};

/* What the first processor of the text says of itself. Text that was cut anywhere is fine. */
void cpuinfo_parse_head(struct text text, struct cpuinfo_head *ret_head);

/* Takes the next processor off the front. False at the end. */
bool cpuinfo_next(struct text *rest, struct cpuinfo_cpu *ret_cpu);

#endif
