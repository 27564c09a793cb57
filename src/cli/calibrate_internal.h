/* SPDX-License-Identifier: Apache-2.0 */
/* What calibrate.c (waiting, reading) and calibrate_result.c (figures) share. For these two only. */
#ifndef CARNOT_CLI_CALIBRATE_INTERNAL_H
#define CARNOT_CLI_CALIBRATE_INTERNAL_H

#include "cli/calibrate.h"
#include "cli/calibrate_busy.h"
#include "meter/energy.h"

/* What one reading of a domain gave. */
struct point {
    uint64_t total_uj;
    uint64_t at_ns;   /* 0: never read */
    uint64_t late_ns; /* how long the source's whole reading took */
    uint64_t faults;  /* resets, gaps and refused steps so far: energy across one is not known */
};

struct calibrator {
    const struct carnot_env *env;
    const struct topology *topology;
    struct energy *energy;
    struct calibrate_settings settings;
    calibrate_progress_fn progress;
    void *userdata;

    int timer_fd, signal_fd, signal;
    uint64_t tick_ns;
    struct clock_watch watch;

    size_t n; /* domains looked at */
    struct domain domains[DOMAINS_MAX];
    uint32_t index[DOMAINS_MAX];                      /* in energy->domains */
    const struct energy_source *sources[DOMAINS_MAX]; /* that read them */

    struct busy busy;
    struct busy_processes *processes;

    size_t n_ticks;                /* taken in this phase */
    size_t max_ticks;              /* room */
    struct point *points;          /* [max_ticks + 1][n] */
    struct busy_ticks *ticks;      /* [max_ticks + 1][busy.n_packages] */
    struct settle_second *seconds; /* [max_ticks], between two points */
};

static inline struct point *points_at(const struct calibrator *c, size_t tick)
{
    return c->points + tick * c->n;
}

static inline struct busy_ticks *ticks_at(const struct calibrator *c, size_t tick)
{
    return c->ticks + tick * (c->busy.n_packages + 1);
}

/* Machine, date, domains: all but the figures. */
void calibrate_describe(const struct calibrator *c, struct calibration *out);

/* Figures of a phase, over its last n ticks. -EIO when a domain of the total has none. */
int calibrate_take(const struct calibrator *c, enum calibrate_phase phase, size_t n, struct calibrate_result *result,
                   struct carnot_err *err);

/* After both phases: what of the loaded figures may be believed; domains without any figure go, but for memory. */
void calibrate_judge(struct calibrate_result *result);

#endif
