/* SPDX-License-Identifier: Apache-2.0 */
/* Files read relative to a root, and the environment handle.
 *
 * Nothing else in Carnot opens /proc, /sys or /sys/fs/cgroup: every source takes a `struct carnot_env`, so that it runs
 * on a fixture directory or on the simulated machine as on the real one. Paths are relative
 * ("class/powercap/intel-rapl:0/energy_uj"); a leading '/' or a ".." component is refused with -EINVAL. All reads retry
 * EINTR; all descriptors are close-on-exec. */
#ifndef CARNOT_BASE_FSROOT_H
#define CARNOT_BASE_FSROOT_H

#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

struct fsroot {
    int fd;     /* O_PATH directory */
    char *path; /* for messages; owned */
};

struct commands;

struct carnot_env {
    struct fsroot proc;   /* /proc, or --path.procfs */
    struct fsroot sys;    /* /sys, or --path.sysfs */
    struct fsroot cgroup; /* /sys/fs/cgroup, or --path.cgroupfs */
    struct fsroot root;   /* "/", for /etc/passwd, /etc/timezone and the like */
    struct carnot_clock *clock;
    struct commands *commands; /* programs that sources may run (base/commands.h); NULL: none. Not the environment's:
                                * who opened it sets this, and frees it after what runs them and before closing */
};

/* Opens the four roots; NULL takes the default path, an absent cgroup root is allowed (fd -1). -ENOENT with a sentence
 * otherwise. */
int carnot_env_open(const char *proc, const char *sys, const char *cgroup, const char *root, struct carnot_env *ret_env,
                    struct carnot_err *err);
void carnot_env_close(struct carnot_env *env);

int fsroot_open(const char *path, struct fsroot *ret_root, struct carnot_err *err);
void fsroot_close(struct fsroot *root);

/* Opens a file for reading (or a directory with O_DIRECTORY in flags). "" is the root itself; below a root that is
 * absent: -ENODEV. Returns the descriptor or -errno. err says "cannot open PATH: ...". */
int fsroot_openat(const struct fsroot *root, const char *path, int flags, struct carnot_err *err);

/* Reads a whole small file into buf, NUL-terminated. Returns the length, or -errno; -E2BIG when the file does not fit
 * into size - 1. */
ssize_t fsroot_read(const struct fsroot *root, const char *path, char *buf, size_t size, struct carnot_err *err);

/* Up to size bytes from the start, no NUL; what follows them is left. Returns the count, less than size only at the end
 * of the file. */
ssize_t fd_read_front(int fd, char *buf, size_t size);

/* As fsroot_read from the start of an open descriptor (pread at 0): sysfs and procfs files give fresh contents. */
ssize_t fd_read_start(int fd, char *buf, size_t size);

/* One unsigned decimal number, white space around it allowed. -EINVAL when it is something else, -ERANGE beyond 64
 * bits. */
int fsroot_read_u64(const struct fsroot *root, const char *path, uint64_t *ret, struct carnot_err *err);

/* First line without its newline and trailing blanks. Returns the length. */
ssize_t fsroot_read_line(const struct fsroot *root, const char *path, char *buf, size_t size, struct carnot_err *err);

/* Target of a symbolic link, NUL-terminated. */
ssize_t fsroot_readlink(const struct fsroot *root, const char *path, char *buf, size_t size);

bool fsroot_exists(const struct fsroot *root, const char *path);

/* Calls fn for each entry but "." and ".."; a positive result of fn ends the walk and is returned, a negative one is an
 * error. d_type may be DT_UNKNOWN. Entries come in the directory's own order. */
typedef int (*fsroot_entry_fn)(const char *name, unsigned char d_type, void *userdata);
int fsroot_list(const struct fsroot *root, const char *path, fsroot_entry_fn fn, void *userdata,
                struct carnot_err *err);

#endif
