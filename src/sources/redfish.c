/* SPDX-License-Identifier: Apache-2.0 */
/* Power and energy of the machine from its BMC, by Redfish: a domain for each chassis that tells one. The BMC may be
 * slow, busy, restarting or not there when we start; then there is no reading, and never one of 0 W. Only where it is
 * configured. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sources/ipmi_dev.h"
#include "sources/redfish_inventory.h"
#include "sources/registry.h"

/* Powers that lie this far apart are still bridged, since some BMCs have a new one once a minute; a sensor that shows
 * the same sample for longer does not answer. */
#define STALE_AFTER_NS (120 * NS_PER_SEC)

/* A chassis without a figure for so long is looked at anew: new firmware may tell it elsewhere. */
#define LOOK_AGAIN_NS (60 * NS_PER_SEC)

/* To look at everything at the start, in times of redfish.timeout: some dozen requests instead of one. In all less than
 * service managers wait for a program to be ready. */
#define START_TIMEOUTS 3
#define START_MAX_NS   (30 * NS_PER_SEC)

#define MIN_INTERVAL_NS NS_PER_SEC        /* BMCs sample once a second at best */
#define INTERVAL_JITTER (NS_PER_SEC / 10) /* by which a call may come early */
#define DESCRIPTION_MAX 16384             /* two lines for each chassis */

/* One chassis and what its figures have come to. */
struct channel {
    struct redfish_meter meter;
    enum redfish_kinds kinds;    /* that it may be read by: once a counter, always one */
    char time[REDFISH_TIME_MAX]; /* of the last sample, by the BMC's clock */
    uint64_t counter_uj;         /* the last one */
    bool has_counter;
    int status;        /* of the last reading */
    uint64_t new_ns;   /* when something new was last seen */
    uint64_t again_ns; /* look for a way anew; 0: no need */
};

struct redfish {
    struct redfish_config config;
    struct redfish_service *service;
    struct carnot_clock *clock;
    bool known; /* what there is; else the BMC has not answered so far, and the one domain is a promise */
    size_t n;
    size_t turn; /* the chassis after the first that comes first in the next round */
    uint64_t due_ns;
    struct carnot_err last; /* of the last round */
    struct domain domains[REDFISH_CHASSIS_MAX];
    struct channel channels[REDFISH_CHASSIS_MAX];
    struct buf description; /* made at open: describe() may run beside a read() */
};

/* --- opening ---------------------------------------------------------------------------------------------------- */

static const struct redfish_settings *settings_of(const struct source_args *args)
{
    return args->settings ? args->settings : &redfish_default_settings;
}

static int redfish_probe(const struct source_args *args, struct carnot_err *err)
{
    struct redfish_config config;
    struct redfish_service *service = NULL;
    int r = redfish_config_load(settings_of(args), args->env, NULL, &config, err);

    if (r < 0)
        return r;
    if (config.base[0])
        r = redfish_service_open(&config, args->env->clock, &service, err);
    redfish_service_close(service);
    redfish_config_done(&config);
    return r;
}

/* Something that passes: the BMC restarts, the network is not up yet. */
static bool is_transient(int r)
{
    static const int codes[] = {EAGAIN,      ETIMEDOUT, ECONNREFUSED, ECONNRESET, EHOSTUNREACH,
                                ENETUNREACH, EHOSTDOWN, ENETDOWN,     EIO,        EADDRNOTAVAIL};

    for (size_t i = 0; i < ELEMENTSOF(codes); i++)
        if (r == -codes[i])
            return true;
    return false;
}

static void make_domain(struct redfish *redfish, size_t i, bool host, bool counter)
{
    const struct redfish_chassis *chassis = &redfish->channels[i].meter.chassis;
    char base[REDFISH_ID_MAX];

    redfish->domains[i] = (struct domain){
        .kind = host ? DOMAIN_HOST : DOMAIN_OTHER,
        .quality = counter ? QUALITY_MEASURED : QUALITY_DERIVED,
        .package = -1,
        .die = -1,
        .node = -1,
        .source = source_redfish.name,
        .max_uw = REDFISH_MAX_UW,
    };
    snprintf(base, sizeof(base), "%s", host ? "host" : chassis->id);
    domain_plain_name(base);
    domain_set_unique_name(redfish->domains, i, base, "-redfish");
}

static void make_channel(struct channel *channel, const struct redfish_meter *meter, uint64_t now_ns)
{
    *channel = (struct channel){.meter = *meter, .new_ns = now_ns};
    if (meter->way == REDFISH_WAYS)
        channel->again_ns = now_ns;
    else
        channel->kinds = redfish_way_is_counter(meter->way) ? REDFISH_COUNTERS : REDFISH_POWERS;
}

/* The host comes first: it is asked first. */
static void take_inventory(struct redfish *redfish, const struct redfish_inventory *inventory)
{
    uint64_t now_ns = clock_now(redfish->clock).mono_ns;
    size_t first = inventory->host > 0 ? (size_t)inventory->host : 0;

    redfish->n = inventory->n;
    for (size_t i = 0; i < inventory->n; i++) {
        size_t from = i == 0 ? first : i <= first ? i - 1 : i;
        enum redfish_way way = inventory->meters[from].way;

        make_channel(&redfish->channels[i], &inventory->meters[from], now_ns);
        make_domain(redfish, i, inventory->host == (int)from, way != REDFISH_WAYS && redfish_way_is_counter(way));
    }
    redfish->known = true;
}

static void describe_access(const struct redfish *redfish, struct buf *out)
{
    const struct redfish_config *config = &redfish->config;
    const char *origin = redfish_service_origin(redfish->service);

    buf_printf(out, "BMC at %s", origin);
    if (config->target)
        buf_printf(out, ", which passes on to %s", config->target);
    buf_puts(out, !config->user     ? ", nobody logs in"
                  : config->session ? ", with sessions"
                                    : ", with basic authentication");
    if (config->user)
        buf_printf(out, " of user %.40s", config->user);
    buf_putc(out, '\n');
    if (config->user && strncmp(config->base, "http:", 5) == 0)
        buf_puts(out, "the password goes through the network unencrypted: use an https URL\n");
    if (config->insecure)
        buf_puts(out,
                 "the BMC's certificate is not looked at: use redfish.tls-ca-file instead of redfish.tls-insecure\n");
}

static void describe_inventory(const struct redfish *redfish, const struct redfish_inventory *inventory,
                               struct buf *out)
{
    for (size_t i = 0; i < redfish->n; i++) {
        const struct redfish_meter *meter = &redfish->channels[i].meter;

        buf_printf(out, "%s: chassis %s%s%s, %s%s%s\n", redfish->domains[i].name, meter->chassis.id,
                   meter->chassis.type[0] ? ", " : "", meter->chassis.type, redfish_way_name(meter->way),
                   meter->is_sensor ? ", by its sensor" : "",
                   redfish->domains[i].kind == DOMAIN_OTHER ? "; not known to be this machine, hence in no total" : "");
    }
    if (inventory->n_rivals)
        buf_printf(out, "%u chassis could be this machine, so none is taken for it: name it with --redfish.chassis\n",
                   inventory->n_rivals);
    if (inventory->n_left_out)
        buf_printf(out, "%u more chassis are left out: beyond the %d that are read, or not readable\n",
                   inventory->n_left_out, REDFISH_CHASSIS_MAX);
}

/* The BMC did not answer: the machine has one all the same, so a place is kept for its figure. */
static void promise(struct redfish *redfish, const struct carnot_err *why)
{
    const struct redfish_meter none = {.way = REDFISH_WAYS};

    redfish->n = 1;
    make_channel(&redfish->channels[0], &none, clock_now(redfish->clock).mono_ns);
    make_domain(redfish, 0, true, false);
    buf_printf(
        &redfish->description,
        "%s: the BMC did not answer at the start (%s); it is asked again, and the chassis that is this machine is "
        "read from then on\n",
        redfish->domains[0].name, why->msg);
}

static int find(struct redfish *redfish, struct redfish_inventory *ret_inventory, struct carnot_err *err)
{
    redfish_service_begin(redfish->service, min_u64(START_TIMEOUTS * redfish->config.timeout_ns, START_MAX_NS));
    return redfish_inventory_read(redfish->service, redfish->config.chassis, ret_inventory, err);
}

static void *redfish_close(void *self)
{
    struct redfish *redfish = self;

    if (!redfish)
        return NULL;
    redfish_service_close(redfish->service);
    redfish_config_done(&redfish->config);
    buf_done(&redfish->description);
    free(redfish);
    return NULL;
}

static int start(struct redfish *redfish, struct carnot_err *err)
{
    _cleanup_free_ struct redfish_inventory *inventory = calloc(1, sizeof(*inventory));
    struct carnot_err why = CARNOT_ERR_INIT;

    if (!inventory)
        return carnot_err_set(err, ENOMEM, "out of memory for the BMC's chassis");
    int r = redfish_service_open(&redfish->config, redfish->clock, &redfish->service, err);
    if (r < 0)
        return r;
    describe_access(redfish, &redfish->description);
    r = find(redfish, inventory, &why);
    if (r >= 0) {
        take_inventory(redfish, inventory);
        describe_inventory(redfish, inventory, &redfish->description);
        return 0;
    }
    if (!is_transient(r)) {
        if (err)
            *err = why;
        return r;
    }
    promise(redfish, &why);
    return 0;
}

static int redfish_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    struct redfish *redfish = calloc(1, sizeof(*redfish));

    if (!redfish)
        return carnot_err_set(err, ENOMEM, "out of memory for the BMC");
    buf_init(&redfish->description, DESCRIPTION_MAX);
    redfish->clock = args->env->clock;
    int r = redfish_config_load(settings_of(args), args->env, ipmi_bmc_address, &redfish->config, err);
    if (r >= 0)
        r = start(redfish, err);
    if (r < 0) {
        redfish_close(redfish);
        return r;
    }
    *ret_self = redfish;
    return 0;
}

static size_t redfish_domains(const void *self, const struct domain **ret_domains)
{
    const struct redfish *redfish = self;

    *ret_domains = redfish->domains;
    return redfish->n;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Nothing new, or nothing new for too long. */
static int say_old(const struct redfish *redfish, const struct channel *channel, uint64_t now_ns,
                   struct carnot_err *err)
{
    if (now_ns - channel->new_ns <= STALE_AFTER_NS || channel->meter.way == REDFISH_WAY_KWH)
        return -ENODATA;
    return carnot_err_set(
        err, ESTALE, "%s%s: has shown the same sample for over %u s; see whether the BMC is well, or restart it",
        redfish_service_origin(redfish->service), channel->meter.resource, (unsigned)(STALE_AFTER_NS / NS_PER_SEC));
}

static int take_power(const struct redfish *redfish, struct channel *channel, const struct redfish_figure *figure,
                      struct reading *reading, struct carnot_err *err)
{
    if (figure->time[0] && strcmp(figure->time, channel->time) == 0)
        return say_old(redfish, channel, reading->mono_ns, err);
    memcpy(channel->time, figure->time, sizeof(channel->time));
    channel->new_ns = reading->mono_ns;
    reading->is_power = true;
    reading->power_uw = figure->value;
    return 0;
}

/* A counter that stands where it stood has nothing to say about the time since; when it moves, its energy is that of
 * all the time. Of a coarse one the first step is the first thing known: how much of it had gathered before is not. */
static int take_counter(const struct redfish *redfish, struct channel *channel, const struct redfish_figure *figure,
                        struct reading *reading, struct carnot_err *err)
{
    bool first = !channel->has_counter;
    bool coarse = channel->meter.way == REDFISH_WAY_KWH;

    if (!first && figure->value == channel->counter_uj)
        return say_old(redfish, channel, reading->mono_ns, err);
    channel->has_counter = true;
    channel->counter_uj = figure->value;
    channel->new_ns = reading->mono_ns;
    if (coarse && first)
        return -ENODATA;
    reading->counter_uj = figure->value;
    return 0;
}

static int choose_again(struct redfish *redfish, struct channel *channel, uint64_t now_ns, struct carnot_err *err)
{
    int r;

    channel->again_ns = now_ns + LOOK_AGAIN_NS;
    r = redfish_meter_choose(redfish->service, channel->kinds, &channel->meter, err);
    if (r < 0)
        return r;
    channel->kinds = redfish_way_is_counter(channel->meter.way) ? REDFISH_COUNTERS : REDFISH_POWERS;
    channel->again_ns = 0;
    channel->time[0] = '\0';
    return 0;
}

static int read_channel(struct redfish *redfish, struct channel *channel, uint64_t begin_ns, struct reading *reading,
                        struct carnot_err *err)
{
    struct redfish_figure figure;
    uint64_t called_ns = reading->mono_ns;
    int r = 0;

    if (channel->again_ns && called_ns >= channel->again_ns)
        r = choose_again(redfish, channel, called_ns, err);
    if (r >= 0)
        r = redfish_meter_read(redfish->service, &channel->meter, &figure, err);
    /* Those before it may have taken seconds: each has the time at which it answered. */
    reading->mono_ns = called_ns + (clock_now(redfish->clock).mono_ns - begin_ns);
    if (r < 0) {
        if (!channel->again_ns && !redfish_service_is_down(redfish->service))
            channel->again_ns = r == -ENOENT ? called_ns : called_ns + LOOK_AGAIN_NS;
        return r;
    }
    channel->again_ns = 0;
    return channel->kinds == REDFISH_COUNTERS ? take_counter(redfish, channel, &figure, reading, err)
                                              : take_power(redfish, channel, &figure, reading, err);
}

/* The BMC answers at last: its host takes the place that was kept. */
static int keep_promise(struct redfish *redfish, uint64_t now_ns, struct carnot_err *err)
{
    _cleanup_free_ struct redfish_inventory *inventory = calloc(1, sizeof(*inventory));

    if (!inventory)
        return carnot_err_set(err, ENOMEM, "out of memory for the BMC's chassis");
    int r = find(redfish, inventory, err);
    if (r < 0)
        return r;
    if (inventory->host < 0)
        return carnot_err_set(
            err, ENODEV,
            "%s: which of its %zu chassis is this machine is not known; name it with --redfish.chassis, "
            "or restart to have all of them",
            redfish_service_origin(redfish->service), inventory->n);
    make_channel(&redfish->channels[0], &inventory->meters[inventory->host], now_ns);
    redfish->known = true;
    return 0;
}

static void note(struct carnot_err *err, const struct carnot_err *why, int status)
{
    if (status < 0 && status != -ENODATA && err->code == 0)
        *err = *why;
}

/* All of them, the host first and the others in turn, as far as the time and the service go. Returns how many were
 * asked while the service was well. */
static int read_all(struct redfish *redfish, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    uint64_t begin_ns = clock_now(redfish->clock).mono_ns;
    const size_t others = redfish->n - 1, turn = redfish->turn;
    int n_alive = 0;

    for (size_t k = 0; k < redfish->n; k++) {
        size_t i = k == 0 ? 0 : 1 + (turn + k - 1) % others;
        struct carnot_err why = CARNOT_ERR_INIT;

        if (redfish_service_is_down(redfish->service)) {
            /* Time that ran out on others is none of its own failures. */
            int r = redfish_service_why_down(redfish->service, NULL);
            out[i].status = r == -ETIMEDOUT && n_alive ? -ENODATA : r;
            continue;
        }
        out[i].status = read_channel(redfish, &redfish->channels[i], begin_ns, &out[i], &why);
        note(err, &why, out[i].status);
        n_alive += !redfish_service_is_down(redfish->service);
        if (k > 0)
            redfish->turn = i % others; /* the one behind it is the next */
    }
    return n_alive;
}

/* Between two rounds there is nothing new, but what failed has still failed. */
static int repeat_last(const struct redfish *redfish, struct reading *out, struct carnot_err *err)
{
    for (size_t i = 0; i < redfish->n; i++)
        if (redfish->channels[i].status < 0)
            out[i].status = redfish->channels[i].status;
    if (err && redfish->last.code)
        *err = redfish->last;
    return (int)redfish->n;
}

static int redfish_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct redfish *redfish = self;

    for (size_t i = 0; i < redfish->n; i++)
        out[i] = (struct reading){.domain = (uint32_t)i, .status = -ENODATA, .mono_ns = now_mono_ns};
    if (now_mono_ns + INTERVAL_JITTER < redfish->due_ns)
        return repeat_last(redfish, out, err);
    redfish->due_ns = 0; /* calls that fail as a whole are paced by the caller */
    if (!redfish->known) {
        int r = keep_promise(redfish, now_mono_ns, err);
        if (r < 0)
            return r;
    }
    redfish_service_begin(redfish->service, redfish->config.timeout_ns);
    redfish->last = CARNOT_ERR_INIT;
    if (read_all(redfish, now_mono_ns, out, &redfish->last) == 0)
        return redfish_service_why_down(redfish->service, err);
    redfish->due_ns = now_mono_ns + redfish->config.interval_ns;
    for (size_t i = 0; i < redfish->n; i++)
        redfish->channels[i].status = out[i].status;
    if (err && redfish->last.code)
        *err = redfish->last;
    return (int)redfish->n;
}

static void redfish_reset(void *self, uint64_t now_mono_ns)
{
    struct redfish *redfish = self;

    for (size_t i = 0; i < redfish->n; i++) {
        struct channel *channel = &redfish->channels[i];

        channel->has_counter = false;
        channel->time[0] = '\0';
        channel->new_ns = now_mono_ns;
    }
    redfish->due_ns = 0;
}

static void redfish_describe(const void *self, struct buf *out)
{
    const struct redfish *redfish = self;

    buf_puts(out, buf_str(&redfish->description));
}

const struct source_ops source_redfish = {
    .name = "redfish",
    .summary = "power and energy of the chassis, from the BMC by Redfish",
    .flags = SOURCE_ON_BY_DEFAULT | SOURCE_SLOW,
    .options = redfish_options,
    .n_options = REDFISH_OPTIONS,
    .settings = &redfish_default_settings,
    .min_interval_ns = MIN_INTERVAL_NS,
    .probe = redfish_probe,
    .open = redfish_open,
    .domains = redfish_domains,
    .read = redfish_read,
    .reset = redfish_reset,
    .describe = redfish_describe,
    .close = redfish_close,
};
