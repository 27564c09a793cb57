/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a machine has come to rest: some seconds in a row with nearly the same power and hardly anything running.
 * Pure: figures in, a judgement out. */
#ifndef CARNOT_CLI_CALIBRATE_SETTLE_H
#define CARNOT_CLI_CALIBRATE_SETTLE_H

#include "base/util.h"

/* Idle servers differ by one or two percent from second to second, laptops by some hundred milliwatts (timers, a
 * network card): each second may lie that far from the mean, whichever is more. */
#define SETTLE_SPREAD_PPM 50000
#define SETTLE_SPREAD_UW  500000

struct settle_second {
    uint64_t power_uw;
    uint32_t busy_ppm; /* of the CPUs, or CALIBRATION_BUSY_UNKNOWN, which is not held against it */
};

struct settle {
    uint64_t min_uw, max_uw, mean_uw;
    uint32_t busy_ppm; /* the highest that is known, else CALIBRATION_BUSY_UNKNOWN */
    bool steady;       /* power hardly moved */
    bool quiet;        /* no second was busier than the limit */
};

/* Of n > 0 seconds in a row. */
struct settle settle_judge(const struct settle_second *seconds, size_t n, uint32_t busy_limit_ppm);

#endif
