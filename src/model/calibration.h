/* SPDX-License-Identifier: Apache-2.0 */
/* A calibration: what the regions of one machine draw when idle and with every thread busy, and of which machine that
 * is said. Text to struct and back, and the questions that a source or the meter asks of it. Knows three forms of
 * files; opens none, and refuses to know how the watts were measured. */
#ifndef CARNOT_MODEL_CALIBRATION_H
#define CARNOT_MODEL_CALIBRATION_H

#include "base/buf.h"
#include "base/err.h"
#include "base/parse.h"
#include "model/domain.h"
#include "model/topology.h"

#define CALIBRATION_VERSION 1 /* of our own form; a newer one is refused */

/* A domain of our form takes some 300 bytes; DOMAINS_MAX of them and as much again. */
#define CALIBRATION_FILE_MAX (96U << 10)

/* More than any node draws: a figure beyond is milliwatts for watts, or another file. */
#define CALIBRATION_MAX_UW (100000ULL * 1000000)

#define CALIBRATION_BUSY_UNKNOWN UINT32_MAX

enum calibration_format {
    CALIBRATION_CARNOT,   /* ours: every domain, the machine, the date */
    CALIBRATION_ENERGAT,  /* EnergAt's baseline: idle watts by socket */
    CALIBRATION_BIO_PYPE, /* Bio_pype's: idle and loaded watts of the node */
    CALIBRATION_FORMATS
};
extern const char *const calibration_format_names[]; /* "carnot", "energat", "bio_pype", NULL */

/* Powers are 0 where they are not known. */
struct calibration_domain {
    char name[DOMAIN_NAME_MAX]; /* as struct domain's; "node" for a figure of the whole node */
    char source[32];            /* "" where the file does not tell */
    enum domain_kind kind;
    int package, die, node; /* as struct domain's */
    bool with_dram;         /* memory is in it */
    bool in_total;
    uint64_t idle_uw, loaded_uw;
    uint32_t idle_busy_ppm; /* of its CPUs, of memory in use, while idle power was measured; or UNKNOWN */
};

struct calibration {
    enum calibration_format format;
    char method[32];           /* "rapl", or the name of a source; "tdp" when nothing was measured; "" not told */
    char at[40];               /* when, ISO 8601; "" not told */
    char cpu_model[128];       /* "" not told */
    uint32_t threads;          /* online logical CPUs; 0 not told */
    uint32_t packages;         /* 0 not told */
    uint32_t loaded_threads;   /* how many of them were kept busy; 0 not told, hence all */
    uint64_t idle_ns, load_ns; /* how long was measured, 0 not told */
    enum quality quality;      /* of the figures: a model's where nothing was measured */
    uint32_t n_domains;
    struct calibration_domain domains[DOMAINS_MAX];
};

/* Reads any of the three forms, told apart by their keys. Strict about shapes and figures, lenient about keys that it
 * does not know. -EINVAL with a sentence "FILE: KEY: what is wrong". Packages of EnergAt's form are sockets, counted
 * from 0, until calibration_renumber(). */
int calibration_parse(struct text text, const char *file, struct calibration *ret, struct carnot_err *err);

/* Writes it in one of the forms, a line of JSON. -EINVAL when the form cannot hold it (EnergAt's needs packages). */
int calibration_write(const struct calibration *calibration, enum calibration_format format, struct buf *out,
                      struct carnot_err *err);

/* Sockets into packages: socket s is package_of[s]. For EnergAt's form, once, with calibration->packages entries. */
void calibration_renumber(struct calibration *calibration, const int *package_of);

/* Whether the file speaks of this machine, as far as it tells. -EINVAL with a sentence when not; also for figures that
 * a model made, since whoever has a model knows them already. */
int calibration_check_machine(const struct calibration *calibration, const struct topology *topology, const char *file,
                              struct carnot_err *err);

/* Whether each measured package and DRAM domain of the machine is in it (our own form; the others tell too little).
 * -EINVAL with a sentence when not: the counters are not those of the calibration. */
int calibration_check_domains(const struct calibration *calibration, const struct domain *domains, size_t n,
                              const char *file, struct carnot_err *err);

/* The figure for that very domain, NULL when there is none. */
const struct calibration_domain *calibration_find(const struct calibration *calibration, const struct domain *domain);

struct calibration_power {
    uint64_t idle_uw;   /* > 0 */
    uint64_t loaded_uw; /* 0: not known */
    bool with_dram;
};

/* Power of a package whatever counted it: its own figure, or its dies' added up, or, of a figure for all packages, what
 * falls on n_cpus of all_cpus. False when nothing is known. */
bool calibration_package(const struct calibration *calibration, int package, uint32_t n_cpus, uint32_t all_cpus,
                         struct calibration_power *ret);

/* Power of all memory: each DRAM domain of one source. False when one of them is not known. */
bool calibration_memory(const struct calibration *calibration, struct calibration_power *ret);

/* Power of the node: the domains in_total added up. A sum is 0 when one of its parts is not known. */
void calibration_node(const struct calibration *calibration, uint64_t *ret_idle_uw, uint64_t *ret_loaded_uw);

/* Where it comes from, as a phrase: "rapl, 2026-06-14T10:15:00Z". Says so when the machine was not idle then. */
void calibration_describe(const struct calibration *calibration, struct buf *out);

#endif
