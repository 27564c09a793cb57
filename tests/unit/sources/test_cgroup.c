/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups: parsers on texts, the tree on a scratch directory, and, where this process may make cgroups, the
 * kernel's own. */
#include "scratch.h"

#include <inttypes.h>

#include "sources/cgroup.h"
#include "sources/cgroup_internal.h" /* CGROUP_RESTING */
#include "sources/cgroup_locate.h"
#include "sources/cgroup_parse.h"

static const char hybrid_mounts[] =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime shared:9 master:2 - cgroup cgroup rw,cpuacct\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

static void mount_lines(void **state)
{
    struct cgroup_mount mount;
    char path[64];

    assert_int_equal(
        cgroup_parse_mount(text_of("36 35 98:0 /a\\040b /mnt/x\\134y rw master:1 propagate_from:2 - cgroup2 "
                                   "none rw,cpuacct"),
                           &mount),
        0);
    assert_true(text_is(mount.fs_type, "cgroup2"));
    assert_true(text_is(mount.options, "rw,cpuacct"));
    assert_int_equal(cgroup_parse_mount_path(mount.root, path, sizeof(path)), 4);
    assert_string_equal(path, "/a b");
    assert_int_equal(cgroup_parse_mount_path(mount.point, path, sizeof(path)), 8);
    assert_string_equal(path, "/mnt/x\\y");
    assert_int_equal(cgroup_parse_mount_path(mount.point, path, 8), -E2BIG);
    assert_int_equal(cgroup_parse_mount_path(text_of("/a\\000b"), path, sizeof(path)), -EINVAL);
    assert_int_equal(cgroup_parse_mount_path(text_of("/a\\9\\777\\"), path, sizeof(path)), 9);
    assert_string_equal(path, "/a\\9\\777\\");

    static const char *const wrong[] = {"",
                                        "36",
                                        "36 35 98:0 / /mnt rw",
                                        "36 35 98:0 / /mnt rw a b c",
                                        "36 35 98:0 / /mnt rw -",
                                        "36 35 98:0 / /mnt rw - cgroup2"};
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        assert_int_equal(cgroup_parse_mount(text_of(wrong[i]), &mount), -EINVAL);
}

static void membership(void **state)
{
    struct text file = text_of("9:name=systemd:/init.scope\n"
                               "4:memory:/x\n"
                               "2:cpu,cpuacct:/user.slice/a:b\n"
                               "0::/system.slice/dead.service (deleted)\n");
    struct text path;
    int id = -1;

    assert_int_equal(cgroup_parse_membership(file, "cpuacct", &id, &path), 0);
    assert_int_equal(id, 2);
    assert_true(text_is(path, "/user.slice/a:b"));
    assert_int_equal(cgroup_parse_membership(file, NULL, &id, &path), 0);
    assert_int_equal(id, 0);
    assert_true(text_is(path, "/system.slice/dead.service"));
    assert_int_equal(cgroup_parse_membership(file, "acct", &id, &path), -ENOENT);
    assert_int_equal(
        cgroup_parse_membership(text_of("2:cpuacct:relative\nx:cpuacct:/a\n3:cpuacct\n"), "cpuacct", &id, &path),
        -ENOENT);
    assert_int_equal(cgroup_parse_membership(text_of(""), NULL, &id, &path), -ENOENT);
}

static void below_mount(void **state)
{
    static const struct {
        const char *path, *root;
        int result;
        const char *out;
    } cases[] = {
        {"/", "/", 0, "/"},
        {"/a/b", "/", 0, "/a/b"},
        {"/a/b/", "/", 0, "/a/b"},
        {"/docker/x/y", "/docker/x", 0, "/y"},
        {"/docker/x", "/docker/x/", 0, "/"},
        {"/docker/xy", "/docker/x", -ENOENT, ""},
        {"/docker", "/docker/x", -ENOENT, ""},
        {"/../b", "/", -ENOENT, ""},
        {"/..", "/", -ENOENT, ""},
        {"/..b", "/", 0, "/..b"},
        {"", "/", -ENOENT, ""},
        {"a", "/", -ENOENT, ""},
        {"/123456789abcdef", "/", -E2BIG, ""},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char out[16] = "";
        assert_int_equal(cgroup_parse_below(text_of(cases[i].path), cases[i].root, out, sizeof(out)), cases[i].result);
        assert_string_equal(out, cases[i].out);
    }
}

static void usage_texts(void **state)
{
    uint64_t ns = 7, cpus[3] = {9, 9, 9};

    assert_int_equal(cgroup_parse_cpu_stat(text_of("nr_periods 1\nusage_usec 70408790\nuser_usec 1\n"), &ns), 0);
    assert_int_equal(ns, 70408790000);
    ns = 7;
    assert_int_equal(cgroup_parse_cpu_stat(text_of("user_usec 1\n"), &ns), -EINVAL);
    assert_int_equal(cgroup_parse_cpu_stat(text_of("usage_usec x\n"), &ns), -EINVAL);
    assert_int_equal(cgroup_parse_cpu_stat(text_of("usage_usec -1\n"), &ns), -EINVAL);
    assert_int_equal(cgroup_parse_cpu_stat(text_of("usage_usec 18446744073709552\n"), &ns), -ERANGE);
    assert_int_equal(cgroup_parse_cpu_stat(text_of("usage_usec 99999999999999999999\n"), &ns), -ERANGE);
    assert_int_equal(ns, 7);

    assert_int_equal(cgroup_parse_percpu(text_of("30940375145 44705641188 \n"), cpus, 3), 2);
    assert_int_equal(cpus[0], 30940375145);
    assert_int_equal(cpus[1], 44705641188);
    assert_int_equal(cpus[2], 0);
    assert_int_equal(cgroup_parse_percpu(text_of("1 2 3 4"), cpus, 3), 3);
    assert_int_equal(cgroup_parse_percpu(text_of("1 b"), cpus, 3), -EINVAL);
    assert_int_equal(cgroup_parse_percpu(text_of("\n"), cpus, 3), -EINVAL);
}

static struct cgroup_tree *open_ok(const struct scratch *s, enum cgroup_hierarchy want)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct cgroup_tree *tree = NULL;
    int r = cgroup_tree_open(&s->env, want, &tree, &err);

    if (r < 0)
        print_error("%s\n", err.msg);
    assert_int_equal(r, 0);
    return tree;
}

static void finds_hierarchies(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct cgroup_tree *tree = NULL;
    struct scratch s;

    scratch_init(&s);
    assert_int_equal(cgroup_tree_open(&s.env, CGROUP_AUTO, &tree, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "--path.cgroupfs"));

    /* Hybrid by mountinfo; the one with more cgroups, v2 on a tie. */
    scratch_write(&s, "proc/self/mountinfo", hybrid_mounts);
    scratch_write(&s, "proc/self/cgroup", "7:cpuacct:/\n0::/\n");
    scratch_mkdirs(&s, "cgroup/cpuacct/a");
    scratch_mkdirs(&s, "cgroup/cpu/x/y/z");
    scratch_mkdirs(&s, "cgroup/unified/b");
    tree = open_ok(&s, CGROUP_AUTO);
    assert_int_equal(cgroup_tree_hierarchy(tree), CGROUP_V2);
    assert_string_equal(cgroup_tree_describe(tree), "cgroup v2 at unified (hybrid)");
    assert_int_equal(cgroup_tree_hierarchy_id(tree), 0);
    assert_int_equal(cgroup_tree_count(tree), 2);
    tree = cgroup_tree_close(tree);

    scratch_mkdirs(&s, "cgroup/cpuacct/a/c");
    tree = open_ok(&s, CGROUP_AUTO);
    assert_int_equal(cgroup_tree_hierarchy(tree), CGROUP_V1);
    assert_string_equal(cgroup_tree_describe(tree), "cgroup v1 cpuacct at cpuacct (hybrid)");
    assert_int_equal(cgroup_tree_hierarchy_id(tree), 7);
    tree = cgroup_tree_close(tree);

    tree = open_ok(&s, CGROUP_V2);
    assert_int_equal(cgroup_tree_hierarchy(tree), CGROUP_V2);
    tree = cgroup_tree_close(tree);

    /* A bind mount shows a part; the mount with the whole wins whatever the order. */
    scratch_write(&s, "proc/self/mountinfo",
                  "33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n"
                  "34 31 0:30 /docker/1 /sys/fs/cgroup/part rw - cgroup cgroup rw,cpuacct\n");
    scratch_mkdirs(&s, "cgroup/part/inner");
    tree = open_ok(&s, CGROUP_AUTO);
    assert_string_equal(cgroup_tree_describe(tree), "cgroup v1 cpuacct at cpuacct");
    tree = cgroup_tree_close(tree);
    assert_int_equal(cgroup_tree_open(&s.env, CGROUP_V2, &tree, &err), -ENODEV);

    scratch_write(&s, "proc/self/mountinfo",
                  "34 31 0:30 /docker/1 /sys/fs/cgroup/part rw - cgroup cgroup rw,cpuacct\n");
    tree = open_ok(&s, CGROUP_AUTO);
    char path[32];
    static const char member[] = "7:cpuacct:/docker/1/inner\n";
    assert_int_equal(cgroup_parse_proc(tree, member, strlen(member), path, sizeof(path)), 0);
    assert_string_equal(path, "/inner");
    assert_int_not_equal(cgroup_tree_find_path(tree, path), CGROUP_NONE);
    static const char outside[] = "7:cpuacct:/docker/2\n";
    assert_int_equal(cgroup_parse_proc(tree, outside, strlen(outside), path, sizeof(path)), -ENOENT);
    assert_int_equal(cgroup_tree_add(tree, 1U << 30, "/docker/2"), -ENOENT);
    assert_true(cgroup_tree_add(tree, 1U << 30, "/docker/1/inner/two") > 0);
    assert_int_not_equal(cgroup_tree_find_path(tree, "/inner/two"), CGROUP_NONE);
    tree = cgroup_tree_close(tree);

    /* Mounted at the directory given, wherever that is. */
    char line[256];
    assert_true(snprintf(line, sizeof(line), "34 31 0:30 / %s rw - cgroup2 cgroup2 rw\n", scratch_path(&s, "cgroup")) <
                (int)sizeof(line));
    scratch_write(&s, "proc/self/mountinfo", line);
    tree = open_ok(&s, CGROUP_AUTO);
    assert_int_equal(cgroup_tree_hierarchy(tree), CGROUP_V2);
    assert_null(strstr(cgroup_tree_describe(tree), "hybrid"));
    tree = cgroup_tree_close(tree);
    scratch_done(&s);
}

static void guesses_without_mountinfo(void **state)
{
    /* Each row adds a file to those of the rows before. */
    static const struct {
        const char *file;
        enum cgroup_hierarchy want;
        const char *describe; /* its end is the scratch directory where it ends in " at " */
    } cases[] = {
        {"cgroup/cpu,cpuacct/cpuacct.usage", CGROUP_AUTO, "cgroup v1 cpuacct at cpu,cpuacct"},
        {"cgroup/unified/cgroup.procs", CGROUP_AUTO, "cgroup v2 at unified (hybrid)"},
        {"cgroup/cpuacct/cpuacct.usage", CGROUP_V1, "cgroup v1 cpuacct at cpuacct (hybrid)"},
        {"cgroup/cpuacct.usage", CGROUP_AUTO, "cgroup v1 cpuacct at "},
        {"cgroup/cgroup.controllers", CGROUP_AUTO, "cgroup v2 at "},
    };
    struct scratch s;

    scratch_init(&s);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        scratch_write(&s, cases[i].file, "0\n");
        struct cgroup_tree *tree = open_ok(&s, cases[i].want);
        size_t n = strlen(cases[i].describe);
        const char *describe = cgroup_tree_describe(tree);
        if (cases[i].describe[n - 1] == ' ') {
            assert_memory_equal(describe, cases[i].describe, n);
            assert_string_equal(describe + n, s.env.cgroup.path);
        } else {
            assert_string_equal(describe, cases[i].describe);
        }
        cgroup_tree_close(tree);
    }
    scratch_done(&s);
}

static uint64_t inode(const struct scratch *s, const char *path)
{
    struct stat st;

    assert_int_equal(stat(scratch_path(s, path), &st), 0);
    return st.st_ino;
}

static void scans(void **state)
{
    struct cgroup_tree *tree;
    struct scratch s;

    scratch_init(&s);
    scratch_write(&s, "cgroup/cgroup.controllers", "cpu\n");
    scratch_write(&s, "cgroup/system.slice/ssh.service/cpu.stat", "usage_usec 1500\n");
    scratch_write(&s, "cgroup/system.slice/cron.service/cpu.stat", "usage_usec 3\n");
    tree = open_ok(&s, CGROUP_AUTO);
    assert_int_equal(cgroup_tree_count(tree), 4);

    uint32_t slice = cgroup_tree_find_path(tree, "/system.slice");
    uint32_t ssh = cgroup_tree_find(tree, inode(&s, "cgroup/system.slice/ssh.service"), false);
    uint32_t cron = cgroup_tree_find_path(tree, "/system.slice/cron.service");
    assert_int_not_equal(slice, CGROUP_NONE);
    assert_int_not_equal(ssh, CGROUP_NONE);
    assert_string_equal(cgroup_tree_get(tree, ssh)->path, "/system.slice/ssh.service");
    assert_int_equal(cgroup_tree_get(tree, ssh)->parent, slice);
    assert_int_equal(cgroup_tree_get(tree, slice)->parent, CGROUP_ROOT);
    assert_int_equal(cgroup_tree_get(tree, CGROUP_ROOT)->parent, CGROUP_NONE);
    assert_string_equal(cgroup_tree_get(tree, CGROUP_ROOT)->path, "/");
    assert_int_equal(cgroup_tree_find_path(tree, "/"), CGROUP_ROOT);
    assert_int_equal(cgroup_tree_find_nearest(tree, "/system.slice/new.service/x"), slice);
    assert_int_equal(cgroup_tree_find_nearest(tree, "nonsense"), CGROUP_ROOT);

    uint64_t usage = 0, percpu[2];
    assert_int_equal(cgroup_tree_read_usage(tree, ssh, 42, &usage, NULL), 0);
    assert_int_equal(usage, 1500000);
    assert_int_equal(cgroup_tree_get(tree, ssh)->usage_ns, 1500000);
    assert_int_equal(cgroup_tree_get(tree, ssh)->usage_read_mono_ns, 42);
    assert_int_equal(cgroup_tree_read_usage(tree, CGROUP_ROOT, 42, &usage, NULL), -ENODATA);
    assert_int_equal(cgroup_tree_read_usage(tree, 99, 42, &usage, NULL), -ENOENT);
    assert_int_equal(cgroup_tree_read_usage_percpu(tree, ssh, percpu, 2, NULL), -EOPNOTSUPP);
    scratch_write(&s, "cgroup/system.slice/ssh.service/cpu.stat", "nonsense\n");
    assert_int_equal(cgroup_tree_read_usage(tree, ssh, 42, &usage, NULL), -EPROTO);

    /* One goes, one comes; the entry of the gone one stays until it is released, then its index is free. */
    scratch_remove(&s, "cgroup/system.slice/cron.service");
    scratch_mkdirs(&s, "cgroup/user.slice");
    assert_int_equal(cgroup_tree_scan(tree, NULL), 0);
    uint32_t user = cgroup_tree_find_path(tree, "/user.slice");
    assert_int_not_equal(user, CGROUP_NONE);
    if (user != cron) { /* this file system gave the new directory the old inode: then it is the same entry, revived */
        assert_true(cgroup_tree_get(tree, cron)->gone);
        assert_int_equal(cgroup_tree_find_path(tree, "/system.slice/cron.service"), CGROUP_NONE);
        assert_int_equal(cgroup_tree_read_usage(tree, cron, 43, &usage, NULL), -ENOENT);
        cgroup_tree_release(tree, cron);
        assert_null(cgroup_tree_get(tree, cron));
    }
    cgroup_tree_release(tree, ssh); /* not gone: nothing happens */
    assert_non_null(cgroup_tree_get(tree, ssh));
    cgroup_tree_mark_gone(tree, CGROUP_ROOT);
    assert_false(cgroup_tree_get(tree, CGROUP_ROOT)->gone);
    cgroup_tree_close(tree);
    scratch_done(&s);
}

static void adds(void **state)
{
    struct cgroup_tree *tree;
    struct scratch s;
    const uint64_t id = 1ULL << 40; /* no inode of the scratch directory */

    scratch_init(&s);
    scratch_write(&s, "cgroup/cgroup.controllers", "cpu\n");
    scratch_mkdirs(&s, "cgroup/a");
    tree = open_ok(&s, CGROUP_V2);
    uint32_t a = cgroup_tree_find_path(tree, "/a");

    int b = cgroup_tree_add(tree, id, "/a/b");
    assert_true(b > 0);
    assert_int_equal(cgroup_tree_get(tree, (uint32_t)b)->parent, a);
    assert_int_equal(cgroup_tree_add(tree, id, "/a/b"), b);
    assert_int_equal(cgroup_tree_find(tree, id, false), b);
    int deep = cgroup_tree_add(tree, id + 1, "/a/b/unseen/c"); /* hangs on the nearest that is known */
    assert_int_equal(cgroup_tree_get(tree, (uint32_t)deep)->parent, b);

    /* The same path made again is another cgroup; the old one is gone. */
    int again = cgroup_tree_add(tree, id + 2, "/a/b");
    assert_int_not_equal(again, b);
    assert_true(cgroup_tree_get(tree, (uint32_t)b)->gone);
    assert_int_equal(cgroup_tree_find_path(tree, "/a/b"), again);
    cgroup_tree_release(tree, (uint32_t)b);
    assert_int_equal(cgroup_tree_get(tree, (uint32_t)deep)->parent, a);
    assert_int_equal(cgroup_tree_find_path(tree, "/a/b"), again);
    assert_int_equal(cgroup_tree_find(tree, id, false), CGROUP_NONE);
    int d = cgroup_tree_add(tree, id + 3, "/a/d");
    assert_int_not_equal(d, b); /* who still holds b finds nothing for a while */

    /* Renamed (v1 can). */
    assert_int_equal(cgroup_tree_add(tree, id + 3, "/a/e"), d);
    assert_int_equal(cgroup_tree_find_path(tree, "/a/d"), CGROUP_NONE);
    assert_int_equal(cgroup_tree_find_path(tree, "/a/e"), d);

    static const char *const wrong[] = {"", "a", "/a/", "//", "/a//b", "/a/../b", "/..", "/a/.", "/"};
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        assert_int_equal(cgroup_tree_add(tree, id + 9, wrong[i]), -EINVAL);
    assert_int_equal(cgroup_tree_add(tree, 0, "/z"), -EINVAL);
    assert_int_equal(cgroup_tree_add(tree, inode(&s, "cgroup"), "/z"), -EINVAL);
    assert_int_equal(cgroup_tree_add(tree, inode(&s, "cgroup"), "/"), CGROUP_ROOT);
    assert_int_equal(cgroup_tree_add(tree, inode(&s, "cgroup/a"), "/a/e/f/g"), -EINVAL); /* below itself */

    char path[CGROUP_PATH_MAX + 8];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(cgroup_tree_add(tree, id + 9, path), -E2BIG);
    for (size_t i = 0; i < 2 * (CGROUP_DEPTH_MAX + 1); i += 2)
        memcpy(path + i, "/y", 3);
    assert_int_equal(cgroup_tree_add(tree, id + 9, path), -E2BIG);

    /* What events name and no walk finds is searched for once. */
    assert_int_equal(cgroup_tree_find(tree, id + 77, true), CGROUP_NONE);
    assert_int_equal(cgroup_tree_find(tree, id + 77, true), CGROUP_NONE);
    scratch_mkdirs(&s, "cgroup/late");
    assert_int_not_equal(cgroup_tree_find(tree, inode(&s, "cgroup/late"), true), CGROUP_NONE);
    cgroup_tree_close(tree);
    scratch_done(&s);
}

static int add_numbered(struct cgroup_tree *tree, uint64_t id)
{
    char path[64];

    snprintf(path, sizeof(path), "/n%" PRIu64, id);
    return cgroup_tree_add(tree, id, path);
}

static void released_indexes_rest(void **state)
{
    struct cgroup_tree *tree;
    struct scratch s;
    uint64_t id = 1ULL << 40; /* no inode of the scratch directory */

    scratch_init(&s);
    scratch_write(&s, "cgroup/cgroup.controllers", "cpu\n");
    tree = open_ok(&s, CGROUP_V2);
    int kept = add_numbered(tree, id++), first = add_numbered(tree, id++);
    cgroup_tree_mark_gone(tree, (uint32_t)first);
    cgroup_tree_release(tree, (uint32_t)first);

    /* As many more come and go before it is given out again, and no more indexes than that are in use. */
    int other;
    unsigned others = 0;
    while ((other = add_numbered(tree, id++)) != first) {
        assert_true(other > kept);
        assert_null(cgroup_tree_get(tree, (uint32_t)first));
        cgroup_tree_mark_gone(tree, (uint32_t)other);
        cgroup_tree_release(tree, (uint32_t)other);
        assert_true(++others <= CGROUP_RESTING);
    }
    assert_int_equal(others, CGROUP_RESTING);
    assert_true(cgroup_tree_count(tree) <= CGROUP_RESTING + 3);
    assert_true(add_numbered(tree, id++) > CGROUP_RESTING); /* those after the first still rest */

    /* Where there is no other left, one that rests is better than none: the oldest. */
    while (cgroup_tree_count(tree) < CGROUPS_MAX)
        assert_true(add_numbered(tree, id++) > 0);
    int r;
    while ((r = add_numbered(tree, id++)) > 0)
        ;
    assert_int_equal(r, -E2BIG);
    static const uint32_t released[] = {700, 500, 600};
    for (size_t i = 0; i < ELEMENTSOF(released); i++) {
        cgroup_tree_mark_gone(tree, released[i]);
        cgroup_tree_release(tree, released[i]);
    }
    for (size_t i = 0; i < ELEMENTSOF(released); i++)
        assert_int_equal(add_numbered(tree, id++), released[i]);
    assert_int_equal(add_numbered(tree, id++), -E2BIG);
    cgroup_tree_close(tree);
    scratch_done(&s);
}

/* Renamed, and others made under the old names, between two scans. Enough of them that both orders of meeting old and
 * new in a directory occur. */
static void renamed_and_made_anew(void **state)
{
    enum { N = 20 };
    struct cgroup_tree *tree;
    uint32_t index[N], inner[N];
    char path[64], to[64];
    struct scratch s;

    scratch_init(&s);
    scratch_write(&s, "cgroup/cgroup.controllers", "cpu\n");
    for (unsigned i = 0; i < N; i++) {
        snprintf(path, sizeof(path), "cgroup/a%u/in", i);
        scratch_mkdirs(&s, path);
    }
    tree = open_ok(&s, CGROUP_V2);
    for (unsigned i = 0; i < N; i++) {
        snprintf(path, sizeof(path), "/a%u/in", i);
        inner[i] = cgroup_tree_find_path(tree, path);
        index[i] = cgroup_tree_get(tree, inner[i])->parent;
        snprintf(path, sizeof(path), "cgroup/a%u", i);
        snprintf(to, sizeof(to), "cgroup/b%u", i);
        assert_int_equal(rename(scratch_path(&s, path), scratch_path(&s, to)), 0);
        snprintf(path, sizeof(path), "cgroup/a%u/in", i);
        scratch_mkdirs(&s, path);
    }
    const char *held = cgroup_tree_get(tree, inner[0])->path; /* good until the scan */
    assert_string_equal(held, "/a0/in");
    assert_int_equal(cgroup_tree_scan(tree, NULL), 0);
    assert_int_equal(cgroup_tree_count(tree), 1 + 4 * N);
    for (unsigned i = 0; i < N; i++) {
        snprintf(path, sizeof(path), "/b%u", i);
        assert_string_equal(cgroup_tree_get(tree, index[i])->path, path);
        assert_false(cgroup_tree_get(tree, index[i])->gone);
        assert_int_equal(cgroup_tree_find_path(tree, path), index[i]);
        snprintf(path, sizeof(path), "/b%u/in", i);
        assert_string_equal(cgroup_tree_get(tree, inner[i])->path, path);
        assert_int_equal(cgroup_tree_get(tree, inner[i])->parent, index[i]);
        assert_int_equal(cgroup_tree_find_path(tree, path), inner[i]);

        snprintf(path, sizeof(path), "/a%u/in", i);
        uint32_t fresh = cgroup_tree_find_path(tree, path);
        assert_int_not_equal(fresh, CGROUP_NONE);
        assert_int_not_equal(fresh, inner[i]);
        assert_string_equal(cgroup_tree_get(tree, fresh)->path, path);
        snprintf(path, sizeof(path), "cgroup/a%u/in", i);
        assert_int_equal(cgroup_tree_get(tree, fresh)->id, inode(&s, path));
    }

    /* Two change names with each other. */
    uint32_t a0 = cgroup_tree_find_path(tree, "/a0"), b0 = index[0];
    assert_int_equal(rename(scratch_path(&s, "cgroup/a0"), scratch_path(&s, "cgroup/x")), 0);
    assert_int_equal(rename(scratch_path(&s, "cgroup/b0"), scratch_path(&s, "cgroup/a0")), 0);
    assert_int_equal(rename(scratch_path(&s, "cgroup/x"), scratch_path(&s, "cgroup/b0")), 0);
    assert_int_equal(cgroup_tree_scan(tree, NULL), 0);
    assert_int_equal(cgroup_tree_find_path(tree, "/a0"), b0);
    assert_int_equal(cgroup_tree_find_path(tree, "/b0"), a0);
    assert_int_equal(cgroup_tree_count(tree), 1 + 4 * N);

    /* One takes the name of one that was removed. */
    scratch_remove(&s, "cgroup/b1");
    assert_int_equal(rename(scratch_path(&s, "cgroup/a1"), scratch_path(&s, "cgroup/b1")), 0);
    uint32_t a1 = cgroup_tree_find_path(tree, "/a1"), b1 = index[1];
    assert_int_equal(cgroup_tree_scan(tree, NULL), 0);
    assert_true(cgroup_tree_get(tree, b1)->gone);
    assert_int_equal(cgroup_tree_find_path(tree, "/b1"), a1);
    cgroup_tree_release(tree, b1);
    assert_int_equal(cgroup_tree_find_path(tree, "/b1"), a1);
    cgroup_tree_close(tree);
    scratch_done(&s);
}

/* cpu.stat has what is wanted in its first line; read_usage must not rely on it. */
static void usage_anywhere_in_the_file(void **state)
{
    static const struct {
        const char *text;
        uint64_t usage_ns;
    } files[] = {
        {"usage_usec 18446744073709551\nuser_usec 1\nsystem_usec 2\nnr_periods 0\nnr_throttled 0\n",
         18446744073709551000U},
        {"usage_usec 7", 7000},
        {"nr_periods 0\nnr_throttled 0\nthrottled_usec 12345\nusage_usec 123456789\nuser_usec 5\n", /* cut in the number
                                                                                                     */
         123456789000},
        {"one_line_that_is_longer_than_what_is_read_at_first_and_means_nothing 1\nusage_usec 9\n", 9000},
    };
    struct cgroup_tree *tree;
    struct scratch s;
    uint64_t usage;

    scratch_init(&s);
    scratch_write(&s, "cgroup/cgroup.controllers", "cpu\n");
    scratch_mkdirs(&s, "cgroup/a");
    tree = open_ok(&s, CGROUP_V2);
    uint32_t a = cgroup_tree_find_path(tree, "/a");
    for (size_t i = 0; i < ELEMENTSOF(files); i++) {
        scratch_write(&s, "cgroup/a/cpu.stat", files[i].text);
        assert_int_equal(cgroup_tree_read_usage(tree, a, 1, &usage, NULL), 0);
        assert_int_equal(usage, files[i].usage_ns);
    }
    scratch_write(&s, "cgroup/a/cpu.stat", "");
    assert_int_equal(cgroup_tree_read_usage(tree, a, 1, &usage, NULL), -EPROTO);
    cgroup_tree_close(tree);
    scratch_done(&s);
}

static void limits(void **state)
{
    struct cgroup_tree *tree;
    struct scratch s;
    char path[PATH_MAX];

    scratch_init(&s);
    scratch_write(&s, "cgroup/cgroup.controllers", "cpu\n");
    size_t len = (size_t)snprintf(path, sizeof(path), "cgroup");
    for (unsigned i = 0; i < CGROUP_DEPTH_MAX + 3; i++)
        len += (size_t)snprintf(path + len, sizeof(path) - len, "/d");
    scratch_mkdirs(&s, path);
    tree = open_ok(&s, CGROUP_V2);
    assert_int_equal(cgroup_tree_count(tree), CGROUP_DEPTH_MAX + 1);
    assert_int_equal(cgroup_tree_dropped(tree), 1);
    /* The cgroup left out is billed to the last that fits. */
    assert_int_equal(cgroup_tree_find_nearest(tree, path + strlen("cgroup")), CGROUP_DEPTH_MAX);

    int r = 0;
    uint32_t added = 0;
    for (uint64_t id = 1ULL << 40; r >= 0 && added <= CGROUPS_MAX; id++, added++) {
        snprintf(path, sizeof(path), "/n%" PRIu64, id);
        r = cgroup_tree_add(tree, id, path);
    }
    assert_int_equal(r, -E2BIG);
    assert_int_equal(cgroup_tree_count(tree), CGROUPS_MAX);
    scratch_mkdirs(&s, "cgroup/other");
    assert_int_equal(cgroup_tree_scan(tree, NULL), 0);
    assert_int_equal(cgroup_tree_dropped(tree), 2);
    /* That walk has marked the invented ones gone: released, they make room. */
    for (uint32_t i = 0, n = cgroup_tree_count(tree); i < n; i++)
        cgroup_tree_release(tree, i);
    assert_int_equal(cgroup_tree_count(tree), CGROUP_DEPTH_MAX + 1);
    assert_int_equal(cgroup_tree_scan(tree, NULL), 0);
    assert_int_not_equal(cgroup_tree_find_path(tree, "/other"), CGROUP_NONE);
    cgroup_tree_close(tree);
    scratch_done(&s);
}

/* Does what the kernel does: makes, uses, renames and removes cgroups below `base` of the tree's hierarchy. */
static void kernel_round(const struct carnot_env *env, enum cgroup_hierarchy want)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct cgroup_places places = {0};
    struct cgroup_tree *tree = NULL;
    char dir[PATH_MAX], sub[PATH_MAX], name[64], path[CGROUP_PATH_MAX];
    uint64_t usage = 0;

    assert_int_equal(cgroup_locate(env, &places, NULL), 0);
    const struct cgroup_place *place = want == CGROUP_V2 ? &places.v2 : &places.v1;
    if (!place->found) {
        print_message("skipped: no cgroup %s here\n", want == CGROUP_V2 ? "v2" : "v1 cpuacct");
        cgroup_places_done(&places);
        skip();
    }
    snprintf(name, sizeof(name), "carnot-test-%d", (int)getpid());
    assert_true(snprintf(dir, sizeof(dir), "%s/%s/%s", env->cgroup.path, place->dir, name) < (int)sizeof(dir));
    cgroup_places_done(&places);
    if (mkdir(dir, 0755) < 0) {
        print_message("skipped: cannot make %s: %s\n", dir, strerror(errno));
        skip();
    }
    int r = cgroup_tree_open(env, want, &tree, &err);
    snprintf(path, sizeof(path), "/%s", name);
    uint32_t index = r < 0 ? CGROUP_NONE : cgroup_tree_find_path(tree, path);
    int usage_r = r < 0 ? r : cgroup_tree_read_usage(tree, index, 1, &usage, NULL);

    assert_true(snprintf(sub, sizeof(sub), "%s/inner", dir) < (int)sizeof(sub));
    int sub_r = mkdir(sub, 0755);
    int scan_r = r < 0 ? r : cgroup_tree_scan(tree, NULL);
    uint32_t parent_of_sub = CGROUP_NONE;
    if (scan_r == 0) {
        snprintf(path, sizeof(path), "/%s/inner", name);
        uint32_t i = cgroup_tree_find_path(tree, path);
        parent_of_sub = i == CGROUP_NONE ? CGROUP_NONE : cgroup_tree_get(tree, i)->parent;
    }
    rmdir(sub);
    rmdir(dir);
    assert_int_equal(r, 0);
    assert_int_equal(sub_r, 0);
    assert_int_equal(scan_r, 0);
    assert_int_not_equal(index, CGROUP_NONE);
    assert_int_equal(usage_r, 0);
    assert_int_equal(parent_of_sub, index);
    assert_int_equal(cgroup_tree_scan(tree, NULL), 0);
    assert_true(cgroup_tree_get(tree, index)->gone);
    r = cgroup_tree_read_usage(tree, index, 2, &usage, NULL);
    assert_true(r == -ENOENT || r == -ENODEV);
    cgroup_tree_close(tree);
}

/* The kernel's own renames: v1 allows them. */
static void kernel_v1_renames(void **state)
{
    struct cgroup_places places = {0};
    struct cgroup_tree *tree = NULL;
    struct carnot_env env;
    char old[PATH_MAX], new[PATH_MAX + 8], name[64];

    assert_int_equal(carnot_env_open(NULL, NULL, NULL, NULL, &env, NULL), 0);
    assert_int_equal(cgroup_locate(&env, &places, NULL), 0);
    snprintf(name, sizeof(name), "/carnot-rename-%d", (int)getpid());
    if (places.v1.found)
        assert_true(snprintf(old, sizeof(old), "%s/%s%s", env.cgroup.path, places.v1.dir, name) < (int)sizeof(old));
    if (!places.v1.found || mkdir(old, 0755) < 0) {
        print_message("skipped: %s\n", places.v1.found ? strerror(errno) : "no cgroup v1 cpuacct here");
        cgroup_places_done(&places);
        carnot_env_close(&env);
        skip();
    }
    cgroup_places_done(&places);
    snprintf(new, sizeof(new), "%s-new", old);
    int r = cgroup_tree_open(&env, CGROUP_V1, &tree, NULL);
    uint32_t index = r < 0 ? CGROUP_NONE : cgroup_tree_find_path(tree, name);
    int renamed = rename(old, new) < 0 ? -errno : 0;
    int made = mkdir(old, 0755) < 0 ? -errno : 0;
    int scanned = r < 0 ? r : cgroup_tree_scan(tree, NULL);
    uint64_t usage = 0;
    int usage_r = r < 0 ? r : cgroup_tree_read_usage(tree, index, 1, &usage, NULL);
    rmdir(old);
    rmdir(new);
    assert_int_equal(r, 0);
    assert_int_equal(renamed, 0);
    assert_int_equal(made, 0);
    assert_int_equal(scanned, 0);
    assert_int_equal(usage_r, 0);
    assert_string_equal(strrchr(cgroup_tree_get(tree, index)->path, '/'), strrchr(new, '/'));
    uint32_t fresh = cgroup_tree_find_path(tree, name);
    assert_int_not_equal(fresh, CGROUP_NONE);
    assert_int_not_equal(fresh, index);
    cgroup_tree_close(tree);
    carnot_env_close(&env);
}

static void kernel_v1(void **state)
{
    struct carnot_env env;

    assert_int_equal(carnot_env_open(NULL, NULL, NULL, NULL, &env, NULL), 0);
    kernel_round(&env, CGROUP_V1);
    carnot_env_close(&env);
}

static void kernel_v2(void **state)
{
    struct carnot_env env;

    assert_int_equal(carnot_env_open(NULL, NULL, NULL, NULL, &env, NULL), 0);
    kernel_round(&env, CGROUP_V2);
    carnot_env_close(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mount_lines),
        cmocka_unit_test(membership),
        cmocka_unit_test(below_mount),
        cmocka_unit_test(usage_texts),
        cmocka_unit_test(finds_hierarchies),
        cmocka_unit_test(guesses_without_mountinfo),
        cmocka_unit_test(scans),
        cmocka_unit_test(adds),
        cmocka_unit_test(released_indexes_rest),
        cmocka_unit_test(renamed_and_made_anew),
        cmocka_unit_test(usage_anywhere_in_the_file),
        cmocka_unit_test(limits),
        cmocka_unit_test(kernel_v1_renames),
        cmocka_unit_test(kernel_v1),
        cmocka_unit_test(kernel_v2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
