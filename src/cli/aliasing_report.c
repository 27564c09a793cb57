/* SPDX-License-Identifier: Apache-2.0 */
/* See aliasing_report.h. */
#include "cli/aliasing_report.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "cli/svg.h"
#include "cli/table.h"
#include "cli/term_plot.h"
#include "model/quantity.h"

#define PLOT_HEIGHT    6
#define PLOT_WIDTH_MAX 100
#define PLOT_WIDTH_STD 72
#define PLOT_SCALE     13 /* what the plot has at its left, and a blank at its right */
#define PLOT_INTERVALS 10 /* of the poller, in a terminal: beyond that bursts run into one another */
#define LOSS_DIGITS    3

static void put_joules(struct buf *out, uint64_t uj)
{
    buf_put_double_fixed(out, (double)uj / (double)UJ_PER_J, 1);
}

static void put_percent(struct buf *out, double share)
{
    buf_put_double_fixed(out, 100.0 * share, LOSS_DIGITS);
    buf_puts(out, " %");
}

static void put_seconds(struct buf *out, uint64_t ns)
{
    buf_put_fixed(out, ns, 9);
    buf_puts(out, " s");
}

/* ---- tables ---- */

static void cell_joules(struct table *table, uint64_t uj)
{
    put_joules(table_begin_cell(table), uj);
    table_end_cell(table);
}

static void cell_u64(struct table *table, uint64_t value)
{
    buf_put_u64(table_begin_cell(table), value);
    table_end_cell(table);
}

static void cell_loss(struct table *table, bool known, double loss)
{
    struct buf *cell = table_begin_cell(table);

    if (known)
        put_percent(cell, loss);
    else
        buf_puts(cell, "-");
    table_end_cell(table);
}

static int write_cases(const struct aliasing_report *report, unsigned width, struct text_style style, struct buf *out)
{
    static const struct table_column columns[] = {
        {.title = "wraps at J", .right = true}, {.title = "W", .right = true},
        {.title = "true J", .right = true},     {.title = "Carnot J", .right = true},
        {.title = "wraps", .right = true},      {.title = "dropped: loss", .right = true},
        {.title = "formula", .right = true},    {.title = "one wrap: loss", .right = true},
        {.title = "formula", .right = true},
    };
    struct table table;

    table_init(&table, columns, ELEMENTSOF(columns));
    for (size_t i = 0; i < report->n_cases; i++) {
        const struct aliasing_case *of = &report->cases[i];
        const struct aliasing_result *result = &report->results[i];
        uint64_t interval_uj = energy_of_power_uj(of->load.base_uw, of->poll_interval_ns);

        cell_joules(&table, of->modulus_uj);
        cell_u64(&table, of->load.base_uw / UJ_PER_J);
        cell_joules(&table, result->true_uj);
        cell_joules(&table, result->ours_uj);
        cell_u64(&table, result->wraps);
        cell_loss(&table, true, aliasing_loss(result->true_uj, result->poller.naive_uj));
        cell_loss(&table, true, aliasing_naive_loss(interval_uj, of->modulus_uj));
        cell_loss(&table, true, aliasing_loss(result->true_uj, result->poller.one_wrap_uj));
        cell_loss(&table, true, aliasing_one_wrap_loss(interval_uj, of->modulus_uj));
    }
    int r = table_write(&table, out, width, style.utf8);
    table_done(&table);
    return r;
}

static int write_domains(const struct aliasing_report *report, unsigned width, struct text_style style, struct buf *out)
{
    static const struct table_column columns[] = {
        {.title = "counter", .gives_way = true},
        {.title = "wraps at J", .right = true},
        {.title = "Carnot J", .right = true},
        {.title = "wraps", .right = true},
        {.title = "dropped: J", .right = true},
        {.title = "loss", .right = true},
        {.title = "one wrap: J", .right = true},
        {.title = "loss", .right = true},
        {.title = "32 bits, dropped: J", .right = true},
        {.title = "loss", .right = true},
    };
    struct table table;

    table_init(&table, columns, ELEMENTSOF(columns));
    for (size_t i = 0; i < report->n_domains; i++) {
        const struct aliasing_domain *d = &report->domains[i];

        table_add(&table, d->domain->name);
        if (d->modulus_uj)
            cell_joules(&table, d->modulus_uj);
        else
            table_add(&table, "unknown");
        cell_joules(&table, d->exact_uj);
        cell_u64(&table, d->wraps);
        cell_joules(&table, d->poller.naive_uj);
        cell_loss(&table, d->exact_uj, aliasing_loss(d->exact_uj, d->poller.naive_uj));
        cell_joules(&table, d->poller.one_wrap_uj);
        cell_loss(&table, d->exact_uj, aliasing_loss(d->exact_uj, d->poller.one_wrap_uj));
        cell_joules(&table, d->masked.naive_uj);
        cell_loss(&table, d->exact_uj, aliasing_loss(d->exact_uj, d->masked.naive_uj));
    }
    int r = table_write(&table, out, width, style.utf8);
    table_done(&table);
    return r;
}

/* What the formulas say of a counter that did not wrap while it was looked at. */
static void put_outlook(const struct aliasing_report *report, const struct aliasing_domain *d, struct buf *out)
{
    uint64_t mean_uw = power_uw(d->exact_uj, report->compared_ns);

    if (d->wraps || !d->modulus_uj || mean_uw == 0)
        return;
    buf_printf(out, "%s did not wrap in this time. At its mean of ", d->domain->name);
    human_power(out, (double)mean_uw);
    buf_puts(out, " it wraps every ");
    human_time(out, (double)d->modulus_uj / (double)mean_uw * (double)NS_PER_SEC);
    buf_puts(out, "; who drops negative differences then loses ");
    put_percent(out, aliasing_naive_loss(energy_of_power_uj(mean_uw, report->poll_interval_ns), d->modulus_uj));
    buf_puts(out, " on average.\n");
}

/* ---- bursts ---- */

static void put_load(const struct aliasing_report *report, struct buf *out)
{
    const struct aliasing_load *load = &report->load;

    if (report->simulated) {
        buf_puts(out, "A load of ");
        human_power(out, (double)load->base_uw);
        buf_puts(out, " with bursts of ");
        human_power(out, (double)load->burst_uw);
        buf_puts(out, ", ");
    } else if (report->load_threads) {
        buf_printf(out, "Whatever runs on this machine, and bursts of %u busy thread%s, ", report->load_threads,
                   report->load_threads == 1 ? "" : "s");
    } else {
        buf_puts(out, "Whatever runs on this machine (no load of our own)");
    }
    if (report->simulated || report->load_threads) {
        put_seconds(out, load->burst_ns);
        buf_puts(out, " every ");
        put_seconds(out, load->period_ns);
    }
    buf_puts(out, ". Mean ");
    human_power(out, (double)report->mean_uw);
    buf_puts(out, ".\n");
}

static void put_seen(const char *who, const struct plot_series *series, uint64_t interval_ns, struct buf *out)
{
    uint64_t low_uw, high_uw;

    buf_printf(out, "%s, every ", who);
    put_seconds(out, interval_ns);
    buf_puts(out, ": ");
    if (plot_series_range(series, 0, UINT64_MAX, &low_uw, &high_uw)) {
        buf_puts(out, "lowest ");
        human_power(out, (double)low_uw);
        buf_puts(out, ", highest ");
        human_power(out, (double)high_uw);
    } else {
        buf_puts(out, "no power");
    }
    buf_putc(out, '\n');
}

static unsigned plot_width(unsigned width)
{
    if (width == 0)
        return PLOT_WIDTH_STD;
    return width - PLOT_SCALE < PLOT_WIDTH_MAX ? width - PLOT_SCALE : PLOT_WIDTH_MAX;
}

static void put_bursts(const struct aliasing_report *report, unsigned width, bool utf8, struct buf *out)
{
    struct term_plot plot = {.width = plot_width(width), .height = PLOT_HEIGHT, .utf8 = utf8};
    uint64_t low_uw, high_uw;

    put_load(report, out);
    plot.end_ns = min_u64(report->shown_ns, PLOT_INTERVALS * report->poll_interval_ns);
    if (plot_series_range(report->ours, 0, UINT64_MAX, &low_uw, &high_uw))
        plot.top_uw = high_uw;
    if (plot_series_range(report->polled, 0, UINT64_MAX, &low_uw, &high_uw))
        plot.top_uw = max_u64(plot.top_uw, high_uw);
    put_seen("Carnot", report->ours, report->our_interval_ns, out);
    term_plot(report->ours, &plot, out);
    put_seen("The poller", report->polled, report->poll_interval_ns, out);
    term_plot(report->polled, &plot, out);
}

int aliasing_report_text(const struct aliasing_report *report, unsigned width, struct text_style style, struct buf *out)
{
    int r;

    if (report->simulated) {
        if (report->why_simulated)
            buf_printf(out, "%s\n", report->why_simulated);
        buf_puts(out,
                 "Simulated counters and powers, time computed and not waited for: nothing of this was measured on "
                 "this machine.\n");
    } else {
        buf_puts(out, "Measured on this machine's counters; all columns are from the same readings.\n");
    }
    buf_puts(out, "A poller reads each counter every ");
    put_seconds(out, report->poll_interval_ns);
    buf_puts(out, ", Carnot every ");
    put_seconds(out, report->our_interval_ns);
    buf_puts(out, "; compared over ");
    human_time(out, (double)report->compared_ns);
    buf_puts(out, ".\ndropped: the poller ignores negative differences. one wrap: it adds the modulus to them.");
    buf_puts(out, report->simulated ? " formula: mean over all phases of the counter.\n\n"
                                    : " 32 bits: it keeps the low 32 bits only.\n\n");
    r = report->simulated ? write_cases(report, width, style, out) : write_domains(report, width, style, out);
    if (r < 0)
        return r;
    buf_putc(out, '\n');
    for (size_t i = 0; i < report->n_domains && !report->simulated; i++)
        put_outlook(report, &report->domains[i], out);
    if (report->simulated)
        buf_puts(out, "Powers, too, when no counter wraps. ");
    put_bursts(report, width, style.utf8, out);
    return buf_error(out);
}

/* ---- JSON ---- */

static void json_range(struct json_out *json, const char *key, const struct plot_series *series)
{
    uint64_t low_uw, high_uw;

    json_out_key(json, key);
    if (!plot_series_range(series, 0, UINT64_MAX, &low_uw, &high_uw)) {
        json_out_null(json);
        return;
    }
    json_out_object(json);
    json_out_kv_u64(json, "lowest_uw", low_uw);
    json_out_kv_u64(json, "highest_uw", high_uw);
    json_out_object_end(json);
}

static void json_poller(struct json_out *json, const struct aliasing_poller *poller, uint64_t exact_uj)
{
    json_out_kv_u64(json, "polls", poller->polls);
    json_out_kv_u64(json, "dropped", poller->dropped);
    json_out_kv_u64(json, "naive_uj", poller->naive_uj);
    json_out_kv_u64(json, "one_wrap_uj", poller->one_wrap_uj);
    json_out_kv_double(json, "naive_loss", aliasing_loss(exact_uj, poller->naive_uj));
    json_out_kv_double(json, "one_wrap_loss", aliasing_loss(exact_uj, poller->one_wrap_uj));
}

static void json_expected(struct json_out *json, uint64_t interval_uj, uint64_t modulus_uj)
{
    json_out_kv_double(json, "expected_naive_loss", aliasing_naive_loss(interval_uj, modulus_uj));
    json_out_kv_double(json, "expected_one_wrap_loss", aliasing_one_wrap_loss(interval_uj, modulus_uj));
}

static void json_cases(struct json_out *json, const struct aliasing_report *report)
{
    for (size_t i = 0; i < report->n_cases; i++) {
        const struct aliasing_case *of = &report->cases[i];
        const struct aliasing_result *result = &report->results[i];

        json_out_object(json);
        json_out_kv_u64(json, "modulus_uj", of->modulus_uj);
        json_out_kv_u64(json, "power_uw", of->load.base_uw);
        json_out_kv_u64(json, "true_uj", result->true_uj);
        json_out_kv_u64(json, "exact_uj", result->ours_uj);
        json_out_kv_u64(json, "wraps", result->wraps);
        json_poller(json, &result->poller, result->true_uj);
        json_expected(json, energy_of_power_uj(of->load.base_uw, of->poll_interval_ns), of->modulus_uj);
        json_out_object_end(json);
    }
}

static void json_domains(struct json_out *json, const struct aliasing_report *report)
{
    for (size_t i = 0; i < report->n_domains; i++) {
        const struct aliasing_domain *d = &report->domains[i];
        uint64_t mean_uw = power_uw(d->exact_uj, report->compared_ns);

        json_out_object(json);
        json_out_kv_string(json, "name", d->domain->name);
        json_out_kv_string(json, "source", d->domain->source);
        json_out_kv_string(json, "quality", quality_name(d->domain->quality));
        json_out_kv_u64(json, "modulus_uj", d->modulus_uj);
        json_out_kv_u64(json, "exact_uj", d->exact_uj);
        json_out_kv_u64(json, "wraps", d->wraps);
        json_poller(json, &d->poller, d->exact_uj);
        json_expected(json, energy_of_power_uj(mean_uw, report->poll_interval_ns), d->modulus_uj);
        json_out_key(json, "masked_32_bits");
        json_out_object(json);
        json_poller(json, &d->masked, d->exact_uj);
        json_out_object_end(json);
        json_out_object_end(json);
    }
}

int aliasing_report_json(const struct aliasing_report *report, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_bool(&json, "simulated", report->simulated);
    json_out_kv_string(&json, "why_simulated", report->why_simulated);
    json_out_kv_u64(&json, "poll_interval_ns", report->poll_interval_ns);
    json_out_kv_u64(&json, "our_interval_ns", report->our_interval_ns);
    json_out_kv_u64(&json, "compared_ns", report->compared_ns);
    json_out_key(&json, "counters");
    json_out_array(&json);
    if (report->simulated)
        json_cases(&json, report);
    else
        json_domains(&json, report);
    json_out_array_end(&json);
    json_out_key(&json, "bursts");
    json_out_object(&json);
    json_out_kv_u64(&json, "period_ns", report->load.period_ns);
    json_out_kv_u64(&json, "burst_ns", report->load.burst_ns);
    json_out_kv_u64(&json, "mean_uw", report->mean_uw);
    json_range(&json, "ours", report->ours);
    json_range(&json, "poller", report->polled);
    json_out_object_end(&json);
    json_out_object_end(&json);
    buf_putc(out, '\n');
    return buf_error(out);
}

/* ---- SVG ---- */

int aliasing_report_svg(const struct aliasing_report *report, struct buf *out)
{
    const struct svg_series series[] = {{.name = "Carnot", .series = report->ours},
                                        {.name = "poller", .series = report->polled}};
    struct svg_plot plot = {
        .title = report->simulated ? "Power in bursts, simulated" : "Power in bursts, measured",
        .series = series,
        .n_series = ELEMENTSOF(series),
        .end_ns = report->shown_ns,
    };
    struct buf subtitle;

    buf_init(&subtitle, ALIASING_REPORT_MAX);
    buf_puts(&subtitle, "a counter read every ");
    put_seconds(&subtitle, report->our_interval_ns);
    buf_puts(&subtitle, " and every ");
    put_seconds(&subtitle, report->poll_interval_ns);
    plot.subtitle = buf_str(&subtitle);
    int r = svg_write(&plot, out);
    buf_done(&subtitle);
    return r;
}
