/* SPDX-License-Identifier: Apache-2.0 */
/* One window: energy of each domain, split among the cells that ran on its CPUs (attribution/split), added to units and
 * entities. Nothing is lost between them: what split gives to cells, idle and residual is the measured energy, and each
 * cell belongs to exactly one process, one cgroup and one user, or to an entity. */
#include <errno.h>

#include "meter/internal.h"

/* A core with both hyperthreads busy draws 11/10 of what it draws with one (HaPPy, USENIX ATC 2014): each gets half. */
#define SMT_SHARE_PERMILLE 550

bool meter_uses_smt(const struct meter *meter)
{
    return meter->settings.method != METHOD_CPU_TIME && cells_have_overlap(&meter->cells);
}

static int reserve_scratch(struct meter *meter)
{
    uint32_t groups = meter->cgroups ? cgroup_tree_count(meter->cgroups) : 1;

    if (meter->scratch_cells < meter->cells.cap) {
        uint64_t *weights = realloc(meter->weights, meter->cells.cap * sizeof *weights);
        if (!weights)
            return -ENOMEM;
        meter->weights = weights;
        uint64_t *shares = realloc(meter->shares, meter->cells.cap * sizeof *shares);
        if (!shares)
            return -ENOMEM;
        meter->shares = shares;
        meter->scratch_cells = meter->cells.cap;
    }
    if (meter->scratch_groups < groups) {
        uint64_t *scratch = realloc(meter->group_scratch, 2ULL * groups * sizeof *scratch);
        if (!scratch)
            return -ENOMEM;
        meter->group_scratch = scratch;
        meter->scratch_groups = groups;
    }
    return 0;
}

/* Does time on this bucket's CPUs count for the domain? A domain that names no package covers the machine. */
static bool covers(const struct domain *domain, const struct topology_buckets *buckets, uint32_t b)
{
    int package = buckets->bucket[b].package, die = buckets->bucket[b].die, node = buckets->bucket[b].node;

    /* A CPU of which nothing is known, since it came online unseen, counts everywhere rather than nowhere. */
    if (package < 0)
        return true;
    if (domain->package >= 0 && package != domain->package)
        return false;
    if (domain->die >= 0 && die >= 0 && die != domain->die)
        return false;
    return domain->node < 0 || node < 0 || node == domain->node;
}

/* Which buckets a domain covers, and in which package's column of overlap each is. */
struct coverage {
    bool covered[BUCKETS_MAX];
    int package[BUCKETS_MAX]; /* index, or negative */
    uint32_t n_cpus;
    bool smt; /* overlap counts */
};

/* Memory and what is no processor is not shared by hyperthreads. */
static bool is_processor(enum domain_kind kind)
{
    return kind == DOMAIN_PACKAGE || kind == DOMAIN_CORE || kind == DOMAIN_PSYS || kind == DOMAIN_HOST;
}

static struct coverage coverage_of(const struct meter *meter, const struct domain *domain)
{
    struct coverage coverage = {.smt = meter_uses_smt(meter) && is_processor(domain->kind)};

    for (uint32_t b = 0; b < meter->buckets.n; b++) {
        coverage.covered[b] = covers(domain, &meter->buckets, b);
        coverage.package[b] = topology_package_index(&meter->buckets, meter->buckets.bucket[b].package);
        if (coverage.covered[b])
            coverage.n_cpus += meter->buckets.bucket[b].n_cpus;
    }
    return coverage;
}

/* The part of a cell's time on the domain's CPUs in which the other hyperthread ran too. It is known by package: of a
 * package that the domain covers in part, in proportion to the time. Clocks differ by what interrupts take, hence the
 * limit. */
static uint64_t overlap_ns(const struct meter *meter, const struct coverage *coverage, const uint64_t *ns)
{
    const struct topology_buckets *buckets = &meter->buckets;
    uint64_t sum = 0;

    for (uint32_t p = 0; p < buckets->n_packages && buckets->n + p < meter->cells.n_columns; p++) {
        uint64_t inside = 0, all = 0;

        for (uint32_t b = 0; b < buckets->n; b++) {
            if (coverage->package[b] != (int)p)
                continue;
            all += ns[b];
            inside += coverage->covered[b] ? ns[b] : 0;
        }
        if (all)
            sum += min_u64(inside, muldiv_u64(ns[buckets->n + p], inside, all));
    }
    return sum;
}

/* What each cell's time on the domain's CPUs counts, into meter->weights; returns all of the time. */
static uint64_t weigh(struct meter *meter, const struct coverage *coverage)
{
    const struct cells *cells = &meter->cells;
    uint64_t busy_ns = 0;

    for (uint32_t i = 0; i < cells->n; i++) {
        const uint64_t *ns = cells->bucket_ns + (size_t)i * cells->n_columns;
        uint64_t sum = 0;

        for (uint32_t b = 0; b < meter->buckets.n; b++)
            sum += coverage->covered[b] ? ns[b] : 0;
        busy_ns += sum;
        if (coverage->smt && sum) {
            uint64_t overlap = overlap_ns(meter, coverage, ns);
            sum -= overlap - muldiv_u64(overlap, SMT_SHARE_PERMILLE, 1000);
        }
        meter->weights[i] = sum;
    }
    return busy_ns;
}

static void add_share(struct meter *meter, const struct cell *cell, size_t d, uint64_t share_uj)
{
    static const enum entity entity_of[] = {
        [CELL_KERNEL] = ENTITY_KERNEL,
        [CELL_MONITOR] = ENTITY_MONITOR,
        [CELL_RESIDUAL] = ENTITY_RESIDUAL,
    };

    if (cell->owner != CELL_UNITS) {
        meter->entity_window_uj[d][entity_of[cell->owner]] += share_uj;
    } else {
        unit_table_add_energy(&meter->units, cell->process, d, share_uj);
        unit_table_add_energy(&meter->units, cell->cgroup_unit, d, share_uj);
        unit_table_add_energy(&meter->units, cell->user, d, share_uj);
    }
    if (cell->session_unit != UNIT_NO_INDEX)
        unit_table_add_energy(&meter->units, cell->session_unit, d, share_uj);
}

/* The readings of a window may span a little more or less time than the activity; idle power counts for their time. 0
 * means unknown. */
static uint64_t idle_power_uw(const struct energy_domain *domain, uint64_t window_ns)
{
    uint64_t span_ns = energy_window_span_ns(domain);

    if (domain->idle_uw == 0 || domain->idle_uw == DOMAIN_ALL_IDLE || span_ns == 0 || window_ns == 0)
        return domain->idle_uw;
    return max_u64(1, muldiv_u64(domain->idle_uw, span_ns, window_ns));
}

/* A source that failed for several windows comes back with the energy of all of them, but the activity is that of the
 * last one: who used the rest is not known any more. */
static uint64_t unknown_owner_uj(const struct energy_domain *domain, uint64_t window_ns)
{
    uint64_t span_ns = energy_window_span_ns(domain);

    if (window_ns == 0 || span_ns <= 2 * window_ns)
        return 0;
    return domain->window_uj - muldiv_u64(domain->window_uj, window_ns, span_ns);
}

static void attribute_domain(struct meter *meter, size_t d, uint64_t window_ns)
{
    const struct energy_domain *domain = &meter->energy.domains[d];
    const struct cells *cells = &meter->cells;
    uint64_t unknown_uj = unknown_owner_uj(domain, window_ns);
    struct split_result result;
    struct coverage coverage = coverage_of(meter, &domain->domain);
    uint64_t busy_ns = weigh(meter, &coverage);
    struct split_input in = {
        .energy_uj = domain->window_uj - unknown_uj,
        .window_ns = window_ns,
        .n_cpus = coverage.n_cpus,
        /* The readings of this window may span a little more or less time than the activity; idle power counts for
           theirs. */
        .idle_uw = unknown_uj ? domain->idle_uw : idle_power_uw(domain, window_ns),
        .policy = (enum idle_policy)meter->settings.idle_policy,
        .weight_ns = meter->weights,
        .busy_ns = busy_ns,
        .group = cells->group,
        .n = cells->n,
        .n_groups = meter->scratch_groups,
        .scratch = meter->group_scratch,
    };

    split_cpu_time(&in, meter->shares, &result);
    meter->entity_window_uj[d][ENTITY_IDLE] = result.idle_left_uj;
    meter->entity_window_uj[d][ENTITY_RESIDUAL] += result.residual_uj + unknown_uj;
    for (uint32_t i = 0; i < cells->n; i++)
        add_share(meter, &cells->cells[i], d, meter->shares[i]);
    for (size_t e = 0; e < ENTITIES; e++)
        meter->entity_uj[d][e] += meter->entity_window_uj[d][e];
}

/* Nobody is known to have used it: the whole window is residual, and the figures say so. */
static void all_residual(struct meter *meter)
{
    for (size_t d = 0; d < meter->energy.n_domains; d++) {
        meter->entity_window_uj[d][ENTITY_RESIDUAL] = meter->energy.domains[d].window_uj;
        meter->entity_uj[d][ENTITY_RESIDUAL] += meter->energy.domains[d].window_uj;
    }
}

int meter_attribute(struct meter *meter, uint64_t window_ns, bool activity_known)
{
    const struct cells *cells = &meter->cells;

    unit_table_window_reset(&meter->units);
    memset(meter->entity_window_uj, 0, meter->energy.n_domains * sizeof *meter->entity_window_uj);
    if (!activity_known || cells->n == 0 || reserve_scratch(meter) < 0) {
        all_residual(meter);
        return -ENODATA;
    }
    for (size_t d = 0; d < meter->energy.n_domains; d++)
        attribute_domain(meter, d, window_ns);
    for (uint32_t i = 0; i < cells->n; i++) {
        const struct cell *cell = &cells->cells[i];

        if (cell->owner == CELL_UNITS) {
            unit_table_add_cpu(&meter->units, cell->process, cell->cpu_ns, meter->seq);
            unit_table_add_cpu(&meter->units, cell->cgroup_unit, cell->cpu_ns, meter->seq);
            unit_table_add_cpu(&meter->units, cell->user, cell->cpu_ns, meter->seq);
        }
        if (cell->session_unit != UNIT_NO_INDEX)
            unit_table_add_cpu(&meter->units, cell->session_unit, cell->cpu_ns, meter->seq);
    }
    return 0;
}
