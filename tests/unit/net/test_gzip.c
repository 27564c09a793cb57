/* SPDX-License-Identifier: Apache-2.0 */
/* What was compressed is read back with zlib itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "net/gzip.h"

#define TEXT_BYTES ((size_t)3 << 20)

/* Exposition-like: repeats with changing digits. */
static char *make_text(size_t len)
{
    char *text = malloc(len + 64);
    size_t at = 0;

    assert_non_null(text);
    for (unsigned i = 0; at < len; i++)
        at += (size_t)snprintf(text + at, 64, "carnot_x{cgroup=\"/a/%u\"} %u\n", i, i * 2654435761U);
    return text;
}

static void check_reads_back(const struct buf *packed, const char *want, size_t len)
{
    unsigned char *back = malloc(len + 1);
    z_stream stream = {
        .next_in = (Bytef *)packed->data, .avail_in = (uInt)packed->len, .next_out = back, .avail_out = (uInt)len + 1};

    assert_non_null(back);
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK); /* gzip and nothing else */
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, len);
    assert_int_equal(stream.avail_in, 0);
    assert_memory_equal(back, want, len);
    inflateEnd(&stream);
    free(back);
}

static void test_reads_back_and_is_reused(void **state)
{
    static const size_t lens[] = {0, 1, 100, 4096, 65536, TEXT_BYTES, 5};
    char *text = make_text(TEXT_BYTES);
    struct gzip *gzip = NULL;
    struct buf out;

    assert_int_equal(gzip_new(&gzip), 0);
    buf_init(&out, 16U << 20);
    for (size_t i = 0; i < ELEMENTSOF(lens); i++) {
        buf_reset(&out);
        assert_int_equal(gzip_append(gzip, text, lens[i], &out), 0);
        check_reads_back(&out, text, lens[i]);
        if (lens[i] == TEXT_BYTES)
            assert_true(out.len < TEXT_BYTES / 3);
    }
    gzip = gzip_free(gzip);
    assert_null(gzip_free(gzip));
    buf_done(&out);
    free(text);
}

static void test_limit(void **state)
{
    char *text = make_text(TEXT_BYTES);
    struct gzip *gzip = NULL;
    struct buf out;

    assert_int_equal(gzip_new(&gzip), 0);
    buf_init(&out, 10000);
    assert_int_equal(gzip_append(gzip, text, TEXT_BYTES, &out), -E2BIG);
    assert_true(out.len <= 10000);
    assert_int_equal(gzip_append(gzip, text, 10, &out), -E2BIG); /* sticks */

    /* The stream is none the worse. */
    buf_reset(&out);
    assert_int_equal(gzip_append(gzip, text, 1000, &out), 0);
    check_reads_back(&out, text, 1000);
    gzip_free(gzip);
    buf_done(&out);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back_and_is_reused),
        cmocka_unit_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
