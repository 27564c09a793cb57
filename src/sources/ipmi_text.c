/* SPDX-License-Identifier: Apache-2.0 */
/* See ipmi_text.h. Names and words are those of the programs' own output, compared whole: "not active" is not "active".
 */
#include "sources/ipmi_text.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/u64map.h"

enum field { FIELD_NOW, FIELD_MIN, FIELD_MAX, FIELD_MEAN, FIELD_STAMP, FIELD_PERIOD, FIELD_STATE, FIELDS };

struct dialect {
    const char *names[FIELDS];
    const char *active; /* the word of FIELD_STATE that says so */
    const char *period_unit;
    uint64_t period_ms; /* of one such unit */
};

static const struct dialect dialects[] = {
    [IPMI_TEXT_DCMI] = {{"Current Power", "Minimum Power over sampling duration",
                         "Maximum Power over sampling duration", "Average Power over sampling duration", "Time Stamp",
                         "Statistics reporting time period", "Power Measurement"},
                        "Active",
                        "milliseconds",
                        1},
    [IPMI_TEXT_TOOL] = {{"Instantaneous power reading", "Minimum during sampling period",
                         "Maximum during sampling period", "Average power reading over sample period", "IPMI timestamp",
                         "Sampling period", "Power reading state is"},
                        "activated",
                        "Seconds.",
                        1000},
    [IPMI_TEXT_UTIL] = {{"Current Power", "Min Power over sample duration", "Max Power over sample duration",
                         "Avg Power over sample duration", "Timestamp", "Sampling period", "Power reading state is"},
                        "active",
                        "ms",
                        1},
};

/* "name   : value" */
static bool split_value(struct text t, const char *name, struct text *ret)
{
    if (!text_starts(t, name))
        return false;
    t = text_trim((struct text){t.p + strlen(name), t.n - strlen(name)});
    if (t.n == 0 || t.p[0] != ':')
        return false;
    *ret = text_trim((struct text){t.p + 1, t.n - 1});
    return true;
}

static bool is_gap(const char *p)
{
    return p[0] == ' ' && p[1] == ' ';
}

/* What follows the first `name` and its colon up to the end of the line. A name begins a line or stands after two
 * blanks: ipmitool 1.8.19 ends no line after the time stamp, so that the sampling period follows on it. */
static bool find_value(struct text t, const char *name, struct text *ret)
{
    struct text line;

    while (scan_line(&t, &line)) {
        if (split_value(text_trim(line), name, ret))
            return true;
        for (size_t i = 2; i < line.n; i++)
            if (is_gap(line.p + i - 2) && split_value((struct text){line.p + i, line.n - i}, name, ret))
                return true;
    }
    return false;
}

/* "332 Watts": a whole number and the one unit. */
static int parse_amount(struct text t, const char *unit, const char *other_unit, uint64_t *ret)
{
    struct text number, word, more;
    uint64_t value;
    int r;

    if (!scan_word(&t, &number) || !scan_word(&t, &word) || scan_word(&t, &more))
        return -EPROTO;
    if (!text_is(word, unit) && !text_is(word, other_unit))
        return -EPROTO;
    r = parse_u64(number, &value);
    if (r == -EINVAL)
        return -EPROTO;
    if (r < 0)
        return r;
    *ret = value;
    return 0;
}

static int parse_watts(struct text t, uint64_t *ret_uw)
{
    uint64_t watts;
    int r = parse_amount(t, "Watts", "watts", &watts);

    if (r < 0)
        return r;
    if (watts > IPMI_WATTS_NONE)
        return -ERANGE;
    *ret_uw = watts == IPMI_WATTS_NONE ? 0 : watts * IPMI_UW_PER_W;
    return 0;
}

/* What is beside the power is taken where it is well formed. */
static void take_rest(const struct dialect *dialect, struct text t, struct ipmi_power *power)
{
    uint64_t *const watts[] = {
        [FIELD_MIN] = &power->min_uw, [FIELD_MAX] = &power->max_uw, [FIELD_MEAN] = &power->mean_uw};
    struct text value;
    uint64_t period;

    for (size_t i = FIELD_MIN; i <= FIELD_MEAN; i++)
        if (find_value(t, dialect->names[i], &value))
            parse_watts(value, watts[i]);
    if (find_value(t, dialect->names[FIELD_STAMP], &value) && value.n)
        power->stamp = hash_bytes(value.p, value.n, 1);
    if (find_value(t, dialect->names[FIELD_PERIOD], &value) &&
        parse_amount(value, dialect->period_unit, dialect->period_unit, &period) == 0 &&
        period <= UINT64_MAX / dialect->period_ms)
        power->period_ms = period * dialect->period_ms;
}

int ipmi_text_parse(enum ipmi_dialect which, struct text t, struct ipmi_power *ret)
{
    const struct dialect *dialect = &dialects[which];
    struct ipmi_power power = {0};
    struct text state, now;

    if (!find_value(t, dialect->names[FIELD_STATE], &state) || !find_value(t, dialect->names[FIELD_NOW], &now))
        return -EPROTO;
    int r = parse_watts(now, &power.power_uw);
    if (r < 0)
        return r;
    if (!text_is(state, dialect->active) || power.power_uw == 0)
        return -ENODATA;
    take_rest(dialect, t, &power);
    *ret = power;
    return 0;
}

/* --- capmc ------------------------------------------------------------------------------------------------------ */

static void cleanup_jsonp(json_t **json)
{
    json_decref(*json);
}

static int take_watts(const json_t *object, const char *name, uint64_t *ret_uw)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_integer(value))
        return -EPROTO;
    if (json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > IPMI_SYSTEM_MAX_UW / IPMI_UW_PER_W)
        return -ERANGE;
    *ret_uw = (uint64_t)json_integer_value(value) * IPMI_UW_PER_W;
    return 0;
}

static int refuse(int status, const char *what, struct carnot_err *err)
{
    return carnot_err_set(err, status, "capmc printed %s: try `capmc get_system_power -w 600` by hand", what);
}

int ipmi_text_parse_capmc(struct text t, struct ipmi_power *ret, struct carnot_err *err)
{
    CLEANUP(cleanup_jsonp) json_t *json = json_loadb(t.p, t.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *e = json_object_get(json, "e"), *start = json_object_get(json, "start_time"),
                 *window = json_object_get(json, "window_len");
    struct ipmi_power power = {0};

    if (!json_is_integer(e))
        return refuse(-EPROTO, "no JSON of its kind", err);
    if (json_integer_value(e) != 0) {
        const char *message = json_string_value(json_object_get(json, "err_msg"));
        char text[160];

        text_copy_printing(text_of(message ? message : ""), text, sizeof(text));
        return carnot_err_set(err, EIO, "capmc failed with its error %lld: %s", (long long)json_integer_value(e), text);
    }
    int r = take_watts(json, "avg", &power.mean_uw);
    if (r < 0)
        return refuse(r, r == -ERANGE ? "a power below 0 or above 1 GW" : "no average power", err);
    if (power.mean_uw == 0)
        return refuse(-ENODATA, "a power of 0 W", err);
    power.power_uw = power.mean_uw;
    take_watts(json, "min", &power.min_uw);
    take_watts(json, "max", &power.max_uw);
    if (json_is_string(start))
        power.stamp = hash_bytes(json_string_value(start), json_string_length(start), 1);
    if (json_is_integer(window) && json_integer_value(window) > 0 && json_integer_value(window) < INT32_MAX)
        power.period_ms = (uint64_t)json_integer_value(window) * 1000;
    *ret = power;
    return 0;
}
