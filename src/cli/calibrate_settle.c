/* SPDX-License-Identifier: Apache-2.0 */
/* See calibrate_settle.h. A steady load looks steady: that is why power alone is not enough. */
#include "cli/calibrate_settle.h"

#include "model/calibration.h"
#include "model/quantity.h"

struct settle settle_judge(const struct settle_second *seconds, size_t n, uint32_t busy_limit_ppm)
{
    struct settle settle = {.min_uw = UINT64_MAX, .busy_ppm = CALIBRATION_BUSY_UNKNOWN, .quiet = true};
    uint64_t sum_uw = 0;

    for (size_t i = 0; i < n; i++) {
        sum_uw += seconds[i].power_uw;
        settle.min_uw = min_u64(settle.min_uw, seconds[i].power_uw);
        settle.max_uw = max_u64(settle.max_uw, seconds[i].power_uw);
        if (seconds[i].busy_ppm == CALIBRATION_BUSY_UNKNOWN)
            continue;
        if (settle.busy_ppm == CALIBRATION_BUSY_UNKNOWN || seconds[i].busy_ppm > settle.busy_ppm)
            settle.busy_ppm = seconds[i].busy_ppm;
        settle.quiet &= seconds[i].busy_ppm <= busy_limit_ppm;
    }
    settle.mean_uw = sum_uw / n;
    uint64_t spread_uw = max_u64(SETTLE_SPREAD_UW, muldiv_u64(settle.mean_uw, SETTLE_SPREAD_PPM, 1000000));
    settle.steady = settle.max_uw - settle.mean_uw <= spread_uw && settle.mean_uw - settle.min_uw <= spread_uw;
    return settle;
}
