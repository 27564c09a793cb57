/* SPDX-License-Identifier: Apache-2.0 */
/* THE list of ways to know activity, in order of preference: the first whose probe says yes is used. */
#include "sources/activity.h"

const struct activity_ops *const activity_registry[] = {
    &activity_bpf,
    &activity_procfs,
};
const size_t activity_registry_count = ELEMENTSOF(activity_registry);
