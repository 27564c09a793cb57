/* SPDX-License-Identifier: Apache-2.0 */
/* See session.h. */
#include "sinks/session.h"

#include <errno.h>

#include "sinks/snapshot_parts.h"

static const struct batch_unit *find(const struct batch *batch, uint32_t session)
{
    size_t n;
    const struct batch_unit *units = batch_kind(batch, UNIT_SESSION, &n);

    for (size_t i = 0; i < n; i++)
        if (units[i].session == session)
            return &units[i];
    return NULL;
}

int session_write(const struct batch *batch, const struct viewer *viewer, uint32_t session, const char *op,
                  uint64_t begin_real_ns, struct buf *out)
{
    const struct batch_unit *unit = find(batch, session);
    struct json_out json;

    if (!unit)
        return -ENOENT;
    json_out_init(&json, out);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_string(&json, "status", "ok");
    json_out_kv_string(&json, "op", op);
    json_out_kv_u64(&json, "session", session);
    json_out_kv_string(&json, "label", unit->name);
    json_out_kv_u64(&json, "seq", batch->seq);
    json_out_kv_u64(&json, "begin_real_ns", begin_real_ns);
    json_out_kv_u64(&json, "end_real_ns", batch->end.real_ns);
    json_out_kv_u64(&json, "cpu_ns", unit->cpu_ns);
    json_out_key(&json, "energy_uj");
    json_out_array(&json);
    for (size_t d = 0; d < batch->n_domains; d++)
        json_out_u64(&json, snapshot_cut(viewer, unit->energy_uj[d]));
    json_out_array_end(&json);
    /* A peak over less than the viewer's grid would tell more than the grid does. */
    bool coarse = viewer->all || batch->end.mono_ns - batch->begin.mono_ns >= NS_PER_SEC * 9 / 10;
    json_out_kv_u64(&json, "peak_uw", coarse ? snapshot_cut(viewer, unit->peak_uw) : 0);
    json_out_kv_u64(&json, "quantum_uj", viewer->all ? 0 : viewer->quantum_uj);
    json_out_kv_string(&json, "method", batch->method);
    json_out_kv_string(&json, "idle_policy", batch->idle_policy);
    json_out_kv_string(&json, "activity", batch->activity.name);
    json_out_kv_string(&json, "tier", batch->activity.tier);
    snapshot_write_intensity(&json, batch);
    json_out_key(&json, "domains");
    json_out_array(&json);
    for (size_t d = 0; d < batch->n_domains; d++) {
        json_out_object(&json);
        snapshot_write_domain_identity(&json, &batch->domains[d]);
        json_out_object_end(&json);
    }
    json_out_array_end(&json);
    json_out_object_end(&json);
    return buf_error(out);
}
