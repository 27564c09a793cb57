/* SPDX-License-Identifier: Apache-2.0 */
/* Reads processes and busy CPUs from /proc. Knows files; refuses to know who pays. */
#include "sources/proc_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "model/quantity.h"
#include "sources/proc_stat.h"

#define DIRENT_BUF    16384
#define PROC_PATH_MAX 64   /* "4194304/task/4194304/children" and some */
#define STAT_MAX      1024 /* 52 numbers of up to 20 digits, few of them that long: 300 bytes in practice */
#define SCHEDSTAT_MAX 80   /* three numbers */
#define CPU_LINE_MAX  160  /* of /proc/stat: ten numbers, none beyond 14 digits in a century */

int proc_list(const struct carnot_env *env, const char *dir, proc_pid_fn fn, void *userdata, struct carnot_err *err)
{
    char buf[DIRENT_BUF] __attribute__((aligned(8)));
    _cleanup_close_ int fd = fsroot_openat(&env->proc, dir, O_DIRECTORY, err);

    if (fd < 0)
        return fd;
    for (;;) {
        ssize_t n = getdents64(fd, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return carnot_err_errno(err, errno, "cannot list %s/%s", env->proc.path, dir);
        if (n == 0)
            return 0;
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *de = (const struct dirent64 *)(const void *)(buf + at);
            uint32_t pid;

            at += de->d_reclen;
            if (!proc_parse_pid(de->d_name, &pid))
                continue;
            int r = fn(pid, userdata);
            if (r < 0)
                return r;
        }
    }
}

int proc_read_pid_stat(const struct carnot_env *env, uint32_t pid, struct proc_pid_stat *ret_stat)
{
    char path[PROC_PATH_MAX], buf[STAT_MAX];

    snprintf(path, sizeof(path), "%u/stat", pid);
    ssize_t n = fsroot_read(&env->proc, path, buf, sizeof(buf), NULL);
    if (n < 0)
        return (int)n;
    return proc_parse_pid_stat((struct text){buf, (size_t)n}, ret_stat);
}

uint64_t proc_cpu_ns(const struct carnot_env *env, const struct proc_pid_stat *stat)
{
    char path[PROC_PATH_MAX], buf[SCHEDSTAT_MAX];
    uint64_t low = stat->cpu_ticks * NS_PER_TICK, fine;

    snprintf(path, sizeof(path), "%u/schedstat", stat->pid);
    ssize_t n = fsroot_read(&env->proc, path, buf, sizeof(buf), NULL);
    if (n < 0 || proc_parse_schedstat((struct text){buf, (size_t)n}, &fine) < 0 || fine < low)
        return low;
    return min_u64(fine, low + 2 * NS_PER_TICK - 1);
}

int proc_check_self(const struct carnot_env *env, uint32_t pid, struct carnot_err *err)
{
    char link[32];
    struct statfs fs;
    uint32_t self;

    if (fstatfs(env->proc.fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
        return 0;
    ssize_t n = fsroot_readlink(&env->proc, "self", link, sizeof(link));
    if (n == -ENOENT)
        return carnot_err_set(err, ESRCH,
                              "%s shows the processes of another pid namespace, and this program is not among them: "
                              "mount this namespace's own proc, or share the host's (hostPID, --pid=host)",
                              env->proc.path);
    if (n < 0)
        return carnot_err_errno(err, (int)n, "cannot read %s/self", env->proc.path);
    if (!proc_parse_pid(link, &self))
        return carnot_err_set(err, EPROTO, "cannot understand %s/self: it is no process number", env->proc.path);
    if (self != pid)
        return carnot_err_set(err, ESRCH,
                              "this program is process %u in %s, not %u: the number comes from another pid namespace",
                              self, env->proc.path, pid);
    return 0;
}

uint32_t proc_uid(const struct carnot_env *env, uint32_t pid)
{
    char path[PROC_PATH_MAX];
    struct stat st;

    snprintf(path, sizeof(path), "%u", pid);
    return fstatat(env->proc.fd, path, &st, 0) < 0 ? UINT32_MAX : st.st_uid;
}

/* The CPU lines come first; the rest (a line with a number for each interrupt) can be as long again and is not read. */
static int read_busy(struct cpu_busy *busy, uint64_t *out, struct carnot_err *err)
{
    ssize_t n;

    do
        n = pread(busy->fd, busy->text, busy->text_size, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return carnot_err_errno(err, errno, "cannot read /proc/stat");

    struct text rest = {busy->text, (size_t)n};
    struct proc_stat_cpu cpu;
    bool any = false;
    memset(out, 0, busy->n_cpus * sizeof(*out));
    while (proc_stat_next_cpu(&rest, &cpu)) {
        any = true;
        if (cpu.cpu < busy->n_cpus)
            out[cpu.cpu] = cpu.busy;
    }
    if (!any)
        return carnot_err_set(err, EPROTO, "cannot understand /proc/stat: it has no line for any CPU");
    return 0;
}

/* Without anything busy, and before the first window: by CPUs. */
static void weigh_by_cpus(struct cpu_busy *busy)
{
    busy->weight_sum = 0;
    for (uint32_t b = 0; b < busy->buckets->n; b++) {
        busy->weight[b] = busy->buckets->bucket[b].n_cpus;
        busy->weight_sum += busy->weight[b];
    }
}

int cpu_busy_open(const struct carnot_env *env, const struct topology *topology, const struct topology_buckets *buckets,
                  struct cpu_busy *ret_busy, struct carnot_err *err)
{
    struct cpu_busy busy = {.fd = -1, .buckets = buckets, .n_cpus = topology->n_cpus};
    int r = -ENOMEM;

    busy.text_size = (size_t)(busy.n_cpus + 1) * CPU_LINE_MAX;
    busy.text = malloc(busy.text_size);
    busy.last = calloc(busy.n_cpus, sizeof(*busy.last));
    busy.ticks = calloc(busy.n_cpus, sizeof(*busy.ticks));
    busy.weight = calloc(buckets->n, sizeof(*busy.weight));
    if (!busy.text || !busy.last || !busy.ticks || !busy.weight) {
        carnot_err_set(err, ENOMEM, "out of memory while opening /proc/stat");
        goto fail;
    }
    busy.fd = fsroot_openat(&env->proc, "stat", 0, err);
    if (busy.fd < 0) {
        r = busy.fd;
        goto fail;
    }
    r = read_busy(&busy, busy.last, err);
    if (r < 0)
        goto fail;
    weigh_by_cpus(&busy);
    *ret_busy = busy;
    return 0;
fail:
    cpu_busy_done(&busy);
    return r;
}

void cpu_busy_done(struct cpu_busy *busy)
{
    if (busy->fd >= 0 && busy->text)
        close(busy->fd);
    free(busy->text);
    free(busy->last);
    free(busy->ticks);
    free(busy->weight);
    *busy = (struct cpu_busy){.fd = -1};
}

int cpu_busy_update(struct cpu_busy *busy, struct carnot_err *err)
{
    int r = read_busy(busy, busy->ticks, err);

    if (r < 0)
        return r;
    uint64_t before_ns = busy->window_ns;
    if (before_ns == 0) { /* else a window that was not taken goes on */
        memset(busy->weight, 0, busy->buckets->n * sizeof(*busy->weight));
        busy->weight_sum = 0;
    }
    for (uint32_t cpu = 0; cpu < busy->n_cpus; cpu++) {
        /* An offline CPU has no line, hence 0 here; when it is back it counts on from where it was. Should it count
         * less than before, then it was not busy. */
        if (busy->ticks[cpu] == 0)
            continue;
        uint64_t ticks = busy->ticks[cpu] > busy->last[cpu] ? busy->ticks[cpu] - busy->last[cpu] : 0;
        uint64_t ns = ticks * NS_PER_TICK;
        uint16_t bucket = busy->buckets->of_cpu[cpu];

        busy->last[cpu] = busy->ticks[cpu];
        if (bucket >= busy->buckets->n)
            continue;
        busy->weight[bucket] += ns;
        busy->weight_sum += ns;
    }
    busy->window_ns = busy->weight_sum;
    busy->total_ns += busy->window_ns - before_ns;
    if (busy->weight_sum == 0)
        weigh_by_cpus(busy);
    return 0;
}

void cpu_busy_taken(struct cpu_busy *busy)
{
    busy->window_ns = 0;
    weigh_by_cpus(busy);
}

void cpu_busy_spread(const struct cpu_busy *busy, uint64_t ns, uint64_t *out)
{
    uint64_t weight = 0, given = 0;

    /* Rounds the running sum, not the parts, so that nothing is lost. */
    for (uint32_t b = 0; b < busy->buckets->n; b++) {
        weight += busy->weight[b];
        uint64_t upto = muldiv_u64(ns, weight, busy->weight_sum);
        out[b] = upto - given;
        given = upto;
    }
    if (busy->buckets->n)
        out[busy->buckets->n - 1] += ns - given; /* all of it when no bucket has a CPU online */
}
