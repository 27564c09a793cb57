/* SPDX-License-Identifier: Apache-2.0 */
/* One window: energy of each domain, split among the cells that ran on its CPUs (attribution/split), added to units and
 * entities. Nothing is lost between them: what split gives to cells, idle and residual is the measured energy, and each
 * cell belongs to exactly one process, one cgroup and one user, or to an entity. */
#include <errno.h>

#include "meter/internal.h"

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

/* On-CPU time of each cell on the domain's CPUs into meter->weights; returns the number of CPUs. */
static uint32_t weigh(struct meter *meter, const struct domain *domain)
{
    const struct cells *cells = &meter->cells;
    uint32_t covered[BUCKETS_MAX], n_covered = 0, n_cpus = 0;

    for (uint32_t b = 0; b < meter->buckets.n; b++) {
        if (!covers(domain, &meter->buckets, b))
            continue;
        covered[n_covered++] = b;
        n_cpus += meter->buckets.bucket[b].n_cpus;
    }
    for (uint32_t i = 0; i < cells->n; i++) {
        const uint64_t *ns = cells->bucket_ns + (size_t)i * cells->n_columns;
        uint64_t sum = 0;

        for (uint32_t k = 0; k < n_covered; k++)
            sum += ns[covered[k]];
        meter->weights[i] = sum;
    }
    return n_cpus;
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
    uint32_t n_cpus = weigh(meter, &domain->domain);
    struct split_input in = {
        .energy_uj = domain->window_uj - unknown_uj,
        .window_ns = window_ns,
        .n_cpus = n_cpus,
        /* The readings of this window may span a little more or less time than the activity; idle power counts for
           theirs. */
        .idle_uw = unknown_uj ? domain->idle_uw : idle_power_uw(domain, window_ns),
        .policy = (enum idle_policy)meter->settings.idle_policy,
        .weight_ns = meter->weights,
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
