/* SPDX-License-Identifier: Apache-2.0 */
/* One request to a BMC and its answer: what a way to it can do, and the way that the kernel's driver gives, /dev/ipmi0.
 * Knows nothing of what the bytes mean. */
#ifndef CARNOT_SOURCES_IPMI_DEV_H
#define CARNOT_SOURCES_IPMI_DEV_H

#include "base/fsroot.h"
#include "sources/ipmi_msg.h"

/* The kernel's driver gives up on the BMC after 5 s itself and then answers with a completion code; a read of a source
 * must end before ENERGY_CLOSE_WAIT_NS (meter/energy.h). */
#define IPMI_TIMEOUT_NS (5 * NS_PER_SEC)

struct ipmi_transport_ops {
    /* Sends and waits for the answer to this very request until deadline_ns (monotonic). 0 when an answer came,
     * whatever its completion code; -ETIMEDOUT: none came; -ENODEV, -EACCES, -EIO: the way itself failed. */
    int (*exchange)(void *self, const struct ipmi_request *request, uint64_t deadline_ns, struct ipmi_answer *ret,
                    struct carnot_err *err);
    void *(*close)(void *self); /* NULL-safe, returns NULL */
};

struct ipmi_transport {
    const struct ipmi_transport_ops *ops;
    void *self;
};

/* The BMC behind device number `device`: /dev/ipmiN, /dev/ipmi/N or /dev/ipmidev/N, whichever is there. env lives until
 * close. -ENODEV: no such device (the sentence says how it may come); -EACCES, -EPERM: no right to open it. A device
 * that goes is opened again at a later exchange. */
int ipmi_dev_open(const struct carnot_env *env, unsigned device, struct ipmi_transport *ret_transport,
                  struct carnot_err *err);

/* Sends, and puts a status in the place of an answer that is none: what `parse` returned for it. */
static inline int ipmi_exchange(const struct ipmi_transport *transport, const struct ipmi_request *request,
                                uint64_t deadline_ns, struct ipmi_answer *ret, struct carnot_err *err)
{
    return transport->ops->exchange(transport->self, request, deadline_ns, ret, err);
}

static inline void ipmi_transport_close(struct ipmi_transport *transport)
{
    if (transport->ops)
        transport->self = transport->ops->close(transport->self);
    transport->ops = NULL;
}

/* IPv4 address, as text, of the network interface of the BMC behind device number `device`: what Redfish and IPMI over
 * LAN are reached at. -ENODATA: none is set; -ENODEV, -EACCES as above; -E2BIG: `size` is too small (16 do). */
int ipmi_bmc_address(const struct carnot_env *env, unsigned device, char *ret_address, size_t size,
                     struct carnot_err *err);

#endif
