/* SPDX-License-Identifier: Apache-2.0 */
/* See agent.h. One thread samples, attributes and serves the socket; HTTP has its own. */
#include "agent/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include "agent/control.h"
#include "agent/privileges.h"
#include "agent/state.h"
#include "agent/web.h"
#include "base/commands.h"
#include "base/log.h"
#include "base/parse.h"

/* Timers may come so much late to be served together with others: a tenth of the finest sampling we advise. */
#define TIMER_ACCURACY_US 1000

struct agent {
    const struct agent_settings *settings;
    struct carnot_env env;
    sd_event *loop;
    sd_event_source *timer;
    struct meter *meter;
    struct control *control;
    struct web *web;
    struct state *state;
    uint64_t next_sample_ns, next_tick_ns;
    struct log_limit tick_errors, drain_errors;
};

/* --- the tick ------------------------------------------------------------------------------------------------- */

static void complain(struct agent *agent, struct log_limit *limit, const struct carnot_err *err, const char *what)
{
    unsigned held_back = 0;

    if (!log_limit_pass(limit, clock_now(agent->env.clock).mono_ns, &held_back))
        return;
    if (held_back)
        log_warn("%s: %s (%u more like it)", what, err->msg, held_back);
    else
        log_warn("%s: %s", what, err->msg);
}

/* The next multiple on the grid of `interval` after now; whole intervals that were slept through are counted, not made
 * up for. */
static uint64_t advance(uint64_t due_ns, uint64_t interval_ns, uint64_t now_ns, uint64_t *ret_missed)
{
    uint64_t late = now_ns > due_ns ? (now_ns - due_ns) / interval_ns : 0;

    *ret_missed = late;
    return due_ns + (late + 1) * interval_ns;
}

static void tick(struct agent *agent, uint64_t now_ns)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    uint64_t missed;

    agent->next_tick_ns = advance(agent->next_tick_ns, meter_interval_ns(agent->meter), now_ns, &missed);
    if (missed)
        meter_missed_tick(agent->meter, missed);
    if (meter_tick(agent->meter, &err) < 0)
        complain(agent, &agent->tick_errors, &err, "window not complete");
    if (agent->control)
        control_tick(agent->control);
    state_tick(agent->state, now_ns);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct agent *agent = userdata;
    uint64_t now_ns = clock_now(agent->env.clock).mono_ns, missed;
    struct carnot_err err = CARNOT_ERR_INIT;

    if (now_ns >= agent->next_tick_ns)
        tick(agent, now_ns);
    else if (meter_sample(agent->meter, &err) < 0)
        complain(agent, &agent->drain_errors, &err, "reading activity");
    if (now_ns >= agent->next_sample_ns)
        agent->next_sample_ns =
            advance(agent->next_sample_ns, agent->settings->meter.sampling_interval_ns, now_ns, &missed);
    sd_event_source_set_time(source, min_u64(agent->next_sample_ns, agent->next_tick_ns) / NS_PER_US);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* --- start and stop ------------------------------------------------------------------------------------------- */

static int start_loop(struct agent *agent, struct carnot_err *err)
{
    sigset_t signals;
    int r;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    /* Who ignored it before us would have taken away how the programs that we run ended. */
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    r = sd_event_new(&agent->loop);
    if (r >= 0)
        r = sd_event_add_signal(agent->loop, NULL, SIGTERM, NULL, NULL);
    if (r >= 0)
        r = sd_event_add_signal(agent->loop, NULL, SIGINT, NULL, NULL);
    if (r >= 0)
        r = sd_event_set_watchdog(agent->loop, true);
    return r < 0 ? carnot_err_errno(err, -r, "cannot make the event loop") : 0;
}

static int start_timer(struct agent *agent, struct carnot_err *err)
{
    uint64_t now_ns = clock_now(agent->env.clock).mono_ns;
    int r;

    agent->next_sample_ns = now_ns + agent->settings->meter.sampling_interval_ns;
    agent->next_tick_ns = now_ns + meter_interval_ns(agent->meter);
    r = sd_event_add_time(agent->loop, &agent->timer, CLOCK_MONOTONIC,
                          min_u64(agent->next_sample_ns, agent->next_tick_ns) / NS_PER_US, TIMER_ACCURACY_US, on_timer,
                          agent);
    return r < 0 ? carnot_err_errno(err, -r, "cannot make the timer") : 0;
}

static void log_description(const struct agent *agent)
{
    struct buf text;
    struct text rest, line;

    buf_init(&text, 16384);
    meter_describe(agent->meter, &text);
    rest = (struct text){text.data, text.len};
    while (text.len && scan_line(&rest, &line))
        log_info("%.*s", (int)line.n, line.p);
    buf_done(&text);
}

static int start_web(struct agent *agent, struct carnot_err *err)
{
    const struct option_list *addresses = &agent->settings->listen_addresses;
    int r;

    if (addresses->count == 1 && strcmp(addresses->items[0], "none") == 0)
        return 0;
    r = web_start(agent->settings, agent->meter, &agent->web, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < addresses->count; i++)
        log_info("serving metrics on %s, port %u, path %s", addresses->items[i], web_port(agent->web, i),
                 agent->settings->telemetry_path);
    return 0;
}

static int start(struct agent *agent, struct carnot_err *err)
{
    const struct agent_settings *settings = agent->settings;
    int r;

    r = carnot_env_open(settings->procfs, settings->sysfs, settings->cgroupfs, settings->rootfs, &agent->env, err);
    if (r >= 0)
        r = commands_new(&agent->env.commands, err);
    if (r >= 0)
        r = start_loop(agent, err);
    if (r >= 0)
        r = meter_open(&agent->env, &settings->meter, &agent->meter, err);
    if (r >= 0 && (settings->socket_path[0] || settings->governor_path[0]))
        r = control_start(agent->loop, settings, &agent->env, agent->meter, &agent->control, err);
    /* After the sockets: whoever finds them taken leaves the other agent's file alone. */
    if (r >= 0)
        agent->state = state_open(settings, &agent->env, agent->meter);
    /* From here on nothing but other programs needs rights; and no thread has been started yet. */
    if (r >= 0)
        r = commands_start_helper(agent->env.commands, err);
    if (r >= 0)
        r = privileges_drop(err);
    if (r >= 0) {
        meter_start(agent->meter);
        state_start(agent->state);
        r = start_web(agent, err);
    }
    if (r >= 0)
        r = start_timer(agent, err);
    return r;
}

static void stop(struct agent *agent)
{
    sd_notify(0, "STOPPING=1");
    agent->web = web_stop(agent->web);
    agent->control = control_stop(agent->control);
    agent->state = state_close(agent->state);
    sd_event_source_unref(agent->timer);
    sd_event_unref(agent->loop);
    commands_stop(agent->env.commands); /* a source that waits for one ends with it */
    agent->meter = meter_close(agent->meter);
    agent->env.commands = commands_free(agent->env.commands);
    carnot_env_close(&agent->env);
}

int agent_run(const struct agent_settings *settings, struct carnot_err *err)
{
    struct agent agent = {
        .settings = settings,
        .env = {.proc.fd = -1, .sys.fd = -1, .cgroup.fd = -1, .root.fd = -1},
        .tick_errors = {.interval_ns = 60 * NS_PER_SEC, .burst = 1},
        .drain_errors = {.interval_ns = 60 * NS_PER_SEC, .burst = 1},
    };
    int r = start(&agent, err);

    if (r >= 0) {
        log_description(&agent);
        if (agent.control)
            control_log(agent.control);
        if (commands_helper_pid(agent.env.commands))
            log_info("other programs are run by process %d", (int)commands_helper_pid(agent.env.commands));
        if (meter_interval_ns(agent.meter) != settings->meter.attribution_interval_ns)
            log_warn("windows are %" PRIu64 " ms long, since the energy source in use gives nothing finer",
                     (uint64_t)(meter_interval_ns(agent.meter) / NS_PER_MS));
        sd_notify(0, "READY=1\nSTATUS=measuring");
        r = sd_event_loop(agent.loop);
        if (r < 0)
            carnot_err_errno(err, -r, "the event loop failed");
        else
            log_info("stopping");
    }
    stop(&agent);
    return r < 0 ? r : 0;
}
