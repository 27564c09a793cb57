/* SPDX-License-Identifier: Apache-2.0 */
/* Which domain lies inside which other, and which of them make up the node without counting anything twice.
 * Knows the words of powercap and of accelerators; refuses to know any figure. */
#include "model/domain.h"

#include <string.h>

const char *domain_kind_name(enum domain_kind kind)
{
    static const char *const names[] = {
        [DOMAIN_PACKAGE] = "package", [DOMAIN_CORE] = "core", [DOMAIN_UNCORE] = "uncore", [DOMAIN_DRAM] = "dram",
        [DOMAIN_PSYS] = "psys",       [DOMAIN_GPU] = "gpu",   [DOMAIN_HOST] = "host",     [DOMAIN_OTHER] = "other",
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

bool domain_contains(const struct domain *outer, const struct domain *inner)
{
    switch (outer->kind) {
    case DOMAIN_HOST:
        return true;
    case DOMAIN_PSYS: /* the platform rail: a plug-in GPU and what we cannot name are not known to hang on it */
        return inner->kind != DOMAIN_HOST && inner->kind != DOMAIN_GPU && inner->kind != DOMAIN_OTHER;
    case DOMAIN_PACKAGE:
        return (inner->kind == DOMAIN_PACKAGE || inner->kind == DOMAIN_CORE || inner->kind == DOMAIN_UNCORE) &&
               region_covers(outer, inner);
    case DOMAIN_CORE:
    case DOMAIN_UNCORE:
    case DOMAIN_DRAM:
        return inner->kind == outer->kind && region_covers(outer, inner);
    case DOMAIN_GPU: /* cards and nameless zones have no region but their name */
    case DOMAIN_OTHER:
        return inner->kind == outer->kind && strcmp(outer->name, inner->name) == 0;
    }
    return false;
}

static bool has_kind(const struct domain *domains, size_t n, enum domain_kind kind)
{
    for (size_t i = 0; i < n; i++) {
        if (domains[i].kind == kind)
            return true;
    }
    return false;
}

struct candidates {
    bool host, psys;
};

static bool is_candidate(const struct candidates *c, const struct domain *domain)
{
    if (c->host)
        return domain->kind == DOMAIN_HOST;
    if (c->psys)
        return domain->kind == DOMAIN_PSYS || domain->kind == DOMAIN_GPU;
    return domain->kind == DOMAIN_PACKAGE || domain->kind == DOMAIN_DRAM || domain->kind == DOMAIN_GPU;
}

static bool overlaps_total(const struct domain *domains, size_t n, const struct domain *domain)
{
    for (size_t i = 0; i < n; i++) {
        if (domains[i].in_total && (domain_contains(&domains[i], domain) || domain_contains(domain, &domains[i])))
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

void domains_mark_total(struct domain *domains, size_t n)
{
    struct candidates c = {
        .host = has_kind(domains, n, DOMAIN_HOST),
        .psys = has_kind(domains, n, DOMAIN_PSYS) && !has_kind(domains, n, DOMAIN_PACKAGE),
    };

    for (size_t i = 0; i < n; i++)
        domains[i].in_total = false;

    /* Best quality first, then the outermost region, then the order of the sources: what is taken shuts out all that
     * overlaps it. Where a good inner figure meets a worse outer one this counts too little rather than twice. */
    for (int quality = QUALITY_MEASURED; quality <= QUALITY_DEFAULT; quality++) {
        for (unsigned narrow = 0; narrow <= 2; narrow++) {
            for (size_t i = 0; i < n; i++) {
                struct domain *domain = &domains[i];
                if ((int)domain->quality != quality || narrowness(domain) != narrow || !is_candidate(&c, domain))
                    continue;
                domain->in_total = !overlaps_total(domains, n, domain);
            }
        }
    }
}
