/* SPDX-License-Identifier: Apache-2.0 */
/* See update_grid.h. Keeps the changes that a later power may begin at, the oldest first. */
#include "attribution/update_grid.h"

#include "model/quantity.h"

/* b / (4 * b): a quarter. More would hide more of what is short, less would show more of what is not there. */
#define SPAN_UPDATES 4

void update_grid_init(struct update_grid *grid, uint64_t span_ns, bool continuous)
{
    *grid = (struct update_grid){.span_ns = span_ns, .continuous = continuous};
}

uint64_t update_grid_span_ns(uint64_t reading_interval_ns, uint64_t update_interval_ns)
{
    return SPAN_UPDATES * min_u64(reading_interval_ns, update_interval_ns);
}

static size_t at(const struct update_grid *grid, size_t i)
{
    return (grid->first + i) % UPDATE_GRID_KEPT;
}

static void drop_first(struct update_grid *grid)
{
    grid->first = at(grid, 1);
    grid->n--;
}

/* The power from the youngest change that is at least a span old. Older ones can begin no later power. */
static void take_power(struct update_grid *grid, uint64_t t_ns, uint64_t energy_uj, struct update_step *step)
{
    while (grid->n > 1 && t_ns - grid->changes[at(grid, 1)].t_ns >= grid->span_ns)
        drop_first(grid);
    if (grid->n == 0)
        return;
    step->since_ns = grid->changes[at(grid, grid->n - 1)].t_ns;
    step->from_ns = grid->changes[grid->first].t_ns;
    bool is_short = t_ns - step->from_ns < grid->span_ns && grid->n < UPDATE_GRID_KEPT;
    if (t_ns == step->from_ns || is_short) /* two readings at one time have no power between them */
        return;
    step->has_power = true;
    step->power_uw = power_uw(energy_uj - grid->changes[grid->first].energy_uj, t_ns - step->from_ns);
}

static void remember(struct update_grid *grid, uint64_t t_ns, uint64_t energy_uj)
{
    if (grid->n == UPDATE_GRID_KEPT)
        drop_first(grid);
    grid->n++;
    grid->changes[at(grid, grid->n - 1)].t_ns = t_ns;
    grid->changes[at(grid, grid->n - 1)].energy_uj = energy_uj;
}

void update_grid_step(struct update_grid *grid, uint64_t t_ns, uint64_t energy_uj, struct update_step *ret_step)
{
    bool was_primed = grid->primed;

    *ret_step = (struct update_step){.changed = was_primed && energy_uj != grid->last_uj};
    grid->last_uj = energy_uj;
    grid->primed = true;
    if (ret_step->changed)
        take_power(grid, t_ns, energy_uj, ret_step);
    if (ret_step->changed || (!was_primed && grid->continuous))
        remember(grid, t_ns, energy_uj);
}

void update_grid_break(struct update_grid *grid)
{
    grid->primed = false;
    grid->n = 0;
}
