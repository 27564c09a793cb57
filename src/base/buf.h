/* SPDX-License-Identifier: Apache-2.0 */
/* Growing byte buffer with a mandatory limit.
 *
 * Errors stick: after the first failed append (limit or memory) every further append does nothing and buf_error() tells
 * why, so that a formatter checks once, at its end. The bytes are always NUL-terminated once there is memory (buf_str).
 * Own fixed-point formatting, since printf of a double is locale-dependent and ten times as slow. */
#ifndef CARNOT_BASE_BUF_H
#define CARNOT_BASE_BUF_H

#include <string.h>

#include "base/util.h"

struct buf {
    char *data;
    size_t len;
    size_t cap;
    size_t limit; /* most bytes `len` may reach */
    int error;    /* 0, -E2BIG or -ENOMEM */
};

void buf_init(struct buf *buf, size_t limit); /* limit > 0 */
void buf_done(struct buf *buf);
void buf_reset(struct buf *buf); /* length 0, error cleared, memory kept */
static inline int buf_error(const struct buf *buf)
{
    return buf->error;
}

/* The text so far, "" before the first append (data is then NULL). Valid until the next append. */
static inline const char *buf_str(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

/* Makes room for `more` bytes beyond len (and the NUL). 0 or a negative errno, which sticks. */
int buf_reserve(struct buf *buf, size_t more);

void buf_append_slow(struct buf *buf, const void *data, size_t len); /* not to be called: buf_append's other half */

/* cap never exceeds limit + 1, so that with room in hand an append is a comparison and a copy. */
static inline void buf_append(struct buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return;
    if (buf->error || len >= buf->cap - buf->len) {
        buf_append_slow(buf, data, len);
        return;
    }
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

static inline void buf_puts(struct buf *buf, const char *s)
{
    buf_append(buf, s, strlen(s));
}

static inline void buf_putc(struct buf *buf, char c)
{
    buf_append(buf, &c, 1);
}

void buf_printf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3); /* not for doubles: locale */
void buf_put_u64(struct buf *buf, uint64_t value);
void buf_put_i64(struct buf *buf, int64_t value);

/* value / 10^decimals with no trailing zeros and at least one digit before the point: (1500000, 6) -> "1.5"; decimals
 * <= 18. */
void buf_put_fixed(struct buf *buf, uint64_t value, unsigned decimals);

/* A finite double with 15, 16 or 17 significant digits, the fewest that read back to the same bits, '.' whatever the
 * locale; NaN and infinities as "NaN", "+Inf", "-Inf". */
void buf_put_double(struct buf *buf, double value);

/* A double with exactly `decimals` (<= 9) digits after the point, '.' whatever the locale; a zero has no sign. NaN as
 * above. */
void buf_put_double_fixed(struct buf *buf, double value, unsigned decimals);

/* Writes u64 decimal digits to out (at least 20 bytes), no NUL; returns the count. */
size_t format_u64(char *out, uint64_t value);
/* As buf_put_fixed to out (at least 40 bytes), no NUL; returns the count. */
size_t format_fixed(char *out, uint64_t value, unsigned decimals);

#endif
