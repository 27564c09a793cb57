/* SPDX-License-Identifier: Apache-2.0 */
/* A batch as the socket's JSON line (docs/PROTOCOL.md, Snapshot), cut down to what its viewer may see. Knows who may
 * see what; refuses to know who asks, when, and which batch of the grid it is. */
#include "sinks/snapshot.h"

#include <errno.h>

#include "sinks/snapshot_parts.h"

struct writer {
    struct json_out json;
    const struct batch *batch;
    const struct viewer *viewer;
    uint64_t truncated;
    const uint32_t *pids;
    size_t n_pids;
};

/* A unit and what it is ranked by. */
struct ranked {
    const struct batch_unit *unit;
    uint64_t window_uj, energy_uj; /* as the viewer sees them */
};

/* The order in which kinds appear: that of the batch. */
static const enum unit_kind kind_order[] = {UNIT_CGROUP, UNIT_USER, UNIT_PROCESS, UNIT_SESSION};

static bool may_see(const struct viewer *viewer, const struct batch_unit *unit)
{
    /* A cgroup that is nobody's has uid UINT32_MAX, which is no user's. */
    return viewer->all || (unit->uid == viewer->uid && unit->uid != UINT32_MAX);
}

uint64_t snapshot_cut(const struct viewer *viewer, uint64_t energy_uj)
{
    if (viewer->all || viewer->quantum_uj <= 1)
        return energy_uj;
    return energy_uj - energy_uj % viewer->quantum_uj;
}

/* The difference of the cut counters: summed over windows nothing is lost and nothing told early. */
static uint64_t cut_window(const struct viewer *viewer, uint64_t energy_uj, uint64_t window_uj)
{
    return snapshot_cut(viewer, energy_uj) - snapshot_cut(viewer, energy_uj - min_u64(window_uj, energy_uj));
}

/* --- Parts of the document -----------------------------------------------------------------------------------------
 */

static void write_head(struct writer *w, const struct snapshot_options *options)
{
    const struct batch *batch = w->batch;
    struct json_out *json = &w->json;

    json_out_kv_u64(json, "v", 1);
    json_out_kv_string(json, "status", "ok");
    json_out_kv_string(json, "op", options->op ? options->op : "snapshot");
    json_out_kv_string(json, "epoch", options->epoch ? options->epoch : "");
    json_out_kv_u64(json, "seq", batch->seq);
    json_out_kv_string(json, "view", w->viewer->all ? "all" : "own");
    json_out_kv_u64(json, "quantum_uj", w->viewer->all ? 0 : w->viewer->quantum_uj);
    json_out_kv_u64(json, "slot_ns", options->slot_ns);
    json_out_kv_u64(json, "begin_real_ns", batch->begin.real_ns);
    json_out_kv_u64(json, "end_real_ns", batch->end.real_ns);
    json_out_kv_u64(json, "end_mono_ns", batch->end.mono_ns);
    json_out_kv_u64(json, "window_ns",
                    batch->end.mono_ns > batch->begin.mono_ns ? batch->end.mono_ns - batch->begin.mono_ns : 0);
    json_out_kv_string(json, "method", batch->method);
    json_out_kv_string(json, "idle_policy", batch->idle_policy);
    json_out_kv_string(json, "activity", batch->activity.name);
    json_out_kv_string(json, "tier", batch->activity.tier);
}

void snapshot_write_intensity(struct json_out *json, const struct batch *batch)
{
    const struct batch_intensity *intensity = &batch->intensity;

    json_out_key(json, "intensity");
    json_out_object(json);
    json_out_kv_u64(json, "mg_kwh", intensity->mg_kwh);
    json_out_kv_string(json, "zone", intensity->zone);
    json_out_kv_string(json, "source", intensity->source);
    json_out_kv_string(json, "chosen_by", intensity->chosen_by);
    json_out_kv_string(json, "quality", quality_name(intensity->quality));
    json_out_object_end(json);
}

/* What only an administrator sees: a total tells what all others did. */
static void write_domain_energy(struct json_out *json, const struct batch_domain *domain)
{
    json_out_kv_u64(json, "energy_uj", domain->energy_uj);
    json_out_kv_u64(json, "window_uj", domain->window_uj);
    json_out_kv_u64(json, "span_ns", domain->span_ns);
    json_out_kv_u64(json, "peak_uw", domain->peak_uw);
    json_out_key(json, "entities");
    json_out_object(json);
    for (size_t i = 0; i < ENTITIES; i++) {
        json_out_key(json, entity_name((enum entity)i));
        json_out_object(json);
        json_out_kv_u64(json, "energy_uj", domain->entity_uj[i]);
        json_out_kv_u64(json, "window_uj", domain->entity_window_uj[i]);
        json_out_object_end(json);
    }
    json_out_object_end(json);
}

void snapshot_write_domain_identity(struct json_out *json, const struct batch_domain *domain)
{
    json_out_kv_string(json, "name", domain->domain.name);
    json_out_kv_string(json, "kind", domain_kind_name(domain->domain.kind));
    json_out_key(json, "package");
    json_out_i64(json, domain->domain.package);
    json_out_kv_string(json, "quality", quality_name(domain->domain.quality));
    json_out_kv_string(json, "source", domain->domain.source);
    json_out_kv_bool(json, "in_total", domain->domain.in_total);
    json_out_key(json, "status");
    json_out_i64(json, domain->status);
}

static void write_domains(struct writer *w)
{
    struct json_out *json = &w->json;

    json_out_key(json, "domains");
    json_out_array(json);
    for (size_t i = 0; i < w->batch->n_domains; i++) {
        const struct batch_domain *domain = &w->batch->domains[i];

        json_out_object(json);
        snapshot_write_domain_identity(json, domain);
        if (w->viewer->all)
            write_domain_energy(json, domain);
        json_out_object_end(json);
    }
    json_out_array_end(json);
}

static void write_energies(struct writer *w, const struct batch_unit *unit)
{
    struct json_out *json = &w->json;
    size_t n = w->batch->n_domains;

    json_out_key(json, "energy_uj");
    json_out_array(json);
    for (size_t i = 0; i < n; i++)
        json_out_u64(json, snapshot_cut(w->viewer, unit->energy_uj[i]));
    json_out_array_end(json);
    json_out_key(json, "window_uj");
    json_out_array(json);
    for (size_t i = 0; i < n; i++)
        json_out_u64(json, cut_window(w->viewer, unit->energy_uj[i], unit->window_uj[i]));
    json_out_array_end(json);
}

static void write_unit(struct writer *w, const struct batch_unit *unit)
{
    struct json_out *json = &w->json;

    json_out_object(json);
    json_out_kv_string(json, "kind", unit_kind_name(unit->kind));
    json_out_kv_u64(json, "id", unit->id);
    if (unit->kind == UNIT_PROCESS)
        json_out_kv_u64(json, "pid", unit->pid);
    if (unit->uid != UINT32_MAX)
        json_out_kv_u64(json, "uid", unit->uid);
    json_out_kv_string(json, "name", unit->name);
    if (unit->kind == UNIT_CGROUP)
        json_out_kv_string(json, "path", unit->path);
    if (unit->kind == UNIT_PROCESS && unit->cgroup < w->batch->n_units)
        json_out_kv_string(json, "cgroup", w->batch->units[unit->cgroup].path);
    json_out_kv_string(json, "manager", unit->manager);
    json_out_kv_string(json, "type", unit->type);
    json_out_kv_bool(json, "ended", unit->flags & UNIT_ENDED);
    json_out_kv_bool(json, "aggregate", unit->flags & UNIT_AGGREGATE);
    json_out_kv_u64(json, "start_real_ns", unit->start_real_ns);
    json_out_kv_u64(json, "cpu_ns", unit->cpu_ns);
    json_out_kv_u64(json, "window_cpu_ns", unit->window_cpu_ns);
    write_energies(w, unit);
    json_out_object_end(json);
}

static bool is_wanted(const struct writer *w, const struct batch_unit *unit)
{
    if (!may_see(w->viewer, unit))
        return false;
    for (size_t i = 0; i < w->n_pids; i++)
        if (unit->kind == UNIT_PROCESS && !(unit->flags & UNIT_AGGREGATE) && unit->pid == w->pids[i])
            return true;
    return w->n_pids == 0;
}

/* --- Which units ---------------------------------------------------------------------------------------------------
 */

/* By the figures that the viewer gets: an order by exact ones would tell what the cutting hides. */
static struct ranked rank(const struct writer *w, const struct batch_unit *unit)
{
    struct ranked ranked = {.unit = unit};

    for (size_t i = 0; i < w->batch->n_domains; i++) {
        if (!w->batch->domains[i].domain.in_total)
            continue;
        ranked.window_uj += cut_window(w->viewer, unit->energy_uj[i], unit->window_uj[i]);
        ranked.energy_uj += snapshot_cut(w->viewer, unit->energy_uj[i]);
    }
    return ranked;
}

static int compare_u64_down(uint64_t a, uint64_t b)
{
    return (a < b) - (a > b);
}

/* Most energy first; then the one seen first, so that the order is the same on every machine. */
static int compare_ranked(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    int r = compare_u64_down(a->window_uj, b->window_uj);

    if (r == 0)
        r = compare_u64_down(a->energy_uj, b->energy_uj);
    return r ? r : compare_u64_down(b->unit->id, a->unit->id);
}

static int write_top(struct writer *w, const struct batch_unit *units, size_t n, size_t limit)
{
    _cleanup_free_ struct ranked *ranked = calloc(n ? n : 1, sizeof(*ranked));
    size_t seen = 0;

    if (!ranked)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (is_wanted(w, &units[i]))
            ranked[seen++] = rank(w, &units[i]);
    }
    qsort(ranked, seen, sizeof(*ranked), compare_ranked);
    for (size_t i = 0; i < min_size(seen, limit); i++)
        write_unit(w, ranked[i].unit);
    w->truncated += seen - min_size(seen, limit);
    return 0;
}

static int write_kind(struct writer *w, enum unit_kind kind, size_t limit)
{
    size_t n = 0;
    const struct batch_unit *units = batch_kind(w->batch, kind, &n);

    if (limit)
        return write_top(w, units, n, limit);
    for (size_t i = 0; i < n; i++) {
        if (is_wanted(w, &units[i]))
            write_unit(w, &units[i]);
    }
    return 0;
}

static int write_units(struct writer *w, const struct snapshot_options *options)
{
    json_out_key(&w->json, "units");
    json_out_array(&w->json);
    for (size_t i = 0; i < ELEMENTSOF(kind_order); i++) {
        if (!(options->kinds & 1U << kind_order[i]))
            continue;
        int r = write_kind(w, kind_order[i], options->limit);
        if (r < 0)
            return r;
    }
    json_out_array_end(&w->json);
    return 0;
}

int snapshot_write(const struct batch *batch, const struct viewer *viewer, const struct snapshot_options *options,
                   struct buf *out)
{
    struct writer w = {.batch = batch, .viewer = viewer, .pids = options->pids, .n_pids = options->n_pids};

    json_out_init(&w.json, out);
    json_out_object(&w.json);
    write_head(&w, options);
    snapshot_write_intensity(&w.json, batch);
    write_domains(&w);
    int r = write_units(&w, options);
    if (r < 0)
        return r;
    json_out_kv_u64(&w.json, "truncated", w.truncated);
    json_out_object_end(&w.json);
    return buf_error(out);
}
