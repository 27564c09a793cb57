/* SPDX-License-Identifier: Apache-2.0 */
/* See redfish_json.h. Names and units: DMTF DSP0266 (the protocol) and DSP2046 (the resources). */
#include "sources/redfish_json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "model/quantity.h"

/* 2^62: what lies beyond is no counter, and sums of two still fit. */
#define ENERGY_MAX_UJ (1ULL << 62)

/* Decimals that a number of kWh is tried with: 10^-7 kWh is 0.36 J, finer than any BMC. */
#define KWH_DECIMALS_MAX 7

#define CONTROLS_MAX 32 /* PowerControl entries that count; real ones have one to a dozen */

/* --- text and links --------------------------------------------------------------------------------------------- */

static bool is_path_char(char c)
{
    return c > ' ' && c <= '~' && !strchr("\"#<>\\^`{|}", c);
}

static bool has_dot_segment(struct text path)
{
    struct text part;

    while (scan_until(&path, '/', &part))
        if (text_is(part, ".") || text_is(part, ".."))
            return true;
    return false;
}

bool redfish_path_is_sane(struct text path)
{
    const char *query = memchr(path.p, '?', path.n);
    struct text plain = {path.p, query ? (size_t)(query - path.p) : path.n};

    if (path.n >= REDFISH_PATH_MAX || !text_starts(path, "/redfish/"))
        return false;
    for (size_t i = 0; i < path.n; i++) {
        if (!is_path_char(path.p[i]))
            return false;
        /* An escaped dot or slash has no business in a path that its own server wrote. */
        if (i + 2 < plain.n && path.p[i] == '%' && path.p[i + 1] == '2' && strchr("eEfF", path.p[i + 2]))
            return false;
        if (i > 0 && i < plain.n && path.p[i] == '/' && path.p[i - 1] == '/')
            return false;
    }
    return !has_dot_segment(plain);
}

static struct text string_of(const json_t *value)
{
    return json_is_string(value) ? (struct text){json_string_value(value), json_string_length(value)}
                                 : (struct text){"", 0};
}

static void copy_path(struct text path, redfish_path *ret)
{
    size_t n = redfish_path_is_sane(path) ? path.n : 0;

    memcpy(*ret, path.p, n);
    (*ret)[n] = '\0';
}

/* What is shown: printing ASCII, cut to the room there is. */
static void copy_shown(struct text t, char *out, size_t size)
{
    size_t n = min_size(t.n, size - 1);

    for (size_t i = 0; i < n; i++)
        out[i] = t.p[i] >= ' ' && t.p[i] <= '~' ? t.p[i] : '?';
    out[n] = '\0';
}

/* {"KEY": {"@odata.id": PATH}} */
static void copy_link(const json_t *object, const char *key, redfish_path *ret)
{
    copy_path(string_of(json_object_get(json_object_get(object, key), "@odata.id")), ret);
}

static int load(struct text t, const char *what, json_t **ret_object, struct carnot_err *err)
{
    json_error_t where;

    if (t.n > REDFISH_BODY_MAX)
        return carnot_err_set(err, E2BIG, "%s is larger than the %u bytes that are read", what, REDFISH_BODY_MAX);
    json_auto_t *object = json_loadb(t.p ? t.p : "", t.n, JSON_REJECT_DUPLICATES, &where);
    if (!object) {
        char said[sizeof(where.text)];
        copy_shown(text_of(where.text), said, sizeof(said));
        return carnot_err_set(err, EPROTO, "%s is no valid JSON: %.120s, at byte %d; update the BMC's firmware", what,
                              said, where.position);
    }
    if (!json_is_object(object))
        return carnot_err_set(err, EPROTO, "%s is no JSON object; update the BMC's firmware", what);
    *ret_object = TAKE_PTR(object);
    return 0;
}

/* --- numbers ---------------------------------------------------------------------------------------------------- */

/* value * factor, rounded, if it is a number from 0 to max. A real has 53 bits, so that of 10^9 J a thousandth is still
 * told apart. */
static int scaled(const json_t *number, uint64_t factor, uint64_t max, uint64_t *ret)
{
    if (!number || json_is_null(number))
        return -ENODATA;
    if (json_is_integer(number)) {
        json_int_t value = json_integer_value(number);
        uint64_t product;

        if (value < 0 || __builtin_mul_overflow((uint64_t)value, factor, &product) || product > max)
            return -ERANGE;
        *ret = product;
        return 0;
    }
    if (!json_is_real(number))
        return -EPROTO;
    double value = json_real_value(number) * (double)factor;
    if (!(value >= 0) || value > (double)max)
        return -ERANGE;
    *ret = (uint64_t)llround(value);
    return 0;
}

static int read_watts(const json_t *number, uint64_t *ret_uw)
{
    return scaled(number, 1000000, REDFISH_MAX_UW, ret_uw);
}

/* 12 may count whole kWh, 12.5 tenths, 12.503 thousandths: it is as coarse as it looks. */
static uint64_t kwh_step_uj(const json_t *number)
{
    double value = json_number_value(number), power = 1;
    unsigned decimals = 0;

    /* 1e-6: far above the rounding of a double below 10^9, far below a digit. */
    while (decimals < KWH_DECIMALS_MAX && fabs(value * power - round(value * power)) > 1e-6) {
        power *= 10;
        decimals++;
    }
    return (uint64_t)llround((double)UJ_PER_KWH / power);
}

static const struct {
    const char *name;
    uint64_t factor, max;
    const char *units[3]; /* of a sensor: UCUM, and what some firmware writes */
} quantities[REDFISH_QUANTITIES] = {
    [REDFISH_JOULES] = {"EnergyJoules", UJ_PER_J, ENERGY_MAX_UJ, {"J", "Joules", NULL}},
    [REDFISH_KWH] = {"EnergykWh", UJ_PER_KWH, ENERGY_MAX_UJ, {"kW.h", "kWh", NULL}},
    [REDFISH_WATTS] = {"PowerWatts", 1000000, REDFISH_MAX_UW, {"W", "Watts", NULL}},
};

static struct redfish_value read_value(const json_t *number, enum redfish_quantity quantity)
{
    struct redfish_value value = {0};

    value.status = scaled(number, quantities[quantity].factor, quantities[quantity].max, &value.value);
    if (value.status == 0 && quantity == REDFISH_KWH)
        value.step = kwh_step_uj(number);
    return value;
}

/* A sensor's excerpt: {"Reading": NUMBER, "DataSourceUri": PATH}. */
static struct redfish_value read_excerpt(const json_t *excerpt, enum redfish_quantity quantity)
{
    struct redfish_value value = {.status = -ENODATA};

    if (!excerpt || json_is_null(excerpt))
        return value;
    if (!json_is_object(excerpt)) {
        value.status = -EPROTO;
        return value;
    }
    value = read_value(json_object_get(excerpt, "Reading"), quantity);
    copy_path(string_of(json_object_get(excerpt, "DataSourceUri")), &value.sensor);
    return value;
}

/* --- resources -------------------------------------------------------------------------------------------------- */

int redfish_parse_root(struct text t, struct redfish_root *ret, struct carnot_err *err)
{
    json_auto_t *root = NULL;
    struct redfish_root out = {0};
    redfish_path service;
    int r = load(t, "the service root", &root, err);

    if (r < 0)
        return r;
    struct text version = string_of(json_object_get(root, "RedfishVersion"));
    struct text product = string_of(json_object_get(root, "Product"));
    if (product.n == 0)
        product = string_of(json_object_get(root, "Vendor"));
    copy_shown(version, out.version, sizeof(out.version));
    copy_shown(product, out.product, sizeof(out.product));
    copy_link(root, "Chassis", &out.chassis);
    if (!out.chassis[0])
        return carnot_err_set(err, EPROTO,
                              "the service root names no chassis of its own; see whether the URL is that of a Redfish "
                              "service");
    copy_link(json_object_get(root, "Links"), "Sessions", &out.sessions);
    copy_link(root, "SessionService", &service);
    if (!out.sessions[0]) {
        int n = snprintf(out.sessions, sizeof(out.sessions), "%s/Sessions",
                         service[0] ? service : "/redfish/v1/SessionService");
        if (n < 0 || (size_t)n >= sizeof(out.sessions))
            out.sessions[0] = '\0';
    }
    *ret = out;
    return 0;
}

int redfish_parse_members(struct text t, struct redfish_members *add, struct carnot_err *err)
{
    json_auto_t *collection = NULL;
    const json_t *member;
    size_t i;
    int r = load(t, "a collection", &collection, err);

    if (r < 0)
        return r;
    const json_t *members = json_object_get(collection, "Members");
    if (!json_is_array(members))
        return carnot_err_set(err, EPROTO, "a collection has no members; update the BMC's firmware");
    json_array_foreach(members, i, member)
    {
        struct text path = string_of(json_object_get(member, "@odata.id"));
        if (add->n == REDFISH_MEMBERS_MAX || !redfish_path_is_sane(path))
            add->left_out++;
        else
            copy_path(path, &add->paths[add->n++]);
    }
    copy_path(string_of(json_object_get(collection, "Members@odata.nextLink")), &add->next);
    return 0;
}

int redfish_parse_chassis(struct text t, struct redfish_chassis *ret, struct carnot_err *err)
{
    json_auto_t *chassis = NULL;
    struct redfish_chassis out = {0};
    int r = load(t, "a chassis", &chassis, err);

    if (r < 0)
        return r;
    copy_shown(string_of(json_object_get(chassis, "Id")), out.id, sizeof(out.id));
    copy_shown(string_of(json_object_get(chassis, "ChassisType")), out.type, sizeof(out.type));
    copy_link(chassis, "EnvironmentMetrics", &out.environment);
    copy_link(chassis, "Power", &out.power);
    copy_link(chassis, "PowerSubsystem", &out.subsystem);
    const json_t *links = json_object_get(chassis, "Links");
    const json_t *systems = json_object_get(links, "ComputerSystems");
    out.n_systems = (unsigned)min_size(json_array_size(systems), UINT16_MAX);
    copy_path(string_of(json_object_get(json_array_get(systems, 0), "@odata.id")), &out.system);
    copy_link(links, "ContainedBy", &out.container);
    *ret = out;
    return 0;
}

int redfish_parse_environment(struct text t, struct redfish_environment *ret, struct carnot_err *err)
{
    json_auto_t *metrics = NULL;
    int r = load(t, "EnvironmentMetrics", &metrics, err);

    if (r < 0)
        return r;
    for (int q = 0; q < REDFISH_QUANTITIES; q++)
        ret->of[q] = read_excerpt(json_object_get(metrics, quantities[q].name), (enum redfish_quantity)q);
    return 0;
}

static bool has_unit(const json_t *sensor, enum redfish_quantity quantity)
{
    struct text unit = string_of(json_object_get(sensor, "ReadingUnits"));

    for (const char *const *known = quantities[quantity].units; *known; known++)
        if (unit.n == 0 || text_is(unit, *known))
            return true;
    return false;
}

int redfish_parse_sensor(struct text t, enum redfish_quantity quantity, struct redfish_sensor *ret,
                         struct carnot_err *err)
{
    json_auto_t *sensor = NULL;
    struct redfish_sensor out = {0};
    int r = load(t, "a sensor", &sensor, err);

    if (r < 0)
        return r;
    if (!has_unit(sensor, quantity))
        return carnot_err_set(err, EPROTO, "a sensor of %s has another unit; update the BMC's firmware",
                              quantities[quantity].name);
    out.value = read_value(json_object_get(sensor, "Reading"), quantity);
    copy_shown(string_of(json_object_get(sensor, "ReadingTime")), out.time, sizeof(out.time));
    *ret = out;
    return 0;
}

/* --- Power ------------------------------------------------------------------------------------------------------ */

/* Values of PhysicalContext that are something inside a machine. */
static bool is_part(const json_t *control)
{
    static const char *const parts[] = {"CPU",
                                        "CPUSubsystem",
                                        "GPU",
                                        "GPUSubsystem",
                                        "Accelerator",
                                        "FPGA",
                                        "ASIC",
                                        "Memory",
                                        "MemorySubsystem",
                                        "Fan",
                                        "CoolingSubsystem",
                                        "StorageDevice",
                                        "StorageSubsystem",
                                        "NetworkingDevice"};
    struct text context = string_of(json_object_get(control, "PhysicalContext"));

    for (size_t i = 0; i < ELEMENTSOF(parts); i++)
        if (text_is(context, parts[i]))
            return true;
    return false;
}

static bool member_was_seen(const json_t *controls, size_t i)
{
    const char *id = json_string_value(json_object_get(json_array_get(controls, i), "MemberId"));

    for (size_t k = 0; k < i && id; k++) {
        const char *other = json_string_value(json_object_get(json_array_get(controls, k), "MemberId"));
        if (other && strcmp(id, other) == 0)
            return true;
    }
    return false;
}

static void add_metrics(struct redfish_power *power, const json_t *metrics)
{
    uint64_t min_uw, max_uw, mean_uw;
    json_int_t interval = json_integer_value(json_object_get(metrics, "IntervalInMin"));

    if (read_watts(json_object_get(metrics, "MinConsumedWatts"), &min_uw) < 0 ||
        read_watts(json_object_get(metrics, "MaxConsumedWatts"), &max_uw) < 0 ||
        read_watts(json_object_get(metrics, "AverageConsumedWatts"), &mean_uw) < 0)
        return;
    power->min_uw += min_uw;
    power->max_uw += max_uw;
    power->mean_uw += mean_uw;
    power->interval_min = (unsigned)(interval > 0 && interval < UINT16_MAX ? interval : 0);
}

/* Entries for the whole, or those for parts. */
static struct redfish_power sum_controls(const json_t *controls, bool parts)
{
    struct redfish_power sum = {.consumed.status = -ENODATA};
    size_t n = min_size(json_array_size(controls), CONTROLS_MAX);

    for (size_t i = 0; i < n; i++) {
        const json_t *control = json_array_get(controls, i);
        uint64_t uw;

        if (is_part(control) != parts || member_was_seen(controls, i))
            continue;
        int r = read_watts(json_object_get(control, "PowerConsumedWatts"), &uw);
        if (r == -ENODATA)
            continue;
        if (r < 0 || sum.consumed.value + uw > REDFISH_MAX_UW) {
            sum.consumed.status = r < 0 ? r : -ERANGE;
            return sum;
        }
        sum.consumed.status = 0;
        sum.consumed.value += uw;
        sum.n++;
        add_metrics(&sum, json_object_get(control, "PowerMetrics"));
    }
    return sum;
}

int redfish_parse_power(struct text t, struct redfish_power *ret, struct carnot_err *err)
{
    json_auto_t *power = NULL;
    int r = load(t, "Power", &power, err);

    if (r < 0)
        return r;
    const json_t *controls = json_object_get(power, "PowerControl");
    struct redfish_power sum = sum_controls(controls, false);
    if (sum.consumed.status == -ENODATA)
        sum = sum_controls(controls, true);
    *ret = sum;
    return 0;
}

/* --- power supplies --------------------------------------------------------------------------------------------- */

static int parse_link(struct text t, const char *what, const char *key, redfish_path *ret, struct carnot_err *err)
{
    json_auto_t *object = NULL;
    int r = load(t, what, &object, err);

    if (r < 0)
        return r;
    copy_link(object, key, ret);
    return 0;
}

int redfish_parse_subsystem(struct text t, redfish_path *ret_supplies, struct carnot_err *err)
{
    return parse_link(t, "PowerSubsystem", "PowerSupplies", ret_supplies, err);
}

int redfish_parse_supply(struct text t, redfish_path *ret_metrics, struct carnot_err *err)
{
    return parse_link(t, "a power supply", "Metrics", ret_metrics, err);
}

int redfish_parse_supply_metrics(struct text t, struct redfish_value *ret_input, struct carnot_err *err)
{
    json_auto_t *metrics = NULL;
    int r = load(t, "a power supply's metrics", &metrics, err);

    if (r < 0)
        return r;
    *ret_input = read_excerpt(json_object_get(metrics, "InputPowerWatts"), REDFISH_WATTS);
    return 0;
}

/* --- sessions --------------------------------------------------------------------------------------------------- */

void redfish_session_path(const char *location, struct text body, redfish_path *ret)
{
    json_auto_t *session = NULL;
    const char *path = location ? location : "";
    const char *host = strncasecmp(path, "https://", 8) == 0  ? path + 8
                       : strncasecmp(path, "http://", 7) == 0 ? path + 7
                                                              : NULL;

    /* Whatever host it names, a session is ended at the service that made it. */
    if (host)
        path = strchr(host, '/') ? strchr(host, '/') : "";
    copy_path(text_of(path), ret);
    if (!(*ret)[0] && load(body, "a session", &session, NULL) == 0)
        copy_path(string_of(json_object_get(session, "@odata.id")), ret);
}
