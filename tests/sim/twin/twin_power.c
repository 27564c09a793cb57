/* SPDX-License-Identifier: Apache-2.0 */
/* The energy of one socket and its memory in one slice, cause by cause. */
#include <math.h>

#include "twin_internal.h"

#define SLICE_S       ((double)TWIN_SLICE_NS / 1e9)
#define AMBIENT       40.0
#define GHZ_MIN       0.8
#define CAP_STEPS     24    /* of 4 % of frequency each */
#define TOGGLE_MEMORY 0.999 /* per slice: operands change over a second or so */

/* The threads of a core that are on. */
struct core_load {
    int thread[TWIN_SMT_MAX];
    unsigned n;
};

static unsigned gather(const struct twin *twin, unsigned socket, struct core_load *cores)
{
    const struct twin_hardware *h = twin->setup.hardware;
    unsigned on = 0;

    for (unsigned core = 0; core < h->cores; core++) {
        cores[core].n = 0;
        for (unsigned thread = 0; thread < h->smt; thread++) {
            int who = twin->on_cpu[twin_cpu(h, socket, core, thread)];
            if (who != NOBODY)
                cores[core].thread[cores[core].n++] = who;
        }
        on += cores[core].n > 0;
    }
    return on;
}

static double volts(const struct twin_hardware *h, double ghz)
{
    return 1 + h->voltage_slope * (ghz / h->base_ghz - 1);
}

static double core_on_j(const struct twin_hardware *h, double ghz)
{
    double v = volts(h, ghz);

    return (h->core_on_w * v + h->core_ghz_w * ghz * v * v) * SLICE_S;
}

static double instructions(const struct twin_hardware *h, const struct twin_work *work, const struct core_load *core,
                           double ghz)
{
    return work->ipc * ghz * 1e9 * SLICE_S * (core->n > 1 ? h->smt_yield : 1);
}

static double thread_j(const struct twin *twin, int who, const struct core_load *core, double ghz)
{
    const struct twin_hardware *h = twin->setup.hardware;
    const struct twin_work *work = &twin->setup.threads[who].work;
    double v = volts(h, ghz), n = instructions(h, work, core, ghz);
    double each_nj = work->instruction_nj * (1 + twin->toggle[who]) + twin->setup.mismatch.cache * work->cache_nj;

    return (each_nj * v * v + work->mpki / 1000 * (h->miss_nj + work->remote * h->remote_nj)) * n / 1e9;
}

static double static_w(const struct twin_hardware *h, const struct twin_socket *socket)
{
    return h->uncore_idle_w + h->leak_w * (1 + h->leak_per_degree * (socket->degrees - AMBIENT));
}

static double total_j(const struct twin *twin, unsigned socket, const struct core_load *cores, unsigned on, double ghz)
{
    const struct twin_hardware *h = twin->setup.hardware;
    double sum = static_w(h, &twin->sockets[socket]) * SLICE_S;

    if (on)
        sum += h->uncore_awake_w * SLICE_S;
    for (unsigned core = 0; core < h->cores; core++) {
        if (cores[core].n)
            sum += core_on_j(h, ghz);
        for (unsigned t = 0; t < cores[core].n; t++)
            sum += thread_j(twin, cores[core].thread[t], &cores[core], ghz);
    }
    return sum;
}

/* Turbo falls with the cores awake; a power limit lowers it further. */
static double frequency(const struct twin *twin, unsigned socket, const struct core_load *cores, unsigned on)
{
    const struct twin_hardware *h = twin->setup.hardware;
    double share = h->cores > 1 ? (double)(on ? on - 1 : 0) / (h->cores - 1) : 0;
    double ghz = h->turbo_ghz + (h->all_turbo_ghz - h->turbo_ghz) * share;

    for (unsigned i = 0; h->cap_w > 0 && i < CAP_STEPS && ghz > GHZ_MIN; i++) {
        if (total_j(twin, socket, cores, on, ghz) <= h->cap_w * SLICE_S)
            break;
        ghz *= 0.96;
    }
    return fmax(ghz, GHZ_MIN);
}

static unsigned tenants_present(const struct twin *twin, const struct core_load *cores, unsigned *ret_threads)
{
    unsigned n = 0;

    for (unsigned i = 0; i < twin->setup.n_tenants; i++)
        ret_threads[i] = 0;
    for (unsigned core = 0; core < twin->setup.hardware->cores; core++)
        for (unsigned t = 0; t < cores[core].n; t++)
            n += ret_threads[twin->setup.threads[cores[core].thread[t]].tenant]++ == 0;
    return n;
}

static void wander(struct twin *twin, int who)
{
    double amplitude = twin->setup.mismatch.toggle;

    if (amplitude > 0)
        twin->toggle[who] =
            TOGGLE_MEMORY * twin->toggle[who] + amplitude * sqrt(1 - TOGGLE_MEMORY * TOGGLE_MEMORY) * twin_normal(twin);
}

/* What one thread did in the slice: counters and causes. */
static double count_thread(struct twin *twin, int who, const struct core_load *core, unsigned socket, double ghz,
                           struct twin_window *window)
{
    const struct twin_hardware *h = twin->setup.hardware;
    const struct twin_work *work = &twin->setup.threads[who].work;
    uint64_t *f = window->package[socket].cells[who].value;
    double n = instructions(h, work, core, ghz), misses = n * work->mpki / 1000;
    unsigned other = h->sockets > 1 ? 1 - socket : socket;
    double remote = other == socket ? 0 : misses * work->remote, local = misses - remote;

    f[FEATURE_CPU_NS] += TWIN_SLICE_NS;
    f[FEATURE_OVERLAP_NS] += core->n > 1 ? TWIN_SLICE_NS : 0;
    f[FEATURE_CYCLES] += (uint64_t)(ghz * (double)TWIN_SLICE_NS);
    f[FEATURE_INSTRUCTIONS] += (uint64_t)n;
    f[FEATURE_LOCAL_MISSES] += (uint64_t)local;
    f[FEATURE_REMOTE_MISSES] += (uint64_t)remote;
    window->dram[socket].cells[who].value[FEATURE_CPU_NS] += TWIN_SLICE_NS;
    for (unsigned k = 0; k < 2; k++) {
        unsigned node = k ? other : socket;
        double served = k ? remote : local, j = served * h->dram_miss_nj / 1e9;

        window->dram[node].cells[who].value[FEATURE_NODE_MISSES] += (uint64_t)served;
        window->dram[node].true_j[who] += j;
        window->dram[node].true_total_j += j;
        twin->sockets[node].dram_j += j;
    }
    return thread_j(twin, who, core, ghz);
}

void twin_power(struct twin *twin, unsigned socket, struct twin_window *window)
{
    const struct twin_hardware *h = twin->setup.hardware;
    struct twin_socket *state = &twin->sockets[socket];
    struct twin_domain *package = &window->package[socket], *dram = &window->dram[socket];
    struct core_load cores[TWIN_CORES_MAX];
    unsigned on = gather(twin, socket, cores), of_tenant[TWIN_TENANTS_MAX];
    unsigned present = tenants_present(twin, cores, of_tenant);
    double ghz = frequency(twin, socket, cores, on), sum = static_w(h, state) * SLICE_S;

    package->true_idle_j += sum;
    for (unsigned core = 0; core < h->cores; core++) {
        for (unsigned t = 0; t < cores[core].n; t++) {
            int who = cores[core].thread[t];
            double part = 1.0 / present / of_tenant[twin->setup.threads[who].tenant];
            double j = count_thread(twin, who, &cores[core], socket, ghz, window) + core_on_j(h, ghz) / cores[core].n +
                       h->uncore_awake_w * SLICE_S * part;

            package->cells[who].value[FEATURE_PRESENT_NS] += (uint64_t)(part * (double)TWIN_SLICE_NS);
            package->true_j[who] += j;
            sum += j;
            wander(twin, who);
        }
    }
    package->window.core_busy_ns += on * TWIN_SLICE_NS;
    package->window.present_ns += on ? TWIN_SLICE_NS : 0;
    package->true_total_j += sum;
    dram->true_idle_j += h->dram_idle_w * SLICE_S;
    dram->true_total_j += h->dram_idle_w * SLICE_S;
    state->dram_j += h->dram_idle_w * SLICE_S;
    state->energy_j += sum;
    state->power_w = sum / SLICE_S;
    state->degrees += (AMBIENT + h->degrees_per_w * state->power_w - state->degrees) * SLICE_S / h->thermal_s;
}
