/* SPDX-License-Identifier: Apache-2.0 */
/* Files of calibrations into structs. The forms are told apart by a key that only one of them has. */
#include "model/calibration.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* Packages in a machine: the most that a machine of CPUS_MAX has, eight CPUs each, would be more than DOMAINS_MAX. */
#define SOCKETS_MAX (DOMAINS_MAX / 2)

/* Where we are in the file, for the sentence. */
struct place {
    const char *file;
    char key[96];
    struct carnot_err *err;
};

static int bad(const struct place *at, const char *what)
{
    return carnot_err_set(at->err, EINVAL, "%s: %s: %s", at->file, at->key, what);
}

static struct place at_key(const struct place *parent, const char *key)
{
    struct place at = *parent;

    snprintf(at.key, sizeof(at.key), "%.60s%s%.30s", parent->key, parent->key[0] ? "." : "", key);
    return at;
}

static struct place at_index(const struct place *parent, size_t i)
{
    struct place at = *parent;

    snprintf(at.key, sizeof(at.key), "%.60s[%zu]", parent->key, i);
    return at;
}

/* ---- values ---- */

/* Words go into sentences and on terminals: printable ASCII only. Absent or null is "". */
static int take_string(const struct place *parent, const json_t *object, const char *key, char *out, size_t size)
{
    const struct place at = at_key(parent, key);
    const json_t *value = json_object_get(object, key);
    const char *s = json_string_value(value);
    size_t len = json_string_length(value);

    if (!value || json_is_null(value)) {
        out[0] = '\0';
        return 0;
    }
    if (!s)
        return bad(&at, "not a text");
    if (len >= size)
        return bad(&at, "too long");
    for (size_t i = 0; i < len; i++)
        if (s[i] < ' ' || s[i] > '~')
            return bad(&at, "not printable ASCII");
    memcpy(out, s, len);
    out[len] = '\0';
    return 1;
}

/* A whole number within bounds. Absent or null: *out stays, 0. */
static int take_int(const struct place *parent, const json_t *object, const char *key, int64_t min, int64_t max,
                    int64_t *out)
{
    const struct place at = at_key(parent, key);
    const json_t *value = json_object_get(object, key);

    if (!value || json_is_null(value))
        return 0;
    if (!json_is_integer(value))
        return bad(&at, "not a whole number");
    if (json_integer_value(value) < min || json_integer_value(value) > max)
        return bad(&at, "out of bounds");
    *out = json_integer_value(value);
    return 1;
}

static int take_count(const struct place *parent, const json_t *object, const char *key, uint32_t *out)
{
    int64_t value = 0;
    int r = take_int(parent, object, key, 0, CPUS_MAX, &value);

    if (r > 0)
        *out = (uint32_t)value;
    return r;
}

static int watts(const struct place *at, const json_t *value, uint64_t *ret_uw)
{
    double w = json_number_value(value);

    if (!json_is_number(value))
        return bad(at, "not a number");
    if (!(w >= 0) || w * 1e6 > (double)CALIBRATION_MAX_UW)
        return bad(at, "no power in watts: below 0 or above 100 kW");
    *ret_uw = (uint64_t)llround(w * 1e6);
    return 0;
}

static int take_bool(const struct place *parent, const json_t *object, const char *key, bool *out)
{
    const struct place at = at_key(parent, key);
    const json_t *value = json_object_get(object, key);

    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return bad(&at, "neither true nor false");
    *out = json_is_true(value);
    return 1;
}

/* ---- our own form ---- */

static int take_kind(const struct place *parent, const json_t *object, enum domain_kind *out)
{
    const struct place at = at_key(parent, "kind");
    const char *name = json_string_value(json_object_get(object, "kind"));

    for (int kind = DOMAIN_PACKAGE; name && kind <= DOMAIN_REST; kind++) {
        if (strcmp(name, domain_kind_name((enum domain_kind)kind)) == 0) {
            *out = (enum domain_kind)kind;
            return 0;
        }
    }
    return bad(&at, "no kind of domain");
}

/* Absent: -1, as in struct domain. */
static int take_id(const struct place *parent, const json_t *object, const char *key, int *out)
{
    int64_t value = -1;
    int r = take_int(parent, object, key, -1, INT_MAX, &value);

    *out = (int)value;
    return r;
}

static int take_power(const struct place *parent, const json_t *object, const char *key, uint64_t *out)
{
    int64_t value = 0;
    int r = take_int(parent, object, key, 0, (int64_t)CALIBRATION_MAX_UW, &value);

    *out = (uint64_t)value;
    return r;
}

static int check_name(const struct place *parent, const struct calibration *calibration, const char *name)
{
    const struct place at = at_key(parent, "name");

    if (!name[0])
        return bad(&at, "missing");
    for (uint32_t i = 0; i < calibration->n_domains; i++)
        if (strcmp(calibration->domains[i].name, name) == 0)
            return bad(&at, "there twice");
    return 0;
}

/* Both told, and told to be not known: memory whose counter never moved. */
static bool told_unknown(const json_t *object)
{
    return json_is_null(json_object_get(object, "idle_uw")) && json_is_null(json_object_get(object, "loaded_uw"));
}

static int read_domain(const struct place *at, const json_t *object, struct calibration *calibration)
{
    struct calibration_domain domain = {.idle_busy_ppm = CALIBRATION_BUSY_UNKNOWN};
    int64_t busy_ppm = -1;
    int r;

    if (!json_is_object(object))
        return bad(at, "not an object");
    r = take_string(at, object, "name", domain.name, sizeof(domain.name));
    if (r >= 0)
        r = check_name(at, calibration, domain.name);
    if (r >= 0)
        r = take_string(at, object, "source", domain.source, sizeof(domain.source));
    if (r >= 0)
        r = take_kind(at, object, &domain.kind);
    if (r >= 0)
        r = take_id(at, object, "package", &domain.package);
    if (r >= 0)
        r = take_id(at, object, "die", &domain.die);
    if (r >= 0)
        r = take_id(at, object, "node", &domain.node);
    if (r >= 0)
        r = take_bool(at, object, "with_dram", &domain.with_dram);
    if (r >= 0)
        r = take_bool(at, object, "in_total", &domain.in_total);
    if (r >= 0)
        r = take_power(at, object, "idle_uw", &domain.idle_uw);
    if (r >= 0)
        r = take_power(at, object, "loaded_uw", &domain.loaded_uw);
    if (r >= 0)
        r = take_int(at, object, "idle_busy_ppm", 0, 1000000, &busy_ppm);
    if (r < 0)
        return r;
    if (r > 0)
        domain.idle_busy_ppm = (uint32_t)busy_ppm;
    if (domain.idle_uw == 0 && domain.loaded_uw == 0 && !told_unknown(object))
        return bad(at, "neither idle_uw nor loaded_uw");
    if (domain.kind == DOMAIN_PACKAGE && domain.loaded_uw && domain.loaded_uw < domain.idle_uw)
        return bad(at, "loaded_uw is less than idle_uw");
    calibration->domains[calibration->n_domains++] = domain;
    return 0;
}

static int take_duration(const struct place *parent, const json_t *object, const char *key, uint64_t *out)
{
    int64_t value = 0;
    int r = take_int(parent, object, key, 0, INT64_MAX, &value);

    *out = (uint64_t)value;
    return r;
}

static int read_version(const struct place *root, const json_t *object)
{
    const struct place at = at_key(root, "carnot_calibration");
    int64_t version = 0;
    int r = take_int(root, object, "carnot_calibration", 1, INT64_MAX, &version);

    if (r < 0)
        return r;
    if (version != CALIBRATION_VERSION)
        return bad(&at, "a version that this Carnot does not know; run `carnot calibrate` again");
    return 0;
}

static int read_carnot(const struct place *root, const json_t *object, struct calibration *calibration)
{
    const struct place at = at_key(root, "domains");
    const json_t *domains = json_object_get(object, "domains");
    size_t n = json_array_size(domains);
    int r = read_version(root, object);

    calibration->quality = QUALITY_MEASURED; /* nothing else is ever written in this form */
    if (r >= 0)
        r = take_string(root, object, "method", calibration->method, sizeof(calibration->method));
    if (r >= 0)
        r = take_string(root, object, "at", calibration->at, sizeof(calibration->at));
    if (r >= 0)
        r = take_string(root, object, "cpu_model", calibration->cpu_model, sizeof(calibration->cpu_model));
    if (r >= 0)
        r = take_count(root, object, "threads", &calibration->threads);
    if (r >= 0)
        r = take_count(root, object, "packages", &calibration->packages);
    if (r >= 0)
        r = take_count(root, object, "loaded_threads", &calibration->loaded_threads);
    if (r >= 0)
        r = take_duration(root, object, "idle_ns", &calibration->idle_ns);
    if (r >= 0)
        r = take_duration(root, object, "load_ns", &calibration->load_ns);
    if (r < 0)
        return r;
    if (!json_is_array(domains) || n == 0 || n > DOMAINS_MAX)
        return bad(&at, "not a list of domains");
    for (size_t i = 0; i < n; i++) {
        const struct place item = at_index(&at, i);

        r = read_domain(&item, json_array_get(domains, i), calibration);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- EnergAt's ---- */

/* The four keys; each is a list with one figure a socket. */
static const char *const energat_keys[] = {"pkg_base_w", "dram_base_w", "pkg_base_percents", "dram_base_percents"};
enum { PKG_W, DRAM_W, PKG_PERCENT, DRAM_PERCENT };

static int percent(const struct place *at, const json_t *value, uint32_t *ret_ppm)
{
    double p = json_number_value(value);

    if (!json_is_number(value) || !(p >= 0) || p > 100)
        return bad(at, "not a percentage");
    *ret_ppm = (uint32_t)lround(p * 1e4);
    return 0;
}

static int check_lists(const struct place *root, const json_t *const *lists)
{
    for (size_t k = 0; k < ELEMENTSOF(energat_keys); k++) {
        const struct place at = at_key(root, energat_keys[k]);
        size_t n = json_array_size(lists[k]);

        if (!json_is_array(lists[k]))
            return bad(&at, "not a list of figures, one a socket");
        if (n == 0 || n > SOCKETS_MAX)
            return bad(&at, "no figure, or more than a machine has sockets");
        if (n != json_array_size(lists[PKG_W]))
            return bad(&at, "not as long as pkg_base_w");
    }
    return 0;
}

/* One socket's package or memory. 0 W is what EnergAt writes where there is no counter: not known. */
static int read_socket(const struct place *root, const json_t *const *lists, int w_key, int percent_key, size_t socket,
                       struct calibration *calibration)
{
    const struct place list = at_key(root, energat_keys[w_key]), item = at_index(&list, socket);
    const struct place percents = at_key(root, energat_keys[percent_key]), share = at_index(&percents, socket);
    struct calibration_domain domain = {
        .kind = w_key == PKG_W ? DOMAIN_PACKAGE : DOMAIN_DRAM, .package = (int)socket, .die = -1, .node = -1};
    int r = watts(&item, json_array_get(lists[w_key], socket), &domain.idle_uw);

    if (r >= 0)
        r = percent(&share, json_array_get(lists[percent_key], socket), &domain.idle_busy_ppm);
    if (r < 0)
        return r;
    if (domain.idle_uw == 0 && w_key == PKG_W)
        return bad(&item, "0 W: nothing was measured");
    if (domain.idle_uw == 0)
        return 0;
    domain.in_total = true;
    snprintf(domain.name, sizeof(domain.name), "%s-%zu", domain_kind_name(domain.kind), socket);
    calibration->domains[calibration->n_domains++] = domain;
    return 0;
}

static int read_energat(const struct place *root, const json_t *object, struct calibration *calibration)
{
    const json_t *lists[ELEMENTSOF(energat_keys)];

    for (size_t k = 0; k < ELEMENTSOF(energat_keys); k++)
        lists[k] = json_object_get(object, energat_keys[k]);
    int r = check_lists(root, lists);
    if (r < 0)
        return r;
    calibration->quality = QUALITY_MEASURED; /* EnergAt has RAPL or nothing */
    calibration->packages = (uint32_t)json_array_size(lists[PKG_W]);
    for (size_t socket = 0; socket < calibration->packages && r >= 0; socket++) {
        r = read_socket(root, lists, PKG_W, PKG_PERCENT, socket, calibration);
        if (r >= 0)
            r = read_socket(root, lists, DRAM_W, DRAM_PERCENT, socket, calibration);
    }
    return r;
}

/* ---- Bio_pype's ---- */

/* "package-N" alone is that package. Anything else is added up already: a figure for all packages, memory in it where
 * the list names more than packages. */
static int name_node(const struct place *root, const json_t *names, struct calibration_domain *domain)
{
    const struct place at = at_key(root, "domains");
    size_t n = json_array_size(names);
    uint64_t package;

    if (names && !json_is_null(names) && !json_is_array(names))
        return bad(&at, "not a list of names");
    for (size_t i = 0; i < n; i++) {
        const struct place item = at_index(&at, i);
        const char *name = json_string_value(json_array_get(names, i));

        if (!name)
            return bad(&item, "not a text");
        bool is_package = text_starts(text_of(name), "package-");
        domain->with_dram |= !is_package;
        if (n == 1 && is_package && parse_u64(text_of(name + strlen("package-")), &package) == 0 && package <= INT_MAX)
            domain->package = (int)package;
    }
    if (domain->package < 0)
        snprintf(domain->name, sizeof(domain->name), "node");
    else
        snprintf(domain->name, sizeof(domain->name), "package-%d", domain->package);
    return 0;
}

static int read_bio_pype(const struct place *root, const json_t *object, struct calibration *calibration)
{
    const struct place idle = at_key(root, "idle_w"), loaded = at_key(root, "loaded_w"),
                       method = at_key(root, "method");
    struct calibration_domain domain = {
        .kind = DOMAIN_PACKAGE,
        .package = -1,
        .die = -1,
        .node = -1,
        .in_total = true,
        .idle_busy_ppm = CALIBRATION_BUSY_UNKNOWN,
    };
    int r = watts(&idle, json_object_get(object, "idle_w"), &domain.idle_uw);

    if (r >= 0)
        r = watts(&loaded, json_object_get(object, "loaded_w"), &domain.loaded_uw);
    if (r >= 0 && domain.idle_uw == 0)
        r = bad(&idle, "0 W: nothing was measured");
    if (r >= 0 && domain.loaded_uw < domain.idle_uw)
        r = bad(&loaded, "less than idle_w");
    if (r >= 0)
        r = take_string(root, object, "method", calibration->method, sizeof(calibration->method));
    if (r >= 0 && !calibration->method[0])
        r = bad(&method, "missing: \"rapl\" where it was measured, \"tdp\" where not");
    if (r >= 0)
        r = take_string(root, object, "at", calibration->at, sizeof(calibration->at));
    if (r >= 0)
        r = take_string(root, object, "cpu_model", calibration->cpu_model, sizeof(calibration->cpu_model));
    if (r >= 0)
        r = take_count(root, object, "n_threads", &calibration->threads);
    if (r >= 0)
        r = name_node(root, json_object_get(object, "domains"), &domain);
    if (r < 0)
        return r;
    calibration->quality = strcmp(calibration->method, "tdp") == 0 ? QUALITY_MODELLED : QUALITY_MEASURED;
    calibration->domains[calibration->n_domains++] = domain;
    return 0;
}

/* ---- all of them ---- */

static const struct form {
    const char *key;
    int (*read)(const struct place *root, const json_t *object, struct calibration *calibration);
} forms[] = {
    [CALIBRATION_CARNOT] = {"carnot_calibration", read_carnot},
    [CALIBRATION_ENERGAT] = {"pkg_base_w", read_energat},
    [CALIBRATION_BIO_PYPE] = {"idle_w", read_bio_pype},
};

/* What jansson says may quote the file. */
static void clean(char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~')
            *s = '?';
}

int calibration_parse(struct text text, const char *file, struct calibration *ret, struct carnot_err *err)
{
    const struct place root = {.file = file, .err = err};
    json_error_t where;

    if (text.n > CALIBRATION_FILE_MAX)
        return carnot_err_set(err, EINVAL, "%s is larger than any calibration (%u KiB)", file,
                              CALIBRATION_FILE_MAX >> 10);
    json_auto_t *object = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &where);
    if (!object) {
        clean(where.text);
        return carnot_err_set(err, EINVAL, "%s:%d: not JSON: %s", file, where.line, where.text);
    }
    for (size_t f = 0; f < ELEMENTSOF(forms); f++) {
        if (!json_object_get(object, forms[f].key))
            continue;
        _cleanup_free_ struct calibration *calibration = calloc(1, sizeof(*calibration));
        if (!calibration)
            return carnot_err_set(err, ENOMEM, "out of memory while reading %s", file);
        calibration->format = (enum calibration_format)f;
        int r = forms[f].read(&root, object, calibration);
        if (r < 0)
            return r;
        *ret = *calibration;
        return 0;
    }
    return carnot_err_set(err, EINVAL,
                          "%s is no calibration: it has none of the keys carnot_calibration (Carnot), pkg_base_w "
                          "(EnergAt), idle_w (Bio_pype)",
                          file);
}
