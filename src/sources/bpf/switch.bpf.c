// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* On-CPU time per thread, cgroup and bucket of CPUs, taken at every context switch.
 *
 * The time is the kernel's own: how far the task's sum_exec_runtime went since it was last billed. The sum over the
 * threads is what cpu.stat and cpuacct count (the same update adds to both). A clock would also count interrupts and
 * stolen time, which the kernel's totals leave out. The thread remembers how far it was billed, so that a switch that
 * was not seen (the kernel may skip a program) costs nothing but the CPU that the time is put down to; the value at the
 * arrival, kept per CPU, stands in for threads that have no memory.
 *
 * Under the lock of the run queue nothing waits, and nothing is allocated except where a thread was not seen born. What
 * finds no row is billed to its cgroup: time is never lost for want of room. */
#include "vmlinux_min.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "core_fixes.bpf.h"
#include "switch.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Settings, fixed at load. */
const volatile uint32_t n_buckets = 1;
const volatile uint32_t n_cpus = 1;
const volatile uint32_t free_mask = 0;
const volatile uint32_t closed_mask = 0;
const volatile bool use_cpuacct = false;
const volatile int hierarchy_id = 0;

struct switch_control control;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* this and the sizes of the other tables are set before the load */
    __type(key, uint32_t);
    __type(value, struct switch_cpu);
} cpus SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct switch_row);
} rows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, uint64_t);
} row_ns SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, uint64_t);
} free_ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, uint64_t);
} closed_ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SWITCH_RESTS);
    __type(key, uint32_t);
    __type(value, struct switch_rest);
} rests SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, uint64_t);
} rest_ns SEC(".maps");

struct rest_key {
    uint64_t cgroup_id;
    uint32_t session;
    uint32_t pad;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH); /* preallocated: it is written under the lock of the run queue */
    __uint(max_entries, SWITCH_RESTS);
    __type(key, struct rest_key);
    __type(value, uint32_t);
} rest_index SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 512 * 1024); /* about 1,000 cgroups made between two drains */
} cgroup_events SEC(".maps");

/* What a thread remembers. */
struct thread_state {
    uint32_t row; /* + 1; 0: none */
    uint32_t epoch;
    uint64_t cgroup_id; /* of the row */
    uint64_t seen_ns;   /* sum_exec_runtime up to which it is billed */
    uint32_t session;
    uint32_t primed; /* seen_ns is known */
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct thread_state);
} threads SEC(".maps");

/* On the leader of a process whose children are to carry a session; written by the reader through a pidfd. A map of its
 * own, so that the reader does not write over what a switch is writing. */
struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, uint32_t);
} session_marks SEC(".maps");

#define ACCESS_ONCE(x) (*(volatile __typeof__(x) *)&(x))

/* A race lost this often in a row: bill the slice to the cgroup and try again at the next switch. */
#define TAKE_TRIES 8

static __always_inline struct switch_cpu *this_cpu(void)
{
    uint32_t cpu = bpf_get_smp_processor_id();

    return bpf_map_lookup_elem(&cpus, &cpu);
}

/* Any CPU may add to the same entry. */
static __noinline int bill_rest(uint64_t cgroup_id, uint32_t session, uint32_t bucket, uint64_t ns)
{
    struct rest_key key = {.cgroup_id = cgroup_id, .session = session};
    uint32_t *found = bpf_map_lookup_elem(&rest_index, &key);

    if (!found && ACCESS_ONCE(control.rests_used) < SWITCH_RESTS - 1) {
        uint32_t entry = __sync_fetch_and_add(&control.rests_used, 1) + 1;
        struct switch_rest *rest = bpf_map_lookup_elem(&rests, &entry);
        if (rest && !bpf_map_update_elem(&rest_index, &key, &entry, BPF_NOEXIST)) {
            rest->session = session;
            __sync_lock_test_and_set(&rest->cgroup_id, cgroup_id);
        }
        found = bpf_map_lookup_elem(&rest_index, &key);
    }

    uint32_t at = (found ? *found : 0) * n_buckets + bucket;
    uint64_t *sum = bpf_map_lookup_elem(&rest_ns, &at);
    if (sum)
        __sync_fetch_and_add(sum, ns);
    return 0;
}

/* A free row's number + 1, 0 when there is none. */
static __always_inline uint32_t take_row(void)
{
#pragma unroll
    for (int i = 0; i < TAKE_TRIES; i++) {
        uint64_t head = ACCESS_ONCE(control.free_head);
        if (head == ACCESS_ONCE(control.free_tail))
            return 0;
        uint32_t at = head & free_mask;
        uint64_t *entry = bpf_map_lookup_elem(&free_ring, &at);
        if (!entry)
            return 0;
        uint64_t value = ACCESS_ONCE(*entry);
        if (value >> 32 != ((head + 1) & 0xffffffff))
            continue;
        if (__sync_val_compare_and_swap(&control.free_head, head, head + 1) == head)
            return (uint32_t)value + 1;
    }
    return 0;
}

static __always_inline void close_row(struct thread_state *state, uint32_t how)
{
    uint32_t row_at = state->row - 1;
    struct switch_row *row = bpf_map_lookup_elem(&rows, &row_at);
    uint32_t row_plus_one = state->row;

    state->row = 0;
    if (!row)
        return;
    row->state |= how;
    /* The atomic add orders what was written to the row before the entry that hands it over. */
    uint32_t at = __sync_fetch_and_add(&control.closed_head, 1) & closed_mask;
    uint64_t *entry = bpf_map_lookup_elem(&closed_ring, &at);
    if (entry)
        ACCESS_ONCE(*entry) = row_plus_one;
}

/* What can change while the thread lives. */
static __always_inline void refresh_row(struct switch_row *row, struct task_struct *task)
{
    row->tid = task->pid;
    row->ppid = task->real_parent->tgid;
    row->uid = task->real_cred->uid.val;
    row->start_boot_ns = task->group_leader->start_boottime;
    bpf_probe_read_kernel(row->comm, sizeof(row->comm), task->comm);
    row->touched = control.epoch;
}

static __always_inline void open_row(struct thread_state *state, struct task_struct *task, uint64_t cgroup_id)
{
    uint32_t taken = take_row();
    uint32_t at = taken - 1;
    struct switch_row *row;

    if (!taken)
        return;
    row = bpf_map_lookup_elem(&rows, &at);
    if (!row)
        return;
    row->tgid = task->tgid;
    row->cgroup_id = cgroup_id;
    row->session = state->session;
    refresh_row(row, task);
    state->epoch = control.epoch;
    state->cgroup_id = cgroup_id;
    state->row = taken;
    __sync_lock_test_and_set(&row->state, SWITCH_ROW_LIVE | (task->flags & PF_KTHREAD ? SWITCH_ROW_KTHREAD : 0));
}

static __always_inline void add_ns(uint32_t row_plus_one, uint32_t bucket, uint64_t ns)
{
    uint32_t at = (row_plus_one - 1) * n_buckets + bucket;
    uint64_t *sum = bpf_map_lookup_elem(&row_ns, &at);

    if (sum)
        *sum += ns; /* a thread is on one CPU at a time */
}

/* Bills `task`, the one on this CPU, up to now. */
static __always_inline void account(struct switch_cpu *cpu, struct task_struct *task, bool dead)
{
    uint64_t now = task->se.sum_exec_runtime;
    uint64_t start = now;
    uint64_t split = cpu->split_task == (uint64_t)task ? cpu->split_ns : 0;
    uint32_t bucket = cpu->bucket;
    struct thread_state *state = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

    cpu->split_task = 0;
    if (state && state->primed)
        start = state->seen_ns;
    else if (cpu->task == (uint64_t)task)
        start = cpu->start_ns;
    else
        cpu->missed++;
    if (state) {
        state->seen_ns = now;
        state->primed = 1;
    }
    if (now <= start && !dead)
        return;

    uint64_t cgroup_id = task_cgroup_id(task, use_cpuacct);
    if (!state) {
        __sync_fetch_and_add(&control.dropped, 1);
        bill_rest(cgroup_id, 0, bucket, now - start);
        return;
    }
    if (state->row && state->cgroup_id != cgroup_id) {
        if (split > start && split <= now) {
            add_ns(state->row, bucket, split - start);
            start = split;
        }
        close_row(state, SWITCH_ROW_MOVED);
    }
    if (!state->row && now != start)
        open_row(state, task, cgroup_id);
    if (!state->row) {
        if (now == start)
            return;
        __sync_fetch_and_add(&control.dropped, 1);
        bill_rest(cgroup_id, state->session, bucket, now - start);
        return;
    }
    add_ns(state->row, bucket, now - start);
    if (state->epoch != control.epoch || dead) {
        uint32_t at = state->row - 1;
        struct switch_row *row = bpf_map_lookup_elem(&rows, &at);
        if (row)
            refresh_row(row, task);
        state->epoch = control.epoch;
    }
    if (dead)
        close_row(state, SWITCH_ROW_ENDED);
}

/* Notes who is on this CPU from now on. */
static __always_inline void arrive(struct switch_cpu *cpu, struct task_struct *task)
{
    cpu->task = (uint64_t)task;
    cpu->start_ns = task->se.sum_exec_runtime;
    cpu->pid = task->pid;
    cpu->tgid = task->tgid;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
    struct switch_cpu *cpu = this_cpu();

    if (!cpu)
        return 0;
    cpu->switches++;
    if (prev->pid)
        account(cpu, prev, task_is_dead(prev));
    arrive(cpu, next);
    return 0;
}

/* Run by the reader on a CPU (not attached): bills the slice in progress, whose task may not switch for seconds. It
 * runs in an interrupt, hence never in the middle of on_switch of the same CPU. */
SEC("raw_tp")
int account_current(void *ctx)
{
    struct task_struct *task = bpf_get_current_task_btf();
    struct switch_cpu *cpu = this_cpu();

    if (!cpu)
        return 0;
    if (task->pid)
        account(cpu, task, false);
    arrive(cpu, task);
    return 0;
}

/* A thread is born (fork, clone, a kernel thread, a worker of io_uring): give it its memory here, where allocating is
 * cheap, and its session. */
SEC("tp_btf/task_newtask")
int BPF_PROG(on_newtask, struct task_struct *task)
{
    struct task_struct *parent = bpf_get_current_task_btf();
    struct thread_state *state = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    struct thread_state *parent_state;
    uint32_t session = 0;

    __sync_fetch_and_add(&control.births, 1);
    if (task->pid == task->tgid)
        __sync_fetch_and_add(&control.births_process, 1);
    if (!state)
        return 0;
    state->primed = 1; /* sum_exec_runtime of the newborn is 0, as seen_ns is */
    if (!control.sessions_active)
        return 0;

    if (task->tgid != parent->tgid) { /* another thread of the marked process is not a child of it */
        uint32_t *mark = bpf_task_storage_get(&session_marks, parent->group_leader, 0, 0);
        if (mark)
            session = *mark;
    }
    if (!session) {
        parent_state = bpf_task_storage_get(&threads, parent, 0, 0);
        if (parent_state)
            session = parent_state->session;
    }
    state->session = session;
    return 0;
}

/* A new program: its name counts for the time since the last reading too, since a row has one name. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
    struct thread_state *state = bpf_task_storage_get(&threads, task, 0, 0);

    if (!state || !state->row)
        return 0;
    uint32_t at = state->row - 1;
    struct switch_row *row = bpf_map_lookup_elem(&rows, &at);
    if (row)
        refresh_row(row, task);
    return 0;
}

SEC("iter/task")
int seed(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    struct thread_state *state;

    if (!task)
        return 0;
    state = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!state)
        return 0;
    if (!state->primed) {
        state->seen_ns = task->se.sum_exec_runtime;
        state->primed = 1;
    }
    __sync_fetch_and_add(&control.tasks_seeded, 1);
    return 0;
}

/* Threads of the moved process that are on a CPU now: up to here their slice belongs to the old cgroup.
 * sum_exec_runtime is that of the last update of their run queue, and so is what the kernel has billed to the old
 * cgroup. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_attach, struct cgroup *to, const char *path, struct task_struct *leader)
{
    uint32_t tgid = leader->tgid;

    if (to->root->hierarchy_id != hierarchy_id)
        return 0;
    for (uint32_t i = 0; i < SWITCH_CPUS_MAX; i++) {
        uint32_t at = i;
        if (i >= n_cpus)
            break;
        struct switch_cpu *cpu = bpf_map_lookup_elem(&cpus, &at);
        if (!cpu)
            break;
        if (cpu->tgid != tgid)
            continue;
        uint64_t task = ACCESS_ONCE(cpu->task);
        ACCESS_ONCE(cpu->split_ns) = BPF_CORE_READ((struct task_struct *)task, se.sum_exec_runtime);
        ACCESS_ONCE(cpu->split_task) = task; /* a switch in between makes it stale, which account() sees */
    }
    return 0;
}

static __always_inline int note_cgroup(struct cgroup *cgroup, const char *path, uint32_t kind)
{
    struct switch_cgroup_event *event;

    if (cgroup->root->hierarchy_id != hierarchy_id)
        return 0;
    event = bpf_ringbuf_reserve(&cgroup_events, sizeof(*event), 0);
    if (!event) {
        __sync_fetch_and_add(&control.cgroup_events_lost, 1);
        return 0;
    }
    event->id = cgroup->kn->id;
    event->kind = kind;
    long len = bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
    event->path_len = len > 0 ? len : SWITCH_PATH_MAX;
    bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
    return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
    return note_cgroup(cgroup, path, SWITCH_CGROUP_MADE);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
    return note_cgroup(cgroup, path, SWITCH_CGROUP_GONE);
}
