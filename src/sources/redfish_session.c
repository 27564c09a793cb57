/* SPDX-License-Identifier: Apache-2.0 */
/* See redfish_session.h. The protocol of sessions: DMTF DSP0266, "Session-based authentication". */
#include "sources/redfish_session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "net/http_client.h"

#define URL_MAX       (1024 + REDFISH_PATH_MAX)
#define LOGIN_MAX     8192 /* the body of a login, with every character of user and password escaped */
#define REDIRECTS_MAX 3    /* "/redfish/v1" to "/redfish/v1/" and the like */

struct redfish_service {
    const struct redfish_config *config;
    struct carnot_clock *clock;
    struct http_client *client;
    char origin[HTTP_CLIENT_ORIGIN_MAX];
    redfish_path sessions;             /* where they are made */
    redfish_path session;              /* ours; "" */
    char token[HTTP_CLIENT_VALUE_MAX]; /* "" when there is none */
    uint64_t deadline_ns;              /* of the round */
    bool is_last;                      /* the request had all the time that was left */
    bool renewed;                      /* the session, in this round */
    bool down;
    struct carnot_err why_down;
    uint64_t busy_until_ns;
    uint64_t refused_until_ns;
};

static uint64_t now_ns(const struct redfish_service *service)
{
    return clock_now(service->clock).mono_ns;
}

int redfish_service_open(const struct redfish_config *config, struct carnot_clock *clock,
                         struct redfish_service **ret_service, struct carnot_err *err)
{
    const struct http_client_config http = {
        .timeout_ns = config->timeout_ns,
        .body_max = REDFISH_BODY_MAX,
        .redirects_max = REDIRECTS_MAX,
        .insecure = config->insecure,
        .ca_file = config->ca_file,
        .cert_file = config->cert_file,
        .key_file = config->key_file,
        .user = config->session ? NULL : config->user,
        .password = config->session ? NULL : config->password,
        .proxy = config->proxy,
        .proxy_from_env = config->proxy_from_env,
    };
    struct redfish_service *service = calloc(1, sizeof(*service));

    if (!service)
        return carnot_err_set(err, ENOMEM, "out of memory for the Redfish service");
    service->config = config;
    service->clock = clock;
    int r = http_client_origin(config->base, service->origin, sizeof(service->origin), err);
    if (r >= 0)
        r = http_client_new(&http, &service->client, err);
    if (r < 0) {
        free(service);
        return r;
    }
    redfish_service_set_sessions(service, "/redfish/v1/SessionService/Sessions");
    *ret_service = service;
    return 0;
}

void redfish_service_set_sessions(struct redfish_service *service, const char *path)
{
    snprintf(service->sessions, sizeof(service->sessions), "%s", path);
}

const char *redfish_service_origin(const struct redfish_service *service)
{
    return service->origin;
}

bool redfish_service_is_down(const struct redfish_service *service)
{
    return service->down;
}

int redfish_service_why_down(const struct redfish_service *service, struct carnot_err *err)
{
    if (err)
        *err = service->why_down;
    return service->why_down.code ? -service->why_down.code : -EIO;
}

void redfish_service_begin(struct redfish_service *service, uint64_t budget_ns)
{
    service->deadline_ns = now_ns(service) + budget_ns;
    service->renewed = false;
    service->down = false;
}

/* --- one request ------------------------------------------------------------------------------------------------ */

static const char *const wanted[] = {"X-Auth-Token", "Location", "Retry-After"};
enum { WANTED_TOKEN, WANTED_LOCATION, WANTED_RETRY };

static int send(struct redfish_service *service, const char *method, const char *path, struct text body,
                struct http_client_answer *ret_answer, struct carnot_err *err)
{
    struct http_client_field fields[4] = {{"Accept", "application/json"}, {"OData-Version", "4.0"}};
    size_t n = 2;
    char url[URL_MAX];
    uint64_t now = now_ns(service);

    if (now >= service->deadline_ns)
        return carnot_err_set(err, ETIMEDOUT,
                              "%s: the time for one reading was over before %s; give it more with --redfish.timeout",
                              service->origin, path);
    service->is_last = service->deadline_ns - now <= service->config->timeout_ns;
    int length = snprintf(url, sizeof(url), "%s%s", service->config->base, path);
    if (length < 0 || (size_t)length >= sizeof(url))
        return carnot_err_set(err, EINVAL, "the URL of %s is too long", service->origin);
    if (service->token[0])
        fields[n++] = (struct http_client_field){"X-Auth-Token", service->token};
    if (service->config->target)
        fields[n++] = (struct http_client_field){"X-Redfish-Url", service->config->target};
    const struct http_client_request request = {
        .method = method,
        .url = url,
        .fields = fields,
        .n_fields = n,
        .content_type = body.p ? "application/json" : NULL,
        .body = body,
        .wanted = wanted,
        .n_wanted = ELEMENTSOF(wanted),
        .timeout_ns = service->deadline_ns - now,
    };
    return http_client_perform(service->client, &request, ret_answer, err);
}

static uint64_t retry_after_ns(const char *value)
{
    uint64_t seconds;

    if (!value || parse_u64(text_of(value), &seconds) < 0) /* a date, which would need the BMC's clock */
        return REDFISH_BUSY_DEFAULT_NS;
    if (seconds > REDFISH_BUSY_MAX_NS / NS_PER_SEC)
        return REDFISH_BUSY_MAX_NS;
    return max_u64(seconds * NS_PER_SEC, REDFISH_BUSY_MIN_NS);
}

static int say_busy(const struct redfish_service *service, struct carnot_err *err)
{
    uint64_t now = now_ns(service);
    uint64_t left_ns = service->busy_until_ns > now ? service->busy_until_ns - now : 0;

    return carnot_err_set(err, EAGAIN, "%s: is busy, and is asked again in %" PRIu64 " s", service->origin,
                          (uint64_t)((left_ns + NS_PER_SEC - 1) / NS_PER_SEC));
}

static int become_busy(struct redfish_service *service, const char *retry_after, struct carnot_err *err)
{
    service->busy_until_ns = now_ns(service) + retry_after_ns(retry_after);
    service->down = true;
    return say_busy(service, err);
}

/* What a status means for the resource that was asked for. */
static int judge(struct redfish_service *service, const char *path, const struct http_client_answer *answer,
                 struct carnot_err *err)
{
    unsigned status = answer->status;

    if (status == 200)
        return 0;
    if (status == 503 || status == 429)
        return become_busy(service, answer->wanted[WANTED_RETRY], err);
    if (status == 404 || status == 405 || status == 410 || status == 501)
        return carnot_err_set(err, ENOENT, "%s%s: there is no such resource (status %u)", service->origin, path,
                              status);
    if (status == 401 && !service->config->user)
        return carnot_err_set(err, EACCES, "%s%s: wants a user; give --redfish.user and --redfish.password-file",
                              service->origin, path);
    if (status == 401 || status == 403)
        return carnot_err_set(err, EACCES,
                              "%s%s: refused (status %u); give the user the right to read it, or let the proxy pass it",
                              service->origin, path, status);
    if (status >= 500)
        return carnot_err_set(err, EIO, "%s%s: an error of the BMC (status %u); it is asked again", service->origin,
                              path, status);
    return carnot_err_set(err, EPROTO, "%s%s: an answer that was not expected (status %u)", service->origin, path,
                          status);
}

/* --- sessions --------------------------------------------------------------------------------------------------- */

static void forget_session(struct redfish_service *service)
{
    explicit_bzero(service->token, sizeof(service->token));
    service->session[0] = '\0';
}

/* A BMC has room for some dozen sessions; one that is left behind stays for half an hour. That it may be gone already
 * is no failure. */
static void log_out(struct redfish_service *service)
{
    struct http_client_answer ignored;

    if (service->token[0] && service->session[0])
        send(service, "DELETE", service->session, (struct text){0}, &ignored, NULL);
    forget_session(service);
}

static int say_refused(struct redfish_service *service, struct carnot_err *err)
{
    uint64_t now = now_ns(service);
    uint64_t left_ns = service->refused_until_ns > now ? service->refused_until_ns - now : 0;

    service->down = true;
    return carnot_err_set(err, EACCES,
                          "%s: user or password is refused; correct them and restart (tried again in %" PRIu64
                          " s, since BMCs lock accounts)",
                          service->origin, (uint64_t)((left_ns + NS_PER_SEC - 1) / NS_PER_SEC));
}

static int become_refused(struct redfish_service *service, struct carnot_err *err)
{
    service->refused_until_ns = now_ns(service) + REDFISH_LOGIN_PAUSE_NS;
    return say_refused(service, err);
}

static void write_login(const struct redfish_config *config, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_out_object(&json);
    json_out_kv_string(&json, "UserName", config->user);
    json_out_kv_string(&json, "Password", config->password);
    json_out_object_end(&json);
}

static int take_session(struct redfish_service *service, const struct http_client_answer *answer,
                        struct carnot_err *err)
{
    const char *token = answer->wanted[WANTED_TOKEN];

    if (answer->status == 401 || answer->status == 403)
        return become_refused(service, err);
    if (answer->status == 503 || answer->status == 429)
        return become_busy(service, answer->wanted[WANTED_RETRY], err);
    service->down = true;
    if (answer->status >= 500)
        return carnot_err_set(err, EIO, "%s: cannot make a session (status %u); it is asked again", service->origin,
                              answer->status);
    if (answer->status < 200 || answer->status > 299)
        return carnot_err_set(err, EPROTO,
                              "%s: makes no session (status %u); see whether it has too many of them, or use basic "
                              "authentication with --no-redfish.session",
                              service->origin, answer->status);
    if (!token || !token[0])
        return carnot_err_set(err, EPROTO,
                              "%s: made a session but told no X-Auth-Token; use basic authentication with "
                              "--no-redfish.session",
                              service->origin);
    service->down = false;
    snprintf(service->token, sizeof(service->token), "%s", token);
    redfish_session_path(answer->wanted[WANTED_LOCATION], answer->body, &service->session);
    return 0;
}

static int log_in(struct redfish_service *service, struct carnot_err *err)
{
    struct http_client_answer answer;
    struct buf body;

    buf_init(&body, LOGIN_MAX);
    write_login(service->config, &body);
    int r = buf_error(&body);
    if (r < 0) {
        carnot_err_set(err, r, "user and password of the BMC are too long");
    } else {
        r = send(service, "POST", service->sessions, (struct text){body.data, body.len}, &answer, err);
        if (r < 0)
            service->down = true;
        else
            r = take_session(service, &answer, err);
    }
    if (body.data)
        explicit_bzero(body.data, body.cap);
    buf_done(&body);
    return r;
}

/* --- asking ----------------------------------------------------------------------------------------------------- */

/* The root is open to everybody, and it is there that a client learns where to log in. */
static bool needs_session(const struct redfish_service *service, const char *path)
{
    return service->config->session && !service->token[0] && strcmp(path, REDFISH_ROOT) != 0;
}

/* A failure of the network or of TLS is the service's, not the resource's; a broken answer may be the resource's. */
static bool concerns_service(int r)
{
    return r < 0 && r != -E2BIG && r != -EPROTO && r != -ECONNRESET;
}

static int ask(struct redfish_service *service, const char *path, struct http_client_answer *ret_answer,
               struct carnot_err *err)
{
    int r = send(service, "GET", path, (struct text){0}, ret_answer, err);

    /* One slow resource; there is time for others. */
    if (r == -ETIMEDOUT && !service->is_last)
        return r;
    service->down |= concerns_service(r);
    return r;
}

/* The session has ended, or a proxy in between refuses the path, or somebody changed the password. */
static int ask_with_new_session(struct redfish_service *service, const char *path,
                                struct http_client_answer *ret_answer, struct carnot_err *err)
{
    service->renewed = true;
    log_out(service);
    int r = log_in(service, err);
    return r < 0 ? r : ask(service, path, ret_answer, err);
}

static int get(struct redfish_service *service, const char *path, struct text *ret_body, struct carnot_err *err)
{
    struct http_client_answer answer;
    uint64_t now = now_ns(service);
    int r = 0;

    if (now < service->busy_until_ns) {
        service->down = true;
        return say_busy(service, err);
    }
    if (now < service->refused_until_ns)
        return say_refused(service, err);
    if (needs_session(service, path)) {
        service->renewed = true;
        r = log_in(service, err);
    }
    if (r >= 0)
        r = ask(service, path, &answer, err);
    if (r >= 0 && answer.status == 401 && service->config->session && !service->renewed)
        r = ask_with_new_session(service, path, &answer, err);
    if (r < 0)
        return r;
    /* With basic authentication each further request would count as one more wrong login. */
    if (answer.status == 401 && service->config->user && !service->config->session)
        return become_refused(service, err);
    r = judge(service, path, &answer, err);
    if (r < 0)
        return r;
    *ret_body = answer.body;
    return 0;
}

int redfish_service_get(struct redfish_service *service, const char *path, struct text *ret_body,
                        struct carnot_err *err)
{
    struct carnot_err why = CARNOT_ERR_INIT;
    int r = get(service, path, ret_body, &why);

    if (r < 0 && service->down)
        service->why_down = why;
    if (r < 0 && err)
        *err = why;
    return r;
}

struct redfish_service *redfish_service_close(struct redfish_service *service)
{
    if (!service)
        return NULL;
    if (service->token[0]) {
        redfish_service_begin(service, REDFISH_CLOSE_NS);
        log_out(service);
    }
    http_client_free(service->client);
    explicit_bzero(service->token, sizeof(service->token));
    free(service);
    return NULL;
}
