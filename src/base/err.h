/* SPDX-License-Identifier: Apache-2.0 */
/* The error object: an errno value and the sentence that the user will read.
 *
 * The sentence is made where the fact is known and wrapped on the way up. It says what was wrong, where,
 * and what to do next. Code that meets the outside world takes a trailing `struct carnot_err *err`, which may be NULL.
 * The object lives on the caller's stack; nothing here allocates.
 *
 * Codes with a fixed meaning for us (docs/ERRORS.md): ENODEV absent, ENODATA nothing this time, EAGAIN later, ESTALE
 * too old, EACCES/EPERM a right is missing (the sentence names it), EPROTO the peer talked nonsense, E2BIG a limit of
 * ours, EINVAL the user's input (with file:line). */
#ifndef CARNOT_BASE_ERR_H
#define CARNOT_BASE_ERR_H

#include "base/util.h"

/* Long enough for a path and two sentences; longer text is cut at the end, never overflows. */
#define CARNOT_ERR_MSG_MAX 480

struct carnot_err {
    int code; /* errno value, 0 when nothing was set */
    char msg[CARNOT_ERR_MSG_MAX];
};

#define CARNOT_ERR_INIT ((struct carnot_err){0})

/* Sets code and sentence. `code` may be given with either sign. Returns -|code|, so that `return carnot_err_set(...)`
 * reads. */
int carnot_err_set(struct carnot_err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As carnot_err_set, appending ": " and the text of errno value `code`. */
int carnot_err_errno(struct carnot_err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "outer: " before the sentence that is there. Returns the old -code. With err NULL (or nothing set in it) the
 * code is not known and -EIO is returned: a caller that must hand on the exact code returns the callee's result instead
 * of this one. */
int carnot_err_wrap(struct carnot_err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The sysexits-like exit status for a code: EINVAL 64 (usage; configuration files use 78 by name), ENOENT 66,
 * ENODEV/EAGAIN/ EADDRINUSE 69, ENOMEM and anything unexpected 70, EIO 74, EPROTO 76, EACCES/EPERM 77. 0 for 0. */
int carnot_err_exit_status(int code);

#endif
