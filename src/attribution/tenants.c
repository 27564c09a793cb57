/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution/tenants.h"

#include <math.h>

/* How long a use counts. */
#define MEMORY_S 60.0

/* Below this part of the whole a tenant's deviation moves nobody's figures. */
#define WORTH_A_PLACE 0.01

/* A newcomer takes a taken place only when it uses so much more: what was learned is lost with the place. */
#define WORTH_MORE 2.0

static uint64_t id_of(const struct method_window *window, size_t group)
{
    return window->group_id ? window->group_id[group] : group;
}

size_t tenant_of(const struct tenants *tenants, size_t group)
{
    for (size_t k = 0; k < FIT_TENANTS_MAX; k++) {
        if (tenants->place[k].size_uj_per_s > 0.0 && tenants->place[k].group == group)
            return k;
    }
    return TENANT_NONE;
}

/* Finds each tenant's group in this window. Groups keep their index most of the time. */
static void find_groups(struct tenants *tenants, const struct method_window *window)
{
    for (size_t k = 0; k < FIT_TENANTS_MAX; k++) {
        struct tenant_place *place = &tenants->place[k];
        if (place->size_uj_per_s <= 0.0)
            continue;
        if (place->group < window->n_groups && id_of(window, place->group) == place->id)
            continue;
        place->group = SIZE_MAX;
        for (size_t g = 0; g < window->n_groups; g++) {
            if (id_of(window, g) == place->id)
                place->group = g;
        }
    }
}

static size_t largest_newcomer(const struct tenants *tenants, const struct method_window *window, const double *use_uj)
{
    size_t largest = SIZE_MAX;

    for (size_t g = 0; g < window->n_groups; g++) {
        if (use_uj[g] > 0.0 && (largest == SIZE_MAX || use_uj[g] > use_uj[largest]) &&
            tenant_of(tenants, g) == TENANT_NONE)
            largest = g;
    }
    return largest;
}

size_t tenants_follow(struct tenants *tenants, const struct method_window *window, const double *use_uj, double seconds)
{
    double keep = exp(-seconds / MEMORY_S), all = 0.0;
    size_t smallest = 0;

    find_groups(tenants, window);
    for (size_t g = 0; g < players_of(window); g++)
        all += use_uj[g];
    for (size_t k = 0; k < FIT_TENANTS_MAX; k++) {
        struct tenant_place *place = &tenants->place[k];
        double use = place->group < window->n_groups ? use_uj[place->group] / seconds : 0.0;
        if (place->size_uj_per_s > 0.0)
            place->size_uj_per_s = fmax(keep * place->size_uj_per_s + (1.0 - keep) * use, 1e-300);
        if (place->size_uj_per_s < tenants->place[smallest].size_uj_per_s)
            smallest = k;
    }

    size_t group = largest_newcomer(tenants, window, use_uj);
    if (group == SIZE_MAX || use_uj[group] < WORTH_A_PLACE * all)
        return TENANT_NONE;
    struct tenant_place *place = &tenants->place[smallest];
    if (use_uj[group] / seconds < WORTH_MORE * place->size_uj_per_s)
        return TENANT_NONE;
    *place =
        (struct tenant_place){.id = id_of(window, group), .size_uj_per_s = use_uj[group] / seconds, .group = group};
    return smallest;
}
