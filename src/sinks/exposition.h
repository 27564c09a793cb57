/* SPDX-License-Identifier: Apache-2.0 */
/* Writer of Prometheus text and OpenMetrics: families, rows, labels. Knows the two syntaxes; no metric. Private to
 * sinks/.
 *
 * A family is opened once and its rows follow; prepared label text and numbers are copied, never formatted by printf.
 */
#ifndef CARNOT_SINKS_EXPOSITION_H
#define CARNOT_SINKS_EXPOSITION_H

#include "base/buf.h"

/* Longest name of ours with "_total{" is 50 bytes. */
#define EXPOSITION_NAME_MAX 96

/* Number, blank, newline: format_fixed writes at most 40. */
#define EXPOSITION_NUMBER_MAX 48

enum family_type { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_INFO };

struct family {
    const char *name; /* without _total and _info: those follow from the type */
    enum family_type type;
    const char *unit; /* the name's end, NULL when it has none */
    const char *help; /* no backslash, quote or newline in it */
};

struct exposition {
    struct buf *out;
    bool openmetrics;
    bool has_label; /* of the row under construction */
    size_t name_len;
    char name[EXPOSITION_NAME_MAX]; /* of the family's rows, then '{' */
};

/* HELP, TYPE and UNIT; the rows that follow carry this family's name. */
void exposition_family(struct exposition *w, const struct family *family);

/* One row: open, labels, value. */
void exposition_row(struct exposition *w);
void exposition_label(struct exposition *w, const char *key, const char *value); /* NULL: "" */
void exposition_label_u64(struct exposition *w, const char *key, uint64_t value);
void exposition_value(struct exposition *w, uint64_t value, unsigned decimals); /* value / 10^decimals */
void exposition_value_signed(struct exposition *w, int64_t value, unsigned decimals);

/* A row without labels. */
void exposition_single(struct exposition *w, const struct family *family, uint64_t value, unsigned decimals);

/* "# EOF" where it is due. 0, or buf_error. */
int exposition_end(struct exposition *w);

/* A row of prepared parts: labels `a` (not empty), then `tail`, which begins with a comma if it has labels and ends
 * with
 * "} ". The hot path: a hundred thousand of them make one scrape. */
static inline void exposition_prepared(struct exposition *w, const char *a, size_t a_len, const char *tail,
                                       size_t tail_len, uint64_t value, unsigned decimals)
{
    struct buf *out = w->out;
    size_t most = w->name_len + a_len + tail_len + EXPOSITION_NUMBER_MAX;

    if (out->cap - out->len <= most && buf_reserve(out, most) < 0)
        return;
    if (buf_error(out))
        return;

    char *p = out->data + out->len;
    memcpy(p, w->name, w->name_len);
    p += w->name_len;
    memcpy(p, a, a_len);
    p += a_len;
    memcpy(p, tail, tail_len);
    p += tail_len;
    p += format_fixed(p, value, decimals);
    *p++ = '\n';
    *p = '\0';
    out->len = (size_t)(p - out->data);
}

#endif
