/* SPDX-License-Identifier: Apache-2.0 */
/* See calibrate_report.h. */
#include "cli/calibrate_report.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "cli/table.h"
#include "model/quantity.h"

static bool is_modelled(const struct calibrate_report *report)
{
    return report->result->calibration.quality > QUALITY_DERIVED;
}

/* ---- text ---- */

static void add_power(struct table *table, uint64_t uw)
{
    if (uw)
        human_power(table_begin_cell(table), (double)uw);
    else
        buf_putc(table_begin_cell(table), '-');
    table_end_cell(table);
}

static void put_table(const struct calibration *calibration, struct text_style style, struct buf *out)
{
    static const struct table_column columns[] = {
        {.title = "domain"}, {.title = "idle", .right = true}, {.title = "loaded", .right = true}, {.title = "source"}};
    uint64_t idle_uw, loaded_uw;
    struct table table;

    table_init(&table, columns, ELEMENTSOF(columns));
    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        const struct calibration_domain *domain = &calibration->domains[i];

        buf_printf(table_begin_cell(&table), domain->in_total ? "%s" : "(%s)", domain->name);
        table_end_cell(&table);
        add_power(&table, domain->idle_uw);
        add_power(&table, domain->loaded_uw);
        table_add(&table, domain->source);
    }
    calibration_node(calibration, &idle_uw, &loaded_uw);
    table_add(&table, "node");
    add_power(&table, idle_uw);
    add_power(&table, loaded_uw);
    table_add(&table, "");
    table_write(&table, out, 0, style.utf8);
    table_done(&table);
}

static void put_watts(struct buf *out, const char *name, uint64_t uw)
{
    buf_printf(out, "%s ", name);
    if (uw)
        buf_put_fixed(out, uw / 1000, 3);
    else
        buf_puts(out, "unknown");
    buf_putc(out, '\n');
}

static void put_share(struct buf *out, uint32_t ppm)
{
    if (ppm == CALIBRATION_BUSY_UNKNOWN)
        return;
    buf_puts(out, ", CPUs ");
    buf_put_fixed(out, ppm / 1000, 1);
    buf_puts(out, " % busy");
}

static void put_how(const struct calibrate_report *report, struct buf *out)
{
    const struct calibrate_result *result = report->result;
    const struct calibration *calibration = &result->calibration;

    buf_puts(out, "\nidle: ");
    human_time(out, (double)calibration->idle_ns);
    if (result->waited_ns) {
        buf_puts(out, ", after waiting ");
        human_time(out, (double)result->waited_ns);
        buf_puts(out, " for a quiet machine");
    }
    buf_puts(out, ", each second between ");
    human_power(out, (double)result->settle.min_uw);
    buf_puts(out, " and ");
    human_power(out, (double)result->settle.max_uw);
    put_share(out, result->settle.busy_ppm);
    buf_puts(out, "\nloaded: ");
    human_time(out, (double)calibration->load_ns);
    buf_printf(out, ", a thread on each of %" PRIu32 " CPUs", result->n_cpus);
    put_share(out, result->load_busy_ppm);
    if (result->loaded_why[0])
        buf_printf(out, "\nLoaded power is not known: %s.", result->loaded_why);
    if (calibration->idle_ns < CALIBRATE_IDLE_ADVISED_NS * 9 / 10 ||
        calibration->load_ns < CALIBRATE_LOAD_ADVISED_NS * 9 / 10)
        buf_puts(out, "\nShorter than the 10 s idle and 20 s loaded that are advised.");
    buf_putc(out, '\n');
}

int calibrate_report_text(const struct calibrate_report *report, struct text_style style, struct buf *out)
{
    const struct calibration *calibration = &report->result->calibration;
    uint64_t idle_uw, loaded_uw;

    put_table(calibration, style, out);
    calibration_node(calibration, &idle_uw, &loaded_uw);
    buf_putc(out, '\n');
    put_watts(out, "idle_w", idle_uw);
    put_watts(out, "loaded_w", loaded_uw);
    if (is_modelled(report))
        buf_printf(out,
                   "\nNothing was measured: no counter here tells the power of the processor. These are the power "
                   "model's\nfigures (method %s, quality %s).\n",
                   calibration->method, quality_name(calibration->quality));
    else
        put_how(report, out);
    buf_printf(out, "\nWritten to %s (%s).%s%s\n", report->path, report->format, report->hint[0] ? " " : "",
               report->hint);
    return buf_error(out);
}

/* ---- JSON ---- */

static void put_share_json(struct json_out *json, const char *key, uint32_t ppm)
{
    json_out_key(json, key);
    if (ppm == CALIBRATION_BUSY_UNKNOWN)
        json_out_null(json);
    else
        json_out_u64(json, ppm);
}

/* What was read is told even where no power is made of it (loaded power that may not be believed). */
static void put_figure(const struct calibrate_figure *figure, uint64_t uw, const char *key, struct json_out *json)
{
    json_out_key(json, key);
    if (uw == 0 && figure->end_ns == 0) {
        json_out_null(json);
        return;
    }
    json_out_object(json);
    json_out_key(json, "power_uw");
    if (uw)
        json_out_u64(json, uw);
    else
        json_out_null(json);
    if (figure->end_ns) {
        json_out_kv_u64(json, "energy_uj", figure->energy_uj);
        json_out_kv_u64(json, "begin_mono_ns", figure->begin_ns);
        json_out_kv_u64(json, "end_mono_ns", figure->end_ns);
        json_out_kv_u64(json, "late_ns", figure->late_ns);
    }
    json_out_object_end(json);
}

static void put_domains(const struct calibrate_result *result, struct json_out *json)
{
    json_out_key(json, "domains");
    json_out_array(json);
    for (uint32_t i = 0; i < result->calibration.n_domains; i++) {
        const struct calibration_domain *domain = &result->calibration.domains[i];

        json_out_object(json);
        json_out_kv_string(json, "name", domain->name);
        json_out_kv_string(json, "source", domain->source);
        json_out_kv_bool(json, "in_total", domain->in_total);
        put_figure(&result->figures[CALIBRATE_IDLE][i], domain->idle_uw, "idle", json);
        put_figure(&result->figures[CALIBRATE_LOAD][i], domain->loaded_uw, "loaded", json);
        json_out_object_end(json);
    }
    json_out_array_end(json);
}

static void put_node_power(struct json_out *json, const char *key, uint64_t uw)
{
    json_out_key(json, key);
    if (uw)
        json_out_fixed(json, uw, 6);
    else
        json_out_null(json);
}

int calibrate_report_json(const struct calibrate_report *report, struct buf *out)
{
    const struct calibrate_result *result = report->result;
    const struct calibration *calibration = &result->calibration;
    uint64_t idle_uw, loaded_uw;
    struct json_out json;

    calibration_node(calibration, &idle_uw, &loaded_uw);
    json_out_init(&json, out);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_string(&json, "path", report->path);
    json_out_kv_string(&json, "format", report->format);
    json_out_kv_string(&json, "method", calibration->method);
    json_out_kv_string(&json, "quality", quality_name(calibration->quality));
    json_out_kv_string(&json, "at", calibration->at);
    json_out_kv_string(&json, "cpu_model", calibration->cpu_model);
    json_out_kv_u64(&json, "threads", calibration->threads);
    put_node_power(&json, "idle_w", idle_uw);
    put_node_power(&json, "loaded_w", loaded_uw);
    if (!is_modelled(report)) {
        json_out_kv_u64(&json, "idle_ns", calibration->idle_ns);
        json_out_kv_u64(&json, "load_ns", calibration->load_ns);
        json_out_kv_u64(&json, "waited_ns", result->waited_ns);
        json_out_kv_u64(&json, "loaded_threads", result->n_cpus);
        put_share_json(&json, "idle_busy_ppm", result->settle.busy_ppm);
        put_share_json(&json, "load_busy_ppm", result->load_busy_ppm);
        json_out_kv_string(&json, "loaded_unknown_because", result->loaded_why);
    }
    put_domains(result, &json);
    json_out_object_end(&json);
    buf_putc(out, '\n');
    return buf_error(out);
}
