/* SPDX-License-Identifier: Apache-2.0 */
/* The exposition against golden files, against OpenMetrics' own rules, and without a single allocation once warm.
 *
 * "--print text" or "--print openmetrics" writes the exposition to standard output: for promtool.sh, and to look at a
 * change of the golden files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/parse.h"
#include "fake_batch.h"
#include "sinks/prometheus.h"

#define FILE_MAX (1U << 20)

static unsigned long allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    allocations++;
    return __real_realloc(p, size);
}

static const struct prometheus_options with_processes = {.processes = true, .http_requests = 7, .http_errors = 1};

static void write_fake(enum prometheus_format format, const struct prometheus_options *options, struct buf *out)
{
    struct batch batch;

    fake_batch_init(&batch);
    buf_init(out, PROMETHEUS_BYTES_MAX);
    assert_int_equal(prometheus_write(&batch, format, options, out), 0);
}

static void read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    char piece[4096];
    size_t n;

    if (!file)
        fail_msg("cannot open %s", path);
    buf_init(out, FILE_MAX);
    while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
        buf_append(out, piece, n);
    fclose(file);
    assert_int_equal(buf_error(out), 0);
}

static void check_golden(const char *path, enum prometheus_format format)
{
    struct buf want, got;
    struct text want_rest, got_rest, want_line, got_line;

    read_file(path, &want);
    write_fake(format, &with_processes, &got);
    want_rest = text_of(buf_str(&want));
    got_rest = text_of(buf_str(&got));
    for (unsigned line = 1; scan_line(&want_rest, &want_line); line++) {
        if (!scan_line(&got_rest, &got_line))
            fail_msg("%s:%u: output ends here", path, line);
        if (want_line.n != got_line.n || memcmp(want_line.p, got_line.p, want_line.n) != 0)
            fail_msg("%s:%u: wanted\n%.*s\ngot\n%.*s", path, line, (int)want_line.n, want_line.p, (int)got_line.n,
                     got_line.p);
    }
    assert_int_equal(got_rest.n, 0);
    assert_int_equal(want.len, got.len);
    buf_done(&want);
    buf_done(&got);
}

static void test_golden_text(void **state)
{
    check_golden(GOLDEN_DIR "/text.prom", PROMETHEUS_TEXT_004);
}

static void test_golden_openmetrics(void **state)
{
    check_golden(GOLDEN_DIR "/openmetrics.txt", PROMETHEUS_OPENMETRICS_100);
}

static void test_fake_batch_conserves(void **state)
{
    struct batch batch;

    fake_batch_init(&batch);
    assert_int_equal(batch_conservation_error_uj(&batch), 0);
}

/* --- A strict little reader of both formats -------------------------------------------------------------------------
 */

#define SAMPLES_MAX  512
#define FAMILIES_MAX 128

struct checker {
    bool openmetrics;
    struct text family, type, unit;
    struct text families[FAMILIES_MAX];
    size_t n_families;
    struct text samples[SAMPLES_MAX]; /* name and labels */
    size_t n_samples;
    bool eof, has_type;
};

static bool same(struct text a, struct text b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static struct text word(struct text *rest)
{
    struct text w = {0};

    assert_true(scan_until(rest, ' ', &w));
    return w;
}

/* A family begins with its HELP and never comes back. */
static void check_help(struct checker *c, struct text rest)
{
    c->family = word(&rest);
    assert_true(rest.n > 0);
    for (size_t i = 0; i < c->n_families; i++)
        assert_false(same(c->families[i], c->family));
    assert_true(c->n_families < FAMILIES_MAX);
    c->families[c->n_families++] = c->family;
    c->has_type = false;
    c->unit = (struct text){0};
}

static void check_type(struct checker *c, struct text rest)
{
    assert_true(same(word(&rest), c->family));
    assert_false(c->has_type);
    c->type = rest;
    c->has_type = true;
    assert_true(text_is(rest, "counter") || text_is(rest, "gauge") || (c->openmetrics && text_is(rest, "info")));
    if (text_is(rest, "counter"))
        assert_int_equal(text_ends(c->family, "_total"), !c->openmetrics);
    else
        assert_false(text_ends(c->family, "_total"));
}

/* OpenMetrics 1.0: the unit is the end of the family's name, after an underscore. */
static void check_unit(struct checker *c, struct text rest)
{
    assert_true(c->openmetrics && same(word(&rest), c->family) && c->has_type && rest.n > 0);
    c->unit = rest;
    assert_true(c->family.n > rest.n + 1);
    assert_true(same((struct text){c->family.p + c->family.n - rest.n, rest.n}, rest));
    assert_int_equal(c->family.p[c->family.n - rest.n - 1], '_');
}

/* {a="b",c="d"}: quotes closed, escapes known, names plain. Returns what follows the brace. */
static struct text check_labels(struct text t)
{
    size_t i = 1;

    assert_true(t.n > 2 && t.p[0] == '{');
    for (;;) {
        size_t key = i;
        while (i < t.n && ((t.p[i] >= 'a' && t.p[i] <= 'z') || t.p[i] == '_'))
            i++;
        assert_true(i > key && i + 1 < t.n && t.p[i] == '=' && t.p[i + 1] == '"');
        for (i += 2; i < t.n && t.p[i] != '"'; i++) {
            if (t.p[i] == '\\') {
                i++;
                assert_true(i < t.n && (t.p[i] == '\\' || t.p[i] == '"' || t.p[i] == 'n'));
            }
        }
        assert_true(i + 1 < t.n);
        i++;
        if (t.p[i] == '}')
            return (struct text){t.p + i + 1, t.n - i - 1};
        assert_int_equal(t.p[i], ',');
        i++;
    }
}

static void check_sample(struct checker *c, struct text line)
{
    const char *suffix = "";
    struct text rest = {line.p + c->family.n, line.n - c->family.n};
    double value;

    assert_true(c->has_type && line.n > c->family.n && memcmp(line.p, c->family.p, c->family.n) == 0);
    if (c->openmetrics)
        suffix = text_is(c->type, "counter") ? "_total" : text_is(c->type, "info") ? "_info" : "";
    assert_true(text_starts(rest, suffix));
    rest = (struct text){rest.p + strlen(suffix), rest.n - strlen(suffix)};
    if (rest.n && rest.p[0] == '{')
        rest = check_labels(rest);

    struct text sample = {line.p, (size_t)(rest.p - line.p)};
    for (size_t i = 0; i < c->n_samples; i++)
        assert_false(same(c->samples[i], sample));
    assert_true(c->n_samples < SAMPLES_MAX);
    c->samples[c->n_samples++] = sample;

    assert_true(rest.n > 1 && rest.p[0] == ' ');
    rest = (struct text){rest.p + 1, rest.n - 1};
    assert_int_equal(parse_f64(rest, &value), 0);
    if (text_is(c->type, "counter"))
        assert_true(value >= 0);
}

static void check_exposition(struct checker *c, const struct buf *exposition)
{
    struct text rest = {exposition->data, exposition->len}, line;

    assert_true(exposition->len > 0 && exposition->data[exposition->len - 1] == '\n');
    while (scan_line(&rest, &line)) {
        assert_false(c->eof); /* the last line is the last */
        if (text_starts(line, "# HELP "))
            check_help(c, (struct text){line.p + 7, line.n - 7});
        else if (text_starts(line, "# TYPE "))
            check_type(c, (struct text){line.p + 7, line.n - 7});
        else if (text_starts(line, "# UNIT "))
            check_unit(c, (struct text){line.p + 7, line.n - 7});
        else if (text_is(line, "# EOF"))
            c->eof = true;
        else
            check_sample(c, line);
    }
    assert_int_equal(c->eof, c->openmetrics);
    assert_true(c->n_samples > 100);
}

static void test_openmetrics_rules(void **state)
{
    static struct checker c;
    struct buf out;

    c = (struct checker){.openmetrics = true};
    write_fake(PROMETHEUS_OPENMETRICS_100, &with_processes, &out);
    check_exposition(&c, &out);
    buf_done(&out);
}

static void test_text_rules(void **state)
{
    static struct checker c;
    struct buf out;

    c = (struct checker){.openmetrics = false};
    write_fake(PROMETHEUS_TEXT_004, &with_processes, &out);
    check_exposition(&c, &out);
    buf_done(&out);
}

static void test_every_family_is_documented(void **state)
{
    static struct checker c;
    struct buf doc, out;
    char name[128];

    c = (struct checker){.openmetrics = false};
    read_file(METRICS_MD, &doc);
    write_fake(PROMETHEUS_TEXT_004, &with_processes, &out);
    check_exposition(&c, &out);
    for (size_t i = 0; i < c.n_families; i++) {
        snprintf(name, sizeof(name), "`%.*s`", (int)c.families[i].n, c.families[i].p);
        if (!strstr(buf_str(&doc), name))
            fail_msg("docs/METRICS.md does not have %s", name);
    }
    buf_done(&doc);
    buf_done(&out);
}

/* --- Single promises ------------------------------------------------------------------------------------------------
 */

static void test_processes_only_when_asked_for(void **state)
{
    const struct prometheus_options without = {0};
    struct buf out;

    write_fake(PROMETHEUS_TEXT_004, &without, &out);
    assert_null(strstr(buf_str(&out), "carnot_process_"));
    assert_non_null(strstr(buf_str(&out), "carnot_cgroup_energy_joules_total{"));
    assert_null(strstr(buf_str(&out), "secret of bob"));
    buf_done(&out);
}

/* Where no totals are kept over restarts, or none was saved so far. */
static void test_no_lifetimes(void **state)
{
    struct batch batch;
    struct buf out;

    fake_batch_init(&batch);
    batch.lifetime_real_ns = 0;
    buf_init(&out, PROMETHEUS_BYTES_MAX);
    assert_int_equal(prometheus_write(&batch, PROMETHEUS_TEXT_004, &with_processes, &out), 0);
    assert_null(strstr(buf_str(&out), "lifetime"));
    assert_null(strstr(buf_str(&out), "bridged"));
    buf_done(&out);
}

static void test_unknown_crosscheck_is_absent(void **state)
{
    struct batch batch;
    struct buf out;

    fake_batch_init(&batch);
    batch.activity.crosscheck_ppm = INT64_MIN;
    buf_init(&out, PROMETHEUS_BYTES_MAX);
    assert_int_equal(prometheus_write(&batch, PROMETHEUS_TEXT_004, &with_processes, &out), 0);
    assert_null(strstr(buf_str(&out), "activity_crosscheck"));
    buf_done(&out);
}

/* Before the first sources and units are there, and with a window of no length. */
static void test_empty_batch(void **state)
{
    struct batch batch = {.activity.crosscheck_ppm = INT64_MIN};
    struct buf out;

    buf_init(&out, PROMETHEUS_BYTES_MAX);
    assert_int_equal(prometheus_write(&batch, PROMETHEUS_OPENMETRICS_100, &with_processes, &out), 0);
    assert_non_null(strstr(buf_str(&out), "\ncarnot_node_power_watts 0\n"));
    assert_string_equal(buf_str(&out) + out.len - 6, "# EOF\n");
    buf_done(&out);
}

static void test_second_write_allocates_nothing(void **state)
{
    struct batch batch;
    struct buf out;

    fake_batch_init(&batch);
    buf_init(&out, PROMETHEUS_BYTES_MAX);
    for (unsigned format = PROMETHEUS_TEXT_004; format <= PROMETHEUS_OPENMETRICS_100; format++) {
        buf_reset(&out);
        assert_int_equal(prometheus_write(&batch, (enum prometheus_format)format, &with_processes, &out), 0);
    }
    assert_true(allocations > 0); /* the wrapping works */

    unsigned long before = allocations;
    for (unsigned format = PROMETHEUS_TEXT_004; format <= PROMETHEUS_OPENMETRICS_100; format++) {
        buf_reset(&out);
        assert_int_equal(prometheus_write(&batch, (enum prometheus_format)format, &with_processes, &out), 0);
    }
    assert_int_equal(allocations, before);
    buf_done(&out);
}

/* At every limit below what it needs the writer says so and never writes beyond. */
static void test_limit_sticks(void **state)
{
    struct batch batch;
    struct buf all, out;

    write_fake(PROMETHEUS_TEXT_004, &with_processes, &all);
    fake_batch_init(&batch);
    for (size_t limit = 1; limit < all.len; limit += 97) {
        buf_init(&out, limit);
        assert_int_equal(prometheus_write(&batch, PROMETHEUS_TEXT_004, &with_processes, &out), -E2BIG);
        assert_true(out.len <= limit);
        buf_done(&out);
    }
    buf_done(&all);
}

static void check_escape(const char *value, const char *want)
{
    struct buf out;

    buf_init(&out, 1024);
    prometheus_escape(&out, value);
    assert_int_equal(buf_error(&out), 0);
    assert_string_equal(buf_str(&out), want);
    buf_done(&out);
}

static void test_escape(void **state)
{
    check_escape("", "");
    check_escape("plain", "plain");
    check_escape("a\\b\"c\nd", "a\\\\b\\\"c\\nd");
    check_escape("caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x94\x8B", "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x94\x8B");
    /* Bad bytes as tests/unit/model/test_labels.c has them. */
    check_escape("\xFF", "\xEF\x9F\xBF");
    check_escape("cut \xE2\x82\"", "cut \xEF\x9F\xA2\xEF\x9E\x82\\\"");
    check_escape("last \xF4\x8F\xBF\xBF", "last \xF4\x8F\xBF\xBF");
}

static void test_negotiate(void **state)
{
    static const struct {
        const char *accept;
        enum prometheus_format want;
    } cases[] = {
        {NULL, PROMETHEUS_TEXT_004},
        {"", PROMETHEUS_TEXT_004},
        {"*/*", PROMETHEUS_TEXT_004}, /* curl */
        {"text/html,application/xhtml+xml,*/*;q=0.8", PROMETHEUS_TEXT_004},
        {"text/plain", PROMETHEUS_TEXT_004},
        {"application/openmetrics-text", PROMETHEUS_OPENMETRICS_100},
        {"application/openmetrics-text;q=0", PROMETHEUS_TEXT_004},
        {"application/openmetrics-text;q=0.4,text/plain;q=0.5", PROMETHEUS_TEXT_004},
        {"application/openmetrics-text;q=0.5,text/plain;q=0.5", PROMETHEUS_OPENMETRICS_100},
        /* Prometheus 2.42 */
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         PROMETHEUS_OPENMETRICS_100},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_int_equal(prometheus_negotiate(cases[i].accept), cases[i].want);
    assert_non_null(strstr(prometheus_content_type(PROMETHEUS_TEXT_004), "version=0.0.4"));
    assert_non_null(strstr(prometheus_content_type(PROMETHEUS_OPENMETRICS_100), "openmetrics-text; version=1.0.0"));
}

static int print(const char *format)
{
    struct batch batch;
    struct buf out;

    fake_batch_init(&batch);
    buf_init(&out, PROMETHEUS_BYTES_MAX);
    if (prometheus_write(&batch, strcmp(format, "openmetrics") == 0 ? PROMETHEUS_OPENMETRICS_100 : PROMETHEUS_TEXT_004,
                         &with_processes, &out) < 0)
        return 70;
    fputs(buf_str(&out), stdout);
    buf_done(&out);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fake_batch_conserves),
        cmocka_unit_test(test_golden_text),
        cmocka_unit_test(test_golden_openmetrics),
        cmocka_unit_test(test_text_rules),
        cmocka_unit_test(test_openmetrics_rules),
        cmocka_unit_test(test_every_family_is_documented),
        cmocka_unit_test(test_processes_only_when_asked_for),
        cmocka_unit_test(test_no_lifetimes),
        cmocka_unit_test(test_unknown_crosscheck_is_absent),
        cmocka_unit_test(test_empty_batch),
        cmocka_unit_test(test_second_write_allocates_nothing),
        cmocka_unit_test(test_limit_sticks),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_negotiate),
    };

    if (argc == 3 && strcmp(argv[1], "--print") == 0)
        return print(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
