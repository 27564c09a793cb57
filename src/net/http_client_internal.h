/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the HTTP client share: http_client.c (an exchange), http_client_setup.c (a client and its options),
 * http_client_url.c, http_client_failure.c (the sentences). Private to net/. */
#ifndef CARNOT_NET_HTTP_CLIENT_INTERNAL_H
#define CARNOT_NET_HTTP_CLIENT_INTERNAL_H

#include "base/buf.h"
#include "net/curl_api.h"
#include "net/http_client.h"

#define HTTP_CLIENT_URL_MAX 2048 /* what servers take in a request line */

struct http_client {
    const struct curl_api *api;
    CURL *curl;
    uint64_t timeout_ns, connect_timeout_ns;
    size_t body_max;
    unsigned redirects_max;
    char proxy[HTTP_CLIENT_ORIGIN_MAX];
    char detail[CURL_ERROR_SIZE];
    struct buf body;
    /* of the exchange in progress */
    const struct http_client_request *request;
    size_t heads;
    bool heads_too_large;
    char location[HTTP_CLIENT_URL_MAX]; /* where a redirect leads; "" */
    bool has[HTTP_CLIENT_WANTED_MAX];
    char values[HTTP_CLIENT_WANTED_MAX][HTTP_CLIENT_VALUE_MAX];
};

/* libcurl's callbacks: the body, and one header line. userdata is the client. */
size_t http_client_take_body(char *data, size_t size, size_t n, void *userdata);
size_t http_client_take_head(char *data, size_t size, size_t n, void *userdata);

/* Puts a Location, relative or not, in the place of the URL that it was the answer to. False when it is no URL, or
 * holds a user. */
bool http_client_resolve(const struct curl_api *api, const char *location, char *url, size_t size);

/* What is known of a transfer that failed. */
struct http_client_failure {
    CURLcode code;
    const char *origin;
    const char *detail; /* libcurl's own words, "" when it had none */
    const char *proxy;  /* "" when there is none */
    uint64_t timeout_ns;
    uint64_t connect_timeout_ns;
    size_t body_max;
};

/* The code and the sentence of a failure. */
int http_client_explain(const struct curl_api *api, CURL *curl, const struct http_client_failure *failure,
                        struct carnot_err *err);

#endif
