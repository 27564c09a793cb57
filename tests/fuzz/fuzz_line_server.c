/* SPDX-License-Identifier: Apache-2.0 */
/* Framing of the socket protocol: a client writes any bytes in any pieces, hangs up, and gets one answer line for each
 * whole line that is not empty, up to the first that is too long; and one answer where there was no such line at all.
 * The first byte chooses the size of the pieces. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "check.h"
#include "net/line_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Less than a socket buffer, so that answers never make the client wait. */
#define INPUT_MAX ((size_t)64 * 1024)

/* A connection is done in far fewer turns; more is an endless loop. */
#define TURNS_MAX 100000

static struct {
    sd_event *loop;
    struct line_server *server;
    char path[64];
    unsigned lines, silences;
} fuzz;

static enum line_verdict on_line(void *userdata, struct line_server *server, struct line_peer *peer, const char *line,
                                 size_t len, struct buf *answer)
{
    CHECK(len > 0 && len <= LINE_REQUEST_MAX && line[len] == '\0' && !memchr(line, '\n', len));
    CHECK(answer->len == 0);
    fuzz.lines++;
    if (line[0] == 'l') {
        line_server_answer(server, peer->connection, "later", 5);
        return LINE_LATER;
    }
    buf_printf(answer, "%zu", len);
    return LINE_ANSWERED;
}

static enum line_verdict on_silence(void *userdata, struct line_server *server, struct line_peer *peer,
                                    struct buf *answer)
{
    CHECK(answer->len == 0 && fuzz.lines == 0);
    fuzz.silences++;
    buf_puts(answer, "nothing");
    return LINE_CLOSE;
}

static void stop(void)
{
    char *slash = strrchr(fuzz.path, '/');

    line_server_stop(fuzz.server);
    sd_event_unref(fuzz.loop);
    *slash = '\0';
    rmdir(fuzz.path);
}

static void start(void)
{
    const struct line_handler handler = {.on_line = on_line, .on_silence = on_silence};
    const struct line_config config = {.path = fuzz.path, .mode = 0600, .requests_per_s = 1000000000};

    snprintf(fuzz.path, sizeof(fuzz.path), "/tmp/carnot-fuzz-XXXXXX");
    CHECK(mkdtemp(fuzz.path));
    memcpy(fuzz.path + strlen(fuzz.path), "/s", 3);
    CHECK(sd_event_new(&fuzz.loop) >= 0);
    CHECK(line_server_start(fuzz.loop, &config, &handler, &fuzz.server, NULL) == 0);
    atexit(stop);
}

static int connect_client(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    memcpy(addr.sun_path, fuzz.path, strlen(fuzz.path) + 1);
    CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0);
    return fd;
}

/* What the specification above says must come: answers, and whether a line was too long. */
static unsigned count_lines(const uint8_t *data, size_t size, bool *ret_too_long)
{
    unsigned n = 0;

    *ret_too_long = false;
    while (size > 0) {
        const uint8_t *newline = memchr(data, '\n', size);
        size_t len = newline ? (size_t)(newline - data) : size;

        if (len > LINE_REQUEST_MAX) {
            *ret_too_long = true;
            return n;
        }
        if (!newline)
            return n;
        n += len > 0;
        data += len + 1;
        size -= len + 1;
    }
    return n;
}

/* Takes what is there, counts newlines. False at the end. */
static bool take(int fd, unsigned *answers)
{
    char piece[4096];
    ssize_t n = recv(fd, piece, sizeof(piece), 0);

    for (ssize_t i = 0; i < n; i++)
        *answers += piece[i] == '\n';
    return n > 0 || (n < 0 && errno == EAGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned answers = 0, turns = 0;
    bool too_long, open = true;

    if (size < 2 || size > INPUT_MAX)
        return 0;
    if (!fuzz.loop)
        start();
    fuzz.lines = fuzz.silences = 0;

    size_t piece = data[0] ? (size_t)data[0] * 16 : 1;
    int fd = connect_client();
    data++;
    size--;
    unsigned want = count_lines(data, size, &too_long);
    for (size_t at = 0; at < size && open;) {
        ssize_t n = send(fd, data + at, min_size(piece, size - at), MSG_NOSIGNAL);

        CHECK(n > 0 || errno == EAGAIN || too_long);
        if (n < 0 && errno != EAGAIN)
            break;
        at += n > 0 ? (size_t)n : 0;
        CHECK(sd_event_run(fuzz.loop, 0) >= 0);
        open = take(fd, &answers);
    }
    shutdown(fd, SHUT_WR);
    while (open) {
        CHECK(++turns < TURNS_MAX);
        CHECK(sd_event_run(fuzz.loop, 0) >= 0);
        open = take(fd, &answers);
    }
    CHECK(fuzz.lines == want);
    CHECK(fuzz.silences == (want == 0 && !too_long));
    CHECK(answers == want + too_long + fuzz.silences);
    close(fd);
    return 0;
}
