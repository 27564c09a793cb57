/* SPDX-License-Identifier: Apache-2.0 */
/* See figures.h. Strict about shapes, lenient about keys it does not know, so that a newer agent still serves programs
 * built earlier. */
#include "lib/figures.h"

#include <errno.h>
#include <jansson.h>

static int bad(struct carnot_err *err, const char *what)
{
    return carnot_err_set(err, EPROTO,
                          "the agent's answer is not what this library understands (%s); are carnotd and libcarnot of "
                          "one version?",
                          what);
}

static bool get_u64(const json_t *object, const char *key, uint64_t *ret)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

/* Printable ASCII that fits, and not empty: it goes to the program as it is. */
static bool get_word(const json_t *object, const char *key, char *out, size_t room)
{
    const json_t *value = json_object_get(object, key);
    const char *s = json_string_value(value);
    size_t n = json_string_length(value);

    if (!s || n == 0 || n >= room)
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] < ' ' || s[i] > '~')
            return false;
    memcpy(out, s, n + 1);
    return true;
}

/* Counters beyond this are no energy of a machine (290,000 years at 1 kW); sums of all domains then cannot overflow. */
#define ENERGY_MAX_UJ (INT64_MAX / DOMAINS_MAX)

static bool get_energies(const json_t *unit, const char *key, size_t n, uint64_t *out)
{
    const json_t *array = json_object_get(unit, key);

    if (!json_is_array(array) || json_array_size(array) != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(array, i);

        if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > ENERGY_MAX_UJ)
            return false;
        out[i] = (uint64_t)json_integer_value(value);
    }
    return true;
}

static bool get_domain(const json_t *object, struct figures *out)
{
    struct figures_domain *domain = &out->domains[out->n_domains];
    const char *quality = json_string_value(json_object_get(object, "quality"));

    *domain = (struct figures_domain){.quality = QUALITY_DEFAULT};
    if (!json_is_object(object) || !quality || !get_word(object, "name", domain->name, sizeof domain->name) ||
        !get_word(object, "kind", domain->kind, sizeof domain->kind))
        return false;
    for (int q = QUALITY_MEASURED; q <= QUALITY_DEFAULT; q++)
        if (strcmp(quality, quality_name((enum quality)q)) == 0)
            domain->quality = (enum quality)q;
    domain->in_total = json_is_true(json_object_get(object, "in_total"));
    for (size_t i = 0; i < out->n_domains; i++)
        if (strcmp(out->domains[i].name, domain->name) == 0)
            return false;
    out->n_domains++;
    return true;
}

static bool get_domains(const json_t *root, struct figures *out)
{
    const json_t *domains = json_object_get(root, "domains");
    size_t n = json_array_size(domains);

    if (!json_is_array(domains) || n > DOMAINS_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!get_domain(json_array_get(domains, i), out))
            return false;
    return true;
}

static const json_t *find_unit(const json_t *units)
{
    const json_t *best = NULL;
    uint64_t best_id = 0;

    for (size_t i = 0; i < json_array_size(units); i++) {
        const json_t *unit = json_array_get(units, i);
        uint64_t id;

        if (json_is_true(json_object_get(unit, "ended")) || !get_u64(unit, "id", &id) || id > UINT32_MAX)
            continue;
        if (!best || id > best_id) {
            best = unit;
            best_id = id;
        }
    }
    return best;
}

static bool get_unit(const json_t *root, struct figures *out)
{
    const json_t *units = json_object_get(root, "units");
    const json_t *unit = find_unit(units);

    if (!json_is_array(units))
        return false;
    if (!unit)
        return true;
    out->seen = true;
    out->id = (uint32_t)json_integer_value(json_object_get(unit, "id"));
    return get_u64(unit, "cpu_ns", &out->cpu_ns) && get_u64(unit, "window_cpu_ns", &out->window_cpu_ns) &&
           get_energies(unit, "energy_uj", out->n_domains, out->energy_uj) &&
           get_energies(unit, "window_uj", out->n_domains, out->window_uj);
}

static int refused(const json_t *root, struct carnot_err *err)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {{"EAGAIN", EAGAIN}, {"EACCES", EACCES}, {"EPERM", EPERM}, {"EINVAL", EINVAL}};
    const char *name = json_string_value(json_object_get(root, "error"));
    char message[256] = "it did not say why";
    int code = EPROTO;

    (void)get_word(root, "message", message, sizeof message); /* else left as it is */

    for (size_t i = 0; name && i < ELEMENTSOF(codes); i++)
        if (strcmp(name, codes[i].name) == 0)
            code = codes[i].code;
    return carnot_err_set(err, code, "the agent refused: %s", message);
}

int figures_parse(struct text answer, struct figures *out, struct carnot_err *err)
{
    json_error_t where;
    json_auto_t *root = json_loadb(answer.p, answer.n, JSON_REJECT_DUPLICATES, &where);
    const char *status = json_string_value(json_object_get(root, "status"));
    const char *op = json_string_value(json_object_get(root, "op"));

    if (!json_is_object(root) || !status)
        return bad(err, "no object with a status");
    if (strcmp(status, "ok") != 0)
        return refused(root, err);
    if (!op || strcmp(op, "process") != 0)
        return bad(err, "another request's answer");

    memset(out, 0, sizeof *out);
    if (!get_word(root, "epoch", out->epoch, sizeof out->epoch) || !get_u64(root, "quantum_uj", &out->quantum_uj) ||
        !get_u64(root, "slot_ns", &out->slot_ns) || !get_u64(root, "end_mono_ns", &out->end_mono_ns) ||
        !get_u64(root, "window_ns", &out->window_ns) || out->quantum_uj > ENERGY_MAX_UJ ||
        out->window_ns > out->end_mono_ns)
        return bad(err, "its head");
    if (!get_domains(root, out))
        return bad(err, "its domains");
    return get_unit(root, out) ? 0 : bad(err, "its figures");
}
