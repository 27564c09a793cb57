/* SPDX-License-Identifier: Apache-2.0 */
/* The PMUs "power" and "power_core" as sysfs describes them: type, events with their units, the CPUs that answer.
 * Knows the files; opens no event. */
#ifndef CARNOT_SOURCES_RAPL_PMU_H
#define CARNOT_SOURCES_RAPL_PMU_H

#include "base/fsroot.h"
#include "base/parse.h"
#include "model/domain.h"
#include "model/topology.h"

#define RAPL_PMU_EVENTS_MAX 8 /* pkg, cores, gpu, ram, psys, core */
#define RAPL_PMU_MASK_WORDS (CPUS_MAX / 64)
#define RAPL_PMU_MASK_TEXT  4097 /* sysfs gives at most a page */

struct rapl_pmu_event {
    enum domain_kind kind;
    uint64_t config;
    uint32_t shift; /* one count is 2^-shift J; 20..40 */
};

struct rapl_pmu {
    const char *name; /* static */
    uint32_t type;
    struct rapl_pmu_event events[RAPL_PMU_EVENTS_MAX];
    size_t n_events;
    uint64_t mask[RAPL_PMU_MASK_WORDS];
    char mask_text[RAPL_PMU_MASK_TEXT]; /* as it was read */
};

/* -ENODEV when there is no such PMU, -EPROTO when its files say what nobody understands; events that cannot be
 * understood are left out. */
int rapl_pmu_read(const struct fsroot *sys, const char *name, struct rapl_pmu *ret_pmu, struct carnot_err *err);

/* Reads the mask alone. 1 when it differs from the one in *pmu, which then has the new one; 0 when it does not. */
int rapl_pmu_refresh_mask(const struct fsroot *sys, struct rapl_pmu *pmu);

static inline bool rapl_pmu_has_cpu(const struct rapl_pmu *pmu, uint32_t cpu)
{
    return cpu < CPUS_MAX && pmu->mask[cpu / 64] >> (cpu % 64) & 1;
}

/* "event=0x02" */
int rapl_pmu_parse_event(struct text text, uint64_t *ret_config);

/* "2.3283064365386962890625e-10" is 32. -ERANGE for what is no power of two between 2^-20 and 2^-40. */
int rapl_pmu_parse_scale(struct text text, uint32_t *ret_shift);

#endif
