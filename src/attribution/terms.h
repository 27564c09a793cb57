/* SPDX-License-Identifier: Apache-2.0 */
/* From what cells did to the terms of a linear model of power: energy = sum over terms of (joules per unit) x (units).
 * Knows the shape that physics gives the terms; does not know the joules per unit, beyond a first guess. */
#ifndef CARNOT_ATTRIBUTION_TERMS_H
#define CARNOT_ATTRIBUTION_TERMS_H

#include "attribution/linalg_small.h"
#include "attribution/method_internal.h"

enum term {
    TERM_IDLE,        /* s of window: what is drawn with nobody there. Always the first of a set */
    TERM_PRESENT,     /* s: the package is awake (uncore, caches, memory controller) */
    TERM_CORE,        /* s a core is on, shared by the hyperthreads that are on */
    TERM_CLOCK,       /* 10^9 cycles of a core that is on, at V^2, shared likewise */
    TERM_THREAD,      /* s of a hyperthread: stands for instructions where they are not counted */
    TERM_INSTRUCTION, /* 10^9 at V^2 */
    TERM_LOCAL,       /* 10^6 misses */
    TERM_REMOTE,      /* 10^6 misses */
    TERM_NODE,        /* memory: 10^6 misses that the node served */
    TERMS,
};

extern const char *const term_names[TERMS], *const term_units[TERMS];

struct term_set {
    size_t n;
    enum term term[LINALG_MAX];
};

/* The terms for which this window has what they need; n == 0: not even time on cores is known. */
struct term_set term_set_of(const struct method_window *window);
bool term_set_same(const struct term_set *a, const struct term_set *b);

/* First guesses, in uJ per unit: right within a factor of a few for any machine, and kept in those directions of which
 * the machine tells nothing. */
void term_set_guess(const struct term_set *set, const struct method_window *window, double *ret_uj_per_unit);

/* Terms of this window. Groups and cells point to the caller's. */
struct terms {
    const struct method_window *window;
    const struct term_set *set;
    double voltage_slope;
    const double *group_rate; /* present time per on-CPU time of each group; NULL: one rate for all */
    double rate;              /* present time per time on cores */
    double total[LINALG_MAX]; /* of the whole domain, idle included */
};

/* Sums all cells up. `groups` holds the groups' rates as long as `ret` is used. */
void terms_start(struct terms *ret, const struct method_window *window, const struct term_set *set,
                 double voltage_slope, struct group_sums *groups);

/* What cell i adds to each term; 0 for idle. */
void terms_of_cell(const struct terms *terms, size_t i, double *ret_units);

#endif
