/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocator: memory of one tick or one request, released at once.
 *
 * An arena keeps its blocks over a reset, so that after warm-up it does not call malloc. Not thread-safe: one owner. */
#ifndef CARNOT_BASE_ARENA_H
#define CARNOT_BASE_ARENA_H

#include "base/util.h"

struct arena_block;

struct arena {
    struct arena_block *first;
    struct arena_block *current;
    size_t limit;       /* bytes that all blocks together may have; 0 = no limit */
    size_t block_bytes; /* sum of the blocks' sizes */
};

void arena_init(struct arena *arena, size_t limit);
void arena_done(struct arena *arena); /* frees every block; the arena can be used again after arena_init */
void arena_reset(struct arena *arena);

/* Returns `size` zeroed bytes aligned for any object, or NULL when the limit is reached or memory is out. size 0 gives
 * a valid pointer. Growth doubles block sizes, the first is 16 KiB. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_alloc_array(struct arena *arena, size_t count, size_t size); /* NULL on overflow too */

/* Copies `len` bytes and adds a NUL. NULL as arena_alloc. */
char *arena_strndup(struct arena *arena, const char *s, size_t len);
char *arena_strdup(struct arena *arena, const char *s);

size_t arena_used(const struct arena *arena);

#endif
