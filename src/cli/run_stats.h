/* SPDX-License-Identifier: Apache-2.0 */
/* The runs of a report taken together: means, deviations, the worst and the highest. For the writers of reports. */
#ifndef CARNOT_CLI_RUN_STATS_H
#define CARNOT_CLI_RUN_STATS_H

#include "cli/run_report.h"
#include "cli/welford.h"

struct run_stats {
    struct welford wall_ns, cpu_ns, energy_uj, power_uw, machine_uj, machine_uw;
    uint64_t peak_uw;
    uint64_t worst_coverage_ppm;
    int exit_status; /* of the first run that failed, else 0 */
};

void run_stats_gather(const struct run_report *report, struct run_stats *ret_stats);

#endif
