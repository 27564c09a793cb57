/* SPDX-License-Identifier: Apache-2.0 */
/* The arena: alignment, zeroing, growth, limit, reuse without new memory. */
#include <stdalign.h>
#include <string.h>

#include "base/arena.h"
#include "unit_test.h"

/* Sizes that no machine has are asked for on purpose: the address sanitizer shall refuse them as malloc does, not stop.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void gives_zeroed_aligned_memory(void **state)
{
    struct arena arena;

    arena_init(&arena, 0);
    for (int round = 0; round < 2; round++) {
        for (size_t size = 0; size < 100; size++) {
            char *p = arena_alloc(&arena, size);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xAA, size);
        }
        arena_reset(&arena); /* the second round gets dirty memory */
    }
    arena_done(&arena);
}

static void objects_do_not_overlap(void **state)
{
    struct arena arena;
    unsigned char *objects[300];

    arena_init(&arena, 0);
    for (size_t i = 0; i < ELEMENTSOF(objects); i++) {
        objects[i] = arena_alloc(&arena, i * 7 + 1);
        assert_non_null(objects[i]);
        memset(objects[i], (int)(i & 0xFF), i * 7 + 1);
    }
    for (size_t i = 0; i < ELEMENTSOF(objects); i++) {
        assert_int_equal(objects[i][0], i & 0xFF);
        assert_int_equal(objects[i][i * 7], i & 0xFF);
    }
    arena_done(&arena);
}

static void keeps_blocks_over_reset(void **state)
{
    struct arena arena;
    size_t bytes = 0;

    arena_init(&arena, 0);
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < 40; i++)
            assert_non_null(arena_alloc(&arena, 1000 + i * 500));
        if (round == 0)
            bytes = arena.block_bytes;
        assert_int_equal(arena.block_bytes, bytes);
        assert_true(arena_used(&arena) >= 40 * 1000);
        assert_true(arena_used(&arena) <= bytes);
        arena_reset(&arena);
        assert_int_equal(arena_used(&arena), 0);
    }
    arena_done(&arena);
    assert_int_equal(arena.block_bytes, 0);
}

/* After a reset a block that is too small for the next object is passed over, and is there again after the next reset.
 */
static void passes_over_small_blocks(void **state)
{
    struct arena arena;

    arena_init(&arena, 0);
    assert_non_null(arena_alloc(&arena, 16 * 1024));
    assert_non_null(arena_alloc(&arena, 20 * 1024));
    assert_non_null(arena_alloc(&arena, 60 * 1024));
    size_t bytes = arena.block_bytes;
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 60 * 1024));
    assert_int_equal(arena.block_bytes, bytes);
    assert_int_equal(arena_used(&arena), 60 * 1024);
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 16 * 1024));
    assert_non_null(arena_alloc(&arena, 20 * 1024));
    assert_int_equal(arena.block_bytes, bytes);
    arena_done(&arena);
}

static void obeys_its_limit(void **state)
{
    struct arena arena;

    arena_init(&arena, 20000);
    assert_non_null(arena_alloc(&arena, 16384));
    assert_null(arena_alloc(&arena, 4000));
    assert_non_null(arena_alloc(&arena, 3000)); /* the rest of the limit, though doubling wants more */
    assert_null(arena_alloc(&arena, 1000));
    assert_true(arena.block_bytes <= 20000);
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 16384));
    arena_done(&arena);

    arena_init(&arena, 8);
    assert_null(arena_alloc(&arena, 1)); /* not even one aligned object */
    arena_done(&arena);
}

static void refuses_overflowing_sizes(void **state)
{
    struct arena arena;

    arena_init(&arena, 1 << 20);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 8));
    assert_null(arena_alloc(&arena, SIZE_MAX / 2));
    assert_null(arena_alloc_array(&arena, SIZE_MAX / 2, 3));
    assert_null(arena_strndup(&arena, "", SIZE_MAX));
    assert_int_equal(arena.block_bytes, 0);
    arena_done(&arena);

    arena_init(&arena, 0);
    assert_null(arena_alloc(&arena, SIZE_MAX - 64));
    arena_done(&arena);
}

static void copies_text(void **state)
{
    struct arena arena;

    arena_init(&arena, 0);
    assert_string_equal(arena_strdup(&arena, "watt"), "watt");
    assert_string_equal(arena_strdup(&arena, ""), "");
    assert_string_equal(arena_strndup(&arena, "kilowatt", 4), "kilo");
    assert_string_equal(arena_strndup(&arena, NULL, 0), "");
    uint64_t *numbers = arena_alloc_array(&arena, 10, sizeof(*numbers));
    assert_non_null(numbers);
    assert_int_equal(numbers[9], 0);
    arena_done(&arena);
}

static void done_is_harmless(void **state)
{
    struct arena arena;

    arena_done(NULL);
    arena_init(&arena, 5);
    arena_reset(&arena);
    assert_int_equal(arena_used(&arena), 0);
    arena_done(&arena);
    arena_done(&arena);
    assert_null(arena.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_aligned_memory),
        cmocka_unit_test(objects_do_not_overlap),
        cmocka_unit_test(keeps_blocks_over_reset),
        cmocka_unit_test(passes_over_small_blocks),
        cmocka_unit_test(obeys_its_limit),
        cmocka_unit_test(refuses_overflowing_sizes),
        cmocka_unit_test(copies_text),
        cmocka_unit_test(done_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
