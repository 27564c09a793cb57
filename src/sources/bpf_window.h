/* SPDX-License-Identifier: Apache-2.0 */
/* One window of activity being put together: tasks listed, and time that belongs to no task listed.
 *
 * Memory grows to the largest window seen and stays. Pointers are set when the window is sealed, since the arrays may
 * move before. Internal to activity_bpf.c. */
#ifndef CARNOT_SOURCES_BPF_WINDOW_H
#define CARNOT_SOURCES_BPF_WINDOW_H

#include "base/u64map.h"
#include "sources/activity.h"

struct bpf_window {
    uint32_t n_columns;
    struct activity_task *tasks;
    uint64_t *task_ns; /* [cap_tasks * n_columns] */
    size_t n_tasks, cap_tasks;
    struct activity_rest *rests;
    uint64_t *rest_ns; /* [cap_rests * n_columns] */
    size_t n_rests, cap_rests;
    struct u64map rest_of; /* cgroup << 32 | session -> index */
    size_t n_ended;        /* tasks listed by drains */
};

void bpf_window_init(struct bpf_window *window, uint32_t n_columns);
void bpf_window_done(struct bpf_window *window);
void bpf_window_reset(struct bpf_window *window);

/* Room for one more task: its nanoseconds to be filled, valid until the next call. NULL: no memory. The task counts
 * only after bpf_window_put(). */
uint64_t *bpf_window_room(struct bpf_window *window);
void bpf_window_put(struct bpf_window *window, const struct activity_task *task);

/* The sum for a cgroup and session, to be added to; valid until the next call. NULL: no memory. */
uint64_t *bpf_window_rest(struct bpf_window *window, uint32_t cgroup, uint32_t session);

void bpf_window_seal(struct bpf_window *window);

#endif
