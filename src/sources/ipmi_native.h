/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's power from its BMC through a transport: by DCMI, or by the sensors that its data records describe. */
#ifndef CARNOT_SOURCES_IPMI_NATIVE_H
#define CARNOT_SOURCES_IPMI_NATIVE_H

#include "base/buf.h"
#include "base/clock.h"
#include "sources/ipmi.h"
#include "sources/ipmi_dev.h"
#include "sources/ipmi_sdr.h"

/* Reading the records takes a request or two for each of some hundred, 5 to 30 ms each, once at the start. */
#define IPMI_WALK_TIMEOUT_NS (15 * NS_PER_SEC)

struct ipmi_native;

/* Takes the transport, also on failure. `way`: IPMI_AUTO, IPMI_DCMI or IPMI_SENSOR. With IPMI_AUTO a power must be told
 * now; a way that was named is opened too when the BMC knows it but has no figure at the moment. -ENODEV: the BMC tells
 * no power. */
int ipmi_native_open(struct ipmi_transport *transport, struct carnot_clock *clock, enum ipmi_way way,
                     struct ipmi_native **ret_native, struct carnot_err *err);

/* -ENODATA: not measuring just now. Ends within IPMI_TIMEOUT_NS. */
int ipmi_native_ask(struct ipmi_native *native, struct ipmi_power *ret, struct carnot_err *err);

/* What is read, as one line; only what is fixed at open. */
void ipmi_native_describe(const struct ipmi_native *native, struct buf *out);

struct ipmi_native *ipmi_native_close(struct ipmi_native *native); /* NULL-safe, returns NULL */

#endif
