/* SPDX-License-Identifier: Apache-2.0 */
/* Unix stream socket that speaks lines: one request line in, one answer line out, on an sd-event loop. Peers are known
 * by SO_PEERCRED.
 *
 * Limits: connections, request length, answer backlog, idle time, requests per second and uid. A client that is late,
 * silent or rude is closed and harms nobody. */
#ifndef CARNOT_NET_LINE_SERVER_H
#define CARNOT_NET_LINE_SERVER_H

#include <systemd/sd-event.h>

#include "base/buf.h"
#include "base/err.h"

#define LINE_REQUEST_MAX 4096        /* our longest request is under 300 bytes */
#define LINE_ANSWER_MAX  (64U << 20) /* 100,000 units of about 300 bytes, twice */

struct line_peer {
    uint32_t pid, uid, gid;
    bool in_group;       /* primary or supplementary membership of config.admin_group */
    uint64_t connection; /* serial of the connection */
    void *userdata;      /* the handler's own, freed by on_close; while set, the idle timeout spares the connection */
};

enum line_verdict {
    LINE_ANSWERED, /* answer holds the line (newline added by the server) */
    LINE_LATER,    /* line_server_answer() will be called for this connection */
    LINE_CLOSE,    /* send what is in answer (newline added, nothing if empty), say no more, then close: once the peer
                    * has hung up, or a moment later. What it still sends is thrown away, so that a peer that asks late
                    * has its answer and no broken pipe */
};

struct line_server;

struct line_handler {
    /* One request, NUL-terminated, without its newline. The answer buffer is empty at the call. The next request of
     * that connection waits until this one is answered and the answer taken by the peer's socket. */
    enum line_verdict (*on_line)(void *userdata, struct line_server *server, struct line_peer *peer, const char *line,
                                 size_t len, struct buf *answer);
    /* Instead, for a peer that asked nothing: not a byte came for config.silence_ns, or it will send no more and had no
     * request. Once per connection. NULL: such a peer is waited for. */
    enum line_verdict (*on_silence)(void *userdata, struct line_server *server, struct line_peer *peer,
                                    struct buf *answer);
    void (*on_close)(void *userdata, struct line_peer *peer); /* may be NULL; also for those open at the stop */
    void *userdata;
};

struct line_config {
    const char *path;
    unsigned mode;            /* 0666: who may connect; what they see is decided by uid */
    const char *group;        /* owner group of the socket and admin group; NULL or unknown: root's, no admin group */
    unsigned max_connections; /* default 64; an eighth of them is for root alone */
    unsigned max_per_uid;     /* default 16, root exempt */
    unsigned requests_per_s;  /* per uid, default 50, root exempt */
    uint64_t idle_timeout_ns; /* default 10 min */
    uint64_t silence_ns;      /* see on_silence; 0: never for time alone */
};

/* Binds (a stale socket file is replaced, a live one is -EADDRINUSE with a sentence), listens and attaches to the loop,
 * at a lower priority than the loop's usual sources, so that clients never hold up a sampling timer. Makes the parent
 * directory (0755) if absent. Strings are copied. */
int line_server_start(sd_event *loop, const struct line_config *config, const struct line_handler *handler,
                      struct line_server **ret_server, struct carnot_err *err);
/* What is not as asked though the server runs ("no group carnot, ..."), for the log; "" when nothing is. */
const char *line_server_warning(const struct line_server *server);
/* Answers a LINE_LATER request; silently nothing when that connection has gone. Only on the loop's thread; calls no
 * handler. */
void line_server_answer(struct line_server *server, uint64_t connection, const void *data, size_t len);
struct line_server *line_server_stop(struct line_server *server); /* unlinks the socket; NULL-safe, returns NULL */

/* Client side, blocking with a deadline. */
struct line_client;
int line_client_connect(const char *path, uint64_t timeout_ns, struct line_client **ret_client,
                        struct carnot_err *err); /* -ENOENT/-ECONNREFUSED: no agent there */
/* Sends one line (given without newline) and waits for one; *ret_line is NUL-terminated, without newline, valid until
 * the next call. -ETIMEDOUT: no answer in time, and the connection is of no more use. -EPIPE: the agent closed it. */
int line_client_request(struct line_client *client, const char *line, uint64_t timeout_ns, const char **ret_line,
                        size_t *ret_len, struct carnot_err *err);
/* The longest answer to take, instead of LINE_ANSWER_MAX: whole MiB, before the first request. */
void line_client_limit(struct line_client *client, size_t answer_bytes);
struct line_client *line_client_close(struct line_client *client);

#endif
