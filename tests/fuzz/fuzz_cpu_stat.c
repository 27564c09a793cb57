/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.stat and cpuacct.usage_percpu: any bytes give whole microseconds or an error, and never more CPUs than asked. */
#include "check.h"
#include "sources/cgroup_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = {(const char *)data, size};
    uint64_t ns = 7, cpus[5] = {0, 0, 0, 0, 77};

    if (cgroup_parse_cpu_stat(text, &ns) == 0)
        CHECK(ns % 1000 == 0);
    else
        CHECK(ns == 7);
    CHECK(cgroup_parse_percpu(text, cpus, 4) <= 4);
    CHECK(cpus[4] == 77);
    return 0;
}
