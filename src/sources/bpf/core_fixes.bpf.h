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

/* The id of the directory of the task's cgroup: in the unified hierarchy, or in the v1 hierarchy that has cpuacct,
 * whose place in subsys[] depends on the kernel's configuration. */
static __always_inline uint64_t task_cgroup_id(struct task_struct *task, bool cpuacct)
{
    struct css_set *set = task->cgroups;

    if (cpuacct && bpf_core_enum_value_exists(enum cgroup_subsys_id, cpuacct_cgrp_id)) {
        struct cgroup_subsys_state **subsys = (void *)set->subsys;
        struct cgroup_subsys_state *css = 0;
        uint64_t index = bpf_core_enum_value(enum cgroup_subsys_id, cpuacct_cgrp_id);

        bpf_probe_read_kernel(&css, sizeof(css), subsys + index);
        return BPF_CORE_READ(css, cgroup, kn, id);
    }
    return set->dfl_cgrp->kn->id;
}

#endif
