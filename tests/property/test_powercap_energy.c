/* SPDX-License-Identifier: Apache-2.0 */
/* The whole way from powercap's files to accumulated energy (source, delta, meter) on machines whose true energy is
 * known: random units and sequences of wraps, resets, empty and foreign files, suspends, steps of the wall
 * clock and pauses. Over any run of windows without a flag the energy given is the true one to 1 uJ, and 1 uJ more for
 * each wrap (powercap's modulus is no whole number of microjoules); with a flag it is never more than the true one;
 * where nothing happened, or only the wall clock was stepped, there is no flag. A reset that looks like a wrap cannot
 * be told from one by anybody: those are counted, and bounded by what the domain could plausibly draw.
 *
 * CARNOT_PROPERTY_SEED and CARNOT_PROPERTY_ROUNDS (sequences) choose another run; the seed is printed. */
#include "../unit/sources/scratch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"
#include "meter/energy.h"
#include "random.h"

#define SEED_DEFAULT   0x3c6ef372fe94f82bULL
#define ROUNDS_DEFAULT 10000ULL
#define STEPS          32
#define ZONES          3
#define POWER_MAX_UW   (2000ULL * 1000000)
#define QUIET_NS       (10 * NS_PER_SEC) /* no counter here can pass half its range in that */

/* What kernels make of the hardware's units, whole nanojoules: 2^-14, 2^-16 (DRAM, AMD), 2^-15, 2^-10 J, 1 J. */
static const uint64_t units_nj[] = {61035, 15300, 15258, 30517, 976562, 1000000000};

static const struct {
    const char *dir, *name;
} zones[ZONES] = {{"sys/class/powercap/intel-rapl:0", "package-0"},
                  {"sys/class/powercap/intel-rapl:0/intel-rapl:0:0", "dram"},
                  {"sys/class/powercap/intel-rapl:1", "package-1"}};

/* A zone that vanishes takes its open files along, which plain files do not: that is on the simulated machine
 * (tests/system/test_twin.py). */
enum trouble { NONE, EMPTY, FOREIGN };

struct oracle {
    uint64_t unit_nj, bias; /* the register shows (bias + counts) mod 2^32 */
    uint64_t counts;        /* true ones since the sequence began */
    enum trouble trouble;
    uint64_t run_counts, run_uj, run_wraps; /* when the run without a flag began */
    uint64_t seen_counts, seen_uj;          /* at the last good reading */
    uint64_t seen_ns, flags, wraps;
    bool disturbed, was_reset, primed;
};

struct totals {
    uint64_t sequences, windows, flagged, failed, ambiguous, wraps, resets, suspends, steps;
};

static struct scratch s;
static struct topology topology;
static int counter_fds[ZONES]; /* energy_uj of each zone */

static uint64_t below(uint64_t n)
{
    return n ? rnd() % n : 0;
}

static bool one_in(uint64_t n)
{
    return below(n) == 0;
}

static uint64_t energy_of(const struct oracle *o, uint64_t counts)
{
    return muldiv_u64(counts, o->unit_nj, 1000);
}

static const char *file_of(size_t zone, const char *file)
{
    static char path[160];

    snprintf(path, sizeof(path), "%s/%s", zones[zone].dir, file);
    return path;
}

static void put_number(size_t zone, const char *file, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu64 "\n", value);
    scratch_write(&s, file_of(zone, file), text);
}

static void show(size_t zone, const struct oracle *o)
{
    static const char *const foreign[] = {"-5\n", "99999999999999999999\n"};
    char text[32] = "";

    if (o->trouble == FOREIGN)
        snprintf(text, sizeof(text), "%s", foreign[below(2)]);
    else if (o->trouble == NONE)
        snprintf(text, sizeof(text), "%" PRIu64 "\n", energy_of(o, (o->bias + o->counts) & UINT32_MAX));
    size_t n = strlen(text);
    if (pwrite(counter_fds[zone], text, n, 0) != (ssize_t)n || ftruncate(counter_fds[zone], (off_t)n) < 0)
        abort();
}

/* The files that stay, and descriptors of those that change. */
static void make_zones(void)
{
    for (size_t i = 0; i < ZONES; i++) {
        scratch_write(&s, file_of(i, "name"), zones[i].name);
        scratch_write(&s, file_of(i, "energy_uj"), "");
        counter_fds[i] = open(scratch_path(&s, file_of(i, "energy_uj")), O_WRONLY | O_CLOEXEC);
        assert_true(counter_fds[i] >= 0);
    }
}

static void build(struct oracle *oracles)
{
    for (size_t i = 0; i < ZONES; i++) {
        struct oracle *o = &oracles[i];

        *o = (struct oracle){.unit_nj = units_nj[below(ELEMENTSOF(units_nj))]};
        o->bias = one_in(2) ? UINT32_MAX - below(100000) : below(UINT32_MAX);
        put_number(i, "max_energy_range_uj", energy_of(o, UINT32_MAX));
        show(i, o);
    }
}

static void advance(struct oracle *oracles, uint64_t ns)
{
    fake_clock_advance(&s.clock, ns);
    for (size_t i = 0; i < ZONES; i++) {
        uint64_t uj = muldiv_u64(one_in(8) ? POWER_MAX_UW : below(POWER_MAX_UW), ns, NS_PER_SEC);
        oracles[i].counts += muldiv_u64(uj, 1000, oracles[i].unit_nj);
    }
}

static int wrong(const struct energy *energy, size_t i, const struct oracle *o, const char *what, uint64_t given,
                 uint64_t truth)
{
    fprintf(stderr, "%s: %s: given %" PRIu64 " uJ, true %" PRIu64 " uJ, unit %" PRIu64 " nJ, %" PRIu64 " ns\n",
            energy->domains[i].domain.name, what, given, truth, o->unit_nj,
            energy->domains[i].last_reading_ns - o->seen_ns);
    return -1;
}

static int check(const struct energy *energy, size_t i, struct oracle *o, struct totals *totals)
{
    const struct energy_domain *d = &energy->domains[i];
    uint64_t flags = d->delta.resets + d->delta.gaps + d->delta.absurd;

    totals->windows++;
    if (d->status < 0) {
        totals->failed++;
        return o->trouble ? 0 : wrong(energy, i, o, "a failure that nothing caused", 0, 0);
    }
    if (o->trouble)
        return wrong(energy, i, o, "a reading of nothing", 0, 0);

    uint64_t given_uj = d->delta.total_uj - o->seen_uj, true_uj = energy_of(o, o->counts - o->seen_counts);
    uint64_t wraps = d->delta.wraps - o->wraps, elapsed_ns = d->last_reading_ns - o->seen_ns;
    uint64_t plausible_uj = 2 * muldiv_u64(10000ULL * 1000000, elapsed_ns, NS_PER_SEC) + 10 * UJ_PER_J;
    bool flagged = flags != o->flags || !o->primed;

    if (o->was_reset) {
        totals->ambiguous += !flagged;
        if (given_uj > true_uj + 1 && given_uj > plausible_uj)
            return wrong(energy, i, o, "an implausible reset", given_uj, true_uj);
        flagged = true;
    } else if (given_uj > true_uj + 1 + wraps) {
        return wrong(energy, i, o, "invented", given_uj, true_uj);
    } else if (flagged && o->primed && !o->disturbed && elapsed_ns <= QUIET_NS) {
        return wrong(energy, i, o, "flagged what did not happen", given_uj, true_uj);
    } else if (!flagged) {
        uint64_t run_uj = d->delta.total_uj - o->run_uj, run_true_uj = energy_of(o, o->counts - o->run_counts);
        uint64_t off_uj = run_uj > run_true_uj ? run_uj - run_true_uj : run_true_uj - run_uj;
        if (off_uj > 1 + d->delta.wraps - o->run_wraps)
            return wrong(energy, i, o, "lost without a flag", run_uj, run_true_uj);
    }
    totals->flagged += flagged;
    totals->wraps += wraps;
    if (flagged) {
        o->run_counts = o->counts;
        o->run_uj = d->delta.total_uj;
        o->run_wraps = d->delta.wraps;
    }
    o->seen_counts = o->counts;
    o->seen_uj = d->delta.total_uj;
    o->seen_ns = d->last_reading_ns;
    o->flags = flags;
    o->wraps = d->delta.wraps;
    o->primed = true;
    o->was_reset = o->disturbed = false;
    return 0;
}

static uint64_t interval_ns(void)
{
    switch (below(12)) {
    case 0:
        return below(100 * NS_PER_SEC);
    case 1:
        return one_in(4) ? below(2000 * NS_PER_SEC) : below(40 * NS_PER_SEC);
    case 2:
        return NS_PER_MS;
    default:
        return 90 * NS_PER_MS + below(20 * NS_PER_MS);
    }
}

/* What the meter does when the clocks say that the machine slept. */
static void watch(struct energy *energy, struct clock_watch *clocks, struct totals *totals)
{
    struct carnot_now now = clock_now(s.env.clock);
    struct clock_event event = clock_watch_update(clocks, &now);

    totals->steps += event.step_ns != 0;
    if (!event.suspended_ns)
        return;
    totals->suspends++;
    energy_rebase(energy);
}

static void happen(struct oracle *oracles, struct totals *totals)
{
    struct oracle *o = &oracles[below(ZONES)];

    if (one_in(15)) { /* the register starts anew: firmware, a driver of a guest */
        o->bias = -o->counts;
        o->was_reset = true;
        totals->resets++;
    }
    if (one_in(8))
        o->trouble = (enum trouble)below(FOREIGN + 1);
    if (one_in(25)) { /* counters go on, or are lost with the power */
        uint64_t slept_ns = NS_PER_SEC + below(100000 * NS_PER_SEC);

        s.clock.now.boot_ns += slept_ns;
        s.clock.now.real_ns += slept_ns;
        for (size_t i = 0; i < ZONES; i++) {
            oracles[i].disturbed = true;
            if (one_in(2))
                oracles[i].bias = -oracles[i].counts;
        }
    }
    if (one_in(10)) /* the wall clock alone: concerns no energy */
        s.clock.now.real_ns += (one_in(2) ? 1 : -1) * below(3600 * NS_PER_SEC);
}

static int run_sequence(struct totals *totals)
{
    struct option_list only = {.items = {"rapl_powercap"}, .count = 1};
    struct carnot_err err = CARNOT_ERR_INIT;
    struct clock_watch clocks = {0};
    struct oracle oracles[ZONES];
    struct energy energy;
    int r = 0;

    build(oracles);
    if (energy_open(&s.env, &topology, &only, NULL, &energy, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    if (energy.n_domains != ZONES || strcmp(energy.domains[1].domain.name, "dram-0") != 0)
        r = wrong(&energy, 1, &oracles[1], "not the domains of this machine", 0, 0);
    watch(&energy, &clocks, totals);
    for (unsigned step = 0; step < STEPS && r >= 0; step++) {
        advance(oracles, NS_PER_MS + interval_ns()); /* sooner than that counters are not read again */
        if (step > 0)
            happen(oracles, totals);
        advance(oracles, one_in(3) ? below(NS_PER_SEC) : 0);
        for (size_t i = 0; i < ZONES; i++)
            show(i, &oracles[i]);
        watch(&energy, &clocks, totals);
        energy_sample(&energy, true);
        for (size_t i = 0; i < ZONES && r >= 0; i++)
            r = check(&energy, i, &oracles[i], totals);
        energy_window_reset(&energy);
        for (size_t i = 0; i < ZONES; i++)
            oracles[i].trouble = one_in(2) ? NONE : oracles[i].trouble;
    }
    energy_close(&energy);
    totals->sequences++;
    return r;
}

int main(void)
{
    uint64_t rounds = ROUNDS_DEFAULT;
    struct totals totals = {0};
    int r = 0;

    rng_state = SEED_DEFAULT;
    if (property_settings(&rng_state, &rounds) < 0)
        return 1;
    scratch_init(&s);
    make_zones();
    for (uint64_t i = 0; i < rounds && r >= 0; i++) {
        uint64_t before = rng_state;
        r = run_sequence(&totals);
        if (r < 0)
            fprintf(stderr, "sequence %" PRIu64 ": seed %" PRIu64 "\n", i, before);
    }
    for (size_t i = 0; i < ZONES; i++)
        close(counter_fds[i]);
    scratch_done(&s);
    printf("%" PRIu64 " sequences, %" PRIu64 " windows of a domain: flagged %" PRIu64 ", failed %" PRIu64
           ", wraps %" PRIu64 "; resets %" PRIu64 ", of which %" PRIu64 " looked like energy; suspends %" PRIu64
           ", clock steps %" PRIu64 "\n",
           totals.sequences, totals.windows, totals.flagged, totals.failed, totals.wraps, totals.resets,
           totals.ambiguous, totals.suspends, totals.steps);
    if (r >= 0 &&
        (!totals.flagged || !totals.failed || !totals.wraps || !totals.resets || !totals.suspends || !totals.steps)) {
        fprintf(stderr, "something was never met: the run proves nothing about it\n");
        r = -1;
    }
    return r < 0;
}
