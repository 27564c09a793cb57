/* SPDX-License-Identifier: Apache-2.0 */
/* The batch pool under one and many threads, and the sums over a small batch that is known by heart. Run under
 * ThreadSanitizer and AddressSanitizer for what it cannot see itself. */
#include <pthread.h>
#include <string.h>

#include "../base/unit_test.h"
#include "model/batch.h"

#define N_DOMAINS 3U
#define N_UNITS   7U

/* Two cgroups, two users, three processes; every kind is the same energy. Domain 2 is not in the total. */
struct sample {
    struct batch batch;
    struct batch_domain domains[N_DOMAINS];
    struct batch_unit units[N_UNITS];
    uint64_t window_uj[N_UNITS][N_DOMAINS];
    uint64_t energy_uj[N_UNITS][N_DOMAINS];
};

static void sample_init(struct sample *s)
{
    static const enum unit_kind kinds[N_UNITS] = {UNIT_CGROUP,  UNIT_CGROUP,  UNIT_USER,   UNIT_USER,
                                                  UNIT_PROCESS, UNIT_PROCESS, UNIT_PROCESS};
    static const uint64_t window[N_UNITS][N_DOMAINS] = {{100, 10, 1}, {50, 0, 0}, {30, 10, 1}, {120, 0, 0},
                                                        {60, 4, 0},   {40, 6, 1}, {50, 0, 0}};

    memset(s, 0, sizeof(*s));
    for (size_t i = 0; i < N_UNITS; i++) {
        for (size_t d = 0; d < N_DOMAINS; d++) {
            s->window_uj[i][d] = window[i][d];
            s->energy_uj[i][d] = window[i][d] * 10;
        }
        s->units[i] = (struct batch_unit){.kind = kinds[i], .window_uj = s->window_uj[i], .energy_uj = s->energy_uj[i]};
    }
    s->domains[0] = (struct batch_domain){.domain = {.in_total = true},
                                          .window_uj = 150 + 7 + 5 + 3 + 1,
                                          .energy_uj = 1000,
                                          .entity_window_uj = {7, 5, 3, 1}};
    s->domains[1] = (struct batch_domain){.domain = {.in_total = true}, .window_uj = 10, .energy_uj = 200};
    s->domains[2] =
        (struct batch_domain){.window_uj = 5, .energy_uj = 400, .entity_window_uj = {[ENTITY_RESIDUAL] = 4}};
    s->batch.domains = s->domains;
    s->batch.n_domains = N_DOMAINS;
    s->batch.units = s->units;
    s->batch.n_units = N_UNITS;
    s->batch.first_of_kind[0] = 0;
    s->batch.first_of_kind[1] = 2;
    s->batch.first_of_kind[2] = 4;
    s->batch.first_of_kind[3] = N_UNITS;
    s->batch.first_of_kind[4] = N_UNITS;
}

static void test_kinds(void **state)
{
    struct sample s;
    size_t n = 99;

    sample_init(&s);
    assert_ptr_equal(batch_kind(&s.batch, UNIT_CGROUP, &n), &s.units[0]);
    assert_int_equal(n, 2);
    assert_ptr_equal(batch_kind(&s.batch, UNIT_USER, &n), &s.units[2]);
    assert_int_equal(n, 2);
    assert_ptr_equal(batch_kind(&s.batch, UNIT_PROCESS, &n), &s.units[4]);
    assert_int_equal(n, 3);
    assert_null(batch_kind(&s.batch, UNIT_SESSION, &n));
    assert_int_equal(n, 0);
}

static void test_sums(void **state)
{
    struct sample s;

    sample_init(&s);
    assert_int_equal(batch_total_window_uj(&s.batch), 166 + 10);
    assert_int_equal(batch_total_energy_uj(&s.batch), 1200);
    assert_int_equal(batch_unit_window_uj(&s.batch, &s.units[0]), 110);
    assert_int_equal(batch_unit_energy_uj(&s.batch, &s.units[0]), 1100);
    assert_int_equal(batch_unit_window_uj(&s.batch, &s.units[5]), 46);
}

static void test_conservation_holds(void **state)
{
    struct sample s;

    sample_init(&s);
    assert_int_equal(batch_conservation_error_uj(&s.batch), 0);

    struct batch nothing = {0};
    assert_int_equal(batch_conservation_error_uj(&nothing), 0);
}

/* A microjoule too much or too few in any place of any kind is seen. */
static void test_conservation_sees_every_place(void **state)
{
    struct sample s;

    for (size_t i = 0; i < N_UNITS; i++) {
        for (size_t d = 0; d < N_DOMAINS; d++) {
            sample_init(&s);
            s.window_uj[i][d] += 1;
            assert_int_equal(batch_conservation_error_uj(&s.batch), 1);
        }
    }
    for (size_t e = 0; e < ENTITIES; e++) {
        sample_init(&s);
        s.domains[1].entity_window_uj[e] += 3;
        assert_int_equal(batch_conservation_error_uj(&s.batch), 3);
    }
    sample_init(&s);
    s.domains[2].window_uj -= 5;
    assert_int_equal(batch_conservation_error_uj(&s.batch), 5);
}

static void test_conservation_does_not_wrap(void **state)
{
    struct sample s;

    /* Two halves of 2^64: in 64 bits the sum would be 0 again. */
    sample_init(&s);
    s.window_uj[0][0] += 1ULL << 63;
    s.window_uj[1][0] += 1ULL << 63;
    assert_true(batch_conservation_error_uj(&s.batch) == UINT64_MAX);
}

/* A unit of the same cgroup counted twice as a process, with cgroups and users right, is an error of that kind only. */
static void test_conservation_takes_kinds_apart(void **state)
{
    struct sample s;

    sample_init(&s);
    s.batch.first_of_kind[3] = 5; /* the last two processes become sessions: no partition */
    assert_int_equal(batch_conservation_error_uj(&s.batch), 90);
}

static void test_names(void **state)
{
    assert_string_equal(entity_name(ENTITY_IDLE), "idle");
    assert_string_equal(entity_name(ENTITY_KERNEL), "kernel");
    assert_string_equal(entity_name(ENTITY_MONITOR), "monitor");
    assert_string_equal(entity_name(ENTITY_RESIDUAL), "residual");
    assert_string_equal(entity_name(ENTITIES), "unknown");
    assert_string_equal(unit_kind_name(UNIT_PROCESS), "process");
    assert_string_equal(unit_kind_name(UNIT_CGROUP), "cgroup");
    assert_string_equal(unit_kind_name(UNIT_USER), "user");
    assert_string_equal(unit_kind_name(UNIT_SESSION), "session");
    assert_string_equal(unit_kind_name(UNIT_KINDS), "unknown");
}

static void test_null_is_fine(void **state)
{
    assert_null(batch_unref(NULL));
    assert_null(batch_ref(NULL));
    assert_null(batch_pool_free(NULL));
}

static void test_reuse_takes_no_memory(void **state)
{
    struct batch_pool *pool;
    struct batch *first, *again;

    assert_int_equal(batch_pool_new(&pool), 0);
    assert_int_equal(batch_new(pool, &first), 0);
    assert_int_equal(first->refs, 1);
    assert_non_null(arena_alloc(&first->arena, 100000));
    first->seq = 7;
    first->n_units = 3;

    const struct arena_block *block = first->arena.first;
    size_t bytes = first->arena.block_bytes;
    assert_null(batch_unref(first));

    for (unsigned round = 0; round < 5; round++) {
        assert_int_equal(batch_new(pool, &again), 0);
        assert_ptr_equal(again, first);
        assert_int_equal(again->refs, 1);
        assert_int_equal(again->seq, 0);
        assert_int_equal(again->n_units, 0);
        assert_int_equal(arena_used(&again->arena), 0);
        assert_non_null(arena_alloc(&again->arena, 100000));
        assert_ptr_equal(again->arena.first, block);
        assert_int_equal(again->arena.block_bytes, bytes);
        batch_unref(again);
    }
    assert_null(batch_pool_free(pool));
}

static void test_references_count(void **state)
{
    struct batch_pool *pool;
    struct batch *batch, *other;

    assert_int_equal(batch_pool_new(&pool), 0);
    assert_int_equal(batch_new(pool, &batch), 0);
    batch->seq = 5;
    assert_ptr_equal(batch_ref(batch), batch);
    batch_unref(batch);

    /* Still held: a new one must be another. */
    assert_int_equal(batch_new(pool, &other), 0);
    assert_ptr_not_equal(batch, other);
    assert_int_equal(batch->seq, 5);
    batch_unref(other);
    batch_unref(batch);
    batch_pool_free(pool);
}

static void test_batches_outlive_the_owner(void **state)
{
    struct batch_pool *pool;
    struct batch *held[3];

    assert_int_equal(batch_pool_new(&pool), 0);
    for (size_t i = 0; i < ELEMENTSOF(held); i++) {
        assert_int_equal(batch_new(pool, &held[i]), 0);
        held[i]->method = arena_strdup(&held[i]->arena, "cpu_time");
    }
    batch_unref(TAKE_PTR(held[0]));
    batch_pool_free(pool);
    for (size_t i = 1; i < ELEMENTSOF(held); i++) {
        assert_string_equal(held[i]->method, "cpu_time");
        batch_unref(held[i]);
    }
}

/* More batches out than the pool keeps: each is distinct, all come back, and the pool still works. */
static void test_many_at_once(void **state)
{
    struct batch_pool *pool;
    struct batch *held[40];

    assert_int_equal(batch_pool_new(&pool), 0);
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < ELEMENTSOF(held); i++) {
            assert_int_equal(batch_new(pool, &held[i]), 0);
            held[i]->seq = i;
        }
        for (size_t i = 0; i < ELEMENTSOF(held); i++) {
            assert_int_equal(held[i]->seq, i);
            batch_unref(held[i]);
        }
    }
    batch_pool_free(pool);
}

#define N_READERS    4U
#define N_BATCHES    3000U
#define WORDS        256U
#define READS_NEEDED 500U /* by each reader, so that no reader has slept through the test */

/* What the meter does: one writer, the latest batch under a lock, readers that hold references. */
struct exchange {
    pthread_mutex_t lock;
    struct batch *latest;
    bool done;
    atomic_uint torn;
    atomic_uint reads[N_READERS];
};

struct reader {
    pthread_t thread;
    struct exchange *exchange;
    unsigned index;
};

static struct batch *exchange_latest(struct exchange *x, bool *ret_done)
{
    pthread_mutex_lock(&x->lock);
    struct batch *batch = batch_ref(x->latest);
    *ret_done = x->done;
    pthread_mutex_unlock(&x->lock);
    return batch;
}

static void exchange_publish(struct exchange *x, struct batch *batch, bool done)
{
    pthread_mutex_lock(&x->lock);
    struct batch *old = x->latest;
    x->latest = batch;
    x->done = done;
    pthread_mutex_unlock(&x->lock);
    batch_unref(old);
}

static void *read_batches(void *arg)
{
    struct reader *reader = arg;
    struct exchange *x = reader->exchange;

    for (bool done = false; !done;) {
        struct batch *batch = exchange_latest(x, &done);
        if (!batch)
            continue;

        const uint64_t *words = (const uint64_t *)(const void *)batch->method;
        for (size_t i = 0; i < WORDS; i++) {
            if (words[i] != batch->seq)
                atomic_fetch_add(&x->torn, 1);
        }
        batch_unref(batch);
        atomic_fetch_add(&x->reads[reader->index], 1);
    }
    return NULL;
}

static bool all_readers_have_read(struct exchange *x)
{
    for (size_t i = 0; i < N_READERS; i++) {
        if (atomic_load(&x->reads[i]) < READS_NEEDED)
            return false;
    }
    return true;
}

static void test_readers_never_see_reuse(void **state)
{
    struct batch_pool *pool;
    struct exchange x = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct reader readers[N_READERS];

    assert_int_equal(batch_pool_new(&pool), 0);
    for (unsigned i = 0; i < N_READERS; i++) {
        readers[i] = (struct reader){.exchange = &x, .index = i};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_batches, &readers[i]), 0);
    }
    for (uint64_t seq = 1; seq <= N_BATCHES || !all_readers_have_read(&x); seq++) {
        struct batch *batch;

        assert_int_equal(batch_new(pool, &batch), 0);
        uint64_t *words = arena_alloc_array(&batch->arena, WORDS, sizeof(*words));
        assert_non_null(words);
        for (size_t i = 0; i < WORDS; i++)
            words[i] = seq;
        batch->seq = seq;
        batch->method = (const char *)words;
        exchange_publish(&x, batch, false);
    }

    /* The owner goes first: readers and the exchange still hold batches. */
    batch_pool_free(pool);
    pthread_mutex_lock(&x.lock);
    x.done = true;
    pthread_mutex_unlock(&x.lock);
    for (unsigned i = 0; i < N_READERS; i++)
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
    exchange_publish(&x, NULL, true);
    assert_int_equal(atomic_load(&x.torn), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_conservation_holds),
        cmocka_unit_test(test_conservation_sees_every_place),
        cmocka_unit_test(test_conservation_does_not_wrap),
        cmocka_unit_test(test_conservation_takes_kinds_apart),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_null_is_fine),
        cmocka_unit_test(test_reuse_takes_no_memory),
        cmocka_unit_test(test_references_count),
        cmocka_unit_test(test_batches_outlive_the_owner),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_readers_never_see_reuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
