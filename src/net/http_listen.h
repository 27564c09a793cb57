/* SPDX-License-Identifier: Apache-2.0 */
/* Listening TCP sockets of the HTTP server, with the sentence for each way in which binding fails. Private to net/. */
#ifndef CARNOT_NET_HTTP_LISTEN_H
#define CARNOT_NET_HTTP_LISTEN_H

#include "base/err.h"

/* A bound, listening, non-blocking, close-on-exec socket for "host:port", and its port. The descriptor, or -EINVAL,
 * -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, ... with a sentence. An empty host listens on IPv6 and IPv4 alike. */
int http_listen(const char *address, uint16_t *ret_port, struct carnot_err *err);

#endif
