/* SPDX-License-Identifier: Apache-2.0 */
/* The energy of one accelerator board among those who use or hold it: whole boards, MIG instances, MPS clients with a
 * limit, time slices. Conserves to the microjoule.
 *
 * Knows shares of multiprocessors and how busy they were; does not know what kernels cost: two at the same utilisation
 * may draw twice as much one as the other, and no counter of the board tells which. */
#ifndef CARNOT_ATTRIBUTION_GPU_SHARE_H
#define CARNOT_ATTRIBUTION_GPU_SHARE_H

#include "base/util.h"

/* A slice of the board with multiprocessors of its own: a MIG instance; a board without MIG is one instance. */
struct gpu_instance {
    uint64_t sms;     /* multiprocessors */
    uint64_t held;    /* scratch of gpu_share */
    uint64_t running; /* scratch */
};

/* A process that runs on an instance, or a job that holds it. One of which nobody knows anything has utilisation 0. */
struct gpu_user {
    uint32_t instance;        /* index */
    uint32_t limit_ppm;       /* MPS: active thread percentage, in millionths; 0: none, may use all */
    uint32_t utilisation_ppm; /* of the instance's multiprocessors, over the window */
    bool holds;               /* the instance, or a slice of it, is allocated to it */
};

struct gpu_board {
    uint64_t energy_uj;
    uint64_t window_ns;
    uint64_t idle_uw; /* what the board draws with nothing running; 0: unknown, then energy x (1 - utilisation) */
    uint64_t sms;     /* multiprocessors of the board, also those of no instance; 0: those of the instances */
    struct gpu_instance *instances;
    size_t n_instances;
    const struct gpu_user *users;
    size_t n_users;
};

struct gpu_result {
    uint64_t active_uj, idle_uj; /* of the board */
    uint64_t idle_left_uj;       /* of multiprocessors that nobody holds: entity idle */
    uint64_t residual_uj;        /* active, but nobody was seen to run */
};

/* Active energy: by utilisation x multiprocessors of the instance. Idle energy: to each instance by its
 * multiprocessors, in it to its holders by their limits, the same to each without. ret_uj[n_users] gets both together:
 * sum(ret_uj) + idle_left + residual == energy_uj. Users of instances that do not exist get nothing. */
void gpu_share(const struct gpu_board *board, uint64_t *ret_uj, struct gpu_result *ret_result);

#endif
