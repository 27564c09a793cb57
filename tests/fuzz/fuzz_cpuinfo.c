/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/cpuinfo: any bytes give names that are printable and NUL-terminated, and a walk that ends. */
#include "model/cpuinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = {(const char *)data, size}, rest = text;
    struct cpuinfo_head head;
    struct cpuinfo_cpu cpu;
    size_t n = 0;

    cpuinfo_parse_head(text, &head);
    if (strnlen(head.model_name, sizeof(head.model_name)) == sizeof(head.model_name))
        abort();
    for (const char *c = head.model_name; *c; c++) {
        if (*c < ' ' || *c > '~')
            abort();
    }
    while (cpuinfo_next(&rest, &cpu)) {
        if (cpu.package < -1 || cpu.core < -1 || ++n > size)
            abort();
    }
    return 0;
}
