/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of rapl_perf that its tests use: what it calls of the kernel, so that they can stand in. */
#ifndef CARNOT_SOURCES_RAPL_PERF_H
#define CARNOT_SOURCES_RAPL_PERF_H

#include <linux/perf_event.h>

#include "sources/source.h"

struct rapl_perf_value {
    uint64_t count;
    uint64_t enabled_ns; /* PERF_FORMAT_TOTAL_TIME_ENABLED: stands still once the event is dead */
};

struct rapl_perf_io {
    int (*open)(void *ctx, const struct perf_event_attr *attr, uint32_t cpu); /* descriptor or -errno */
    int (*read)(void *ctx, int fd, struct rapl_perf_value *ret_value); /* 0; -ESTALE: the event is in error state */
    void (*close)(void *ctx, int fd);
    void *ctx;
};

extern const struct rapl_perf_io rapl_perf_kernel;

/* As the source's open(), with another kernel; `io` is copied. */
int rapl_perf_open_with(const struct source_args *args, const struct rapl_perf_io *io, void **ret_self,
                        struct carnot_err *err);

#endif
