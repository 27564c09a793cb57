/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs where in a slice: threads stay where they were, else take a whole core, else half of one; with more threads
 * than CPUs they take turns. */
#include <math.h>

#include "twin_internal.h"

static bool wants_to_run(struct twin *twin, size_t i)
{
    const struct twin_work *work = &twin->setup.threads[i].work;
    double now_s = (double)twin->now_ns / 1e9;

    if (now_s < work->from_s || (work->until_s > 0 && now_s >= work->until_s))
        return false;
    if (work->period_s <= 0)
        return twin_uniform(twin) < work->duty;
    double turns = now_s / work->period_s + work->phase;
    return turns - floor(turns) < work->duty;
}

static bool may_use(const struct twin *twin, const struct twin_work *work, unsigned cpu)
{
    if (twin->on_cpu[cpu] != NOBODY)
        return false;
    if (work->cpu >= 0)
        return (unsigned)work->cpu == cpu;
    return work->socket < 0 || twin_socket_of(twin->setup.hardware, cpu) == (unsigned)work->socket;
}

static bool core_is_free(const struct twin *twin, unsigned cpu)
{
    const struct twin_hardware *h = twin->setup.hardware;

    for (unsigned thread = 0; thread < h->smt; thread++)
        if (twin->on_cpu[twin_cpu(h, twin_socket_of(h, cpu), twin_core_of(h, cpu), thread)] != NOBODY)
            return false;
    return true;
}

static int choose_cpu(const struct twin *twin, size_t i)
{
    const struct twin_work *work = &twin->setup.threads[i].work;
    unsigned n = twin_cpus(twin->setup.hardware);
    int half = NOBODY;

    if (twin->last_cpu[i] >= 0 && may_use(twin, work, (unsigned)twin->last_cpu[i]) &&
        core_is_free(twin, (unsigned)twin->last_cpu[i]))
        return twin->last_cpu[i];
    for (unsigned k = 0; k < n; k++) {
        unsigned cpu = (k + (unsigned)i) % n; /* spread over the sockets */

        if (!may_use(twin, work, cpu))
            continue;
        if (core_is_free(twin, cpu) || work->cpu >= 0)
            return (int)cpu;
        if (half == NOBODY)
            half = (int)cpu;
    }
    return half;
}

void twin_schedule(struct twin *twin)
{
    size_t n = twin->setup.n_threads;
    unsigned cpus = twin_cpus(twin->setup.hardware);
    size_t waiting = n;

    for (unsigned cpu = 0; cpu < cpus; cpu++)
        twin->on_cpu[cpu] = NOBODY;
    for (size_t k = 0; k < n; k++) {
        size_t i = (twin->first + k) % n;

        if (!wants_to_run(twin, i))
            continue;
        int cpu = choose_cpu(twin, i);
        if (cpu == NOBODY) {
            waiting = waiting == n ? i : waiting;
            continue;
        }
        twin->on_cpu[cpu] = (int)i;
        twin->last_cpu[i] = cpu;
    }
    if (waiting < n)
        twin->first = waiting;
}
