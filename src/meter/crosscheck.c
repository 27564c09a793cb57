/* SPDX-License-Identifier: Apache-2.0 */
/* Our on-CPU time of cgroups against the kernel's own counters (cpu.stat, cpuacct.usage), a few per tick.
 * Both count the same scheduler time; the difference is what is in flight between the two readings, at most a tick per
 * CPU. Only reported: the figures stay ours, since they alone tell threads and CPUs apart. */
#include <errno.h>

#include "meter/internal.h"

/* A round with less CPU time than this says nothing in parts per million. */
#define ROUND_MIN_NS (100 * NS_PER_MS)

static int reserve(struct crosscheck *check, uint32_t count)
{
    uint64_t **arrays[] = {&check->ours_ns, &check->ours_at_ns, &check->kernel_ns, &check->id};

    if (count <= check->cap)
        return 0;
    uint32_t cap = check->cap ? check->cap : 64;
    while (cap < count)
        cap *= 2;
    for (size_t i = 0; i < ELEMENTSOF(arrays); i++) {
        uint64_t *grown = realloc(*arrays[i], cap * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        memset(grown + check->cap, 0, (cap - check->cap) * sizeof *grown);
        *arrays[i] = grown;
    }
    if (check->cap == 0)
        check->ppm = INT64_MIN;
    check->cap = cap;
    return 0;
}

void crosscheck_done(struct crosscheck *check)
{
    free(check->ours_ns);
    free(check->ours_at_ns);
    free(check->kernel_ns);
    free(check->id);
    *check = (struct crosscheck){0};
}

int crosscheck_add(struct crosscheck *check, const struct cgroup_tree *tree, const struct cells *cells)
{
    int r = reserve(check, cgroup_tree_count(tree));

    if (r < 0)
        return r;
    for (uint32_t i = 0; i < cells->n; i++) {
        /* The kernel's counter holds all below, so the time goes to every ancestor too. */
        for (uint32_t c = cells->cells[i].cgroup; c != CGROUP_NONE && c < check->cap;) {
            const struct cgroup *entry = cgroup_tree_get(tree, c);

            check->ours_ns[c] += cells->cells[i].cpu_ns;
            c = entry ? entry->parent : CGROUP_NONE;
        }
    }
    return 0;
}

static void end_round(struct crosscheck *check)
{
    if (check->round_kernel_ns >= ROUND_MIN_NS) {
        int64_t difference_ns = (int64_t)(check->round_ours_ns - check->round_kernel_ns);
        check->ppm = (int64_t)((__int128)difference_ns * 1000000 / (int64_t)check->round_kernel_ns);
    }
    check->round_ours_ns = 0;
    check->round_kernel_ns = 0;
}

static void compare(struct crosscheck *check, struct cgroup_tree *tree, uint32_t c, uint64_t now_mono_ns)
{
    const struct cgroup *entry = cgroup_tree_get(tree, c);
    uint64_t kernel_ns;

    /* Gone, or the v2 root, which counts differently: nothing to compare. */
    if (!entry || entry->gone || cgroup_tree_read_usage(tree, c, now_mono_ns, &kernel_ns, NULL) < 0)
        return;
    if (check->id[c] == entry->id && kernel_ns >= check->kernel_ns[c] && check->kernel_ns[c]) {
        check->round_ours_ns += check->ours_ns[c] - check->ours_at_ns[c];
        check->round_kernel_ns += kernel_ns - check->kernel_ns[c];
    }
    check->id[c] = entry->id;
    check->kernel_ns[c] = kernel_ns;
    check->ours_at_ns[c] = check->ours_ns[c];
}

void crosscheck_step(struct crosscheck *check, struct cgroup_tree *tree, uint64_t now_mono_ns)
{
    uint32_t count = min_u64(cgroup_tree_count(tree), check->cap);

    for (uint32_t i = 0; i < CROSSCHECK_PER_TICK && i < count; i++) {
        if (check->next >= count) {
            end_round(check);
            check->next = 0;
        }
        compare(check, tree, check->next++, now_mono_ns);
    }
}
