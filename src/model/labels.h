/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus label sets as text, without braces: key="value",key="value". Escapes as text format 0.0.4 and
 * OpenMetrics 1.0 both want: backslash, quote, newline. A byte that is not valid UTF-8, or another control character,
 * would spoil a whole scrape: it becomes U+F700 + byte (private use), so that names which differ stay different series.
 */
#ifndef CARNOT_MODEL_LABELS_H
#define CARNOT_MODEL_LABELS_H

#include "base/util.h"

/* Writes into memory of the caller; what does not fit is cut at a label's value, never inside an escape. */
struct label_writer {
    char *out;
    size_t size; /* room, NUL included; at least 1 */
    size_t len;
};

/* Most room that a key and value can take in a writer, NUL included. */
size_t label_room(const char *key, const char *value);
void label_put(struct label_writer *writer, const char *key, const char *value);

/* Escaped value into out (size >= 1), NUL-terminated; returns its length. Most that a value of n bytes can need: 3 * n
 * + 1. */
size_t label_escape(const char *value, char *out, size_t size);

#endif
