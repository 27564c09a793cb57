/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server over real sockets on loopback: what clients may ask, and what rude ones cannot spoil. Every wait is
 * for a condition, up to a deadline. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/http_server.h"

#define DEADLINE_NS (20 * NS_PER_SEC)

/* More than socket buffers take in, so that a client that does not read leaves the server in the middle of it. */
#define BIG_BYTES ((size_t)32 << 20)

static char *big;
static atomic_uint big_held, calls;

static uint64_t now_ns(void)
{
    return clock_now(carnot_clock_system()).mono_ns;
}

/* --- Handlers -------------------------------------------------------------------------------------------------------
 */

static int hello(void *userdata, const struct http_request *request, struct http_response *ret, struct carnot_err *err)
{
    static const char text[] = "hello\n";

    atomic_fetch_add(&calls, 1);
    *ret = (struct http_response){.status = 200, .content_type = "text/plain", .body = text, .len = sizeof(text) - 1};
    return 0;
}

static void free_body(void *arg)
{
    free(arg);
}

/* Says what it was told by header X-Word and query "word". */
static int echo(void *userdata, const struct http_request *request, struct http_response *ret, struct carnot_err *err)
{
    const char *header = http_header(request, "x-word"), *query = http_query(request, "word");
    char *text = malloc(256);

    assert_non_null(text);
    int len = snprintf(text, 256, "%s %s %s %s\n", request->method, request->path, header ? header : "-",
                       query ? query : "-");
    *ret = (struct http_response){.status = 200,
                                  .content_type = "text/plain",
                                  .content_encoding = "identity",
                                  .body = text,
                                  .len = (size_t)len,
                                  .release = free_body,
                                  .release_arg = text};
    return 0;
}

static void release_big(void *arg)
{
    atomic_fetch_sub(&big_held, 1);
}

static int send_big(void *userdata, const struct http_request *request, struct http_response *ret,
                    struct carnot_err *err)
{
    atomic_fetch_add(&big_held, 1);
    *ret = (struct http_response){
        .status = 200, .content_type = "text/plain", .body = big, .len = BIG_BYTES, .release = release_big};
    return 0;
}

static int broken(void *userdata, const struct http_request *request, struct http_response *ret, struct carnot_err *err)
{
    return carnot_err_set(err, EIO, "the meter is on fire: call the fire brigade");
}

static int empty(void *userdata, const struct http_request *request, struct http_response *ret, struct carnot_err *err)
{
    *ret = (struct http_response){.status = 200, .content_type = "text/plain"};
    return 0;
}

static const struct http_route routes[] = {
    {"/hello", hello, NULL},   {"/echo", echo, NULL},   {"/big", send_big, NULL},
    {"/broken", broken, NULL}, {"/empty", empty, NULL},
};

/* --- Client ---------------------------------------------------------------------------------------------------------
 */

static struct http_server *start_with(struct http_config config)
{
    static const char *const addresses[] = {"127.0.0.1:0"};
    struct carnot_err err = CARNOT_ERR_INIT;
    struct http_server *server = NULL;

    if (!config.addresses) {
        config.addresses = addresses;
        config.n_addresses = 1;
    }
    if (http_server_start(&config, routes, ELEMENTSOF(routes), &server, &err) < 0)
        fail_msg("%s", err.msg);
    return server;
}

static struct http_server *start(void)
{
    return start_with((struct http_config){0});
}

static int connect_port(uint16_t port)
{
    const struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static int connect_to(const struct http_server *server)
{
    return connect_port(http_server_port(server, 0));
}

/* Sends all; false when the server has hung up. */
static bool send_bytes(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_bytes(fd, text, strlen(text));
}

static bool readable_within(int fd, uint64_t ns)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};

    return poll(&pollfd, 1, (int)(ns / NS_PER_MS)) == 1;
}

/* Reads what comes next; 0 at the end of the stream or a reset. */
static size_t receive(int fd, char *out, size_t size)
{
    if (!readable_within(fd, DEADLINE_NS))
        fail_msg("the server says nothing");
    ssize_t n = recv(fd, out, size, 0);
    return n > 0 ? (size_t)n : 0;
}

/* Everything until the server closes. */
static void read_to_end(int fd, struct buf *out)
{
    char piece[4096];
    size_t n;

    while ((n = receive(fd, piece, sizeof(piece))) > 0)
        buf_append(out, piece, n);
}

/* Reads until `text` was seen `times` times. */
static void read_until(int fd, struct buf *out, const char *text, unsigned times)
{
    char piece[4096];

    for (;;) {
        unsigned seen = 0;
        for (const char *p = buf_str(out); (p = strstr(p, text)); p++)
            seen++;
        if (seen >= times)
            return;
        size_t n = receive(fd, piece, sizeof(piece));
        if (n == 0)
            fail_msg("wanted %u times \"%s\" and got \"%s\"", times, text, buf_str(out));
        buf_append(out, piece, n);
    }
}

/* One request on its own connection, closed by the server. The answer's head and body. */
static void exchange(const struct http_server *server, const char *request, struct buf *out)
{
    int fd = connect_to(server);

    buf_init(out, 1U << 20);
    send_text(fd, request);
    read_to_end(fd, out);
    close(fd);
}

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"

static void check_answer(const struct http_server *server, const char *request, const char *status, const char *part)
{
    struct buf out;

    exchange(server, request, &out);
    if (strncmp(buf_str(&out), status, strlen(status)) != 0 || !strstr(buf_str(&out), part))
        fail_msg("%s gives:\n%s", request, buf_str(&out));
    buf_done(&out);
}

static void check_alive(const struct http_server *server)
{
    check_answer(server, "GET /hello HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200", "\r\n\r\nhello\n");
}

static void wait_for_zero(atomic_uint *value)
{
    uint64_t deadline = now_ns() + DEADLINE_NS;

    while (atomic_load(value) != 0) {
        if (now_ns() > deadline)
            fail_msg("something is still held");
        poll(NULL, 0, 1);
    }
}

/* --- What may be asked ----------------------------------------------------------------------------------------------
 */

static void test_get(void **state)
{
    struct http_server *server = start();
    struct buf out;

    exchange(server, "GET /hello HTTP/1.1\r\n" CLOSE, &out);
    assert_non_null(strstr(buf_str(&out), "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(buf_str(&out), "\r\nContent-Length: 6\r\n"));
    assert_non_null(strstr(buf_str(&out), "\r\nContent-Type: text/plain\r\n"));
    assert_non_null(strstr(buf_str(&out), "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_null(strcasestr(buf_str(&out), "\r\nServer:"));
    assert_null(strcasestr(buf_str(&out), "\r\nContent-Encoding:"));
    assert_non_null(strstr(buf_str(&out), "\r\n\r\nhello\n"));
    buf_done(&out);

    check_answer(server, "GET /empty HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200", "\r\nContent-Length: 0\r\n");
    http_server_stop(server);
}

static void test_head(void **state)
{
    struct http_server *server = start();
    struct buf out;

    exchange(server, "HEAD /hello HTTP/1.1\r\n" CLOSE, &out);
    assert_non_null(strstr(buf_str(&out), "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(buf_str(&out), "\r\nContent-Length: 6\r\n"));
    assert_string_equal(buf_str(&out) + out.len - 4, "\r\n\r\n");
    buf_done(&out);
    http_server_stop(server);
}

static void test_headers_and_query(void **state)
{
    struct http_server *server = start();

    check_answer(server, "GET /echo?word=b%20c&x HTTP/1.1\r\nX-Word: a\r\n" CLOSE, "HTTP/1.1 200",
                 "\r\n\r\nGET /echo a b c\n");
    check_answer(server, "GET /echo HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200", "\r\nContent-Encoding: identity\r\n");
    http_server_stop(server);
}

static void test_refusals(void **state)
{
    struct http_server *server = start();
    uint64_t requests, errors;

    check_answer(server, "GET /nothing HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404", "/metrics");
    check_answer(server, "GET /hello/ HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404", "\r\n\r\nthere is nothing");
    check_answer(server, "GET /broken HTTP/1.1\r\n" CLOSE, "HTTP/1.1 500", "call the fire brigade\n");
    check_answer(server, "POST /hello HTTP/1.1\r\nContent-Length: 3\r\n" CLOSE "abc", "HTTP/1.1 405",
                 "\r\nAllow: GET, HEAD\r\n");
    check_answer(server, "DELETE /hello HTTP/1.1\r\n" CLOSE, "HTTP/1.1 405", "\r\nAllow: GET, HEAD\r\n");
    http_server_counts(server, &requests, &errors);
    assert_int_equal(requests, 5);
    assert_int_equal(errors, 5);
    check_alive(server);
    http_server_counts(server, &requests, &errors);
    assert_int_equal(requests, 6);
    assert_int_equal(errors, 5);
    http_server_stop(server);
}

/* A body is refused and the connection closed: its bytes are never taken for a request. */
static void test_bodies_are_refused(void **state)
{
    static const char *const requests[] = {
        "GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    struct http_server *server = start();
    unsigned before = atomic_load(&calls);

    for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
        check_answer(server, requests[i], "HTTP/1.1 400", "has no body");
        assert_int_equal(atomic_load(&calls), before);
    }
    check_alive(server);
    http_server_stop(server);
}

static void test_keep_alive_and_pipelining(void **state)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    struct http_server *server = start();
    int fd = connect_to(server);
    struct buf out;

    buf_init(&out, 1U << 20);
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(send_text(fd, request));
        read_until(fd, &out, "\r\n\r\nhello\n", i);
    }
    assert_true(send_text(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
                              "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"));
    read_until(fd, &out, "\r\n\r\nhello\n", 5);
    assert_non_null(strstr(buf_str(&out), "HTTP/1.1 404"));
    buf_done(&out);
    close(fd);
    http_server_stop(server);
}

/* --- What rude clients cannot spoil ---------------------------------------------------------------------------------
 */

static void test_garbage(void **state)
{
    static const char *const garbage[] = {
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /* a TLS hello */
        "\r\n\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET /hello\r\n\r\n",
        "GET /hello HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nContent-Length: minus one\r\n\r\n",
        "GET /hello HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\xFF\xFE\xFD\xFC\r\n\r\n",
        " \t \r\n\r\n",
        "GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    struct http_server *server = start();
    struct buf out;

    for (size_t i = 0; i < ELEMENTSOF(garbage); i++) {
        int fd = connect_to(server);

        buf_init(&out, 1U << 20);
        send_text(fd, garbage[i]);
        shutdown(fd, SHUT_WR);
        read_to_end(fd, &out); /* some answer or none, but an end */
        assert_null(strstr(buf_str(&out), "root:"));
        buf_done(&out);
        close(fd);
        check_alive(server);
    }
    http_server_stop(server);
}

/* Every beginning of a request, then the end of the connection. */
static void test_half_requests(void **state)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r";
    struct http_server *server = start();
    struct buf out;

    for (size_t len = 0; len < sizeof(request); len++) {
        int fd = connect_to(server);

        assert_true(send_bytes(fd, request, len));
        shutdown(fd, SHUT_WR);
        buf_init(&out, 1U << 20);
        read_to_end(fd, &out);
        buf_done(&out);
        close(fd);
    }
    check_alive(server);
    http_server_stop(server);
}

static void check_header_of(const struct http_server *server, size_t len, bool accepted)
{
    int fd = connect_to(server);
    char *request = malloc(len + 128);
    struct buf out;

    assert_non_null(request);
    int head = snprintf(request, 128, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: ");
    memset(request + head, 'a', len);
    memcpy(request + (size_t)head + len, "\r\n\r\n", 4);
    send_bytes(fd, request, (size_t)head + len + 4);
    buf_init(&out, 1U << 20);
    read_to_end(fd, &out);
    if (accepted)
        assert_non_null(strstr(buf_str(&out), "HTTP/1.1 200"));
    else
        assert_null(strstr(buf_str(&out), "HTTP/1.1 200"));
    free(request);
    buf_done(&out);
    close(fd);
}

static void test_long_headers(void **state)
{
    struct http_server *server = start();

    check_header_of(server, 4096, true);
    check_header_of(server, (size_t)20 * 1024, false);
    check_header_of(server, (size_t)1024 * 1024, false);
    check_alive(server);
    http_server_stop(server);
}

/* One client takes its large answer byte by byte; others are served meanwhile. Then it goes away in the middle. */
static void test_slow_reader_disturbs_nobody(void **state)
{
    struct http_server *server = start();
    int slow = connect_to(server);
    char byte;

    assert_true(send_text(slow, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n"));
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(receive(slow, &byte, 1), 1);
        check_alive(server);
    }
    assert_int_equal(atomic_load(&big_held), 1); /* still needed, still held */
    close(slow);
    wait_for_zero(&big_held);
    check_alive(server);
    http_server_stop(server);
}

static void test_big_answer_is_whole(void **state)
{
    struct http_server *server = start();
    int fd = connect_to(server);
    static char piece[65536];
    size_t total = 0, n;
    struct buf head;

    buf_init(&head, 1U << 20);
    assert_true(send_text(fd, "GET /big HTTP/1.1\r\n" CLOSE));
    while ((n = receive(fd, piece, sizeof(piece))) > 0) {
        if (total == 0)
            buf_append(&head, piece, n);
        total += n;
    }
    const char *end = strstr(buf_str(&head), "\r\n\r\n");
    assert_non_null(end);
    assert_int_equal(total - (size_t)(end + 4 - head.data), BIG_BYTES);
    wait_for_zero(&big_held);
    buf_done(&head);
    close(fd);
    http_server_stop(server);
}

static void test_stop_in_the_middle_of_an_answer(void **state)
{
    struct http_server *server = start();
    int fd = connect_to(server);
    char byte;

    assert_true(send_text(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_int_equal(receive(fd, &byte, 1), 1);
    assert_int_equal(atomic_load(&big_held), 1);
    assert_null(http_server_stop(server));
    assert_int_equal(atomic_load(&big_held), 0);
    close(fd);
    assert_null(http_server_stop(NULL));
}

/* Whether the server hangs up on it or answers a request. */
static bool is_served(int fd)
{
    char piece[512];

    return send_text(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n") && receive(fd, piece, sizeof(piece)) > 0;
}

static void test_too_many_connections(void **state)
{
    struct http_server *server = start_with((struct http_config){.max_connections = 4});
    int fds[4], more;

    for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
        fds[i] = connect_to(server);
        assert_true(is_served(fds[i]));
    }
    for (unsigned i = 0; i < 10; i++) {
        more = connect_to(server);
        assert_false(is_served(more));
        close(more);
    }
    for (size_t i = 0; i < ELEMENTSOF(fds); i++)
        assert_true(is_served(fds[i])); /* those inside are not disturbed */

    /* One leaves: there is room again as soon as the server has noticed. */
    close(fds[0]);
    uint64_t deadline = now_ns() + DEADLINE_NS;
    bool served = false;
    while (!served && now_ns() < deadline) {
        more = connect_to(server);
        served = is_served(more);
        close(more);
    }
    assert_true(served);
    for (size_t i = 1; i < ELEMENTSOF(fds); i++)
        close(fds[i]);
    http_server_stop(server);
}

static void test_too_many_of_one_address(void **state)
{
    struct http_server *server = start_with((struct http_config){.max_connections = 16, .max_per_ip = 2});
    int a = connect_to(server), b, c;

    assert_true(is_served(a));
    b = connect_to(server);
    assert_true(is_served(b));
    c = connect_to(server);
    assert_false(is_served(c));
    close(a);
    close(b);
    close(c);
    http_server_stop(server);
}

static void test_silent_client_is_cut(void **state)
{
    struct http_server *server = start_with((struct http_config){.timeout_s = 1});
    int silent = connect_to(server), half = connect_to(server);
    uint64_t begin = now_ns();
    struct buf out;
    char byte;

    assert_true(send_text(half, "GET /hello HT"));
    assert_int_equal(receive(silent, &byte, 1), 0);
    assert_true(now_ns() - begin >= NS_PER_SEC / 2); /* not at once */
    buf_init(&out, 1U << 20);
    read_to_end(half, &out);
    assert_null(strstr(buf_str(&out), " 200 "));
    buf_done(&out);
    close(silent);
    close(half);
    check_alive(server);
    http_server_stop(server);
}

/* Clients that are never silent, one sending a byte at a time and one taking little at a time, have all the places:
 * others get in all the same, after so many timeouts, and a client that behaves keeps its place. */
static void test_trickling_clients_are_cut(void **state)
{
    struct http_server *server = start_with((struct http_config){.timeout_s = 1, .max_connections = 3});
    int sender = connect_to(server), taker = connect_to(server), good = connect_to(server);
    uint64_t begin = now_ns(), sender_ns = 0, taker_ns = 0;
    static char piece[32768];

    assert_true(send_text(sender, "GET /hello HTTP/1.1\r\nX: "));
    assert_true(send_text(taker, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_true(receive(taker, piece, 1) == 1);
    while (!sender_ns || !taker_ns) {
        if (now_ns() - begin > DEADLINE_NS)
            fail_msg("still there: %s%s", sender_ns ? "" : "sender ", taker_ns ? "" : "taker");
        assert_true(is_served(good)); /* and the server looks for who is overdue */
        close(connect_to(server));    /* as it does when somebody else wants in */
        /* 20 ms from one byte to the next, or the end. */
        if (!sender_ns && (readable_within(sender, 20 * NS_PER_MS) || !send_text(sender, "a")))
            sender_ns = now_ns() - begin;
        if (sender_ns)
            (void)readable_within(good, 20 * NS_PER_MS);
        if (!taker_ns && atomic_load(&big_held) == 0)
            taker_ns = now_ns() - begin;
        if (!taker_ns)
            (void)receive(taker, piece, sizeof(piece));
    }
    assert_true(sender_ns >= HTTP_REQUEST_TIMEOUTS * NS_PER_SEC);
    /* Its window may stay shut for longer than the timeout, since the kernel opens it in large steps: then it is cut as
     * a silent one, earlier than as a slow one. */
    assert_true(taker_ns >= NS_PER_SEC);
    close(sender);
    close(taker);
    close(good);
    check_alive(server);
    http_server_stop(server);
}

/* --- Addresses -------------------------------------------------------------------------------------------------------
 */

static void test_address_in_use(void **state)
{
    struct http_server *first = start(), *second = NULL;
    struct carnot_err err = CARNOT_ERR_INIT;
    char address[32];
    const char *const addresses[] = {"127.0.0.1:0", address};
    const struct http_config config = {.addresses = addresses, .n_addresses = 2};

    snprintf(address, sizeof(address), "127.0.0.1:%u", http_server_port(first, 0));
    assert_int_equal(http_server_start(&config, routes, ELEMENTSOF(routes), &second, &err), -EADDRINUSE);
    assert_null(second);
    assert_non_null(strstr(err.msg, address));
    assert_non_null(strstr(err.msg, "address already in use; another program has the port"));
    assert_non_null(strstr(err.msg, "--web.listen-address"));
    check_alive(first);

    /* Free again at once. */
    http_server_stop(first);
    assert_int_equal(http_server_start(&config, routes, ELEMENTSOF(routes), &second, &err), 0);
    http_server_stop(second);
}

static void test_bad_addresses(void **state)
{
    static const struct {
        const char *address;
        int want;
    } cases[] = {
        {"9010", -EINVAL},
        {"192.0.2.1:0", -EADDRNOTAVAIL}, /* TEST-NET-1: on no machine */
        {"[not-an-address]:0", -EINVAL},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *const addresses[] = {cases[i].address};
        const struct http_config config = {.addresses = addresses, .n_addresses = 1};
        struct carnot_err err = CARNOT_ERR_INIT;
        struct http_server *server = NULL;

        assert_int_equal(http_server_start(&config, routes, ELEMENTSOF(routes), &server, &err), cases[i].want);
        assert_non_null(strstr(err.msg, cases[i].address));
        assert_null(server);
    }
    const struct http_config none = {0};
    struct http_server *server = NULL;
    assert_int_equal(http_server_start(&none, routes, ELEMENTSOF(routes), &server, NULL), -EINVAL);
}

static void test_several_addresses(void **state)
{
    static const char *const addresses[] = {"127.0.0.1:0", "localhost:0"};
    struct http_server *server = start_with((struct http_config){.addresses = addresses, .n_addresses = 2});
    uint64_t requests, errors;

    assert_int_not_equal(http_server_port(server, 0), http_server_port(server, 1));
    assert_int_equal(http_server_port(server, 2), 0);
    for (size_t i = 0; i < 2; i++) {
        int fd = connect_port(http_server_port(server, i));
        assert_true(is_served(fd));
        close(fd);
    }
    http_server_counts(server, &requests, &errors);
    assert_int_equal(requests, 2);
    http_server_stop(server);
}

static int connect_v6(uint16_t port)
{
    const struct sockaddr_in6 addr = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void test_port_alone_is_both_families(void **state)
{
    static const char *const addresses[] = {":0"};
    struct http_server *server = start_with((struct http_config){.addresses = addresses, .n_addresses = 1});

    int fd = connect_to(server);
    assert_true(is_served(fd));
    close(fd);
    fd = connect_v6(http_server_port(server, 0));
    if (fd < 0) {
        http_server_stop(server);
        print_message("skipped: no IPv6 loopback here\n");
        skip();
    }
    assert_true(is_served(fd));
    close(fd);
    http_server_stop(server);
}

static int make_big(void **state)
{
    big = malloc(BIG_BYTES);
    if (!big)
        return -1;
    memset(big, 'b', BIG_BYTES);
    return 0;
}

static int free_big(void **state)
{
    free(big);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_headers_and_query),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bodies_are_refused),
        cmocka_unit_test(test_keep_alive_and_pipelining),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_half_requests),
        cmocka_unit_test(test_long_headers),
        cmocka_unit_test(test_slow_reader_disturbs_nobody),
        cmocka_unit_test(test_big_answer_is_whole),
        cmocka_unit_test(test_stop_in_the_middle_of_an_answer),
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_too_many_of_one_address),
        cmocka_unit_test(test_silent_client_is_cut),
        cmocka_unit_test(test_trickling_clients_are_cut),
        cmocka_unit_test(test_address_in_use),
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_several_addresses),
        cmocka_unit_test(test_port_alone_is_both_families),
    };

    return cmocka_run_group_tests(tests, make_big, free_big);
}
