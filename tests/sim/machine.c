/* SPDX-License-Identifier: Apache-2.0 */
/* Energy in 128 bits of uW x ns, so that a microjoule is never rounded away. */
#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UW_NS_PER_UJ 1000000000U

/* A 32-bit counter of 61035 nJ and one of 15300 nJ: the largest value shown, and the value at which it wraps. Written
 * out, so that the reader under test is not checked against its own formula. */
#define PACKAGE_RANGE_UJ   262143328850ULL
#define PACKAGE_MODULUS_UJ 262143328911ULL
#define DRAM_RANGE_UJ      65712999613ULL
#define DRAM_MODULUS_UJ    65712999628ULL

static struct sim_zone *add_zone(struct sim_machine *machine, int parent, const char *name)
{
    if (machine->n_zones == SIM_ZONES_MAX)
        return NULL;

    struct sim_zone *zone = &machine->zones[machine->n_zones++];
    *zone = (struct sim_zone){
        .parent = parent, .follows = -1, .range_uj = PACKAGE_RANGE_UJ, .modulus_uj = PACKAGE_MODULUS_UJ};
    snprintf(zone->name, sizeof(zone->name), "%s", name);
    snprintf(zone->alias, sizeof(zone->alias), "%s", name);
    return zone;
}

static int add_part(struct sim_machine *machine, int parent, const char *name, unsigned *index)
{
    struct sim_zone *zone = add_zone(machine, parent, name);

    if (!zone)
        return -E2BIG;
    snprintf(zone->id, sizeof(zone->id), "%.32s:%u", machine->zones[parent].id, (*index)++);
    snprintf(zone->alias, sizeof(zone->alias), "%.10s%.24s", name, strchr(machine->zones[parent].name, '-'));
    if (strcmp(name, "dram") == 0) {
        zone->range_uj = DRAM_RANGE_UJ;
        zone->modulus_uj = DRAM_MODULUS_UJ;
    }
    return 0;
}

static int add_package(struct sim_machine *machine, const struct sim_shape *shape, unsigned package, unsigned die,
                       unsigned index)
{
    char name[40];
    unsigned part = 0;
    int self = machine->n_zones, r = 0;

    if (shape->dies > 1)
        snprintf(name, sizeof(name), "package-%u-die-%u", package, die);
    else
        snprintf(name, sizeof(name), "package-%u", package);
    struct sim_zone *zone = add_zone(machine, -1, name);
    if (!zone)
        return -E2BIG;
    snprintf(zone->id, sizeof(zone->id), "intel-rapl:%u", index);
    if (shape->core)
        r = add_part(machine, self, "core", &part);
    if (r == 0 && shape->uncore)
        r = add_part(machine, self, "uncore", &part);
    if (r == 0 && shape->dram)
        r = add_part(machine, self, "dram", &part);
    return r;
}

/* The package again, as the memory-mapped registers show it. */
static int add_mmio(struct sim_machine *machine, int of, unsigned index)
{
    struct sim_zone *zone = add_zone(machine, -1, machine->zones[of].name);

    if (!zone)
        return -E2BIG;
    snprintf(zone->id, sizeof(zone->id), "intel-rapl-mmio:%u", index);
    snprintf(zone->alias, sizeof(zone->alias), "%.39s-mmio", machine->zones[of].name);
    zone->follows = of;
    return 0;
}

int sim_machine_init(struct sim_machine *machine, const struct sim_shape *shape)
{
    unsigned index = 0;
    int r = 0;

    *machine = (struct sim_machine){0};
    for (unsigned package = 0; package < shape->packages && r == 0; package++) {
        for (unsigned die = 0; die < shape->dies && r == 0; die++)
            r = add_package(machine, shape, package, die, index++);
    }
    if (r == 0 && shape->psys) {
        struct sim_zone *zone = add_zone(machine, -1, "psys");
        if (!zone)
            return -E2BIG;
        snprintf(zone->id, sizeof(zone->id), "intel-rapl:%u", index);
    }
    unsigned mmio = 0;
    int n = machine->n_zones;
    for (int i = 0; i < n && r == 0 && shape->mmio; i++) {
        if (strncmp(machine->zones[i].name, "package-", 8) == 0)
            r = add_mmio(machine, i, mmio++);
    }
    return r;
}

void sim_machine_done(struct sim_machine *machine)
{
    free(machine->events);
    machine->events = NULL;
    machine->n_events = 0;
}

static bool equals(const char *s, const char *name, size_t len)
{
    return strlen(s) == len && memcmp(s, name, len) == 0;
}

int sim_zone_find(const struct sim_machine *machine, const char *name, size_t len)
{
    for (int i = 0; i < machine->n_zones; i++) {
        if (equals(machine->zones[i].id, name, len) || equals(machine->zones[i].alias, name, len))
            return i;
    }
    return -1;
}

int sim_event_add(struct sim_machine *machine, uint64_t t_ns, int zone, uint64_t power_uw)
{
    if (machine->n_events == SIM_EVENTS_MAX)
        return -E2BIG;
    struct sim_event *grown = realloc(machine->events, (machine->n_events + 1) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    machine->events = grown;
    machine->events[machine->n_events++] = (struct sim_event){.t_ns = t_ns, .zone = zone, .power_uw = power_uw};
    return 0;
}

static int compare_events(const void *a, const void *b)
{
    const struct sim_event *ea = a, *eb = b;

    return ea->t_ns < eb->t_ns ? -1 : ea->t_ns > eb->t_ns;
}

void sim_events_sort(struct sim_machine *machine)
{
    if (machine->n_events)
        qsort(machine->events, machine->n_events, sizeof(*machine->events), compare_events);
}

static void integrate(struct sim_machine *machine, uint64_t t_ns)
{
    for (int i = 0; i < machine->n_zones; i++) {
        struct sim_zone *zone = &machine->zones[i];
        zone->energy_uw_ns += (unsigned __int128)zone->power_uw * (t_ns - machine->now_ns);
    }
    machine->now_ns = t_ns;
}

void sim_advance_to(struct sim_machine *machine, uint64_t t_ns)
{
    while (machine->next_event < machine->n_events && machine->events[machine->next_event].t_ns <= t_ns) {
        const struct sim_event *event = &machine->events[machine->next_event++];
        if (event->t_ns > machine->now_ns)
            integrate(machine, event->t_ns);
        machine->zones[event->zone].power_uw = event->power_uw;
    }
    if (t_ns > machine->now_ns)
        integrate(machine, t_ns);
}

void sim_add_busy(struct sim_machine *machine, int zone, uint64_t busy_ns)
{
    for (int i = 0; i < machine->n_zones; i++) {
        struct sim_zone *z = &machine->zones[i];
        if (i == zone || z->parent == zone)
            z->energy_uw_ns += (unsigned __int128)z->busy_uw * busy_ns;
    }
}

static const struct sim_zone *source_of(const struct sim_machine *machine, int zone)
{
    const struct sim_zone *z = &machine->zones[zone];

    return z->follows >= 0 ? &machine->zones[z->follows] : z;
}

uint64_t sim_true_uj(const struct sim_machine *machine, int zone)
{
    return (uint64_t)(source_of(machine, zone)->energy_uw_ns / UW_NS_PER_UJ);
}

/* The counter as it would be if it never wrapped. */
static uint64_t unwrapped_uj(const struct sim_machine *machine, int zone)
{
    return machine->zones[zone].start_uj + sim_true_uj(machine, zone) - machine->zones[zone].origin_uj;
}

uint64_t sim_counter_uj(const struct sim_machine *machine, int zone)
{
    return unwrapped_uj(machine, zone) % machine->zones[zone].modulus_uj;
}

uint64_t sim_wraps(const struct sim_machine *machine, int zone)
{
    return machine->zones[zone].wraps_before + unwrapped_uj(machine, zone) / machine->zones[zone].modulus_uj;
}

void sim_reset(struct sim_machine *machine, int zone)
{
    struct sim_zone *z = &machine->zones[zone];

    z->wraps_before = sim_wraps(machine, zone);
    z->start_uj = 0;
    z->origin_uj = sim_true_uj(machine, zone);
    z->resets++;
}

void sim_set_vanished(struct sim_machine *machine, int zone, bool vanished)
{
    for (int i = 0; i < machine->n_zones; i++) {
        struct sim_zone *z = &machine->zones[i];
        if (i != zone && z->parent != zone)
            continue;
        if (vanished && !z->vanished)
            z->generation++;
        z->vanished = vanished;
    }
}
