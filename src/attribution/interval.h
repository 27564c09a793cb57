/* SPDX-License-Identifier: Apache-2.0 */
/* The 95 % interval of a figure: how wrong the sensor's edges, the alignment of windows and the model make it, and how
 * these errors go together over windows, cells, domains and units. docs/METHODS.md has the formulas ("Intervals").
 *
 * One interval_sum for every figure that is kept (a unit's energy in a domain since it began, a total of units): errors
 * of a sum cannot be had from the errors of its parts, since these are the same errors, or opposite ones. */
#ifndef CARNOT_ATTRIBUTION_INTERVAL_H
#define CARNOT_ATTRIBUTION_INTERVAL_H

#include "attribution/method.h"

/* The counter of a domain. */
struct sensor {
    uint64_t resolution_uj; /* its smallest step */
    uint64_t update_ns;     /* how old what it shows may be, beyond the usual: 1 ms for RAPL */
    uint64_t align_ns;      /* how far apart windows of energy and of activity may end */
};

/* Standard uncertainty of one reading at a power: a step uniform in the resolution; times uniform in +-update, +-align.
 */
double sensor_edge_sigma_uj(const struct sensor *sensor, uint64_t uw);

/* Of the difference of two readings, in whole microjoules: method_window.sensor_uj. */
uint64_t sensor_window_sigma_uj(const struct sensor *sensor, uint64_t energy_uj, uint64_t window_ns);

/* What one window of a domain has in common for all figures. */
struct interval_window {
    uint64_t energy_uj; /* measured */
    double edge_uj;     /* standard uncertainty of the reading that ends it (and, in the first, of that before) */
    bool follows;       /* it begins with the reading that ended the last one given */
    const struct method_result *result;
};

struct interval_sum {
    uint64_t uj, most_uj; /* the figure; what it cannot exceed: the energy of the windows */
    double part, edge_uj; /* of the last window: figure / energy, uncertainty of its last reading */
    double sensor_uj2;    /* variance by edges that are past */
    double mode_uj[METHOD_MODES];
    double settled_uj2; /* variance by modes of former epochs */
    double spread_uj;
    uint32_t epoch;
    bool begun;
};

/* Adds a window, in which the figure was share_uj with the sum of its cells' errors (method_error_add; NULL: none).
 * Windows in which a figure had nothing may be left out, if the next is then said not to follow. */
void interval_add(struct interval_sum *sum, const struct interval_window *window, uint64_t share_uj,
                  const struct method_error *error);

/* Errors of one figure in one domain, as standard deviations. */
struct interval_part {
    uint64_t uj, most_uj;
    double sensor_uj; /* this domain's counter and clock */
    double model_uj;  /* what is not known of this domain's costs */
    double spread_uj; /* what is not known of this workload */
};
struct interval_part interval_part(const struct interval_sum *sum);

struct interval {
    uint64_t uj, low_uj, high_uj; /* 95 % */
    double sigma_uj;
};

/* One figure over several domains (packages, memory): counters and models are different ones and err independently; the
 * workload is the same everywhere, and so is `gain`, the relative uncertainty of this kind of meter (0: not counted).
 */
struct interval interval_of(const struct interval_part *parts, size_t n, double gain);

#endif
