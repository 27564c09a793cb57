/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot top` as text: what both the full screen and the piped table show. Bytes into a buffer; no terminal. */
#ifndef CARNOT_CLI_TOP_TEXT_H
#define CARNOT_CLI_TOP_TEXT_H

#include "cli/rows.h"

/* Past windows of the units on screen, for sparklines; NULL where there are none. */
struct history;

struct top_layout {
    unsigned width; /* of a line; 0: any */
    bool utf8;
    const struct history *history;
};

/* What the node did in the window: watts by domain, emissions, quality and how it was got. Several lines. */
int top_text_header(const struct view *view, const struct top_layout *layout, struct buf *out);

/* The heading line, a line per row, then the rows that make the table add up (idle, kernel, monitor, residual, what is
 * not shown, the node). *ret_n_fixed gets the number of those last lines. In the view "own" there are none. */
int top_text_table(const struct view *view, const struct rows *rows, const struct rows_options *options,
                   const struct top_layout *layout, struct buf *out, size_t *ret_n_fixed);

/* What the numbers mean; one line. */
int top_text_footer(const struct view *view, const struct rows_options *options, struct buf *out);

/* header, table, footer with a blank line between: the plain form. */
int top_text(const struct view *view, const struct rows_options *options, const struct top_layout *layout,
             struct buf *out);

#endif
