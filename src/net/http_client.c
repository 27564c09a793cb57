/* SPDX-License-Identifier: Apache-2.0 */
/* See http_client.h: requests and answers. Redirects are followed here and not by libcurl, which would take other hosts
 * as well. */
#include "net/http_client.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "net/http_client_internal.h"

static void cleanup_slistp(struct curl_slist **list)
{
    if (*list) /* made by the library, so it is there */
        curl_api_get(NULL)->slist_free_all(*list);
}

#define _cleanup_slist_ CLEANUP(cleanup_slistp)

/* --- what comes in ---------------------------------------------------------------------------------------------- */

static void forget_heads(struct http_client *client)
{
    memset(client->has, 0, sizeof(client->has));
    client->location[0] = '\0';
}

size_t http_client_take_body(char *data, size_t size, size_t n, void *userdata)
{
    struct http_client *client = userdata;

    buf_append(&client->body, data, size * n);
    return buf_error(&client->body) ? 0 : size * n;
}

static void take_value(struct http_client *client, size_t i, struct text value)
{
    if (value.n >= sizeof(client->values[i])) {
        client->heads_too_large = true;
        return;
    }
    memcpy(client->values[i], value.p, value.n);
    client->values[i][value.n] = '\0';
    client->has[i] = strlen(client->values[i]) == value.n; /* one with a NUL inside is none */
}

static bool is_name(struct text name, const char *wanted)
{
    return name.n == strlen(wanted) && strncasecmp(name.p, wanted, name.n) == 0;
}

/* Not from libcurl, whose CURLINFO_REDIRECT_URL has our user and password in it. */
static void take_location(struct http_client *client, struct text value)
{
    size_t n = value.n < sizeof(client->location) ? value.n : 0;

    memcpy(client->location, value.p, n);
    client->location[n] = '\0';
}

size_t http_client_take_head(char *data, size_t size, size_t n, void *userdata)
{
    struct http_client *client = userdata;
    struct text value = {data, size * n}, name;

    client->heads += value.n;
    client->heads_too_large |= client->heads > HTTP_CLIENT_HEADS_MAX;
    if (text_starts(value, "HTTP/")) /* of a further answer: those before it were "100 Continue" and the like */
        forget_heads(client);
    if (memchr(value.p, ':', value.n) && scan_until(&value, ':', &name)) {
        if (is_name(name, "Location"))
            take_location(client, text_trim(value));
        for (size_t i = 0; i < client->request->n_wanted; i++)
            if (is_name(name, client->request->wanted[i]))
                take_value(client, i, text_trim(value));
    }
    return client->heads_too_large ? 0 : size * n;
}

/* --- what goes out ---------------------------------------------------------------------------------------------- */

static bool is_field_text(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 127)
            return false;
    return true;
}

static int add_field(struct curl_slist **list, const char *name, const char *value, struct carnot_err *err)
{
    struct buf line;

    if (!is_field_text(name) || !is_field_text(value))
        return carnot_err_set(err, EINVAL, "the header %.40s of a request holds a control character", name);
    buf_init(&line, HTTP_CLIENT_VALUE_MAX + 128);
    buf_puts(&line, name);
    buf_puts(&line, value[0] ? ": " : ":"); /* libcurl: "Name:" leaves one out that it would send */
    buf_puts(&line, value);
    struct curl_slist *longer = buf_error(&line) ? NULL : curl_api_get(NULL)->slist_append(*list, line.data);
    int r = buf_error(&line);
    if (line.data)
        explicit_bzero(line.data, line.len);
    buf_done(&line);
    if (!longer)
        return carnot_err_set(err, r ? r : ENOMEM, "the header %.40s of a request is too long, or memory is out", name);
    *list = longer;
    return 0;
}

static int make_fields(const struct http_client_request *request, struct curl_slist **ret_list, struct carnot_err *err)
{
    _cleanup_slist_ struct curl_slist *list = NULL;
    int r = 0;

    if (request->n_fields > HTTP_CLIENT_FIELDS_MAX || request->n_wanted > HTTP_CLIENT_WANTED_MAX)
        return carnot_err_set(err, E2BIG, "a request has too many headers");
    for (size_t i = 0; i < request->n_fields && r >= 0; i++)
        r = add_field(&list, request->fields[i].name, request->fields[i].value, err);
    if (r >= 0 && request->content_type)
        r = add_field(&list, "Content-Type", request->content_type, err);
    if (r >= 0 && request->content_type)
        r = add_field(&list, "Expect", "", err); /* no "100-continue", which small servers do not know */
    if (r >= 0)
        *ret_list = TAKE_PTR(list);
    return r;
}

static CURLcode set_method(const struct http_client *client, const struct http_client_request *request)
{
    CURLcode (*const setopt)(CURL *, CURLoption, ...) = client->api->easy_setopt;
    const char *method = request->method ? request->method : "GET";
    CURL *curl = client->curl;

    setopt(curl, CURLOPT_POST, 0L);
    setopt(curl, CURLOPT_POSTFIELDS, NULL);
    setopt(curl, CURLOPT_CUSTOMREQUEST, NULL);
    setopt(curl, CURLOPT_NOBODY, 0L);
    setopt(curl, CURLOPT_HTTPGET, 1L);
    if (request->content_type) {
        setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.n);
        setopt(curl, CURLOPT_POSTFIELDS, request->body.n ? request->body.p : "");
    } else if (strcmp(method, "HEAD") == 0) {
        return setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "GET") == 0) {
        return CURLE_OK;
    }
    return setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

/* --- one exchange ----------------------------------------------------------------------------------------------- */

/* A connection that the other side has closed must not end the program, whatever that does about SIGPIPE. */
struct pipe_guard {
    sigset_t before;
    bool was_pending;
};

static bool pipe_is_pending(void)
{
    sigset_t pending;

    sigemptyset(&pending);
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static struct pipe_guard hold_pipe(void)
{
    struct pipe_guard guard = {.was_pending = pipe_is_pending()};
    sigset_t only;

    sigemptyset(&only);
    sigaddset(&only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &only, &guard.before);
    return guard;
}

static void release_pipe(const struct pipe_guard *guard)
{
    const struct timespec at_once = {0};
    sigset_t only;

    sigemptyset(&only);
    sigaddset(&only, SIGPIPE);
    if (!guard->was_pending && pipe_is_pending())
        sigtimedwait(&only, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}

/* libcurl's words may quote the server's. */
static void clean_detail(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

static int explain(const struct http_client *client, CURLcode code, const char *origin, uint64_t timeout_ns,
                   struct carnot_err *err)
{
    const struct http_client_failure failure = {
        .code = buf_error(&client->body) == -E2BIG ? CURLE_FILESIZE_EXCEEDED : code,
        .origin = origin,
        .detail = client->detail,
        .proxy = client->proxy,
        .timeout_ns = timeout_ns,
        .connect_timeout_ns = client->connect_timeout_ns,
        .body_max = client->body_max,
    };

    if (buf_error(&client->body) == -ENOMEM)
        return carnot_err_set(err, ENOMEM, "%s: out of memory for the answer", origin);
    if (client->heads_too_large)
        return carnot_err_set(
            err, E2BIG,
            "%s: the headers of the answer are larger than the %u bytes that are taken, or one of them "
            "is longer than %d; see whether the address is the right one",
            origin, HTTP_CLIENT_HEADS_MAX, HTTP_CLIENT_VALUE_MAX);
    return http_client_explain(client->api, client->curl, &failure, err);
}

/* A kept connection can hold what followed the last answer, beyond the length that had been announced. Then it is no
 * answer to this request, which is made again on a new one. */
static bool met_leftovers(const struct http_client *client, CURLcode code)
{
    const char *method = client->request->method;
    long n_connected = 1;

    if (client->request->content_type || (method && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0))
        return false;
    client->api->easy_getinfo(client->curl, CURLINFO_NUM_CONNECTS, &n_connected);
    return n_connected == 0 && (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY);
}

static CURLcode transfer(struct http_client *client, uint64_t *left_ns)
{
    const struct curl_api *api = client->api;
    CURL *curl = client->curl;
    curl_off_t took_us = 0;
    uint64_t left_ms = max_u64(1, *left_ns / NS_PER_MS);

    buf_reset(&client->body);
    client->heads = 0;
    client->heads_too_large = false;
    forget_heads(client);
    client->detail[0] = '\0';
    api->easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)left_ms);
    api->easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)max_u64(1, min_u64(left_ms, client->connect_timeout_ns / NS_PER_MS)));
    struct pipe_guard guard = hold_pipe();
    CURLcode code = api->easy_perform(curl);
    release_pipe(&guard);
    clean_detail(client->detail);
    api->easy_getinfo(curl, CURLINFO_TOTAL_TIME_T, &took_us);
    *left_ns -= min_u64(*left_ns, (uint64_t)took_us * NS_PER_US);
    return code;
}

/* One request and what comes back, without a look at it. `left_ns` is what remains of the whole time. */
static int exchange(struct http_client *client, const char *url, const char *origin, uint64_t whole_ns,
                    uint64_t *left_ns, struct carnot_err *err)
{
    CURLcode code = client->api->easy_setopt(client->curl, CURLOPT_URL, url);

    if (code == CURLE_OK)
        code = transfer(client, left_ns);
    if (code != CURLE_OK && met_leftovers(client, code)) {
        client->api->easy_setopt(client->curl, CURLOPT_FRESH_CONNECT, 1L);
        code = transfer(client, left_ns);
        client->api->easy_setopt(client->curl, CURLOPT_FRESH_CONNECT, 0L);
    }
    return code == CURLE_OK ? 0 : explain(client, code, origin, whole_ns, err);
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Turns url into what a redirect leads to, if it may be followed. Of the place that it names the origin alone is shown:
 * the rest is the server's. */
static int follow(const struct http_client *client, const char *origin, unsigned followed, char *url, size_t size,
                  struct carnot_err *err)
{
    const char *method = client->request->method ? client->request->method : "GET";
    char target[HTTP_CLIENT_ORIGIN_MAX];

    if (!http_client_resolve(client->api, client->location, url, size) ||
        http_client_origin(url, target, sizeof(target), NULL) < 0)
        return carnot_err_set(
            err, EPROTO,
            "%s: answers with a redirect to nowhere that can be asked; see whether the address is the "
            "right one",
            origin);
    if (strcasecmp(target, origin) != 0)
        return carnot_err_set(err, EPROTO,
                              "%s: answers with a redirect to %.200s, which is not followed, since what we send is for "
                              "this host alone; put that address into the setting if it is the right one",
                              origin, target);
    if (client->request->content_type || (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0))
        return carnot_err_set(err, EPROTO, "%s: answers a %s with a redirect, which is not followed", origin, method);
    if (followed >= client->redirects_max)
        return carnot_err_set(err, EPROTO, "%s: more than %u redirects, one after the other; see why it has so many",
                              origin, client->redirects_max);
    return 0;
}

static int perform(struct http_client *client, char *url, size_t size, const char *origin, struct carnot_err *err)
{
    uint64_t whole_ns = client->timeout_ns;

    if (client->request->timeout_ns)
        whole_ns = min_u64(whole_ns, client->request->timeout_ns);
    uint64_t left_ns = whole_ns;
    for (unsigned followed = 0;; followed++) {
        long status = 0;
        int r = exchange(client, url, origin, whole_ns, &left_ns, err);

        if (r < 0)
            return r;
        client->api->easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
        if (!is_redirect(status))
            return (int)status;
        r = follow(client, origin, followed, url, size, err);
        if (r < 0)
            return r;
        if (left_ns == 0)
            return carnot_err_set(err, ETIMEDOUT, "%s: no whole answer within %" PRIu64 " ms, redirects included",
                                  origin, (uint64_t)(whole_ns / NS_PER_MS));
    }
}

int http_client_perform(struct http_client *client, const struct http_client_request *request,
                        struct http_client_answer *ret_answer, struct carnot_err *err)
{
    _cleanup_slist_ struct curl_slist *fields = NULL;
    char origin[HTTP_CLIENT_ORIGIN_MAX], url[HTTP_CLIENT_URL_MAX];
    int r = http_client_origin(request->url, origin, sizeof(origin), err);

    if (r >= 0)
        r = make_fields(request, &fields, err);
    if (r < 0)
        return r;
    memcpy(url, request->url, strlen(request->url) + 1); /* fits: an origin was found in it */
    client->request = request;
    CURLcode code = set_method(client, request);
    if (code == CURLE_OK)
        code = client->api->easy_setopt(client->curl, CURLOPT_HTTPHEADER, fields);
    r = code == CURLE_OK ? perform(client, url, sizeof(url), origin, err)
                         : carnot_err_set(err, ENOMEM, "out of memory for a request");
    /* libcurl keeps pointers into these. */
    client->api->easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    client->api->easy_setopt(client->curl, CURLOPT_POSTFIELDS, NULL);
    client->request = NULL;
    if (r < 0)
        return r;

    struct http_client_answer answer = {
        .status = (unsigned)r,
        .body = {buf_str(&client->body), client->body.len},
    };
    for (size_t i = 0; i < request->n_wanted; i++)
        answer.wanted[i] = client->has[i] ? client->values[i] : NULL;
    *ret_answer = answer;
    return 0;
}
