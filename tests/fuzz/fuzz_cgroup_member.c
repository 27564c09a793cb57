/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/cgroup: any bytes give a path that begins with '/' and lies in the text, and below a mount likewise. The
 * first line is the mount's root. */
#include "check.h"
#include "sources/cgroup_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const controllers[] = {NULL, "cpuacct"};
    struct text rest = {(const char *)data, size}, first = {"", 0}, path;
    char root[256], out[64];
    int id;

    scan_line(&rest, &first);
    size_t n = min_size(first.n, sizeof(root) - 1);
    memcpy(root, first.p, n);
    root[n] = '\0';
    for (size_t i = 0; i < ELEMENTSOF(controllers); i++) {
        if (cgroup_parse_membership(rest, controllers[i], &id, &path) < 0)
            continue;
        CHECK(id >= 0 && path.n > 0 && path.p[0] == '/');
        CHECK(path.p >= rest.p && path.p + path.n <= rest.p + rest.n);
        CHECK(!memchr(path.p, '\n', path.n));
        if (cgroup_parse_below(path, root, out, sizeof(out)) == 0)
            CHECK(out[0] == '/' && strncmp(out, "/../", 4) != 0);
    }
    return 0;
}
