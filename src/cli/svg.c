/* SPDX-License-Identifier: Apache-2.0 */
/* Draws with integers in tenths of a pixel. A series is a line from column to column, through its smallest and its
 * largest value in each, so that a peak of one reading is seen in a trace of hours. */
#include "cli/svg.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "cli/text.h"
#include "model/quantity.h"

#define UNIT 10 /* tenths of a pixel */

#define WIDTH       960
#define PLOT_LEFT   72
#define PLOT_WIDTH  868
#define PLOT_TOP    56
#define PLOT_HEIGHT 300
#define LEGEND_TOP  (PLOT_TOP + PLOT_HEIGHT + 56)
#define LEGEND_ROW  18
#define LEGEND_CELL 217 /* four names in a row */
#define LEGEND_COLS 4

#define TITLE_MAX 256 /* bytes of a title that are shown; a line of the picture holds fewer characters */
#define X_PARTS   10
#define Y_PARTS   6

/* Okabe and Ito, "Color Universal Design": told apart by all kinds of colour vision; yellow left out on white. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};
/* After the last colour they come again, broken up. */
static const char *const dashes[] = {"", "6 3", "2 2", "8 3 2 3"};

struct frame {
    uint64_t end_ns, top_uw;
    uint64_t x_step_ns, y_step_uw;
};

void svg_put_text(struct buf *out, const char *text)
{
    char clean[TITLE_MAX];

    snprintf(clean, sizeof(clean), "%s", text);
    text_clean(clean);
    for (const char *p = clean; *p; p++) {
        /* U+FFFE and U+FFFF, which no XML document may hold. */
        if (!strncmp(p, "\xef\xbf\xbe", 3) || !strncmp(p, "\xef\xbf\xbf", 3)) {
            buf_putc(out, '?');
            p += 2;
            continue;
        }
        const char *escaped = *p == '&' ? "&amp;" : *p == '<' ? "&lt;" : *p == '>' ? "&gt;" : NULL;
        if (*p == '"')
            escaped = "&quot;";
        if (*p == '\'')
            escaped = "&#39;";
        if (escaped)
            buf_puts(out, escaped);
        else
            buf_putc(out, *p);
    }
}

uint64_t svg_tick_step(uint64_t range, unsigned parts)
{
    static const unsigned factors[] = {1, 2, 5};

    uint64_t least = range / parts + (range % parts != 0);

    for (uint64_t ten = 1; ten <= UINT64_MAX / 10; ten *= 10) {
        for (size_t i = 0; i < ELEMENTSOF(factors); i++)
            if (ten * factors[i] >= least)
                return ten * factors[i];
    }
    return least;
}

static void put_tenths(struct buf *out, uint64_t tenths)
{
    buf_put_fixed(out, tenths, 1);
}

static uint64_t x_of(const struct frame *frame, uint64_t t_ns)
{
    return PLOT_LEFT * UNIT + muldiv_u64(min_u64(t_ns, frame->end_ns), PLOT_WIDTH * UNIT, frame->end_ns);
}

static uint64_t y_of(const struct frame *frame, uint64_t uw)
{
    return (PLOT_TOP + PLOT_HEIGHT) * UNIT - muldiv_u64(min_u64(uw, frame->top_uw), PLOT_HEIGHT * UNIT, frame->top_uw);
}

static struct frame make_frame(const struct svg_plot *plot)
{
    struct frame frame = {.end_ns = max_u64(plot->end_ns, 1)};
    uint64_t low_uw, high_uw, top_uw = 1;

    for (size_t i = 0; i < plot->n_series; i++)
        if (plot_series_range(plot->series[i].series, 0, UINT64_MAX, &low_uw, &high_uw))
            top_uw = max_u64(top_uw, high_uw);
    frame.x_step_ns = svg_tick_step(frame.end_ns, X_PARTS);
    frame.y_step_uw = svg_tick_step(top_uw, Y_PARTS);
    frame.top_uw = (top_uw + frame.y_step_uw - 1) / frame.y_step_uw * frame.y_step_uw;
    return frame;
}

static void put_line(struct buf *out, uint64_t x1, uint64_t y1, uint64_t x2, uint64_t y2, const char *colour)
{
    buf_puts(out, "<line x1=\"");
    put_tenths(out, x1);
    buf_puts(out, "\" y1=\"");
    put_tenths(out, y1);
    buf_puts(out, "\" x2=\"");
    put_tenths(out, x2);
    buf_puts(out, "\" y2=\"");
    put_tenths(out, y2);
    buf_printf(out, "\" stroke=\"%s\"/>\n", colour);
}

static void begin_label(struct buf *out, uint64_t x, uint64_t y, const char *anchor)
{
    buf_puts(out, "<text x=\"");
    put_tenths(out, x);
    buf_puts(out, "\" y=\"");
    put_tenths(out, y);
    buf_printf(out, "\" text-anchor=\"%s\">", anchor);
}

static void put_axes(const struct frame *frame, struct buf *out)
{
    uint64_t left = PLOT_LEFT * UNIT, right = (PLOT_LEFT + PLOT_WIDTH) * UNIT;
    uint64_t top = PLOT_TOP * UNIT, bottom = (PLOT_TOP + PLOT_HEIGHT) * UNIT;

    for (uint64_t uw = 0; uw <= frame->top_uw; uw += frame->y_step_uw) {
        put_line(out, left, y_of(frame, uw), right, y_of(frame, uw), uw ? "#dddddd" : "#000000");
        begin_label(out, left - 6 * UNIT, y_of(frame, uw) + 4 * UNIT, "end");
        buf_put_fixed(out, uw, 6);
        buf_puts(out, "</text>\n");
    }
    for (uint64_t ns = 0; ns <= frame->end_ns; ns += frame->x_step_ns) {
        put_line(out, x_of(frame, ns), bottom, x_of(frame, ns), bottom + 5 * UNIT, "#000000");
        begin_label(out, x_of(frame, ns), bottom + 18 * UNIT, "middle");
        buf_put_fixed(out, ns, 9);
        buf_puts(out, "</text>\n");
    }
    put_line(out, left, top, left, bottom, "#000000");
    begin_label(out, (PLOT_LEFT + PLOT_WIDTH / 2) * UNIT, bottom + 38 * UNIT, "middle");
    buf_puts(out, "time, s</text>\n");
    begin_label(out, left - 6 * UNIT, top - 12 * UNIT, "end");
    buf_puts(out, "power, W</text>\n");
}

struct pen {
    const struct frame *frame;
    struct buf *out;
    bool down;
    uint64_t y;
};

static void draw_to(struct pen *pen, uint64_t x, uint64_t y)
{
    buf_putc(pen->out, pen->down ? 'L' : 'M');
    put_tenths(pen->out, x);
    buf_putc(pen->out, ' ');
    put_tenths(pen->out, y);
    pen->down = true;
    pen->y = y;
}

/* Through both ends of the column's range, the nearer one first; held to its right edge. */
static void draw_column(struct pen *pen, const struct plot_series *series, size_t i)
{
    const struct plot_column *column = &series->columns[i];
    uint64_t left = x_of(pen->frame, i * series->column_ns), right = x_of(pen->frame, (i + 1) * series->column_ns);
    uint64_t low = y_of(pen->frame, column->low_uw), high = y_of(pen->frame, column->high_uw);
    bool low_first =
        !pen->down || (pen->y > low ? pen->y - low : low - pen->y) <= (pen->y > high ? pen->y - high : high - pen->y);

    if (low == high && pen->down && pen->y == low && i + 1 < series->n_columns && series->columns[i + 1].used &&
        y_of(pen->frame, series->columns[i + 1].low_uw) == low &&
        y_of(pen->frame, series->columns[i + 1].high_uw) == low)
        return; /* inside a level stretch */
    draw_to(pen, left, low_first ? low : high);
    if (low != high)
        draw_to(pen, left, low_first ? high : low);
    if (right > left)
        draw_to(pen, right, pen->y);
}

static void put_series(const struct frame *frame, const struct svg_series *series, size_t number, struct buf *out)
{
    struct pen pen = {.frame = frame, .out = out};

    buf_printf(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1\" stroke-linejoin=\"round\"",
               colours[number % ELEMENTSOF(colours)]);
    if (number / ELEMENTSOF(colours) % ELEMENTSOF(dashes))
        buf_printf(out, " stroke-dasharray=\"%s\"", dashes[number / ELEMENTSOF(colours) % ELEMENTSOF(dashes)]);
    buf_puts(out, " d=\"");
    for (size_t i = 0; i < series->series->n_columns; i++) {
        if (series->series->columns[i].used)
            draw_column(&pen, series->series, i);
        else
            pen.down = false;
    }
    buf_puts(out, "\"/>\n");
}

static void put_legend(const struct svg_series *series, size_t number, struct buf *out)
{
    uint64_t x = (PLOT_LEFT + number % LEGEND_COLS * LEGEND_CELL) * UNIT;
    uint64_t y = (LEGEND_TOP + number / LEGEND_COLS * LEGEND_ROW) * UNIT;

    put_line(out, x, y, x + 24 * UNIT, y, colours[number % ELEMENTSOF(colours)]);
    begin_label(out, x + 30 * UNIT, y + 4 * UNIT, "start");
    svg_put_text(out, series->name);
    buf_puts(out, "</text>\n");
}

int svg_write(const struct svg_plot *plot, struct buf *out)
{
    struct frame frame = make_frame(plot);
    unsigned height = LEGEND_TOP + (unsigned)(plot->n_series / LEGEND_COLS + 1) * LEGEND_ROW;

    buf_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%d\" height=\"%u\" viewBox=\"0 0 %d "
               "%u\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>",
               WIDTH, height, WIDTH, height);
    svg_put_text(out, plot->title);
    buf_puts(out, "</title>\n<desc>");
    svg_put_text(out, plot->subtitle);
    buf_puts(out, "</desc>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
    buf_printf(out, "<text x=\"%d\" y=\"20\" font-size=\"15\">", PLOT_LEFT);
    svg_put_text(out, plot->title);
    buf_printf(out, "</text>\n<text x=\"%d\" y=\"36\" fill=\"#555555\" font-size=\"11\">", PLOT_LEFT);
    svg_put_text(out, plot->subtitle);
    buf_puts(out, "</text>\n");
    put_axes(&frame, out);
    for (size_t i = 0; i < plot->n_series; i++)
        put_series(&frame, &plot->series[i], i, out);
    for (size_t i = 0; i < plot->n_series; i++)
        put_legend(&plot->series[i], i, out);
    buf_puts(out, "</svg>\n");
    return buf_error(out);
}
