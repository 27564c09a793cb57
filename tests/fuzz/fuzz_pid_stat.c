/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/stat, schedstat and children: any bytes give a name that ends and times that fit into nanoseconds. */
#include "check.h"
#include "sources/proc_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = {(const char *)data, size}, rest = text;
    struct proc_pid_stat stat;
    uint32_t pid;
    uint64_t ns;
    size_t n = 0;

    if (proc_parse_pid_stat(text, &stat) == 0) {
        CHECK(strnlen(stat.comm, sizeof(stat.comm)) < sizeof(stat.comm));
        CHECK(stat.cpu_ticks <= UINT64_MAX / NS_PER_TICK && stat.start_ticks <= UINT64_MAX / NS_PER_TICK);
    }
    proc_parse_schedstat(text, &ns);
    while (proc_scan_child(&rest, &pid)) {
        CHECK(pid > 0);
        CHECK(++n <= size);
    }
    return 0;
}
