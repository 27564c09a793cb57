/* SPDX-License-Identifier: Apache-2.0 */
/* Power of the whole machine as its board management controller (BMC) tells it: a figure that is renewed every second
 * or more seldom and takes milliseconds to ask for. The meter counts it until the next one is told, and drops it when
 * that does not come. Knows when to ask and which answer is new; no message (ipmi_native.c) and no program's output
 * (ipmi_command.c). */
#include "sources/ipmi.h"

#include <errno.h>
#include <stdio.h>

#include "sources/ipmi_command.h"
#include "sources/ipmi_native.h"
#include "sources/ipmi_text.h"
#include "sources/registry.h"

struct ipmi {
    /* fixed at open */
    struct carnot_clock *clock;
    enum ipmi_way asked_for;
    struct ipmi_native *native; /* one of the two */
    struct ipmi_command *command;
    struct domain domain;
    /* changed by read() */
    uint64_t ask_ns;   /* a program is not run before */
    uint64_t stamp;    /* of the sample at hand; 0: not told */
    uint64_t fresh_ns; /* when that was first seen */
    bool stamp_moves;  /* it changed once: then the same one means the same sample */
};

/* --- settings --------------------------------------------------------------------------------------------------- */

static const char *const way_names[] = {"auto", "dcmi", "sensor", "ipmi-dcmi", "ipmitool", "ipmiutil", "capmc", NULL};
static const char *const privilege_names[] = {"user", "operator", "administrator", NULL};
static const char *const cipher_names[] = {"auto", "3", "17", NULL};

static struct ipmi_settings default_settings = {
    .way = IPMI_AUTO,
    .lan_port = 623,
};

#define FIELD(member) offsetof(struct ipmi_settings, member)

static const struct carnot_option options[] = {
    {.name = "ipmi.way",
     .type = OPTION_ENUM,
     .offset = FIELD(way),
     .def = "auto",
     .choices = way_names,
     .help =
         "How the BMC is asked; auto takes dcmi, else sensor, through the kernel's device. The others are programs. "
         "capmc tells the power of the whole system, which goes into no total."},
    {.name = "ipmi.device",
     .type = OPTION_U64,
     .offset = FIELD(device),
     .def = "0",
     .metavar = "N",
     .max = 255, /* the kernel numbers them from 0; nobody has ten */
     .help = "The BMC's device, /dev/ipmiN."},
    {.name = "ipmi.lan-host",
     .type = OPTION_STRING,
     .offset = FIELD(lan_host),
     .def = "",
     .metavar = "HOST",
     .help = "Ask this machine's BMC over the network at HOST (IPMI 2.0, by ipmitool)."},
    {.name = "ipmi.lan-port",
     .type = OPTION_U64,
     .offset = FIELD(lan_port),
     .def = "623",
     .metavar = "PORT",
     .min = 1,
     .max = 65535,
     .help = "UDP port of the BMC."},
    {.name = "ipmi.lan-user",
     .type = OPTION_STRING,
     .offset = FIELD(lan_user),
     .def = "",
     .metavar = "NAME",
     .help = "Account of the BMC."},
    {.name = "ipmi.lan-password-file",
     .type = OPTION_STRING,
     .offset = FIELD(lan_password_file),
     .def = "",
     .metavar = "FILE",
     .help = "File with the account's password on its first line, readable by its owner alone."},
    {.name = "ipmi.lan-privilege",
     .type = OPTION_ENUM,
     .offset = FIELD(lan_privilege),
     .def = "user",
     .choices = privilege_names,
     .help = "Privilege level of the session; DCMI asks for user, some BMCs want more."},
    {.name = "ipmi.lan-cipher-suite",
     .type = OPTION_ENUM,
     .offset = FIELD(lan_cipher),
     .def = "auto",
     .choices = cipher_names,
     .help = "Cipher suite of the session; auto lets ipmitool ask for the best, which BMCs that do not answer that "
             "question make slow."},
};

static const struct ipmi_settings *settings_of(const struct source_args *args)
{
    return args->settings ? args->settings : &default_settings;
}

static bool over_lan(const struct ipmi_settings *settings)
{
    return settings->lan_host && settings->lan_host[0];
}

static bool is_native(enum ipmi_way way)
{
    return way == IPMI_AUTO || way == IPMI_DCMI || way == IPMI_SENSOR;
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static int open_native(const struct source_args *args, struct ipmi *ipmi, struct carnot_err *err)
{
    const struct ipmi_settings *settings = settings_of(args);
    struct ipmi_transport transport;
    int r = ipmi_dev_open(args->env, (unsigned)settings->device, &transport, err);

    if (r < 0)
        return r;
    return ipmi_native_open(&transport, args->env->clock, ipmi->asked_for, &ipmi->native, err);
}

/* Programs are run where they are asked for: they have our user and fewer rights, so that a device that is forbidden to
 * us is to them, and a BMC that answers us tells them nothing else. */
static int open_way(const struct source_args *args, struct ipmi *ipmi, struct carnot_err *err)
{
    const struct ipmi_settings *settings = settings_of(args);

    if (over_lan(settings))
        return ipmi_command_open(args->env, IPMI_IPMITOOL, settings, &ipmi->command, err);
    if (!is_native(ipmi->asked_for))
        return ipmi_command_open(args->env, ipmi->asked_for, settings, &ipmi->command, err);
    return open_native(args, ipmi, err);
}

static struct domain make_domain(enum ipmi_way way)
{
    bool whole_system = way == IPMI_CAPMC;
    struct domain domain = {
        .kind = whole_system ? DOMAIN_OTHER : DOMAIN_HOST,
        .quality = QUALITY_DERIVED,
        .package = -1,
        .die = -1,
        .node = -1,
        .source = source_ipmi.name,
        .max_uw = whole_system ? IPMI_SYSTEM_MAX_UW : IPMI_MAX_UW,
    };

    snprintf(domain.name, sizeof(domain.name), "%s", whole_system ? "system-capmc" : "host-ipmi");
    return domain;
}

static void *ipmi_close(void *self)
{
    struct ipmi *ipmi = self;

    if (ipmi) {
        ipmi_native_close(ipmi->native);
        ipmi_command_close(ipmi->command);
    }
    free(ipmi);
    return NULL;
}

static int ipmi_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    const struct ipmi_settings *settings = settings_of(args);
    int r = ipmi_command_check(args->env, (enum ipmi_way)settings->way, settings, err);

    if (r < 0)
        return r;
    struct ipmi *ipmi = calloc(1, sizeof(*ipmi));
    if (!ipmi)
        return carnot_err_set(err, ENOMEM, "out of memory for the BMC");
    ipmi->clock = args->env->clock;
    ipmi->asked_for = (enum ipmi_way)settings->way;
    r = open_way(args, ipmi, err);
    if (r < 0) {
        ipmi_close(ipmi);
        return r;
    }
    ipmi->domain = make_domain(ipmi->asked_for);
    *ret_self = ipmi;
    return 0;
}

/* Whether a BMC tells its power is known when it has told it. Adding a program that was added before adds none. */
static int ipmi_probe(const struct source_args *args, struct carnot_err *err)
{
    void *self;
    int r = ipmi_open(args, &self, err);

    if (r == 0)
        ipmi_close(self);
    return r;
}

static size_t ipmi_domains(const void *self, const struct domain **ret_domains)
{
    const struct ipmi *ipmi = self;

    *ret_domains = &ipmi->domain;
    return 1;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* A BMC whose time stamp never moves tells nothing by it. */
static bool is_same_sample(struct ipmi *ipmi, const struct ipmi_power *power)
{
    bool same = power->stamp != 0 && power->stamp == ipmi->stamp;

    if (power->stamp != 0 && ipmi->stamp != 0 && !same)
        ipmi->stamp_moves = true;
    ipmi->stamp = power->stamp;
    return same && ipmi->stamp_moves;
}

static int judge_age(struct ipmi *ipmi, const struct ipmi_power *power, uint64_t now_ns, struct carnot_err *err)
{
    if (!is_same_sample(ipmi, power))
        ipmi->fresh_ns = now_ns;
    if (now_ns - ipmi->fresh_ns <= IPMI_SAMPLE_MAX_NS)
        return 0;
    return carnot_err_set(err, ESTALE,
                          "the BMC has told the same sample for over %u s: see whether `ipmitool dcmi power reading` "
                          "moves; a BMC reset (`ipmitool mc reset cold`) may mend it",
                          (unsigned)(IPMI_SAMPLE_MAX_NS / NS_PER_SEC));
}

/* The call fails when the BMC does not answer or answers nonsense, so that it is asked more and more seldom; that it
 * measures nothing just now, or the same for long, is no reason for that. */
static int ipmi_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct ipmi *ipmi = self;
    struct ipmi_power power = {0};

    out[0] = (struct reading){.status = -ENODATA, .mono_ns = now_mono_ns};
    /* Reads come at the interval of the device, a little early or late. */
    if (ipmi->command && now_mono_ns + IPMI_DEVICE_INTERVAL_NS / 2 < ipmi->ask_ns)
        return 1;
    int r = ipmi->native ? ipmi_native_ask(ipmi->native, &power, err) : ipmi_command_ask(ipmi->command, &power, err);
    if (r < 0 && r != -ENODATA)
        return r;
    ipmi->ask_ns = now_mono_ns + IPMI_COMMAND_INTERVAL_NS;
    out[0].mono_ns = clock_now(ipmi->clock).mono_ns;
    if (r == 0)
        r = judge_age(ipmi, &power, out[0].mono_ns, err);
    out[0].status = r;
    out[0].is_power = r == 0;
    out[0].power_uw = r == 0 ? power.power_uw : 0;
    return 1;
}

/* After a suspend the program is run at once. */
static void ipmi_reset(void *self, uint64_t now_mono_ns)
{
    struct ipmi *ipmi = self;

    ipmi->ask_ns = 0;
}

/* --- telling ---------------------------------------------------------------------------------------------------- */

/* Uses only what is fixed at open: a read may be in progress on another thread. */
static void ipmi_describe(const void *self, struct buf *out)
{
    const struct ipmi *ipmi = self;
    uint64_t interval_ns = ipmi->native ? IPMI_DEVICE_INTERVAL_NS : IPMI_COMMAND_INTERVAL_NS;

    buf_printf(out, "%s: ", ipmi->domain.name);
    if (ipmi->native)
        ipmi_native_describe(ipmi->native, out);
    else
        ipmi_command_describe(ipmi->command, out);
    buf_printf(out, "; a power, asked for every %u s\n", (unsigned)(interval_ns / NS_PER_SEC));
    if (ipmi->domain.kind == DOMAIN_OTHER)
        buf_printf(out, "%s: the power of the whole system, a mean over 10 minutes; hence in no total\n",
                   ipmi->domain.name);
}

const struct source_ops source_ipmi = {
    .name = "ipmi",
    .summary = "power of the machine from its BMC (IPMI: DCMI, power sensors, or ipmi-dcmi, ipmitool, ipmiutil, capmc)",
    .flags = SOURCE_SLOW | SOURCE_ON_BY_DEFAULT,
    .options = options,
    .n_options = ELEMENTSOF(options),
    .settings = &default_settings,
    .min_interval_ns = IPMI_DEVICE_INTERVAL_NS,
    .probe = ipmi_probe,
    .open = ipmi_open,
    .domains = ipmi_domains,
    .read = ipmi_read,
    .reset = ipmi_reset,
    .describe = ipmi_describe,
    .close = ipmi_close,
};
