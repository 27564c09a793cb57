/* SPDX-License-Identifier: Apache-2.0 */
/* See meter.h. One tick: read energy, read activity, make cells, attribute, compare with the kernel, seal, forget what
 * ended. */
#include "meter/meter.h"

#include <errno.h>

#include "base/parse.h"
#include "meter/internal.h"

#define STATM_MAX 128

static const char *const activity_names[] = {"auto", "bpf", "procfs", "tree", NULL};
static const char *const method_names[] = {"auto", "cpu_time", "smt", NULL};
static const char *const hierarchy_names[] = {"auto", "v2", "v1", NULL};

#define FIELD(member) offsetof(struct meter_settings, member)

const struct carnot_option meter_options[] = {
    {.name = "sampling.interval",
     .type = OPTION_DURATION,
     .offset = FIELD(sampling_interval_ns),
     .def = "100ms",
     .metavar = "TIME",
     .min = NS_PER_MS,
     .max = 60 * NS_PER_SEC,
     .help = "How often energy counters are read."},
    {.name = "attribution.interval",
     .type = OPTION_DURATION,
     .offset = FIELD(attribution_interval_ns),
     .def = "1s",
     .metavar = "TIME",
     .min = 100 * NS_PER_MS,
     .max = 600 * NS_PER_SEC,
     .help = "Length of the window in which energy is given to its users."},
    {.name = "attribution.method",
     .type = OPTION_ENUM,
     .offset = FIELD(method),
     .def = "auto",
     .choices = method_names,
     .help = "How active energy is split: by CPU time, or with time beside a busy hyperthread of the same core counted "
             "as 0.55 (smt). auto takes smt where that overlap is known (eBPF, two hyperthreads to a core)."},
    {.name = "attribution.idle-policy",
     .type = OPTION_ENUM,
     .offset = FIELD(idle_policy),
     .def = "none",
     .choices = idle_policy_names,
     .help = "Who pays for idle energy: nobody (it stays with `idle`), every cgroup that ran alike, or in proportion "
             "to use."},
    {.name = "activity.reader",
     .type = OPTION_ENUM,
     .offset = FIELD(activity),
     .def = "auto",
     .choices = activity_names,
     .help = "How CPU time is seen: bpf (every thread, also short-lived), procfs (polling), tree (own children only)."},
    {.name = "activity.max-threads",
     .type = OPTION_U64,
     .offset = FIELD(max_tasks),
     .def = "0",
     .metavar = "N",
     .max = 1U << 20,
     .help = "Size of the thread table; 0: chosen for the machine."},
    {.name = "cgroup.hierarchy",
     .type = OPTION_ENUM,
     .offset = FIELD(hierarchy),
     .def = "auto",
     .choices = hierarchy_names,
     .help = "Which control groups count where both v1 and v2 are mounted."},
    {.name = "collector.enable",
     .type = OPTION_LIST,
     .offset = FIELD(only_sources),
     .metavar = "SOURCE",
     .help = "Use only this energy source (repeatable)."},
    {.name = "collector.disable",
     .type = OPTION_LIST,
     .offset = FIELD(no_sources),
     .metavar = "SOURCE",
     .help = "Do not use this energy source (repeatable)."},
    {.name = "attribution.keep-ended",
     .type = OPTION_DURATION,
     .offset = FIELD(keep_ended_ns),
     .def = "5m",
     .metavar = "TIME",
     .min = NS_PER_SEC,
     .max = 86400 * NS_PER_SEC,
     .help = "How long an ended control group stays on the metrics page, so that every scraper sees its last figures."},
    {.name = "activity.bpf-stats",
     .type = OPTION_BOOL,
     .offset = FIELD(measure_bpf),
     .def = "false",
     .help = "Have the kernel time our BPF programs (costs about 30 ns per switch)."},
    {.name = "collector.processes",
     .type = OPTION_BOOL,
     .offset = FIELD(process_series),
     .def = "false",
     .help = "Per-process series on /metrics: many, and visible to whoever may scrape."},
    {.name = "calibration.file",
     .type = OPTION_STRING,
     .offset = FIELD(calibration_file),
     .def = "",
     .metavar = "FILE",
     .help = "Idle and loaded power of this machine, as `carnot calibrate`, EnergAt or Bio_pype wrote it; without it "
             "/" CALIBRATION_DEFAULT_FILE " where that is there; none: no file."},
    {.name = "intensity.zone",
     .type = OPTION_STRING,
     .offset = FIELD(intensity_zone),
     .def = "",
     .metavar = "CODE",
     .help = "Country whose electricity is used (ISO code, or WORLD); without it, by time zone."},
    {.name = "intensity.g-per-kwh",
     .type = OPTION_F64,
     .offset = FIELD(intensity_g_per_kwh),
     .def = "0",
     .metavar = "G",
     .fmin = 0,
     .fmax = 10000,
     .help = "Carbon intensity of the electricity in gCO2e/kWh; overrides the zone."},
};
const size_t meter_options_count = ELEMENTSOF(meter_options);

size_t meter_source_groups(struct option_group *out, size_t room)
{
    size_t n = 0;

    for (size_t i = 0; i < source_registry_count && n < room; i++)
        if (source_registry[i]->n_options)
            out[n++] = (struct option_group){source_registry[i]->name, source_registry[i]->options,
                                             source_registry[i]->n_options, source_registry[i]->settings};
    return n;
}

/* Our own pid as env->proc sees it: in a container with the host's /proc mounted that is not getpid(). */
static uint32_t own_pid(const struct carnot_env *env)
{
    char link[32];
    uint64_t pid;
    ssize_t n = fsroot_readlink(&env->proc, "self", link, sizeof link);

    if (n > 0 && parse_u64((struct text){link, (size_t)n}, &pid) == 0 && pid <= UINT32_MAX)
        return (uint32_t)pid;
    return (uint32_t)getpid();
}

static int open_one_activity(struct meter *meter, const struct activity_ops *ops, struct carnot_err *err)
{
    struct activity_args args = {
        .env = meter->env,
        .topology = &meter->topology,
        .buckets = &meter->buckets,
        .cgroups = meter->cgroups,
        .monitor_pid = own_pid(meter->env),
        .max_tasks = (uint32_t)meter->settings.max_tasks,
        .measure_bpf = meter->settings.measure_bpf,
    };
    int r = ops->probe ? ops->probe(&args, err) : 0;

    if (r >= 0)
        r = ops->open(&args, &meter->activity_self, err);
    if (r < 0)
        return r;
    meter->activity = ops;
    meter->activity_stats.name = ops->name;
    meter->activity_stats.tier = ops->tier;
    return 0;
}

static int open_activity(struct meter *meter, struct carnot_err *err)
{
    int r = -ENODEV;

    if (meter->settings.activity == ACTIVITY_TREE)
        return open_one_activity(meter, &activity_tree, err);
    if (!meter->cgroups)
        return carnot_err_wrap(err, "no control groups to account for");
    for (size_t i = 0; i < activity_registry_count; i++) {
        const struct activity_ops *ops = activity_registry[i];
        struct carnot_err why = CARNOT_ERR_INIT;

        if (meter->settings.activity != ACTIVITY_AUTO &&
            strcmp(ops->name, activity_names[meter->settings.activity]) != 0)
            continue;
        r = open_one_activity(meter, ops, &why);
        if (r >= 0)
            return r;
        if (err)
            *err = why;
        if (!meter->activity_note[0])
            snprintf(meter->activity_note, sizeof meter->activity_note, "%s: %s", ops->name, why.msg);
    }
    return r;
}

/* Energy that comes in every tenth window would all be billed to who ran in that one: a window is never shorter than
 * what the slowest source gives. Sources with a thread of their own do not count: those that are read seldom tell a
 * power, which is counted in every window. */
static void raise_interval(struct meter *meter)
{
    uint64_t *interval_ns = &meter->settings.attribution_interval_ns;

    for (size_t i = 0; i < meter->energy.n_sources; i++)
        if (meter->energy.sources[i].self && !(meter->energy.sources[i].ops->flags & SOURCE_SLOW))
            *interval_ns = max_u64(*interval_ns, meter->energy.sources[i].ops->min_interval_ns / 2);
}

/* A file that the user named and that does not fit is an error; the default one is then left alone. */
static int open_energy(struct meter *meter, struct carnot_err *err)
{
    const struct meter_settings *settings = &meter->settings;
    struct calibration_file *file = &meter->calibration;
    int r = calibration_file_load(meter->env, &meter->topology, settings->calibration_file, file, err);

    if (r >= 0)
        r = energy_open_calibrated(meter->env, &meter->topology, &settings->only_sources, &settings->no_sources,
                                   file->calibration, file->path, &meter->energy, err);
    if (r < 0 || !meter->energy.calibration_why[0])
        return r;
    if (settings->calibration_file && settings->calibration_file[0])
        return carnot_err_set(err, EINVAL, "--calibration.file: %s", meter->energy.calibration_why);
    snprintf(file->why, sizeof(file->why), "%s", meter->energy.calibration_why);
    return 0;
}

static int open_parts(struct meter *meter, struct carnot_err *err)
{
    const struct meter_settings *settings = &meter->settings;
    const char *how = settings->intensity_g_per_kwh > 0 ? "--intensity.g-per-kwh" : "--intensity.zone";
    struct carnot_err cgroup_err = CARNOT_ERR_INIT;
    int r;

    r = intensity_choose(meter->env, settings->intensity_g_per_kwh, settings->intensity_zone, how, &meter->intensity,
                         err);
    if (r < 0)
        return r;
    r = topology_read(meter->env, &meter->topology, err);
    if (r < 0)
        return r;
    r = topology_buckets(&meter->topology, BUCKETS_MAX, &meter->buckets, err);
    if (r < 0)
        return r;
    r = open_energy(meter, err);
    if (r < 0)
        return r;
    raise_interval(meter);
    if (settings->activity != ACTIVITY_TREE &&
        cgroup_tree_open(meter->env, (enum cgroup_hierarchy)settings->hierarchy, &meter->cgroups, &cgroup_err) < 0 &&
        err)
        *err = cgroup_err;
    r = open_activity(meter, err);
    if (r < 0)
        return r;
    r = unit_table_init(&meter->units, meter->env, meter->cgroups, meter->energy.n_domains);
    if (r < 0)
        return carnot_err_set(err, -r, "out of memory");
    meter->entity_uj = calloc(meter->energy.n_domains, sizeof *meter->entity_uj);
    meter->entity_window_uj = calloc(meter->energy.n_domains, sizeof *meter->entity_window_uj);
    if (!meter->entity_uj || !meter->entity_window_uj || batch_pool_new(&meter->pool) < 0)
        return carnot_err_set(err, ENOMEM, "out of memory");
    return 0;
}

int meter_open(const struct carnot_env *env, const struct meter_settings *settings, struct meter **ret_meter,
               struct carnot_err *err)
{
    struct meter *meter = calloc(1, sizeof *meter);
    int r;

    if (!meter)
        return carnot_err_set(err, ENOMEM, "out of memory");
    meter->env = env;
    meter->settings = *settings;
    meter->next_session = 1;
    pthread_mutex_init(&meter->latest_lock, NULL);
    r = open_parts(meter, err);
    if (r < 0) {
        meter_close(meter);
        return r;
    }
    /* Baselines: the first window begins here. */
    energy_sample(&meter->energy, true);
    energy_window_reset(&meter->energy);
    meter->window_begin = clock_now(env->clock);
    meter->activity_end_ns = meter->window_begin.mono_ns;
    clock_watch_update(&meter->watch, &meter->window_begin);
    lifetime_begin(&meter->lifetime, &meter->energy, &meter->window_begin);
    *ret_meter = meter;
    return 0;
}

void meter_start(struct meter *meter)
{
    energy_start(&meter->energy);
}

struct meter *meter_close(struct meter *meter)
{
    if (!meter)
        return NULL;
    batch_unref(meter->latest);
    batch_pool_free(meter->pool);
    if (meter->activity_self)
        meter->activity->close(meter->activity_self);
    lifetime_done(&meter->lifetime);
    energy_close(&meter->energy);
    calibration_file_done(&meter->calibration);
    unit_table_done(&meter->units);
    cells_done(&meter->cells);
    crosscheck_done(&meter->crosscheck);
    cgroup_tree_close(meter->cgroups);
    topology_buckets_done(&meter->buckets);
    topology_done(&meter->topology);
    free(meter->entity_uj);
    free(meter->entity_window_uj);
    free(meter->weights);
    free(meter->shares);
    free(meter->group_scratch);
    free(meter->batch_index);
    pthread_mutex_destroy(&meter->latest_lock);
    free(meter);
    return NULL;
}

/* A suspend leaves counters in an unknown state: what was drawn meanwhile is a gap, not a guess. A step of the wall
 * clock changes no energy. */
static void watch_clock(struct meter *meter)
{
    struct carnot_now now = clock_now(meter->env->clock);
    struct clock_event event = clock_watch_update(&meter->watch, &now);

    if (event.suspended_ns) {
        meter->self.suspends++;
        energy_rebase(&meter->energy);
    }
    if (event.step_ns)
        meter->self.clock_steps++;
}

static void sample(struct meter *meter, bool at_tick)
{
    watch_clock(meter);
    energy_sample(&meter->energy, at_tick);
    lifetime_update(&meter->lifetime, &meter->energy, &meter->energy.sampled);
}

int meter_sample(struct meter *meter, struct carnot_err *err)
{
    sample(meter, false);
    if (meter->activity->drain)
        return meter->activity->drain(meter->activity_self, err);
    return 0;
}

static void measure_self(struct meter *meter)
{
    char statm[STATM_MAX];
    ssize_t n = fsroot_read(&meter->env->proc, "self/statm", statm, sizeof statm, NULL);
    struct text rest = {statm, n > 0 ? (size_t)n : 0};
    uint64_t size_pages, rss_pages;

    if (scan_u64(&rest, &size_pages) == 0 && scan_u64(&rest, &rss_pages) == 0)
        meter->self.rss_bytes = rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    meter->self.cpu_ns = clock_process_cpu_ns();
}

static void keep_stats(struct meter *meter, const struct activity_window *window)
{
    meter->activity_stats.switches = window->switches;
    meter->activity_stats.run_ns = window->run_ns;
    meter->activity_stats.unlisted_ns = window->unlisted_ns;
    meter->activity_stats.dropped = window->dropped;
    meter->activity_stats.processes_seen = window->processes_seen;
}

static void publish(struct meter *meter, struct batch *batch)
{
    struct batch *old;

    pthread_mutex_lock(&meter->latest_lock);
    old = meter->latest;
    meter->latest = batch;
    pthread_mutex_unlock(&meter->latest_lock);
    batch_unref(old);
}

/* Reads activity and gives the window's energy away. Energy that cannot be given (activity failed) is residual. */
static int attribute_window(struct meter *meter, const struct carnot_now *end, struct carnot_err *err)
{
    struct activity_window activity = {.end_mono_ns = end->mono_ns};
    struct cells_window window = {
        .boot_to_real_ns = end->real_ns - end->boot_ns,
        .now_real_ns = end->real_ns,
        .seq = meter->seq,
    };
    int r = meter->activity->read(meter->activity_self, &activity, err);

    if (r < 0)
        activity = (struct activity_window){.end_mono_ns = end->mono_ns};
    else
        keep_stats(meter, &activity);
    cells_build(&meter->cells, &meter->units, &activity, meter->buckets.n, &window);
    meter_attribute(meter, activity.end_mono_ns - meter->activity_end_ns, r >= 0);
    /* After a failure the next reading covers this window too. */
    if (r >= 0)
        meter->activity_end_ns = activity.end_mono_ns;
    if (meter->cgroups && crosscheck_add(&meter->crosscheck, meter->cgroups, &meter->cells) == 0)
        crosscheck_step(&meter->crosscheck, meter->cgroups, end->mono_ns);
    return r;
}

int meter_tick(struct meter *meter, struct carnot_err *err)
{
    uint64_t cpu_before_ns = clock_thread_cpu_ns();
    struct batch *batch;
    struct carnot_now end;
    int r, sealed;

    /* A CPU that came online since; a failure leaves what was known, which is right for all CPUs but that one. */
    topology_refresh(meter->env, &meter->topology, &meter->buckets, NULL);
    sample(meter, true);
    end = clock_now(meter->env->clock);
    meter->seq++;
    r = attribute_window(meter, &end, err);
    meter_mark_ended(meter);
    measure_self(meter);
    sealed = meter_seal(meter, &end, &batch, err);
    energy_window_reset(&meter->energy);
    meter->window_begin = end;
    if (sealed < 0)
        return sealed;
    publish(meter, batch);
    meter_retire(meter);
    /* Whole, sealing included; so each batch tells the tick before its own. */
    meter->self.tick_ns = clock_thread_cpu_ns() - cpu_before_ns;
    return r;
}

struct batch *meter_latest(struct meter *meter)
{
    struct batch *batch;

    pthread_mutex_lock(&meter->latest_lock);
    batch = meter->latest ? batch_ref(meter->latest) : NULL;
    pthread_mutex_unlock(&meter->latest_lock);
    return batch;
}

void meter_missed_tick(struct meter *meter, uint64_t ticks)
{
    meter->self.missed_ticks += ticks;
}

void meter_reported(struct meter *meter, uint64_t seq)
{
    uint64_t old = atomic_load(&meter->reported_seq);

    while (seq > old && !atomic_compare_exchange_weak(&meter->reported_seq, &old, seq))
        ;
}

int meter_session_begin(struct meter *meter, uint32_t pid, uint32_t uid, const char *label, uint32_t *ret_session,
                        struct carnot_err *err)
{
    uint32_t session = meter->next_session;
    int unit, r;

    if (!meter->activity->session_begin)
        return carnot_err_set(err, EOPNOTSUPP, "the activity reader %s cannot follow one command",
                              meter->activity->name);
    unit = unit_table_session(&meter->units, session, uid, label, clock_now(meter->env->clock).real_ns);
    if (unit < 0)
        return carnot_err_set(err, -unit, "too many units for another session");
    if (meter->activity->pids_as_proc && pid == (uint32_t)getpid())
        pid = own_pid(meter->env);
    r = meter->activity->session_begin(meter->activity_self, pid, session, err);
    if (r < 0) {
        unit_table_remove(&meter->units, (uint32_t)unit);
        return r;
    }
    meter->next_session++;
    *ret_session = session;
    return 0;
}

void meter_session_end(struct meter *meter, uint32_t session)
{
    int unit = unit_table_find_session(&meter->units, session);

    if (meter->activity->session_end)
        meter->activity->session_end(meter->activity_self, session);
    if (unit < 0 || meter->units.units[unit].ended_seq)
        return;
    meter->units.units[unit].flags |= UNIT_ENDED;
    meter->units.units[unit].ended_seq = meter->seq;
}

int meter_lifetime_restore(struct meter *meter, const struct lifetime_state *state, const char *boot,
                           struct carnot_err *err)
{
    struct carnot_now now = clock_now(meter->env->clock);

    if (lifetime_restore(&meter->lifetime, &meter->energy, state, boot, &now) < 0)
        return carnot_err_set(err, ENOMEM, "out of memory for the totals of earlier runs");
    return 0;
}

void meter_lifetime_save(struct meter *meter, struct lifetime_state *out)
{
    struct carnot_now now = clock_now(meter->env->clock);

    lifetime_save(&meter->lifetime, &meter->energy, &now, out);
}

void meter_lifetime_confirm(struct meter *meter)
{
    lifetime_confirm(&meter->lifetime, meter->energy.n_domains);
}

int meter_counters(const struct meter *meter, struct meter_counters *out)
{
    if (meter->self.windows == 0)
        return -EAGAIN;
    out->when = meter->energy.sampled;
    out->n = meter->energy.n_domains;
    for (size_t i = 0; i < out->n; i++) {
        const struct energy_domain *from = &meter->energy.domains[i];
        const struct lifetime_domain *life = &meter->lifetime.domains[i];

        out->items[i] = (struct meter_counter){
            .domain = &from->domain,
            .status = from->status,
            .known = from->last_reading_ns || life->base_uj,
            .step_uj = from->step_uj,
            .run_uj = from->delta.total_uj,
            .total_uj = lifetime_total_uj(&meter->lifetime, &meter->energy, i),
            .bridged_uj = life->bridged_uj,
            .gaps = life->gaps,
            .since_real_ns = life->since_real_ns,
        };
    }
    return 0;
}

static void describe_calibration(const struct meter *meter, struct buf *out)
{
    const char *sep = "; idle power of ";

    buf_puts(out, "calibration: ");
    calibration_file_describe(&meter->calibration, out);
    for (size_t i = 0; i < meter->energy.n_domains; i++) {
        const struct energy_domain *d = &meter->energy.domains[i];

        if (!d->idle_calibrated)
            continue;
        buf_printf(out, "%s%s ", sep, d->domain.name);
        buf_put_fixed(out, d->idle_uw, 6);
        buf_puts(out, " W");
        sep = ", ";
    }
    buf_putc(out, '\n');
}

void meter_describe(const struct meter *meter, struct buf *out)
{
    for (size_t i = 0; i < meter->energy.n_sources; i++) {
        const struct energy_source *source = &meter->energy.sources[i];

        buf_printf(out, "source %s: %s%s%s\n", source->ops->name, source->self ? "in use" : "not used",
                   source->message[0] ? ": " : "", source->message);
        if (source->self && source->ops->describe)
            source->ops->describe(source->self, out);
    }
    energy_rest_describe(&meter->energy, out);
    describe_calibration(meter, out);
    buf_printf(out, "activity: %s (%s)%s%s\n", meter->activity->name, meter->activity->tier,
               meter->activity->blind[0] ? "; not seen: " : "", meter->activity->blind);
    if (meter->settings.method == METHOD_SMT && meter->seq > 0 && !meter_uses_smt(meter))
        buf_puts(out, "method: cpu_time, since smt needs to know how hyperthreads overlap: eBPF, and two to a core\n");
    if (meter->activity_note[0])
        buf_printf(out, "activity not used: %s\n", meter->activity_note);
    if (meter->cgroups)
        buf_printf(out, "control groups: %s\n", cgroup_tree_describe(meter->cgroups));
    buf_printf(out, "intensity: ");
    buf_put_fixed(out, meter->intensity.mg_kwh, 3);
    buf_printf(out, " g/kWh, %s, chosen by %s\n", meter->intensity.source, meter->intensity.chosen_by);
}

uint64_t meter_interval_ns(const struct meter *meter)
{
    return meter->settings.attribution_interval_ns;
}

const char *meter_activity_name(const struct meter *meter)
{
    return meter->activity->name;
}
