/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot top`: who uses how much energy now, on a whole screen or as plain tables. */
#include <errno.h>
#include <stdio.h>

#include "cli/origin.h"
#include "cli/rows.h"
#include "cli/term.h"
#include "cli/top_screen.h"
#include "cli/top_text.h"

#define FIRST_WINDOW_WAIT_NS (15 * NS_PER_SEC) /* an agent that has just started needs a slot or two */
#define RETRY_NS             (NS_PER_SEC / 4)
#define PLAIN_ROWS           20 /* of a plain table, so that it fits a page */

struct top_settings {
    struct rows_options rows;
    uint64_t interval_ns, batch, max_rows;
    bool once, json;
};

#define FIELD(member) offsetof(struct top_settings, member)

static const struct carnot_option top_options[] = {
    {.name = "once",
     .letter = '1',
     .type = OPTION_BOOL,
     .offset = FIELD(once),
     .help = "One plain table after a full window, then end; also when stdout is no terminal."},
    {.name = "batch",
     .letter = 'b',
     .type = OPTION_U64,
     .offset = FIELD(batch),
     .def = "0",
     .metavar = "N",
     .max = 1000000,
     .help = "N plain tables, one each interval."},
    {.name = "json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "The snapshot as one line of JSON, instead."},
    {.name = "rows",
     .letter = 'n',
     .type = OPTION_U64,
     .offset = FIELD(max_rows),
     .def = "20",
     .metavar = "N",
     .max = VIEW_UNITS_MAX,
     .help = "Rows of a plain table, 0: all; what is left out is summed up in a row."},
    {.name = "by",
     .type = OPTION_ENUM,
     .offset = FIELD(rows.by),
     .def = "process",
     .choices = rows_by_names,
     .help = "What a row is."},
    {.name = "sort",
     .letter = 's',
     .type = OPTION_ENUM,
     .offset = FIELD(rows.sort),
     .def = "power",
     .choices = rows_sort_names,
     .help = "What rows are sorted by."},
    {.name = "reverse", .type = OPTION_BOOL, .offset = FIELD(rows.reverse), .help = "The other way round."},
    {.name = "filter",
     .letter = 'f',
     .type = OPTION_STRING,
     .offset = FIELD(rows.filter),
     .def = "",
     .metavar = "TEXT",
     .help = "Only rows with this text in name, user, control group or type; or with this PID."},
    {.name = "tree",
     .letter = 't',
     .type = OPTION_BOOL,
     .offset = FIELD(rows.tree),
     .help = "Control groups by path, processes below their user."},
    {.name = "interval",
     .letter = 'i',
     .type = OPTION_DURATION,
     .offset = FIELD(interval_ns),
     .def = "1s",
     .metavar = "TIME",
     .min = NS_PER_SEC,
     .max = 3600 * NS_PER_SEC,
     .help = "Time between two tables or refreshes, at least 1s."},
};

/* The newest view; waits for the first one. The text that it was read from is the origin's. */
static int wait_for_view(struct origin *origin, unsigned kinds, size_t limit, struct view **ret_view,
                         const char **ret_text, size_t *ret_len, struct carnot_err *err)
{
    uint64_t give_up_ns = clock_now(origin->env.clock).mono_ns + FIRST_WINDOW_WAIT_NS;

    for (;;) {
        int r = origin_text(origin, kinds, limit, ret_text, ret_len, err);

        if (r >= 0)
            r = origin_parse(origin, *ret_text, *ret_len, ret_view, err);
        uint64_t now_ns = clock_now(origin->env.clock).mono_ns;
        if ((r != -ENODATA && r != -EAGAIN) || now_ns >= give_up_ns)
            return r;
        r = origin_work_until(origin, now_ns + RETRY_NS, err);
        if (r < 0)
            return r;
    }
}

static int put_table(struct origin *origin, const struct top_settings *settings, struct buf *out,
                     struct carnot_err *err)
{
    struct top_layout layout = {.width = term_width(STDOUT_FILENO), .utf8 = term_utf8()};
    unsigned kinds = settings->json ? ORIGIN_KINDS_ALL : top_kinds(settings->rows.by);
    size_t limit = settings->json ? settings->max_rows : TOP_UNITS_MAX;
    _cleanup_view_ struct view *view = NULL;
    const char *text;
    size_t len;
    int r = wait_for_view(origin, kinds, limit, &view, &text, &len, err);

    if (r < 0)
        return r;
    if (settings->json) {
        buf_append(out, text, len);
        buf_putc(out, '\n');
        return 0;
    }
    r = top_text(view, &settings->rows, &layout, out);
    return r < 0 ? carnot_err_errno(err, -r, "cannot lay out the table") : 0;
}

/* One pass per table; the screen of the pager or the file behind stdout gets each at once. */
static int put_tables(const struct cli_verb *verb, struct origin *origin, const struct top_settings *settings)
{
    uint64_t n = settings->batch ? settings->batch : 1;
    struct carnot_err err = CARNOT_ERR_INIT;
    struct buf out;
    int r = 0, status = 0;

    buf_init(&out, CLI_OUTPUT_MAX);
    for (uint64_t i = 0; i < n && r >= 0 && status == 0; i++) {
        uint64_t next_ns = clock_now(origin->env.clock).mono_ns + settings->interval_ns;

        while (i > 0 && r >= 0 && clock_now(origin->env.clock).mono_ns < next_ns)
            r = origin_work_until(origin, next_ns, &err);
        buf_reset(&out);
        if (i > 0 && !settings->json)
            buf_putc(&out, '\n');
        if (r >= 0)
            r = put_table(origin, settings, &out, &err);
        if (r >= 0)
            status = cli_put_stdout(verb, &out);
    }
    buf_done(&out);
    return r < 0 ? cli_fail(verb, r, &err) : status;
}

int cmd_top(const struct cli_verb *verb, int argc, char **argv)
{
    struct top_settings settings = {0};
    struct cli_settings common = {0};
    struct cli_options options;
    struct carnot_err err = CARNOT_ERR_INIT;
    struct origin origin = {.timer_fd = -1};
    int status, r = cli_options_parse(&options, verb, top_options, ELEMENTSOF(top_options), &settings, &common, argc,
                                      argv, false, &err);

    if (r >= 0 && common.help) {
        status = cli_print_help(verb, &options);
        goto out;
    }
    if (r >= 0)
        r = origin_open(&origin, &common, ORIGIN_MACHINE, &err);
    if (r < 0) {
        status = cli_fail(verb, r, &err);
        goto out;
    }
    settings.rows.max_rows = settings.max_rows;
    if (settings.once || settings.batch || settings.json || !term_is_tty(STDOUT_FILENO) || !term_is_tty(STDIN_FILENO)) {
        status = put_tables(verb, &origin, &settings);
    } else {
        r = top_screen(&origin, &settings.rows, settings.interval_ns, &err);
        status = r < 0 ? cli_fail(verb, r, &err) : 0;
    }
out:
    origin_close(&origin);
    cli_options_done(&options);
    return status;
}
