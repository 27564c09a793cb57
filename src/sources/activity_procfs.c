/* SPDX-License-Identifier: Apache-2.0 */
/* Activity from /proc and the cgroups' own counters: needs no rights, sees no CPU.
 *
 * The truth is each cgroup's own time (cgroup_usage.h). Processes are polled and split it; what a cgroup used beyond
 * its processes seen is its rest, so that a storm of processes that live for milliseconds is billed to the right
 * cgroup, only without names. Where the processes' sum is more than the cgroup's time (they are read at other instants,
 * and partly in ticks), they are scaled down to it and the difference is billed as soon as the cgroup's counter allows.
 *
 * The root of cgroup v2 has no such counter. Its time is what /proc/stat says was busy, less its children's, but at
 * least its processes' sum: a machine whose work is in the root is then known to the precision of ticks. */
#include <errno.h>
#include <string.h>

#include "model/quantity.h"
#include "sources/activity.h"
#include "sources/cgroup_usage.h"
#include "sources/proc_read.h"
#include "sources/proc_table.h"

/* Most that a process may be behind its cgroup's counter: stat rounds user and system time to a tick each. What is more
 * than that comes from elsewhere (it has moved from another cgroup) and is that one's. */
#define PENDING_MAX_NS (2 * NS_PER_TICK)

/* Listed time of one cgroup. */
struct share {
    uint64_t sum_ns;   /* pending time of its processes */
    uint64_t upto_ns;  /* running sum, for rounding */
    uint64_t given_ns; /* billed so far */
};

struct procfs {
    const struct carnot_env *env;
    struct cgroup_tree *cgroups;
    struct cgroup_usage usage;
    struct cpu_busy busy;
    struct proc_table table;
    uint32_t n_buckets;
    int64_t root_carry_ns; /* <= 0 */

    struct share *shares; /* [shares_cap], by cgroup */
    size_t shares_cap;
    struct activity_task *tasks;
    size_t tasks_cap;
    struct activity_rest *rests;
    size_t rests_cap;
    uint64_t *ns; /* [ns_cap] buckets of all tasks, then all rests */
    size_t ns_cap;
    uint64_t unlisted_ns;
};

static int procfs_probe(const struct activity_args *args, struct carnot_err *err)
{
    if (!args->cgroups)
        return carnot_err_set(err, ENODEV,
                              "activity from /proc needs the control groups: mount cgroup v2 or v1 cpuacct");
    if (!fsroot_exists(&args->env->proc, "stat"))
        return carnot_err_set(err, ENODEV,
                              "there is no %s/stat: mount proc there, or name its place with --path.procfs",
                              args->env->proc.path);
    return 0;
}

static void *procfs_close(void *userdata)
{
    struct procfs *self = userdata;

    if (!self)
        return NULL;
    cgroup_usage_done(&self->usage);
    cpu_busy_done(&self->busy);
    proc_table_done(&self->table);
    free(self->shares);
    free(self->tasks);
    free(self->rests);
    free(self->ns);
    free(self);
    return NULL;
}

/* Makes room for `want` elements, with room to spare, so that a steady machine needs none. */
static int reserve(void **array, size_t *cap, size_t want, size_t element)
{
    if (want <= *cap)
        return 0;
    size_t fresh_cap = want + want / 2 + 16;
    void *fresh = realloc(*array, fresh_cap * element);
    if (!fresh)
        return -ENOMEM;
    *array = fresh;
    *cap = fresh_cap;
    return 0;
}

#define RESERVE(array, cap, want)                                                                                      \
    ({                                                                                                                 \
        void *grown_ = (array);                                                                                        \
        int reserved_ = reserve(&grown_, &(cap), (want), sizeof(*(array)));                                            \
        (array) = grown_;                                                                                              \
        reserved_;                                                                                                     \
    })

/* Adds to the window in everything that counts. What fails half-way is no loss: each keeps what it has until the window
 * is taken, and adds to it the next time. */
static int take_readings(struct procfs *self, uint64_t now_mono_ns, struct carnot_err *err)
{
    int r = cgroup_usage_update(&self->usage, now_mono_ns, err);
    if (r >= 0)
        r = cpu_busy_update(&self->busy, err);
    if (r >= 0)
        r = proc_table_poll(&self->table, err);
    return r;
}

static void readings_taken(struct procfs *self)
{
    cgroup_usage_taken(&self->usage);
    cpu_busy_taken(&self->busy);
    proc_table_taken(&self->table);
}

/* v2 only. Ticks against ns: a small negative difference is carried, for at most two ticks of each CPU, since more is
 * no rounding and would hide work later. */
static uint64_t root_own_ns(struct procfs *self, uint64_t processes_ns)
{
    int64_t most = (int64_t)(2 * NS_PER_TICK) * self->busy.n_cpus;
    __int128 own = (__int128)self->busy.window_ns - self->usage.children_ns + self->root_carry_ns;

    self->root_carry_ns = own >= 0 ? 0 : own < -most ? -most : (int64_t)own;
    return max_u64(own > 0 ? (uint64_t)own : 0, processes_ns);
}

/* Sums up what the processes of each cgroup claim. */
static void collect_claims(struct procfs *self)
{
    uint32_t count = cgroup_tree_count(self->cgroups);

    memset(self->shares, 0, count * sizeof(*self->shares));
    for (uint32_t i = 0; i < self->table.count; i++) {
        struct proc_entry *p = &self->table.entries[i];
        if (!p->used)
            continue;
        p->pending_ns += p->delta_ns;
        self->shares[p->cgroup < count ? p->cgroup : CGROUP_ROOT].sum_ns += p->pending_ns;
    }
    if (cgroup_tree_hierarchy(self->cgroups) == CGROUP_V2)
        self->usage.own[CGROUP_ROOT].own_ns = root_own_ns(self, self->shares[CGROUP_ROOT].sum_ns);
}

/* What of its claim a process gets. */
static uint64_t bill(struct procfs *self, struct proc_entry *p)
{
    struct share *share = &self->shares[p->cgroup];
    uint64_t own_ns = self->usage.own[p->cgroup].own_ns;
    uint64_t billed = p->pending_ns;

    if (share->sum_ns > own_ns) {
        share->upto_ns += p->pending_ns;
        billed = muldiv_u64(own_ns, share->upto_ns, share->sum_ns) - share->given_ns;
    }
    share->given_ns += billed;
    p->pending_ns = min_u64(p->pending_ns - min_u64(billed, p->pending_ns), PENDING_MAX_NS);
    return billed;
}

static size_t list_tasks(struct procfs *self)
{
    uint32_t count = cgroup_tree_count(self->cgroups);
    size_t n = 0;

    for (uint32_t i = 0; i < self->table.count; i++) {
        struct proc_entry *p = &self->table.entries[i];

        if (!p->used)
            continue;
        if (p->cgroup >= count)
            p->cgroup = CGROUP_ROOT;
        uint64_t billed = bill(self, p);
        if (billed == 0 && !(p->ended && p->listed))
            continue;
        p->listed = true;
        struct activity_task *task = &self->tasks[n++];
        *task = (struct activity_task){
            .pid = p->pid,
            .tid = p->pid,
            .ppid = p->ppid,
            .uid = p->uid,
            .cgroup = p->cgroup,
            .session = p->session,
            .flags = p->flags | (p->ended ? TASK_ENDED | TASK_PROCESS_ENDED : 0),
            .start_boot_ns = p->start_ticks * NS_PER_TICK,
        };
        memcpy(task->comm, p->comm, sizeof(task->comm));
        cpu_busy_spread(&self->busy, billed, self->ns + (n - 1) * self->n_buckets);
        task->ns = self->ns + (n - 1) * self->n_buckets;
    }
    return n;
}

static size_t list_rests(struct procfs *self, size_t n_tasks)
{
    uint32_t count = cgroup_tree_count(self->cgroups);
    size_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t own_ns = self->usage.own[i].own_ns, given_ns = self->shares[i].given_ns;

        if (own_ns <= given_ns)
            continue;
        uint64_t *ns = self->ns + (n_tasks + n) * self->n_buckets;
        cpu_busy_spread(&self->busy, own_ns - given_ns, ns);
        self->rests[n++] = (struct activity_rest){.cgroup = i, .ns = ns};
        self->unlisted_ns += own_ns - given_ns;
    }
    return n;
}

static int procfs_read(void *userdata, struct activity_window *ret_window, struct carnot_err *err)
{
    struct procfs *self = userdata;
    uint64_t now_mono_ns = clock_now(self->env->clock).mono_ns;

    int r = take_readings(self, now_mono_ns, err);
    if (r < 0)
        return r;
    size_t most_tasks = self->table.n_used, most_rests = cgroup_tree_count(self->cgroups);
    if (RESERVE(self->shares, self->shares_cap, most_rests) < 0 ||
        RESERVE(self->tasks, self->tasks_cap, most_tasks) < 0 ||
        RESERVE(self->rests, self->rests_cap, most_rests) < 0 ||
        RESERVE(self->ns, self->ns_cap, (most_tasks + most_rests) * self->n_buckets) < 0)
        return carnot_err_set(err, ENOMEM, "out of memory for the activity of %zu processes", most_tasks);

    /* Nothing fails from here on. */
    collect_claims(self);
    size_t n_tasks = list_tasks(self);
    size_t n_rests = list_rests(self, n_tasks);
    readings_taken(self);
    *ret_window = (struct activity_window){
        .end_mono_ns = now_mono_ns,
        .tasks = self->tasks,
        .n_tasks = n_tasks,
        .rests = self->rests,
        .n_rests = n_rests,
        .unlisted_ns = self->unlisted_ns,
        .dropped = self->table.dropped + cgroup_tree_dropped(self->cgroups),
        .processes_seen = self->table.processes_seen,
    };
    return 0;
}

static int procfs_open(const struct activity_args *args, void **ret_self, struct carnot_err *err)
{
    int r = procfs_probe(args, err);
    if (r < 0)
        return r;
    struct procfs *self = calloc(1, sizeof(*self));
    if (!self)
        return carnot_err_set(err, ENOMEM, "out of memory while opening activity from /proc");
    self->env = args->env;
    self->cgroups = args->cgroups;
    self->n_buckets = args->buckets->n;
    self->busy.fd = -1;
    cgroup_usage_init(&self->usage, args->cgroups);
    r = proc_table_init(&self->table, args, err);
    if (r >= 0)
        r = cpu_busy_open(args->env, args->topology, args->buckets, &self->busy, err);
    if (r >= 0) /* where the first window begins */
        r = take_readings(self, clock_now(args->env->clock).mono_ns, err);
    if (r < 0) {
        procfs_close(self);
        return r;
    }
    readings_taken(self);
    *ret_self = self;
    return 0;
}

static int procfs_session_begin(void *userdata, uint32_t pid, uint32_t session, struct carnot_err *err)
{
    struct procfs *self = userdata;

    return proc_table_session_begin(&self->table, pid, session, err);
}

static void procfs_session_end(void *userdata, uint32_t session)
{
    struct procfs *self = userdata;

    proc_table_session_end(&self->table, session);
}

const struct activity_ops activity_procfs = {
    .name = "procfs",
    .tier = "T1",
    .summary = "processes polled from /proc, within each control group's own CPU time; needs no rights",
    .blind = "processes that start and end between two readings are billed to their control group without a name (and "
             "to no session), and as /proc does not say which CPU ran what, time is spread over the CPUs in proportion "
             "to how busy they were",
    .pids_as_proc = true,
    .probe = procfs_probe,
    .open = procfs_open,
    .read = procfs_read,
    .session_begin = procfs_session_begin,
    .session_end = procfs_session_end,
    .close = procfs_close,
};
