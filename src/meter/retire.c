/* SPDX-License-Identifier: Apache-2.0 */
/* When units end and when they are forgotten. An ended unit stays for keep_ended_ns, whoever scraped meanwhile (there
 * may be two servers), and if nobody did, KEEP_UNREPORTED times as long. A cgroup is then not lost but put to sleep,
 * see unit_table.h. */
#include "meter/internal.h"

static void end_unit(struct unit *unit, uint64_t seq)
{
    if (unit->ended_seq)
        return;
    unit->flags |= UNIT_ENDED;
    unit->ended_seq = seq;
}

static bool cgroup_is_gone(const struct meter *meter, uint32_t cgroup)
{
    const struct cgroup *entry = meter->cgroups ? cgroup_tree_get(meter->cgroups, cgroup) : NULL;

    return meter->cgroups && (!entry || entry->gone);
}

void meter_mark_ended(struct meter *meter)
{
    for (uint32_t i = 0; i < meter->units.high; i++) {
        struct unit *unit = &meter->units.units[i];
        bool of_cgroup = unit->kind == UNIT_CGROUP || (unit->kind == UNIT_PROCESS && (unit->flags & UNIT_AGGREGATE));

        if (unit->in_use && !unit->dormant && of_cgroup && cgroup_is_gone(meter, unit->cgroup))
            end_unit(unit, meter->seq);
    }
}

/* A process that did not run for long: gone, if nobody told us, or asleep. */
static bool process_is_there(const struct meter *meter, const struct unit *unit)
{
    char pid[16];

    snprintf(pid, sizeof pid, "%u", unit->pid);
    return fsroot_exists(&meter->env->proc, pid);
}

static bool idle_may_go(struct meter *meter, struct unit *unit)
{
    if (unit->kind != UNIT_PROCESS || unit->active_seq + FORGET_IDLE_WINDOWS >= meter->seq)
        return false;
    if ((unit->flags & UNIT_AGGREGATE) || !process_is_there(meter, unit))
        return true;
    unit->active_seq = meter->seq; /* asks again after as many windows */
    return false;
}

static bool ended_may_go(const struct meter *meter, const struct unit *unit)
{
    bool scraped_kind = unit->kind == UNIT_CGROUP || (unit->kind == UNIT_PROCESS && meter->settings.process_series);
    uint64_t keep = meter->settings.keep_ended_ns / meter->settings.attribution_interval_ns,
             age = meter->seq - unit->ended_seq;

    if (!scraped_kind)
        return age > 0;
    if (atomic_load(&meter->reported_seq) < unit->ended_seq)
        keep = max_u64(keep, 1) * KEEP_UNREPORTED;
    return age > keep;
}

static void retire_unit(struct meter *meter, uint32_t index)
{
    struct unit *unit = &meter->units.units[index];

    if (!unit->in_use || unit->dormant || !unit->exported)
        return;
    if (unit->ended_seq ? !ended_may_go(meter, unit) : !idle_may_go(meter, unit))
        return;
    if (unit->kind == UNIT_CGROUP)
        unit_table_put_to_sleep(&meter->units, index);
    else
        unit_table_remove(&meter->units, index);
}

/* A gone cgroup that has no unit: nothing ran in it while we looked, its unit was forgotten, or goes on under another
 * index. */
static void release_unused(struct meter *meter)
{
    uint32_t count = meter->cgroups ? cgroup_tree_count(meter->cgroups) : 0;

    for (uint32_t c = 0; c < count; c++) {
        const struct cgroup *entry = cgroup_tree_get(meter->cgroups, c);

        if (entry && entry->gone && unit_table_release_cgroup(&meter->units, c))
            cgroup_tree_release(meter->cgroups, c);
    }
}

void meter_retire(struct meter *meter)
{
    for (uint32_t i = 0; i < meter->units.high; i++)
        retire_unit(meter, i);
    release_unused(meter);
}
