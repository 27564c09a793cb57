/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of carnot-sim: what it asks for, and its effect on a machine that was just made. */
#ifndef CARNOT_SIM_REQUEST_H
#define CARNOT_SIM_REQUEST_H

#include "base/err.h"
#include "machine.h"

#define PASSTHROUGH_MAX 16
#define POWER_MAX       64 /* repetitions of --power, and of --start-uj */

/* Strings belong to argv. */
struct sim_request {
    struct sim_shape shape;
    const char *range, *modulus, *max_power, *start[POWER_MAX], *power[POWER_MAX], *script, *live;
    size_t n_start, n_power;
    const char *passthrough[PASSTHROUGH_MAX];
    size_t n_passthrough;
    bool manual_clock, allow_other;
    const char *dir;
};

extern const char sim_usage[];

/* 0, 1 when help was asked for, or a negative errno. */
int sim_parse_args(int argc, char **argv, struct sim_request *ret_request, struct carnot_err *err);

/* Ranges, limits, counters at the beginning, and first powers. */
int sim_apply_request(struct sim_machine *machine, const struct sim_request *request, struct carnot_err *err);

#endif
