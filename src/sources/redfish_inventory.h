/* SPDX-License-Identifier: Apache-2.0 */
/* All chassis of a Redfish service that tell energy or power, and which one of them is this machine. */
#ifndef CARNOT_SOURCES_REDFISH_INVENTORY_H
#define CARNOT_SOURCES_REDFISH_INVENTORY_H

#include "sources/redfish_chassis.h"

#define REDFISH_CHASSIS_MAX 32 /* that are read: each is a request, and a BMC answers some ten a second */

struct redfish_inventory {
    struct redfish_root root;
    size_t n;
    struct redfish_meter meters[REDFISH_CHASSIS_MAX];
    int host;              /* index of the one that is this machine; -1: not known */
    unsigned n_rivals;     /* without a host: how many could be it */
    unsigned n_silent;     /* chassis without a figure */
    unsigned n_left_out;   /* beyond our limits, or not answered in time */
    unsigned n_not_wanted; /* not among those that the user named */
};

/* Asks for everything; the service's round must have begun. `names`: chassis by Id, empty: all. Chassis that give no
 * figure now but may have one later are given only where none gives any. -ENODEV with a sentence when there is nothing
 * to read or nothing is a Redfish service, -EINVAL when none of the names is there; else as redfish_service_get(). */
int redfish_inventory_read(struct redfish_service *service, const struct option_list *names,
                           struct redfish_inventory *ret_inventory, struct carnot_err *err);

/* The rule of which chassis is this machine (docs/METHODS.md). Fills host and n_rivals. */
void redfish_find_host(struct redfish_inventory *inventory, const struct option_list *names);

#endif
