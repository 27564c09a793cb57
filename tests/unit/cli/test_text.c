/* SPDX-License-Identifier: Apache-2.0 */
/* Columns, cleaning, quantities, near words, tables, means. */
#include "files.h"

#include <math.h>

#include "cli/table.h"
#include "cli/text.h"
#include "cli/welford.h"

static void assert_clean(const char *given, const char *want)
{
    char text[64];

    snprintf(text, sizeof(text), "%s", given);
    text_clean(text);
    assert_string_equal(text, want);
}

static void cleans_controls_and_broken_utf8(void **state)
{
    assert_clean("", "");
    assert_clean("plain \u00e9\u30c7\U0001F600", "plain \u00e9\u30c7\U0001F600");
    assert_clean("a\x1b[2Jb\tc\n", "a?[2Jb?c?");
    assert_clean("\x7f", "?");
    assert_clean("\xc2\x9b", "??");         /* CSI as one character */
    assert_clean("\xe2\x80\xae", "\?\?\?"); /* right-to-left override */
    assert_clean("\xff\xfe", "??");
    assert_clean("\xc0\xaf", "??");               /* overlong */
    assert_clean("\xe0\x80\x80", "\?\?\?");       /* overlong */
    assert_clean("\xed\xa0\x80", "\?\?\?");       /* surrogate */
    assert_clean("\xf4\x90\x80\x80", "\?\?\?\?"); /* beyond Unicode */
    assert_clean("\xe3\x83", "??");               /* cut */
}

static void counts_columns(void **state)
{
    assert_int_equal(text_width(""), 0);
    assert_int_equal(text_width("abc"), 3);
    assert_int_equal(text_width("\u00e9t\u00e9"), 3);
    assert_int_equal(text_width("e\u0301"), 1);
    assert_int_equal(text_width("\u30c7\u30fc\u30bf"), 6);
    assert_int_equal(text_width("\U0001F600"), 2);
}

static void assert_fit(const char *text, unsigned width, bool right, bool utf8, const char *want)
{
    struct buf out;

    buf_init(&out, 200);
    text_fit(&out, text, width, right, utf8);
    assert_string_equal(buf_str(&out), want);
    buf_done(&out);
}

static void fits_text_to_columns(void **state)
{
    assert_fit("ab", 4, false, true, "ab  ");
    assert_fit("ab", 4, true, true, "  ab");
    assert_fit("abcdef", 4, false, true, "abc\u2026");
    assert_fit("abcdef", 4, false, false, "abc~");
    assert_fit("\u30c7\u30fc\u30bf", 4, false, true, "\u30c7\u2026 "); /* the second would need columns 3 and 4 */
    assert_fit("\u00e9", 3, false, false, "?  ");
    assert_fit("abc", 0, false, true, "");
    assert_fit("abc", 1, false, true, "\u2026");
    assert_fit("", 3, false, true, "   ");
}

#define assert_human(call, want)                                                                                       \
    do {                                                                                                               \
        struct buf out;                                                                                                \
        buf_init(&out, 100);                                                                                           \
        call;                                                                                                          \
        assert_string_equal(buf_str(&out), want);                                                                      \
        buf_done(&out);                                                                                                \
    } while (0)

static void chooses_units(void **state)
{
    assert_human(human_energy(&out, 0), "0 J");
    assert_human(human_time(&out, 0), "0 s");
    assert_human(human_energy(&out, 1), "0.001 mJ");
    assert_human(human_energy(&out, 182400000), "182.4 J");
    assert_human(human_energy(&out, 999949000), "999.9 J");
    assert_human(human_energy(&out, 999950000), "1.000 kJ");
    assert_human(human_energy(&out, 3.6e12), "3.600 MJ");
    assert_human(human_power(&out, 14700000), "14.70 W");
    assert_human(human_mass(&out, 2839), "2.839 mg");
    assert_human(human_mass(&out, 2.5e9), "2.500 kg");
    assert_human(human_mass(&out, 0.1), "< 0.001 mg");
    assert_human(human_mass(&out, 0), "0 g");
    assert_human(human_bytes(&out, 512), "512 B");
    assert_human(human_bytes(&out, 14680064), "14.0 MiB");
}

static void tells_time(void **state)
{
    assert_human(human_time(&out, 845200), "0.845 ms");
    assert_human(human_time(&out, 845.2e6), "845.2 ms");
    assert_human(human_time(&out, 12.41e9), "12.41 s");
    assert_human(human_time(&out, 59.994e9), "59.99 s");
    assert_human(human_time(&out, 59.995e9), "1 min 00.0 s");
    assert_human(human_time(&out, 184.1e9), "3 min 04.1 s");
    assert_human(human_time(&out, 3599.96e9), "1 h 00 min 00 s");
    assert_human(human_time(&out, 93784e9), "26 h 03 min 04 s");
}

static void writes_significant_digits(void **state)
{
    assert_human(human_significant(&out, 0, 3), "0");
    assert_human(human_significant(&out, 0.00005067, 3), "0.0000507");
    assert_human(human_significant(&out, 0.0507, 3), "0.0507");
    assert_human(human_significant(&out, 56.04, 3), "56.0");
    assert_human(human_significant(&out, 473.2, 3), "473");
    assert_human(human_significant(&out, 1234567, 3), "1234567");
    assert_human(human_significant(&out, 1e-12, 3), "0.000000000");
    assert_human(human_significant(&out, NAN, 3), "NaN");
}

static void finds_near_words(void **state)
{
    static const char *const words[] = {"run", "top", "doctor", "help", "version", NULL};

    assert_string_equal(text_nearest("rn", words), "run");
    assert_string_equal(text_nearest("rum", words), "run");
    assert_string_equal(text_nearest("tpo", words), "top");
    assert_string_equal(text_nearest("docter", words), "doctor");
    assert_string_equal(text_nearest("versions", words), "version");
    assert_null(text_nearest("measure", words));
    assert_null(text_nearest("xyz", words));
    assert_null(text_nearest("", words));
}

static void lays_out_a_table(void **state)
{
    static const struct table_column columns[] = {
        {.title = "W", .right = true}, {.title = "NAME", .max_width = 8, .gives_way = true}, {.title = "PATH"}};
    struct table table;
    struct buf out;

    buf_init(&out, 1000);
    table_init(&table, columns, ELEMENTSOF(columns));
    table_add(&table, "1.5");
    table_add(&table, "caf\u00e9");
    table_add(&table, "/a");
    table_add(&table, "10.25");
    table_add(&table, "a name that is long");
    table_add(&table, "");
    assert_int_equal(table_write(&table, &out, 0, true), 0);
    assert_string_equal(buf_str(&out), "    W  NAME      PATH\n"
                                       "  1.5  caf\u00e9      /a\n"
                                       "10.25  a name \u2026\n");
    buf_reset(&out);
    assert_int_equal(table_write(&table, &out, 19, false), 0); /* NAME gives way, not below 6 */
    assert_string_equal(buf_str(&out), "    W  NAME    PATH\n"
                                       "  1.5  caf?    /a\n"
                                       "10.25  a nam~\n");
    table_reset(&table);
    table_add(&table, "one cell of three");
    assert_true(table_write(&table, &out, 0, true) < 0);
    table_done(&table);
    buf_done(&out);
}

static void welford_agrees_with_two_passes(void **state)
{
    /* large and alike: the naive sum of squares loses every digit here */
    static const double values[] = {1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16};
    struct welford w = {0};

    for (size_t i = 0; i < ELEMENTSOF(values); i++)
        welford_add(&w, values[i]);
    assert_int_equal(w.n, 4);
    assert_true(w.mean == 1e9 + 10);
    assert_true(fabs(welford_stddev(&w) - sqrt(30.0)) < 1e-9); /* 36 + 9 + 9 + 36 over 3 */

    struct welford one = {0};
    welford_add(&one, 5);
    assert_true(one.mean == 5 && welford_stddev(&one) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleans_controls_and_broken_utf8),
        cmocka_unit_test(counts_columns),
        cmocka_unit_test(fits_text_to_columns),
        cmocka_unit_test(chooses_units),
        cmocka_unit_test(tells_time),
        cmocka_unit_test(writes_significant_digits),
        cmocka_unit_test(finds_near_words),
        cmocka_unit_test(lays_out_a_table),
        cmocka_unit_test(welford_agrees_with_two_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
