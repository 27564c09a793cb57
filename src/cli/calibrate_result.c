/* SPDX-License-Identifier: Apache-2.0 */
/* From readings to the figures of a calibration, and how far they may be believed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "cli/calibrate_internal.h"

/* Over the last n ticks of the phase; nothing is known unless it covers most of them. */
static struct calibrate_figure figure_of(const struct calibrator *c, size_t domain, size_t n)
{
    const struct point *from = &points_at(c, c->n_ticks - n)[domain], *to = &points_at(c, c->n_ticks)[domain];

    if (from->at_ns == 0 || to->at_ns < from->at_ns + n * c->tick_ns / 2 || to->faults != from->faults)
        return (struct calibrate_figure){0};
    return (struct calibrate_figure){
        .energy_uj = to->total_uj - from->total_uj,
        .begin_ns = from->at_ns,
        .end_ns = to->at_ns,
        .late_ns = max_u64(from->late_ns, to->late_ns),
    };
}

/* Some processors have a counter for memory that never moves, and some meters of hosts tell less than the parts draw:
 * that is no power of 0 W, and no reason to go without the others. */
static bool stands_still(const struct calibration_domain *domain, const struct calibrate_figure *figure)
{
    return (domain->kind == DOMAIN_DRAM || domain->kind == DOMAIN_REST) && figure->end_ns && figure->energy_uj == 0;
}

static int no_figure(const struct calibrator *c, size_t domain, const char *phase, struct carnot_err *err)
{
    int status = c->energy->domains[c->index[domain]].status;

    if (status < 0 && status != -ENODATA)
        return carnot_err_set(err, status, "%s cannot be read: %s", c->domains[domain].name,
                              c->sources[domain] ? c->sources[domain]->message : "");
    return carnot_err_set(err, EIO,
                          "%s gave no %s power: its counter did not move, was reset or missed readings; see carnot "
                          "doctor",
                          c->domains[domain].name, phase);
}

/* The CPUs of a package, or all of them. */
static uint32_t share_of_ticks(const struct calibrator *c, int package, size_t n)
{
    const struct busy_ticks *from = ticks_at(c, c->n_ticks - n), *to = ticks_at(c, c->n_ticks);

    for (size_t i = 0; i < c->busy.n_packages; i++)
        if (package >= 0 && c->busy.packages[i] == package)
            return busy_share_ppm(&from[i], &to[i], 1);
    return busy_share_ppm(from, to, c->busy.n_packages);
}

static void take_shares(const struct calibrator *c, size_t n, struct calibration *calibration)
{
    uint32_t memory_ppm = busy_memory_ppm(c->env);

    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        struct calibration_domain *domain = &calibration->domains[i];
        domain->idle_busy_ppm = domain->kind == DOMAIN_DRAM ? memory_ppm : share_of_ticks(c, domain->package, n);
    }
}

int calibrate_take(const struct calibrator *c, enum calibrate_phase phase, size_t n, struct calibrate_result *result,
                   struct carnot_err *err)
{
    static const char *const names[] = {[CALIBRATE_IDLE] = "idle", [CALIBRATE_LOAD] = "loaded"};
    struct calibration *calibration = &result->calibration;
    uint64_t *phase_ns = phase == CALIBRATE_IDLE ? &calibration->idle_ns : &calibration->load_ns;

    for (size_t i = 0; i < c->n; i++) {
        struct calibration_domain *domain = &calibration->domains[i];
        struct calibrate_figure figure = figure_of(c, i, n);
        uint64_t ns = figure.end_ns - figure.begin_ns, uw = power_uw(figure.energy_uj, ns);

        domain->in_total &= !stands_still(domain, &figure);
        if (domain->in_total && uw == 0)
            return no_figure(c, i, names[phase], err);
        if (domain->in_total)
            *phase_ns = *phase_ns ? min_u64(*phase_ns, ns) : ns;
        *(phase == CALIBRATE_IDLE ? &domain->idle_uw : &domain->loaded_uw) = uw;
        result->figures[phase][i] = figure;
    }
    if (phase == CALIBRATE_IDLE) {
        take_shares(c, n, calibration);
    } else {
        calibration->loaded_threads = result->n_cpus;
        result->load_busy_ppm = share_of_ticks(c, -1, n);
    }
    return 0;
}

/* Loaded power is that of the whole machine with every CPU busy, or it is not known. (An unknown share is above any
 * limit.) */
static void explain_load(struct calibrate_result *result)
{
    const struct calibration *calibration = &result->calibration;
    uint64_t idle_uw, loaded_uw;

    calibration_node(calibration, &idle_uw, &loaded_uw);
    if (result->n_cpus < calibration->threads)
        snprintf(result->loaded_why, sizeof(result->loaded_why),
                 "only %" PRIu32 " of %" PRIu32 " CPUs may be used by this process", result->n_cpus,
                 calibration->threads);
    else if (result->load_busy_ppm < CALIBRATE_LOADED_PPM_MIN)
        snprintf(result->loaded_why, sizeof(result->loaded_why),
                 "the CPUs were only %" PRIu32 " %% busy under load (a quota of a container?)",
                 result->load_busy_ppm / 10000);
    else if (loaded_uw <= idle_uw)
        snprintf(result->loaded_why, sizeof(result->loaded_why), "it was not above idle power");
}

/* Some regions draw nothing, or nothing more under load but for noise: less than idle is no loaded power. Memory whose
 * counter stands still is named without figures: a file that did not know it would be one of another machine. */
static bool keep(struct calibration_domain *domain, bool loaded_is_known)
{
    if (!loaded_is_known || (domain->kind == DOMAIN_PACKAGE && domain->loaded_uw < domain->idle_uw))
        domain->loaded_uw = 0;
    return domain->idle_uw || domain->loaded_uw || domain->kind == DOMAIN_DRAM;
}

void calibrate_judge(struct calibrate_result *result)
{
    struct calibration *calibration = &result->calibration;
    uint32_t kept = 0;

    explain_load(result);
    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        if (!keep(&calibration->domains[i], !result->loaded_why[0]))
            continue;
        calibration->domains[kept] = calibration->domains[i];
        for (int phase = 0; phase < CALIBRATE_PHASES; phase++)
            result->figures[phase][kept] = result->figures[phase][i];
        kept++;
    }
    calibration->n_domains = kept;
}

static void describe_machine(const struct topology *topology, const struct carnot_env *env, struct calibration *out)
{
    time_t seconds = (time_t)(clock_now(env->clock).real_ns / NS_PER_SEC);
    struct tm tm;

    snprintf(out->cpu_model, sizeof(out->cpu_model), "%s", topology->model_name);
    out->threads = topology->n_online;
    out->packages = topology->n_packages;
    if (gmtime_r(&seconds, &tm))
        strftime(out->at, sizeof(out->at), "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void calibrate_describe(const struct calibrator *c, struct calibration *out)
{
    describe_machine(c->topology, c->env, out);
    out->quality = QUALITY_MEASURED;
    out->n_domains = (uint32_t)c->n;
    for (size_t i = 0; i < c->n; i++) {
        const struct domain *from = &c->domains[i];
        struct calibration_domain *to = &out->domains[i];

        *to = (struct calibration_domain){
            .kind = from->kind,
            .package = from->package,
            .die = from->die,
            .node = from->node,
            .with_dram = from->with_dram,
            .in_total = from->in_total,
        };
        snprintf(to->name, sizeof(to->name), "%s", from->name);
        snprintf(to->source, sizeof(to->source), "%s", from->source ? from->source : "");
        out->quality = quality_worse(out->quality, from->quality);
        if (from->in_total && !out->method[0] && c->sources[i]) {
            const struct source_ops *ops = c->sources[i]->ops;
            snprintf(out->method, sizeof(out->method), "%s", ops->group ? ops->group : ops->name);
        }
    }
}

int calibrate_modelled(const struct carnot_env *env, const struct topology *topology, const struct energy *energy,
                       struct calibration *ret, struct carnot_err *err)
{
    struct calibration out = {.format = CALIBRATION_BIO_PYPE, .method = "tdp", .quality = QUALITY_MODELLED};

    describe_machine(topology, env, &out);
    for (size_t i = 0; i < energy->n_domains; i++) {
        const struct domain *from = &energy->domains[i].domain;
        struct calibration_domain *to = &out.domains[out.n_domains];

        if (from->kind != DOMAIN_PACKAGE || from->quality <= QUALITY_DERIVED)
            continue;
        *to = (struct calibration_domain){.kind = from->kind,
                                          .package = from->package,
                                          .die = from->die,
                                          .node = from->node,
                                          .in_total = true,
                                          .idle_uw = from->idle_uw,
                                          .loaded_uw = from->max_uw,
                                          .idle_busy_ppm = CALIBRATION_BUSY_UNKNOWN};
        snprintf(to->name, sizeof(to->name), "%s", from->name);
        snprintf(to->source, sizeof(to->source), "%s", from->source);
        out.quality = quality_worse(out.quality, from->quality);
        out.n_domains++;
    }
    if (out.n_domains == 0)
        return carnot_err_set(err, ENODEV, "no power model is in use here; see carnot doctor");
    *ret = out;
    return 0;
}
