/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a cgroup's CPU time does an activity reader see under a fork/exec storm? Truth is the kernel's own
 * counter of that cgroup. bench-storm bpf|procfs v1|v2 SECONDS Prints one JSON line: share in percent, processes per
 * second. Needs root. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/parse.h"
#include "sources/activity.h"

#define READ_EVERY_NS  NS_PER_SEC
#define DRAIN_EVERY_NS (100 * NS_PER_MS)

struct bench {
    struct carnot_env env;
    struct topology topology;
    struct topology_buckets buckets;
    struct cgroup_tree *tree;
    const struct activity_ops *ops;
    void *self;
    char directory[256];
    uint32_t index;
    uint64_t seen_ns;
};

static int die(const char *what, int r, const struct carnot_err *err)
{
    fprintf(stderr, "bench-storm: %s: %s\n", what, err && err->msg[0] ? err->msg : strerror(-r));
    return 1;
}

static void enter(const char *directory)
{
    char path[300], text[16];
    int n = snprintf(text, sizeof text, "%d", getpid());

    snprintf(path, sizeof path, "%s/cgroup.procs", directory);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, (size_t)n) != n)
        _exit(1);
    close(fd);
}

/* Spawns short processes, one after another, until killed; tells how many by the shared counter. */
static void storm(const char *directory, volatile uint64_t *count)
{
    char *const argv[] = {(char *)(uintptr_t) "true", NULL};
    char *const envp[] = {NULL};
    pid_t pid;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    enter(directory);
    for (;;) {
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) != 0)
            _exit(2);
        waitpid(pid, NULL, 0);
        (*count)++;
    }
}

static int read_window(struct bench *bench)
{
    struct activity_window window = {0};
    struct carnot_err err = CARNOT_ERR_INIT;
    int r = bench->ops->read(bench->self, &window, &err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < window.n_tasks; i++)
        for (uint32_t b = 0; window.tasks[i].cgroup == bench->index && b < bench->buckets.n; b++)
            bench->seen_ns += window.tasks[i].ns[b];
    for (size_t i = 0; i < window.n_rests; i++)
        for (uint32_t b = 0; window.rests[i].cgroup == bench->index && b < bench->buckets.n; b++)
            bench->seen_ns += window.rests[i].ns[b];
    return 0;
}

static uint64_t mono_ns(struct bench *bench)
{
    return clock_now(bench->env.clock).mono_ns;
}

static int run(struct bench *bench, uint64_t seconds, volatile uint64_t *counts, pid_t *pids)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    uint64_t begin_ns = mono_ns(bench), next_read_ns = begin_ns + READ_EVERY_NS, kernel_ns = 0;
    struct timespec pause = {.tv_nsec = (long)DRAIN_EVERY_NS};

    for (unsigned i = 0; i < 2; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            storm(bench->directory, &counts[i]);
    }
    while (mono_ns(bench) < begin_ns + seconds * NS_PER_SEC) {
        nanosleep(&pause, NULL);
        if (mono_ns(bench) >= next_read_ns) {
            next_read_ns += READ_EVERY_NS;
            if (read_window(bench) < 0)
                return -EIO;
        } else if (bench->ops->drain) {
            bench->ops->drain(bench->self, &err);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    /* Orphans of the killed spawners end on their own; the cgroup is empty when its procs file is. */
    char path[300], byte;
    snprintf(path, sizeof path, "%s/cgroup.procs", bench->directory);
    for (ssize_t n = 1; n > 0;) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        n = read(fd, &byte, 1);
        close(fd);
    }
    double elapsed_s = (double)(mono_ns(bench) - begin_ns) / 1e9;
    if (read_window(bench) < 0 ||
        cgroup_tree_read_usage(bench->tree, bench->index, mono_ns(bench), &kernel_ns, &err) < 0)
        return -EIO;
    printf("{\"share_percent\": %.4f, \"processes_per_s\": %.0f, \"seen_s\": %.4f, \"kernel_s\": %.4f}\n",
           100.0 * (double)bench->seen_ns / (double)kernel_ns, (double)(counts[0] + counts[1]) / elapsed_s,
           (double)bench->seen_ns / 1e9, (double)kernel_ns / 1e9);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    struct carnot_err err = CARNOT_ERR_INIT;
    struct activity_args args = {.env = &bench.env, .topology = &bench.topology, .buckets = &bench.buckets};
    uint64_t seconds;
    pid_t pids[2];
    int r;

    if (argc != 4 || parse_u64(text_of(argv[3]), &seconds) < 0) {
        fprintf(stderr, "usage: bench-storm bpf|procfs v1|v2 SECONDS\n");
        return 64;
    }
    enum cgroup_hierarchy hierarchy = strcmp(argv[2], "v1") == 0 ? CGROUP_V1 : CGROUP_V2;
    bench.ops = strcmp(argv[1], "bpf") == 0 ? &activity_bpf : &activity_procfs;
    r = carnot_env_open(NULL, NULL, NULL, NULL, &bench.env, &err);
    if (r >= 0)
        r = topology_read(&bench.env, &bench.topology, &err);
    if (r >= 0)
        r = topology_buckets(&bench.topology, BUCKETS_MAX, &bench.buckets, &err);
    if (r >= 0)
        r = cgroup_tree_open(&bench.env, hierarchy, &bench.tree, &err);
    if (r < 0)
        return die("cannot start", r, &err);
    const char *mount = hierarchy == CGROUP_V1                        ? "/sys/fs/cgroup/cpuacct"
                        : access("/sys/fs/cgroup/unified", F_OK) == 0 ? "/sys/fs/cgroup/unified"
                                                                      : "/sys/fs/cgroup";
    snprintf(bench.directory, sizeof bench.directory, "%s/carnot-bench-%d", mount, getpid());
    if (mkdir(bench.directory, 0755) < 0)
        return die("cannot make a cgroup", -errno, NULL);
    args.cgroups = bench.tree;
    args.monitor_pid = (uint32_t)getpid();
    cgroup_tree_scan(bench.tree, NULL);
    r = bench.ops->open(&args, &bench.self, &err);
    char *name = strrchr(bench.directory, '/');
    bench.index = cgroup_tree_find_path(bench.tree, name);
    int status = 1;
    if (r < 0)
        status = die("cannot open the reader", r, &err);
    else if (bench.index == CGROUP_NONE)
        status = die("the cgroup is not in the tree", -ENOENT, NULL);
    else if (read_window(&bench) < 0)
        status = die("cannot read", -EIO, NULL);
    else {
        /* Shared with the children that count. */
        uint64_t *counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        bench.seen_ns = 0;
        status = counts == MAP_FAILED ? 1 : run(&bench, seconds, counts, pids) < 0;
    }
    rmdir(bench.directory);
    bench.ops->close(bench.self);
    return status;
}
