/* SPDX-License-Identifier: Apache-2.0 */
/* See governor.h. */
#include "sinks/governor.h"

#include "base/json_out.h"

/* An address, or name and source. */
#define ID_MAX (DOMAIN_ADDRESS_MAX + DOMAIN_NAME_MAX + 32)

struct id {
    char text[ID_MAX];
};

/* As carbon-ops calls a domain: "package-0:intel-rapl:0", "package-0:msr". Where no such word is known, what it is and
 * how it is read. */
static struct id id_of(const struct domain *domain)
{
    struct id id;

    if (domain->address[0])
        snprintf(id.text, sizeof(id.text), "%s", domain->address);
    else
        snprintf(id.text, sizeof(id.text), "%s:%s", domain->name, domain->source);
    return id;
}

/* Which domains make up the whole with nothing twice: all kinds but GPUs, the host if `host`. */
static size_t choose(const struct meter_counters *counters, bool host, bool chosen[DOMAINS_MAX])
{
    struct domain domains[DOMAINS_MAX];
    size_t index[DOMAINS_MAX], n = 0, n_chosen = 0;

    for (size_t i = 0; i < counters->n; i++) {
        const struct domain *domain = counters->items[i].domain;

        chosen[i] = false;
        if (domain->kind == DOMAIN_GPU || (domain->kind == DOMAIN_HOST && !host))
            continue;
        domains[n] = *domain;
        index[n++] = i;
    }
    domains_mark_total(domains, n);
    for (size_t i = 0; i < n; i++) {
        chosen[index[i]] = domains[i].in_total && counters->items[index[i]].known;
        n_chosen += chosen[index[i]];
    }
    return n_chosen;
}

/* Packages and memory, psys where there is no package; the host where nothing inside it is known. */
static void choose_addends(const struct meter_counters *counters, bool chosen[DOMAINS_MAX])
{
    if (choose(counters, false, chosen) == 0)
        choose(counters, true, chosen);
}

static void put_map(struct json_out *json, const char *key, const struct meter_counters *counters, const bool *only,
                    size_t offset)
{
    json_out_key(json, key);
    json_out_object(json);
    for (size_t i = 0; i < counters->n; i++) {
        const struct meter_counter *item = &counters->items[i];
        uint64_t value;

        /* Never read is no figure: 0 would be one. */
        if (!item->known || (only && !only[i]))
            continue;
        memcpy(&value, (const char *)item + offset, sizeof(value));
        json_out_kv_u64(json, id_of(item->domain).text, value);
    }
    json_out_object_end(json);
}

static uint64_t package_total_uj(const struct meter_counters *counters, const bool *chosen)
{
    uint64_t sum_uj = 0;

    for (size_t i = 0; i < counters->n; i++)
        if (chosen[i] && counters->items[i].domain->kind == DOMAIN_PACKAGE)
            sum_uj += counters->items[i].total_uj;
    return sum_uj;
}

static enum quality worst_quality(const struct meter_counters *counters, const bool *chosen)
{
    enum quality worst = QUALITY_MEASURED;

    for (size_t i = 0; i < counters->n; i++)
        if (chosen[i])
            worst = quality_worse(worst, counters->items[i].domain->quality);
    return worst;
}

int governor_write_legacy(const struct meter_counters *counters, const char *epoch, struct buf *out)
{
    bool chosen[DOMAINS_MAX];
    struct json_out json;

    choose_addends(counters, chosen);
    json_out_init(&json, out);
    json_out_object(&json);
    json_out_kv_string(&json, "status", "ok");
    json_out_kv_double(&json, "timestamp", (double)counters->when.real_ns / (double)NS_PER_SEC);
    put_map(&json, "deltas_uj", counters, NULL, offsetof(struct meter_counter, step_uj));
    put_map(&json, "totals_uj", counters, NULL, offsetof(struct meter_counter, total_uj));
    put_map(&json, "counters_uj", counters, chosen, offsetof(struct meter_counter, total_uj));
    json_out_kv_u64(&json, "package_total_uj", package_total_uj(counters, chosen));
    json_out_kv_string(&json, "quality", quality_name(worst_quality(counters, chosen)));
    json_out_kv_string(&json, "epoch", epoch);
    json_out_object_end(&json);
    return buf_error(out);
}

int governor_write_warming_up(struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_out_object(&json);
    json_out_kv_string(&json, "status", "warming_up");
    json_out_object_end(&json);
    return buf_error(out);
}

static void put_counter(struct json_out *json, const struct meter_counter *item, bool chosen)
{
    const struct domain *domain = item->domain;

    json_out_object(json);
    json_out_kv_string(json, "name", domain->name);
    json_out_kv_string(json, "id", id_of(domain).text);
    json_out_kv_string(json, "kind", domain_kind_name(domain->kind));
    json_out_kv_string(json, "quality", quality_name(domain->quality));
    json_out_kv_string(json, "source", domain->source);
    json_out_kv_bool(json, "in_total", domain->in_total);
    json_out_kv_bool(json, "in_counters", chosen);
    json_out_kv_bool(json, "lasting", domain->lasting);
    json_out_key(json, "status");
    json_out_i64(json, item->status);
    if (item->known) {
        json_out_kv_u64(json, "run_uj", item->run_uj);
        json_out_kv_u64(json, "total_uj", item->total_uj);
        json_out_kv_u64(json, "bridged_uj", item->bridged_uj);
        json_out_kv_u64(json, "gaps", item->gaps);
        json_out_kv_u64(json, "since_real_ns", item->since_real_ns);
    }
    json_out_object_end(json);
}

int governor_write_counters(const struct meter_counters *counters, const struct governor_run *run, struct buf *out)
{
    bool chosen[DOMAINS_MAX];
    struct json_out json;

    choose_addends(counters, chosen);
    json_out_init(&json, out);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_string(&json, "status", "ok");
    json_out_kv_string(&json, "op", "counters");
    json_out_kv_string(&json, "epoch", run->epoch);
    json_out_kv_string(&json, "boot", run->boot);
    json_out_kv_u64(&json, "mono_ns", counters->when.mono_ns);
    json_out_kv_u64(&json, "boot_ns", counters->when.boot_ns);
    json_out_kv_u64(&json, "real_ns", counters->when.real_ns);
    json_out_key(&json, "domains");
    json_out_array(&json);
    for (size_t i = 0; i < counters->n; i++)
        put_counter(&json, &counters->items[i], chosen[i]);
    json_out_array_end(&json);
    json_out_object_end(&json);
    return buf_error(out);
}
