/* SPDX-License-Identifier: Apache-2.0 */
/* See control.h.
 *
 * Ordinary users get the batch of the last slot boundary, the same for everyone inside a slot, so that asking more
 * often tells nothing more; energy is cut to quanta (sinks/snapshot). Administrators get the newest batch. */
#include "agent/control.h"

#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>

#include "base/json_out.h"
#include "base/parse.h"
#include "model/quantity.h"
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

struct control_session {
    uint32_t session; /* 0: free entry */
    uint32_t uid;
    uint64_t connection;
    uint64_t begin_real_ns;
    bool waiting, ending; /* an answer is due at the next tick; the session ends with it */
};

struct control {
    struct meter *meter;
    const struct carnot_env *env;
    struct line_server *server;
    uint64_t window_ns;
    uint64_t quantum_uj; /* of ordinary users; 0 until the first batch */
    struct batch *slot_batch;
    char epoch[33];
    struct control_session sessions[SESSIONS_MAX];
    struct buf answer;
};

static bool sees_all(const struct line_peer *peer)
{
    return peer->uid == 0 || peer->in_group;
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

static enum line_verdict op_snapshot(struct control *control, const struct line_peer *peer, const json_t *request,
                                     struct buf *answer)
{
    struct snapshot_options options = {.slot_ns = sees_all(peer) ? control->window_ns : SLOT_NS,
                                       .epoch = control->epoch};
    struct viewer viewer = viewer_of(control, peer->uid, sees_all(peer));
    const json_t *limit = json_object_get(request, "limit");
    struct batch *batch;
    int r;

    if (parse_kinds(json_object_get(request, "kinds"), &options.kinds) < 0)
        return fail(answer, EINVAL, "\"kinds\" is a list of process, cgroup, user and session");
    if (limit && (!json_is_integer(limit) || json_integer_value(limit) < 0))
        return fail(answer, EINVAL, "\"limit\" is a whole number from 0 on");
    options.limit = limit ? (size_t)json_integer_value(limit) : 0;
    batch = viewer.all ? meter_latest(control->meter) : control->slot_batch ? batch_ref(control->slot_batch) : NULL;
    if (!batch)
        return fail(answer, EAGAIN, "the first window has not ended yet; try again in a second");
    r = snapshot_write(batch, &viewer, &options, answer);
    batch_unref(batch);
    if (r < 0)
        return fail(answer, E2BIG, "the answer would be too large; ask with a \"limit\"");
    return LINE_ANSWERED;
}

/* --- info ---------------------------------------------------------------------------------------------------- */

static enum line_verdict op_info(struct control *control, const struct line_peer *peer, struct buf *answer)
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
    json_out_kv_string(&json, "view", sees_all(peer) ? "all" : "own");
    json_out_kv_u64(&json, "slot_ns", sees_all(peer) ? control->window_ns : SLOT_NS);
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

/* --- sessions ------------------------------------------------------------------------------------------------ */

static struct control_session *find_session(struct control *control, uint32_t session, const struct line_peer *peer)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (session && control->sessions[i].session == session && control->sessions[i].connection == peer->connection)
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

static enum line_verdict op_session_begin(struct control *control, struct line_peer *peer, const json_t *request,
                                          struct buf *answer)
{
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
        .connection = peer->connection,
        .begin_real_ns = clock_now(control->env->clock).real_ns,
    };
    json_out_init(&json, answer);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_string(&json, "status", "ok");
    json_out_kv_string(&json, "op", "session.begin");
    json_out_kv_u64(&json, "session", session);
    json_out_kv_u64(&json, "slot_ns", sees_all(peer) ? control->window_ns : SLOT_NS);
    json_out_kv_string(&json, "activity", meter_activity_name(control->meter));
    json_out_object_end(&json);
    return LINE_ANSWERED;
}

static enum line_verdict op_session_read(struct control *control, const struct line_peer *peer, const json_t *request,
                                         bool end, struct buf *answer)
{
    json_int_t number = json_integer_value(json_object_get(request, "session"));
    struct control_session *entry =
        number > 0 && number <= UINT32_MAX ? find_session(control, (uint32_t)number, peer) : NULL;

    if (!entry)
        return fail(answer, ENOENT, "no such session was begun on this connection");
    if (entry->waiting)
        return fail(answer, EBUSY, "an answer for this session is already due");
    entry->waiting = true;
    entry->ending = end;
    return LINE_LATER;
}

static bool has_session(const struct control *control, uint64_t connection)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (control->sessions[i].session && control->sessions[i].connection == connection)
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
    line_server_answer(control->server, entry->connection, control->answer.data, control->answer.len);
    entry->waiting = false;
    if (entry->ending)
        end_session(control, entry);
}

/* --- requests ------------------------------------------------------------------------------------------------- */

static enum line_verdict on_line(void *userdata, struct line_server *server, struct line_peer *peer, const char *line,
                                 size_t len, struct buf *answer)
{
    struct control *control = userdata;
    json_error_t where;
    /* Spared from the idle timeout while it has a session; looked at again with each request. */
    peer->userdata = has_session(control, peer->connection) ? control : NULL;
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);
    const char *op = json_string_value(json_object_get(request, "op"));
    json_int_t version = json_integer_value(json_object_get(request, "v"));
    enum line_verdict verdict;

    if (!json_is_object(request)) {
        json_decref(request);
        fail(answer, EPROTO, "a request is one line of JSON, such as {\"v\":1,\"op\":\"info\"}");
        return LINE_CLOSE;
    }
    if (version != 1)
        verdict = fail(answer, EPROTO, "this agent speaks version 1 of its protocol: say \"v\":1");
    else if (!op)
        verdict = fail(answer, EINVAL, "\"op\" is missing: info, snapshot, session.begin, session.read or session.end");
    else if (strcmp(op, "snapshot") == 0)
        verdict = op_snapshot(control, peer, request, answer);
    else if (strcmp(op, "info") == 0)
        verdict = op_info(control, peer, answer);
    else if (strcmp(op, "session.begin") == 0)
        verdict = op_session_begin(control, peer, request, answer);
    else if (strcmp(op, "session.read") == 0)
        verdict = op_session_read(control, peer, request, false, answer);
    else if (strcmp(op, "session.end") == 0)
        verdict = op_session_read(control, peer, request, true, answer);
    else
        verdict =
            fail(answer, EINVAL, "unknown \"op\": it is info, snapshot, session.begin, session.read or session.end");
    json_decref(request);
    return verdict;
}

static void on_close(void *userdata, struct line_peer *peer)
{
    struct control *control = userdata;

    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (control->sessions[i].session && control->sessions[i].connection == peer->connection)
            end_session(control, &control->sessions[i]);
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

int control_start(sd_event *loop, const struct agent_settings *settings, const struct carnot_env *env,
                  struct meter *meter, struct control **ret_control, struct carnot_err *err)
{
    struct line_config config = {.path = settings->socket_path,
                                 .mode = 0666,
                                 .group = settings->socket_group,
                                 .idle_timeout_ns = settings->socket_timeout_ns};
    struct control *control = calloc(1, sizeof *control);
    int r;

    if (!control)
        return carnot_err_set(err, ENOMEM, "out of memory");
    control->meter = meter;
    control->env = env;
    control->window_ns = meter_interval_ns(meter);
    buf_init(&control->answer, LINE_ANSWER_MAX);
    struct line_handler handler = {.on_line = on_line, .on_close = on_close, .userdata = control};
    r = make_epoch(env, control->epoch, err);
    if (r >= 0)
        r = line_server_start(loop, &config, &handler, &control->server, err);
    if (r < 0) {
        free(control);
        return r;
    }
    *ret_control = control;
    return 0;
}

struct control *control_stop(struct control *control)
{
    if (!control)
        return NULL;
    line_server_stop(control->server);
    batch_unref(control->slot_batch);
    buf_done(&control->answer);
    free(control);
    return NULL;
}
