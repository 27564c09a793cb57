/* SPDX-License-Identifier: Apache-2.0 */
/* What a calibration says of a machine, a domain, a package, the node. Knows no text of files (calibration_read.c,
 * calibration_write.c). */
#include "model/calibration.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "model/quantity.h"

const char *const calibration_format_names[] = {"carnot", "energat", "bio_pype", NULL};
_Static_assert(sizeof(calibration_format_names) / sizeof(calibration_format_names[0]) == CALIBRATION_FORMATS + 1,
               "a name per form");

/* More than what `carnot calibrate` takes for idle unless it is told otherwise. */
#define BUSY_WORTH_A_WORD_PPM 50000

#define AGAIN "run `carnot calibrate` on this machine"

void calibration_renumber(struct calibration *calibration, const int *package_of)
{
    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        struct calibration_domain *domain = &calibration->domains[i];

        if (domain->package < 0 || (uint32_t)domain->package >= calibration->packages)
            continue;
        domain->package = package_of[domain->package];
        snprintf(domain->name, sizeof(domain->name), "%s-%d", domain_kind_name(domain->kind), domain->package);
    }
}

int calibration_check_machine(const struct calibration *calibration, const struct topology *topology, const char *file,
                              struct carnot_err *err)
{
    if (calibration->quality > QUALITY_DERIVED)
        return carnot_err_set(err, EINVAL,
                              "%s holds figures of a model (method %s), not of a measurement: it says nothing that the "
                              "model of this machine does not",
                              file, calibration->method);
    if (calibration->cpu_model[0] && strcmp(calibration->cpu_model, topology->model_name) != 0)
        return carnot_err_set(err, EINVAL,
                              "%s is of another machine: its processor is \"%s\", this one's is \"%s\"; " AGAIN, file,
                              calibration->cpu_model, topology->model_name);
    if (calibration->threads && calibration->threads != topology->n_online)
        return carnot_err_set(err, EINVAL,
                              "%s is of another machine: %" PRIu32 " threads were online there, here %" PRIu32
                              " are; " AGAIN,
                              file, calibration->threads, topology->n_online);
    if (calibration->packages && calibration->packages != topology->n_packages)
        return carnot_err_set(err, EINVAL,
                              "%s is of another machine: it has %" PRIu32 " packages, this one %" PRIu32 "; " AGAIN,
                              file, calibration->packages, topology->n_packages);
    return 0;
}

const struct calibration_domain *calibration_find(const struct calibration *calibration, const struct domain *domain)
{
    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        const struct calibration_domain *d = &calibration->domains[i];

        if (d->kind == domain->kind && d->package == domain->package && d->die == domain->die &&
            d->node == domain->node && strcmp(d->name, domain->name) == 0)
            return d;
    }
    return NULL;
}

int calibration_check_domains(const struct calibration *calibration, const struct domain *domains, size_t n,
                              const char *file, struct carnot_err *err)
{
    if (calibration->format != CALIBRATION_CARNOT)
        return 0;
    for (size_t i = 0; i < n; i++) {
        bool wanted = domains[i].quality <= QUALITY_DERIVED &&
                      (domains[i].kind == DOMAIN_PACKAGE || domains[i].kind == DOMAIN_DRAM);

        if (wanted && !calibration_find(calibration, &domains[i]))
            return carnot_err_set(err, EINVAL,
                                  "%s does not know %s, which %s measures here: the machine or its counters are not "
                                  "those of the file; " AGAIN,
                                  file, domains[i].name, domains[i].source ? domains[i].source : "a source");
    }
    return 0;
}

/* Sums in which one part that is not known makes the whole unknown. */
struct sum {
    uint64_t idle_uw, loaded_uw;
    bool no_idle, no_loaded, with_dram;
    uint32_t n;
};

static void add(struct sum *sum, const struct calibration_domain *domain)
{
    sum->n++;
    sum->idle_uw += domain->idle_uw;
    sum->loaded_uw += domain->loaded_uw;
    sum->no_idle |= domain->idle_uw == 0;
    sum->no_loaded |= domain->loaded_uw == 0;
    sum->with_dram |= domain->with_dram;
}

/* False when no idle power came out. What was measured with some threads busy is not the loaded power. */
static bool power_of(const struct calibration *calibration, const struct sum *sum, struct calibration_power *ret)
{
    bool whole = calibration->loaded_threads == 0 || calibration->loaded_threads >= calibration->threads;

    if (sum->n == 0 || sum->no_idle)
        return false;
    *ret = (struct calibration_power){.idle_uw = sum->idle_uw, .with_dram = sum->with_dram};
    if (whole && !sum->no_loaded)
        ret->loaded_uw = max_u64(sum->loaded_uw, sum->idle_uw);
    return true;
}

static bool is_whole(const struct calibration_domain *domain)
{
    return domain->die < 0 && domain->node < 0;
}

/* Of one source, so that no region is added twice. */
static struct sum sum_of_dies(const struct calibration *calibration, int package)
{
    const char *source = NULL;
    struct sum sum = {0};

    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        const struct calibration_domain *domain = &calibration->domains[i];

        if (domain->kind != DOMAIN_PACKAGE || domain->package != package || is_whole(domain))
            continue;
        if (source && strcmp(source, domain->source) != 0)
            continue;
        source = domain->source;
        add(&sum, domain);
    }
    return sum;
}

static const struct calibration_domain *find_package(const struct calibration *calibration, int package)
{
    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        const struct calibration_domain *domain = &calibration->domains[i];

        if (domain->kind == DOMAIN_PACKAGE && domain->package == package && is_whole(domain))
            return domain;
    }
    return NULL;
}

bool calibration_package(const struct calibration *calibration, int package, uint32_t n_cpus, uint32_t all_cpus,
                         struct calibration_power *ret)
{
    const struct calibration_domain *own = find_package(calibration, package), *all = find_package(calibration, -1);
    struct sum sum = {0};

    if (own) {
        add(&sum, own);
        return power_of(calibration, &sum, ret);
    }
    sum = sum_of_dies(calibration, package);
    if (sum.n > 0)
        return power_of(calibration, &sum, ret);
    if (!all || all_cpus == 0)
        return false;
    add(&sum, all);
    if (!power_of(calibration, &sum, ret))
        return false;
    ret->idle_uw = max_u64(1, muldiv_u64(ret->idle_uw, n_cpus, all_cpus));
    ret->loaded_uw = muldiv_u64(ret->loaded_uw, n_cpus, all_cpus);
    return true;
}

bool calibration_memory(const struct calibration *calibration, struct calibration_power *ret)
{
    const char *source = NULL;
    struct sum sum = {0};

    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        const struct calibration_domain *domain = &calibration->domains[i];

        if (domain->kind != DOMAIN_DRAM || (source && strcmp(source, domain->source) != 0))
            continue;
        source = domain->source;
        add(&sum, domain);
    }
    return power_of(calibration, &sum, ret);
}

void calibration_node(const struct calibration *calibration, uint64_t *ret_idle_uw, uint64_t *ret_loaded_uw)
{
    struct sum sum = {0};

    for (uint32_t i = 0; i < calibration->n_domains; i++)
        if (calibration->domains[i].in_total)
            add(&sum, &calibration->domains[i]);
    *ret_idle_uw = sum.no_idle ? 0 : sum.idle_uw;
    *ret_loaded_uw = sum.no_loaded ? 0 : sum.loaded_uw;
}

static uint32_t busiest_ppm(const struct calibration *calibration)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < calibration->n_domains; i++) {
        const struct calibration_domain *domain = &calibration->domains[i];
        if (domain->kind == DOMAIN_PACKAGE && domain->idle_busy_ppm != CALIBRATION_BUSY_UNKNOWN)
            most = domain->idle_busy_ppm > most ? domain->idle_busy_ppm : most;
    }
    return most;
}

void calibration_describe(const struct calibration *calibration, struct buf *out)
{
    static const char *const forms[] = {
        [CALIBRATION_CARNOT] = "", [CALIBRATION_ENERGAT] = "EnergAt's baseline", [CALIBRATION_BIO_PYPE] = "Bio_pype's"};
    const char *const parts[] = {forms[calibration->format], calibration->method, calibration->at};
    bool any = false;

    for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
        if (!parts[i][0])
            continue;
        buf_printf(out, "%s%s", any ? ", " : "", parts[i]);
        any = true;
    }
    uint32_t ppm = busiest_ppm(calibration);
    if (ppm > BUSY_WORTH_A_WORD_PPM)
        buf_printf(out, "%sCPUs %" PRIu32 " %% busy while idle power was measured", any ? ", " : "", ppm / 10000);
}
