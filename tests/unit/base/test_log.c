/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as they arrive behind stderr, and the limit of lines per subject. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "base/log.h"
#include "unit_test.h"

/* stderr goes to a file without a name while a test captures it. */
static int capture_fd = -1, stderr_before = -1;
static char captured[16384];

static void capture_start(void)
{
    const char *tmp = getenv("TMPDIR");

    capture_fd = open(tmp ? tmp : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(capture_fd >= 0);
    stderr_before = dup(STDERR_FILENO);
    assert_true(dup2(capture_fd, STDERR_FILENO) >= 0);
}

static const char *capture_end(void)
{
    ssize_t n = pread(capture_fd, captured, sizeof(captured) - 1, 0);

    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    close(capture_fd);
    assert_true(n >= 0);
    captured[n] = '\0';
    return captured;
}

/* "2024-05-01T12:34:56.789Z" */
static void assert_is_stamp(const char *s)
{
    static const char form[] = "0000-00-00T00:00:00.000Z";

    for (size_t i = 0; form[i]; i++) {
        if (form[i] == '0')
            assert_in_range(s[i], '0', '9');
        else
            assert_int_equal(s[i], form[i]);
    }
}

static void text_lines(void **state)
{
    unsetenv("JOURNAL_STREAM");
    log_setup("prog", LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    capture_start();
    errno = EXDEV;
    log_warn("value %d of %s", 7, "x");
    int errno_after = errno;
    const char *line = capture_end();
    assert_int_equal(errno_after, EXDEV);
    assert_is_stamp(line);
    assert_string_equal(line + 24, " prog warn: value 7 of x\n");
}

static void levels_filter(void **state)
{
    static const int lines_by_level[] = {1, 2, 3, 4};

    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        int lines = 0;

        log_setup("prog", (enum log_level)level, LOG_FORMAT_TEXT);
        capture_start();
        log_error("e");
        log_warn("w");
        log_info("i");
        log_debug("d");
        for (const char *s = capture_end(); (s = strchr(s, '\n')); s++)
            lines++;
        assert_int_equal(lines, lines_by_level[level]);
        assert_int_equal(strstr(captured, " prog error: e\n") != NULL, 1);
        assert_int_equal(strstr(captured, " prog debug: d\n") != NULL, level == LOG_LEVEL_DEBUG);
    }
    assert_string_equal(log_level_names[LOG_LEVEL_DEBUG], "debug");
    assert_null(log_level_names[LOG_LEVEL_DEBUG + 1]);
    assert_string_equal(log_format_names[LOG_FORMAT_JSON], "json");
    assert_null(log_format_names[LOG_FORMAT_JSON + 1]);
}

static void control_characters_do_not_pass(void **state)
{
    log_setup("prog", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    capture_start();
    log_info("a\nb\tc\x1b[31m\x7f\xC2\x9B|µ\xC2");
    const char *line = capture_end();
    assert_string_equal(line + 24, " prog info: a b c?[31m???|µ\xC2\n");
}

static void json_lines(void **state)
{
    log_setup("prog", LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    capture_start();
    log_error("a \"quoted\" \\ \xFF thing");
    const char *line = capture_end();
    json_t *root = json_loads(line, 0, NULL);
    assert_non_null(root);
    assert_is_stamp(json_string_value(json_object_get(root, "time")));
    assert_string_equal(json_string_value(json_object_get(root, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(root, "program")), "prog");
    assert_string_equal(json_string_value(json_object_get(root, "msg")), "a \"quoted\" \\ \xEF\xBF\xBD thing");
    json_decref(root);
}

/* The worst message: as long as it gets, and each byte made three. */
static void long_messages_are_cut_but_whole_lines(void **state)
{
    char text[8000];

    memset(text, 0xFF, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
        log_setup("prog", LOG_LEVEL_INFO, (enum log_format)format);
        capture_start();
        log_info("%s", text);
        const char *line = capture_end();
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        assert_true(strlen(line) > 1600);
        if (format == LOG_FORMAT_JSON) {
            json_t *root = json_loads(line, 0, NULL);
            assert_non_null(root);
            json_decref(root);
        }
    }
}

/* Behind the journal: the priority, and no time of our own. JOURNAL_STREAM counts only for the output that it names. */
static void journal_prefix(void **state)
{
    static const char *const expected[] = {"<3>m\n", "<4>m\n", "<6>m\n", "<7>m\n"};
    static const char *const foreign[] = {"1:1", "", "x", "8", ":", "1:", "1:x"};
    char stream[64];
    struct stat st;

    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        capture_start();
        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
        log_setup("prog", LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
        log_msg((enum log_level)level, "m");
        assert_string_equal(capture_end(), expected[level]);
    }

    capture_start();
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_setup("prog", LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
    log_info("m");
    assert_string_equal(capture_end(), "<6>{\"level\":\"info\",\"program\":\"prog\",\"msg\":\"m\"}\n");

    for (size_t i = 0; i < ELEMENTSOF(foreign); i++) {
        capture_start();
        setenv("JOURNAL_STREAM", foreign[i], 1);
        log_setup("prog", LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
        log_info("m");
        assert_is_stamp(capture_end());
    }
    unsetenv("JOURNAL_STREAM");
}

static void limit_holds_back(void **state)
{
    struct log_limit limit = {.interval_ns = 1000, .burst = 2};
    unsigned held = 99;

    assert_true(log_limit_pass(&limit, 5000, &held));
    assert_int_equal(held, 0);
    assert_true(log_limit_pass(&limit, 5100, &held));
    held = 99;
    for (int i = 0; i < 7; i++)
        assert_false(log_limit_pass(&limit, 5200, &held));
    assert_false(log_limit_pass(&limit, 5999, &held));
    assert_int_equal(held, 99);
    assert_true(log_limit_pass(&limit, 6000, &held));
    assert_int_equal(held, 8);
    assert_true(log_limit_pass(&limit, 6001, &held));
    assert_int_equal(held, 0);
    assert_false(log_limit_pass(&limit, 6002, &held));
    /* The clock went back: not silent until it has caught up. */
    assert_true(log_limit_pass(&limit, 10, &held));
    assert_int_equal(held, 1);

    struct log_limit shut = {.interval_ns = 1000, .burst = 0};
    assert_false(log_limit_pass(&shut, 1, &held));
    assert_false(log_limit_pass(&shut, 5000, &held));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines),
        cmocka_unit_test(levels_filter),
        cmocka_unit_test(control_characters_do_not_pass),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(long_messages_are_cut_but_whole_lines),
        cmocka_unit_test(journal_prefix),
        cmocka_unit_test(limit_holds_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
