/* SPDX-License-Identifier: Apache-2.0 */
/* A machine with RAPL counters, for the perf and the msr back end: CPUs in cores, dies and packages, true 64-bit
 * counters, registers and events made of them, CPUs that go offline, calls that fail. No cmocka here: the property test
 * uses it too, and looks at `broken`. */
#ifndef CARNOT_TESTS_SOURCES_RAPL_FAKE_H
#define CARNOT_TESTS_SOURCES_RAPL_FAKE_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sources/rapl_msr.h"
#include "sources/rapl_perf.h"

#define FAKE_CPUS     64
#define FAKE_COUNTERS 64
#define FAKE_FDS      1024

/* One counter and who sees it; -1: any. */
struct fake_counter {
    int package, die, core;
    uint32_t type; /* PMU type; 0 for registers */
    uint64_t id;   /* register or event */
    uint64_t true_count;
    uint64_t bias;  /* what the hardware counter shows more than the truth: it did not start at 0 */
    uint64_t looks; /* how often it was read or opened */
    int error;      /* what reading it gives instead */
};

struct fake_event {
    bool used;
    uint32_t cpu;
    struct fake_counter *counter;
    uint64_t base, frozen; /* true count at open; when dead, what it shows */
    uint64_t enabled_from_ns, enabled_ns;
    bool dead;
};

struct fake_machine {
    struct topology topology;
    struct topology_cpu cpus[FAKE_CPUS];
    bool online[FAKE_CPUS]; /* the truth; the topology follows when told */
    struct fake_counter counters[FAKE_COUNTERS];
    size_t n_counters;
    struct fake_event events[FAKE_FDS]; /* descriptor - 1000 */
    uint32_t msr_cpu[FAKE_FDS];
    bool msr_used[FAKE_FDS];
    uint64_t now_ns;
    int open_error, read_error; /* of every call */
    unsigned n_open, opens;
    bool broken; /* the source did what it must not: a descriptor that is not its own */
};

/* CPUs as Linux numbers them: first threads of all cores, then second ones. */
static inline void fake_machine_init(struct fake_machine *m, const char *vendor, uint32_t family, uint32_t model,
                                     int packages, int dies, int cores, int threads)
{
    uint32_t n = 0;

    memset(m, 0, sizeof(*m));
    m->topology = (struct topology){.cpus = m->cpus, .family = family, .model = model};
    snprintf(m->topology.vendor, sizeof(m->topology.vendor), "%s", vendor);
    for (int thread = 0; thread < threads; thread++) {
        for (int core = 0; core < packages * dies * cores; core++, n++) {
            m->cpus[n] = (struct topology_cpu){.package = core / (dies * cores),
                                               .die = core / cores % dies,
                                               .core = core % cores,
                                               .first_sibling = core,
                                               .online = true};
            m->online[n] = true;
        }
    }
    m->topology.n_cpus = m->topology.n_online = n;
    m->now_ns = 1000;
}

static inline struct fake_counter *fake_counter_add(struct fake_machine *m, int package, int die, int core,
                                                    uint32_t type, uint64_t id, uint64_t bias)
{
    m->counters[m->n_counters] =
        (struct fake_counter){.package = package, .die = die, .core = core, .type = type, .id = id, .bias = bias};
    return &m->counters[m->n_counters++];
}

static inline struct fake_counter *fake_counter_of(struct fake_machine *m, uint32_t cpu, uint32_t type, uint64_t id)
{
    const struct topology_cpu *c = &m->cpus[cpu];

    for (size_t i = 0; i < m->n_counters; i++) {
        struct fake_counter *counter = &m->counters[i];
        if (counter->type == type && counter->id == id && (counter->package < 0 || counter->package == c->package) &&
            (counter->die < 0 || counter->die == c->die) && (counter->core < 0 || counter->core == c->core))
            return counter;
    }
    return NULL;
}

/* What topology_refresh does. */
static inline void fake_topology_follow(struct fake_machine *m)
{
    m->topology.n_online = 0;
    for (uint32_t cpu = 0; cpu < m->topology.n_cpus; cpu++) {
        m->cpus[cpu].online = m->online[cpu];
        m->topology.n_online += m->online[cpu];
    }
}

/* ---- registers ---- */

static inline int fake_slot(struct fake_machine *m)
{
    for (int i = 0; i < FAKE_FDS; i++) {
        if (!m->msr_used[i] && !m->events[i].used)
            return i;
    }
    return -1;
}

static inline int fake_msr_open(void *ctx, uint32_t cpu)
{
    struct fake_machine *m = ctx;
    int slot = fake_slot(m);

    m->opens++;
    if (m->open_error)
        return m->open_error;
    if (cpu >= m->topology.n_cpus || !m->online[cpu])
        return -ENXIO;
    if (slot < 0)
        return -EMFILE;
    m->msr_used[slot] = true;
    m->msr_cpu[slot] = cpu;
    m->n_open++;
    return slot + 1000;
}

static inline int fake_msr_read(void *ctx, int fd, uint32_t reg, uint64_t *ret)
{
    struct fake_machine *m = ctx;

    if (fd < 1000 || fd >= 1000 + FAKE_FDS || !m->msr_used[fd - 1000]) {
        m->broken = true;
        return -EBADF;
    }
    uint32_t cpu = m->msr_cpu[fd - 1000];
    if (!m->online[cpu])
        return -ENXIO;
    if (m->read_error)
        return m->read_error;
    struct fake_counter *counter = fake_counter_of(m, cpu, 0, reg);
    if (!counter)
        return -EIO;
    if (counter->error)
        return counter->error;
    /* The upper half is reserved, and not always 0. */
    counter->looks++;
    bool counts = reg != 0x606 && reg != 0xc0010299 && reg != 0xbc;
    uint64_t value = counter->bias + counter->true_count;
    *ret = counts ? (value & UINT32_MAX) | (uint64_t)reg << 32 : value;
    return 0;
}

static inline void fake_msr_close(void *ctx, int fd)
{
    struct fake_machine *m = ctx;

    if (fd < 1000 || fd >= 1000 + FAKE_FDS || !m->msr_used[fd - 1000])
        m->broken = true;
    else
        m->n_open--;
    if (fd >= 1000 && fd < 1000 + FAKE_FDS)
        m->msr_used[fd - 1000] = false;
}

static inline struct rapl_msr_io fake_msr_io(struct fake_machine *m)
{
    return (struct rapl_msr_io){.open = fake_msr_open, .read = fake_msr_read, .close = fake_msr_close, .ctx = m};
}

/* ---- events ---- */

static inline int fake_perf_open(void *ctx, const struct perf_event_attr *attr, uint32_t cpu)
{
    struct fake_machine *m = ctx;
    int slot = fake_slot(m);

    m->opens++;
    if (m->open_error)
        return m->open_error;
    if (cpu >= m->topology.n_cpus || !m->online[cpu])
        return -ENODEV;
    struct fake_counter *counter = fake_counter_of(m, cpu, attr->type, attr->config);
    if (!counter || attr->read_format != PERF_FORMAT_TOTAL_TIME_ENABLED)
        return -EINVAL;
    if (slot < 0)
        return -EMFILE;
    counter->looks++;
    m->events[slot] = (struct fake_event){
        .used = true, .cpu = cpu, .counter = counter, .base = counter->true_count, .enabled_from_ns = m->now_ns};
    m->n_open++;
    return slot + 1000;
}

static inline int fake_perf_read(void *ctx, int fd, struct rapl_perf_value *ret_value)
{
    struct fake_machine *m = ctx;
    struct fake_event *event = fd >= 1000 && fd < 1000 + FAKE_FDS ? &m->events[fd - 1000] : NULL;

    if (!event || !event->used) {
        m->broken = true;
        return -EBADF;
    }
    if (m->read_error)
        return m->read_error;
    if (event->counter->error)
        return event->counter->error;
    if (event->dead)
        *ret_value = (struct rapl_perf_value){event->frozen, event->enabled_ns};
    else /* a nanosecond at least: it was opened before it is read */
        *ret_value =
            (struct rapl_perf_value){event->counter->true_count - event->base, m->now_ns - event->enabled_from_ns + 1};
    return 0;
}

static inline void fake_perf_close(void *ctx, int fd)
{
    struct fake_machine *m = ctx;

    if (fd < 1000 || fd >= 1000 + FAKE_FDS || !m->events[fd - 1000].used)
        m->broken = true;
    else
        m->n_open--;
    if (fd >= 1000 && fd < 1000 + FAKE_FDS)
        m->events[fd - 1000].used = false;
}

static inline struct rapl_perf_io fake_perf_io(struct fake_machine *m)
{
    return (struct rapl_perf_io){.open = fake_perf_open, .read = fake_perf_read, .close = fake_perf_close, .ctx = m};
}

/* A CPU that goes takes its events with it: they show what they had and count no more. */
static inline void fake_set_online(struct fake_machine *m, uint32_t cpu, bool online)
{
    m->online[cpu] = online;
    for (int i = 0; i < FAKE_FDS && !online; i++) {
        struct fake_event *event = &m->events[i];
        if (!event->used || event->cpu != cpu || event->dead)
            continue;
        event->frozen = event->counter->true_count - event->base;
        event->enabled_ns = m->now_ns - event->enabled_from_ns + 1;
        event->dead = true;
    }
}

#endif
