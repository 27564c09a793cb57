/* SPDX-License-Identifier: Apache-2.0 */
/* The runs of a report taken together. */
#include "cli/run_stats.h"

#include "model/quantity.h"

uint64_t run_cpu_ns(const struct run_figures *run)
{
    uint64_t waited_ns = saturating_add(run->user_ns, run->system_ns);

    return run->has_energy ? max_u64(waited_ns, run->session_cpu_ns) : waited_ns;
}

uint64_t run_coverage_ppm(const struct run_figures *run)
{
    uint64_t cpu_ns = run_cpu_ns(run);

    if (!run->has_energy || cpu_ns == 0)
        return run->has_energy ? 1000000 : 0;
    return muldiv_u64(run->session_cpu_ns, 1000000, cpu_ns);
}

void run_stats_gather(const struct run_report *report, struct run_stats *ret_stats)
{
    *ret_stats = (struct run_stats){.worst_coverage_ppm = 1000000};
    for (size_t i = 0; i < report->n_runs; i++) {
        const struct run_figures *run = &report->runs[i];

        welford_add(&ret_stats->wall_ns, (double)run->wall_ns);
        welford_add(&ret_stats->cpu_ns, (double)run_cpu_ns(run));
        if (run->exit_status != 0 && ret_stats->exit_status == 0)
            ret_stats->exit_status = run->exit_status;
        if (run->has_energy) {
            welford_add(&ret_stats->energy_uj, (double)run->energy_uj);
            welford_add(&ret_stats->power_uw, (double)power_uw(run->energy_uj, run->wall_ns));
            ret_stats->peak_uw = max_u64(ret_stats->peak_uw, run->peak_uw);
            ret_stats->worst_coverage_ppm = min_u64(ret_stats->worst_coverage_ppm, run_coverage_ppm(run));
        }
        if (run->has_machine) {
            welford_add(&ret_stats->machine_uj, (double)run->machine_uj);
            welford_add(&ret_stats->machine_uw, (double)power_uw(run->machine_uj, run->machine_ns));
        }
    }
}
