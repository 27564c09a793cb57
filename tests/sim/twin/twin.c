/* SPDX-License-Identifier: Apache-2.0 */
/* Time, randomness, and the sensors: see twin.h. */
#include "twin_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "model/quantity.h"

#define PACKAGE_UNIT_J (1.0 / 16384) /* 2^-14 */
#define DRAM_UNIT_J    (1.0 / 65536) /* 2^-16 */
#define UPDATE_S       0.001         /* energy counters move once a millisecond */
#define FILTER_S       0.02          /* over which filtering blurs */

const struct twin_hardware twin_server = {
    .sockets = 2,
    .cores = 16,
    .smt = 2,
    .base_ghz = 2.4,
    .turbo_ghz = 3.6,
    .all_turbo_ghz = 2.9,
    .voltage_slope = 0.7,
    .leak_w = 22,
    .leak_per_degree = 0.004,
    .degrees_per_w = 0.15,
    .thermal_s = 30,
    .uncore_idle_w = 18,
    .uncore_awake_w = 10,
    .core_on_w = 1.2,
    .core_ghz_w = 0.6,
    .smt_yield = 0.62,
    .miss_nj = 8,
    .remote_nj = 12,
    .dram_idle_w = 6,
    .dram_miss_nj = 20,
};

double twin_uniform(struct twin *twin)
{
    uint64_t z = twin->random += 0x9e3779b97f4a7c15ULL; /* splitmix64 (Steele, Lea, Flood 2014) */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

/* The sum of twelve uniform numbers: variance 1. */
double twin_normal(struct twin *twin)
{
    double sum = -6;

    for (int i = 0; i < 12; i++)
        sum += twin_uniform(twin);
    return sum;
}

static bool is_sound(const struct twin_setup *setup)
{
    const struct twin_hardware *h = setup->hardware;

    if (!h || !h->sockets || h->sockets > TWIN_SOCKETS_MAX || !h->cores || h->cores > TWIN_CORES_MAX || !h->smt ||
        h->smt > TWIN_SMT_MAX || setup->n_threads > TWIN_THREADS_MAX || setup->n_tenants > TWIN_TENANTS_MAX)
        return false;
    for (size_t i = 0; i < setup->n_threads; i++) {
        const struct twin_work *work = &setup->threads[i].work;

        if (setup->threads[i].tenant >= setup->n_tenants || work->cpu >= (int)twin_cpus(h) ||
            work->socket >= (int)h->sockets)
            return false;
    }
    return true;
}

int twin_new(const struct twin_setup *setup, struct twin **ret_twin)
{
    if (!is_sound(setup))
        return -EINVAL;
    struct twin *twin = calloc(1, sizeof(*twin));
    if (!twin)
        return -ENOMEM;
    twin->setup = *setup;
    twin->random = setup->seed;
    for (size_t i = 0; i < TWIN_THREADS_MAX; i++)
        twin->last_cpu[i] = NOBODY;
    for (unsigned i = 0; i < TWIN_SOCKETS_MAX; i++)
        twin->sockets[i].degrees = 40;
    *ret_twin = twin;
    return 0;
}

struct twin *twin_free(struct twin *twin)
{
    free(twin);
    return NULL;
}

uint64_t twin_idle_uw(const struct twin_hardware *h)
{
    double watts = h->uncore_idle_w + h->leak_w;

    /* settled: warm by its own idle power */
    for (int i = 0; i < 20; i++)
        watts = h->uncore_idle_w + h->leak_w * (1 + h->leak_per_degree * h->degrees_per_w * watts);
    return (uint64_t)(watts * 1e6);
}

uint64_t twin_dram_idle_uw(const struct twin_hardware *h)
{
    return (uint64_t)(h->dram_idle_w * 1e6);
}

/* What the counter shows: whole units, as of its last update, which was up to a millisecond ago. */
static uint64_t measure(struct twin *twin, double energy_j, double power_w, double unit_j, double noise_j,
                        double *shown_j)
{
    double now_j = fmax(energy_j - power_w * UPDATE_S * twin_uniform(twin) + noise_j, *shown_j);
    double counts = floor(now_j / unit_j) - floor(*shown_j / unit_j);

    *shown_j = now_j;
    return (uint64_t)llround(counts * unit_j * 1e6);
}

static uint64_t multiplexed(struct twin *twin, uint64_t count)
{
    double noisy = (double)count * (1 + twin->setup.mismatch.multiplex * twin_normal(twin));

    return twin->setup.mismatch.multiplex > 0 ? (uint64_t)fmax(noisy, 0) : count;
}

static void read_counters(struct twin *twin, struct twin_domain *domain)
{
    static const enum feature noisy[] = {FEATURE_INSTRUCTIONS, FEATURE_LOCAL_MISSES, FEATURE_REMOTE_MISSES,
                                         FEATURE_NODE_MISSES};

    for (size_t i = 0; i < twin->setup.n_threads; i++)
        for (size_t k = 0; k < ELEMENTSOF(noisy); k++)
            domain->cells[i].value[noisy[k]] = multiplexed(twin, domain->cells[i].value[noisy[k]]);
}

static void begin_domain(const struct twin *twin, struct twin_domain *domain)
{
    memset(domain, 0, sizeof(*domain));
    for (size_t i = 0; i < twin->setup.n_threads; i++)
        domain->group[i] = twin->setup.threads[i].tenant;
}

static void end_domain(const struct twin *twin, struct twin_domain *domain, uint64_t window_ns, bool dram)
{
    const struct twin_hardware *h = twin->setup.hardware;
    struct method_window *window = &domain->window;

    window->window_ns = window_ns;
    window->n = twin->setup.n_threads;
    window->cells = domain->cells;
    window->group = domain->group;
    window->n_groups = twin->setup.n_tenants;
    window->n_cpus = h->cores * h->smt;
    window->n_cores = h->cores;
    window->base_khz = (uint64_t)(h->base_ghz * 1e6);
    window->dram = dram;
    window->known =
        dram ? FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_NODE_MISSES) | FEATURE_BIT(FEATURE_RESIDENT)
             : FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS) | FEATURE_BIT(FEATURE_PRESENT_NS) |
                   FEATURE_BIT(FEATURE_CYCLES) | FEATURE_BIT(FEATURE_INSTRUCTIONS) | FEATURE_BIT(FEATURE_LOCAL_MISSES) |
                   FEATURE_BIT(FEATURE_REMOTE_MISSES);
    window->idle_uw = dram ? twin_dram_idle_uw(h) : twin_idle_uw(h);
}

/* Memory in use: what threads hold on the node of their socket (socket 0 where they may run anywhere). */
static void hold_memory(const struct twin *twin, struct twin_window *window, uint64_t window_ns)
{
    for (size_t i = 0; i < twin->setup.n_threads; i++) {
        const struct twin_work *work = &twin->setup.threads[i].work;
        struct twin_domain *node = &window->dram[work->socket > 0 ? work->socket : 0];
        uint64_t held = (uint64_t)(work->gib * (double)(1 << 20) * (double)window_ns); /* KiB x ns */

        node->cells[i].value[FEATURE_RESIDENT] = held;
        node->window.resident += held;
    }
}

void twin_run(struct twin *twin, uint64_t window_ns, struct twin_window *ret_window)
{
    const struct twin_hardware *h = twin->setup.hardware;

    for (unsigned s = 0; s < h->sockets; s++) {
        begin_domain(twin, &ret_window->package[s]);
        begin_domain(twin, &ret_window->dram[s]);
    }
    for (uint64_t slice = 0; slice < window_ns / TWIN_SLICE_NS; slice++) {
        twin_schedule(twin);
        for (unsigned s = 0; s < h->sockets; s++)
            twin_power(twin, s, ret_window);
        twin->now_ns += TWIN_SLICE_NS;
    }
    hold_memory(twin, ret_window, window_ns);
    for (unsigned s = 0; s < h->sockets; s++) {
        struct twin_socket *socket = &twin->sockets[s];
        struct twin_domain *package = &ret_window->package[s], *dram = &ret_window->dram[s];
        double noise_j = twin->setup.mismatch.filtering * socket->power_w * FILTER_S * twin_normal(twin);

        end_domain(twin, package, window_ns, false);
        end_domain(twin, dram, window_ns, true);
        package->window.energy_uj =
            measure(twin, socket->energy_j, socket->power_w, PACKAGE_UNIT_J, noise_j, &socket->shown_j);
        dram->window.energy_uj = measure(twin, socket->dram_j, dram->true_total_j * 1e9 / (double)window_ns,
                                         DRAM_UNIT_J, 0, &socket->dram_shown_j);
        read_counters(twin, package);
        read_counters(twin, dram);
    }
}

void twin_degrade(struct method_window *window, unsigned known)
{
    window->known &= known;
    if (window->known & FEATURE_BIT(FEATURE_OVERLAP_NS))
        return;
    window->core_busy_ns = 0;
    window->present_ns = 0;
}
