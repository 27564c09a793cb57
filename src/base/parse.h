/* SPDX-License-Identifier: Apache-2.0 */
/* Strict, locale-free parsing of text from outside. A parser takes the whole input or fails: "12x" is no number.
 * All return 0 or -EINVAL (not of that form) or -ERANGE (does not fit); outputs are written only on success. */
#ifndef CARNOT_BASE_PARSE_H
#define CARNOT_BASE_PARSE_H

#include <string.h>

#include "base/util.h"

/* A piece of text that somebody else owns; not NUL-terminated. */
struct text {
    const char *p;
    size_t n;
};

static inline struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}
bool text_is(struct text t, const char *s);
bool text_starts(struct text t, const char *prefix);
bool text_ends(struct text t, const char *suffix);
struct text text_trim(struct text t); /* blanks, tabs, CR, LF at both ends */
/* Text from outside for a message or a name: printing ASCII as it is, '?' for everything else, cut to what `size` (> 0)
 * has room for, NUL-terminated. Returns the length. */
size_t text_copy_printing(struct text t, char *out, size_t size);

int parse_u64(struct text t, uint64_t *ret);   /* decimal digits only */
int parse_i64(struct text t, int64_t *ret);    /* optional '-' */
int parse_hex64(struct text t, uint64_t *ret); /* optional 0x, 1 to 16 digits */
int parse_f64(struct text t, double *ret);     /* [-+]digits[.digits][e[-+]digits], finite */
int parse_fixed(struct text t, unsigned decimals,
                uint64_t *ret);           /* digits[.digits] as value * 10^decimals; what is finer is cut off */
int parse_bool(struct text t, bool *ret); /* true/false, yes/no, on/off, 1/0 */
int parse_duration_ns(
    struct text t,
    uint64_t *ret); /* "100ms", "1s", "1h30m", "2d" (w d h m s ms us ns, in this order); a bare number is refused */
int parse_bytes(struct text t, uint64_t *ret); /* "64", "64B", "16KiB", "1MB" (1e6), "1MiB" */

/* Scanners over a text: each takes a piece off the front. */
bool scan_line(struct text *rest, struct text *ret_line); /* false at the end; the newline is taken and not given */
bool scan_word(struct text *rest, struct text *ret_word); /* blanks and tabs separate; false when none is left */
bool scan_until(struct text *rest, char sep,
                struct text *ret_part);         /* up to sep (taken) or the end; false when rest is empty */
int scan_u64(struct text *rest, uint64_t *ret); /* leading blanks skipped; digits taken; rest untouched on failure */

/* "0-3,8,10-11" (cpulist): calls back through a bitmap of n_bits bits in words of 64. -ERANGE for a CPU beyond n_bits.
 * "" gives none. */
int parse_cpulist(struct text t, uint64_t *bitmap, size_t n_bits);

#endif
