/* SPDX-License-Identifier: Apache-2.0 */
/* See calibrate_busy.h. */
#include "cli/calibrate_busy.h"

#include <errno.h>
#include <string.h>

#include "base/u64map.h"
#include "model/quantity.h"
#include "sources/proc_read.h"
#include "sources/proc_stat.h"

#define STAT_LINE_MAX 224   /* "cpu4095" and 10 columns of up to 20 digits */
#define MEMINFO_MAX   8192  /* some 1.5 KiB today */
#define PROCESSES_MAX 65536 /* twice the usual pid_max; of more, the first ones are looked at */

/* ---- CPUs ---- */

/* Index of a package id; added when it is new. */
static size_t package_index(struct busy *busy, int package)
{
    size_t i = 0;

    while (i < busy->n_packages && busy->packages[i] != package)
        i++;
    if (i == busy->n_packages && i < DOMAINS_MAX)
        busy->packages[busy->n_packages++] = package;
    return i;
}

int busy_open(const struct carnot_env *env, const struct topology *topology, struct busy *ret, struct carnot_err *err)
{
    struct busy busy = {.fd = -1, .topology = topology};

    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++)
        if (topology->cpus[cpu].online)
            package_index(&busy, topology->cpus[cpu].package);
    busy.text_size = ((size_t)topology->n_cpus + 1) * STAT_LINE_MAX;
    busy.text = malloc(busy.text_size);
    if (!busy.text)
        return carnot_err_set(err, ENOMEM, "out of memory for the busy times of the CPUs");
    busy.fd = fsroot_openat(&env->proc, "stat", 0, NULL);
    *ret = busy;
    return 0;
}

void busy_close(struct busy *busy)
{
    cleanup_closep(&busy->fd);
    free(busy->text);
    *busy = (struct busy){.fd = -1};
}

void busy_read(const struct busy *busy, struct busy_ticks *ticks)
{
    ssize_t n = busy->fd >= 0 ? fd_read_front(busy->fd, busy->text, busy->text_size) : 0;
    struct text rest = {busy->text, n > 0 ? (size_t)n : 0};
    struct proc_stat_cpu cpu;

    memset(ticks, 0, busy->n_packages * sizeof(*ticks));
    while (proc_stat_next_cpu(&rest, &cpu)) {
        if (cpu.cpu >= busy->topology->n_cpus || !busy->topology->cpus[cpu.cpu].online)
            continue;
        for (size_t i = 0; i < busy->n_packages; i++) {
            if (busy->packages[i] != busy->topology->cpus[cpu.cpu].package)
                continue;
            ticks[i].busy += cpu.busy;
            ticks[i].idle += cpu.idle;
        }
    }
}

uint32_t busy_share_ppm(const struct busy_ticks *from, const struct busy_ticks *to, size_t n)
{
    uint64_t busy = 0, idle = 0;

    for (size_t i = 0; i < n; i++) { /* idle time may go back by a tick */
        busy += to[i].busy > from[i].busy ? to[i].busy - from[i].busy : 0;
        idle += to[i].idle > from[i].idle ? to[i].idle - from[i].idle : 0;
    }
    if (busy + idle == 0)
        return CALIBRATION_BUSY_UNKNOWN;
    return (uint32_t)muldiv_u64(busy, 1000000, busy + idle);
}

uint32_t busy_memory_ppm(const struct carnot_env *env)
{
    char text[MEMINFO_MAX];
    uint64_t used, total;
    _cleanup_close_ int fd = fsroot_openat(&env->proc, "meminfo", 0, NULL);
    ssize_t n = fd < 0 ? fd : fd_read_front(fd, text, sizeof(text));

    if (n < 0 || meminfo_used_bytes((struct text){text, (size_t)n}, &used, &total) < 0 || total == 0)
        return CALIBRATION_BUSY_UNKNOWN;
    return (uint32_t)muldiv_u64(used, 1000000, total);
}

/* ---- processes ---- */

struct process {
    uint32_t pid;
    uint64_t start_ticks, cpu_ticks;
};

struct busy_processes {
    struct u64map by_pid; /* -> index */
    struct process *processes;
    size_t n, cap;
};

struct walk {
    const struct carnot_env *env;
    struct busy_processes *taken;     /* being filled */
    const struct busy_processes *old; /* or compared with */
    struct busy_process *most;
};

static int grow(struct busy_processes *taken)
{
    size_t cap = taken->cap ? taken->cap * 2 : 256;

    if (taken->n < taken->cap)
        return 0;
    struct process *grown = realloc(taken->processes, cap * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    taken->processes = grown;
    taken->cap = cap;
    return 0;
}

static int take_one(uint32_t pid, void *userdata)
{
    struct walk *walk = userdata;
    struct busy_processes *taken = walk->taken;
    struct proc_pid_stat stat;

    if (taken->n == PROCESSES_MAX || proc_read_pid_stat(walk->env, pid, &stat) < 0)
        return 0;
    int r = grow(taken);
    if (r >= 0)
        r = u64map_put(&taken->by_pid, pid, (uint32_t)taken->n);
    if (r < 0)
        return r;
    taken->processes[taken->n++] =
        (struct process){.pid = pid, .start_ticks = stat.start_ticks, .cpu_ticks = stat.cpu_ticks};
    return 0;
}

int busy_processes_take(const struct carnot_env *env, struct busy_processes **ret)
{
    struct busy_processes *taken = calloc(1, sizeof(*taken));
    struct walk walk = {.env = env, .taken = taken};

    int r = taken ? proc_list(env, "", take_one, &walk, NULL) : -ENOMEM;
    if (r < 0) {
        busy_processes_free(taken);
        return r;
    }
    *ret = taken;
    return 0;
}

struct busy_processes *busy_processes_free(struct busy_processes *processes)
{
    if (!processes)
        return NULL;
    u64map_done(&processes->by_pid);
    free(processes->processes);
    free(processes);
    return NULL;
}

static int compare_one(uint32_t pid, void *userdata)
{
    struct walk *walk = userdata;
    struct proc_pid_stat stat;
    uint64_t before_ticks = 0;

    if (pid == (uint32_t)getpid() || proc_read_pid_stat(walk->env, pid, &stat) < 0)
        return 0;
    uint32_t index = u64map_get(&walk->old->by_pid, pid);
    if (index != U64MAP_NONE && walk->old->processes[index].start_ticks == stat.start_ticks)
        before_ticks = walk->old->processes[index].cpu_ticks;
    uint64_t ns = stat.cpu_ticks > before_ticks ? (stat.cpu_ticks - before_ticks) * NS_PER_TICK : 0;
    if (ns <= walk->most->cpu_ns)
        return 0;
    *walk->most = (struct busy_process){.pid = pid, .cpu_ns = ns};
    snprintf(walk->most->name, sizeof(walk->most->name), "%s", stat.comm);
    return 0;
}

bool busy_processes_most(const struct carnot_env *env, const struct busy_processes *since, struct busy_process *ret)
{
    struct busy_process most = {0};
    struct walk walk = {.env = env, .old = since, .most = &most};

    if (!since || proc_list(env, "", compare_one, &walk, NULL) < 0 || most.cpu_ns == 0)
        return false;
    *ret = most;
    return true;
}
