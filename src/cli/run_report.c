/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot run` as text. Emissions = energy [kWh] x intensity [gCO2e/kWh]; power is energy over wall time. */
#include "cli/run_report.h"

#include "base/clock.h"
#include "cli/run_stats.h"
#include "cli/text.h"
#include "model/quantity.h"

#define LABEL_WIDTH 12 /* of the first column */
#define TITLE_WIDTH 52 /* of the command; the exit status stands behind it */
/* Of the first value of a line, so that the second ones are aligned: of one run, and with a deviation. */
#define VALUE_WIDTH_ONE  12
#define VALUE_WIDTH_MANY 28

/* Below this a kWh has no digits left in nine decimals. */
#define KWH_SHOWN_MIN 1e-8

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

    run_stats_gather(report, &stats);
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
