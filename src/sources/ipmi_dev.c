/* SPDX-License-Identifier: Apache-2.0 */
/* See ipmi_dev.h. The driver (OpenIPMI, linux/ipmi.h) queues answers per open file and gives back with each one the
 * number that its request had. An answer that comes after its deadline stays in that queue and is the first to be read
 * at the next request: by its number it is known, and dropped. */
#include "sources/ipmi_dev.h"

#include <errno.h>
#include <linux/ipmi.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define PATH_MAX_LEN 32 /* "dev/ipmidev/4294967295" */

/* Older answers and events of others between two of ours; a device that only ever gives such is broken. */
#define FOREIGN_MAX 256

/* Channels that may be the network's: 1 to 11; of the rest none can be (IPMI 2.0, table 6-1). */
#define LAN_CHANNEL_MAX 0x0B

struct ipmi_dev {
    const struct carnot_env *env;
    unsigned device;
    char path[PATH_MAX_LEN]; /* below the root; of the last that could be opened */
    int fd;                  /* -1: gone, to be opened again */
    long id;                 /* of the last request */
};

/* --- the device file -------------------------------------------------------------------------------------------- */

static const char *const places[] = {"dev/ipmi", "dev/ipmi/", "dev/ipmidev/"};

/* What stands before "/dev": nothing where the root is "/". */
static const char *root_of(const struct ipmi_dev *dev)
{
    const char *path = dev->env->root.path;

    return strcmp(path, "/") == 0 ? "" : path;
}

static int explain_absent(const struct ipmi_dev *dev, struct carnot_err *err)
{
    bool has_bmc = fsroot_exists(&dev->env->sys, "firmware/dmi/entries/38-0"); /* SMBIOS: IPMI Device Information */

    if (has_bmc)
        return carnot_err_set(err, ENODEV,
                              "no %s/dev/ipmi%u, though the firmware tells of a BMC: `modprobe ipmi_si` (or ipmi_ssif) "
                              "and `modprobe ipmi_devintf` bring it",
                              root_of(dev), dev->device);
    return carnot_err_set(err, ENODEV, "no %s/dev/ipmi%u: most machines but servers have no BMC", root_of(dev),
                          dev->device);
}

static int explain_open(const struct ipmi_dev *dev, const char *path, int code, struct carnot_err *err)
{
    if (code == -EACCES || code == -EPERM)
        return carnot_err_set(
            err, code,
            "no right to open %s/%s: run as root, or give the program CAP_DAC_READ_SEARCH, or let a "
            "udev rule do `chmod g+r` and `chgrp carnot` on it (under systemd DeviceAllow=char-ipmidev r)",
            root_of(dev), path);
    return carnot_err_errno(err, code, "cannot open %s/%s", root_of(dev), path);
}

/* Reading is enough: the driver asks for no right to write. The first place that is there counts. */
static int open_device(struct ipmi_dev *dev, struct carnot_err *err)
{
    for (size_t i = 0; i < ELEMENTSOF(places); i++) {
        char path[PATH_MAX_LEN];

        snprintf(path, sizeof(path), "%s%u", places[i], dev->device);
        int fd = fsroot_openat(&dev->env->root, path, 0, NULL);
        if (fd == -ENOENT || fd == -ENOTDIR || fd == -ENXIO || fd == -ENODEV)
            continue;
        if (fd < 0)
            return explain_open(dev, path, fd, err);
        memcpy(dev->path, path, sizeof(path));
        dev->fd = fd;
        return 0;
    }
    return explain_absent(dev, err);
}

/* --- one request ------------------------------------------------------------------------------------------------ */

static int explain_failure(struct ipmi_dev *dev, const char *what, int code, struct carnot_err *err)
{
    if (code == -ENODEV || code == -ENXIO) {
        close(dev->fd);
        dev->fd = -1;
        return carnot_err_set(err, ENODEV, "%s/%s is gone; it is opened again when its driver brings it back",
                              root_of(dev), dev->path);
    }
    return carnot_err_errno(err, code, "cannot %s %s/%s", what, root_of(dev), dev->path);
}

static int send_request(struct ipmi_dev *dev, const struct ipmi_request *request, struct carnot_err *err)
{
    struct ipmi_system_interface_addr address = {
        .addr_type = IPMI_SYSTEM_INTERFACE_ADDR_TYPE, .channel = IPMI_BMC_CHANNEL, .lun = request->lun};
    uint8_t data[IPMI_REQUEST_MAX];
    struct ipmi_req req = {
        .addr = (unsigned char *)&address,
        .addr_len = sizeof(address),
        .msgid = ++dev->id,
        .msg = {.netfn = request->netfn, .cmd = request->cmd, .data_len = request->n, .data = data},
    };

    memcpy(data, request->data, sizeof(data));
    if (ioctl(dev->fd, IPMICTL_SEND_COMMAND, &req) < 0)
        return explain_failure(dev, "send a request to", -errno, err);
    return 0;
}

/* 1: ours is in *ret; 0: nothing of ours was there; negative: the device failed. */
static int receive(struct ipmi_dev *dev, const struct ipmi_request *request, struct ipmi_answer *ret,
                   struct carnot_err *err)
{
    struct ipmi_addr address;
    struct ipmi_recv recv = {
        .addr = (unsigned char *)&address,
        .addr_len = sizeof(address),
        .msg = {.data = ret->data, .data_len = sizeof(ret->data)},
    };
    int r = ioctl(dev->fd, IPMICTL_RECEIVE_MSG_TRUNC, &recv) < 0 ? -errno : 0;

    if (r == -EAGAIN || r == -EINTR)
        return 0;
    if (r < 0 && r != -EMSGSIZE) /* cut to our room, which is the driver's own limit */
        return explain_failure(dev, "read an answer from", r, err);
    if (recv.recv_type != IPMI_RESPONSE_RECV_TYPE || recv.msgid != dev->id || recv.msg.netfn != (request->netfn | 1) ||
        recv.msg.cmd != request->cmd)
        return 0;
    ret->n = min_size(recv.msg.data_len, sizeof(ret->data));
    return 1;
}

/* 1: there is something to read; 0: the time is up; negative: the device failed. */
static int await(const struct ipmi_dev *dev, uint64_t deadline_ns)
{
    uint64_t now_ns = clock_now(dev->env->clock).mono_ns;
    uint64_t left_ns = now_ns < deadline_ns ? deadline_ns - now_ns : 0;
    struct timespec wait = {.tv_sec = (time_t)(left_ns / NS_PER_SEC), .tv_nsec = (long)(left_ns % NS_PER_SEC)};
    struct pollfd event = {.fd = dev->fd, .events = POLLIN};
    int r = ppoll(&event, 1, &wait, NULL);

    if (r < 0)
        return errno == EINTR ? 1 : -errno;
    return r > 0 && !(event.revents & POLLIN) ? -ENODEV : r;
}

static int dev_exchange(void *self, const struct ipmi_request *request, uint64_t deadline_ns, struct ipmi_answer *ret,
                        struct carnot_err *err)
{
    struct ipmi_dev *dev = self;
    int r = dev->fd < 0 ? open_device(dev, err) : 0;

    if (r < 0)
        return r;
    r = send_request(dev, request, err);
    for (int i = 0; r == 0 && i < FOREIGN_MAX; i++) {
        r = await(dev, deadline_ns);
        if (r < 0)
            return explain_failure(dev, "wait for", r, err);
        if (r == 0)
            return carnot_err_set(
                err, ETIMEDOUT,
                "the BMC has not answered %s in time; it is asked again, and `ipmitool mc info` tells "
                "whether it answers at all",
                request->name);
        r = receive(dev, request, ret, err);
    }
    if (r == 0)
        return carnot_err_set(err, EPROTO, "%s/%s gives only answers to others: close what else uses it, or report it",
                              root_of(dev), dev->path);
    return r < 0 ? r : 0;
}

static void *dev_close(void *self)
{
    struct ipmi_dev *dev = self;

    if (dev)
        cleanup_closep(&dev->fd);
    free(dev);
    return NULL;
}

static const struct ipmi_transport_ops dev_ops = {.exchange = dev_exchange, .close = dev_close};

int ipmi_dev_open(const struct carnot_env *env, unsigned device, struct ipmi_transport *ret_transport,
                  struct carnot_err *err)
{
    _cleanup_free_ struct ipmi_dev *dev = calloc(1, sizeof(*dev));

    if (!dev)
        return carnot_err_set(err, ENOMEM, "out of memory for the BMC's device");
    *dev = (struct ipmi_dev){.env = env, .device = device, .fd = -1};
    int r = open_device(dev, err);
    if (r < 0)
        return r;
    *ret_transport = (struct ipmi_transport){.ops = &dev_ops, .self = TAKE_PTR(dev)};
    return 0;
}

/* --- where the BMC is on the network ---------------------------------------------------------------------------- */

/* Makers differ in which channel is the network; those that are something else refuse. */
static int find_address(const struct ipmi_transport *transport, uint64_t deadline_ns, uint8_t ret_address[4],
                        struct carnot_err *err)
{
    for (uint8_t channel = 1; channel <= LAN_CHANNEL_MAX; channel++) {
        struct ipmi_request request = ipmi_ask_lan_address(channel);
        struct ipmi_answer answer;
        int r = ipmi_exchange(transport, &request, deadline_ns, &answer, err);

        if (r < 0)
            return r;
        if (ipmi_parse_lan_address(&answer, ret_address) == 0)
            return 0;
    }
    return carnot_err_set(err, ENODATA,
                          "the BMC tells no IPv4 address of its own: see `ipmitool lan print`, or name the address");
}

int ipmi_bmc_address(const struct carnot_env *env, unsigned device, char *ret_address, size_t size,
                     struct carnot_err *err)
{
    struct ipmi_transport transport = {0};
    uint8_t address[4];
    char text[16];
    int r = ipmi_dev_open(env, device, &transport, err);

    if (r < 0)
        return r;
    r = find_address(&transport, clock_now(env->clock).mono_ns + IPMI_TIMEOUT_NS, address, err);
    ipmi_transport_close(&transport);
    if (r < 0)
        return r;
    int n = snprintf(text, sizeof(text), "%u.%u.%u.%u", address[0], address[1], address[2], address[3]);
    if (n < 0 || (size_t)n >= size)
        return carnot_err_set(err, E2BIG, "no room for the address of the BMC");
    memcpy(ret_address, text, (size_t)n + 1);
    return 0;
}
