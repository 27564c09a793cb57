/* SPDX-License-Identifier: Apache-2.0 */
/* Gives a program a /dev/ipmi0 on a machine that has none: to be loaded by LD_PRELOAD. What the program does with the
 * device goes to a BMC simulator, ipmi_sim, in the protocol that it speaks with virtual machines ("codec VM" in
 * ipmi_lan(5)), at $CARNOT_SIM_IPMI, "127.0.0.1:PORT". The descriptor is the connection itself, so that poll and select
 * work as they are.
 *
 * The ioctls are those of linux/ipmi.h as the kernel's driver does them, as far as carnot, ipmitool and FreeIPMI use
 * them. The file $CARNOT_SIM_IPMI_FAULT, where it is there, holds one word that stands in front of all that:
 *
 *     denied    open fails with EACCES         absent   with ENOENT
 *     gone      requests fail with ENODEV      silent   requests are swallowed
 *
 * The protocol: bytes of sequence number, netfn << 2 | lun, command, data, checksum (all add up to 0), then 0xA0; 0xA1
 * ends an order of the simulator to the machine, which is ignored. 0xA0, 0xA1, 0xAA inside are 0xAA and the byte with
 * bit 4 set. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ipmi.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT   __attribute__((visibility("default")))
#define FDS_MAX  1024
#define WIRE_MAX 1024 /* twice the longest message, all of it escaped */

#define END_MESSAGE 0xA0
#define END_ORDER   0xA1
#define ESCAPE      0xAA

/* For a message of which the beginning is there, and for the first answer. */
#define PATIENCE_MS 2000

/* The simulator takes one connection at a time and may not have seen the end of the one before. */
#define CONNECTS_MAX 100
#define CONNECT_MS   20

struct pending {
    long id;
    uint8_t netfn, cmd;
};

/* One message of the simulator, unescaped, without its end. */
struct message {
    size_t n;
    uint8_t bytes[WIRE_MAX];
};

struct device {
    struct pending pending[256]; /* by sequence number */
    uint8_t sequence;
};

static struct device *devices[FDS_MAX];

static bool fault_is(const char *word)
{
    const char *path = getenv("CARNOT_SIM_IPMI_FAULT");
    char text[32] = "";
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return strcmp(text, word) == 0;
}

/* --- the wire --------------------------------------------------------------------------------------------------- */

static void put_byte(uint8_t *wire, size_t *n, uint8_t byte, uint8_t *sum)
{
    *sum += byte;
    if (byte == END_MESSAGE || byte == END_ORDER || byte == ESCAPE) {
        wire[(*n)++] = ESCAPE;
        byte |= 0x10;
    }
    wire[(*n)++] = byte;
}

static bool put_request(int fd, uint8_t sequence, uint8_t lun, const struct ipmi_msg *msg)
{
    uint8_t wire[WIRE_MAX], sum = 0;
    size_t n = 0;

    put_byte(wire, &n, sequence, &sum);
    put_byte(wire, &n, (uint8_t)(msg->netfn << 2 | (lun & 3)), &sum);
    put_byte(wire, &n, msg->cmd, &sum);
    for (size_t i = 0; i < msg->data_len; i++)
        put_byte(wire, &n, msg->data[i], &sum);
    put_byte(wire, &n, (uint8_t)-sum, &sum);
    wire[n++] = END_MESSAGE;
    return send(fd, wire, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* 1 and a byte; 0: none within wait_ms; -1: the simulator is gone. */
static int get_byte(int fd, int wait_ms, uint8_t *ret)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};

    if (poll(&event, 1, wait_ms) <= 0)
        return 0;
    return recv(fd, ret, 1, 0) == 1 ? 1 : -1;
}

/* 1: a whole message; 0: nothing has begun within wait_ms; -1: the simulator is gone. Its orders are left out. */
static int get_message(int fd, int wait_ms, struct message *ret)
{
    bool escaped = false;
    uint8_t byte;

    ret->n = 0;
    for (;;) {
        int r = get_byte(fd, wait_ms, &byte);

        if (r <= 0)
            return r;
        wait_ms = PATIENCE_MS;
        if (byte == END_MESSAGE && ret->n >= 5)
            return 1;
        if (byte == END_MESSAGE || byte == END_ORDER || ret->n == sizeof(ret->bytes)) {
            ret->n = 0;
        } else if (byte == ESCAPE) {
            escaped = true;
        } else {
            ret->bytes[ret->n++] = escaped ? (uint8_t)(byte & ~0x10) : byte;
            escaped = false;
        }
    }
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static bool is_ours(const char *path)
{
    return path && getenv("CARNOT_SIM_IPMI") && strcmp(path + (path[0] == '/'), "dev/ipmi0") == 0;
}

/* The simulator begins with orders; the answer to a first request comes after them, so that from then on there is
 * something to read only where there is an answer. */
static int connect_once(const struct sockaddr_in *address)
{
    struct ipmi_msg device_id = {.netfn = 0x06, .cmd = 0x01};
    struct message message;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 && put_request(fd, 0, 0, &device_id) &&
        get_message(fd, PATIENCE_MS, &message) == 1)
        return fd;
    close(fd);
    return -1;
}

static int connect_simulator(void)
{
    const char *where = getenv("CARNOT_SIM_IPMI"), *colon = strchr(where, ':');
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)strtoul(colon ? colon + 1 : "0", NULL, 10))};
    int fd = connect_once(&address);

    for (int i = 0; fd < 0 && i < CONNECTS_MAX; i++) {
        poll(NULL, 0, CONNECT_MS);
        fd = connect_once(&address);
    }
    if (fd < 0)
        errno = ENXIO; /* the node is there, its driver is not */
    return fd;
}

static int open_device(void)
{
    if (fault_is("denied") || fault_is("absent")) {
        errno = fault_is("denied") ? EACCES : ENOENT;
        return -1;
    }
    int fd = connect_simulator();
    if (fd < 0 || fd >= FDS_MAX)
        return -1;
    free(devices[fd]);
    devices[fd] = calloc(1, sizeof(*devices[fd]));
    return fd;
}

static int open_any(int dir, const char *path, int flags, mode_t mode)
{
    return is_ours(path) ? open_device() : (int)syscall(SYS_openat, dir, path, flags, mode);
}

/* The mode is there only where a file may be made. */
#define OPEN_MODE(flags, last)                                                                                         \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list args;                                                                                                  \
        va_start(args, last);                                                                                          \
        mode = va_arg(args, mode_t);                                                                                   \
        va_end(args);                                                                                                  \
    }

#define DEFINE_OPEN(name)                                                                                              \
    EXPORT int name(const char *path, int flags, ...);                                                                 \
    EXPORT int name(const char *path, int flags, ...)                                                                  \
    {                                                                                                                  \
        OPEN_MODE(flags, flags)                                                                                        \
        return open_any(AT_FDCWD, path, flags, mode);                                                                  \
    }

#define DEFINE_OPENAT(name)                                                                                            \
    EXPORT int name(int dir, const char *path, int flags, ...);                                                        \
    EXPORT int name(int dir, const char *path, int flags, ...)                                                         \
    {                                                                                                                  \
        OPEN_MODE(flags, flags)                                                                                        \
        return open_any(dir, path, flags, mode);                                                                       \
    }

/* What the C library's headers make of calls whose flags they do not know. */
#define DEFINE_OPEN_2(name)                                                                                            \
    EXPORT int name(const char *path, int flags);                                                                      \
    EXPORT int name(const char *path, int flags)                                                                       \
    {                                                                                                                  \
        return open_any(AT_FDCWD, path, flags, 0);                                                                     \
    }

#define DEFINE_OPENAT_2(name)                                                                                          \
    EXPORT int name(int dir, const char *path, int flags);                                                             \
    EXPORT int name(int dir, const char *path, int flags)                                                              \
    {                                                                                                                  \
        return open_any(dir, path, flags, 0);                                                                          \
    }

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)
DEFINE_OPEN_2(__open_2)
DEFINE_OPEN_2(__open64_2)
DEFINE_OPENAT_2(__openat_2)
DEFINE_OPENAT_2(__openat64_2)

/* --- ioctls ----------------------------------------------------------------------------------------------------- */

static int send_request(int fd, struct device *device, const struct ipmi_req *req)
{
    const struct ipmi_system_interface_addr *address = (const void *)req->addr;

    if (req->msg.data_len > IPMI_MAX_MSG_LENGTH || req->addr_len < sizeof(*address) ||
        address->addr_type != IPMI_SYSTEM_INTERFACE_ADDR_TYPE) {
        errno = EINVAL;
        return -1;
    }
    if (fault_is("silent"))
        return 0;
    device->sequence++;
    device->pending[device->sequence] = (struct pending){req->msgid, req->msg.netfn, req->msg.cmd};
    if (fault_is("gone") || !put_request(fd, device->sequence, address->lun, &req->msg)) {
        errno = ENODEV;
        return -1;
    }
    return 0;
}

/* As the kernel gives an answer: the number and the system interface's address are those of the request. */
static int give(const struct device *device, const struct message *message, struct ipmi_recv *recv, bool cut)
{
    const struct pending *pending = &device->pending[message->bytes[0]];
    struct ipmi_system_interface_addr address = {.addr_type = IPMI_SYSTEM_INTERFACE_ADDR_TYPE,
                                                 .channel = IPMI_BMC_CHANNEL};
    size_t n = message->n - 4; /* without sequence number, netfn, command and checksum */
    int r = 0;

    if (recv->addr_len < sizeof(address)) {
        errno = EINVAL;
        return -1;
    }
    memcpy(recv->addr, &address, sizeof(address));
    recv->addr_len = sizeof(address);
    recv->recv_type = IPMI_RESPONSE_RECV_TYPE;
    recv->msgid = pending->id;
    recv->msg.netfn = pending->netfn | 1;
    recv->msg.cmd = pending->cmd;
    if (n > recv->msg.data_len) {
        errno = EMSGSIZE;
        r = -1;
        if (!cut)
            return r;
        n = recv->msg.data_len;
    }
    memcpy(recv->msg.data, message->bytes + 3, n);
    recv->msg.data_len = (unsigned short)n;
    return r;
}

static int receive(int fd, const struct device *device, struct ipmi_recv *recv, bool cut)
{
    struct message message;
    int r = get_message(fd, 0, &message);

    if (r <= 0) {
        errno = r < 0 ? ENODEV : EAGAIN;
        return -1;
    }
    return give(device, &message, recv, cut);
}

static int ipmi_ioctl(int fd, struct device *device, unsigned long request, void *arg)
{
    switch (request) {
    case IPMICTL_SEND_COMMAND:
        return send_request(fd, device, arg);
    case IPMICTL_SEND_COMMAND_SETTIME:
        return send_request(fd, device, &((struct ipmi_req_settime *)arg)->req);
    case IPMICTL_RECEIVE_MSG:
    case IPMICTL_RECEIVE_MSG_TRUNC:
        return receive(fd, device, arg, request == IPMICTL_RECEIVE_MSG_TRUNC);
    case IPMICTL_GET_MY_ADDRESS_CMD:
        *(unsigned int *)arg = 0x20;
        return 0;
    case IPMICTL_GET_MY_LUN_CMD:
        *(unsigned int *)arg = 0;
        return 0;
    case IPMICTL_SET_GETS_EVENTS_CMD:
    case IPMICTL_SET_MY_ADDRESS_CMD:
    case IPMICTL_SET_MY_LUN_CMD:
        return 0;
    default:
        errno = EINVAL;
        return -1;
    }
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list args;

    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (fd >= 0 && fd < FDS_MAX && devices[fd] && _IOC_TYPE(request) == IPMI_IOC_MAGIC)
        return ipmi_ioctl(fd, devices[fd], request, arg);
    return (int)syscall(SYS_ioctl, fd, request, arg);
}
