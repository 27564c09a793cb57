/* SPDX-License-Identifier: Apache-2.0 */
/* Parsers of the kernel's texts about control groups. Knows their forms (proc(5), Documentation/admin-guide/cgroup-v1
 * and cgroup-v2.rst); refuses to know where they come from. */
#include "sources/cgroup_parse.h"

#include <errno.h>
#include <limits.h>

#include "base/clock.h"

/* Fields of a mountinfo line before the optional ones: mount id, parent id, device, root, point, options. */
enum { MOUNT_ROOT = 3, MOUNT_POINT = 4, MOUNT_FIXED = 6 };

int cgroup_parse_mount(struct text line, struct cgroup_mount *ret_mount)
{
    struct cgroup_mount mount = {0};
    struct text rest = line, word, source;

    for (int i = 0; i < MOUNT_FIXED; i++) {
        if (!scan_word(&rest, &word))
            return -EINVAL;
        if (i == MOUNT_ROOT)
            mount.root = word;
        if (i == MOUNT_POINT)
            mount.point = word;
    }
    do {
        if (!scan_word(&rest, &word))
            return -EINVAL;
    } while (!text_is(word, "-"));
    if (!scan_word(&rest, &mount.fs_type) || !scan_word(&rest, &source))
        return -EINVAL;
    if (!scan_word(&rest, &mount.options))
        mount.options = (struct text){"", 0};
    *ret_mount = mount;
    return 0;
}

static int octal(struct text t)
{
    int value = 0;

    if (t.n < 3)
        return -1;
    for (size_t i = 0; i < 3; i++) {
        if (t.p[i] < '0' || t.p[i] > '7')
            return -1;
        value = value * 8 + (t.p[i] - '0');
    }
    return value <= UCHAR_MAX ? value : -1;
}

int cgroup_parse_mount_path(struct text escaped, char *out, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < escaped.n; i++) {
        int c = (unsigned char)escaped.p[i];

        if (c == '\\') {
            int code = octal((struct text){escaped.p + i + 1, escaped.n - i - 1});
            if (code >= 0) {
                c = code;
                i += 3;
            }
        }
        if (c == 0)
            return -EINVAL;
        if (len + 1 >= size)
            return -E2BIG;
        out[len++] = (char)c;
    }
    if (size == 0)
        return -E2BIG;
    out[len] = '\0';
    return (int)len;
}

bool cgroup_list_has(struct text list, const char *word)
{
    struct text part;

    while (scan_until(&list, ',', &part)) {
        if (text_is(part, word))
            return true;
    }
    return false;
}

int cgroup_parse_membership(struct text file, const char *controller, int *ret_hierarchy_id, struct text *ret_path)
{
    struct text line, id, controllers;
    uint64_t number;

    while (scan_line(&file, &line)) {
        if (!scan_until(&line, ':', &id) || !scan_until(&line, ':', &controllers))
            continue;
        if (parse_u64(id, &number) < 0 || number > INT_MAX)
            continue;
        if (line.n == 0 || line.p[0] != '/')
            continue;
        if (controller ? !cgroup_list_has(controllers, controller) : number != 0 || controllers.n != 0)
            continue;
        /* A removed group with a member left (a zombie) is marked so. A group that is really called that way loses its
         * mark and is then not found: tolerated. */
        if (!controller && text_ends(line, " (deleted)"))
            line.n -= strlen(" (deleted)");
        *ret_hierarchy_id = (int)number;
        *ret_path = line;
        return 0;
    }
    return -ENOENT;
}

int cgroup_parse_below(struct text path, const char *mount_root, char *out, size_t size)
{
    struct text root = text_of(mount_root);

    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    while (root.n && root.p[root.n - 1] == '/')
        root.n--;
    if (path.n == 0 || path.p[0] != '/' || path.n < root.n || (root.n && memcmp(path.p, root.p, root.n) != 0))
        return -ENOENT;
    path.p += root.n;
    path.n -= root.n;
    if (path.n == 0)
        path = text_of("/");
    if (path.p[0] != '/')
        return -ENOENT;
    /* "/.." is how the kernel names what lies outside of our cgroup namespace. */
    if (text_is(path, "/..") || text_starts(path, "/../"))
        return -ENOENT;
    if (path.n >= size)
        return -E2BIG;
    memcpy(out, path.p, path.n);
    out[path.n] = '\0';
    return 0;
}

int cgroup_parse_cpu_stat(struct text file, uint64_t *ret_usage_ns)
{
    struct text line, key;
    uint64_t usec;

    while (scan_line(&file, &line)) {
        if (!scan_word(&line, &key) || !text_is(key, "usage_usec"))
            continue;
        int r = parse_u64(text_trim(line), &usec);
        if (r < 0)
            return r;
        if (usec > UINT64_MAX / NS_PER_US)
            return -ERANGE;
        *ret_usage_ns = usec * NS_PER_US;
        return 0;
    }
    return -EINVAL;
}

int cgroup_parse_percpu(struct text file, uint64_t *out, uint32_t n)
{
    struct text rest = text_trim(file), word;
    uint32_t count = 0;

    while (scan_word(&rest, &word)) {
        uint64_t value;

        if (parse_u64(word, &value) < 0)
            return -EINVAL;
        if (count < n)
            out[count++] = value;
    }
    if (count == 0 && n)
        return -EINVAL;
    for (uint32_t i = count; i < n; i++)
        out[i] = 0;
    return (int)count;
}
