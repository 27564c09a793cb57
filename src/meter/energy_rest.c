/* SPDX-License-Identifier: Apache-2.0 */
/* The rest of a host: what its meter tells less what the meters inside it tell, window by window, never below 0. Two
 * meters disagree by some percent and are read at different moments, so a window may have less in the whole than in the
 * parts; that is owed, and taken off the windows that follow: over time parts + rest = host. */
#include <errno.h>

#include "meter/energy.h"

/* What is owed is forgotten beyond a minute of the parts' energy: then the meters do not differ in time but in what
 * they measure, and the rest would stay 0 long after the host's meter was mended. */
#define OWED_MAX_S 60

static void copy_domains(const struct energy *energy, struct domain *domains)
{
    for (size_t i = 0; i < energy->n_domains; i++)
        domains[i] = energy->domains[i].domain;
}

void energy_rest_add(struct energy *energy)
{
    struct domain domains[DOMAINS_MAX];
    struct energy_rest *rest = &energy->rest;

    copy_domains(energy, domains);
    int host = domains_host(domains, energy->n_domains);
    if (host < 0 || energy->n_domains == DOMAINS_MAX ||
        domain_rest(domains, energy->n_domains, (size_t)host, &rest->parts) < 0)
        return;
    const struct domain *outer = &energy->domains[host].domain;
    struct energy_domain *added = &energy->domains[energy->n_domains];

    *added = (struct energy_domain){.status = -ENODATA,
                                    .domain = {.kind = DOMAIN_REST,
                                               .quality = quality_worse(rest->parts.quality, QUALITY_DERIVED),
                                               .package = -1,
                                               .die = -1,
                                               .node = -1,
                                               .source = outer->source}};
    copy_domains(energy, domains);
    domains[energy->n_domains] = added->domain;
    domain_set_unique_name(domains, energy->n_domains, domain_kind_name(DOMAIN_REST), "");
    added->domain = domains[energy->n_domains];
    rest->outer = (uint32_t)host;
    rest->index = (uint32_t)energy->n_domains++;
    rest->in_use = true;
}

/* Of this window. */
static uint64_t parts_uj(const struct energy *energy)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < energy->rest.parts.n_parts; i++)
        sum += energy->domains[energy->rest.parts.parts[i]].window_uj;
    return sum;
}

static uint64_t irregularities(const struct energy_domain *outer)
{
    return outer->delta.gaps + outer->delta.resets + outer->delta.absurd;
}

/* What the parts used in this window while the host's meter was counted: after a first reading or one after a gap, and
 * before a power that became too old. Taken to be even over the window. */
static uint64_t covered_uj(const struct energy *energy, const struct energy_domain *outer, bool counted,
                           uint64_t now_ns)
{
    uint64_t window_ns = energy->rest.window_ns ? now_ns - energy->rest.window_ns : 0;
    uint64_t begin_ns = max_u64(outer->window_begin_ns, energy->rest.window_ns);
    uint64_t end_ns = counted ? now_ns : outer->last_reading_ns;

    if (window_ns == 0 || outer->last_reading_ns == 0 || end_ns <= begin_ns)
        return 0;
    return muldiv_u64(parts_uj(energy), min_u64(end_ns - begin_ns, window_ns), window_ns);
}

/* Adds what the parts used in this window to what the host's meter has told or will tell. True when of some time before
 * it never will: the parts' energy of that time must not be taken off what it tells of another time. */
static bool match_parts(struct energy *energy, const struct energy_domain *outer)
{
    struct energy_rest *rest = &energy->rest;
    uint64_t now_ns = clock_now(energy->env->clock).mono_ns;
    bool counted = outer->held.primed || outer->delta.primed;
    bool irregular = irregularities(outer) != rest->irregular;
    bool resumed = !rest->counted;

    if (irregular)
        rest->owed_uj = 0;
    if (irregular || resumed || !counted)
        rest->unmatched_uj = covered_uj(energy, outer, counted, now_ns);
    else
        rest->unmatched_uj += parts_uj(energy);
    rest->irregular = irregularities(outer);
    rest->counted = counted;
    rest->window_ns = now_ns;
    return irregular;
}

void energy_rest_window(struct energy *energy)
{
    struct energy_rest *rest = &energy->rest;

    if (!rest->in_use)
        return;
    const struct energy_domain *outer = &energy->domains[rest->outer];
    struct energy_domain *d = &energy->domains[rest->index];
    uint64_t span_ns = energy_window_span_ns(outer);
    bool irregular = match_parts(energy, outer);

    d->status = outer->status;
    if (span_ns == 0)
        return; /* the host's meter said nothing: it will have the energy of this window too when it does */

    uint64_t inside_uj = rest->unmatched_uj + rest->owed_uj;
    uint64_t limit_uj = irregular ? 0 : muldiv_u64(rest->unmatched_uj, OWED_MAX_S * NS_PER_SEC, span_ns);
    uint64_t rest_uj = outer->window_uj > inside_uj ? outer->window_uj - inside_uj : 0;

    rest->owed_uj = inside_uj > outer->window_uj ? inside_uj - outer->window_uj : 0;
    if (rest->owed_uj > limit_uj) {
        rest->excess_uj += irregular ? 0 : rest->owed_uj - limit_uj;
        rest->owed_uj = limit_uj;
    }
    rest->unmatched_uj = 0;
    d->window_uj = rest_uj;
    d->step_uj = rest_uj;
    d->delta.total_uj += rest_uj;
    d->last_reading_ns = outer->last_reading_ns;
    d->window_begin_ns = outer->window_begin_ns;
    d->peak_uw = muldiv_u64(rest_uj, NS_PER_SEC, span_ns);
}

void energy_rest_describe(const struct energy *energy, struct buf *out)
{
    const struct energy_rest *rest = &energy->rest;

    if (!rest->in_use)
        return;
    buf_printf(out, "%s: %s less", energy->domains[rest->index].domain.name, energy->domains[rest->outer].domain.name);
    for (size_t i = 0; i < rest->parts.n_parts; i++)
        buf_printf(out, "%s %s", i ? "," : "", energy->domains[rest->parts.parts[i]].domain.name);
    if (rest->excess_uj) {
        buf_puts(out, "; the parts' meters told ");
        buf_put_fixed(out, rest->excess_uj, 6);
        buf_puts(out, " J more than the host's");
    }
    buf_putc(out, '\n');
}
