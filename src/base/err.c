/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the error object. Knows errno values and exit statuses; refuses to know who reads the sentence or where it is
 * printed. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts a message that vsnprintf had to cut anyway at the start of a UTF-8 sequence, so that no half character is shown.
 */
static void trim_cut_utf8(char *msg, size_t len)
{
    size_t i = len;

    while (i > 0 && len - i < 3 && ((unsigned char)msg[i - 1] & 0xC0) == 0x80)
        i--;
    if (i == 0 || (unsigned char)msg[i - 1] < 0xC0)
        return;

    unsigned char lead = (unsigned char)msg[i - 1];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (len - (i - 1) < need)
        msg[i - 1] = '\0';
}

/* Appends to what is in msg, cutting at the end of the room. */
static void append_v(struct carnot_err *err, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void append_v(struct carnot_err *err, const char *fmt, va_list ap)
{
    size_t used = strlen(err->msg);
    int n = vsnprintf(err->msg + used, sizeof(err->msg) - used, fmt, ap);

    if (n < 0)
        err->msg[used] = '\0'; /* an encoding error of the C library: the code still tells */
    else if ((size_t)n >= sizeof(err->msg) - used)
        trim_cut_utf8(err->msg, sizeof(err->msg) - 1);
}

static void append(struct carnot_err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void append(struct carnot_err *err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    append_v(err, fmt, ap);
    va_end(ap);
}

/* A code of 0 would turn a failure into a success on the way up. */
static int positive_code(int code)
{
    if (code == 0)
        return EIO;
    return code < 0 ? -code : code;
}

int carnot_err_set(struct carnot_err *err, int code, const char *fmt, ...)
{
    code = positive_code(code);
    if (err) {
        va_list ap;

        err->code = code;
        err->msg[0] = '\0';
        va_start(ap, fmt);
        append_v(err, fmt, ap);
        va_end(ap);
    }
    return -code;
}

int carnot_err_errno(struct carnot_err *err, int code, const char *fmt, ...)
{
    code = positive_code(code);
    if (err) {
        char text[128];
        va_list ap;

        err->code = code;
        err->msg[0] = '\0';
        va_start(ap, fmt);
        append_v(err, fmt, ap);
        va_end(ap);
        append(err, ": %s", strerror_r(code, text, sizeof(text)));
    }
    return -code;
}

int carnot_err_wrap(struct carnot_err *err, const char *fmt, ...)
{
    if (!err)
        return -EIO;

    struct carnot_err inner = *err;
    va_list ap;

    err->code = positive_code(inner.code);
    err->msg[0] = '\0';
    va_start(ap, fmt);
    append_v(err, fmt, ap);
    va_end(ap);
    if (inner.msg[0])
        append(err, ": %s", inner.msg);
    return -err->code;
}

int carnot_err_exit_status(int code)
{
    switch (code < 0 ? -code : code) {
    case 0:
        return 0;
    case EINVAL:
        return 64; /* EX_USAGE */
    case ENOENT:
        return 66; /* EX_NOINPUT */
    case ENODEV:
    case EAGAIN:
    case EADDRINUSE:
        return 69; /* EX_UNAVAILABLE */
    case EIO:
        return 74; /* EX_IOERR */
    case EPROTO:
        return 76; /* EX_PROTOCOL */
    case EACCES:
    case EPERM:
        return 77; /* EX_NOPERM */
    default:
        return 70; /* EX_SOFTWARE */
    }
}
