/* SPDX-License-Identifier: Apache-2.0 */
/* Measures what a machine draws when nothing runs, and with every CPU busy. Waits, reads counters, keeps the CPUs busy;
 * prints nothing and writes no file: who calls gets the figures, and is told on the way how far it is. */
#ifndef CARNOT_CLI_CALIBRATE_H
#define CARNOT_CLI_CALIBRATE_H

#include "base/fsroot.h"
#include "cli/calibrate_settle.h"
#include "model/calibration.h"

struct energy;

/* Below this share the CPUs were not "all busy": a quota of a container, a limit on the number of processes. */
#define CALIBRATE_LOADED_PPM_MIN 900000

struct calibrate_settings {
    uint64_t idle_ns, load_ns; /* how long to measure */
    uint64_t drop_ns;          /* at the start of each phase: not counted */
    uint64_t wait_ns;          /* beyond idle_ns: how long to wait for a quiet machine */
    double busy_limit_percent; /* of the CPUs: more is not idle */
};

enum calibrate_phase { CALIBRATE_IDLE, CALIBRATE_LOAD, CALIBRATE_PHASES };

struct calibrate_progress {
    enum calibrate_phase phase;
    bool dropping; /* in the seconds that are not counted */
    bool waiting;  /* for a quiet machine, longer than would do */
    uint64_t done_ns, total_ns;
    uint64_t power_uw; /* of the node in the last second, 0: not known */
    uint32_t busy_ppm; /* of its CPUs, or CALIBRATION_BUSY_UNKNOWN */
};

/* Energy of one domain in one phase. */
struct calibrate_figure {
    uint64_t energy_uj;
    uint64_t begin_ns, end_ns; /* monotonic; 0: nothing is known */
    uint64_t late_ns;          /* each of the two readings was taken at most so much after the time it carries */
};

struct calibrate_result {
    struct calibration calibration;
    struct calibrate_figure figures[CALIBRATE_PHASES][DOMAINS_MAX]; /* by domain of the calibration */
    struct settle settle;                                           /* of the seconds that idle power comes from */
    uint64_t waited_ns;                                             /* before them, dropped seconds apart */
    uint32_t load_busy_ppm;
    uint32_t n_cpus;      /* that were kept busy */
    char loaded_why[160]; /* why loaded power is not known; "" */
};

struct calibrator;

/* `energy` is open and started, without a calibration; it stays the caller's. -ENODEV when nothing of it measures. */
int calibrator_new(const struct carnot_env *env, const struct topology *topology, struct energy *energy,
                   const struct calibrate_settings *settings, struct calibrator **ret, struct carnot_err *err);
struct calibrator *calibrator_free(struct calibrator *calibrator); /* NULL-safe, returns NULL */

typedef void (*calibrate_progress_fn)(const struct calibrate_progress *progress, void *userdata);

/* Both phases, one after the other. SIGINT, SIGTERM, SIGHUP and SIGQUIT, which the caller has blocked, end it: -EINTR.
 * -EAGAIN: the machine never got quiet, the sentence says who kept it busy. No thread is left behind. */
int calibrator_run(struct calibrator *calibrator, calibrate_progress_fn progress, void *userdata,
                   struct calibrate_result *ret_result, struct carnot_err *err);

/* The signal that ended it, 0: none. */
int calibrator_signal(const struct calibrator *calibrator);

/* Figures of a machine on which nothing is measured: what the power model gives for idle and for busy packages, marked
 * as such. -ENODEV when there is no model either. */
int calibrate_modelled(const struct carnot_env *env, const struct topology *topology, const struct energy *energy,
                       struct calibration *ret, struct carnot_err *err);

#endif
