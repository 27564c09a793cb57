/* SPDX-License-Identifier: Apache-2.0 */
/* Energy of one machine: opens the sources, reads them when due, keeps one wrap-safe accumulator per domain.
 * Knows nothing of who used the energy. Not thread-safe. */
#ifndef CARNOT_METER_ENERGY_H
#define CARNOT_METER_ENERGY_H

#include "attribution/delta.h"
#include "base/option.h"
#include "meter/energy_thread.h"
#include "model/quantity.h"
#include "sources/power_integral.h"
#include "sources/source.h"

#define ENERGY_SOURCES_MAX 16                        /* the registry's own length is checked against it */
#define ENERGY_MESSAGE_MAX (CARNOT_ERR_MSG_MAX + 96) /* a sentence and its prefix */

/* A silent slow source: after its own pause, so long without a new set. Ten windows of a second. */
#define ENERGY_STALE_NS (10 * NS_PER_SEC)

/* A power that was told counts until the next one is told, at most so many of its source's intervals: "last value, with
 * its age, dropped after a limit". At least ENERGY_STALE_NS, since a service processor that is busy may miss two. */
#define ENERGY_HOLD_INTERVALS 4

/* 56 calls of 100 ms each in one read of a vendor library need 5.6 s; less than any service manager's patience. */
#define ENERGY_CLOSE_WAIT_NS (6 * NS_PER_SEC)

struct energy_source {
    const struct source_ops *ops;
    void *self; /* NULL: not in use, `message` says why */
    int state; /* 0 in use; -errno from probe or open; -EALREADY: a measuring source covers it; -ECANCELED: switched off
                */
    uint32_t first_domain[DOMAINS_MAX]; /* the source's domain i is ours number first_domain[i]; UINT32_MAX: not used */
    uint64_t last_read_ns;              /* monotonic, 0 before the first */
    uint64_t not_before_ns;             /* back-off after failures */
    unsigned failures;                  /* in a row */
    struct energy_thread *thread;       /* a slow source's, between energy_start() and energy_close() */
    uint64_t answer_ns;                 /* monotonic: when its newest set was complete; before the first, the start */
    uint64_t stale_ns;                  /* monotonic: with no other set until then it counts as silent */
    bool stale;
    uint64_t reads, errors, read_ns, last_success_real_ns;
    int64_t crosscheck_ppm; /* as a second way: what it tells less what the first one tells, of the domain that differs
                               most, in parts per million; INT64_MIN: not known */
    char message[ENERGY_MESSAGE_MAX];
};

struct energy_witness;
/* A reading as the hardware gave it, for comparing with another run of the program (meter/lifetime.h). */
struct energy_mark {
    bool known;
    uint64_t counter_uj, modulus_uj, mono_ns;
};

struct energy_domain {
    struct domain domain;
    struct delta delta;
    int status;
    struct energy_mark first, last; /* good readings of this run; `last` is forgotten with the delta's baseline */
    uint64_t step_uj;               /* since the energy_sample before the last one */
    uint64_t window_uj;             /* since energy_window_reset */
    uint64_t peak_uw;
    uint64_t idle_uw;
    bool idle_calibrated;     /* idle_uw is the calibration's */
    uint64_t last_reading_ns; /* monotonic time of the last good reading; of a held power, until when it was counted */
    uint64_t window_begin_ns; /* of the last good reading in an earlier window; later by what is not known in between */
    struct power_integral held; /* of a source that tells a power (reading.is_power) */
    uint64_t held_until_ns;     /* monotonic: when the last power told is too old */
    uint64_t gaps_seen;         /* delta.gaps when it was told */
};

/* The rest of the host, see energy_rest.c. */
struct energy_rest {
    bool in_use;
    uint32_t index, outer; /* our domain's number, and the host's */
    struct domain_rest parts;
    uint64_t unmatched_uj; /* parts' energy since the host's meter last told something */
    uint64_t owed_uj;      /* by which the parts exceeded the host so far */
    uint64_t excess_uj;    /* given up */
    uint64_t irregular;    /* gaps and resets of the host seen */
    bool counted;          /* the host's meter was counted when the last window ended */
    uint64_t window_ns;    /* monotonic: when that was; 0: there was none */
};

struct energy {
    const struct carnot_env *env;
    struct energy_source sources[ENERGY_SOURCES_MAX];
    size_t n_sources;
    struct energy_domain *domains;
    size_t n_domains;
    struct energy_rest rest;
    struct energy_witness *witness;           /* NULL: there is no second way */
    struct reading *readings;                 /* room for DOMAINS_MAX */
    struct carnot_now sampled;                /* begin of the last energy_sample */
    const struct calibration *calibration;    /* in use; NULL: none, or not fit for what was found */
    char calibration_why[CARNOT_ERR_MSG_MAX]; /* it is not; "" */
};

/* Probes and opens in the registry's order; `off` names sources that are not wanted, a non-empty `only` the only ones
 * that are. A model gives only the kinds of domain that nothing measures. -ENODEV with a sentence when no domain at all
 * was found. */
int energy_open(const struct carnot_env *env, const struct topology *topology, const struct option_list *only,
                const struct option_list *off, struct energy *ret_energy, struct carnot_err *err);
/* The same with a calibration of this machine (NULL: none), which must outlive `energy`; `file` is for messages. Models
 * take their powers from it, measured domains of which no source tells the idle power get that. Where the measured
 * domains are not those of the calibration it is not used at all, and calibration_why says so. */
int energy_open_calibrated(const struct carnot_env *env, const struct topology *topology,
                           const struct option_list *only, const struct option_list *off,
                           const struct calibration *calibration, const char *file, struct energy *ret_energy,
                           struct carnot_err *err);
/* Starts a thread for each slow source, with the rights that we have now; before that, these give nothing. A thread
 * that cannot be started is that source's failure. */
void energy_start(struct energy *energy);
/* Waits up to ENERGY_CLOSE_WAIT_NS for a slow source's read in progress; one that hangs longer is left behind. */
void energy_close(struct energy *energy);

/* Reads the sources that are due. `at_tick`: the end of a window, so those with a long minimum interval are read too.
 * Of slow sources what their threads have read since is taken, each set once; nothing is waited for. A slow source
 * without an answer for ENERGY_STALE_NS has the status -ESTALE until the next one. */
void energy_sample(struct energy *energy, bool at_tick);

/* Time covered by the window's energy of a domain: from the last reading of the window before to the last one of this,
 * less the time before a first reading or one after a gap. 0: no reading. */
uint64_t energy_window_span_ns(const struct energy_domain *domain);
void energy_window_reset(struct energy *energy);

/* energy_rest.c. Adds the rest as a domain, where there is a host and something inside it is known; at the end of a
 * window its energy; what it is made of as a line of text. */
void energy_rest_add(struct energy *energy);
void energy_rest_window(struct energy *energy);
void energy_rest_describe(const struct energy *energy, struct buf *out);

/* energy_witness.c. Opens `source`, another way to what `against` reads, to be compared with it; false when it cannot
 * be opened or there is a witness already. */
bool energy_witness_open(struct energy *energy, const struct topology *topology, struct energy_source *source,
                         const char *against);
void energy_witness_tick(struct energy *energy);
void energy_witness_rebase(struct energy *energy);
void energy_witness_close(struct energy *energy);

/* After a suspend: sources forget their baselines; what was drawn meanwhile is a gap. */
void energy_rebase(struct energy *energy);

#endif
