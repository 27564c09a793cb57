/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of batches and the sums over one. Knows who holds a reference and what a partition is; refuses to know how
 * a batch was filled or who reads it. */
#include "model/batch.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

/* Most memory of one batch: 65,536 processes in 16 domains, with names and labels, are some 50 MiB. More is a fill that
 * has run away. */
#define BATCH_ARENA_MAX ((size_t)256 << 20)

/* Batches that wait for their next use. One is filled, one is the latest, slot grids hold one or two, and slow readers
 * a few more; what comes back beyond that is freed, so that a pile-up of readers does not keep its memory for ever. */
#define POOL_KEEP_MAX 8U

struct pooled {
    struct batch batch; /* first, so that a batch is its pooled */
    struct pooled *next;
};

/* Lives as long as its owner or any batch: a reader may give back the last batch after the owner is gone. */
struct batch_pool {
    pthread_mutex_t lock;
    struct pooled *free; /* under lock, as everything below */
    unsigned n_free;
    size_t n_out; /* batches that somebody holds */
    bool closed;  /* the owner has called batch_pool_free */
};

static const unsigned char rank_of_kind[UNIT_KINDS] = {
    [UNIT_CGROUP] = 0,
    [UNIT_USER] = 1,
    [UNIT_PROCESS] = 2,
    [UNIT_SESSION] = 3,
};

static const char *const entity_names[ENTITIES] = {
    [ENTITY_IDLE] = "idle",
    [ENTITY_KERNEL] = "kernel",
    [ENTITY_MONITOR] = "monitor",
    [ENTITY_RESIDUAL] = "residual",
};

static const char *const unit_kind_names[UNIT_KINDS] = {
    [UNIT_PROCESS] = "process",
    [UNIT_CGROUP] = "cgroup",
    [UNIT_USER] = "user",
    [UNIT_SESSION] = "session",
};

const char *entity_name(enum entity entity)
{
    return (unsigned)entity < ENTITIES ? entity_names[entity] : "unknown";
}

const char *unit_kind_name(enum unit_kind kind)
{
    return (unsigned)kind < UNIT_KINDS ? unit_kind_names[kind] : "unknown";
}

static void pooled_free(struct pooled *pooled)
{
    if (!pooled)
        return;
    arena_done(&pooled->batch.arena);
    free(pooled);
}

static void pool_destroy(struct batch_pool *pool)
{
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

int batch_pool_new(struct batch_pool **ret_pool)
{
    struct batch_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return -ENOMEM;

    int r = pthread_mutex_init(&pool->lock, NULL);
    if (r != 0) {
        free(pool);
        return -r;
    }
    *ret_pool = pool;
    return 0;
}

struct batch_pool *batch_pool_free(struct batch_pool *pool)
{
    if (!pool)
        return NULL;

    pthread_mutex_lock(&pool->lock);
    struct pooled *chain = TAKE_PTR(pool->free);
    bool last = pool->n_out == 0;
    pool->n_free = 0;
    pool->closed = true;
    pthread_mutex_unlock(&pool->lock);

    while (chain) {
        struct pooled *next = chain->next;
        pooled_free(chain);
        chain = next;
    }
    if (last)
        pool_destroy(pool);
    return NULL;
}

int batch_new(struct batch_pool *pool, struct batch **ret_batch)
{
    pthread_mutex_lock(&pool->lock);
    struct pooled *pooled = pool->free;
    if (pooled) {
        pool->free = pooled->next;
        pool->n_free--;
    }
    pool->n_out++;
    pthread_mutex_unlock(&pool->lock);

    if (!pooled) {
        pooled = calloc(1, sizeof(*pooled));
        if (!pooled) {
            pthread_mutex_lock(&pool->lock);
            pool->n_out--;
            pthread_mutex_unlock(&pool->lock);
            return -ENOMEM;
        }
        arena_init(&pooled->batch.arena, BATCH_ARENA_MAX);
    }

    struct arena arena = pooled->batch.arena;
    *pooled = (struct pooled){.batch = {.pool = pool, .arena = arena}};
    atomic_init(&pooled->batch.refs, 1);
    *ret_batch = &pooled->batch;
    return 0;
}

struct batch *batch_ref(struct batch *batch)
{
    /* Relaxed is enough: whoever takes a reference holds one already, or got the pointer under a lock. */
    if (batch)
        atomic_fetch_add_explicit(&batch->refs, 1, memory_order_relaxed);
    return batch;
}

/* Nobody else can see the batch any more. */
static void give_back(struct batch *batch)
{
    struct batch_pool *pool = batch->pool;
    struct pooled *pooled = (struct pooled *)(void *)batch;

    arena_reset(&batch->arena);

    pthread_mutex_lock(&pool->lock);
    assert(pool->n_out > 0);
    pool->n_out--;
    bool keep = !pool->closed && pool->n_free < POOL_KEEP_MAX;
    bool last = pool->closed && pool->n_out == 0;
    if (keep) {
        pooled->next = pool->free;
        pool->free = pooled;
        pool->n_free++;
    }
    pthread_mutex_unlock(&pool->lock);

    if (!keep)
        pooled_free(pooled);
    if (last)
        pool_destroy(pool);
}

struct batch *batch_unref(struct batch *batch)
{
    /* Release what this reader did before the batch is reused, acquire what the others did. */
    if (batch && atomic_fetch_sub_explicit(&batch->refs, 1, memory_order_acq_rel) == 1)
        give_back(batch);
    return NULL;
}

const struct batch_unit *batch_kind(const struct batch *batch, enum unit_kind kind, size_t *ret_n)
{
    unsigned rank = rank_of_kind[kind];
    size_t first = batch->first_of_kind[rank];

    *ret_n = batch->first_of_kind[rank + 1] - first;
    return *ret_n ? batch->units + first : NULL;
}

static uint64_t partition_error_uj(const struct batch_domain *domain, size_t d, const struct batch_unit *units,
                                   size_t n)
{
    /* 128 bits: a broken sum must not wrap round to the right value. */
    unsigned __int128 given = 0;
    unsigned __int128 measured = domain->window_uj;

    for (size_t i = 0; i < n; i++)
        given += units[i].window_uj[d];
    for (size_t e = 0; e < ENTITIES; e++)
        given += domain->entity_window_uj[e];

    unsigned __int128 error = given > measured ? given - measured : measured - given;
    return error > UINT64_MAX ? UINT64_MAX : (uint64_t)error;
}

uint64_t batch_conservation_error_uj(const struct batch *batch)
{
    static const enum unit_kind partitions[] = {UNIT_CGROUP, UNIT_USER, UNIT_PROCESS};
    uint64_t worst = 0;

    for (size_t p = 0; p < ELEMENTSOF(partitions); p++) {
        size_t n;
        const struct batch_unit *units = batch_kind(batch, partitions[p], &n);

        for (size_t d = 0; d < batch->n_domains; d++)
            worst = max_u64(worst, partition_error_uj(&batch->domains[d], d, units, n));
    }
    return worst;
}

uint64_t batch_total_window_uj(const struct batch *batch)
{
    uint64_t sum = 0;

    for (size_t d = 0; d < batch->n_domains; d++)
        sum += batch->domains[d].domain.in_total ? batch->domains[d].window_uj : 0;
    return sum;
}

uint64_t batch_total_energy_uj(const struct batch *batch)
{
    uint64_t sum = 0;

    for (size_t d = 0; d < batch->n_domains; d++)
        sum += batch->domains[d].domain.in_total ? batch->domains[d].energy_uj : 0;
    return sum;
}

/* `values` is one of a unit's arrays [n_domains]. */
static uint64_t sum_in_total(const struct batch *batch, const uint64_t *values)
{
    uint64_t sum = 0;

    for (size_t d = 0; d < batch->n_domains; d++)
        sum += batch->domains[d].domain.in_total ? values[d] : 0;
    return sum;
}

uint64_t batch_unit_window_uj(const struct batch *batch, const struct batch_unit *unit)
{
    return sum_in_total(batch, unit->window_uj);
}

uint64_t batch_unit_energy_uj(const struct batch *batch, const struct batch_unit *unit)
{
    return sum_in_total(batch, unit->energy_uj);
}
