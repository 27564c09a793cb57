/* SPDX-License-Identifier: Apache-2.0 */
/* Turns the kernel's nested totals into each cgroup's own time. Knows differences and carries; refuses to know
 * processes. */
#include "sources/cgroup_usage.h"

#include <errno.h>
#include <string.h>

#define CAP_FIRST 256

void cgroup_usage_init(struct cgroup_usage *usage, struct cgroup_tree *tree)
{
    *usage = (struct cgroup_usage){.tree = tree};
}

void cgroup_usage_done(struct cgroup_usage *usage)
{
    free(usage->own);
    *usage = (struct cgroup_usage){0};
}

static int reserve(struct cgroup_usage *usage, uint32_t count)
{
    uint32_t cap = usage->cap ? usage->cap : CAP_FIRST;

    if (count <= usage->cap)
        return 0;
    while (cap < count)
        cap *= 2;
    struct cgroup_own *own = realloc(usage->own, cap * sizeof(*own));
    if (!own)
        return -ENOMEM;
    memset(own + usage->cap, 0, (cap - usage->cap) * sizeof(*own));
    usage->own = own;
    usage->cap = cap;
    return 0;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

/* The debt of a cgroup that is no more passes to its nearest living ancestor, in whose total its time stays, and so
 * does what nobody has taken yet. */
static void retire(struct cgroup_usage *usage, uint32_t index)
{
    struct cgroup_own *own = &usage->own[index];
    const struct cgroup *cgroup = cgroup_tree_get(usage->tree, index);
    uint32_t heir = cgroup && cgroup->id == own->id ? cgroup->parent : own->parent;
    const struct cgroup *up = cgroup_tree_get(usage->tree, heir);

    if (own->id == 0 && own->carry_ns == 0)
        return; /* also the root of v2, whose own is not ours */
    while (up && up->gone) {
        heir = up->parent;
        up = cgroup_tree_get(usage->tree, heir);
    }
    if (up && heir != index) {
        bool to_v2_root = heir == CGROUP_ROOT && cgroup_tree_hierarchy(usage->tree) == CGROUP_V2;
        usage->own[heir].carry_ns += own->carry_ns;
        if (to_v2_root) /* which has what its children have not */
            usage->children_ns -= min_u64(own->own_ns, usage->children_ns);
        else
            usage->own[heir].own_ns = add_capped(usage->own[heir].own_ns, own->own_ns);
    }
    *own = (struct cgroup_own){0};
}

/* Growth of one cgroup's total since the last update. */
static void read_growth(struct cgroup_usage *usage, uint32_t index, const struct cgroup *cgroup, uint64_t now_mono_ns)
{
    struct cgroup_own *own = &usage->own[index];
    bool known = own->id == cgroup->id;
    uint64_t total = 0;

    if (!known)
        retire(usage, index);
    own->parent = cgroup->parent;
    own->grown_ns = 0;
    /* Vanished or broken: nothing this time; its parent's total has what there was. */
    if (cgroup_tree_read_usage(usage->tree, index, now_mono_ns, &total, NULL) < 0)
        return;
    /* All of a new one's time is new, as it was made since the last update. */
    uint64_t before = known ? own->total_ns : usage->primed && !usage->was_incomplete ? 0 : total;
    own->grown_ns = total > before ? total - before : 0;
    own->total_ns = total;
    own->id = cgroup->id;
}

int cgroup_usage_update(struct cgroup_usage *usage, uint64_t now_mono_ns, struct carnot_err *err)
{
    struct cgroup_tree *tree = usage->tree;

    int r = cgroup_tree_scan(tree, err);
    if (r < 0)
        return r;
    uint32_t count = cgroup_tree_count(tree);
    r = reserve(usage, count);
    if (r < 0)
        return carnot_err_set(err, -r, "out of memory for the time of %u control groups", count);

    for (uint32_t i = 0; i < usage->cap; i++) {
        const struct cgroup *cgroup = cgroup_tree_get(tree, i);
        if (!cgroup || cgroup->gone)
            retire(usage, i);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct cgroup *cgroup = cgroup_tree_get(tree, i);
        if (cgroup && !cgroup->gone)
            read_growth(usage, i, cgroup, now_mono_ns);
    }

    /* carry_ns takes the sum for a moment: its old value, plus the growth, less the children's. */
    for (uint32_t i = 0; i < count; i++)
        usage->own[i].carry_ns += usage->own[i].grown_ns;
    for (uint32_t i = 1; i < count; i++) {
        const struct cgroup_own *own = &usage->own[i];
        if (own->id == 0 || own->parent >= count)
            continue;
        usage->own[own->parent].carry_ns -= own->grown_ns;
        if (own->parent == CGROUP_ROOT)
            usage->children_ns = add_capped(usage->children_ns, own->grown_ns);
    }
    bool root_has_total = cgroup_tree_hierarchy(tree) == CGROUP_V1;
    if (!root_has_total && usage->cap)
        usage->own[CGROUP_ROOT].carry_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct cgroup_own *own = &usage->own[i];
        if (own->carry_ns <= 0)
            continue;
        own->own_ns = add_capped(own->own_ns, own->carry_ns > UINT64_MAX ? UINT64_MAX : (uint64_t)own->carry_ns);
        own->carry_ns = 0;
    }
    usage->primed = true;
    usage->was_incomplete = cgroup_tree_dropped(tree) > 0;
    return 0;
}

void cgroup_usage_taken(struct cgroup_usage *usage)
{
    for (uint32_t i = 0; i < usage->cap; i++)
        usage->own[i].own_ns = 0;
    usage->children_ns = 0;
}
