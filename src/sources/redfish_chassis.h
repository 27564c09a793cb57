/* SPDX-License-Identifier: Apache-2.0 */
/* The chassis of a Redfish service: which there are, how the energy of each can be known, and which one is this
 * machine. Asks through redfish_session; integrates nothing. */
#ifndef CARNOT_SOURCES_REDFISH_CHASSIS_H
#define CARNOT_SOURCES_REDFISH_CHASSIS_H

#include "sources/redfish_session.h"

#define REDFISH_SUPPLIES_MAX 8 /* of one chassis; blade enclosures have six */

/* A counter of kWh that moves in steps as fine as this follows a window of a second; a coarser one is taken only where
 * nothing tells the power. */
#define REDFISH_FINE_STEP_UJ (360 * 1000000ULL) /* 0.0001 kWh */

/* How the energy of a chassis is known, best first. */
enum redfish_way {
    REDFISH_WAY_JOULES,   /* counter: EnvironmentMetrics EnergyJoules */
    REDFISH_WAY_FINE_KWH, /* counter: EnergykWh in fine steps */
    REDFISH_WAY_WATTS,    /* power: EnvironmentMetrics PowerWatts */
    REDFISH_WAY_POWER,    /* power: the sum over PowerControl */
    REDFISH_WAY_SUPPLIES, /* power: the sum over the inputs of the power supplies */
    REDFISH_WAY_KWH,      /* counter: EnergykWh in coarse steps */
    REDFISH_WAYS,         /* none */
};

bool redfish_way_is_counter(enum redfish_way way);
const char *redfish_way_name(enum redfish_way way); /* "counter EnergyJoules of EnvironmentMetrics" */

struct redfish_meter {
    redfish_path path;
    struct redfish_chassis chassis;
    enum redfish_way way;
    redfish_path resource; /* that is read; of supplies: the metrics below */
    bool is_sensor;        /* `resource` is a sensor, which tells when it was read */
    unsigned n_parts;      /* PowerControl entries, or supplies, that had a figure */
    redfish_path supplies[REDFISH_SUPPLIES_MAX];
};

/* Which ways will do: a domain that was opened as one kind stays it. */
enum redfish_kinds { REDFISH_ANY, REDFISH_COUNTERS, REDFISH_POWERS };

/* Looks for the best way that gives a figure now. -ENODATA with a sentence when none does; another code when the
 * service is down. */
int redfish_meter_choose(struct redfish_service *service, enum redfish_kinds kinds, struct redfish_meter *meter,
                         struct carnot_err *err);

struct redfish_figure {
    uint64_t value; /* uJ of a counter, uW of a power */
    char time[REDFISH_TIME_MAX];
};

/* One figure in the way chosen. -ENODATA: none this time (null, 0 W, fewer parts than before); -ENOENT: its resource
 * went; -ERANGE, -EPROTO: nonsense; else as redfish_service_get(). */
int redfish_meter_read(struct redfish_service *service, const struct redfish_meter *meter,
                       struct redfish_figure *ret_figure, struct carnot_err *err);

#endif
