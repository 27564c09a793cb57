/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus label sets as text, without braces: key="value",key="value". Escapes as text format 0.0.4 and
 * OpenMetrics 1.0 both want: backslash, quote, newline. Bytes that are not valid UTF-8, and other control characters,
 * become '?', since one of them would spoil a whole scrape. */
#ifndef CARNOT_MODEL_LABELS_H
#define CARNOT_MODEL_LABELS_H

#include "base/util.h"

/* Writes into memory of the caller; what does not fit is cut at a label's value, never inside an escape. */
struct label_writer {
    char *out;
    size_t size; /* room, NUL included; at least 1 */
    size_t len;
};

void label_put(struct label_writer *writer, const char *key, const char *value);

/* Escaped value into out (size >= 1), NUL-terminated; returns its length. Most that a value of n bytes can need: 2 * n
 * + 1. */
size_t label_escape(const char *value, char *out, size_t size);

#endif
