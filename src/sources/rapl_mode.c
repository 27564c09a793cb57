/* SPDX-License-Identifier: Apache-2.0 */
/* See rapl_mode.h. */
#include "sources/rapl_mode.h"

#include <errno.h>
#include <stdio.h>

static const char *const mode_names[] = {"auto", "sysfs", "perf", "msr", NULL};

/* What is said for each way when it is in use. */
static const char *const virtues[] = {
    [RAPL_SYSFS] = "powercap, microjoules as the kernel rounds them",
    [RAPL_PERF] = "perf events, the hardware's own units, 64 bits kept by the kernel",
    [RAPL_MSR] = "the processor's registers, the hardware's own units",
};

struct rapl_settings rapl_default_settings = {.mode = RAPL_AUTO};

const struct carnot_option rapl_options[RAPL_OPTIONS] = {
    {.name = "rapl.mode",
     .alias = "rapl-mode",
     .type = OPTION_ENUM,
     .offset = offsetof(struct rapl_settings, mode),
     .def = "auto",
     .choices = mode_names,
     .help = "How the processor's energy counters are read; auto takes the first of perf, sysfs (powercap) and msr "
             "that works."},
    {.name = "rapl.msr-cpus",
     .alias = "msr-cpus",
     .type = OPTION_STRING,
     .offset = offsetof(struct rapl_settings, msr_cpus),
     .def = "",
     .metavar = "LIST",
     .help = "CPUs whose registers may be read with rapl.mode msr (\"0,32-35\"); empty: any. A package with none of "
             "them is left out."},
};

int rapl_mode_check(enum rapl_mode way, const struct rapl_settings *settings, struct carnot_err *err)
{
    int mode = settings ? settings->mode : RAPL_AUTO;

    if (mode == RAPL_AUTO || mode == (int)way)
        return 0;
    return carnot_err_set(err, ECANCELED, "not used: rapl.mode is %s", mode_names[mode]);
}

void rapl_mode_describe(enum rapl_mode way, const struct rapl_settings *settings, struct buf *out)
{
    int mode = settings ? settings->mode : RAPL_AUTO;

    buf_printf(out, "read by %s; %s\n", virtues[way],
               mode == RAPL_AUTO ? "rapl.mode is auto: the first of perf, sysfs and msr that works"
                                 : "asked for by rapl.mode");
}

struct domain rapl_domain(enum domain_kind kind, int package, int die, const char *source)
{
    struct domain domain = {.kind = kind,
                            .quality = QUALITY_MEASURED,
                            .package = package,
                            .die = die,
                            .node = -1,
                            .source = source,
                            .max_uw = kind == DOMAIN_PSYS ? 0 : RAPL_PACKAGE_MAX_UW};
    const char *word = domain_kind_name(kind);

    if (package < 0)
        snprintf(domain.name, sizeof(domain.name), "%s", word);
    else if (die < 0)
        snprintf(domain.name, sizeof(domain.name), "%s-%d", word, package);
    else
        snprintf(domain.name, sizeof(domain.name), "%s-%d-die-%d", word, package, die);
    return domain;
}
