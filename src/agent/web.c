/* SPDX-License-Identifier: Apache-2.0 */
/* See web.h. Handlers run on the HTTP server's thread. */
#include "agent/web.h"

#include <errno.h>
#include <stdatomic.h>

#include "agent/render.h"

#define LANDING_MAX 2048

/* A batch older than so many windows: the loop is stuck, and who balances load or watches should know. */
#define STALE_WINDOWS 10

struct web {
    _Atomic(struct http_server *) http; /* NULL while it starts: a first request may come before that returns */
    struct renders *renders;
    struct meter *meter;
    struct carnot_clock *clock;
    uint64_t window_ns;
    struct http_route routes[4];
    char landing[LANDING_MAX];
};

static int serve_metrics(void *userdata, const struct http_request *request, struct http_response *ret,
                         struct carnot_err *err)
{
    struct web *web = userdata;
    enum prometheus_format format = prometheus_negotiate(http_header(request, "Accept"));
    bool gzip = http_accept_q(http_header(request, "Accept-Encoding"), "gzip") > 0;
    struct prometheus_options now = {0};
    struct rendered rendered;
    int r;

    struct http_server *http = atomic_load(&web->http);
    if (http)
        http_server_counts(http, &now.http_requests, &now.http_errors);
    r = renders_get(web->renders, format, gzip, &now, &rendered, err);
    if (r == -EAGAIN) {
        static const char wait[] = "the first window has not ended yet; try again in a second\n";
        *ret = (struct http_response){
            .status = 503, .content_type = "text/plain; charset=utf-8", .body = wait, .len = sizeof wait - 1};
        return 0;
    }
    if (r < 0)
        return r;
    *ret = (struct http_response){
        .status = 200,
        .content_type = prometheus_content_type(format),
        .content_encoding = gzip ? "gzip" : NULL,
        .body = rendered.data,
        .len = rendered.len,
        .release = renders_release,
        .release_arg = rendered.handle,
    };
    return 0;
}

static int serve_landing(void *userdata, const struct http_request *request, struct http_response *ret,
                         struct carnot_err *err)
{
    const struct web *web = userdata;

    *ret = (struct http_response){
        .status = 200, .content_type = "text/html; charset=utf-8", .body = web->landing, .len = strlen(web->landing)};
    return 0;
}

static int serve_text(unsigned status, const char *text, struct http_response *ret)
{
    *ret = (struct http_response){
        .status = status, .content_type = "text/plain; charset=utf-8", .body = text, .len = strlen(text)};
    return 0;
}

static int serve_healthy(void *userdata, const struct http_request *request, struct http_response *ret,
                         struct carnot_err *err)
{
    return serve_text(200, "carnotd is healthy\n", ret);
}

static int serve_ready(void *userdata, const struct http_request *request, struct http_response *ret,
                       struct carnot_err *err)
{
    const struct web *web = userdata;
    struct batch *batch = meter_latest(web->meter);
    struct carnot_now now = clock_now(web->clock);
    uint64_t end_ns = batch ? batch->end.mono_ns : 0;
    bool known = batch != NULL;

    batch_unref(batch);
    if (!known)
        return serve_text(503, "carnotd is not ready: the first window has not ended yet\n", ret);
    if (now.mono_ns > end_ns + STALE_WINDOWS * web->window_ns)
        return serve_text(503, "carnotd is not ready: its last window ended long ago; see its log\n", ret);
    return serve_text(200, "carnotd is ready\n", ret);
}

/* Only our own settings reach the page, but a path may hold anything. */
static void put_html(struct buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '<')
            buf_puts(out, "&lt;");
        else if (*s == '&')
            buf_puts(out, "&amp;");
        else if (*s == '"')
            buf_puts(out, "&quot;");
        else
            buf_putc(out, *s);
    }
}

static int make_landing(struct web *web, const char *telemetry_path)
{
    struct buf page;
    int r;

    buf_init(&page, sizeof web->landing - 1);
    buf_puts(&page,
             "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>carnotd</title></head><body>\n"
             "<h1>carnotd " CARNOT_VERSION
             "</h1>\n<p>Energy and carbon of every process, container and user of this machine.</p>\n<ul>\n"
             "<li><a href=\"");
    put_html(&page, telemetry_path);
    buf_puts(
        &page,
        "\">Metrics</a></li>\n<li><a href=\"/-/healthy\">Healthy</a></li>\n<li><a href=\"/-/ready\">Ready</a></li>\n"
        "</ul>\n</body></html>\n");
    r = buf_error(&page);
    if (r >= 0)
        memcpy(web->landing, page.data, page.len + 1);
    buf_done(&page);
    return r;
}

int web_start(const struct agent_settings *settings, struct meter *meter, struct web **ret_web, struct carnot_err *err)
{
    struct prometheus_options options = {.processes = settings->meter.process_series};
    struct http_config config = {
        .addresses = settings->listen_addresses.items,
        .n_addresses = settings->listen_addresses.count,
        .timeout_s = (unsigned)(settings->web_timeout_ns / NS_PER_SEC),
    };
    struct web *web = calloc(1, sizeof *web);
    struct http_server *http;
    int r;

    if (!web)
        return carnot_err_set(err, ENOMEM, "out of memory");
    web->meter = meter;
    web->clock = carnot_clock_system();
    web->window_ns = meter_interval_ns(meter);
    r = make_landing(web, settings->telemetry_path);
    if (r < 0) {
        free(web);
        return carnot_err_set(err, EINVAL, "--web.telemetry-path is too long");
    }
    if (renders_new(meter, &options, &web->renders) < 0) {
        free(web);
        return carnot_err_set(err, ENOMEM, "out of memory");
    }
    web->routes[0] = (struct http_route){settings->telemetry_path, serve_metrics, web};
    web->routes[1] = (struct http_route){"/", serve_landing, web};
    web->routes[2] = (struct http_route){"/-/healthy", serve_healthy, web};
    web->routes[3] = (struct http_route){"/-/ready", serve_ready, web};
    r = http_server_start(&config, web->routes, ELEMENTSOF(web->routes), &http, err);
    if (r < 0) {
        renders_free(web->renders);
        free(web);
        return r;
    }
    atomic_store(&web->http, http);
    *ret_web = web;
    return 0;
}

struct web *web_stop(struct web *web)
{
    if (!web)
        return NULL;
    http_server_stop(web->http);
    renders_free(web->renders);
    free(web);
    return NULL;
}

uint16_t web_port(const struct web *web, size_t index)
{
    return http_server_port(web->http, index);
}
