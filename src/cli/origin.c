/* SPDX-License-Identifier: Apache-2.0 */
/* Views from an agent or from a meter of our own, see origin.h. */
#include "cli/origin.h"

#include <errno.h>
#include <poll.h>
#include <sys/timerfd.h>

#include "base/commands.h"
#include "base/json_out.h"
#include "sinks/snapshot.h"

#define CONNECT_TIMEOUT_NS (1 * NS_PER_SEC)  /* a local socket: longer means that nobody is there */
#define ANSWER_TIMEOUT_NS  (10 * NS_PER_SEC) /* an answer may wait for the next slot of a second */
/* A window shorter than this says little about peak power: counters tick and start at any time in it. */
#define PEAK_WINDOW_MIN_NS (NS_PER_SEC / 2)
/* A modelled domain is read at most so often (sources count in clock ticks of 10 ms): a window that is to have its
 * energy may not be shorter. */
#define MODEL_WINDOW_MIN_NS (NS_PER_SEC / 2)

static int open_agent(struct origin *origin, struct carnot_err *err)
{
    struct carnot_err why = CARNOT_ERR_INIT;

    if (line_client_connect(origin->socket_path, CONNECT_TIMEOUT_NS, &origin->client, &why) >= 0)
        return 0;
    return carnot_err_set(err, ENODEV,
                          "no agent at %s (%s); start carnotd, or use --agent=auto to measure in this process",
                          origin->socket_path, why.msg);
}

static int open_meter(struct origin *origin, const struct cli_settings *settings, enum origin_use use,
                      struct carnot_err *err)
{
    struct meter_settings meter = settings->meter;
    struct itimerspec timer = {0};
    uint64_t interval_ns = meter.sampling_interval_ns;
    int r;

    if (use == ORIGIN_COMMAND && meter.activity == ACTIVITY_AUTO) {
        meter.activity = ACTIVITY_BPF;
        r = meter_open(&origin->env, &meter, &origin->meter, NULL);
        meter.activity = ACTIVITY_TREE;
        if (r < 0)
            r = meter_open(&origin->env, &meter, &origin->meter, err);
    } else {
        r = meter_open(&origin->env, &meter, &origin->meter, err);
    }
    /* Not for rights, which stay: children of this process are the measured command's (`carnot run`), and are waited
     * for whoever they are. */
    if (r >= 0)
        r = commands_start_helper(origin->env.commands, err);
    if (r < 0)
        return r;
    meter_start(origin->meter);
    origin->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    timer.it_interval.tv_sec = timer.it_value.tv_sec = (time_t)(interval_ns / NS_PER_SEC);
    timer.it_interval.tv_nsec = timer.it_value.tv_nsec = (long)(interval_ns % NS_PER_SEC);
    if (origin->timer_fd < 0 || timerfd_settime(origin->timer_fd, 0, &timer, NULL) < 0)
        return carnot_err_errno(err, errno, "cannot make a timer");
    origin->interval_ns = meter.attribution_interval_ns;
    origin->next_tick_ns = clock_now(origin->env.clock).mono_ns + origin->interval_ns;
    return 0;
}

/* The option counts with an agent too, whose own choice may be another. */
static int choose_intensity(struct origin *origin, const struct meter_settings *meter, struct carnot_err *err)
{
    const char *how = meter->intensity_g_per_kwh > 0 ? "--intensity.g-per-kwh" : "--intensity.zone";

    origin->own_intensity = meter->intensity_g_per_kwh > 0 || (meter->intensity_zone && meter->intensity_zone[0]);
    if (!origin->own_intensity)
        return 0;
    return intensity_choose(&origin->env, meter->intensity_g_per_kwh, meter->intensity_zone, how, &origin->intensity,
                            err);
}

int origin_open(struct origin *origin, const struct cli_settings *settings, enum origin_use use, struct carnot_err *err)
{
    int r;

    *origin = (struct origin){.timer_fd = -1};
    buf_init(&origin->text, LINE_ANSWER_MAX);
    r = cli_env_open(settings, &origin->env, err);
    if (r < 0)
        return r;
    origin->env_open = true;
    origin->socket_path = strdup(cli_socket_path(settings));
    if (!origin->socket_path)
        return carnot_err_set(err, ENOMEM, "out of memory");
    r = choose_intensity(origin, &settings->meter, err);
    if (r < 0)
        return r;
    if (settings->agent != AGENT_NEVER) {
        r = open_agent(origin, err);
        if (r >= 0 || settings->agent == AGENT_REQUIRED)
            return r;
    }
    return open_meter(origin, settings, use, err);
}

void origin_close(struct origin *origin)
{
    line_client_close(origin->client);
    commands_stop(origin->env.commands); /* a source that waits for one ends with it */
    meter_close(origin->meter);
    if (origin->timer_fd >= 0)
        close(origin->timer_fd);
    if (origin->env_open)
        cli_env_close(&origin->env);
    free(origin->socket_path);
    buf_done(&origin->text);
    *origin = (struct origin){.timer_fd = -1};
}

const char *origin_way(const struct origin *origin)
{
    return origin->meter ? "in process" : "agent";
}

/* The largest window of the open session. */
static void note_peak(struct origin *origin)
{
    struct batch *batch = meter_latest(origin->meter);
    const struct batch_unit *newest = NULL;
    size_t n;

    if (!batch)
        return;
    const struct batch_unit *units = batch_kind(batch, UNIT_SESSION, &n);
    uint64_t window_ns = batch->end.mono_ns - batch->begin.mono_ns;
    for (size_t i = 0; i < n; i++)
        if (!newest || units[i].id > newest->id)
            newest = &units[i];
    if (newest && window_ns >= PEAK_WINDOW_MIN_NS)
        origin->session_peak_uw =
            max_u64(origin->session_peak_uw,
                    (uint64_t)((unsigned __int128)batch_unit_window_uj(batch, newest) * NS_PER_SEC / window_ns));
    batch_unref(batch);
}

int origin_tick(struct origin *origin, struct carnot_err *err)
{
    int r;

    if (!origin->meter)
        return 0;
    r = meter_tick(origin->meter, err);
    origin->last_tick_ns = clock_now(origin->env.clock).mono_ns;
    origin->next_tick_ns = origin->last_tick_ns + origin->interval_ns;
    if (r >= 0 && origin->session)
        note_peak(origin);
    return r;
}

int origin_on_timer(struct origin *origin, struct carnot_err *err)
{
    uint64_t expirations, due_ns = origin->next_tick_ns, now_ns;
    int r;

    if (read(origin->timer_fd, &expirations, sizeof(expirations)) < 0)
        return 0; /* somebody else took it: nothing is due */
    now_ns = clock_now(origin->env.clock).mono_ns;
    if (now_ns < due_ns) {
        r = meter_sample(origin->meter, err);
        return r < 0 ? r : 0;
    }
    r = origin_tick(origin, err);
    /* On the grid, unless it was missed by more than a window (we were stopped). */
    if (now_ns - due_ns < origin->interval_ns)
        origin->next_tick_ns = due_ns + origin->interval_ns;
    return r < 0 ? r : 1;
}

int origin_work_until(struct origin *origin, uint64_t until_ns, struct carnot_err *err)
{
    for (;;) {
        uint64_t now_ns = clock_now(origin->env.clock).mono_ns;
        struct pollfd fd = {.fd = origin->timer_fd, .events = POLLIN};
        int r;

        if (now_ns >= until_ns)
            return 0;
        r = poll(&fd, 1, (int)min_u64((until_ns - now_ns) / NS_PER_MS + 1, INT32_MAX));
        if (r < 0 && errno != EINTR)
            return carnot_err_errno(err, errno, "cannot wait");
        if (r > 0) {
            r = origin_on_timer(origin, err);
            if (r != 0)
                return r;
        }
    }
}

static int reconnect(struct origin *origin, struct carnot_err *err)
{
    origin->client = line_client_close(origin->client);
    return line_client_connect(origin->socket_path, CONNECT_TIMEOUT_NS, &origin->client, err);
}

static int ask(struct origin *origin, const char *request, const char **ret_text, size_t *ret_len,
               struct carnot_err *err)
{
    int r;

    if (origin->client) {
        r = line_client_request(origin->client, request, ANSWER_TIMEOUT_NS, ret_text, ret_len, err);
        if (r >= 0)
            return 0;
        if (origin->session) /* it ended with its connection */
            return r;
    }
    /* The agent may have been restarted: one new connection, then the failure stands. */
    r = reconnect(origin, err);
    return r < 0 ? r : line_client_request(origin->client, request, ANSWER_TIMEOUT_NS, ret_text, ret_len, err);
}

static int ask_snapshot(struct origin *origin, unsigned kinds, size_t limit, const char **ret_text, size_t *ret_len,
                        struct carnot_err *err)
{
    struct json_out json;

    buf_reset(&origin->text);
    json_out_init(&json, &origin->text);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_string(&json, "op", "snapshot");
    json_out_key(&json, "kinds");
    json_out_array(&json);
    for (unsigned k = 0; k < UNIT_KINDS; k++)
        if (kinds & 1U << k)
            json_out_string(&json, unit_kind_name((enum unit_kind)k));
    json_out_array_end(&json);
    if (limit > 0)
        json_out_kv_u64(&json, "limit", limit);
    json_out_object_end(&json);
    return ask(origin, buf_str(&origin->text), ret_text, ret_len, err);
}

static int write_snapshot(struct origin *origin, unsigned kinds, size_t limit, struct carnot_err *err)
{
    const struct viewer viewer = {.all = true, .uid = (uint32_t)getuid(), .quantum_uj = 1};
    const struct snapshot_options options = {.kinds = kinds, .limit = limit, .slot_ns = origin->interval_ns};
    struct batch *batch = meter_latest(origin->meter);
    int r;

    if (!batch)
        return carnot_err_set(err, ENODATA, "no window is complete yet; ask again in a second");
    buf_reset(&origin->text);
    r = snapshot_write(batch, &viewer, &options, &origin->text);
    batch_unref(batch);
    return r < 0 ? carnot_err_errno(err, -r, "cannot write a snapshot") : 0;
}

int origin_text(struct origin *origin, unsigned kinds, size_t limit, const char **ret_text, size_t *ret_len,
                struct carnot_err *err)
{
    int r;

    if (!origin->meter)
        return ask_snapshot(origin, kinds, limit, ret_text, ret_len, err);
    r = write_snapshot(origin, kinds, limit, err);
    if (r < 0)
        return r;
    *ret_text = buf_str(&origin->text);
    *ret_len = origin->text.len;
    return 0;
}

int origin_parse(struct origin *origin, const char *text, size_t len, struct view **ret_view, struct carnot_err *err)
{
    const struct intensity *in = &origin->intensity;
    _cleanup_view_ struct view *view = NULL;
    int r = view_parse(text, len, &view, err);

    if (r < 0)
        return r;
    if (origin->own_intensity &&
        view_set_intensity(view, in->mg_kwh, in->zone, in->source, in->chosen_by, in->quality) < 0)
        return carnot_err_set(err, ENOMEM, "out of memory");
    *ret_view = TAKE_PTR(view);
    return 0;
}

int origin_view(struct origin *origin, unsigned kinds, size_t limit, struct view **ret_view, struct carnot_err *err)
{
    const char *text;
    size_t len;
    int r = origin_text(origin, kinds, limit, &text, &len, err);

    return r < 0 ? r : origin_parse(origin, text, len, ret_view, err);
}

static void put_session_request(struct buf *out, const char *op, uint32_t session, const char *label)
{
    struct json_out json;

    buf_reset(out);
    json_out_init(&json, out);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_string(&json, "op", op);
    if (session)
        json_out_kv_u64(&json, "session", session);
    if (label)
        json_out_kv_string(&json, "label", label);
    json_out_object_end(&json);
}

int origin_session_begin(struct origin *origin, const char *label, struct carnot_err *err)
{
    const char *text;
    size_t len;
    int r;

    origin->session_peak_uw = 0;
    if (origin->meter)
        return meter_session_begin(origin->meter, (uint32_t)getpid(), (uint32_t)getuid(), label, &origin->session, err);
    put_session_request(&origin->text, "session.begin", 0, label);
    r = ask(origin, buf_str(&origin->text), &text, &len, err);
    return r < 0 ? r : view_parse_session_begin(text, len, &origin->session, err);
}

/* Keeps of a snapshot's sessions only the newest: an ended one stays in the batch for a while. */
static void keep_newest(struct view *view, uint64_t peak_uw)
{
    size_t newest = 0;

    for (size_t i = 1; i < view->n_units; i++)
        if (view->units[i].id > view->units[newest].id)
            newest = i;
    if (view->n_units > 0)
        view->units[0] = view->units[newest];
    view->n_units = view->n_units > 0;
    view->session_peak_uw = peak_uw;
}

static bool is_modelled(struct origin *origin)
{
    struct batch *batch = meter_latest(origin->meter);
    bool modelled = false;

    for (size_t d = 0; batch && d < batch->n_domains; d++)
        modelled |= batch->domains[d].domain.quality >= QUALITY_MODELLED;
    batch_unref(batch);
    return modelled;
}

static int end_in_process(struct origin *origin, struct view **ret_view, struct carnot_err *err)
{
    struct view *view = NULL;
    int r = 0;

    /* The command has ended; its last window is closed when the model can say what that window used. */
    while (r >= 0 && is_modelled(origin) &&
           clock_now(origin->env.clock).mono_ns < origin->last_tick_ns + MODEL_WINDOW_MIN_NS) {
        r = origin_work_until(origin, origin->last_tick_ns + MODEL_WINDOW_MIN_NS, err);
        if (r == 1)
            break;
    }
    if (r == 0)
        r = origin_tick(origin, err);
    if (r >= 0)
        r = origin_view(origin, 1U << UNIT_SESSION, 0, &view, err);
    if (r >= 0) {
        keep_newest(view, origin->session_peak_uw);
        *ret_view = view;
    }
    meter_session_end(origin->meter, origin->session);
    origin->session = 0;
    return r;
}

int origin_session_end(struct origin *origin, struct view **ret_view, struct carnot_err *err)
{
    const char *text;
    size_t len;
    int r;

    if (origin->meter)
        return end_in_process(origin, ret_view, err);
    put_session_request(&origin->text, "session.end", origin->session, NULL);
    r = ask(origin, buf_str(&origin->text), &text, &len, err);
    origin->session = 0;
    return r < 0 ? r : origin_parse(origin, text, len, ret_view, err);
}

void origin_session_drop(struct origin *origin)
{
    if (!origin->session)
        return;
    if (origin->meter)
        meter_session_end(origin->meter, origin->session);
    origin->session = 0; /* with an agent it ends when the connection closes */
}
