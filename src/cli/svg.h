/* SPDX-License-Identifier: Apache-2.0 */
/* One kind of picture: powers over time as SVG 1.1, with axes, ticks, a legend and a title. No script, no style from
 * elsewhere, nothing that a viewer would have to fetch. Knows series, no source of them. */
#ifndef CARNOT_CLI_SVG_H
#define CARNOT_CLI_SVG_H

#include "base/buf.h"
#include "cli/plot_series.h"

#define SVG_BYTES_MAX (64U << 20) /* 128 series of 2048 columns at most 40 bytes each, six times over */

struct svg_series {
    const char *name;
    const struct plot_series *series;
};

struct svg_plot {
    const char *title, *subtitle; /* any text: cleaned and escaped here */
    const struct svg_series *series;
    size_t n_series;
    uint64_t end_ns; /* right end of the time axis */
};

/* Appends the whole document. 0 or the buffer's error. */
int svg_write(const struct svg_plot *plot, struct buf *out);

/* Appends text as XML character data: & < > " ' escaped, control characters and broken UTF-8 replaced. */
void svg_put_text(struct buf *out, const char *text);

/* The step 1, 2 or 5 times a power of ten that divides `range` into at most `parts` parts. At least 1. */
uint64_t svg_tick_step(uint64_t range, unsigned parts);

#endif
