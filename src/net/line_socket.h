/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets of the line server and its client: addresses, binding over what an earlier run left, who the peer is.
 * Private to net/. */
#ifndef CARNOT_NET_LINE_SOCKET_H
#define CARNOT_NET_LINE_SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"
#include "net/line_server.h"

#define LINE_NO_GROUP ((gid_t)-1)

/* -EINVAL with a sentence for an empty path or one that no socket can have. */
int line_socket_address(const char *path, struct sockaddr_un *ret_addr, struct carnot_err *err);

/* Group id by name; LINE_NO_GROUP for NULL, "" and a name that nobody has. */
gid_t line_socket_group(const char *name);

/* A listening, non-blocking socket at path with exactly that mode and group whatever the umask; *ret_owned: false when
 * we have no right to give it to that group, which is no error. A file there that is a
 * socket on which nobody listens is replaced; one that answers gives -EADDRINUSE; anything else is left alone and gives
 * -EEXIST. */
int line_socket_listen(const char *path, unsigned mode, gid_t group, bool *ret_owned, struct carnot_err *err);

/* Who is at the other end: pid, uid, gid; in_group false, the rest is left alone. */
int line_socket_peer(int fd, struct line_peer *peer);
/* Then, whether that one is in the group: peer->in_group. */
int line_socket_peer_group(int fd, gid_t group, struct line_peer *peer);

#endif
