/* SPDX-License-Identifier: Apache-2.0 */
/* A power over time as lines of text: filled columns of block characters, or of ASCII. Each column shows the highest
 * power in its time. Knows no terminal: the caller says how wide it is and what it can show. */
#ifndef CARNOT_CLI_TERM_PLOT_H
#define CARNOT_CLI_TERM_PLOT_H

#include "base/buf.h"
#include "cli/plot_series.h"

struct term_plot {
    unsigned width, height; /* in characters, without the scale at the left */
    uint64_t end_ns;        /* right end */
    uint64_t top_uw;        /* what fills a column; more is cut there */
    bool utf8;
};

/* Appends `height` lines and the time axis. */
void term_plot(const struct plot_series *series, const struct term_plot *plot, struct buf *out);

#endif
