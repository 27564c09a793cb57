/* SPDX-License-Identifier: Apache-2.0 */
/* The map against a plain array that does the same, over long random histories. */
#include <errno.h>
#include <string.h>

#include "base/u64map.h"
#include "unit_test.h"

static void empty_map_has_nothing(void **state)
{
    struct u64map map = {0};

    assert_int_equal(u64map_get(&map, 0), U64MAP_NONE);
    u64map_remove(&map, 0);
    u64map_clear(&map);
    u64map_done(&map);
    u64map_done(NULL);
    assert_int_equal(map.cap, 0);
}

static void put_inserts_and_replaces(void **state)
{
    struct u64map map = {0};

    assert_int_equal(u64map_put(&map, 0, 0), 0);
    assert_int_equal(u64map_put(&map, UINT64_MAX, UINT32_MAX - 1), 0);
    assert_int_equal(u64map_put(&map, 0, 5), 0);
    assert_int_equal(map.len, 2);
    assert_int_equal(u64map_get(&map, 0), 5);
    assert_int_equal(u64map_get(&map, UINT64_MAX), UINT32_MAX - 1);
    assert_int_equal(u64map_get(&map, 1), U64MAP_NONE);
    u64map_done(&map);
}

static void the_empty_mark_is_no_value(void **state)
{
    struct u64map map = {0};

    assert_int_equal(u64map_put(&map, 1, U64MAP_NONE), -EINVAL);
    assert_int_equal(map.len, 0);
    u64map_done(&map);
}

static void clear_keeps_memory(void **state)
{
    struct u64map map = {0};

    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(u64map_put(&map, i, (uint32_t)i), 0);
    size_t cap = map.cap;
    const uint64_t *keys = map.keys;
    u64map_clear(&map);
    assert_int_equal(map.len, 0);
    assert_int_equal(u64map_get(&map, 5), U64MAP_NONE);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(u64map_put(&map, i * 7919, (uint32_t)i), 0);
    assert_int_equal(map.cap, cap);
    assert_ptr_equal(map.keys, keys);
    u64map_done(&map);
}

/* The load stays below the limit, so that a probe always ends. */
static void grows_before_it_is_full(void **state)
{
    struct u64map map = {0};

    for (uint64_t i = 0; i < 100000; i++) {
        assert_int_equal(u64map_put(&map, i << 32, (uint32_t)i), 0);
        assert_true(map.len * 4 <= map.cap * 3);
    }
    for (uint64_t i = 0; i < 100000; i++)
        assert_int_equal(u64map_get(&map, i << 32), i);
    u64map_done(&map);
}

/* Few keys and many removals, so that probe runs are cut and closed at every place, also over the end of the table. */
static void agrees_with_an_array(void **state)
{
    enum { KEYS = 60, STEPS = 200000 };
    uint32_t expected[KEYS];
    struct u64map map = {0};
    uint64_t random = 42;
    size_t len = 0;

    memset(expected, 0xFF, sizeof(expected));
    for (int step = 0; step < STEPS; step++) {
        uint64_t r = next_random(&random);
        size_t key = r % KEYS;

        if (r >> 32 & 1) {
            uint32_t value = (uint32_t)(r >> 33) % 1000;
            len += expected[key] == U64MAP_NONE;
            expected[key] = value;
            assert_int_equal(u64map_put(&map, key, value), 0);
        } else {
            len -= expected[key] != U64MAP_NONE;
            expected[key] = U64MAP_NONE;
            u64map_remove(&map, key);
        }
        assert_int_equal(map.len, len);
        size_t other = (r >> 8) % KEYS;
        assert_int_equal(u64map_get(&map, other), expected[other]);
        if (step % 1000 == 0) {
            for (size_t i = 0; i < KEYS; i++)
                assert_int_equal(u64map_get(&map, i), expected[i]);
        }
    }
    u64map_done(&map);
}

static void hash_depends_on_every_byte(void **state)
{
    char text[] = "system.slice/nginx.service";
    uint64_t whole = hash_bytes(text, strlen(text), 0);

    assert_true(whole == hash_bytes(text, strlen(text), 0));
    assert_true(whole != hash_bytes(text, strlen(text), 1));
    assert_true(whole != hash_bytes(text, strlen(text) - 1, 0));
    for (size_t i = 0; i < strlen(text); i++) {
        text[i] ^= 1;
        assert_true(whole != hash_bytes(text, strlen(text), 0));
        text[i] ^= 1;
    }
    assert_true(hash_bytes("", 0, 0) != hash_bytes("", 0, 1));
    assert_true(hash_bytes("a\0b", 3, 0) != hash_bytes("a\0c", 3, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_map_has_nothing),      cmocka_unit_test(put_inserts_and_replaces),
        cmocka_unit_test(the_empty_mark_is_no_value), cmocka_unit_test(clear_keeps_memory),
        cmocka_unit_test(grows_before_it_is_full),    cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(hash_depends_on_every_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
