/* SPDX-License-Identifier: Apache-2.0 */
/* Copies what the meter knows into an immutable batch. Everything lands in the batch's own arena, so that readers on
 * other threads never see the meter's memory. */
#include <errno.h>
#include <inttypes.h>

#include "meter/internal.h"
#include "model/labels.h"

/* The order of units in a batch, see batch_kind(). */
static const enum unit_kind kind_order[] = {UNIT_CGROUP, UNIT_USER, UNIT_PROCESS, UNIT_SESSION};

static int reserve_index(struct meter *meter)
{
    if (meter->scratch_units < meter->units.cap) {
        uint32_t *index = realloc(meter->batch_index, meter->units.cap * sizeof *index);
        if (!index)
            return -ENOMEM;
        meter->batch_index = index;
        meter->scratch_units = meter->units.cap;
    }
    return 0;
}

static int seal_domains(const struct meter *meter, struct batch *batch)
{
    const struct energy *energy = &meter->energy;

    batch->n_domains = energy->n_domains;
    batch->domains = arena_alloc_array(&batch->arena, energy->n_domains, sizeof *batch->domains);
    if (!batch->domains)
        return -ENOMEM;
    for (size_t d = 0; d < energy->n_domains; d++) {
        const struct energy_domain *from = &energy->domains[d];
        struct batch_domain *to = &batch->domains[d];

        *to = (struct batch_domain){
            .domain = from->domain,
            .status = from->status,
            .energy_uj = from->delta.total_uj,
            .window_uj = from->window_uj,
            .span_ns = energy_window_span_ns(from),
            .peak_uw = from->peak_uw,
            .wraps = from->delta.wraps,
            .resets = from->delta.resets + from->delta.absurd,
            .gaps = from->delta.gaps,
            .lifetime_uj = meter->lifetime.domains[d].kept_uj,
            .lifetime_bridged_uj = meter->lifetime.domains[d].kept_bridged_uj,
        };
        memcpy(to->entity_uj, meter->entity_uj[d], sizeof to->entity_uj);
        memcpy(to->entity_window_uj, meter->entity_window_uj[d], sizeof to->entity_window_uj);
    }
    return 0;
}

static int seal_sources(const struct meter *meter, struct batch *batch)
{
    const struct energy *energy = &meter->energy;

    batch->sources = arena_alloc_array(&batch->arena, energy->n_sources, sizeof *batch->sources);
    if (!batch->sources)
        return -ENOMEM;
    for (size_t i = 0; i < energy->n_sources; i++) {
        const struct energy_source *from = &energy->sources[i];
        const char *message = arena_strdup(&batch->arena, from->message);

        if (!message)
            return -ENOMEM;
        batch->sources[batch->n_sources++] = (struct batch_source){
            .name = from->ops->name,
            .up = from->self && from->failures == 0 && from->message[0] == '\0',
            .reads = from->reads,
            .errors = from->errors,
            .read_ns = from->read_ns,
            .last_success_real_ns = from->last_success_real_ns,
            .crosscheck_ppm = from->crosscheck_ppm,
            .message = message,
        };
    }
    return 0;
}

/* Labels of a process are made here and only when they are asked for: most machines do not export processes. */
static const char *process_labels(const struct meter *meter, struct batch *batch, const struct unit *unit,
                                  const char *path)
{
    char pid[24] = "", uid[24] = "", start_ms[24] = "";
    const char *const labels[][2] = {
        {"pid", pid}, {"comm", unit->comm}, {"uid", uid}, {"cgroup", path}, {"start_ms", start_ms}};
    struct label_writer writer = {.size = 1};

    if (!meter->settings.process_series)
        return "";
    if (!(unit->flags & UNIT_AGGREGATE)) {
        snprintf(pid, sizeof pid, "%u", unit->pid);
        /* Tells two lives of one pid apart. */
        snprintf(start_ms, sizeof start_ms, "%" PRIu64, (uint64_t)(unit->start_real_ns / NS_PER_MS));
    }
    if (unit->uid != UNIT_UID_UNKNOWN)
        snprintf(uid, sizeof uid, "%u", unit->uid);
    for (size_t i = 0; i < ELEMENTSOF(labels); i++)
        writer.size += label_room(labels[i][0], labels[i][1]);
    writer.out = arena_alloc(&batch->arena, writer.size);
    for (size_t i = 0; writer.out && i < ELEMENTSOF(labels); i++)
        label_put(&writer, labels[i][0], labels[i][1]);
    return writer.out;
}

static uint32_t batch_index_of_cgroup(const struct meter *meter, const struct unit *process)
{
    uint32_t unit = u64map_get(&meter->units.by_key[UNIT_CGROUP], process->cgroup);

    /* The tree reuses its indices: the cgroup of a process that slept meanwhile may have become another. */
    if (unit == U64MAP_NONE || meter->units.units[unit].id != process->cgroup_unit_id)
        return UNIT_NO_INDEX;
    return meter->batch_index[unit];
}

static uint64_t window_power_uw(const struct meter *meter, const struct batch *batch, uint32_t unit)
{
    uint64_t sum_uj = 0;

    for (size_t d = 0; d < meter->units.n_domains; d++)
        if (batch->domains[d].domain.in_total)
            sum_uj += meter->units.window_uj[unit * meter->units.n_domains + d];
    return power_uw(sum_uj, batch->end.mono_ns - batch->begin.mono_ns);
}

static int seal_unit(struct meter *meter, struct batch *batch, uint32_t index, struct batch_unit *to)
{
    struct unit *from = &meter->units.units[index];
    size_t n = meter->units.n_domains, bytes = n * sizeof(uint64_t);
    uint64_t *energy_uj = arena_alloc(&batch->arena, 2 * bytes);
    bool process = from->kind == UNIT_PROCESS;

    if (!energy_uj)
        return -ENOMEM;
    if (from->kind == UNIT_SESSION)
        from->peak_uw = max_u64(from->peak_uw, window_power_uw(meter, batch, index));
    memcpy(energy_uj, meter->units.energy_uj + index * n, bytes);
    memcpy(energy_uj + n, meter->units.window_uj + index * n, bytes);
    *to = (struct batch_unit){
        .kind = from->kind,
        .flags = from->flags,
        .id = from->id,
        .pid = from->pid,
        .uid = from->uid,
        .session = from->session,
        .cgroup = process ? batch_index_of_cgroup(meter, from) : UNIT_NO_INDEX,
        .name = arena_strdup(&batch->arena, process ? from->comm : from->name),
        .path = process ? "" : arena_strdup(&batch->arena, from->path),
        .manager = from->manager,
        .type = from->type,
        .start_real_ns = from->start_real_ns,
        .cpu_ns = from->cpu_ns,
        .window_cpu_ns = from->window_cpu_ns,
        .peak_uw = from->peak_uw,
        .energy_uj = energy_uj,
        .window_uj = energy_uj + n,
    };
    if (process)
        to->labels =
            process_labels(meter, batch, from, to->cgroup == UNIT_NO_INDEX ? "" : batch->units[to->cgroup].path);
    else
        to->labels = arena_strdup(&batch->arena, from->labels);
    from->exported = true;
    return to->name && to->path && to->labels ? 0 : -ENOMEM;
}

static bool is_shown(const struct unit *unit)
{
    return unit->in_use && !unit->dormant;
}

static int seal_units(struct meter *meter, struct batch *batch)
{
    size_t n = 0;

    for (uint32_t i = 0; i < meter->units.high; i++)
        n += is_shown(&meter->units.units[i]);
    batch->units = arena_alloc_array(&batch->arena, n, sizeof *batch->units);
    if (!batch->units || reserve_index(meter) < 0)
        return -ENOMEM;
    for (size_t k = 0; k < ELEMENTSOF(kind_order); k++) {
        batch->first_of_kind[k] = batch->n_units;
        for (uint32_t i = 0; i < meter->units.high; i++) {
            if (!is_shown(&meter->units.units[i]) || meter->units.units[i].kind != kind_order[k])
                continue;
            meter->batch_index[i] = (uint32_t)batch->n_units;
            int r = seal_unit(meter, batch, i, &batch->units[batch->n_units]);
            if (r < 0)
                return r;
            batch->n_units++;
        }
    }
    batch->first_of_kind[ELEMENTSOF(kind_order)] = batch->n_units;
    return 0;
}

static int seal_intensity(const struct meter *meter, struct batch *batch)
{
    batch->intensity = (struct batch_intensity){
        .mg_kwh = meter->intensity.mg_kwh,
        .zone = arena_strdup(&batch->arena, meter->intensity.zone),
        .source = arena_strdup(&batch->arena, meter->intensity.source),
        .chosen_by = arena_strdup(&batch->arena, meter->intensity.chosen_by),
        .quality = meter->intensity.quality,
    };
    return batch->intensity.zone && batch->intensity.source && batch->intensity.chosen_by ? 0 : -ENOMEM;
}

int meter_seal(struct meter *meter, const struct carnot_now *end, struct batch **ret_batch, struct carnot_err *err)
{
    struct batch *batch;
    int r = batch_new(meter->pool, &batch);

    if (r < 0)
        return carnot_err_set(err, -r, "out of memory for a batch");
    batch->seq = meter->seq;
    batch->begin = meter->window_begin;
    batch->end = *end;
    batch->method = meter_uses_smt(meter) ? "smt" : "cpu_time";
    batch->lifetime_real_ns = meter->lifetime.kept ? meter->lifetime.kept_real_ns : 0;
    batch->idle_policy = idle_policy_names[meter->settings.idle_policy];
    if (seal_domains(meter, batch) < 0 || seal_sources(meter, batch) < 0 || seal_units(meter, batch) < 0 ||
        seal_intensity(meter, batch) < 0) {
        batch_unref(batch);
        return carnot_err_set(err, ENOMEM,
                              "out of memory for a batch of this window; its energy stays in the counters");
    }
    batch->activity = meter->activity_stats;
    batch->activity.dropped += meter->units.n_folded;
    batch->activity.crosscheck_ppm = meter->crosscheck.cap ? meter->crosscheck.ppm : INT64_MIN;
    meter->self.conservation_error_uj = max_u64(meter->self.conservation_error_uj, batch_conservation_error_uj(batch));
    meter->self.windows++;
    batch->self = meter->self;
    *ret_batch = batch;
    return 0;
}
