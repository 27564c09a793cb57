/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client against a real server on loopback that is as rude as it is told: what comes back, what is refused,
 * and that everything ends within its deadline and its size. */
#include "../../sim/bmc_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "../sources/scratch.h"

#define SECRET "not-to-be-seen"

static struct scratch s;
static struct bmc bmc;
static struct http_client *client;
static struct http_client_answer answer;
static struct carnot_err err;

static int group_setup(void **state)
{
    scratch_init(&s);
    bmc_start(&bmc, scratch_path(&s, "tls"));
    return 0;
}

static int group_teardown(void **state)
{
    bmc_stop(&bmc);
    scratch_done(&s);
    return 0;
}

static int setup(void **state)
{
    client = NULL;
    err = CARNOT_ERR_INIT;
    bmc_do(&bmc, "forget", "{}");
    return 0;
}

static int teardown(void **state)
{
    client = http_client_free(client);
    return 0;
}

static void use(struct http_client_config config)
{
    http_client_free(client);
    if (!config.timeout_ns)
        config.timeout_ns = 20 * NS_PER_SEC;
    assert_int_equal(http_client_new(&config, &client, &err), 0);
}

static int get(const char *url)
{
    const struct http_client_request request = {.url = url};

    err = CARNOT_ERR_INIT;
    int r = http_client_perform(client, &request, &answer, &err);
    assert_int_equal(r < 0, err.msg[0] != '\0');
    assert_null(strstr(err.msg, SECRET));
    if (r < 0)
        assert_int_equal(err.code, -r);
    return r;
}

/* The sentence says all of these words. */
static void assert_says(const char *word)
{
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
}

static void body_is(const char *text)
{
    assert_int_equal(answer.body.n, strlen(text));
    assert_memory_equal(answer.body.p, text, answer.body.n);
}

static const char *logged(const json_t *log, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(log, i), key));
}

static void answers(void **state)
{
    use((struct http_client_config){0});
    bmc_rule(&bmc, "/hello", "\"how\": \"raw\", \"body\": \"hello\"");
    assert_int_equal(get(bmc_url(&bmc, "http", "/hello")), 0);
    assert_int_equal(answer.status, 200);
    body_is("hello");
    assert_null(answer.wanted[0]);
    assert_int_equal(get(bmc_url(&bmc, "http", "/nowhere")), 0);
    assert_int_equal(answer.status, 404);
    bmc_rule(&bmc, "/busy", "\"how\": \"status\", \"status\": 503, \"Retry-After\": \"7\"");
    const char *const wanted[] = {"retry-after", "X-Absent"};
    const struct http_client_request request = {
        .url = bmc_url(&bmc, "http", "/busy"), .wanted = wanted, .n_wanted = ELEMENTSOF(wanted)};
    assert_int_equal(http_client_perform(client, &request, &answer, &err), 0);
    assert_int_equal(answer.status, 503);
    assert_string_equal(answer.wanted[0], "7");
    assert_null(answer.wanted[1]);
    assert_int_equal(get(bmc_url(&bmc, "http", "/hello")), 0);
    body_is("hello");
}

static void one_connection(void **state)
{
    use((struct http_client_config){0});
    bmc_rule(&bmc, "/a", "\"how\": \"raw\", \"body\": \"a\"");
    for (int i = 0; i < 3; i++)
        assert_int_equal(get(bmc_url(&bmc, "http", "/a")), 0);
    json_t *log = bmc_log(&bmc);
    assert_int_equal(json_array_size(log), 3);
    for (size_t i = 1; i < 3; i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(log, i), "client")),
                         json_integer_value(json_object_get(json_array_get(log, 0), "client")));
    json_decref(log);
}

/* A kept connection that the other side closed meanwhile: a new one is made, and SIGPIPE does not end us. */
static void closed_meanwhile(void **state)
{
    struct sigaction before, now;

    assert_int_equal(sigaction(SIGPIPE, NULL, &before), 0);
    assert_ptr_equal(before.sa_handler, SIG_DFL);
    use((struct http_client_config){.ca_file = scratch_path(&s, "tls/ca.pem")});
    bmc_rule(&bmc, "/a", "\"how\": \"close_after\", \"body\": \"a\"");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(get(bmc_url(&bmc, i % 2 ? "http" : "https", "/a")), 0);
        body_is("a");
    }
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
}

static void sends(void **state)
{
    use((struct http_client_config){.user = "reader", .password = SECRET});
    const struct http_client_field fields[] = {{"X-Word", "one two"}, {"X-Auth-Token", "t0ken"}};
    struct http_client_request request = {
        .method = "POST",
        .url = bmc_url(&bmc, "http", "/post"),
        .fields = fields,
        .n_fields = ELEMENTSOF(fields),
        .content_type = "application/json",
        .body = text_of("{\"a\": 1}"),
    };
    bmc_rule(&bmc, "/post", "\"how\": \"status\", \"status\": 201");
    assert_int_equal(http_client_perform(client, &request, &answer, &err), 0);
    assert_int_equal(answer.status, 201);
    request.method = "PATCH";
    request.body = (struct text){"", 0};
    assert_int_equal(http_client_perform(client, &request, &answer, &err), 0);
    request = (struct http_client_request){.method = "DELETE", .url = bmc_url(&bmc, "http", "/post")};
    assert_int_equal(http_client_perform(client, &request, &answer, &err), 0);
    request.method = "HEAD";
    assert_int_equal(http_client_perform(client, &request, &answer, &err), 0);
    assert_int_equal(answer.body.n, 0);
    assert_int_equal(get(bmc_url(&bmc, "http", "/post")), 0);

    json_t *log = bmc_log(&bmc);
    static const char *const methods[] = {"POST", "PATCH", "DELETE", "HEAD", "GET"};
    assert_int_equal(json_array_size(log), ELEMENTSOF(methods));
    for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
        assert_string_equal(logged(log, i, "method"), methods[i]);
        assert_string_equal(logged(log, i, "basic"), "Basic cmVhZGVyOm5vdC10by1iZS1zZWVu");
        assert_string_equal(logged(log, i, "body"), i == 0 ? "{\"a\": 1}" : "");
        assert_string_equal(logged(log, i, "agent"), "carnot/" CARNOT_VERSION);
    }
    assert_string_equal(logged(log, 0, "word"), "one two");
    assert_string_equal(logged(log, 0, "token"), "t0ken");
    assert_string_equal(logged(log, 0, "type"), "application/json");
    assert_null(logged(log, 4, "word"));
    assert_null(logged(log, 4, "token"));
    assert_null(logged(log, 4, "type"));
    json_decref(log);
}

static void refuses_requests(void **state)
{
    static const struct {
        const char *url, *word;
    } cases[] = {
        {"ftp://localhost/a", "only http: and https:"},
        {"file:///etc/passwd", "no URL"},
        {"localhost/a", "no URL"},
        {"", "no URL"},
        {"http://", "no URL"},
        {"http://localhost:99999/", "no URL"},
        {"http://reader:" SECRET "@localhost/", "take them out"},
        {"http://" SECRET "@localhost/", "take them out"},
    };
    char long_url[4096];

    use((struct http_client_config){0});
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        assert_int_equal(get(cases[i].url), -EINVAL);
        assert_says(cases[i].word);
    }
    memset(long_url, 'a', sizeof(long_url) - 1);
    memcpy(long_url, "http://localhost/", 17);
    long_url[sizeof(long_url) - 1] = '\0';
    assert_int_equal(get(long_url), -EINVAL);

    static const char *const bad[] = {"a\r\nX-More: b", "a\nb", "\x7f"};
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        const struct http_client_field field = {"X-Word", bad[i]};
        const struct http_client_request request = {
            .url = bmc_url(&bmc, "http", "/a"), .fields = &field, .n_fields = 1};
        assert_int_equal(http_client_perform(client, &request, &answer, &err), -EINVAL);
        assert_says("control character");
    }
    assert_int_equal(bmc_asked(&bmc, NULL, NULL), 0);
}

static void refuses_configurations(void **state)
{
    static const struct {
        struct http_client_config config;
        int code;
        const char *word;
    } cases[] = {
        {{.ca_file = "/nowhere/ca.pem"}, -ENOENT, "CA file /nowhere/ca.pem"},
        {{.cert_file = "/nowhere/c.pem"}, -ENOENT, "certificate /nowhere/c.pem"},
        {{.key_file = "/dev/null"}, -EINVAL, "no certificate"},
        {{.user = "a:b", .password = SECRET}, -EINVAL, "\":\""},
        {{.proxy = "socks5://localhost:1"}, -EINVAL, "the proxy"},
        {{.proxy = "http://u:" SECRET "@localhost:1"}, -EINVAL, "take them out"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        err = CARNOT_ERR_INIT;
        assert_int_equal(http_client_new(&cases[i].config, &client, &err), cases[i].code);
        assert_says(cases[i].word);
        assert_null(strstr(err.msg, SECRET));
    }
}

static void origins(void **state)
{
    char origin[64];

    assert_int_equal(http_client_origin("https://bmc-7/redfish/v1?a=b#c", origin, sizeof(origin), &err), 0);
    assert_string_equal(origin, "https://bmc-7:443");
    assert_int_equal(http_client_origin("http://[fe80::1]:8000", origin, sizeof(origin), &err), 0);
    assert_string_equal(origin, "http://[fe80::1]:8000");
    assert_int_equal(http_client_origin("https://a-host-whose-name-does-not-fit-into-the-room-that-there-is.invalid/",
                                        origin, sizeof(origin), &err),
                     -EINVAL);
    assert_string_equal(origin, "http://[fe80::1]:8000");
}

static void limits(void **state)
{
    const char *url = bmc_url(&bmc, "http", "/big");

    use((struct http_client_config){.body_max = 1000});
    bmc_rule(&bmc, "/big", "\"how\": \"big\"");
    assert_int_equal(get(url), -E2BIG);
    assert_says("1000 bytes");
    bmc_rule(&bmc, "/big", "\"how\": \"big\", \"announced\": false");
    assert_int_equal(get(url), -E2BIG);
    assert_says("1000 bytes");
    bmc_rule(&bmc, "/big", "\"how\": \"heads\"");
    assert_int_equal(get(url), -E2BIG);
    assert_says("headers");
    bmc_rule(&bmc, "/big", "\"how\": \"long_head\", \"name\": \"X-Auth-Token\", \"size\": 5000");
    assert_int_equal(get(url), 0);
    const char *const wanted[] = {"X-Auth-Token"};
    const struct http_client_request request = {.url = url, .wanted = wanted, .n_wanted = 1};
    assert_int_equal(http_client_perform(client, &request, &answer, &err), -E2BIG);
    assert_says("headers");
    /* To the byte, and the client works on. */
    char rule[1200] = "\"how\": \"raw\", \"body\": \"";
    size_t n = strlen(rule);
    memset(rule + n, 'x', 1000);
    memcpy(rule + n + 1000, "\"", 2);
    bmc_rule(&bmc, "/big", rule);
    assert_int_equal(get(url), 0);
    assert_int_equal(answer.body.n, 1000);
    memcpy(rule + n + 1000, "x\"", 3);
    bmc_rule(&bmc, "/big", rule);
    assert_int_equal(get(url), -E2BIG);
}

static uint64_t real_ns(void)
{
    return clock_now(carnot_clock_system()).mono_ns;
}

static void deadlines(void **state)
{
    const char *url = bmc_url(&bmc, "http", "/slow");
    static const char *const rules[] = {"\"how\": \"slow\"", "\"how\": \"trickle\""};

    use((struct http_client_config){.timeout_ns = 300 * NS_PER_MS});
    for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
        bmc_rule(&bmc, "/slow", rules[i]);
        uint64_t begin_ns = real_ns();
        assert_int_equal(get(url), -ETIMEDOUT);
        uint64_t took_ns = real_ns() - begin_ns;
        assert_says("within 300 ms");
        assert_true(took_ns >= 250 * NS_PER_MS);
        assert_true(took_ns < 10 * NS_PER_SEC); /* the server would take 30 */
    }
    use((struct http_client_config){.timeout_ns = 20 * NS_PER_SEC});
    const struct http_client_request request = {.url = url, .timeout_ns = 200 * NS_PER_MS};
    assert_int_equal(http_client_perform(client, &request, &answer, &err), -ETIMEDOUT);
    assert_says("within 200 ms");
}

/* The deadline is one for all redirects together. */
static void redirects_in_time(void **state)
{
    use((struct http_client_config){.timeout_ns = 300 * NS_PER_MS, .redirects_max = 10});
    bmc_rule(&bmc, "/from", "\"how\": \"redirect\", \"to\": \"/to\"");
    bmc_rule(&bmc, "/to", "\"how\": \"slow\"");
    uint64_t begin_ns = real_ns();
    assert_int_equal(get(bmc_url(&bmc, "http", "/from")), -ETIMEDOUT);
    assert_true(real_ns() - begin_ns < 10 * NS_PER_SEC);
}

static void redirects(void **state)
{
    char rule[512];

    use((struct http_client_config){.redirects_max = 2, .user = "reader", .password = SECRET});
    bmc_rule(&bmc, "/c", "\"how\": \"raw\", \"body\": \"there\"");
    bmc_rule(&bmc, "/b", "\"how\": \"redirect\", \"to\": \"/c\", \"status\": 308");
    bmc_rule(&bmc, "/a", "\"how\": \"redirect\", \"to\": \"/b\"");
    assert_int_equal(get(bmc_url(&bmc, "http", "/a")), 0);
    assert_int_equal(answer.status, 200);
    body_is("there");

    bmc_rule(&bmc, "/z", "\"how\": \"redirect\", \"to\": \"/a\"");
    assert_int_equal(get(bmc_url(&bmc, "http", "/z")), -EPROTO);
    assert_says("more than 2 redirects");
    bmc_rule(&bmc, "/loop", "\"how\": \"redirect\", \"to\": \"/loop\"");
    assert_int_equal(get(bmc_url(&bmc, "http", "/loop")), -EPROTO);

    /* Another port is another service; so is another name for this one. Neither is asked. */
    static const char *const others[] = {"other", "https"};
    bmc_do(&bmc, "forget", "{}");
    for (size_t i = 0; i < ELEMENTSOF(others); i++) {
        snprintf(rule, sizeof(rule), "\"how\": \"redirect\", \"to\": \"%s\"", bmc_url(&bmc, others[i], "/stolen"));
        bmc_rule(&bmc, "/away", rule);
        assert_int_equal(get(bmc_url(&bmc, "http", "/away")), -EPROTO);
        assert_says("not followed");
        assert_says("localhost");
    }
    snprintf(rule, sizeof(rule), "\"how\": \"redirect\", \"to\": \"http://127.0.0.1:%d/stolen\"",
             (int)json_integer_value(json_object_get(bmc.ports, "http")));
    bmc_rule(&bmc, "/away", rule);
    assert_int_equal(get(bmc_url(&bmc, "http", "/away")), -EPROTO);
    assert_says("http://127.0.0.1");
    static const char *const nowhere[] = {"file:///etc/passwd", "http://a:b@localhost/", "gopher://localhost:1/"};
    for (size_t i = 0; i < ELEMENTSOF(nowhere); i++) {
        snprintf(rule, sizeof(rule), "\"how\": \"redirect\", \"to\": \"%s\"", nowhere[i]);
        bmc_rule(&bmc, "/away", rule);
        assert_int_equal(get(bmc_url(&bmc, "http", "/away")), -EPROTO);
    }
    assert_int_equal(bmc_asked(&bmc, NULL, "/stolen"), 0);

    /* What is posted is not posted again. */
    bmc_rule(&bmc, "/a", "\"how\": \"redirect\", \"to\": \"/c\", \"status\": 307");
    const struct http_client_request post = {
        .method = "POST", .url = bmc_url(&bmc, "http", "/a"), .content_type = "text/plain", .body = text_of(SECRET)};
    assert_int_equal(http_client_perform(client, &post, &answer, &err), -EPROTO);
    assert_says("answers a POST with a redirect");
    assert_int_equal(bmc_asked(&bmc, NULL, "/c"), 0);

    use((struct http_client_config){0});
    assert_int_equal(get(bmc_url(&bmc, "http", "/a")), -EPROTO);
}

static void broken_answers(void **state)
{
    static const struct {
        const char *rule;
        int code;
        const char *word;
    } cases[] = {
        {"\"how\": \"short\", \"body\": \"{}\"", -ECONNRESET, "ended before the length"},
        {"\"how\": \"hang_up\"", -ECONNRESET, "closed without an answer"},
        {"\"how\": \"garbage\"", -EPROTO, "no HTTP"},
    };
    const char *url = bmc_url(&bmc, "http", "/broken");

    use((struct http_client_config){0});
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        bmc_rule(&bmc, "/broken", cases[i].rule);
        assert_int_equal(get(url), cases[i].code);
        assert_says(cases[i].word);
        assert_says("http://localhost:");
    }
    /* What follows the announced length belongs to no answer, and not to the next one either. */
    bmc_rule(&bmc, "/broken", "\"how\": \"long\", \"body\": \"{}\"");
    for (int i = 0; i < 30; i++) {
        assert_int_equal(get(url), 0);
        body_is("{}");
    }
}

static void nobody_there(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    char url[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, so that nobody else listens there */

    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(addr.sin_port));
    use((struct http_client_config){0});
    assert_int_equal(get(url), -ECONNREFUSED);
    assert_says("connection refused");
    assert_says("http://127.0.0.1:");
    /* It listens and takes nobody in: TLS does not come about. */
    assert_int_equal(listen(fd, 1), 0);
    use((struct http_client_config){.timeout_ns = 400 * NS_PER_MS, .connect_timeout_ns = 200 * NS_PER_MS});
    memmove(url + 5, url + 4, strlen(url + 4) + 1);
    url[4] = 's';
    assert_int_equal(get(url), -ETIMEDOUT);
    assert_says("no connection within 200 ms");
    close(fd);
}

static void certificates(void **state)
{
    const char *ca = scratch_path(&s, "tls/ca.pem");
    static const struct {
        const char *listener;
        bool with_ca;
        int code;
        const char *word;
    } cases[] = {{"https", false, -EKEYREJECTED, "signed by nobody"},
                 {"other_name", true, -EKEYREJECTED, "another name"},
                 {"expired", true, -EKEYEXPIRED, "has expired"},
                 {"self_signed", true, -EKEYREJECTED, "signed by nobody"},
                 {"self_signed", false, -EKEYREJECTED, "signed by nobody"}};

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        use((struct http_client_config){.ca_file = cases[i].with_ca ? ca : NULL, .user = "a", .password = SECRET});
        assert_int_equal(get(bmc_url(&bmc, cases[i].listener, "/a")), cases[i].code);
        assert_says(cases[i].word);
    }
    assert_int_equal(bmc_asked(&bmc, NULL, NULL), 0);

    use((struct http_client_config){.ca_file = ca});
    assert_int_equal(get(bmc_url(&bmc, "https", "/a")), 0);
    assert_int_equal(answer.status, 404);
    use((struct http_client_config){.ca_file = scratch_path(&s, "tls/self_signed.pem")});
    assert_int_equal(get(bmc_url(&bmc, "self_signed", "/a")), 0);
    use((struct http_client_config){.insecure = true});
    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_int_equal(get(bmc_url(&bmc, cases[i].listener, "/a")), 0);

    use((struct http_client_config){.ca_file = ca,
                                    .cert_file = scratch_path(&s, "tls/client.pem"),
                                    .key_file = scratch_path(&s, "tls/client.key")});
    assert_int_equal(get(bmc_url(&bmc, "client", "/a")), 0);
    use((struct http_client_config){.ca_file = ca});
    assert_true(get(bmc_url(&bmc, "client", "/a")) < 0);

    scratch_write(&s, "empty.pem", "");
    use((struct http_client_config){.ca_file = scratch_path(&s, "empty.pem")});
    assert_true(get(bmc_url(&bmc, "https", "/a")) < 0);
}

static void wrong_scheme(void **state)
{
    char url[256];
    int port = (int)json_integer_value(json_object_get(bmc.ports, "http"));

    use((struct http_client_config){0});
    snprintf(url, sizeof(url), "https://localhost:%d/", port);
    assert_int_equal(get(url), -EPROTO);
    assert_says("speaks https");
    port = (int)json_integer_value(json_object_get(bmc.ports, "https"));
    snprintf(url, sizeof(url), "http://localhost:%d/", port);
    assert_true(get(url) < 0);
}

static void proxies(void **state)
{
    const char *proxy = bmc_url(&bmc, "other", "");

    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("all_proxy", "http://127.0.0.1:1", 1), 0);
    use((struct http_client_config){0});
    assert_int_equal(get(bmc_url(&bmc, "http", "/a")), 0);
    use((struct http_client_config){.proxy_from_env = true});
    assert_int_equal(get(bmc_url(&bmc, "http", "/a")), -ECONNREFUSED);
    use((struct http_client_config){.proxy_from_env = true, .proxy = proxy});
    bmc_do(&bmc, "forget", "{}");
    assert_int_equal(get("http://bmc.invalid/by-proxy"), 0); /* asked of the proxy, by its whole URL */
    assert_int_equal(bmc_asked(&bmc, "GET", "http://bmc.invalid/by-proxy"), 1);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers, setup, teardown),
        cmocka_unit_test_setup_teardown(one_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(closed_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(sends, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_configurations, setup, teardown),
        cmocka_unit_test_setup_teardown(origins, setup, teardown),
        cmocka_unit_test_setup_teardown(limits, setup, teardown),
        cmocka_unit_test_setup_teardown(deadlines, setup, teardown),
        cmocka_unit_test_setup_teardown(redirects_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(redirects, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(certificates, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_scheme, setup, teardown),
        cmocka_unit_test_setup_teardown(proxies, setup, teardown),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
