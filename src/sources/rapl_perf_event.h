/* SPDX-License-Identifier: Apache-2.0 */
/* One counting event of a RAPL PMU over its life: opened, read, opened again when it died or its CPU left. Keeps the
 * sum of all its descriptors. Knows no domain and no unit. */
#ifndef CARNOT_SOURCES_RAPL_PERF_EVENT_H
#define CARNOT_SOURCES_RAPL_PERF_EVENT_H

#include "sources/rapl_perf.h"

struct rapl_perf_event {
    uint32_t type, cpu;
    uint64_t config;
    int fd;              /* -1: not open */
    bool primed;         /* last and enabled_ns are of this descriptor */
    uint64_t last;       /* count at the last good read */
    uint64_t sum;        /* counts since the first open, over all descriptors, modulo 2^64 */
    uint64_t enabled_ns; /* at the last good read */
    uint64_t read_ns;    /* when that was; 0: never, or before a reset */
};

/* The event is no more, or its CPU is offline. */
bool rapl_perf_event_is_dead(int r);

int rapl_perf_event_open(const struct rapl_perf_io *io, struct rapl_perf_event *event);
void rapl_perf_event_close(const struct rapl_perf_io *io, struct rapl_perf_event *event);

/* Takes the last count of the old event, if it still tells one, and begins a new one on event->cpu. What was drawn in
 * between is missing, however short that was: *gap is set. */
int rapl_perf_event_reopen(const struct rapl_perf_io *io, struct rapl_perf_event *event, bool *gap);

/* Brings the sum up to date, opening the event again where it died. Sets *gap (never clears it) when something may be
 * missing: a new event, a turn that the kernel missed, or so long since the last read that it may have. -errno leaves
 * the sum as it was; -EIO, -EAGAIN and the like lose nothing, as the kernel goes on counting. */
int rapl_perf_event_read(const struct rapl_perf_io *io, struct rapl_perf_event *event, uint64_t now_ns, bool *gap);

/* Forgets what was counted since the last read. */
void rapl_perf_event_reset(struct rapl_perf_event *event);

#endif
