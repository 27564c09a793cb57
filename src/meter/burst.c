/* SPDX-License-Identifier: Apache-2.0 */
/* Which sources a burst reads, and by which threads. See burst.h. */
#include "meter/burst.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "meter/burst_reader.h"

/* From here to the first deadline the threads come up. */
#define START_LEAD_NS (5 * NS_PER_MS)

/* --- sources ---------------------------------------------------------------------------------------------------- */

/* What is not wanted, and what blocks or models. -E2BIG when that is more than a list holds. */
static int list_unwanted(const struct burst_settings *settings, bool model, struct option_list *ret_list)
{
    *ret_list = settings->off ? *settings->off : (struct option_list){0};
    for (size_t i = 0; i < source_registry_count; i++) {
        const struct source_ops *ops = source_registry[i];
        if (!(ops->flags & SOURCE_SLOW) && (!(ops->flags & SOURCE_MODEL) || model))
            continue;
        if (ret_list->count == OPTION_LIST_MAX)
            return -E2BIG;
        ret_list->items[ret_list->count++] = ops->name;
    }
    return 0;
}

/* Why there is nothing: a right that is missing is worth more than the absence of the other hardware. */
static int explain_absence(const struct burst *burst, struct carnot_err *err)
{
    for (size_t i = 0; i < source_registry_count; i++) {
        const struct source_ops *ops = source_registry[i];
        struct source_args args = {.env = burst->env, .topology = &burst->topology, .settings = ops->settings};
        struct carnot_err why = CARNOT_ERR_INIT;
        int r = ops->flags & (SOURCE_SLOW | SOURCE_MODEL) || !ops->probe ? 0 : ops->probe(&args, &why);
        if (r == -EACCES || r == -EPERM)
            return carnot_err_set(err, r, "the energy counters cannot be read: %s", why.msg);
    }
    return carnot_err_set(err, ENODEV,
                          "no energy counter here can be read fast (that takes RAPL by perf, powercap or MSR); "
                          "`carnot doctor` tells why. A model of power says something new once a second only: "
                          "--model traces it at that pace");
}

static int open_with(struct burst *burst, const struct burst_settings *settings, bool model)
{
    struct option_list off;
    int r = list_unwanted(settings, model, &off);

    return r < 0 ? r : energy_open(burst->env, &burst->topology, settings->only, &off, &burst->energy, NULL);
}

static int open_sources(struct burst *burst, const struct burst_settings *settings, struct carnot_err *err)
{
    int r = open_with(burst, settings, false);

    if (r == -ENODEV && settings->model)
        r = open_with(burst, settings, true);
    if (r == -ENODEV)
        return explain_absence(burst, err);
    return r < 0 ? carnot_err_errno(err, r, "cannot open the energy sources") : 0;
}

/* --- readers ---------------------------------------------------------------------------------------------------- */

static int64_t domain_named(const struct burst *burst, const char *name)
{
    for (size_t i = 0; i < burst->n_domains; i++)
        if (strcmp(burst->domains[i].name, name) == 0)
            return (int64_t)i;
    return -1;
}

/* The topology as a machine of that package alone would have it. */
static int one_package(const struct topology *all, int package, struct topology *ret_one)
{
    struct topology one = *all;
    size_t bytes = all->n_cpus * sizeof(*one.cpus);

    one.cpus = malloc(bytes);
    if (!one.cpus)
        return -ENOMEM;
    memcpy(one.cpus, all->cpus, bytes);
    one.n_online = 0;
    for (uint32_t cpu = 0; cpu < one.n_cpus; cpu++) {
        if (one.cpus[cpu].package != package) {
            one.cpus[cpu].package = -1;
            one.cpus[cpu].online = false;
        }
        one.n_online += one.cpus[cpu].online;
    }
    *ret_one = one;
    return 0;
}

/* Whether a source that was shown one package gives that one only. The platform counter is shown by one package and
 * stays at 0 on the others, so it may be in each. */
static bool gives_only(const struct domain *domains, size_t n, int package)
{
    for (size_t i = 0; i < n; i++)
        if (domains[i].package != package && domains[i].kind != DOMAIN_PSYS)
            return false;
    return n > 0;
}

/* A reader of one package; NULL when the source cannot be asked for it alone. */
static struct burst_reader *package_reader(const struct burst *burst, const struct source_ops *ops, int package)
{
    struct burst_reader *reader = burst_reader_new(ops, NULL, burst->env->clock);
    const struct domain *domains;

    if (!reader)
        return NULL;
    struct source_args args = {.env = burst->env, .topology = &reader->topology, .settings = ops->settings};
    if (one_package(&burst->topology, package, &reader->topology) < 0 || ops->open(&args, &reader->self, NULL) < 0)
        return burst_reader_free(reader);
    reader->own_self = true;
    reader->pinned_to = &reader->topology;
    reader->n_values = ops->domains(reader->self, &domains);
    if (!gives_only(domains, reader->n_values, package))
        return burst_reader_free(reader);
    for (size_t i = 0; i < reader->n_values; i++) {
        int64_t domain = domain_named(burst, domains[i].name);
        if (domain < 0)
            return burst_reader_free(reader);
        reader->domain_of[i] = (uint32_t)domain;
    }
    return reader;
}

static bool is_first_of_package(const struct topology *topology, uint32_t cpu)
{
    if (!topology->cpus[cpu].online || topology->cpus[cpu].package < 0)
        return false;
    for (uint32_t i = 0; i < cpu; i++)
        if (topology->cpus[i].online && topology->cpus[i].package == topology->cpus[cpu].package)
            return false;
    return true;
}

static size_t covered_domains(const struct burst *burst, size_t first_reader)
{
    bool covered[DOMAINS_MAX] = {false};
    size_t n = 0;

    for (size_t r = first_reader; r < burst->n_readers; r++)
        for (size_t i = 0; i < burst->readers[r]->n_values; i++)
            covered[burst->readers[r]->domain_of[i]] = true;
    for (size_t i = 0; i < burst->n_domains; i++)
        n += covered[i];
    return n;
}

/* A reader per package if the source allows it and all its domains come out; else false, and there is none. */
static bool split_by_package(struct burst *burst, const struct energy_source *source)
{
    const struct topology *topology = &burst->topology;
    const struct domain *domains;
    size_t first = burst->n_readers;
    bool whole = topology->n_packages > 1 && topology->n_packages <= BURST_READERS_MAX - ENERGY_SOURCES_MAX;

    for (uint32_t cpu = 0; cpu < topology->n_cpus && whole; cpu++) {
        if (!is_first_of_package(topology, cpu))
            continue;
        struct burst_reader *reader = burst->n_readers < BURST_READERS_MAX
                                          ? package_reader(burst, source->ops, topology->cpus[cpu].package)
                                          : NULL;
        if (reader)
            burst->readers[burst->n_readers++] = reader;
        whole = reader != NULL;
    }
    whole = whole && burst->n_readers > first &&
            covered_domains(burst, first) == source->ops->domains(source->self, &domains);
    while (!whole && burst->n_readers > first)
        burst_reader_free(burst->readers[--burst->n_readers]);
    return whole;
}

static int add_reader(struct burst *burst, const struct energy_source *source)
{
    const struct domain *domains;

    if (burst->n_readers == BURST_READERS_MAX)
        return -E2BIG;
    struct burst_reader *reader = burst_reader_new(source->ops, source->self, burst->env->clock);
    if (!reader)
        return -ENOMEM;
    reader->n_values = source->ops->domains(source->self, &domains);
    memcpy(reader->domain_of, source->first_domain, sizeof(reader->domain_of));
    burst->readers[burst->n_readers++] = reader;
    return 0;
}

static int add_readers(struct burst *burst)
{
    for (size_t i = 0; i < burst->energy.n_sources; i++) {
        struct energy_source *source = &burst->energy.sources[i];
        if (!source->self)
            continue;
        if (split_by_package(burst, source)) {
            source->self = source->ops->close(source->self);
            continue;
        }
        int r = add_reader(burst, source);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- pace ------------------------------------------------------------------------------------------------------- */

/* Faster than the fastest source is of no use. */
static void set_pace(struct burst *burst, const struct burst_settings *settings)
{
    uint64_t useful_hz = 0;

    for (size_t i = 0; i < burst->n_readers; i++) {
        uint64_t interval_ns = burst->readers[i]->ops->min_interval_ns;
        useful_hz = max_u64(useful_hz, interval_ns ? max_u64(NS_PER_SEC / interval_ns, 1) : BURST_RATE_MAX);
    }
    burst->rate_hz = min_u64(settings->rate_hz, useful_hz);
    for (size_t i = 0; i < burst->n_readers; i++) {
        struct burst_reader *reader = burst->readers[i];
        uint64_t interval_ns = reader->ops->min_interval_ns;
        uint64_t ticks = (interval_ns * burst->rate_hz + NS_PER_SEC - 1) / NS_PER_SEC; /* intervals are below minutes */
        reader->rate_hz = burst->rate_hz;
        reader->every = max_u64(ticks, 1);
    }
}

/* A model integrates up to the moment of reading: it has no grid. */
static bool is_continuous(const struct burst_reader *reader)
{
    return reader->ops->flags & SOURCE_MODEL;
}

static uint64_t automatic_span_ns(const struct burst_reader *reader)
{
    if (is_continuous(reader))
        return 0;
    return update_grid_span_ns(reader->every * NS_PER_SEC / reader->rate_hz, reader->ops->min_interval_ns);
}

static int make_domains(struct burst *burst)
{
    burst->n_domains = burst->energy.n_domains;
    burst->domains = calloc(burst->n_domains, sizeof(*burst->domains));
    burst->states = calloc(burst->n_domains, sizeof(*burst->states));
    burst->cells = calloc(burst->n_domains, sizeof(*burst->cells));
    if (!burst->domains || !burst->states || !burst->cells)
        return -ENOMEM;
    for (size_t i = 0; i < burst->n_domains; i++)
        burst->domains[i] = burst->energy.domains[i].domain;
    return 0;
}

static void make_grids(struct burst *burst, const struct burst_settings *settings)
{
    for (size_t i = 0; i < burst->n_readers; i++) {
        const struct burst_reader *reader = burst->readers[i];
        uint64_t span_ns = settings->span_ns == BURST_SPAN_AUTO ? automatic_span_ns(reader) : settings->span_ns;
        for (size_t k = 0; k < reader->n_values; k++) {
            if (reader->domain_of[k] == UINT32_MAX)
                continue;
            update_grid_init(&burst->states[reader->domain_of[k]].grid, span_ns, is_continuous(reader));
            burst->states[reader->domain_of[k]].n_parts++;
        }
    }
}

/* --- life ------------------------------------------------------------------------------------------------------- */

static int open_parts(struct burst *burst, const struct burst_settings *settings, struct carnot_err *err)
{
    int r = topology_read(burst->env, &burst->topology, err);

    if (r < 0)
        return r;
    r = open_sources(burst, settings, err);
    if (r < 0)
        return r;
    r = make_domains(burst);
    if (r >= 0)
        r = add_readers(burst);
    if (r < 0)
        return carnot_err_errno(err, r, "cannot prepare to read the energy sources");
    set_pace(burst, settings);
    make_grids(burst, settings);
    return 0;
}

int burst_open(const struct carnot_env *env, const struct burst_settings *settings, struct burst **ret_burst,
               struct carnot_err *err)
{
    if (settings->rate_hz == 0 || settings->rate_hz > BURST_RATE_MAX)
        return carnot_err_set(err, EINVAL,
                              "a rate of %" PRIu64 " readings a second: processors update their energy counters about "
                              "once a millisecond, so 1 to %d are of use",
                              settings->rate_hz, BURST_RATE_MAX);
    struct burst *burst = calloc(1, sizeof(*burst));
    if (!burst)
        return carnot_err_set(err, ENOMEM, "out of memory");
    burst->env = env;
    burst->max_samples = settings->max_samples;
    int r = open_parts(burst, settings, err);
    if (r < 0) {
        burst_close(burst);
        return r;
    }
    *ret_burst = burst;
    return 0;
}

struct burst *burst_close(struct burst *burst)
{
    if (!burst)
        return NULL;
    burst_stop(burst);
    for (size_t i = 0; i < burst->n_readers; i++)
        burst_reader_free(burst->readers[i]);
    energy_close(&burst->energy);
    topology_done(&burst->topology);
    free(burst->domains);
    free(burst->states);
    free(burst->cells);
    free(burst);
    return NULL;
}

int burst_start(struct burst *burst, struct carnot_err *err)
{
    int r = 0;

    for (size_t i = 0; i < burst->n_readers && r >= 0; i++)
        r = burst_reader_prepare(burst->readers[i], burst->max_samples, err);
    uint64_t start_ns = clock_now(burst->env->clock).mono_ns + START_LEAD_NS;
    for (size_t i = 0; i < burst->n_readers && r >= 0; i++)
        r = burst_reader_start(burst->readers[i], start_ns, err);
    if (r < 0) {
        burst_stop(burst);
        return r;
    }
    for (size_t i = 0; i < burst->n_readers; i++)
        burst_reader_await_first(burst->readers[i]);
    return 0;
}

void burst_stop(struct burst *burst)
{
    /* All are asked before the first is waited for. */
    for (size_t i = 0; i < burst->n_readers; i++)
        burst_reader_ask_stop(burst->readers[i]);
    for (size_t i = 0; i < burst->n_readers; i++)
        burst_reader_join(burst->readers[i]);
}

uint64_t burst_rate_hz(const struct burst *burst)
{
    return burst->rate_hz;
}

size_t burst_domains(const struct burst *burst, const struct domain **ret_domains)
{
    *ret_domains = burst->domains;
    return burst->n_domains;
}

uint64_t burst_span_ns(const struct burst *burst, size_t domain)
{
    return burst->states[domain].grid.span_ns;
}
