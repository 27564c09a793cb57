/* SPDX-License-Identifier: Apache-2.0 */
/* What the BPF program costs at a context switch: hot (two processes play ping-pong over pipes) and cold (2,000 threads
 * that wake one another in random order), measured by the kernel (bpf_stats, whose own two clock readings are in the
 * figure) and as the difference of wall time per switch with and without the programs. */
#include "bench_activity.h"

#define HOT_ROUNDS   100000
#define COLD_THREADS 2000
#define COLD_ROUNDS  50

/* ns of wall time per switch of the ping-pong. */
static double ping_pong(void)
{
    int there[2], back[2];
    uint64_t start;
    char c = 'x';
    pid_t pid;

    if (pipe(there) < 0 || pipe(back) < 0)
        bench_die("no pipe");
    pid = fork();
    if (pid == 0) {
        for (int i = 0; i < HOT_ROUNDS; i++) {
            if (read(there[0], &c, 1) != 1 || write(back[1], &c, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    start = bench_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < HOT_ROUNDS; i++) {
        if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
            bench_die("ping-pong broke");
    }
    start = bench_ns(CLOCK_MONOTONIC) - start;
    waitpid(pid, NULL, 0);
    for (int i = 0; i < 2; i++) {
        close(there[i]);
        close(back[i]);
    }
    return (double)start / (2.0 * HOT_ROUNDS);
}

static double ring_rounds(const struct bench_ring *ring)
{
    uint64_t start = bench_ns(CLOCK_MONOTONIC);

    for (int i = 0; i < COLD_ROUNDS; i++)
        bench_ring_round(ring);
    return (double)(bench_ns(CLOCK_MONOTONIC) - start) / ((double)COLD_ROUNDS * COLD_THREADS);
}

static double per_switch(void *self, const struct activity_bpf_info *before)
{
    struct activity_bpf_info after;

    activity_bpf_info(self, &after);
    return (double)(after.switch_run_ns - before->switch_run_ns) /
           (double)(after.switch_run_count - before->switch_run_count);
}

static void measure(struct bench_activity *bench, const struct bench_ring *ring, const char *hot, const char *cold)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct activity_bpf_info before;

    if (activity_bpf_measure(bench->self, &err) < 0)
        bench_die(err.msg);
    activity_bpf_info(bench->self, &before);
    ping_pong();
    bench_print(hot, per_switch(bench->self, &before), "ns");
    activity_bpf_info(bench->self, &before);
    ring_rounds(ring);
    bench_print(cold, per_switch(bench->self, &before), "ns");
}

int main(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct activity_window window;
    struct bench_activity bench;
    struct bench_ring ring;
    double hot_without, cold_without, hot_with, cold_with;

    bench_pin(0);
    ping_pong();
    hot_without = ping_pong();
    bench_ring_open(&ring, COLD_THREADS, 1, 0, NULL, NULL);
    bench_ring_round(&ring);
    cold_without = ring_rounds(&ring);

    bench_activity_open(&bench);
    bench_ring_round(&ring);
    ping_pong();
    hot_with = ping_pong();
    cold_with = ring_rounds(&ring);

    measure(&bench, &ring, "switch_hot_ns", "switch_cold_ns");
    bench_print("switch_hot_wall_without_ns", hot_without, "ns");
    bench_print("switch_hot_wall_with_ns", hot_with, "ns");
    bench_print("switch_cold_wall_without_ns", cold_without, "ns");
    bench_print("switch_cold_wall_with_ns", cold_with, "ns");
    if (activity_bpf.read(bench.self, &window, &err) < 0)
        bench_die(err.msg);
    bench_print("dropped", (double)window.dropped, "1");
    bench_activity_close(&bench);

    bench_activity_open_as(&bench, true);
    bench_ring_round(&ring);
    measure(&bench, &ring, "switch_smt_hot_ns", "switch_smt_cold_ns");
    bench_activity_close(&bench);
    bench_ring_close(&ring);
    return 0;
}
