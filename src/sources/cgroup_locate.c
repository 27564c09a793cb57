/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the v2 and the v1 cpuacct hierarchy: through mountinfo, or, where that says nothing about the directory given
 * (a fixture, a copied tree), by what lies in it. Knows mount points and their names; refuses to walk or count. */
#include "sources/cgroup_locate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "sources/cgroup_parse.h"

#define MOUNTINFO_FIRST (64U * 1024)
/* A node with 16,384 cgroups may have some 100,000 mounts of 150 to 1,000 bytes; beyond this something is wrong. */
#define MOUNTINFO_MAX (64U << 20)

static const char default_cgroupfs[] = "/sys/fs/cgroup";

/* Names under which distributions mount cpuacct: by itself (Alpine, containers), with cpu (systemd, both orders). */
static const char *const v1_names[] = {"cpuacct", "cpu,cpuacct", "cpuacct,cpu"};

static void place_done(struct cgroup_place *place)
{
    free(place->dir);
    free(place->mount_root);
    *place = (struct cgroup_place){0};
}

void cgroup_places_done(struct cgroup_places *places)
{
    place_done(&places->v2);
    place_done(&places->v1);
}

static int place_set(struct cgroup_place *place, const char *dir, const char *mount_root)
{
    struct cgroup_place fresh = {.found = true, .dir = strdup(dir), .mount_root = strdup(mount_root)};

    if (!fresh.dir || !fresh.mount_root) {
        place_done(&fresh);
        return -ENOMEM;
    }
    place_done(place);
    *place = fresh;
    return 0;
}

/* The part of `point` below `base`, without leading slashes; NULL when it is not below. */
static const char *below(const char *point, const char *base)
{
    size_t n = strlen(base);

    while (n > 1 && base[n - 1] == '/')
        n--;
    if (strncmp(point, base, n) != 0 || (point[n] != '/' && point[n] != '\0'))
        return NULL;
    point += n;
    while (*point == '/')
        point++;
    return point;
}

static bool is_directory(const struct fsroot *root, const char *path)
{
    _cleanup_close_ int fd = fsroot_openat(root, path, O_DIRECTORY, NULL);

    return fd >= 0;
}

/* Takes note of one mount. A hierarchy may be mounted several times: the mount that shows most of it, that is the one
 * with the shortest root, is used; the later one if equal, since it lies on top. */
static int consider(const struct carnot_env *env, const struct cgroup_mount *mount, const char *base,
                    struct cgroup_places *places)
{
    bool v2 = text_is(mount->fs_type, "cgroup2");
    struct cgroup_place *place = v2 ? &places->v2 : &places->v1;
    char point[PATH_MAX], root[PATH_MAX];

    if (!v2 && !(text_is(mount->fs_type, "cgroup") && cgroup_list_has(mount->options, "cpuacct")))
        return 0;
    if (cgroup_parse_mount_path(mount->point, point, sizeof(point)) < 0 ||
        cgroup_parse_mount_path(mount->root, root, sizeof(root)) < 0)
        return 0;

    const char *dir = below(point, base);
    if (!dir || !is_directory(&env->cgroup, dir))
        return 0;
    if (place->found && strlen(place->mount_root) < strlen(root))
        return 0;
    return place_set(place, dir, root);
}

static int read_mountinfo(const struct carnot_env *env, char **ret_text, size_t *ret_len, struct carnot_err *err)
{
    for (size_t size = MOUNTINFO_FIRST; size <= MOUNTINFO_MAX; size *= 2) {
        _cleanup_free_ char *buf = malloc(size);
        if (!buf)
            return carnot_err_set(err, ENOMEM, "out of memory while reading %s/self/mountinfo", env->proc.path);

        struct carnot_err why = CARNOT_ERR_INIT;
        ssize_t n = fsroot_read(&env->proc, "self/mountinfo", buf, size, &why);
        if (n == -E2BIG)
            continue;
        if (n < 0) {
            if (err)
                *err = why;
            return (int)n;
        }
        *ret_text = TAKE_PTR(buf);
        *ret_len = (size_t)n;
        return 0;
    }
    return carnot_err_set(err, E2BIG, "cannot read %s/self/mountinfo: it is larger than %u bytes", env->proc.path,
                          MOUNTINFO_MAX);
}

static int from_mountinfo(const struct carnot_env *env, struct text rest, const char *base,
                          struct cgroup_places *places)
{
    struct text line;

    while (scan_line(&rest, &line)) {
        struct cgroup_mount mount;

        if (cgroup_parse_mount(line, &mount) < 0)
            continue;
        int r = consider(env, &mount, base, places);
        if (r < 0)
            return r;
    }
    return 0;
}

static int guess(const struct carnot_env *env, struct cgroup_places *places)
{
    const struct fsroot *root = &env->cgroup;
    int r = 0;

    if (fsroot_exists(root, "cgroup.controllers") ||
        (fsroot_exists(root, "cgroup.procs") && fsroot_exists(root, "cpu.stat")))
        return place_set(&places->v2, "", "/");
    if (fsroot_exists(root, "cpuacct.usage"))
        return place_set(&places->v1, "", "/");
    if (is_directory(root, "unified"))
        r = place_set(&places->v2, "unified", "/");
    for (size_t i = 0; r >= 0 && !places->v1.found && i < ELEMENTSOF(v1_names); i++) {
        if (is_directory(root, v1_names[i]))
            r = place_set(&places->v1, v1_names[i], "/");
    }
    return r;
}

static int locate(const struct carnot_env *env, struct text mountinfo, struct cgroup_places *places)
{
    /* The directory's own name first: with the host's /sys/fs/cgroup mounted elsewhere in a container, the mounts below
     * /sys/fs/cgroup are the container's, not the host's. */
    const char *bases[] = {env->cgroup.path, default_cgroupfs};

    for (size_t i = 0; i < ELEMENTSOF(bases); i++) {
        int r = from_mountinfo(env, mountinfo, bases[i], places);
        if (r < 0 || places->v1.found || places->v2.found)
            return r;
    }
    return guess(env, places);
}

int cgroup_locate(const struct carnot_env *env, struct cgroup_places *ret_places, struct carnot_err *err)
{
    struct cgroup_places places = {0};
    _cleanup_free_ char *buf = NULL;
    size_t len = 0;

    if (env->cgroup.fd < 0) {
        *ret_places = places;
        return 0;
    }
    int r = read_mountinfo(env, &buf, &len, err);
    if (r < 0 && r != -ENOENT && r != -ENODEV)
        return r;
    r = locate(env, (struct text){buf ? buf : "", len}, &places);
    if (r < 0) {
        cgroup_places_done(&places);
        return carnot_err_set(err, -r, "out of memory while looking for control groups below %s", env->cgroup.path);
    }
    *ret_places = places;
    return 0;
}
