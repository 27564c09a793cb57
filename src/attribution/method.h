/* SPDX-License-Identifier: Apache-2.0 */
/* What a method of attribution is: from what each cell did on one package in one window, and the energy that the
 * package took, to each cell's share of it. One file a method, one line in method_registry.c.
 *
 * A method may learn from window to window (one state per domain). It knows nothing of units, cgroups or sources. */
#ifndef CARNOT_ATTRIBUTION_METHOD_H
#define CARNOT_ATTRIBUTION_METHOD_H

#include "base/err.h"
#include "base/util.h"

/* What is known of a cell's work on one package; which of them are really known is said by the window. */
enum feature {
    FEATURE_CPU_NS,        /* on-CPU time */
    FEATURE_OVERLAP_NS,    /* the part of it during which the sibling hyperthread ran too */
    FEATURE_CYCLES,        /* unhalted core cycles */
    FEATURE_INSTRUCTIONS,  /* retired */
    FEATURE_LOCAL_MISSES,  /* last-level misses served by this package's node */
    FEATURE_REMOTE_MISSES, /* served by another */
    FEATURE_NODE_MISSES,   /* misses of whatever package's threads that this node served: DRAM traffic */
    FEATURE_RESIDENT,      /* byte x ns of memory on this node, shared pages weighted */
    FEATURES,
};
#define FEATURE_BIT(feature) (1U << (feature))

struct cell_features {
    uint64_t value[FEATURES];
};

/* One domain (a package, or the DRAM of a node) and window. */
struct method_window {
    uint64_t energy_uj; /* measured */
    uint64_t sensor_uj; /* standard uncertainty of it: resolution and update time of the counter */
    uint64_t window_ns;
    uint64_t idle_uw;      /* known idle power, 0: unknown */
    uint32_t n_cpus;       /* online logical CPUs of the domain */
    uint32_t n_cores;      /* physical cores of them */
    uint64_t core_busy_ns; /* summed over cores: time in which at least one of its threads ran; 0: unknown */
    uint64_t present_ns;   /* time in which any core ran; 0: unknown */
    unsigned known;        /* FEATURE_BIT of each feature that is measured, not 0 for want of a counter */
    bool dram;             /* memory, not a package */
    size_t n;
    const struct cell_features *cells;
};

struct method_share {
    uint64_t uj;     /* active energy of the cell */
    double sigma_uj; /* standard uncertainty, everything but the sensor's common part */
};

struct method_result {
    uint64_t active_uj, idle_uj, residual_uj; /* for a conserving method: their sum is energy_uj, and the shares' is
                                                 active_uj */
    double idle_sigma_uj;
    double misfit;    /* |model - measured| / measured before conservation; 0 for methods without a model */
    const char *used; /* what was really done, static: "counters", or the method it fell back to and why */
};

struct method_settings {
    double smt_factor;   /* power of a core with both hyperthreads busy over one: 1.1 */
    double gamma, delta; /* energat: 0.3 and 0.2 */
    bool normalise;      /* energat: scaled so that it conserves */
    uint64_t base_uw;    /* energat: baseline power of the domain */
};

struct method_ops {
    const char *name; /* "cpu_time" */
    const char *summary;
    unsigned needs; /* FEATURE_BITs without which it falls back */
    bool conserves;
    int (*open)(const struct method_settings *settings, void **ret_self, struct carnot_err *err);
    /* shares[n]. Never fails: what cannot be told is residual or a wide sigma. Does not allocate after the first calls.
     */
    void (*split)(void *self, const struct method_window *window, struct method_share *shares,
                  struct method_result *ret_result);
    void *(*close)(void *self); /* NULL-safe, returns NULL */
};

extern const struct method_ops *const method_registry[];
extern const size_t method_registry_count;

#endif
