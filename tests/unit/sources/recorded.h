/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded trees that lie beside the checkout, if at all: unpacked into a test's directory, never part of it. */
#ifndef CARNOT_TESTS_SOURCES_RECORDED_H
#define CARNOT_TESTS_SOURCES_RECORDED_H

#include "scratch.h"

#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

/* Unpacks the directory `member`. False when there is no archive: the test prints why and skips. */
static inline bool recorded_unpack(const struct scratch *s, const char *archive, const char *member)
{
    const char *root = getenv("CARNOT_SOURCE_ROOT"), *given = getenv("CARNOT_CEEMS_FIXTURES");
    char path[PATH_MAX], into_dir[sizeof(s->dir)], wanted[64];
    pid_t pid;
    int status;

    if (!root && !given)
        return false;
    assert_true(snprintf(path, sizeof(path), "%s%s/%s", given ? given : root, given ? "" : "/../shared/fixtures/ceems",
                         archive) < (int)sizeof(path));
    if (access(path, R_OK) < 0)
        return false;
    memcpy(into_dir, s->dir, sizeof(into_dir));
    assert_true(snprintf(wanted, sizeof(wanted), "%s", member) < (int)sizeof(wanted));
    char tar[] = "tar", extract[] = "-xzf", into[] = "-C";
    char *argv[] = {tar, extract, path, into, into_dir, wanted, NULL};
    assert_int_equal(posix_spawnp(&pid, "tar", NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return true;
}

/* Reads a recorded file, NUL-terminated; the caller frees it. NULL when there is none: the test prints why and skips.
 */
static inline char *recorded_read(const char *file)
{
    const char *root = getenv("CARNOT_SOURCE_ROOT"), *given = getenv("CARNOT_CEEMS_FIXTURES");
    char path[PATH_MAX];
    struct stat st;

    if (!root && !given)
        return NULL;
    assert_true(snprintf(path, sizeof(path), "%s%s/%s", given ? given : root, given ? "" : "/../shared/fixtures/ceems",
                         file) < (int)sizeof(path));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    assert_int_equal(fstat(fd, &st), 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    assert_non_null(text);
    assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
    close(fd);
    return text;
}

#define RECORDED_SKIP()                                                                                                \
    do {                                                                                                               \
        print_message("skipped: no recorded data in ../shared/fixtures/ceems (or $CARNOT_CEEMS_FIXTURES)\n");          \
        skip();                                                                                                        \
    } while (0)

#define RECORDED_OR_SKIP(scratch, archive, member)                                                                     \
    do {                                                                                                               \
        if (!recorded_unpack(scratch, archive, member)) {                                                              \
            print_message("skipped: no recorded trees in ../shared/fixtures/ceems (or $CARNOT_CEEMS_FIXTURES)\n");     \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

#endif
