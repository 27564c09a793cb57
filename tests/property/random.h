/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for property tests: the same for the same seed, extremes more often than chance; and the two settings. */
#ifndef CARNOT_PROPERTY_RANDOM_H
#define CARNOT_PROPERTY_RANDOM_H

#include <stdio.h>

#include "base/parse.h"
#include "base/util.h"

static uint64_t rng_state;

/* splitmix64 (Steele, Lea, Flood 2014) */
static inline uint64_t rnd(void)
{
    uint64_t z = rng_state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static inline uint64_t rnd_below(uint64_t n)
{
    return rnd() % n;
}

/* 0 .. 1 */
static inline double rnd_unit(void)
{
    return (double)(rnd() >> 11) * 0x1p-53;
}

/* Any size equally likely, with 0 and 1 and powers of two more often than chance: up to 2^bits, bits <= 64. */
static inline uint64_t rnd_size(unsigned bits)
{
    unsigned b = (unsigned)rnd_below(bits + 1);
    uint64_t most = b == 64 ? UINT64_MAX : (1ULL << b) - 1;

    switch (rnd_below(8)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return most;
    case 3:
        return most - most / 2;
    default:
        return rnd() & most;
    }
}

/* CARNOT_PROPERTY_SEED and CARNOT_PROPERTY_ROUNDS, printed. -1 with a sentence when one is no number. */
static inline int property_settings(uint64_t *seed, uint64_t *rounds)
{
    const char *seed_text = getenv("CARNOT_PROPERTY_SEED"), *rounds_text = getenv("CARNOT_PROPERTY_ROUNDS");

    if ((seed_text && parse_u64(text_of(seed_text), seed) < 0) ||
        (rounds_text && parse_u64(text_of(rounds_text), rounds) < 0)) {
        fprintf(stderr, "CARNOT_PROPERTY_SEED and CARNOT_PROPERTY_ROUNDS are decimal numbers\n");
        return -1;
    }
    printf("CARNOT_PROPERTY_SEED=%llu CARNOT_PROPERTY_ROUNDS=%llu\n", (unsigned long long)*seed,
           (unsigned long long)*rounds);
    rng_state = *seed;
    return 0;
}

#endif
