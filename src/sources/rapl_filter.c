/* SPDX-License-Identifier: Apache-2.0 */
/* See rapl_filter.h. Nothing is held: the register is set by firmware before the system starts. */
#include "sources/rapl_filter.h"

#include <string.h>

static bool seen_before(const struct topology *topology, uint32_t cpu)
{
    for (uint32_t other = 0; other < cpu; other++)
        if (topology->cpus[other].online && topology->cpus[other].package == topology->cpus[cpu].package)
            return true;
    return false;
}

enum rapl_filter rapl_filter_read(const struct rapl_msr_io *io, const struct topology *topology)
{
    enum rapl_filter filter = FILTER_UNKNOWN;

    if (!topology || strcmp(topology->vendor, "GenuineIntel") != 0)
        return FILTER_NONE;
    for (uint32_t cpu = 0; cpu < topology->n_cpus && filter != FILTER_ON; cpu++) {
        if (!topology->cpus[cpu].online || seen_before(topology, cpu))
            continue;
        int fd = io->open(io->ctx, cpu);
        if (fd < 0)
            return FILTER_UNKNOWN;
        filter = rapl_msr_is_filtered(io, fd) ? FILTER_ON : FILTER_OFF;
        io->close(io->ctx, fd);
    }
    return filter;
}

void rapl_filter_mark(enum rapl_filter filter, struct domain *domains, size_t n)
{
    for (size_t i = 0; i < n && filter == FILTER_ON; i++)
        domains[i].quality = quality_worse(domains[i].quality, QUALITY_DERIVED);
}

void rapl_filter_describe(enum rapl_filter filter, bool sgx, struct buf *out)
{
    if (filter == FILTER_ON)
        buf_puts(out,
                 "energy filtering is on (MSR 0xBC): the hardware blurs short readings; long sums are right, quality "
                 "is derived; the firmware can switch it off\n");
    else if (filter == FILTER_UNKNOWN && sgx)
        buf_puts(out, "energy filtering may be on, since this processor has SGX: load the msr module and give "
                      "CAP_SYS_RAWIO at the start to have it looked up\n");
}
