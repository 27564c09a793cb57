/* SPDX-License-Identifier: Apache-2.0 */
/* See file_replace.h. Every step names the file inside its directory, opened once: a directory that is moved meanwhile
 * takes the whole replacement with it. */
#include "base/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fsroot.h"

/* A file's name and the longest suffix. */
#define NAME_BYTES 256

struct place {
    int dir_fd;
    const char *name;
};

static void place_done(const struct place *place)
{
    cleanup_closep(&place->dir_fd);
}

static int place_open(const char *path, struct place *ret_place, struct carnot_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    _cleanup_free_ char *dir = slash ? strndup(path, (size_t)max_u64(1, (uint64_t)(slash - path))) : strdup(".");

    if (!dir)
        return carnot_err_set(err, ENOMEM, "out of memory for the path %s", path);
    if (!name[0])
        return carnot_err_set(err, EINVAL, "%s names a directory: give a file", path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return carnot_err_errno(err, errno, "cannot open the directory %s", dir);
    *ret_place = (struct place){.dir_fd = fd, .name = name};
    return 0;
}

static int with_suffix(const char *name, const char *suffix, char out[NAME_BYTES], struct carnot_err *err)
{
    int n = snprintf(out, NAME_BYTES, "%s%s", name, suffix);

    if (n < 0 || n >= NAME_BYTES)
        return carnot_err_set(err, ENAMETOOLONG, "the name %s is too long for \"%s\" behind it: choose a shorter one",
                              name, suffix);
    return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* A new file with these contents, on the disk. O_EXCL follows no link. */
static int write_new(int dir_fd, const char *name, mode_t mode, const void *data, size_t len)
{
    if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
        return -errno;

    _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0 || fchmod(fd, mode) < 0)
        return -errno;
    int r = write_all(fd, data, len);
    if (r < 0)
        return r;
    return fsync(fd) < 0 ? -errno : 0;
}

int file_replace(const char *path, mode_t mode, const void *data, size_t len, struct carnot_err *err)
{
    CLEANUP(place_done) struct place place = {.dir_fd = -1};
    char temporary[NAME_BYTES];

    int r = place_open(path, &place, err);
    if (r >= 0)
        r = with_suffix(place.name, ".tmp", temporary, err);
    if (r < 0)
        return r;
    r = write_new(place.dir_fd, temporary, mode, data, len);
    if (r >= 0 && renameat(place.dir_fd, temporary, place.dir_fd, place.name) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(place.dir_fd, temporary, 0);
        return carnot_err_errno(err, r, "cannot write %s", path);
    }
    /* The new name is there; only a power cut within the next seconds may still bring the old one back. Some file
     * systems cannot flush a directory, and say so. */
    if (fsync(place.dir_fd) < 0 && errno != EINVAL && errno != ENOTSUP)
        return carnot_err_errno(err, errno, "cannot flush the directory of %s", path);
    return 0;
}

int file_replace_check(const char *path, struct carnot_err *err)
{
    CLEANUP(place_done) struct place place = {.dir_fd = -1};
    char temporary[NAME_BYTES];
    struct stat st;

    int r = place_open(path, &place, err);
    if (r >= 0)
        r = with_suffix(place.name, ".tmp", temporary, err);
    if (r < 0)
        return r;
    if (faccessat(place.dir_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        return carnot_err_errno(err, errno, "cannot write %s: no file can be made in its directory", path);
    if (fstatat(place.dir_fd, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode))
        return carnot_err_set(err, EINVAL, "cannot write %s: it is there and no regular file; name another one", path);
    return 0;
}

int file_lock(const char *path, struct carnot_err *err)
{
    CLEANUP(place_done) struct place place = {.dir_fd = -1};
    char name[NAME_BYTES];

    int r = place_open(path, &place, err);
    if (r >= 0)
        r = with_suffix(place.name, ".lock", name, err);
    if (r < 0)
        return r;

    _cleanup_close_ int fd = openat(place.dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0)
        return carnot_err_errno(err, errno, "cannot open %s.lock", path);
    /* A lock of the process, not of the descriptor: a child that is forked and lives on must not keep it. */
    if (fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET}) < 0)
        return errno == EAGAIN || errno == EACCES
                   ? carnot_err_set(err, EBUSY, "another program has %s in use: give each its own file", path)
                   : carnot_err_errno(err, errno, "cannot lock %s.lock", path);
    return TAKE_FD(fd);
}

int file_set_aside(const char *path, const char *suffix, struct carnot_err *err)
{
    CLEANUP(place_done) struct place place = {.dir_fd = -1};
    char name[NAME_BYTES];

    int r = place_open(path, &place, err);
    if (r >= 0)
        r = with_suffix(place.name, suffix, name, err);
    if (r < 0)
        return r;
    if (renameat(place.dir_fd, place.name, place.dir_fd, name) < 0)
        return carnot_err_errno(err, errno, "cannot rename %s to %s", path, name);
    return 0;
}

ssize_t file_read(const char *path, char *buf, size_t size, struct carnot_err *err)
{
    CLEANUP(place_done) struct place place = {.dir_fd = -1};
    struct stat st;

    int r = place_open(path, &place, err);
    if (r < 0)
        return r;

    /* Not blocking: a named pipe would wait for its writer. */
    _cleanup_close_ int fd = openat(place.dir_fd, place.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ELOOP ? carnot_err_set(err, EINVAL, "%s is a symbolic link, not a file", path)
                              : carnot_err_errno(err, errno, "cannot read %s", path);
    if (!S_ISREG(st.st_mode))
        return carnot_err_set(err, EINVAL, "%s is no regular file", path);
    ssize_t n = fd_read_start(fd, buf, size);
    if (n < 0)
        return carnot_err_errno(err, (int)n, "cannot read %s", path);
    return n;
}
