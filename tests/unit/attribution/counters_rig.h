/* SPDX-License-Identifier: Apache-2.0 */
/* The method counters on a simulated package. */
#ifndef CARNOT_UNIT_ATTRIBUTION_COUNTERS_RIG_H
#define CARNOT_UNIT_ATTRIBUTION_COUNTERS_RIG_H

#include <string.h>

#include "../base/unit_test.h"
#include "attribution/method.h"
#include "synthetic.h"

#define LEARN    300 /* windows before anything is looked at */
#define WORTH_UJ 1e6 /* shares below a joule are left out of relative errors */

#define assert_between(value, low, high)                                                                               \
    do {                                                                                                               \
        if (!((value) >= (low) && (value) <= (high)))                                                                  \
            fail_msg("%s = %g, wanted %g to %g", #value, (double)(value), (double)(low), (double)(high));              \
    } while (0)

static inline void *open_counters(double spread)
{
    struct method_settings settings = METHOD_SETTINGS_DEFAULT;
    void *self = NULL;

    settings.spread = spread;
    assert_int_equal(method_find("counters")->open(&settings, &self, NULL), 0);
    return self;
}

static inline void close_counters(void *self)
{
    method_find("counters")->close(self);
}

struct answer {
    uint64_t uj[SYNTHETIC_TENANTS_MAX];
    struct method_error errors[SYNTHETIC_TENANTS_MAX];
    struct method_result result;
};

static inline void ask(void *self, const struct method_window *window, struct answer *ret)
{
    method_find("counters")->split(self, window, ret->uj, ret->errors, &ret->result);
}

static inline void learn(void *self, struct synthetic_run *run, unsigned windows)
{
    struct synthetic_window window;
    struct answer answer;

    for (unsigned i = 0; i < windows; i++) {
        synthetic_step(run, &window);
        ask(self, &window.window, &answer);
    }
}

/* Tenants that rest now and then, so that the package idles and wakes. */
static inline void let_rest(struct synthetic_machine *machine)
{
    for (size_t t = 0; t < machine->n; t++) {
        machine->tenant[t].activity = 0.25;
        machine->tenant[t].swing = 2.0;
    }
}

#endif
