/* SPDX-License-Identifier: Apache-2.0 */
/* See redfish_chassis.h. */
#include "sources/redfish_chassis.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    bool counter;
    const char *name;
} ways[] = {
    [REDFISH_WAY_JOULES] = {true, "counter EnergyJoules of EnvironmentMetrics"},
    [REDFISH_WAY_FINE_KWH] = {true, "counter EnergykWh of EnvironmentMetrics"},
    [REDFISH_WAY_WATTS] = {false, "PowerWatts of EnvironmentMetrics, a power"},
    [REDFISH_WAY_POWER] = {false, "PowerControl of Power, a power"},
    [REDFISH_WAY_SUPPLIES] = {false, "input of the power supplies, a power"},
    [REDFISH_WAY_KWH] = {true,
                         "counter EnergykWh of EnvironmentMetrics, which moves in coarse steps: its energy comes late "
                         "and all at once"},
    [REDFISH_WAYS] = {false, "no figure so far"},
};

bool redfish_way_is_counter(enum redfish_way way)
{
    return ways[way].counter;
}

const char *redfish_way_name(enum redfish_way way)
{
    return ways[way].name;
}

static void copy_path(redfish_path *to, const redfish_path *from)
{
    memcpy(*to, *from, sizeof(*to));
}

/* --- reading one figure ----------------------------------------------------------------------------------------- */

/* 0 W is what a BMC says that does not know: one that answers draws something itself. */
static int power_status(const struct redfish_value *value)
{
    return value->status == 0 && value->value == 0 ? -ENODATA : value->status;
}

static enum redfish_quantity quantity_of(enum redfish_way way)
{
    if (way == REDFISH_WAY_JOULES)
        return REDFISH_JOULES;
    return way == REDFISH_WAY_WATTS ? REDFISH_WATTS : REDFISH_KWH;
}

static int say_figure(const struct redfish_service *service, const char *path, int status, struct carnot_err *err)
{
    const char *origin = redfish_service_origin(service);

    if (status == -ERANGE)
        return carnot_err_set(
            err, status, "%s%s: tells a figure below 0 or above 100 kW, which is refused; update the BMC's firmware",
            origin, path);
    if (status == -ENODATA)
        return carnot_err_set(err, status, "%s%s: has no figure at the moment", origin, path);
    return carnot_err_set(err, status, "%s%s: has something that is no number; update the BMC's firmware", origin,
                          path);
}

static int wrap_parsing(const struct redfish_service *service, const char *path, int r, struct carnot_err *err)
{
    carnot_err_wrap(err, "%s%s", redfish_service_origin(service), path);
    return r;
}

static int get_environment(struct redfish_service *service, const char *path, struct redfish_environment *ret,
                           struct carnot_err *err)
{
    struct text body;
    int r = redfish_service_get(service, path, &body, err);

    if (r < 0)
        return r;
    r = redfish_parse_environment(body, ret, err);
    return r < 0 ? wrap_parsing(service, path, r, err) : r;
}

static int read_metrics(struct redfish_service *service, const struct redfish_meter *meter,
                        struct redfish_figure *figure, struct carnot_err *err)
{
    enum redfish_quantity quantity = quantity_of(meter->way);
    struct redfish_value value;
    int r;

    if (meter->is_sensor) {
        struct redfish_sensor sensor;
        struct text body;

        r = redfish_service_get(service, meter->resource, &body, err);
        if (r < 0)
            return r;
        r = redfish_parse_sensor(body, quantity, &sensor, err);
        if (r < 0)
            return wrap_parsing(service, meter->resource, r, err);
        value = sensor.value;
        memcpy(figure->time, sensor.time, sizeof(figure->time));
    } else {
        struct redfish_environment environment;

        r = get_environment(service, meter->resource, &environment, err);
        if (r < 0)
            return r;
        value = environment.of[quantity];
    }
    figure->value = value.value;
    r = quantity == REDFISH_WATTS ? power_status(&value) : value.status;
    return r < 0 ? say_figure(service, meter->resource, r, err) : 0;
}

static int get_power(struct redfish_service *service, const char *path, struct redfish_power *ret,
                     struct carnot_err *err)
{
    struct text body;
    int r = redfish_service_get(service, path, &body, err);

    if (r < 0)
        return r;
    r = redfish_parse_power(body, ret, err);
    if (r < 0)
        return wrap_parsing(service, path, r, err);
    r = power_status(&ret->consumed);
    return r < 0 ? say_figure(service, path, r, err) : 0;
}

static int get_supply(struct redfish_service *service, const char *path, uint64_t *ret_uw, struct carnot_err *err)
{
    struct redfish_value input;
    struct text body;
    int r = redfish_service_get(service, path, &body, err);

    if (r < 0)
        return r;
    r = redfish_parse_supply_metrics(body, &input, err);
    if (r < 0)
        return wrap_parsing(service, path, r, err);
    if (input.status < 0)
        return say_figure(service, path, input.status, err);
    *ret_uw = input.value;
    return 0;
}

/* All of them, or none: a sum that lacks one supply is no power of the chassis. One of several may well stand by at 0
 * W. */
static int read_supplies(struct redfish_service *service, const struct redfish_meter *meter,
                         struct redfish_figure *figure, struct carnot_err *err)
{
    uint64_t sum_uw = 0;

    for (unsigned i = 0; i < meter->n_parts; i++) {
        uint64_t uw = 0;
        int r = get_supply(service, meter->supplies[i], &uw, err);
        if (r < 0)
            return r;
        sum_uw += uw;
    }
    if (sum_uw == 0 || sum_uw > REDFISH_MAX_UW)
        return say_figure(service, meter->path, sum_uw ? -ERANGE : -ENODATA, err);
    figure->value = sum_uw;
    return 0;
}

static int read_power(struct redfish_service *service, const struct redfish_meter *meter, struct redfish_figure *figure,
                      struct carnot_err *err)
{
    struct redfish_power power;
    int r = get_power(service, meter->resource, &power, err);

    if (r < 0)
        return r;
    if (power.n < meter->n_parts)
        return say_figure(service, meter->resource, -ENODATA, err);
    figure->value = power.consumed.value;
    return 0;
}

int redfish_meter_read(struct redfish_service *service, const struct redfish_meter *meter,
                       struct redfish_figure *ret_figure, struct carnot_err *err)
{
    struct redfish_figure figure = {0};
    int r = -ENODATA;

    switch (meter->way) {
    case REDFISH_WAY_JOULES:
    case REDFISH_WAY_FINE_KWH:
    case REDFISH_WAY_KWH:
    case REDFISH_WAY_WATTS:
        r = read_metrics(service, meter, &figure, err);
        break;
    case REDFISH_WAY_POWER:
        r = read_power(service, meter, &figure, err);
        break;
    case REDFISH_WAY_SUPPLIES:
        r = read_supplies(service, meter, &figure, err);
        break;
    case REDFISH_WAYS:
        r = say_figure(service, meter->path, -ENODATA, err);
        break;
    }
    if (r < 0)
        return r;
    *ret_figure = figure;
    return 0;
}

/* --- choosing a way --------------------------------------------------------------------------------------------- */

static bool is_wanted(enum redfish_kinds kinds, enum redfish_way way)
{
    return kinds == REDFISH_ANY || (kinds == REDFISH_COUNTERS) == redfish_way_is_counter(way);
}

/* The sensor behind a figure, where it tells when it was read: then a figure that is old can be told from a new one. */
static void prefer_sensor(struct redfish_service *service, struct redfish_meter *meter,
                          const struct redfish_value *value)
{
    struct redfish_sensor sensor;
    struct text body;

    if (!value->sensor[0] || redfish_service_get(service, value->sensor, &body, NULL) < 0 ||
        redfish_parse_sensor(body, quantity_of(meter->way), &sensor, NULL) < 0)
        return;
    if (sensor.value.status == 0 && sensor.time[0]) {
        copy_path(&meter->resource, &value->sensor);
        meter->is_sensor = true;
    }
}

static enum redfish_way best_metric(const struct redfish_environment *environment, enum redfish_kinds kinds,
                                    bool coarse)
{
    const struct redfish_value *kwh = &environment->of[REDFISH_KWH];
    bool fine = kwh->status == 0 && kwh->step <= REDFISH_FINE_STEP_UJ;

    if (coarse)
        return kwh->status == 0 && is_wanted(kinds, REDFISH_WAY_KWH) ? REDFISH_WAY_KWH : REDFISH_WAYS;
    if (environment->of[REDFISH_JOULES].status == 0 && is_wanted(kinds, REDFISH_WAY_JOULES))
        return REDFISH_WAY_JOULES;
    if (fine && is_wanted(kinds, REDFISH_WAY_FINE_KWH))
        return REDFISH_WAY_FINE_KWH;
    if (power_status(&environment->of[REDFISH_WATTS]) == 0 && is_wanted(kinds, REDFISH_WAY_WATTS))
        return REDFISH_WAY_WATTS;
    return REDFISH_WAYS;
}

static void take_metric(struct redfish_service *service, struct redfish_meter *meter,
                        const struct redfish_environment *environment, enum redfish_way way)
{
    meter->way = way;
    copy_path(&meter->resource, &meter->chassis.environment);
    prefer_sensor(service, meter, &environment->of[quantity_of(way)]);
}

static int add_supply(struct redfish_service *service, const redfish_path *supply, struct redfish_meter *meter,
                      struct carnot_err *err)
{
    redfish_path metrics;
    struct text body;
    uint64_t uw;
    int r = redfish_service_get(service, *supply, &body, err);

    if (r >= 0)
        r = redfish_parse_supply(body, &metrics, err);
    if (r < 0 || !metrics[0])
        return r;
    r = get_supply(service, metrics, &uw, err);
    if (r == -ENODATA || r == -ENOENT)
        return 0; /* a bay without a supply */
    if (r >= 0 && meter->n_parts == REDFISH_SUPPLIES_MAX)
        return carnot_err_set(err, E2BIG, "%s%s: more than %d power supplies", redfish_service_origin(service),
                              meter->path, REDFISH_SUPPLIES_MAX);
    if (r >= 0)
        copy_path(&meter->supplies[meter->n_parts++], &metrics);
    return r;
}

/* Those that have a figure. One that cannot be asked spoils it: the sum of some is no power of the chassis. */
static int list_supplies(struct redfish_service *service, struct redfish_meter *meter, struct carnot_err *err)
{
    _cleanup_free_ struct redfish_members *supplies = calloc(1, sizeof(*supplies));
    redfish_path collection = "";
    struct text body;

    if (!supplies)
        return carnot_err_set(err, ENOMEM, "out of memory for the power supplies");
    int r = redfish_service_get(service, meter->chassis.subsystem, &body, err);
    if (r >= 0)
        r = redfish_parse_subsystem(body, &collection, err);
    if (r >= 0)
        r = collection[0] ? redfish_service_get(service, collection, &body, err) : -ENODATA;
    if (r >= 0)
        r = redfish_parse_members(body, supplies, err);
    for (size_t i = 0; r >= 0 && i < supplies->n; i++)
        r = add_supply(service, (const redfish_path *)&supplies->paths[i], meter, err);
    return r;
}

static int try_power(struct redfish_service *service, struct redfish_meter *meter, struct carnot_err *err)
{
    struct redfish_power power;

    if (!meter->chassis.power[0])
        return -ENOENT;
    int r = get_power(service, meter->chassis.power, &power, err);
    if (r < 0)
        return r;
    meter->way = REDFISH_WAY_POWER;
    copy_path(&meter->resource, &meter->chassis.power);
    meter->n_parts = power.n;
    return 0;
}

static int try_supplies(struct redfish_service *service, struct redfish_meter *meter, struct carnot_err *err)
{
    if (!meter->chassis.subsystem[0])
        return -ENOENT;
    int r = list_supplies(service, meter, err);
    if (r >= 0 && meter->n_parts == 0)
        r = -ENODATA;
    if (r >= 0)
        meter->way = REDFISH_WAY_SUPPLIES;
    return r;
}

/* What is not there is nothing to tell of; the first thing that is broken is. */
static void note_failure(struct carnot_err *first, int r, const struct carnot_err *why)
{
    if (r < 0 && r != -ENOENT && r != -ENODATA && first->code == 0)
        *first = *why;
}

static void choose(struct redfish_service *service, enum redfish_kinds kinds, struct redfish_meter *meter,
                   struct carnot_err *first)
{
    static int (*const powers[])(struct redfish_service *, struct redfish_meter *,
                                 struct carnot_err *) = {try_power, try_supplies};
    struct redfish_environment environment = {0};
    struct carnot_err why = CARNOT_ERR_INIT;
    int r = -ENOENT;

    if (meter->chassis.environment[0])
        r = get_environment(service, meter->chassis.environment, &environment, &why);
    note_failure(first, r, &why);
    bool metrics = r >= 0;
    enum redfish_way way = metrics ? best_metric(&environment, kinds, false) : REDFISH_WAYS;
    if (way != REDFISH_WAYS) {
        take_metric(service, meter, &environment, way);
        return;
    }
    for (size_t i = 0; i < ELEMENTSOF(powers) && kinds != REDFISH_COUNTERS; i++) {
        if (redfish_service_is_down(service))
            return;
        r = powers[i](service, meter, &why);
        if (r >= 0)
            return;
        note_failure(first, r, &why);
    }
    if (metrics)
        way = best_metric(&environment, kinds, true);
    if (way != REDFISH_WAYS)
        take_metric(service, meter, &environment, way);
}

int redfish_meter_choose(struct redfish_service *service, enum redfish_kinds kinds, struct redfish_meter *meter,
                         struct carnot_err *err)
{
    struct redfish_meter chosen = *meter;
    struct carnot_err first = CARNOT_ERR_INIT;

    chosen.way = REDFISH_WAYS;
    chosen.is_sensor = false;
    chosen.n_parts = 0;
    choose(service, kinds, &chosen, &first);
    if (chosen.way != REDFISH_WAYS) {
        *meter = chosen;
        return 0;
    }
    if (redfish_service_is_down(service))
        return redfish_service_why_down(service, err);
    if (first.code) {
        if (err)
            *err = first;
        return -first.code;
    }
    return carnot_err_set(err, ENODATA, "%s%s: tells neither energy nor power at the moment",
                          redfish_service_origin(service), meter->path);
}
