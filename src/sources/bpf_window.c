/* SPDX-License-Identifier: Apache-2.0 */
/* Growing arrays of tasks and rests; knows no table of the kernel. */
#include "sources/bpf_window.h"

#include <string.h>

#define TASKS_FIRST 1024 /* tasks that run in a window on a small machine; doubled as needed */
#define RESTS_FIRST 64

void bpf_window_init(struct bpf_window *window, uint32_t n_columns)
{
    *window = (struct bpf_window){.n_columns = n_columns};
}

void bpf_window_done(struct bpf_window *window)
{
    free(window->tasks);
    free(window->task_ns);
    free(window->rests);
    free(window->rest_ns);
    u64map_done(&window->rest_of);
    *window = (struct bpf_window){0};
}

void bpf_window_reset(struct bpf_window *window)
{
    window->n_tasks = window->n_rests = window->n_ended = 0;
    u64map_clear(&window->rest_of);
}

/* Grows two arrays that go together; on failure what was there stays valid. */
static bool grow(void **items, size_t item_size, uint64_t **ns, uint32_t n_columns, size_t *cap, size_t first)
{
    size_t want = *cap ? *cap * 2 : first;
    void *more = reallocarray(*items, want, item_size);
    uint64_t *more_ns;

    if (!more)
        return false;
    *items = more;
    more_ns = reallocarray(*ns, want, n_columns * sizeof(uint64_t));
    if (!more_ns)
        return false;
    *ns = more_ns;
    *cap = want;
    return true;
}

uint64_t *bpf_window_room(struct bpf_window *window)
{
    void *tasks = window->tasks;
    bool ok = window->n_tasks < window->cap_tasks || grow(&tasks, sizeof(*window->tasks), &window->task_ns,
                                                          window->n_columns, &window->cap_tasks, TASKS_FIRST);

    window->tasks = tasks;
    return ok ? window->task_ns + window->n_tasks * window->n_columns : NULL;
}

void bpf_window_put(struct bpf_window *window, const struct activity_task *task)
{
    window->tasks[window->n_tasks++] = *task;
}

uint64_t *bpf_window_rest(struct bpf_window *window, uint32_t cgroup, uint32_t session)
{
    uint64_t key = (uint64_t)cgroup << 32 | session;
    uint32_t at = u64map_get(&window->rest_of, key);
    void *rests = window->rests;
    uint64_t *ns;
    bool ok;

    if (at != U64MAP_NONE)
        return window->rest_ns + (size_t)at * window->n_columns;
    ok = window->n_rests < window->cap_rests ||
         grow(&rests, sizeof(*window->rests), &window->rest_ns, window->n_columns, &window->cap_rests, RESTS_FIRST);
    window->rests = rests;
    if (!ok || u64map_put(&window->rest_of, key, (uint32_t)window->n_rests) < 0)
        return NULL;
    ns = window->rest_ns + window->n_rests * window->n_columns;
    memset(ns, 0, window->n_columns * sizeof(*ns));
    window->rests[window->n_rests++] = (struct activity_rest){.cgroup = cgroup, .session = session};
    return ns;
}

void bpf_window_seal(struct bpf_window *window)
{
    for (size_t i = 0; i < window->n_tasks; i++)
        window->tasks[i].ns = window->task_ns + i * window->n_columns;
    for (size_t i = 0; i < window->n_rests; i++)
        window->rests[i].ns = window->rest_ns + i * window->n_columns;
}
