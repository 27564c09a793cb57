/* SPDX-License-Identifier: Apache-2.0 */
/* See governor.h. */
#include "agent/governor.h"

#include <errno.h>

#include "agent/state_file.h"

struct governor {
    const struct meter *meter;
    const char *epoch;
    struct state_identity identity;
    struct meter_counters counters; /* filled for each answer */
};

int governor_new(const struct carnot_env *env, const struct meter *meter, const char *epoch,
                 struct governor **ret_governor)
{
    struct governor *governor = calloc(1, sizeof(*governor));

    if (!governor)
        return -ENOMEM;
    governor->meter = meter;
    governor->epoch = epoch;
    state_identity_read(env, &governor->identity);
    *ret_governor = governor;
    return 0;
}

struct governor *governor_free(struct governor *governor)
{
    free(governor);
    return NULL;
}

int governor_answer_legacy(struct governor *governor, struct buf *answer)
{
    if (meter_counters(governor->meter, &governor->counters) < 0)
        return governor_write_warming_up(answer);
    return governor_write_legacy(&governor->counters, governor->epoch, answer);
}

int governor_answer_counters(struct governor *governor, struct buf *answer)
{
    const struct governor_run run = {.epoch = governor->epoch, .boot = governor->identity.boot};
    int r = meter_counters(governor->meter, &governor->counters);

    return r < 0 ? r : governor_write_counters(&governor->counters, &run, answer);
}
