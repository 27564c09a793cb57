/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing a small file as a whole: whoever reads it finds the old contents or the new, also after a crash or a power
 * cut in between. Knows files; nothing of their contents. */
#ifndef CARNOT_BASE_FILE_REPLACE_H
#define CARNOT_BASE_FILE_REPLACE_H

#include <sys/types.h>

#include "base/err.h"

/* Writes PATH.tmp with exactly that mode, flushes it to the disk and renames it to PATH. A PATH.tmp that is there, of
 * an attempt that was cut short, is removed first; links are not followed. Blocks for as long as the disk does. After a
 * failure the old file is there as it was, or, where only the directory could not be flushed, the new one. One writer
 * at a time, see file_lock. */
int file_replace(const char *path, mode_t mode, const void *data, size_t len, struct carnot_err *err);

/* Whether file_replace() could work now, and would replace nothing but a regular file (a link, /dev/stdout): 0, or why
 * not. For those who measure for a minute before they write a file that a user named. */
int file_replace_check(const char *path, struct carnot_err *err);

/* Takes PATH.lock for as long as the descriptor given back is open; it is made when it is not there and stays. -EBUSY:
 * another program has it (a second lock in the same program is not noticed). */
int file_lock(const char *path, struct carnot_err *err);

/* Gives the file the name PATH + suffix, over one that had it. */
int file_set_aside(const char *path, const char *suffix, struct carnot_err *err);

/* Reads a regular file that is no link, NUL-terminated. Returns the length; -ENOENT; -E2BIG when it does not fit into
 * size - 1; -EINVAL for anything that is no regular file. */
ssize_t file_read(const char *path, char *buf, size_t size, struct carnot_err *err);

#endif
