/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's control groups as one tree: v2, v1 (cpuacct) or hybrid, with the kernel's own CPU-time totals.
 *
 * A cgroup is known by its id: the inode of its directory, which is what bpf_get_current_cgroup_id() and kn->id give.
 * An entry keeps its index for life; the index of a gone cgroup is reused only after cgroup_tree_release(). A cgroup
 * that vanishes in the middle of a read is normal. Depth and count are limited; what does not fit is counted, and
 * billed to its nearest known ancestor.
 *
 * A released index rests before another cgroup gets it: who still holds it finds no entry for a while. v1 lets a cgroup
 * be renamed: its entry (same id, same index) has the new path from the next scan on, and so have those below it. */
#ifndef CARNOT_SOURCES_CGROUP_H
#define CARNOT_SOURCES_CGROUP_H

#include "base/fsroot.h"

enum cgroup_hierarchy { CGROUP_AUTO, CGROUP_V2, CGROUP_V1 };

#define CGROUPS_MAX      16384 /* a dense Kubernetes node has about 2,000 */
#define CGROUP_DEPTH_MAX 32    /* Kubernetes inside a container inside a user session reaches about 12 */
#define CGROUP_ROOT      0     /* index of the root, always there */
#define CGROUP_NONE      UINT32_MAX

struct cgroup {
    uint64_t id;       /* kernfs id = inode number */
    uint32_t parent;   /* index; CGROUP_NONE for the root */
    const char *path;  /* "/" or "/system.slice/ssh.service", owned by the tree; valid until the next call that scans,
                        * adds or releases (cgroup_tree_find with `search` scans) */
    uint64_t usage_ns; /* the kernel's total for this cgroup and all below, last reading; 0 before the first */
    uint64_t usage_read_mono_ns;
    bool live; /* the entry is in use */
    bool gone; /* removed from the kernel; entry kept until released */
};

struct cgroup_tree;

/* Finds the hierarchy through /proc/self/mountinfo of env (mount points below env->cgroup) and walks it. CGROUP_AUTO:
 * v2 when it is the only one; on hybrid machines the one (v2, or v1 cpuacct) that has more cgroups, v2 on a tie.
 * -ENODEV with a sentence when there is none. */
int cgroup_tree_open(const struct carnot_env *env, enum cgroup_hierarchy want, struct cgroup_tree **ret_tree,
                     struct carnot_err *err);
struct cgroup_tree *cgroup_tree_close(struct cgroup_tree *tree); /* NULL-safe, returns NULL */

enum cgroup_hierarchy cgroup_tree_hierarchy(const struct cgroup_tree *tree); /* V2 or V1 */
const char *cgroup_tree_describe(const struct cgroup_tree *tree); /* "cgroup v1 cpuacct at cpuacct (hybrid)" */
int cgroup_tree_hierarchy_id(
    const struct cgroup_tree *tree); /* kernel's hierarchy id from /proc/self/cgroup; 0 for v2 */

/* Walks the directories again: adds new ones, marks those that are not there any more as gone. */
int cgroup_tree_scan(struct cgroup_tree *tree, struct carnot_err *err);

/* Adds one that was seen made (path from the hierarchy's root). Returns its index; an id already known keeps its index.
 * -E2BIG when full. */
int cgroup_tree_add(struct cgroup_tree *tree, uint64_t id, const char *path);
void cgroup_tree_mark_gone(struct cgroup_tree *tree, uint32_t index);
void cgroup_tree_release(struct cgroup_tree *tree, uint32_t index); /* the caller is done with a gone entry */

/* Index of an id; looks the directory tree over once more when it is unknown and `search`. CGROUP_NONE when not found.
 */
uint32_t cgroup_tree_find(struct cgroup_tree *tree, uint64_t id, bool search);
/* Index of a path ("/a/b"), CGROUP_NONE when not known. */
uint32_t cgroup_tree_find_path(const struct cgroup_tree *tree, const char *path);
/* As cgroup_tree_find_path, or else the nearest known ancestor; CGROUP_ROOT at worst. */
uint32_t cgroup_tree_find_nearest(const struct cgroup_tree *tree, const char *path);
/* Directories that the last scan had to leave out: too deep, too long, or CGROUPS_MAX reached. */
uint32_t cgroup_tree_dropped(const struct cgroup_tree *tree);

uint32_t cgroup_tree_count(const struct cgroup_tree *tree); /* highest index in use + 1 */
const struct cgroup *cgroup_tree_get(const struct cgroup_tree *tree,
                                     uint32_t index); /* NULL when the entry is not live */

/* The kernel's own total in ns, of this cgroup and all below: cpu.stat usage_usec (v2) or cpuacct.usage (v1); kept in
 * the entry. -ENOENT/-ENODEV: gone. The v2 root has a total that counts differently (ticks, IRQ time): -ENODATA. */
int cgroup_tree_read_usage(struct cgroup_tree *tree, uint32_t index, uint64_t now_mono_ns, uint64_t *ret_usage_ns,
                           struct carnot_err *err);

/* v1 only: per-CPU usage in ns of this cgroup and below from cpuacct.usage_percpu into out[n_cpus]. Returns CPUs
 * filled. -EOPNOTSUPP on v2. */
int cgroup_tree_read_usage_percpu(struct cgroup_tree *tree, uint32_t index, uint64_t *out, uint32_t n_cpus,
                                  struct carnot_err *err);

/* The path in this hierarchy of a process, from /proc/PID/cgroup text: parses one such file. -ENOENT when the hierarchy
 * is not in it. */
int cgroup_parse_proc(const struct cgroup_tree *tree, const char *text, size_t len, char *ret_path, size_t path_size);

#endif
