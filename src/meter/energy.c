/* SPDX-License-Identifier: Apache-2.0 */
/* See energy.h. A failing source slows itself down and stops nobody else; a slow one has a thread. */
#include "meter/energy.h"

#include <errno.h>
#include <inttypes.h>

#define POWER_MAX_DEFAULT_UW (10000ULL * 1000000)
#define HELD_GAP_MAX_NS      (3600 * NS_PER_SEC) /* held_until_ns ends it long before */
#define BACKOFF_FIRST_NS     (100 * NS_PER_MS)   /* one sampling interval */
#define SLOW_INTERVAL_MIN_NS (100 * NS_PER_MS)   /* the sampling interval that we advise */
#define BACKOFF_MAX_NS       (60 * NS_PER_SEC)   /* a source that comes back is seen within a minute */

static bool listed(const struct option_list *list, const char *name)
{
    for (size_t i = 0; list && i < list->count; i++)
        if (strcmp(list->items[i], name) == 0)
            return true;
    return false;
}

static bool kind_is_covered(const struct energy *energy, enum domain_kind kind)
{
    for (size_t i = 0; i < energy->n_domains; i++)
        if (energy->domains[i].domain.kind == kind)
            return true;
    return false;
}

/* Takes the source's domains into ours. A model's domain is left out where a measuring source has that kind. */
static size_t adopt_domains(struct energy *energy, struct energy_source *source)
{
    const struct domain *domains;
    size_t n = source->ops->domains(source->self, &domains);
    size_t before = energy->n_domains;
    bool covered[DOMAINS_MAX] = {false};

    for (size_t i = 0; i < n && i < DOMAINS_MAX; i++)
        covered[i] = (source->ops->flags & SOURCE_MODEL) && kind_is_covered(energy, domains[i].kind);
    for (size_t i = 0; i < DOMAINS_MAX; i++)
        source->first_domain[i] = UINT32_MAX;
    for (size_t i = 0; i < n && i < DOMAINS_MAX && energy->n_domains < DOMAINS_MAX; i++) {
        if (covered[i])
            continue;
        source->first_domain[i] = (uint32_t)energy->n_domains;
        energy->domains[energy->n_domains++] = (struct energy_domain){
            .domain = domains[i],
            .idle_uw = domains[i].idle_uw,
            .status = -ENODATA,
        };
        power_integral_init(&energy->domains[energy->n_domains - 1].held, POWER_PREVIOUS, HELD_GAP_MAX_NS);
    }
    return energy->n_domains - before;
}

static void open_source(struct energy *energy, const struct topology *topology, struct energy_source *source)
{
    struct source_args args = {.env = energy->env,
                               .topology = topology,
                               .settings = source->ops->settings,
                               .calibration = energy->calibration};
    struct carnot_err err = CARNOT_ERR_INIT;
    int r = source->ops->probe ? source->ops->probe(&args, &err) : 0;

    if (r >= 0)
        r = source->ops->open(&args, &source->self, &err);
    if (r < 0) {
        source->self = NULL;
        source->state = r;
        snprintf(source->message, sizeof source->message, "%s", err.msg);
        return;
    }
    if (adopt_domains(energy, source) == 0) {
        source->self = source->ops->close(source->self);
        source->state = -EALREADY;
        snprintf(source->message, sizeof source->message, "not needed: every domain it gives is measured");
    }
}

/* The source in use that reads the same counters in another way, NULL when there is none. */
static const struct energy_source *same_group(const struct energy *energy, const struct source_ops *ops)
{
    for (size_t i = 0; i < energy->n_sources && ops->group; i++) {
        const struct energy_source *other = &energy->sources[i];
        if (other->self && other->ops->group && strcmp(other->ops->group, ops->group) == 0)
            return other;
    }
    return NULL;
}

static void mark_totals(struct energy *energy)
{
    struct domain domains[DOMAINS_MAX];

    for (size_t i = 0; i < energy->n_domains; i++)
        domains[i] = energy->domains[i].domain;
    domains_mark_total(domains, energy->n_domains);
    for (size_t i = 0; i < energy->n_domains; i++)
        energy->domains[i].domain.in_total = domains[i].in_total;
}

/* Models come last in the registry: what is measured is known by then. */
static void check_calibration(struct energy *energy, const char *file)
{
    struct domain domains[DOMAINS_MAX];
    struct carnot_err why = CARNOT_ERR_INIT;

    for (size_t i = 0; i < energy->n_domains; i++)
        domains[i] = energy->domains[i].domain;
    if (!energy->calibration ||
        calibration_check_domains(energy->calibration, domains, energy->n_domains, file, &why) >= 0)
        return;
    energy->calibration = NULL;
    snprintf(energy->calibration_why, sizeof energy->calibration_why, "%s", why.msg);
}

/* Idle power where the source tells none. Models have taken theirs; a figure above what the domain can draw is none. */
static void take_idle_powers(struct energy *energy)
{
    for (size_t i = 0; i < energy->n_domains && energy->calibration; i++) {
        struct energy_domain *d = &energy->domains[i];
        const struct calibration_domain *known = calibration_find(energy->calibration, &d->domain);

        if (d->idle_uw || d->domain.quality > QUALITY_DERIVED || !known || known->idle_uw == 0)
            continue;
        if (d->domain.max_uw && known->idle_uw > d->domain.max_uw)
            continue;
        d->idle_uw = d->domain.idle_uw = known->idle_uw;
        d->idle_calibrated = true;
    }
}

int energy_open(const struct carnot_env *env, const struct topology *topology, const struct option_list *only,
                const struct option_list *off, struct energy *ret_energy, struct carnot_err *err)
{
    return energy_open_calibrated(env, topology, only, off, NULL, "", ret_energy, err);
}

int energy_open_calibrated(const struct carnot_env *env, const struct topology *topology,
                           const struct option_list *only, const struct option_list *off,
                           const struct calibration *calibration, const char *file, struct energy *ret_energy,
                           struct carnot_err *err)
{
    struct energy energy = {.env = env, .calibration = calibration};

    energy.domains = calloc(DOMAINS_MAX, sizeof *energy.domains);
    energy.readings = calloc(DOMAINS_MAX, sizeof *energy.readings);
    if (!energy.domains || !energy.readings) {
        energy_close(&energy);
        return carnot_err_set(err, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < source_registry_count && i < ENERGY_SOURCES_MAX; i++) {
        struct energy_source *source = &energy.sources[energy.n_sources++];

        source->ops = source_registry[i];
        source->crosscheck_ppm = INT64_MIN;
        if ((only && only->count && !listed(only, source->ops->name)) || listed(off, source->ops->name)) {
            source->state = -ECANCELED;
            snprintf(source->message, sizeof source->message, "switched off");
            continue;
        }
        const struct energy_source *other = same_group(&energy, source->ops);
        if (other) {
            source->state = -EALREADY;
            bool checks = energy_witness_open(&energy, topology, source, other->ops->name);
            snprintf(source->message, sizeof source->message, "not needed%s: %s reads the same counters",
                     checks ? " but to check it" : "", other->ops->name);
            continue;
        }
        if (source->ops->flags & SOURCE_MODEL)
            check_calibration(&energy, file);
        open_source(&energy, topology, source);
    }
    check_calibration(&energy, file);
    if (energy.n_domains == 0) {
        energy_close(&energy);
        return carnot_err_set(err, ENODEV,
                              "no energy source can be used; run `carnot doctor` to see why and what mends it");
    }
    energy_rest_add(&energy);
    take_idle_powers(&energy);
    mark_totals(&energy);
    *ret_energy = energy;
    return 0;
}

/* A domain whose last power still counts has no trouble yet. */
static void set_status(struct energy *energy, const struct energy_source *source, int status)
{
    for (size_t i = 0; i < DOMAINS_MAX; i++)
        if (source->first_domain[i] != UINT32_MAX && !energy->domains[source->first_domain[i]].held.primed)
            energy->domains[source->first_domain[i]].status = status;
}

static void fail_source(struct energy *energy, struct energy_source *source, uint64_t now_ns, int status,
                        const char *msg)
{
    uint64_t wait = BACKOFF_FIRST_NS << (source->failures < 10 ? source->failures : 10);

    source->errors++;
    source->failures++;
    source->not_before_ns = now_ns + min_u64(wait, BACKOFF_MAX_NS);
    snprintf(source->message, sizeof source->message, "%s", msg);
    set_status(energy, source, status);
}

void energy_start(struct energy *energy)
{
    uint64_t now_ns = clock_now(energy->env->clock).mono_ns;

    for (size_t i = 0; i < energy->n_sources; i++) {
        struct energy_source *source = &energy->sources[i];
        uint64_t interval_ns = max_u64(source->ops->min_interval_ns, SLOW_INTERVAL_MIN_NS);
        struct carnot_err err = CARNOT_ERR_INIT;

        if (!source->self || source->thread || !(source->ops->flags & SOURCE_SLOW))
            continue;
        source->answer_ns = now_ns;
        source->stale_ns = now_ns + ENERGY_STALE_NS;
        snprintf(source->message, sizeof source->message, "waiting for its first answer");
        int r = energy_thread_start(source->ops, source->self, energy->env->clock, interval_ns, &source->thread, &err);
        if (r < 0)
            fail_source(energy, source, now_ns, r, err.msg);
    }
}

/* A source whose read hangs is closed by its thread, should that ever go on. */
static void close_source(struct energy_source *source)
{
    bool ours = true;

    if (source->thread)
        ours = energy_thread_stop(source->thread, ENERGY_CLOSE_WAIT_NS);
    source->thread = NULL;
    if (source->self && ours)
        source->ops->close(source->self);
    source->self = NULL;
}

void energy_close(struct energy *energy)
{
    /* All are asked before the first is waited for. */
    for (size_t i = 0; i < energy->n_sources; i++)
        if (energy->sources[i].thread)
            energy_thread_ask_stop(energy->sources[i].thread);
    for (size_t i = 0; i < energy->n_sources; i++)
        close_source(&energy->sources[i]);
    energy_witness_close(energy);
    free(energy->domains);
    free(energy->readings);
    *energy = (struct energy){0};
}

static bool is_due(const struct energy_source *source, uint64_t now_ns, bool at_tick)
{
    uint64_t interval = source->ops->min_interval_ns;

    if (!source->self || now_ns < source->not_before_ns)
        return false;
    if (source->last_read_ns == 0 || interval == 0)
        return true;
    /* Windows end when the timer fires, a little early or late: at a tick half the interval will do. Between ticks a
     * slow source waits for the tick. */
    return now_ns - source->last_read_ns >= (at_tick ? interval / 2 : interval + interval / 2);
}

/* From here on the domain is counted (again): the time since its last reading is no part of the window's span. */
static void skip_to(struct energy_domain *d, uint64_t from_ns)
{
    if (d->last_reading_ns == 0)
        d->window_begin_ns = from_ns;
    else if (from_ns > d->last_reading_ns)
        d->window_begin_ns += from_ns - d->last_reading_ns;
}

/* Counts the power that is held up to now. What became too old is counted no longer: what was drawn since is a gap. */
static void count_held(struct energy_domain *d, uint64_t now_ns)
{
    uint64_t before_uj = d->held.uj, until_ns = min_u64(now_ns, d->held_until_ns);

    if (!d->held.primed)
        return;
    power_integral_add(&d->held, d->held.last_uw, until_ns);
    d->delta.total_uj += d->held.uj - before_uj;
    d->window_uj += d->held.uj - before_uj;
    d->step_uj += d->held.uj - before_uj;
    d->peak_uw = max_u64(d->peak_uw, d->held.last_uw);
    d->last_reading_ns = max_u64(d->last_reading_ns, until_ns);
    if (now_ns <= d->held_until_ns)
        return;
    power_integral_reset(&d->held);
    d->delta.gaps++;
    d->status = -ESTALE;
}

/* As for counters (attribution/delta): twice the most that the domain can draw, 10 kW where that is unknown. What is no
 * part of the node may be a cabinet, of which the parsers know a limit. */
static bool is_plausible(const struct domain *domain, uint64_t power_uw)
{
    uint64_t most_uw = domain->max_uw ? domain->max_uw : POWER_MAX_DEFAULT_UW;

    return domain->kind == DOMAIN_OTHER || power_uw <= 2 * most_uw;
}

static void take_power(struct energy_domain *d, const struct reading *reading, uint64_t interval_ns)
{
    if (!is_plausible(&d->domain, reading->power_uw)) {
        d->delta.absurd++; /* the last one counts on */
        return;
    }

    uint64_t from_ns = max_u64(reading->mono_ns, d->last_reading_ns);

    count_held(d, from_ns);
    power_integral_add(&d->held, reading->power_uw, from_ns);
    d->held_until_ns = from_ns + max_u64(ENERGY_STALE_NS, ENERGY_HOLD_INTERVALS * interval_ns);
    if (d->last_reading_ns == 0 || d->delta.gaps != d->gaps_seen)
        skip_to(d, from_ns);
    d->gaps_seen = d->delta.gaps;
    d->last_reading_ns = from_ns;
    d->status = 0;
}

static void take_reading(struct energy *energy, const struct energy_source *source, const struct reading *reading)
{
    uint32_t index = reading->domain < DOMAINS_MAX ? source->first_domain[reading->domain] : UINT32_MAX;
    struct energy_domain *d;
    uint64_t delta_uj = 0;

    if (index == UINT32_MAX)
        return;
    d = &energy->domains[index];
    if (reading->status == 0 && reading->is_power) {
        take_power(d, reading, source->ops->min_interval_ns);
        return;
    }
    /* While a power is held, one failed reading changes nothing but what the source's message says. */
    if (reading->status < 0 && d->held.primed)
        return;
    d->status = reading->status;
    if (reading->status < 0)
        return;
    if (reading->idle_uw)
        d->idle_uw = reading->idle_uw;
    enum delta_kind kind =
        delta_step(&d->delta, reading->counter_uj, reading->modulus_uj, d->domain.max_uw, reading->mono_ns, &delta_uj);
    if (reading->gap && (kind == DELTA_FORWARD || kind == DELTA_WRAPPED)) {
        d->delta.gaps++;
        kind = DELTA_GAP;
    }
    if ((kind == DELTA_FORWARD || kind == DELTA_WRAPPED) && d->last_reading_ns && reading->mono_ns > d->last_reading_ns)
        d->peak_uw = max_u64(d->peak_uw, muldiv_u64(delta_uj, NS_PER_SEC, reading->mono_ns - d->last_reading_ns));
    if (kind == DELTA_FIRST)
        skip_to(d, reading->mono_ns);
    d->window_uj += delta_uj;
    d->step_uj += delta_uj;
    d->last_reading_ns = reading->mono_ns;
    d->last = (struct energy_mark){.known = true,
                                   .counter_uj = reading->counter_uj,
                                   .modulus_uj = reading->modulus_uj,
                                   .mono_ns = reading->mono_ns};
    if (!d->first.known)
        d->first = d->last;
}

/* What one call of a source's read() gave; its readings are in energy->readings. */
static void absorb(struct energy *energy, struct energy_source *source, const struct energy_set *set)
{
    size_t good = 0, bad = 0;

    source->reads++;
    source->last_read_ns = set->begin_ns;
    source->read_ns = set->end_ns - set->begin_ns;
    if (set->n < 0) {
        fail_source(energy, source, set->end_ns, set->n, set->err.msg);
        return;
    }
    for (int i = 0; i < set->n; i++) {
        take_reading(energy, source, &energy->readings[i]);
        if (energy->readings[i].status == 0)
            good++;
        else if (energy->readings[i].status != -ENODATA)
            bad++;
    }
    source->failures = 0;
    source->not_before_ns = 0;
    if (bad) {
        source->errors++;
        snprintf(source->message, sizeof source->message, "%zu of %d domains cannot be read%s%s", bad, set->n,
                 set->err.msg[0] ? ": " : "", set->err.msg);
    } else {
        source->message[0] = '\0';
    }
    if (good)
        source->last_success_real_ns = set->end_real_ns;
}

static void read_source(struct energy *energy, struct energy_source *source)
{
    struct energy_set set = {.err = CARNOT_ERR_INIT};
    struct carnot_now now = clock_now(energy->env->clock);

    set.begin_ns = now.mono_ns;
    set.n = source->ops->read(source->self, set.begin_ns, energy->readings, &set.err);
    now = clock_now(energy->env->clock);
    set.end_ns = now.mono_ns;
    set.end_real_ns = now.real_ns;
    absorb(energy, source, &set);
}

static void take_slow(struct energy *energy, struct energy_source *source, uint64_t now_ns)
{
    struct energy_set set;

    if (energy_thread_take(source->thread, energy->readings, &set)) {
        absorb(energy, source, &set);
        source->answer_ns = set.end_ns;
        source->stale_ns = set.end_ns + set.rest_ns + ENERGY_STALE_NS;
        source->stale = false;
        return;
    }
    if (now_ns < source->stale_ns)
        return;
    if (!source->stale)
        source->errors++;
    source->stale = true;
    set_status(energy, source, -ESTALE);
    snprintf(source->message, sizeof source->message, "no answer for %" PRIu64 " s",
             (uint64_t)((now_ns - source->answer_ns) / NS_PER_SEC));
}

void energy_sample(struct energy *energy, bool at_tick)
{
    uint64_t now_ns;

    energy->sampled = clock_now(energy->env->clock);
    now_ns = energy->sampled.mono_ns;
    for (size_t i = 0; i < energy->n_domains; i++)
        energy->domains[i].step_uj = 0;
    for (size_t i = 0; i < energy->n_sources; i++) {
        struct energy_source *source = &energy->sources[i];

        if (source->thread)
            take_slow(energy, source, now_ns);
        else if (!(source->ops->flags & SOURCE_SLOW) && is_due(source, now_ns, at_tick))
            read_source(energy, source);
    }
    now_ns = clock_now(energy->env->clock).mono_ns;
    for (size_t i = 0; i < energy->n_domains; i++)
        count_held(&energy->domains[i], now_ns);
    if (at_tick) {
        energy_rest_window(energy);
        energy_witness_tick(energy);
    }
}

uint64_t energy_window_span_ns(const struct energy_domain *domain)
{
    return domain->last_reading_ns - domain->window_begin_ns;
}

void energy_window_reset(struct energy *energy)
{
    for (size_t i = 0; i < energy->n_domains; i++) {
        struct energy_domain *d = &energy->domains[i];

        d->window_uj = 0;
        d->peak_uw = 0;
        d->window_begin_ns = d->last_reading_ns;
    }
}

void energy_rebase(struct energy *energy)
{
    uint64_t now_ns = clock_now(energy->env->clock).mono_ns;

    for (size_t i = 0; i < energy->n_sources; i++) {
        struct energy_source *source = &energy->sources[i];

        if (source->thread)
            energy_thread_reset(source->thread);
        else if (source->self && source->ops->reset)
            source->ops->reset(source->self, now_ns);
    }
    for (size_t i = 0; i < energy->n_domains; i++) {
        struct energy_domain *d = &energy->domains[i];

        delta_rebase(&d->delta);
        d->last.known = false;
        d->delta.gaps += d->held.primed;
        power_integral_reset(&d->held);
    }
    energy_witness_rebase(energy);
}
