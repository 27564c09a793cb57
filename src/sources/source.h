/* SPDX-License-Identifier: Apache-2.0 */
/* What an energy source is: one file, one line in registry.c, one fixture.
 *
 * A source reads raw counters; it does no wrap arithmetic (attribution/delta does) and keeps no baseline. */
#ifndef CARNOT_SOURCES_SOURCE_H
#define CARNOT_SOURCES_SOURCE_H

#include "base/fsroot.h"
#include "base/option.h"
#include "model/calibration.h"
#include "model/domain.h"
#include "model/topology.h"

enum {
    SOURCE_ON_BY_DEFAULT = 1 << 0,
    SOURCE_SLOW = 1 << 2,  /* read() may block for long (a BMC, a vendor library): it is called on a thread of its own,
                            * never twice at a time, and so is reset(); open, domains, describe and close still come from
                            * the main thread, close after that thread has ended; describe() may run beside a read() */
    SOURCE_MODEL = 1 << 1, /* a model: used only when no measuring source gives the same kind of domain */
};

/* One raw reading. */
struct reading {
    uint32_t domain;     /* index into what domains() gave */
    int status;          /* 0; -ENODATA nothing this time; -ENOENT/-ENODEV vanished; -EIO, -EACCES, ... broken */
    uint64_t counter_uj; /* raw, as the hardware gives it; may wrap */
    uint64_t modulus_uj; /* value at which counter_uj goes back to 0; 0: it does not wrap or the range is unknown */
    bool is_power; /* no counter: power_uw is what the domain draws until the next reading. For what is read seldom
                    * (a BMC): the meter counts it in every window, and stops when it is too old */
    uint64_t power_uw;
    uint64_t mono_ns; /* when it was read */
    uint64_t idle_uw; /* idle power of the domain if the source knows better now than at open, else 0 */
    bool gap; /* energy since the last good reading is missing from the counter, which went on without a jump: what the
               * difference tells is a lower bound, counted as a gap */
};

struct gpu_usage;

/* env and topology live until close; the topology is brought up to date in place (topology_refresh). */
struct source_args {
    const struct carnot_env *env;
    const struct topology *topology;
    const void *settings;                  /* the source's own settings struct, filled from its option table */
    const struct calibration *calibration; /* of this machine, for models; until open returns. NULL: none */
};

struct source_ops {
    const char *name;    /* "rapl_powercap": flag --collector.rapl_powercap, label, man section */
    const char *summary; /* one line for doctor and help */
    unsigned flags;
    const char *group; /* sources of one group are ways to the same counters: the first that opens is used, the others
                        * are not; NULL: none */
    const struct carnot_option *options; /* table into `settings`; NULL when none */
    size_t n_options;
    void *settings;           /* default settings object the option table points into (static, filled once at start) */
    uint64_t min_interval_ns; /* reading more often is useless; 0: any */

    /* 0 usable, -ENODEV no such hardware, -EACCES/-EPERM there but no right (err says which and the command that mends
     * it). No side effects. */
    int (*probe)(const struct source_args *args, struct carnot_err *err);
    int (*open)(const struct source_args *args, void **ret_self, struct carnot_err *err);
    /* The domains of this source; the array belongs to the source, is fixed until close. Returns the count. */
    size_t (*domains)(const void *self, const struct domain **ret_domains);
    /* One reading per domain into out (room for DOMAINS_MAX). Returns the count. A failure of one domain is that
     * reading's status, not the call's. */
    int (*read)(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err);
    /* After a suspend or a pause: forget inner baselines (a model integrates power over time). NULL when none. */
    void (*reset)(void *self, uint64_t now_mono_ns);
    /* Who uses the GPUs, as the newest read() that has ended left it; -ENODATA while nothing is known. A copy, so that
     * it may be asked on any thread and beside a read(), and waits for no device. NULL when the source knows no GPUs or
     * not who uses them. */
    int (*usage)(const void *self, struct gpu_usage *ret_usage);
    /* Assumptions of a model, or anything the user must know, as text lines for doctor; NULL when none. */
    void (*describe)(const void *self, struct buf *out);
    void *(*close)(void *self); /* NULL-safe, returns NULL */
};

/* THE list, in order of preference. */
extern const struct source_ops *const source_registry[];
extern const size_t source_registry_count;

#endif
