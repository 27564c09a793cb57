/* SPDX-License-Identifier: Apache-2.0 */
/* The part of model_tdp that is memory: its power by how much of it is in use or, where the machine was calibrated,
 * from what was measured then. And what both parts of the model share. */
#ifndef CARNOT_SOURCES_MODEL_MEMORY_H
#define CARNOT_SOURCES_MODEL_MEMORY_H

#include "sources/source.h"

/* Energy that a power gathers over time, exact: the remainder below a microjoule is carried. */
struct model_integral {
    uint64_t uj;
    uint64_t remainder; /* uW*ns below 10^9 */
};

void model_integrate(struct model_integral *integral, uint64_t power_uw, uint64_t duration_ns);
uint64_t model_uw(double watts); /* 0 below 0 */
void model_put_watts(struct buf *out, double watts);

struct memory_model {
    int fd; /* /proc/meminfo; -1 when it is not needed */
    double watts_per_gb;
    uint64_t total_bytes;
    struct calibration_power known; /* idle_uw 0: by what is in use */
    struct model_integral energy;
};

/* The calibration may be NULL. -ENODATA and others when nothing is known of memory: the model goes without. */
int memory_model_open(const struct carnot_env *env, const struct calibration *calibration, double watts_per_gb,
                      struct memory_model *ret);
void memory_model_close(struct memory_model *memory);

struct domain memory_model_domain(const struct memory_model *memory, const char *source);

/* `busy`: share of all CPUs. The reading's domain and time are the caller's to set. */
struct reading memory_model_read(struct memory_model *memory, double busy, uint64_t duration_ns,
                                 struct carnot_err *err);

void memory_model_describe(const struct memory_model *memory, struct buf *out);

#endif
