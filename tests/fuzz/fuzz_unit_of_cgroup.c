/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroup paths: any bytes give a name that is not empty and ends, and the words of a fixed set. */
#include "check.h"
#include "units/unit.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"service", "scope",   "slice", "container", "pod",
                                        "vm",      "session", "root",  "cgroup"};
    char *path = malloc(size + 1);
    struct unit_info info;
    bool known = false;

    if (!path)
        return 0;
    memcpy(path, data, size);
    path[size] = '\0';
    memset(&info, 0xFF, sizeof(info));
    unit_of_cgroup(path, &info);
    free(path);
    CHECK(info.name[0] && strnlen(info.name, sizeof(info.name)) < sizeof(info.name));
    CHECK(strnlen(info.id, sizeof(info.id)) < sizeof(info.id));
    for (size_t i = 0; i < ELEMENTSOF(types); i++)
        known |= strcmp(info.type, types[i]) == 0;
    CHECK(known && info.manager);
    return 0;
}
