/* SPDX-License-Identifier: Apache-2.0 */
/* Calibrations as text, in each form that we read. */
#include "model/calibration.h"

#include <errno.h>

#include "base/json_out.h"
#include "model/quantity.h"

#define UW_DECIMALS 6

static void put_power(struct json_out *json, const char *key, uint64_t power_uw)
{
    json_out_key(json, key);
    if (power_uw)
        json_out_u64(json, power_uw);
    else
        json_out_null(json);
}

static void put_domain(const struct calibration_domain *domain, struct json_out *json)
{
    json_out_object(json);
    json_out_kv_string(json, "name", domain->name);
    json_out_kv_string(json, "kind", domain_kind_name(domain->kind));
    json_out_kv_string(json, "source", domain->source);
    json_out_key(json, "package");
    json_out_i64(json, domain->package);
    json_out_key(json, "die");
    json_out_i64(json, domain->die);
    json_out_key(json, "node");
    json_out_i64(json, domain->node);
    json_out_kv_bool(json, "with_dram", domain->with_dram);
    json_out_kv_bool(json, "in_total", domain->in_total);
    put_power(json, "idle_uw", domain->idle_uw);
    put_power(json, "loaded_uw", domain->loaded_uw);
    if (domain->idle_busy_ppm != CALIBRATION_BUSY_UNKNOWN)
        json_out_kv_u64(json, "idle_busy_ppm", domain->idle_busy_ppm);
    json_out_object_end(json);
}

static int put_carnot(const struct calibration *calibration, struct json_out *json, struct carnot_err *err)
{
    if (calibration->quality > QUALITY_DERIVED)
        return carnot_err_set(err, EINVAL, "figures of a model are no calibration");
    json_out_kv_u64(json, "carnot_calibration", CALIBRATION_VERSION);
    json_out_kv_string(json, "method", calibration->method);
    json_out_kv_string(json, "at", calibration->at);
    json_out_kv_string(json, "cpu_model", calibration->cpu_model);
    json_out_kv_u64(json, "threads", calibration->threads);
    json_out_kv_u64(json, "packages", calibration->packages);
    json_out_kv_u64(json, "loaded_threads", calibration->loaded_threads);
    json_out_kv_u64(json, "idle_ns", calibration->idle_ns);
    json_out_kv_u64(json, "load_ns", calibration->load_ns);
    json_out_key(json, "domains");
    json_out_array(json);
    for (uint32_t i = 0; i < calibration->n_domains; i++)
        put_domain(&calibration->domains[i], json);
    json_out_array_end(json);
    return 0;
}

/* ---- EnergAt's: lists by socket ---- */

/* The package id next above `above`, -1 when there is none: sockets are counted in the order of their ids. */
static int next_package(const struct calibration *calibration, int above)
{
    int next = -1;

    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        const struct calibration_domain *domain = &calibration->domains[i];

        if (domain->kind == DOMAIN_PACKAGE && domain->package > above && (next < 0 || domain->package < next))
            next = domain->package;
    }
    return next;
}

struct socket_sum {
    uint64_t idle_uw;
    uint32_t busy_ppm; /* of the last of its parts: dies are one package, and told alike */
};

/* Of one source; with dies of their own, all of them. */
static struct socket_sum sum_socket(const struct calibration *calibration, enum domain_kind kind, int package)
{
    const char *source = NULL;
    struct socket_sum sum = {0};

    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        const struct calibration_domain *domain = &calibration->domains[i];

        if (domain->kind != kind || domain->package != package)
            continue;
        if (source && strcmp(source, domain->source) != 0)
            continue;
        source = domain->source;
        sum.idle_uw += domain->idle_uw;
        if (domain->idle_busy_ppm != CALIBRATION_BUSY_UNKNOWN)
            sum.busy_ppm = domain->idle_busy_ppm;
    }
    return sum;
}

static void put_list(const struct calibration *calibration, const char *key, enum domain_kind kind, bool percents,
                     struct json_out *json)
{
    json_out_key(json, key);
    json_out_array(json);
    for (int package = next_package(calibration, -1); package >= 0; package = next_package(calibration, package)) {
        struct socket_sum sum = sum_socket(calibration, kind, package);

        json_out_fixed(json, percents ? sum.busy_ppm : sum.idle_uw, percents ? 4 : UW_DECIMALS);
    }
    json_out_array_end(json);
}

static int put_energat(const struct calibration *calibration, struct json_out *json, struct carnot_err *err)
{
    if (next_package(calibration, -1) < 0)
        return carnot_err_set(err, EINVAL,
                              "EnergAt's form has idle power by socket, and no counter here tells that of a single "
                              "package; use --format carnot");
    if (calibration->quality > QUALITY_DERIVED)
        return carnot_err_set(err, EINVAL, "figures of a model are no baseline");
    put_list(calibration, "pkg_base_w", DOMAIN_PACKAGE, false, json);
    put_list(calibration, "dram_base_w", DOMAIN_DRAM, false, json);
    put_list(calibration, "pkg_base_percents", DOMAIN_PACKAGE, true, json);
    put_list(calibration, "dram_base_percents", DOMAIN_DRAM, true, json);
    return 0;
}

/* ---- Bio_pype's: the node ---- */

static int put_bio_pype(const struct calibration *calibration, struct json_out *json, struct carnot_err *err)
{
    uint64_t idle_uw, loaded_uw, ns;

    calibration_node(calibration, &idle_uw, &loaded_uw);
    if (idle_uw == 0 || loaded_uw == 0)
        return carnot_err_set(err, EINVAL,
                              "Bio_pype's form needs both idle and loaded power, and %s power of the node is not known",
                              idle_uw ? "loaded" : "idle");
    json_out_key(json, "idle_w");
    json_out_fixed(json, idle_uw, UW_DECIMALS);
    json_out_key(json, "loaded_w");
    json_out_fixed(json, loaded_uw, UW_DECIMALS);
    json_out_kv_string(json, "method", calibration->method);
    json_out_kv_string(json, "quality", quality_name(calibration->quality));
    json_out_key(json, "domains");
    json_out_array(json);
    for (uint32_t i = 0; i < calibration->n_domains; i++)
        if (calibration->domains[i].in_total)
            json_out_string(json, calibration->domains[i].name);
    json_out_array_end(json);
    json_out_key(json, "duration_s");
    if (__builtin_add_overflow(calibration->idle_ns, calibration->load_ns, &ns))
        ns = UINT64_MAX;
    json_out_fixed(json, ns / 1000000, 3);
    json_out_kv_string(json, "cpu_model", calibration->cpu_model);
    json_out_kv_u64(json, "n_threads", calibration->threads);
    json_out_kv_string(json, "at", calibration->at);
    return 0;
}

int calibration_write(const struct calibration *calibration, enum calibration_format format, struct buf *out,
                      struct carnot_err *err)
{
    static int (*const writers[])(const struct calibration *, struct json_out *, struct carnot_err *) = {
        [CALIBRATION_CARNOT] = put_carnot,
        [CALIBRATION_ENERGAT] = put_energat,
        [CALIBRATION_BIO_PYPE] = put_bio_pype,
    };
    struct json_out json;

    json_out_init(&json, out);
    json_out_object(&json);
    int r = writers[format](calibration, &json, err);
    if (r < 0)
        return r; /* `out` holds a beginning, which is the caller's to drop */
    json_out_object_end(&json);
    buf_putc(out, '\n');
    return buf_error(out) < 0 ? carnot_err_errno(err, -buf_error(out), "cannot write a calibration") : 0;
}
