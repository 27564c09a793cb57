/* SPDX-License-Identifier: Apache-2.0 */
/* Lines over a Unix socket on an sd-event loop. Knows framing, limits and when a connection is done for; refuses to
 * know what a line means.
 *
 * One request of a connection is in work at a time: the next is looked at when the answer has left for the kernel. So a
 * client that asks and never reads holds one answer, until the idle timeout. */
#include "net/line_server.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "net/line_limit.h"
#include "net/line_socket.h"

#define DEFAULT_CONNECTIONS     64
#define DEFAULT_PER_UID         16
#define DEFAULT_REQUESTS_PER_S  50
#define DEFAULT_IDLE_TIMEOUT_NS (600 * NS_PER_SEC)

/* So much of all connections is kept for root: a user with many user ids (of a user namespace) must not lock the
 * administrator out. 8 of 64. */
#define ROOT_SHARE 8

/* Sampling timers of the program run before anything that a client wants. */
#define IO_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 50)

/* Of one connection, and of the listening socket, before others have their turn. */
#define REQUESTS_PER_TURN 8

/* Turning one away takes 10 us. Who connects in a loop must not fill the queue for others. */
#define ACCEPTS_PER_TURN 256

/* An answer larger than this gives its memory back when it is sent: idle connections stay small. */
#define KEEP_ANSWER_BYTES ((size_t)64 * 1024)

/* How long a peer that has its last answer may take to hang up, and how much it may still send: our clients and
 * carbon-ops' take milliseconds and three bytes. */
#define LINGER_NS        NS_PER_SEC
#define LINGER_BYTES_MAX ((size_t)64 * 1024)

/* Who waits in silence waits for this timer; the default of sd-event, a quarter of a second, would be a client's whole
 * patience. */
#define TIMER_ACCURACY_US 1000

#define LINE_WARNING_MAX 512 /* a path, a group's name twice, a sentence */

/* Out of descriptors: the listening socket rests, since it would wake the loop without end. */
#define ACCEPT_REST_NS NS_PER_SEC

struct connection {
    struct connection *next;
    struct line_server *server;
    int fd;
    sd_event_source *source;
    struct line_peer peer;
    char in[LINE_REQUEST_MAX + 1]; /* a request and its newline */
    size_t in_len;
    struct buf out; /* one answer */
    size_t out_sent;
    bool waiting; /* for line_server_answer */
    bool eof;     /* the peer sends no more */
    bool closing; /* once out is sent */
    bool heard;   /* on_line or on_silence was called */
    bool lingers; /* the last answer is with the peer; what comes is thrown away until lingers_until_ns */
    size_t thrown_away;
    uint64_t lingers_until_ns;
    uint64_t accepted_ns, active_ns;
};

struct line_server {
    sd_event *loop;
    char *path;
    gid_t group;
    int fd;
    dev_t dev; /* of our socket file: another's is not unlinked */
    ino_t ino;
    unsigned max_connections, max_per_uid, requests_per_s;
    uint64_t idle_timeout_ns, silence_ns;
    char warning[LINE_WARNING_MAX];
    struct line_handler handler;
    sd_event_source *listen_source, *timer;
    uint64_t accept_rests_until_ns; /* 0: it does not rest */
    struct connection *connections;
    unsigned n_connections;
    uint64_t last_serial;
    struct line_limit limit;
};

static uint64_t now_ns(const struct line_server *server)
{
    uint64_t usec = 0;

    sd_event_now(server->loop, CLOCK_MONOTONIC, &usec);
    return usec * NS_PER_US;
}

/* --- Limits --------------------------------------------------------------------------------------------------------
 */

static unsigned connections_of(const struct line_server *server, uint32_t uid)
{
    unsigned n = 0;

    for (const struct connection *c = server->connections; c; c = c->next)
        n += c->peer.uid == uid;
    return n;
}

static bool is_full(const struct line_server *server, uint32_t uid)
{
    unsigned kept = uid == 0 ? 0 : server->max_connections / ROOT_SHARE;

    return server->n_connections >= server->max_connections - kept;
}

/* `message` is our own text: nothing in it needs escaping. */
static void put_error(struct buf *out, const char *error, const char *message)
{
    buf_printf(out, "{\"v\":1,\"status\":\"error\",\"error\":\"%s\",\"message\":\"%s\"}", error, message);
}

/* --- The timer: idle connections, rest of the listening socket ------------------------------------------------------
 */

/* A connection that holds a session (userdata) may be silent as long as it likes, but not leave its answer unread. */
static bool can_idle_out(const struct connection *c)
{
    bool unsent = c->out.len > c->out_sent;

    return unsent || (!c->waiting && !c->peer.userdata);
}

static void arm_timer(struct line_server *server, uint64_t at_ns)
{
    uint64_t at_usec = at_ns / NS_PER_US + 1; /* rounded up: never early */
    uint64_t set_usec = 0;
    int on = SD_EVENT_OFF;

    sd_event_source_get_enabled(server->timer, &on);
    sd_event_source_get_time(server->timer, &set_usec);
    if (on != SD_EVENT_OFF && set_usec <= at_usec)
        return; /* it looks again then */
    sd_event_source_set_time(server->timer, at_usec);
    sd_event_source_set_enabled(server->timer, SD_EVENT_ONESHOT);
}

static void touch(struct connection *c)
{
    c->active_ns = now_ns(c->server);
    arm_timer(c->server, c->active_ns + c->server->idle_timeout_ns);
}

static void close_connection(struct connection *c)
{
    struct line_server *server = c->server;
    struct connection **link = &server->connections;

    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    server->n_connections--;
    if (server->handler.on_close)
        server->handler.on_close(server->handler.userdata, &c->peer);
    sd_event_source_disable_unref(c->source);
    close(c->fd);
    buf_done(&c->out);
    free(c);
}

/* Nothing has come from it, and it will be spoken to for that. */
static bool is_silent(const struct connection *c)
{
    return c->server->handler.on_silence && c->server->silence_ns && !c->heard && !c->closing && c->in_len == 0;
}

/* When this connection needs the timer next. */
static uint64_t due_ns(const struct connection *c)
{
    uint64_t idle_ns = c->active_ns + c->server->idle_timeout_ns;

    if (c->lingers)
        return c->lingers_until_ns;
    return is_silent(c) ? min_u64(idle_ns, c->accepted_ns + c->server->silence_ns) : idle_ns;
}

/* An idle socket is writable at once: the connection has its turn. */
static void wake(struct connection *c)
{
    sd_event_source_set_io_events(c->source, EPOLLOUT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct line_server *server = userdata;
    uint64_t now = now_ns(server);
    uint64_t next_ns = UINT64_MAX;

    if (server->accept_rests_until_ns && server->accept_rests_until_ns <= now) {
        server->accept_rests_until_ns = 0;
        sd_event_source_set_enabled(server->listen_source, SD_EVENT_ON);
    } else if (server->accept_rests_until_ns) {
        next_ns = server->accept_rests_until_ns;
    }
    for (struct connection *c = server->connections, *next; c; c = next) {
        uint64_t due = due_ns(c);

        next = c->next;
        if (due > now) {
            next_ns = min_u64(next_ns, due);
        } else if (c->lingers || (!is_silent(c) && can_idle_out(c))) {
            close_connection(c);
        } else {
            next_ns = min_u64(next_ns, now + server->idle_timeout_ns);
            if (is_silent(c))
                wake(c);
        }
    }
    if (next_ns != UINT64_MAX)
        arm_timer(server, next_ns);
    return 0;
}

/* --- One connection ------------------------------------------------------------------------------------------------
 */

/* Sends what it can. 0 (some may be left), or -errno: the peer is gone. */
static int flush_answer(struct connection *c)
{
    while (c->out_sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->out_sent, c->out.len - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        c->out_sent += (size_t)n;
        touch(c);
    }
    if (c->out.cap > KEEP_ANSWER_BYTES)
        buf_done(&c->out);
    else
        buf_reset(&c->out);
    c->out_sent = 0;
    return 0;
}

/* The newline, or, when the handler's answer did not fit, a sentence in its place. */
static void finish_answer(struct connection *c)
{
    if (buf_error(&c->out) == 0)
        buf_putc(&c->out, '\n');
    if (buf_error(&c->out) == 0)
        return;

    const char *error = buf_error(&c->out) == -ENOMEM ? "ENOMEM" : "E2BIG";
    buf_done(&c->out);
    put_error(&c->out, error, "the answer is too large for one line: ask for less, with a limit or fewer kinds");
    buf_putc(&c->out, '\n');
}

/* line NULL: its silence is the request. */
static void answer_request(struct connection *c, const char *line, size_t len)
{
    struct line_server *server = c->server;
    char message[128];

    c->heard = true;
    if (!line_limit_take(&server->limit, c->peer.uid, server->requests_per_s, now_ns(server))) {
        snprintf(message, sizeof(message), "more than %u requests in a second from uid %u: wait and ask again",
                 server->requests_per_s, c->peer.uid);
        put_error(&c->out, "EAGAIN", message);
        finish_answer(c);
        return;
    }

    const struct line_handler *handler = &server->handler;
    c->waiting = true; /* so that the handler may call line_server_answer before it returns LATER */
    enum line_verdict verdict = line ? handler->on_line(handler->userdata, server, &c->peer, line, len, &c->out)
                                     : handler->on_silence(handler->userdata, server, &c->peer, &c->out);
    if (verdict == LINE_LATER)
        return;
    c->waiting = false;
    c->closing = verdict == LINE_CLOSE;
    if (c->out.len || buf_error(&c->out) || verdict == LINE_ANSWERED)
        finish_answer(c);
}

/* Takes the first line off the input and has it answered. False when there is none. */
static bool next_request(struct connection *c)
{
    char *newline = memchr(c->in, '\n', c->in_len);

    if (!newline) {
        if (c->in_len < sizeof(c->in))
            return false;
        put_error(&c->out, "E2BIG", "the request is longer than 4096 bytes: send one line of JSON");
        finish_answer(c);
        c->closing = true;
        return true;
    }

    size_t len = (size_t)(newline - c->in);
    *newline = '\0';
    if (len)
        answer_request(c, c->in, len);
    c->in_len -= len + 1;
    memmove(c->in, newline + 1, c->in_len);
    return true;
}

static int read_input(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0) {
        c->eof = true;
        return 0;
    }
    c->in_len += (size_t)n;
    touch(c);
    return 0;
}

/* Answers one who asked nothing when its time is over, or when it never will. 1: there is something to work off, 0: let
 * it be. */
static int break_silence(struct connection *c)
{
    bool over = is_silent(c) && now_ns(c->server) >= c->accepted_ns + c->server->silence_ns;

    if (c->heard || !c->server->handler.on_silence || (!over && !c->eof))
        return 0;
    /* While others had their turn something may have come after all. */
    int r = c->eof ? 0 : read_input(c);
    if (r < 0)
        return r;
    if (!c->eof && c->in_len)
        return 1;
    answer_request(c, NULL, 0);
    return 1;
}

/* Everything was said. Closing now would break the pipe of a peer that has not asked yet, or take the answer away from
 * one whose request lies unread. */
static int linger(struct connection *c)
{
    if (c->eof || shutdown(c->fd, SHUT_WR) < 0)
        return -ECONNRESET;
    c->lingers = true;
    c->lingers_until_ns = now_ns(c->server) + LINGER_NS;
    c->in_len = 0;
    arm_timer(c->server, c->lingers_until_ns);
    return 0;
}

/* Works off what is there. Returns true when the turn ended with more to do; -errno when the connection is over. */
static int work(struct connection *c)
{
    for (unsigned i = 0; i < REQUESTS_PER_TURN; i++) {
        int r = flush_answer(c);
        if (r < 0)
            return r;
        if (c->out.len > 0 || c->waiting)
            return 0;
        if (c->closing)
            return linger(c);
        r = next_request(c) ? 1 : break_silence(c);
        if (r < 0)
            return r;
        if (r == 0)
            return c->eof ? -ECONNRESET : 0;
    }
    return 1;
}

/* What a peer still sends after its last answer. */
static int throw_away(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in, sizeof(c->in), MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    c->thrown_away += (size_t)n;
    return n == 0 || c->thrown_away > LINGER_BYTES_MAX ? -ECONNRESET : 0;
}

/* Readable only when the next line is wanted. Writable while an answer is under way, and also as the way to be called
 * again: an idle socket is writable at once. A peer that hangs up is always told. */
static void want(struct connection *c, bool again)
{
    bool listens = c->lingers || (!c->waiting && !c->eof && c->in_len < sizeof(c->in));
    uint32_t events = listens ? EPOLLIN : 0;

    if (!c->lingers && (c->out.len > 0 || again))
        events = EPOLLOUT;
    sd_event_source_set_io_events(c->source, events);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct connection *c = userdata;
    int r = 0;

    /* Both directions are gone: nobody is there to read, what was asked meanwhile does not matter. */
    if (events & (EPOLLHUP | EPOLLERR)) {
        close_connection(c);
        return 0;
    }
    if (c->lingers)
        r = throw_away(c);
    else if (events & EPOLLIN)
        r = read_input(c);
    if (r >= 0 && !c->lingers)
        r = work(c);
    if (r < 0)
        close_connection(c);
    else
        want(c, r > 0);
    return 0;
}

void line_server_answer(struct line_server *server, uint64_t connection, const void *data, size_t len)
{
    struct connection *c = server->connections;

    while (c && c->peer.connection != connection)
        c = c->next;
    if (!c || !c->waiting)
        return;
    c->waiting = false;
    buf_append(&c->out, data, len);
    finish_answer(c);
    touch(c);
    want(c, true); /* sending and closing happen in the connection's own turn: the caller may hold its peer */
}

/* --- New connections -----------------------------------------------------------------------------------------------
 */

static void turn_away(int fd, const char *error, const char *message)
{
    char line[256];
    struct buf text = {.data = line, .cap = sizeof(line), .limit = sizeof(line) - 1};

    put_error(&text, error, message);
    buf_putc(&text, '\n');
    /* A new socket has room for this; if not, the peer sees just the end. */
    (void)send(fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int add_connection(struct line_server *server, int *fd, const struct line_peer *peer)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    int r = sd_event_add_io(server->loop, &c->source, *fd, EPOLLIN, on_io, c);
    if (r < 0) {
        free(c);
        return r;
    }
    sd_event_source_set_priority(c->source, IO_PRIORITY);
    buf_init(&c->out, LINE_ANSWER_MAX);
    c->server = server;
    c->fd = TAKE_FD(*fd);
    c->peer = *peer;
    c->peer.connection = ++server->last_serial;
    c->next = server->connections;
    server->connections = c;
    server->n_connections++;
    touch(c);
    c->accepted_ns = c->active_ns;
    arm_timer(server, due_ns(c));
    return 0;
}

/* Takes one connection. 1, 0 when there is none, -errno when the program has no room for one. */
static int accept_one(struct line_server *server)
{
    _cleanup_close_ int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct line_peer peer = {0};

    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ? -errno : 0;
    if (line_socket_peer(fd, &peer) < 0) {
        turn_away(fd, "EPERM", "the agent cannot tell who you are");
        return 1;
    }
    if (is_full(server, peer.uid)) {
        turn_away(fd, "EAGAIN", "the agent has as many connections as it takes: try again later");
        return 1;
    }
    if (peer.uid != 0 && connections_of(server, peer.uid) >= server->max_per_uid) {
        turn_away(fd, "EAGAIN", "your user has as many connections as one may have: close one first");
        return 1;
    }
    if (line_socket_peer_group(fd, server->group, &peer) < 0) {
        turn_away(fd, "EPERM", "the agent cannot tell in which groups you are");
        return 1;
    }
    if (add_connection(server, &fd, &peer) < 0)
        turn_away(fd, "ENOMEM", "the agent is out of memory");
    return 1;
}

static int on_listen(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct line_server *server = userdata;
    int r = 1;

    for (unsigned i = 0; i < ACCEPTS_PER_TURN && r > 0; i++)
        r = accept_one(server);
    if (r < 0) {
        server->accept_rests_until_ns = now_ns(server) + ACCEPT_REST_NS;
        sd_event_source_set_enabled(server->listen_source, SD_EVENT_OFF);
        arm_timer(server, server->accept_rests_until_ns);
    }
    return 0;
}

/* --- Start and stop ------------------------------------------------------------------------------------------------
 */

static uint64_t or_default(uint64_t value, uint64_t def)
{
    return value ? value : def;
}

/* A group that is missing locks nobody out who is not root: better than no server at all. */
static void note_group(struct line_server *server, const struct line_config *config, bool owned)
{
    if (server->group == LINE_NO_GROUP)
        snprintf(server->warning, sizeof(server->warning),
                 "there is no group %s: on %s only root counts as an administrator; make it with `groupadd --system "
                 "%s` and restart",
                 config->group, config->path, config->group);
    else if (!owned)
        snprintf(server->warning, sizeof(server->warning),
                 "no right to give %s to the group %s: its mode 0%o holds for the group of this process; run as root, "
                 "or join that group",
                 config->path, config->group, config->mode);
}

const char *line_server_warning(const struct line_server *server)
{
    return server->warning;
}

static int attach(struct line_server *server, sd_event *loop)
{
    server->loop = sd_event_ref(loop);

    int r = sd_event_add_io(loop, &server->listen_source, server->fd, EPOLLIN, on_listen, server);
    if (r < 0)
        return r;
    r = sd_event_add_time(loop, &server->timer, CLOCK_MONOTONIC, UINT64_MAX, TIMER_ACCURACY_US, on_timer, server);
    if (r < 0)
        return r;
    sd_event_source_set_priority(server->listen_source, IO_PRIORITY);
    sd_event_source_set_priority(server->timer, IO_PRIORITY);
    return sd_event_source_set_enabled(server->timer, SD_EVENT_OFF);
}

int line_server_start(sd_event *loop, const struct line_config *config, const struct line_handler *handler,
                      struct line_server **ret_server, struct carnot_err *err)
{
    struct line_server *server = calloc(1, sizeof(*server));
    struct stat st;

    if (!server)
        return carnot_err_errno(err, ENOMEM, "cannot start the socket server");
    *server = (struct line_server){
        .fd = -1,
        .group = line_socket_group(config->group),
        .max_connections = (unsigned)or_default(config->max_connections, DEFAULT_CONNECTIONS),
        .max_per_uid = (unsigned)or_default(config->max_per_uid, DEFAULT_PER_UID),
        .requests_per_s = (unsigned)or_default(config->requests_per_s, DEFAULT_REQUESTS_PER_S),
        .idle_timeout_ns = or_default(config->idle_timeout_ns, DEFAULT_IDLE_TIMEOUT_NS),
        .silence_ns = config->silence_ns,
        .handler = *handler,
    };

    bool owned = false;
    int r = line_socket_listen(config->path, config->mode, server->group, &owned, err);
    if (r < 0)
        goto fail;
    server->fd = r;
    if (config->group && config->group[0])
        note_group(server, config, owned);
    /* From here on the socket file is known as ours and the stop removes it. */
    if (lstat(config->path, &st) == 0) {
        server->dev = st.st_dev;
        server->ino = st.st_ino;
        server->path = strdup(config->path);
    }
    r = server->path ? attach(server, loop) : -ENOMEM;
    if (r < 0) {
        carnot_err_errno(err, r, "cannot serve %s", config->path);
        goto fail;
    }
    *ret_server = server;
    return 0;

fail:
    line_server_stop(server);
    return r;
}

struct line_server *line_server_stop(struct line_server *server)
{
    struct stat st;

    if (!server)
        return NULL;
    while (server->connections)
        close_connection(server->connections);
    sd_event_source_disable_unref(server->listen_source);
    sd_event_source_disable_unref(server->timer);
    sd_event_unref(server->loop);
    if (server->path && lstat(server->path, &st) == 0 && st.st_dev == server->dev && st.st_ino == server->ino)
        unlink(server->path);
    cleanup_closep(&server->fd);
    free(server->path);
    free(server);
    return NULL;
}
