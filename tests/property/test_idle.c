/* SPDX-License-Identifier: Apache-2.0 */
/* Laws of the idle policies, of their division among cells and of boards of accelerators, over random players with any
 * numbers: every microjoule is given or left; who does not pay, used nothing, reserved nothing, was not there or does
 * not exist gets nothing; equals get the same within 1 uJ; Shapley values of games by formula, by all sets and by the
 * axioms agree.
 *
 * CARNOT_PROPERTY_SEED and CARNOT_PROPERTY_ROUNDS choose another run. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "attribution/gpu_share.h"
#include "attribution/idle.h"
#include "attribution/shapley.h"
#include "random.h"

#define ROUNDS_DEFAULT 200000ULL
#define PLAYERS_MAX    30U
#define CELLS_MAX      60U
#define INSTANCES_MAX  8U

typedef unsigned __int128 u128;

struct game {
    struct idle_players in;
    bool pays[PLAYERS_MAX];
    uint64_t active_uj[PLAYERS_MAX], reserved[PLAYERS_MAX];
    double presence[PLAYERS_MAX], scratch[2 * PLAYERS_MAX];
    uint64_t total_uj;
};

static void game_random(struct game *game)
{
    unsigned bits = rnd_below(3) ? 40 : 64;

    *game = (struct game){.total_uj = rnd_size(64)};
    game->in = (struct idle_players){
        .n = rnd_below(PLAYERS_MAX + 1),
        .pays = rnd_below(3) ? game->pays : NULL,
        .active_uj = game->active_uj,
        .reserved = game->reserved,
        .capacity = rnd_size(bits),
        .presence = game->presence,
        .scratch = game->scratch,
    };
    for (size_t i = 0; i < game->in.n; i++) {
        game->pays[i] = rnd_below(4);
        game->active_uj[i] = rnd_size(bits);
        game->reserved[i] = rnd_size(bits);
        game->presence[i] = rnd_below(4) ? rnd_unit() : (double)rnd_below(2);
    }
    if (game->in.n > 1) {
        game->pays[1] = game->pays[0];
        game->active_uj[1] = game->active_uj[0];
        game->reserved[1] = game->reserved[0];
        game->presence[1] = game->presence[0];
    }
}

static bool gets_nothing(const struct game *game, enum idle_policy policy, size_t i)
{
    bool pays = !game->in.pays || game->in.pays[i];

    switch (policy) {
    case IDLE_EQUAL:
        return !pays;
    case IDLE_PROPORTIONAL:
        return game->active_uj[i] == 0;
    case IDLE_RESERVATION:
        return !pays || game->reserved[i] == 0;
    case IDLE_SHAPLEY:
        return !pays || game->presence[i] == 0.0;
    default:
        return true;
    }
}

static const char *check_policy(struct game *game, enum idle_policy policy)
{
    uint64_t uj[PLAYERS_MAX];
    u128 sum = 0;
    bool anybody = false;

    memset(uj, 0xa5, sizeof(uj));
    uint64_t given = idle_share(policy, game->total_uj, &game->in, uj);
    for (size_t i = 0; i < game->in.n; i++) {
        sum += uj[i];
        if (gets_nothing(game, policy, i) && uj[i])
            return "a player that owes nothing pays";
        anybody = anybody || !gets_nothing(game, policy, i);
    }
    if (sum != given || given > game->total_uj)
        return "parts do not add up to what was given";
    if ((policy == IDLE_EQUAL || policy == IDLE_PROPORTIONAL) && given != (anybody ? game->total_uj : 0))
        return "energy is left though somebody pays";
    /* twins: exactly the same weight, hence within 1 uJ; a double has 53 bits of the energy */
    double slack = 1.0 + (double)game->total_uj * 0x1p-50;
    if (game->in.n > 1 && fabs((double)uj[0] - (double)uj[1]) > slack)
        return "twins pay different amounts";
    return NULL;
}

static const char *check_cells(const struct game *game)
{
    uint64_t player_uj[PLAYERS_MAX], weight[CELLS_MAX] = {0}, sums[2 * PLAYERS_MAX], uj[CELLS_MAX];
    uint32_t group[CELLS_MAX] = {0};
    size_t n = game->in.n, n_cells = rnd_below(CELLS_MAX + 1);
    u128 by_player[PLAYERS_MAX] = {0}, sum = 0;
    bool has_cell[PLAYERS_MAX] = {false};

    for (size_t i = 0; i < n; i++)
        player_uj[i] = game->reserved[i] / 64; /* 64 of them fit */
    for (size_t i = 0; i < n_cells; i++) {
        weight[i] = rnd_size(rnd_below(8) ? 50 : 64);
        group[i] = rnd_below(6) ? (uint32_t)rnd_below(PLAYERS_MAX) : UINT32_MAX;
        if (group[i] < n)
            has_cell[group[i]] = true;
    }
    uint64_t given = idle_to_cells(player_uj, n, group, weight, n_cells, sums, uj);
    for (size_t i = 0; i < n_cells; i++) {
        sum += uj[i];
        if (group[i] < n)
            by_player[group[i]] += uj[i];
        else if (uj[i])
            return "a cell of nobody gets something";
    }
    for (size_t i = 0; i < n; i++) {
        if (by_player[i] != (has_cell[i] ? player_uj[i] : 0))
            return "a player's cells do not add up to its part";
    }
    return sum == given ? NULL : "cells do not add up to what was given";
}

static const char *check_board(void)
{
    struct gpu_instance instances[INSTANCES_MAX];
    struct gpu_user users[CELLS_MAX];
    struct gpu_board board = {
        .energy_uj = rnd_size(64),
        .window_ns = rnd_size(64),
        .idle_uw = rnd_below(2) ? 0 : rnd_size(40),
        .sms = rnd_size(rnd_below(8) ? 8 : 64),
        .instances = instances,
        .n_instances = rnd_below(INSTANCES_MAX + 1),
        .users = users,
        .n_users = rnd_below(CELLS_MAX + 1),
    };
    uint64_t uj[CELLS_MAX];
    struct gpu_result result;
    u128 sum = 0;

    for (size_t k = 0; k < board.n_instances; k++)
        instances[k] = (struct gpu_instance){.sms = rnd_size(rnd_below(8) ? 7 : 64), .held = rnd(), .running = rnd()};
    for (size_t i = 0; i < board.n_users; i++) {
        users[i] = (struct gpu_user){
            .instance = (uint32_t)rnd_below(INSTANCES_MAX + 1),
            .limit_ppm = rnd_below(2) ? 0 : (uint32_t)rnd_size(32),
            .utilisation_ppm = (uint32_t)rnd_size(rnd_below(8) ? 20 : 32),
            .holds = rnd_below(2),
        };
    }
    gpu_share(&board, uj, &result);
    for (size_t i = 0; i < board.n_users; i++) {
        sum += uj[i];
        if (uj[i] && users[i].instance >= board.n_instances)
            return "a user of no instance gets something";
        if (uj[i] && !users[i].holds && users[i].utilisation_ppm == 0)
            return "a user that neither runs nor holds gets something";
    }
    if (sum + result.idle_left_uj + result.residual_uj != board.energy_uj)
        return "users + idle + residual are not the board";
    if (result.active_uj + result.idle_uj != board.energy_uj || result.idle_left_uj > result.idle_uj)
        return "parts of the board do not fit";
    return NULL;
}

/* v(S) = 1 - product(1 - p), the cost of somebody being there. */
static double cost_or(const uint64_t *set, size_t n, void *arg)
{
    const double *presence = arg;
    double nobody = 1.0;

    for (size_t i = 0; i < n; i++) {
        if (set[i / 64] >> i % 64 & 1)
            nobody *= 1.0 - presence[i];
    }
    return 1.0 - nobody;
}

static const char *check_shapley(const struct game *game)
{
    double formula[PLAYERS_MAX], sets[SHAPLEY_EXACT_MAX], presence[PLAYERS_MAX], sum = 0.0;
    size_t n = game->in.n, few = n < 8 ? n : 8;

    memcpy(presence, game->presence, sizeof(presence));
    double whole = shapley_or(presence, n, formula);
    for (size_t i = 0; i < n; i++) {
        sum += formula[i];
        if (!(formula[i] >= 0.0 && formula[i] <= presence[i] + 1e-12) || (presence[i] == 0.0 && formula[i] > 0.0))
            return "a Shapley value outside its bounds";
    }
    if (fabs(sum - whole) > 1e-12)
        return "Shapley values do not add up";
    shapley_or(presence, few, formula);
    if (shapley_exact(cost_or, few, presence, sets) < 0)
        return "the exact value is refused";
    for (size_t i = 0; i < few; i++) {
        if (fabs(formula[i] - sets[i]) > 1e-9)
            return "the formula is not the value over all sets";
    }
    return NULL;
}

int main(void)
{
    static struct game game;
    uint64_t seed = 0x1d1eULL, rounds = ROUNDS_DEFAULT;

    if (property_settings(&seed, &rounds) < 0)
        return 64;
    for (uint64_t round = 0; round < rounds; round++) {
        const char *bad = NULL;

        game_random(&game);
        for (int policy = IDLE_NONE; !bad && policy < IDLE_POLICIES_ALL; policy++) {
            bad = check_policy(&game, (enum idle_policy)policy);
            if (bad)
                printf("policy %s: ", idle_policy_all_names[policy]);
        }
        if (!bad)
            bad = check_cells(&game);
        if (!bad)
            bad = check_board();
        if (!bad && round % 16 == 0)
            bad = check_shapley(&game);
        if (bad) {
            printf("round %" PRIu64 ": %s (energy %" PRIu64 ", %zu players)\n", round, bad, game.total_uj, game.in.n);
            return 1;
        }
    }
    printf("%" PRIu64 " games under every policy\n", rounds);
    return 0;
}
