/* SPDX-License-Identifier: Apache-2.0 */
/* Strict parsers and scanners of ASCII text. Knows forms of numbers; refuses locales, leniency and partial results. */
#include "base/parse.h"

#include <errno.h>
#include <locale.h>
#include <math.h>

#include "base/clock.h"

/* A number written with more characters than this is refused (-ERANGE): the longest double that anybody prints exactly
 * is shorter for the magnitudes that we read, and the copy for strtod lives on the stack. */
#define F64_TEXT_MAX 127

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_space(char c)
{
    return is_blank(c) || c == '\n' || c == '\r';
}

static struct text skip(struct text t, size_t n)
{
    return (struct text){t.p + n, t.n - n};
}

bool text_is(struct text t, const char *s)
{
    size_t n = strlen(s);

    return t.n == n && (n == 0 || memcmp(t.p, s, n) == 0);
}

bool text_starts(struct text t, const char *prefix)
{
    size_t n = strlen(prefix);

    return t.n >= n && (n == 0 || memcmp(t.p, prefix, n) == 0);
}

bool text_ends(struct text t, const char *suffix)
{
    size_t n = strlen(suffix);

    return t.n >= n && (n == 0 || memcmp(t.p + (t.n - n), suffix, n) == 0);
}

struct text text_trim(struct text t)
{
    while (t.n && is_space(t.p[0]))
        t = skip(t, 1);
    while (t.n && is_space(t.p[t.n - 1]))
        t.n--;
    return t;
}

size_t text_copy_printing(struct text t, char *out, size_t size)
{
    size_t n = min_size(t.n, size - 1);

    for (size_t i = 0; i < n; i++)
        out[i] = t.p[i] >= ' ' && t.p[i] <= '~' ? t.p[i] : '?';
    out[n] = '\0';
    return n;
}

/* Takes the digits off the front. -EINVAL when there is none (rest untouched), -ERANGE beyond 64 bits (digits taken).
 */
static int take_u64(struct text *rest, uint64_t *ret)
{
    uint64_t value = 0;
    bool overflow = false;
    size_t i = 0;

    for (; i < rest->n && is_digit(rest->p[i]); i++) {
        overflow |= __builtin_mul_overflow(value, 10, &value);
        overflow |= __builtin_add_overflow(value, (uint64_t)(rest->p[i] - '0'), &value);
    }
    if (i == 0)
        return -EINVAL;
    *rest = skip(*rest, i);
    if (overflow)
        return -ERANGE;
    *ret = value;
    return 0;
}

int parse_u64(struct text t, uint64_t *ret)
{
    uint64_t value = 0;
    int r = take_u64(&t, &value);

    if (r == -EINVAL || t.n)
        return -EINVAL;
    if (r < 0)
        return r;
    *ret = value;
    return 0;
}

int parse_i64(struct text t, int64_t *ret)
{
    bool negative = t.n && t.p[0] == '-';
    uint64_t value;
    int r = parse_u64(negative ? skip(t, 1) : t, &value);

    if (r < 0)
        return r;
    if (value > (uint64_t)INT64_MAX + negative)
        return -ERANGE;
    *ret = negative ? (int64_t)(0 - value) : (int64_t)value;
    return 0;
}

int parse_hex64(struct text t, uint64_t *ret)
{
    uint64_t value = 0;

    if (text_starts(t, "0x") || text_starts(t, "0X"))
        t = skip(t, 2);
    if (t.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        unsigned digit;

        if (is_digit(c))
            digit = (unsigned)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (unsigned)((c | 0x20) - 'a') + 10;
        else
            return -EINVAL;
        value = value << 4 | digit;
    }
    if (t.n > 16)
        return -ERANGE;
    *ret = value;
    return 0;
}

static size_t span_digits(struct text t)
{
    size_t n = 0;

    while (n < t.n && is_digit(t.p[n]))
        n++;
    return n;
}

static size_t span_sign(struct text t)
{
    return t.n && (t.p[0] == '-' || t.p[0] == '+') ? 1 : 0;
}

/* [-+]digits[.digits][e[-+]digits], and nothing behind: strtod takes more (hex, "inf", "1.") than any file that we read
 * may hold. */
static bool is_f64(struct text t)
{
    size_t n;

    t = skip(t, span_sign(t));
    n = span_digits(t);
    if (n == 0)
        return false;
    t = skip(t, n);
    if (t.n && t.p[0] == '.') {
        n = span_digits(skip(t, 1));
        if (n == 0)
            return false;
        t = skip(t, 1 + n);
    }
    if (t.n && (t.p[0] == 'e' || t.p[0] == 'E')) {
        t = skip(t, 1);
        t = skip(t, span_sign(t));
        n = span_digits(t);
        if (n == 0)
            return false;
        t = skip(t, n);
    }
    return t.n == 0;
}

int parse_f64(struct text t, double *ret)
{
    char copy[F64_TEXT_MAX + 1];

    if (!is_f64(t))
        return -EINVAL;
    if (t.n > F64_TEXT_MAX)
        return -ERANGE;
    memcpy(copy, t.p, t.n);
    copy[t.n] = '\0';

    /* glibc's "C" locale is a static object: newlocale neither allocates nor fails for it, and it is not freed. */
    double value = strtod_l(copy, NULL, newlocale(LC_ALL_MASK, "C", (locale_t)0));
    if (!isfinite(value))
        return -ERANGE;
    *ret = value; /* an underflow is rounded to a subnormal or 0, as any other digit beyond the precision */
    return 0;
}

int parse_fixed(struct text t, unsigned decimals, uint64_t *ret)
{
    size_t n = span_digits(t);
    struct text whole = {t.p, n}, fraction = {"", 0};
    uint64_t value;

    if (n == 0)
        return -EINVAL;
    if (n < t.n) {
        fraction = skip(t, n + 1);
        if (t.p[n] != '.' || fraction.n == 0 || span_digits(fraction) != fraction.n)
            return -EINVAL;
    }
    int r = parse_u64(whole, &value);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < decimals; i++) {
        unsigned digit = i < fraction.n ? (unsigned)(fraction.p[i] - '0') : 0;
        if (__builtin_mul_overflow(value, 10ULL, &value) || __builtin_add_overflow(value, digit, &value))
            return -ERANGE;
    }
    *ret = value;
    return 0;
}

int parse_bool(struct text t, bool *ret)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};

    for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
        if (text_is(t, yes[i])) {
            *ret = true;
            return 0;
        }
        if (text_is(t, no[i])) {
            *ret = false;
            return 0;
        }
    }
    return -EINVAL;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* Takes the longest unit name off the front: a run of letters must be a name as a whole. */
static int take_unit(struct text *rest, const struct unit *units, size_t n_units, size_t *ret_index)
{
    size_t n = 0;

    while (n < rest->n && ((rest->p[n] | 0x20) >= 'a' && (rest->p[n] | 0x20) <= 'z'))
        n++;
    for (size_t i = 0; i < n_units; i++) {
        if (text_is((struct text){rest->p, n}, units[i].name)) {
            *rest = skip(*rest, n);
            *ret_index = i;
            return 0;
        }
    }
    return -EINVAL;
}

int parse_duration_ns(struct text t, uint64_t *ret)
{
    /* Largest first: the parts of "1h30m" must come in this order, each at most once. */
    static const struct unit units[] = {
        {"w", 7 * 86400ULL * NS_PER_SEC},
        {"d", 86400 * NS_PER_SEC},
        {"h", 3600 * NS_PER_SEC},
        {"m", 60 * NS_PER_SEC},
        {"s", NS_PER_SEC},
        {"ms", NS_PER_MS},
        {"us", NS_PER_US},
        {"ns", 1},
    };
    uint64_t total = 0;
    size_t next = 0;
    bool overflow = false;

    if (t.n == 0)
        return -EINVAL;
    while (t.n) {
        uint64_t count = 0, part;
        size_t index;
        int r = take_u64(&t, &count);

        if (r == -EINVAL || take_unit(&t, units, ELEMENTSOF(units), &index) < 0 || index < next)
            return -EINVAL;
        overflow |= r < 0;
        overflow |= __builtin_mul_overflow(count, units[index].factor, &part);
        overflow |= __builtin_add_overflow(total, part, &total);
        next = index + 1;
    }
    if (overflow)
        return -ERANGE;
    *ret = total;
    return 0;
}

int parse_bytes(struct text t, uint64_t *ret)
{
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"KiB", 1ULL << 10},
        {"MiB", 1ULL << 20},
        {"GiB", 1ULL << 30},
        {"TiB", 1ULL << 40},
        {"PiB", 1ULL << 50},
        {"kB", 1000ULL},
        {"KB", 1000ULL},
        {"MB", 1000000ULL},
        {"GB", 1000000000ULL},
        {"TB", 1000000000000ULL},
        {"PB", 1000000000000000ULL},
    };
    uint64_t value = 0;
    size_t index;
    int r = take_u64(&t, &value);

    if (r == -EINVAL || take_unit(&t, units, ELEMENTSOF(units), &index) < 0 || t.n)
        return -EINVAL;
    if (r < 0 || __builtin_mul_overflow(value, units[index].factor, &value))
        return -ERANGE;
    *ret = value;
    return 0;
}

bool scan_until(struct text *rest, char sep, struct text *ret_part)
{
    if (rest->n == 0)
        return false;

    const char *end = memchr(rest->p, sep, rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    *ret_part = (struct text){rest->p, n};
    *rest = skip(*rest, end ? n + 1 : n);
    return true;
}

bool scan_line(struct text *rest, struct text *ret_line)
{
    return scan_until(rest, '\n', ret_line);
}

bool scan_word(struct text *rest, struct text *ret_word)
{
    struct text t = *rest;
    size_t n = 0;

    while (t.n && is_blank(t.p[0]))
        t = skip(t, 1);
    while (n < t.n && !is_blank(t.p[n]))
        n++;
    *rest = skip(t, n);
    if (n == 0)
        return false;
    *ret_word = (struct text){t.p, n};
    return true;
}

int scan_u64(struct text *rest, uint64_t *ret)
{
    struct text t = *rest;
    uint64_t value = 0;

    while (t.n && is_blank(t.p[0]))
        t = skip(t, 1);
    int r = take_u64(&t, &value);
    if (r < 0)
        return r;
    *rest = t;
    *ret = value;
    return 0;
}

/* One "N" or "N-M" of a cpulist. */
static int parse_cpu_range(struct text t, size_t n_bits, uint64_t *ret_first, uint64_t *ret_last)
{
    struct text first_text;
    uint64_t first, last;
    bool range = t.n && memchr(t.p, '-', t.n);

    if (!scan_until(&t, '-', &first_text))
        return -EINVAL;
    int r = parse_u64(first_text, &first);
    if (r < 0)
        return r;
    last = first;
    if (range) {
        r = parse_u64(t, &last);
        if (r < 0)
            return r;
    }
    if (last < first)
        return -EINVAL;
    if (last >= n_bits)
        return -ERANGE;
    *ret_first = first;
    *ret_last = last;
    return 0;
}

/* Goes over the list once; sets the bits when there is a bitmap. */
static int walk_cpulist(struct text t, uint64_t *bitmap, size_t n_bits)
{
    int result = 0;
    bool more = t.n > 0;

    while (more) {
        struct text part = {t.p, 0};
        uint64_t first, last;

        /* A comma at the very end leaves an empty part behind it, which is as wrong as one in the middle. */
        more = t.n && memchr(t.p, ',', t.n);
        scan_until(&t, ',', &part);
        int r = parse_cpu_range(part, n_bits, &first, &last);
        if (r == -EINVAL)
            return r; /* a wrong form is told before a wrong number */
        if (r < 0)
            result = r;
        else if (bitmap)
            for (uint64_t cpu = first; cpu <= last; cpu++)
                bitmap[cpu / 64] |= 1ULL << (cpu % 64);
    }
    return result;
}

int parse_cpulist(struct text t, uint64_t *bitmap, size_t n_bits)
{
    t = text_trim(t); /* sysfs ends the list with a newline, an empty one too */

    int r = walk_cpulist(t, NULL, n_bits);
    if (r < 0)
        return r;
    if (n_bits)
        memset(bitmap, 0, (n_bits + 63) / 64 * sizeof(*bitmap));
    return walk_cpulist(t, bitmap, n_bits);
}
