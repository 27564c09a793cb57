/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU-bound program beside which a burst is measured: a fixed amount of arithmetic on one CPU. Prints "ready", then
 * for each line on its standard input the time that one round took. bench-burst CPU ROUND_MS
 * With ROUND_MS 0 what a burst is compared with: a real-time timer of 1 kHz on that CPU that does nothing at all. */
#include "bench.h"

#include <errno.h>

#include "base/parse.h"

#define TIMER_PERIOD_NS NS_PER_MS

static volatile uint64_t sink;

static void work(uint64_t steps)
{
    uint64_t x = 88172645463325252ULL;

    for (uint64_t i = 0; i < steps; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    sink = x;
}

/* Steps that take about so long on a quiet CPU: the fastest of a few tries. */
static uint64_t calibrate(uint64_t round_ns)
{
    const uint64_t probe = 1 << 22;
    uint64_t best_ns = UINT64_MAX;

    for (int i = 0; i < 10; i++) {
        uint64_t begin_ns = bench_ns(CLOCK_MONOTONIC);
        work(probe);
        best_ns = min_u64(best_ns, bench_ns(CLOCK_MONOTONIC) - begin_ns);
    }
    return (uint64_t)((double)probe * (double)round_ns / (double)best_ns);
}

static void run_empty_timer(void)
{
    struct sched_param param = {.sched_priority = 1};
    uint64_t next_ns = bench_ns(CLOCK_MONOTONIC);

    if (sched_setscheduler(0, SCHED_FIFO, &param) < 0)
        bench_die("no right to SCHED_FIFO");
    for (;;) {
        next_ns = max_u64(next_ns + TIMER_PERIOD_NS, bench_ns(CLOCK_MONOTONIC)); /* it may have been stopped */
        struct timespec next = {.tv_sec = (time_t)(next_ns / NS_PER_SEC), .tv_nsec = (long)(next_ns % NS_PER_SEC)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
            ;
    }
}

int main(int argc, char **argv)
{
    uint64_t cpu = 0, round_ms = 0, steps;
    char line[16];

    if (argc != 3 || parse_u64(text_of(argv[1]), &cpu) < 0 || parse_u64(text_of(argv[2]), &round_ms) < 0 || cpu > 1023)
        bench_die("usage: bench-burst CPU ROUND_MS");
    bench_pin((int)cpu);
    if (round_ms == 0)
        run_empty_timer();
    steps = calibrate(round_ms * NS_PER_MS);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        uint64_t begin_ns = bench_ns(CLOCK_MONOTONIC);
        work(steps);
        printf("%llu\n", (unsigned long long)(bench_ns(CLOCK_MONOTONIC) - begin_ns));
        fflush(stdout);
    }
    return 0;
}
