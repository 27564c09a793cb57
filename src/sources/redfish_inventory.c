/* SPDX-License-Identifier: Apache-2.0 */
/* See redfish_inventory.h. Types of chassis: DMTF DSP2046, Chassis, ChassisType. */
#include "sources/redfish_inventory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAGES_MAX 16 /* of a collection; services that page give 50 or more members at once */

/* --- which one is this machine ---------------------------------------------------------------------------------- */

enum role { ROLE_MACHINE, ROLE_PART, ROLE_GROUP };

/* All other types, and none, may be a machine. */
static const struct {
    const char *type;
    enum role role;
} roles[] = {
    {"Card", ROLE_PART},
    {"Component", ROLE_PART},
    {"Module", ROLE_PART},
    {"Drawer", ROLE_PART},
    {"Expansion", ROLE_PART},
    {"Sidecar", ROLE_PART},
    {"Rack", ROLE_GROUP},
    {"RackGroup", ROLE_GROUP},
    {"Row", ROLE_GROUP},
    {"Pod", ROLE_GROUP},
    {"Zone", ROLE_GROUP},
    {"Shelf", ROLE_GROUP},
    {"PowerStrip", ROLE_GROUP},
    {"ImmersionTank", ROLE_GROUP},
    {"HeatExchanger", ROLE_GROUP},
    {"IPBasedDrive", ROLE_GROUP},
    {"StorageEnclosure", ROLE_GROUP},
};

static enum role role_of(const struct redfish_chassis *chassis)
{
    /* Of a chassis with several computers we have a part only, whatever it is called. */
    if (chassis->n_systems > 1)
        return ROLE_GROUP;
    for (size_t i = 0; i < ELEMENTSOF(roles); i++)
        if (strcmp(chassis->type, roles[i].type) == 0)
            return roles[i].role;
    return ROLE_MACHINE;
}

static bool same_path(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);

    n -= n && a[n - 1] == '/';
    m -= m && b[m - 1] == '/';
    return n == m && memcmp(a, b, n) == 0;
}

/* The last part of a path, which is a chassis' Id. */
static struct text last_part(const char *path)
{
    struct text t = text_of(path);

    t.n -= t.n && t.p[t.n - 1] == '/';
    const char *slash = memrchr(t.p, '/', t.n);
    return slash ? (struct text){slash + 1, t.n - (size_t)(slash + 1 - t.p)} : t;
}

static bool is_called(const struct redfish_meter *meter, const char *name)
{
    return strcmp(meter->chassis.id, name) == 0 || text_is(last_part(meter->path), name);
}

/* Inside another one that could be the machine too: then that one is, and this is a part of it. */
static bool is_inside_another(const struct redfish_inventory *inventory, size_t i)
{
    const struct redfish_meter *inner = &inventory->meters[i];

    for (size_t k = 0; k < inventory->n; k++)
        if (k != i && role_of(&inventory->meters[k].chassis) == ROLE_MACHINE &&
            same_path(inner->chassis.container, inventory->meters[k].path) && inner->chassis.container[0])
            return true;
    return false;
}

/* The only one of those that could be it, counting them into *ret_n; -1 when they are none or several. */
static int only_candidate(const struct redfish_inventory *inventory, bool with_system, unsigned *ret_n)
{
    int found = -1;

    *ret_n = 0;
    for (size_t i = 0; i < inventory->n; i++) {
        const struct redfish_chassis *chassis = &inventory->meters[i].chassis;

        if (role_of(chassis) != ROLE_MACHINE || is_inside_another(inventory, i) || (with_system && !chassis->n_systems))
            continue;
        found = (int)i;
        ++*ret_n;
    }
    return *ret_n == 1 ? found : -1;
}

void redfish_find_host(struct redfish_inventory *inventory, const struct option_list *names)
{
    unsigned n = 0;

    inventory->host = -1;
    inventory->n_rivals = 0;
    if (names->count) {
        for (size_t i = 0; i < inventory->n && inventory->host < 0; i++)
            if (is_called(&inventory->meters[i], names->items[0]))
                inventory->host = (int)i;
        return;
    }
    if (inventory->n == 1 && role_of(&inventory->meters[0].chassis) != ROLE_GROUP) {
        inventory->host = 0;
        return;
    }
    inventory->host = only_candidate(inventory, true, &n);
    if (n == 0)
        inventory->host = only_candidate(inventory, false, &n);
    inventory->n_rivals = inventory->host < 0 ? n : 0;
}

/* --- asking for all ---------------------------------------------------------------------------------------------- */

static bool is_wanted(const char *path, const struct option_list *names)
{
    for (size_t i = 0; i < names->count; i++)
        if (text_is(last_part(path), names->items[i]))
            return true;
    return names->count == 0;
}

static int read_root(struct redfish_service *service, struct redfish_root *ret_root, struct carnot_err *err)
{
    struct text body;
    int r = redfish_service_get(service, REDFISH_ROOT, &body, err);

    if (r == -ENOENT)
        return carnot_err_set(err, ENODEV, "%s: is no Redfish service (nothing at " REDFISH_ROOT "); correct the URL",
                              redfish_service_origin(service));
    if (r >= 0) {
        r = redfish_parse_root(body, ret_root, err);
        if (r < 0)
            carnot_err_wrap(err, "%s", redfish_service_origin(service));
    }
    if (r >= 0)
        redfish_service_set_sessions(service, ret_root->sessions);
    return r;
}

static int read_members(struct redfish_service *service, const char *path, struct redfish_members *members,
                        struct carnot_err *err)
{
    redfish_path page;

    snprintf(page, sizeof(page), "%s", path);
    for (int i = 0; i < PAGES_MAX && page[0]; i++) {
        struct text body;
        int r = redfish_service_get(service, page, &body, err);

        if (r < 0)
            return r;
        r = redfish_parse_members(body, members, err);
        if (r < 0) {
            carnot_err_wrap(err, "%s%s", redfish_service_origin(service), page);
            return r;
        }
        memcpy(page, members->next, sizeof(page));
    }
    members->left_out += page[0] ? 1 : 0; /* pages beyond ours hold nobody knows how many */
    return 0;
}

/* 0: there it is, with or without a figure. */
static int read_chassis(struct redfish_service *service, const char *path, struct redfish_meter *meter,
                        struct carnot_err *err)
{
    struct text body;
    int r = redfish_service_get(service, path, &body, err);

    *meter = (struct redfish_meter){.way = REDFISH_WAYS};
    if (r >= 0)
        r = redfish_parse_chassis(body, &meter->chassis, err);
    if (r < 0)
        return r;
    snprintf(meter->path, sizeof(meter->path), "%s", path);
    if (!meter->chassis.id[0]) {
        struct text id = last_part(path);
        snprintf(meter->chassis.id, sizeof(meter->chassis.id), "%.*s", (int)id.n, id.p);
    }
    r = redfish_meter_choose(service, REDFISH_ANY, meter, err);
    return r < 0 && redfish_service_is_down(service) ? r : 0;
}

static bool may_speak(const struct redfish_chassis *chassis)
{
    return chassis->environment[0] || chassis->power[0] || chassis->subsystem[0];
}

/* Silent ones are kept as long as nobody speaks: a BMC that has just started has no figures yet. */
static void add_meter(struct redfish_inventory *inventory, const struct redfish_meter *meter, bool *speaks)
{
    bool silent = meter->way == REDFISH_WAYS;

    inventory->n_silent += silent;
    if (silent && (*speaks || !may_speak(&meter->chassis)))
        return;
    if (!silent && !*speaks) {
        *speaks = true;
        inventory->n = 0;
    }
    if (inventory->n == REDFISH_CHASSIS_MAX)
        inventory->n_left_out++;
    else
        inventory->meters[inventory->n++] = *meter;
}

static int explain_nothing(const struct redfish_service *service, const struct redfish_inventory *inventory,
                           const struct option_list *names, struct carnot_err *err)
{
    const char *origin = redfish_service_origin(service);

    if (names->count && inventory->n_silent == 0 && inventory->n_left_out == 0)
        return carnot_err_set(err, EINVAL,
                              "%s: none of its %u chassis is called \"%.40s\"; correct --redfish.chassis (they are "
                              "listed at " REDFISH_ROOT "Chassis)",
                              origin, inventory->n_not_wanted, names->items[0]);
    return carnot_err_set(err, ENODEV, "%s: none of its chassis tells energy or power", origin);
}

int redfish_inventory_read(struct redfish_service *service, const struct option_list *names,
                           struct redfish_inventory *ret_inventory, struct carnot_err *err)
{
    _cleanup_free_ struct redfish_members *members = calloc(1, sizeof(*members));
    _cleanup_free_ struct redfish_inventory *inventory = calloc(1, sizeof(*inventory));
    struct redfish_meter meter;
    bool speaks = false;

    if (!members || !inventory)
        return carnot_err_set(err, ENOMEM, "out of memory for the chassis");
    int r = read_root(service, &inventory->root, err);
    if (r >= 0)
        r = read_members(service, inventory->root.chassis, members, err);
    if (r < 0)
        return r;
    inventory->n_left_out = members->left_out;
    for (size_t i = 0; i < members->n; i++) {
        if (!is_wanted(members->paths[i], names)) {
            inventory->n_not_wanted++;
            continue;
        }
        r = read_chassis(service, members->paths[i], &meter, err);
        if (r >= 0)
            add_meter(inventory, &meter, &speaks);
        else
            inventory->n_left_out++;
        if (r == -ETIMEDOUT)
            carnot_err_wrap(err, "looking at all its chassis takes too long (name those to be read with "
                                 "--redfish.chassis)");
        /* Which one is this machine cannot be said while others may be. */
        if (r < 0 && (r == -ETIMEDOUT || redfish_service_is_down(service)))
            return r;
    }
    if (inventory->n == 0)
        return explain_nothing(service, inventory, names, err);
    redfish_find_host(inventory, names);
    *ret_inventory = *inventory;
    return 0;
}
