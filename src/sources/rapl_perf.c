/* SPDX-License-Identifier: Apache-2.0 */
/* RAPL through the PMUs "power" and "power_core": one counting event per package (or core) and kind, on the CPU that
 * the PMU's cpumask names. The kernel extends the hardware's 32 bits to 64; it can miss a turn only when nobody reads
 * for half of one, so reading must not pause (rapl_perf_event.c). An event that has to be opened again (its CPU went
 * away) goes on where the old one ended.
 *
 * A read of an event on another CPU interrupts that one (some 17 us). At ten reads a second that is below 0.1 % of one
 * CPU for two packages, so reads are simple; meter/burst opens this source once per package, with a topology of that
 * package alone, and reads it there. */
#include "sources/rapl_perf_event.h"

#include <errno.h>
#include <inttypes.h>

#include "sources/rapl_cpu_units.h"
#include "sources/rapl_filter.h"
#include "sources/rapl_mode.h"
#include "sources/rapl_pmu.h"
#include "sources/rapl_zones.h"
#include "sources/registry.h"

/* How often the cpumask is looked at: a few microseconds each. A CPU that goes takes its event with it, so this bounds
 * what such a change costs when the kernel does not move the event by itself. */
#define MASK_INTERVAL_NS (1 * NS_PER_SEC)

enum { PMU_POWER, PMU_CORE, PMUS };
static const char *const pmu_names[PMUS] = {"power", "power_core"};

/* One event and where it stands. */
struct part {
    uint32_t domain, pmu;
    int package, die, core; /* die -1: the package as a whole; core -1: not of a single core */
    struct rapl_perf_event event;
};

struct perf_domain {
    struct rapl_unit unit;
    uint64_t modulus_uj;
    bool of_cores;
    bool gap; /* something was missed since the last reading that was given */
    struct reading reading;
    uint64_t next_ns; /* cores: not before */
};

struct perf {
    struct rapl_perf_io io;
    const struct fsroot *sys;
    const struct topology *topology;
    struct rapl_settings settings;
    struct rapl_pmu pmus[PMUS];
    bool has_pmu[PMUS];
    uint64_t next_mask_ns;
    bool mask_unfinished; /* a CPU in a mask is not yet known to the topology */
    size_t n;
    struct domain domains[DOMAINS_MAX];
    struct perf_domain states[DOMAINS_MAX];
    enum rapl_filter filter;
    struct part *parts; /* [max_parts] */
    size_t n_parts, max_parts;
};

static int explain(const struct perf *perf, const struct part *part, int code, struct carnot_err *err)
{
    const char *pmu = pmu_names[part->pmu];

    if (code == -EACCES || code == -EPERM)
        return carnot_err_set(err, code,
                              "no right to count energy with the PMU \"%s\": run as root, or give the program "
                              "CAP_PERFMON, or `sysctl kernel.perf_event_paranoid=0`",
                              pmu);
    if (code == -EMFILE)
        return carnot_err_set(err, code,
                              "too many open files while counting energy with the PMU \"%s\": raise LimitNOFILE= or "
                              "`ulimit -n`",
                              pmu);
    if (code == -ENODEV || code == -ENXIO)
        return carnot_err_set(err, code,
                              "CPU %" PRIu32 ", which answers for the PMU \"%s\", is offline; its events are opened "
                              "again when the cpumask names another",
                              part->event.cpu, pmu);
    return carnot_err_errno(err, code, "cannot count event 0x%" PRIx64 " of the PMU \"%s\" on CPU %" PRIu32,
                            part->event.config, pmu, part->event.cpu);
}

/* ---- CPUs that come and go ---- */

static bool same_place(const struct part *part, const struct topology_cpu *cpu)
{
    if (cpu->package != part->package || (part->die >= 0 && cpu->die != part->die))
        return false;
    return part->core < 0 || cpu->core == part->core;
}

/* The CPU that now answers for the part's place, -1 when none does. */
static int64_t find_reader(const struct perf *perf, const struct part *part)
{
    for (uint32_t cpu = 0; cpu < perf->topology->n_cpus; cpu++) {
        if (rapl_pmu_has_cpu(&perf->pmus[part->pmu], cpu) && same_place(part, &perf->topology->cpus[cpu]))
            return cpu;
    }
    return -1;
}

static struct part *find_core(struct perf *perf, const struct topology_cpu *cpu)
{
    for (size_t i = 0; i < perf->n_parts; i++) {
        struct part *part = &perf->parts[i];
        if (part->core >= 0 && part->package == cpu->package && part->die == cpu->die && part->core == cpu->core)
            return part;
    }
    return NULL;
}

static int64_t find_cores_domain(const struct perf *perf, int package)
{
    for (size_t i = 0; i < perf->n; i++) {
        if (perf->states[i].of_cores && perf->domains[i].package == package)
            return (int64_t)i;
    }
    return -1;
}

static struct part *add_part(struct perf *perf, uint32_t domain, uint32_t pmu, uint32_t cpu, uint64_t config)
{
    const struct topology_cpu *place = &perf->topology->cpus[cpu];

    if (perf->n_parts == perf->max_parts)
        return NULL;
    perf->parts[perf->n_parts] =
        (struct part){.domain = domain,
                      .pmu = pmu,
                      .core = -1,
                      .package = place->package,
                      .die = -1,
                      .event = {.type = perf->pmus[pmu].type, .cpu = cpu, .config = config, .fd = -1}};
    return &perf->parts[perf->n_parts++];
}

static struct part *add_core(struct perf *perf, uint32_t domain, uint32_t cpu, uint64_t config)
{
    struct part *part = add_part(perf, domain, PMU_CORE, cpu, config);

    if (part) {
        part->core = perf->topology->cpus[cpu].core;
        part->die = perf->topology->cpus[cpu].die;
    }
    return part;
}

/* Cores that were never online before, in a package whose cores are counted. */
static void add_new_cores(struct perf *perf)
{
    const struct topology *t = perf->topology;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        if (!rapl_pmu_has_cpu(&perf->pmus[PMU_CORE], cpu))
            continue;
        int64_t domain = find_cores_domain(perf, t->cpus[cpu].package);
        if (t->cpus[cpu].package < 0)
            perf->mask_unfinished = true;
        if (domain >= 0 && !find_core(perf, &t->cpus[cpu]) &&
            add_core(perf, (uint32_t)domain, cpu, perf->pmus[PMU_CORE].events[0].config))
            perf->states[domain].gap = true; /* it is read from now on */
    }
}

static void follow_masks(struct perf *perf, uint64_t now_ns)
{
    bool changed = perf->mask_unfinished;

    if (now_ns < perf->next_mask_ns)
        return;
    perf->next_mask_ns = now_ns + MASK_INTERVAL_NS;
    for (uint32_t pmu = 0; pmu < PMUS; pmu++)
        changed |= perf->has_pmu[pmu] && rapl_pmu_refresh_mask(perf->sys, &perf->pmus[pmu]) > 0;
    if (!changed)
        return;
    perf->mask_unfinished = false;
    if (perf->has_pmu[PMU_CORE])
        add_new_cores(perf);
    for (size_t i = 0; i < perf->n_parts; i++) {
        struct part *part = &perf->parts[i];
        if (rapl_pmu_has_cpu(&perf->pmus[part->pmu], part->event.cpu))
            continue;
        int64_t cpu = find_reader(perf, part);
        if (cpu < 0)
            continue; /* nobody is left there, or the topology does not know yet: it may come back */
        part->event.cpu = (uint32_t)cpu;
        rapl_perf_event_reopen(&perf->io, &part->event,
                               &perf->states[part->domain].gap); /* should it fail, the next read tries again */
    }
}

/* ---- reading ---- */

/* A core that is offline draws nothing; its sum stays. */
static bool core_is_away(const struct perf *perf, const struct part *part, int r)
{
    return part->core >= 0 && rapl_perf_event_is_dead(r) && !rapl_pmu_has_cpu(&perf->pmus[part->pmu], part->event.cpu);
}

static bool is_due(const struct perf_domain *state, uint64_t now_ns)
{
    return !state->of_cores || now_ns >= state->next_ns;
}

static int perf_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct perf *perf = self;
    uint64_t sums[DOMAINS_MAX] = {0};
    int status[DOMAINS_MAX] = {0};
    bool explained = false;

    follow_masks(perf, now_mono_ns);
    for (size_t i = 0; i < perf->n_parts; i++) {
        struct part *part = &perf->parts[i];
        struct perf_domain *state = &perf->states[part->domain];

        if (!is_due(state, now_mono_ns))
            continue;
        int r = rapl_perf_event_read(&perf->io, &part->event, now_mono_ns, &state->gap);
        sums[part->domain] += part->event.sum;
        if (r == 0 || core_is_away(perf, part, r))
            continue;
        if (rapl_perf_event_is_dead(r))
            r = -ENODEV;
        status[part->domain] = r;
        if (!explained)
            explain(perf, part, r, err);
        explained = true;
    }
    for (size_t i = 0; i < perf->n; i++) {
        struct perf_domain *state = &perf->states[i];

        if (is_due(state, now_mono_ns)) {
            state->reading = (struct reading){.domain = (uint32_t)i,
                                              .status = status[i],
                                              .counter_uj = rapl_unit_uj(state->unit, sums[i]),
                                              .modulus_uj = state->modulus_uj,
                                              .gap = state->gap,
                                              .mono_ns = now_mono_ns};
            state->gap &= status[i] < 0;
            state->next_ns = now_mono_ns + RAPL_CORES_INTERVAL_NS;
        }
        out[i] = state->reading;
        state->reading.gap = false; /* told once */
    }
    return (int)perf->n;
}

/* Counters may have started anew in a suspend: the next read is a baseline. */
static void perf_reset(void *self, uint64_t now_mono_ns)
{
    struct perf *perf = self;

    for (size_t i = 0; i < perf->n_parts; i++)
        rapl_perf_event_reset(&perf->parts[i].event);
    for (size_t i = 0; i < perf->n; i++) {
        perf->states[i].gap = false; /* whoever resets counts that himself */
        perf->states[i].next_ns = 0;
    }
}

/* ---- opening ---- */

/* Dies are told apart where the PMU answers for more than one of a package. */
static bool package_has_dies(const struct perf *perf, int package)
{
    const struct topology *t = perf->topology;
    unsigned n = 0;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++)
        n += rapl_pmu_has_cpu(&perf->pmus[PMU_POWER], cpu) && t->cpus[cpu].package == package;
    return n > 1;
}

static int64_t add_domain(struct perf *perf, struct domain domain, uint32_t shift)
{
    struct rapl_unit unit = rapl_unit_joules(shift);

    for (size_t i = 0; i < perf->n; i++) {
        if (strcmp(perf->domains[i].name, domain.name) == 0)
            return (int64_t)i;
    }
    if (perf->n == DOMAINS_MAX)
        return -1;
    perf->domains[perf->n] = domain;
    perf->states[perf->n] = (struct perf_domain){.unit = unit, .modulus_uj = rapl_unit_modulus_uj(unit, 64)};
    return (int64_t)perf->n++;
}

/* Takes domain and parts back when their events cannot be opened. */
static void drop_domain(struct perf *perf, size_t first_part, size_t n_domains)
{
    while (perf->n_parts > first_part)
        rapl_perf_event_close(&perf->io, &perf->parts[--perf->n_parts].event);
    perf->n = n_domains;
}

/* The platform counter is valid on the master package only; the others stay at 0, so the sum of all is right wherever
 * that one is. */
static int open_power_event(struct perf *perf, uint32_t cpu, const struct rapl_pmu_event *event, struct carnot_err *err)
{
    const struct topology_cpu *place = &perf->topology->cpus[cpu];
    bool whole = event->kind == DOMAIN_PSYS;
    int die = package_has_dies(perf, place->package) ? place->die : -1;
    size_t n_domains = perf->n, n_parts = perf->n_parts;
    int64_t domain =
        add_domain(perf, rapl_domain(event->kind, whole ? -1 : place->package, whole ? -1 : die, source_rapl_perf.name),
                   event->shift);

    if (domain < 0)
        return carnot_err_set(err, E2BIG, "more than %d energy domains; please report the machine", DOMAINS_MAX);
    struct part *part = add_part(perf, (uint32_t)domain, PMU_POWER, cpu, event->config);
    if (!part)
        return carnot_err_set(err, E2BIG, "more energy events than the %zu expected", perf->max_parts);
    part->die = die;
    int r = rapl_perf_event_open(&perf->io, &part->event);
    if (r < 0) {
        explain(perf, part, r, err);
        drop_domain(perf, n_parts, n_domains);
    }
    return r;
}

/* All cores of a package or none: a part of them would look like the whole. */
static int open_cores(struct perf *perf, int package, struct carnot_err *err)
{
    const struct topology *t = perf->topology;
    const struct rapl_pmu_event *event = &perf->pmus[PMU_CORE].events[0];
    size_t n_domains = perf->n, n_parts = perf->n_parts;
    int64_t domain = add_domain(perf, rapl_domain(DOMAIN_CORE, package, -1, source_rapl_perf.name), event->shift);
    int r = domain < 0 ? carnot_err_set(err, E2BIG, "more than %d energy domains", DOMAINS_MAX) : 0;

    for (uint32_t cpu = 0; cpu < t->n_cpus && r >= 0; cpu++) {
        if (!rapl_pmu_has_cpu(&perf->pmus[PMU_CORE], cpu) || t->cpus[cpu].package != package ||
            find_core(perf, &t->cpus[cpu]))
            continue;
        struct part *part = add_core(perf, (uint32_t)domain, cpu, event->config);
        r = part ? rapl_perf_event_open(&perf->io, &part->event) : -E2BIG;
        if (r < 0 && part)
            explain(perf, part, r, err);
    }
    if (r < 0)
        drop_domain(perf, n_parts, n_domains);
    else
        perf->states[domain].of_cores = true;
    return r;
}

static int open_all(struct perf *perf, struct carnot_err *err)
{
    const struct topology *t = perf->topology;
    struct carnot_err first = CARNOT_ERR_INIT;
    bool has_cores = false;
    int first_error = -ENODEV;

    for (size_t e = 0; e < perf->pmus[PMU_POWER].n_events; e++) {
        const struct rapl_pmu_event *event = &perf->pmus[PMU_POWER].events[e];
        has_cores |= event->kind == DOMAIN_CORE;
        for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
            if (!rapl_pmu_has_cpu(&perf->pmus[PMU_POWER], cpu) || t->cpus[cpu].package < 0)
                continue;
            int r = open_power_event(perf, cpu, event, &first);
            if (r < 0 && (first_error == -ENODEV || r == -EACCES)) {
                first_error = r;
                if (err)
                    *err = first;
            }
        }
    }
    for (uint32_t cpu = 0; perf->has_pmu[PMU_CORE] && !has_cores && cpu < t->n_cpus; cpu++) {
        if (rapl_pmu_has_cpu(&perf->pmus[PMU_CORE], cpu) && t->cpus[cpu].package >= 0 &&
            find_cores_domain(perf, t->cpus[cpu].package) < 0)
            open_cores(perf, t->cpus[cpu].package, NULL);
    }
    if (perf->n)
        return 0;
    if (first_error == -ENODEV)
        return carnot_err_set(err, ENODEV, "the PMU \"power\" names no CPU that is online");
    return first_error;
}

static void *perf_close(void *self)
{
    struct perf *perf = self;

    for (size_t i = 0; perf && i < perf->n_parts; i++)
        rapl_perf_event_close(&perf->io, &perf->parts[i].event);
    if (perf)
        free(perf->parts);
    free(perf);
    return NULL;
}

int rapl_perf_open_with(const struct source_args *args, const struct rapl_perf_io *io, void **ret_self,
                        struct carnot_err *err)
{
    const struct rapl_settings *settings = args->settings;
    struct perf *perf = calloc(1, sizeof(*perf));

    if (!perf)
        return carnot_err_set(err, ENOMEM, "out of memory for the energy events");
    perf->io = *io;
    perf->sys = &args->env->sys;
    perf->topology = args->topology;
    perf->settings = settings ? *settings : rapl_default_settings;
    int r = rapl_pmu_read(perf->sys, pmu_names[PMU_POWER], &perf->pmus[PMU_POWER], err);
    if (r == -ENODEV)
        carnot_err_set(err, ENODEV,
                       "no PMU \"power\" below %s/bus/event_source/devices: a virtual machine has none; on bare metal "
                       "try `modprobe rapl`",
                       perf->sys->path);
    if (r >= 0) {
        perf->has_pmu[PMU_POWER] = true;
        perf->has_pmu[PMU_CORE] = rapl_pmu_read(perf->sys, pmu_names[PMU_CORE], &perf->pmus[PMU_CORE], NULL) >= 0;
        perf->max_parts = (size_t)args->topology->n_cpus * (RAPL_PMU_EVENTS_MAX + 1);
        perf->parts = calloc(perf->max_parts, sizeof(*perf->parts));
        r = perf->parts ? open_all(perf, err) : carnot_err_set(err, ENOMEM, "out of memory for the energy events");
    }
    if (r < 0) {
        perf_close(perf);
        return r;
    }
    rapl_zones_addresses(perf->sys, perf->domains, perf->n);
    *ret_self = perf;
    return 0;
}

static int perf_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    struct rapl_msr_io io = rapl_msr_device(&args->env->root);
    void *self;
    int r = rapl_perf_open_with(args, &rapl_perf_kernel, &self, err);

    if (r < 0)
        return r;
    struct perf *perf = self;
    perf->filter = rapl_filter_read(&io, args->topology);
    rapl_filter_mark(perf->filter, perf->domains, perf->n);
    *ret_self = perf;
    return 0;
}

/* Opening is the only way to learn whether events may be opened; nothing stays open. */
static int perf_probe(const struct source_args *args, struct carnot_err *err)
{
    void *self = NULL;
    int r = rapl_mode_check(RAPL_PERF, args->settings, err);

    if (r < 0)
        return r;
    r = perf_open(args, &self, err);
    perf_close(self);
    return r < 0 ? r : 0;
}

static size_t perf_domains(const void *self, const struct domain **ret_domains)
{
    const struct perf *perf = self;

    *ret_domains = perf->domains;
    return perf->n;
}

static void perf_describe(const void *self, struct buf *out)
{
    const struct perf *perf = self;

    rapl_mode_describe(RAPL_PERF, &perf->settings, out);
    rapl_filter_describe(perf->filter, perf->topology->sgx, out);
    for (size_t i = 0; i < perf->n; i++) {
        unsigned n = 0;
        uint32_t pmu = 0, cpu = 0;

        for (size_t k = 0; k < perf->n_parts; k++) {
            if (perf->parts[k].domain != i)
                continue;
            pmu = perf->parts[k].pmu;
            cpu = n == 0 ? perf->parts[k].event.cpu : cpu;
            n++;
        }
        buf_printf(out, "%s: PMU %s, unit 2^-%" PRIu32 " J, ", perf->domains[i].name, pmu_names[pmu],
                   perf->states[i].unit.shift);
        if (perf->states[i].of_cores)
            buf_printf(out, "sum of %u cores, once a second\n", n);
        else if (n > 1)
            buf_printf(out, "sum of %u packages\n", n);
        else
            buf_printf(out, "CPU %" PRIu32 "\n", cpu);
    }
}

const struct source_ops source_rapl_perf = {
    .name = "rapl_perf",
    .summary = "RAPL energy counters of processor and memory (perf events of the PMU power)",
    .flags = SOURCE_ON_BY_DEFAULT,
    .group = RAPL_GROUP,
    .options = rapl_options,
    .n_options = RAPL_OPTIONS,
    .settings = &rapl_default_settings,
    .min_interval_ns = NS_PER_MS, /* the hardware updates its counters about once a millisecond */
    .probe = perf_probe,
    .open = perf_open,
    .domains = perf_domains,
    .read = perf_read,
    .reset = perf_reset,
    .describe = perf_describe,
    .close = perf_close,
};
