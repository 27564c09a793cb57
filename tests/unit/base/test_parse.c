/* SPDX-License-Identifier: Apache-2.0 */
/* The parsers: each form taken, each other form refused, outputs untouched on failure. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "unit_test.h"

/* What outputs hold before a call that must not write them. */
#define UNTOUCHED 0xDEADBEEFCAFEULL

static void texts_compare_and_trim(void **state)
{
    assert_true(text_is(text_of("abc"), "abc"));
    assert_false(text_is(text_of("abc"), "ab"));
    assert_false(text_is(text_of("ab"), "abc"));
    assert_true(text_is((struct text){NULL, 0}, ""));
    assert_false(text_is((struct text){NULL, 0}, "a"));
    assert_true(text_starts(text_of("abc"), "ab"));
    assert_true(text_starts(text_of("abc"), ""));
    assert_false(text_starts(text_of("a"), "ab"));
    assert_true(text_ends(text_of("a.service"), ".service"));
    assert_false(text_ends(text_of("service"), ".service"));
    assert_true(text_ends((struct text){NULL, 0}, ""));
    assert_true(text_is(text_trim(text_of(" \t\r\na b\n ")), "a b"));
    assert_true(text_is(text_trim(text_of(" \n")), ""));
    assert_true(text_is(text_trim((struct text){NULL, 0}), ""));
}

static void u64(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"007", 0, 7},
        {"18446744073709551615", 0, UINT64_MAX},
        {"00000000000000000000000000001", 0, 1},
        {"18446744073709551616", -ERANGE, 0},
        {"99999999999999999999999", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"12x", -EINVAL, 0},
        {"99999999999999999999999x", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"1\n", -EINVAL, 0},
        {"0x1", -EINVAL, 0},
        {"1.0", -EINVAL, 0},
        {"\xD9\xA1", -EINVAL, 0}, /* a digit, but of another script */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        uint64_t value = UNTOUCHED;
        assert_int_equal(parse_u64(text_of(cases[i].text), &value), cases[i].result);
        assert_true(value == (cases[i].result ? UNTOUCHED : cases[i].value));
    }
}

static void i64(void **state)
{
    static const struct {
        const char *text;
        int result;
        int64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"-1", 0, -1},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", -ERANGE, 0},
        {"-9223372036854775809", -ERANGE, 0},
        {"99999999999999999999", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"-", -EINVAL, 0},
        {"--1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {"- 1", -EINVAL, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        int64_t value = (int64_t)UNTOUCHED;
        assert_int_equal(parse_i64(text_of(cases[i].text), &value), cases[i].result);
        assert_true(value == (cases[i].result ? (int64_t)UNTOUCHED : cases[i].value));
    }
}

static void hex64(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"0x0", 0, 0},
        {"ff", 0, 255},
        {"0xFf", 0, 255},
        {"0Xab", 0, 171},
        {"ffffffffffffffff", 0, UINT64_MAX},
        {"0xffffffffffffffff", 0, UINT64_MAX},
        {"10000000000000000", -ERANGE, 0},
        {"00000000000000001", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"0x", -EINVAL, 0},
        {"0x0x1", -EINVAL, 0},
        {"g", -EINVAL, 0},
        {"@", -EINVAL, 0},
        {"`", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        uint64_t value = UNTOUCHED;
        assert_int_equal(parse_hex64(text_of(cases[i].text), &value), cases[i].result);
        assert_true(value == (cases[i].result ? UNTOUCHED : cases[i].value));
    }
}

static void f64(void **state)
{
    static const struct {
        const char *text;
        int result;
        double value;
    } cases[] = {
        {"0", 0, 0},
        {"-0", 0, -0.0},
        {"1", 0, 1},
        {"+1.5", 0, 1.5},
        {"-1.5e3", 0, -1500},
        {"1e-3", 0, 0.001},
        {"1E+3", 0, 1000},
        {"0.1", 0, 0.1},
        {"4.9e-324", 0, 4.9e-324},
        {"1e-400", 0, 0},
        {"1.7976931348623157e308", 0, 1.7976931348623157e308},
        {"1e309", -ERANGE, 0},
        {"-1e309", -ERANGE, 0},
        {"", -EINVAL, 0},
        {".5", -EINVAL, 0},
        {"5.", -EINVAL, 0},
        {"1e", -EINVAL, 0},
        {"1e+", -EINVAL, 0},
        {"e5", -EINVAL, 0},
        {"--1", -EINVAL, 0},
        {"1,5", -EINVAL, 0},
        {"1.5.5", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {"inf", -EINVAL, 0},
        {"nan", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"1x", -EINVAL, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        double value = 123456, expected = cases[i].result ? 123456 : cases[i].value;
        assert_int_equal(parse_f64(text_of(cases[i].text), &value), cases[i].result);
        assert_memory_equal(&value, &expected, sizeof(value));
    }
}

static void f64_length_limit(void **state)
{
    char text[200];
    double value = 5;

    memset(text, '0', sizeof(text));
    text[126] = '1';
    assert_int_equal(parse_f64((struct text){text, 127}, &value), 0);
    assert_true(value == 1);
    assert_int_equal(parse_f64((struct text){text, 128}, &value), -ERANGE);
    assert_true(value == 1);
}

static void fixed(void **state)
{
    static const struct {
        const char *text;
        unsigned decimals;
        int result;
        uint64_t value;
    } cases[] = {
        {"43.60", 6, 0, 43600000},
        {"43.6049", 2, 0, 4360}, /* cut, not rounded */
        {"0", 6, 0, 0},
        {"007.5", 1, 0, 75},
        {"18446744073709551615", 0, 0, UINT64_MAX},
        {"18446744073709.551615", 6, 0, UINT64_MAX},
        {"18446744073709.551616", 6, -ERANGE, 0},
        {"18446744073709551616", 0, -ERANGE, 0},
        {"1844674407370956", 6, -ERANGE, 0},
        {"", 6, -EINVAL, 0},
        {".5", 6, -EINVAL, 0},
        {"5.", 6, -EINVAL, 0},
        {"-5", 6, -EINVAL, 0},
        {"+5", 6, -EINVAL, 0},
        {"1e3", 6, -EINVAL, 0},
        {"1.2.3", 6, -EINVAL, 0},
        {"1,5", 6, -EINVAL, 0},
        {" 5", 6, -EINVAL, 0},
        {"N/A", 6, -EINVAL, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        uint64_t value = 77;

        assert_int_equal(parse_fixed(text_of(cases[i].text), cases[i].decimals, &value), cases[i].result);
        assert_int_equal(value, cases[i].result == 0 ? cases[i].value : 77);
    }
}

static void bools(void **state)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    static const char *const neither[] = {"", "True", "y", "2", "true ", "tru", "trueX"};
    bool value;

    for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
        value = false;
        assert_int_equal(parse_bool(text_of(yes[i]), &value), 0);
        assert_true(value);
        assert_int_equal(parse_bool(text_of(no[i]), &value), 0);
        assert_false(value);
    }
    for (size_t i = 0; i < ELEMENTSOF(neither); i++) {
        value = true;
        assert_int_equal(parse_bool(text_of(neither[i]), &value), -EINVAL);
        assert_true(value);
    }
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } cases[] = {
        {"100ms", 0, 100 * NS_PER_MS},
        {"1s", 0, NS_PER_SEC},
        {"0s", 0, 0},
        {"1h30m", 0, 5400 * NS_PER_SEC},
        {"2d", 0, 172800 * NS_PER_SEC},
        {"1w", 0, 604800 * NS_PER_SEC},
        {"1w1d1h1m1s1ms1us1ns", 0, 694861 * NS_PER_SEC + 1001001},
        {"5us", 0, 5000},
        {"18446744073709551615ns", 0, UINT64_MAX},
        {"18446744073709551616ns", -ERANGE, 0},
        {"1s18446744073709551615ns", -ERANGE, 0},
        {"99999999999d", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"5", -EINVAL, 0},
        {"s", -EINVAL, 0},
        {"1m1h", -EINVAL, 0},
        {"1s1s", -EINVAL, 0},
        {"1.5s", -EINVAL, 0},
        {"-1s", -EINVAL, 0},
        {"1 s", -EINVAL, 0},
        {"1S", -EINVAL, 0},
        {"1sec", -EINVAL, 0},
        {"1s5", -EINVAL, 0},
        {"99999999999999999999x", -EINVAL, 0},
        {"99999999999999999999s1x", -EINVAL, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        uint64_t value = UNTOUCHED;
        assert_int_equal(parse_duration_ns(text_of(cases[i].text), &value), cases[i].result);
        assert_true(value == (cases[i].result ? UNTOUCHED : cases[i].value));
    }
}

static void byte_sizes(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } cases[] = {
        {"64", 0, 64},
        {"64B", 0, 64},
        {"16KiB", 0, 16384},
        {"1kB", 0, 1000},
        {"1KB", 0, 1000},
        {"1MB", 0, 1000000},
        {"1MiB", 0, 1048576},
        {"3GiB", 0, 3221225472},
        {"1TB", 0, 1000000000000},
        {"2PiB", 0, 2251799813685248},
        {"16383PiB", 0, 16383ULL << 50},
        {"16384PiB", -ERANGE, 0},
        {"18446744073709551616", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"KiB", -EINVAL, 0},
        {"1K", -EINVAL, 0},
        {"1mb", -EINVAL, 0},
        {"1 MB", -EINVAL, 0},
        {"1.5MB", -EINVAL, 0},
        {"1MBs", -EINVAL, 0},
        {"1MB1", -EINVAL, 0},
        {"99999999999999999999Q", -EINVAL, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        uint64_t value = UNTOUCHED;
        assert_int_equal(parse_bytes(text_of(cases[i].text), &value), cases[i].result);
        assert_true(value == (cases[i].result ? UNTOUCHED : cases[i].value));
    }
}

static void scan_lines(void **state)
{
    struct text rest = text_of("a\n\nb"), line;

    assert_true(scan_line(&rest, &line));
    assert_true(text_is(line, "a"));
    assert_true(scan_line(&rest, &line));
    assert_true(text_is(line, ""));
    assert_true(scan_line(&rest, &line));
    assert_true(text_is(line, "b"));
    assert_false(scan_line(&rest, &line));
    assert_true(text_is(line, "b"));

    rest = text_of("x\n");
    assert_true(scan_line(&rest, &line));
    assert_false(scan_line(&rest, &line));
    rest = (struct text){NULL, 0};
    assert_false(scan_line(&rest, &line));
}

static void scan_words(void **state)
{
    struct text rest = text_of(" \tcpu  12\t\n "), word;

    assert_true(scan_word(&rest, &word));
    assert_true(text_is(word, "cpu"));
    assert_true(scan_word(&rest, &word));
    assert_true(text_is(word, "12"));
    assert_true(scan_word(&rest, &word));
    assert_true(text_is(word, "\n")); /* lines are scan_line's */
    assert_false(scan_word(&rest, &word));
    assert_int_equal(rest.n, 0);
}

static void scan_parts(void **state)
{
    struct text rest = text_of("a::b:"), part;

    assert_true(scan_until(&rest, ':', &part));
    assert_true(text_is(part, "a"));
    assert_true(scan_until(&rest, ':', &part));
    assert_true(text_is(part, ""));
    assert_true(scan_until(&rest, ':', &part));
    assert_true(text_is(part, "b"));
    assert_false(scan_until(&rest, ':', &part)); /* nothing behind the last one */
}

static void scan_numbers(void **state)
{
    struct text rest = text_of(" 12 kB 18446744073709551616");
    uint64_t value = 0;

    assert_int_equal(scan_u64(&rest, &value), 0);
    assert_int_equal(value, 12);
    assert_true(text_is(rest, " kB 18446744073709551616"));
    assert_int_equal(scan_u64(&rest, &value), -EINVAL);
    assert_true(text_is(rest, " kB 18446744073709551616"));
    rest = text_of("18446744073709551616 1");
    assert_int_equal(scan_u64(&rest, &value), -ERANGE);
    assert_true(text_is(rest, "18446744073709551616 1"));
    assert_int_equal(value, 12);
    rest = (struct text){NULL, 0};
    assert_int_equal(scan_u64(&rest, &value), -EINVAL);
}

static void cpulists(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t low, high;
    } cases[] = {
        {"", 0, 0, 0},
        {"\n", 0, 0, 0},
        {"0", 0, 1, 0},
        {"0-3,8,10-11\n", 0, 0xD0F, 0},
        {"63-64", 0, 1ULL << 63, 1},
        {"0-99", 0, UINT64_MAX, (1ULL << 36) - 1},
        {"99", 0, 0, 1ULL << 35},
        {"5,5,4-6", 0, 0x70, 0},
        {"100", -ERANGE, 0, 0},
        {"0-100", -ERANGE, 0, 0},
        {"18446744073709551616", -ERANGE, 0, 0},
        {"0-18446744073709551615", -ERANGE, 0, 0},
        {"100,x", -EINVAL, 0, 0},
        {"3-1", -EINVAL, 0, 0},
        {"1-", -EINVAL, 0, 0},
        {"-1", -EINVAL, 0, 0},
        {"-", -EINVAL, 0, 0},
        {"1-2-3", -EINVAL, 0, 0},
        {",", -EINVAL, 0, 0},
        {"1,", -EINVAL, 0, 0},
        {",1", -EINVAL, 0, 0},
        {"1,,2", -EINVAL, 0, 0},
        {"1 2", -EINVAL, 0, 0},
        {"0-3:1/2", -EINVAL, 0, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        uint64_t bits[3] = {UNTOUCHED, UNTOUCHED, UNTOUCHED};
        bool failed = cases[i].result < 0;
        assert_int_equal(parse_cpulist(text_of(cases[i].text), bits, 100), cases[i].result);
        assert_true(bits[0] == (failed ? UNTOUCHED : cases[i].low));
        assert_true(bits[1] == (failed ? UNTOUCHED : cases[i].high));
        assert_true(bits[2] == UNTOUCHED); /* beyond 100 bits */
    }
    assert_int_equal(parse_cpulist(text_of(""), NULL, 0), 0);
    assert_int_equal(parse_cpulist(text_of("0"), NULL, 0), -ERANGE);
}

static void copies_printing_text(void **state)
{
    char out[8];

    assert_int_equal(text_copy_printing(text_of("a~ \033[m\x80"), out, sizeof(out)), 7);
    assert_string_equal(out, "a~ ?[m?");
    assert_int_equal(text_copy_printing(text_of("0123456789"), out, sizeof(out)), 7);
    assert_string_equal(out, "0123456");
    assert_int_equal(text_copy_printing((struct text){"ab\0c", 4}, out, sizeof(out)), 4);
    assert_string_equal(out, "ab?c");
    assert_int_equal(text_copy_printing(text_of("x"), out, 1), 0);
    assert_string_equal(out, "");
    assert_int_equal(text_copy_printing((struct text){NULL, 0}, out, sizeof(out)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_printing_text),
        cmocka_unit_test(texts_compare_and_trim),
        cmocka_unit_test(u64),
        cmocka_unit_test(i64),
        cmocka_unit_test(hex64),
        cmocka_unit_test(f64),
        cmocka_unit_test(f64_length_limit),
        cmocka_unit_test(fixed),
        cmocka_unit_test(bools),
        cmocka_unit_test(durations),
        cmocka_unit_test(byte_sizes),
        cmocka_unit_test(scan_lines),
        cmocka_unit_test(scan_words),
        cmocka_unit_test(scan_parts),
        cmocka_unit_test(scan_numbers),
        cmocka_unit_test(cpulists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
