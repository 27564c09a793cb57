/* SPDX-License-Identifier: Apache-2.0 */
/* What one reading costs with 200 cgroups of 10 threads each that all ran since the reading before; and with the
 * kernel's own total of each cgroup read as well, for the cross-check. Medians of 50. */
#include "bench_activity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define CGROUPS  200
#define THREADS  10
#define READINGS 50

struct places {
    char dir[CGROUPS][128];
};

static void make_cgroups(struct places *places, const struct cgroup_tree *tree)
{
    const char *base = access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup"
                       : cgroup_tree_hierarchy(tree) == CGROUP_V1       ? "/sys/fs/cgroup/cpuacct"
                                                                        : "/sys/fs/cgroup/unified";

    for (int i = 0; i < CGROUPS; i++) {
        snprintf(places->dir[i], sizeof(places->dir[i]), "%s/carnot-bench-%d-%d", base, (int)getpid(), i);
        if (mkdir(places->dir[i], 0755) < 0)
            bench_die("cannot make a cgroup");
    }
}

static void enter(void *userdata, unsigned process)
{
    const struct places *places = userdata;
    char path[160];
    int fd;

    snprintf(path, sizeof(path), "%s/cgroup.procs", places->dir[process]);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        _exit(1);
    close(fd);
}

static void remove_cgroups(const struct places *places)
{
    uint64_t deadline = bench_ns(CLOCK_MONOTONIC) + 10 * NS_PER_SEC;

    for (int i = 0; i < CGROUPS; i++) {
        while (rmdir(places->dir[i]) < 0 && bench_ns(CLOCK_MONOTONIC) < deadline)
            ; /* the last switch of those that were waited for comes a moment later */
    }
}

int main(void)
{
    static struct places places;
    uint64_t cpu[READINGS], wall[READINGS], cross[READINGS];
    struct carnot_err err = CARNOT_ERR_INIT;
    struct activity_window window;
    struct bench_activity bench;
    struct bench_ring ring;
    uint32_t n_cgroups = 0;

    bench_activity_open(&bench);
    make_cgroups(&places, bench.tree);
    bench_ring_open(&ring, CGROUPS * THREADS, CGROUPS, -1, enter, &places);
    bench_ring_round(&ring);
    if (activity_bpf.read(bench.self, &window, &err) < 0)
        bench_die(err.msg);

    for (int i = 0; i < READINGS; i++) {
        uint64_t usage;
        bench_ring_round(&ring);
        wall[i] = bench_ns(CLOCK_MONOTONIC);
        cpu[i] = bench_ns(CLOCK_THREAD_CPUTIME_ID);
        if (activity_bpf.read(bench.self, &window, &err) < 0)
            bench_die(err.msg);
        cross[i] = cpu[i];
        cpu[i] = bench_ns(CLOCK_THREAD_CPUTIME_ID) - cpu[i];
        wall[i] = bench_ns(CLOCK_MONOTONIC) - wall[i];

        n_cgroups = 0;
        for (uint32_t at = 0; at < cgroup_tree_count(bench.tree); at++) {
            if (cgroup_tree_get(bench.tree, at))
                n_cgroups += cgroup_tree_read_usage(bench.tree, at, 0, &usage, NULL) == 0;
        }
        cross[i] = bench_ns(CLOCK_THREAD_CPUTIME_ID) - cross[i];
    }
    bench_print("sample_tasks", (double)window.n_tasks, "1");
    bench_print("sample_ms", bench_median(cpu, READINGS) / 1e6, "ms");
    bench_print("sample_wall_ms", bench_median(wall, READINGS) / 1e6, "ms");
    bench_print("sample_cross_checked_cgroups", n_cgroups, "1");
    bench_print("sample_crosschecked_ms", bench_median(cross, READINGS) / 1e6, "ms");
    bench_print("dropped", (double)window.dropped, "1");
    bench_ring_close(&ring);
    remove_cgroups(&places);
    bench_activity_close(&bench);
    return 0;
}
