// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* On-CPU time per thread, cgroup and bucket of CPUs, taken at every context switch.
 *
 * The time is the kernel's own: how far the task's sum_exec_runtime went since it was last billed. The sum over the
 * threads is what cpu.stat and cpuacct count (the same update adds to both). A clock would also count interrupts and
 * stolen time, which the kernel's totals leave out. The thread remembers how far it was billed, so that a switch that
 * was not seen (the kernel may skip a program) costs nothing but the CPU that the time is put down to; the value at the
 * arrival, kept per CPU, stands in for threads that have no memory.
 *
 * Under the lock of the run queue nothing waits, and before 6.4 nothing is allocated: there the memory of a thread comes
 * from an allocator that may wake a thread, and so want the lock that is held. Threads get their memory when they are
 * born, in the walk at the start, at exec, at a switch where the kernel allows it (storage_may_be_made_at_switch()), else
 * at a reading that finds them running. Time of a thread without memory or row is billed to its cgroup: it is never lost
 * for want of room.
 *
 * No nanosecond is billed twice, in whatever order memory is found and not found:
 * - A thread with memory is billed by it alone, from seen_ns. A look-up that fails although there is memory (before
 *   6.2) must change nothing: then a later look-up finds the old seen_ns and bills all that was left out.
 * - A thread is billed without memory, from the CPU's start_ns, only when it surely has none (task_surely_unknown()).
 *   Memory stays until the thread is freed, so all billing without comes before all billing with it.
 * - Memory given to a thread later begins unprimed, and is primed by account() alone, on the CPU where the thread runs
 *   and with no switch possible in between, from the start_ns of that CPU: that is where billing without ended.
 * What is in doubt (before 6.2, and only other programs gave the thread memory) is counted as missed, not billed; and a
 * thread that dies just when its memory is not found (before 6.2, preempted in the middle of a birth) keeps its row. */
#include "vmlinux_min.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "core_fixes.bpf.h"
#include "switch_tables.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ACCESS_ONCE(x) (*(volatile __typeof__(x) *)&(x))

/* A race lost this often in a row: bill the slice to the cgroup and try again at the next switch. */
#define TAKE_TRIES 8

static __always_inline struct switch_cpu *this_cpu(void)
{
    uint32_t cpu = bpf_get_smp_processor_id();

    return bpf_map_lookup_elem(&cpus, &cpu);
}

/* The entry of a cgroup and session; 0, which all share, when there is none left. */
static __always_inline uint32_t rest_entry(const struct switch_rest *key)
{
    uint32_t *found = bpf_map_lookup_elem(&rest_index, key);
    struct switch_rest *rest;
    uint32_t entry;

    if (found)
        return *found;
    if (bpf_map_pop_elem(&rest_free, &entry))
        return 0;
    rest = bpf_map_lookup_elem(&rests, &entry);
    if (!rest)
        return 0;
    rest->cgroup_id = key->cgroup_id;
    rest->session = key->session;
    if (!bpf_map_update_elem(&rest_index, key, &entry, BPF_NOEXIST))
        return entry;
    bpf_map_push_elem(&rest_free, &entry, 0); /* another CPU was faster, or the index is busy */
    found = bpf_map_lookup_elem(&rest_index, key);
    return found ? *found : 0;
}

/* The part of a slice in which the sibling hyperthread ran too, and the column that it belongs to. */
struct overlap {
    uint64_t ns;
    uint32_t column;
};

static __always_inline void add_to_rest(uint32_t entry, uint32_t column, uint64_t ns)
{
    uint32_t at = entry * n_columns + column;
    uint64_t *sum = bpf_map_lookup_elem(&rest_ns, &at);

    if (sum)
        __sync_fetch_and_add(sum, ns);
}

/* Any CPU may add to the same entry. `where`: the bucket, and 16 bits higher the column of the overlap. */
static __noinline int bill_rest(uint64_t cgroup_id, uint32_t session, uint32_t where, uint64_t ns, uint64_t overlap_ns)
{
    struct switch_rest key = {.cgroup_id = cgroup_id, .session = session};
    uint32_t entry = rest_entry(&key);
    struct switch_rest *rest = bpf_map_lookup_elem(&rests, &entry);

    /* The reader deleted the key between the look-up and the reading of its value. */
    if (!rest || rest->cgroup_id != cgroup_id || rest->session != session)
        entry = 0;
    add_to_rest(entry, where & 0xffff, ns);
    if (overlap_ns)
        add_to_rest(entry, where >> 16, overlap_ns);
    __sync_fetch_and_add(&control.dropped, 1);
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

static __always_inline void close_row(struct thread_state *state, struct task_struct *task, uint32_t how)
{
    uint32_t row_at = state->row - 1;
    struct switch_row *row = bpf_map_lookup_elem(&rows, &row_at);
    uint32_t row_plus_one = state->row;

    state->row = 0;
    if (!row)
        return;
    uint32_t at = __sync_fetch_and_add(&control.closed_head, 1) & closed_mask;
    /* Asked after the place in the ring was taken (the atomic add is a barrier), so that who comes later in the ring
     * cannot have asked earlier. */
    if (how & SWITCH_ROW_ENDED && ACCESS_ONCE(task->signal->live.counter) == 0)
        how |= SWITCH_ROW_PROCESS_ENDED;
    row->state |= how;
    uint64_t *entry = bpf_map_lookup_elem(&closed_ring, &at);
    if (entry)
        __sync_lock_test_and_set(entry, row_plus_one); /* after all that was written to the row */
}

/* What can change while the thread lives. Not for one that has exited: leader and parent may be freed by then. */
static __always_inline void refresh_row(struct switch_row *row, struct task_struct *task)
{
    row->tid = task->pid;
    row->ppid = task->real_parent->tgid;
    row->uid = task->real_cred->uid.val;
    row->start_boot_ns = task->group_leader->start_boottime;
    bpf_probe_read_kernel(row->comm, sizeof(row->comm), task->group_leader->comm);
    row->touched = control.epoch;
}

/* What may have changed since, and is safe to read of a thread that has exited. */
static __always_inline void finish_row(struct thread_state *state, struct task_struct *task)
{
    uint32_t at = state->row - 1;
    struct switch_row *row = bpf_map_lookup_elem(&rows, &at);

    if (!row)
        return;
    row->uid = task->real_cred->uid.val;
    if (task->pid == task->tgid) /* the leader itself */
        bpf_probe_read_kernel(row->comm, sizeof(row->comm), task->comm);
}

/* A thread whose first slice is its last comes here after its exit, so the leader and the parent are read a moment
 * after the thread let go of them: they are freed a grace period later at the earliest. */
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
    row->cgroup_id = cgroup_id_up_to(task_cgroup(task, use_cpuacct), SWITCH_DEPTH_MAX);
    row->session = state->session;
    refresh_row(row, task);
    state->epoch = control.epoch;
    state->cgroup_id = cgroup_id;
    state->row = taken;
    __sync_lock_test_and_set(&row->state, SWITCH_ROW_LIVE | (task->flags & PF_KTHREAD ? SWITCH_ROW_KTHREAD : 0));
}

static __always_inline void add_ns(uint32_t row_plus_one, uint32_t column, uint64_t ns)
{
    uint32_t at = (row_plus_one - 1) * n_columns + column;
    uint64_t *sum = bpf_map_lookup_elem(&row_ns, &at);

    if (sum)
        *sum += ns; /* a thread is on one CPU at a time */
}

static __always_inline void bill_cgroup(struct switch_cpu *cpu, struct task_struct *task, uint32_t session, uint64_t ns,
                                        struct overlap overlap)
{
    bill_rest(cgroup_id_up_to(task_cgroup(task, use_cpuacct), SWITCH_DEPTH_MAX), session,
              cpu->bucket | overlap.column << 16, ns, overlap.ns);
}

#define BUSY_TIME ((1ULL << 63) - 1) /* times of struct switch_core are modulo 2^63 */

static __always_inline uint64_t busy_time(uint64_t busy, uint64_t now)
{
    return ((busy >> 1) + (busy & 1 ? now : 0)) & BUSY_TIME;
}

/* The slice of this CPU ends now, or is billed in its middle: how much of it the sibling ran. A task runs from now on, or
 * not. The sibling may have switched a moment after our clock was read, its time then seems to go back: no overlap. */
static __always_inline struct overlap take_overlap(bool ran, bool runs)
{
    struct overlap overlap = {};
    uint32_t cpu = bpf_get_smp_processor_id();
    struct switch_core *core = bpf_map_lookup_elem(&cores, &cpu);

    if (!core)
        return overlap;
    uint32_t sibling_at = core->sibling;
    struct switch_core *sibling = bpf_map_lookup_elem(&cores, &sibling_at);
    if (!sibling || sibling_at == cpu)
        return overlap;

    uint64_t now = bpf_ktime_get_ns();
    uint64_t sibling_now = busy_time(ACCESS_ONCE(sibling->busy), now);
    uint64_t ns = (sibling_now - core->sibling_then) & BUSY_TIME;
    uint64_t own = busy_time(core->busy, now);

    if (ran && ns <= BUSY_TIME / 2)
        overlap.ns = ns;
    overlap.column = core->column;
    core->sibling_then = sibling_now;
    ACCESS_ONCE(core->busy) = runs ? ((own - now) & BUSY_TIME) << 1 | 1 : own << 1;
    return overlap;
}

/* Bills `task`, the one on this CPU, up to now. */
static __always_inline void account(struct switch_cpu *cpu, struct task_struct *task, struct thread_state *state,
                                    bool dead, struct overlap overlap)
{
    uint64_t now = task->se.sum_exec_runtime;
    uint64_t start = now;
    uint64_t split = cpu->split_task == (uint64_t)task ? cpu->split_ns : 0;
    uint32_t bucket = cpu->bucket;

    cpu->split_task = 0;
    if (state->primed)
        start = state->seen_ns;
    else if (cpu->task == (uint64_t)task)
        start = cpu->start_ns;
    else
        cpu->missed++;
    if (!state->primed && task->signal->nr_threads > 1)
        state->threaded = 1;
    state->seen_ns = now;
    state->primed = 1;
    if (now <= start) {
        if (!dead)
            return;
        start = now;
    }

    uint64_t cgroup_id = task_cgroup_id(task, use_cpuacct);
    if (state->row && state->cgroup_id != cgroup_id) {
        if (split > start && split <= now) {
            add_ns(state->row, bucket, split - start);
            start = split;
        }
        close_row(state, task, SWITCH_ROW_MOVED);
    }
    if (!state->row && now != start)
        open_row(state, task, cgroup_id);
    if (!state->row) {
        if (now != start)
            bill_cgroup(cpu, task, state->session, now - start, overlap);
        return;
    }
    add_ns(state->row, bucket, now - start);
    if (smt && overlap.ns)
        add_ns(state->row, overlap.column, overlap.ns);
    if (dead) {
        finish_row(state, task);
        close_row(state, task, SWITCH_ROW_ENDED | (state->threaded ? SWITCH_ROW_THREADED : 0));
    } else if (state->epoch != control.epoch) {
        uint32_t at = state->row - 1;
        struct switch_row *row = bpf_map_lookup_elem(&rows, &at);
        if (row)
            refresh_row(row, task);
        state->epoch = control.epoch;
    }
}

/* The same for a thread whose memory was not found; see the head of this file. */
static __always_inline void account_unknown(struct switch_cpu *cpu, struct task_struct *task, struct overlap overlap)
{
    uint64_t now = task->se.sum_exec_runtime;

    if (cpu->task != (uint64_t)task || !task_surely_unknown(task)) {
        cpu->missed++;
        return;
    }
    cpu->split_task = 0;
    if (now > cpu->start_ns)
        bill_cgroup(cpu, task, 0, now - cpu->start_ns, overlap);
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
    struct overlap overlap = {};
    if (smt)
        overlap = take_overlap(prev->pid != 0, next->pid != 0);
    if (prev->pid) {
        bool dead = task_is_dead(prev);
        struct thread_state *state = bpf_task_storage_get(&threads, prev, 0, 0);
        if (!state && !dead && storage_may_be_made_at_switch())
            state = bpf_task_storage_get(&threads, prev, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
        if (state)
            account(cpu, prev, state, dead, overlap);
        else
            account_unknown(cpu, prev, overlap);
    }
    arrive(cpu, next);
    return 0;
}

/* Run by the reader on a CPU (not attached): bills the slice in progress, whose task may not switch for seconds. It
 * runs in an interrupt, or on the reader's own CPU with preemption off, hence never in the middle of on_switch of the
 * same CPU; no lock of a run queue is held, so memory may be had. Without, nothing is touched: the interrupt may have
 * come in the middle of another look-up. */
SEC("raw_tp")
int account_current(void *ctx)
{
    struct task_struct *task = bpf_get_current_task_btf();
    struct switch_cpu *cpu = this_cpu();
    struct thread_state *state;

    struct overlap overlap = {};

    if (!cpu)
        return 0;
    if (smt) /* idle too: should a switch not have been seen, the sibling took this CPU for busy up to here */
        overlap = take_overlap(task->pid != 0, task->pid != 0);
    if (task->pid) {
        state = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
        if (!state)
            return 0;
        account(cpu, task, state, false, overlap);
    }
    arrive(cpu, task);
    return 0;
}

/* Run once by the reader (not attached): its pid as the rows have it, whatever pid namespace the reader is in. */
SEC("raw_tp")
int who_am_i(void *ctx)
{
    control.own_tgid = bpf_get_current_pid_tgid() >> 32;
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
    if (task->pid != task->tgid) {
        struct thread_state *leader = bpf_task_storage_get(&threads, parent->group_leader, 0, 0);
        if (leader)
            leader->threaded = 1;
        state->threaded = 1;
    }
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

/* A new program: its name counts for the time since the last reading too, since a row has one name. When a thread that
 * is not the leader executes, it is the leader by now, with the leader's pid and time of birth. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
    struct thread_state *state = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

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
    if (task->signal->nr_threads > 1)
        state->threaded = 1;
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

    if (cgroup->root->hierarchy_id != hierarchy_id || cgroup->level > SWITCH_DEPTH_MAX)
        return 0;
    event = bpf_ringbuf_reserve(&cgroup_events, sizeof(*event), 0);
    if (!event) {
        __sync_fetch_and_add(&control.cgroup_events_lost, 1);
        return 0;
    }
    event->id = cgroup->kn->id;
    event->parent_id = BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id);
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
