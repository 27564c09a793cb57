/* SPDX-License-Identifier: Apache-2.0 */
/* What the three ways to the same RAPL counters share: the settings, who may be used, and how domains are called.
 * Which of the allowed ways is taken is the meter's work: the first of the group "rapl" in the registry that opens. */
#ifndef CARNOT_SOURCES_RAPL_MODE_H
#define CARNOT_SOURCES_RAPL_MODE_H

#include "base/option.h"
#include "model/domain.h"

#define RAPL_GROUP "rapl"

/* Most that one package and what hangs on it can draw: four times the largest part sold. A difference beyond twice of
 * this (attribution/delta) is no energy. */
#define RAPL_PACKAGE_MAX_UW (2000ULL * 1000000)

/* Reading one core's counter interrupts that core (some 2 to 17 us); 256 of them ten times a second would be 4 % of a
 * CPU. Cores are inside their package, whose counter is read each time. */
#define RAPL_CORES_INTERVAL_NS (1000000000ULL)

/* Most that a single core can plausibly draw (the largest today stay below 40 W). */
#define RAPL_CORE_MAX_UW (100ULL * 1000000)

enum rapl_mode { RAPL_AUTO, RAPL_SYSFS, RAPL_PERF, RAPL_MSR };

struct rapl_settings {
    int mode;             /* enum rapl_mode */
    const char *msr_cpus; /* cpulist of CPUs whose registers may be read; NULL or "": all that are online */
};

/* Of all three sources; the option table is listed by the first of them alone. */
extern struct rapl_settings rapl_default_settings;
#define RAPL_OPTIONS 2
extern const struct carnot_option rapl_options[RAPL_OPTIONS];

/* 0 when the mode allows this way, else -ECANCELED and the sentence. `settings` may be NULL: auto. */
int rapl_mode_check(enum rapl_mode way, const struct rapl_settings *settings, struct carnot_err *err);

/* The line of describe(): which way is used, and why. */
void rapl_mode_describe(enum rapl_mode way, const struct rapl_settings *settings, struct buf *out);

/* A domain as powercap calls it: "package-1", "package-1-die-0", "dram-1", "core-1-die-0", "psys" (package -1). die -1:
 * the package as a whole. Quality measured; the most it can draw from its kind. */
struct domain rapl_domain(enum domain_kind kind, int package, int die, const char *source);

#endif
