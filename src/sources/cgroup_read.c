/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the CPU time of control groups. Knows the files' names in v1 and v2; refuses to know what the time is for. */
#include <errno.h>
#include <fcntl.h>

#include "sources/cgroup_internal.h"

#define PERCPU_MAX (128U * 1024) /* 21 bytes for each of 4096 CPUs, and as much again */

/* Enough for the first line of cpu.stat ("usage_usec" and 20 digits), and for the one number of cpuacct.usage. */
#define USAGE_FRONT 64

/* Opens a file of one cgroup; tree->path is its path then. */
static int open_file(struct cgroup_tree *tree, uint32_t index, const char *name, struct carnot_err *err)
{
    const struct cgroup_entry *e = cgroup_entry_of(tree, index);

    if (!e)
        return carnot_err_set(err, ENOENT, "no control group has number %u", index);

    size_t len = index == CGROUP_ROOT ? 0 : strlen(e->path);
    memcpy(tree->path, e->path, len);
    tree->path[len] = '/';
    memcpy(tree->path + len + 1, name, strlen(name) + 1);

    int fd = openat(tree->root_fd, tree->path + 1, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return carnot_err_errno(err, errno, "cannot open %s/%s%s", tree->env->cgroup.path, tree->dir, tree->path);
    return fd;
}

/* Reads a file of one cgroup into buf. Returns the length or -errno. */
static ssize_t read_file(struct cgroup_tree *tree, uint32_t index, const char *name, char *buf, size_t size,
                         struct carnot_err *err)
{
    _cleanup_close_ int fd = open_file(tree, index, name, err);

    if (fd < 0)
        return fd;
    ssize_t n = fd_read_start(fd, buf, size);
    if (n < 0)
        return carnot_err_errno(err, (int)n, "cannot read %s/%s%s", tree->env->cgroup.path, tree->dir, tree->path);
    return n;
}

static int parse_usage(const struct cgroup_tree *tree, size_t len, uint64_t *ret_usage_ns)
{
    struct text text = {tree->file, len};

    return tree->hierarchy == CGROUP_V2 ? cgroup_parse_cpu_stat(text, ret_usage_ns)
                                        : parse_u64(text_trim(text), ret_usage_ns);
}

/* Whole lines at the start of the file. One read, and no second one to see its end: these files are read once for every
 * cgroup in every window. */
static ssize_t read_front(struct cgroup_tree *tree, int fd)
{
    ssize_t n;

    do
        n = pread(fd, tree->file, USAGE_FRONT, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    while (n > 0 && tree->file[n - 1] != '\n')
        n--;
    return n;
}

int cgroup_tree_read_usage(struct cgroup_tree *tree, uint32_t index, uint64_t now_mono_ns, uint64_t *ret_usage_ns,
                           struct carnot_err *err)
{
    bool v2 = tree->hierarchy == CGROUP_V2;
    const char *name = v2 ? "cpu.stat" : "cpuacct.usage";
    uint64_t usage_ns;

    if (v2 && index == CGROUP_ROOT)
        return carnot_err_set(err, ENODATA, "the root of cgroup v2 has no total of its own: use /proc/stat");
    _cleanup_close_ int fd = open_file(tree, index, name, err);
    if (fd < 0)
        return fd;
    ssize_t n = read_front(tree, fd);
    int r = n < 0 ? (int)n : parse_usage(tree, (size_t)n, &usage_ns);
    if (n >= 0 && r < 0) { /* another order of lines, or no newline */
        n = fd_read_start(fd, tree->file, sizeof(tree->file));
        r = n < 0 ? (int)n : parse_usage(tree, (size_t)n, &usage_ns);
    }
    if (n < 0)
        return carnot_err_errno(err, r, "cannot read %s/%s%s", tree->env->cgroup.path, tree->dir, tree->path);
    if (r < 0)
        return carnot_err_set(err, EPROTO, "cannot understand %s/%s%s: expected %s", tree->env->cgroup.path, tree->dir,
                              tree->path, v2 ? "a line \"usage_usec NUMBER\"" : "one decimal number");
    struct cgroup *cgroup = &tree->entries[index].cgroup;
    cgroup->usage_ns = usage_ns;
    cgroup->usage_read_mono_ns = now_mono_ns;
    *ret_usage_ns = usage_ns;
    return 0;
}

int cgroup_tree_read_usage_percpu(struct cgroup_tree *tree, uint32_t index, uint64_t *out, uint32_t n_cpus,
                                  struct carnot_err *err)
{
    static const char name[] = "cpuacct.usage_percpu";
    _cleanup_free_ char *large = NULL;
    ssize_t n;

    if (tree->hierarchy != CGROUP_V1)
        return carnot_err_set(err, EOPNOTSUPP, "cgroup v2 has no CPU time per CPU");
    n = read_file(tree, index, name, tree->file, sizeof(tree->file), err);
    if (n == -E2BIG) { /* more than some 200 CPUs */
        large = malloc(PERCPU_MAX);
        if (!large)
            return carnot_err_set(err, ENOMEM, "out of memory while reading %s", name);
        n = read_file(tree, index, name, large, PERCPU_MAX, err);
    }
    if (n < 0)
        return (int)n;
    int r = cgroup_parse_percpu((struct text){large ? large : tree->file, (size_t)n}, out, n_cpus);
    if (r < 0)
        return carnot_err_set(err, EPROTO, "cannot understand %s/%s%s: expected a number for each CPU",
                              tree->env->cgroup.path, tree->dir, tree->path);
    return r;
}

int cgroup_parse_proc(const struct cgroup_tree *tree, const char *text, size_t len, char *ret_path, size_t path_size)
{
    struct text path;
    int id;

    int r =
        cgroup_parse_membership((struct text){text, len}, tree->hierarchy == CGROUP_V1 ? "cpuacct" : NULL, &id, &path);
    if (r < 0)
        return r;
    return cgroup_parse_below(path, tree->mount_root, ret_path, path_size);
}
