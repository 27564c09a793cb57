/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text as written, and what jansson reads out of it. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include <jansson.h>

#include "base/json_out.h"
#include "unit_test.h"

struct writer {
    struct buf buf;
    struct json_out json;
};

static void start(struct writer *writer)
{
    buf_init(&writer->buf, 1 << 16);
    json_out_init(&writer->json, &writer->buf);
}

static void check(struct writer *writer, const char *expected)
{
    assert_int_equal(buf_error(&writer->buf), 0);
    assert_string_equal(writer->buf.data, expected);
    json_t *root = json_loads(expected, JSON_DECODE_ANY, NULL);
    assert_non_null(root);
    json_decref(root);
    buf_done(&writer->buf);
}

static void commas_and_nesting(void **state)
{
    struct writer w;

    start(&w);
    json_out_object(&w.json);
    json_out_key(&w.json, "a");
    json_out_array(&w.json);
    json_out_u64(&w.json, 1);
    json_out_array(&w.json);
    json_out_array_end(&w.json);
    json_out_object(&w.json);
    json_out_object_end(&w.json);
    json_out_i64(&w.json, -2);
    json_out_array_end(&w.json);
    json_out_key(&w.json, "b");
    json_out_object(&w.json);
    json_out_kv_bool(&w.json, "c", false);
    json_out_object_end(&w.json);
    json_out_kv_string(&w.json, "d", NULL);
    json_out_object_end(&w.json);
    check(&w, "{\"a\":[1,[],{},-2],\"b\":{\"c\":false},\"d\":null}");
}

static void every_kind_of_value(void **state)
{
    struct writer w;

    start(&w);
    json_out_array(&w.json);
    json_out_null(&w.json);
    json_out_bool(&w.json, true);
    json_out_u64(&w.json, UINT64_MAX / 2);
    json_out_i64(&w.json, INT64_MIN);
    json_out_double(&w.json, 0.25);
    json_out_double(&w.json, NAN);
    json_out_double(&w.json, -INFINITY);
    json_out_fixed(&w.json, 1500000, 6);
    json_out_string(&w.json, "");
    json_out_object(&w.json);
    json_out_kv_u64(&w.json, "u", 7);
    json_out_kv_double(&w.json, "f", 1e300);
    json_out_kv_string(&w.json, "s", "t");
    json_out_object_end(&w.json);
    json_out_array_end(&w.json);
    check(&w, "[null,true,9223372036854775807,-9223372036854775808,0.25,null,null,1.5,\"\","
              "{\"u\":7,\"f\":1e+300,\"s\":\"t\"}]");
}

static void a_single_value_is_a_document(void **state)
{
    struct writer w;

    start(&w);
    json_out_string(&w.json, "x");
    check(&w, "\"x\"");
}

static void escapes(void **state)
{
    struct writer w;

    start(&w);
    json_out_array(&w.json);
    json_out_string(&w.json, "\"\\/\b\f\n\r\t");
    json_out_string(&w.json, "\x01\x1f\x7f");
    json_out_string(&w.json, "µ€🔋");
    json_out_array_end(&w.json);
    check(&w, "[\"\\\"\\\\/\\b\\f\\n\\r\\t\",\"\\u0001\\u001f\x7f\",\"µ€🔋\"]");

    start(&w);
    json_out_object(&w.json);
    json_out_kv_u64(&w.json, "a\"\n\xFF", 1);
    json_out_object_end(&w.json);
    check(&w, "{\"a\\\"\\n\xEF\xBF\xBD\":1}");
}

#define BAD "\xEF\xBF\xBD"

static void invalid_utf8_is_replaced(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"a\x80z", "a" BAD "z"},
        {"\xC0\x80", BAD BAD}, /* overlong NUL */
        {"\xC1\xBF", BAD BAD}, /* overlong */
        {"\xC2", BAD},         /* cut short */
        {"\xC2z", BAD "z"},
        {"\xE0\x9F\x80", BAD BAD BAD},    /* overlong */
        {"\xE0\xA0\x80", "\xE0\xA0\x80"}, /* the first of three bytes */
        {"\xED\x9F\xBF", "\xED\x9F\xBF"}, /* the last before the surrogates */
        {"\xED\xA0\x80", BAD BAD BAD},    /* a surrogate */
        {"\xE2\x82", BAD BAD},            /* cut short */
        {"\xE2\x82z", BAD BAD "z"},
        {"\xF0\x8F\xBF\xBF", BAD BAD BAD BAD},    /* overlong */
        {"\xF0\x90\x80\x80", "\xF0\x90\x80\x80"}, /* the first of four bytes */
        {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"}, /* the last of all */
        {"\xF4\x90\x80\x80", BAD BAD BAD BAD},    /* beyond it */
        {"\xF0\x9F\x94", BAD BAD BAD},            /* cut short */
        {"\xF5\x80", BAD BAD},
        {"\xFF\xFE", BAD BAD},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct writer w;
        char expected[64] = "\"";

        memcpy(expected + 1, cases[i].out, strlen(cases[i].out));
        memcpy(expected + 1 + strlen(cases[i].out), "\"", 2);
        start(&w);
        json_out_string(&w.json, cases[i].in);
        check(&w, expected);
    }
}

static void failures_stay_in_the_buffer(void **state)
{
    struct buf buf;
    struct json_out json;

    buf_init(&buf, 5);
    json_out_init(&json, &buf);
    json_out_array(&json);
    for (int i = 0; i < 100; i++)
        json_out_u64(&json, 12345);
    json_out_array_end(&json);
    assert_int_equal(buf_error(&buf), -E2BIG);
    buf_done(&buf);
}

static void deepest_nesting(void **state)
{
    struct writer w;
    char expected[2 * JSON_DEPTH_MAX + 1];

    start(&w);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        json_out_array(&w.json);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        json_out_array_end(&w.json);
    memset(expected, '[', JSON_DEPTH_MAX);
    memset(expected + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    expected[sizeof(expected) - 1] = '\0';
    check(&w, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_and_nesting),
        cmocka_unit_test(every_kind_of_value),
        cmocka_unit_test(a_single_value_is_a_document),
        cmocka_unit_test(escapes),
        cmocka_unit_test(invalid_utf8_is_replaced),
        cmocka_unit_test(failures_stay_in_the_buffer),
        cmocka_unit_test(deepest_nesting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
