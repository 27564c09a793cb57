/* SPDX-License-Identifier: Apache-2.0 */
/* Registers through the msr driver: eight bytes at the register's number in dev/cpu/N/msr. Knows one descriptor and one
 * number; what the bits mean is rapl_msr's. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "sources/rapl_msr.h"

#define MSR_MISC_PACKAGE_CTLS 0xbc /* Intel SDM volume 4: IA32_MISC_PACKAGE_CTLS */
#define ENERGY_FILTERING_BIT  0

static int device_open(void *ctx, uint32_t cpu)
{
    char path[32];

    snprintf(path, sizeof(path), "dev/cpu/%" PRIu32 "/msr", cpu);
    return fsroot_openat(ctx, path, 0, NULL);
}

static int device_read(void *ctx, int fd, uint32_t reg, uint64_t *ret)
{
    uint64_t value;
    ssize_t n;

    do
        n = pread(fd, &value, sizeof(value), (off_t)reg);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n != sizeof(value)) /* the driver gives eight bytes or an error */
        return -EIO;
    *ret = value;
    return 0;
}

static void device_close(void *ctx, int fd)
{
    close(fd);
}

struct rapl_msr_io rapl_msr_device(const struct fsroot *root)
{
    union { /* only ever read through */
        const struct fsroot *root;
        void *ctx;
    } of = {.root = root};

    return (struct rapl_msr_io){.open = device_open, .read = device_read, .close = device_close, .ctx = of.ctx};
}

bool rapl_msr_is_filtered(const struct rapl_msr_io *io, int fd)
{
    uint64_t value;

    return io->read(io->ctx, fd, MSR_MISC_PACKAGE_CTLS, &value) == 0 && value >> ENERGY_FILTERING_BIT & 1;
}
