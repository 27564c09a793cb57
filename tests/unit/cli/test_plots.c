/* SPDX-License-Identifier: Apache-2.0 */
/* Plots: no peak is lost in whatever length, SVG is well-formed whatever the words in it, text plots fit. */
#include "files.h"

#include <expat.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/svg.h"
#include "cli/term_plot.h"

static struct plot_series series, other;
static uint64_t low_uw, high_uw;

/* --- columns --- */

static void ranges(void **state)
{
    plot_series_init(&series, 10);
    assert_false(plot_series_range(&series, 0, UINT64_MAX, &low_uw, &high_uw));
    plot_series_add(&series, 0, 10, 5);
    plot_series_add(&series, 30, 45, 7);   /* a hole before it */
    plot_series_add(&series, 45, 45, 900); /* no time, no value */
    assert_int_equal(plot_series_end_ns(&series), 50);
    assert_true(plot_series_range(&series, 0, 10, &low_uw, &high_uw));
    assert_int_equal(high_uw, 5);
    assert_false(plot_series_range(&series, 10, 30, &low_uw, &high_uw));
    assert_true(plot_series_range(&series, 0, 100, &low_uw, &high_uw));
    assert_int_equal(low_uw, 5);
    assert_int_equal(high_uw, 7);
    assert_false(plot_series_range(&series, 5, 5, &low_uw, &high_uw));
}

/* Ten million readings in fixed memory: one of them is a peak, one a dip, each still in its place. */
static void peaks_survive(void **state)
{
    const uint64_t n = 10000000, peak = 7654321, dip = 1234567;

    plot_series_init(&series, NS_PER_MS);
    for (uint64_t i = 0; i < n; i++)
        plot_series_add(&series, i * NS_PER_MS, (i + 1) * NS_PER_MS, i == peak ? 900 : i == dip ? 3 : 50);
    assert_true(plot_series_end_ns(&series) >= n * NS_PER_MS);
    assert_true(series.n_columns > PLOT_COLUMNS / 2);
    assert_true(plot_series_range(&series, 0, UINT64_MAX, &low_uw, &high_uw));
    assert_int_equal(low_uw, 3);
    assert_int_equal(high_uw, 900);
    for (size_t i = 0; i < series.n_columns; i++) {
        uint64_t first = i * series.column_ns / NS_PER_MS, last = (i + 1) * series.column_ns / NS_PER_MS;
        assert_true(series.columns[i].used);
        assert_int_equal(series.columns[i].high_uw == 900, peak >= first && peak < last);
        assert_int_equal(series.columns[i].low_uw == 3, dip >= first && dip < last);
    }
}

static void far_in_the_future(void **state)
{
    plot_series_init(&series, 0);
    plot_series_add(&series, 0, 1, 8);
    plot_series_add(&series, UINT64_MAX / 4, UINT64_MAX / 4 + 1, 9);
    assert_true(plot_series_range(&series, 0, UINT64_MAX, &low_uw, &high_uw));
    assert_int_equal(low_uw, 8);
    assert_int_equal(high_uw, 9);
}

/* --- SVG --- */

struct seen {
    unsigned elements, paths;
    bool forbidden; /* anything that is run or fetched */
    char title[512];
    bool in_title;
};

static void on_start(void *userdata, const XML_Char *name, const XML_Char **attributes)
{
    struct seen *seen = userdata;

    seen->elements++;
    seen->paths += strcmp(name, "path") == 0;
    seen->in_title = strcmp(name, "title") == 0;
    seen->forbidden |= strcmp(name, "script") == 0 || strcmp(name, "style") == 0 || strcmp(name, "image") == 0;
    for (size_t i = 0; attributes[i]; i += 2)
        seen->forbidden |= strncmp(attributes[i], "on", 2) == 0 || strstr(attributes[i], "href") != NULL;
}

static void on_end(void *userdata, const XML_Char *name)
{
    ((struct seen *)userdata)->in_title = false;
}

static void on_text(void *userdata, const XML_Char *text, int len)
{
    struct seen *seen = userdata;
    size_t have = strlen(seen->title);

    if (seen->in_title)
        snprintf(seen->title + have, sizeof(seen->title) - have, "%.*s", len, text);
}

static struct seen parse(const struct svg_plot *plot)
{
    XML_Parser parser = XML_ParserCreate(NULL);
    struct seen seen = {0};
    struct buf out;

    buf_init(&out, SVG_BYTES_MAX);
    assert_int_equal(svg_write(plot, &out), 0);
    XML_SetUserData(parser, &seen);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    if (XML_Parse(parser, out.data, (int)out.len, 1) != XML_STATUS_OK)
        fail_msg("%s in line %lu of\n%s", XML_ErrorString(XML_GetErrorCode(parser)),
                 (unsigned long)XML_GetCurrentLineNumber(parser), buf_str(&out));
    XML_ParserFree(parser);
    assert_false(seen.forbidden);
    assert_null(strstr(buf_str(&out), "nan"));
    buf_done(&out);
    return seen;
}

static void svg_with_hostile_words(void **state)
{
    struct svg_series all[] = {{.name = "</text><script>alert(1)</script>", .series = &series},
                               {.name = "\xff\xfe\x01 ]]> & \" ' \xef\xbf\xbf", .series = &other}};
    struct svg_plot plot = {.title = "sh -c 'a <b> && c' \x1b[2J\n\xed\xa0\x80",
                            .subtitle = "]]>",
                            .series = all,
                            .n_series = 2,
                            .end_ns = 20};

    plot_series_init(&series, 10);
    plot_series_add(&series, 0, 10, 5000000);
    plot_series_init(&other, 10);
    plot_series_add(&other, 0, 20, 900);
    struct seen seen = parse(&plot);
    assert_int_equal(seen.paths, 2);
    assert_string_equal(seen.title, "sh -c 'a <b> && c' ?[2J?\?\?\?");
}

static void svg_of_nothing(void **state)
{
    struct svg_series one = {.name = "package-0", .series = &series};
    struct svg_plot plot = {.title = "", .subtitle = ""};

    assert_int_equal(parse(&plot).paths, 0);
    plot_series_init(&series, 1);
    plot.series = &one;
    plot.n_series = 1;
    assert_int_equal(parse(&plot).paths, 1);
    plot_series_add(&series, 0, 1000, 0); /* 0 W all the time */
    plot.end_ns = 1000;
    parse(&plot);
    plot_series_add(&series, 0, 1000, UINT64_MAX / 4); /* absurd, but a picture all the same */
    parse(&plot);
}

static void svg_of_many(void **state)
{
    enum { N = 128 };
    static struct svg_series all[N];
    struct svg_plot plot = {.title = "t", .subtitle = "s", .series = all, .n_series = N, .end_ns = 3 * NS_PER_SEC};

    plot_series_init(&series, NS_PER_MS);
    for (uint64_t i = 0; i < 3000; i++)
        if (i % 100 > 10) /* with holes */
            plot_series_add(&series, i * NS_PER_MS, (i + 1) * NS_PER_MS, i * i % 77 * 1000000);
    for (size_t i = 0; i < N; i++)
        all[i] = (struct svg_series){.name = "package-0", .series = &series};
    assert_int_equal(parse(&plot).paths, N);
}

static void ticks(void **state)
{
    assert_int_equal(svg_tick_step(0, 10), 1);
    assert_int_equal(svg_tick_step(10, 10), 1);
    assert_int_equal(svg_tick_step(11, 10), 2);
    assert_int_equal(svg_tick_step(21, 10), 5);
    assert_int_equal(svg_tick_step(600, 6), 100);
    assert_int_equal(svg_tick_step(601, 6), 200);
    for (uint64_t range = 1; range < UINT64_MAX / 3; range *= 3) {
        uint64_t step = svg_tick_step(range, 7);
        assert_true((range + step - 1) / step <= 7);
    }
    assert_true(svg_tick_step(UINT64_MAX, 2) >= UINT64_MAX / 2);
}

/* --- text --- */

static void assert_plot(const struct term_plot *plot, const char *want)
{
    struct buf out;

    buf_init(&out, 65536);
    term_plot(&series, plot, &out);
    assert_string_equal(buf_str(&out), want);
    buf_done(&out);
}

static void text_plots(void **state)
{
    struct term_plot plot = {.width = 9, .height = 2, .end_ns = 9 * NS_PER_SEC, .top_uw = 16000000, .utf8 = true};

    plot_series_init(&series, NS_PER_SEC);
    for (uint64_t i = 0; i < 7; i++)
        plot_series_add(&series, i * NS_PER_SEC, (i + 1) * NS_PER_SEC, i == 3 ? 99000000 : i * 2000000);
    assert_plot(&plot, "   16.00 W\u2502   \u2588 \u2582\u2584  \n"
                       "       0 W\u2502 \u2582\u2584\u2588\u2588\u2588\u2588  \n"
                       "          \u2514\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\n"
                       "           0 9.000 s\n");
    plot.utf8 = false;
    assert_plot(&plot, "   16.00 W|   # .:  \n"
                       "       0 W| .:####  \n"
                       "          +---------\n"
                       "           0 9.000 s\n");
    plot.top_uw = 0;
    assert_plot(&plot, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(peaks_survive),
        cmocka_unit_test(far_in_the_future),
        cmocka_unit_test(svg_with_hostile_words),
        cmocka_unit_test(svg_of_nothing),
        cmocka_unit_test(svg_of_many),
        cmocka_unit_test(ticks),
        cmocka_unit_test(text_plots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
