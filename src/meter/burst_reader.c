/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that reads one source on a grid of deadlines. In its loop it waits, reads the clock, reads the source and
 * writes into its ring: no allocation, no lock, no other call into the kernel. */
#include "meter/burst_reader.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "model/quantity.h"

/* Above every ordinary thread, below whatever somebody else made real-time on purpose. */
#define FIFO_PRIORITY 1

/* Without real-time priority the kernel may let a timer come this much late to spare a wake-up (50 us by default). */
#define TIMER_SLACK_NS 1

#define THREAD_NAME "burst"

uint64_t burst_deadline_ns(uint64_t start_ns, uint64_t rate_hz, uint64_t tick)
{
    return start_ns + muldiv_u64(tick, NS_PER_SEC, rate_hz);
}

uint64_t burst_next_tick(uint64_t start_ns, uint64_t rate_hz, uint64_t every, uint64_t tick, uint64_t now_ns)
{
    uint64_t turn = now_ns > start_ns ? muldiv_u64(now_ns - start_ns, rate_hz, NS_PER_SEC) : 0;

    return max_u64(tick + every, turn - turn % every);
}

struct burst_reader *burst_reader_new(const struct source_ops *ops, void *self, struct carnot_clock *clock)
{
    struct burst_reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return NULL;
    reader->ops = ops;
    reader->self = self;
    reader->clock = clock;
    reader->readings = calloc(DOMAINS_MAX, sizeof(*reader->readings));
    if (!reader->readings)
        return burst_reader_free(reader);
    return reader;
}

struct burst_reader *burst_reader_free(struct burst_reader *reader)
{
    if (!reader)
        return NULL;
    if (reader->own_self)
        reader->ops->close(reader->self);
    if (reader->has_semaphores) {
        sem_destroy(&reader->stop);
        sem_destroy(&reader->ready);
    }
    burst_ring_done(&reader->ring);
    free(reader->topology.cpus);
    free(reader->readings);
    free(reader);
    return NULL;
}

/* --- the thread's side ------------------------------------------------------------------------------------------ */

static bool pin(const struct topology *topology)
{
    cpu_set_t *set = CPU_ALLOC(topology->n_cpus);
    size_t size = CPU_ALLOC_SIZE(topology->n_cpus);
    bool pinned;

    if (!set)
        return false;
    CPU_ZERO_S(size, set);
    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++)
        if (topology->cpus[cpu].online)
            CPU_SET_S(cpu, size, set);
    pinned = sched_setaffinity(0, size, set) == 0;
    CPU_FREE(set);
    return pinned;
}

/* What helps to be in time, as far as it is permitted; what is not costs precision, no figure. */
static void settle_in(struct burst_reader *reader)
{
    struct sched_param param = {.sched_priority = FIFO_PRIORITY};

    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) < 0)
        reader->fifo_errno = errno;
    if (reader->pinned_to)
        reader->pinned = pin(reader->pinned_to);
}

/* True when the thread is to end. */
static bool wait_until(struct burst_reader *reader, uint64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_SEC),
                                .tv_nsec = (long)(deadline_ns % NS_PER_SEC)};
    int r;

    do
        r = sem_clockwait(&reader->stop, CLOCK_MONOTONIC, &deadline);
    while (r < 0 && errno == EINTR);
    return r == 0;
}

/* A source reads its domains one after the other and stamps them all alike. Through a slow file system that takes a
 * good part of a millisecond, so each gets its share of the time that the call took. */
static uint64_t time_of(const struct reading *reading, int i, int n, uint64_t begin_ns, uint64_t took_ns)
{
    if (reading->mono_ns != begin_ns) /* an older one, told again */
        return reading->mono_ns;
    return begin_ns + took_ns * (uint64_t)(2 * i + 1) / (uint64_t)(2 * n);
}

static void keep_readings(struct burst_reader *reader, struct burst_sample *sample, int n, uint64_t took_ns)
{
    for (size_t i = 0; i < reader->n_values; i++)
        sample->values[i] = (struct burst_value){.status = n < 0 ? n : -ENODATA};
    for (int i = 0; i < n; i++) {
        const struct reading *reading = &reader->readings[i];
        if (reading->domain < reader->n_values)
            sample->values[reading->domain] =
                (struct burst_value){.counter_uj = reading->counter_uj,
                                     .modulus_uj = reading->modulus_uj,
                                     .mono_ns = time_of(reading, i, n, sample->mono_ns, took_ns),
                                     .status = reading->status,
                                     .gap = reading->gap};
    }
}

/* Returns the time after it. With the ring full the counter is not read: whatever a source tells only once would be
 * lost. */
static uint64_t take_sample(struct burst_reader *reader, uint64_t tick, uint64_t deadline_ns)
{
    bool last = tick == BURST_TICK_LAST;
    struct burst_sample *sample = burst_ring_begin(&reader->ring, last);
    uint64_t begin_ns = clock_mono_ns(reader->clock);

    if (!last)
        histogram_add(&reader->late, begin_ns > deadline_ns ? begin_ns - deadline_ns : 0);
    if (!sample)
        return begin_ns;
    int n = reader->ops->read(reader->self, begin_ns, reader->readings, reader->err.code ? NULL : &reader->err);
    uint64_t end_ns = clock_mono_ns(reader->clock);
    histogram_add(&reader->took, end_ns - begin_ns);
    sample->tick = tick;
    sample->mono_ns = begin_ns;
    keep_readings(reader, sample, n, end_ns - begin_ns);
    burst_ring_push(&reader->ring);
    reader->samples++;
    return end_ns;
}

static void publish_next(struct burst_reader *reader, uint64_t tick)
{
    atomic_store_explicit(&reader->next_tick, tick, memory_order_release);
}

static void *work(void *arg)
{
    struct burst_reader *reader = arg;
    uint64_t tick = 0, deadline_ns = reader->start_ns;

    settle_in(reader);
    while (!wait_until(reader, deadline_ns)) {
        take_sample(reader, tick, deadline_ns);
        uint64_t next =
            burst_next_tick(reader->start_ns, reader->rate_hz, reader->every, tick, clock_now(reader->clock).mono_ns);
        if (tick == 0)
            sem_post(&reader->ready);
        reader->missed += (next - tick) / reader->every - 1;
        tick = next;
        publish_next(reader, tick);
        deadline_ns = burst_deadline_ns(reader->start_ns, reader->rate_hz, tick);
    }
    take_sample(reader, BURST_TICK_LAST, 0);
    publish_next(reader, BURST_TICK_END);
    reader->cpu_ns = clock_thread_cpu_ns();
    sem_post(&reader->ready); /* should it be asked to end before its first deadline */
    return NULL;
}

/* --- the caller's side ------------------------------------------------------------------------------------------ */

int burst_reader_prepare(struct burst_reader *reader, size_t capacity, struct carnot_err *err)
{
    int r = burst_ring_init(&reader->ring, reader->n_values, capacity, err);

    if (r < 0)
        return r;
    sem_init(&reader->stop, 0, 0);
    sem_init(&reader->ready, 0, 0);
    reader->has_semaphores = true;
    /* What a first call sets up (pages, caches, files) is not to make the first deadline late. */
    reader->ops->read(reader->self, clock_now(reader->clock).mono_ns, reader->readings, NULL);
    return 0;
}

int burst_reader_start(struct burst_reader *reader, uint64_t start_ns, struct carnot_err *err)
{
    sigset_t all, before;
    int r;

    reader->start_ns = start_ns;
    /* The new thread inherits the mask: signals are for those who wait for them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&reader->id, NULL, work, reader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r < 0)
        return carnot_err_errno(err, r, "cannot start the thread that reads %s", reader->ops->name);
    pthread_setname_np(reader->id, THREAD_NAME);
    reader->running = true;
    return 0;
}

void burst_reader_await_first(struct burst_reader *reader)
{
    while (sem_wait(&reader->ready) < 0 && errno == EINTR)
        ;
}

void burst_reader_ask_stop(struct burst_reader *reader)
{
    if (reader->running)
        sem_post(&reader->stop);
}

void burst_reader_join(struct burst_reader *reader)
{
    if (reader->running)
        pthread_join(reader->id, NULL);
    reader->running = false;
}
