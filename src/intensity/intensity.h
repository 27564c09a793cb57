/* SPDX-License-Identifier: Apache-2.0 */
/* Carbon intensity of electricity: in this version a static yearly table by country, chosen openly, never silently. */
#ifndef CARNOT_INTENSITY_INTENSITY_H
#define CARNOT_INTENSITY_INTENSITY_H

#include "base/err.h"
#include "base/fsroot.h"
#include "model/domain.h"

struct intensity_row {
    char iso3[4]; /* "FRA"; "OWID_WRL" is stored as "WLD" with iso2 "" */
    char iso2[3]; /* "FR" */
    const char *name;
    uint16_t year;
    uint32_t mg_kwh; /* milligrams CO2e per kWh, lifecycle average of generation */
};

/* Row of a country by ISO code (2 or 3 letters, any case) or "WORLD". NULL when unknown. */
const struct intensity_row *intensity_static_find(const char *code);
extern const struct intensity_row intensity_static_table[];
extern const size_t intensity_static_count;
extern const char intensity_static_source[]; /* "Ember (2025) via Our World in Data, CC BY 4.0" */

struct intensity {
    uint64_t mg_kwh;
    char zone[8];         /* "FRA", "WLD", or "" for a value given by hand */
    char source[96];      /* "Ember via Our World in Data, 2023" or "given by --intensity.g-per-kwh" */
    char chosen_by[96];   /* "--intensity.zone", "carnotd.yaml", "time zone Europe/Paris", "no time zone found: world
                             average" */
    enum quality quality; /* DERIVED for a chosen country, DEFAULT for the world average */
};

/* Chooses: g_per_kwh > 0 given by hand; else zone (a code); else the time zone of env->root (etc/timezone, then the
 * etc/localtime link, mapped to a country by usr/share/zoneinfo/zone1970.tab or zone.tab, "UTC" maps to none); else the
 * world. chosen_how names where the setting came from. -EINVAL for an unknown zone, naming near ones. */
int intensity_choose(const struct carnot_env *env, double g_per_kwh, const char *zone, const char *chosen_how,
                     struct intensity *ret, struct carnot_err *err);

/* Country (ISO2) of a tz name in the text of zone1970.tab or zone.tab. 0 or -ENOENT. A zone shared by countries gives
 * the first. */
int intensity_country_of_timezone(const char *tab_text, size_t len, const char *tz_name, char ret_iso2[3]);

#endif
