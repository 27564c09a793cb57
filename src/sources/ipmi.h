/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the IPMI source, for its parts and its tests; programs use source_registry. */
#ifndef CARNOT_SOURCES_IPMI_H
#define CARNOT_SOURCES_IPMI_H

#include "base/util.h"

enum ipmi_way {
    IPMI_AUTO,     /* dcmi, else sensor; over the network ipmitool */
    IPMI_DCMI,     /* the kernel's device, DCMI Get Power Reading */
    IPMI_SENSOR,   /* the kernel's device, sensors in watts */
    IPMI_FREEIPMI, /* ipmi-dcmi */
    IPMI_IPMITOOL,
    IPMI_IPMIUTIL,
    IPMI_CAPMC, /* of the whole system, not of this node: only where it is asked for */
};

struct ipmi_settings {
    int way;              /* enum ipmi_way */
    uint64_t device;      /* N of /dev/ipmiN */
    const char *lan_host; /* "": this machine's own BMC, from inside */
    uint64_t lan_port;
    const char *lan_user;
    const char *lan_password_file;
    int lan_privilege; /* enum ipmi_privilege */
    int lan_cipher;    /* enum ipmi_cipher */
};

enum ipmi_privilege { IPMI_PRIVILEGE_USER, IPMI_PRIVILEGE_OPERATOR, IPMI_PRIVILEGE_ADMINISTRATOR };

/* Those that authenticate and encrypt: 3 is SHA-1 with AES, 17 SHA-256 with AES. */
enum ipmi_cipher { IPMI_CIPHER_AUTO, IPMI_CIPHER_3, IPMI_CIPHER_17 };

/* A BMC looks at its supplies once in one to some seconds, and a request to it keeps a kernel thread busy for 5 to 30
 * ms (KCS, byte by byte); a program costs some 30 ms of CPU time more. Both stay below half a percent of a CPU so, and
 * one answer may fail before the meter drops the last power (ENERGY_HOLD_INTERVALS in meter/energy.h). */
#define IPMI_DEVICE_INTERVAL_NS  (5 * 1000000000ULL)
#define IPMI_COMMAND_INTERVAL_NS (10 * 1000000000ULL)

/* A power supply that answered before and does not now holds the sum back for so long: shorter than the meter holds the
 * last sum, so that there is no gap when it was pulled. */
#define IPMI_SILENCE_NS (15 * 1000000000ULL)

/* BMCs renew their sample once a minute or more often. The same one for longer comes from one that has stopped. */
#define IPMI_SAMPLE_MAX_NS (120 * 1000000000ULL)

#endif
