/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/stat and /proc/meminfo: any bytes give a walk that ends and figures that keep their order. */
#include "sources/proc_stat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = {(const char *)data, size}, rest = text;
    struct proc_stat_cpu cpu;
    uint64_t used, total;
    size_t n = 0;

    while (proc_stat_next_cpu(&rest, &cpu)) {
        if (++n > size)
            abort();
    }
    if (meminfo_used_bytes(text, &used, &total) == 0 && used > total)
        abort();
    return 0;
}
