/* SPDX-License-Identifier: Apache-2.0 */
/* Method smt: on-CPU time, with what two hyperthreads of a core have in common shared between them (HaPPy). Knows who
 * ran beside whom for how long; does not know what they did. */
#include <errno.h>
#include <stdlib.h>

#include "attribution/method_internal.h"

struct smt {
    struct group_sums groups;
    double factor;
};

static int smt_open(const struct method_settings *settings, void **ret_self, struct carnot_err *err)
{
    struct smt *self;
    int r = settings_check(settings, err);

    if (r < 0)
        return r;
    self = calloc(1, sizeof(*self));
    if (!self)
        return carnot_err_set(err, ENOMEM, "no memory for the method smt");
    self->factor = settings->smt_factor;
    *ret_self = self;
    return 0;
}

static void smt_split(void *arg, const struct method_window *window, uint64_t *ret_uj, struct method_error *ret_errors,
                      struct method_result *ret_result)
{
    struct smt *self = arg;

    if (window->dram)
        split_memory(&self->groups, window, ret_uj, ret_errors, ret_result);
    else
        split_by_smt(&self->groups, window, self->factor, ret_uj, ret_errors, ret_result);
}

static void *smt_close(void *arg)
{
    struct smt *self = arg;

    if (self)
        free(self->groups.sum);
    free(self);
    return NULL;
}

const struct method_ops method_smt = {
    .name = "smt",
    .summary = "in proportion to on-CPU time, a core with both hyperthreads busy counting 1.1 times",
    .needs = FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS),
    .conserves = true,
    .open = smt_open,
    .split = smt_split,
    .close = smt_close,
};
