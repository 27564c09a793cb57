/* SPDX-License-Identifier: Apache-2.0 */
/* See progress.h. */
#include "cli/progress.h"

#include "base/clock.h"
#include "cli/text.h"
#include "model/quantity.h"

#define LABEL_WIDTH 8
#define LINE_MAX    512

void progress_line(struct buf *out, const char *label, uint64_t done_ns, uint64_t total_ns, const char *tail,
                   unsigned width, bool utf8)
{
    uint64_t held_ns = min_u64(done_ns, total_ns);
    uint64_t full = total_ns ? muldiv_u64(held_ns, PROGRESS_BAR_WIDTH, total_ns) : 0;
    struct buf line;

    buf_init(&line, LINE_MAX);
    text_fit(&line, label, LABEL_WIDTH, false, utf8);
    buf_puts(&line, utf8 ? " " : " [");
    for (uint64_t i = 0; i < PROGRESS_BAR_WIDTH; i++)
        buf_puts(&line, i < full ? (utf8 ? "\u2588" : "#") : (utf8 ? "\u2591" : "-"));
    buf_puts(&line, utf8 ? "  " : "]  ");
    buf_put_u64(&line, held_ns / NS_PER_SEC);
    buf_puts(&line, " of ");
    buf_put_fixed(&line, total_ns / NS_PER_MS, 3);
    buf_puts(&line, " s");
    if (tail[0])
        buf_printf(&line, "  %s", tail);
    if (width && text_width(buf_str(&line)) > width)
        text_fit(out, buf_str(&line), width, false, utf8);
    else
        text_put(out, buf_str(&line), utf8);
    buf_done(&line);
}
