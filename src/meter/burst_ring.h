/* SPDX-License-Identifier: Apache-2.0 */
/* Samples on their way from a reading thread to the one that writes them down: a ring of fixed size, one producer, one
 * consumer, no lock, no call. Memory is taken, touched and, where permitted, locked before the first sample, so that
 * the producer never waits for a page. A sample that finds the ring full is counted, never lost in silence. */
#ifndef CARNOT_METER_BURST_RING_H
#define CARNOT_METER_BURST_RING_H

#include <stdatomic.h>

#include "base/err.h"

/* One domain's counter in a sample, as the source gave it. */
struct burst_value {
    uint64_t counter_uj, modulus_uj, mono_ns;
    int32_t status;
    bool gap;
};

struct burst_sample {
    uint64_t tick;    /* which deadline it answers */
    uint64_t mono_ns; /* taken beside the reading */
    struct burst_value values[];
};

struct burst_ring {
    unsigned char *slots;
    size_t stride, n_slots, bytes;
    bool locked;                         /* in memory: no page of it can be missing */
    _Alignas(64) atomic_size_t n_pushed; /* the producer's */
    atomic_uint_least64_t n_overruns;
    _Alignas(64) atomic_size_t n_popped; /* the consumer's */
};

/* -ENOMEM with a sentence. */
int burst_ring_init(struct burst_ring *ring, size_t n_values, size_t capacity, struct carnot_err *err);
void burst_ring_done(struct burst_ring *ring);

/* Producer: room for the next sample, NULL when the ring is full, which is counted; then hands it over. There is always
 * room for one `last` sample: it brings the energy of those that found none. */
struct burst_sample *burst_ring_begin(struct burst_ring *ring, bool last);
void burst_ring_push(struct burst_ring *ring);

/* Consumer: the oldest sample, NULL when there is none; then gives its room back. */
const struct burst_sample *burst_ring_peek(const struct burst_ring *ring);
void burst_ring_pop(struct burst_ring *ring);

uint64_t burst_ring_overruns(const struct burst_ring *ring);

#endif
