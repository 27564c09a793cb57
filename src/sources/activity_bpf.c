/* SPDX-License-Identifier: Apache-2.0 */
/* Activity from BPF: turns the tables that the programs in bpf/ fill at each context switch into windows.
 *
 * The tables only grow, and the reader remembers what it read of each row: a reading is a walk over mapped memory, no
 * system call but one per busy CPU, which bills the slice in progress. A reading is as stale as the kernel's own totals
 * (one tick); what is missing comes in the next. Pids are those of the initial pid namespace. */
#include "sources/activity_bpf.h"

#include <errno.h>
#include <string.h>

#include "sources/activity.h"
#include "sources/bpf_cgroups.h"
#include "sources/bpf_cores.h"
#include "sources/bpf_ends.h"
#include "sources/bpf_load.h"
#include "sources/bpf_rests.h"
#include "sources/bpf_sessions.h"
#include "sources/bpf_tables.h"
#include "sources/bpf_window.h"

#define TASKS_DEFAULT 32768     /* the default of kernel.pid_max up to 32 CPUs; beyond, cgroups still get all time */
#define TASKS_MIN     64        /* less is no use but to tests */
#define TASKS_MAX     (1 << 20) /* 64 buckets: 576 MiB in the kernel */
#define FREE_RING_MAX 8192      /* births between two drains that can find a row */
#define ENDED_SHARE   4         /* one of so many rows may be listed ended in a window, the rest go to their cgroup */

_Static_assert(SWITCH_BUCKETS_MAX >= BUCKETS_MAX && SWITCH_CPUS_MAX >= CPUS_MAX, "bpf/switch.h limits");
_Static_assert(sizeof(struct switch_cpu) == 64 && sizeof(struct switch_row) == 64 && sizeof(struct switch_core) == 64,
               "one cache line each");
_Static_assert(SWITCH_COMM_LEN == TASK_COMM_LEN, "comm");

struct activity_bpf {
    struct carnot_clock *clock;
    uint32_t n_buckets, n_columns, n_cpus, monitor_pid, ended_max;
    struct bpf_programs programs;
    struct bpf_tables tables;
    struct bpf_cgroups cgroups;
    struct bpf_sessions sessions;
    struct bpf_region cpus;
    struct bpf_rests rests;
    struct bpf_ends ends;
    struct bpf_window windows[2];
    struct bpf_window *building; /* the other one is the caller's */
    uint64_t unlisted_ns;
    bool account_denied;
};

static struct switch_cpu *cpus_of(const struct activity_bpf *self)
{
    return (struct switch_cpu *)(void *)self->cpus.base;
}

static int bpf_probe(const struct activity_args *args, struct carnot_err *err)
{
    return bpf_programs_probe(args->env, err);
}

static uint32_t power_of_two(uint32_t at_least)
{
    uint32_t size = 1;

    while (size < at_least)
        size *= 2;
    return size;
}

static uint64_t sum_cpus(const struct activity_bpf *self, size_t field)
{
    const uint8_t *cpu = self->cpus.base;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < self->n_cpus; i++, cpu += sizeof(struct switch_cpu))
        sum += __atomic_load_n((const uint64_t *)(const void *)(cpu + field), __ATOMIC_RELAXED);
    return sum;
}

/* A right given up after the start is no error: the slices wait for their switch, and nothing is lost. */
static void account_cpu(struct activity_bpf *self, uint32_t cpu)
{
    int r = bpf_programs_account(&self->programs, cpu);

    if (r == -EPERM || r == -EACCES)
        self->account_denied = true;
}

static void account_busy_cpus(struct activity_bpf *self)
{
    const struct switch_cpu *cpus = cpus_of(self);

    for (uint32_t cpu = 0; cpu < self->n_cpus && !self->account_denied; cpu++) {
        if (__atomic_load_n(&cpus[cpu].pid, __ATOMIC_RELAXED) != 0)
            account_cpu(self, cpu);
    }
}

/* Which cgroup and session a row belongs to; kept beside the row once it is known. */
static struct bpf_row_note look_up(struct activity_bpf *self, uint32_t at, const struct switch_row *row)
{
    struct bpf_row_note note = self->tables.notes[at];

    if (!note.known) {
        note.cgroup = bpf_cgroups_find(&self->cgroups, row->cgroup_id);
        note.known = note.cgroup != CGROUP_NONE; /* else the root for now, and asked again */
        if (!note.known)
            note.cgroup = CGROUP_ROOT;
        self->tables.notes[at] = note;
    }
    note.session = bpf_sessions_of(&self->sessions, row->session);
    return note;
}

static struct activity_task describe(const struct activity_bpf *self, const struct switch_row *row,
                                     struct bpf_row_note note, unsigned flags)
{
    struct activity_task task = {
        .pid = row->tgid,
        .tid = row->tid,
        .ppid = row->ppid,
        .uid = row->uid,
        .cgroup = note.cgroup,
        .session = note.session,
        .flags = flags,
        .start_boot_ns = row->start_boot_ns,
    };

    if (row->state & SWITCH_ROW_KTHREAD && note.cgroup == CGROUP_ROOT)
        task.flags |= TASK_KERNEL;
    if (row->tgid == self->monitor_pid)
        task.flags |= TASK_MONITOR;
    memcpy(task.comm, row->comm, sizeof(task.comm));
    task.comm[TASK_COMM_LEN - 1] = '\0';
    return task;
}

static int no_memory(struct carnot_err *err)
{
    return carnot_err_set(err, ENOMEM, "no memory to list the threads that ran; their time is kept for the next time");
}

/* Lists what the row gained since it was last listed, and an end in any case. */
static int list_row(struct activity_bpf *self, uint32_t at, unsigned flags, struct carnot_err *err)
{
    const struct switch_row *row = bpf_tables_row(&self->tables, at);
    uint64_t *ns = bpf_window_room(self->building);
    struct activity_task task;

    if (!ns)
        return no_memory(err);
    if (!bpf_tables_take(&self->tables, at, ns)) {
        if (!(flags & TASK_ENDED))
            return 0;
        memset(ns, 0, self->n_columns * sizeof(*ns));
    }
    task = describe(self, row, look_up(self, at, row), flags);
    bpf_window_put(self->building, &task);
    return 1;
}

static void add_all(uint64_t *to, const uint64_t *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] += from[i];
}

/* Time of a task that is not listed for itself goes to its cgroup. */
static int fold_row(struct activity_bpf *self, uint32_t at, struct carnot_err *err)
{
    struct bpf_row_note note = look_up(self, at, bpf_tables_row(&self->tables, at));
    uint64_t *sum = bpf_window_rest(self->building, note.cgroup, note.session);
    uint64_t ns[2 * BUCKETS_MAX]; /* buckets, and at most as many packages */

    if (!sum)
        return no_memory(err);
    if (bpf_tables_take(&self->tables, at, ns))
        add_all(sum, ns, self->n_columns);
    return 0;
}

/* In a storm of short threads not all are listed: not those of whom nobody has heard yet, unless a process of several
 * threads ends with them. */
static bool may_fold(const struct activity_bpf *self, uint32_t at)
{
    return self->building->n_ended >= self->ended_max && !bpf_tables_taken(&self->tables, at) &&
           !(bpf_tables_row(&self->tables, at)->state & SWITCH_ROW_THREADED);
}

/* Closed rows are read for the last time and given back. */
static int take_closed(struct activity_bpf *self, struct carnot_err *err)
{
    uint32_t n = bpf_ends_begin(&self->ends, &self->tables);

    for (; n > 0; n--) {
        uint32_t at = bpf_tables_closed(&self->tables, 0);
        const struct switch_row *row = bpf_tables_row(&self->tables, at);
        unsigned flags = row->state & SWITCH_ROW_ENDED ? TASK_ENDED : 0;
        int r;
        if (bpf_ends_last(&self->ends, row))
            flags |= TASK_PROCESS_ENDED;
        r = may_fold(self, at) ? fold_row(self, at, err) : list_row(self, at, flags, err);
        if (r < 0)
            return r;
        self->building->n_ended += (size_t)r;
        bpf_tables_release(&self->tables, at);
    }
    return 0;
}

static int bpf_drain(void *opaque, struct carnot_err *err)
{
    struct activity_bpf *self = opaque;
    int r;

    bpf_cgroups_update(&self->cgroups);
    r = take_closed(self, err);
    return r < 0 ? r : bpf_tables_refill(&self->tables, 0, err);
}

/* Rows that ran since the reading before: touched in its epoch, or in the one before by a program that was late. */
static int list_live(struct activity_bpf *self, uint32_t epoch, struct carnot_err *err)
{
    for (uint32_t at = 0; at < self->tables.high; at++) {
        struct switch_row *row = bpf_tables_row(&self->tables, at);
        if (!(__atomic_load_n(&row->state, __ATOMIC_ACQUIRE) & SWITCH_ROW_LIVE) || epoch - row->touched > 2)
            continue;
        int r = list_row(self, at, 0, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Time that the programs could bill to no row. */
static int list_rests(struct activity_bpf *self, struct carnot_err *err)
{
    struct switch_rest owner;

    if (bpf_rests_begin(&self->rests)) {
        for (uint32_t i = 0; i < SWITCH_RESTS; i++) {
            uint32_t cgroup = CGROUP_NONE;
            uint64_t *sum;
            if (!bpf_rests_gained(&self->rests, i, &owner))
                continue;
            if (owner.cgroup_id != 0)
                cgroup = bpf_cgroups_find(&self->cgroups, owner.cgroup_id);
            sum = bpf_window_rest(self->building, cgroup == CGROUP_NONE ? CGROUP_ROOT : cgroup,
                                  bpf_sessions_of(&self->sessions, owner.session));
            if (!sum)
                return no_memory(err);
            bpf_rests_take(&self->rests, i, sum);
        }
    }
    bpf_rests_done(&self->rests);
    return 0;
}

static void fill_window(struct activity_bpf *self, struct bpf_window *window, uint64_t mono_ns,
                        struct activity_window *ret)
{
    const struct switch_control *control = self->programs.control;
    uint64_t run_ns, run_count;

    bpf_window_seal(window);
    for (size_t i = 0; i < window->n_rests; i++) {
        for (uint32_t b = 0; b < self->n_buckets; b++)
            self->unlisted_ns += window->rests[i].ns[b];
    }
    bpf_programs_run_time(&self->programs, &run_ns, &run_count);
    *ret = (struct activity_window){
        .end_mono_ns = mono_ns,
        .n_columns = self->n_columns,
        .tasks = window->tasks,
        .n_tasks = window->n_tasks,
        .rests = window->rests,
        .n_rests = window->n_rests,
        .switches = sum_cpus(self, offsetof(struct switch_cpu, switches)),
        .run_ns = run_ns,
        .unlisted_ns = self->unlisted_ns,
        .dropped =
            __atomic_load_n(&control->dropped, __ATOMIC_RELAXED) + sum_cpus(self, offsetof(struct switch_cpu, missed)),
        .processes_seen = __atomic_load_n(&control->births_process, __ATOMIC_RELAXED),
    };
}

static int bpf_read(void *opaque, struct activity_window *ret_window, struct carnot_err *err)
{
    struct activity_bpf *self = opaque;
    struct bpf_window *window = self->building;
    uint32_t epoch = self->programs.control->epoch + 1;
    uint64_t mono_ns;
    int r;

    bpf_cgroups_update(&self->cgroups);
    account_busy_cpus(self);
    mono_ns = clock_now(self->clock).mono_ns;
    __atomic_store_n(&self->programs.control->epoch, epoch, __ATOMIC_RELEASE);

    r = take_closed(self, err);
    if (r == 0)
        r = list_live(self, epoch, err);
    if (r == 0)
        r = list_rests(self, err);
    if (r < 0)
        return r;
    bpf_cgroups_reading_done(&self->cgroups);
    /* Short of memory for more rows: what finds none is billed to its cgroup, and counted. */
    bpf_tables_refill(&self->tables, 0, NULL);

    fill_window(self, window, mono_ns, ret_window);
    self->building = window == &self->windows[0] ? &self->windows[1] : &self->windows[0];
    bpf_window_reset(self->building);
    return 0;
}

static int bpf_session_begin(void *opaque, uint32_t pid, uint32_t session, struct carnot_err *err)
{
    struct activity_bpf *self = opaque;

    return bpf_sessions_begin(&self->sessions, pid, session, err);
}

static void bpf_session_end(void *opaque, uint32_t session)
{
    struct activity_bpf *self = opaque;

    bpf_sessions_end(&self->sessions, session);
}

static void *bpf_close(void *opaque)
{
    struct activity_bpf *self = opaque;

    if (!self)
        return NULL;
    bpf_window_done(&self->windows[0]);
    bpf_window_done(&self->windows[1]);
    bpf_sessions_done(&self->sessions);
    bpf_cgroups_close(&self->cgroups);
    bpf_tables_close(&self->tables);
    bpf_region_close(&self->cpus);
    bpf_rests_close(&self->rests);
    bpf_ends_done(&self->ends);
    bpf_programs_close(&self->programs);
    free(self);
    return NULL;
}

static int open_tables(struct activity_bpf *self, const struct bpf_settings *settings,
                       const struct topology_buckets *buckets, struct carnot_err *err)
{
    const struct bpf_programs *programs = &self->programs;
    const struct bpf_tables_args tables = {
        .n_rows = settings->n_rows,
        .n_columns = settings->n_columns,
        .free_ring_size = settings->free_ring_size,
        .closed_ring_size = settings->closed_ring_size,
        .rows_fd = programs->rows_fd,
        .ns_fd = programs->row_ns_fd,
        .free_ring_fd = programs->free_ring_fd,
        .closed_ring_fd = programs->closed_ring_fd,
        .control = programs->control,
    };
    const struct bpf_rests_args rests = {
        .n_columns = settings->n_columns,
        .rests_fd = programs->rests_fd,
        .ns_fd = programs->rest_ns_fd,
        .index_fd = programs->rest_index_fd,
        .free_fd = programs->rest_free_fd,
        .control = programs->control,
    };
    size_t cpus_size = self->n_cpus * sizeof(struct switch_cpu);
    int r = bpf_region_open(&self->cpus, programs->cpus_fd, cpus_size, err);

    if (r == 0)
        r = bpf_region_extend(&self->cpus, cpus_size, err);
    if (r == 0)
        r = bpf_rests_open(&self->rests, &rests, err);
    if (r == 0)
        r = bpf_tables_open(&self->tables, &tables, err);
    if (r < 0)
        return r;
    for (uint32_t cpu = 0; cpu < self->n_cpus; cpu++)
        cpus_of(self)[cpu].bucket = buckets->of_cpu[cpu];
    return 0;
}

/* The programs run from here on, and time counts from the end of this. */
static int start(struct activity_bpf *self, const struct topology *topology, struct carnot_err *err)
{
    struct activity_window before;
    int r;

    /* Enough for the threads of most machines; the births seen while those that exist are walked come on top. */
    r = bpf_tables_refill(&self->tables, FREE_RING_MAX / 4, err);
    if (r == 0)
        r = bpf_programs_attach(&self->programs, err);
    if (r < 0)
        return r;
    for (uint32_t cpu = 0; cpu < self->n_cpus; cpu++) {
        if (topology->cpus[cpu].online)
            account_cpu(self, cpu);
    }
    r = bpf_tables_refill(&self->tables, (uint32_t)min_u64(self->programs.control->tasks_seeded * 5 / 4, FREE_RING_MAX),
                          err);
    if (r == 0) /* what ran while the programs were attached one after the other is nobody's window */
        r = bpf_read(self, &before, err);
    self->unlisted_ns = 0;
    return r;
}

static int check_args(const struct activity_args *args, struct carnot_err *err)
{
    if (!args->cgroups)
        return carnot_err_set(err, EINVAL, "the BPF reader needs the tree of cgroups");
    if (args->buckets->n == 0 || args->buckets->n > BUCKETS_MAX || args->topology->n_cpus > CPUS_MAX)
        return carnot_err_set(err, EINVAL, "%u buckets of %u CPUs: at most %d of %d", args->buckets->n,
                              args->topology->n_cpus, BUCKETS_MAX, CPUS_MAX);
    return 0;
}

static int bpf_open(const struct activity_args *args, void **ret_self, struct carnot_err *err)
{
    uint32_t n_rows = args->max_tasks ? args->max_tasks : TASKS_DEFAULT;
    struct bpf_settings settings;
    struct activity_bpf *self;
    int r = check_args(args, err);

    if (r < 0)
        return r;
    n_rows = n_rows < TASKS_MIN ? TASKS_MIN : n_rows > TASKS_MAX ? TASKS_MAX : n_rows;
    settings = (struct bpf_settings){
        .n_rows = n_rows,
        .smt = bpf_cores_are_shared(args->topology),
        .n_columns = args->buckets->n,
        .n_cpus = args->topology->n_cpus,
        .free_ring_size = power_of_two((uint32_t)min_u64(n_rows, FREE_RING_MAX)),
        .closed_ring_size = power_of_two(n_rows),
        .cpuacct = cgroup_tree_hierarchy(args->cgroups) == CGROUP_V1,
        .hierarchy_id = cgroup_tree_hierarchy_id(args->cgroups),
    };
    if (settings.smt)
        settings.n_columns += args->buckets->n_packages;
    self = calloc(1, sizeof(*self));
    if (!self)
        return carnot_err_set(err, ENOMEM, "no memory for the BPF reader");
    self->clock = args->env->clock;
    self->n_buckets = args->buckets->n;
    self->n_columns = settings.n_columns;
    self->n_cpus = settings.n_cpus;
    self->monitor_pid = args->monitor_pid;
    self->ended_max = n_rows / ENDED_SHARE;
    bpf_window_init(&self->windows[0], self->n_columns);
    bpf_window_init(&self->windows[1], self->n_columns);
    self->building = &self->windows[0];

    r = bpf_programs_load(&settings, &self->programs, err);
    if (r == 0 && args->measure_bpf)
        r = bpf_programs_measure(&self->programs, err);
    if (r == 0)
        r = open_tables(self, &settings, args->buckets, err);
    if (r == 0 && settings.smt)
        r = bpf_cores_fill(self->programs.cores_fd, args->topology, args->buckets, self->n_buckets, err);
    if (r == 0)
        r = bpf_cgroups_open(&self->cgroups, args->cgroups, self->programs.events_fd, self->programs.control, err);
    if (r == 0) {
        uint32_t own_pid = bpf_programs_own_pid(&self->programs);
        if (own_pid != 0)
            self->monitor_pid = own_pid;
        bpf_sessions_init(&self->sessions, self->programs.marks_fd, self->programs.control);
        /* Cgroups made after the tree was walked and before the events begin are found by the first reading. */
        self->cgroups.rescan = true;
        r = start(self, args->topology, err);
    }
    if (r < 0) {
        bpf_close(self);
        return r;
    }
    *ret_self = self;
    return 0;
}

void activity_bpf_info(const void *opaque, struct activity_bpf_info *ret_info)
{
    const struct activity_bpf *self = opaque;
    const struct switch_control *control = self->programs.control;
    struct activity_bpf_info info = {
        .rows_total = self->tables.n_rows,
        .rows_free = self->tables.n_free,
        .rows_waiting = bpf_tables_waiting(&self->tables),
        .rests_used = self->rests.n_used,
        .births = __atomic_load_n(&control->births, __ATOMIC_RELAXED),
        .seeded = control->tasks_seeded,
        .dropped = __atomic_load_n(&control->dropped, __ATOMIC_RELAXED),
        .missed = sum_cpus(self, offsetof(struct switch_cpu, missed)),
        .in_progress_denied = self->account_denied,
    };

    for (uint32_t at = 0; at < self->tables.high; at++) {
        uint32_t state = __atomic_load_n(&bpf_tables_row(&self->tables, at)->state, __ATOMIC_ACQUIRE);
        if (state & (SWITCH_ROW_ENDED | SWITCH_ROW_MOVED))
            info.rows_closed++;
        else if (state & SWITCH_ROW_LIVE)
            info.rows_live++;
    }
    bpf_programs_switch_time(&self->programs, &info.switch_run_ns, &info.switch_run_count);
    *ret_info = info;
}

int activity_bpf_measure(void *opaque, struct carnot_err *err)
{
    struct activity_bpf *self = opaque;

    return bpf_programs_measure(&self->programs, err);
}

const struct activity_ops activity_bpf = {
    .name = "bpf",
    .tier = "T2",
    .summary = "on-CPU time of every thread at each context switch, from BPF",
    .blind = "",
    .probe = bpf_probe,
    .open = bpf_open,
    .drain = bpf_drain,
    .read = bpf_read,
    .session_begin = bpf_session_begin,
    .session_end = bpf_session_end,
    .close = bpf_close,
};
