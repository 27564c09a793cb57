/* SPDX-License-Identifier: Apache-2.0 */
/* Text for people. Widths by a table of our own: wcwidth() knows UTF-8 only in a UTF-8 locale, and a report that goes
 * to a file in the C locale must be aligned too. */
#include "cli/text.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"

const char *const text_blocks[TEXT_BLOCKS] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                              "\u2585", "\u2586", "\u2587", "\u2588"};

/* One character off the front of s (n bytes left). Returns its length and value, or 1 and UINT32_MAX when the byte is
 * not the beginning of valid UTF-8. */
static size_t decode(const char *s, size_t n, uint32_t *ret)
{
    unsigned char lead = (unsigned char)s[0];
    size_t len = lead < 0x80 ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : lead < 0xF0 && lead >= 0xE0 ? 3 : 0;
    uint32_t c;

    if (lead >= 0xF0 && lead < 0xF5)
        len = 4;
    if (len == 0 || len > n) {
        *ret = UINT32_MAX;
        return 1;
    }
    c = len == 1 ? lead : lead & (0x7FU >> len);
    for (size_t i = 1; i < len; i++) {
        if (((unsigned char)s[i] & 0xC0) != 0x80) {
            *ret = UINT32_MAX;
            return 1;
        }
        c = c << 6 | ((unsigned char)s[i] & 0x3F);
    }
    /* Overlong forms, surrogates, beyond Unicode. */
    if ((len == 3 && c < 0x800) || (len == 4 && (c < 0x10000 || c > 0x10FFFF)) || (c >= 0xD800 && c <= 0xDFFF)) {
        *ret = UINT32_MAX;
        return 1;
    }
    *ret = c;
    return len;
}

/* Characters that a terminal acts on, or that turn the order of what follows (bidirectional controls). */
static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x200E && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

void text_clean(char *s)
{
    size_t n = strlen(s);

    while (n > 0) {
        uint32_t c;
        size_t len = decode(s, n, &c);

        if (is_control(c) || c == UINT32_MAX)
            memset(s, '?', len);
        s += len;
        n -= len;
    }
}

/* Unicode ranges by East Asian Width and general category Mn, as coarse as a table of names needs. */
static const struct {
    uint32_t first, last;
    unsigned width;
} odd_widths[] = {
    {0x0300, 0x036F, 0},   {0x0483, 0x0489, 0},   {0x0591, 0x05BD, 0},   {0x064B, 0x065F, 0},   {0x1100, 0x115F, 2},
    {0x1AB0, 0x1AFF, 0},   {0x1DC0, 0x1DFF, 0},   {0x200B, 0x200D, 0},   {0x20D0, 0x20FF, 0},   {0x2E80, 0x303E, 2},
    {0x3041, 0x33FF, 2},   {0x3400, 0x4DBF, 2},   {0x4E00, 0x9FFF, 2},   {0xA000, 0xA4CF, 2},   {0xAC00, 0xD7A3, 2},
    {0xF900, 0xFAFF, 2},   {0xFE00, 0xFE0F, 0},   {0xFE20, 0xFE2F, 0},   {0xFE30, 0xFE4F, 2},   {0xFF00, 0xFF60, 2},
    {0xFFE0, 0xFFE6, 2},   {0x1F300, 0x1F64F, 2}, {0x1F680, 0x1F6FF, 2}, {0x1F900, 0x1F9FF, 2}, {0x20000, 0x3FFFD, 2},
    {0xE0100, 0xE01EF, 0},
};

static unsigned char_width(uint32_t c)
{
    if (c < 0x300 || c == UINT32_MAX)
        return 1;
    for (size_t i = 0; i < ELEMENTSOF(odd_widths); i++)
        if (c >= odd_widths[i].first && c <= odd_widths[i].last)
            return odd_widths[i].width;
    return 1;
}

unsigned text_width(const char *s)
{
    size_t n = strlen(s);
    unsigned width = 0;

    while (n > 0) {
        uint32_t c;
        size_t len = decode(s, n, &c);

        width += char_width(c);
        s += len;
        n -= len;
    }
    return width;
}

/* Appends what fits into `room` columns; returns the columns used. */
static unsigned put_part(struct buf *out, const char *s, unsigned room, bool utf8)
{
    size_t n = strlen(s);
    unsigned used = 0;

    while (n > 0) {
        uint32_t c;
        size_t len = decode(s, n, &c);
        unsigned width = char_width(c);

        if (used + width > room)
            break;
        if (c < 0x80 || (utf8 && c != UINT32_MAX))
            buf_append(out, s, len);
        else
            for (unsigned i = 0; i < width; i++)
                buf_putc(out, '?');
        used += width;
        s += len;
        n -= len;
    }
    return used;
}

static void put_blanks(struct buf *out, unsigned n)
{
    while (n--)
        buf_putc(out, ' ');
}

void text_fit(struct buf *out, const char *s, unsigned width, bool right, bool utf8)
{
    unsigned has = text_width(s);

    if (has <= width) {
        put_blanks(out, right ? width - has : 0);
        put_part(out, s, width, utf8);
        put_blanks(out, right ? 0 : width - has);
        return;
    }
    if (width == 0)
        return;
    unsigned used = put_part(out, s, width - 1, utf8);
    buf_puts(out, utf8 ? "\u2026" : "~");
    put_blanks(out, width - 1 - used); /* a wide character may not have fitted */
}

void text_put(struct buf *out, const char *s, bool utf8)
{
    put_part(out, s, UINT32_MAX / 2, utf8);
}

/* value, in units of the first suffix, with a prefix that leaves one to three digits before the point. */
static void put_scaled(struct buf *out, double value, const char *const *suffixes)
{
    bool negative = value < 0;

    if (value == 0) {
        buf_printf(out, "0 %s", suffixes[1]);
        return;
    }
    value = fabs(value);
    /* 999.95 would print as 1000.0 */
    while (value >= 999.95 && suffixes[1]) {
        value /= 1000;
        suffixes++;
    }
    if (negative)
        buf_putc(out, '-');
    buf_put_double_fixed(out, value, value < 9.9995 ? 3 : value < 99.995 ? 2 : 1);
    buf_putc(out, ' ');
    buf_puts(out, *suffixes);
}

void human_energy(struct buf *out, double uj)
{
    static const char *const suffixes[] = {"mJ", "J", "kJ", "MJ", "GJ", NULL};

    put_scaled(out, uj / 1e3, suffixes);
}

void human_power(struct buf *out, double uw)
{
    static const char *const suffixes[] = {"mW", "W", "kW", "MW", NULL};

    put_scaled(out, uw / 1e3, suffixes);
}

void human_mass(struct buf *out, double ug)
{
    static const char *const suffixes[] = {"mg", "g", "kg", "t", NULL};

    if (ug > 0 && ug < 0.5) {
        buf_puts(out, "< 0.001 mg"); /* of a short command: not nothing */
        return;
    }
    put_scaled(out, ug / 1e3, suffixes);
}

void human_bytes(struct buf *out, uint64_t bytes)
{
    static const char *const suffixes[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};
    double value = (double)bytes;
    size_t i = 0;

    for (; value >= 1024 && suffixes[i + 1]; i++)
        value /= 1024;
    buf_put_double_fixed(out, value, i == 0 ? 0 : 1);
    buf_putc(out, ' ');
    buf_puts(out, suffixes[i]);
}

void human_time(struct buf *out, double ns)
{
    static const char *const suffixes[] = {"ms", "s", NULL};

    if (ns < 59.995e9) {
        put_scaled(out, ns / 1e6, suffixes);
        return;
    }
    uint64_t tenths = (uint64_t)(ns / 1e8 + 0.5);
    if (tenths < 36000) {
        buf_printf(out, "%llu min %02u.%u s", (unsigned long long)(tenths / 600), (unsigned)(tenths % 600 / 10),
                   (unsigned)(tenths % 10));
        return;
    }
    uint64_t seconds = (uint64_t)(ns / 1e9 + 0.5);
    buf_printf(out, "%llu h %02u min %02u s", (unsigned long long)(seconds / 3600), (unsigned)(seconds / 60 % 60),
               (unsigned)(seconds % 60));
}

void human_significant(struct buf *out, double value, unsigned digits)
{
    double size = fabs(value);
    int magnitude, decimals;

    if (size == 0 || !isfinite(value)) {
        buf_put_double_fixed(out, isfinite(value) ? 0 : value, 0);
        return;
    }
    magnitude = (int)floor(log10(size));
    decimals = (int)digits - 1 - magnitude;
    /* buf_put_double_fixed takes nine: smaller values end in fewer digits, which for Wh is below a microjoule */
    buf_put_double_fixed(out, value, decimals < 0 ? 0 : decimals > 9 ? 9 : (unsigned)decimals);
}

const char *text_nearest(const char *word, const char *const *words)
{
    size_t n = strlen(word), best = 3; /* three wrong letters make another word */
    const char *nearest = NULL;

    for (; *words; words++) {
        size_t m = strlen(*words), most = n > m ? n : m, least = min_size(n, m), head = 0, tail = 0;

        /* What is left between a common beginning and a common end: exact for one slip, enough for a verb. */
        while (head < least && word[head] == (*words)[head])
            head++;
        while (tail < least - head && word[n - 1 - tail] == (*words)[m - 1 - tail])
            tail++;
        if (most - head - tail < best && head + tail > 0) {
            best = most - head - tail;
            nearest = *words;
        }
    }
    return nearest;
}
