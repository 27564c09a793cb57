/* SPDX-License-Identifier: Apache-2.0 */
/* Wrap, reset and gap of one counter. Knows two readings and the time between them; refuses to guess what happened
 * more than once in between. */
#include "attribution/delta.h"

#include "base/clock.h"
#include "model/quantity.h"

/* A domain whose limit nobody told. Ten times the largest single part sold, so that only garbage is refused. */
#define ASSUMED_MAX_UW (10000ULL * 1000000)

/* The same for the question "may it have wrapped unseen?", where a limit set too high would flag every slow reader:
 * a 61 uJ counter (262 kJ) is good for 131 s then. */
#define ASSUMED_GAP_UW (2000ULL * 1000000)

/* Slack of the plausibility bound. Counters are updated every millisecond or so, hence a reading may hold energy of a
 * little before; two readings in one instant must not be refused. */
#define SLACK_UJ (10 * UJ_PER_J)

/* max_uw x time x 2 + 10 J */
static uint64_t plausible_uj(uint64_t max_uw, uint64_t duration_ns)
{
    uint64_t most = energy_of_power_uj(max_uw ? max_uw : ASSUMED_MAX_UW, duration_ns);

    return add_saturating_u64(add_saturating_u64(most, most), SLACK_UJ);
}

static bool may_have_wrapped_unseen(uint64_t modulus_uj, uint64_t max_uw, uint64_t duration_ns)
{
    return modulus_uj && energy_of_power_uj(max_uw ? max_uw : ASSUMED_GAP_UW, duration_ns) >= modulus_uj;
}

enum delta_kind delta_step(struct delta *delta, uint64_t counter_uj, uint64_t modulus_uj, uint64_t max_uw,
                           uint64_t now_ns, uint64_t *ret_uj)
{
    uint64_t last_uj = delta->last_uj;
    uint64_t duration_ns = now_ns > delta->last_ns ? now_ns - delta->last_ns : 0;
    bool primed = delta->primed;

    delta->last_uj = counter_uj;
    delta->last_ns = now_ns;
    delta->primed = true;
    *ret_uj = 0;
    if (!primed)
        return DELTA_FIRST;

    uint64_t plausible = plausible_uj(max_uw, duration_ns);
    bool back = counter_uj < last_uj;
    uint64_t difference;

    if (!back) {
        difference = counter_uj - last_uj;
        if (difference > plausible) {
            delta->absurd++;
            return DELTA_ABSURD;
        }
    } else {
        /* A baseline at or beyond the modulus cannot have wrapped at it. */
        difference = last_uj < modulus_uj ? counter_uj + (modulus_uj - last_uj) : UINT64_MAX;
        if (difference > plausible) {
            delta->resets++;
            return DELTA_RESET;
        }
        delta->wraps++;
    }

    delta->total_uj += difference;
    *ret_uj = difference;
    if (may_have_wrapped_unseen(modulus_uj, max_uw, duration_ns)) {
        delta->gaps++;
        return DELTA_GAP;
    }
    return back ? DELTA_WRAPPED : DELTA_FORWARD;
}

void delta_rebase(struct delta *delta)
{
    if (delta->primed)
        delta->gaps++;
    delta->primed = false;
}
