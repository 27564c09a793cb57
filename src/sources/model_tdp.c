/* SPDX-License-Identifier: Apache-2.0 */
/* A machine without energy counters: power of a package from its TDP, or from what a calibration says of it, and how
 * busy its CPUs were; of memory from how much is in use, or from a calibration too. Integrates power over the times it
 * is called at; reads no clock. */
#include "sources/model_tdp.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "sources/model_memory.h"
#include "sources/proc_stat.h"
#include "sources/registry.h"
#include "sources/tdp.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

/* docs/METHODS.md, "machines without counters". 0.375 W per GB is the figure that the published calculators share. */
#define DEFAULT_IDLE_RATIO 0.2
#define DEFAULT_GAMMA      0.8
#define DEFAULT_W_PER_GB   0.375

/* /proc/stat counts in ticks of 10 ms: from fewer than this per CPU the share of busy ones is noise, and the last good
 * share stands. */
#define TICKS_MIN 10

/* A line of /proc/stat: "cpu4095" and 10 columns of up to 20 digits. */
#define STAT_LINE_MAX 224

struct ticks {
    uint64_t busy, total;
    bool seen;
};

struct package_model {
    int package;
    uint32_t n_cpus;
    double tdp_w;          /* what these CPUs are given of the part's TDP */
    double idle_w, full_w; /* of the model: by TDP, or calibrated */
    bool calibrated, full_by_tdp;
    double busy; /* share of the last interval */
    bool has_busy;
    uint64_t busy_ticks, total_ticks; /* of the interval being read */
    struct model_integral energy;
};

struct model {
    const struct topology *topology;
    struct model_tdp_settings settings;
    struct tdp_choice tdp;

    int stat_fd;
    char *stat_text;
    size_t stat_size;
    struct ticks *now, *before; /* [n_cpus], exchanged */

    struct package_model packages[DOMAINS_MAX - 1];
    size_t n_packages;
    bool has_memory;
    struct memory_model memory;
    struct domain domains[DOMAINS_MAX];

    uint64_t last_ns;
    bool primed;
};

static struct model_tdp_settings default_settings = {
    .idle_ratio = DEFAULT_IDLE_RATIO, .gamma = DEFAULT_GAMMA, .memory_watts_per_gb = DEFAULT_W_PER_GB};

static const struct carnot_option options[] = {
    {.name = "model.tdp-watts",
     .type = OPTION_F64,
     .offset = offsetof(struct model_tdp_settings, tdp_watts),
     .def = "0",
     .metavar = "WATTS",
     .help = "Thermal design power of each package for the power model; 0 takes it from the table of processors.",
     .fmin = 0,
     .fmax = 2000},
    {.name = "model.idle-ratio",
     .type = OPTION_F64,
     .offset = offsetof(struct model_tdp_settings, idle_ratio),
     .def = TEXT(DEFAULT_IDLE_RATIO),
     .metavar = "RATIO",
     .help = "Share of its TDP that an idle package draws in the power model.",
     .fmin = 0,
     .fmax = 1},
    {.name = "model.gamma",
     .type = OPTION_F64,
     .offset = offsetof(struct model_tdp_settings, gamma),
     .def = TEXT(DEFAULT_GAMMA),
     .metavar = "EXPONENT",
     .help = "Exponent of the busy share in the power model.",
     .fmin = 0.1,
     .fmax = 5},
    {.name = "model.memory-watts-per-gb",
     .type = OPTION_F64,
     .offset = offsetof(struct model_tdp_settings, memory_watts_per_gb),
     .def = TEXT(DEFAULT_W_PER_GB),
     .metavar = "WATTS",
     .help = "Power of a GB (2^30 bytes) of memory in use in the power model.",
     .fmin = 0,
     .fmax = 100},
};

double model_power_w(double idle_w, double full_w, double gamma, double u)
{
    double held = u > 0 ? (u < 1 ? u : 1) : 0;

    return idle_w + (full_w - idle_w) * pow(held, gamma);
}

double model_tdp_power_w(double tdp_w, double idle_ratio, double gamma, double u)
{
    return model_power_w(idle_ratio * tdp_w, tdp_w, gamma, u);
}

static struct package_model *find_package(struct model *model, int package)
{
    for (size_t i = 0; i < model->n_packages; i++) {
        if (model->packages[i].package == package)
            return &model->packages[i];
    }
    return NULL;
}

/* Packages with online CPUs, and how many each has. */
static int find_packages(struct model *model, struct carnot_err *err)
{
    const struct topology *t = model->topology;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        if (!t->cpus[cpu].online)
            continue;
        struct package_model *package = find_package(model, t->cpus[cpu].package);
        if (!package && model->n_packages == ELEMENTSOF(model->packages))
            return carnot_err_set(err, E2BIG, "the machine has more than the %zu packages that the model handles",
                                  ELEMENTSOF(model->packages));
        if (!package) {
            package = &model->packages[model->n_packages++];
            package->package = t->cpus[cpu].package;
        }
        package->n_cpus++;
    }
    if (model->n_packages == 0)
        return carnot_err_set(err, ENODEV, "no online CPU is known, hence no power can be modelled");
    return 0;
}

/* The two ends of a package's line. */
static void set_powers(struct model *model, const struct calibration *calibration, struct package_model *package,
                       struct domain *domain)
{
    struct calibration_power power;

    package->tdp_w = tdp_package_w(&model->tdp, package->n_cpus);
    package->idle_w = package->tdp_w * model->settings.idle_ratio;
    package->full_w = package->tdp_w;
    domain->quality = tdp_quality(&model->tdp);
    if (!calibration ||
        !calibration_package(calibration, package->package, package->n_cpus, model->topology->n_online, &power))
        return;
    package->calibrated = true;
    package->full_by_tdp = power.loaded_uw == 0;
    package->idle_w = (double)power.idle_uw / 1e6;
    package->full_w = package->full_by_tdp ? fmax(package->tdp_w, package->idle_w) : (double)power.loaded_uw / 1e6;
    if (!package->full_by_tdp)
        domain->quality = QUALITY_MODELLED; /* of this machine, whatever its processor is */
    domain->with_dram = power.with_dram;
}

static void make_domains(struct model *model, const struct calibration *calibration)
{
    for (size_t i = 0; i < model->n_packages; i++) {
        struct package_model *package = &model->packages[i];
        struct domain *domain = &model->domains[i];

        *domain = (struct domain){.kind = DOMAIN_PACKAGE,
                                  .package = package->package,
                                  .die = -1,
                                  .node = -1,
                                  .source = source_model_tdp.name};
        set_powers(model, calibration, package, domain);
        domain->idle_uw = model_uw(package->idle_w);
        domain->max_uw = model_uw(package->full_w);
        snprintf(domain->name, sizeof(domain->name), "package-%d", package->package);
    }
    if (model->has_memory)
        model->domains[model->n_packages] = memory_model_domain(&model->memory, source_model_tdp.name);
}

static int model_probe(const struct source_args *args, struct carnot_err *err)
{
    _cleanup_close_ int fd = fsroot_openat(&args->env->proc, "stat", 0, err);

    if (fd == -ENOENT)
        return carnot_err_set(err, ENODEV, "there is no %s/stat, hence no busy time to model power from",
                              args->env->proc.path);
    return fd < 0 ? fd : 0;
}

static void *model_close(void *self)
{
    struct model *model = self;

    if (!model)
        return NULL;
    cleanup_closep(&model->stat_fd);
    memory_model_close(&model->memory);
    free(model->stat_text);
    free(model->now);
    free(model->before);
    free(model);
    return NULL;
}

static int model_init(struct model *model, const struct source_args *args, struct carnot_err *err)
{
    uint32_t n_cpus = args->topology->n_cpus;
    const struct calibration *calibration = NULL;

    int r = find_packages(model, err);
    if (r < 0)
        return r;
    model->stat_fd = fsroot_openat(&args->env->proc, "stat", 0, err);
    if (model->stat_fd < 0)
        return model->stat_fd;
    model->stat_size = ((size_t)n_cpus + 1) * STAT_LINE_MAX;
    model->stat_text = malloc(model->stat_size);
    model->now = calloc(n_cpus, sizeof(*model->now));
    model->before = calloc(n_cpus, sizeof(*model->before));
    if (!model->stat_text || !model->now || !model->before)
        return carnot_err_set(err, ENOMEM, "out of memory for the busy times of %" PRIu32 " CPUs", n_cpus);

    model->tdp = tdp_choose(args->topology, model->settings.tdp_watts);
    if (model->tdp.origin != TDP_OPTION) /* a TDP set by hand is the user's word and stands before any file's */
        calibration = args->calibration;
    model->has_memory =
        memory_model_open(args->env, calibration, model->settings.memory_watts_per_gb, &model->memory) >= 0;
    make_domains(model, calibration);
    return 0;
}

static int model_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    const struct model_tdp_settings *settings = args->settings;
    struct model *model = calloc(1, sizeof(*model));

    if (!model)
        return carnot_err_set(err, ENOMEM, "out of memory for the power model");
    model->topology = args->topology;
    model->settings = settings ? *settings : default_settings;
    model->stat_fd = model->memory.fd = -1;
    int r = model_init(model, args, err);
    if (r < 0) {
        model_close(model);
        return r;
    }
    *ret_self = model;
    return 0;
}

static size_t model_domains(const void *self, const struct domain **ret_domains)
{
    const struct model *model = self;

    *ret_domains = model->domains;
    return model->n_packages + model->has_memory;
}

/* A counter that went back (idle and iowait may, by a tick) gave nothing. */
static uint64_t forward(uint64_t before, uint64_t now)
{
    return now > before ? now - before : 0;
}

/* Adds what a CPU did since `before` to its package. */
static void add_ticks(struct model *model, uint32_t cpu)
{
    struct package_model *package = find_package(model, model->topology->cpus[cpu].package);
    const struct ticks *before = &model->before[cpu], *now = &model->now[cpu];

    if (!package || !before->seen || !now->seen)
        return; /* offline at one end of the interval */
    uint64_t busy = forward(before->busy, now->busy);
    package->busy_ticks += busy;
    package->total_ticks += max_u64(forward(before->total, now->total), busy);
}

/* Fills `now`. */
static int read_ticks(struct model *model)
{
    uint32_t n_cpus = model->topology->n_cpus;
    ssize_t n = fd_read_front(model->stat_fd, model->stat_text, model->stat_size);
    struct text rest = {model->stat_text, n > 0 ? (size_t)n : 0};
    struct proc_stat_cpu cpu;
    size_t seen = 0;

    if (n < 0)
        return (int)n;
    memset(model->now, 0, n_cpus * sizeof(*model->now));
    while (proc_stat_next_cpu(&rest, &cpu)) {
        if (cpu.cpu >= n_cpus)
            continue;
        model->now[cpu.cpu] = (struct ticks){.busy = cpu.busy, .total = cpu.total, .seen = true};
        seen++;
    }
    return seen ? 0 : -EPROTO;
}

static void accept_ticks(struct model *model)
{
    struct ticks *taken = model->before;

    model->before = model->now;
    model->now = taken;
}

/* Updates the busy share of each package. Too short an interval is left to grow into the next. */
static int update_busy(struct model *model)
{
    uint64_t total_ticks = 0;
    uint32_t n_cpus = 0;

    int r = read_ticks(model);
    if (r < 0)
        return r;
    if (!model->primed) {
        accept_ticks(model);
        return 0;
    }
    for (size_t i = 0; i < model->n_packages; i++)
        model->packages[i].busy_ticks = model->packages[i].total_ticks = 0;
    for (uint32_t cpu = 0; cpu < model->topology->n_cpus; cpu++)
        add_ticks(model, cpu);
    for (size_t i = 0; i < model->n_packages; i++) {
        total_ticks += model->packages[i].total_ticks;
        n_cpus += model->packages[i].n_cpus;
    }

    bool enough = total_ticks >= (uint64_t)TICKS_MIN * n_cpus;
    for (size_t i = 0; i < model->n_packages; i++) {
        struct package_model *package = &model->packages[i];
        if (package->total_ticks && (enough || !package->has_busy))
            package->busy = (double)package->busy_ticks / (double)package->total_ticks;
        package->has_busy |= enough;
    }
    if (enough)
        accept_ticks(model);
    return 0;
}

/* Busy share of all CPUs. */
static double machine_busy(const struct model *model)
{
    double busy = 0, n_cpus = 0;

    for (size_t i = 0; i < model->n_packages; i++) {
        busy += model->packages[i].busy * model->packages[i].n_cpus;
        n_cpus += model->packages[i].n_cpus;
    }
    return n_cpus > 0 ? busy / n_cpus : 0;
}

static int model_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct model *model = self;
    uint64_t duration_ns = model->primed && now_mono_ns > model->last_ns ? now_mono_ns - model->last_ns : 0;
    size_t n = 0;

    /* On failure the old share and the old time stand: the next good reading covers the whole time. */
    int status = update_busy(model);
    if (status < 0)
        carnot_err_errno(err, status, "cannot read the busy times of the CPUs from /proc/stat");
    for (; n < model->n_packages; n++) {
        struct package_model *package = &model->packages[n];
        if (status == 0)
            model_integrate(
                &package->energy,
                model_uw(model_power_w(package->idle_w, package->full_w, model->settings.gamma, package->busy)),
                duration_ns);
        out[n] = (struct reading){
            .domain = (uint32_t)n, .status = status, .counter_uj = package->energy.uj, .mono_ns = now_mono_ns};
    }
    if (status < 0 && model->has_memory)
        out[n] = (struct reading){.domain = (uint32_t)n, .status = status, .mono_ns = now_mono_ns};
    if (status < 0)
        return (int)(n + model->has_memory);

    if (model->has_memory) {
        out[n] = memory_model_read(&model->memory, machine_busy(model), duration_ns, err);
        out[n].domain = (uint32_t)n;
        out[n].mono_ns = now_mono_ns;
        n++;
    }
    model->last_ns = now_mono_ns;
    model->primed = true;
    return (int)n;
}

static void model_reset(void *self, uint64_t now_mono_ns)
{
    struct model *model = self;

    model->primed = false;
    model->last_ns = now_mono_ns;
    for (size_t i = 0; i < model->n_packages; i++)
        model->packages[i].has_busy = false;
}

static void describe_package(const struct model *model, const struct package_model *package, struct buf *out)
{
    if (!package->calibrated || package->full_by_tdp) {
        buf_puts(out, "TDP ");
        model_put_watts(out, package->tdp_w);
        buf_puts(out, " (");
        tdp_describe(&model->tdp, package->n_cpus, out);
        buf_puts(out, package->calibrated ? "), idle power from the calibration" : ")");
    } else {
        buf_puts(out, "idle and loaded power from the calibration");
    }
    buf_puts(out, "; power = ");
    model_put_watts(out, package->idle_w);
    buf_puts(out, " + ");
    model_put_watts(out, package->full_w - package->idle_w);
    buf_puts(out, " * u^");
    buf_put_double(out, model->settings.gamma);
    buf_puts(out, ", u the busy share of its CPUs in /proc/stat\n");
}

static void model_describe(const void *self, struct buf *out)
{
    const struct model *model = self;

    for (size_t i = 0; i < model->n_packages; i++) {
        buf_printf(out, "%s: ", model->domains[i].name);
        describe_package(model, &model->packages[i], out);
    }
    if (model->has_memory)
        memory_model_describe(&model->memory, out);
}

const struct source_ops source_model_tdp = {
    .name = "model_tdp",
    .summary = "power model for machines without energy counters (TDP and busy time)",
    .flags = SOURCE_ON_BY_DEFAULT | SOURCE_MODEL,
    .options = options,
    .n_options = ELEMENTSOF(options),
    .settings = &default_settings,
    .min_interval_ns = NS_PER_SEC, /* 100 ticks of /proc/stat */
    .probe = model_probe,
    .open = model_open,
    .domains = model_domains,
    .read = model_read,
    .reset = model_reset,
    .describe = model_describe,
    .close = model_close,
};
