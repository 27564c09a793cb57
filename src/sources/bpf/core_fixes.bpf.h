/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where kernels differ: each function hides one difference, and says which releases have which form. */
#ifndef CARNOT_SOURCES_BPF_CORE_FIXES_H
#define CARNOT_SOURCES_BPF_CORE_FIXES_H

#include "vmlinux_min.h"

#include <bpf/bpf_core_read.h>

#define TASK_STATE_DEAD 0x80 /* TASK_DEAD of the kernel, the same since 4.14 */

/* Since 5.14 the field is `__state`, an unsigned int; before, `state`, a volatile long. */
struct task_struct___state_new {
    unsigned int __state;
} __attribute__((preserve_access_index));

struct task_struct___state_old {
    long state;
} __attribute__((preserve_access_index));

static __always_inline bool task_is_dead(struct task_struct *task)
{
    struct task_struct___state_new *now = (void *)task;
    struct task_struct___state_old *old = (void *)task;

    if (bpf_core_field_exists(now->__state))
        return now->__state & TASK_STATE_DEAD;
    return old->state & TASK_STATE_DEAD;
}

/* The task's cgroup: in the unified hierarchy, or in the v1 hierarchy that has cpuacct, whose place in subsys[] depends
 * on the kernel's configuration. */
static __always_inline struct cgroup *task_cgroup(struct task_struct *task, bool cpuacct)
{
    struct css_set *set = task->cgroups;

    if (cpuacct && bpf_core_enum_value_exists(enum cgroup_subsys_id, cpuacct_cgrp_id)) {
        struct cgroup_subsys_state **subsys = (void *)set->subsys;
        struct cgroup_subsys_state *css = 0;
        uint64_t index = bpf_core_enum_value(enum cgroup_subsys_id, cpuacct_cgrp_id);

        bpf_probe_read_kernel(&css, sizeof(css), subsys + index);
        return BPF_CORE_READ(css, cgroup);
    }
    return set->dfl_cgrp;
}

/* The id of its directory. Runs at every switch: no more cache lines than it takes. */
static __always_inline uint64_t task_cgroup_id(struct task_struct *task, bool cpuacct)
{
    if (cpuacct)
        return BPF_CORE_READ(task_cgroup(task, true), kn, id);
    return task->cgroups->dfl_cgrp->kn->id;
}

/* Since 6.1 a cgroup has its ancestors; before, their ids. Both are as long as the cgroup is deep. */
struct cgroup___ancestors_new {
    struct cgroup *ancestors[1];
} __attribute__((preserve_access_index));

struct cgroup___ancestors_old {
    __u64 ancestor_ids[1];
} __attribute__((preserve_access_index));

/* The id of the cgroup, or of its ancestor at `level` when it is deeper. */
static __always_inline uint64_t cgroup_id_up_to(struct cgroup *cgroup, int level)
{
    struct cgroup___ancestors_new *now = (void *)cgroup;
    struct cgroup___ancestors_old *old = (void *)cgroup;
    struct cgroup *up = 0;
    uint64_t id = 0;

    if (BPF_CORE_READ(cgroup, level) <= level)
        return BPF_CORE_READ(cgroup, kn, id);
    if (bpf_core_field_exists(now->ancestors)) {
        uint64_t at = (uint64_t)cgroup + bpf_core_field_offset(now->ancestors) + level * sizeof(up);

        bpf_probe_read_kernel(&up, sizeof(up), (void *)at);
        return BPF_CORE_READ(up, kn, id);
    }
    if (bpf_core_field_exists(old->ancestor_ids)) {
        uint64_t at = (uint64_t)cgroup + bpf_core_field_offset(old->ancestor_ids) + level * sizeof(id);

        bpf_probe_read_kernel(&id, sizeof(id), (void *)at);
    }
    return id ? id : BPF_CORE_READ(cgroup, kn, id);
}

/* A look-up that found nothing: has the thread surely no memory? Before 6.2 a look-up also fails while its CPU is
 * inside another one (which was interrupted, or preempted); the same release brought the function asked for here, and
 * distributions take the two over together. There, only a thread to which no program gave memory is sure. */
static __always_inline bool task_surely_unknown(struct task_struct *task)
{
    if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_cgrp_storage_get))
        return true;
    return bpf_core_field_exists(task->bpf_storage) && !task->bpf_storage;
}

/* Since 6.4 task storage has an allocator of its own that asks nobody under a lock (bpf_ma; use_kmalloc_nolock after it);
 * before, it is kmalloc, which can wake a thread and so must not be called with the lock of a run queue held. */
struct bpf_local_storage_map___ma {
    bool bpf_ma;
} __attribute__((preserve_access_index));

struct bpf_local_storage_map___nolock {
    bool use_kmalloc_nolock;
} __attribute__((preserve_access_index));

static __always_inline bool storage_may_be_made_at_switch(void)
{
    return bpf_core_field_exists(struct bpf_local_storage_map___ma, bpf_ma) ||
           bpf_core_field_exists(struct bpf_local_storage_map___nolock, use_kmalloc_nolock);
}

#endif
