/* SPDX-License-Identifier: Apache-2.0 */
/* Reading below a root, on a directory made for the test and removed after it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fsroot.h"
#include "unit_test.h"

struct fixture {
    char path[PATH_MAX];
    struct fsroot root;
};

static void put_file(const struct fixture *fixture, const char *name, const char *text, size_t len)
{
    char path[PATH_MAX + 64];

    snprintf(path, sizeof(path), "%s/%s", fixture->path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const char *tmp = getenv("TMPDIR");
    char path[PATH_MAX + 64];

    assert_non_null(fixture);
    snprintf(fixture->path, sizeof(fixture->path), "%s/carnot-fsroot-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(fixture->path));
    snprintf(path, sizeof(path), "%s/sub", fixture->path);
    assert_int_equal(mkdir(path, 0700), 0);
    put_file(fixture, "sub/one", "1\n", 2);
    put_file(fixture, "sub/two", "2\n", 2);
    assert_int_equal(fsroot_open(fixture->path, &fixture->root, NULL), 0);
    *state = fixture;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int remove_fixture(void **state)
{
    struct fixture *fixture = *state;

    fsroot_close(&fixture->root);
    assert_int_equal(nftw(fixture->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(fixture);
    return 0;
}

static void open_tells_what_is_missing(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct fsroot root = {.fd = -7};

    assert_int_equal(fsroot_open("/nonexistent/dir", &root, &err), -ENOENT);
    assert_string_equal(err.msg, "cannot open directory /nonexistent/dir: No such file or directory");
    assert_int_equal(root.fd, -7);
    assert_int_equal(fsroot_open("/dev/null", &root, &err), -ENOTDIR);
    fsroot_close(NULL);
}

static void paths_stay_below_the_root(void **state)
{
    struct fixture *fixture = *state;
    static const char *const bad[] = {"/etc/passwd", "..", "../x", "sub/..", "sub/../sub/one", "/"};
    char buf[64];

    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        struct carnot_err err = CARNOT_ERR_INIT;
        assert_int_equal(fsroot_openat(&fixture->root, bad[i], 0, &err), -EINVAL);
        assert_non_null(strstr(err.msg, "relative"));
        assert_int_equal(fsroot_read(&fixture->root, bad[i], buf, sizeof(buf), NULL), -EINVAL);
        assert_int_equal(fsroot_readlink(&fixture->root, bad[i], buf, sizeof(buf)), -EINVAL);
        assert_int_equal(fsroot_list(&fixture->root, bad[i], NULL, NULL, NULL), -EINVAL);
        assert_false(fsroot_exists(&fixture->root, bad[i]));
    }
    put_file(fixture, "a..b", "x", 1);
    put_file(fixture, "..c", "x", 1);
    assert_true(fsroot_exists(&fixture->root, "a..b"));
    assert_true(fsroot_exists(&fixture->root, "..c"));
    assert_true(fsroot_exists(&fixture->root, "./sub//one"));
    assert_true(fsroot_exists(&fixture->root, ""));
}

static void descriptors_close_on_exec(void **state)
{
    struct fixture *fixture = *state;
    int fd = fsroot_openat(&fixture->root, "sub/one", 0, NULL);

    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fixture->root.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(fd);
}

static void an_absent_root_has_nothing(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct fsroot root = {.fd = -1};
    char buf[8];

    assert_int_equal(fsroot_openat(&root, "x", 0, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "no directory"));
    assert_int_equal(fsroot_readlink(&root, "x", buf, sizeof(buf)), -ENODEV);
    assert_false(fsroot_exists(&root, "x"));
}

static void read_gives_whole_files(void **state)
{
    struct fixture *fixture = *state;
    struct carnot_err err = CARNOT_ERR_INIT;
    char buf[9];

    put_file(fixture, "f", "12345678", 8);
    assert_int_equal(fsroot_read(&fixture->root, "f", buf, sizeof(buf), &err), 8);
    assert_string_equal(buf, "12345678");
    assert_int_equal(fsroot_read(&fixture->root, "f", buf, 8, &err), -E2BIG);
    assert_non_null(strstr(err.msg, "/f: it is larger than the 7 bytes allowed"));
    assert_int_equal(fsroot_read(&fixture->root, "f", buf, 0, &err), -EINVAL);

    put_file(fixture, "f", "", 0);
    assert_int_equal(fsroot_read(&fixture->root, "f", buf, sizeof(buf), &err), 0);
    assert_string_equal(buf, "");
    put_file(fixture, "f", "a\0b", 3);
    assert_int_equal(fsroot_read(&fixture->root, "f", buf, sizeof(buf), &err), 3);
    assert_memory_equal(buf, "a\0b", 4);

    assert_int_equal(fsroot_read(&fixture->root, "gone", buf, sizeof(buf), &err), -ENOENT);
    assert_non_null(strstr(err.msg, "/gone: No such file"));
    assert_int_equal(fsroot_read(&fixture->root, "sub", buf, sizeof(buf), &err), -EISDIR);
    assert_non_null(strstr(err.msg, "cannot read"));
}

static void an_open_file_is_read_afresh(void **state)
{
    struct fixture *fixture = *state;
    char buf[16];

    put_file(fixture, "counter", "1\n", 2);
    int fd = fsroot_openat(&fixture->root, "counter", 0, NULL);
    assert_int_equal(fd_read_start(fd, buf, sizeof(buf)), 2);
    assert_string_equal(buf, "1\n");
    put_file(fixture, "counter", "23\n", 3);
    assert_int_equal(fd_read_start(fd, buf, sizeof(buf)), 3);
    assert_string_equal(buf, "23\n");
    assert_int_equal(fd_read_start(fd, buf, 3), -E2BIG);
    close(fd);
    assert_int_equal(fd_read_start(fd, buf, sizeof(buf)), -EBADF);
}

/* procfs gives its files in pieces of a page: all of them must arrive. */
static void procfs_is_read_to_its_end(void **state)
{
    struct carnot_env env;
    struct carnot_err err = CARNOT_ERR_INIT;
    static char buf[1 << 20];

    assert_int_equal(carnot_env_open(NULL, NULL, NULL, NULL, &env, &err), 0);
    ssize_t n = fsroot_read(&env.proc, "self/smaps", buf, sizeof(buf), &err);
    assert_true(n > 4096);
    assert_int_equal(strlen(buf), n);
    assert_int_equal(buf[n - 1], '\n');
    carnot_env_close(&env);
}

static void numbers(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"12\n", 0, 12},
        {" 12 \n", 0, 12},
        {"18446744073709551615\n", 0, UINT64_MAX},
        {"18446744073709551616\n", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"\n", -EINVAL, 0},
        {"max\n", -EINVAL, 0},
        {"1 2\n", -EINVAL, 0},
        {"-1\n", -EINVAL, 0},
        {"0000000000000000000000000000000000000000000000000000000000000000000000001\n", -EINVAL, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct carnot_err err = CARNOT_ERR_INIT;
        uint64_t value = 99;
        put_file(fixture, "n", cases[i].text, strlen(cases[i].text));
        assert_int_equal(fsroot_read_u64(&fixture->root, "n", &value, &err), cases[i].result);
        assert_true(value == (cases[i].result ? 99 : cases[i].value));
        assert_int_equal(err.code, -cases[i].result);
        if (err.code)
            assert_non_null(strstr(err.msg, fixture->path));
    }
    uint64_t value;
    assert_int_equal(fsroot_read_u64(&fixture->root, "gone", &value, NULL), -ENOENT);
    assert_int_equal(fsroot_read_u64(&fixture->root, "sub", &value, NULL), -EISDIR);
}

static void lines(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *file, *line;
    } cases[] = {
        {"package-0\n", "package-0"},
        {"a b \t\r\nsecond\n", "a b"},
        {"no newline", "no newline"},
        {"", ""},
        {"\nx", ""},
        {"  lead", "  lead"},
    };
    struct carnot_err err = CARNOT_ERR_INIT;
    char buf[12];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        put_file(fixture, "l", cases[i].file, strlen(cases[i].file));
        assert_int_equal(fsroot_read_line(&fixture->root, "l", buf, sizeof(buf), NULL), strlen(cases[i].line));
        assert_string_equal(buf, cases[i].line);
    }
    put_file(fixture, "l", "short\nlong long long long", 25);
    assert_int_equal(fsroot_read_line(&fixture->root, "l", buf, sizeof(buf), NULL), 5);
    put_file(fixture, "l", "elevenchars\n", 12);
    assert_int_equal(fsroot_read_line(&fixture->root, "l", buf, sizeof(buf), NULL), 11);
    put_file(fixture, "l", "twelve chars", 12);
    assert_int_equal(fsroot_read_line(&fixture->root, "l", buf, sizeof(buf), &err), -E2BIG);
    assert_non_null(strstr(err.msg, "first line is longer than the 11 bytes"));
    assert_int_equal(fsroot_read_line(&fixture->root, "l", buf, 0, NULL), -E2BIG);
    assert_int_equal(fsroot_read_line(&fixture->root, "gone", buf, sizeof(buf), NULL), -ENOENT);
    assert_int_equal(fsroot_read_line(&fixture->root, "sub", buf, sizeof(buf), NULL), -EISDIR);
}

static void links(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_MAX + 64], buf[8];

    snprintf(path, sizeof(path), "%s/link", fixture->path);
    assert_int_equal(symlink("sub/one", path), 0);
    assert_int_equal(fsroot_readlink(&fixture->root, "link", buf, sizeof(buf)), 7);
    assert_string_equal(buf, "sub/one");
    assert_int_equal(fsroot_readlink(&fixture->root, "link", buf, 7), -E2BIG);
    assert_int_equal(fsroot_readlink(&fixture->root, "link", buf, 0), -EINVAL);
    assert_int_equal(fsroot_readlink(&fixture->root, "sub", buf, sizeof(buf)), -EINVAL);
    assert_int_equal(fsroot_readlink(&fixture->root, "gone", buf, sizeof(buf)), -ENOENT);
    uint64_t value = 0;
    assert_int_equal(fsroot_read_u64(&fixture->root, "link", &value, NULL), 0);
    assert_int_equal(value, 1);
}

struct walk {
    int seen[2], others;
    int stop_with;
};

static int see_entry(const char *name, unsigned char d_type, void *userdata)
{
    struct walk *walk = userdata;

    if (strcmp(name, "one") == 0)
        walk->seen[0]++;
    else if (strcmp(name, "two") == 0)
        walk->seen[1]++;
    else
        walk->others++;
    assert_true(d_type == DT_REG || d_type == DT_DIR || d_type == DT_UNKNOWN);
    return walk->stop_with;
}

static void lists_each_entry_once(void **state)
{
    struct fixture *fixture = *state;
    struct carnot_err err = CARNOT_ERR_INIT;
    struct walk walk = {0};

    assert_int_equal(fsroot_list(&fixture->root, "sub", see_entry, &walk, &err), 0);
    assert_int_equal(walk.seen[0], 1);
    assert_int_equal(walk.seen[1], 1);
    assert_int_equal(walk.others, 0);

    walk = (struct walk){.stop_with = 5};
    assert_int_equal(fsroot_list(&fixture->root, "sub", see_entry, &walk, &err), 5);
    assert_int_equal(walk.seen[0] + walk.seen[1], 1);
    walk = (struct walk){.stop_with = -EPERM};
    assert_int_equal(fsroot_list(&fixture->root, "sub", see_entry, &walk, &err), -EPERM);

    walk = (struct walk){0};
    assert_int_equal(fsroot_list(&fixture->root, "", see_entry, &walk, &err), 0);
    assert_int_equal(walk.others, 1);
    assert_int_equal(fsroot_list(&fixture->root, "gone", see_entry, &walk, &err), -ENOENT);
    assert_int_equal(fsroot_list(&fixture->root, "sub/one", see_entry, &walk, &err), -ENOTDIR);
}

static void env_opens_given_roots(void **state)
{
    struct fixture *fixture = *state;
    struct carnot_env env;
    struct carnot_err err = CARNOT_ERR_INIT;
    char sub[PATH_MAX + 8], none[PATH_MAX + 8];

    snprintf(sub, sizeof(sub), "%s/sub", fixture->path);
    snprintf(none, sizeof(none), "%s/none", fixture->path);
    assert_int_equal(carnot_env_open(fixture->path, sub, none, fixture->path, &env, &err), 0);
    assert_true(fsroot_exists(&env.proc, "sub/one"));
    assert_true(fsroot_exists(&env.sys, "one"));
    assert_int_equal(env.cgroup.fd, -1);
    assert_string_equal(env.cgroup.path, none);
    assert_false(fsroot_exists(&env.cgroup, "cgroup.procs"));
    assert_ptr_equal(env.clock, carnot_clock_system());
    carnot_env_close(&env);
    carnot_env_close(&env);
    carnot_env_close(NULL);

    memset(&env, 0x5A, sizeof(env));
    assert_int_equal(carnot_env_open(fixture->path, none, NULL, NULL, &env, &err), -ENOENT);
    assert_non_null(strstr(err.msg, none));
    assert_int_equal(((unsigned char *)&env)[0], 0x5A);
    assert_int_equal(carnot_env_open(none, NULL, NULL, NULL, &env, NULL), -ENOENT);
    assert_int_equal(carnot_env_open(NULL, NULL, NULL, none, &env, NULL), -ENOENT);
    snprintf(none, sizeof(none), "%s/sub/one", fixture->path);
    assert_int_equal(carnot_env_open(NULL, NULL, none, NULL, &env, NULL), -ENOTDIR);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, make_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_tells_what_is_missing),
        cmocka_unit_test(an_absent_root_has_nothing),
        cmocka_unit_test(procfs_is_read_to_its_end),
        WITH_FIXTURE(paths_stay_below_the_root),
        WITH_FIXTURE(descriptors_close_on_exec),
        WITH_FIXTURE(read_gives_whole_files),
        WITH_FIXTURE(an_open_file_is_read_afresh),
        WITH_FIXTURE(numbers),
        WITH_FIXTURE(lines),
        WITH_FIXTURE(links),
        WITH_FIXTURE(lists_each_entry_once),
        WITH_FIXTURE(env_opens_given_roots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
