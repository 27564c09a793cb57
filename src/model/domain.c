/* SPDX-License-Identifier: Apache-2.0 */
/* Which domain lies inside which other, and which of them make up the node without counting anything twice.
 * Knows the words of powercap and of accelerators; refuses to know any figure. */
#include "model/domain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *domain_kind_name(enum domain_kind kind)
{
    static const char *const names[] = {
        [DOMAIN_PACKAGE] = "package", [DOMAIN_CORE] = "core",   [DOMAIN_UNCORE] = "uncore",
        [DOMAIN_DRAM] = "dram",       [DOMAIN_PSYS] = "psys",   [DOMAIN_GPU] = "gpu",
        [DOMAIN_HOST] = "host",       [DOMAIN_OTHER] = "other", [DOMAIN_REST] = "rest",
    };

    return (size_t)kind < ELEMENTSOF(names) ? names[kind] : "other";
}

const char *quality_name(enum quality quality)
{
    static const char *const names[] = {
        [QUALITY_MEASURED] = "measured",
        [QUALITY_DERIVED] = "derived",
        [QUALITY_MODELLED] = "modelled",
        [QUALITY_DEFAULT] = "default",
    };

    return (size_t)quality < ELEMENTSOF(names) ? names[quality] : "default";
}

enum quality quality_worse(enum quality a, enum quality b)
{
    return a > b ? a : b;
}

/* -1 stands for "all of them" in the outer region. */
static bool id_covers(int outer, int inner)
{
    return outer < 0 || outer == inner;
}

static bool region_covers(const struct domain *outer, const struct domain *inner)
{
    if (outer->package < 0)
        return id_covers(outer->node, inner->node);
    return outer->package == inner->package && id_covers(outer->die, inner->die) && id_covers(outer->node, inner->node);
}

/* Cards and nameless zones have no region: a card has a bus address, all others a name. */
static bool is_same_thing(const struct domain *a, const struct domain *b)
{
    if (a->pci[0] && b->pci[0])
        return strcmp(a->pci, b->pci) == 0;
    return strcmp(a->name, b->name) == 0;
}

bool domain_contains(const struct domain *outer, const struct domain *inner)
{
    switch (outer->kind) {
    case DOMAIN_HOST:
        return true;
    case DOMAIN_PSYS: /* the platform rail: a plug-in GPU and what we cannot name are not known to hang on it */
        return inner->kind != DOMAIN_HOST && inner->kind != DOMAIN_GPU && inner->kind != DOMAIN_OTHER &&
               inner->kind != DOMAIN_REST;
    case DOMAIN_PACKAGE:
        if (inner->kind == DOMAIN_DRAM) /* memory of no named package may be any package's */
            return outer->with_dram && (inner->package < 0 || region_covers(outer, inner));
        return (inner->kind == DOMAIN_PACKAGE || inner->kind == DOMAIN_CORE || inner->kind == DOMAIN_UNCORE) &&
               region_covers(outer, inner);
    case DOMAIN_CORE:
    case DOMAIN_UNCORE:
    case DOMAIN_DRAM:
        return inner->kind == outer->kind && region_covers(outer, inner);
    case DOMAIN_GPU:
    case DOMAIN_OTHER:
    case DOMAIN_REST:
        return inner->kind == outer->kind && is_same_thing(outer, inner);
    }
    return false;
}

static bool has_kind(const struct domain *domains, size_t n, enum domain_kind kind, enum quality worst)
{
    for (size_t i = 0; i < n; i++) {
        if (domains[i].kind == kind && domains[i].quality <= worst)
            return true;
    }
    return false;
}

struct candidates {
    bool host, psys;
    const struct domain *inside; /* only what this one contains, itself apart; NULL: anything */
    enum quality worst;
};

static bool is_candidate(const struct candidates *c, const struct domain *domain)
{
    if (c->inside && (domain == c->inside || !domain_contains(c->inside, domain)))
        return false;
    if (domain->quality > c->worst)
        return false;
    if (c->host)
        return domain->kind == DOMAIN_HOST;
    if (c->psys)
        return domain->kind == DOMAIN_PSYS || domain->kind == DOMAIN_GPU;
    return domain->kind == DOMAIN_PACKAGE || domain->kind == DOMAIN_DRAM || domain->kind == DOMAIN_GPU;
}

static bool overlaps_chosen(const struct domain *domains, size_t n, const bool *chosen, const struct domain *domain)
{
    for (size_t i = 0; i < n; i++) {
        if (chosen[i] && (domain_contains(&domains[i], domain) || domain_contains(domain, &domains[i])))
            return true;
    }
    return false;
}

/* How much of the machine a region is: 0 all of it, then a package, then a part of a package. */
static unsigned narrowness(const struct domain *domain)
{
    if (domain->die >= 0 || domain->node >= 0)
        return 2;
    return domain->package >= 0 ? 1 : 0;
}

/* Best quality first, then the outermost region, then the order of the sources: what is taken shuts out all that
 * overlaps it. Where a good inner figure meets a worse outer one this counts too little rather than twice. */
static void choose(const struct domain *domains, size_t n, const struct candidates *c, bool chosen[DOMAINS_MAX])
{
    memset(chosen, 0, DOMAINS_MAX * sizeof(*chosen));
    for (int quality = QUALITY_MEASURED; quality <= QUALITY_DEFAULT; quality++) {
        for (unsigned narrow = 0; narrow <= 2; narrow++) {
            for (size_t i = 0; i < n; i++) {
                const struct domain *domain = &domains[i];
                if ((int)domain->quality != quality || narrowness(domain) != narrow || !is_candidate(c, domain))
                    continue;
                chosen[i] = !overlaps_chosen(domains, n, chosen, domain);
            }
        }
    }
}

/* A modelled package does not displace a measured psys. */
static bool psys_stands_for_packages(const struct domain *domains, size_t n, enum quality worst)
{
    if (has_kind(domains, n, DOMAIN_PSYS, QUALITY_DERIVED))
        worst = QUALITY_DERIVED;
    return has_kind(domains, n, DOMAIN_PSYS, worst) && !has_kind(domains, n, DOMAIN_PACKAGE, worst);
}

int domains_host(const struct domain *domains, size_t n)
{
    int best = -ENOENT;

    for (size_t i = 0; i < min_size(n, DOMAINS_MAX); i++)
        if (domains[i].kind == DOMAIN_HOST && (best < 0 || domains[i].quality < domains[best].quality))
            best = (int)i;
    return best;
}

/* The host is what its parts and its rest are together. */
static void mark_rest(const struct domain *domains, size_t n, bool chosen[DOMAINS_MAX])
{
    struct domain_rest rest;
    int host = domains_host(domains, n);

    if (!has_kind(domains, n, DOMAIN_REST, QUALITY_DEFAULT) || host < 0 ||
        domain_rest(domains, n, (size_t)host, &rest) < 0)
        return;
    memset(chosen, 0, DOMAINS_MAX * sizeof(*chosen));
    for (size_t i = 0; i < rest.n_parts; i++)
        chosen[rest.parts[i]] = true;
    for (size_t i = 0; i < n; i++)
        if (domains[i].kind == DOMAIN_REST) {
            chosen[i] = true; /* there is one at most */
            return;
        }
}

void domains_mark_total(struct domain *domains, size_t n)
{
    bool chosen[DOMAINS_MAX];
    size_t known = min_size(n, DOMAINS_MAX);
    struct candidates c = {
        .host = has_kind(domains, known, DOMAIN_HOST, QUALITY_DEFAULT),
        .psys = psys_stands_for_packages(domains, known, QUALITY_DEFAULT),
        .worst = QUALITY_DEFAULT,
    };

    choose(domains, known, &c, chosen);
    mark_rest(domains, known, chosen);
    for (size_t i = 0; i < n; i++)
        domains[i].in_total = i < known && chosen[i];
}

int domain_rest(const struct domain *domains, size_t n, size_t outer, struct domain_rest *ret_rest)
{
    bool chosen[DOMAINS_MAX];
    struct domain_rest rest = {0};

    n = min_size(n, DOMAINS_MAX);
    if (outer >= n || (domains[outer].kind != DOMAIN_HOST && domains[outer].kind != DOMAIN_PSYS))
        return -EINVAL;

    struct candidates c = {
        .psys = domains[outer].kind == DOMAIN_HOST && psys_stands_for_packages(domains, n, QUALITY_DERIVED),
        .inside = &domains[outer],
        .worst = QUALITY_DERIVED,
    };
    choose(domains, n, &c, chosen);
    rest.quality = domains[outer].quality;
    for (size_t i = 0; i < n; i++) {
        if (!chosen[i])
            continue;
        rest.parts[rest.n_parts++] = (uint32_t)i;
        rest.quality = quality_worse(rest.quality, domains[i].quality);
    }
    if (rest.n_parts == 0)
        return -ENODATA;
    *ret_rest = rest;
    return 0;
}

uint64_t domain_rest_uj(const struct domain_rest *rest, uint64_t outer_uj, const uint64_t *energy_uj,
                        uint64_t *ret_excess_uj)
{
    uint64_t parts_uj = 0;

    for (size_t i = 0; i < rest->n_parts; i++)
        parts_uj += energy_uj[rest->parts[i]];
    *ret_excess_uj = parts_uj > outer_uj ? parts_uj - outer_uj : 0;
    return parts_uj > outer_uj ? 0 : outer_uj - parts_uj;
}

void domain_plain_name(char *name)
{
    for (; *name; name++) {
        bool usual = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                     (*name >= '0' && *name <= '9') || strchr("-_.:", *name);
        if (!usual)
            *name = '_';
    }
}

static bool name_is_taken(const struct domain *domains, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(domains[i].name, name) == 0)
            return true;
    return false;
}

void domain_set_unique_name(struct domain *domains, size_t index, const char *base, const char *suffix)
{
    char *name = domains[index].name;
    const int room = DOMAIN_NAME_MAX - 1 - 4 - (int)strlen(suffix); /* 4: "-NNN", since there are DOMAINS_MAX at most */

    snprintf(name, DOMAIN_NAME_MAX, "%.*s%s", room, base, suffix);
    for (unsigned i = 2; name_is_taken(domains, index, name) && i <= DOMAINS_MAX; i++)
        snprintf(name, DOMAIN_NAME_MAX, "%.*s-%u%s", room, base, i, suffix);
}
