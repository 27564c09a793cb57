/* SPDX-License-Identifier: Apache-2.0 */
/* Energy counters read up to a thousand times a second, on a grid of absolute deadlines.
 *
 * Each source is read by a thread of its own; where a source can be asked for one package alone (perf events,
 * registers) there is a thread per package that stays on its CPUs, since a reading from afar interrupts a CPU there
 * (some 17 us). A reading thread does nothing but wait, read and put raw counters into a ring; turning them into rows
 * (wraps, power) is the consumer's time, burst_next().
 *
 * open, start, stop and close come from one thread; burst_next from one thread at a time. */
#ifndef CARNOT_METER_BURST_H
#define CARNOT_METER_BURST_H

#include "base/histogram.h"
#include "meter/energy.h"

#define BURST_RATE_MAX    1000 /* processors update their counters about once a millisecond */
#define BURST_SPAN_AUTO   UINT64_MAX
#define BURST_SPAN_MAX    NS_PER_SEC /* what update_grid remembers at BURST_RATE_MAX */
#define BURST_SAMPLES_MIN 16
#define BURST_SAMPLES_MAX (1U << 20) /* 17 minutes at 1 kHz; 0.2 GB with six domains */

/* A packages' worth of readers and the other sources'. */
#define BURST_READERS_MAX 32

struct burst_settings {
    uint64_t rate_hz;                     /* 1 to BURST_RATE_MAX; lowered to what the fastest source gives */
    uint64_t max_samples;                 /* room between reading and writing; the rings hold no more */
    uint64_t span_ns;                     /* least time that a power is taken over; BURST_SPAN_AUTO */
    bool model;                           /* a modelled source will do where nothing can be measured */
    const struct option_list *only, *off; /* sources; NULL: all, none */
};

struct burst;

/* Opens the fast sources. -EINVAL for a rate out of bounds; -ENODEV when nothing can be read fast, -EACCES/-EPERM when
 * it may not; all with the sentence. */
int burst_open(const struct carnot_env *env, const struct burst_settings *settings, struct burst **ret_burst,
               struct carnot_err *err);
struct burst *burst_close(struct burst *burst); /* stops it too; NULL-safe, returns NULL */

/* Starts the threads and returns when each has its first sample. */
int burst_start(struct burst *burst, struct carnot_err *err);
/* Each thread takes a last sample at once and ends. The rows that are left can still be taken. */
void burst_stop(struct burst *burst);

uint64_t burst_rate_hz(const struct burst *burst);
/* Of the machine, `in_total` marked. Valid until close. */
size_t burst_domains(const struct burst *burst, const struct domain **ret_domains);
uint64_t burst_span_ns(const struct burst *burst, size_t domain);

/* One domain in one row. */
struct burst_cell {
    bool read;                  /* there was a good reading; all below holds only then */
    bool changed;               /* the counter moved since the reading before */
    bool has_power;             /* changed, and an earlier change is a span away */
    bool has_raw;               /* of one counter alone, not a sum */
    uint64_t energy_uj;         /* since the first row, wraps included */
    uint64_t power_uw;          /* mean since from_ns */
    uint64_t from_ns, since_ns; /* as in update_grid.h */
    uint64_t raw_uj, modulus_uj;
};

struct burst_row {
    uint64_t tick;    /* deadlines since the first; a number that is left out was missed or found the ring full */
    uint64_t mono_ns; /* of the first reading in it */
    bool last;
    const struct burst_cell *cells; /* [n_domains], until the next call */
};

/* The next row if it is complete: true. After burst_stop() false means the end. */
bool burst_next(struct burst *burst, struct burst_row *ret_row);

/* What the rows so far say of a domain. */
struct burst_domain_report {
    uint64_t energy_uj, peak_uw;
    uint64_t first_ns, last_ns; /* of its readings */
    uint64_t readings, changes, failed;
    uint64_t wraps, gaps, resets, absurd;
};
struct burst_domain_report burst_domain_report(const struct burst *burst, size_t domain);

/* How the threads fared. Valid after burst_stop(). */
struct burst_report {
    unsigned n_readers, n_fifo, n_locked, n_pinned;
    uint64_t samples, missed, overruns;
    uint64_t cpu_ns;                  /* of all reading threads */
    struct histogram late;            /* ns from the deadline to the begin of the reading */
    struct histogram took;            /* ns that a reading takes */
    int fifo_errno;                   /* why not all have real-time priority */
    char message[CARNOT_ERR_MSG_MAX]; /* the first failed reading's; "" */
};
void burst_report(const struct burst *burst, struct burst_report *ret_report);

/* "4 threads, SCHED_FIFO, timer slack 1 ns, memory locked, one pinned to each package" */
void burst_report_scheduling(const struct burst_report *report, struct buf *out);

/* When tick number `tick` is due: start + tick / rate, so that no rounding adds up. */
uint64_t burst_deadline_ns(uint64_t start_ns, uint64_t rate_hz, uint64_t tick);
/* The next multiple of `every` after `tick` whose turn is not over at now_ns. */
uint64_t burst_next_tick(uint64_t start_ns, uint64_t rate_hz, uint64_t every, uint64_t tick, uint64_t now_ns);

#endif
