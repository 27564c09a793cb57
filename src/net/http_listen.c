/* SPDX-License-Identifier: Apache-2.0 */
/* From "host:port" to a listening socket. Knows address syntax, dual stack and why a bind can fail; refuses to know
 * what is served there. */
#include "net/http_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/parse.h"
#include "net/http_server.h"

/* A DNS name has at most 253 characters. */
#define HOST_MAX 254

/* Scrapers are few; the kernel caps it at net.core.somaxconn anyway. */
#define LISTEN_BACKLOG 128

static bool host_char_ok(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
}

static bool v6_char_ok(char c)
{
    return host_char_ok(c) || c == ':' || c == '%'; /* '%': the zone of a link-local address */
}

/* Cuts address into host and port text. NULL, or what is wrong with it. */
static const char *split_address(struct text address, struct text *ret_host, struct text *ret_port)
{
    bool bracketed = address.n > 0 && address.p[0] == '[';
    const char *end = bracketed ? memchr(address.p, ']', address.n) : NULL;
    struct text host, port;

    if (bracketed) {
        if (!end)
            return "the bracket is not closed";
        host = (struct text){address.p + 1, (size_t)(end - address.p) - 1};
        port = (struct text){end + 1, address.n - host.n - 2};
        if (host.n == 0)
            return "there is no address in the brackets";
    } else {
        const char *colon = memrchr(address.p, ':', address.n);
        if (!colon)
            return "there is no port";
        host = (struct text){address.p, (size_t)(colon - address.p)};
        port = (struct text){colon, address.n - host.n};
        if (memchr(host.p, ':', host.n))
            return "an IPv6 address needs brackets";
    }
    if (port.n < 2 || port.p[0] != ':')
        return "there is no port";
    for (size_t i = 0; i < host.n; i++) {
        if (!(bracketed ? v6_char_ok(host.p[i]) : host_char_ok(host.p[i])))
            return "the host has a character that no host has";
    }
    *ret_host = host;
    *ret_port = (struct text){port.p + 1, port.n - 1};
    return NULL;
}

int http_parse_address(const char *address, char *ret_host, size_t host_size, uint16_t *ret_port,
                       struct carnot_err *err)
{
    static const char remedy[] = "write host:port, :port or [IPv6]:port, as in 127.0.0.1:9010";
    struct text host, port_text;
    uint64_t port;

    const char *wrong = split_address(text_of(address), &host, &port_text);
    if (!wrong && (parse_u64(port_text, &port) < 0 || port > UINT16_MAX))
        wrong = "the port is not a number from 0 to 65535";
    if (!wrong && host.n >= host_size)
        wrong = "the host is too long";
    if (wrong)
        return carnot_err_set(err, EINVAL, "\"%.200s\" is no address to listen on: %s; %s", address, wrong, remedy);

    memcpy(ret_host, host.p, host.n);
    ret_host[host.n] = '\0';
    *ret_port = (uint16_t)port;
    return 0;
}

static const char *bind_remedy(int code)
{
    switch (code) {
    case EADDRINUSE:
        return "address already in use; another program has the port: stop it or choose another with "
               "--web.listen-address";
    case EACCES:
    case EPERM:
        return "permission denied; a port below 1024 needs CAP_NET_BIND_SERVICE: choose a higher one with "
               "--web.listen-address";
    case EADDRNOTAVAIL:
        return "no interface of this machine has that address; choose another with --web.listen-address";
    default:
        return NULL;
    }
}

static int bind_failed(const char *address, int code, struct carnot_err *err)
{
    const char *remedy = bind_remedy(code);

    if (remedy)
        return carnot_err_set(err, code, "cannot listen on %s: %s", address, remedy);
    return carnot_err_errno(err, code, "cannot listen on %s", address);
}

static int bind_socket(const struct sockaddr *addr, socklen_t len, bool dual_stack)
{
    _cleanup_close_ int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1, v6only = !dual_stack;

    if (fd < 0)
        return -errno;
    /* A port in TIME_WAIT from our own last life is free to us. Linux lets no two listeners in by this. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    if (addr->sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0)
        return -errno;
    if (bind(fd, addr, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int listen_any(uint16_t port)
{
    const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};
    const struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_ANY)};
    int fd = bind_socket((const struct sockaddr *)&v6, sizeof(v6), true);

    /* Kernels without IPv6, or with it switched off for every interface. */
    if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
        fd = bind_socket((const struct sockaddr *)&v4, sizeof(v4), false);
    return fd;
}

/* A name can have several addresses; the first IPv4 one is what users of "localhost:9010" expect. */
static int listen_host(const char *address, const char *host, uint16_t port, struct carnot_err *err)
{
    const struct addrinfo hints = {
        .ai_family = address[0] == '[' ? AF_INET6 : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV | (address[0] == '[' ? AI_NUMERICHOST : 0),
    };
    struct addrinfo *list = NULL;
    char service[8] = "";

    snprintf(service, sizeof(service), "%u", port);
    int r = getaddrinfo(host, service, &hints, &list);
    if (r != 0)
        return carnot_err_set(err, EINVAL, "cannot listen on %s: %s; choose another with --web.listen-address", address,
                              gai_strerror(r));

    const struct addrinfo *chosen = list;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        if (ai->ai_family == AF_INET) {
            chosen = ai;
            break;
        }
    }
    int fd = bind_socket(chosen->ai_addr, chosen->ai_addrlen, false);
    freeaddrinfo(list);
    return fd < 0 ? bind_failed(address, -fd, err) : fd;
}

static int bound_port(int fd, uint16_t *ret_port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } addr = {0};
    socklen_t len = sizeof(addr);

    if (getsockname(fd, &addr.any, &len) < 0)
        return -errno;
    *ret_port = ntohs(addr.any.sa_family == AF_INET6 ? addr.v6.sin6_port : addr.v4.sin_port);
    return 0;
}

int http_listen(const char *address, uint16_t *ret_port, struct carnot_err *err)
{
    char host[HOST_MAX];
    uint16_t port;

    int r = http_parse_address(address, host, sizeof(host), &port, err);
    if (r < 0)
        return r;

    _cleanup_close_ int fd = host[0] ? listen_host(address, host, port, err) : listen_any(port);
    if (fd < 0)
        return host[0] ? fd : bind_failed(address, -fd, err);
    r = bound_port(fd, ret_port);
    if (r < 0)
        return bind_failed(address, -r, err);
    return TAKE_FD(fd);
}
