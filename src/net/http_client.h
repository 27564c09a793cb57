/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client of the whole project (libcurl inside): one request, one answer, within one deadline and one size.
 * Knows HTTP, TLS and the sentence for each way in which they fail; refuses to know what an answer means.
 *
 * Only http and https. TLS is verified unless the configuration says otherwise. What the environment says about proxies
 * is ignored unless told. Credentials and tokens go to the host of the request's URL and nowhere else, and into no
 * sentence. */
#ifndef CARNOT_NET_HTTP_CLIENT_H
#define CARNOT_NET_HTTP_CLIENT_H

#include "base/err.h"
#include "base/parse.h"

#define HTTP_CLIENT_TIMEOUT_NS (10000ULL * 1000000) /* longer than a busy service takes, shorter than patience */
#define HTTP_CLIENT_BODY_MAX   ((size_t)1 << 20)    /* what nobody limits further: no JSON that we ask for is larger */
#define HTTP_CLIENT_HEADS_MAX  (64U << 10)          /* all header lines of one answer; servers stop at 8 to 32 KiB */
#define HTTP_CLIENT_WANTED_MAX 4                    /* headers that one request can ask to see */
#define HTTP_CLIENT_VALUE_MAX  4096                 /* of one such header: tokens have up to some 2 KiB */
#define HTTP_CLIENT_ORIGIN_MAX 288                  /* scheme://[host]:port; a DNS name has 253 characters at most */
#define HTTP_CLIENT_FIELDS_MAX 8                    /* extra headers of one request */

/* Strings are copied; NULL and "" mean "none". */
struct http_client_config {
    uint64_t timeout_ns;              /* for a whole exchange, redirects included; 0: HTTP_CLIENT_TIMEOUT_NS */
    uint64_t connect_timeout_ns;      /* for name, connection and TLS within it; 0: half of timeout_ns */
    size_t body_max;                  /* 0: HTTP_CLIENT_BODY_MAX */
    unsigned redirects_max;           /* followed for GET and HEAD, to the same scheme, host and port; 0: none */
    bool insecure;                    /* take any certificate: whoever is on the way can read and answer */
    const char *ca_file;              /* trust these authorities instead of the system's */
    const char *cert_file, *key_file; /* our own certificate and its key */
    const char *user, *password;      /* basic authentication, with every request */
    const char *proxy;                /* "http://host:port" */
    bool proxy_from_env;              /* https_proxy, no_proxy and their like count, where `proxy` is none */
};

struct http_client_field {
    const char *name, *value;
};

struct http_client_request {
    const char *method; /* NULL: GET */
    const char *url;
    const struct http_client_field *fields;
    size_t n_fields;
    const char *content_type; /* NULL: no body */
    struct text body;
    const char *const *wanted; /* names of headers of the answer */
    size_t n_wanted;
    uint64_t timeout_ns; /* less time than the configuration gives; 0: as that says */
};

struct http_client_answer {
    unsigned status; /* any, also 404 and 503: that they are failures is for the caller to say */
    struct text body;
    const char *wanted[HTTP_CLIENT_WANTED_MAX]; /* in the request's order; NULL: the answer has none */
};

struct http_client;

/* -EINVAL with a sentence for a configuration that cannot work, -ENOENT, -EACCES for its files; -ELIBACC when libcurl
 * is not installed, which is loaded only now. */
int http_client_new(const struct http_client_config *config, struct http_client **ret_client, struct carnot_err *err);
struct http_client *http_client_free(struct http_client *client); /* NULL-safe, returns NULL */

/* 0 when there was an answer, which stays valid until the next call. Else -errno with a sentence that names the host:
 * -ECONNREFUSED, -EHOSTUNREACH (also an unknown name), -ETIMEDOUT; -EKEYREJECTED and -EKEYEXPIRED: its certificate;
 * -EPROTO: no proper answer, or a redirect that is not followed; -ECONNRESET: ended early; -E2BIG: a limit; -EINVAL:
 * the request. Blocks for the deadline at most. A client is used by one thread at a time, different clients by any. The
 * connection is kept for the next request. */
int http_client_perform(struct http_client *client, const struct http_client_request *request,
                        struct http_client_answer *ret_answer, struct carnot_err *err);

/* Scheme, host and port of a URL, "https://bmc-7:443", with no path, query or credentials: fit for a sentence. -EINVAL
 * with a sentence when it is no http or https URL, or holds a user or a password. */
int http_client_origin(const char *url, char *ret_origin, size_t size, struct carnot_err *err);

#endif
