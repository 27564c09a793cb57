/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroups as the kernel makes and removes them: keeps a struct cgroup_tree up to date from the BPF programs' events, so
 * that a cgroup that lived shorter than a tick has a path too.
 *
 * A removed cgroup is marked gone in the tree only some readings later, since its last threads may still have to switch
 * out. A cgroup for which the tree has no room is remembered with its nearest ancestor in the tree. Internal to
 * activity_bpf.c. */
#ifndef CARNOT_SOURCES_BPF_CGROUPS_H
#define CARNOT_SOURCES_BPF_CGROUPS_H

#include "base/u64map.h"
#include "sources/bpf/switch.h"
#include "sources/cgroup.h"

struct ring_buffer;

struct bpf_gone {
    uint64_t id;
    unsigned readings_left;
};

struct bpf_cgroups {
    struct cgroup_tree *tree;             /* not owned */
    const struct switch_control *control; /* not owned */
    struct ring_buffer *ring;
    struct bpf_gone *gone;
    size_t n_gone, cap_gone;
    struct u64map nearest; /* id -> index of the nearest ancestor known, of cgroups that the tree did not take */
    uint64_t lost_before;
    bool may_search; /* the directories were not walked since the last reading */
    bool rescan;     /* events were lost or memory was short: walk the directories at the next reading */
};

int bpf_cgroups_open(struct bpf_cgroups *cgroups, struct cgroup_tree *tree, int events_fd,
                     const struct switch_control *control, struct carnot_err *err);
void bpf_cgroups_close(struct bpf_cgroups *cgroups);

/* Takes the waiting events into the tree. No system call. */
void bpf_cgroups_update(struct bpf_cgroups *cgroups);
/* Once per reading, after its threads were looked up: counts down the gone ones. */
void bpf_cgroups_reading_done(struct bpf_cgroups *cgroups);

/* Index in the tree, or that of the nearest ancestor; CGROUP_NONE when not known. Walks the directories at most once
 * per reading. */
uint32_t bpf_cgroups_find(struct bpf_cgroups *cgroups, uint64_t id);

#endif
