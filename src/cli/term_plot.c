/* SPDX-License-Identifier: Apache-2.0 */
/* See term_plot.h. Heights are counted in eighths of a line, which is what block characters can show. */
#include "cli/term_plot.h"

#include <string.h>

#include "cli/text.h"
#include "model/quantity.h"

#define EIGHTHS     (TEXT_BLOCKS - 1)
#define SCALE_WIDTH 10 /* "1234.5 kW " */
#define WIDTH_MAX   512

static const char *const ascii_blocks[TEXT_BLOCKS] = {" ", ".", ".", ".", ":", ":", ":", "#", "#"};

static uint64_t eighths_of(const struct term_plot *plot, uint64_t uw)
{
    uint64_t whole = (uint64_t)plot->height * EIGHTHS;
    uint64_t eighths = muldiv_u64(min_u64(uw, plot->top_uw), whole, plot->top_uw);

    return uw > 0 && eighths == 0 ? 1 : eighths; /* little is not nothing */
}

static void put_scale(struct buf *out, bool shown, uint64_t uw, bool utf8)
{
    struct buf label;

    buf_init(&label, 64);
    if (shown)
        human_power(&label, (double)uw);
    text_fit(out, buf_str(&label), SCALE_WIDTH, true, utf8);
    buf_done(&label);
    buf_puts(out, utf8 ? "\u2502" : "|");
}

static void put_time_axis(const struct term_plot *plot, unsigned width, struct buf *out)
{
    struct buf end;

    buf_init(&end, 64);
    human_time(&end, (double)plot->end_ns);
    text_fit(out, "", SCALE_WIDTH, true, plot->utf8);
    buf_puts(out, plot->utf8 ? "\u2514" : "+");
    for (unsigned i = 0; i < width; i++)
        buf_puts(out, plot->utf8 ? "\u2500" : "-");
    buf_putc(out, '\n');
    text_fit(out, "", SCALE_WIDTH + 1, true, plot->utf8);
    buf_putc(out, '0');
    text_fit(out, buf_str(&end), width - 1, true, plot->utf8);
    buf_putc(out, '\n');
    buf_done(&end);
}

void term_plot(const struct plot_series *series, const struct term_plot *plot, struct buf *out)
{
    const char *const *marks = plot->utf8 ? text_blocks : ascii_blocks;
    unsigned width = plot->width < WIDTH_MAX ? plot->width : WIDTH_MAX;
    uint64_t heights[WIDTH_MAX] = {0};

    if (width == 0 || plot->height == 0 || plot->top_uw == 0 || plot->end_ns == 0)
        return;
    for (unsigned i = 0; i < width; i++) {
        uint64_t low_uw, high_uw;
        if (plot_series_range(series, muldiv_u64(plot->end_ns, i, width), muldiv_u64(plot->end_ns, i + 1, width),
                              &low_uw, &high_uw))
            heights[i] = eighths_of(plot, high_uw);
    }
    for (unsigned line = plot->height; line-- > 0;) {
        put_scale(out, line + 1 == plot->height || line == 0, line ? plot->top_uw : 0, plot->utf8);
        for (unsigned i = 0; i < width; i++) {
            uint64_t below = (uint64_t)line * EIGHTHS;
            buf_puts(out, marks[heights[i] > below ? min_u64(heights[i] - below, EIGHTHS) : 0]);
        }
        buf_putc(out, '\n');
    }
    put_time_axis(plot, width, out);
}
