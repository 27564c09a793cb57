/* SPDX-License-Identifier: Apache-2.0 */
/* Plain text tables: columns as wide as their contents, one of them gives way when the line is too long.
 * Knows text, no meaning, no terminal. */
#ifndef CARNOT_CLI_TABLE_H
#define CARNOT_CLI_TABLE_H

#include "base/buf.h"

#define TABLE_COLUMNS_MAX 16
#define TABLE_BYTES_MAX   (64U << 20) /* 200,000 rows of 300 bytes */

struct table_column {
    const char *title; /* NULL in every column: no heading */
    bool right;
    bool gives_way;     /* cut first when the line is too long; the last such column first */
    unsigned max_width; /* 0: none */
};

struct table {
    const struct table_column *columns;
    size_t n_columns;
    size_t n_cells;
    struct buf cells; /* NUL after each */
};

void table_init(struct table *table, const struct table_column *columns, size_t n_columns);
void table_done(struct table *table);
void table_reset(struct table *table); /* drops the rows */

void table_add(struct table *table, const char *text);
/* The buffer that the next cell is written to; table_end_cell closes it. */
struct buf *table_begin_cell(struct table *table);
void table_end_cell(struct table *table);

/* Appends the heading and every row, each ended by a newline, no blanks at line ends. `width` is the longest line
 * wanted, 0: any. Returns 0 or the buffer's error. */
int table_write(const struct table *table, struct buf *out, unsigned width, bool utf8);

#endif
