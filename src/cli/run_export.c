/* SPDX-License-Identifier: Apache-2.0 */
/* The report of `carnot run` for programs: one JSON object, or CSV. Integers only, but for mean and stddev. */
#include "base/json_out.h"
#include "cli/run_report.h"
#include "cli/run_stats.h"
#include "model/quantity.h"

/* ---- JSON ---- */

static uint64_t whole(double value)
{
    return value <= 0 ? 0 : (uint64_t)(value + 0.5);
}

static void json_mean(struct json_out *json, const char *key, const struct welford *w)
{
    json_out_key(json, key);
    if (w->n == 0)
        json_out_null(json);
    else
        json_out_u64(json, whole(w->mean));
}

static void json_statistic(struct json_out *json, const char *key, const struct welford *w)
{
    if (w->n == 0)
        return;
    json_out_key(json, key);
    json_out_object(json);
    json_out_kv_u64(json, "n", w->n);
    json_out_kv_double(json, "mean", w->mean);
    json_out_kv_double(json, "stddev", welford_stddev(w));
    json_out_object_end(json);
}

static void json_energy_or_null(struct json_out *json, const char *key, bool has, uint64_t value)
{
    json_out_key(json, key);
    if (has)
        json_out_u64(json, value);
    else
        json_out_null(json);
}

static void json_runs(struct json_out *json, const struct run_report *report)
{
    json_out_key(json, "repeats");
    json_out_array(json);
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct run_figures *run = &report->runs[i];

        json_out_object(json);
        json_out_kv_u64(json, "exit_status", (uint64_t)run->exit_status);
        json_out_kv_u64(json, "signal", (uint64_t)run->signal);
        json_out_kv_u64(json, "wall_ns", run->wall_ns);
        json_out_kv_u64(json, "user_ns", run->user_ns);
        json_out_kv_u64(json, "system_ns", run->system_ns);
        json_energy_or_null(json, "session_cpu_ns", run->has_energy, run->session_cpu_ns);
        json_energy_or_null(json, "energy_uj", run->has_energy, run->energy_uj);
        json_energy_or_null(json, "peak_uw", run->has_energy && run->peak_uw > 0, run->peak_uw);
        json_energy_or_null(json, "machine_uj", run->has_machine, run->machine_uj);
        json_energy_or_null(json, "machine_ns", run->has_machine, run->machine_ns);
        json_out_object_end(json);
    }
    json_out_array_end(json);
}

static void json_view(struct json_out *json, const struct run_report *report, const struct run_stats *stats)
{
    const struct view *view = report->view;

    json_out_kv_u64(json, "emissions_ug", whole(stats->energy_uj.mean * (double)view->intensity.mg_kwh / 3.6e9));
    json_out_key(json, "domains");
    json_out_array(json);
    for (size_t i = 0; i < view->n_domains; i++) {
        const struct view_domain *d = &view->domains[i];

        json_out_object(json);
        json_out_kv_string(json, "name", d->name);
        json_out_kv_string(json, "kind", d->kind);
        json_out_kv_string(json, "quality", quality_name(d->quality));
        json_out_kv_string(json, "source", d->source);
        json_out_kv_bool(json, "in_total", d->in_total);
        json_out_kv_u64(json, "energy_uj", whole((double)report->domain_uj[i] / (double)stats->energy_uj.n));
        json_out_object_end(json);
    }
    json_out_array_end(json);
    json_out_key(json, "intensity");
    json_out_object(json);
    json_out_kv_u64(json, "mg_kwh", view->intensity.mg_kwh);
    json_out_kv_string(json, "zone", view->intensity.zone);
    json_out_kv_string(json, "source", view->intensity.source);
    json_out_kv_string(json, "chosen_by", view->intensity.chosen_by);
    json_out_kv_string(json, "quality", quality_name(view->intensity.quality));
    json_out_object_end(json);
    json_out_kv_string(json, "quality", quality_name(view_quality(view)));
    json_out_kv_string(json, "method", view->method);
    json_out_kv_string(json, "idle_policy", view->idle_policy);
    json_out_kv_string(json, "activity", view->activity);
    json_out_kv_string(json, "tier", view->tier);
    json_out_kv_u64(json, "coverage_ppm", stats->worst_coverage_ppm);
    json_out_kv_u64(json, "quantum_uj", view->quantum_uj);
}

int run_report_json(const struct run_report *report, struct buf *out)
{
    struct run_stats stats;
    struct json_out json;

    run_stats_gather(report, &stats);
    json_out_init(&json, out);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_key(&json, "command");
    json_out_array(&json);
    for (size_t i = 0; report->command[i]; i++)
        json_out_string(&json, report->command[i]);
    json_out_array_end(&json);
    json_out_kv_string(&json, "label", report->label ? report->label : "");
    json_out_kv_u64(&json, "runs", report->n_runs);
    json_out_kv_bool(&json, "interrupted", report->interrupted);
    json_out_kv_u64(&json, "exit_status", (uint64_t)stats.exit_status);
    json_out_kv_string(&json, "way", report->way);
    json_mean(&json, "wall_ns", &stats.wall_ns);
    json_mean(&json, "cpu_ns", &stats.cpu_ns);
    json_mean(&json, "energy_uj", &stats.energy_uj);
    json_mean(&json, "mean_uw", &stats.power_uw);
    json_energy_or_null(&json, "peak_uw", stats.peak_uw > 0, stats.peak_uw);
    json_mean(&json, "machine_uj", &stats.machine_uj);
    if (report->view && stats.energy_uj.n > 0)
        json_view(&json, report, &stats);
    else
        json_out_kv_string(&json, "why_no_energy", report->why_no_energy);
    json_out_kv_u64(&json, "left_running", report->left_running);
    json_runs(&json, report);
    json_out_key(&json, "statistics");
    json_out_object(&json);
    json_statistic(&json, "wall_ns", &stats.wall_ns);
    json_statistic(&json, "cpu_ns", &stats.cpu_ns);
    json_statistic(&json, "energy_uj", &stats.energy_uj);
    json_statistic(&json, "mean_uw", &stats.power_uw);
    json_statistic(&json, "machine_uj", &stats.machine_uj);
    json_out_object_end(&json);
    json_out_object_end(&json);
    buf_putc(out, '\n');
    return buf_error(out);
}

/* ---- CSV (RFC 4180, newline as LF) ---- */

static void csv_text(struct buf *out, const char *s)
{
    buf_putc(out, '"');
    for (; *s; s++) {
        if (*s == '"')
            buf_putc(out, '"');
        buf_putc(out, *s);
    }
    buf_putc(out, '"');
}

static void csv_u64(struct buf *out, bool has, uint64_t value)
{
    buf_putc(out, ',');
    if (has)
        buf_put_u64(out, value);
}

static void csv_command(struct buf *out, char *const *command)
{
    struct buf joined;

    buf_init(&joined, 4 << 20); /* above Linux's limit for arguments by default, 2 MiB */
    for (size_t i = 0; command[i]; i++)
        buf_printf(&joined, "%s%s", i ? " " : "", command[i]);
    csv_text(out, buf_str(&joined));
    buf_done(&joined);
}

int run_report_csv(const struct run_report *report, struct buf *out)
{
    const struct view *view = report->view;

    buf_puts(out, "run,label,command,exit_status,wall_ns,cpu_ns,energy_uj,mean_uw,peak_uw,emissions_ug,machine_uj,"
                  "machine_ns,coverage_ppm,quality,method,activity,zone,intensity_mg_kwh\n");
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct run_figures *run = &report->runs[i];
        bool has = run->has_energy && view;

        buf_put_u64(out, i + 1);
        buf_putc(out, ',');
        csv_text(out, report->label ? report->label : "");
        buf_putc(out, ',');
        csv_command(out, report->command);
        csv_u64(out, true, (uint64_t)run->exit_status);
        csv_u64(out, true, run->wall_ns);
        csv_u64(out, true, run_cpu_ns(run));
        csv_u64(out, has, run->energy_uj);
        csv_u64(out, has, power_uw(run->energy_uj, run->wall_ns));
        csv_u64(out, has && run->peak_uw > 0, run->peak_uw);
        csv_u64(out, has && view->intensity.known, has ? emissions_ug(run->energy_uj, view->intensity.mg_kwh) : 0);
        csv_u64(out, run->has_machine, run->machine_uj);
        csv_u64(out, run->has_machine, run->machine_ns);
        csv_u64(out, has, run_coverage_ppm(run));
        const char *const words[] = {has ? quality_name(view_quality(view)) : "", has ? view->method : "",
                                     has ? view->activity : "", has ? view->intensity.zone : ""};
        for (size_t w = 0; w < ELEMENTSOF(words); w++) {
            buf_putc(out, ',');
            csv_text(out, words[w]);
        }
        csv_u64(out, has && view->intensity.known, has ? view->intensity.mg_kwh : 0);
        buf_putc(out, '\n');
    }
    return buf_error(out);
}
