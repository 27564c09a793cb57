/* SPDX-License-Identifier: Apache-2.0 */
/* Binding and looking at Unix sockets. Knows what may lie at a path and what may be removed; refuses to know what is
 * said over a connection. */
#include "net/line_socket.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>

/* Who connects between two turns of a busy loop, a flood among them: a full queue refuses at once those that do not
 * block, as the clients of carbon-ops. As much as the kernel takes (net.core.somaxconn). */
#define LISTEN_BACKLOG 4096

/* A user with more supplementary groups than the kernel allows (NGROUPS_MAX) does not exist. */
#define GROUPS_MOST 65536

/* getgrnam_r's buffer: a group with 10,000 members. */
#define GROUP_ENTRY_MAX ((size_t)256 * 1024)

int line_socket_address(const char *path, struct sockaddr_un *ret_addr, struct carnot_err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;

    if (len == 0)
        return carnot_err_set(err, EINVAL, "the socket path is empty: give one such as /run/carnot/carnot.sock");
    if (len >= sizeof(addr.sun_path))
        return carnot_err_set(err, EINVAL,
                              "socket path %s has %zu characters and a Unix socket at most %zu: choose a shorter one",
                              path, len, sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, path, len + 1);
    *ret_addr = addr;
    return 0;
}

gid_t line_socket_group(const char *name)
{
    if (!name || !name[0])
        return LINE_NO_GROUP;

    _cleanup_free_ char *text = malloc(GROUP_ENTRY_MAX);
    struct group entry, *found = NULL;

    if (!text || getgrnam_r(name, &entry, text, GROUP_ENTRY_MAX, &found) != 0 || !found)
        return LINE_NO_GROUP;
    return found->gr_gid;
}

static int make_parent(const char *path, struct carnot_err *err)
{
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return 0;

    _cleanup_free_ char *parent = strndup(path, (size_t)(slash - path));
    if (!parent)
        return carnot_err_errno(err, ENOMEM, "cannot listen on %s", path);
    if (mkdir(parent, 0755) == 0) {
        /* The umask took bits off, and users have to get through. */
        if (chmod(parent, 0755) == 0)
            return 0;
    } else if (errno == EEXIST) {
        return 0;
    }
    return carnot_err_errno(err, errno, "cannot make the directory %s of the socket", parent);
}

/* Whether somebody answers at the socket there: 1, 0, or -errno when that cannot be told. */
static int is_alive(const struct sockaddr_un *addr)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
        return 1;
    switch (errno) {
    case EAGAIN:     /* its queue is full */
    case EPROTOTYPE: /* a datagram socket: not ours, and in use */
        return 1;
    case ECONNREFUSED:
    case ENOENT:
        return 0;
    default:
        return -errno;
    }
}

static int make_way(const struct sockaddr_un *addr, struct carnot_err *err)
{
    const char *path = addr->sun_path;
    struct stat st;

    if (lstat(path, &st) < 0) {
        if (errno == ENOENT)
            return 0;
        return carnot_err_errno(err, errno, "cannot look at %s", path);
    }
    if (!S_ISSOCK(st.st_mode))
        return carnot_err_set(err, EEXIST,
                              "cannot listen on %s: a file that is no socket is there, and it is not ours to remove; "
                              "move it away or choose another path",
                              path);

    int alive = is_alive(addr);
    if (alive < 0)
        return carnot_err_errno(err, alive, "cannot tell whether somebody listens on %s", path);
    if (alive)
        return carnot_err_set(err, EADDRINUSE,
                              "cannot listen on %s: another program answers there; stop it or choose another path",
                              path);
    if (unlink(path) < 0 && errno != ENOENT)
        return carnot_err_errno(err, errno, "cannot remove the stale socket %s", path);
    return 0;
}

/* The mode on the descriptor is what bind() gives the file, less the umask: never looser than asked, not even for a
 * moment. Nobody gets in before listen(). */
static int bind_with_mode(int fd, const struct sockaddr_un *addr, unsigned mode, gid_t group, bool *ret_owned)
{
    if (fchmod(fd, mode) < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
        return -errno;

    int given = group == LINE_NO_GROUP ? 0 : lchown(addr->sun_path, (uid_t)-1, group);
    bool owned = group != LINE_NO_GROUP && given == 0;
    if ((given < 0 && errno != EPERM) || chmod(addr->sun_path, mode) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
        int r = -errno;
        unlink(addr->sun_path);
        return r;
    }
    *ret_owned = owned;
    return 0;
}

int line_socket_listen(const char *path, unsigned mode, gid_t group, bool *ret_owned, struct carnot_err *err)
{
    struct sockaddr_un addr;

    int r = line_socket_address(path, &addr, err);
    if (r < 0)
        return r;
    r = make_parent(path, err);
    if (r < 0)
        return r;
    r = make_way(&addr, err);
    if (r < 0)
        return r;

    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    r = fd < 0 ? -errno : bind_with_mode(fd, &addr, mode, group, ret_owned);
    if (r < 0)
        return carnot_err_errno(err, r, "cannot listen on %s", path);
    return TAKE_FD(fd);
}

/* SO_PEERGROUPS tells the length it needs with ERANGE. */
static int has_supplementary(int fd, gid_t group, bool *ret_has)
{
    gid_t some[64];
    socklen_t len = sizeof(some);
    _cleanup_free_ gid_t *more = NULL;
    const gid_t *groups = some;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, some, &len) < 0) {
        if (errno == ENOPROTOOPT) { /* before Linux 4.13: the primary group alone counts */
            *ret_has = false;
            return 0;
        }
        if (errno != ERANGE || len > GROUPS_MOST * sizeof(gid_t))
            return -errno;
        groups = more = malloc(len);
        if (!more)
            return -ENOMEM;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, more, &len) < 0)
            return -errno;
    }

    bool has = false;
    for (size_t i = 0; i < len / sizeof(gid_t); i++)
        has |= groups[i] == group;
    *ret_has = has;
    return 0;
}

int line_socket_peer(int fd, struct line_peer *peer)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    peer->pid = (uint32_t)cred.pid;
    peer->uid = cred.uid;
    peer->gid = cred.gid;
    peer->in_group = false;
    return 0;
}

int line_socket_peer_group(int fd, gid_t group, struct line_peer *peer)
{
    bool in_group = false;

    if (group == LINE_NO_GROUP)
        return 0;
    int r = has_supplementary(fd, group, &in_group);
    if (r < 0)
        return r;
    peer->in_group = in_group || peer->gid == group;
    return 0;
}
