/* SPDX-License-Identifier: Apache-2.0 */
/* Walks class/powercap, where the kernel shows each zone twice: as a link in the class directory and as a directory
 * inside its parent zone. A zone is known by its id and taken once. */
#include "sources/rapl_zones.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

#define POWERCAP_DIR "class/powercap"

/* package, its parts, and one level more than any driver makes. Also ends a loop of links. */
#define ZONE_DEPTH_MAX 3

struct finder {
    const struct fsroot *sys;
    struct rapl_zone *zones;
    size_t n, max;
    const struct rapl_zone *parent; /* whose directory is being listed, NULL: class/powercap */
    struct carnot_err *err;
};

static bool is_known(const struct finder *finder, const char *id)
{
    for (size_t i = 0; i < finder->n; i++) {
        if (strcmp(finder->zones[i].id, id) == 0)
            return true;
    }
    return false;
}

static bool join(char *out, size_t size, const char *dir, const char *file)
{
    int n = snprintf(out, size, "%s/%s", dir, file);

    return n > 0 && (size_t)n < size;
}

static int take_entry(const char *name, unsigned char d_type, void *userdata)
{
    struct finder *finder = userdata;
    struct rapl_zone zone = {.parent = -1};
    char file[RAPL_ZONE_PATH_MAX + 16];

    /* Links inside a zone ("device", "subsystem") lead back up; in the class directory everything is a link. */
    if (d_type == DT_REG || (finder->parent && d_type == DT_LNK))
        return 0;
    size_t len = strlen(name);
    if (len >= sizeof(zone.id) || is_known(finder, name) ||
        !join(zone.path, sizeof(zone.path), finder->parent ? finder->parent->path : POWERCAP_DIR, name) ||
        !join(file, sizeof(file), zone.path, "energy_uj") || !fsroot_exists(finder->sys, file))
        return 0;
    if (finder->n == finder->max)
        return carnot_err_set(finder->err, E2BIG,
                              "%s/" POWERCAP_DIR " has more than the %zu zones that Carnot handles; please report the "
                              "machine",
                              finder->sys->path, finder->max);
    memcpy(zone.id, name, len + 1);
    zone.depth = finder->parent ? finder->parent->depth + 1 : 1;
    if (!join(file, sizeof(file), zone.path, "name") ||
        fsroot_read_line(finder->sys, file, zone.name, sizeof(zone.name), NULL) < 0)
        zone.name[0] = '\0'; /* no name, or one that says nothing to us: the id serves */
    finder->zones[finder->n++] = zone;
    return 0;
}

static bool is_intel_rapl(const char *id)
{
    return strncmp(id, "intel-rapl:", 11) == 0;
}

static bool is_mmio(const char *id)
{
    return strncmp(id, "intel-rapl-mmio", 15) == 0;
}

/* The zones that name the regions first, then all others; numbers inside ids count as numbers. */
static int compare_zones(const void *a, const void *b)
{
    const struct rapl_zone *za = a, *zb = b;

    if (is_intel_rapl(za->id) != is_intel_rapl(zb->id))
        return is_intel_rapl(za->id) ? -1 : 1;
    return strverscmp(za->id, zb->id);
}

/* "intel-rapl:0:1" lies in "intel-rapl:0". */
static int find_parent(const struct rapl_zone *zones, size_t n, const char *id)
{
    const char *colon = strrchr(id, ':');
    size_t len = colon ? (size_t)(colon - id) : 0;

    for (size_t i = 0; i < n && len; i++) {
        if (strlen(zones[i].id) == len && memcmp(zones[i].id, id, len) == 0)
            return (int)i;
    }
    return -1;
}

int rapl_zones_find(const struct fsroot *sys, struct rapl_zone *zones, size_t max, struct carnot_err *err)
{
    struct finder finder = {.sys = sys, .zones = zones, .max = max, .err = err};

    int r = fsroot_list(sys, POWERCAP_DIR, take_entry, &finder, NULL);
    for (size_t i = 0; i < finder.n && r >= 0; i++) {
        finder.parent = &zones[i];
        if (zones[i].depth < ZONE_DEPTH_MAX)
            r = fsroot_list(sys, zones[i].path, take_entry, &finder, NULL);
        if (r == -ENOENT || r == -ENOTDIR || r == -EACCES)
            r = 0; /* it vanished under our hands, or hides its inside: its energy may still be read */
    }
    if (r == -ENOENT || r == -ENOTDIR || r == -ENODEV)
        return 0;
    if (r < 0)
        return r == -E2BIG ? r : carnot_err_errno(err, r, "cannot list %s/" POWERCAP_DIR, sys->path);

    qsort(zones, finder.n, sizeof(*zones), compare_zones);
    for (size_t i = 0; i < finder.n; i++)
        zones[i].parent = find_parent(zones, finder.n, zones[i].id);
    return (int)finder.n;
}

/* "package-3" and "package-3-die-1". */
static bool parse_package_name(struct text name, int *ret_package, int *ret_die)
{
    struct text number = name;
    uint64_t package, die = 0;
    bool has_die;

    if (!text_starts(name, "package-"))
        return false;
    number.p += 8;
    number.n -= 8;
    if (scan_u64(&number, &package) < 0 || package > INT_MAX)
        return false;
    has_die = text_starts(number, "-die-");
    if (has_die) {
        number.p += 5;
        number.n -= 5;
        if (parse_u64(number, &die) < 0 || die > INT_MAX)
            return false;
    } else if (number.n) {
        return false;
    }
    *ret_package = (int)package;
    *ret_die = has_die ? (int)die : -1;
    return true;
}

/* Parts of a package, named after it. */
static bool parse_part_name(struct text name, enum domain_kind *ret_kind)
{
    static const struct {
        const char *name;
        enum domain_kind kind;
    } parts[] = {{"core", DOMAIN_CORE}, {"uncore", DOMAIN_UNCORE}, {"dram", DOMAIN_DRAM}};

    for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
        if (text_is(name, parts[i].name)) {
            *ret_kind = parts[i].kind;
            return true;
        }
    }
    return false;
}

/* Names become labels and file-like words: anything unusual is replaced. */
static void copy_word(char *out, size_t size, const char *word)
{
    size_t i = 0;

    for (; word[i] && i < size - 1; i++) {
        char c = word[i];
        bool usual = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '.' || c == ':';
        out[i] = usual ? c : '_';
    }
    out[i] = '\0';
}

static void make_domain(const struct rapl_zone *zones, size_t index, struct domain *domains)
{
    const struct rapl_zone *zone = &zones[index];
    const struct domain *parent = zone->parent >= 0 ? &domains[zone->parent] : NULL;
    struct domain *domain = &domains[index];
    struct text name = text_of(zone->name);
    char word[RAPL_ZONE_ID_MAX], full[128], where[40] = "";
    bool inside = parent && parent->package >= 0;

    *domain = (struct domain){.kind = DOMAIN_OTHER, .package = -1, .die = -1, .node = -1};
    copy_word(word, sizeof(word), zone->name[0] ? zone->name : zone->id);

    if (parse_package_name(name, &domain->package, &domain->die)) {
        domain->kind = DOMAIN_PACKAGE;
    } else if (text_is(name, "psys")) {
        domain->kind = DOMAIN_PSYS;
    } else {
        parse_part_name(name, &domain->kind);
        domain->package = inside ? parent->package : -1;
        domain->die = inside ? parent->die : -1;
        if (inside && domain->die >= 0)
            snprintf(where, sizeof(where), "-%d-die-%d", domain->package, domain->die);
        else if (inside)
            snprintf(where, sizeof(where), "-%d", domain->package);
    }

    /* The memory-mapped registers show the package that intel-rapl:N shows already: reported, never added. */
    if (is_mmio(zone->id))
        domain->kind = DOMAIN_OTHER;
    snprintf(full, sizeof(full), "%s%s%s", word, where, is_mmio(zone->id) ? "-mmio" : "");
    domain_set_unique_name(domains, index, full, "");
    snprintf(domain->address, sizeof(domain->address), "%s:%s", zone->name[0] ? zone->name : zone->id, zone->id);
}

void rapl_zones_domains(const struct rapl_zone *zones, size_t n, struct domain *domains)
{
    for (size_t i = 0; i < n; i++)
        make_domain(zones, i, domains);
}

void rapl_zones_addresses(const struct fsroot *sys, struct domain *domains, size_t n)
{
    _cleanup_free_ struct rapl_zone *zones = calloc(DOMAINS_MAX, sizeof(*zones));
    _cleanup_free_ struct domain *named = calloc(DOMAINS_MAX, sizeof(*named));
    int n_zones = zones && named ? rapl_zones_find(sys, zones, DOMAINS_MAX, NULL) : 0;

    if (n_zones <= 0)
        return;
    rapl_zones_domains(zones, (size_t)n_zones, named);
    for (size_t i = 0; i < n; i++) {
        for (int z = 0; z < n_zones; z++) {
            if (strcmp(named[z].name, domains[i].name) == 0)
                memcpy(domains[i].address, named[z].address, sizeof(domains[i].address));
        }
    }
}

uint64_t rapl_modulus_uj(uint64_t range_uj)
{
    const uint64_t counter_max = UINT32_MAX;

    /* The hardware counts 32 bits of a unit that the kernel keeps in whole nanojoules u; the range it tells is
     * floor((2^32 - 1) * u / 1000), the largest value shown, hence one unit short of where the counter wraps:
     * floor(2^32 * u / 1000). 61035 nJ gives 262143328850 and wraps at 262143328911. A range that no u explains is
     * taken as the modulus itself. */
    unsigned __int128 unit_nj = ((unsigned __int128)range_uj * 1000 + counter_max / 2) / counter_max;
    if (unit_nj == 0 || unit_nj * counter_max / 1000 != range_uj)
        return range_uj;

    unsigned __int128 modulus = (unit_nj << 32) / 1000;
    return modulus > UINT64_MAX ? range_uj : (uint64_t)modulus;
}
