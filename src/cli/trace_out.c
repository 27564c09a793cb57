/* SPDX-License-Identifier: Apache-2.0 */
/* See trace_out.h. CSV and JSON are written as rows come; of an SVG only the columns of its plot are kept. */
#include "cli/trace_out.h"

#include <errno.h>
#include <string.h>

#include "base/json_out.h"
#include "cli/plot_series.h"
#include "cli/svg.h"
#include "model/quantity.h"

#define COMMAND_SHOWN_MAX 200 /* bytes of a command line in a comment or title */

struct trace_out {
    struct trace_info info;
    struct buf *text;
    struct json_out json;
    bool begun;
    uint64_t zero_ns, end_ns;
    struct plot_series *series; /* [n_domains], SVG only */
};

int trace_out_new(const struct trace_info *info, struct buf *text, struct trace_out **ret_out)
{
    struct trace_out *out = calloc(1, sizeof(*out));

    if (!out)
        return -ENOMEM;
    out->info = *info;
    out->text = text;
    json_out_init(&out->json, text);
    if (info->format == TRACE_SVG) {
        out->series = calloc(info->n_domains, sizeof(*out->series));
        if (!out->series) {
            trace_out_free(out);
            return -ENOMEM;
        }
        for (size_t i = 0; i < info->n_domains; i++)
            plot_series_init(&out->series[i],
                             info->expected_ns ? info->expected_ns / PLOT_COLUMNS + 1 : NS_PER_SEC / info->rate_hz);
    }
    *ret_out = out;
    return 0;
}

struct trace_out *trace_out_free(struct trace_out *out)
{
    if (out)
        free(out->series);
    free(out);
    return NULL;
}

/* The command as one clean line, cut where it is long. */
static void put_command(char *const *command, struct buf *out)
{
    char line[COMMAND_SHOWN_MAX] = "";
    size_t n = 0;

    for (size_t i = 0; command[i] && n < sizeof(line); i++) {
        int more = snprintf(line + n, sizeof(line) - n, "%s%s", i ? " " : "", command[i]);
        n += more > 0 ? (size_t)more : 0;
    }
    text_clean(line);
    buf_puts(out, line);
    if (n >= sizeof(line))
        buf_puts(out, "...");
}

/* ---- CSV ---- */

static void csv_begin(const struct trace_out *out)
{
    const struct trace_info *info = &out->info;

    buf_puts(out->text, "# carnot trace, version 1\n# start_unix_s: ");
    buf_put_fixed(out->text, out->zero_ns + info->real_offset_ns, 9);
    buf_puts(out->text, "\n# rate_hz: ");
    buf_put_u64(out->text, info->rate_hz);
    if (info->command) {
        buf_puts(out->text, "\n# command: ");
        put_command(info->command, out->text);
    }
    for (size_t i = 0; i < info->n_domains; i++) {
        const struct domain *domain = &info->domains[i];
        buf_printf(out->text, "\n# %s: %s, %s, power over at least ", domain->name, domain->source,
                   quality_name(domain->quality));
        buf_put_fixed(out->text, info->span_ns[i], 9);
        buf_puts(out->text, " s");
    }
    buf_puts(out->text, "\ntime_s");
    for (size_t i = 0; i < info->n_domains; i++) {
        const char *name = info->domains[i].name;
        buf_printf(out->text, ",%s_energy_uj,%s_power_w,%s_new", name, name, name);
    }
    buf_putc(out->text, '\n');
}

static void csv_row(const struct trace_out *out, const struct burst_row *row)
{
    buf_put_fixed(out->text, row->mono_ns - out->zero_ns, 9);
    for (size_t i = 0; i < out->info.n_domains; i++) {
        const struct burst_cell *cell = &row->cells[i];
        if (!cell->read) {
            buf_puts(out->text, ",,,");
            continue;
        }
        buf_putc(out->text, ',');
        buf_put_u64(out->text, cell->energy_uj);
        buf_putc(out->text, ',');
        if (cell->has_power)
            buf_put_fixed(out->text, cell->power_uw, 6);
        buf_puts(out->text, cell->changed ? ",1" : ",0");
    }
    buf_putc(out->text, '\n');
}

/* ---- JSON ---- */

static void json_columns(struct trace_out *out)
{
    static const char *const kinds[] = {"energy_uj", "power_uw", "new"};
    char name[DOMAIN_NAME_MAX + 16];

    json_out_key(&out->json, "columns");
    json_out_array(&out->json);
    json_out_string(&out->json, "time_ns");
    for (size_t i = 0; i < out->info.n_domains; i++) {
        for (size_t k = 0; k < ELEMENTSOF(kinds); k++) {
            snprintf(name, sizeof(name), "%s_%s", out->info.domains[i].name, kinds[k]);
            json_out_string(&out->json, name);
        }
    }
    json_out_array_end(&out->json);
}

static void json_command(struct json_out *json, char *const *command)
{
    json_out_key(json, "command");
    if (!command) {
        json_out_null(json);
        return;
    }
    json_out_array(json);
    for (size_t i = 0; command[i]; i++)
        json_out_string(json, command[i]);
    json_out_array_end(json);
}

static void json_begin(struct trace_out *out)
{
    const struct trace_info *info = &out->info;
    struct json_out *json = &out->json;

    json_out_object(json);
    json_out_kv_u64(json, "v", 1);
    json_out_kv_u64(json, "start_unix_ns", out->zero_ns + info->real_offset_ns);
    json_out_kv_u64(json, "rate_hz", info->rate_hz);
    json_command(json, info->command);
    json_out_key(json, "domains");
    json_out_array(json);
    for (size_t i = 0; i < info->n_domains; i++) {
        const struct domain *domain = &info->domains[i];
        json_out_object(json);
        json_out_kv_string(json, "name", domain->name);
        json_out_kv_string(json, "kind", domain_kind_name(domain->kind));
        json_out_kv_string(json, "source", domain->source);
        json_out_kv_string(json, "quality", quality_name(domain->quality));
        json_out_kv_bool(json, "in_total", domain->in_total);
        json_out_kv_u64(json, "span_ns", info->span_ns[i]);
        json_out_object_end(json);
    }
    json_out_array_end(json);
    json_columns(out);
    json_out_key(json, "samples");
    json_out_array(json);
}

static void json_row(struct trace_out *out, const struct burst_row *row)
{
    struct json_out *json = &out->json;

    buf_putc(out->text, '\n');
    json_out_array(json);
    json_out_u64(json, row->mono_ns - out->zero_ns);
    for (size_t i = 0; i < out->info.n_domains; i++) {
        const struct burst_cell *cell = &row->cells[i];
        if (cell->read)
            json_out_u64(json, cell->energy_uj);
        else
            json_out_null(json);
        if (cell->has_power)
            json_out_u64(json, cell->power_uw);
        else
            json_out_null(json);
        if (cell->read)
            json_out_u64(json, cell->changed);
        else
            json_out_null(json);
    }
    json_out_array_end(json);
}

static void json_quantiles(struct json_out *json, const char *key, const struct histogram *histogram)
{
    json_out_key(json, key);
    json_out_object(json);
    json_out_kv_u64(json, "p50", histogram_quantile(histogram, 500));
    json_out_kv_u64(json, "p99", histogram_quantile(histogram, 990));
    json_out_kv_u64(json, "max", histogram->largest);
    json_out_object_end(json);
}

static void json_domain_summary(struct trace_out *out, const struct trace_summary *summary, size_t i)
{
    const struct burst_domain_report *report = &summary->domains[i];
    struct json_out *json = &out->json;

    json_out_object(json);
    json_out_kv_string(json, "name", out->info.domains[i].name);
    json_out_kv_u64(json, "energy_uj", report->energy_uj);
    json_out_kv_u64(json, "mean_uw", power_uw(report->energy_uj, report->last_ns - report->first_ns));
    json_out_kv_u64(json, "peak_uw", report->peak_uw);
    json_out_kv_u64(json, "readings", report->readings);
    json_out_kv_u64(json, "changes", report->changes);
    json_out_kv_u64(json, "failed", report->failed);
    json_out_kv_u64(json, "wraps", report->wraps);
    json_out_kv_u64(json, "gaps", report->gaps);
    json_out_kv_u64(json, "resets", report->resets);
    json_out_kv_u64(json, "absurd", report->absurd);
    if (summary->has_command)
        json_out_kv_u64(json, "command_energy_uj", summary->command_uj[i]);
    json_out_object_end(json);
}

static void json_end(struct trace_out *out, const struct trace_summary *summary)
{
    struct json_out *json = &out->json;
    struct buf scheduling;

    json_out_array_end(json);
    json_out_key(json, "summary");
    json_out_object(json);
    json_out_kv_u64(json, "rows", summary->rows);
    json_out_kv_u64(json, "wall_ns", summary->wall_ns);
    json_out_kv_u64(json, "samples", summary->burst.samples);
    json_out_kv_u64(json, "missed", summary->burst.missed);
    json_out_kv_u64(json, "overruns", summary->burst.overruns);
    json_out_kv_u64(json, "reader_cpu_ns", summary->burst.cpu_ns);
    json_quantiles(json, "late_ns", &summary->burst.late);
    json_quantiles(json, "read_ns", &summary->burst.took);
    buf_init(&scheduling, CARNOT_ERR_MSG_MAX);
    burst_report_scheduling(&summary->burst, &scheduling);
    json_out_kv_string(json, "scheduling", buf_str(&scheduling));
    buf_done(&scheduling);
    json_out_key(json, "exit_status");
    if (summary->has_command)
        json_out_u64(json, (uint64_t)summary->exit_status);
    else
        json_out_null(json);
    json_out_key(json, "command_ns");
    if (summary->has_command)
        json_out_u64(json, summary->command_ns);
    else
        json_out_null(json);
    json_out_kv_bool(json, "cut", summary->cut);
    json_out_key(json, "domains");
    json_out_array(json);
    for (size_t i = 0; i < out->info.n_domains; i++)
        json_domain_summary(out, summary, i);
    json_out_array_end(json);
    json_out_object_end(json);
    json_out_object_end(json);
    buf_putc(out->text, '\n');
}

/* ---- SVG ---- */

static void svg_row(struct trace_out *out, const struct burst_row *row)
{
    for (size_t i = 0; i < out->info.n_domains; i++) {
        const struct burst_cell *cell = &row->cells[i];
        uint64_t end_ns = max_u64(row->mono_ns, cell->since_ns);
        if (cell->has_power && cell->since_ns >= out->zero_ns)
            plot_series_add(&out->series[i], cell->since_ns - out->zero_ns, end_ns - out->zero_ns, cell->power_uw);
    }
}

static int svg_end(const struct trace_out *out)
{
    const struct trace_info *info = &out->info;
    struct svg_series *series = calloc(info->n_domains, sizeof(*series));
    struct svg_plot plot = {.series = series, .n_series = info->n_domains, .end_ns = out->end_ns - out->zero_ns};
    struct buf title, subtitle;
    int r = -ENOMEM;

    if (!series)
        return r;
    for (size_t i = 0; i < info->n_domains; i++)
        series[i] = (struct svg_series){.name = info->domains[i].name, .series = &out->series[i]};
    buf_init(&title, SVG_BYTES_MAX);
    buf_init(&subtitle, SVG_BYTES_MAX);
    buf_puts(&title, "carnot trace");
    if (info->command) {
        buf_puts(&title, ": ");
        put_command(info->command, &title);
    }
    buf_puts(&subtitle, "from Unix time ");
    buf_put_fixed(&subtitle, (out->zero_ns + info->real_offset_ns) / NS_PER_MS, 3);
    buf_printf(&subtitle, " s, %llu readings a second, quality %s (%s)", (unsigned long long)info->rate_hz,
               info->n_domains ? quality_name(info->domains[0].quality) : "",
               info->n_domains ? info->domains[0].source : "");
    plot.title = buf_str(&title);
    plot.subtitle = buf_str(&subtitle);
    r = svg_write(&plot, out->text);
    buf_done(&title);
    buf_done(&subtitle);
    free(series);
    return r;
}

/* ---- all ---- */

static void begin(struct trace_out *out, uint64_t mono_ns)
{
    out->begun = true;
    out->zero_ns = out->end_ns = mono_ns;
    if (out->info.format == TRACE_CSV)
        csv_begin(out);
    else if (out->info.format == TRACE_JSON)
        json_begin(out);
}

void trace_out_row(struct trace_out *out, const struct burst_row *row)
{
    if (!out->begun)
        begin(out, row->mono_ns);
    out->end_ns = row->mono_ns;
    if (out->info.format == TRACE_CSV)
        csv_row(out, row);
    else if (out->info.format == TRACE_JSON)
        json_row(out, row);
    else
        svg_row(out, row);
}

int trace_out_end(struct trace_out *out, const struct trace_summary *summary)
{
    if (!out->begun)
        begin(out, 0);
    if (out->info.format == TRACE_JSON)
        json_end(out, summary);
    if (out->info.format == TRACE_SVG)
        return svg_end(out);
    return buf_error(out->text);
}
