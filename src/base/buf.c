/* SPDX-License-Identifier: Apache-2.0 */
/* Growth, limit and number formatting of the byte buffer. Knows digits; refuses to know units, quoting or where the
 * bytes go. */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* First allocation: a log line or a small reply fits. */
#define CAP_FIRST 256

static const char two_digits[200] = "00010203040506070809"
                                    "10111213141516171819"
                                    "20212223242526272829"
                                    "30313233343536373839"
                                    "40414243444546474849"
                                    "50515253545556575859"
                                    "60616263646566676869"
                                    "70717273747576777879"
                                    "80818283848586878889"
                                    "90919293949596979899";

static const uint64_t powers_of_ten[20] = {
    1ULL,
    10ULL,
    100ULL,
    1000ULL,
    10000ULL,
    100000ULL,
    1000000ULL,
    10000000ULL,
    100000000ULL,
    1000000000ULL,
    10000000000ULL,
    100000000000ULL,
    1000000000000ULL,
    10000000000000ULL,
    100000000000000ULL,
    1000000000000000ULL,
    10000000000000000ULL,
    100000000000000000ULL,
    1000000000000000000ULL,
    10000000000000000000ULL,
};

void buf_init(struct buf *buf, size_t limit)
{
    assert(limit > 0);
    /* One less than the most, so that limit + 1 (the NUL) is a size. */
    *buf = (struct buf){.limit = min_size(limit, SIZE_MAX - 1)};
}

void buf_done(struct buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = (struct buf){.limit = buf->limit};
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->error = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

int buf_reserve(struct buf *buf, size_t more)
{
    if (buf->error)
        return buf->error;
    if (more > buf->limit - buf->len)
        return buf->error = -E2BIG;

    size_t need = buf->len + more + 1;
    if (need <= buf->cap)
        return 0;

    size_t cap = buf->cap ? buf->cap : CAP_FIRST;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    /* Never beyond the limit: the inline appenders then need to compare with cap alone. */
    cap = min_size(cap, buf->limit + 1);

    char *data = realloc(buf->data, cap);
    if (!data)
        return buf->error = -ENOMEM;
    buf->data = data;
    buf->cap = cap;
    buf->data[buf->len] = '\0';
    return 0;
}

void buf_append_slow(struct buf *buf, const void *data, size_t len)
{
    if (buf_reserve(buf, len) < 0)
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list ap;

    if (buf_reserve(buf, 0) < 0)
        return;

    size_t room = buf->cap - buf->len;
    va_start(ap, fmt);
    int n = vsnprintf(buf->data + buf->len, room, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n >= room) {
        buf->data[buf->len] = '\0'; /* what was cut is not part of the buffer, also when the reserve fails */
        if (buf_reserve(buf, (size_t)n) < 0)
            return;
        va_start(ap, fmt);
        n = vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    if (n < 0) {
        buf->data[buf->len] = '\0';
        buf->error = errno == ENOMEM ? -ENOMEM : -E2BIG; /* EOVERFLOW: longer than an int */
        return;
    }
    buf->len += (size_t)n;
}

static unsigned count_digits(uint64_t value)
{
    /* log10 from log2: 1233/4096 is log10(2) to three digits, exact enough over 64 bits; the table corrects by one. */
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    unsigned guess = bits * 1233 >> 12;

    return guess + (value >= powers_of_ten[guess]);
}

size_t format_u64(char *out, uint64_t value)
{
    if (value < 10) {
        out[0] = (char)('0' + value);
        return 1;
    }

    unsigned n = count_digits(value);
    char *p = out + n;
    while (value >= 100) {
        p -= 2;
        memcpy(p, two_digits + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10)
        memcpy(p - 2, two_digits + value * 2, 2);
    else
        p[-1] = (char)('0' + value);
    return n;
}

size_t format_fixed(char *out, uint64_t value, unsigned decimals)
{
    assert(decimals <= 18);
    if (decimals == 0 || value == 0)
        return format_u64(out, value);

    /* Puts the point into the decimal text instead of dividing by a power of ten. */
    char digits[20];
    size_t n = format_u64(digits, value);
    size_t len = 0;
    size_t whole = n > decimals ? n - decimals : 0;

    while (n > whole && digits[n - 1] == '0')
        n--;
    if (whole) {
        memcpy(out, digits, whole);
        len = whole;
        if (n == whole)
            return len;
        out[len++] = '.';
    } else {
        /* 20 digits never get here with decimals <= 18, so the zeros are at most 17. */
        size_t zeros = decimals - format_u64(digits, value);
        out[len++] = '0';
        out[len++] = '.';
        memset(out + len, '0', zeros);
        len += zeros;
    }
    memcpy(out + len, digits + whole, n - whole);
    return len + n - whole;
}

void buf_put_u64(struct buf *buf, uint64_t value)
{
    char out[20];

    buf_append(buf, out, format_u64(out, value));
}

void buf_put_i64(struct buf *buf, int64_t value)
{
    char out[21] = "-";

    if (value >= 0)
        buf_put_u64(buf, (uint64_t)value);
    else
        buf_append(buf, out, 1 + format_u64(out + 1, 0 - (uint64_t)value));
}

void buf_put_fixed(struct buf *buf, uint64_t value, unsigned decimals)
{
    char out[40];

    buf_append(buf, out, format_fixed(out, value, decimals));
}

/* NaN and the infinities, in the spelling of the Prometheus text format. True when it was one of them. */
static bool put_not_finite(struct buf *buf, double value)
{
    if (isnan(value))
        buf_puts(buf, "NaN");
    else if (isinf(value))
        buf_puts(buf, value > 0 ? "+Inf" : "-Inf");
    else
        return false;
    return true;
}

/* printf and strtod go by the thread's locale; glibc's "C" locale is static, so that this neither allocates nor fails.
 */
static locale_t enter_c_locale(void)
{
    return uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
}

/* Most figures have at most six decimals (microjoules as joules). A decimal of up to 15 digits comes back from its
 * double (IEEE 754, DBL_DIG), so that when millionths / 1e6 is the very value, these digits are what %.15g would find,
 * at a twentieth of the time. Below 1e-4 printf changes to an exponent. */
static bool put_millionths(struct buf *buf, double value)
{
    double magnitude = fabs(value);

    if (!(magnitude >= 1e-4 && magnitude < 999999999))
        return false;
    uint64_t millionths = (uint64_t)(magnitude * 1e6 + 0.5);
    if ((double)millionths / 1e6 != magnitude)
        return false;
    if (value < 0)
        buf_putc(buf, '-');
    buf_put_fixed(buf, millionths, 6);
    return true;
}

void buf_put_double(struct buf *buf, double value)
{
    char out[32]; /* sign, 17 digits, point, e-308 */

    if (put_not_finite(buf, value))
        return;
    /* Whole numbers, the usual case: %.15g gives just their digits up to here. */
    if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value && !(value == 0 && signbit(value))) {
        buf_put_i64(buf, (int64_t)value);
        return;
    }
    if (put_millionths(buf, value))
        return;

    locale_t before = enter_c_locale();
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(out, sizeof(out), "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    uselocale(before);
    buf_append(buf, out, (size_t)n);
}

void buf_put_double_fixed(struct buf *buf, double value, unsigned decimals)
{
    char out[332]; /* sign, 309 digits, point, 9 decimals, NUL */

    assert(decimals <= 9);
    if (put_not_finite(buf, value))
        return;

    locale_t before = enter_c_locale();
    int n = snprintf(out, sizeof(out), "%.*f", (int)(decimals <= 9 ? decimals : 9), value);
    uselocale(before);

    /* "-0.00" is no figure that anybody wants to read. */
    size_t skip = out[0] == '-' && strspn(out, "-0.") == (size_t)n ? 1 : 0;
    buf_append(buf, out + skip, (size_t)n - skip);
}
