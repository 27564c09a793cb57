/* SPDX-License-Identifier: Apache-2.0 */
/* Opens and reads small files below a root directory. Knows system calls and their oddities in procfs and sysfs;
 * refuses to know what the files mean. Symbolic links are followed, as sysfs is made of them: a root is a place to
 * start from, not a prison. */
#include "base/fsroot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/parse.h"

/* A file of one number is at most 20 digits and a newline; more than this is some other file. */
#define NUMBER_FILE_MAX 64

int fsroot_open(const char *path, struct fsroot *ret_root, struct carnot_err *err)
{
    _cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return carnot_err_errno(err, errno, "cannot open directory %s", path);

    char *copy = strdup(path);
    if (!copy)
        return carnot_err_set(err, ENOMEM, "out of memory while opening directory %s", path);
    *ret_root = (struct fsroot){.fd = TAKE_FD(fd), .path = copy};
    return 0;
}

void fsroot_close(struct fsroot *root)
{
    if (!root)
        return;
    if (root->fd >= 0)
        close(root->fd);
    free(root->path);
    *root = (struct fsroot){.fd = -1};
}

/* As fsroot_open, but a directory that is not there gives a root with descriptor -1, whose files are all absent. */
static int open_optional(const char *path, struct fsroot *ret_root, struct carnot_err *err)
{
    if (access(path, F_OK) == 0 || errno != ENOENT)
        return fsroot_open(path, ret_root, err);

    char *copy = strdup(path);
    if (!copy)
        return carnot_err_set(err, ENOMEM, "out of memory while opening directory %s", path);
    *ret_root = (struct fsroot){.fd = -1, .path = copy};
    return 0;
}

int carnot_env_open(const char *proc, const char *sys, const char *cgroup, const char *root, struct carnot_env *ret_env,
                    struct carnot_err *err)
{
    struct carnot_env env = {.proc = {.fd = -1},
                             .sys = {.fd = -1},
                             .cgroup = {.fd = -1},
                             .root = {.fd = -1},
                             .clock = carnot_clock_system()};

    int r = fsroot_open(proc ? proc : "/proc", &env.proc, err);
    if (r >= 0)
        r = fsroot_open(sys ? sys : "/sys", &env.sys, err);
    if (r >= 0)
        r = open_optional(cgroup ? cgroup : "/sys/fs/cgroup", &env.cgroup, err);
    if (r >= 0)
        r = fsroot_open(root ? root : "/", &env.root, err);
    if (r < 0) {
        carnot_env_close(&env);
        return r;
    }
    *ret_env = env;
    return 0;
}

void carnot_env_close(struct carnot_env *env)
{
    if (!env)
        return;
    fsroot_close(&env->proc);
    fsroot_close(&env->sys);
    fsroot_close(&env->cgroup);
    fsroot_close(&env->root);
}

/* Relative, without "..". Empty components and "." do no harm. */
static bool path_is_below(const char *path)
{
    struct text rest = text_of(path), part;

    if (path[0] == '/')
        return false;
    while (scan_until(&rest, '/', &part)) {
        if (text_is(part, ".."))
            return false;
    }
    return true;
}

/* What every function here checks first. 0, or -EINVAL / -ENODEV. */
static int check_path(const struct fsroot *root, const char *path)
{
    if (!path_is_below(path))
        return -EINVAL;
    return root->fd < 0 ? -ENODEV : 0;
}

int fsroot_openat(const struct fsroot *root, const char *path, int flags, struct carnot_err *err)
{
    const char *dir = root->path ? root->path : "?";
    int fd;

    int r = check_path(root, path);
    if (r == -EINVAL)
        return carnot_err_set(err, EINVAL, "cannot open %s below %s: the path must be relative and without \"..\"",
                              path, dir);
    if (r < 0)
        return carnot_err_set(err, -r, "cannot open %s/%s: there is no directory %s on this machine", dir, path, dir);

    do
        fd = openat(root->fd, path[0] ? path : ".", O_RDONLY | O_CLOEXEC | flags);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return carnot_err_errno(err, errno, "cannot open %s%s%s", dir, dir[0] && dir[strlen(dir) - 1] == '/' ? "" : "/",
                                path);
    return fd;
}

ssize_t fd_read_front(int fd, char *buf, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = pread(fd, buf + len, size - len, (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

ssize_t fd_read_start(int fd, char *buf, size_t size)
{
    if (size == 0)
        return -EINVAL;

    /* A file that fills the buffer to its last byte has no room for the NUL, hence does not fit. */
    ssize_t n = fd_read_front(fd, buf, size);
    if (n < 0)
        return n;
    if ((size_t)n == size)
        return -E2BIG;
    buf[n] = '\0';
    return n;
}

ssize_t fsroot_read(const struct fsroot *root, const char *path, char *buf, size_t size, struct carnot_err *err)
{
    _cleanup_close_ int fd = fsroot_openat(root, path, 0, err);

    if (fd < 0)
        return fd;

    ssize_t n = fd_read_start(fd, buf, size);
    if (n == -E2BIG)
        return carnot_err_set(err, E2BIG, "cannot read %s/%s: it is larger than the %zu bytes allowed", root->path,
                              path, size - 1);
    if (n < 0)
        return carnot_err_errno(err, (int)n, "cannot read %s/%s", root->path, path);
    return n;
}

int fsroot_read_u64(const struct fsroot *root, const char *path, uint64_t *ret, struct carnot_err *err)
{
    char buf[NUMBER_FILE_MAX];
    uint64_t value;
    _cleanup_close_ int fd = fsroot_openat(root, path, 0, err);

    if (fd < 0)
        return fd;

    ssize_t n = fd_read_start(fd, buf, sizeof(buf));
    if (n < 0 && n != -E2BIG)
        return carnot_err_errno(err, (int)n, "cannot read %s/%s", root->path, path);

    int r = n < 0 ? -EINVAL : parse_u64(text_trim((struct text){buf, (size_t)n}), &value);
    if (r == -ERANGE)
        return carnot_err_set(err, ERANGE, "cannot read %s/%s: its number does not fit into 64 bits", root->path, path);
    if (r < 0)
        return carnot_err_set(err, EINVAL, "cannot read %s/%s: expected one decimal number there", root->path, path);
    *ret = value;
    return 0;
}

ssize_t fsroot_read_line(const struct fsroot *root, const char *path, char *buf, size_t size, struct carnot_err *err)
{
    _cleanup_close_ int fd = fsroot_openat(root, path, 0, err);

    if (fd < 0)
        return fd;

    ssize_t n = fd_read_front(fd, buf, size);
    if (n < 0)
        return carnot_err_errno(err, (int)n, "cannot read %s/%s", root->path, path);

    const char *newline = n ? memchr(buf, '\n', (size_t)n) : NULL;
    if (!newline && (size_t)n == size)
        return carnot_err_set(err, E2BIG, "cannot read %s/%s: its first line is longer than the %zu bytes allowed",
                              root->path, path, size ? size - 1 : 0);

    size_t len = newline ? (size_t)(newline - buf) : (size_t)n;
    while (len && (buf[len - 1] == ' ' || buf[len - 1] == '\t' || buf[len - 1] == '\r'))
        len--;
    buf[len] = '\0';
    return (ssize_t)len;
}

ssize_t fsroot_readlink(const struct fsroot *root, const char *path, char *buf, size_t size)
{
    int r = check_path(root, path);

    if (r < 0)
        return r;
    if (size == 0)
        return -EINVAL;

    ssize_t n = readlinkat(root->fd, path, buf, size);
    if (n < 0)
        return -errno;
    if ((size_t)n == size)
        return -E2BIG; /* readlinkat cuts without a word */
    buf[n] = '\0';
    return n;
}

bool fsroot_exists(const struct fsroot *root, const char *path)
{
    return check_path(root, path) == 0 && faccessat(root->fd, path[0] ? path : ".", F_OK, 0) == 0;
}

static void cleanup_closedirp(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

int fsroot_list(const struct fsroot *root, const char *path, fsroot_entry_fn fn, void *userdata, struct carnot_err *err)
{
    CLEANUP(cleanup_closedirp) DIR *dir = NULL;
    _cleanup_close_ int fd = fsroot_openat(root, path, O_DIRECTORY, err);

    if (fd < 0)
        return fd;
    dir = fdopendir(fd);
    if (!dir)
        return carnot_err_errno(err, errno, "cannot list %s/%s", root->path, path);
    TAKE_FD(fd); /* dir owns it now */

    for (;;) {
        errno = 0;
        const struct dirent *entry =
            readdir(dir); /* NOLINT(concurrency-mt-unsafe): safe on distinct streams in glibc */
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int r = fn(entry->d_name, entry->d_type, userdata);
        if (r != 0)
            return r;
    }
    if (errno)
        return carnot_err_errno(err, errno, "cannot list %s/%s", root->path, path);
    return 0;
}
