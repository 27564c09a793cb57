/* SPDX-License-Identifier: Apache-2.0 */
/* Walks a process's descendants, parents first. Knows two ways to find children: the kernel's lists (children files of
 * each thread, if the kernel was built with them) and the parents of all processes; refuses to know what for. */
#include "sources/proc_tree.h"

#include <errno.h>
#include <fcntl.h>

#include "sources/proc_read.h"

#define CHILDREN_MAX (256U * 1024) /* 32,000 children of one thread; with more the other way is taken */
#define QUEUE_FIRST  256

void proc_tree_init(struct proc_tree *tree, const struct carnot_env *env, uint32_t root_pid)
{
    *tree = (struct proc_tree){.env = env, .root_pid = root_pid};
}

void proc_tree_done(struct proc_tree *tree)
{
    u64map_done(&tree->seen);
    free(tree->queue);
    free(tree->links);
    free(tree->text);
    *tree = (struct proc_tree){0};
}

/* Once each, however often a process is met (it may get another parent while we walk). */
static int enqueue(struct proc_tree *tree, uint32_t pid)
{
    if (u64map_get(&tree->seen, pid) != U64MAP_NONE)
        return 0;
    if (tree->n_queue == tree->queue_cap) {
        size_t cap = tree->queue_cap ? tree->queue_cap * 2 : QUEUE_FIRST;
        uint32_t *queue = reallocarray(tree->queue, cap, sizeof(*queue));
        if (!queue)
            return -ENOMEM;
        tree->queue = queue;
        tree->queue_cap = cap;
    }
    int r = u64map_put(&tree->seen, pid, 0);
    if (r < 0)
        return r;
    tree->queue[tree->n_queue++] = pid;
    return 0;
}

/* ---- the kernel's lists ---- */

struct thread_walk {
    struct proc_tree *tree;
    uint32_t pid;
};

static int children_of_thread(uint32_t tid, void *userdata)
{
    const struct thread_walk *walk = userdata;
    struct proc_tree *tree = walk->tree;
    char path[64];
    uint32_t pid;

    snprintf(path, sizeof(path), "%u/task/%u/children", walk->pid, tid);
    ssize_t n = fsroot_read(&tree->env->proc, path, tree->text, CHILDREN_MAX, NULL);
    if (n == -E2BIG)
        return -E2BIG;
    if (n < 0)
        return 0; /* the thread has ended */
    struct text rest = {tree->text, (size_t)n};
    while (proc_scan_child(&rest, &pid)) {
        int r = enqueue(tree, pid);
        if (r < 0)
            return r;
    }
    return 0;
}

static int children_by_list(struct proc_tree *tree, uint32_t pid)
{
    struct thread_walk walk = {tree, pid};
    char path[32];

    snprintf(path, sizeof(path), "%u/task", pid);
    int r = proc_list(tree->env, path, children_of_thread, &walk, NULL);
    return r == -ENOMEM || r == -E2BIG ? r : 0; /* else it has ended */
}

static bool has_lists(const struct proc_tree *tree)
{
    char path[64];

    snprintf(path, sizeof(path), "%u/task/%u/children", tree->root_pid, tree->root_pid);
    return fsroot_exists(&tree->env->proc, path);
}

/* ---- parents of all ---- */

static int collect_link(uint32_t pid, void *userdata)
{
    struct proc_tree *tree = userdata;
    struct proc_pid_stat stat;

    if (proc_read_pid_stat(tree->env, pid, &stat) < 0)
        return 0;
    if (tree->n_links == tree->links_cap) {
        size_t cap = tree->links_cap ? tree->links_cap * 2 : QUEUE_FIRST;
        struct proc_link *links = reallocarray(tree->links, cap, sizeof(*links));
        if (!links)
            return -ENOMEM;
        tree->links = links;
        tree->links_cap = cap;
    }
    tree->links[tree->n_links++] = (struct proc_link){.pid = pid, .ppid = stat.ppid};
    return 0;
}

static int compare_links(const void *a, const void *b)
{
    const struct proc_link *x = a, *y = b;

    return x->ppid < y->ppid ? -1 : x->ppid > y->ppid;
}

static int children_by_parent(struct proc_tree *tree, uint32_t pid)
{
    size_t low = 0, high = tree->n_links;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tree->links[middle].ppid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < tree->n_links && tree->links[low].ppid == pid; low++) {
        int r = enqueue(tree, tree->links[low].pid);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- both ---- */

/* By lists, or (tree->n_links filled) by parents. */
static int walk(struct proc_tree *tree, bool lists, uint64_t *ret_ns, uint32_t *ret_n_processes)
{
    uint64_t sum = 0;

    u64map_clear(&tree->seen);
    tree->n_queue = 0;
    int r = enqueue(tree, tree->root_pid);
    for (size_t i = 0; r >= 0 && i < tree->n_queue; i++) {
        uint32_t pid = tree->queue[i];
        struct proc_pid_stat stat;

        if (i > 0) {
            if (proc_read_pid_stat(tree->env, pid, &stat) < 0)
                continue; /* ended and waited for: its parent or we ourselves have its time */
            sum += proc_cpu_ns(tree->env, &stat) + stat.waited_ticks * NS_PER_TICK;
        }
        r = lists ? children_by_list(tree, pid) : children_by_parent(tree, pid);
    }
    if (r < 0)
        return r;
    *ret_ns = sum;
    *ret_n_processes = (uint32_t)tree->n_queue - 1;
    return 0;
}

static int walk_by_parents(struct proc_tree *tree, uint64_t *ret_ns, uint32_t *ret_n_processes)
{
    tree->n_links = 0;
    int r = proc_list(tree->env, "", collect_link, tree, NULL);
    if (r < 0)
        return r;
    if (tree->n_links)
        qsort(tree->links, tree->n_links, sizeof(*tree->links), compare_links);
    return walk(tree, false, ret_ns, ret_n_processes);
}

int proc_tree_cpu_ns(struct proc_tree *tree, uint64_t *ret_ns, uint32_t *ret_n_processes, struct carnot_err *err)
{
    int r = -E2BIG;

    if (!tree->text)
        tree->text = malloc(CHILDREN_MAX);
    if (tree->text && has_lists(tree))
        r = walk(tree, true, ret_ns, ret_n_processes);
    if (r == -E2BIG)
        r = walk_by_parents(tree, ret_ns, ret_n_processes);
    if (r < 0)
        return carnot_err_errno(err, r, "cannot walk the processes below %u in %s", tree->root_pid,
                                tree->env->proc.path);
    return 0;
}
