/* SPDX-License-Identifier: Apache-2.0 */
/* libmicrohttpd behind handler structs: one daemon and thread for each address, one table of connections over all.
 *
 * Knows HTTP's outer rules (methods, bodies, headers that every answer has) and which connections are overdue; refuses
 * to know what is served. */
#include "net/http_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "net/http_listen.h"

#define DEFAULT_CONNECTIONS 64
#define DEFAULT_PER_IP      32
#define DEFAULT_TIMEOUT_S   60

/* Headers of a request and of its answer; a browser with many cookies sends 8 KiB. */
#define CONNECTION_MEMORY ((size_t)16 * 1024)

/* poll, not epoll: MHD 0.9.75 listens to epoll's edges, and misses the end of a connection that comes with the last
 * bytes of half a request: such a connection then holds its place until the timeout. With some 64 connections poll
 * costs as little. */
#define MHD_MODE (MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC)

/* MHD itself stops listening at its limit, and nobody would be told. Ours comes first: the rest is for connections that
 * were cut and are not gone yet. */
#define MHD_LIMIT_FACTOR 2

#define TEXT_PLAIN "text/plain; charset=utf-8"

struct connection {
    bool used;
    bool cut;       /* shut down by us, MHD will notice */
    bool answering; /* a request was understood; else one is awaited */
    int fd;
    uint64_t since_ns; /* of the state above */
};

struct daemon {
    struct MHD_Daemon *mhd;
    uint16_t port;
};

struct http_server {
    struct http_route *routes;
    size_t n_routes;
    struct daemon daemons[HTTP_ADDRESSES_MAX];
    size_t n_daemons;
    atomic_uint_least64_t requests, errors;

    unsigned max_connections;
    uint64_t timeout_ns;
    pthread_mutex_t lock; /* of what follows; held for a scan of the table at most */
    struct connection *connections;
    size_t n_connections; /* slots */
};

static uint64_t now_ns(void)
{
    return clock_now(carnot_clock_system()).mono_ns;
}

/* --- Who is connected ----------------------------------------------------------------------------------------------
 */

static bool overdue(const struct http_server *server, const struct connection *connection, uint64_t now)
{
    uint64_t timeouts = connection->answering ? HTTP_ANSWER_TIMEOUTS : HTTP_REQUEST_TIMEOUTS;

    return now - connection->since_ns > timeouts * server->timeout_ns;
}

/* Cuts who is overdue; returns how many others there are. A descriptor in the table is open: MHD tells of a closing
 * before it closes. Called whenever somebody else wants something, so that no timer is needed. */
static unsigned sweep_locked(struct http_server *server)
{
    uint64_t now = now_ns();
    unsigned live = 0;

    for (size_t i = 0; i < server->n_connections; i++) {
        struct connection *connection = &server->connections[i];

        if (!connection->used || connection->cut)
            continue;
        if (!overdue(server, connection, now)) {
            live++;
            continue;
        }
        connection->cut = true;
        shutdown(connection->fd, SHUT_RDWR);
    }
    return live;
}

static enum MHD_Result on_accept(void *cls, const struct sockaddr *addr, socklen_t len)
{
    struct http_server *server = cls;

    pthread_mutex_lock(&server->lock);
    bool room = sweep_locked(server) < server->max_connections;
    pthread_mutex_unlock(&server->lock);
    return room ? MHD_YES : MHD_NO;
}

static struct connection *free_slot(struct http_server *server)
{
    for (size_t i = 0; i < server->n_connections; i++) {
        if (!server->connections[i].used)
            return &server->connections[i];
    }
    return NULL;
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = cls;
    struct connection *connection = *socket_context;

    pthread_mutex_lock(&server->lock);
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (connection)
            *connection = (struct connection){0};
    } else {
        int fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

        connection = free_slot(server);
        if (connection)
            *connection = (struct connection){.used = true, .fd = fd, .since_ns = now_ns()};
        else
            shutdown(fd, SHUT_RDWR); /* threads of several addresses raced for the last slot */
    }
    *socket_context = code == MHD_CONNECTION_NOTIFY_CLOSED ? NULL : connection;
    pthread_mutex_unlock(&server->lock);
}

static void set_answering(struct http_server *server, struct MHD_Connection *mhd, bool answering)
{
    struct connection *connection = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

    pthread_mutex_lock(&server->lock);
    if (connection) {
        connection->answering = answering;
        connection->since_ns = now_ns();
    }
    sweep_locked(server);
    pthread_mutex_unlock(&server->lock);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls, enum MHD_RequestTerminationCode code)
{
    set_answering(cls, mhd, false);
}

/* --- Answers -------------------------------------------------------------------------------------------------------
 */

static bool add_headers(struct MHD_Response *mhd, const struct http_response *response)
{
    const struct {
        const char *name, *value;
    } headers[] = {
        {MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type},
        {MHD_HTTP_HEADER_CONTENT_ENCODING, response->content_encoding},
        {MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding"},
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"}, /* a figure of an energy meter is old after a second */
        {"X-Content-Type-Options", "nosniff"},
    };

    for (size_t i = 0; i < ELEMENTSOF(headers); i++) {
        if (headers[i].value && MHD_add_response_header(mhd, headers[i].name, headers[i].value) != MHD_YES)
            return false;
    }
    return true;
}

static struct MHD_Response *make_response(const struct http_response *response)
{
    static char empty[1];
    void *body = empty;

    if (response->len) {
        /* MHD only reads it; its signature is older than const. */
        memcpy(&body, &response->body, sizeof(body));
    }

    struct MHD_Response *mhd = MHD_create_response_from_buffer_with_free_callback_cls(
        response->len, body, response->release, response->release_arg);
    if (!mhd) {
        if (response->release)
            response->release(response->release_arg);
        return NULL;
    }
    if (!add_headers(mhd, response)) {
        MHD_destroy_response(mhd); /* releases */
        return NULL;
    }
    return mhd;
}

static enum MHD_Result send_response(struct http_server *server, struct MHD_Connection *connection,
                                     const struct http_response *response)
{
    struct MHD_Response *mhd = make_response(response);

    atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
    if (!mhd || response->status >= 400)
        atomic_fetch_add_explicit(&server->errors, 1, memory_order_relaxed);
    if (!mhd)
        return MHD_NO;

    enum MHD_Result result = MHD_queue_response(connection, response->status, mhd);
    MHD_destroy_response(mhd); /* our reference; MHD has its own until the last byte is sent */
    return result;
}

static void release_sentence(void *arg)
{
    free(arg);
}

static enum MHD_Result send_sentence(struct http_server *server, struct MHD_Connection *connection, unsigned status,
                                     const char *sentence)
{
    size_t len = strlen(sentence) + 1;
    char *line = malloc(len + 1);

    if (!line)
        return MHD_NO;
    memcpy(line, sentence, len - 1);
    memcpy(line + len - 1, "\n", 2);

    const struct http_response response = {
        .status = status,
        .content_type = TEXT_PLAIN,
        .body = line,
        .len = len,
        .release = release_sentence,
        .release_arg = line,
    };
    return send_response(server, connection, &response);
}

/* Answers a request before its body came and closes: what follows on that connection could be taken for a request. */
static enum MHD_Result refuse(struct http_server *server, struct MHD_Connection *connection, unsigned status,
                              const char *sentence)
{
    const struct http_response response = {
        .status = status, .content_type = TEXT_PLAIN, .body = sentence, .len = strlen(sentence)};
    struct MHD_Response *mhd = make_response(&response);

    atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->errors, 1, memory_order_relaxed);
    if (!mhd)
        return MHD_NO;

    enum MHD_Result result = MHD_add_response_header(mhd, MHD_HTTP_HEADER_CONNECTION, "close");
    if (result == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        result = MHD_add_response_header(mhd, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (result == MHD_YES)
        result = MHD_queue_response(connection, status, mhd);
    MHD_destroy_response(mhd);
    return result;
}

/* --- Requests ------------------------------------------------------------------------------------------------------
 */

static const char *lookup(const struct http_request *request, enum MHD_ValueKind kind, const char *name)
{
    void *connection;

    memcpy(&connection, &request->connection, sizeof(connection)); /* MHD wants it without const, and reads */
    return MHD_lookup_connection_value(connection, kind, name);
}

const char *http_header(const struct http_request *request, const char *name)
{
    return lookup(request, MHD_HEADER_KIND, name);
}

const char *http_query(const struct http_request *request, const char *name)
{
    return lookup(request, MHD_GET_ARGUMENT_KIND, name);
}

static bool has_body(const struct http_request *request)
{
    const char *length = http_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return http_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING) || (length && strcmp(length, "0") != 0);
}

static bool is_method(const char *method, const char *name)
{
    return strcmp(method, name) == 0;
}

static enum MHD_Result answer(struct http_server *server, struct MHD_Connection *connection,
                              const struct http_request *request)
{
    for (size_t i = 0; i < server->n_routes; i++) {
        const struct http_route *route = &server->routes[i];
        struct http_response response = {.status = MHD_HTTP_OK, .content_type = TEXT_PLAIN};
        struct carnot_err err = CARNOT_ERR_INIT;

        if (strcmp(route->path, request->path) != 0)
            continue;
        if (route->handler(route->userdata, request, &response, &err) < 0)
            return send_sentence(server, connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
                                 err.msg[0] ? err.msg : "the server could not answer; its log says why");
        return send_response(server, connection, &response);
    }
    return send_sentence(server, connection, MHD_HTTP_NOT_FOUND,
                         "there is nothing at this path; the figures are at /metrics");
}

/* MHD calls this first with the headers, then (no body being let in) once more when the request is complete. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **con_cls)
{
    struct http_server *server = cls;
    const struct http_request request = {.method = method, .path = url, .connection = connection};

    if (!*con_cls) {
        *con_cls = server;
        set_answering(server, connection, true);
        if (!is_method(method, MHD_HTTP_METHOD_GET) && !is_method(method, MHD_HTTP_METHOD_HEAD))
            return refuse(server, connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
        if (has_body(&request))
            return refuse(server, connection, MHD_HTTP_BAD_REQUEST, "a request to this server has no body\n");
        return MHD_YES;
    }
    *upload_size = 0;
    return answer(server, connection, &request);
}

/* --- Start and stop ------------------------------------------------------------------------------------------------
 */

static int start_daemon(struct http_server *server, const struct http_config *config, int fd, uint16_t port,
                        struct carnot_err *err)
{
    unsigned timeout_s = (unsigned)(server->timeout_ns / NS_PER_SEC);
    unsigned per_ip = config->max_per_ip ? config->max_per_ip : DEFAULT_PER_IP;
    sigset_t all, before;

    /* Its thread takes no signal of the program's: those are for the main loop. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *mhd =
        MHD_start_daemon(MHD_MODE, port, on_accept, server, on_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_CONNECTION_LIMIT, server->max_connections * MHD_LIMIT_FACTOR,
                         MHD_OPTION_PER_IP_CONNECTION_LIMIT, per_ip, MHD_OPTION_CONNECTION_TIMEOUT, timeout_s,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_NOTIFY_CONNECTION,
                         on_connection, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    if (!mhd)
        return carnot_err_set(err, EIO,
                              "cannot start the HTTP server on port %u: libmicrohttpd refused; is there room for a "
                              "thread?",
                              port);
    server->daemons[server->n_daemons++] = (struct daemon){.mhd = mhd, .port = port};
    return 0;
}

static int new_server(const struct http_config *config, const struct http_route *routes, size_t n_routes,
                      struct http_server **ret_server)
{
    struct http_server *server = calloc(1, sizeof(*server));

    if (!server)
        return -ENOMEM;
    pthread_mutex_init(&server->lock, NULL);
    server->max_connections = config->max_connections ? config->max_connections : DEFAULT_CONNECTIONS;
    server->timeout_ns = (config->timeout_s ? config->timeout_s : DEFAULT_TIMEOUT_S) * NS_PER_SEC;
    server->n_connections = (size_t)server->max_connections * MHD_LIMIT_FACTOR;
    server->n_routes = n_routes;
    server->routes = calloc(n_routes ? n_routes : 1, sizeof(*routes));
    server->connections = calloc(server->n_connections, sizeof(*server->connections));
    if (!server->routes || !server->connections) {
        http_server_stop(server);
        return -ENOMEM;
    }
    if (n_routes)
        memcpy(server->routes, routes, n_routes * sizeof(*routes));
    *ret_server = server;
    return 0;
}

struct http_server *http_server_stop(struct http_server *server)
{
    if (!server)
        return NULL;
    for (size_t i = 0; i < server->n_daemons; i++)
        MHD_stop_daemon(server->daemons[i].mhd);
    pthread_mutex_destroy(&server->lock);
    free(server->connections);
    free(server->routes);
    free(server);
    return NULL;
}

int http_server_start(const struct http_config *config, const struct http_route *routes, size_t n_routes,
                      struct http_server **ret_server, struct carnot_err *err)
{
    int fds[HTTP_ADDRESSES_MAX];
    uint16_t ports[HTTP_ADDRESSES_MAX] = {0};
    struct http_server *server = NULL;
    size_t n = 0;
    int r = 0;

    if (config->n_addresses == 0 || config->n_addresses > HTTP_ADDRESSES_MAX)
        return carnot_err_set(err, EINVAL, "%zu addresses to listen on: give 1 to %d with --web.listen-address",
                              config->n_addresses, HTTP_ADDRESSES_MAX);

    for (; n < config->n_addresses; n++) {
        r = fds[n] = http_listen(config->addresses[n], &ports[n], err);
        if (r < 0)
            goto fail;
    }
    r = new_server(config, routes, n_routes, &server);
    if (r < 0) {
        carnot_err_errno(err, r, "cannot start the HTTP server");
        goto fail;
    }
    for (size_t i = 0; i < n; i++) {
        int fd = TAKE_FD(fds[i]); /* MHD's from now on, also when it fails */
        r = start_daemon(server, config, fd, ports[i], err);
        if (r < 0)
            goto fail;
    }
    *ret_server = server;
    return 0;

fail:
    http_server_stop(server);
    for (size_t i = 0; i < n; i++)
        cleanup_closep(&fds[i]);
    return r;
}

uint16_t http_server_port(const struct http_server *server, size_t address_index)
{
    return address_index < server->n_daemons ? server->daemons[address_index].port : 0;
}

void http_server_counts(const struct http_server *server, uint64_t *ret_requests, uint64_t *ret_errors)
{
    *ret_requests = atomic_load_explicit(&server->requests, memory_order_relaxed);
    *ret_errors = atomic_load_explicit(&server->errors, memory_order_relaxed);
}
