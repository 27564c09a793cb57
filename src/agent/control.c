/* SPDX-License-Identifier: Apache-2.0 */
/* See control.h.
 *
 * Ordinary users get the batch of the last slot boundary, the same for everyone inside a slot, so that asking more
 * often tells nothing more; energy is cut to quanta (sinks/snapshot). Administrators get the newest batch. */
#include "agent/control.h"

#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>

#include "agent/governor.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/parse.h"
#include "model/quantity.h"
#include "net/line_limit.h"
#include "net/line_server.h"
#include "sinks/session.h"
#include "sinks/snapshot.h"

/* Finest time grid for an ordinary user (DESIGN.md section 8; PLATYPUS needs far finer readings). */
#define SLOT_NS NS_PER_SEC

/* Where something is measured, readings of an ordinary user come in whole joules. A model of public inputs leaks
 * nothing that /proc does not say, so its figures are cut to a millijoule only. */
#define QUANTUM_MEASURED_UJ UJ_PER_J
#define QUANTUM_MODELLED_UJ 1000

#define SESSIONS_MAX         256 /* of all peers together; one per running `carnot run` */
#define SESSIONS_PER_UID_MAX 32  /* so that one user cannot take them all */
#define LABEL_MAX            200 /* a command's name, not its whole line */
#define INFO_MAX             16384
#define PIDS_MAX             256 /* of one request: what 4096 bytes can hold, less a half */

/* Clients of carbon-ops' governor give each operation 0.2 s; the answer must be there well before. */
#define SILENCE_NS (50 * NS_PER_MS)

/* Of the governor's socket: such a client asks once and goes. */
#define GOVERNOR_IDLE_NS (10 * NS_PER_SEC)

/* Its answer takes 20 us to make: a tenth of a CPU for a user who asks without end. Ours may take a hundred times as
 * long and are limited there as on the main socket. */
#define GOVERNOR_REQUESTS_PER_S 5000
#define TYPED_REQUESTS_PER_S    50

/* One socket. They differ in who may connect, and in what is made of a line that is no request. */
struct listener {
    struct control *control;
    struct line_server *server;
    const char *path;
    bool governor;         /* for clients that need not ask */
    bool group_sees_units; /* its group is the agent's own; else its members see the counters alone */
};

struct control_session {
    uint32_t session; /* 0: free entry */
    uint32_t uid;
    struct line_server *server;
    uint64_t connection;
    uint64_t begin_real_ns;
    bool waiting, ending; /* an answer is due at the next tick; the session ends with it */
};

struct control {
    struct meter *meter;
    const struct carnot_env *env;
    struct listener main, legacy; /* server NULL: not wanted */
    struct governor *governor;
    struct line_limit typed; /* requests of our own protocol on the governor's socket */
    uint64_t window_ns;
    uint64_t quantum_uj; /* of ordinary users; 0 until the first batch */
    struct batch *slot_batch;
    char epoch[33];
    struct control_session sessions[SESSIONS_MAX];
    struct buf answer;
};

/* Who asks, and what that one may see. */
struct caller {
    struct line_server *server;
    struct line_peer *peer;
    bool all;      /* every unit, all totals */
    bool counters; /* the machine's counters */
};

static struct caller caller_of(const struct listener *listener, struct line_server *server, struct line_peer *peer)
{
    bool root = peer->uid == 0;

    return (struct caller){
        .server = server,
        .peer = peer,
        .all = root || (peer->in_group && listener->group_sees_units),
        .counters = root || peer->in_group,
    };
}

static struct viewer viewer_of(const struct control *control, uint32_t uid, bool all)
{
    return (struct viewer){
        .all = all, .uid = uid, .quantum_uj = control->quantum_uj ? control->quantum_uj : QUANTUM_MEASURED_UJ};
}

static enum line_verdict fail(struct buf *answer, int code, const char *message)
{
    struct json_out json;

    buf_reset(answer);
    json_out_init(&json, answer);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_string(&json, "status", "error");
    json_out_kv_string(&json, "error", strerrorname_np(code < 0 ? -code : code));
    json_out_kv_string(&json, "message", message);
    json_out_object_end(&json);
    return LINE_ANSWERED;
}

/* --- snapshot ------------------------------------------------------------------------------------------------ */

static int parse_kinds(const json_t *kinds, unsigned *ret_kinds)
{
    unsigned bits = 0;
    if (!kinds) {
        *ret_kinds = 1U << UNIT_PROCESS | 1U << UNIT_CGROUP | 1U << UNIT_USER;
        return 0;
    }
    if (!json_is_array(kinds))
        return -EINVAL;
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const char *name = json_string_value(json_array_get(kinds, i));
        unsigned kind = 0;

        while (name && kind < UNIT_KINDS && strcmp(name, unit_kind_name((enum unit_kind)kind)) != 0)
            kind++;
        if (!name || kind == UNIT_KINDS)
            return -EINVAL;
        bits |= 1U << kind;
    }
    *ret_kinds = bits;
    return 0;
}

static const char pids_are[] = "\"pids\" is a list of 1 to 256 process ids";

static enum line_verdict answer_units(struct control *control, const struct viewer *viewer,
                                      const struct snapshot_options *options, struct buf *answer)
{
    struct batch *batch = viewer->all           ? meter_latest(control->meter)
                          : control->slot_batch ? batch_ref(control->slot_batch)
                                                : NULL;

    if (!batch)
        return fail(answer, EAGAIN, "the first window has not ended yet; try again in a second");
    int r = snapshot_write(batch, viewer, options, answer);
    batch_unref(batch);
    if (r < 0)
        return fail(answer, E2BIG, "the answer would be too large; ask with a \"limit\"");
    return LINE_ANSWERED;
}

static enum line_verdict op_snapshot(struct control *control, const struct caller *caller, const json_t *request,
                                     struct buf *answer)
{
    struct snapshot_options options = {.slot_ns = caller->all ? control->window_ns : SLOT_NS, .epoch = control->epoch};
    struct viewer viewer = viewer_of(control, caller->peer->uid, caller->all);
    const json_t *limit = json_object_get(request, "limit");

    if (parse_kinds(json_object_get(request, "kinds"), &options.kinds) < 0)
        return fail(answer, EINVAL, "\"kinds\" is a list of process, cgroup, user and session");
    if (limit && (!json_is_integer(limit) || json_integer_value(limit) < 0))
        return fail(answer, EINVAL, "\"limit\" is a whole number from 0 on");
    options.limit = limit ? (size_t)json_integer_value(limit) : 0;
    return answer_units(control, &viewer, &options, answer);
}

/* Figures of single processes, the asker's own unless others are named. A pid that is not to be seen looks like one
 * that is not there. */
static enum line_verdict op_process(struct control *control, const struct caller *caller, const json_t *request,
                                    struct buf *answer)
{
    const json_t *pids = json_object_get(request, "pids");
    uint32_t wanted[PIDS_MAX] = {caller->peer->pid};
    struct snapshot_options options = {.op = "process",
                                       .kinds = 1U << UNIT_PROCESS,
                                       .pids = wanted,
                                       .n_pids = pids ? json_array_size(pids) : 1,
                                       .slot_ns = caller->all ? control->window_ns : SLOT_NS,
                                       .epoch = control->epoch};
    struct viewer viewer = viewer_of(control, caller->peer->uid, caller->all);

    if (options.n_pids == 0 || options.n_pids > PIDS_MAX)
        return fail(answer, EINVAL, pids_are);
    for (size_t i = 0; pids && i < options.n_pids; i++) {
        const json_t *pid = json_array_get(pids, i);

        if (!json_is_integer(pid) || json_integer_value(pid) <= 0 || json_integer_value(pid) > INT32_MAX)
            return fail(answer, EINVAL, pids_are);
        wanted[i] = (uint32_t)json_integer_value(pid);
    }
    return answer_units(control, &viewer, &options, answer);
}

/* --- info ---------------------------------------------------------------------------------------------------- */

static enum line_verdict op_info(struct control *control, const struct caller *caller, struct buf *answer)
{
    struct buf text;
    struct json_out json;
    struct text rest, line;

    buf_init(&text, INFO_MAX);
    meter_describe(control->meter, &text);
    json_out_init(&json, answer);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_string(&json, "status", "ok");
    json_out_kv_string(&json, "op", "info");
    json_out_kv_string(&json, "version", CARNOT_VERSION);
    json_out_kv_string(&json, "epoch", control->epoch);
    json_out_kv_string(&json, "view", caller->all ? "all" : "own");
    json_out_kv_u64(&json, "slot_ns", caller->all ? control->window_ns : SLOT_NS);
    json_out_kv_string(&json, "activity", meter_activity_name(control->meter));
    json_out_key(&json, "description");
    json_out_array(&json);
    rest = (struct text){text.data, text.len};
    while (text.len && scan_line(&rest, &line)) {
        char copy[512];
        snprintf(copy, sizeof copy, "%.*s", (int)min_size(line.n, sizeof copy - 1), line.p);
        json_out_string(&json, copy);
    }
    json_out_array_end(&json);
    json_out_object_end(&json);
    buf_done(&text);
    return LINE_ANSWERED;
}

/* --- the machine's counters ---------------------------------------------------------------------------------- */

static enum line_verdict op_counters(struct control *control, const struct caller *caller, struct buf *answer)
{
    int r;

    if (!caller->counters)
        return fail(answer, EACCES, "the machine's counters are for root and the socket's group");
    r = governor_answer_counters(control->governor, answer);
    if (r == -EAGAIN)
        return fail(answer, EAGAIN, "the first window has not ended yet; try again in a second");
    return r < 0 ? fail(answer, -r, "the answer could not be made") : LINE_ANSWERED;
}

static enum line_verdict answer_legacy(struct control *control, const struct caller *caller, struct buf *answer)
{
    if (!caller->counters)
        fail(answer, EACCES, "the machine's counters are for root and the socket's group");
    else if (governor_answer_legacy(control->governor, answer) < 0)
        fail(answer, E2BIG, "the answer could not be made");
    return LINE_CLOSE;
}

/* --- sessions ------------------------------------------------------------------------------------------------ */

/* Connections are numbered by each server for itself. */
static bool is_of(const struct control_session *entry, const struct caller *caller)
{
    return entry->session && entry->server == caller->server && entry->connection == caller->peer->connection;
}

static struct control_session *find_session(struct control *control, uint32_t session, const struct caller *caller)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (session && control->sessions[i].session == session && is_of(&control->sessions[i], caller))
            return &control->sessions[i];
    return NULL;
}

static struct control_session *free_session(struct control *control, uint32_t uid)
{
    struct control_session *unused = NULL;
    unsigned of_uid = 0;

    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        if (!control->sessions[i].session)
            unused = &control->sessions[i];
        else if (control->sessions[i].uid == uid)
            of_uid++;
    }
    return uid != 0 && of_uid >= SESSIONS_PER_UID_MAX ? NULL : unused;
}

static bool owns_process(const struct carnot_env *env, const struct line_peer *peer)
{
    char pid[16];
    struct stat st;

    if (peer->uid == 0)
        return true;
    snprintf(pid, sizeof pid, "%u", peer->pid);
    return fstatat(env->proc.fd, pid, &st, 0) == 0 && st.st_uid == peer->uid;
}

static enum line_verdict op_session_begin(struct control *control, const struct caller *caller, const json_t *request,
                                          struct buf *answer)
{
    struct line_peer *peer = caller->peer;
    const char *label = json_string_value(json_object_get(request, "label"));
    struct control_session *entry = free_session(control, peer->uid);
    struct carnot_err err = CARNOT_ERR_INIT;
    char name[LABEL_MAX];
    struct json_out json;
    uint32_t session;
    int r;

    if (!entry)
        return fail(answer, EBUSY, "too many sessions are open; end one first");
    snprintf(name, sizeof name, "%s", label ? label : "");
    r = meter_session_begin(control->meter, peer->pid, peer->uid, name, &session, &err);
    if (r < 0)
        return fail(answer, r, err.msg);
    /* Checked once the meter holds the process: a peer that passed its socket on and ended may have left its pid to
     * somebody else's process. */
    if (!owns_process(control->env, peer)) {
        meter_session_end(control->meter, session);
        return fail(answer, EPERM, "the process that connected is not yours, or has ended");
    }
    peer->userdata = control; /* a command may run for hours between the two requests */
    *entry = (struct control_session){
        .session = session,
        .uid = peer->uid,
        .server = caller->server,
        .connection = peer->connection,
        .begin_real_ns = clock_now(control->env->clock).real_ns,
    };
    json_out_init(&json, answer);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_string(&json, "status", "ok");
    json_out_kv_string(&json, "op", "session.begin");
    json_out_kv_u64(&json, "session", session);
    json_out_kv_u64(&json, "slot_ns", caller->all ? control->window_ns : SLOT_NS);
    json_out_kv_string(&json, "activity", meter_activity_name(control->meter));
    json_out_object_end(&json);
    return LINE_ANSWERED;
}

static enum line_verdict op_session_read(struct control *control, const struct caller *caller, const json_t *request,
                                         bool end, struct buf *answer)
{
    json_int_t number = json_integer_value(json_object_get(request, "session"));
    struct control_session *entry =
        number > 0 && number <= UINT32_MAX ? find_session(control, (uint32_t)number, caller) : NULL;

    if (!entry)
        return fail(answer, ENOENT, "no such session was begun on this connection");
    if (entry->waiting)
        return fail(answer, EBUSY, "an answer for this session is already due");
    entry->waiting = true;
    entry->ending = end;
    return LINE_LATER;
}

static bool has_session(const struct control *control, const struct caller *caller)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (is_of(&control->sessions[i], caller))
            return true;
    return false;
}

static void end_session(struct control *control, struct control_session *entry)
{
    meter_session_end(control->meter, entry->session);
    *entry = (struct control_session){0};
}

static void answer_session(struct control *control, struct control_session *entry, const struct batch *batch, bool all)
{
    struct viewer viewer = viewer_of(control, entry->uid, all);
    int r;

    buf_reset(&control->answer);
    r = session_write(batch, &viewer, entry->session, entry->ending ? "session.end" : "session.read",
                      entry->begin_real_ns, &control->answer);
    if (r < 0)
        fail(&control->answer, -r, "the session's figures are not there");
    line_server_answer(entry->server, entry->connection, control->answer.data, control->answer.len);
    entry->waiting = false;
    if (entry->ending)
        end_session(control, entry);
}

/* --- requests ------------------------------------------------------------------------------------------------- */

static const char no_request[] = "a request is one line of JSON, such as {\"v\":1,\"op\":\"info\"}";
static const char which_op[] =
    "\"op\" is one of info, snapshot, process, counters, session.begin, session.read and session.end";

static enum line_verdict answer_request(struct control *control, const struct caller *caller, const json_t *request,
                                        struct buf *answer)
{
    const char *op = json_string_value(json_object_get(request, "op"));

    if (json_integer_value(json_object_get(request, "v")) != 1)
        return fail(answer, EPROTO, "this agent speaks version 1 of its protocol: say \"v\":1");
    if (!op)
        return fail(answer, EINVAL, which_op);
    if (strcmp(op, "snapshot") == 0)
        return op_snapshot(control, caller, request, answer);
    if (strcmp(op, "process") == 0)
        return op_process(control, caller, request, answer);
    if (strcmp(op, "info") == 0)
        return op_info(control, caller, answer);
    if (strcmp(op, "counters") == 0)
        return op_counters(control, caller, answer);
    if (strcmp(op, "session.begin") == 0)
        return op_session_begin(control, caller, request, answer);
    if (strcmp(op, "session.read") == 0)
        return op_session_read(control, caller, request, false, answer);
    if (strcmp(op, "session.end") == 0)
        return op_session_read(control, caller, request, true, answer);
    return fail(answer, EINVAL, which_op);
}

/* An object that names neither version nor operation, "{}", asks as carbon-ops' clients do. */
static bool is_legacy(const json_t *request)
{
    return json_is_object(request) && !json_object_get(request, "v") && !json_object_get(request, "op");
}

static enum line_verdict on_line(void *userdata, struct line_server *server, struct line_peer *peer, const char *line,
                                 size_t len, struct buf *answer)
{
    const struct listener *listener = userdata;
    struct control *control = listener->control;
    struct caller caller = caller_of(listener, server, peer);
    enum line_verdict verdict;
    json_error_t where;

    /* Spared from the idle timeout while it has a session; looked at again with each request. */
    peer->userdata = has_session(control, &caller) ? control : NULL;
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);
    if (is_legacy(request) || (listener->governor && !json_is_object(request))) {
        verdict = answer_legacy(control, &caller, answer);
    } else if (!json_is_object(request)) {
        fail(answer, EPROTO, no_request);
        verdict = LINE_CLOSE;
    } else if (listener->governor && !line_limit_take(&control->typed, peer->uid, TYPED_REQUESTS_PER_S,
                                                      clock_now(control->env->clock).mono_ns)) {
        verdict = fail(answer, EAGAIN, "too many requests in a second: wait and ask again");
    } else {
        verdict = answer_request(control, &caller, request, answer);
    }
    json_decref(request);
    return verdict;
}

static enum line_verdict on_silence(void *userdata, struct line_server *server, struct line_peer *peer,
                                    struct buf *answer)
{
    const struct listener *listener = userdata;
    struct caller caller = caller_of(listener, server, peer);

    return answer_legacy(listener->control, &caller, answer);
}

static void on_close(void *userdata, struct line_peer *peer)
{
    const struct listener *listener = userdata;
    const struct caller caller = {.server = listener->server, .peer = peer};

    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (is_of(&listener->control->sessions[i], &caller))
            end_session(listener->control, &listener->control->sessions[i]);
}

/* --- life ----------------------------------------------------------------------------------------------------- */

static uint64_t quantum_for(const struct batch *batch)
{
    for (size_t d = 0; d < batch->n_domains; d++)
        if (batch->domains[d].domain.quality == QUALITY_MEASURED || batch->domains[d].domain.quality == QUALITY_DERIVED)
            return QUANTUM_MEASURED_UJ;
    return QUANTUM_MODELLED_UJ;
}

void control_tick(struct control *control)
{
    struct batch *batch = meter_latest(control->meter);

    if (!batch)
        return;
    if (!control->quantum_uj)
        control->quantum_uj = quantum_for(batch);
    if (!control->slot_batch || batch->end.mono_ns / SLOT_NS != control->slot_batch->end.mono_ns / SLOT_NS) {
        batch_unref(control->slot_batch);
        control->slot_batch = batch_ref(batch);
    }
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        struct control_session *entry = &control->sessions[i];
        bool all = entry->uid == 0;

        if (entry->session && entry->waiting && (all || control->slot_batch->seq == batch->seq))
            answer_session(control, entry, batch, all);
    }
    batch_unref(batch);
}

static int make_epoch(const struct carnot_env *env, char epoch[33], struct carnot_err *err)
{
    /* A new one at each start: clients see by it that counters began anew. */
    char uuid[64];
    ssize_t n = fsroot_read_line(&env->proc, "sys/kernel/random/uuid", uuid, sizeof uuid, err);
    size_t len = 0;

    if (n < 0)
        return (int)n;
    for (ssize_t i = 0; i < n && len < 32; i++)
        if (uuid[i] != '-')
            epoch[len++] = uuid[i];
    epoch[len] = '\0';
    return 0;
}

static int listen_on(struct listener *listener, sd_event *loop, const struct line_config *config,
                     struct carnot_err *err)
{
    const struct line_handler handler = {.on_line = on_line,
                                         .on_silence = listener->governor ? on_silence : NULL,
                                         .on_close = on_close,
                                         .userdata = listener};

    if (!config->path[0])
        return 0;
    listener->path = config->path;
    return line_server_start(loop, config, &handler, &listener->server, err);
}

static int listen_on_both(struct control *control, sd_event *loop, const struct agent_settings *settings,
                          struct carnot_err *err)
{
    const struct line_config main_config = {.path = settings->socket_path,
                                            .mode = (unsigned)settings->socket_mode,
                                            .group = settings->socket_group,
                                            .idle_timeout_ns = settings->socket_timeout_ns};
    const struct line_config legacy_config = {.path = settings->governor_path,
                                              .mode = (unsigned)settings->governor_mode,
                                              .group = settings->governor_group,
                                              .requests_per_s = GOVERNOR_REQUESTS_PER_S,
                                              .idle_timeout_ns = GOVERNOR_IDLE_NS,
                                              .silence_ns = SILENCE_NS};
    int r;

    control->main = (struct listener){.control = control, .group_sees_units = true};
    control->legacy =
        (struct listener){.control = control,
                          .governor = true,
                          .group_sees_units = strcmp(settings->governor_group, settings->socket_group) == 0};
    r = listen_on(&control->main, loop, &main_config, err);
    return r < 0 ? r : listen_on(&control->legacy, loop, &legacy_config, err);
}

int control_start(sd_event *loop, const struct agent_settings *settings, const struct carnot_env *env,
                  struct meter *meter, struct control **ret_control, struct carnot_err *err)
{
    struct control *control = calloc(1, sizeof *control);
    int r;

    if (!control)
        return carnot_err_set(err, ENOMEM, "out of memory");
    control->meter = meter;
    control->env = env;
    control->window_ns = meter_interval_ns(meter);
    buf_init(&control->answer, LINE_ANSWER_MAX);
    r = make_epoch(env, control->epoch, err);
    if (r >= 0 && governor_new(env, meter, control->epoch, &control->governor) < 0)
        r = carnot_err_set(err, ENOMEM, "out of memory");
    if (r >= 0)
        r = listen_on_both(control, loop, settings, err);
    if (r < 0) {
        control_stop(control);
        return r;
    }
    *ret_control = control;
    return 0;
}

void control_log(const struct control *control)
{
    const struct listener *listeners[] = {&control->main, &control->legacy};

    for (size_t i = 0; i < ELEMENTSOF(listeners); i++) {
        if (!listeners[i]->server)
            continue;
        log_info("%s %s", listeners[i]->governor ? "governor's socket" : "socket", listeners[i]->path);
        if (line_server_warning(listeners[i]->server)[0])
            log_warn("%s", line_server_warning(listeners[i]->server));
    }
}

struct control *control_stop(struct control *control)
{
    if (!control)
        return NULL;
    control->main.server = line_server_stop(control->main.server);
    control->legacy.server = line_server_stop(control->legacy.server);
    governor_free(control->governor);
    batch_unref(control->slot_batch);
    buf_done(&control->answer);
    free(control);
    return NULL;
}
