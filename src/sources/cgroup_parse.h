/* SPDX-License-Identifier: Apache-2.0 */
/* The texts that the kernel writes about control groups, taken apart: mountinfo, /proc/PID/cgroup, cpu.stat, cpuacct.
 * Internal to sources; separate from the tree so that each parser can be fed by a fuzzer. Pure: no I/O, no memory. */
#ifndef CARNOT_SOURCES_CGROUP_PARSE_H
#define CARNOT_SOURCES_CGROUP_PARSE_H

#include "base/parse.h"

/* Longest path of one cgroup from its hierarchy's root, NUL included: what is left of the kernel's PATH_MAX (4096) once
 * "/cpuacct.usage_percpu" is put behind it. */
#define CGROUP_PATH_MAX 4064

/* One line of /proc/PID/mountinfo, as far as it concerns us; pieces of the line, with its octal escapes still in. */
struct cgroup_mount {
    struct text root;    /* directory of the file system that is mounted: "/" but for bind mounts */
    struct text point;   /* where */
    struct text fs_type; /* "cgroup2", "cgroup", ... */
    struct text options; /* of the super block: "rw,cpu,cpuacct" */
};

/* 0 or -EINVAL. */
int cgroup_parse_mount(struct text line, struct cgroup_mount *ret_mount);

/* Undoes \ooo escapes into out, NUL-terminated. Length, -E2BIG when out is too small, -EINVAL for a NUL in it. */
int cgroup_parse_mount_path(struct text escaped, char *out, size_t size);

/* True when `word` is one of the comma-separated words. */
bool cgroup_list_has(struct text list, const char *word);

/* Finds the line of a hierarchy in /proc/PID/cgroup: the v1 one that has `controller`, or with NULL the v2 one. The
 * path is a piece of the text, without the " (deleted)" mark of a removed v2 group. 0, -ENOENT when there is no such
 * line. */
int cgroup_parse_membership(struct text file, const char *controller, int *ret_hierarchy_id, struct text *ret_path);

/* The path below a mount whose root is `mount_root` ("/" or "/a/b"), normalised to start with "/". 0, -ENOENT when it
 * is not below (another bind mount, outside of the cgroup namespace), -E2BIG. */
int cgroup_parse_below(struct text path, const char *mount_root, char *out, size_t size);

/* usage_usec of a v2 cpu.stat, in ns. 0, -EINVAL when it is not there, -ERANGE. */
int cgroup_parse_cpu_stat(struct text file, uint64_t *ret_usage_ns);

/* Numbers of cpuacct.usage_percpu into out[n], the rest set to 0. Returns how many there were (at most n), -EINVAL. */
int cgroup_parse_percpu(struct text file, uint64_t *out, uint32_t n);

#endif
