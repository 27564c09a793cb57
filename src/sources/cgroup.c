/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of control groups: its entries, by index, id and path. Knows which cgroups there are; refuses to know
 * processes, names' meanings, or what the time is used for.
 *
 * Holds one descriptor (the hierarchy's root) and at most one more while it works. Entries stand in one array that
 * never moves, untouched pages of which cost nothing; each path is an allocation of its own length. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "sources/cgroup_internal.h"
#include "sources/cgroup_locate.h"

#define PROC_CGROUP_MAX (64U * 1024) /* 14 hierarchies with a path each */

static uint64_t path_hash(const char *path)
{
    return hash_bytes(path, strlen(path), 0);
}

static unsigned path_depth(const char *path)
{
    unsigned depth = 0;

    for (const char *p = path; *p; p++)
        depth += *p == '/' && p[1] != '\0';
    return depth;
}

/* "/", or "/a/b": no empty, "." or ".." part. */
static bool path_is_clean(const char *path)
{
    struct text rest = text_of(path), part;

    if (path[0] != '/')
        return false;
    if (path[1] == '\0')
        return true;
    rest.p++;
    rest.n--;
    if (text_ends(rest, "/"))
        return false;
    while (scan_until(&rest, '/', &part)) {
        if (part.n == 0 || text_is(part, ".") || text_is(part, ".."))
            return false;
    }
    return true;
}

uint32_t cgroup_tree_find_path(const struct cgroup_tree *tree, const char *path)
{
    uint32_t index = u64map_get(&tree->by_path, path_hash(path));

    if (index != U64MAP_NONE && strcmp(tree->entries[index].path, path) == 0)
        return index;
    if (!tree->collided)
        return CGROUP_NONE;
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct cgroup_entry *e = &tree->entries[i];
        if (e->cgroup.live && !e->cgroup.gone && strcmp(e->path, path) == 0)
            return i;
    }
    return CGROUP_NONE;
}

uint32_t cgroup_tree_find_nearest(const struct cgroup_tree *tree, const char *path)
{
    char copy[CGROUP_PATH_MAX];
    size_t len = strnlen(path, sizeof(copy) - 1); /* longer ones are in no entry, their ancestors may be */

    memcpy(copy, path, len);
    copy[len] = '\0';
    while (copy[0] == '/' && copy[1]) {
        uint32_t index = cgroup_tree_find_path(tree, copy);
        if (index != CGROUP_NONE)
            return index;
        *strrchr(copy, '/') = '\0';
    }
    return CGROUP_ROOT;
}

static void unmap_path(struct cgroup_tree *tree, uint32_t index)
{
    uint64_t hash = path_hash(tree->entries[index].path);

    if (u64map_get(&tree->by_path, hash) == index)
        u64map_remove(&tree->by_path, hash);
}

static int map_path(struct cgroup_tree *tree, uint32_t index)
{
    uint64_t hash = path_hash(tree->entries[index].path);
    uint32_t other = u64map_get(&tree->by_path, hash);

    if (other != U64MAP_NONE && other != index && strcmp(tree->entries[other].path, tree->entries[index].path) != 0) {
        tree->collided = true;
        return 0;
    }
    return u64map_put(&tree->by_path, hash, index);
}

/* The one that has rested longest may be used again. */
static void end_rest(struct cgroup_tree *tree)
{
    uint32_t index = tree->resting[tree->resting_first];

    tree->resting_first = (tree->resting_first + 1) % CGROUP_RESTING;
    tree->n_resting--;
    tree->entries[index].resting = false;
    if (index < tree->free_hint)
        tree->free_hint = index;
}

/* The lowest that has rested: loops over all entries stay short. */
static uint32_t take_index(struct cgroup_tree *tree)
{
    if (tree->free_hint == CGROUPS_MAX && tree->n_resting)
        end_rest(tree);
    for (uint32_t i = tree->free_hint; i < CGROUPS_MAX; i++) {
        if (tree->entries[i].cgroup.live || tree->entries[i].resting)
            continue;
        tree->free_hint = i + 1;
        if (i >= tree->count)
            tree->count = i + 1;
        return i;
    }
    tree->free_hint = CGROUPS_MAX;
    return tree->n_resting ? take_index(tree) : CGROUP_NONE;
}

static void drop_index(struct cgroup_tree *tree, uint32_t index)
{
    if (tree->n_resting == CGROUP_RESTING)
        end_rest(tree);
    tree->entries[index] = (struct cgroup_entry){.resting = true};
    tree->resting[(tree->resting_first + tree->n_resting++) % CGROUP_RESTING] = index;
    while (tree->count && !tree->entries[tree->count - 1].cgroup.live)
        tree->count--;
}

/* A known id with another path: v1 allows to rename a cgroup, and file systems other than the kernel's reuse inodes. */
static int move_entry(struct cgroup_tree *tree, uint32_t index, const char *path)
{
    struct cgroup_entry *e = &tree->entries[index];
    char *copy = strdup(path);

    if (!copy)
        return -ENOMEM;
    unmap_path(tree, index);
    free(e->path);
    e->path = copy;
    e->cgroup.path = copy;
    return map_path(tree, index);
}

static int update_entry(struct cgroup_tree *tree, uint32_t index, const char *path, uint32_t parent)
{
    struct cgroup_entry *e = &tree->entries[index];
    int r = 0;

    if (strcmp(e->path, path) != 0) {
        if (e->cgroup.gone)
            e->cgroup.usage_ns = e->cgroup.usage_read_mono_ns = 0;
        r = move_entry(tree, index, path);
    } else if (e->cgroup.gone) {
        r = map_path(tree, index);
    }
    if (r < 0)
        return r;
    e->cgroup.gone = false;
    e->cgroup.parent = parent;
    e->depth = parent == CGROUP_NONE ? 0 : tree->entries[parent].depth + 1;
    return (int)index;
}

int cgroup_put_entry(struct cgroup_tree *tree, uint64_t id, const char *path, uint32_t parent)
{
    uint32_t index = u64map_get(&tree->by_id, id);

    if (index != U64MAP_NONE)
        return update_entry(tree, index, path, parent);

    /* Made anew under a name that was in use: its predecessor is gone. */
    uint32_t old = cgroup_tree_find_path(tree, path);
    if (old != CGROUP_NONE && old != CGROUP_ROOT)
        cgroup_tree_mark_gone(tree, old);

    _cleanup_free_ char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    index = take_index(tree);
    if (index == CGROUP_NONE)
        return -E2BIG;

    struct cgroup_entry *e = &tree->entries[index];
    *e = (struct cgroup_entry){.depth = parent == CGROUP_NONE ? 0 : tree->entries[parent].depth + 1,
                               .path = TAKE_PTR(copy)};
    e->cgroup = (struct cgroup){.id = id, .parent = parent, .path = e->path, .live = true};
    int r = u64map_put(&tree->by_id, id, index);
    if (r >= 0)
        r = map_path(tree, index);
    if (r < 0) {
        u64map_remove(&tree->by_id, id);
        free(e->path);
        drop_index(tree, index);
        return r;
    }
    return (int)index;
}

int cgroup_tree_add(struct cgroup_tree *tree, uint64_t id, const char *path)
{
    char own[CGROUP_PATH_MAX];

    if (id == 0 || !path_is_clean(path))
        return -EINVAL;
    int r = cgroup_parse_below(text_of(path), tree->mount_root, own, sizeof(own));
    if (r < 0)
        return r;
    if (path_depth(own) > CGROUP_DEPTH_MAX)
        return -E2BIG;
    if (own[1] == '\0') {
        /* There is one root. */
        return id == tree->entries[CGROUP_ROOT].cgroup.id ? CGROUP_ROOT : -EINVAL;
    }

    char *slash = strrchr(own, '/');
    *slash = '\0';
    uint32_t parent = cgroup_tree_find_nearest(tree, own);
    *slash = '/';
    /* A known id below itself: somebody's mistake, and a loop for everybody who goes up the tree. */
    for (uint32_t up = parent; up != CGROUP_NONE; up = tree->entries[up].cgroup.parent) {
        if (tree->entries[up].cgroup.id == id)
            return -EINVAL;
    }
    return cgroup_put_entry(tree, id, own, parent);
}

void cgroup_tree_mark_gone(struct cgroup_tree *tree, uint32_t index)
{
    struct cgroup_entry *e = cgroup_entry_of(tree, index);

    if (!e || index == CGROUP_ROOT || e->cgroup.gone)
        return;
    unmap_path(tree, index);
    e->cgroup.gone = true;
}

void cgroup_tree_release(struct cgroup_tree *tree, uint32_t index)
{
    struct cgroup_entry *e = cgroup_entry_of(tree, index);

    if (!e || !e->cgroup.gone)
        return;
    /* Its children are gone too, but may not have been released yet. */
    for (uint32_t i = 0; i < tree->count; i++) {
        if (tree->entries[i].cgroup.live && tree->entries[i].cgroup.parent == index)
            tree->entries[i].cgroup.parent = e->cgroup.parent;
    }
    u64map_remove(&tree->by_id, e->cgroup.id);
    free(e->path);
    drop_index(tree, index);
}

uint32_t cgroup_tree_count(const struct cgroup_tree *tree)
{
    return tree->count;
}

uint32_t cgroup_tree_dropped(const struct cgroup_tree *tree)
{
    return tree->dropped;
}

const struct cgroup *cgroup_tree_get(const struct cgroup_tree *tree, uint32_t index)
{
    const struct cgroup_entry *e = cgroup_entry_of(tree, index);

    return e ? &e->cgroup : NULL;
}

/* ---- opening ---- */

enum cgroup_hierarchy cgroup_tree_hierarchy(const struct cgroup_tree *tree)
{
    return tree->hierarchy;
}

const char *cgroup_tree_describe(const struct cgroup_tree *tree)
{
    return tree->describe;
}

int cgroup_tree_hierarchy_id(const struct cgroup_tree *tree)
{
    return tree->hierarchy_id;
}

struct cgroup_tree *cgroup_tree_close(struct cgroup_tree *tree)
{
    if (!tree)
        return NULL;
    for (uint32_t i = 0; i < tree->count; i++)
        free(tree->entries[i].path);
    free(tree->entries);
    u64map_done(&tree->by_id);
    u64map_done(&tree->by_path);
    if (tree->root_fd >= 0)
        close(tree->root_fd);
    free(tree->dir);
    free(tree->mount_root);
    free(tree);
    return NULL;
}

static void cleanup_treep(struct cgroup_tree **tree)
{
    cgroup_tree_close(*tree);
}

static void cleanup_placesp(struct cgroup_places *places)
{
    cgroup_places_done(places);
}

/* The kernel's number of the v1 hierarchy; 0 for v2 and when nobody tells. */
static int read_hierarchy_id(const struct carnot_env *env, enum cgroup_hierarchy hierarchy)
{
    _cleanup_free_ char *buf = hierarchy == CGROUP_V1 ? malloc(PROC_CGROUP_MAX) : NULL;
    struct text path;
    int id;

    if (!buf)
        return 0;
    ssize_t n = fsroot_read(&env->proc, "self/cgroup", buf, PROC_CGROUP_MAX, NULL);
    if (n < 0 || cgroup_parse_membership((struct text){buf, (size_t)n}, "cpuacct", &id, &path) < 0)
        return 0;
    return id;
}

static int open_tree(const struct carnot_env *env, enum cgroup_hierarchy hierarchy, struct cgroup_place *place,
                     bool hybrid, struct cgroup_tree **ret_tree, struct carnot_err *err)
{
    CLEANUP(cleanup_treep) struct cgroup_tree *tree = calloc(1, sizeof(*tree));
    struct statfs fs;
    struct stat st;

    if (!tree)
        return carnot_err_set(err, ENOMEM, "out of memory while opening the control groups");
    tree->env = env;
    tree->hierarchy = hierarchy;
    tree->hybrid = hybrid;
    tree->dir = TAKE_PTR(place->dir);
    tree->mount_root = TAKE_PTR(place->mount_root);
    tree->hierarchy_id = read_hierarchy_id(env, hierarchy);
    tree->root_fd = fsroot_openat(&env->cgroup, tree->dir, O_DIRECTORY, err);
    if (tree->root_fd < 0)
        return tree->root_fd;
    if (fstat(tree->root_fd, &st) < 0 || fstatfs(tree->root_fd, &fs) < 0)
        return carnot_err_errno(err, errno, "cannot look at %s/%s", env->cgroup.path, tree->dir);
    tree->dev = st.st_dev;
    tree->kernfs = fs.f_type == CGROUP2_SUPER_MAGIC || fs.f_type == CGROUP_SUPER_MAGIC;

    tree->entries = calloc(CGROUPS_MAX, sizeof(*tree->entries));
    if (!tree->entries)
        return carnot_err_set(err, ENOMEM, "out of memory while opening the control groups");
    int r = cgroup_put_entry(tree, st.st_ino, "/", CGROUP_NONE);
    if (r < 0)
        return carnot_err_set(err, -r, "out of memory while opening the control groups");
    snprintf(tree->describe, sizeof(tree->describe), "cgroup %s at %s%s", hierarchy == CGROUP_V2 ? "v2" : "v1 cpuacct",
             tree->dir[0] ? tree->dir : env->cgroup.path, hybrid ? " (hybrid)" : "");
    r = cgroup_tree_scan(tree, err);
    if (r < 0)
        return r;
    *ret_tree = TAKE_PTR(tree);
    return 0;
}

static int not_found(const struct carnot_env *env, enum cgroup_hierarchy want, struct carnot_err *err)
{
    static const char *const words[] = {
        [CGROUP_AUTO] = "cgroup hierarchy that counts CPU time",
        [CGROUP_V2] = "cgroup v2 hierarchy",
        [CGROUP_V1] = "cgroup v1 hierarchy with cpuacct",
    };

    return carnot_err_set(err, ENODEV,
                          "no %s is mounted below %s: mount one there, or name its place with --path.cgroupfs",
                          words[want], env->cgroup.path);
}

int cgroup_tree_open(const struct carnot_env *env, enum cgroup_hierarchy want, struct cgroup_tree **ret_tree,
                     struct carnot_err *err)
{
    CLEANUP(cleanup_placesp) struct cgroup_places places = {0};
    CLEANUP(cleanup_treep) struct cgroup_tree *v1 = NULL;
    CLEANUP(cleanup_treep) struct cgroup_tree *v2 = NULL;

    int r = cgroup_locate(env, &places, err);
    if (r < 0)
        return r;
    bool hybrid = places.v1.found && places.v2.found;

    if (places.v2.found && want != CGROUP_V1) {
        r = open_tree(env, CGROUP_V2, &places.v2, hybrid, &v2, err);
        if (r < 0)
            return r;
    }
    if (places.v1.found && want != CGROUP_V2) {
        r = open_tree(env, CGROUP_V1, &places.v1, hybrid, &v1, err);
        if (r < 0)
            return r;
    }
    if (!v1 && !v2)
        return not_found(env, want, err);
    *ret_tree = !v2 || (v1 && v1->count > v2->count) ? TAKE_PTR(v1) : TAKE_PTR(v2);
    return 0;
}
