/* SPDX-License-Identifier: Apache-2.0 */
/* See histogram.h. A bucket's number is the exponent of its values and their next HISTOGRAM_SUB_BITS bits. */
#include "base/histogram.h"

#define SUB_BUCKETS (1U << HISTOGRAM_SUB_BITS)

static unsigned bucket_of(uint64_t value)
{
    unsigned exponent;

    if (value < SUB_BUCKETS)
        return (unsigned)value;
    exponent = 63U - (unsigned)__builtin_clzll(value);
    return ((exponent - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS) +
           (unsigned)(value >> (exponent - HISTOGRAM_SUB_BITS) & (SUB_BUCKETS - 1));
}

/* The largest value that falls into it. */
static uint64_t bucket_top(unsigned bucket)
{
    unsigned shift;

    if (bucket < SUB_BUCKETS)
        return bucket;
    shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return ((uint64_t)(SUB_BUCKETS + (bucket & (SUB_BUCKETS - 1))) << shift) + ((1ULL << shift) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->buckets[bucket_of(value)]++;
    histogram->count++;
    histogram->largest = max_u64(histogram->largest, value);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    into->largest = max_u64(into->largest, from->largest);
}

uint64_t histogram_quantile(const struct histogram *histogram, unsigned permille)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (unsigned __int128)seen * 1000 >= (unsigned __int128)histogram->count * permille)
            return min_u64(bucket_top(i), histogram->largest);
    }
    return 0;
}
