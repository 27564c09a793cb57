/* SPDX-License-Identifier: Apache-2.0 */
/* The line server and its client over real Unix sockets in a directory of their own. The loop runs in the test's thread
 * and is turned until a condition holds, up to a deadline. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/line_server.h"

#define DEADLINE_NS  (20 * NS_PER_SEC)
#define SHORT_IDLE   (100 * NS_PER_MS)
#define HUGE_BYTES   ((size_t)8 << 20) /* more than a socket buffer */
#define OTHER_UID    65534U            /* nobody */
#define CLIENT_BYTES (16U << 20)

static char dir[64], path[96];

struct fixture {
    sd_event *loop;
    struct line_server *server;
    uint64_t later[8];
    size_t n_later;
    unsigned lines, closed, silences;
    struct line_peer last;
};

static uint64_t now_ns(void)
{
    return clock_now(carnot_clock_system()).mono_ns;
}

/* --- Handler: what the line says is what happens ---------------------------------------------------------------------
 */

static enum line_verdict on_line(void *userdata, struct line_server *server, struct line_peer *peer, const char *line,
                                 size_t len, struct buf *answer)
{
    struct fixture *f = userdata;

    assert_ptr_equal(server, f->server);
    assert_int_equal(answer->len, 0);
    assert_int_equal(line[len], '\0');
    f->lines++;
    f->last = *peer;
    if (strcmp(line, "later") == 0) {
        f->later[f->n_later++ % ELEMENTSOF(f->later)] = peer->connection;
        return LINE_LATER;
    }
    if (strcmp(line, "at once") == 0) {
        line_server_answer(server, peer->connection, "done", 4);
        return LINE_LATER;
    }
    if (strcmp(line, "session") == 0)
        peer->userdata = f;
    if (strcmp(line, "silence") == 0)
        return LINE_CLOSE;
    if (strcmp(line, "huge") == 0 || strcmp(line, "too large") == 0) {
        size_t n = line[0] == 'h' ? HUGE_BYTES : LINE_ANSWER_MAX;
        if (buf_reserve(answer, n) == 0) {
            memset(answer->data, 'h', n);
            answer->len = n;
        }
        return LINE_ANSWERED;
    }
    buf_puts(answer, "you said ");
    buf_append(answer, line, len);
    return strcmp(line, "bye") == 0 ? LINE_CLOSE : LINE_ANSWERED;
}

static enum line_verdict on_silence(void *userdata, struct line_server *server, struct line_peer *peer,
                                    struct buf *answer)
{
    struct fixture *f = userdata;

    assert_int_equal(answer->len, 0);
    f->silences++;
    buf_puts(answer, "you said nothing");
    return LINE_CLOSE;
}

static void on_close(void *userdata, struct line_peer *peer)
{
    struct fixture *f = userdata;

    f->closed++;
    assert_true(peer->userdata == NULL || peer->userdata == f);
}

static void setup_with(struct fixture *f, struct line_config config)
{
    const struct line_handler handler = {
        .on_line = on_line, .on_silence = config.silence_ns ? on_silence : NULL, .on_close = on_close, .userdata = f};
    struct carnot_err err = CARNOT_ERR_INIT;

    *f = (struct fixture){0};
    config.path = path;
    if (!config.mode)
        config.mode = 0666;
    assert_true(sd_event_new(&f->loop) >= 0);
    if (line_server_start(f->loop, &config, &handler, &f->server, &err) < 0)
        fail_msg("%s", err.msg);
}

static void setup(struct fixture *f)
{
    setup_with(f, (struct line_config){0});
}

static void teardown(struct fixture *f)
{
    assert_null(line_server_stop(f->server));
    sd_event_unref(f->loop);
    assert_int_equal(access(path, F_OK), -1);
}

/* One turn of the loop; at most a millisecond when there is nothing to do. */
static void turn(struct fixture *f)
{
    assert_true(sd_event_run(f->loop, 1000) >= 0);
}

/* --- Client without blocking -----------------------------------------------------------------------------------------
 */

static int connect_client(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Takes what is there. False at the end of the stream. */
static bool take(int fd, struct buf *in)
{
    char piece[65536];
    ssize_t n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);

    if (n > 0)
        buf_append(in, piece, (size_t)n);
    return n > 0 || (n < 0 && errno == EAGAIN);
}

/* Turns the loop until the client has got exactly this and no more comes. */
static void expect(struct fixture *f, int fd, const char *want)
{
    uint64_t deadline = now_ns() + DEADLINE_NS;
    struct buf in;

    buf_init(&in, CLIENT_BYTES);
    while (in.len < strlen(want)) {
        turn(f);
        if (!take(fd, &in) || now_ns() > deadline)
            break;
    }
    assert_string_equal(buf_str(&in), want);
    buf_done(&in);
}

static void expect_end(struct fixture *f, int fd)
{
    uint64_t deadline = now_ns() + DEADLINE_NS;
    struct buf in;

    buf_init(&in, CLIENT_BYTES);
    while (take(fd, &in)) {
        turn(f);
        if (now_ns() > deadline)
            fail_msg("the server does not hang up");
    }
    assert_string_equal(buf_str(&in), "");
    buf_done(&in);
    close(fd);
}

static void turn_until_closed(struct fixture *f, unsigned closed)
{
    uint64_t deadline = now_ns() + DEADLINE_NS;

    while (f->closed < closed && now_ns() < deadline)
        turn(f);
    assert_int_equal(f->closed, closed);
}

/* --- Framing
 * ---------------------------------------------------------------------------------------------------------- */

static void test_one_line(void **state)
{
    struct fixture f;

    setup(&f);
    int fd = connect_client();
    say(fd, "hello\n");
    expect(&f, fd, "you said hello\n");
    say(fd, "again\n");
    expect(&f, fd, "you said again\n");
    assert_int_equal(f.last.uid, getuid());
    assert_int_equal(f.last.gid, getgid());
    assert_int_equal(f.last.pid, getpid());
    assert_int_equal(f.last.connection, 1);
    close(fd);
    turn_until_closed(&f, 1);
    teardown(&f);
}

static void test_byte_by_byte(void **state)
{
    static const char line[] = "hello\nworld\n";
    struct fixture f;

    setup(&f);
    int fd = connect_client();
    for (size_t i = 0; i < sizeof(line) - 1; i++) {
        assert_int_equal(send(fd, &line[i], 1, MSG_NOSIGNAL), 1);
        turn(&f);
        turn(&f);
    }
    expect(&f, fd, "you said hello\nyou said world\n");
    close(fd);
    teardown(&f);
    assert_int_equal(f.closed, 1); /* also for those open at the stop */
}

static void test_many_in_one_write(void **state)
{
    struct fixture f;
    struct buf out, want;

    setup(&f);
    int fd = connect_client();
    buf_init(&out, CLIENT_BYTES);
    buf_init(&want, CLIENT_BYTES);
    for (unsigned i = 0; i < 300; i++) {
        if (geteuid() != 0 && i == 40) /* an ordinary user has an allowance */
            break;
        buf_printf(&out, "request %u\n\n", i); /* an empty line is no request */
        buf_printf(&want, "you said request %u\n", i);
    }
    say(fd, buf_str(&out));
    expect(&f, fd, buf_str(&want));
    buf_done(&out);
    buf_done(&want);
    close(fd);
    teardown(&f);
}

static void test_embedded_nul(void **state)
{
    struct fixture f;

    setup(&f);
    int fd = connect_client();
    assert_int_equal(send(fd, "a\0b\n", 4, MSG_NOSIGNAL), 4);
    while (f.lines == 0)
        turn(&f);
    char got[16] = "";
    while (recv(fd, got, sizeof(got), MSG_DONTWAIT) < 0)
        turn(&f);
    assert_memory_equal(got, "you said a\0b\n", 13);
    close(fd);
    teardown(&f);
}

static void test_longest_line(void **state)
{
    struct fixture f;
    char line[LINE_REQUEST_MAX + 3], want[LINE_REQUEST_MAX + 16];

    setup(&f);
    int fd = connect_client();
    memset(line, 'x', LINE_REQUEST_MAX);
    memcpy(line + LINE_REQUEST_MAX, "\n", 2);
    snprintf(want, sizeof(want), "you said %s", line);
    say(fd, line);
    expect(&f, fd, want);

    /* One more is too long, whether the newline came or not. */
    memset(line, 'x', LINE_REQUEST_MAX + 1);
    memcpy(line + LINE_REQUEST_MAX + 1, "\n", 2);
    say(fd, line);
    expect(&f, fd,
           "{\"v\":1,\"status\":\"error\",\"error\":\"E2BIG\",\"message\":\"the request is longer than 4096 bytes: "
           "send one "
           "line of JSON\"}\n");
    turn_until_closed(&f, 1);
    assert_int_equal(f.lines, 1);
    close(fd);
    teardown(&f);
}

static void test_bye_and_silence(void **state)
{
    struct fixture f;

    setup(&f);
    int fd = connect_client(), other = connect_client();
    say(fd, "bye\nnever seen\n");
    expect(&f, fd, "you said bye\n");
    expect_end(&f, fd);
    say(other, "silence\n");
    expect_end(&f, other);
    assert_int_equal(f.lines, 2);
    turn_until_closed(&f, 2);
    teardown(&f);
}

/* What was asked before the end of sending is answered; half a line is not a request. */
static void test_half_close(void **state)
{
    struct fixture f;

    setup(&f);
    int fd = connect_client();
    say(fd, "one\ntwo\nthr");
    shutdown(fd, SHUT_WR);
    expect(&f, fd, "you said one\nyou said two\n");
    expect_end(&f, fd);
    assert_int_equal(f.lines, 2);
    teardown(&f);
}

/* --- Answers that come later
 * ------------------------------------------------------------------------------------------ */

static void test_later(void **state)
{
    struct fixture f;

    setup(&f);
    int fd = connect_client(), other = connect_client();
    say(fd, "later\nafter\n");
    while (f.n_later == 0)
        turn(&f);
    say(other, "meanwhile\n");
    expect(&f, other, "you said meanwhile\n");
    assert_int_equal(f.lines, 2); /* "after" waits for its turn */
    line_server_answer(f.server, f.later[0] + 100, "nobody", 6);
    line_server_answer(f.server, f.later[0], "now", 3);
    line_server_answer(f.server, f.later[0], "twice", 5); /* not waiting: nothing */
    expect(&f, fd, "now\nyou said after\n");
    say(fd, "at once\n");
    expect(&f, fd, "done\n");
    close(fd);
    close(other);
    teardown(&f);
}

static void test_later_and_gone(void **state)
{
    struct fixture f;

    setup(&f);
    int fd = connect_client();
    say(fd, "later\n");
    while (f.n_later == 0)
        turn(&f);
    close(fd);
    turn_until_closed(&f, 1);
    line_server_answer(f.server, f.later[0], "now", 3);

    /* Gone, and the server does not know yet: sending fails, nothing else. */
    fd = connect_client();
    say(fd, "later\n");
    while (f.n_later == 1)
        turn(&f);
    close(fd);
    line_server_answer(f.server, f.later[1], "now", 3);
    turn_until_closed(&f, 2);
    teardown(&f);
}

/* --- Who asks nothing, and the last word
 * ------------------------------------------------------------------------------- */

#define SILENCE (30 * NS_PER_MS)
#define LONG    (3600 * NS_PER_SEC)

static void turn_for(struct fixture *f, uint64_t ns)
{
    uint64_t end = now_ns() + ns;

    while (now_ns() < end)
        turn(f);
}

static void test_silence_is_answered(void **state)
{
    struct fixture f;

    setup_with(&f, (struct line_config){.silence_ns = SILENCE});
    uint64_t begin = now_ns();
    int fd = connect_client();
    expect(&f, fd, "you said nothing\n");
    assert_true(now_ns() - begin >= SILENCE);
    /* Late, and too late for an answer, but nothing breaks: the end comes after the one line. */
    say(fd, "hello\n");
    expect_end(&f, fd);
    turn_until_closed(&f, 1);
    assert_int_equal(f.lines, 0);
    assert_int_equal(f.silences, 1);

    /* A newline asks nothing either. */
    fd = connect_client();
    say(fd, "\n\n");
    expect(&f, fd, "you said nothing\n");
    expect_end(&f, fd);
    teardown(&f);
}

static void test_who_speaks_is_not_silent(void **state)
{
    struct fixture f;

    setup_with(&f, (struct line_config){.silence_ns = SILENCE});
    int fd = connect_client(), half = connect_client();
    say(fd, "hello\n");
    say(half, "hel");
    expect(&f, fd, "you said hello\n");
    turn_for(&f, 3 * SILENCE);
    say(fd, "again\n");
    say(half, "lo\n");
    expect(&f, fd, "you said again\n");
    expect(&f, half, "you said hello\n");
    assert_int_equal(f.silences, 0);
    close(fd);
    close(half);
    teardown(&f);
}

/* The loop was busy elsewhere: what came meanwhile is seen before the time is called. */
static void test_silence_of_the_loop(void **state)
{
    struct fixture f;

    setup_with(&f, (struct line_config){.silence_ns = SILENCE});
    for (unsigned i = 0; i < 20; i++) {
        int fd = connect_client();
        turn(&f);
        turn(&f);
        uint64_t end = now_ns() + SILENCE + NS_PER_MS;
        while (now_ns() < end)
            ;
        say(fd, "hello\n");
        expect(&f, fd, "you said hello\n");
        close(fd);
    }
    assert_int_equal(f.silences, 0);
    teardown(&f);
}

/* One who will send no more need not be waited for; half a line is no request. */
static void test_silence_of_the_half_closed(void **state)
{
    static const char *const said[] = {"", "hel"};
    struct fixture f;

    setup_with(&f, (struct line_config){.silence_ns = LONG});
    for (size_t i = 0; i < ELEMENTSOF(said); i++) {
        int fd = connect_client();
        say(fd, said[i]);
        shutdown(fd, SHUT_WR);
        expect(&f, fd, "you said nothing\n");
        expect_end(&f, fd);
    }
    int fd = connect_client();
    say(fd, "hello\nwor");
    shutdown(fd, SHUT_WR);
    expect(&f, fd, "you said hello\n");
    expect_end(&f, fd);
    assert_int_equal(f.silences, 2);

    /* Gone without a word: nobody to answer. */
    close(connect_client());
    turn_until_closed(&f, 4);
    teardown(&f);
}

/* After the last word the peer may still speak, for a while and not too much. */
static void test_last_word(void **state)
{
    struct fixture f;
    char flood[65536];

    setup(&f);
    memset(flood, 'x', sizeof(flood));
    int polite = connect_client(), stays = connect_client(), floods = connect_client();
    say(polite, "bye\n");
    say(stays, "bye\n");
    say(floods, "bye\n");
    expect(&f, polite, "you said bye\n");
    expect(&f, stays, "you said bye\n");
    expect(&f, floods, "you said bye\n");
    for (unsigned i = 0; i < 10; i++) {
        say(polite, "more\n");
        turn(&f);
    }
    assert_int_equal(f.closed, 0);

    uint64_t deadline = now_ns() + DEADLINE_NS;
    bool cut = false;
    while (!cut && now_ns() < deadline) {
        ssize_t n = send(floods, flood, sizeof(flood), MSG_NOSIGNAL | MSG_DONTWAIT);
        cut = n < 0 && errno == EPIPE;
        turn(&f);
    }
    assert_true(cut);
    assert_int_equal(f.closed, 1);
    expect_end(&f, polite);
    turn_until_closed(&f, 3); /* also the one that neither reads on nor hangs up */
    assert_int_equal(f.lines, 3);
    close(stays);
    close(floods);
    teardown(&f);
}

/* --- Limits
 * ----------------------------------------------------------------------------------------------------------- */

static void test_large_answer(void **state)
{
    struct fixture f;
    struct buf in;
    uint64_t deadline = now_ns() + DEADLINE_NS;

    setup(&f);
    int fd = connect_client();
    buf_init(&in, CLIENT_BYTES);
    say(fd, "huge\nafter\n");
    while (in.len < HUGE_BYTES + 1 + strlen("you said after\n") && now_ns() < deadline) {
        turn(&f);
        assert_true(take(fd, &in));
    }
    assert_int_equal(in.len, HUGE_BYTES + 1 + strlen("you said after\n"));
    assert_string_equal(in.data + HUGE_BYTES, "\nyou said after\n");
    buf_done(&in);

    say(fd, "too large\n");
    expect(&f, fd,
           "{\"v\":1,\"status\":\"error\",\"error\":\"E2BIG\",\"message\":\"the answer is too large for one line: ask "
           "for less, "
           "with a limit or fewer kinds\"}\n");
    say(fd, "fine\n");
    expect(&f, fd, "you said fine\n");
    close(fd);
    teardown(&f);
}

/* Asks and asks and never reads: one answer is held, no further request is looked at, others are served, and the idle
 * timeout ends it, even with a session. */
static void test_client_that_never_reads(void **state)
{
    struct fixture f;

    setup_with(&f, (struct line_config){.idle_timeout_ns = SHORT_IDLE});
    int rude = connect_client(), fd = connect_client();
    say(rude, "session\nhuge\nhuge\nhuge\n");
    while (f.lines < 2)
        turn(&f);
    say(fd, "hello\n");
    expect(&f, fd, "you said hello\n");
    assert_int_equal(f.lines, 3);
    turn_until_closed(&f, 2); /* the other one is idle too */
    assert_int_equal(f.lines, 3);
    close(rude);
    close(fd);
    teardown(&f);
}

static void test_idle(void **state)
{
    struct fixture f;

    setup_with(&f, (struct line_config){.idle_timeout_ns = SHORT_IDLE});
    int idle = connect_client(), half = connect_client(), session = connect_client(), waits = connect_client();
    say(half, "half a li");
    say(session, "session\n");
    say(waits, "later\n");
    expect(&f, session, "you said session\n");
    uint64_t begin = now_ns();
    expect_end(&f, idle);
    expect_end(&f, half);
    assert_true(now_ns() - begin >= SHORT_IDLE / 2);
    assert_int_equal(f.closed, 2);

    /* Several timeouts later they are still there. */
    while (now_ns() - begin < 4 * SHORT_IDLE)
        turn(&f);
    assert_int_equal(f.closed, 2);
    line_server_answer(f.server, f.later[0], "now", 3);
    expect(&f, waits, "now\n");
    say(session, "hello\n");
    expect(&f, session, "you said hello\n");
    close(session);
    expect_end(&f, waits); /* its answer given, it is idle like any other */
    turn_until_closed(&f, 4);
    teardown(&f);
}

static void test_full_table(void **state)
{
    struct fixture f;

    setup_with(&f, (struct line_config){.max_connections = 3});
    int fds[3];
    for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
        fds[i] = connect_client();
        say(fds[i], "in\n");
        expect(&f, fds[i], "you said in\n");
    }
    int more = connect_client();
    expect(&f, more,
           "{\"v\":1,\"status\":\"error\",\"error\":\"EAGAIN\",\"message\":\"the agent has as many connections as it "
           "takes: "
           "try again later\"}\n");
    expect_end(&f, more);

    close(fds[0]);
    turn_until_closed(&f, 1);
    more = connect_client();
    say(more, "room\n");
    expect(&f, more, "you said room\n");
    close(more);
    close(fds[1]);
    close(fds[2]);
    teardown(&f);
}

/* A process of an ordinary user: asks `n` times, counts answers by kind. Exit status 0 when they are as wanted. */
static void be_ordinary_client(unsigned n, unsigned least_ok, unsigned least_refused, const gid_t *groups,
                               size_t n_groups)
{
    unsigned ok = 0, refused = 0;
    struct line_client *client = NULL;
    const char *answer;
    size_t len;

    if (getuid() == 0 && (setgroups(n_groups, groups) < 0 || setgid(OTHER_UID) < 0 || setuid(OTHER_UID) < 0))
        _exit(2);
    if (line_client_connect(path, DEADLINE_NS, &client, NULL) < 0)
        _exit(3);
    for (unsigned i = 0; i < n; i++) {
        if (line_client_request(client, "x", DEADLINE_NS, &answer, &len, NULL) < 0)
            _exit(4);
        if (strcmp(answer, "you said x") == 0)
            ok++;
        else if (strstr(answer, "\"error\":\"EAGAIN\",\"message\":\"more than 5 requests in a second from uid "))
            refused++;
    }
    _exit(ok + refused == n && ok >= least_ok && refused >= least_refused ? 0 : 5);
}

static void turn_until_exit(struct fixture *f, pid_t pid)
{
    uint64_t deadline = now_ns() + DEADLINE_NS;
    int status = -1;

    while (waitpid(pid, &status, WNOHANG) == 0 && now_ns() < deadline)
        turn(f);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_requests_per_second(void **state)
{
    struct fixture f;

    setup_with(&f, (struct line_config){.requests_per_s = 5});
    /* Time brings 5 more in a second: 100 refusals of 200 are certain unless these take 20 seconds. */
    pid_t pid = fork();
    if (pid == 0)
        be_ordinary_client(200, 5, 100, NULL, 0);
    turn_until_exit(&f, pid);
    turn_until_closed(&f, 1);

    /* Time gives it back. */
    uint64_t refilled = now_ns() + NS_PER_SEC + 100 * NS_PER_MS;
    while (now_ns() < refilled)
        turn(&f);
    pid = fork();
    if (pid == 0)
        be_ordinary_client(5, 5, 0, NULL, 0);
    turn_until_exit(&f, pid);
    teardown(&f);
}

static void test_connections_per_uid(void **state)
{
    struct fixture f;

    if (geteuid() != 0) {
        print_message("skipped: needs root, to be two users\n");
        skip();
    }
    setup_with(&f, (struct line_config){.max_per_uid = 2});
    pid_t pid = fork();
    if (pid == 0) {
        struct line_client *clients[3];
        const char *answer;
        size_t len;

        if (setgroups(0, NULL) < 0 || setgid(OTHER_UID) < 0 || setuid(OTHER_UID) < 0)
            _exit(2);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
            if (line_client_connect(path, DEADLINE_NS, &clients[i], NULL) < 0 ||
                line_client_request(clients[i], "x", DEADLINE_NS, &answer, &len, NULL) < 0)
                _exit(3);
            bool refused = strstr(answer, "\"error\":\"EAGAIN\"");
            if (refused != (i == 2))
                _exit(4);
        }
        _exit(0);
    }
    turn_until_exit(&f, pid);

    /* Root has no such limit. */
    int fds[5];
    for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
        fds[i] = connect_client();
        say(fds[i], "root\n");
        expect(&f, fds[i], "you said root\n");
    }
    for (size_t i = 0; i < ELEMENTSOF(fds); i++)
        close(fds[i]);
    teardown(&f);
}

/* However many users there are, root gets in. */
static void test_connections_for_root(void **state)
{
    struct fixture f;
    int done[2];

    if (geteuid() != 0) {
        print_message("skipped: needs root, to be two users\n");
        skip();
    }
    assert_int_equal(pipe(done), 0);
    setup_with(&f, (struct line_config){.max_connections = 8});
    pid_t pid = fork();
    if (pid == 0) {
        struct line_client *clients[8];
        const char *answer;
        char end;
        size_t len;

        close(done[1]);
        if (setgroups(0, NULL) < 0 || setgid(OTHER_UID) < 0 || setuid(OTHER_UID) < 0)
            _exit(2);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
            if (line_client_connect(path, DEADLINE_NS, &clients[i], NULL) < 0 ||
                line_client_request(clients[i], "x", DEADLINE_NS, &answer, &len, NULL) < 0)
                _exit(3);
            bool refused = strstr(answer, "the agent has as many connections as it takes");
            if (refused != (i == 7))
                _exit(4);
        }
        _exit(read(done[0], &end, 1) == 0 ? 0 : 5); /* holds the others until root had its turn */
    }
    close(done[0]);
    while (f.lines < 7)
        turn(&f);
    int fd = connect_client();
    say(fd, "root\n");
    expect(&f, fd, "you said root\n");
    close(done[1]);
    turn_until_exit(&f, pid);
    close(fd);
    teardown(&f);
}

/* A group of the machine that is not root's. */
static bool find_group(char *name, size_t size, gid_t *ret_gid)
{
    struct group *group;

    setgrent();
    while ((group = getgrent())) {
        if (group->gr_gid == 0 || group->gr_gid == OTHER_UID)
            continue;
        snprintf(name, size, "%s", group->gr_name);
        *ret_gid = group->gr_gid;
        endgrent();
        return true;
    }
    endgrent();
    return false;
}

static void test_admin_group(void **state)
{
    struct fixture f;
    struct stat st;
    char name[64];
    gid_t gid = 0, many[100];

    if (geteuid() != 0 || !find_group(name, sizeof(name), &gid)) {
        print_message("skipped: needs root and a group besides root's\n");
        skip();
    }
    setup_with(&f, (struct line_config){.group = name, .mode = 0660});
    assert_string_equal(line_server_warning(f.server), "");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_gid, gid);
    assert_int_equal(st.st_mode & 07777, 0660);
    chmod(path, 0666);

    /* Supplementary, and so many that the first answer of the kernel does not fit. */
    for (size_t i = 0; i < ELEMENTSOF(many); i++)
        many[i] = 70000 + (gid_t)i;
    many[99] = gid;
    pid_t pid = fork();
    if (pid == 0)
        be_ordinary_client(1, 1, 0, many, ELEMENTSOF(many));
    turn_until_exit(&f, pid);
    assert_true(f.last.in_group);
    assert_int_equal(f.last.uid, OTHER_UID);

    pid = fork();
    if (pid == 0)
        be_ordinary_client(1, 1, 0, many, 98);
    turn_until_exit(&f, pid);
    assert_false(f.last.in_group);

    pid = fork();
    if (pid == 0)
        be_ordinary_client(1, 1, 0, &gid, 1);
    turn_until_exit(&f, pid);
    assert_true(f.last.in_group);
    teardown(&f);

    /* An unknown group is no admin group, and no error. */
    setup_with(&f, (struct line_config){.group = "no-such-group-here"});
    assert_non_null(strstr(line_server_warning(f.server), "there is no group no-such-group-here: "));
    int fd = connect_client();
    say(fd, "x\n");
    expect(&f, fd, "you said x\n");
    assert_false(f.last.in_group);
    close(fd);
    teardown(&f);
}

/* --- Where it binds
 * ---------------------------------------------------------------------------------------------------- */

static int try_start(sd_event *loop, const char *at, struct line_server **ret_server, struct carnot_err *err)
{
    const struct line_config config = {.path = at, .mode = 0666};
    const struct line_handler handler = {.on_line = on_line};

    *err = CARNOT_ERR_INIT;
    return line_server_start(loop, &config, &handler, ret_server, err);
}

static void test_mode_whatever_the_umask(void **state)
{
    static const unsigned modes[] = {0666, 0660, 0600};
    mode_t before = umask(0);

    for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
        for (size_t k = 0; k < 2; k++) {
            struct fixture f;
            struct stat st;

            umask(k ? 077 : 0);
            setup_with(&f, (struct line_config){.mode = modes[i]});
            assert_int_equal(stat(path, &st), 0);
            assert_true(S_ISSOCK(st.st_mode));
            assert_int_equal(st.st_mode & 07777, modes[i]);
            teardown(&f);
        }
    }
    umask(before);
}

static void test_socket_in_use(void **state)
{
    struct fixture f;
    struct line_server *second = NULL;
    struct carnot_err err;

    setup(&f);
    assert_int_equal(try_start(f.loop, path, &second, &err), -EADDRINUSE);
    assert_null(second);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "another program answers there"));

    /* The first one is untouched. */
    int fd = connect_client();
    say(fd, "hello\n");
    expect(&f, fd, "you said hello\n");
    close(fd);
    teardown(&f);
}

static void test_stale_socket_is_replaced(void **state)
{
    struct fixture f;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int left = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* What a program that was killed leaves behind. */
    memcpy(addr.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(left, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    close(left);
    assert_int_equal(access(path, F_OK), 0);

    setup(&f);
    int fd = connect_client();
    say(fd, "hello\n");
    expect(&f, fd, "you said hello\n");
    close(fd);
    teardown(&f);
}

static void test_other_files_are_left_alone(void **state)
{
    struct line_server *server = NULL;
    struct carnot_err err;
    sd_event *loop = NULL;
    struct stat st;

    assert_true(sd_event_new(&loop) >= 0);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    assert_int_equal(try_start(loop, path, &server, &err), -EEXIST);
    assert_non_null(strstr(err.msg, "move it away or choose another path"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 8);
    unlink(path);

    /* A link to nowhere is a file too. */
    assert_int_equal(symlink("/nonexistent/target", path), 0);
    assert_int_equal(try_start(loop, path, &server, &err), -EEXIST);
    assert_int_equal(lstat(path, &st), 0);
    unlink(path);

    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(try_start(loop, path, &server, &err), -EEXIST);
    assert_int_equal(rmdir(path), 0);
    sd_event_unref(loop);
}

static void test_paths(void **state)
{
    struct line_server *server = NULL;
    struct carnot_err err;
    sd_event *loop = NULL;
    struct stat st;
    char deep[160];
    mode_t before = umask(077);

    assert_true(sd_event_new(&loop) >= 0);
    assert_int_equal(try_start(loop, "", &server, &err), -EINVAL);
    memset(deep, 'x', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    assert_int_equal(try_start(loop, deep, &server, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "choose a shorter one"));

    /* One level is made, and users can pass it. */
    snprintf(deep, sizeof(deep), "%s/sub/s", dir);
    assert_int_equal(try_start(loop, deep, &server, &err), 0);
    line_server_stop(server);
    snprintf(deep, sizeof(deep), "%s/sub", dir);
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(rmdir(deep), 0);

    snprintf(deep, sizeof(deep), "%s/a/b/s", dir);
    assert_int_equal(try_start(loop, deep, &server, &err), -ENOENT);
    umask(before);
    sd_event_unref(loop);
}

/* The socket that another program put at our path meanwhile is not ours to remove. */
static void test_stop_removes_only_its_own(void **state)
{
    struct fixture f;

    setup(&f);
    assert_int_equal(unlink(path), 0);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    line_server_stop(f.server);
    sd_event_unref(f.loop);
    assert_int_equal(unlink(path), 0);
    assert_null(line_server_stop(NULL));
}

/* --- The client
 * -------------------------------------------------------------------------------------------------------- */

struct asker {
    uint64_t timeout_ns;
    const char *line;
    int r;
    struct carnot_err err;
    size_t len;
    char text[64];
    bool done;
};

static void *ask(void *arg)
{
    struct asker *a = arg;
    struct line_client *client = NULL;
    const char *answer;

    a->r = line_client_connect(path, DEADLINE_NS, &client, &a->err);
    if (a->r >= 0)
        a->r = line_client_request(client, a->line, a->timeout_ns, &answer, &a->len, &a->err);
    if (a->r >= 0)
        snprintf(a->text, sizeof(a->text), "%s", answer);
    /* A request that was given up spoils the connection: a late answer would be taken for the next one. */
    if (a->r == -ETIMEDOUT)
        assert_int_equal(line_client_request(client, "x", a->timeout_ns, &answer, &a->len, NULL), -EPIPE);
    line_client_close(client);
    __atomic_store_n(&a->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static void run_asker(struct fixture *f, struct asker *a)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, ask, a), 0);
    while (!__atomic_load_n(&a->done, __ATOMIC_ACQUIRE))
        turn(f);
    pthread_join(thread, NULL);
}

static void test_client(void **state)
{
    struct fixture f;
    struct asker a = {.timeout_ns = DEADLINE_NS, .line = "hello"};

    setup(&f);
    run_asker(&f, &a);
    assert_int_equal(a.r, 0);
    assert_string_equal(a.text, "you said hello");
    assert_int_equal(a.len, strlen("you said hello"));

    a = (struct asker){.timeout_ns = DEADLINE_NS, .line = "huge"};
    run_asker(&f, &a);
    assert_int_equal(a.r, 0);
    assert_int_equal(a.len, HUGE_BYTES);

    a = (struct asker){.timeout_ns = DEADLINE_NS, .line = "silence"};
    run_asker(&f, &a);
    assert_int_equal(a.r, -EPIPE);
    assert_non_null(strstr(a.err.msg, "closed the connection"));

    a = (struct asker){.timeout_ns = 50 * NS_PER_MS, .line = "later"};
    run_asker(&f, &a);
    assert_int_equal(a.r, -ETIMEDOUT);
    assert_non_null(strstr(a.err.msg, "did not answer in time"));

    a = (struct asker){.timeout_ns = DEADLINE_NS, .line = "two\nlines"};
    run_asker(&f, &a);
    assert_int_equal(a.r, -EINVAL);
    teardown(&f);
}

static void test_client_without_agent(void **state)
{
    struct line_client *client = NULL;
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(line_client_connect(path, NS_PER_SEC, &client, &err), -ENOENT);
    assert_null(client);
    assert_non_null(strstr(err.msg, "is carnotd running?"));
    assert_null(line_client_close(NULL));
}

/* What an agent that is too full says before it hangs up is heard, though our request met a closed socket. */
static void test_client_hears_the_last_word(void **state)
{
    struct fixture f;
    struct asker a = {.timeout_ns = DEADLINE_NS, .line = "hello"};

    setup_with(&f, (struct line_config){.max_connections = 1});
    int fd = connect_client();
    say(fd, "in\n");
    expect(&f, fd, "you said in\n");
    run_asker(&f, &a);
    assert_int_equal(a.r, 0);
    assert_non_null(strstr(a.text, "\"error\":\"EAGAIN\""));
    close(fd);
    teardown(&f);
}

static int make_dir(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/carnot-line-XXXXXX");
    if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/s", dir);
    return 0;
}

static int remove_dir(void **state)
{
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_many_in_one_write),
        cmocka_unit_test(test_embedded_nul),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_bye_and_silence),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_later_and_gone),
        cmocka_unit_test(test_silence_is_answered),
        cmocka_unit_test(test_who_speaks_is_not_silent),
        cmocka_unit_test(test_silence_of_the_loop),
        cmocka_unit_test(test_silence_of_the_half_closed),
        cmocka_unit_test(test_last_word),
        cmocka_unit_test(test_large_answer),
        cmocka_unit_test(test_client_that_never_reads),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_full_table),
        cmocka_unit_test(test_requests_per_second),
        cmocka_unit_test(test_connections_per_uid),
        cmocka_unit_test(test_connections_for_root),
        cmocka_unit_test(test_admin_group),
        cmocka_unit_test(test_mode_whatever_the_umask),
        cmocka_unit_test(test_socket_in_use),
        cmocka_unit_test(test_stale_socket_is_replaced),
        cmocka_unit_test(test_other_files_are_left_alone),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_stop_removes_only_its_own),
        cmocka_unit_test(test_client),
        cmocka_unit_test(test_client_without_agent),
        cmocka_unit_test(test_client_hears_the_last_word),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
