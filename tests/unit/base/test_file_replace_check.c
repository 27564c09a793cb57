/* SPDX-License-Identifier: Apache-2.0 */
/* What can be told before a file is replaced: what is no file, where none can be made, and names that are too long. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file_replace.h"
#include "unit_test.h"

static char dir[64];
static struct carnot_err err;

static const char *in_dir(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, PATH_MAX, "%s/%s", dir, name);
    return path;
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof(dir), "%s/carnot-replace-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    err = CARNOT_ERR_INIT;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int teardown(void **state)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static void what_is_no_file_is_refused(void **state)
{
    static const char *const names[] = {"link", "dangling", "pipe", "directory"};

    assert_int_equal(file_replace(in_dir("target"), 0644, "old", 3, &err), 0);
    assert_int_equal(file_replace_check(in_dir("target"), &err), 0);
    assert_int_equal(file_replace_check(in_dir("new"), &err), 0);
    assert_int_equal(symlink("target", in_dir("link")), 0);
    assert_int_equal(symlink("nowhere", in_dir("dangling")), 0);
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    assert_int_equal(mkdir(in_dir("directory"), 0700), 0);
    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        assert_int_equal(file_replace_check(in_dir(names[i]), &err), -EINVAL);
        assert_non_null(strstr(err.msg, "no regular file"));
    }
    assert_int_equal(file_replace_check("/dev/null", &err), -EINVAL);
    assert_int_equal(file_replace_check(in_dir(""), &err), -EINVAL);
    assert_int_equal(file_replace_check(in_dir(".."), &err), -EINVAL);
}

static void no_such_directory(void **state)
{
    assert_int_equal(file_replace_check(in_dir("no/file"), &err), -ENOENT);
    assert_non_null(strstr(err.msg, "/no"));
}

static void names_that_are_too_long(void **state)
{
    char name[NAME_MAX + 1];

    memset(name, 'n', NAME_MAX);
    name[NAME_MAX] = '\0';
    assert_int_equal(file_replace_check(in_dir(name), &err), -ENAMETOOLONG); /* its temporary name would be */
    name[NAME_MAX - 8] = '\0';
    assert_int_equal(file_replace_check(in_dir(name), &err), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_no_file_is_refused),
        TEST(no_such_directory),
        TEST(names_that_are_too_long),
    };

    return cmocka_run_group_tests_name("file_replace_check", tests, NULL, NULL);
}
