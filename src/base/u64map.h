/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map from 64-bit keys to 32-bit values: open addressing, linear probing, no tombstones (deletion shifts back).
 * Grows by doubling; a map that has reached its size never allocates again. Not thread-safe. */
#ifndef CARNOT_BASE_U64MAP_H
#define CARNOT_BASE_U64MAP_H

#include "base/util.h"

struct u64map {
    uint64_t *keys;
    uint32_t *values; /* UINT32_MAX marks an empty slot, so that value may not be stored */
    size_t cap;       /* power of two, 0 before the first put */
    size_t len;
};

#define U64MAP_NONE UINT32_MAX

void u64map_done(struct u64map *map);
void u64map_clear(struct u64map *map);                       /* keeps memory */
uint32_t u64map_get(const struct u64map *map, uint64_t key); /* U64MAP_NONE when absent */
int u64map_put(struct u64map *map, uint64_t key,
               uint32_t value); /* inserts or replaces; 0, -ENOMEM (map unchanged), -EINVAL for U64MAP_NONE */
void u64map_remove(struct u64map *map, uint64_t key);

/* 64-bit hash of bytes (FNV-1a finished by a multiply-xor mix): for keys made of strings. Not for hostile collisions in
 * unbounded maps. */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);

#endif
