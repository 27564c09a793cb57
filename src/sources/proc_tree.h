/* SPDX-License-Identifier: Apache-2.0 */
/* The descendants of one process and the CPU time they have used. Internal to sources. */
#ifndef CARNOT_SOURCES_PROC_TREE_H
#define CARNOT_SOURCES_PROC_TREE_H

#include "base/fsroot.h"
#include "base/u64map.h"

struct proc_link {
    uint32_t pid, ppid;
};

struct proc_tree {
    const struct carnot_env *env;
    uint32_t root_pid;
    struct u64map seen; /* pids of this walk */
    uint32_t *queue;    /* [queue_cap] pids in the order found: parents first */
    size_t n_queue, queue_cap;
    struct proc_link *links; /* [links_cap] all processes, where the kernel does not list children */
    size_t n_links, links_cap;
    char *text; /* of a children file */
};

void proc_tree_init(struct proc_tree *tree, const struct carnot_env *env, uint32_t root_pid);
void proc_tree_done(struct proc_tree *tree);

/* Sum of the CPU time, in ns, of all living descendants of the root process (not of itself), and of what they have
 * waited for, at a time during the call. Each process's figure is read before those of its children: time that passes
 * up to a parent while we walk is missed (and is there the next time), never counted twice. */
int proc_tree_cpu_ns(struct proc_tree *tree, uint64_t *ret_ns, uint32_t *ret_n_processes, struct carnot_err *err);

#endif
