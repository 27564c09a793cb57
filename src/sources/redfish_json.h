/* SPDX-License-Identifier: Apache-2.0 */
/* What Redfish resources say, as plain structs. Pure: text in, struct out. Knows the DMTF's property names; refuses to
 * know how a resource was got, and believes nothing: links lead to paths of the same service, numbers lie within what a
 * machine can draw, lists have an end.
 *
 * Each parser gives -EPROTO with a sentence when the text is no JSON object, has a key twice, or holds another type
 * than it should; -E2BIG beyond REDFISH_BODY_MAX. */
#ifndef CARNOT_SOURCES_REDFISH_JSON_H
#define CARNOT_SOURCES_REDFISH_JSON_H

#include "base/err.h"
#include "base/parse.h"

#define REDFISH_BODY_MAX    (256U << 10) /* Power with all its voltages and supplies is below 100 KiB */
#define REDFISH_PATH_MAX    192          /* those of large systems have some 100 characters */
#define REDFISH_ID_MAX      48
#define REDFISH_TYPE_MAX    24  /* "StorageEnclosure" */
#define REDFISH_TIME_MAX    40  /* "2026-11-21T02:54:48.123456+00:00" */
#define REDFISH_MEMBERS_MAX 128 /* chassis of a node with eight GPUs and all its boards: some 60 */

/* More than this is refused: power above it is garbage (a wrong scale, a failed bus read), not a machine. 100 kW is
 * near ten times the largest node sold. */
#define REDFISH_MAX_UW (100000ULL * 1000000)

/* A path of the service, as text; "": there is none. One that leads elsewhere ("//", "..", another host) is none. */
typedef char redfish_path[REDFISH_PATH_MAX];

/* Is it an absolute path below /redfish, with nothing that could lead out of it? */
bool redfish_path_is_sane(struct text path);

struct redfish_root {
    char version[REDFISH_TYPE_MAX];
    char product[REDFISH_ID_MAX]; /* Product, else Vendor */
    redfish_path chassis;         /* the collection */
    redfish_path sessions;        /* where sessions are made */
};

int redfish_parse_root(struct text t, struct redfish_root *ret, struct carnot_err *err);

/* Members of a collection, added up over its pages. */
struct redfish_members {
    size_t n;
    redfish_path paths[REDFISH_MEMBERS_MAX];
    unsigned left_out; /* beyond the room, or with a link that leads elsewhere */
    redfish_path next; /* the page after this one */
};

int redfish_parse_members(struct text t, struct redfish_members *add, struct carnot_err *err);

struct redfish_chassis {
    char id[REDFISH_ID_MAX];
    char type[REDFISH_TYPE_MAX];
    redfish_path environment, power, subsystem;
    unsigned n_systems;     /* computers in it */
    redfish_path system;    /* the first of them */
    redfish_path container; /* the chassis that this one is in */
};

int redfish_parse_chassis(struct text t, struct redfish_chassis *ret, struct carnot_err *err);

/* One figure. `status`: 0; -ENODATA: null or not there; -ERANGE: negative or beyond what is believed; -EPROTO: no
 * number. */
struct redfish_value {
    int status;
    uint64_t value;      /* uW or uJ */
    uint64_t step;       /* of an energy in kWh: the finest step that the number can be seen to have, in uJ */
    redfish_path sensor; /* the resource that it is an excerpt of */
};

enum redfish_quantity { REDFISH_JOULES, REDFISH_KWH, REDFISH_WATTS, REDFISH_QUANTITIES };

struct redfish_environment {
    struct redfish_value of[REDFISH_QUANTITIES]; /* EnergyJoules, EnergykWh, PowerWatts */
};

int redfish_parse_environment(struct text t, struct redfish_environment *ret, struct carnot_err *err);

struct redfish_sensor {
    struct redfish_value value;
    char time[REDFISH_TIME_MAX]; /* when it was read, by the BMC's clock: to be compared, not believed; "" */
};

/* -EPROTO too when the sensor's unit is another one than that of the quantity. */
int redfish_parse_sensor(struct text t, enum redfish_quantity quantity, struct redfish_sensor *ret,
                         struct carnot_err *err);

/* The deprecated Power resource: the sum over PowerControl. An entry with a MemberId that was seen is no second one; an
 * entry for a part (PhysicalContext CPU, Memory, ...) is not added to one for the whole. */
struct redfish_power {
    struct redfish_value consumed;
    unsigned n; /* entries with a figure */
    uint64_t min_uw, max_uw, mean_uw;
    unsigned interval_min; /* over which these three are; 0: there are none */
};

int redfish_parse_power(struct text t, struct redfish_power *ret, struct carnot_err *err);

/* PowerSubsystem -> the collection of supplies -> a supply -> its metrics. */
int redfish_parse_subsystem(struct text t, redfish_path *ret_supplies, struct carnot_err *err);
int redfish_parse_supply(struct text t, redfish_path *ret_metrics, struct carnot_err *err);
int redfish_parse_supply_metrics(struct text t, struct redfish_value *ret_input, struct carnot_err *err);

/* The path of a new session, from the header Location (a path or a URL; NULL: absent), else from the body. "" when
 * neither tells one. */
void redfish_session_path(const char *location, struct text body, redfish_path *ret);

#endif
