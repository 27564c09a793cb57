/* SPDX-License-Identifier: Apache-2.0 */
/* Any text is either a view or an error with a sentence; a view can be laid out and what is laid out has no control
 * bytes but newlines. */
#include <stdint.h>

#include "cli/rows.h"
#include "cli/top_text.h"
#include "cli/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        __builtin_trap();
}

static void lay_out(const struct view *view, int by, bool tree)
{
    const struct rows_options options = {.by = by, .tree = tree, .max_rows = 5, .filter = tree ? "a" : NULL};
    const struct top_layout layout = {.width = 80, .utf8 = tree};
    struct buf out;

    buf_init(&out, 64U << 20);
    check(top_text(view, &options, &layout, &out) == 0);
    for (size_t i = 0; i < out.len; i++)
        check((unsigned char)out.data[i] >= ' ' || out.data[i] == '\n');
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct view *view = NULL;
    uint32_t session;
    int r = view_parse((const char *)data, size, &view, &err);

    check(r < 0 ? err.code == -r && err.msg[0] && !view : view != NULL);
    for (int by = 0; view && by < ROWS_BY; by++) {
        lay_out(view, by, false);
        lay_out(view, by, true);
    }
    view_free(view);
    r = view_parse_session_begin((const char *)data, size, &session, &err);
    check(r < 0 || session > 0);
    return 0;
}
