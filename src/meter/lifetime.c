/* SPDX-License-Identifier: Apache-2.0 */
/* See lifetime.h. The difference between two runs is judged by the same delta as one between two readings: a wrap that
 * may have been unseen, a reset or a step beyond what the domain can draw is no proof. */
#include "meter/lifetime.h"

#include <errno.h>

static const char *origin_of(const struct domain *domain)
{
    for (size_t i = 0; i < source_registry_count; i++)
        if (source_registry[i]->group && strcmp(source_registry[i]->name, domain->source) == 0)
            return source_registry[i]->group;
    return domain->source;
}

/* The boot time of a moment that is known on the monotonic clock. */
static uint64_t boot_time(const struct carnot_now *now, uint64_t mono_ns)
{
    uint64_t ago_ns = now->mono_ns > mono_ns ? now->mono_ns - mono_ns : 0;

    return now->boot_ns > ago_ns ? now->boot_ns - ago_ns : 0;
}

static struct lifetime_mark mark_of(const struct energy_mark *from, const struct carnot_now *now)
{
    return (struct lifetime_mark){
        .known = from->known,
        .counter_uj = from->counter_uj,
        .modulus_uj = from->modulus_uj,
        .boot_ns = boot_time(now, from->mono_ns),
        .mono_ns = from->mono_ns,
    };
}

static bool suspended_between(const struct lifetime_mark *a, const struct lifetime_mark *b)
{
    struct carnot_now then = {.mono_ns = a->mono_ns, .boot_ns = a->boot_ns, .real_ns = a->boot_ns};
    struct carnot_now now = {.mono_ns = b->mono_ns, .boot_ns = b->boot_ns, .real_ns = b->boot_ns};
    struct clock_watch watch = {0};

    clock_watch_update(&watch, &then);
    return clock_watch_update(&watch, &now).suspended_ns > 0;
}

/* Energy from the last reading of the earlier run to the first one of this, both of one boot. False: not provable. */
static bool bridge(const struct lifetime_mark *a, const struct lifetime_mark *b, uint64_t max_uw, uint64_t *ret_uj)
{
    struct delta delta = {.last_uj = a->counter_uj, .last_ns = a->boot_ns, .primed = true};

    /* Clocks that ran backwards are those of another name space or a restored machine. */
    if (b->boot_ns < a->boot_ns || b->mono_ns < a->mono_ns || b->modulus_uj != a->modulus_uj || suspended_between(a, b))
        return false;
    enum delta_kind kind = delta_step(&delta, b->counter_uj, b->modulus_uj, max_uw, b->boot_ns, ret_uj);
    return kind == DELTA_FORWARD || kind == DELTA_WRAPPED;
}

void lifetime_begin(struct lifetime *lifetime, const struct energy *energy, const struct carnot_now *now)
{
    *lifetime = (struct lifetime){0};
    for (size_t i = 0; i < energy->n_domains; i++)
        lifetime->domains[i].since_real_ns = now->real_ns;
}

static size_t find_domain(const struct energy *energy, const struct lifetime_record *record)
{
    size_t i = 0;

    while (i < energy->n_domains && (strcmp(energy->domains[i].domain.name, record->name) != 0 ||
                                     strcmp(origin_of(&energy->domains[i].domain), record->origin) != 0))
        i++;
    return i;
}

static void take_record(struct lifetime *lifetime, const struct domain *domain, size_t index,
                        const struct lifetime_record *record)
{
    struct lifetime_domain *d = &lifetime->domains[index];
    bool same_counter = record->last.known && domain->lasting && strcmp(domain->source, record->source) == 0 &&
                        strcmp(domain->address, record->address) == 0;

    *d = (struct lifetime_domain){
        .base_uj = record->total_uj,
        .bridged_uj = record->bridged_uj,
        .gaps = record->gaps + !same_counter,
        .since_real_ns = record->since_real_ns,
        .earlier = record->last,
        .pending = same_counter,
        .kept_uj = record->total_uj,
        .kept_bridged_uj = record->bridged_uj,
    };
    lifetime->n_pending += same_counter;
}

int lifetime_restore(struct lifetime *lifetime, const struct energy *energy, const struct lifetime_state *state,
                     const char *boot, const struct carnot_now *now)
{
    bool same_boot = boot[0] && strcmp(boot, state->boot) == 0;
    struct lifetime_state *rest = calloc(1, sizeof(*rest));

    if (!rest)
        return -ENOMEM;
    for (size_t i = 0; i < state->n; i++) {
        struct lifetime_record record = state->records[i];
        size_t index = find_domain(energy, &record);

        record.last.known &= same_boot;
        if (index < energy->n_domains)
            take_record(lifetime, &energy->domains[index].domain, index, &record);
        else
            rest->records[rest->n++] = record;
    }
    free(lifetime->rest);
    lifetime->rest = rest;
    lifetime->kept = true;
    lifetime->kept_real_ns = state->saved_real_ns;
    lifetime_update(lifetime, energy, now);
    return 0;
}

void lifetime_update(struct lifetime *lifetime, const struct energy *energy, const struct carnot_now *now)
{
    for (size_t i = 0; i < energy->n_domains && lifetime->n_pending; i++) {
        struct lifetime_domain *d = &lifetime->domains[i];
        const struct energy_domain *from = &energy->domains[i];
        struct lifetime_mark first = mark_of(&from->first, now);
        uint64_t uj = 0;

        if (!d->pending || !first.known)
            continue;
        d->pending = false;
        lifetime->n_pending--;
        if (bridge(&d->earlier, &first, from->domain.max_uw, &uj) && uj <= LIFETIME_TOTAL_MAX_UJ - d->base_uj) {
            d->base_uj += uj;
            d->bridged_uj += uj;
        } else {
            d->gaps++;
        }
    }
}

uint64_t lifetime_total_uj(const struct lifetime *lifetime, const struct energy *energy, size_t domain)
{
    return lifetime->domains[domain].base_uj + energy->domains[domain].delta.total_uj;
}

void lifetime_save(struct lifetime *lifetime, const struct energy *energy, const struct carnot_now *now,
                   struct lifetime_state *out)
{
    out->n = 0;
    out->saved_real_ns = lifetime->handed_real_ns = now->real_ns;
    for (size_t i = 0; i < energy->n_domains; i++) {
        struct lifetime_domain *d = &lifetime->domains[i];
        const struct energy_domain *from = &energy->domains[i];
        struct lifetime_record *record = &out->records[out->n++];

        d->handed_uj = lifetime_total_uj(lifetime, energy, i);
        d->handed_bridged_uj = d->bridged_uj;
        *record = (struct lifetime_record){
            .total_uj = d->handed_uj,
            .bridged_uj = d->bridged_uj,
            .gaps = d->gaps,
            .since_real_ns = d->since_real_ns,
            .last = d->pending ? d->earlier : mark_of(&from->last, now),
        };
        snprintf(record->name, sizeof(record->name), "%s", from->domain.name);
        snprintf(record->origin, sizeof(record->origin), "%s", origin_of(&from->domain));
        snprintf(record->source, sizeof(record->source), "%s", from->domain.source);
        snprintf(record->address, sizeof(record->address), "%s", from->domain.address);
    }
    for (size_t i = 0; lifetime->rest && i < lifetime->rest->n && out->n < LIFETIME_RECORDS_MAX; i++)
        out->records[out->n++] = lifetime->rest->records[i];
}

void lifetime_confirm(struct lifetime *lifetime, size_t n_domains)
{
    for (size_t i = 0; i < n_domains; i++) {
        struct lifetime_domain *d = &lifetime->domains[i];

        d->kept_uj = d->handed_uj;
        d->kept_bridged_uj = d->handed_bridged_uj;
    }
    lifetime->kept_real_ns = lifetime->handed_real_ns;
}

void lifetime_done(struct lifetime *lifetime)
{
    free(lifetime->rest);
    *lifetime = (struct lifetime){0};
}
