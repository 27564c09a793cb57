/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers keep their point where the locale writes a comma. Takes a comma locale of the system, else compiles one with
 * localedef into a directory of its own; skips when neither works. */
#include <ftw.h>
#include <limits.h>
#include <locale.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/json_out.h"
#include "base/parse.h"
#include "unit_test.h"

#define SKIPPED 77

extern char **environ;

static bool use_comma_locale(const char *name)
{
    if (!setlocale(LC_ALL, name))
        return false;
    return strcmp(localeconv()->decimal_point, ",") == 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

/* Compiles de_DE.UTF-8 into dir and uses it from there. */
static bool make_comma_locale(const char *dir)
{
    char target[PATH_MAX];
    char *argv[] = {(char[]){"localedef"}, (char[]){"--no-archive"}, (char[]){"-i"}, (char[]){"de_DE"},
                    (char[]){"-f"},        (char[]){"UTF-8"},        target,         NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;

    snprintf(target, sizeof(target), "%s/de_DE.UTF-8", dir);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1 /* O_WRONLY */, 0);
    int r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r != 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return false;
    setenv("LOCPATH", dir, 1);
    return use_comma_locale("de_DE.UTF-8");
}

static void libc_writes_a_comma(void **state)
{
    char text[16];

    snprintf(text, sizeof(text), "%.1f", 1.5);
    assert_string_equal(text, "1,5"); /* else the other tests would show nothing */
}

static void numbers_are_written_with_a_point(void **state)
{
    struct buf buf;
    struct json_out json;

    buf_init(&buf, 200);
    json_out_init(&json, &buf);
    buf_put_double(&buf, 1.5);
    buf_putc(&buf, ' ');
    buf_put_double(&buf, 1.0 / 3);
    buf_putc(&buf, ' ');
    buf_put_double_fixed(&buf, -2.25, 3);
    buf_putc(&buf, ' ');
    buf_put_fixed(&buf, 1500000, 6);
    buf_putc(&buf, ' ');
    buf_put_u64(&buf, 1234567);
    buf_putc(&buf, ' ');
    json_out_double(&json, 0.75);
    assert_string_equal(buf.data, "1.5 0.3333333333333333 -2.250 1.5 1234567 0.75");
    buf_done(&buf);
}

static void numbers_are_read_with_a_point(void **state)
{
    double value = 0;

    assert_int_equal(parse_f64(text_of("2.5"), &value), 0);
    assert_true(value == 2.5);
    assert_true(parse_f64(text_of("2,5"), &value) < 0);
}

static void the_locale_stays_the_callers(void **state)
{
    struct buf buf;

    buf_init(&buf, 100);
    buf_put_double(&buf, 1.5);
    buf_put_double_fixed(&buf, 1.5, 2);
    buf_done(&buf);
    libc_writes_a_comma(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(libc_writes_a_comma),
        cmocka_unit_test(numbers_are_written_with_a_point),
        cmocka_unit_test(numbers_are_read_with_a_point),
        cmocka_unit_test(the_locale_stays_the_callers),
    };
    static const char *const installed[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "es_ES.UTF-8", "it_IT.UTF-8"};
    const char *tmp = getenv("TMPDIR");
    char dir[256];
    bool found = false;

    for (size_t i = 0; i < ELEMENTSOF(installed) && !found; i++)
        found = use_comma_locale(installed[i]);

    snprintf(dir, sizeof(dir), "%s/carnot-locale-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        fprintf(stderr, "cannot make a directory below %s\n", tmp ? tmp : "/tmp");
        return 1;
    }
    if (!found)
        found = make_comma_locale(dir);
    int r = found ? cmocka_run_group_tests(tests, NULL, NULL) : SKIPPED;
    if (!found)
        printf("skipped: no locale with a decimal comma, and localedef cannot make one\n");
    nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return r;
}
