/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing, locking, reading and setting aside a file, in a directory made for the test. A writer is killed at random
 * moments: what is left is the old contents or the new. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file_replace.h"
#include "unit_test.h"

static char dir[64], path[96], aside[112];

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/carnot-replace-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/state", dir);
    snprintf(aside, sizeof(aside), "%s.refused", path);
    return 0;
}

static int teardown(void **state)
{
    static const char *const suffixes[] = {"", ".tmp", ".lock", ".refused"};

    for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
    return rmdir(dir);
}

static void expect_contents(const char *want)
{
    char buf[64];

    assert_int_equal(file_read(path, buf, sizeof(buf), NULL), strlen(want));
    assert_string_equal(buf, want);
}

static void replaces_and_reads(void **state)
{
    struct stat st;
    mode_t before = umask(0);
    char small[4];

    assert_int_equal(file_read(path, small, sizeof(small), NULL), -ENOENT);
    assert_int_equal(file_replace(path, 0600, "one", 3, NULL), 0);
    expect_contents("one");
    assert_int_equal(file_replace(path, 0640, "two and more", 12, NULL), 0);
    expect_contents("two and more");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    umask(077);
    assert_int_equal(file_replace(path, 0644, "", 0, NULL), 0);
    expect_contents("");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    umask(before);
    assert_int_equal(file_replace(path, 0644, "1234", 4, NULL), 0);
    assert_int_equal(file_read(path, small, sizeof(small), NULL), -E2BIG);
}

/* Whatever lies at the temporary name is replaced itself, never what it points to. */
static void follows_no_link(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    char temporary[128], buf[64];

    snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    assert_int_equal(file_replace(aside, 0600, "precious", 8, NULL), 0);
    assert_int_equal(symlink(aside, temporary), 0);
    assert_int_equal(file_replace(path, 0600, "new", 3, NULL), 0);
    expect_contents("new");
    assert_int_equal(file_read(aside, buf, sizeof(buf), NULL), 8);
    assert_string_equal(buf, "precious");

    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(aside, path), 0);
    assert_int_equal(file_read(path, buf, sizeof(buf), &err), -EINVAL);
    assert_non_null(strstr(err.msg, "is a symbolic link"));
    assert_int_equal(file_replace(path, 0600, "new", 3, NULL), 0); /* in the link's place */
    expect_contents("new");
    assert_int_equal(unlink(path), 0);

    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_read(path, buf, sizeof(buf), NULL), -EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(file_read(path, buf, sizeof(buf), NULL), -EINVAL);
    assert_true(file_replace(path, 0600, "x", 1, NULL) < 0);
    assert_int_equal(access(temporary, F_OK), -1); /* nothing is left lying about */
    assert_int_equal(rmdir(path), 0);
}

static void wrong_paths(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    char name[320], buf[8];

    assert_int_equal(file_replace("/nonexistent/dir/state", 0600, "x", 1, &err), -ENOENT);
    assert_string_equal(err.msg, "cannot open the directory /nonexistent/dir: No such file or directory");
    assert_int_equal(file_replace("/tmp/", 0600, "x", 1, NULL), -EINVAL);
    assert_int_equal(file_lock("/nonexistent/dir/state", NULL), -ENOENT);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memcpy(name, "/tmp/", 5);
    assert_int_equal(file_replace(name, 0600, "x", 1, NULL), -ENAMETOOLONG);
    assert_int_equal(file_read(name, buf, sizeof(buf), NULL), -ENAMETOOLONG);
}

static void one_holder_of_the_lock(void **state)
{
    int first = file_lock(path, NULL);

    assert_true(first >= 0);
    for (int held = 1; held >= 0; held--) {
        int status = -1;
        pid_t pid = fork(); /* it inherits the descriptor, not the lock */
        if (pid == 0) {
            struct carnot_err err = CARNOT_ERR_INIT;
            int r = file_lock(path, &err);
            _exit(held ? r != -EBUSY || !strstr(err.msg, "another program has") : r < 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (held)
            close(first);
    }
}

static void sets_aside(void **state)
{
    char buf[8];

    assert_int_equal(file_set_aside(path, ".refused", NULL), -ENOENT);
    assert_int_equal(file_replace(path, 0600, "1", 1, NULL), 0);
    assert_int_equal(file_set_aside(path, ".refused", NULL), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(file_replace(path, 0600, "2", 1, NULL), 0);
    assert_int_equal(file_set_aside(path, ".refused", NULL), 0); /* over the one before: one is kept */
    assert_int_equal(file_read(aside, buf, sizeof(buf), NULL), 1);
    assert_string_equal(buf, "2");
}

/* 50 writers that are killed while they write 4 KiB of one letter again and again. */
static void a_killed_writer_leaves_a_whole_file(void **state)
{
    uint64_t random = 0x5eed;
    char text[4096], found[4100];

    memset(text, 'a', sizeof(text));
    assert_int_equal(file_replace(path, 0600, text, sizeof(text), NULL), 0);
    for (int i = 0; i < 50; i++) {
        int ready[2];
        char byte;

        assert_int_equal(pipe(ready), 0);
        pid_t pid = fork();
        if (pid == 0) {
            for (unsigned k = 0;; k++) {
                memset(text, 'a' + (int)(k % 26), sizeof(text));
                if (file_replace(path, 0600, text, sizeof(text), NULL) < 0)
                    _exit(1);
                if (k == 0 && write(ready[1], "", 1) != 1)
                    _exit(1);
            }
        }
        assert_int_equal(read(ready[0], &byte, 1), 1);
        for (uint64_t spin = next_random(&random) % 400000; spin; spin--)
            __asm__ volatile("");
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        close(ready[0]);
        close(ready[1]);
        assert_int_equal(file_read(path, found, sizeof(found), NULL), sizeof(text));
        for (size_t n = 1; n < sizeof(text); n++)
            assert_int_equal(found[n], found[0]);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replaces_and_reads),     TEST(follows_no_link), TEST(wrong_paths),
        TEST(one_holder_of_the_lock), TEST(sets_aside),      TEST(a_killed_writer_leaves_a_whole_file),
    };

    return cmocka_run_group_tests_name("file_replace", tests, NULL, NULL);
}
