/* SPDX-License-Identifier: Apache-2.0 */
/* Thermal design power of processors, by model name, and watts per hardware thread by generation.
 * Facts from the makers' public specifications; knows nothing of the machine it runs on. */
#ifndef CARNOT_SOURCES_CPU_TABLE_H
#define CARNOT_SOURCES_CPU_TABLE_H

#include "base/util.h"

struct cpu_part {
    const char *pattern; /* stands in the model name, as whole words */
    uint32_t tdp_w;
    uint32_t threads; /* hardware threads of the part with SMT on */
};

/* The part with the longest pattern that stands in the name, NULL when none does. */
const struct cpu_part *cpu_table_find(const char *model_name);

struct cpu_generation {
    const char *vendor;
    uint32_t family, model_first, model_last;
    const char *name;     /* "Milan" */
    uint32_t tdp_w;       /* of the generation's largest common part, which clouds are made of */
    uint32_t tdp_threads; /* and its threads: tdp_w / tdp_threads is what a thread is given */
};

/* NULL when the family and model are not of a server generation that we know. */
const struct cpu_generation *cpu_table_generation(const char *vendor, uint32_t family, uint32_t model);

#endif
