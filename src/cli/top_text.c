/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot top` as text. Every figure of the table is a window mean or a total since the start of measuring; the rows at
 * the end make each column add up to the node. */
#include "cli/top_text.h"

#include <math.h>

#include "base/clock.h"
#include "cli/history.h"
#include "cli/table.h"
#include "cli/text.h"
#include "model/quantity.h"

#define NAME_WIDTH_MAX 48

/* Pieces of a line with blanks between; a new line where the width ends. */
struct flow {
    struct buf *out;
    unsigned width, column;
};

static void flow_put(struct flow *flow, const char *piece)
{
    unsigned width = text_width(piece);

    if (flow->column > 0 && flow->width > 0 && flow->column + 3 + width > flow->width) {
        buf_putc(flow->out, '\n');
        flow->column = 0;
    }
    if (flow->column > 0) {
        buf_puts(flow->out, "   ");
        flow->column += 3;
    }
    buf_puts(flow->out, piece);
    flow->column += width;
}

/* Puts what is in piece and empties it. */
static void flow_take(struct flow *flow, struct buf *piece)
{
    flow_put(flow, buf_str(piece));
    buf_reset(piece);
}

static void flow_end(struct flow *flow)
{
    if (flow->column > 0)
        buf_putc(flow->out, '\n');
    flow->column = 0;
}

static void put_domains(const struct view *view, struct flow *flow, struct buf *piece)
{
    if (!view->has_energy) {
        flow_put(flow, view->all ? "energy: not available"
                                 : "Only units of your own user are shown; what the node uses is told "
                                   "to root and the group carnot.");
        flow_end(flow);
        return;
    }
    buf_puts(piece, "node ");
    human_power(piece, (double)view_node_power_uw(view));
    flow_take(flow, piece);
    for (size_t i = 0; i < view->n_domains; i++) {
        const struct view_domain *d = &view->domains[i];

        if (!d->has_energy)
            continue;
        /* In brackets what lies inside another domain: not to be added. */
        buf_puts(piece, d->in_total ? "" : "(");
        buf_puts(piece, d->name);
        buf_putc(piece, ' ');
        human_power(piece, (double)power_uw(d->window_uj, d->span_ns));
        if (d->status != 0)
            buf_puts(piece, ", no reading");
        buf_puts(piece, d->in_total ? "" : ")");
        flow_take(flow, piece);
    }
    flow_end(flow);
}

static void put_emissions(const struct view *view, struct flow *flow, struct buf *piece)
{
    if (!view->intensity.known)
        return;
    if (view->has_energy && view->window_ns > 0) {
        double ug = (double)view->total_window_uj * (double)view->intensity.mg_kwh / 3.6e9;

        human_mass(piece, ug * 3600e9 / (double)view->window_ns);
        buf_puts(piece, " CO2e/h");
        flow_take(flow, piece);
    }
    human_significant(piece, (double)view->intensity.mg_kwh / 1e3, 3);
    buf_puts(piece, " g/kWh");
    buf_printf(piece, "%s%s%s%s (%s", view->intensity.zone[0] ? ", " : "", view->intensity.zone,
               view->intensity.source[0] ? ", " : "", view->intensity.source, quality_name(view->intensity.quality));
    if (view->intensity.chosen_by[0])
        buf_printf(piece, "; %s", view->intensity.chosen_by);
    buf_putc(piece, ')');
    flow_take(flow, piece);
    flow_end(flow);
}

static void put_quality(const struct view *view, struct flow *flow, struct buf *piece)
{
    buf_printf(piece, "quality %s (", quality_name(view_quality(view)));
    view_sources(view, piece);
    buf_putc(piece, ')');
    flow_take(flow, piece);
    buf_printf(piece, "method %s", view->method);
    flow_take(flow, piece);
    buf_printf(piece, "idle %s", view->idle_policy);
    flow_take(flow, piece);
    buf_printf(piece, "activity %s (%s)", view->activity, view->tier);
    flow_take(flow, piece);
    buf_puts(piece, "window ");
    human_time(piece, (double)view->window_ns);
    flow_take(flow, piece);
    flow_end(flow);
}

int top_text_header(const struct view *view, const struct top_layout *layout, struct buf *out)
{
    struct flow flow = {.out = out, .width = layout->width};
    struct buf piece;

    buf_init(&piece, 4096); /* the longest piece is an intensity's source and reason */
    put_domains(view, &flow, &piece);
    put_emissions(view, &flow, &piece);
    put_quality(view, &flow, &piece);
    int r = buf_error(&piece) ? buf_error(&piece) : buf_error(out);
    buf_done(&piece);
    return r;
}

enum column {
    COLUMN_W,
    COLUMN_J,
    COLUMN_G,
    COLUMN_CPU,
    COLUMN_PID,
    COLUMN_TYPE,
    COLUMN_USER,
    COLUMN_SPARK,
    COLUMN_NAME,
    COLUMN_CGROUP,
    COLUMNS
};

static const struct table_column all_columns[COLUMNS] = {
    [COLUMN_W] = {.title = "W", .right = true},
    [COLUMN_J] = {.title = "J", .right = true},
    [COLUMN_G] = {.title = "mgCO2e", .right = true},
    [COLUMN_CPU] = {.title = "CPU%", .right = true},
    [COLUMN_PID] = {.title = "PID", .right = true},
    [COLUMN_TYPE] = {.title = "TYPE", .max_width = 12},
    [COLUMN_USER] = {.title = "USER", .max_width = 16},
    [COLUMN_SPARK] = {.title = "LAST"},
    [COLUMN_NAME] = {.title = "NAME", .max_width = NAME_WIDTH_MAX, .gives_way = true},
    [COLUMN_CGROUP] = {.title = "CGROUP", .gives_way = true},
};

static bool has_column(enum column column, const struct rows_options *options, const struct top_layout *layout)
{
    switch (column) {
    case COLUMN_PID:
        return options->by == ROWS_PROCESS;
    case COLUMN_TYPE:
        return options->by == ROWS_CGROUP;
    case COLUMN_USER:
        return options->by != ROWS_USER;
    case COLUMN_SPARK:
        return layout->history && layout->utf8;
    case COLUMN_CGROUP:
        return options->by == ROWS_PROCESS || (options->by == ROWS_CGROUP && !options->tree);
    default:
        return true;
    }
}

struct painter {
    struct table table;
    struct table_column columns[COLUMNS];
    enum column which[COLUMNS];
    size_t n;
    const struct view *view;
    const struct top_layout *layout;
    const struct rows_options *options;
};

static void put_number(struct painter *p, enum column column, uint64_t window_uj, uint64_t energy_uj, uint64_t cpu_ns,
                       bool has_cpu)
{
    struct buf *cell = table_begin_cell(&p->table);
    const struct view *view = p->view;

    switch (column) {
    case COLUMN_W:
        if (view->window_ns > 0)
            buf_put_double_fixed(cell, (double)window_uj * 1e3 / (double)view->window_ns, 3);
        break;
    case COLUMN_J:
        buf_put_double_fixed(cell, (double)energy_uj / 1e6, 2);
        break;
    case COLUMN_G:
        if (view->intensity.known)
            buf_put_double_fixed(cell, (double)energy_uj * (double)view->intensity.mg_kwh / 3.6e12, 3);
        break;
    case COLUMN_CPU:
        if (has_cpu && view->window_ns > 0)
            buf_put_double_fixed(cell, (double)cpu_ns * 100 / (double)view->window_ns, 1);
        break;
    default:
        break;
    }
    table_end_cell(&p->table);
}

static void put_name(struct painter *p, const struct row *row)
{
    struct buf *cell = table_begin_cell(&p->table);

    for (unsigned i = 0; i < row->depth; i++)
        buf_puts(cell, "  ");
    buf_puts(cell, row->name[0] ? row->name : "?");
    if (row->unit && row->unit->aggregate)
        buf_puts(cell, " (ended processes)");
    else if (row->unit && row->unit->ended)
        buf_puts(cell, " (ended)");
    table_end_cell(&p->table);
}

static void put_row(struct painter *p, const struct row *row)
{
    const struct view_unit *unit = row->unit;

    for (size_t i = 0; i < p->n; i++) {
        struct buf *cell = table_begin_cell(&p->table);

        switch (p->which[i]) {
        case COLUMN_PID:
            if (unit && unit->pid)
                buf_put_u64(cell, unit->pid);
            table_end_cell(&p->table);
            break;
        case COLUMN_TYPE:
            table_add(&p->table, !unit ? "" : unit->manager[0] ? unit->manager : unit->type);
            break;
        case COLUMN_USER:
            table_add(&p->table, row->user);
            break;
        case COLUMN_SPARK:
            history_put(p->layout->history, unit, cell);
            table_end_cell(&p->table);
            break;
        case COLUMN_NAME:
            put_name(p, row);
            break;
        case COLUMN_CGROUP:
            table_add(&p->table, unit ? unit->path : "");
            break;
        default:
            put_number(p, p->which[i], row->window_uj, row->energy_uj, row->window_cpu_ns, true);
            break;
        }
    }
}

/* A row that is no unit: figures and a name. */
static void put_plain(struct painter *p, const char *name, uint64_t window_uj, uint64_t energy_uj)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->which[i] == COLUMN_NAME)
            table_add(&p->table, name);
        else
            put_number(p, p->which[i], window_uj, energy_uj, 0, false);
    }
}

static size_t put_fixed_rows(struct painter *p, const struct rows *rows)
{
    static const char *const entity_rows[ENTITIES] = {
        [ENTITY_IDLE] = "[idle]",
        [ENTITY_KERNEL] = "[kernel]",
        [ENTITY_MONITOR] = "[monitor: carnot itself]",
        [ENTITY_RESIDUAL] = "[residual: no owner known]",
    };
    const struct view *view = p->view;
    char hidden[64];

    if (!view->has_energy)
        return 0;
    for (int e = 0; e < ENTITIES; e++)
        put_plain(p, entity_rows[e], view->total_entity_window_uj[e], view->total_entity_uj[e]);
    snprintf(hidden, sizeof(hidden), "[%zu not shown]", rows->n_hidden);
    put_plain(p, hidden, rows->hidden_window_uj, rows->hidden_energy_uj);
    put_plain(p, "[node]", view->total_window_uj, view->total_energy_uj);
    return ENTITIES + 2;
}

int top_text_table(const struct view *view, const struct rows *rows, const struct rows_options *options,
                   const struct top_layout *layout, struct buf *out, size_t *ret_n_fixed)
{
    struct painter p = {.view = view, .layout = layout, .options = options};
    size_t n_fixed;
    int r;

    for (int c = 0; c < COLUMNS; c++) {
        if (!has_column((enum column)c, options, layout))
            continue;
        p.columns[p.n] = all_columns[c];
        p.which[p.n++] = (enum column)c;
    }
    table_init(&p.table, p.columns, p.n);
    for (size_t i = 0; i < rows->n; i++)
        put_row(&p, &rows->rows[i]);
    n_fixed = put_fixed_rows(&p, rows);
    r = table_write(&p.table, out, layout->width, layout->utf8);
    table_done(&p.table);
    if (r < 0)
        return r;
    *ret_n_fixed = n_fixed;
    return 0;
}

int top_text_footer(const struct view *view, const struct rows_options *options, struct buf *out)
{
    buf_puts(out, "W: mean over the last window of ");
    human_time(out, (double)view->window_ns);
    buf_puts(out, "; J, mgCO2e: since measuring began; CPU: 100 is one CPU");
    if (options->tree && options->by != ROWS_USER)
        buf_puts(out, "; a row includes what is below it");
    if (view->quantum_uj > 1) {
        buf_puts(out, "; energies in steps of ");
        human_energy(out, (double)view->quantum_uj);
    }
    buf_puts(out, ".\n");
    return buf_error(out);
}

int top_text(const struct view *view, const struct rows_options *options, const struct top_layout *layout,
             struct buf *out)
{
    struct rows rows;
    size_t n_fixed;
    int r = rows_build(view, options, &rows);

    if (r >= 0)
        r = top_text_header(view, layout, out);
    if (r >= 0) {
        buf_putc(out, '\n');
        r = top_text_table(view, &rows, options, layout, out, &n_fixed);
    }
    if (r >= 0) {
        buf_putc(out, '\n');
        if (!view->has_energy && rows.n_hidden > 0)
            buf_printf(out, "%zu units not shown.\n", rows.n_hidden);
        r = top_text_footer(view, options, out);
    }
    rows_done(&rows);
    return r;
}
