/* SPDX-License-Identifier: Apache-2.0 */
/* Method cpu_time: active energy in proportion to on-CPU time. Knows nothing of what CPUs did in that time. */
#include <errno.h>
#include <stdlib.h>

#include "attribution/method_internal.h"

struct cpu_time {
    struct group_sums groups;
};

static int cpu_time_open(const struct method_settings *settings, void **ret_self, struct carnot_err *err)
{
    struct cpu_time *self;

    (void)settings;
    self = calloc(1, sizeof(*self));
    if (!self)
        return carnot_err_set(err, ENOMEM, "no memory for the method cpu_time");
    *ret_self = self;
    return 0;
}

static void cpu_time_split(void *arg, const struct method_window *window, uint64_t *ret_uj,
                           struct method_error *ret_errors, struct method_result *ret_result)
{
    struct cpu_time *self = arg;

    if (window->dram)
        split_memory(&self->groups, window, ret_uj, ret_errors, ret_result);
    else
        split_by_cpu_time(&self->groups, window, ret_uj, ret_errors, ret_result);
}

static void *cpu_time_close(void *arg)
{
    struct cpu_time *self = arg;

    if (self)
        free(self->groups.sum);
    free(self);
    return NULL;
}

const struct method_ops method_cpu_time = {
    .name = "cpu_time",
    .summary = "in proportion to on-CPU time",
    .needs = FEATURE_BIT(FEATURE_CPU_NS),
    .conserves = true,
    .open = cpu_time_open,
    .split = cpu_time_split,
    .close = cpu_time_close,
};
