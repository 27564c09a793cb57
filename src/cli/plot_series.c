/* SPDX-License-Identifier: Apache-2.0 */
/* See plot_series.h. */
#include "cli/plot_series.h"

#include <string.h>

void plot_series_init(struct plot_series *series, uint64_t column_ns)
{
    *series = (struct plot_series){.column_ns = max_u64(column_ns, 1)};
}

static void widen(struct plot_column *column, uint64_t low_uw, uint64_t high_uw)
{
    column->low_uw = column->used ? min_u64(column->low_uw, low_uw) : low_uw;
    column->high_uw = column->used ? max_u64(column->high_uw, high_uw) : high_uw;
    column->used = true;
}

static void join_neighbours(struct plot_series *series)
{
    for (size_t i = 0; i < PLOT_COLUMNS; i++) {
        struct plot_column from = series->columns[i];
        series->columns[i].used = false;
        if (from.used)
            widen(&series->columns[i / 2], from.low_uw, from.high_uw);
    }
    series->column_ns *= 2;
    series->n_columns = (series->n_columns + 1) / 2;
}

void plot_series_add(struct plot_series *series, uint64_t begin_ns, uint64_t end_ns, uint64_t power_uw)
{
    if (end_ns <= begin_ns)
        return;
    while ((end_ns - 1) / series->column_ns >= PLOT_COLUMNS)
        join_neighbours(series);
    size_t last = (end_ns - 1) / series->column_ns;
    for (size_t i = begin_ns / series->column_ns; i <= last; i++)
        widen(&series->columns[i], power_uw, power_uw);
    series->n_columns = series->n_columns > last ? series->n_columns : last + 1;
}

bool plot_series_range(const struct plot_series *series, uint64_t begin_ns, uint64_t end_ns, uint64_t *ret_low_uw,
                       uint64_t *ret_high_uw)
{
    struct plot_column all = {0};

    if (end_ns <= begin_ns)
        return false;
    for (size_t i = begin_ns / series->column_ns; i < series->n_columns && i <= (end_ns - 1) / series->column_ns; i++)
        if (series->columns[i].used)
            widen(&all, series->columns[i].low_uw, series->columns[i].high_uw);
    if (!all.used)
        return false;
    *ret_low_uw = all.low_uw;
    *ret_high_uw = all.high_uw;
    return true;
}

uint64_t plot_series_end_ns(const struct plot_series *series)
{
    return series->n_columns * series->column_ns;
}
