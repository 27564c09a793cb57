/* SPDX-License-Identifier: Apache-2.0 */
/* The choice of a carbon intensity. Knows the order (by hand, zone, time zone, world) and says which one it took;
 * refuses to guess silently. */
#include "intensity/intensity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "intensity/near.h"
#include "intensity/timezone.h"

/* The dirtiest plants emit about 1,500 g/kWh; what is beyond this was meant in milligrams or per MWh. */
#define G_PER_KWH_MAX 5000.0

/* As much of a wrong zone as a message shows. */
#define SHOWN_ZONE_MAX 40

#define WORLD_ISO3 "WLD"

const struct intensity_row *intensity_static_find(const char *code)
{
    size_t n = code ? strlen(code) : 0;

    if (code && strcasecmp(code, "WORLD") == 0)
        return intensity_static_find(WORLD_ISO3);
    if (n != 2 && n != 3)
        return NULL;
    for (size_t i = 0; i < intensity_static_count; i++) {
        const struct intensity_row *row = &intensity_static_table[i];
        if (strcasecmp(code, n == 2 ? row->iso2 : row->iso3) == 0)
            return row;
    }
    return NULL;
}

/* Fields are shorter than their rooms for every row of the table and every zone name; a long chosen_how is cut. */
static void put(char *room, size_t size, const char *text)
{
    size_t n = min_size(strlen(text), size - 1);

    memcpy(room, text, n);
    room[n] = '\0';
}

static void take_row(const struct intensity_row *row, const char *chosen_by, struct intensity *ret)
{
    struct intensity chosen = {
        .mg_kwh = row->mg_kwh,
        .quality = strcmp(row->iso3, WORLD_ISO3) == 0 ? QUALITY_DEFAULT : QUALITY_DERIVED,
    };

    put(chosen.zone, sizeof(chosen.zone), row->iso3);
    put(chosen.chosen_by, sizeof(chosen.chosen_by), chosen_by);
    snprintf(chosen.source, sizeof(chosen.source), "Ember via Our World in Data, %u", row->year);
    *ret = chosen;
}

static int choose_by_hand(double g_per_kwh, const char *chosen_how, struct intensity *ret, struct carnot_err *err)
{
    if (!(g_per_kwh > 0) || g_per_kwh > G_PER_KWH_MAX) {
        /* Whole numbers in the message: printing a double would depend on the locale. */
        return carnot_err_set(err, EINVAL,
                              "%s: a carbon intensity is between 0 and %u grams CO2e per kWh; check that the value is "
                              "in grams per kWh",
                              chosen_how, (unsigned)G_PER_KWH_MAX);
    }

    struct intensity chosen = {
        .mg_kwh = (uint64_t)(g_per_kwh * 1000.0 + 0.5),
        .quality = QUALITY_DERIVED,
    };
    snprintf(chosen.source, sizeof(chosen.source), "given by %.80s", chosen_how);
    put(chosen.chosen_by, sizeof(chosen.chosen_by), chosen_how);
    *ret = chosen;
    return 0;
}

static int unknown_zone(const char *zone, const char *chosen_how, struct carnot_err *err)
{
    const struct intensity_row *near[NEAR_MAX];
    char hint[256] = "";
    size_t used = 0;
    size_t n = intensity_near(zone, near);

    for (size_t i = 0; i < n && used < sizeof(hint); i++) {
        const char *before = i == 0 ? " Did you mean " : i + 1 == n ? " or " : ", ";
        int len = snprintf(hint + used, sizeof(hint) - used, "%s%s (%s)", before, near[i]->iso3, near[i]->name);
        used += len > 0 ? (size_t)len : 0;
    }
    return carnot_err_set(err, EINVAL,
                          "%s: no carbon intensity is known for the zone \"%.*s\".%s%s Give a country by its ISO 3166 "
                          "code (FR or FRA), WORLD, or a value of your own in grams per kWh",
                          chosen_how, SHOWN_ZONE_MAX, zone, hint, n ? "?" : "");
}

/* Fills chosen_by; returns the row, never NULL. */
static const struct intensity_row *row_by_timezone(const struct carnot_env *env, char *chosen_by, size_t size)
{
    const struct intensity_row *world = intensity_static_find(WORLD_ISO3);
    char name[TIMEZONE_NAME_MAX], iso2[3];

    if (!env || timezone_read(env, name) < 0) {
        put(chosen_by, size, "no time zone found: world average");
        return world;
    }
    if (timezone_country(env, name, iso2) < 0) {
        snprintf(chosen_by, size, "time zone %s has no country: world average", name);
        return world;
    }

    const struct intensity_row *row = intensity_static_find(iso2);
    if (!row) {
        snprintf(chosen_by, size, "time zone %s, no figure for %s: world average", name, iso2);
        return world;
    }
    snprintf(chosen_by, size, "time zone %s", name);
    return row;
}

int intensity_choose(const struct carnot_env *env, double g_per_kwh, const char *zone, const char *chosen_how,
                     struct intensity *ret, struct carnot_err *err)
{
    char chosen_by[sizeof(ret->chosen_by)];

    if (g_per_kwh != 0)
        return choose_by_hand(g_per_kwh, chosen_how ? chosen_how : "--intensity.g-per-kwh", ret, err);

    if (zone && zone[0]) {
        const struct intensity_row *row = intensity_static_find(zone);
        const char *how = chosen_how ? chosen_how : "--intensity.zone";

        if (!row)
            return unknown_zone(zone, how, err);
        take_row(row, how, ret);
        return 0;
    }

    take_row(row_by_timezone(env, chosen_by, sizeof(chosen_by)), chosen_by, ret);
    return 0;
}
