/* SPDX-License-Identifier: Apache-2.0 */
/* What a method of attribution is: from what each cell did on one package in one window, and the energy that the
 * package took, to each cell's share of it. One file a method, one line in method_registry.c.
 *
 * A method may learn from window to window: one object per domain. It knows nothing of units, cgroups or sources.
 * Formulas, sources and limits: docs/METHODS.md, "Methods of attribution". */
#ifndef CARNOT_ATTRIBUTION_METHOD_H
#define CARNOT_ATTRIBUTION_METHOD_H

#include "base/err.h"
#include "base/util.h"

/* What is known of a cell's work on one package; which of them are really known is said by the window. All are sums
 * over the cell's threads: two cells that are one job cut in two have the features of that job when added. */
enum feature {
    FEATURE_CPU_NS,        /* on-CPU time */
    FEATURE_OVERLAP_NS,    /* the part of it during which the sibling hyperthread ran too */
    FEATURE_PRESENT_NS,    /* the cell's part of the time in which the package was awake: at every instant 1 is divided
                              equally among the players present (method_window.group), a player's part goes to its cells
                              by on-CPU time; all cells together: present_ns */
    FEATURE_CYCLES,        /* unhalted core cycles */
    FEATURE_INSTRUCTIONS,  /* retired */
    FEATURE_LOCAL_MISSES,  /* last-level misses of the cell's threads here, served by this package's node */
    FEATURE_REMOTE_MISSES, /* served by another */
    FEATURE_NODE_MISSES,   /* misses of whatever package's threads that this node served: DRAM traffic */
    FEATURE_RESIDENT,      /* byte x ns of memory on this node, shared pages weighted */
    FEATURES,
};
#define FEATURE_BIT(feature) (1U << (feature))

struct cell_features {
    uint64_t value[FEATURES];
};

/* One domain (a package, or the DRAM of a node) and window. Times of 0 mean unknown. */
struct method_window {
    uint64_t energy_uj;    /* measured */
    uint64_t sensor_uj;    /* standard uncertainty of it: sensor_window_sigma_uj in interval.h makes it */
    uint64_t window_ns;    /* that the energy and the features belong to */
    uint64_t idle_uw;      /* known idle power, 0: unknown */
    uint32_t n_cpus;       /* online logical CPUs of the domain */
    uint32_t n_cores;      /* physical cores of them; 0: unknown, taken for n_cpus */
    uint64_t base_khz;     /* nominal frequency of the cores, for voltage; 0: unknown */
    uint64_t core_busy_ns; /* summed over cores: time in which at least one of its threads ran */
    uint64_t present_ns;   /* time in which any core ran */
    uint64_t resident;     /* byte x ns in use on the node by anyone, the page cache and the kernel too */
    unsigned known;        /* FEATURE_BIT of each feature that is measured, not 0 for want of a counter */
    bool dram;             /* memory, not a package */
    uint32_t
        generation; /* another number: not the same hardware any more (hotplug, microcode); forget what was learned */
    size_t n;
    const struct cell_features *cells;
    const uint32_t *group; /* [n] the tenant of each cell, a player in games of shared cost; values of n_groups and
                              above (kernel, monitor) are one player together. NULL: unknown */
    uint32_t n_groups;
    const uint64_t *group_id; /* [n_groups] who that is, the same in all windows (a cgroup's id); NULL: the index */
};

/* How wrong a share may be, everything but the sensor's part. A unit's error is the sum of its cells', component by
 * component: errors of what the model has learned are the same for all cells of a domain (and with idle they add up to
 * 0), differences between workloads are taken for the same in all cells of a unit. interval.h makes intervals of it. */
#define METHOD_MODES 16
struct method_error {
    double sigma_uj; /* of this alone, all together; not to be added */
    double
        spread_uj; /* standard deviation of what this workload's energy differs from other work that looks the same */
    double mode_uj[METHOD_MODES];
};

struct method_result {
    uint64_t active_uj, idle_uj, residual_uj; /* for a conserving method: their sum is energy_uj, and the shares' is
                                                 active_uj */
    struct method_error idle;
    double crowding;   /* sum over groups of (share / active)^2: 1 with one group, or where groups are unknown */
    double misfit;     /* |model - measured| / measured before conservation; 0 for methods without a model */
    double smt_factor; /* learned, for what ran in this window: power of a core with both hyperthreads busy over one
                          with one; 0: not known. What the setting of that name may be set to */
    uint32_t epoch;    /* errors of two windows are the same errors only while this does not change */
    const char *used;  /* what was really done, static: "counters", or what it fell back to and why */
};

struct method_settings {
    double smt_factor;    /* power of a core with both hyperthreads busy over one: 1.1 */
    double gamma, delta;  /* energat: 0.3 and 0.2 */
    bool normalise;       /* energat: scaled so that it conserves */
    uint64_t base_uw;     /* energat: baseline power of the domain */
    double voltage_slope; /* counters: relative change of voltage over that of frequency: 0.5 */
    double spread;        /* counters: how differently tenants use energy for the same counts: 0.07 */
};
#define METHOD_SETTINGS_DEFAULT                                                                                        \
    ((struct method_settings){.smt_factor = 1.1, .gamma = 0.3, .delta = 0.2, .voltage_slope = 0.5, .spread = 0.07})

/* One line of the sum that made a share: amount x uj_per_amount. */
struct method_line {
    const char *what; /* "instructions" */
    const char *unit; /* "10^9" */
    double amount, uj_per_amount;
};
#define METHOD_LINES_MAX 9

struct method_ops {
    const char *name; /* "cpu_time" */
    const char *summary;
    unsigned needs; /* FEATURE_BITs without which it falls back */
    bool conserves; /* with the settings that allow it to */
    /* One object for one domain. Settings out of range: -EINVAL with the sentence. */
    int (*open)(const struct method_settings *settings, void **ret_self, struct carnot_err *err);
    /* ret_uj[n] gets the active energy of each cell, ret_errors[n] (or NULL) its uncertainty. Never fails: what cannot
     * be told is residual or a wide error. Does not allocate while the number of groups does not grow. */
    void (*split)(void *self, const struct method_window *window, uint64_t *ret_uj, struct method_error *ret_errors,
                  struct method_result *ret_result);
    /* How the last window's share of a cell came about (before rounding): that window is given again. Returns the
     * number of lines, 0 where the method fell back. NULL: a share of one weight, nothing to tell. */
    size_t (*explain)(const void *self, const struct method_window *window, size_t cell,
                      struct method_line ret_lines[METHOD_LINES_MAX]);
    void *(*close)(void *self); /* NULL-safe, returns NULL */
};

extern const struct method_ops *const method_registry[];
extern const size_t method_registry_count;

/* NULL when there is none of that name. */
const struct method_ops *method_find(const char *name);

/* What conservation leaves of spread_uj = x d, where x is the share of the active energy A and d_g the deviations of
 * the groups: x d - (x / A) sum x_g d_g. 0 for everything, and the same for a job in one piece or in many. */
double method_spread_uj(const struct method_result *result, uint64_t share_uj, double spread_uj);

/* Adds a cell's error to its unit's; sigma_uj is left alone. */
void method_error_add(struct method_error *sum, const struct method_error *cell);

#endif
