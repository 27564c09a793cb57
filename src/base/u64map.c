/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing. Keys are pids, inode numbers and hashes made by hash_bytes(); the map refuses to
 * know which, and does not defend against somebody who picks keys to collide. */
#include "base/u64map.h"

#include <errno.h>
#include <string.h>

/* 16 slots are two cache lines of keys. A power of two, as the slot mask needs. */
#define CAP_FIRST 16

/* Doubling stops here: 2^31 values is more than a 32-bit index needs, and keeps cap * 12 bytes from overflowing on 64
 * bits. */
#define CAP_MAX ((size_t)1 << 31)

/* Finaliser of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): each output bit
 * depends on each input bit, so that consecutive pids do not make long probe runs. */
static uint64_t mix64(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9ULL;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBULL;
    x ^= x >> 31;
    return x;
}

static size_t home_slot(uint64_t key, size_t cap)
{
    return (size_t)mix64(key) & (cap - 1);
}

/* The slot of the key, or the empty slot where it belongs. The load limit guarantees that there is one. */
static size_t find_slot(const uint64_t *keys, const uint32_t *values, size_t cap, uint64_t key)
{
    size_t i = home_slot(key, cap);

    while (values[i] != U64MAP_NONE && keys[i] != key)
        i = (i + 1) & (cap - 1);
    return i;
}

static int grow(struct u64map *map)
{
    size_t cap = map->cap ? map->cap * 2 : CAP_FIRST;

    if (cap > CAP_MAX)
        return -ENOMEM;

    /* One block for both arrays: one thing that can fail, one to free. */
    uint64_t *keys = malloc(cap * (sizeof(uint64_t) + sizeof(uint32_t)));
    if (!keys)
        return -ENOMEM;
    uint32_t *values = (uint32_t *)(keys + cap);
    memset(values, 0xFF, cap * sizeof(*values)); /* every byte of U64MAP_NONE */

    for (size_t i = 0; i < map->cap; i++) {
        if (map->values[i] == U64MAP_NONE)
            continue;
        size_t slot = find_slot(keys, values, cap, map->keys[i]);
        keys[slot] = map->keys[i];
        values[slot] = map->values[i];
    }
    free(map->keys);
    map->keys = keys;
    map->values = values;
    map->cap = cap;
    return 0;
}

void u64map_done(struct u64map *map)
{
    if (!map)
        return;
    free(map->keys);
    *map = (struct u64map){0};
}

void u64map_clear(struct u64map *map)
{
    if (map->cap)
        memset(map->values, 0xFF, map->cap * sizeof(*map->values));
    map->len = 0;
}

uint32_t u64map_get(const struct u64map *map, uint64_t key)
{
    if (map->len == 0)
        return U64MAP_NONE;
    return map->values[find_slot(map->keys, map->values, map->cap, key)];
}

int u64map_put(struct u64map *map, uint64_t key, uint32_t value)
{
    if (value == U64MAP_NONE)
        return -EINVAL;

    if (map->len) {
        size_t slot = find_slot(map->keys, map->values, map->cap, key);
        if (map->values[slot] != U64MAP_NONE) {
            map->values[slot] = value;
            return 0;
        }
    }
    /* At most 3 of 4 slots are taken: beyond that, linear probing's runs grow fast. */
    if (map->len >= map->cap / 4 * 3) {
        int r = grow(map);
        if (r < 0)
            return r;
    }

    size_t slot = find_slot(map->keys, map->values, map->cap, key);
    map->keys[slot] = key;
    map->values[slot] = value;
    map->len++;
    return 0;
}

void u64map_remove(struct u64map *map, uint64_t key)
{
    if (map->len == 0)
        return;

    size_t mask = map->cap - 1;
    size_t hole = find_slot(map->keys, map->values, map->cap, key);
    if (map->values[hole] == U64MAP_NONE)
        return;

    /* Moves up every later entry of the run that may live in the hole: one whose home is not between the hole and
     * itself. */
    for (size_t i = (hole + 1) & mask; map->values[i] != U64MAP_NONE; i = (i + 1) & mask) {
        size_t home = home_slot(map->keys[i], map->cap);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        map->keys[hole] = map->keys[i];
        map->values[hole] = map->values[i];
        hole = i;
    }
    map->values[hole] = U64MAP_NONE;
    map->len--;
}

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
    /* FNV-1a, 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv): offset basis and prime. */
    const uint8_t *p = data;
    uint64_t h = 0xCBF29CE484222325ULL ^ mix64(seed);

    for (size_t i = 0; i < len; i++) {
        h ^= p[i];
        h *= 0x100000001B3ULL;
    }
    return mix64(h);
}
