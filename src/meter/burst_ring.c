/* SPDX-License-Identifier: Apache-2.0 */
/* See burst_ring.h. Both ends count what went through; the difference is what is there. */
#include "meter/burst_ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int burst_ring_init(struct burst_ring *ring, size_t n_values, size_t capacity, struct carnot_err *err)
{
    size_t stride = sizeof(struct burst_sample) + n_values * sizeof(struct burst_value);
    size_t n_slots, bytes;
    void *slots = MAP_FAILED;

    if (capacity > 0 && !__builtin_add_overflow(capacity, 1, &n_slots) &&
        !__builtin_mul_overflow(stride, n_slots, &bytes))
        slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (slots == MAP_FAILED)
        return carnot_err_set(err, ENOMEM, "no memory for %zu samples of %zu bytes: ask for fewer with --max-samples",
                              capacity, stride);
    *ring = (struct burst_ring){.slots = slots, .stride = stride, .n_slots = n_slots, .bytes = bytes};
    /* A command that is forked meanwhile must not share these pages: the next write to each would copy it. */
    madvise(slots, bytes, MADV_DONTFORK);
    ring->locked = mlock(slots, bytes) == 0;
    memset(slots, 0, bytes);
    return 0;
}

void burst_ring_done(struct burst_ring *ring)
{
    if (ring->slots)
        munmap(ring->slots, ring->bytes);
    ring->slots = NULL;
}

static struct burst_sample *slot(const struct burst_ring *ring, size_t number)
{
    return (struct burst_sample *)(void *)(ring->slots + number % ring->n_slots * ring->stride);
}

struct burst_sample *burst_ring_begin(struct burst_ring *ring, bool last)
{
    size_t pushed = atomic_load_explicit(&ring->n_pushed, memory_order_relaxed);
    size_t popped = atomic_load_explicit(&ring->n_popped, memory_order_acquire);

    if (pushed - popped < ring->n_slots - (last ? 0 : 1))
        return slot(ring, pushed);
    atomic_fetch_add_explicit(&ring->n_overruns, 1, memory_order_relaxed);
    return NULL;
}

void burst_ring_push(struct burst_ring *ring)
{
    size_t pushed = atomic_load_explicit(&ring->n_pushed, memory_order_relaxed);

    atomic_store_explicit(&ring->n_pushed, pushed + 1, memory_order_release);
}

const struct burst_sample *burst_ring_peek(const struct burst_ring *ring)
{
    size_t popped = atomic_load_explicit(&ring->n_popped, memory_order_relaxed);

    return atomic_load_explicit(&ring->n_pushed, memory_order_acquire) == popped ? NULL : slot(ring, popped);
}

void burst_ring_pop(struct burst_ring *ring)
{
    size_t popped = atomic_load_explicit(&ring->n_popped, memory_order_relaxed);

    atomic_store_explicit(&ring->n_popped, popped + 1, memory_order_release);
}

uint64_t burst_ring_overruns(const struct burst_ring *ring)
{
    return atomic_load_explicit(&ring->n_overruns, memory_order_relaxed);
}
