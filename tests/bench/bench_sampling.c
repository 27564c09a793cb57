/* SPDX-License-Identifier: Apache-2.0 */
/* What reading all energy counters ten times a second costs, in CPU time of the reading thread: at that pace, with
 * whatever the caches keep over 100 ms. bench-sampling SYSFS SECONDS */
#include "bench.h"

#include <errno.h>

#include "base/parse.h"
#include "meter/energy.h"

#define PERIOD_NS    (100 * NS_PER_MS)
#define READINGS_MAX 6000

static void wait_until(uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SEC), .tv_nsec = (long)(until_ns % NS_PER_SEC)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

int main(int argc, char **argv)
{
    static uint64_t cpu_ns[READINGS_MAX];
    struct carnot_env env;
    struct topology topology;
    struct energy energy;
    struct option_list only = {.items = {"rapl_powercap"}, .count = 1};
    struct carnot_err err = CARNOT_ERR_INIT;
    uint64_t seconds = 0, total_ns = 0;

    if (argc != 3 || parse_u64(text_of(argv[2]), &seconds) < 0 || seconds == 0 || seconds > READINGS_MAX / 10)
        bench_die("usage: bench-sampling SYSFS SECONDS");
    if (carnot_env_open(NULL, argv[1], NULL, NULL, &env, &err) < 0 || topology_read(&env, &topology, &err) < 0 ||
        energy_open(&env, &topology, &only, NULL, &energy, &err) < 0)
        bench_die(err.msg);
    energy_sample(&energy, false);
    size_t n = seconds * 10;
    uint64_t begin_ns = bench_ns(CLOCK_MONOTONIC);
    for (size_t i = 0; i < n; i++) {
        wait_until(begin_ns + (i + 1) * PERIOD_NS);
        uint64_t before_ns = bench_ns(CLOCK_THREAD_CPUTIME_ID);
        energy_sample(&energy, false);
        cpu_ns[i] = bench_ns(CLOCK_THREAD_CPUTIME_ID) - before_ns;
        total_ns += cpu_ns[i];
    }
    bench_print("sampling_domains", (double)energy.n_domains, "1");
    bench_print("sampling_us", bench_median(cpu_ns, n) / 1e3, "us");
    bench_print("sampling_percent", 100.0 * (double)total_ns / (double)(n * PERIOD_NS), "%");
    energy_close(&energy);
    topology_done(&topology);
    carnot_env_close(&env);
    return 0;
}
