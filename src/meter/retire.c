/* SPDX-License-Identifier: Apache-2.0 */
/* When units end and when they are forgotten. An ended unit stays until a scrape has shown its last figures, or
 * KEEP_ENDED_WINDOWS. */
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

        if (unit->in_use && of_cgroup && cgroup_is_gone(meter, unit->cgroup))
            end_unit(unit, meter->seq);
    }
}

static bool may_forget(const struct meter *meter, const struct unit *unit, uint64_t reported_seq)
{
    bool scraped_kind = unit->kind == UNIT_CGROUP || (unit->kind == UNIT_PROCESS && meter->settings.process_series);

    if (!unit->exported)
        return false;
    if (unit->kind == UNIT_PROCESS && !unit->ended_seq && !(unit->flags & UNIT_AGGREGATE))
        return unit->active_seq + FORGET_IDLE_WINDOWS < meter->seq;
    if (!unit->ended_seq)
        return false;
    if (!scraped_kind)
        return meter->seq > unit->ended_seq;
    return reported_seq >= unit->ended_seq || meter->seq > unit->ended_seq + KEEP_ENDED_WINDOWS;
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
    uint64_t reported_seq = atomic_load(&meter->reported_seq);

    for (uint32_t i = 0; i < meter->units.high; i++) {
        struct unit *unit = &meter->units.units[i];

        if (unit->in_use && may_forget(meter, unit, reported_seq))
            unit_table_remove(&meter->units, i);
    }
    release_unused(meter);
}
