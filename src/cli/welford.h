/* SPDX-License-Identifier: Apache-2.0 */
/* Mean and standard deviation of a stream of values in one pass, by Welford's method (B. P. Welford, "Note on a method
 * for calculating corrected sums of squares and products", Technometrics 4(3), 1962): no loss when values are large and
 * alike. */
#ifndef CARNOT_CLI_WELFORD_H
#define CARNOT_CLI_WELFORD_H

#include <math.h>
#include <stdint.h>

struct welford {
    uint64_t n;
    double mean;
    double m2; /* sum of squared distances from the mean */
};

static inline void welford_add(struct welford *w, double value)
{
    double distance = value - w->mean;

    w->n++;
    w->mean += distance / (double)w->n;
    w->m2 += distance * (value - w->mean);
}

/* Of the sample (n - 1); 0 for fewer than two values. */
static inline double welford_stddev(const struct welford *w)
{
    return w->n < 2 ? 0.0 : sqrt(w->m2 / (double)(w->n - 1));
}

#endif
