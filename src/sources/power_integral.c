/* SPDX-License-Identifier: Apache-2.0 */
/* Power over time into whole microjoules, remainder carried. Refuses to bridge a gap longer than it was told. */
#include "sources/power_integral.h"

#include "base/clock.h"

/* Sums are kept in halves of uW * ns, since the trapezoid divides by two: 2e9 of them make a microjoule. */
#define HALVES_PER_UJ 2000000000ULL

void power_integral_init(struct power_integral *integral, enum power_rule rule, uint64_t max_gap_ns)
{
    *integral = (struct power_integral){.rule = rule, .max_gap_ns = max_gap_ns};
}

/* 64 bits of power by 64 of time are 128; with the factor of two, 129: times are below max_gap_ns here. */
static void accumulate(struct power_integral *integral, uint64_t power_uw, uint64_t duration_ns)
{
    unsigned __int128 power_sum = integral->last_uw;
    unsigned __int128 halves;

    power_sum += integral->rule == POWER_TRAPEZOID ? power_uw : integral->last_uw;
    halves = power_sum * duration_ns + integral->rest;
    integral->uj += (uint64_t)(halves / HALVES_PER_UJ);
    integral->rest = (uint64_t)(halves % HALVES_PER_UJ);
}

enum power_step power_integral_add(struct power_integral *integral, uint64_t power_uw, uint64_t now_ns)
{
    enum power_step step = POWER_ADDED;

    if (integral->primed && now_ns < integral->last_ns)
        return POWER_BACK;

    uint64_t duration_ns = now_ns - integral->last_ns;
    if (!integral->primed) {
        step = POWER_FIRST;
    } else if (duration_ns == 0) {
        step = POWER_BACK;
    } else if (duration_ns > integral->max_gap_ns) {
        integral->gaps++;
        integral->gap_ns += duration_ns;
        step = POWER_GAP;
    } else {
        accumulate(integral, power_uw, duration_ns);
    }
    integral->last_uw = power_uw;
    integral->last_ns = now_ns;
    integral->primed = true;
    return step;
}

void power_integral_reset(struct power_integral *integral)
{
    if (integral->primed)
        integral->gaps++;
    integral->primed = false;
}
