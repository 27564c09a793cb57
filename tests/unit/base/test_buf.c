/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer: limit, sticky errors, number formatting checked against printf and against arithmetic. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "unit_test.h"

/* Sizes that no machine has are asked for on purpose: the address sanitizer shall refuse them as malloc does, not stop.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void empty_buffer_is_empty_text(void **state)
{
    struct buf buf;

    buf_init(&buf, 10);
    assert_string_equal(buf_str(&buf), "");
    buf_append(&buf, NULL, 0);
    buf_puts(&buf, "");
    assert_int_equal(buf_error(&buf), 0);
    assert_string_equal(buf_str(&buf), "");
    buf_done(&buf);
    buf_done(&buf);
    buf_done(NULL);
}

static void appends_and_terminates(void **state)
{
    struct buf buf;

    buf_init(&buf, 1 << 20);
    for (int i = 0; i < 5000; i++) {
        buf_putc(&buf, (char)('a' + i % 26));
        assert_int_equal(buf.data[buf.len], '\0');
    }
    assert_int_equal(buf.len, 5000);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf.data[i], 'a' + i % 26);
    buf_reset(&buf);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf_str(&buf), "");
    buf_append(&buf, "x\0y", 3);
    assert_int_equal(buf.len, 3);
    assert_memory_equal(buf.data, "x\0y", 4);
    buf_done(&buf);
}

static void limit_is_exact(void **state)
{
    struct buf buf;

    buf_init(&buf, 4);
    buf_puts(&buf, "1234");
    assert_int_equal(buf_error(&buf), 0);
    assert_true(buf.cap <= 5);
    buf_putc(&buf, '5');
    assert_int_equal(buf_error(&buf), -E2BIG);
    assert_string_equal(buf.data, "1234");
    buf_done(&buf);
}

static void errors_stick_until_reset(void **state)
{
    struct buf buf;

    buf_init(&buf, 3);
    buf_puts(&buf, "1234");
    buf_puts(&buf, "1");
    buf_putc(&buf, '1');
    buf_put_u64(&buf, 1);
    buf_printf(&buf, "%d", 1);
    assert_int_equal(buf_reserve(&buf, 1), -E2BIG);
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf_error(&buf), -E2BIG);
    buf_reset(&buf);
    buf_puts(&buf, "123");
    assert_int_equal(buf_error(&buf), 0);
    assert_string_equal(buf.data, "123");
    buf_done(&buf);
}

static void reserve_makes_room(void **state)
{
    struct buf buf;

    buf_init(&buf, 1000);
    assert_int_equal(buf_reserve(&buf, 1000), 0);
    const char *data = buf.data;
    for (int i = 0; i < 1000; i++)
        buf_putc(&buf, 'x');
    assert_ptr_equal(buf.data, data);
    assert_int_equal(buf_error(&buf), 0);
    assert_int_equal(buf_reserve(&buf, 0), 0);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX), -E2BIG);
    buf_done(&buf);

    buf_init(&buf, SIZE_MAX);
    buf_putc(&buf, 'x');
    assert_int_equal(buf_reserve(&buf, SIZE_MAX - 8), -ENOMEM);
    buf_done(&buf);
}

static void printf_grows_and_stops(void **state)
{
    struct buf buf;
    char text[600];

    memset(text, 'z', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    buf_init(&buf, 700);
    buf_printf(&buf, "%s-%d", "a", 5);
    buf_printf(&buf, "%s", text);
    assert_int_equal(buf.len, 3 + 599);
    assert_memory_equal(buf.data, "a-5zzz", 6);
    buf_printf(&buf, "%s", text);
    assert_int_equal(buf_error(&buf), -E2BIG);
    assert_int_equal(strlen(buf.data), 602);
    buf_done(&buf);
}

static void check_u64(uint64_t value)
{
    char expected[32], got[20];

    snprintf(expected, sizeof(expected), "%" PRIu64, value);
    size_t n = format_u64(got, value);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(got, expected, n);
}

static void u64_as_printf(void **state)
{
    uint64_t random = 7, ten = 1;

    for (uint64_t value = 0; value < 100000; value++)
        check_u64(value);
    for (int i = 0; i < 20; i++, ten *= 10) {
        check_u64(ten - 1);
        check_u64(ten);
        check_u64(ten + 1);
    }
    for (int bit = 0; bit < 64; bit++) {
        check_u64(1ULL << bit);
        check_u64((1ULL << bit) - 1);
    }
    check_u64(UINT64_MAX);
    for (int i = 0; i < 100000; i++) {
        uint64_t r = next_random(&random);
        check_u64(r >> (r & 63));
    }
}

static void i64_edges(void **state)
{
    static const struct {
        int64_t value;
        const char *text;
    } cases[] = {
        {0, "0"}, {-1, "-1"}, {42, "42"}, {INT64_MAX, "9223372036854775807"}, {INT64_MIN, "-9223372036854775808"}};
    struct buf buf;

    buf_init(&buf, 100);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        buf_reset(&buf);
        buf_put_i64(&buf, cases[i].value);
        assert_string_equal(buf.data, cases[i].text);
    }
    buf_done(&buf);
}

static void fixed_has_no_trailing_zeros(void **state)
{
    static const struct {
        uint64_t value;
        unsigned decimals;
        const char *text;
    } cases[] = {
        {1500000, 6, "1.5"},
        {0, 0, "0"},
        {0, 18, "0"},
        {1, 6, "0.000001"},
        {10, 6, "0.00001"},
        {999999, 6, "0.999999"},
        {1000000, 6, "1"},
        {1000001, 6, "1.000001"},
        {100, 0, "100"},
        {120, 1, "12"},
        {123, 1, "12.3"},
        {100, 2, "1"},
        {5, 1, "0.5"},
        {10, 1, "1"},
        {1, 18, "0.000000000000000001"},
        {UINT64_MAX, 18, "18.446744073709551615"},
        {UINT64_MAX, 6, "18446744073709.551615"},
        {UINT64_MAX, 0, "18446744073709551615"},
        {10000000000000000000ULL, 18, "10"},
        {1000000000000000000ULL, 18, "1"},
        {100000000000000000ULL, 18, "0.1"},
    };
    struct buf buf;

    buf_init(&buf, 100);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char out[40];
        size_t n = format_fixed(out, cases[i].value, cases[i].decimals);
        assert_int_equal(n, strlen(cases[i].text));
        assert_memory_equal(out, cases[i].text, n);
        buf_reset(&buf);
        buf_put_fixed(&buf, cases[i].value, cases[i].decimals);
        assert_string_equal(buf.data, cases[i].text);
    }
    buf_done(&buf);
}

/* Digits without the point, filled up with the zeros that were left out, are the value again. */
static void fixed_reads_back(void **state)
{
    uint64_t random = 11;

    for (int i = 0; i < 200000; i++) {
        uint64_t r = next_random(&random);
        uint64_t value = next_random(&random) >> (r & 63);
        unsigned decimals = (unsigned)(r >> 8) % 19, after = 0;
        char out[40];
        size_t n = format_fixed(out, value, decimals);
        bool point = false;
        uint64_t back = 0;

        assert_true(n <= 21);
        for (size_t j = 0; j < n; j++) {
            if (out[j] == '.') {
                assert_false(point);
                assert_true(j > 0);
                point = true;
                continue;
            }
            back = back * 10 + (uint64_t)(out[j] - '0');
            after += point;
        }
        assert_true(!point || out[n - 1] != '0');
        assert_true(after <= decimals);
        for (; after < decimals; after++)
            back *= 10;
        assert_true(back == value);
    }
}

static void check_double(double value)
{
    struct buf buf;

    buf_init(&buf, 64);
    buf_put_double(&buf, value);
    assert_int_equal(buf_error(&buf), 0);
    double back = strtod(buf.data, NULL);
    assert_memory_equal(&back, &value, sizeof(value));
    buf_done(&buf);
}

static void double_reads_back(void **state)
{
    uint64_t random = 3;

    for (int i = 0; i < 100000; i++) {
        uint64_t bits = next_random(&random);
        double value;

        memcpy(&value, &bits, sizeof(value));
        if (isfinite(value))
            check_double(value);
        check_double((double)(int64_t)bits);
        check_double((double)(bits >> 40) / 1000);
    }
}

/* The short cut for few decimals gives what printf gives, also around its bounds. */
static void double_as_printf(void **state)
{
    static const double around[] = {1e-4, 0.000099, 0.0001005, 999999998.999999, 999999999, 999999999.5, 1e9 + 0.25};
    uint64_t random = 5;
    struct buf buf;

    buf_init(&buf, 64);
    for (size_t i = 0; i < 300000; i++) {
        uint64_t r = next_random(&random);
        double value = i < ELEMENTSOF(around) ? around[i] : (double)(r >> (r & 63) >> 14) / 1e6;
        char expected[40];

        if (r >> 63)
            value = -value;
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(expected, sizeof(expected), "%.*g", digits, value);
            if (strtod(expected, NULL) == value)
                break;
        }
        buf_reset(&buf);
        buf_put_double(&buf, value);
        if (value > -1e15 && value < 1e15)
            assert_string_equal(buf.data, expected);
    }
    buf_done(&buf);
}

static void double_texts(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1, "-1"},
        {0.1, "0.1"},
        {1.5, "1.5"},
        {100000, "100000"},
        {999999999999999, "999999999999999"},
        {1e15, "1e+15"},
        {-1e15, "-1e+15"},
        {1e22, "1e+22"},
        {1.0 / 3, "0.3333333333333333"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e-7, "1e-07"},
        {5e-324, "4.94065645841247e-324"},
        {INFINITY, "+Inf"},
        {-INFINITY, "-Inf"},
        {NAN, "NaN"},
        {-NAN, "NaN"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
    };
    struct buf buf;

    buf_init(&buf, 64);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        buf_reset(&buf);
        buf_put_double(&buf, cases[i].value);
        assert_string_equal(buf.data, cases[i].text);
    }
    buf_done(&buf);
}

static void double_fixed_texts(void **state)
{
    static const struct {
        double value;
        unsigned decimals;
        const char *text;
    } cases[] = {
        {0, 0, "0"},
        {0, 3, "0.000"},
        {-0.0, 2, "0.00"},
        {-0.001, 2, "0.00"},
        {-0.01, 2, "-0.01"},
        {1.005, 1, "1.0"},
        {12.5, 0, "12"},
        {13.5, 0, "14"},
        {-7.25, 1, "-7.2"},
        {1e9, 9, "1000000000.000000000"},
        {NAN, 2, "NaN"},
        {INFINITY, 2, "+Inf"},
        {-INFINITY, 0, "-Inf"},
        {99.999, 2, "100.00"},
    };
    struct buf buf;

    buf_init(&buf, 400);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        buf_reset(&buf);
        buf_put_double_fixed(&buf, cases[i].value, cases[i].decimals);
        assert_string_equal(buf.data, cases[i].text);
    }
    /* The longest there is: 309 digits, a sign, a point, 9 decimals. */
    buf_reset(&buf);
    buf_put_double_fixed(&buf, -1.7976931348623157e308, 9);
    assert_int_equal(buf.len, 320);
    buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_buffer_is_empty_text),
        cmocka_unit_test(appends_and_terminates),
        cmocka_unit_test(limit_is_exact),
        cmocka_unit_test(errors_stick_until_reset),
        cmocka_unit_test(reserve_makes_room),
        cmocka_unit_test(printf_grows_and_stops),
        cmocka_unit_test(u64_as_printf),
        cmocka_unit_test(i64_edges),
        cmocka_unit_test(fixed_has_no_trailing_zeros),
        cmocka_unit_test(fixed_reads_back),
        cmocka_unit_test(double_reads_back),
        cmocka_unit_test(double_as_printf),
        cmocka_unit_test(double_texts),
        cmocka_unit_test(double_fixed_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
