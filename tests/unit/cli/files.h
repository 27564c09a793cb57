/* SPDX-License-Identifier: Apache-2.0 */
/* Input and golden files of the tests of the command line. */
#ifndef CARNOT_TESTS_CLI_FILES_H
#define CARNOT_TESTS_CLI_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fsroot.h"
#include "cli/view.h"

#define GOLDEN_MAX (1 << 20)

/* GOLDEN_DIR comes from the build. The text is the caller's to free. */
static inline char *read_golden(const char *name, size_t *ret_len)
{
    struct fsroot dir;
    struct carnot_err err = CARNOT_ERR_INIT;
    char *text = malloc(GOLDEN_MAX);
    ssize_t len;

    assert_non_null(text);
    assert_int_equal(fsroot_open(GOLDEN_DIR, &dir, &err), 0);
    len = fsroot_read(&dir, name, text, GOLDEN_MAX, &err);
    fsroot_close(&dir);
    if (len < 0)
        fail_msg("%s", err.msg);
    *ret_len = (size_t)len;
    return text;
}

static inline struct view *golden_view(const char *name)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct view *view = NULL;
    size_t len;
    char *text = read_golden(name, &len);

    if (view_parse(text, len, &view, &err) < 0)
        fail_msg("%s: %s", name, err.msg);
    free(text);
    return view;
}

/* With CARNOT_WRITE_GOLDEN set the file is written instead, to be read and committed by a person. */
static inline void assert_golden(const struct buf *got, const char *name)
{
    size_t len;
    char *want;

    if (getenv("CARNOT_WRITE_GOLDEN")) {
        char path[512];
        assert_true((size_t)snprintf(path, sizeof(path), "%s/%s", GOLDEN_DIR, name) < sizeof(path));
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(got->data, 1, got->len, file), got->len);
        assert_int_equal(fclose(file), 0);
        return;
    }
    want = read_golden(name, &len);
    if (len != got->len || memcmp(want, got->data, len) != 0)
        fail_msg("%s differs; got:\n%s", name, buf_str(got));
    free(want);
}

#endif
