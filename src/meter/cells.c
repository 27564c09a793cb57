/* SPDX-License-Identifier: Apache-2.0 */
/* See cells.h. */
#include "meter/cells.h"

#include <errno.h>

#include "attribution/split.h"

#define CELLS_FIRST 256

void cells_done(struct cells *cells)
{
    free(cells->cells);
    free(cells->bucket_ns);
    free(cells->group);
    u64map_done(&cells->by_key);
    *cells = (struct cells){0};
}

static int grow(struct cells *cells)
{
    uint32_t cap = cells->cap ? cells->cap * 2 : CELLS_FIRST;
    struct cell *cell;
    uint64_t *bucket_ns;
    uint32_t *group;

    if (cap > CELLS_MAX)
        return -E2BIG;
    cell = realloc(cells->cells, cap * sizeof *cell);
    if (!cell)
        return -ENOMEM;
    cells->cells = cell;
    bucket_ns = realloc(cells->bucket_ns, (size_t)cap * cells->n_columns * sizeof *bucket_ns);
    if (!bucket_ns)
        return -ENOMEM;
    cells->bucket_ns = bucket_ns;
    group = realloc(cells->group, cap * sizeof *group);
    if (!group)
        return -ENOMEM;
    cells->group = group;
    cells->cap = cap;
    return 0;
}

/* The cell of these owners, made at need. Two tasks of one process in one cgroup and session share a cell. */
static int cell_of(struct cells *cells, const struct cell *want)
{
    const uint32_t id[] = {want->owner, want->process, want->cgroup, want->session_unit};
    uint64_t key = hash_bytes(id, sizeof id, 0);
    uint32_t index = u64map_get(&cells->by_key, key);
    int r;

    if (index != U64MAP_NONE)
        return (int)index;
    if (cells->n == cells->cap) {
        r = grow(cells);
        if (r < 0)
            return r;
    }
    r = u64map_put(&cells->by_key, key, cells->n);
    if (r < 0)
        return r;
    cells->cells[cells->n] = *want;
    cells->cells[cells->n].cpu_ns = 0;
    cells->group[cells->n] = want->owner == CELL_UNITS ? want->cgroup : SPLIT_NO_GROUP;
    memset(cells->bucket_ns + (size_t)cells->n * cells->n_columns, 0, cells->n_columns * sizeof(uint64_t));
    return (int)cells->n++;
}

static uint64_t sum_ns(const uint64_t *ns, uint32_t n)
{
    uint64_t sum = 0;

    for (uint32_t b = 0; b < n; b++)
        sum += ns[b];
    return sum;
}

/* Time without an owner is kept apart, so that nobody else pays for it. */
static void lose_time(struct cells *cells, const uint64_t *ns)
{
    cells->lost_ns += sum_ns(ns, cells->n_buckets);
    for (uint32_t b = 0; b < cells->n_columns; b++)
        cells->bucket_ns[b] += ns[b];
}

static void add_to_cell(struct cells *cells, uint32_t index, const uint64_t *ns)
{
    uint64_t *sum = cells->bucket_ns + (size_t)index * cells->n_columns;

    for (uint32_t b = 0; b < cells->n_columns; b++)
        sum[b] += ns[b];
    cells->cells[index].cpu_ns += sum_ns(ns, cells->n_buckets);
}

/* Returns the cell, or -ENOMEM when the time was lost to the residual. */
static int add_time(struct cells *cells, const struct cell *want, const uint64_t *ns)
{
    int index = cell_of(cells, want);

    if (index < 0)
        lose_time(cells, ns);
    else
        add_to_cell(cells, (uint32_t)index, ns);
    return index;
}

static uint32_t session_unit(const struct unit_table *table, uint32_t session)
{
    int index = session ? unit_table_find_session(table, session) : -ENOENT;

    return index < 0 ? UNIT_NO_INDEX : (uint32_t)index;
}

/* Fills the cgroup and user of a cell. A cgroup or user that cannot be made is a lack of memory: negative. */
static int own(struct unit_table *table, struct cell *cell, uint32_t cgroup, uint32_t uid, uint64_t now_real_ns)
{
    int cgroup_unit = unit_table_cgroup(table, cgroup, now_real_ns);
    int user = unit_table_user(table, uid, now_real_ns);

    if (cgroup_unit < 0 || user < 0)
        return -ENOMEM;
    cell->cgroup = cgroup;
    cell->cgroup_unit = (uint32_t)cgroup_unit;
    cell->user = (uint32_t)user;
    return 0;
}

/* The process of a task. One that was born and ended since the last window is not kept singly: under a fork storm that
 * would be thousands of units that nobody ever sees again, so they share a unit per name, cgroup and user. */
static int process_of(struct unit_table *table, const struct activity_task *task, const struct cells_window *window)
{
    int index = unit_table_find_process(table, task->pid, task->start_boot_ns);
    bool ended = task->flags & TASK_PROCESS_ENDED;

    if (index < 0 && (task->flags & TASK_ENDED))
        return unit_table_aggregate(table, task->cgroup, task->uid, task->comm, window->now_real_ns);
    index = unit_table_process(table, task->pid, task->start_boot_ns, task->start_boot_ns + window->boot_to_real_ns,
                               task->cgroup, task->uid, task->comm);
    if (index == -E2BIG || index == -ENOMEM)
        return unit_table_aggregate(table, task->cgroup, task->uid, NULL, window->now_real_ns);
    if (index >= 0 && ended && !table->units[index].ended_seq) {
        table->units[index].flags |= UNIT_ENDED;
        table->units[index].ended_seq = window->seq;
    }
    return index;
}

/* Threads of one process come mostly one after another: the cell of the task before will do for this one too. */
static bool same_cell(const struct activity_task *a, const struct activity_task *b)
{
    return a->pid == b->pid && a->start_boot_ns == b->start_boot_ns && a->cgroup == b->cgroup &&
           a->session == b->session && a->uid == b->uid && a->flags == 0 && b->flags == 0;
}

/* Returns the task's cell, or negative when its time was lost to the residual. */
static int add_task(struct cells *cells, struct unit_table *table, const struct activity_task *task,
                    const struct cells_window *window)
{
    struct cell cell = {.session_unit = session_unit(table, task->session), .cgroup = task->cgroup};
    int process;

    if (task->flags & TASK_KERNEL) {
        cell.owner = CELL_KERNEL;
    } else if (task->flags & TASK_MONITOR) {
        cell.owner = CELL_MONITOR;
    } else {
        process = process_of(table, task, window);
        if (process < 0 || own(table, &cell, task->cgroup, task->uid, window->now_real_ns) < 0) {
            lose_time(cells, task->ns);
            return -ENOMEM;
        }
        cell.process = (uint32_t)process;
        table->units[process].cgroup_unit_id = table->units[cell.cgroup_unit].id;
    }
    return add_time(cells, &cell, task->ns);
}

static void add_tasks(struct cells *cells, struct unit_table *table, const struct activity_window *activity, bool ended,
                      const struct cells_window *window)
{
    const struct activity_task *last = NULL;
    int index = -ENOENT;

    for (size_t i = 0; i < activity->n_tasks; i++) {
        const struct activity_task *task = &activity->tasks[i];

        if (!!(task->flags & TASK_ENDED) != ended)
            continue;
        if (index >= 0 && same_cell(last, task))
            add_to_cell(cells, (uint32_t)index, task->ns);
        else
            index = add_task(cells, table, task, window);
        last = task;
    }
}

static void add_rest(struct cells *cells, struct unit_table *table, const struct activity_rest *rest,
                     const struct cells_window *window)
{
    struct cell cell = {.session_unit = session_unit(table, rest->session)};
    int cgroup_unit = unit_table_cgroup(table, rest->cgroup, window->now_real_ns);
    uint32_t uid = cgroup_unit < 0 ? UNIT_UID_UNKNOWN : table->units[cgroup_unit].uid;
    int process = unit_table_aggregate(table, rest->cgroup, uid, NULL, window->now_real_ns);

    if (process < 0 || own(table, &cell, rest->cgroup, uid, window->now_real_ns) < 0) {
        lose_time(cells, rest->ns);
        return;
    }
    cell.process = (uint32_t)process;
    add_time(cells, &cell, rest->ns);
}

int cells_build(struct cells *cells, struct unit_table *table, const struct activity_window *activity,
                uint32_t n_buckets, const struct cells_window *window)
{
    uint32_t n_columns = activity->n_columns > n_buckets ? activity->n_columns : n_buckets;

    if (cells->n_buckets != n_buckets || cells->n_columns != n_columns) {
        cells_done(cells);
        cells->n_buckets = n_buckets;
        cells->n_columns = n_columns;
    }
    cells->n = 0;
    cells->lost_ns = 0;
    u64map_clear(&cells->by_key);
    if (cell_of(cells, &(struct cell){.owner = CELL_RESIDUAL, .session_unit = UNIT_NO_INDEX}) < 0)
        return -ENOMEM;
    /* The living first: they make the units of their processes, in which threads that ended then find themselves. */
    add_tasks(cells, table, activity, false, window);
    add_tasks(cells, table, activity, true, window);
    for (size_t i = 0; i < activity->n_rests; i++)
        add_rest(cells, table, &activity->rests[i], window);
    return cells->lost_ns ? 1 : 0;
}
