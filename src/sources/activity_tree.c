/* SPDX-License-Identifier: Apache-2.0 */
/* Activity of one session without any rights: the caller's own descendants, and everything else as one rest.
 *
 * The caller runs the session's processes as its children, is a subreaper (PR_SET_CHILD_SUBREAPER) and waits for all of
 * them. The session's time is then
 *     getrusage(RUSAGE_CHILDREN)      what has been waited for, by us or by descendants that we then waited for
 *   + own and waited-for time of each living descendant (/proc)
 * A process that ends moves from the second term into the first, or into its parent's waited-for time. The sum is read
 * from the top down (proc_tree.h), so that while time moves it can be too small for one reading, never too large; and
 * it is never let go back. When nothing lives any more it is RUSAGE_CHILDREN alone: exact to its microseconds, with all
 * that began and ended between two readings.
 *
 * Children that nobody waits for: while an intermediate parent ignores SIGCHLD (or has SA_NOCLDWAIT) the kernel throws
 * away its children's times as they end, and they reach neither that parent's waited-for time nor RUSAGE_CHILDREN. Such
 * a child counts while it lives, to the extent that readings fell into its life. When it vanishes the sum falls by what
 * was seen of it; as what was billed is not taken back, the session is billed nothing more until other processes have
 * used as much. Its unseen time, and that amount, are in the rest. (BPF and cgroup counters have no such gap.)
 * With hidepid, a descendant that changed its user is seen only once it is waited for. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "sources/activity.h"
#include "sources/proc_read.h"
#include "sources/proc_tree.h"

struct tree {
    const struct carnot_env *env;
    struct proc_tree processes;
    struct cpu_busy busy;
    uint32_t monitor_pid;
    uint32_t session; /* 0: none */
    uint64_t begin_boot_ns;
    uint32_t uid;

    uint64_t base_ns;         /* descendants' time when the session began: not the session's */
    uint64_t session_ns;      /* billed to sessions since open, never goes back */
    uint64_t session_seen_ns; /* of the running session: highest sum seen */
    uint64_t rest_ns;         /* billed to the rest since open, never goes back */
    uint32_t processes_seen;  /* most at once */

    struct activity_task task;
    struct activity_rest rest;
    uint64_t *task_buckets, *rest_buckets;
};

static int tree_probe(const struct activity_args *args, struct carnot_err *err)
{
    if (!fsroot_exists(&args->env->proc, "stat"))
        return carnot_err_set(err, ENODEV,
                              "there is no %s/stat: mount proc there, or name its place with --path.procfs",
                              args->env->proc.path);
    if (args->monitor_pid == 0)
        return carnot_err_set(err, EINVAL, "activity of a process tree needs the process at its root");
    /* Else a stranger's descendants would be measured: with number 1, everybody's. */
    return proc_check_self(args->env, args->monitor_pid, err);
}

static void *tree_close(void *userdata)
{
    struct tree *self = userdata;

    if (!self)
        return NULL;
    proc_tree_done(&self->processes);
    cpu_busy_done(&self->busy);
    free(self->task_buckets);
    free(self->rest_buckets);
    free(self);
    return NULL;
}

static int tree_open(const struct activity_args *args, void **ret_self, struct carnot_err *err)
{
    int r = tree_probe(args, err);
    if (r < 0)
        return r;
    struct tree *self = calloc(1, sizeof(*self));
    if (!self)
        return carnot_err_set(err, ENOMEM, "out of memory while opening activity of a process tree");
    self->env = args->env;
    self->monitor_pid = args->monitor_pid;
    self->uid = getuid();
    self->busy.fd = -1;
    proc_tree_init(&self->processes, args->env, args->monitor_pid);
    self->task_buckets = calloc(args->buckets->n, sizeof(uint64_t));
    self->rest_buckets = calloc(args->buckets->n, sizeof(uint64_t));
    if (!self->task_buckets || !self->rest_buckets)
        r = carnot_err_set(err, ENOMEM, "out of memory while opening activity of a process tree");
    if (r >= 0)
        r = cpu_busy_open(args->env, args->topology, args->buckets, &self->busy, err);
    if (r < 0) {
        tree_close(self);
        return r;
    }
    *ret_self = self;
    return 0;
}

static uint64_t timeval_ns(const struct timeval *tv)
{
    return (uint64_t)tv->tv_sec * NS_PER_SEC + (uint64_t)tv->tv_usec * NS_PER_US;
}

/* All that the descendants have used, the dead and the living. The dead first: see the head of this file. */
static int descendants_ns(struct tree *self, uint64_t *ret_ns, struct carnot_err *err)
{
    struct rusage waited;
    uint64_t living_ns;
    uint32_t n;

    if (getrusage(RUSAGE_CHILDREN, &waited) < 0)
        return carnot_err_errno(err, errno, "cannot get the times of ended children");
    int r = proc_tree_cpu_ns(&self->processes, &living_ns, &n, err);
    if (r < 0)
        return r;
    if (n > self->processes_seen)
        self->processes_seen = n;
    *ret_ns = timeval_ns(&waited.ru_utime) + timeval_ns(&waited.ru_stime) + living_ns;
    return 0;
}

/* The session's growth since the reading before. */
static int session_growth(struct tree *self, uint64_t *ret_ns, struct carnot_err *err)
{
    uint64_t all_ns;

    *ret_ns = 0;
    if (self->session == 0)
        return 0;
    int r = descendants_ns(self, &all_ns, err);
    if (r < 0)
        return r;
    uint64_t sum_ns = all_ns > self->base_ns ? all_ns - self->base_ns : 0;
    if (sum_ns > self->session_seen_ns) {
        *ret_ns = sum_ns - self->session_seen_ns;
        self->session_seen_ns = sum_ns;
    }
    return 0;
}

static int tree_read(void *userdata, struct activity_window *ret_window, struct carnot_err *err)
{
    struct tree *self = userdata;
    uint64_t now_mono_ns = clock_now(self->env->clock).mono_ns, session_ns, rest_ns = 0;

    int r = cpu_busy_update(&self->busy, err);
    if (r < 0)
        return r;
    r = session_growth(self, &session_ns, err);
    if (r < 0)
        return r;
    self->session_ns += session_ns;

    /* Differences of totals since open, so that ticks that came too early or too late even out. */
    uint64_t others_ns = self->busy.total_ns > self->session_ns ? self->busy.total_ns - self->session_ns : 0;
    if (others_ns > self->rest_ns) {
        rest_ns = others_ns - self->rest_ns;
        self->rest_ns = others_ns;
    }

    cpu_busy_spread(&self->busy, session_ns, self->task_buckets);
    cpu_busy_spread(&self->busy, rest_ns, self->rest_buckets);
    self->task = (struct activity_task){
        .pid = self->monitor_pid,
        .tid = self->monitor_pid,
        .uid = self->uid,
        .cgroup = CGROUP_ROOT,
        .session = self->session,
        .start_boot_ns = self->begin_boot_ns,
        .comm = "session",
        .ns = self->task_buckets,
    };
    cpu_busy_taken(&self->busy);
    self->rest = (struct activity_rest){.cgroup = CGROUP_ROOT, .ns = self->rest_buckets};
    *ret_window = (struct activity_window){
        .end_mono_ns = now_mono_ns,
        .tasks = &self->task,
        .n_tasks = session_ns > 0,
        .rests = &self->rest,
        .n_rests = rest_ns > 0,
        .unlisted_ns = self->rest_ns,
        .processes_seen = self->processes_seen,
    };
    return 0;
}

/* One session, whose root is the monitor itself. What its descendants used before does not count. */
static int tree_session_begin(void *userdata, uint32_t pid, uint32_t session, struct carnot_err *err)
{
    struct tree *self = userdata;
    uint64_t base_ns;

    if (session == 0)
        return carnot_err_set(err, EINVAL, "a session needs a number above 0");
    if (pid != self->monitor_pid)
        return carnot_err_set(err, ENOTSUP,
                              "without rights only this program's own children can be measured, not those "
                              "of process %u (this program is %u in %s)",
                              pid, self->monitor_pid, self->env->proc.path);
    if (self->session)
        return carnot_err_set(err, EBUSY, "without rights only one session at a time can be measured");
    int r = descendants_ns(self, &base_ns, err);
    if (r < 0)
        return r;
    self->base_ns = base_ns;
    self->session_seen_ns = 0;
    self->begin_boot_ns = clock_now(self->env->clock).boot_ns;
    self->session = session;
    return 0;
}

static void tree_session_end(void *userdata, uint32_t session)
{
    struct tree *self = userdata;

    if (self->session == session)
        self->session = 0;
}

const struct activity_ops activity_tree = {
    .name = "tree",
    .tier = "T0",
    .summary = "the caller's own children from /proc and getrusage, everything else as one; needs no rights",
    .blind = "other processes and control groups are one sum, children that their parent never waits for are seen only "
             "while they live, and as /proc does not say which CPU ran what, time is spread over the CPUs in "
             "proportion to how busy they were",
    .pids_as_proc = true,
    .probe = tree_probe,
    .open = tree_open,
    .read = tree_read,
    .session_begin = tree_session_begin,
    .session_end = tree_session_end,
    .close = tree_close,
};
