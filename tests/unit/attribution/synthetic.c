/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants that wander, and what they cost. Knows everything; the methods are told the total. */
#include "synthetic.h"

#include <math.h>
#include <string.h>

#include "attribution/shapley.h"

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static double uniform(uint64_t *random, double low, double high)
{
    return low + (high - low) * (double)(next(random) >> 11) * 0x1p-53;
}

/* Box and Muller */
double synthetic_normal(uint64_t *random)
{
    double radius = sqrt(-2.0 * log(uniform(random, 1e-300, 1.0)));

    return radius * cos(2.0 * 3.14159265358979 * uniform(random, 0.0, 1.0));
}

/* Of that order: most within a factor of 1.6, nearly all within 2.7. */
static double about(uint64_t *random, double middle)
{
    return middle * exp(0.5 * synthetic_normal(random));
}

struct synthetic_machine synthetic_draw(uint64_t seed)
{
    uint64_t random = seed;
    struct synthetic_machine machine = {
        .idle_w = about(&random, 20),
        .present_w = about(&random, 8),
        .core_w = about(&random, 1.5),
        .clock_j = about(&random, 0.8),
        .instruction_j = about(&random, 0.4),
        .local_j = about(&random, 0.012),
        .remote_j = about(&random, 0.03),
        .window_ns = 1000000000,
        .n = 3 + next(&random) % 4,
    };

    machine.edge_uj = 0.001 * (machine.idle_w + 60.0) * 1e6 / sqrt(3.0); /* +-1 ms of some 60 W above idle */
    for (size_t t = 0; t < machine.n; t++) {
        machine.tenant[t] = (struct synthetic_tenant){
            .threads = 1.0 + (double)(next(&random) % 6),
            .activity = uniform(&random, 0.2, 0.9),
            .swing = uniform(&random, 0.3, 1.0),
            .instructions = uniform(&random, 0.4, 3.0),
            .misses = uniform(&random, 0.0, 12.0),
            .remote = uniform(&random, 0.0, 0.6),
            .overlap = uniform(&random, 0.0, 1.0),
            .mix = uniform(&random, 0.05, 0.3),
        };
    }
    return machine;
}

struct synthetic_run synthetic_start(const struct synthetic_machine *machine, uint64_t seed)
{
    struct synthetic_run run = {.machine = machine, .random = seed ^ 0x5eed};

    for (size_t t = 0; t < machine->n; t++) {
        run.level[t] = synthetic_normal(&run.random);
        run.blend[t] = synthetic_normal(&run.random);
    }
    return run;
}

/* A random walk that comes back: some ten windows of memory, variance 1. */
static void wander(uint64_t *random, double *value)
{
    *value = 0.9 * *value + sqrt(1.0 - 0.81) * synthetic_normal(random);
}

static void act(struct synthetic_run *run, size_t t, double ghz, struct cell_features *ret, double *ret_presence)
{
    const struct synthetic_tenant *tenant = &run->machine->tenant[t];
    double window = (double)run->machine->window_ns;

    wander(&run->random, &run->level[t]);
    wander(&run->random, &run->blend[t]);
    double activity = fmin(fmax(tenant->activity * (1.0 + tenant->swing * run->level[t]), 0.0), 1.0);
    double mix = fmax(1.0 + tenant->mix * run->blend[t], 0.1);
    double cpu = tenant->threads * activity * window;
    double instructions = cpu * ghz * tenant->instructions * mix;
    double misses = instructions * tenant->misses / 1000.0 / mix / mix;

    *ret_presence = fmin(1.0, tenant->threads * activity);
    *ret = (struct cell_features){.value = {
                                      [FEATURE_CPU_NS] = (uint64_t)cpu,
                                      [FEATURE_OVERLAP_NS] = (uint64_t)(cpu * tenant->overlap),
                                      [FEATURE_CYCLES] = (uint64_t)(cpu * ghz),
                                      [FEATURE_INSTRUCTIONS] = (uint64_t)instructions,
                                      [FEATURE_LOCAL_MISSES] = (uint64_t)(misses * (1.0 - tenant->remote)),
                                      [FEATURE_REMOTE_MISSES] = (uint64_t)(misses * tenant->remote),
                                  }};
}

static double cost(const struct synthetic_machine *machine, size_t t, double ghz, const struct cell_features *cell)
{
    const uint64_t *value = cell->value;
    double core_s = ((double)value[FEATURE_CPU_NS] - (double)value[FEATURE_OVERLAP_NS] / 2.0) * 1e-9;
    double voltage = 1.0 + machine->voltage_slope * (ghz / SYNTHETIC_GHZ - 1.0);
    double events = core_s * ghz * voltage * voltage * machine->clock_j +
                    (double)value[FEATURE_INSTRUCTIONS] * 1e-9 * voltage * voltage * machine->instruction_j +
                    (double)value[FEATURE_LOCAL_MISSES] * 1e-6 * machine->local_j +
                    (double)value[FEATURE_REMOTE_MISSES] * 1e-6 * machine->remote_j;

    return 1e6 * ((double)value[FEATURE_PRESENT_NS] * 1e-9 * machine->present_w + core_s * machine->core_w +
                  events * (1.0 + machine->tenant[t].deviation));
}

void synthetic_step(struct synthetic_run *run, struct synthetic_window *ret)
{
    const struct synthetic_machine *machine = run->machine;
    double presence[SYNTHETIC_TENANTS_MAX], awake[SYNTHETIC_TENANTS_MAX], window = (double)machine->window_ns;
    double edge = run->edge_uj, energy;

    *ret = (struct synthetic_window){0};
    wander(&run->random, &run->pace);
    double ghz = SYNTHETIC_GHZ * fmin(fmax(1.0 + machine->ghz_swing * run->pace, 0.4), 1.6);
    for (size_t t = 0; t < machine->n; t++)
        act(run, t, ghz, &ret->cells[t], &presence[t]);
    double present = shapley_or(presence, machine->n, awake);

    ret->true_idle_uj = energy = machine->idle_w * window * 1e-3;
    for (size_t t = 0; t < machine->n; t++) {
        ret->group[t] = (uint32_t)t;
        ret->cells[t].value[FEATURE_PRESENT_NS] = (uint64_t)(awake[t] * window);
        ret->true_uj[t] = cost(machine, t, ghz, &ret->cells[t]);
        energy += ret->true_uj[t];
        ret->window.core_busy_ns += ret->cells[t].value[FEATURE_CPU_NS] - ret->cells[t].value[FEATURE_OVERLAP_NS] / 2;
    }
    run->edge_uj = machine->edge_uj * synthetic_normal(&run->random);
    ret->window.energy_uj = (uint64_t)llround(fmax(energy + run->edge_uj - edge, 0.0));
    ret->window.sensor_uj = (uint64_t)llround(machine->edge_uj * sqrt(2.0));
    ret->window.window_ns = machine->window_ns;
    ret->window.n_cpus = 2 * SYNTHETIC_CORES;
    ret->window.n_cores = SYNTHETIC_CORES;
    ret->window.base_khz = (uint64_t)(SYNTHETIC_GHZ * 1e6);
    ret->window.present_ns = (uint64_t)(present * window);
    ret->window.known = FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS) | FEATURE_BIT(FEATURE_PRESENT_NS);
    if (!machine->no_counters)
        ret->window.known |= FEATURE_BIT(FEATURE_CYCLES) | FEATURE_BIT(FEATURE_INSTRUCTIONS) |
                             FEATURE_BIT(FEATURE_LOCAL_MISSES) | FEATURE_BIT(FEATURE_REMOTE_MISSES);
    ret->window.n = machine->n;
    ret->window.n_groups = (uint32_t)machine->n;
    ret->window.cells = ret->cells; /* where *ret is */
    ret->window.group = ret->group;
}
