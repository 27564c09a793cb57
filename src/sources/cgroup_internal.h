/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the cgroup tree share: cgroup.c holds the entries, cgroup_scan.c walks directories, cgroup_read.c
 * reads files. Internal to these three. */
#ifndef CARNOT_SOURCES_CGROUP_INTERNAL_H
#define CARNOT_SOURCES_CGROUP_INTERNAL_H

#include <sys/types.h>

#include "base/u64map.h"
#include "sources/cgroup.h"
#include "sources/cgroup_parse.h"

#define CGROUP_DIRENT_BUF   16384 /* a cgroup directory has some 60 files of 32 to 64 bytes: one system call */
#define CGROUP_FILE_MAX     4096  /* cpu.stat: today 600 bytes with every controller on */
#define CGROUP_UNKNOWN_IDS  64    /* ids of vanished cgroups that events still name: not searched for again */
#define CGROUP_DESCRIBE_MAX 256

/* Indexes released last that are not given out again yet, unless there is no other: more than end in a window on a busy
 * node (a fork storm in Kubernetes ends some tens), so that who still holds one finds nothing there, not a stranger. */
#define CGROUP_RESTING 256

struct cgroup_entry {
    struct cgroup cgroup;
    uint32_t depth;
    uint32_t seen;      /* number of the scan that saw it last */
    uint32_t next_walk; /* list of directories that the running scan has yet to open */
    bool resting;       /* not in use, in tree->resting */
    char *path;         /* what cgroup.path points at */
};

struct cgroup_tree {
    const struct carnot_env *env;
    enum cgroup_hierarchy hierarchy;
    bool hybrid;
    bool kernfs; /* really a cgroup file system, whose link counts can be relied on */
    int root_fd;
    dev_t dev;
    int hierarchy_id;
    char *dir;
    char *mount_root;
    char describe[CGROUP_DESCRIBE_MAX];

    struct cgroup_entry *entries;     /* [CGROUPS_MAX] */
    uint32_t count;                   /* highest index in use + 1 */
    uint32_t free_hint;               /* no entry below that is neither in use nor resting */
    uint32_t resting[CGROUP_RESTING]; /* ring, oldest first */
    uint32_t resting_first, n_resting;
    struct u64map by_id;
    struct u64map by_path; /* hash of path -> index, of those not gone */
    bool collided;         /* two paths once had one hash: look at all entries when by_path fails */
    uint32_t scans;
    uint32_t dropped;
    uint64_t unknown[CGROUP_UNKNOWN_IDS];
    uint32_t n_unknown;

    char path[CGROUP_PATH_MAX + 32]; /* scratch */
    char file[CGROUP_FILE_MAX];
    char dirents[CGROUP_DIRENT_BUF] __attribute__((aligned(8)));
};

/* Makes or refreshes the entry of an id. Returns its index, -E2BIG when full, -ENOMEM. */
int cgroup_put_entry(struct cgroup_tree *tree, uint64_t id, const char *path, uint32_t parent);

/* NULL when the entry is not in use. */
static inline struct cgroup_entry *cgroup_entry_of(const struct cgroup_tree *tree, uint32_t index)
{
    return index < tree->count && tree->entries[index].cgroup.live ? &tree->entries[index] : NULL;
}

#endif
