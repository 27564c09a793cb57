/* SPDX-License-Identifier: Apache-2.0 */
/* A power over time of any length in fixed memory, for plots: the smallest and the largest value in each of a fixed
 * number of columns, so that no peak is lost; when time runs over the last column, neighbours are joined. Knows no
 * picture. */
#ifndef CARNOT_CLI_PLOT_SERIES_H
#define CARNOT_CLI_PLOT_SERIES_H

#include "base/util.h"

#define PLOT_COLUMNS 2048 /* two for each pixel of a wide plot, so that at least one is left after joining */

struct plot_column {
    bool used;
    uint64_t low_uw, high_uw;
};

struct plot_series {
    uint64_t column_ns; /* width of a column, doubled when needed */
    size_t n_columns;   /* up to the last used one */
    struct plot_column columns[PLOT_COLUMNS];
};

/* `column_ns`: the width to begin with, at least 1. */
void plot_series_init(struct plot_series *series, uint64_t column_ns);

/* The value held from begin_ns to end_ns, both since the plot's start; end > begin. */
void plot_series_add(struct plot_series *series, uint64_t begin_ns, uint64_t end_ns, uint64_t power_uw);

/* Smallest and largest between two times; false when nothing is known there. */
bool plot_series_range(const struct plot_series *series, uint64_t begin_ns, uint64_t end_ns, uint64_t *ret_low_uw,
                       uint64_t *ret_high_uw);

uint64_t plot_series_end_ns(const struct plot_series *series);

#endif
