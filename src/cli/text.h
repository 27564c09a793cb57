/* SPDX-License-Identifier: Apache-2.0 */
/* Text for people: UTF-8 columns, cleaning of foreign strings, quantities with a fitting unit, near words.
 * Knows no terminal: the caller says whether UTF-8 may be printed. Numbers always with '.', whatever the locale. */
#ifndef CARNOT_CLI_TEXT_H
#define CARNOT_CLI_TEXT_H

#include "base/buf.h"

/* What may be printed. */
struct text_style {
    bool utf8;
    bool bold; /* a terminal that knows how */
};

/* Nothing, then one to eight eighths of a character's height. */
#define TEXT_BLOCKS 9
extern const char *const text_blocks[TEXT_BLOCKS];

/* Replaces in place: control characters (escape sequences of a hostile process name) and bytes that are not UTF-8, by
 * '?'. The length stays. */
void text_clean(char *s);

/* Columns that cleaned UTF-8 text takes on a terminal: 0 for combining marks, 2 for wide East Asian characters. */
unsigned text_width(const char *s);

/* Appends s in exactly `width` columns: padded (on the left when right), or cut with a mark at its end. Without utf8
 * each character beyond ASCII is printed as '?'. */
void text_fit(struct buf *out, const char *s, unsigned width, bool right, bool utf8);
/* As text_fit without padding or cutting. */
void text_put(struct buf *out, const char *s, bool utf8);

/* Four significant digits with a prefix that fits: "182.4 J", "12.00 mJ", "1.500 kW". Values are doubles because means
 * are printed too. Energy in uJ, power in uW, time in ns, mass in ug. */
void human_energy(struct buf *out, double uj);
void human_power(struct buf *out, double uw);
void human_mass(struct buf *out, double ug);
void human_time(struct buf *out, double ns); /* "845.2 ms", "12.41 s", "3 min 04.1 s", "1 h 02 min 03 s" */
void human_bytes(struct buf *out, uint64_t bytes);

/* `digits` significant digits, no exponent: 0.00005071 -> "0.0000507" with 3. */
void human_significant(struct buf *out, double value, unsigned digits);

/* The word of the NULL-terminated list that is nearest to `word`, NULL when none is near. */
const char *text_nearest(const char *word, const char *const *words);

#endif
