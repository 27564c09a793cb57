/* SPDX-License-Identifier: Apache-2.0 */
/* See calibrate.h. Counters are read once a second at the ends of ticks; energy over a phase is the difference of two
 * readings over the time between them, so that no timer need be exact. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "cli/calibrate_internal.h"
#include "cli/calibrate_load.h"
#include "cli/text.h"

#define TICK_NS NS_PER_SEC

/* "Seconds in a row" are at least two. */
#define TICKS_MIN 2

/* ---- what is measured ---- */

/* Cards and regions that we cannot name do not idle with the processor. */
static bool is_wanted(const struct domain *domain)
{
    return domain->quality <= QUALITY_DERIVED && domain->kind != DOMAIN_GPU && domain->kind != DOMAIN_OTHER;
}

static const struct energy_source *source_of(const struct energy *energy, size_t index)
{
    if (energy->rest.in_use && energy->rest.index == index)
        index = energy->rest.outer; /* it moves with the host */
    for (size_t s = 0; s < energy->n_sources; s++)
        for (size_t i = 0; i < DOMAINS_MAX && energy->sources[s].self; i++)
            if (energy->sources[s].first_domain[i] == index)
                return &energy->sources[s];
    return NULL;
}

/* What makes the node among the measured domains alone: a model's figures neither count nor stand in the way. */
static int choose_domains(struct calibrator *c)
{
    struct domain measured[DOMAINS_MAX];
    uint32_t index[DOMAINS_MAX];
    size_t n = 0, n_total = 0;

    for (size_t i = 0; i < c->energy->n_domains; i++) {
        if (c->energy->domains[i].domain.quality > QUALITY_DERIVED)
            continue;
        index[n] = (uint32_t)i;
        measured[n++] = c->energy->domains[i].domain;
    }
    domains_mark_total(measured, n);
    for (size_t i = 0; i < n; i++) {
        if (!is_wanted(&measured[i]))
            continue;
        c->index[c->n] = index[i];
        c->domains[c->n] = measured[i];
        c->sources[c->n++] = source_of(c->energy, index[i]);
        n_total += measured[i].in_total;
    }
    return n_total > 0 ? 0 : -ENODEV;
}

/* A power that is told seldom stands for the time until the next one: the drop must outlast the last one from before,
 * and a phase hold some of them. */
static void choose_times(struct calibrator *c)
{
    struct calibrate_settings *settings = &c->settings;
    uint64_t seldom_ns = 0;

    c->tick_ns = TICK_NS;
    for (size_t i = 0; i < c->n; i++) {
        const struct source_ops *ops = c->sources[i] ? c->sources[i]->ops : NULL;

        if (!c->domains[i].in_total || !ops)
            continue;
        if (ops->flags & SOURCE_SLOW)
            seldom_ns = max_u64(seldom_ns, ops->min_interval_ns);
        else
            c->tick_ns = max_u64(c->tick_ns, ops->min_interval_ns);
    }
    settings->drop_ns = max_u64(settings->drop_ns, 2 * seldom_ns);
    settings->idle_ns = max_u64(settings->idle_ns, 3 * seldom_ns);
    settings->load_ns = max_u64(settings->load_ns, 3 * seldom_ns);
}

static size_t ticks_of(const struct calibrator *c, uint64_t ns)
{
    return (size_t)((ns + c->tick_ns - 1) / c->tick_ns);
}

static int open_events(struct calibrator *c, struct carnot_err *err)
{
    struct itimerspec timer = {0};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    timer.it_interval.tv_sec = timer.it_value.tv_sec = (time_t)(c->tick_ns / NS_PER_SEC);
    timer.it_interval.tv_nsec = timer.it_value.tv_nsec = (long)(c->tick_ns % NS_PER_SEC);
    if (c->signal_fd < 0 || c->timer_fd < 0 || timerfd_settime(c->timer_fd, 0, &timer, NULL) < 0)
        return carnot_err_errno(err, errno, "cannot make a timer");
    return 0;
}

int calibrator_new(const struct carnot_env *env, const struct topology *topology, struct energy *energy,
                   const struct calibrate_settings *settings, struct calibrator **ret, struct carnot_err *err)
{
    struct calibrator *c = calloc(1, sizeof(*c));

    if (!c)
        return carnot_err_set(err, ENOMEM, "out of memory");
    *c = (struct calibrator){.env = env,
                             .topology = topology,
                             .energy = energy,
                             .settings = *settings,
                             .timer_fd = -1,
                             .signal_fd = -1,
                             .busy = {.fd = -1}};
    int r = choose_domains(c);
    if (r < 0)
        carnot_err_set(err, -r, "nothing here measures the power of the processor");
    choose_times(c);
    c->max_ticks = max_u64(max_u64(TICKS_MIN, ticks_of(c, c->settings.idle_ns)) + ticks_of(c, c->settings.wait_ns),
                           ticks_of(c, c->settings.load_ns));
    if (r >= 0)
        r = busy_open(env, topology, &c->busy, err);
    if (r >= 0) {
        c->points = calloc((c->max_ticks + 1) * c->n, sizeof(*c->points));
        c->ticks = calloc((c->max_ticks + 1) * (c->busy.n_packages + 1), sizeof(*c->ticks));
        c->seconds = calloc(c->max_ticks, sizeof(*c->seconds));
        if (!c->points || !c->ticks || !c->seconds)
            r = carnot_err_set(err, ENOMEM, "out of memory for %zu seconds", c->max_ticks);
    }
    if (r >= 0)
        r = open_events(c, err);
    if (r < 0) {
        calibrator_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

struct calibrator *calibrator_free(struct calibrator *c)
{
    if (!c)
        return NULL;
    cleanup_closep(&c->timer_fd);
    cleanup_closep(&c->signal_fd);
    busy_close(&c->busy);
    busy_processes_free(c->processes);
    free(c->points);
    free(c->ticks);
    free(c->seconds);
    free(c);
    return NULL;
}

int calibrator_signal(const struct calibrator *c)
{
    return c->signal;
}

/* ---- one tick ---- */

static uint64_t now_ns(const struct calibrator *c)
{
    return clock_now(c->env->clock).mono_ns;
}

static int wait_tick(struct calibrator *c, struct carnot_err *err)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = c->signal_fd, .events = POLLIN}, {.fd = c->timer_fd, .events = POLLIN}};
        struct signalfd_siginfo info;
        uint64_t expirations;

        if (poll(fds, ELEMENTSOF(fds), -1) < 0 && errno != EINTR)
            return carnot_err_errno(err, errno, "cannot wait");
        if (read(c->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            c->signal = (int)info.ssi_signo;
            return carnot_err_set(err, EINTR, "interrupted; nothing was written");
        }
        if (read(c->timer_fd, &expirations, sizeof(expirations)) == (ssize_t)sizeof(expirations))
            return 0;
    }
}

/* Reads everything into the points of `tick`. */
static int sample(struct calibrator *c, size_t tick, struct carnot_err *err)
{
    struct point *points = points_at(c, tick);
    struct carnot_now now = clock_now(c->env->clock);
    struct clock_event event = clock_watch_update(&c->watch, &now);

    energy_sample(c->energy, true);
    energy_window_reset(c->energy); /* a tick is a window: the rest of a host is made of windows */
    busy_read(&c->busy, ticks_at(c, tick));
    for (size_t i = 0; i < c->n; i++) {
        const struct energy_domain *d = &c->energy->domains[c->index[i]];

        points[i] = (struct point){
            .total_uj = d->delta.total_uj,
            .at_ns = d->last_reading_ns,
            .late_ns = c->sources[i] ? c->sources[i]->read_ns : 0,
            .faults = d->delta.resets + d->delta.gaps + d->delta.absurd,
        };
    }
    if (event.suspended_ns)
        return carnot_err_set(err, EAGAIN, "the machine slept meanwhile; run it again");
    return 0;
}

/* 0: no two readings, or something happened to the counter between them. */
static uint64_t power_between_uw(const struct point *from, const struct point *to)
{
    if (from->at_ns == 0 || to->at_ns <= from->at_ns || to->faults != from->faults)
        return 0;
    return power_uw(to->total_uj - from->total_uj, to->at_ns - from->at_ns);
}

/* Of the node in the tick that ended with `tick`. Where a source had nothing new it is what it told last. */
static uint64_t node_power_uw(const struct calibrator *c, size_t tick)
{
    uint64_t sum_uw = 0;

    for (size_t i = 0; i < c->n; i++) {
        size_t begin = tick - 1, end = tick;

        if (!c->domains[i].in_total)
            continue;
        while (begin > 0 && points_at(c, begin)[i].at_ns == points_at(c, end)[i].at_ns)
            end = begin--;
        sum_uw += power_between_uw(&points_at(c, begin)[i], &points_at(c, end)[i]);
    }
    return sum_uw;
}

static struct settle_second second_of(const struct calibrator *c, size_t tick)
{
    return (struct settle_second){
        .power_uw = node_power_uw(c, tick),
        .busy_ppm = busy_share_ppm(ticks_at(c, tick - 1), ticks_at(c, tick), c->busy.n_packages),
    };
}

static void tell(const struct calibrator *c, const struct calibrate_progress *progress)
{
    if (c->progress)
        c->progress(progress, c->userdata);
}

/* The first seconds of a phase: clocks, caches and fans come to where they stay. Ends with a reading in point 0. */
static int drop(struct calibrator *c, enum calibrate_phase phase, struct carnot_err *err)
{
    uint64_t begin_ns = now_ns(c), done_ns = 0;
    int r = sample(c, 0, err);

    while (r >= 0 && done_ns < c->settings.drop_ns) {
        tell(c, &(struct calibrate_progress){.phase = phase,
                                             .dropping = true,
                                             .done_ns = done_ns,
                                             .total_ns = c->settings.drop_ns,
                                             .busy_ppm = CALIBRATION_BUSY_UNKNOWN});
        r = wait_tick(c, err);
        if (r >= 0)
            r = sample(c, 0, err);
        done_ns = now_ns(c) - begin_ns;
    }
    return r;
}

/* ---- idle ---- */

static int explain_unrest(const struct calibrator *c, const struct settle *settle, uint64_t since_ns,
                          struct carnot_err *err)
{
    char low[48], high[48], who[160] = "";
    struct busy_process most;

    low[format_fixed(low, settle->min_uw / 1000, 3)] = '\0';
    high[format_fixed(high, settle->max_uw / 1000, 3)] = '\0';
    if (busy_processes_most(c->env, c->processes, &most)) {
        text_clean(most.name);
        snprintf(who, sizeof(who), "; busiest was %s (pid %" PRIu32 ") with %" PRIu64 " %% of a CPU", most.name,
                 most.pid, muldiv_u64(most.cpu_ns, 100, now_ns(c) - since_ns));
    }
    return carnot_err_set(
        err, EAGAIN,
        "the machine never got quiet: in the last seconds power was between %s and %s W%s%s. Stop what "
        "runs and try again, or see --wait-time and --busy-limit; nothing was written",
        low, high, settle->quiet ? "" : ", and CPUs were busier than --busy-limit allows", who);
}

/* Better now than after a minute. What fails later and recovers loses nothing: counters go on. */
static int check_readable(const struct calibrator *c, struct carnot_err *err)
{
    for (size_t i = 0; i < c->n; i++) {
        int status = c->energy->domains[c->index[i]].status;

        if (!c->domains[i].in_total || status >= 0 || status == -ENODATA || status == -EAGAIN)
            continue;
        return carnot_err_set(err, status, "%s cannot be read: %s", c->domains[i].name,
                              c->sources[i] ? c->sources[i]->message : "");
    }
    return 0;
}

/* Ticks until enough of them in a row are quiet: the last ones are those. Returns how many. */
static int measure_idle(struct calibrator *c, struct calibrate_result *result, struct carnot_err *err)
{
    size_t wanted = max_u64(TICKS_MIN, ticks_of(c, c->settings.idle_ns));
    size_t last = wanted + ticks_of(c, c->settings.wait_ns);
    uint32_t limit_ppm = (uint32_t)(c->settings.busy_limit_percent * 1e4);
    uint64_t since_ns = now_ns(c);
    struct settle settle = {0};

    busy_processes_take(c->env, &c->processes); /* without it nobody is named, that is all */
    int r = drop(c, CALIBRATE_IDLE, err);
    if (r >= 0)
        r = check_readable(c, err);
    for (size_t tick = 1; r >= 0 && tick <= last; tick++) {
        r = wait_tick(c, err);
        if (r >= 0)
            r = sample(c, tick, err);
        if (r < 0)
            return r;
        c->seconds[tick - 1] = second_of(c, tick);
        tell(c, &(struct calibrate_progress){.phase = CALIBRATE_IDLE,
                                             .waiting = tick > wanted,
                                             .done_ns = min_u64(tick, wanted) * c->tick_ns,
                                             .total_ns = wanted * c->tick_ns,
                                             .power_uw = c->seconds[tick - 1].power_uw,
                                             .busy_ppm = c->seconds[tick - 1].busy_ppm});
        if (tick < wanted)
            continue;
        settle = settle_judge(c->seconds + tick - wanted, wanted, limit_ppm);
        if (!settle.steady || !settle.quiet)
            continue;
        result->settle = settle;
        result->waited_ns = (tick - wanted) * c->tick_ns;
        c->n_ticks = tick;
        return (int)wanted;
    }
    return r < 0 ? r : explain_unrest(c, &settle, since_ns, err);
}

/* ---- load ---- */

static int measure_load(struct calibrator *c, struct calibrate_result *result, struct carnot_err *err)
{
    size_t wanted = max_u64(1, ticks_of(c, c->settings.load_ns));
    _cleanup_free_ bool *allowed = calloc(c->topology->n_cpus, sizeof(*allowed));
    struct load *load = NULL;

    if (!allowed)
        return carnot_err_set(err, ENOMEM, "out of memory for a set of CPUs");
    int r = load_allowed_cpus(c->topology, allowed, err);
    if (r < 0)
        return r;
    result->n_cpus = (uint32_t)r;
    r = load_start(c->topology, allowed, &load, err);
    if (r >= 0)
        r = drop(c, CALIBRATE_LOAD, err);
    for (size_t tick = 1; r >= 0 && tick <= wanted; tick++) {
        r = wait_tick(c, err);
        if (r >= 0)
            r = sample(c, tick, err);
        if (r < 0)
            break;
        struct settle_second second = second_of(c, tick);
        tell(c, &(struct calibrate_progress){.phase = CALIBRATE_LOAD,
                                             .done_ns = tick * c->tick_ns,
                                             .total_ns = wanted * c->tick_ns,
                                             .power_uw = second.power_uw,
                                             .busy_ppm = second.busy_ppm});
        c->n_ticks = tick;
    }
    load_stop(load);
    return r < 0 ? r : (int)wanted;
}

int calibrator_run(struct calibrator *c, calibrate_progress_fn progress, void *userdata,
                   struct calibrate_result *ret_result, struct carnot_err *err)
{
    _cleanup_free_ struct calibrate_result *result = calloc(1, sizeof(*result));

    if (!result)
        return carnot_err_set(err, ENOMEM, "out of memory");
    c->progress = progress;
    c->userdata = userdata;
    calibrate_describe(c, &result->calibration);
    int n = measure_idle(c, result, err);
    int r = n < 0 ? n : calibrate_take(c, CALIBRATE_IDLE, (size_t)n, result, err);
    if (r < 0)
        return r;
    n = measure_load(c, result, err);
    r = n < 0 ? n : calibrate_take(c, CALIBRATE_LOAD, (size_t)n, result, err);
    if (r < 0)
        return r;
    calibrate_judge(result);
    *ret_result = *result;
    return 0;
}
