/* SPDX-License-Identifier: Apache-2.0 */
/* The delta against a counter whose true energy is known, over a million random steps and many counters: nothing is
 * ever invented, and what is lost is lost in a step that is flagged (first, reset, gap, absurd). One exception is
 * written out below because no observer could do better: a reset that left the counter higher than it was before.
 *
 * CARNOT_PROPERTY_SEED and CARNOT_PROPERTY_ROUNDS choose another run; the seed is printed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attribution/delta.h"
#include "base/clock.h"
#include "base/parse.h"
#include "model/quantity.h"

#define SEED_DEFAULT      0x5dee7c7a11a7e0f1ULL
#define ROUNDS_DEFAULT    1000000ULL
#define STEPS_PER_COUNTER 500
#define INTERVAL_MAX_NS   (100 * 86400 * NS_PER_SEC) /* so that a counter's life fits 64 bits of ns */

static uint64_t rng_state;

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t rnd(void)
{
    uint64_t z = rng_state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static uint64_t below(uint64_t n)
{
    return n ? rnd() % n : 0;
}

/* Of any magnitude up to 2^bits. */
static uint64_t any_size(unsigned bits)
{
    return rnd() >> (63 - below(bits));
}

/* The machine: what really happens. */
struct truth {
    uint64_t modulus_uj; /* 0: 64 bits, never wraps here */
    uint64_t max_uw;     /* what the reader is told; 0: nothing */
    uint64_t limit_uw;   /* what the domain really never exceeds */
    uint64_t counter_uj;
    uint64_t now_ns;
    uint64_t since_uj;      /* true energy since the last reading that succeeded */
    unsigned wraps, resets; /* since that reading */
};

struct totals {
    uint64_t steps, kinds[DELTA_ABSURD + 1], hidden_resets, ambiguous_resets, lost_uj, given_uj, true_uj;
};

static void advance(struct truth *truth, uint64_t uj)
{
    unsigned __int128 value = (unsigned __int128)truth->counter_uj + uj;

    truth->since_uj += uj;
    if (truth->modulus_uj) {
        truth->wraps += (unsigned)(value / truth->modulus_uj);
        value %= truth->modulus_uj;
    }
    truth->counter_uj = (uint64_t)value;
}

/* A random time at a random power that the domain can draw, up to its limit exactly. */
static void run(struct truth *truth, uint64_t duration_ns)
{
    uint64_t uw = below(4) ? below(truth->limit_uw + 1) : truth->limit_uw;

    truth->now_ns += duration_ns;
    advance(truth, energy_of_power_uj(uw, duration_ns));
}

static struct truth make_counter(void)
{
    static const uint64_t moduli[] = {65712999674ULL, 262143328911ULL, 65712999628ULL, 1ULL << 32, 0};
    struct truth truth = {.now_ns = any_size(50)};
    uint64_t choice = below(8);

    truth.modulus_uj = choice < ELEMENTSOF(moduli) ? moduli[choice] : 20 * UJ_PER_J + any_size(36);
    truth.max_uw = below(3) ? 1 + any_size(30) : 0;
    /* Without a told limit a gap is looked for at 2 kW; a domain beyond that is not promised anything. */
    truth.limit_uw = truth.max_uw ? truth.max_uw : 2000 * UJ_PER_J;
    truth.counter_uj = truth.modulus_uj ? below(truth.modulus_uj) : any_size(40);
    if (truth.modulus_uj && below(3) == 0)
        truth.counter_uj = truth.modulus_uj - 1 - below(truth.modulus_uj < 1000 ? truth.modulus_uj : 1000);
    return truth;
}

static uint64_t plausible_uj(const struct truth *truth, uint64_t duration_ns)
{
    return 2 * energy_of_power_uj(truth->max_uw ? truth->max_uw : 10000 * UJ_PER_J, duration_ns) + 10 * UJ_PER_J;
}

static int fail(const char *what, const struct truth *truth, enum delta_kind kind, uint64_t given_uj, uint64_t step)
{
    fprintf(stderr,
            "step %" PRIu64 ": %s: kind %d, given %" PRIu64 " uJ, true %" PRIu64 " uJ, modulus %" PRIu64
            ", max %" PRIu64 " uW, %u wraps, %u resets\n",
            step, what, (int)kind, given_uj, truth->since_uj, truth->modulus_uj, truth->max_uw, truth->wraps,
            truth->resets);
    return -1;
}

/* What the observer may say of this step. */
static int check(const struct truth *truth, enum delta_kind kind, uint64_t given_uj, uint64_t last_uj,
                 uint64_t duration_ns, bool primed, struct totals *totals, uint64_t step)
{
    bool gives_nothing = kind == DELTA_FIRST || kind == DELTA_RESET || kind == DELTA_ABSURD;

    if ((kind == DELTA_FIRST) == primed)
        return fail("first reading mistaken", truth, kind, given_uj, step);
    if (gives_nothing && given_uj)
        return fail("energy given where none may be", truth, kind, given_uj, step);

    if (truth->resets) {
        /* The counter restarted at 0. Seen as a step back it is a reset, unless it looks exactly like a wrap: then the
         * excess is bounded by what the domain could plausibly have drawn. */
        if (kind == DELTA_WRAPPED || (kind == DELTA_GAP && truth->counter_uj < last_uj)) {
            totals->ambiguous_resets++;
            if (given_uj > plausible_uj(truth, duration_ns))
                return fail("an implausible wrap", truth, kind, given_uj, step);
            return 0;
        }
        if (!gives_nothing && given_uj > truth->since_uj)
            return fail("invented over a reset", truth, kind, given_uj, step);
        if (!gives_nothing)
            totals->hidden_resets++;
        return 0;
    }

    if (given_uj > truth->since_uj)
        return fail("invented", truth, kind, given_uj, step);
    if (kind == DELTA_RESET || kind == DELTA_ABSURD)
        return fail("flagged what did not happen", truth, kind, given_uj, step);
    if ((kind == DELTA_FORWARD || kind == DELTA_WRAPPED) && given_uj != truth->since_uj)
        return fail("lost without a flag", truth, kind, given_uj, step);
    if (kind == DELTA_WRAPPED && truth->wraps != 1)
        return fail("wraps miscounted", truth, kind, given_uj, step);
    if (truth->wraps > 1 && kind != DELTA_GAP && kind != DELTA_FIRST)
        return fail("an unseen wrap", truth, kind, given_uj, step);
    return 0;
}

/* Time to the next reading: mostly short, sometimes so long that the counter wraps several times. */
static uint64_t next_interval_ns(const struct truth *truth)
{
    uint64_t wrap_ns = truth->modulus_uj ? muldiv_u64(truth->modulus_uj, NS_PER_SEC, truth->limit_uw) : NS_PER_SEC;

    wrap_ns = min_u64(wrap_ns, INTERVAL_MAX_NS);
    switch (below(16)) {
    case 0:
        return 0;
    case 1: /* around one full turn at full power, where the flag must begin */
        return wrap_ns - below(wrap_ns < 4 ? wrap_ns : 4) + below(3);
    case 2:
        return below(1 + 5 * wrap_ns);
    default:
        return below(1 + min_u64(wrap_ns / 4, 100 * NS_PER_SEC));
    }
}

static int run_counter(struct totals *totals)
{
    struct truth truth = make_counter();
    struct delta delta = {0};
    uint64_t sum_uj = 0;

    for (unsigned i = 0; i < STEPS_PER_COUNTER; i++) {
        uint64_t given_uj = UINT64_MAX, last_uj = delta.last_uj, last_ns = delta.last_ns;
        bool primed = delta.primed;

        run(&truth, next_interval_ns(&truth));
        if (below(40) == 0) { /* driver reloaded, machine resumed: the counter starts at 0 and runs on */
            truth.counter_uj = 0;
            truth.resets++;
            run(&truth, below(2) ? below(NS_PER_SEC) : 0);
        }
        if (below(20) == 0)
            continue; /* no right, or an I/O error: no reading, the energy goes on */
        if (below(100) == 0) {
            delta_rebase(&delta);
            primed = false;
        }

        enum delta_kind kind =
            delta_step(&delta, truth.counter_uj, truth.modulus_uj, truth.max_uw, truth.now_ns, &given_uj);
        if (check(&truth, kind, given_uj, last_uj, truth.now_ns - last_ns, primed, totals, totals->steps) < 0)
            return -1;
        sum_uj += given_uj;
        totals->steps++;
        totals->kinds[kind]++;
        totals->given_uj += given_uj;
        totals->true_uj += truth.since_uj;
        truth.since_uj = 0;
        truth.wraps = truth.resets = 0;
    }
    if (delta.total_uj != sum_uj) {
        fprintf(stderr, "the total is not the sum of what was given\n");
        return -1;
    }
    return 0;
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t value;

    return text && (parse_u64(text_of(text), &value) == 0 || parse_hex64(text_of(text), &value) == 0) ? value
                                                                                                      : otherwise;
}

int main(void)
{
    uint64_t rounds = from_env("CARNOT_PROPERTY_ROUNDS", ROUNDS_DEFAULT);
    struct totals totals = {0};

    rng_state = from_env("CARNOT_PROPERTY_SEED", SEED_DEFAULT);
    printf("seed %" PRIu64 "\n", rng_state);
    while (totals.steps < rounds) {
        if (run_counter(&totals) < 0)
            return 1;
    }
    printf("%" PRIu64 " steps: first %" PRIu64 ", forward %" PRIu64 ", wrapped %" PRIu64 ", reset %" PRIu64
           ", gap %" PRIu64 ", absurd %" PRIu64 "; resets that showed no step back %" PRIu64
           ", that looked like a wrap %" PRIu64 "\n",
           totals.steps, totals.kinds[DELTA_FIRST], totals.kinds[DELTA_FORWARD], totals.kinds[DELTA_WRAPPED],
           totals.kinds[DELTA_RESET], totals.kinds[DELTA_GAP], totals.kinds[DELTA_ABSURD], totals.hidden_resets,
           totals.ambiguous_resets);
    for (int kind = DELTA_FIRST; kind <= DELTA_GAP; kind++) {
        if (totals.kinds[kind] == 0) {
            fprintf(stderr, "kind %d was never met: the run proves nothing about it\n", kind);
            return 1;
        }
    }
    return 0;
}
