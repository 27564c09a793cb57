/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot aliasing-demo`: a poller against continuous reading, on the same readings of this machine's counters or on
 * simulated ones. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>

#include "cli/aliasing_report.h"
#include "cli/child.h"
#include "cli/cli.h"
#include "cli/svg.h"
#include "cli/term.h"
#include "meter/burst.h"
#include "model/quantity.h"

#define OUR_RATE_HZ          10 /* the agent's */
#define DRAIN_INTERVAL_NS    (50 * NS_PER_MS)
#define LOAD_THREADS_MAX     256
#define MEASURED_DEFAULT_NS  (120 * NS_PER_SEC)
#define SIMULATED_DEFAULT_NS (86400 * NS_PER_SEC) /* the emptiest case wraps 16 times in a day */

/* A simulated burst load: the mean of a common server, idle and busy. */
#define BASE_UW         (50 * UJ_PER_J)
#define BURST_UW        (600 * UJ_PER_J)
#define BURST_INTERVALS 30 /* twice round the beat of bursts against the poller */

/* 32 bits of 2^-16 J, of 2^-14 J, and of a microjoule. */
static const uint64_t moduli_uj[] = {65536 * UJ_PER_J, 262144 * UJ_PER_J, ALIASING_MASK_MODULUS_UJ};
static const uint64_t powers_w[] = {50, 150, 300, 600};
#define CASES (ELEMENTSOF(moduli_uj) * ELEMENTSOF(powers_w))

struct demo_settings {
    uint64_t duration_ns, interval_ns, load_threads;
    bool simulate, json;
    const char *svg;
};

#define FIELD(member) offsetof(struct demo_settings, member)

static const struct carnot_option demo_options[] = {
    {.name = "duration",
     .letter = 'd',
     .type = OPTION_DURATION,
     .offset = FIELD(duration_ns),
     .def = "0s",
     .metavar = "TIME",
     .max = 30 * 86400 * NS_PER_SEC,
     .help = "How long to compare, in whole intervals; 0s: two minutes measured, a day simulated."},
    {.name = "interval",
     .type = OPTION_DURATION,
     .offset = FIELD(interval_ns),
     .def = "15s",
     .metavar = "TIME",
     .min = NS_PER_SEC,
     .max = 3600 * NS_PER_SEC,
     .help = "How often the poller reads."},
    {.name = "simulate", .type = OPTION_BOOL, .offset = FIELD(simulate), .help = "Simulated counters, no waiting."},
    {.name = "load",
     .type = OPTION_U64,
     .offset = FIELD(load_threads),
     .def = "1",
     .metavar = "N",
     .max = LOAD_THREADS_MAX,
     .help = "Busy threads in each burst; 0: only what runs anyway."},
    {.name = "svg",
     .type = OPTION_STRING,
     .offset = FIELD(svg),
     .def = "",
     .metavar = "FILE",
     .help = "Write the powers that both see as a plot."},
    {.name = "json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "One JSON object instead of text."},
};

struct demo {
    const struct cli_verb *verb;
    const struct demo_settings *settings;
    struct aliasing_report report;
    struct plot_series ours, polled;
    struct aliasing_case cases[CASES];
    struct aliasing_result results[CASES];
};

static int tell(struct demo *demo)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct buf text;
    int fd = -1, r = 0, status;

    buf_init(&text, SVG_BYTES_MAX);
    if (demo->settings->svg[0]) {
        r = cli_open_output("--svg", demo->settings->svg, 0666, &fd, &err);
        if (r >= 0)
            r = aliasing_report_svg(&demo->report, &text);
        if (r >= 0)
            r = cli_write(fd, text.data, text.len);
        if (r < 0 && !err.msg[0])
            carnot_err_errno(&err, r, "--svg: cannot write %s", demo->settings->svg);
        cleanup_closep(&fd);
        buf_reset(&text);
    }
    int told = demo->settings->json ? aliasing_report_json(&demo->report, &text)
                                    : aliasing_report_text(&demo->report, term_width(STDOUT_FILENO),
                                                           (struct text_style){.utf8 = term_utf8()}, &text);
    status = told < 0 ? carnot_err_exit_status(told) : cli_put_stdout(demo->verb, &text);
    buf_done(&text);
    return r < 0 ? cli_fail(demo->verb, r == -ENOSPC ? -EIO : r, &err) : status;
}

/* --- simulated -------------------------------------------------------------------------------------------------- */

static void simulate(struct demo *demo)
{
    uint64_t interval_ns = demo->settings->interval_ns;
    uint64_t duration_ns = demo->settings->duration_ns ? demo->settings->duration_ns : SIMULATED_DEFAULT_NS;
    struct aliasing_case common = {.our_interval_ns = NS_PER_SEC / OUR_RATE_HZ,
                                   .poll_interval_ns = interval_ns,
                                   .polls = max_u64(duration_ns / interval_ns, 1)};
    struct aliasing_case bursts = common;
    struct aliasing_result of_bursts;

    for (size_t i = 0; i < CASES; i++) {
        demo->cases[i] = common;
        demo->cases[i].modulus_uj = moduli_uj[i / ELEMENTSOF(powers_w)];
        demo->cases[i].load.base_uw = demo->cases[i].load.burst_uw = powers_w[i % ELEMENTSOF(powers_w)] * UJ_PER_J;
        aliasing_simulate(&demo->cases[i], NULL, NULL, &demo->results[i]);
    }
    bursts.polls = BURST_INTERVALS;
    bursts.modulus_uj = 262144 * UJ_PER_J;
    bursts.load = (struct aliasing_load){.base_uw = BASE_UW, .burst_uw = BURST_UW};
    aliasing_bursts(interval_ns, &bursts.load.period_ns, &bursts.load.burst_ns);
    uint64_t shown_ns = bursts.polls * interval_ns;
    plot_series_init(&demo->ours, shown_ns / PLOT_COLUMNS + 1);
    plot_series_init(&demo->polled, shown_ns / PLOT_COLUMNS + 1);
    aliasing_simulate(&bursts, &demo->ours, &demo->polled, &of_bursts);
    demo->report = (struct aliasing_report){.simulated = true,
                                            .why_simulated = demo->report.why_simulated,
                                            .poll_interval_ns = interval_ns,
                                            .our_interval_ns = common.our_interval_ns,
                                            .compared_ns = common.polls * interval_ns,
                                            .cases = demo->cases,
                                            .results = demo->results,
                                            .n_cases = CASES,
                                            .load = bursts.load,
                                            .ours = &demo->ours,
                                            .polled = &demo->polled,
                                            .mean_uw = power_uw(of_bursts.ours_uj, shown_ns),
                                            .shown_ns = shown_ns};
}

/* --- the load --------------------------------------------------------------------------------------------------- */

struct load {
    struct carnot_clock *clock;
    uint64_t start_ns, period_ns, burst_ns;
    atomic_bool stop;
    sem_t wake;
    pthread_t ids[LOAD_THREADS_MAX];
    unsigned n;
};

static void *work(void *arg)
{
    struct load *load = arg;

    for (uint64_t burst = 0; !atomic_load(&load->stop); burst++) {
        uint64_t from_ns = load->start_ns + burst * load->period_ns;
        struct timespec from = {.tv_sec = (time_t)(from_ns / NS_PER_SEC), .tv_nsec = (long)(from_ns % NS_PER_SEC)};

        while (sem_clockwait(&load->wake, CLOCK_MONOTONIC, &from) < 0 && errno == EINTR)
            ;
        while (!atomic_load_explicit(&load->stop, memory_order_relaxed) &&
               clock_now(load->clock).mono_ns < from_ns + load->burst_ns)
            ;
    }
    return NULL;
}

static void load_start(struct load *load, unsigned n)
{
    sigset_t all, before;

    sem_init(&load->wake, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (load->n < n && pthread_create(&load->ids[load->n], NULL, work, load) == 0)
        load->n++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void load_stop(struct load *load)
{
    atomic_store(&load->stop, true);
    for (unsigned i = 0; i < load->n; i++)
        sem_post(&load->wake);
    for (unsigned i = 0; i < load->n; i++)
        pthread_join(load->ids[i], NULL);
    sem_destroy(&load->wake);
}

/* --- measured --------------------------------------------------------------------------------------------------- */

struct comparison {
    struct demo *demo;
    struct burst *burst;
    const struct domain *all;
    size_t n;
    struct aliasing_domain *domains; /* [n] */
    bool *in_use;                    /* [n] what the first row could read */
    uint64_t polls_wanted, polls;
    bool begun;
    uint64_t zero_ns, last_ns, last_total_uj;
    uint64_t polled_ns, polled_total_uj; /* time of the last poll and our total then */
};

static uint64_t total_uj(const struct comparison *c, const struct burst_row *row)
{
    uint64_t sum_uj = 0;

    for (size_t i = 0; i < c->n; i++)
        sum_uj += c->in_use[i] && c->all[i].in_total ? row->cells[i].energy_uj : 0;
    return sum_uj;
}

/* The poller's turn: it takes this very reading. */
static void poll_counters(struct comparison *c, const struct burst_row *row)
{
    uint64_t shown_uj = 0;

    for (size_t i = 0; i < c->n; i++) {
        struct aliasing_domain *d = &c->domains[i];
        const struct burst_cell *cell = &row->cells[i];

        if (!c->in_use[i])
            continue;
        d->modulus_uj = d->poller.modulus_uj = cell->modulus_uj;
        d->masked.modulus_uj = ALIASING_MASK_MODULUS_UJ;
        uint64_t uj = aliasing_poll(&d->poller, cell->raw_uj);
        shown_uj += c->all[i].in_total ? uj : 0;
        aliasing_poll(&d->masked, cell->raw_uj);
        d->exact_uj = cell->energy_uj;
        d->wraps = burst_domain_report(c->burst, i).wraps;
    }
    if (c->begun) {
        c->polls++;
        plot_series_add(&c->demo->polled, c->polled_ns - c->zero_ns, row->mono_ns - c->zero_ns,
                        power_uw(shown_uj, row->mono_ns - c->polled_ns));
    }
    c->polled_ns = row->mono_ns;
    c->polled_total_uj = total_uj(c, row);
}

/* The first row says which counters can be read; later ones are of use with all of these. */
static bool is_whole(struct comparison *c, const struct burst_row *row)
{
    bool whole = true, any = false;

    for (size_t i = 0; i < c->n; i++) {
        if (!c->begun)
            c->in_use[i] = row->cells[i].read && row->cells[i].has_raw; /* a sum has no counter to poll */
        any |= c->in_use[i];
        whole &= !c->in_use[i] || row->cells[i].read;
    }
    return whole && any;
}

/* Rows in which a counter could not be read are left out; the next one has their energy. */
static void take_row(struct comparison *c, const struct burst_row *row)
{
    if (!is_whole(c, row) || c->polls == c->polls_wanted)
        return;
    uint64_t sum_uj = total_uj(c, row);
    if (!c->begun) {
        c->zero_ns = row->mono_ns;
        poll_counters(c, row);
        c->begun = true;
    } else {
        plot_series_add(&c->demo->ours, c->last_ns - c->zero_ns, row->mono_ns - c->zero_ns,
                        power_uw(sum_uj - c->last_total_uj, row->mono_ns - c->last_ns));
        if (row->mono_ns - c->zero_ns >= (c->polls + 1) * c->demo->settings->interval_ns)
            poll_counters(c, row);
    }
    c->last_ns = row->mono_ns;
    c->last_total_uj = sum_uj;
}

/* Until all intervals are there, somebody interrupts, or their time is over and a counter does not answer. */
static void compare(struct comparison *c, const struct carnot_env *env, const struct child_signals *signals)
{
    struct child nobody = {.ended = true};
    struct timespec pause = {.tv_nsec = DRAIN_INTERVAL_NS};
    uint64_t limit_ns = clock_mono_ns(env->clock) + (c->polls_wanted + 1) * c->demo->settings->interval_ns;
    struct burst_row row;

    while (c->polls < c->polls_wanted && !nobody.stop_signal && clock_mono_ns(env->clock) < limit_ns) {
        struct pollfd fd = {.fd = signals->fd, .events = POLLIN};
        if (ppoll(&fd, 1, &pause, NULL) > 0)
            child_on_signal(&nobody, signals, env->clock);
        while (burst_next(c->burst, &row))
            take_row(c, &row);
    }
}

static void fill_report(struct comparison *c, const struct load *load)
{
    struct demo *demo = c->demo;
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        if (!c->in_use[i])
            continue;
        c->domains[n] = c->domains[i];
        c->domains[n++].domain = &c->all[i];
    }
    demo->report = (struct aliasing_report){
        .poll_interval_ns = demo->settings->interval_ns,
        .our_interval_ns = NS_PER_SEC / burst_rate_hz(c->burst),
        .domains = c->domains,
        .n_domains = n,
        .load = {.period_ns = load->n ? load->period_ns : 0, .burst_ns = load->n ? load->burst_ns : 0},
        .load_threads = load->n,
        .ours = &demo->ours,
        .polled = &demo->polled,
        .mean_uw = power_uw(c->polled_total_uj, c->polled_ns - c->zero_ns),
        .compared_ns = c->polled_ns - c->zero_ns,
        .shown_ns = c->polled_ns - c->zero_ns,
    };
}

static int run_comparison(struct demo *demo, struct comparison *c, const struct carnot_env *env)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct child_signals signals;
    struct load load = {.clock = env->clock};
    int r;

    c->n = burst_domains(c->burst, &c->all);
    c->domains = calloc(c->n, sizeof(*c->domains));
    c->in_use = calloc(c->n, sizeof(*c->in_use));
    if (!c->domains || !c->in_use) {
        carnot_err_set(&err, ENOMEM, "out of memory");
        return cli_fail(demo->verb, -ENOMEM, &err);
    }
    r = child_signals_open(&signals, &err);
    if (r < 0)
        return cli_fail(demo->verb, r, &err);
    r = burst_start(c->burst, &err);
    if (r >= 0) {
        load.start_ns = clock_now(env->clock).mono_ns;
        aliasing_bursts(demo->settings->interval_ns, &load.period_ns, &load.burst_ns);
        load_start(&load, (unsigned)demo->settings->load_threads);
        compare(c, env, &signals);
        load_stop(&load);
        burst_stop(c->burst);
        if (c->polls == 0)
            r = carnot_err_set(&err, EAGAIN,
                               "no whole interval of the poller: interrupted too early, or a counter did not answer");
    }
    child_signals_close(&signals);
    if (r < 0)
        return cli_fail(demo->verb, r, &err);
    fill_report(c, &load);
    return tell(demo);
}

static int measure(struct demo *demo, const struct cli_settings *common, bool *ret_absent)
{
    struct burst_settings settings = {.rate_hz = OUR_RATE_HZ,
                                      .max_samples = 1024,
                                      .span_ns = BURST_SPAN_AUTO,
                                      .only = &common->meter.only_sources,
                                      .off = &common->meter.no_sources};
    uint64_t interval_ns = demo->settings->interval_ns;
    uint64_t duration_ns = demo->settings->duration_ns ? demo->settings->duration_ns : MEASURED_DEFAULT_NS;
    struct comparison c = {.demo = demo, .polls_wanted = duration_ns / interval_ns};
    struct carnot_err err = CARNOT_ERR_INIT;
    struct carnot_env env;
    int status, r = cli_env_open(common, &env, &err);

    if (r < 0)
        return cli_fail(demo->verb, r, &err);
    if (c.polls_wanted == 0)
        r = carnot_err_set(&err, EINVAL, "--duration holds no whole --interval: nothing to compare");
    else
        r = burst_open(&env, &settings, &c.burst, &err);
    if (r == -ENODEV) {
        *ret_absent = true;
        demo->report.why_simulated =
            "No energy counter here that could be polled (`carnot doctor` tells why): simulated instead.";
        status = 0;
    } else {
        plot_series_init(&demo->ours, c.polls_wanted * interval_ns / PLOT_COLUMNS + 1);
        plot_series_init(&demo->polled, c.polls_wanted * interval_ns / PLOT_COLUMNS + 1);
        status = r < 0 ? cli_fail(demo->verb, r, &err) : run_comparison(demo, &c, &env);
    }
    free(c.domains);
    free(c.in_use);
    burst_close(c.burst);
    carnot_env_close(&env);
    return status;
}

int cmd_aliasing_demo(const struct cli_verb *verb, int argc, char **argv)
{
    struct demo_settings settings = {0};
    struct cli_settings common = {0};
    struct cli_options options;
    struct carnot_err err = CARNOT_ERR_INIT;
    bool simulated;
    int status, operand = cli_options_parse(&options, verb, demo_options, ELEMENTSOF(demo_options), &settings, &common,
                                            argc, argv, false, &err);
    struct demo *demo = calloc(1, sizeof(*demo));

    if (operand >= 0 && settings.interval_ns % (NS_PER_SEC / OUR_RATE_HZ))
        operand = carnot_err_set(&err, EINVAL, "--interval: a multiple of 100ms, since that is how often we read");
    if (operand < 0 || !demo) {
        if (operand >= 0)
            operand = carnot_err_set(&err, ENOMEM, "out of memory");
        status = cli_fail(verb, operand, &err);
        goto out;
    }
    if (common.help) {
        status = cli_print_help(verb, &options);
        goto out;
    }
    demo->verb = verb;
    demo->settings = &settings;
    simulated = settings.simulate;
    status = simulated ? 0 : measure(demo, &common, &simulated);
    if (simulated) {
        simulate(demo);
        status = tell(demo);
    }
out:
    free(demo);
    cli_options_done(&options);
    return status;
}
