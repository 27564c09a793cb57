/* SPDX-License-Identifier: Apache-2.0 */
/* See calibrate_load.h. The work is the same on every processor and stays in registers: what a machine draws under
 * other loads (vectors, memory traffic) can be more, and no single figure can stand for all of them. */
#include "cli/calibrate_load.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define LANES       4    /* independent chains, so that several units of a core work at once */
#define BLOCK_STEPS 4096 /* some ten microseconds between two looks at the flag */
#define STACK_BYTES (128U << 10)
#define CACHE_LINE  64

struct worker {
    _Alignas(CACHE_LINE) pthread_t thread;
    struct load *load;
    uint32_t cpu;
    atomic_uint_fast64_t blocks;
    volatile uint64_t sink; /* results go here, so that the compiler cannot leave the work out */
};

struct load {
    atomic_bool stop;
    size_t n;
    struct worker *workers;
};

/* Marsaglia's xorshift and the logistic map: both chaotic, so that bits keep toggling; the latter stays within 0..1. */
static uint64_t block(uint64_t x[LANES], double y[LANES])
{
    uint64_t fold = 0;

    for (int step = 0; step < BLOCK_STEPS; step++) {
        for (int i = 0; i < LANES; i++) {
            x[i] ^= x[i] << 13;
            x[i] ^= x[i] >> 7;
            x[i] ^= x[i] << 17;
            y[i] = 3.99 * y[i] * (1.0 - y[i]);
        }
    }
    for (int i = 0; i < LANES; i++)
        fold ^= x[i] ^ (uint64_t)(y[i] * 0x1p53);
    return fold;
}

static void *work(void *userdata)
{
    struct worker *worker = userdata;
    uint64_t x[LANES];
    double y[LANES];

    for (unsigned i = 0; i < LANES; i++) {
        x[i] = 0x9E3779B97F4A7C15ULL * (worker->cpu * LANES + i + 1); /* not 0, which xorshift never leaves */
        y[i] = 0.1 + 0.2 * i;
    }
    while (!atomic_load_explicit(&worker->load->stop, memory_order_relaxed)) {
        worker->sink = block(x, y);
        atomic_fetch_add_explicit(&worker->blocks, 1, memory_order_relaxed);
        for (unsigned i = 0; i < LANES; i++)
            if (!(y[i] > 0 && y[i] < 1)) /* it hit an end, which it never leaves */
                y[i] = 0.1 + 0.2 * i;
    }
    return NULL;
}

int load_allowed_cpus(const struct topology *topology, bool *allowed, struct carnot_err *err)
{
    cpu_set_t *set = CPU_ALLOC(CPUS_MAX * 2); /* the kernel's own mask may be longer than our limit */
    size_t size = CPU_ALLOC_SIZE(CPUS_MAX * 2);
    int n = 0;

    if (!set)
        return carnot_err_set(err, ENOMEM, "out of memory for a set of CPUs");
    if (sched_getaffinity(0, size, set) < 0) {
        int code = errno;
        CPU_FREE(set);
        return carnot_err_errno(err, code, "cannot tell on which CPUs this process may run");
    }
    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++) {
        allowed[cpu] = topology->cpus[cpu].online && CPU_ISSET_S(cpu, size, set);
        n += allowed[cpu];
    }
    CPU_FREE(set);
    return n > 0 ? n : carnot_err_set(err, EINVAL, "this process may run on none of the CPUs that are online");
}

static int start_worker(struct worker *worker)
{
    pthread_attr_t attr;
    size_t size = CPU_ALLOC_SIZE(worker->cpu + 1);
    cpu_set_t *set = CPU_ALLOC(worker->cpu + 1);

    if (!set)
        return ENOMEM;
    CPU_ZERO_S(size, set);
    CPU_SET_S(worker->cpu, size, set);
    int code = pthread_attr_init(&attr);
    if (code == 0) {
        code = pthread_attr_setaffinity_np(&attr, size, set);
        if (code == 0)
            code = pthread_attr_setstacksize(&attr, STACK_BYTES);
        if (code == 0)
            code = pthread_create(&worker->thread, &attr, work, worker);
        pthread_attr_destroy(&attr);
    }
    CPU_FREE(set);
    return code;
}

static size_t count(const struct topology *topology, const bool *allowed)
{
    size_t n = 0;

    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++)
        n += allowed[cpu];
    return n;
}

int load_start(const struct topology *topology, const bool *allowed, struct load **ret_load, struct carnot_err *err)
{
    struct load *load = calloc(1, sizeof(*load));
    size_t n = count(topology, allowed);

    if (load)
        load->workers = aligned_alloc(CACHE_LINE, (n ? n : 1) * sizeof(*load->workers));
    if (!load || !load->workers) {
        load_stop(load);
        return carnot_err_set(err, ENOMEM, "out of memory for %zu threads", n);
    }
    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++) {
        struct worker *worker = &load->workers[load->n];

        if (!allowed[cpu])
            continue;
        *worker = (struct worker){.load = load, .cpu = cpu};
        int code = start_worker(worker);
        if (code) {
            load_stop(load);
            return carnot_err_errno(err, code, "cannot start a thread on CPU %" PRIu32, cpu);
        }
        load->n++;
    }
    *ret_load = load;
    return 0;
}

uint64_t load_blocks_of_slowest(const struct load *load)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < load->n; i++) {
        uint64_t blocks = atomic_load_explicit(&load->workers[i].blocks, memory_order_relaxed);
        least = blocks < least ? blocks : least;
    }
    return load->n ? least : 0;
}

struct load *load_stop(struct load *load)
{
    if (!load)
        return NULL;
    atomic_store(&load->stop, true);
    for (size_t i = 0; i < load->n; i++)
        pthread_join(load->workers[i].thread, NULL);
    free(load->workers);
    free(load);
    return NULL;
}
