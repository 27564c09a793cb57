/* SPDX-License-Identifier: Apache-2.0 */
/* THE list of methods of attribution. */
#include <string.h>

#include "attribution/method_internal.h"

const struct method_ops *const method_registry[] = {
    &method_cpu_time,
    &method_smt,
    &method_counters,
    &method_energat,
};
const size_t method_registry_count = ELEMENTSOF(method_registry);

const struct method_ops *method_find(const char *name)
{
    for (size_t i = 0; i < method_registry_count; i++) {
        if (strcmp(method_registry[i]->name, name) == 0)
            return method_registry[i];
    }
    return NULL;
}
