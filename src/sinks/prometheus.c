/* SPDX-License-Identifier: Apache-2.0 */
/* The list of our metrics and where in a batch each has its value; docs/METRICS.md describes them for users, and a test
 * holds the two together. Refuses to know HTTP, hardware and time. */
#include "sinks/prometheus.h"

#include "model/quantity.h"
#include "net/http_server.h"
#include "sinks/exposition.h"

#define OVERLAP "Domains overlap: sum only those with in_total=true."
#define FIXED_INTENSITY                                                                                                \
    "Energy times the carbon intensity, which is constant while the agent runs "                                       \
    "(carnot_intensity_grams_per_kilowatthour)."
#define OF_ALL "over the domains with in_total=true"

/* Escaped, a domain name has at most twice its bytes. */
#define DOMAIN_TAIL_MAX (2 * DOMAIN_NAME_MAX + 16)

struct writer {
    struct exposition x;
    const struct batch *batch;
    uint64_t window_ns;
    /* Per domain: ,domain="package-0"}_ as rows of units end */
    char tails[DOMAINS_MAX][DOMAIN_TAIL_MAX];
    size_t tail_len[DOMAINS_MAX];
    size_t n_domains;
};

/* A metric whose value is a uint64_t somewhere in a struct of the batch. */
struct field {
    struct family family;
    size_t offset;
    unsigned decimals;
};

/* Over the time that the readings cover, which for a slow or a failing source is not the window. */
static uint64_t domain_power_uw(const struct batch_domain *domain)
{
    return power_uw(domain->window_uj, domain->span_ns);
}

static uint64_t node_power_uw(const struct writer *w)
{
    uint64_t sum_uw = 0;

    for (size_t i = 0; i < w->batch->n_domains; i++)
        if (w->batch->domains[i].domain.in_total)
            sum_uw += domain_power_uw(&w->batch->domains[i]);
    return sum_uw;
}

static uint64_t field_value(const void *object, const struct field *field)
{
    uint64_t value;

    memcpy(&value, (const char *)object + field->offset, sizeof(value));
    return value;
}

/* --- Domains and the node ------------------------------------------------------------------------------------------
 */

static const struct family domain_energy = {
    "carnot_domain_energy_joules", FAMILY_COUNTER, "joules",
    "Energy of a region of the machine since the agent started: the hardware counter with its wraps undone, or a model "
    "of it (label quality). " OVERLAP};
static const struct family domain_power = {"carnot_domain_power_watts", FAMILY_GAUGE, "watts",
                                           "Mean power of a domain in the last window. " OVERLAP};
static const struct family domain_peak = {
    "carnot_domain_peak_power_watts", FAMILY_GAUGE, "watts",
    "Highest mean power of a domain between two readings inside the last window. " OVERLAP};
static const struct family domain_events = {"carnot_domain_reading_events", FAMILY_COUNTER, NULL,
                                            "Irregularities of an energy counter since the agent started: wrapped "
                                            "round (undone), reset (counted on from there), "
                                            "gap (not read in time)."};
static const struct family domain_lifetime = {
    "carnot_domain_lifetime_energy_joules", FAMILY_COUNTER, "joules",
    "Energy of a domain over all runs of the agent, as last saved (carnot_lifetime_saved_timestamp_seconds). " OVERLAP};
static const struct family domain_bridged = {"carnot_domain_bridged_energy_joules", FAMILY_COUNTER, "joules",
                                             "Part of carnot_domain_lifetime_energy_joules_total that was used between "
                                             "two runs of the agent: in no window, with "
                                             "no owner. " OVERLAP};
static const struct family lifetime_saved = {"carnot_lifetime_saved_timestamp_seconds", FAMILY_GAUGE, "seconds",
                                             "Unix time at which the energies over all runs were last saved."};
static const struct family node_energy = {"carnot_node_energy_joules", FAMILY_COUNTER, "joules",
                                          "Energy of the machine since the agent started, " OF_ALL
                                          ", so that nothing is counted twice."};
static const struct family node_power = {"carnot_node_power_watts", FAMILY_GAUGE, "watts",
                                         "Mean power of the machine in the last window, " OF_ALL "."};
static const struct family node_emissions = {"carnot_node_emissions_grams", FAMILY_COUNTER, "grams",
                                             "CO2 equivalent of the machine since the agent started, " OF_ALL
                                             ". " FIXED_INTENSITY};
static const struct family entity_energy = {"carnot_entity_energy_joules", FAMILY_COUNTER, "joules",
                                            "Energy that no unit owns: idle, kernel threads, this monitor, and the "
                                            "residual of measured less attributed. With the "
                                            "units of one kind it makes up the domain. " OVERLAP};

static const struct {
    const char *name;
    size_t offset;
} domain_event_kinds[] = {
    {"wrap", offsetof(struct batch_domain, wraps)},
    {"reset", offsetof(struct batch_domain, resets)},
    {"gap", offsetof(struct batch_domain, gaps)},
};

static void domain_row(struct writer *w, const struct domain *domain, uint64_t micro)
{
    struct exposition *x = &w->x;

    exposition_row(x);
    exposition_label(x, "domain", domain->name);
    exposition_label(x, "kind", domain_kind_name(domain->kind));
    if (domain->package >= 0)
        exposition_label_u64(x, "package", (uint64_t)domain->package);
    else
        exposition_label(x, "package", ""); /* the whole machine */
    exposition_label(x, "source", domain->source);
    exposition_label(x, "quality", quality_name(domain->quality));
    exposition_label(x, "in_total", domain->in_total ? "true" : "false");
    exposition_value(x, micro, 6);
}

static void write_domains(struct writer *w)
{
    const struct batch_domain *domains = w->batch->domains;

    /* No reading is no row: 0 J or 0 W would be a figure that nobody measured. */
    exposition_family(&w->x, &domain_energy);
    for (size_t i = 0; i < w->n_domains; i++)
        if (domains[i].status == 0 || domains[i].energy_uj)
            domain_row(w, &domains[i].domain, domains[i].energy_uj);
    exposition_family(&w->x, &domain_power);
    for (size_t i = 0; i < w->n_domains; i++)
        if (domains[i].span_ns)
            domain_row(w, &domains[i].domain, domain_power_uw(&domains[i]));
    exposition_family(&w->x, &domain_peak);
    for (size_t i = 0; i < w->n_domains; i++)
        if (domains[i].span_ns)
            domain_row(w, &domains[i].domain, domains[i].peak_uw);

    exposition_family(&w->x, &domain_events);
    for (size_t i = 0; i < w->n_domains; i++) {
        for (size_t k = 0; k < ELEMENTSOF(domain_event_kinds); k++) {
            const struct field field = {.offset = domain_event_kinds[k].offset};

            exposition_row(&w->x);
            exposition_label(&w->x, "domain", domains[i].domain.name);
            exposition_label(&w->x, "event", domain_event_kinds[k].name);
            exposition_value(&w->x, field_value(&domains[i], &field), 0);
        }
    }
}

/* Only what is on the disk: after a crash the counter goes on from there and never steps back. */
static void write_lifetimes(struct writer *w)
{
    const struct batch_domain *domains = w->batch->domains;

    if (w->batch->lifetime_real_ns == 0)
        return;
    exposition_family(&w->x, &domain_lifetime);
    for (size_t i = 0; i < w->n_domains; i++)
        if (domains[i].status == 0 || domains[i].lifetime_uj)
            domain_row(w, &domains[i].domain, domains[i].lifetime_uj);
    exposition_family(&w->x, &domain_bridged);
    for (size_t i = 0; i < w->n_domains; i++)
        if (domains[i].status == 0 || domains[i].lifetime_uj)
            domain_row(w, &domains[i].domain, domains[i].lifetime_bridged_uj);
    exposition_single(&w->x, &lifetime_saved, w->batch->lifetime_real_ns, 9);
}

static void write_node(struct writer *w)
{
    const struct batch *batch = w->batch;
    uint64_t energy_uj = batch_total_energy_uj(batch);

    exposition_single(&w->x, &node_energy, energy_uj, 6);
    exposition_single(&w->x, &node_power, node_power_uw(w), 6);
    exposition_single(&w->x, &node_emissions, emissions_ug(energy_uj, batch->intensity.mg_kwh), 6);

    exposition_family(&w->x, &entity_energy);
    for (size_t k = 0; k < ENTITIES; k++) {
        for (size_t i = 0; i < w->n_domains; i++) {
            exposition_row(&w->x);
            exposition_label(&w->x, "entity", entity_name((enum entity)k));
            exposition_label(&w->x, "domain", batch->domains[i].domain.name);
            exposition_value(&w->x, batch->domains[i].entity_uj[k], 6);
        }
    }
}

/* --- Units: the rows that are many ------------------------------------------------------------------------------- */

/* A unit without labels was not meant for export, and could not be told apart from the next. */

struct unit_families {
    enum unit_kind kind;
    struct family energy, cpu, emissions, power;
};

#define UNIT_FAMILIES(kind_, name_, of_)                                                                               \
    {                                                                                                                  \
        .kind = kind_,                                                                                                 \
        .energy = {"carnot_" name_ "_energy_joules", FAMILY_COUNTER, "joules",                                         \
                   "Energy attributed to " of_ " since first seen. " OVERLAP},                                         \
        .cpu = {"carnot_" name_ "_cpu_seconds", FAMILY_COUNTER, "seconds",                                             \
                "Time on a CPU of " of_ " since first seen, as the attribution saw it."},                              \
        .emissions = {"carnot_" name_ "_emissions_grams", FAMILY_COUNTER, "grams",                                     \
                      "CO2 equivalent of " of_ " since first seen, " OF_ALL ". " FIXED_INTENSITY},                     \
        .power = {"carnot_" name_ "_power_watts", FAMILY_GAUGE, "watts",                                               \
                  "Mean power of " of_ " in the last window, " OF_ALL "."},                                            \
    }

static const struct unit_families unit_families[] = {
    UNIT_FAMILIES(UNIT_CGROUP, "cgroup", "a cgroup's own processes (not of the cgroups below it)"),
    UNIT_FAMILIES(UNIT_USER, "user", "a user's processes"),
    UNIT_FAMILIES(UNIT_PROCESS, "process", "a process"),
};

static uint64_t unit_cpu(const struct writer *w, const struct batch_unit *unit)
{
    return unit->cpu_ns;
}

static uint64_t unit_emissions(const struct writer *w, const struct batch_unit *unit)
{
    return emissions_ug(batch_unit_energy_uj(w->batch, unit), w->batch->intensity.mg_kwh);
}

static uint64_t unit_power(const struct writer *w, const struct batch_unit *unit)
{
    return power_uw(batch_unit_window_uj(w->batch, unit), w->window_ns);
}

static void write_unit_energy(struct writer *w, const struct family *family, const struct batch_unit *units, size_t n)
{
    exposition_family(&w->x, family);
    for (size_t i = 0; i < n; i++) {
        const char *labels = units[i].labels;
        size_t len = strlen(labels);

        for (size_t d = 0; d < w->n_domains && len; d++)
            exposition_prepared(&w->x, labels, len, w->tails[d], w->tail_len[d], units[i].energy_uj[d], 6);
    }
}

static void write_unit_values(struct writer *w, const struct family *family, const struct batch_unit *units, size_t n,
                              uint64_t (*value)(const struct writer *, const struct batch_unit *), unsigned decimals)
{
    exposition_family(&w->x, family);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(units[i].labels);

        if (len)
            exposition_prepared(&w->x, units[i].labels, len, "} ", 2, value(w, &units[i]), decimals);
    }
}

static void write_units(struct writer *w, bool processes)
{
    for (size_t i = 0; i < ELEMENTSOF(unit_families); i++) {
        const struct unit_families *families = &unit_families[i];
        size_t n = 0;

        if (families->kind == UNIT_PROCESS && !processes)
            continue;
        const struct batch_unit *units = batch_kind(w->batch, families->kind, &n);
        write_unit_energy(w, &families->energy, units, n);
        write_unit_values(w, &families->cpu, units, n, unit_cpu, 9);
        write_unit_values(w, &families->emissions, units, n, unit_emissions, 6);
        write_unit_values(w, &families->power, units, n, unit_power, 6);
    }
}

static void prepare_tails(struct writer *w)
{
    w->n_domains = min_size(w->batch->n_domains, DOMAINS_MAX);
    for (size_t i = 0; i < w->n_domains; i++) {
        /* A buffer over the array: cap is limit + 1, so that it never grows. */
        struct buf tail = {.data = w->tails[i], .cap = DOMAIN_TAIL_MAX, .limit = DOMAIN_TAIL_MAX - 1};

        buf_puts(&tail, ",domain=\"");
        prometheus_escape(&tail, w->batch->domains[i].domain.name);
        buf_puts(&tail, "\"} ");
        w->tail_len[i] = tail.len;
    }
}

/* --- Intensity, sources, activity, ourselves -----------------------------------------------------------------------
 */

static const struct family build_info = {"carnot_build", FAMILY_INFO, NULL, "Version of the agent, always 1."};
static const struct family intensity = {
    "carnot_intensity_grams_per_kilowatthour", FAMILY_GAUGE, "grams_per_kilowatthour",
    "Carbon intensity of electricity that emissions are reckoned with, CO2 equivalent, and how it was chosen."};

static const struct family source_up = {"carnot_source_up", FAMILY_GAUGE, NULL,
                                        "1 if the energy source gave a reading in the last window."};
static const struct field source_fields[] = {
    {{"carnot_source_reads", FAMILY_COUNTER, NULL, "Readings of an energy source."},
     offsetof(struct batch_source, reads),
     0},
    {{"carnot_source_errors", FAMILY_COUNTER, NULL, "Readings of an energy source that failed."},
     offsetof(struct batch_source, errors),
     0},
    {{"carnot_source_read_duration_seconds", FAMILY_GAUGE, "seconds", "How long the last reading took."},
     offsetof(struct batch_source, read_ns),
     9},
    {{"carnot_source_last_success_timestamp_seconds", FAMILY_GAUGE, "seconds",
      "Unix time of the last reading that succeeded, 0 if none did."},
     offsetof(struct batch_source, last_success_real_ns),
     9},
};

static const struct family source_crosscheck = {
    "carnot_source_crosscheck_ratio", FAMILY_GAUGE, "ratio",
    "Of a second way to counters that are read already: what it tells less what the one in use tells, in the last "
    "minute, as a part of the larger; of the domain that differs most; absent until known."};

static const struct family activity_info = {
    "carnot_activity", FAMILY_INFO, NULL,
    "How CPU time is seen and how energy is split by it, always 1: reader, its tier, method and idle policy."};
static const struct field activity_fields[] = {
    {{"carnot_activity_switches", FAMILY_COUNTER, NULL, "Context switches seen; 0 where the reader does not see them."},
     offsetof(struct batch_activity, switches),
     0},
    {{"carnot_activity_run_seconds", FAMILY_COUNTER, "seconds",
      "CPU time of our BPF programs; 0 where the kernel does not count it (sysctl kernel.bpf_stats_enabled)."},
     offsetof(struct batch_activity, run_ns),
     9},
    {{"carnot_activity_unlisted_seconds", FAMILY_COUNTER, "seconds",
      "CPU time billed to a cgroup with no thread named."},
     offsetof(struct batch_activity, unlisted_ns),
     9},
    {{"carnot_activity_dropped", FAMILY_COUNTER, NULL, "Threads and cgroups that did not fit a table."},
     offsetof(struct batch_activity, dropped),
     0},
    {{"carnot_activity_processes", FAMILY_COUNTER, NULL, "Processes seen."},
     offsetof(struct batch_activity, processes_seen),
     0},
};
static const struct family crosscheck = {"carnot_activity_crosscheck_ratio", FAMILY_GAUGE, "ratio",
                                         "CPU time of the cgroups as we counted it less the kernel's own count, as a "
                                         "part of the latter; absent until known."};

static const struct field self_fields[] = {
    {{"process_cpu_seconds", FAMILY_COUNTER, "seconds", "CPU time of the agent, user and system."},
     offsetof(struct batch_self, cpu_ns),
     9},
    {{"process_resident_memory_bytes", FAMILY_GAUGE, "bytes", "Resident memory of the agent."},
     offsetof(struct batch_self, rss_bytes),
     0},
    {{"carnot_tick_duration_seconds", FAMILY_GAUGE, "seconds", "CPU time of the last tick."},
     offsetof(struct batch_self, tick_ns),
     9},
    {{"carnot_missed_ticks", FAMILY_COUNTER, NULL, "Ticks that came too late to be made; their time is in the next."},
     offsetof(struct batch_self, missed_ticks),
     0},
    {{"carnot_suspends", FAMILY_COUNTER, NULL, "Times that the machine was suspended."},
     offsetof(struct batch_self, suspends),
     0},
    {{"carnot_clock_steps", FAMILY_COUNTER, NULL, "Times that the wall clock was stepped."},
     offsetof(struct batch_self, clock_steps),
     0},
    {{"carnot_conservation_error_joules", FAMILY_GAUGE, "joules",
      "Largest difference ever between measured energy and the sum of its owners, over domains and windows. It is 0; "
      "anything else is a bug to report."},
     offsetof(struct batch_self, conservation_error_uj),
     6},
    {{"carnot_windows", FAMILY_COUNTER, NULL, "Windows attributed."}, offsetof(struct batch_self, windows), 0},
};
static const struct family batch_timestamp = {"carnot_batch_timestamp_seconds", FAMILY_GAUGE, "seconds",
                                              "Unix time of the end of the window that these figures are of."};
static const struct family http_requests = {"carnot_http_requests", FAMILY_COUNTER, NULL,
                                            "HTTP requests answered before this one."};
static const struct family http_errors = {"carnot_http_errors", FAMILY_COUNTER, NULL,
                                          "HTTP requests answered with a status of 400 or more."};

static void write_fields(struct writer *w, const struct field *fields, size_t n, const void *object)
{
    for (size_t i = 0; i < n; i++)
        exposition_single(&w->x, &fields[i].family, field_value(object, &fields[i]), fields[i].decimals);
}

static void write_build(struct writer *w)
{
    exposition_family(&w->x, &build_info);
    exposition_row(&w->x);
    exposition_label(&w->x, "version", CARNOT_VERSION);
    exposition_value(&w->x, 1, 0);
}

static void write_intensity(struct writer *w)
{
    const struct batch_intensity *from = &w->batch->intensity;

    exposition_family(&w->x, &intensity);
    exposition_row(&w->x);
    exposition_label(&w->x, "zone", from->zone);
    exposition_label(&w->x, "source", from->source);
    exposition_label(&w->x, "chosen_by", from->chosen_by);
    exposition_label(&w->x, "quality", quality_name(from->quality));
    exposition_value(&w->x, from->mg_kwh, 3);
}

static void write_sources(struct writer *w)
{
    const struct batch *batch = w->batch;

    exposition_family(&w->x, &source_up);
    for (size_t i = 0; i < batch->n_sources; i++) {
        exposition_row(&w->x);
        exposition_label(&w->x, "source", batch->sources[i].name);
        exposition_value(&w->x, batch->sources[i].up, 0);
    }
    for (size_t k = 0; k < ELEMENTSOF(source_fields); k++) {
        exposition_family(&w->x, &source_fields[k].family);
        for (size_t i = 0; i < batch->n_sources; i++) {
            exposition_row(&w->x);
            exposition_label(&w->x, "source", batch->sources[i].name);
            exposition_value(&w->x, field_value(&batch->sources[i], &source_fields[k]), source_fields[k].decimals);
        }
    }
}

static void write_source_crosscheck(struct writer *w)
{
    const struct batch *batch = w->batch;
    bool begun = false;

    for (size_t i = 0; i < batch->n_sources; i++) {
        if (batch->sources[i].crosscheck_ppm == INT64_MIN)
            continue;
        if (!begun)
            exposition_family(&w->x, &source_crosscheck);
        begun = true;
        exposition_row(&w->x);
        exposition_label(&w->x, "source", batch->sources[i].name);
        exposition_value_signed(&w->x, batch->sources[i].crosscheck_ppm, 6);
    }
}

static void write_activity(struct writer *w)
{
    const struct batch *batch = w->batch;

    exposition_family(&w->x, &activity_info);
    exposition_row(&w->x);
    exposition_label(&w->x, "activity", batch->activity.name);
    exposition_label(&w->x, "tier", batch->activity.tier);
    exposition_label(&w->x, "method", batch->method);
    exposition_label(&w->x, "idle_policy", batch->idle_policy);
    exposition_value(&w->x, 1, 0);

    write_fields(w, activity_fields, ELEMENTSOF(activity_fields), &batch->activity);
    if (batch->activity.crosscheck_ppm != INT64_MIN) {
        exposition_family(&w->x, &crosscheck);
        exposition_row(&w->x);
        exposition_value_signed(&w->x, batch->activity.crosscheck_ppm, 6);
    }
}

int prometheus_write(const struct batch *batch, enum prometheus_format format, const struct prometheus_options *options,
                     struct buf *out)
{
    struct writer w = {
        .x = {.out = out, .openmetrics = format == PROMETHEUS_OPENMETRICS_100},
        .batch = batch,
        .window_ns = batch->end.mono_ns > batch->begin.mono_ns ? batch->end.mono_ns - batch->begin.mono_ns : 0,
    };

    prepare_tails(&w);
    write_build(&w);
    write_node(&w);
    write_domains(&w);
    write_lifetimes(&w);
    write_units(&w, options->processes);
    write_intensity(&w);
    write_sources(&w);
    write_source_crosscheck(&w);
    write_activity(&w);
    write_fields(&w, self_fields, ELEMENTSOF(self_fields), &batch->self);
    exposition_single(&w.x, &batch_timestamp, batch->end.real_ns, 9);
    exposition_single(&w.x, &http_requests, options->http_requests, 0);
    exposition_single(&w.x, &http_errors, options->http_errors, 0);
    return exposition_end(&w.x);
}

const char *prometheus_content_type(enum prometheus_format format)
{
    return format == PROMETHEUS_OPENMETRICS_100 ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                                : "text/plain; version=0.0.4; charset=utf-8";
}

enum prometheus_format prometheus_negotiate(const char *accept)
{
    double openmetrics = http_accept_named_q(accept, "application/openmetrics-text");

    if (openmetrics > 0 && openmetrics >= http_accept_q(accept, "text/plain"))
        return PROMETHEUS_OPENMETRICS_100;
    return PROMETHEUS_TEXT_004;
}
