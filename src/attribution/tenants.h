/* SPDX-License-Identifier: Apache-2.0 */
/* The few groups whose own way of using energy is learned: those that used most lately. Knows who is in which place;
 * does not know what was learned there. */
#ifndef CARNOT_ATTRIBUTION_TENANTS_H
#define CARNOT_ATTRIBUTION_TENANTS_H

#include "attribution/fit.h"
#include "attribution/method_internal.h"

#define TENANT_NONE FIT_TENANTS_MAX

struct tenants {
    struct tenant_place {
        uint64_t id;
        double size_uj_per_s; /* lately; 0: free */
        size_t group;         /* in this window; SIZE_MAX: not in it */
    } place[FIT_TENANTS_MAX];
};

/* Follows the groups of a window by what each would have cost (use_uj[players_of(window)]). Returns the place that has
 * a new tenant, TENANT_NONE when there is none: at most one a window. */
size_t tenants_follow(struct tenants *tenants, const struct method_window *window, const double *use_uj,
                      double seconds);

/* The place of a group in this window, or TENANT_NONE. */
size_t tenant_of(const struct tenants *tenants, size_t group);

#endif
