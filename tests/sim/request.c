/* SPDX-License-Identifier: Apache-2.0 */
/* Options and their refusals. Knows zones by the names that the machine gives them; opens nothing. */
#include "request.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "script.h"

const char sim_usage[] =
    "usage: carnot-sim [options] DIR\n"
    "Mounts a simulated /sys at DIR until SIGTERM.\n"
    "  --packages N  --dies N          shape of the machine (1, 1)\n"
    "  --core --uncore --dram --psys --mmio   zones beside the packages\n"
    "  --range-uj R  --modulus-uj M    range told, and value at which counters wrap (R); else those of a server\n"
    "  --start-uj [ZONE=]S             counter at the beginning\n"
    "  --max-power-uw P                constraint_0_max_power_uw of every zone; none by default\n"
    "  --power ZONE=12.5W              power from the beginning; repeatable\n"
    "  --script FILE                   lines \"t_s zone watts\"\n"
    "  --live CPU_W                    each busy CPU of this machine adds so much to its package and core zone\n"
    "  --clock manual|real             manual: time passes only by \"advance 1s\" written to DIR/.control\n"
    "  --passthrough PATH              part of the real /sys to show (devices/system/cpu and node); \"\" for all\n"
    "  --allow-other                   other users may look, as far as modes allow\n"
    "Commands: advance T, power Z W, fail Z ERRNO|ok, vanish Z, restore Z, reset Z. Truth: DIR/.truth\n";

enum {
    OPT_PACKAGES = 256,
    OPT_DIES,
    OPT_CORE,
    OPT_UNCORE,
    OPT_DRAM,
    OPT_PSYS,
    OPT_MMIO,
    OPT_RANGE,
    OPT_MODULUS,
    OPT_START,
    OPT_MAX_POWER,
    OPT_POWER,
    OPT_SCRIPT,
    OPT_LIVE,
    OPT_CLOCK,
    OPT_PASSTHROUGH,
    OPT_ALLOW_OTHER,
    OPT_HELP
};

static const struct option long_options[] = {
    {"packages", required_argument, NULL, OPT_PACKAGES},
    {"dies", required_argument, NULL, OPT_DIES},
    {"core", no_argument, NULL, OPT_CORE},
    {"uncore", no_argument, NULL, OPT_UNCORE},
    {"dram", no_argument, NULL, OPT_DRAM},
    {"psys", no_argument, NULL, OPT_PSYS},
    {"mmio", no_argument, NULL, OPT_MMIO},
    {"range-uj", required_argument, NULL, OPT_RANGE},
    {"modulus-uj", required_argument, NULL, OPT_MODULUS},
    {"start-uj", required_argument, NULL, OPT_START},
    {"max-power-uw", required_argument, NULL, OPT_MAX_POWER},
    {"power", required_argument, NULL, OPT_POWER},
    {"script", required_argument, NULL, OPT_SCRIPT},
    {"live", required_argument, NULL, OPT_LIVE},
    {"clock", required_argument, NULL, OPT_CLOCK},
    {"passthrough", required_argument, NULL, OPT_PASSTHROUGH},
    {"allow-other", no_argument, NULL, OPT_ALLOW_OTHER},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int parse_count(const char *text, uint64_t most, unsigned *ret, struct carnot_err *err)
{
    uint64_t value;

    if (parse_u64(text_of(text), &value) < 0 || value < 1 || value > most)
        return carnot_err_set(err, EINVAL, "%s is not a number from 1 to %" PRIu64, text, most);
    *ret = (unsigned)value;
    return 0;
}

static int add_text(const char **list, size_t *n, size_t max, const char *text, struct carnot_err *err)
{
    if (*n == max)
        return carnot_err_set(err, E2BIG, "%s is one too many of its kind", text);
    list[(*n)++] = text;
    return 0;
}

/* 0, or 1 when help was asked for. */
static int take_option(struct sim_request *q, int option, const char *arg, struct carnot_err *err)
{
    switch (option) {
    case OPT_PACKAGES:
        return parse_count(arg, 64, &q->shape.packages, err);
    case OPT_DIES:
        return parse_count(arg, 8, &q->shape.dies, err);
    case OPT_CORE:
        q->shape.core = true;
        return 0;
    case OPT_UNCORE:
        q->shape.uncore = true;
        return 0;
    case OPT_DRAM:
        q->shape.dram = true;
        return 0;
    case OPT_PSYS:
        q->shape.psys = true;
        return 0;
    case OPT_MMIO:
        q->shape.mmio = true;
        return 0;
    case OPT_RANGE:
        q->range = arg;
        return 0;
    case OPT_MODULUS:
        q->modulus = arg;
        return 0;
    case OPT_MAX_POWER:
        q->max_power = arg;
        return 0;
    case OPT_START:
        return add_text(q->start, &q->n_start, POWER_MAX, arg, err);
    case OPT_POWER:
        return add_text(q->power, &q->n_power, POWER_MAX, arg, err);
    case OPT_PASSTHROUGH:
        return add_text(q->passthrough, &q->n_passthrough, PASSTHROUGH_MAX, arg, err);
    case OPT_SCRIPT:
        q->script = arg;
        return 0;
    case OPT_LIVE:
        q->live = arg;
        return 0;
    case OPT_CLOCK:
        q->manual_clock = strcmp(arg, "manual") == 0;
        if (!q->manual_clock && strcmp(arg, "real") != 0)
            return carnot_err_set(err, EINVAL, "--clock is manual or real, not %s", arg);
        return 0;
    case OPT_ALLOW_OTHER:
        q->allow_other = true;
        return 0;
    case OPT_HELP:
        return 1;
    default:
        return carnot_err_set(err, EINVAL, "see --help");
    }
}

int sim_parse_args(int argc, char **argv, struct sim_request *q, struct carnot_err *err)
{
    int option, r = 0;

    *q = (struct sim_request){.shape = {.packages = 1, .dies = 1}};
    while (r == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        r = take_option(q, option, optarg, err);
    if (r != 0)
        return r;
    if (optind != argc - 1)
        return carnot_err_set(err, EINVAL, "exactly one directory to mount at is needed; see --help");
    q->dir = argv[optind];
    if (q->n_passthrough == 0) {
        q->passthrough[q->n_passthrough++] = "devices/system/cpu";
        q->passthrough[q->n_passthrough++] = "devices/system/node";
    }
    return 0;
}

/* "ZONE=VALUE" or, where allowed, "VALUE" for every zone (-1). */
static int split_zone(const struct sim_machine *machine, const char *arg, int *ret_zone, struct text *ret_value,
                      struct carnot_err *err)
{
    const char *equals = strchr(arg, '=');

    *ret_zone = -1;
    *ret_value = text_of(equals ? equals + 1 : arg);
    if (!equals)
        return 0;
    *ret_zone = sim_zone_find(machine, arg, (size_t)(equals - arg));
    if (*ret_zone < 0)
        return carnot_err_set(err, EINVAL, "there is no zone in %s", arg);
    return 0;
}

static int apply_ranges(struct sim_machine *machine, const struct sim_request *q, struct carnot_err *err)
{
    uint64_t range_uj = 0, modulus_uj = 0, max_power_uw = 0;

    if (q->range && (parse_u64(text_of(q->range), &range_uj) < 0 || range_uj == 0))
        return carnot_err_set(err, EINVAL, "%s is no range in microjoules", q->range);
    if (q->modulus && (parse_u64(text_of(q->modulus), &modulus_uj) < 0 || modulus_uj == 0))
        return carnot_err_set(err, EINVAL, "%s is no modulus in microjoules", q->modulus);
    if (q->max_power && parse_u64(text_of(q->max_power), &max_power_uw) < 0)
        return carnot_err_set(err, EINVAL, "%s is no power in microwatts", q->max_power);
    for (int i = 0; i < machine->n_zones; i++) {
        struct sim_zone *zone = &machine->zones[i];
        if (range_uj)
            zone->range_uj = zone->modulus_uj = range_uj;
        if (modulus_uj)
            zone->modulus_uj = modulus_uj;
        zone->max_power_uw = max_power_uw;
    }
    return 0;
}

static int apply_zone_values(struct sim_machine *machine, const struct sim_request *q, struct carnot_err *err)
{
    struct text value;
    uint64_t number;
    int zone, r = 0;

    for (size_t i = 0; i < q->n_start; i++) {
        r = split_zone(machine, q->start[i], &zone, &value, err);
        if (r < 0)
            return r;
        if (parse_u64(value, &number) < 0)
            return carnot_err_set(err, EINVAL, "%s is no counter value", q->start[i]);
        for (int k = 0; k < machine->n_zones; k++) {
            if (zone >= 0 && zone != k)
                continue;
            if (number >= machine->zones[k].modulus_uj)
                return carnot_err_set(err, EINVAL, "%s is not below the modulus of %s", q->start[i],
                                      machine->zones[k].id);
            machine->zones[k].start_uj = number;
        }
    }
    for (size_t i = 0; i < q->n_power; i++) {
        r = split_zone(machine, q->power[i], &zone, &value, err);
        if (r < 0)
            return r;
        if (zone < 0 || sim_parse_power(value, &machine->zones[zone].power_uw) < 0)
            return carnot_err_set(err, EINVAL, "--power wants ZONE=12.5W, not %s", q->power[i]);
    }
    return 0;
}

int sim_apply_request(struct sim_machine *machine, const struct sim_request *q, struct carnot_err *err)
{
    int r = apply_ranges(machine, q, err);

    return r < 0 ? r : apply_zone_values(machine, q, err);
}
