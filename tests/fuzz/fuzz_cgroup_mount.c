/* SPDX-License-Identifier: Apache-2.0 */
/* mountinfo: any bytes give texts inside the line, and paths that fit and hold no NUL. */
#include "check.h"
#include "sources/cgroup_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(struct text escaped)
{
    char small[8], large[4096];
    int n = cgroup_parse_mount_path(escaped, large, sizeof(large));
    int m = cgroup_parse_mount_path(escaped, small, sizeof(small));

    if (n >= 0)
        CHECK(strlen(large) == (size_t)n && (size_t)n <= escaped.n);
    if (n >= 0 && (size_t)n < sizeof(small))
        CHECK(m == n && strcmp(small, large) == 0);
    if (n >= (int)sizeof(small))
        CHECK(m < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {(const char *)data, size}, line;
    struct cgroup_mount mount;

    while (scan_line(&rest, &line)) {
        if (cgroup_parse_mount(line, &mount) < 0)
            continue;
        CHECK(mount.root.n && mount.point.n && mount.fs_type.n);
        CHECK(mount.root.p >= line.p && mount.fs_type.p + mount.fs_type.n <= line.p + line.n);
        check_path(mount.root);
        check_path(mount.point);
        cgroup_list_has(mount.options, "cpuacct");
    }
    return 0;
}
