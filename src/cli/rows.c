/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of `carnot top`. A flat list is a forest without branches, so there is one way through here: nodes, sums from
 * the leaves up, one sort, sibling lists, a walk. */
#include "cli/rows.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/u64map.h"

#define ROWS_ARENA_MAX (256U << 20) /* 200,000 units and their ancestors, 200 bytes each, six times over */
#define TREE_DEPTH_MAX 32           /* deeper cgroups stand at this depth: indentation would fill the line */
#define NO_NODE        UINT32_MAX

const char *const rows_by_names[] = {"process", "cgroup", "user", NULL};
const char *const rows_sort_names[] = {"power", "energy", "cpu", "pid", "name", NULL};

struct node {
    struct row row; /* sums of itself and all below */
    uint32_t parent, first_child, next;
    bool kept; /* it, or something below it, passes the filter */
};

struct forest {
    struct arena *arena;
    const struct view *view;
    const struct rows_options *options;
    struct node *nodes;
    uint32_t n, cap;
    uint32_t first_root;
    struct u64map index; /* path or uid -> node */
};

enum unit_kind rows_kind(int by)
{
    static const enum unit_kind kinds[] = {
        [ROWS_PROCESS] = UNIT_PROCESS, [ROWS_CGROUP] = UNIT_CGROUP, [ROWS_USER] = UNIT_USER};

    return kinds[by];
}

static const char *user_name(const struct view *view, uint32_t uid, struct arena *arena)
{
    char digits[24];

    if (uid == UINT32_MAX)
        return "";
    for (size_t i = 0; i < view->n_units; i++)
        if (view->units[i].kind == UNIT_USER && view->units[i].uid == uid && view->units[i].name[0])
            return view->units[i].name;
    return arena_strndup(arena, digits, format_u64(digits, uid));
}

static int new_node(struct forest *f, uint32_t parent, uint32_t *ret)
{
    struct node *node;

    if (f->n == f->cap)
        return -ENOMEM;
    node = &f->nodes[f->n];
    *node = (struct node){.parent = parent, .first_child = NO_NODE, .next = NO_NODE};
    node->row.depth = parent == NO_NODE ? 0 : f->nodes[parent].row.depth + 1;
    if (node->row.depth > TREE_DEPTH_MAX)
        node->row.depth = TREE_DEPTH_MAX;
    *ret = f->n++;
    return 0;
}

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

/* The node of the cgroup path[0..len), made with its ancestors where absent: ancestors have smaller indices. */
static int node_of_path(struct forest *f, const char *path, size_t len, uint32_t *ret)
{
    uint32_t parent = NO_NODE, found = NO_NODE;
    size_t end = 1;

    for (;;) {
        uint64_t key = hash_bytes(path, end, 0);

        found = u64map_get(&f->index, key);
        if (found == U64MAP_NONE) {
            char *own = arena_strndup(f->arena, path, end);
            int r = own ? new_node(f, parent, &found) : -ENOMEM;

            if (r >= 0)
                r = u64map_put(&f->index, key, found);
            if (r < 0)
                return r;
            f->nodes[found].row.name = last_component(own);
            f->nodes[found].row.user = "";
        }
        if (end >= len)
            break;
        parent = found;
        end += path[end] == '/';
        while (end < len && path[end] != '/')
            end++;
    }
    *ret = found;
    return 0;
}

static int node_of_user(struct forest *f, const struct view_unit *unit, uint32_t *ret)
{
    uint32_t found = u64map_get(&f->index, unit->uid);

    if (found == U64MAP_NONE) {
        int r = new_node(f, NO_NODE, &found);

        if (r >= 0)
            r = u64map_put(&f->index, unit->uid, found);
        if (r < 0)
            return r;
        f->nodes[found].row.user = user_name(f->view, unit->uid, f->arena);
        if (!f->nodes[found].row.user)
            return -ENOMEM;
        f->nodes[found].row.name = f->nodes[found].row.user[0] ? f->nodes[found].row.user : "(no user)";
    }
    *ret = found;
    return 0;
}

static int add_unit(struct forest *f, const struct view_unit *unit)
{
    uint32_t parent = NO_NODE, at;
    struct row *row;
    int r;

    if (f->options->tree && f->options->by == ROWS_CGROUP && unit->path[0] == '/') {
        r = node_of_path(f, unit->path, strlen(unit->path), &at);
        if (r < 0)
            return r;
        if (f->nodes[at].row.unit) /* a second unit of the same path (the first has ended): beside it */
            r = new_node(f, f->nodes[at].parent, &at);
    } else {
        r = f->options->tree && f->options->by == ROWS_PROCESS ? node_of_user(f, unit, &parent) : 0;
        if (r >= 0)
            r = new_node(f, parent, &at);
    }
    if (r < 0)
        return r;
    row = &f->nodes[at].row;
    row->unit = unit;
    if (!row->name || f->options->by != ROWS_CGROUP)
        row->name = unit->name[0] ? unit->name : unit->path;
    row->user = user_name(f->view, unit->uid, f->arena);
    row->window_uj = unit->total_window_uj;
    row->energy_uj = unit->total_energy_uj;
    row->window_cpu_ns = unit->window_cpu_ns;
    return row->user ? 0 : -ENOMEM;
}

/* Ancestors of paths: every '/' may begin one. */
static uint64_t count_nodes(const struct view *view, const struct rows_options *options)
{
    uint64_t n = 0;

    for (size_t i = 0; i < view->n_units; i++) {
        const struct view_unit *unit = &view->units[i];

        if (unit->kind != rows_kind(options->by))
            continue;
        n += 2; /* itself, its user or the root */
        for (const char *p = unit->path; options->tree && options->by == ROWS_CGROUP && *p; p++)
            n += *p == '/';
    }
    return n;
}

static bool contains(const char *text, const char *part)
{
    return text && strcasestr(text, part);
}

static bool passes(const struct row *row, const char *filter)
{
    const struct view_unit *unit = row->unit;
    char pid[24];

    if (!filter || !filter[0])
        return true;
    if (contains(row->name, filter) || contains(row->user, filter))
        return true;
    if (!unit)
        return false;
    pid[format_u64(pid, unit->pid)] = '\0';
    return contains(unit->path, filter) || contains(unit->type, filter) || contains(unit->manager, filter) ||
           (unit->pid && !strcmp(pid, filter));
}

/* Children have larger indices than their parents: from the end, every sum is complete when it is handed up. */
static void sum_up(struct forest *f)
{
    for (uint32_t i = f->n; i-- > 0;) {
        struct node *node = &f->nodes[i];

        node->kept |= passes(&node->row, f->options->filter);
        if (node->parent == NO_NODE)
            continue;
        struct node *parent = &f->nodes[node->parent];
        parent->kept |= node->kept;
        parent->row.window_uj = saturating_add(parent->row.window_uj, node->row.window_uj);
        parent->row.energy_uj = saturating_add(parent->row.energy_uj, node->row.energy_uj);
        parent->row.window_cpu_ns = saturating_add(parent->row.window_cpu_ns, node->row.window_cpu_ns);
    }
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_nodes(const void *left, const void *right, void *userdata)
{
    const struct forest *f = userdata;
    const uint32_t i = *(const uint32_t *)left, j = *(const uint32_t *)right;
    const struct row *a = &f->nodes[i].row, *b = &f->nodes[j].row;
    int order = 0;

    switch ((enum rows_sort)f->options->sort) {
    case ROWS_POWER:
        order = compare_u64(b->window_uj, a->window_uj);
        break;
    case ROWS_ENERGY:
        order = compare_u64(b->energy_uj, a->energy_uj);
        break;
    case ROWS_CPU:
        order = compare_u64(b->window_cpu_ns, a->window_cpu_ns);
        break;
    case ROWS_PID:
        order = compare_u64(a->unit ? a->unit->pid : 0, b->unit ? b->unit->pid : 0);
        break;
    case ROWS_NAME:
        order = strcmp(a->name, b->name);
        break;
    case ROWS_SORTS:
        break;
    }
    if (f->options->reverse)
        order = -order;
    /* Equal rows keep one order from window to window: a screen that shuffles cannot be read. */
    if (order == 0)
        order = compare_u64(b->energy_uj, a->energy_uj);
    if (order == 0)
        order = strcmp(a->name, b->name);
    return order ? order : compare_u64(i, j);
}

static int link_sorted(struct forest *f)
{
    uint32_t *order = arena_alloc_array(f->arena, f->n, sizeof(*order));

    if (!order)
        return -ENOMEM;
    for (uint32_t i = 0; i < f->n; i++)
        order[i] = i;
    qsort_r(order, f->n, sizeof(*order), compare_nodes, f);
    f->first_root = NO_NODE;
    for (uint32_t i = f->n; i-- > 0;) { /* from the last, each put in front: the lists come out in order */
        struct node *node = &f->nodes[order[i]];
        uint32_t *head = node->parent == NO_NODE ? &f->first_root : &f->nodes[node->parent].first_child;

        node->next = *head;
        *head = order[i];
    }
    return 0;
}

/* Depth first without recursion: the deepest path that somebody made is not ours to bound. */
static int walk(struct forest *f, size_t n_units, struct rows *ret)
{
    size_t most = f->options->max_rows && f->options->max_rows < f->n ? f->options->max_rows : f->n;
    uint64_t window_uj = 0, energy_uj = 0;
    size_t shown_units = 0;
    uint32_t at = f->first_root;

    ret->rows = arena_alloc_array(f->arena, most, sizeof(*ret->rows));
    if (!ret->rows)
        return -ENOMEM;
    while (at != NO_NODE) {
        const struct node *node = &f->nodes[at];

        if (node->kept && ret->n < most) {
            ret->rows[ret->n++] = node->row;
            shown_units += node->row.unit != NULL;
            if (node->parent == NO_NODE) {
                window_uj = saturating_add(window_uj, node->row.window_uj);
                energy_uj = saturating_add(energy_uj, node->row.energy_uj);
            }
        }
        if (node->kept && node->first_child != NO_NODE) {
            at = node->first_child;
            continue;
        }
        while (at != NO_NODE && f->nodes[at].next == NO_NODE)
            at = f->nodes[at].parent;
        if (at != NO_NODE)
            at = f->nodes[at].next;
    }

    ret->n_hidden = n_units - shown_units + f->view->truncated;
    for (int e = 0; e < ENTITIES; e++) {
        window_uj = saturating_add(window_uj, f->view->total_entity_window_uj[e]);
        energy_uj = saturating_add(energy_uj, f->view->total_entity_uj[e]);
    }
    ret->hidden_window_uj = f->view->total_window_uj > window_uj ? f->view->total_window_uj - window_uj : 0;
    ret->hidden_energy_uj = f->view->total_energy_uj > energy_uj ? f->view->total_energy_uj - energy_uj : 0;
    return 0;
}

int rows_build(const struct view *view, const struct rows_options *options, struct rows *ret)
{
    struct forest f = {.arena = &ret->arena, .view = view, .options = options};
    uint64_t cap = count_nodes(view, options);
    size_t n_units = 0;
    int r = 0;

    *ret = (struct rows){0};
    arena_init(&ret->arena, ROWS_ARENA_MAX);
    if (cap >= NO_NODE)
        return -ENOMEM;
    f.cap = (uint32_t)cap;
    f.nodes = arena_alloc_array(&ret->arena, cap, sizeof(*f.nodes));
    if (!f.nodes)
        return -ENOMEM;
    for (size_t i = 0; i < view->n_units && r >= 0; i++) {
        if (view->units[i].kind != rows_kind(options->by))
            continue;
        n_units++;
        r = add_unit(&f, &view->units[i]);
    }
    u64map_done(&f.index);
    if (r < 0)
        return r;
    sum_up(&f);
    r = link_sorted(&f);
    return r < 0 ? r : walk(&f, n_units, ret);
}

void rows_done(struct rows *rows)
{
    arena_done(&rows->arena);
}
