/* SPDX-License-Identifier: Apache-2.0 */
/* See rapl_perf_event.h. */
#include "sources/rapl_perf_event.h"

#include <errno.h>
#include <sys/syscall.h>

/* The kernel takes differences of the 32-bit counter as signed numbers: half a turn at most between two looks at it.
 * Half a turn of the smallest unit (2^-16 J) is 32768 J, which 1.09 kW draws in this time. The kernel's own timer is
 * made for 200 W. */
#define READ_AT_LEAST_NS (30 * NS_PER_SEC)

/* Two reads this far apart see different enabled times unless the event is dead. */
#define ALIVE_NS NS_PER_MS

static int kernel_open(void *ctx, const struct perf_event_attr *attr, uint32_t cpu)
{
    struct perf_event_attr copy = *attr; /* the kernel writes its own size into it when it does not like ours */
    long fd = syscall(SYS_perf_event_open, &copy, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);

    return fd < 0 ? -errno : (int)fd;
}

static int kernel_read(void *ctx, int fd, struct rapl_perf_value *ret_value)
{
    uint64_t values[2];
    ssize_t n;

    do
        n = read(fd, values, sizeof(values));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n != sizeof(values)) /* end of file: the event is in error state */
        return -ESTALE;
    *ret_value = (struct rapl_perf_value){values[0], values[1]};
    return 0;
}

static void kernel_close(void *ctx, int fd)
{
    close(fd);
}

const struct rapl_perf_io rapl_perf_kernel = {.open = kernel_open, .read = kernel_read, .close = kernel_close};

bool rapl_perf_event_is_dead(int r)
{
    return r == -ESTALE || r == -ENODEV || r == -ENXIO || r == -EBADF;
}

int rapl_perf_event_open(const struct rapl_perf_io *io, struct rapl_perf_event *event)
{
    struct perf_event_attr attr = {.type = event->type,
                                   .size = sizeof(attr),
                                   .config = event->config,
                                   .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED};
    int fd = io->open(io->ctx, &attr, event->cpu);

    if (fd < 0)
        return fd;
    event->fd = fd;
    event->last = 0; /* a new event counts from 0 */
    event->enabled_ns = 0;
    event->primed = true;
    return 0;
}

void rapl_perf_event_close(const struct rapl_perf_io *io, struct rapl_perf_event *event)
{
    if (event->fd >= 0)
        io->close(io->ctx, event->fd);
    event->fd = -1;
}

/* Adds what came since the last read. A count that went back is a turn that the kernel missed: that part is unknown. */
static void add_count(struct rapl_perf_event *event, uint64_t count, bool *gap)
{
    uint64_t difference = count - event->last;

    if (event->primed && difference >> 63)
        *gap = true;
    else if (event->primed)
        event->sum += difference;
    event->last = count;
    event->primed = true;
}

int rapl_perf_event_reopen(const struct rapl_perf_io *io, struct rapl_perf_event *event, bool *gap)
{
    struct rapl_perf_value value;
    int old = event->fd;

    if (old >= 0 && io->read(io->ctx, old, &value) == 0)
        add_count(event, value.count, gap);
    rapl_perf_event_close(io, event);
    int r = rapl_perf_event_open(io, event);
    if (old >= 0 || r == 0) /* a core that stays away misses nothing more */
        *gap = true;
    return r;
}

int rapl_perf_event_read(const struct rapl_perf_io *io, struct rapl_perf_event *event, uint64_t now_ns, bool *gap)
{
    struct rapl_perf_value value = {0};
    int r = event->fd >= 0 ? io->read(io->ctx, event->fd, &value) : -ESTALE;
    bool stands =
        r == 0 && event->read_ns && value.enabled_ns == event->enabled_ns && now_ns >= event->read_ns + ALIVE_NS;

    if (r < 0 && !rapl_perf_event_is_dead(r))
        return r; /* this time only: the count goes on in the kernel */
    if (r < 0 || stands) {
        r = rapl_perf_event_reopen(io, event, gap);
        if (r == 0)
            r = io->read(io->ctx, event->fd, &value);
        if (r < 0)
            return r;
    }
    if (event->read_ns && now_ns - event->read_ns > READ_AT_LEAST_NS)
        *gap = true;
    add_count(event, value.count, gap);
    event->enabled_ns = value.enabled_ns;
    event->read_ns = now_ns;
    return 0;
}

void rapl_perf_event_reset(struct rapl_perf_event *event)
{
    event->primed = false;
    event->read_ns = 0;
}
