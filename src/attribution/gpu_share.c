/* SPDX-License-Identifier: Apache-2.0 */
/* A board among its users. Knows that idle time of an allocated slice belongs to whoever holds it. */
#include "attribution/gpu_share.h"

#include <string.h>

#include "attribution/split.h"
#include "model/quantity.h"

#define PPM 1000000ULL

static bool exists(const struct gpu_board *board, size_t i)
{
    return board->users[i].instance < board->n_instances;
}

static uint64_t limit_of(const struct gpu_user *user)
{
    return user->limit_ppm ? min_u64(user->limit_ppm, PPM) : PPM;
}

static uint64_t board_sms(const struct gpu_board *board)
{
    uint64_t sum = 0;

    for (size_t k = 0; k < board->n_instances; k++)
        sum = add_saturating_u64(sum, board->instances[k].sms);
    return max_u64(sum, board->sms);
}

/* Sums each instance's users up. Utilisations that add up to more than the instance (samples of different times) are
 * weights only; for the board's own utilisation they count as all of it. */
static void sum_users(const struct gpu_board *board)
{
    for (size_t k = 0; k < board->n_instances; k++)
        board->instances[k].held = board->instances[k].running = 0;
    for (size_t i = 0; i < board->n_users; i++) {
        if (!exists(board, i))
            continue;
        struct gpu_instance *instance = &board->instances[board->users[i].instance];
        instance->running += board->users[i].utilisation_ppm;
        instance->held += board->users[i].holds ? limit_of(&board->users[i]) : 0;
    }
}

static uint64_t busy_weight(const struct gpu_board *board)
{
    uint64_t busy = 0;

    for (size_t k = 0; k < board->n_instances; k++)
        busy = add_saturating_u64(
            busy, mul_saturating_u64(board->instances[k].sms, min_u64(board->instances[k].running, PPM)));
    return busy;
}

static uint64_t share_active(const struct gpu_board *board, uint64_t active_uj, uint64_t *ret_uj)
{
    for (size_t i = 0; i < board->n_users; i++)
        ret_uj[i] = exists(board, i) ? mul_saturating_u64(board->users[i].utilisation_ppm,
                                                          board->instances[board->users[i].instance].sms)
                                     : 0;
    weights_normalise(ret_uj, board->n_users);
    return apportion(active_uj, ret_uj, board->n_users, ret_uj);
}

/* Cumulative rounding twice: over the instances, and over the holders of each. Returns what found a holder. */
static uint64_t add_idle(const struct gpu_board *board, uint64_t idle_uj, uint64_t *uj)
{
    uint64_t sms = board_sms(board), upto = 0, given = 0;

    for (size_t k = 0; k < board->n_instances; k++) {
        struct gpu_instance *instance = &board->instances[k];
        uint64_t before = upto;

        upto = add_saturating_u64(upto, instance->sms);
        uint64_t part_uj = muldiv_u64(idle_uj, upto, sms) - muldiv_u64(idle_uj, before, sms);
        given += instance->held ? part_uj : 0;
        instance->running = part_uj; /* from here on: what the holders share */
    }
    /* what the holders before this one took, in `held` counted down */
    for (size_t i = 0; i < board->n_users; i++) {
        if (!exists(board, i) || !board->users[i].holds)
            continue;
        struct gpu_instance *instance = &board->instances[board->users[i].instance];
        uint64_t limit = limit_of(&board->users[i]);
        uint64_t part_uj = muldiv_u64(instance->running, limit, instance->held);
        uj[i] += part_uj;
        instance->running -= part_uj;
        instance->held -= limit;
    }
    return given;
}

void gpu_share(const struct gpu_board *board, uint64_t *ret_uj, struct gpu_result *ret_result)
{
    sum_users(board);

    uint64_t capacity = mul_saturating_u64(board_sms(board), PPM);
    uint64_t idle_uj = split_idle_uj(board->energy_uj, board->window_ns, board->idle_uw, busy_weight(board), capacity);
    uint64_t active_uj = board->energy_uj - idle_uj;

    *ret_result = (struct gpu_result){.active_uj = active_uj, .idle_uj = idle_uj};
    ret_result->residual_uj = active_uj - share_active(board, active_uj, ret_uj);
    ret_result->idle_left_uj = idle_uj - add_idle(board, idle_uj, ret_uj);
}
