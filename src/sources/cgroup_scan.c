/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the directories of a cgroup hierarchy. Knows directories and their inodes; refuses to know what is in the
 * files. One descriptor at a time, no memory but for new entries; what vanishes meanwhile is normal. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "sources/cgroup_internal.h"

/* Path for the *at() calls: relative to the root's descriptor. */
static const char *relative(const char *path)
{
    return path[1] ? path + 1 : ".";
}

struct walk {
    uint32_t first, last; /* directories to open, CGROUP_NONE when none */
    uint32_t dropped;
};

static void walk_later(struct cgroup_tree *tree, struct walk *walk, uint32_t index)
{
    tree->entries[index].next_walk = CGROUP_NONE;
    if (walk->last == CGROUP_NONE)
        walk->first = index;
    else
        tree->entries[walk->last].next_walk = index;
    walk->last = index;
}

/* One directory entry found in `parent`, whose descriptor is dir_fd and whose path is tree->path[0..len). */
static int walk_child(struct cgroup_tree *tree, struct walk *walk, uint32_t parent, int dir_fd, size_t len,
                      const char *name)
{
    size_t name_len = strlen(name);
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || errno == ENODEV ? 0 : -errno;
    if (!S_ISDIR(st.st_mode) || st.st_dev != tree->dev)
        return 0;
    if (tree->entries[parent].depth >= CGROUP_DEPTH_MAX || len + 1 + name_len >= CGROUP_PATH_MAX) {
        walk->dropped++;
        return 0;
    }
    /* Once is enough for what is moved while we walk, or bind-mounted into itself. */
    uint32_t known = u64map_get(&tree->by_id, st.st_ino);
    if (known != U64MAP_NONE && tree->entries[known].seen == tree->scans)
        return 0;

    tree->path[len] = '/';
    memcpy(tree->path + len + 1, name, name_len + 1);
    int r = cgroup_put_entry(tree, st.st_ino, tree->path, parent);
    if (r == -E2BIG) {
        walk->dropped++;
        return 0;
    }
    if (r < 0)
        return r;

    uint32_t index = (uint32_t)r;
    tree->entries[index].seen = tree->scans;
    /* kernfs counts a directory's links as 2 + subdirectories: a leaf need not be opened. */
    if (!tree->kernfs || st.st_nlink != 2)
        walk_later(tree, walk, index);
    return 0;
}

static int walk_directory(struct cgroup_tree *tree, struct walk *walk, uint32_t index)
{
    const struct cgroup_entry *e = &tree->entries[index];
    size_t len = index == CGROUP_ROOT ? 0 : strlen(e->path);
    _cleanup_close_ int fd = openat(tree->root_fd, relative(e->path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT || errno == ENODEV || errno == EACCES ? 0 : -errno;
    memcpy(tree->path, e->path, len);
    for (;;) {
        ssize_t n = getdents64(fd, tree->dirents, sizeof(tree->dirents));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == ENOENT || errno == ENODEV ? 0 : -errno;
        if (n == 0)
            return 0;
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *de = (const struct dirent64 *)(const void *)(tree->dirents + at);

            at += de->d_reclen;
            if ((de->d_type != DT_DIR && de->d_type != DT_UNKNOWN) || strcmp(de->d_name, ".") == 0 ||
                strcmp(de->d_name, "..") == 0)
                continue;
            int r = walk_child(tree, walk, index, fd, len, de->d_name);
            if (r < 0)
                return r;
        }
    }
}

int cgroup_tree_scan(struct cgroup_tree *tree, struct carnot_err *err)
{
    struct walk walk = {.first = CGROUP_NONE, .last = CGROUP_NONE};

    tree->scans++;
    tree->entries[CGROUP_ROOT].seen = tree->scans;
    walk_later(tree, &walk, CGROUP_ROOT);
    while (walk.first != CGROUP_NONE) {
        uint32_t index = walk.first;

        int r = walk_directory(tree, &walk, index);
        if (r < 0) /* of what was not seen nobody knows now whether it is there: nothing is marked gone */
            return carnot_err_errno(err, -r, "cannot walk the control groups below %s/%s", tree->env->cgroup.path,
                                    tree->dir);
        walk.first = tree->entries[index].next_walk;
        if (walk.first == CGROUP_NONE)
            walk.last = CGROUP_NONE;
    }
    for (uint32_t i = 1; i < tree->count; i++) {
        if (tree->entries[i].cgroup.live && tree->entries[i].seen != tree->scans)
            cgroup_tree_mark_gone(tree, i);
    }
    tree->dropped = walk.dropped;
    return 0;
}

uint32_t cgroup_tree_find(struct cgroup_tree *tree, uint64_t id, bool search)
{
    uint32_t index = u64map_get(&tree->by_id, id);

    if (index != U64MAP_NONE || !search)
        return index;
    /* Who names an id has seen it alive: what a walk after that does not find is gone for good. */
    for (size_t i = 0; i < ELEMENTSOF(tree->unknown); i++) {
        if (tree->unknown[i] == id)
            return CGROUP_NONE;
    }
    if (cgroup_tree_scan(tree, NULL) < 0)
        return CGROUP_NONE;
    index = u64map_get(&tree->by_id, id);
    if (index == U64MAP_NONE)
        tree->unknown[tree->n_unknown++ % CGROUP_UNKNOWN_IDS] = id;
    return index;
}
