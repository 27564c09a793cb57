/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshot JSON to struct view. The only file of the command line that knows jansson.
 *
 * Strict about shapes (a negative energy, an array of the wrong length, a string where a number belongs: -EPROTO),
 * lenient about keys: unknown ones are ignored, so that a newer agent still speaks to an older command. */
#include "cli/view.h"

#include "model/quantity.h"

#include <errno.h>
#include <jansson.h>

#include "base/buf.h"
#include "cli/text.h"

/* A view of all 200,000 units is about 100 MB; a text that needs more is not from us. */
#define VIEW_ARENA_MAX (256U << 20)

/* errno names that answers carry. */
static const struct {
    const char *name;
    int code;
} error_names[] = {
    {"EACCES", EACCES}, {"EAGAIN", EAGAIN},   {"EBUSY", EBUSY},   {"E2BIG", E2BIG},   {"EINVAL", EINVAL},
    {"EIO", EIO},       {"ENODATA", ENODATA}, {"ENODEV", ENODEV}, {"ENOENT", ENOENT}, {"ENOMEM", ENOMEM},
    {"EPERM", EPERM},   {"EPROTO", EPROTO},   {"ENOSPC", ENOSPC}, {"ESRCH", ESRCH},   {"EOPNOTSUPP", EOPNOTSUPP},
};

static int bad(struct carnot_err *err, const char *what)
{
    return carnot_err_set(
        err, EPROTO, "the answer is not what docs/PROTOCOL.md says (%s); are agent and command of one version?", what);
}

static const char *clean_string(struct view *view, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const char *s = json_string_value(value);
    char *copy;

    if (!s)
        return "";
    copy = arena_strndup(&view->arena, s, json_string_length(value));
    if (!copy)
        return NULL;
    text_clean(copy);
    return copy;
}

/* An absent number is 0; one that is negative or no integer is refused. */
static int get_u64(const json_t *object, const char *key, uint64_t *ret)
{
    const json_t *value = json_object_get(object, key);

    if (!value || json_is_null(value)) {
        *ret = 0;
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return -EPROTO;
    *ret = (uint64_t)json_integer_value(value);
    return 1;
}

static int get_u32(const json_t *object, const char *key, uint32_t *ret)
{
    uint64_t value;
    int r = get_u64(object, key, &value);

    if (r < 0 || value > UINT32_MAX)
        return -EPROTO;
    *ret = (uint32_t)value;
    return r;
}

static bool get_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static enum quality get_quality(const json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "quality"));

    for (int q = QUALITY_MEASURED; name && q <= QUALITY_DEFAULT; q++)
        if (!strcmp(name, quality_name((enum quality)q)))
            return (enum quality)q;
    return QUALITY_DEFAULT; /* unknown words promise nothing */
}

static int load(const char *text, size_t len, json_t **ret_root, struct carnot_err *err)
{
    json_error_t where;
    json_auto_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    const char *status;

    if (!root) {
        text_clean(where.text);
        return carnot_err_set(err, EPROTO, "the answer is not JSON: %s at byte %d", where.text, where.position);
    }
    if (!json_is_object(root))
        return bad(err, "no object");
    status = json_string_value(json_object_get(root, "status"));
    if (!status)
        return bad(err, "no status");
    if (strcmp(status, "ok") != 0) {
        const char *name = json_string_value(json_object_get(root, "error"));
        const char *said = json_string_value(json_object_get(root, "message"));
        char message[CARNOT_ERR_MSG_MAX];
        int code = EPROTO;

        for (size_t i = 0; name && i < ELEMENTSOF(error_names); i++)
            if (!strcmp(name, error_names[i].name))
                code = error_names[i].code;
        snprintf(message, sizeof(message), "%s", said ? said : "the agent refused and did not say why");
        text_clean(message);
        return carnot_err_set(err, code, "%s", message);
    }
    *ret_root = TAKE_PTR(root);
    return 0;
}

static int parse_entities(const json_t *domain, struct view_domain *d)
{
    const json_t *entities = json_object_get(domain, "entities");

    for (int e = 0; e < ENTITIES; e++) {
        const json_t *entity = json_object_get(entities, entity_name((enum entity)e));

        if (get_u64(entity, "energy_uj", &d->entity_uj[e]) < 0 ||
            get_u64(entity, "window_uj", &d->entity_window_uj[e]) < 0)
            return -EPROTO;
    }
    return 0;
}

static int parse_domain(struct view *view, const json_t *domain, struct view_domain *d)
{
    const json_t *status = json_object_get(domain, "status");
    int has;

    if (!json_is_object(domain))
        return -EPROTO;
    d->name = clean_string(view, domain, "name");
    d->kind = clean_string(view, domain, "kind");
    d->source = clean_string(view, domain, "source");
    if (!d->name || !d->kind || !d->source)
        return -ENOMEM;
    d->quality = get_quality(domain);
    d->in_total = get_bool(domain, "in_total");
    d->status = json_is_integer(status) ? (int)json_integer_value(status) : 0;
    has = get_u64(domain, "energy_uj", &d->energy_uj);
    if (has < 0 || get_u64(domain, "window_uj", &d->window_uj) < 0 || get_u64(domain, "peak_uw", &d->peak_uw) < 0)
        return -EPROTO;
    int has_span = get_u64(domain, "span_ns", &d->span_ns);
    if (has_span < 0)
        return -EPROTO;
    if (has_span == 0)
        d->span_ns = view->window_ns;
    d->has_energy = has > 0;
    return parse_entities(domain, d);
}

static int parse_domains(struct view *view, const json_t *root)
{
    const json_t *domains = json_object_get(root, "domains");
    size_t n = json_array_size(domains);
    bool any_total = false;

    if (!json_is_array(domains) || n > DOMAINS_MAX)
        return -EPROTO;
    view->domains = arena_alloc_array(&view->arena, n, sizeof(*view->domains));
    if (!view->domains)
        return -ENOMEM;
    view->n_domains = n;
    for (size_t i = 0; i < n; i++) {
        int r = parse_domain(view, json_array_get(domains, i), &view->domains[i]);

        if (r < 0)
            return r;
        any_total |= view->domains[i].in_total;
    }
    for (size_t i = 0; i < n; i++) {
        const struct view_domain *d = &view->domains[i];

        if (!d->in_total || !d->has_energy)
            continue;
        view->has_energy = true;
        view->total_energy_uj = saturating_add(view->total_energy_uj, d->energy_uj);
        view->total_window_uj = saturating_add(view->total_window_uj, d->window_uj);
        for (int e = 0; e < ENTITIES; e++) {
            view->total_entity_uj[e] = saturating_add(view->total_entity_uj[e], d->entity_uj[e]);
            view->total_entity_window_uj[e] = saturating_add(view->total_entity_window_uj[e], d->entity_window_uj[e]);
        }
    }
    /* Domains, but none of them makes up the node: the sums below would silently be nothing. */
    return n > 0 && !any_total ? -EPROTO : 0;
}

/* One value per domain; absent is all zero. */
static int parse_values(struct view *view, const json_t *object, const char *key, const uint64_t **ret,
                        uint64_t *ret_total)
{
    const json_t *array = json_object_get(object, key);
    uint64_t *values = arena_alloc_array(&view->arena, view->n_domains, sizeof(*values));
    uint64_t total = 0;

    if (!values)
        return -ENOMEM;
    if (array) {
        if (json_array_size(array) != view->n_domains)
            return -EPROTO;
        for (size_t i = 0; i < view->n_domains; i++) {
            const json_t *value = json_array_get(array, i);

            if (!json_is_integer(value) || json_integer_value(value) < 0)
                return -EPROTO;
            values[i] = (uint64_t)json_integer_value(value);
            if (view->domains[i].in_total)
                total = saturating_add(total, values[i]);
        }
    }
    *ret = values;
    *ret_total = total;
    return 0;
}

static int parse_kind(const json_t *unit, enum unit_kind *ret)
{
    const char *name = json_string_value(json_object_get(unit, "kind"));

    for (int k = 0; name && k < UNIT_KINDS; k++) {
        if (!strcmp(name, unit_kind_name((enum unit_kind)k))) {
            *ret = (enum unit_kind)k;
            return 0;
        }
    }
    return -ENOENT;
}

static int parse_unit(struct view *view, const json_t *unit, struct view_unit *u)
{
    int r, has_uid;

    u->uid = UINT32_MAX;
    has_uid = get_u32(unit, "uid", &u->uid);
    if (has_uid == 0)
        u->uid = UINT32_MAX;
    if (has_uid < 0 || get_u32(unit, "id", &u->id) < 0 || get_u32(unit, "pid", &u->pid) < 0 ||
        get_u64(unit, "start_real_ns", &u->start_real_ns) < 0 || get_u64(unit, "cpu_ns", &u->cpu_ns) < 0 ||
        get_u64(unit, "window_cpu_ns", &u->window_cpu_ns) < 0)
        return -EPROTO;
    u->ended = get_bool(unit, "ended");
    u->aggregate = get_bool(unit, "aggregate");
    u->name = clean_string(view, unit, "name");
    u->manager = clean_string(view, unit, "manager");
    u->type = clean_string(view, unit, "type");
    u->path = clean_string(view, unit, u->kind == UNIT_CGROUP ? "path" : "cgroup");
    if (!u->name || !u->manager || !u->type || !u->path)
        return -ENOMEM;
    r = parse_values(view, unit, "energy_uj", &u->energy_uj, &u->total_energy_uj);
    if (r >= 0)
        r = parse_values(view, unit, "window_uj", &u->window_uj, &u->total_window_uj);
    return r;
}

static int parse_units(struct view *view, const json_t *root)
{
    const json_t *units = json_object_get(root, "units");
    size_t n = json_array_size(units);

    if (!json_is_array(units) || n > VIEW_UNITS_MAX)
        return -EPROTO;
    view->units = arena_alloc_array(&view->arena, n, sizeof(*view->units));
    if (!view->units)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const json_t *unit = json_array_get(units, i);
        struct view_unit *u = &view->units[view->n_units];
        int r;

        if (!json_is_object(unit))
            return -EPROTO;
        if (parse_kind(unit, &u->kind) < 0)
            continue; /* a kind that this version does not know */
        r = parse_unit(view, unit, u);
        if (r < 0)
            return r;
        view->n_units++;
    }
    return 0;
}

/* A session answer is the description of one unit at the top. */
static int parse_session(struct view *view, const json_t *root)
{
    struct view_unit *u = arena_alloc(&view->arena, sizeof(*u));

    if (!u)
        return -ENOMEM;
    if (get_u64(root, "peak_uw", &view->session_peak_uw) < 0 || get_u32(root, "session", &u->id) < 0)
        return -EPROTO;
    view->units = u;
    view->n_units = 1;
    u->kind = UNIT_SESSION;
    u->uid = UINT32_MAX;
    u->start_real_ns = view->begin_real_ns;
    u->name = clean_string(view, root, "label");
    u->manager = u->type = u->path = "";
    if (!u->name)
        return -ENOMEM;
    if (get_u64(root, "cpu_ns", &u->cpu_ns) < 0)
        return -EPROTO;
    u->window_cpu_ns = 0;
    int r = parse_values(view, root, "energy_uj", &u->energy_uj, &u->total_energy_uj);
    if (r < 0)
        return r;
    uint64_t ignored;
    return parse_values(view, root, "window_uj", &u->window_uj, &ignored);
}

static int parse_intensity(struct view *view, const json_t *root)
{
    const json_t *intensity = json_object_get(root, "intensity");
    struct view_intensity *in = &view->intensity;
    int has = get_u64(intensity, "mg_kwh", &in->mg_kwh);

    if (has < 0)
        return -EPROTO;
    in->known = has > 0;
    in->quality = get_quality(intensity);
    in->zone = clean_string(view, intensity, "zone");
    in->source = clean_string(view, intensity, "source");
    in->chosen_by = clean_string(view, intensity, "chosen_by");
    return in->zone && in->source && in->chosen_by ? 0 : -ENOMEM;
}

static int parse_head(struct view *view, const json_t *root)
{
    static const struct {
        const char *key;
        size_t offset;
    } numbers[] = {
        {"seq", offsetof(struct view, seq)},
        {"quantum_uj", offsetof(struct view, quantum_uj)},
        {"slot_ns", offsetof(struct view, slot_ns)},
        {"begin_real_ns", offsetof(struct view, begin_real_ns)},
        {"end_real_ns", offsetof(struct view, end_real_ns)},
        {"end_mono_ns", offsetof(struct view, end_mono_ns)},
        {"window_ns", offsetof(struct view, window_ns)},
        {"truncated", offsetof(struct view, truncated)},
    };
    static const struct {
        const char *key;
        size_t offset;
    } strings[] = {
        {"epoch", offsetof(struct view, epoch)},
        {"method", offsetof(struct view, method)},
        {"idle_policy", offsetof(struct view, idle_policy)},
        {"activity", offsetof(struct view, activity)},
        {"tier", offsetof(struct view, tier)},
    };
    const char *who = json_string_value(json_object_get(root, "view"));

    for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
        if (get_u64(root, numbers[i].key, (uint64_t *)(void *)((char *)view + numbers[i].offset)) < 0)
            return -EPROTO;
    for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
        const char *s = clean_string(view, root, strings[i].key);

        if (!s)
            return -ENOMEM;
        *(const char **)(void *)((char *)view + strings[i].offset) = s;
    }
    view->all = who && !strcmp(who, "all");
    return 0;
}

int view_parse(const char *text, size_t len, struct view **ret_view, struct carnot_err *err)
{
    json_auto_t *root = NULL;
    _cleanup_view_ struct view *view = NULL;
    const char *what = "its head";
    int r = load(text, len, &root, err);

    if (r < 0)
        return r;
    view = calloc(1, sizeof(*view));
    if (!view)
        return carnot_err_set(err, ENOMEM, "out of memory");
    arena_init(&view->arena, VIEW_ARENA_MAX);

    r = parse_head(view, root);
    if (r >= 0) {
        what = "intensity";
        r = parse_intensity(view, root);
    }
    if (r >= 0) {
        what = "domains";
        r = parse_domains(view, root);
    }
    if (r >= 0 && json_object_get(root, "units")) {
        what = "units";
        r = parse_units(view, root);
    } else if (r >= 0) {
        what = "session";
        r = json_is_integer(json_object_get(root, "session")) ? parse_session(view, root) : -EPROTO;
    }
    if (r == -ENOMEM)
        return carnot_err_set(err, ENOMEM, "out of memory for an answer of %zu bytes", len);
    if (r < 0)
        return bad(err, what);
    *ret_view = TAKE_PTR(view);
    return 0;
}

struct view *view_free(struct view *view)
{
    if (!view)
        return NULL;
    arena_done(&view->arena);
    free(view);
    return NULL;
}

int view_set_intensity(struct view *view, uint64_t mg_kwh, const char *zone, const char *source, const char *chosen_by,
                       enum quality quality)
{
    struct view_intensity in = {
        .known = true,
        .mg_kwh = mg_kwh,
        .quality = quality,
        .zone = arena_strdup(&view->arena, zone),
        .source = arena_strdup(&view->arena, source),
        .chosen_by = arena_strdup(&view->arena, chosen_by),
    };

    if (!in.zone || !in.source || !in.chosen_by)
        return -ENOMEM;
    view->intensity = in;
    return 0;
}

int view_parse_session_begin(const char *text, size_t len, uint32_t *ret_session, struct carnot_err *err)
{
    json_auto_t *root = NULL;
    uint32_t session;
    int r = load(text, len, &root, err);

    if (r < 0)
        return r;
    if (get_u32(root, "session", &session) <= 0 || session == 0)
        return bad(err, "no session number");
    *ret_session = session;
    return 0;
}

enum quality view_quality(const struct view *view)
{
    enum quality worst = QUALITY_MEASURED;

    if (view->n_domains == 0)
        return QUALITY_DEFAULT;
    for (size_t i = 0; i < view->n_domains; i++)
        if (view->domains[i].in_total)
            worst = quality_worse(worst, view->domains[i].quality);
    return worst;
}

void view_sources(const struct view *view, struct buf *out)
{
    bool first = true;

    for (size_t i = 0; i < view->n_domains; i++) {
        const struct view_domain *d = &view->domains[i];
        bool seen = !d->in_total || d->source[0] == '\0';

        for (size_t j = 0; j < i && !seen; j++)
            seen = view->domains[j].in_total && !strcmp(view->domains[j].source, d->source);
        if (seen)
            continue;
        if (!first)
            buf_puts(out, ", ");
        buf_puts(out, d->source);
        first = false;
    }
}

uint64_t view_node_power_uw(const struct view *view)
{
    uint64_t sum_uw = 0;

    for (size_t i = 0; i < view->n_domains; i++)
        if (view->domains[i].in_total && view->domains[i].has_energy)
            sum_uw = saturating_add(sum_uw, power_uw(view->domains[i].window_uj, view->domains[i].span_ns));
    return sum_uw;
}
