/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP server behind handler structs (libmicrohttpd inside, on its own threads): a slow or rude client disturbs
 * nobody else. */
#ifndef CARNOT_NET_HTTP_SERVER_H
#define CARNOT_NET_HTTP_SERVER_H

#include "base/err.h"
#include "base/util.h"

struct http_request {
    const char *method, *path;
    const void *connection; /* for http_header and http_query only */
};

const char *http_header(const struct http_request *request, const char *name); /* NULL when absent */
const char *http_query(const struct http_request *request, const char *name);

/* body stays valid until release(release_arg) is called, possibly much later and on the server's thread. */
struct http_response {
    unsigned status;
    const char *content_type;
    const char *content_encoding; /* NULL or "gzip" */
    const void *body;
    size_t len;
    void (*release)(void *arg); /* may be NULL for static bodies */
    void *release_arg;
};

/* Runs on the server's thread. Fills ret; < 0 gives a 500 with the err sentence. */
typedef int (*http_handler_fn)(void *userdata, const struct http_request *request, struct http_response *ret,
                               struct carnot_err *err);

struct http_route {
    const char *path; /* exact */
    http_handler_fn handler;
    void *userdata;
};

#define HTTP_ADDRESSES_MAX 16 /* one thread each; a machine with more has a wildcard address */

struct http_config {
    const char *const *addresses; /* "host:port", ":port", "[::1]:port"; port 0: any; a name: its first IPv4 address */
    size_t n_addresses;
    unsigned max_connections; /* over all addresses; default 64; one more is closed at once */
    unsigned max_per_ip;      /* of each address; default 32 */
    unsigned timeout_s;       /* silent connection, default 60; see HTTP_*_TIMEOUTS for the ones that trickle */
};

/* A client that sends or takes a byte now and then is never silent. It is closed, when others come, after so many
 * timeouts for one request and so many for one answer: the whole exposition in four minutes is 75 KB/s. */
#define HTTP_REQUEST_TIMEOUTS 2
#define HTTP_ANSWER_TIMEOUTS  4

struct http_server;

/* Binds every address or none: -EADDRINUSE with "cannot listen on ADDRESS: address already in use; ...". GET and HEAD
 * only (405), unknown path 404 with a sentence. Headers above 16 KiB or bodies are refused. The routes are copied, the
 * strings and userdata they point to must outlive the server. */
int http_server_start(const struct http_config *config, const struct http_route *routes, size_t n_routes,
                      struct http_server **ret_server, struct carnot_err *err);
struct http_server *http_server_stop(struct http_server *server); /* NULL-safe, waits for its thread, returns NULL */
uint16_t http_server_port(const struct http_server *server, size_t address_index); /* the bound port */
/* Requests that were understood, and those of them answered with a status of 400 or more. From any thread. */
void http_server_counts(const struct http_server *server, uint64_t *ret_requests, uint64_t *ret_errors);

/* Negotiation, over "text/html;q=0.8, gzip": the q (0 to 1) that the header gives `token` ("gzip", "text/plain"), 0
 * when not accepted or header is NULL. An entry that names the token wins over a wildcard of its type, that over a
 * wildcard of everything. Other parameters are not compared; an entry that cannot be read is passed over. */
double http_accept_q(const char *header, const char *token);
/* As above by the naming entry alone: a wildcard is no proof that a client knows an unusual format. */
double http_accept_named_q(const char *header, const char *token);

/* Splits "host:port" strictly; "[v6]:port" gives the host without its brackets. host may be empty (":port"). 0 or
 * -EINVAL with a sentence. */
int http_parse_address(const char *address, char *ret_host, size_t host_size, uint16_t *ret_port,
                       struct carnot_err *err);

#endif
