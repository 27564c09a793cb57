/* SPDX-License-Identifier: Apache-2.0 */
/* The files of /sys/cray/pm_counters, as text: what a line says and what a file's name means. Reads nothing. */
#ifndef CARNOT_SOURCES_CRAY_PM_H
#define CARNOT_SOURCES_CRAY_PM_H

#include "base/parse.h"
#include "model/domain.h"
#include "model/topology.h"

struct cray_pm_value {
    uint64_t value;      /* joules, watts or degrees: whole ones, the hardware gives no more */
    uint64_t sampled_us; /* the blade controller's time of the sample, microseconds since 1970; 0: not told */
};

/* "1360621494 J 1734094386309238 us": a number, the unit asked for, and perhaps a time. -EPROTO when it is not that,
 * -ENODATA when it is empty, -ERANGE when a number exceeds 64 bits. */
int cray_pm_parse(struct text t, const char *unit, struct cray_pm_value *ret);

/* The domain that an energy file counts: "energy", "cpu_energy", "cpu1_energy", "memory_energy", "accel0_energy". False
 * for every other name. Sockets become package ids by their order (topology NULL: as such). */
bool cray_pm_domain(const char *file, const struct topology *topology, struct domain *ret);

#endif
