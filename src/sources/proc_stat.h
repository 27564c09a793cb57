/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU lines of /proc/stat and the two figures of /proc/meminfo that say how much memory is in use.
 * Knows only text; opens nothing. */
#ifndef CARNOT_SOURCES_PROC_STAT_H
#define CARNOT_SOURCES_PROC_STAT_H

#include "base/parse.h"

struct proc_stat_cpu {
    uint64_t cpu;
    uint64_t busy;  /* ticks of work done here: not idle, not waiting, not stolen by the hypervisor */
    uint64_t idle;  /* ticks with nothing to do: idle, and waiting for a disk */
    uint64_t total; /* all ticks */
};

/* Takes the next "cpuN" line off the front; the line of all CPUs is skipped. False when there is no further one. A
 * line without its newline was cut and is not taken. */
bool proc_stat_next_cpu(struct text *rest, struct proc_stat_cpu *ret_cpu);

/* MemTotal - MemAvailable, in bytes; where the kernel does not estimate what is available, free memory and caches stand
 * for it. -EINVAL without MemTotal. */
int meminfo_used_bytes(struct text text, uint64_t *ret_used, uint64_t *ret_total);

#endif
