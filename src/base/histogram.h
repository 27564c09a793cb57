/* SPDX-License-Identifier: Apache-2.0 */
/* Quantiles of a stream of whole numbers in fixed memory: counts in buckets that are exact up to 63 and no wider than
 * 1/32 of their value beyond. Knows no unit. Adding neither allocates nor calls anybody. */
#ifndef CARNOT_BASE_HISTOGRAM_H
#define CARNOT_BASE_HISTOGRAM_H

#include "base/util.h"

#define HISTOGRAM_SUB_BITS 5 /* 32 buckets for each power of two: a quantile is at most 3.2 % too high */
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count, largest;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* A value that at least `permille` of 1000 of the values do not exceed, as sharp as the buckets are and never beyond
 * the largest; 0 when there is none. */
uint64_t histogram_quantile(const struct histogram *histogram, unsigned permille);

#endif
