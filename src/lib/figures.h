/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's answer to "process" about the process that asks, as numbers. Pure; the text is a stranger's. */
#ifndef CARNOT_LIB_FIGURES_H
#define CARNOT_LIB_FIGURES_H

#include "base/err.h"
#include "base/parse.h"
#include "model/domain.h"

struct figures_domain {
    char name[DOMAIN_NAME_MAX];
    char kind[32];
    enum quality quality;
    bool in_total;
};

struct figures {
    char epoch[40];                             /* of one run of the agent: counters of another do not go on */
    uint64_t quantum_uj;                        /* energies are cut to multiples of it; 0: exact */
    uint64_t slot_ns, end_mono_ns, window_ns;   /* the newest slot ended then; its last window was so long */
    size_t n_domains;                           /* at most DOMAINS_MAX */
    struct figures_domain domains[DOMAINS_MAX]; /* unique names */
    bool seen;                                  /* the agent knows the process; else all below is 0 */
    uint32_t id;                                /* another one: counters began anew */
    uint64_t cpu_ns, window_cpu_ns;             /* since first seen; in the window */
    uint64_t energy_uj[DOMAINS_MAX], window_uj[DOMAINS_MAX];
};

/* -EPROTO with a sentence for anything that is no such answer, -EAGAIN when the agent has no figures yet, or another
 * code of an error that it answers with; the output may then be half written. Of several units (one pid used twice) the
 * living, newest one is taken. */
int figures_parse(struct text answer, struct figures *out, struct carnot_err *err);

#endif
