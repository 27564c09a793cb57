/* SPDX-License-Identifier: Apache-2.0 */
/* See scenarios.h. Kinds of work: instructions per cycle, nanojoules per instruction, misses per thousand instructions
 * as published for servers of this size; what matters is that they differ by factors of two to four, as real ones do.
 */
#include "scenarios.h"

const struct twin_mismatch scenario_mismatch = {.toggle = 0.15, .cache = 1, .filtering = 0.02, .multiplex = 0.02};

/* duty 1, anywhere, for ever */
#define ALWAYS .duty = 1, .socket = -1, .cpu = -1, .gib = 0.25

static const struct twin_work scalar = {.ipc = 1.8, .instruction_nj = 0.40, .cache_nj = 0.02, .mpki = 0.2, ALWAYS};
static const struct twin_work integer = {.ipc = 2.6, .instruction_nj = 0.30, .cache_nj = 0.01, .mpki = 0.1, ALWAYS};
static const struct twin_work vector = {.ipc = 1.4, .instruction_nj = 1.30, .cache_nj = 0.05, .mpki = 1.0, ALWAYS};
static const struct twin_work memory = {
    .ipc = 0.5, .instruction_nj = 0.35, .cache_nj = 0.06, .mpki = 25, .remote = 0.3, ALWAYS};
static const struct twin_work web = {
    .ipc = 1.0, .instruction_nj = 0.42, .cache_nj = 0.03, .mpki = 3, .duty = 0.15, .socket = -1, .cpu = -1, .gib = 2};

static void add(struct twin_setup *setup, unsigned tenant, unsigned n, struct twin_work work)
{
    for (unsigned i = 0; i < n && setup->n_threads < TWIN_THREADS_MAX; i++)
        setup->threads[setup->n_threads++] = (struct twin_thread){.tenant = tenant, .work = work};
    if (setup->n_tenants <= tenant)
        setup->n_tenants = tenant + 1;
}

/* n pieces of work that come and go, so that the machine's load is not one constant. */
static void add_periodic(struct twin_setup *setup, unsigned tenant, unsigned n, struct twin_work work, double period_s,
                         double duty, double phase)
{
    work.period_s = period_s;
    work.duty = duty;
    work.phase = phase;
    add(setup, tenant, n, work);
}

static void fill_equal(struct twin_setup *setup)
{
    for (unsigned t = 0; t < 4; t++)
        add_periodic(setup, t, 4, scalar, 7 + t, 0.8, 0.2 * t);
}

static void fill_cpu(struct twin_setup *setup)
{
    add_periodic(setup, 0, 6, scalar, 11, 0.7, 0);
    add_periodic(setup, 1, 6, integer, 7, 0.6, 0.3);
    add_periodic(setup, 2, 4, scalar, 5, 0.5, 0.6);
    add(setup, 3, 4, integer);
}

static void fill_mixed(struct twin_setup *setup)
{
    add_periodic(setup, 0, 6, scalar, 9, 0.7, 0);
    add_periodic(setup, 1, 6, memory, 6, 0.6, 0.25);
    add(setup, 2, 12, web);
    add_periodic(setup, 3, 4, integer, 4, 0.5, 0.5);
}

/* Two threads on each of eight cores against eight threads on eight cores. */
static void fill_smt(struct twin_setup *setup)
{
    for (unsigned core = 0; core < 8; core++) {
        for (unsigned thread = 0; thread < 2; thread++) {
            struct twin_work work = scalar;
            work.cpu = (int)(core + thread * 32);
            add_periodic(setup, 0, 1, work, 8, 0.75, 0);
        }
        struct twin_work alone = scalar;
        alone.cpu = (int)(core + 8);
        add_periodic(setup, 1, 1, alone, 5, 0.7, 0.4);
    }
}

static void fill_noisy(struct twin_setup *setup)
{
    struct twin_work steady = integer;

    steady.socket = 0;
    add(setup, 0, 2, steady);
    struct twin_work burst = scalar;
    burst.socket = 0;
    add_periodic(setup, 1, 10, burst, 10, 0.3, 0);
}

static void fill_vector(struct twin_setup *setup)
{
    add_periodic(setup, 0, 6, vector, 9, 0.6, 0);
    add_periodic(setup, 1, 6, scalar, 7, 0.7, 0.3);
}

static void fill_many(struct twin_setup *setup)
{
    for (unsigned t = 0; t < 16; t++)
        add_periodic(setup, t, 2, t % 4 == 3 ? web : t % 2 ? integer : scalar, 4 + t % 5, 0.4 + 0.03 * t, 0.13 * t);
}

/* Two tenants whose counts keep one ratio for ever: nobody can tell what an instruction of each costs. */
static void fill_constant(struct twin_setup *setup)
{
    add(setup, 0, 6, vector);
    add(setup, 1, 6, scalar);
}

static void fill_capped(struct twin_setup *setup)
{
    static struct twin_hardware capped;

    capped = *setup->hardware;
    capped.cap_w = 90;
    setup->hardware = &capped;
    fill_cpu(setup);
}

const struct scenario scenarios[] = {
    {"equal", "four tenants of equal work, each coming and going", SCENARIO_CPU, fill_equal},
    {"cpu", "four tenants that compute, scalar and integer", SCENARIO_CPU, fill_cpu},
    {"many", "sixteen small tenants", SCENARIO_CPU, fill_many},
    {"mixed", "computing, memory-bound, web", SCENARIO_MIXED, fill_mixed},
    {"smt", "eight cores with both hyperthreads busy, eight with one", SCENARIO_SMT, fill_smt},
    {"noisy", "bursts of ten threads beside a steady tenant", SCENARIO_NOISY, fill_noisy},
    {"vector", "wide vectors against scalar code, at changing times", SCENARIO_HARD, fill_vector},
    {"constant", "the same, pinned at constant rates: not identifiable", SCENARIO_HARD, fill_constant},
    {"capped", "four tenants that compute under a power limit", SCENARIO_HARD, fill_capped},
};
const size_t scenarios_count = ELEMENTSOF(scenarios);

void scenario_setup(const struct scenario *scenario, bool mismatch, uint64_t seed, struct twin_setup *ret_setup)
{
    *ret_setup = (struct twin_setup){.hardware = &twin_server, .seed = seed};
    if (mismatch)
        ret_setup->mismatch = scenario_mismatch;
    scenario->fill(ret_setup);
}
