/* SPDX-License-Identifier: Apache-2.0 */
/* The asking side of the line server: one line out, one line in, within a deadline. Knows sockets and newlines; refuses
 * to know what is asked. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "net/line_server.h"
#include "net/line_socket.h"

/* Read at a time: most answers fit. */
#define READ_BYTES ((size_t)16 * 1024)

struct line_client {
    int fd;
    char *path;
    struct buf in;   /* from the last answer's start on */
    size_t consumed; /* bytes of `in` that were given out, newline included */
    bool broken;     /* an answer may still come for a request that was given up */
};

static uint64_t mono_ns(void)
{
    return clock_now(carnot_clock_system()).mono_ns;
}

static uint64_t deadline_of(uint64_t timeout_ns)
{
    uint64_t now = mono_ns();

    return timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

/* Waits until the socket is ready. 0, -ETIMEDOUT, or -errno. */
static int wait_for(const struct line_client *client, short events, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd pollfd = {.fd = client->fd, .events = events};
        uint64_t now = mono_ns();
        uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
        const struct timespec ts = {.tv_sec = (time_t)min_u64(left / NS_PER_SEC, INT32_MAX),
                                    .tv_nsec = (long)(left % NS_PER_SEC)};

        int r = ppoll(&pollfd, 1, &ts, NULL);
        if (r > 0)
            return 0;
        if (r == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int connect_failed(const char *path, int code, struct carnot_err *err)
{
    switch (code) {
    case ENOENT:
    case ECONNREFUSED:
        return carnot_err_set(err, code, "no agent answers on %s: is carnotd running?", path);
    case EACCES:
    case EPERM:
        return carnot_err_set(err, code, "no right to connect to %s: ask the administrator for access to the socket",
                              path);
    case EAGAIN: /* what a Unix connect gives when SO_SNDTIMEO is over */
        return carnot_err_set(err, ETIMEDOUT, "the agent on %s is too busy to take a connection: try again", path);
    default:
        return carnot_err_errno(err, code, "cannot connect to %s", path);
    }
}

int line_client_connect(const char *path, uint64_t timeout_ns, struct line_client **ret_client, struct carnot_err *err)
{
    /* A zero SO_SNDTIMEO means for ever. */
    const uint64_t usec = max_u64(timeout_ns / NS_PER_US, 1);
    const struct timeval timeout = {.tv_sec = (time_t)min_u64(usec / 1000000, INT32_MAX),
                                    .tv_usec = (suseconds_t)(usec % 1000000)};
    struct sockaddr_un addr;

    int r = line_socket_address(path, &addr, err);
    if (r < 0)
        return r;

    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return connect_failed(path, errno, err);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
        return connect_failed(path, errno, err);
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return connect_failed(path, errno, err);

    struct line_client *client = calloc(1, sizeof(*client));
    if (!client)
        return connect_failed(path, ENOMEM, err);
    client->fd = TAKE_FD(fd);
    buf_init(&client->in, LINE_ANSWER_MAX + READ_BYTES);
    client->path = strdup(path);
    if (!client->path) {
        line_client_close(client);
        return connect_failed(path, ENOMEM, err);
    }
    *ret_client = client;
    return 0;
}

void line_client_limit(struct line_client *client, size_t answer_bytes)
{
    client->in.limit = answer_bytes + READ_BYTES;
}

struct line_client *line_client_close(struct line_client *client)
{
    if (client) {
        close(client->fd);
        buf_done(&client->in);
        free(client->path);
        free(client);
    }
    return NULL;
}

/* Sends all of it. A peer that hung up is no error here: it may have said why before. */
static int send_all(const struct line_client *client, const char *data, size_t len, uint64_t deadline_ns)
{
    while (len > 0) {
        ssize_t n = send(client->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            data += n;
            len -= (size_t)n;
            continue;
        }
        if (errno == EPIPE || errno == ECONNRESET)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        int r = wait_for(client, POLLOUT, deadline_ns);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Reads until there is a newline from `from` on; gives where it is. */
static int receive_line(struct line_client *client, uint64_t deadline_ns, size_t *ret_newline)
{
    size_t searched = 0;

    for (;;) {
        const char *newline = memchr(buf_str(&client->in) + searched, '\n', client->in.len - searched);
        if (newline) {
            *ret_newline = (size_t)(newline - client->in.data);
            return 0;
        }
        searched = client->in.len;

        int r = buf_reserve(&client->in, READ_BYTES);
        if (r < 0)
            return r;
        r = wait_for(client, POLLIN, deadline_ns);
        if (r < 0)
            return r;
        ssize_t n =
            recv(client->fd, client->in.data + client->in.len, client->in.cap - client->in.len - 1, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return -EPIPE;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (n > 0) {
            client->in.len += (size_t)n;
            client->in.data[client->in.len] = '\0';
        }
    }
}

static int request_failed(const struct line_client *client, int r, struct carnot_err *err)
{
    switch (-r) {
    case EPIPE:
        return carnot_err_set(err, r, "the agent on %s closed the connection: is it stopping? try again", client->path);
    case ETIMEDOUT:
        return carnot_err_set(err, r, "the agent on %s did not answer in time", client->path);
    case E2BIG:
        return carnot_err_set(err, EPROTO, "the agent on %s answers with more than %u MiB in one line", client->path,
                              (unsigned)((client->in.limit - READ_BYTES) >> 20));
    default:
        return carnot_err_errno(err, r, "cannot ask the agent on %s", client->path);
    }
}

/* Forgets the last answer; a byte that came beyond it stays. */
static void drop_consumed(struct line_client *client)
{
    size_t left = client->in.len - client->consumed;

    if (left)
        memmove(client->in.data, client->in.data + client->consumed, left);
    buf_reset(&client->in);
    client->in.len = left;
    if (client->in.data)
        client->in.data[left] = '\0';
    client->consumed = 0;
}

int line_client_request(struct line_client *client, const char *line, uint64_t timeout_ns, const char **ret_line,
                        size_t *ret_len, struct carnot_err *err)
{
    uint64_t deadline_ns = deadline_of(timeout_ns);
    size_t newline = 0;

    if (strchr(line, '\n'))
        return carnot_err_set(err, EINVAL, "a request to the agent is one line, this one has more");
    if (client->broken)
        return request_failed(client, -EPIPE, err);
    drop_consumed(client);

    int r = send_all(client, line, strlen(line), deadline_ns);
    if (r >= 0)
        r = send_all(client, "\n", 1, deadline_ns);
    if (r >= 0)
        r = receive_line(client, deadline_ns, &newline);
    if (r < 0) {
        client->broken = true;
        return request_failed(client, r, err);
    }
    client->in.data[newline] = '\0';
    client->consumed = newline + 1;
    *ret_line = client->in.data;
    *ret_len = newline;
    return 0;
}
