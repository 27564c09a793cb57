/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of rapl_msr that its tests use: how it reaches registers, so that they can stand in. */
#ifndef CARNOT_SOURCES_RAPL_MSR_H
#define CARNOT_SOURCES_RAPL_MSR_H

#include "sources/source.h"

struct rapl_msr_io {
    int (*open)(void *ctx, uint32_t cpu);                        /* descriptor or -errno */
    int (*read)(void *ctx, int fd, uint32_t reg, uint64_t *ret); /* 0; -EIO: the CPU has no such register;
                                                                  * -ENXIO: it is offline */
    void (*close)(void *ctx, int fd);
    void *ctx;
};

/* dev/cpu/N/msr below a root. */
struct rapl_msr_io rapl_msr_device(const struct fsroot *root);

/* True when Intel's energy filtering is on: the hardware blurs what it tells against side channels (MSR 0xBC bit 0).
 * False too when that cannot be read. */
bool rapl_msr_is_filtered(const struct rapl_msr_io *io, int fd);

/* As the source's open(), with other registers; `io` is copied. */
int rapl_msr_open_with(const struct source_args *args, const struct rapl_msr_io *io, void **ret_self,
                       struct carnot_err *err);

#endif
