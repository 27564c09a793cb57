/* SPDX-License-Identifier: Apache-2.0 */
/* A settings struct with one option of each type, for the tests of the option table and its readers. */
#ifndef CARNOT_UNIT_BASE_SETTINGS_H
#define CARNOT_UNIT_BASE_SETTINGS_H

#include "base/clock.h"
#include "base/option.h"

struct settings {
    bool verbose, rapl, dry_run;
    uint64_t workers, interval_ns, memory_bytes, seed;
    double pue, ratio;
    const char *config, *address;
    int format;
    struct option_list zones, labels;
};

static const char *const format_names[] = {"text", "json", "csv", NULL};

#define AT(field) .offset = offsetof(struct settings, field)

static const struct carnot_option general_options[] = {
    {.name = "verbose", .letter = 'v', .type = OPTION_BOOL, AT(verbose), .help = "Say more."},
    {.name = "dry-run", .letter = 'n', .type = OPTION_BOOL, AT(dry_run), .help = "Do nothing."},
    {.name = "config.file",
     .letter = 'c',
     .type = OPTION_STRING,
     AT(config),
     .metavar = "FILE",
     .help = "Configuration to read."},
    {.name = "workers",
     .letter = 'w',
     .type = OPTION_U64,
     AT(workers),
     .def = "2",
     .min = 1,
     .max = 8,
     .help = "Threads."},
    {.name = "seed", .type = OPTION_U64, AT(seed), .help = NULL},
    {.name = "output.format",
     .letter = 'o',
     .type = OPTION_ENUM,
     AT(format),
     .def = "json",
     .choices = format_names,
     .help = "How the output is written, which is a sentence that is long enough to be wrapped over more than one line "
             "of help."},
};

static const struct carnot_option agent_options[] = {
    {.name = "web.listen-address",
     .type = OPTION_STRING,
     AT(address),
     .def = ":9010",
     .metavar = "ADDRESS",
     .help = "Where to listen."},
    {.name = "collector.interval",
     .type = OPTION_DURATION,
     AT(interval_ns),
     .def = "1s",
     .min = 100 * NS_PER_MS,
     .max = 3600 * NS_PER_SEC,
     .help = "Time between two readings."},
    {.name = "collector.rapl", .type = OPTION_BOOL, AT(rapl), .def = "true", .help = "Read RAPL."},
    {.name = "collector.rapl.zones",
     .type = OPTION_LIST,
     AT(zones),
     .def = "package",
     .metavar = "ZONE",
     .help = "Zones to read."},
    {.name = "collector.labels", .type = OPTION_LIST, AT(labels), .help = "Labels to add."},
    {.name = "memory.max", .type = OPTION_BYTES, AT(memory_bytes), .def = "16MiB", .min = 4096, .help = "Most memory."},
    {.name = "carbon.pue",
     .type = OPTION_F64,
     AT(pue),
     .def = "1.2",
     .fmin = 1,
     .fmax = 3,
     .help = "Power usage effectiveness."},
    {.name = "carbon.ratio", .type = OPTION_F64, AT(ratio), .help = "Any number."},
};

/* The groups of `settings`, into an array of two. */
static inline void make_groups(struct settings *settings, struct option_group groups[2])
{
    groups[0] = (struct option_group){"General", general_options, ELEMENTSOF(general_options), settings};
    groups[1] = (struct option_group){"Agent", agent_options, ELEMENTSOF(agent_options), settings};
}

struct fixture {
    struct settings settings;
    struct option_group groups[2];
    struct option_set set;
    struct carnot_err err;
};

static inline void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    make_groups(&f->settings, f->groups);
    option_set_init(&f->set, f->groups, ELEMENTSOF(f->groups));
}

#endif
