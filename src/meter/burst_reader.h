/* SPDX-License-Identifier: Apache-2.0 */
/* The reading threads of a burst, and what they share with its rows. Inside of meter/burst*.c only. */
#ifndef CARNOT_METER_BURST_READER_H
#define CARNOT_METER_BURST_READER_H

#include <pthread.h>
#include <semaphore.h>

#include "attribution/delta.h"
#include "attribution/update_grid.h"
#include "meter/burst.h"
#include "meter/burst_ring.h"

/* The last sample is on no deadline; nothing comes after it. */
#define BURST_TICK_LAST (UINT64_MAX - 1)
#define BURST_TICK_END  UINT64_MAX

struct burst_reader {
    const struct source_ops *ops;
    void *self;
    bool own_self; /* opened for one package, closed by us */
    struct carnot_clock *clock;
    struct topology topology;         /* of that package alone; cpus NULL: none */
    const struct topology *pinned_to; /* its CPUs are where the thread runs; NULL: anywhere */
    size_t n_values;                  /* domains of this source */
    uint32_t domain_of[DOMAINS_MAX];  /* value -> the burst's domain, UINT32_MAX: not used */
    struct delta deltas[DOMAINS_MAX]; /* the consumer's */
    uint64_t start_ns, rate_hz, every;

    struct burst_ring ring;
    atomic_uint_least64_t next_tick; /* no sample before this one will come any more */
    struct reading *readings;        /* [DOMAINS_MAX] */
    sem_t stop, ready;
    pthread_t id;
    bool has_semaphores, running;

    /* The thread's until it has ended. */
    uint64_t samples, missed, cpu_ns;
    struct histogram late, took;
    bool pinned;
    int fifo_errno; /* 0: real-time priority */
    struct carnot_err err;
};

struct burst_domain {
    size_t n_parts;
    bool touched; /* in the row that is being made */
    bool broken;
    uint64_t row_ns;
    struct update_grid grid;
    struct burst_domain_report report;
};

struct burst {
    const struct carnot_env *env;
    struct topology topology;
    struct energy energy; /* opened the sources; is not sampled */
    uint64_t rate_hz, max_samples;
    size_t n_domains;
    struct domain *domains;      /* [n_domains] */
    struct burst_domain *states; /* [n_domains] */
    struct burst_cell *cells;    /* [n_domains] */
    struct burst_reader *readers[BURST_READERS_MAX];
    size_t n_readers;
    uint64_t last_row_ns;
};

/* A reader of `self` without memory of its own yet. NULL: out of memory. */
struct burst_reader *burst_reader_new(const struct source_ops *ops, void *self, struct carnot_clock *clock);
struct burst_reader *burst_reader_free(struct burst_reader *reader); /* after its thread has ended; NULL-safe */

/* Takes all memory that reading needs, and reads once. */
int burst_reader_prepare(struct burst_reader *reader, size_t capacity, struct carnot_err *err);
int burst_reader_start(struct burst_reader *reader, uint64_t start_ns, struct carnot_err *err);
void burst_reader_await_first(struct burst_reader *reader);
void burst_reader_ask_stop(struct burst_reader *reader);
void burst_reader_join(struct burst_reader *reader);

#endif
