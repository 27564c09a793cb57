/* SPDX-License-Identifier: Apache-2.0 */
/* Plain text tables, see table.h. Cells lie behind one another in one buffer. */
#include "cli/table.h"

#include <errno.h>
#include <string.h>

#include "cli/text.h"

#define COLUMN_GAP 2
#define COLUMN_MIN 6 /* a column that gives way keeps this much, then the line is just too long */

void table_init(struct table *table, const struct table_column *columns, size_t n_columns)
{
    *table = (struct table){.columns = columns, .n_columns = min_size(n_columns, TABLE_COLUMNS_MAX)};
    buf_init(&table->cells, TABLE_BYTES_MAX);
}

void table_done(struct table *table)
{
    buf_done(&table->cells);
}

void table_reset(struct table *table)
{
    buf_reset(&table->cells);
    table->n_cells = 0;
}

struct buf *table_begin_cell(struct table *table)
{
    return &table->cells;
}

void table_end_cell(struct table *table)
{
    buf_putc(&table->cells, '\0');
    table->n_cells++;
}

void table_add(struct table *table, const char *text)
{
    buf_puts(&table->cells, text);
    table_end_cell(table);
}

static void measure(const struct table *table, unsigned *widths)
{
    const char *cell = buf_str(&table->cells);

    for (size_t c = 0; c < table->n_columns; c++)
        widths[c] = table->columns[c].title ? text_width(table->columns[c].title) : 0;
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t c = i % table->n_columns;
        unsigned width = text_width(cell);

        if (width > widths[c])
            widths[c] = width;
        cell += strlen(cell) + 1;
    }
    for (size_t c = 0; c < table->n_columns; c++)
        if (table->columns[c].max_width && widths[c] > table->columns[c].max_width)
            widths[c] = table->columns[c].max_width;
}

static void shrink(const struct table *table, unsigned *widths, unsigned limit)
{
    unsigned total = COLUMN_GAP * (unsigned)(table->n_columns - 1);

    for (size_t c = 0; c < table->n_columns; c++)
        total += widths[c];
    for (size_t c = table->n_columns; c-- > 0 && total > limit;) {
        unsigned over = total - limit, spare = widths[c] > COLUMN_MIN ? widths[c] - COLUMN_MIN : 0;

        if (!table->columns[c].gives_way)
            continue;
        if (spare > over)
            spare = over;
        widths[c] -= spare;
        total -= spare;
    }
}

static void put_cell(const struct table *table, struct buf *out, const unsigned *widths, size_t c, const char *text,
                     size_t line_start, bool utf8)
{
    bool last = c + 1 == table->n_columns;

    text_fit(out, text, widths[c], table->columns[c].right, utf8);
    if (!last) {
        buf_puts(out, "  ");
        return;
    }
    while (!buf_error(out) && out->len > line_start && out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
    buf_putc(out, '\n');
}

int table_write(const struct table *table, struct buf *out, unsigned width, bool utf8)
{
    unsigned widths[TABLE_COLUMNS_MAX] = {0};
    const char *cell = buf_str(&table->cells);
    bool headed = false;
    size_t line;

    if (buf_error(&table->cells))
        return buf_error(&table->cells);
    if (table->n_columns == 0 || table->n_cells % table->n_columns != 0)
        return -EINVAL;
    measure(table, widths);
    if (width > 0)
        shrink(table, widths, width);
    for (size_t c = 0; c < table->n_columns; c++)
        headed |= table->columns[c].title != NULL;
    line = out->len;
    for (size_t c = 0; headed && c < table->n_columns; c++)
        put_cell(table, out, widths, c, table->columns[c].title ? table->columns[c].title : "", line, utf8);
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t c = i % table->n_columns;

        if (c == 0)
            line = out->len;
        put_cell(table, out, widths, c, cell, line, utf8);
        cell += strlen(cell) + 1;
    }
    return buf_error(out);
}
