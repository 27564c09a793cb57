/* SPDX-License-Identifier: Apache-2.0 */
/* The zones of /sys/class/powercap: where they are, what they are called, and at which value their counters wrap.
 * Knows the tree and its names; reads no energy. */
#ifndef CARNOT_SOURCES_RAPL_ZONES_H
#define CARNOT_SOURCES_RAPL_ZONES_H

#include "base/fsroot.h"
#include "model/domain.h"

#define RAPL_ZONE_ID_MAX   48  /* "intel-rapl-mmio:10:12" and room for other drivers */
#define RAPL_ZONE_NAME_MAX 32  /* the kernel's own names are shorter than 20 */
#define RAPL_ZONE_PATH_MAX 192 /* class/powercap and three levels of ids */

struct rapl_zone {
    char path[RAPL_ZONE_PATH_MAX]; /* below the sys root: "class/powercap/intel-rapl:0" */
    char id[RAPL_ZONE_ID_MAX];     /* "intel-rapl:0:1" */
    char name[RAPL_ZONE_NAME_MAX]; /* the file "name", "" when there is none */
    int parent;                    /* index of the zone it lies in, -1 for a top zone */
    unsigned depth;
};

/* Every zone that has energy_uj, parents before their subzones, in numeric order of ids. Returns the count (0 when the
 * kernel has no powercap), -E2BIG when there are more than max. */
int rapl_zones_find(const struct fsroot *sys, struct rapl_zone *zones, size_t max, struct carnot_err *err);

/* Makes the domains of the zones: domains[i] belongs to zones[i]; kind, package, die, address and a name that is unique
 * among them; the rest is zeroed. */
void rapl_zones_domains(const struct rapl_zone *zones, size_t n, struct domain *domains);

/* Gives domains that are read in another way the address of the zone that powercap has under the same name, if any: who
 * knows a domain by it finds it, however it is read. */
void rapl_zones_addresses(const struct fsroot *sys, struct domain *domains, size_t n);

/* The value at which a counter of that max_energy_range_uj goes back to 0; 0 for 0 (unknown). */
uint64_t rapl_modulus_uj(uint64_t range_uj);

#endif
