/* SPDX-License-Identifier: Apache-2.0 */
/* The error object: signs of codes, wrapping, cutting. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "unit_test.h"

static void set_takes_either_sign(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(carnot_err_set(&err, ENODEV, "no %s here", "meter"), -ENODEV);
    assert_int_equal(err.code, ENODEV);
    assert_string_equal(err.msg, "no meter here");
    assert_int_equal(carnot_err_set(&err, -EACCES, "%d", 7), -EACCES);
    assert_int_equal(err.code, EACCES);
    assert_string_equal(err.msg, "7");
}

static void null_object_still_gives_the_code(void **state)
{
    assert_int_equal(carnot_err_set(NULL, EPERM, "x"), -EPERM);
    assert_int_equal(carnot_err_errno(NULL, -EPERM, "x"), -EPERM);
    assert_int_equal(carnot_err_wrap(NULL, "x"), -EIO);
}

/* A failure must not turn into success on its way up. */
static void zero_is_no_error_code(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(carnot_err_set(&err, 0, "odd"), -EIO);
    assert_int_equal(carnot_err_errno(NULL, 0, "odd"), -EIO);
    err = CARNOT_ERR_INIT;
    assert_int_equal(carnot_err_wrap(&err, "outer"), -EIO);
    assert_string_equal(err.msg, "outer");
}

static void errno_text_is_appended(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(carnot_err_errno(&err, ENOENT, "cannot open %s", "f"), -ENOENT);
    assert_string_equal(err.msg, "cannot open f: No such file or directory");
}

static void wrap_puts_outer_before_inner(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    carnot_err_set(&err, ENODATA, "inner");
    assert_int_equal(carnot_err_wrap(&err, "outer %d", 1), -ENODATA);
    assert_string_equal(err.msg, "outer 1: inner");
    assert_int_equal(carnot_err_wrap(&err, "outermost"), -ENODATA);
    assert_string_equal(err.msg, "outermost: outer 1: inner");
}

static void long_text_is_cut(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    char text[2 * CARNOT_ERR_MSG_MAX];

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    carnot_err_set(&err, EIO, "%s", text);
    assert_int_equal(strlen(err.msg), CARNOT_ERR_MSG_MAX - 1);
    carnot_err_wrap(&err, "outer");
    assert_int_equal(strlen(err.msg), CARNOT_ERR_MSG_MAX - 1);
    assert_memory_equal(err.msg, "outer: aaa", 10);
    carnot_err_errno(&err, EIO, "%s", text);
    assert_int_equal(strlen(err.msg), CARNOT_ERR_MSG_MAX - 1);
}

/* Characters of 2, 3 and 4 bytes at every position of the cut: none is left in half. */
static void cut_keeps_characters_whole(void **state)
{
    static const char *const characters[] = {"\xC2\xB5", "\xE2\x82\xAC", "\xF0\x9F\x94\x8B"};

    for (size_t i = 0; i < ELEMENTSOF(characters); i++) {
        size_t n = strlen(characters[i]);
        for (size_t shift = 0; shift < n; shift++) {
            struct carnot_err err = CARNOT_ERR_INIT;
            char text[2 * CARNOT_ERR_MSG_MAX] = "";

            memset(text, '.', shift);
            for (size_t at = shift; at + n < sizeof(text); at += n)
                memcpy(text + at, characters[i], n);
            carnot_err_set(&err, EIO, "%s", text);
            assert_int_equal((strlen(err.msg) - shift) % n, 0);
            assert_in_range(strlen(err.msg), CARNOT_ERR_MSG_MAX - n, CARNOT_ERR_MSG_MAX - 1);
        }
    }
}

static void exit_statuses(void **state)
{
    static const struct {
        int code, status;
    } cases[] = {
        {0, 0},       {EINVAL, 64}, {-EINVAL, 64}, {ENOENT, 66}, {ENODEV, 69}, {EAGAIN, 69}, {EADDRINUSE, 69},
        {ENOMEM, 70}, {EBADF, 70},  {EIO, 74},     {EPROTO, 76}, {EACCES, 77}, {EPERM, 77},  {-EPERM, 77},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_int_equal(carnot_err_exit_status(cases[i].code), cases[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_takes_either_sign),        cmocka_unit_test(null_object_still_gives_the_code),
        cmocka_unit_test(zero_is_no_error_code),        cmocka_unit_test(errno_text_is_appended),
        cmocka_unit_test(wrap_puts_outer_before_inner), cmocka_unit_test(long_text_is_cut),
        cmocka_unit_test(cut_keeps_characters_whole),   cmocka_unit_test(exit_statuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
