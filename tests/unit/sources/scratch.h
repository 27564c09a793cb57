/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of one test, thrown away at its end, and files in it: what stands for /proc and /sys/fs/cgroup. */
#ifndef CARNOT_TESTS_SOURCES_SCRATCH_H
#define CARNOT_TESTS_SOURCES_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsroot.h"

struct scratch {
    char dir[64];
    struct carnot_env env; /* dir/proc, dir/sys, dir/cgroup, dir; fake clock */
    struct fake_clock clock;
};

/* Joins into one of a few static buffers: enough for the arguments of one call. */
static inline const char *scratch_path(const struct scratch *s, const char *path)
{
    static char bufs[4][PATH_MAX];
    static unsigned next;
    char *buf = bufs[next++ % 4];

    assert_true(snprintf(buf, PATH_MAX, "%s/%s", s->dir, path) < PATH_MAX);
    return buf;
}

static inline void scratch_mkdirs(const struct scratch *s, const char *path)
{
    char buf[PATH_MAX];

    assert_true(snprintf(buf, sizeof(buf), "%s/%s", s->dir, path) < (int)sizeof(buf));
    for (char *p = buf + strlen(s->dir) + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        assert_true(mkdir(buf, 0755) == 0 || errno == EEXIST);
        *p = '/';
    }
    assert_true(mkdir(buf, 0755) == 0 || errno == EEXIST);
}

static inline void scratch_write(const struct scratch *s, const char *path, const char *text)
{
    char dir[PATH_MAX];

    assert_true(snprintf(dir, sizeof(dir), "%s", path) < (int)sizeof(dir));
    char *slash = strrchr(dir, '/');
    if (slash) {
        *slash = '\0';
        scratch_mkdirs(s, dir);
    }
    int fd = open(scratch_path(s, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static inline void scratch_remove(const struct scratch *s, const char *path)
{
    nftw(scratch_path(s, path), scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void scratch_init(struct scratch *s)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    const char *tmp = getenv("TMPDIR");

    *s = (struct scratch){0};
    assert_true(snprintf(s->dir, sizeof(s->dir), "%s/carnot-test-XXXXXX", tmp ? tmp : "/tmp") < (int)sizeof(s->dir));
    assert_non_null(mkdtemp(s->dir));
    scratch_mkdirs(s, "proc");
    scratch_mkdirs(s, "sys");
    scratch_mkdirs(s, "cgroup");
    assert_int_equal(carnot_env_open(scratch_path(s, "proc"), scratch_path(s, "sys"), scratch_path(s, "cgroup"), s->dir,
                                     &s->env, &err),
                     0);
    fake_clock_init(&s->clock, 1700000000ULL * NS_PER_SEC);
    s->env.clock = &s->clock.clock;
}

static inline void scratch_done(struct scratch *s)
{
    carnot_env_close(&s->env);
    nftw(s->dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
