/* SPDX-License-Identifier: Apache-2.0 */
/* The summary of a trace for people, after it. */
#include <inttypes.h>
#include <string.h>

#include "cli/trace_out.h"
#include "model/quantity.h"

#define LABEL_WIDTH  12
#define FIGURE_WIDTH 14

static void put_label(struct buf *out, const char *label, bool inside, bool utf8)
{
    char text[DOMAIN_NAME_MAX + 2];

    snprintf(text, sizeof(text), inside ? "(%s)" : "%s", label);
    buf_puts(out, "  ");
    if (strlen(text) < LABEL_WIDTH)
        text_fit(out, text, LABEL_WIDTH, false, utf8);
    else
        buf_printf(out, "%s ", text);
}

/* The figure that `put` writes, in a column of its own. */
static void put_figure(struct buf *out, void (*put)(struct buf *, double), uint64_t value, bool utf8)
{
    struct buf text;

    buf_init(&text, 64);
    put(&text, (double)value);
    text_fit(out, buf_str(&text), FIGURE_WIDTH, false, utf8);
    buf_done(&text);
}

static void put_quantiles(struct buf *out, const struct histogram *histogram)
{
    buf_puts(out, "p50 ");
    human_time(out, (double)histogram_quantile(histogram, 500));
    buf_puts(out, ", p99 ");
    human_time(out, (double)histogram_quantile(histogram, 990));
    buf_puts(out, ", max ");
    human_time(out, (double)histogram->largest);
}

static void put_heading(const struct trace_info *info, const struct trace_summary *summary, bool utf8, struct buf *out)
{
    buf_puts(out, "  carnot trace");
    if (info->command) {
        char name[64];
        snprintf(name, sizeof(name), "%s", info->command[0]);
        text_clean(name);
        buf_puts(out, ": ");
        text_put(out, name, utf8);
        buf_printf(out, ", exit %d", summary->exit_status);
    }
    buf_putc(out, '\n');
}

static void put_samples(const struct trace_info *info, const struct trace_summary *summary, bool utf8, struct buf *out)
{
    put_label(out, "time", false, utf8);
    put_figure(out, human_time, summary->wall_ns, utf8);
    buf_printf(out, "%" PRIu64 " rows at %" PRIu64 " a second", summary->rows, info->rate_hz);
    if (summary->asked_hz != info->rate_hz)
        buf_printf(out, " (not %" PRIu64 ": the source tells nothing new more often)", summary->asked_hz);
    buf_printf(out, "; %" PRIu64 " deadlines missed, %" PRIu64 " samples lost to a full buffer\n",
               summary->burst.missed, summary->burst.overruns);
    put_label(out, "jitter", false, utf8);
    put_quantiles(out, &summary->burst.late);
    buf_puts(out, " after the deadline; a reading takes ");
    put_quantiles(out, &summary->burst.took);
    buf_putc(out, '\n');
    put_label(out, "scheduled", false, utf8);
    burst_report_scheduling(&summary->burst, out);
    if (summary->wall_ns) {
        buf_puts(out, "; reading used ");
        human_significant(out, 100.0 * (double)summary->burst.cpu_ns / (double)summary->wall_ns, 2);
        buf_puts(out, " % of a CPU");
    }
    buf_putc(out, '\n');
}

static void put_flaws(const struct burst_domain_report *report, struct buf *out)
{
    const struct {
        uint64_t n;
        const char *what;
    } flaws[] = {{report->failed, "readings failed"},
                 {report->resets, "resets: energy around them is missing"},
                 {report->gaps, "gaps: the energy is a lower bound"},
                 {report->absurd, "absurd steps refused"}};

    for (size_t i = 0; i < ELEMENTSOF(flaws); i++)
        if (flaws[i].n)
            buf_printf(out, "; %" PRIu64 " %s", flaws[i].n, flaws[i].what);
}

static void put_domain(const struct domain *domain, const struct burst_domain_report *report, bool utf8,
                       struct buf *out)
{
    uint64_t span_ns = report->last_ns - report->first_ns;

    put_label(out, domain->name, !domain->in_total, utf8);
    if (report->readings == 0) {
        buf_puts(out, "no reading");
    } else {
        put_figure(out, human_energy, report->energy_uj, utf8);
        human_power(out, (double)power_uw(report->energy_uj, span_ns));
        if (report->peak_uw) {
            buf_puts(out, ", peak ");
            human_power(out, (double)report->peak_uw);
        }
        if (report->changes == 0)
            buf_puts(out, "; the counter did not move");
        else
            buf_printf(out, "; moved in %" PRIu64 " of %" PRIu64 " readings", report->changes, report->readings - 1);
        if (report->wraps)
            buf_printf(out, ", wrapped %" PRIu64 " time%s", report->wraps, report->wraps == 1 ? "" : "s");
    }
    put_flaws(report, out);
    buf_putc(out, '\n');
}

/* Quality and sources, the worst of what is in the total. */
static void put_quality(const struct trace_info *info, bool utf8, struct buf *out)
{
    enum quality worst = QUALITY_MEASURED;
    const char *source = NULL;

    for (size_t i = 0; i < info->n_domains; i++) {
        if (!info->domains[i].in_total)
            continue;
        worst = quality_worse(worst, info->domains[i].quality);
        source = source ? source : info->domains[i].source;
    }
    put_label(out, "quality", false, utf8);
    buf_printf(out, "%s (%s)\n", quality_name(worst), source ? source : "no domain of the total");
}

int trace_report_text(const struct trace_info *info, const struct trace_summary *summary, struct text_style style,
                      struct buf *out)
{
    uint64_t total_uj = 0, command_uj = 0;

    for (size_t i = 0; i < info->n_domains; i++) {
        total_uj += info->domains[i].in_total ? summary->domains[i].energy_uj : 0;
        command_uj += info->domains[i].in_total && summary->has_command ? summary->command_uj[i] : 0;
    }
    put_heading(info, summary, style.utf8, out);
    put_samples(info, summary, style.utf8, out);
    put_label(out, "energy", false, style.utf8);
    put_figure(out, human_energy, total_uj, style.utf8);
    human_power(out, (double)power_uw(total_uj, summary->wall_ns));
    buf_puts(out, " of the whole machine\n");
    if (summary->has_command) {
        put_label(out, "command", false, style.utf8);
        put_figure(out, human_energy, command_uj, style.utf8);
        buf_puts(out, summary->cut ? "of the whole machine from its start to the end of the trace\n"
                                   : "of the whole machine while it ran, ");
        if (!summary->cut) {
            human_time(out, (double)summary->command_ns);
            buf_putc(out, '\n');
        }
    }
    for (size_t i = 0; i < info->n_domains; i++)
        put_domain(&info->domains[i], &summary->domains[i], style.utf8, out);
    put_quality(info, style.utf8, out);
    if (summary->burst.message[0])
        buf_printf(out, "  %s\n", summary->burst.message);
    return buf_error(out);
}
