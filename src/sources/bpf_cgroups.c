/* SPDX-License-Identifier: Apache-2.0 */
/* Events of made and removed cgroups -> the tree; knows no thread. */
#include "sources/bpf_cgroups.h"

#include <bpf/libbpf.h>
#include <errno.h>

#define GONE_READINGS 2  /* a thread switches out for the last time soon after its cgroup can be removed */
#define GONE_FIRST    64 /* removed within three readings on a quiet machine; doubled as needed */

/* Cgroups outside of the tree that are remembered: four times those inside, 1.5 MiB at most. Beyond, and for what was
 * outside before the start, it is the root that is billed. */
#define NEAREST_MAX (4 * CGROUPS_MAX)
#define PATH_CUT    (UINT32_C(1) << 31) /* the tree may yet find it, having read the whole path from the directories */

_Static_assert(SWITCH_DEPTH_MAX == CGROUP_DEPTH_MAX, "bpf/switch.h limits");

static bool note_gone(struct bpf_cgroups *cgroups, uint64_t id)
{
    if (cgroups->n_gone == cgroups->cap_gone) {
        size_t want = cgroups->cap_gone ? cgroups->cap_gone * 2 : GONE_FIRST;
        struct bpf_gone *more = reallocarray(cgroups->gone, want, sizeof(*more));
        if (!more)
            return false;
        cgroups->gone = more;
        cgroups->cap_gone = want;
    }
    cgroups->gone[cgroups->n_gone++] = (struct bpf_gone){.id = id, .readings_left = GONE_READINGS};
    return true;
}

/* In the order of their making, so a parent that the tree did not take is here already. */
static void note_nearest(struct bpf_cgroups *cgroups, const struct switch_cgroup_event *event, uint32_t flag)
{
    uint32_t index = cgroup_tree_find(cgroups->tree, event->parent_id, false);

    if (index == CGROUP_NONE)
        index = u64map_get(&cgroups->nearest, event->parent_id);
    if (index == U64MAP_NONE || cgroups->nearest.len >= NEAREST_MAX)
        return;
    /* Short of memory it is not known, and a thread in it has the directories searched. */
    u64map_put(&cgroups->nearest, event->id, (index & ~PATH_CUT) | flag);
}

static int on_event(void *userdata, void *data, size_t size)
{
    struct bpf_cgroups *cgroups = userdata;
    const struct switch_cgroup_event *event = data;

    if (size < sizeof(*event))
        return 0;
    if (event->kind == SWITCH_CGROUP_GONE) {
        if (!note_gone(cgroups, event->id))
            cgroups->rescan = true;
        return 0;
    }
    if (event->path_len == SWITCH_PATH_MAX)
        note_nearest(cgroups, event, PATH_CUT);
    else if (cgroup_tree_add(cgroups->tree, event->id, event->path) == -E2BIG)
        note_nearest(cgroups, event, 0);
    return 0;
}

int bpf_cgroups_open(struct bpf_cgroups *cgroups, struct cgroup_tree *tree, int events_fd,
                     const struct switch_control *control, struct carnot_err *err)
{
    struct ring_buffer *ring;

    *cgroups = (struct bpf_cgroups){.tree = tree, .control = control, .may_search = true};
    ring = ring_buffer__new(events_fd, on_event, cgroups, NULL);
    if (!ring)
        return carnot_err_errno(err, errno, "cannot map the ring of cgroup events");
    cgroups->ring = ring;
    return 0;
}

void bpf_cgroups_close(struct bpf_cgroups *cgroups)
{
    ring_buffer__free(cgroups->ring);
    free(cgroups->gone);
    u64map_done(&cgroups->nearest);
    *cgroups = (struct bpf_cgroups){0};
}

void bpf_cgroups_update(struct bpf_cgroups *cgroups)
{
    ring_buffer__consume(cgroups->ring);
}

void bpf_cgroups_reading_done(struct bpf_cgroups *cgroups)
{
    uint64_t lost = __atomic_load_n(&cgroups->control->cgroup_events_lost, __ATOMIC_RELAXED);
    size_t kept = 0;

    for (size_t i = 0; i < cgroups->n_gone; i++) {
        struct bpf_gone gone = cgroups->gone[i];
        if (gone.readings_left-- > 0) {
            cgroups->gone[kept++] = gone;
            continue;
        }
        uint32_t index = cgroup_tree_find(cgroups->tree, gone.id, false);
        if (index != CGROUP_NONE && index != CGROUP_ROOT)
            cgroup_tree_mark_gone(cgroups->tree, index);
        u64map_remove(&cgroups->nearest, gone.id);
    }
    cgroups->n_gone = kept;
    cgroups->may_search = true;
    if (lost != cgroups->lost_before || cgroups->rescan)
        /* A failure leaves the flag, so that the next reading tries again. */
        cgroups->rescan = cgroup_tree_scan(cgroups->tree, NULL) < 0;
    cgroups->lost_before = lost;
}

uint32_t bpf_cgroups_find(struct bpf_cgroups *cgroups, uint64_t id)
{
    uint32_t index = cgroup_tree_find(cgroups->tree, id, false);
    uint32_t nearest;

    if (index != CGROUP_NONE)
        return index;
    bpf_cgroups_update(cgroups); /* it may have been made a moment ago */
    index = cgroup_tree_find(cgroups->tree, id, false);
    if (index != CGROUP_NONE)
        return index;
    nearest = u64map_get(&cgroups->nearest, id);
    if (nearest != U64MAP_NONE && !(nearest & PATH_CUT))
        return nearest;
    if (cgroups->may_search) {
        cgroups->may_search = false;
        index = cgroup_tree_find(cgroups->tree, id, true);
    }
    if (index != CGROUP_NONE || nearest == U64MAP_NONE)
        return index;
    return nearest & ~PATH_CUT;
}
