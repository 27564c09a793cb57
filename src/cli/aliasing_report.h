/* SPDX-License-Identifier: Apache-2.0 */
/* The aliasing demo's findings as text, JSON and SVG. Writes what was computed and nothing else. */
#ifndef CARNOT_CLI_ALIASING_REPORT_H
#define CARNOT_CLI_ALIASING_REPORT_H

#include "cli/aliasing.h"
#include "cli/text.h"
#include "model/domain.h"

/* One counter of this machine over whole intervals of the poller. */
struct aliasing_domain {
    const struct domain *domain;
    uint64_t modulus_uj;           /* 0: unknown */
    uint64_t exact_uj, wraps;      /* by our readings */
    struct aliasing_poller poller; /* of the counter as it is */
    struct aliasing_poller masked; /* of the counter cut to 32 bits */
};

struct aliasing_report {
    bool simulated;
    const char *why_simulated; /* NULL: asked for */
    uint64_t poll_interval_ns, our_interval_ns;
    uint64_t compared_ns; /* from the poller's first reading to its last */

    const struct aliasing_case *cases; /* simulated */
    const struct aliasing_result *results;
    size_t n_cases;
    const struct aliasing_domain *domains; /* measured */
    size_t n_domains;

    /* The load in bursts, as both see it. */
    struct aliasing_load load; /* powers 0 where they are not known beforehand */
    unsigned load_threads;     /* measured only */
    const struct plot_series *ours, *polled;
    uint64_t mean_uw, shown_ns; /* exact mean; length of the series */
};

#define ALIASING_REPORT_MAX (1U << 20)

/* 0 or the buffer's error. `width`: of the terminal, 0: unknown. */
int aliasing_report_text(const struct aliasing_report *report, unsigned width, struct text_style style,
                         struct buf *out);
int aliasing_report_json(const struct aliasing_report *report, struct buf *out);
int aliasing_report_svg(const struct aliasing_report *report, struct buf *out);

#endif
