/* SPDX-License-Identifier: Apache-2.0 */
/* The report of `carnot run`. Emissions = energy [kWh] x intensity [gCO2e/kWh]; power is energy over wall time. */
#include "cli/run_report.h"

#include <errno.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "cli/text.h"
#include "cli/welford.h"
#include "model/quantity.h"

#define LABEL_WIDTH 12 /* of the first column */
#define TITLE_WIDTH 52 /* of the command; the exit status stands behind it */
/* Of the first value of a line, so that the second ones are aligned: of one run, and with a deviation. */
#define VALUE_WIDTH_ONE  12
#define VALUE_WIDTH_MANY 28

/* Below this a kWh has no digits left in nine decimals. */
#define KWH_SHOWN_MIN 1e-8

struct run_stats {
    struct welford wall_ns, cpu_ns, energy_uj, power_uw, machine_uj, machine_uw;
    uint64_t peak_uw;
    uint64_t worst_coverage_ppm;
    int exit_status; /* of the first run that failed, else 0 */
};

uint64_t run_cpu_ns(const struct run_figures *run)
{
    uint64_t waited_ns = saturating_add(run->user_ns, run->system_ns);

    return run->has_energy ? max_u64(waited_ns, run->session_cpu_ns) : waited_ns;
}

uint64_t run_coverage_ppm(const struct run_figures *run)
{
    uint64_t cpu_ns = run_cpu_ns(run);

    if (!run->has_energy || cpu_ns == 0)
        return run->has_energy ? 1000000 : 0;
    return muldiv_u64(run->session_cpu_ns, 1000000, cpu_ns);
}

static void gather(const struct run_report *report, struct run_stats *stats)
{
    *stats = (struct run_stats){.worst_coverage_ppm = 1000000};
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct run_figures *run = &report->runs[i];

        welford_add(&stats->wall_ns, (double)run->wall_ns);
        welford_add(&stats->cpu_ns, (double)run_cpu_ns(run));
        if (run->exit_status != 0 && stats->exit_status == 0)
            stats->exit_status = run->exit_status;
        if (run->has_energy) {
            welford_add(&stats->energy_uj, (double)run->energy_uj);
            welford_add(&stats->power_uw, (double)power_uw(run->energy_uj, run->wall_ns));
            stats->peak_uw = max_u64(stats->peak_uw, run->peak_uw);
            stats->worst_coverage_ppm = min_u64(stats->worst_coverage_ppm, run_coverage_ppm(run));
        }
        if (run->has_machine) {
            welford_add(&stats->machine_uj, (double)run->machine_uj);
            welford_add(&stats->machine_uw, (double)power_uw(run->machine_uj, run->machine_ns));
        }
    }
}

/* ---- text ---- */

struct block {
    struct buf *out;
    bool utf8, bold;
    unsigned value_width;
};

static void line_begin(struct block *b, const char *label)
{
    buf_puts(b->out, "  ");
    text_fit(b->out, label, LABEL_WIDTH, false, b->utf8);
}

/* Closes the first value of a line: what follows it stands in one column. */
static void value_end(struct block *b, size_t start)
{
    unsigned used = buf_error(b->out) ? 0 : text_width(b->out->data + start);

    for (; used < b->value_width; used++)
        buf_putc(b->out, ' ');
    buf_puts(b->out, "  ");
}

/* "12.41 s", or for several runs "12.41 s +- 0.12 s (1.0 %)". */
static void put_stat(struct block *b, const struct welford *w, void (*put)(struct buf *, double))
{
    put(b->out, w->mean);
    if (w->n < 2)
        return;
    buf_puts(b->out, b->utf8 ? " \u00b1 " : " +- ");
    put(b->out, welford_stddev(w));
    if (w->mean > 0) {
        buf_puts(b->out, " (");
        buf_put_double_fixed(b->out, 100 * welford_stddev(w) / w->mean, 1);
        buf_puts(b->out, " %)");
    }
}

static void put_title(struct block *b, const struct run_report *report, const struct run_stats *stats)
{
    struct buf title;

    buf_init(&title, 1 << 20); /* ARG_MAX is larger; a title so long is cut below anyway */
    buf_puts(&title, "carnot: ");
    if (report->label && report->label[0])
        buf_printf(&title, "%s: ", report->label);
    for (size_t i = 0; report->command[i]; i++)
        buf_printf(&title, "%s%s", i ? " " : "", report->command[i]);
    if (title.data)
        text_clean(title.data);
    buf_puts(b->out, "\n  ");
    buf_puts(b->out, b->bold ? "\033[1m" : "");
    text_fit(b->out, buf_str(&title), TITLE_WIDTH, false, b->utf8);
    buf_puts(b->out, b->bold ? "\033[0m" : "");
    buf_done(&title);
    buf_printf(b->out, "  exit %d", stats->exit_status);
    if (report->n_runs > 1 || report->interrupted)
        buf_printf(b->out, ", %zu run%s%s", report->n_runs, report->n_runs == 1 ? "" : "s",
                   report->interrupted ? " (stopped)" : "");
    buf_putc(b->out, '\n');
}

static void put_time(struct block *b, const struct run_stats *stats)
{
    size_t start;

    line_begin(b, "time");
    start = b->out->len;
    put_stat(b, &stats->wall_ns, human_time);
    value_end(b, start);
    buf_puts(b->out, "cpu ");
    put_stat(b, &stats->cpu_ns, human_time);
    if (stats->wall_ns.mean > 0) {
        buf_puts(b->out, " (");
        buf_put_double_fixed(b->out, stats->cpu_ns.mean / stats->wall_ns.mean, 2);
        buf_puts(b->out, " CPUs)");
    }
    buf_putc(b->out, '\n');
}

/* Domains by kind: sums over packages; what lies inside another domain in brackets. */
static void put_domains(struct block *b, const struct run_report *report, uint64_t n_runs)
{
    const struct view *view = report->view;
    bool first = true;

    for (size_t i = 0; i < view->n_domains; i++) {
        const struct view_domain *d = &view->domains[i];
        uint64_t sum = 0;
        bool seen = false;

        for (size_t j = 0; j < view->n_domains; j++) {
            if (view->domains[j].in_total != d->in_total || strcmp(view->domains[j].kind, d->kind) != 0)
                continue;
            seen |= j < i;
            sum = saturating_add(sum, report->domain_uj[j]);
        }
        if (seen)
            continue;
        buf_puts(b->out, first ? "" : ", ");
        first = false;
        buf_puts(b->out, d->in_total ? "" : "(");
        text_put(b->out, d->kind, b->utf8);
        buf_putc(b->out, ' ');
        human_energy(b->out, (double)sum / (double)n_runs);
        buf_puts(b->out, d->in_total ? "" : ")");
    }
}

static void put_energy(struct block *b, const struct run_report *report, const struct run_stats *stats)
{
    double kwh = stats->energy_uj.mean / (double)UJ_PER_KWH;
    size_t start;

    line_begin(b, "energy");
    start = b->out->len;
    put_stat(b, &stats->energy_uj, human_energy);
    value_end(b, start);
    put_domains(b, report, stats->energy_uj.n);
    buf_putc(b->out, '\n');
    line_begin(b, "");
    start = b->out->len;
    human_significant(b->out, kwh * 1000, 3);
    buf_puts(b->out, " Wh");
    if (kwh >= KWH_SHOWN_MIN) {
        value_end(b, start);
        human_significant(b->out, kwh, 3);
        buf_puts(b->out, " kWh");
    }
    buf_putc(b->out, '\n');

    line_begin(b, "power");
    start = b->out->len;
    put_stat(b, &stats->power_uw, human_power);
    if (stats->peak_uw > 0) {
        value_end(b, start);
        buf_puts(b->out, "peak ");
        human_power(b->out, (double)stats->peak_uw);
    }
    buf_putc(b->out, '\n');
}

static void put_emissions(struct block *b, const struct run_report *report, const struct run_stats *stats)
{
    const struct view_intensity *in = &report->view->intensity;
    size_t start;

    if (!in->known)
        return;
    line_begin(b, "emissions");
    start = b->out->len;
    human_mass(b->out, stats->energy_uj.mean * (double)in->mg_kwh / 3.6e9);
    value_end(b, start);
    buf_puts(b->out, "CO2e at ");
    human_significant(b->out, (double)in->mg_kwh / 1e3, 3);
    buf_puts(b->out, " g/kWh (");
    const char *const parts[] = {in->zone, in->source, in->chosen_by, quality_name(in->quality)};
    for (size_t i = 0, put = 0; i < ELEMENTSOF(parts); i++) {
        if (!parts[i][0])
            continue;
        buf_puts(b->out, put++ ? ", " : "");
        text_put(b->out, parts[i], b->utf8);
    }
    buf_puts(b->out, ")\n");
}

static void put_machine(struct block *b, const struct run_stats *stats)
{
    size_t start;

    if (stats->machine_uj.n == 0)
        return;
    line_begin(b, "machine");
    start = b->out->len;
    put_stat(b, &stats->machine_uj, human_energy);
    value_end(b, start);
    put_stat(b, &stats->machine_uw, human_power);
    buf_puts(b->out, ", everything that ran meanwhile and idle included\n");
}

static const char *activity_sentence(const char *activity)
{
    static const struct {
        const char *name, *sentence;
    } sentences[] = {
        {"bpf", "bpf: every descendant counted"},
        {"procfs", "procfs: descendants that end between two polls are not seen singly"},
        {"tree", "tree: descendants counted by polling and when they end"},
    };

    for (size_t i = 0; i < ELEMENTSOF(sentences); i++)
        if (!strcmp(activity, sentences[i].name))
            return sentences[i].sentence;
    return activity;
}

static void put_quality(struct block *b, const struct run_report *report, const struct run_stats *stats)
{
    const struct view *view = report->view;

    line_begin(b, "quality");
    buf_printf(b->out, "%s (", quality_name(view_quality(view)));
    view_sources(view, b->out);
    buf_puts(b->out, "), ");
    text_put(b->out, view->method, b->utf8);
    buf_puts(b->out, ", idle ");
    text_put(b->out, view->idle_policy, b->utf8);
    buf_puts(b->out, ", ");
    text_put(b->out, activity_sentence(view->activity), b->utf8);
    if (stats->worst_coverage_ppm < 990000) {
        buf_puts(b->out, "; energy covers ");
        buf_put_double_fixed(b->out, (double)stats->worst_coverage_ppm / 1e4, 1);
        buf_puts(b->out, " % of the CPU time");
    }
    if (view->quantum_uj > 1) {
        buf_puts(b->out, "; in steps of ");
        human_energy(b->out, (double)view->quantum_uj);
    }
    buf_putc(b->out, '\n');
}

int run_report_text(const struct run_report *report, struct text_style style, struct buf *out)
{
    struct block b = {.out = out,
                      .utf8 = style.utf8,
                      .bold = style.bold,
                      .value_width = report->n_runs > 1 ? VALUE_WIDTH_MANY : VALUE_WIDTH_ONE};
    struct run_stats stats;

    gather(report, &stats);
    put_title(&b, report, &stats);
    put_time(&b, &stats);
    if (report->view && stats.energy_uj.n > 0) {
        put_energy(&b, report, &stats);
        put_emissions(&b, report, &stats);
        put_machine(&b, &stats);
        put_quality(&b, report, &stats);
    } else {
        line_begin(&b, "energy");
        buf_puts(out, "not available: ");
        text_put(out, report->why_no_energy ? report->why_no_energy : "no source; carnot doctor tells what is missing",
                 b.utf8);
        buf_putc(out, '\n');
    }
    if (report->left_running > 0) {
        line_begin(&b, "note");
        buf_printf(out, "%llu descendant%s still ran when the command ended; not waited for, counted until then\n",
                   (unsigned long long)report->left_running, report->left_running == 1 ? "" : "s");
    }
    return buf_error(out);
}

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

    gather(report, &stats);
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
