/* SPDX-License-Identifier: Apache-2.0 */
/* Chain of blocks, each at least twice as large as the one before. Knows sizes and alignment; refuses to free single
 * objects. */
#include "base/arena.h"

#include <stdalign.h>
#include <string.h>

#define BLOCK_FIRST ((size_t)16 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes of data */
    size_t used; /* only meaningful up to arena->current; later blocks are empty whatever it says */
    alignas(max_align_t) char data[];
};

void arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){.limit = limit};
}

void arena_done(struct arena *arena)
{
    if (!arena)
        return;
    for (struct arena_block *block = arena->first; block;) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (struct arena){.limit = arena->limit};
}

void arena_reset(struct arena *arena)
{
    arena->current = arena->first;
    if (arena->current)
        arena->current->used = 0;
}

/* Appends a block with room for `size` to the chain's end and makes it current. */
static struct arena_block *add_block(struct arena *arena, size_t size)
{
    struct arena_block **link = &arena->first;
    size_t want = BLOCK_FIRST;

    for (; *link; link = &(*link)->next) {
        if ((*link)->size <= SIZE_MAX / 4 && want < (*link)->size * 2)
            want = (*link)->size * 2;
    }
    if (want < size)
        want = size;
    if (arena->limit) {
        size_t left = arena->limit - arena->block_bytes;
        if (size > left)
            return NULL;
        want = min_size(want, left);
    }
    if (want > SIZE_MAX - sizeof(struct arena_block))
        return NULL;

    struct arena_block *block = malloc(sizeof(*block) + want);
    if (!block)
        return NULL;
    block->next = NULL;
    block->size = want;
    block->used = 0;
    *link = block;
    arena->current = block;
    arena->block_bytes += want;
    return block;
}

/* After a reset the later blocks are still there. One that is too small is passed over until the next reset. */
static struct arena_block *next_block(struct arena *arena, size_t size)
{
    struct arena_block *block = arena->current ? arena->current->next : NULL;

    while (block && block->size < size) {
        block->used = 0;
        block = block->next;
    }
    if (!block)
        return add_block(arena, size);
    block->used = 0;
    arena->current = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);

    if (size > SIZE_MAX - align)
        return NULL;
    size = size ? (size + align - 1) / align * align : align;

    struct arena_block *block = arena->current;
    if (!block || block->size - block->used < size)
        block = next_block(arena, size);
    if (!block)
        return NULL;

    void *p = block->data + block->used;
    block->used += size;
    memset(p, 0, size);
    return p;
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return arena_alloc(arena, bytes);
}

char *arena_strndup(struct arena *arena, const char *s, size_t len)
{
    if (len == SIZE_MAX)
        return NULL;

    char *copy = arena_alloc(arena, len + 1);
    if (copy && len)
        memcpy(copy, s, len);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
    return arena_strndup(arena, s, strlen(s));
}

size_t arena_used(const struct arena *arena)
{
    size_t used = 0;

    for (const struct arena_block *block = arena->first; block; block = block->next) {
        used += block->used;
        if (block == arena->current)
            break;
    }
    return used;
}
