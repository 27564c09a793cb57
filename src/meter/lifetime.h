/* SPDX-License-Identifier: Apache-2.0 */
/* Energy of each domain over all runs of the program: what earlier runs counted, what this one counted, and what was
 * used in between where that can be proven (METHODS.md section 12). Knows no file: the agent keeps the text.
 *
 * Invariant: a total never goes back and is never more than what was used. What cannot be proven is not guessed: the
 * total is then a lower bound, and `gaps` counts it. */
#ifndef CARNOT_METER_LIFETIME_H
#define CARNOT_METER_LIFETIME_H

#include "base/buf.h"
#include "base/parse.h"
#include "meter/energy.h"

/* This run's domains, and as many of earlier runs that are not there now (a GPU whose driver is not loaded yet). */
#define LIFETIME_RECORDS_MAX ((size_t)2 * DOMAINS_MAX)

#define LIFETIME_WORD_MAX 48           /* a source's or a group's name; ours are below 20 */
#define LIFETIME_ID_MAX   64           /* boot id (36), machine id (32) */
#define LIFETIME_TEXT_MAX (256U << 10) /* LIFETIME_RECORDS_MAX lines of the longest fields */

/* A total beyond this (146,000 years at 2 MW) is no energy but a damaged file; below it sums cannot overflow. */
#define LIFETIME_TOTAL_MAX_UJ (UINT64_MAX / 2)

/* A counter as it was last read, with both clocks: their difference tells a suspend. */
struct lifetime_mark {
    bool known;
    uint64_t counter_uj, modulus_uj;
    uint64_t boot_ns, mono_ns;
};

/* One domain. Told apart by name and origin: the three ways to RAPL are one origin, so that a total goes on when the
 * way changes; a model and a measurement of one region are two. */
struct lifetime_record {
    char name[DOMAIN_NAME_MAX];
    char origin[LIFETIME_WORD_MAX]; /* the source's group, or its name */
    char source[LIFETIME_WORD_MAX]; /* by which the mark was read */
    char address[DOMAIN_ADDRESS_MAX];
    uint64_t total_uj;
    uint64_t bridged_uj;    /* part of the total that was used between two runs: in no window, nobody's */
    uint64_t gaps;          /* times between two runs of which nothing is known */
    uint64_t since_real_ns; /* when counting began */
    struct lifetime_mark last;
};

struct lifetime_state {
    char machine[LIFETIME_ID_MAX]; /* "" where the machine does not tell */
    char boot[LIFETIME_ID_MAX];    /* the marks are of this boot */
    uint64_t saved_real_ns;
    size_t n;
    struct lifetime_record records[LIFETIME_RECORDS_MAX];
};

/* --- as text (lifetime_text.c): pure ---------------------------------------------------------------------------- */

/* Appends the state, one line per record, a checksum at the end. Records whose names do not fit the form (a blank or a
 * control character) are left out. */
void lifetime_format(const struct lifetime_state *state, struct buf *out);

/* -EPROTO with the reason when it is anything but a whole text of ours: cut short, changed, of another version. The
 * sentence does not name the file. */
int lifetime_parse(struct text text, struct lifetime_state *ret_state, struct carnot_err *err);

/* --- of a running meter ----------------------------------------------------------------------------------------- */

struct lifetime_domain {
    uint64_t base_uj; /* counted before this run, what was bridged included */
    uint64_t bridged_uj, gaps, since_real_ns;
    struct lifetime_mark earlier; /* pending: to be compared with this run's first reading, which has not come yet */
    bool pending;
    uint64_t handed_uj, handed_bridged_uj; /* in the last lifetime_save */
    uint64_t kept_uj, kept_bridged_uj;     /* known to be safe: what the metric shows */
};

struct lifetime {
    bool kept; /* a state was restored, and is saved from time to time */
    size_t n_pending;
    uint64_t kept_real_ns, handed_real_ns;
    struct lifetime_domain domains[DOMAINS_MAX];
    struct lifetime_state *rest; /* records of domains that are not there in this run; NULL: none */
};

/* Counting begins now; n_domains of `energy` are final. */
void lifetime_begin(struct lifetime *lifetime, const struct energy *energy, const struct carnot_now *now);

/* Goes on from an earlier run's state; at most once, at any time after lifetime_begin. `boot` is the id of this boot:
 * marks of another are forgotten. The state is copied. -ENOMEM. */
int lifetime_restore(struct lifetime *lifetime, const struct energy *energy, const struct lifetime_state *state,
                     const char *boot, const struct carnot_now *now);

/* After new readings: takes up counters whose first reading has come. Cheap when none is awaited. */
void lifetime_update(struct lifetime *lifetime, const struct energy *energy, const struct carnot_now *now);

uint64_t lifetime_total_uj(const struct lifetime *lifetime, const struct energy *energy, size_t domain);

/* The records as of now; `machine` and `boot` are the caller's to fill. */
void lifetime_save(struct lifetime *lifetime, const struct energy *energy, const struct carnot_now *now,
                   struct lifetime_state *out);

/* What the last lifetime_save gave is on the disk now. */
void lifetime_confirm(struct lifetime *lifetime, size_t n_domains);

void lifetime_done(struct lifetime *lifetime);

#endif
