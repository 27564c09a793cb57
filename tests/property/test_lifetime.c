/* SPDX-License-Identifier: Apache-2.0 */
/* Totals over random lives: runs that save, stop or are killed, pauses of any length, suspends and reboots, counters
 * that wrap in between or begin anew. Against the truth and against an oracle that knows what could be proven: a total
 * is never more than was used, never goes back behind what is on the disk, and is exact wherever it can be; what the
 * metric shows never goes back at all.
 *
 * CARNOT_PROPERTY_SEED and CARNOT_PROPERTY_ROUNDS choose another run; the seed is printed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "meter/lifetime.h"
#include "model/quantity.h"

#define SEED_DEFAULT   0x11fe71e5ULL
#define ROUNDS_DEFAULT 200000ULL /* runs of the program */
#define RUNS_PER_LIFE  50

#define D             3                      /* domains; the last one's counter begins anew with each run */
#define ASSUMED_UW    (2000 * UJ_PER_J)      /* section 1 of METHODS.md, where no limit is told */
#define READ_MAX_NS   (2 * NS_PER_SEC)       /* between two readings of a run, of which one may fail */
#define PAUSE_MAX_NS  (3000000 * NS_PER_SEC) /* a month */
#define MODULUS_LEAST (10000 * UJ_PER_J)     /* 5 s at 2 kW: more than it takes to read again */

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

/* --- the machine: what really happens --------------------------------------------------------------------------- */

struct truth {
    uint64_t modulus_uj, max_uw; /* 0: unlimited; not told */
    uint64_t counter_uj;
    uint64_t used_uj; /* since the counting of the life began */
};

static struct truth truths[D];
static struct carnot_now now;
static unsigned boot, suspends;

static void pass_time(uint64_t ns)
{
    now.mono_ns += ns;
    now.boot_ns += ns;
    now.real_ns += ns;
    for (size_t d = 0; d < D; d++) {
        struct truth *t = &truths[d];
        uint64_t limit_uw = t->max_uw ? t->max_uw : ASSUMED_UW;
        uint64_t uj = energy_of_power_uj(below(4) ? below(limit_uw + 1) : limit_uw, ns);

        t->used_uj += uj;
        t->counter_uj += uj;
        if (t->modulus_uj)
            t->counter_uj %= t->modulus_uj;
    }
}

static void suspend(void)
{
    uint64_t ns = NS_PER_SEC + below(10000 * NS_PER_SEC);

    now.boot_ns += ns;
    now.real_ns += ns;
    suspends++;
    for (size_t d = 0; d < D; d++)
        truths[d].counter_uj = truths[d].modulus_uj ? below(truths[d].modulus_uj) : below(1U << 30);
}

static void reboot(void)
{
    uint64_t up_ns = NS_PER_SEC + below(60 * NS_PER_SEC);

    now = (struct carnot_now){.mono_ns = up_ns, .boot_ns = up_ns, .real_ns = now.real_ns + up_ns};
    boot++;
    for (size_t d = 0; d < D; d++)
        truths[d].counter_uj = truths[d].modulus_uj ? below(truths[d].modulus_uj) : 0;
}

static void boot_id(char out[LIFETIME_ID_MAX])
{
    snprintf(out, LIFETIME_ID_MAX, "%08x-0000", boot);
}

/* --- the program, and what an observer of it may expect ---------------------------------------------------------- */

struct mark {
    bool known;
    uint64_t total_uj, used_uj, boot_ns;
    unsigned boot, suspends;
};

static struct energy_domain domains[D];
static struct energy energy = {.domains = domains, .n_domains = D};
static struct lifetime lifetime;
static struct lifetime_state disk;

static uint64_t expected_uj[D]; /* of the running program */
static uint64_t last_used_uj[D];
static bool failed[D];
static struct mark last_mark[D], saved_mark[D];
static uint64_t saved_uj[D];
static uint64_t shown_uj[D]; /* by the metric */

static struct {
    uint64_t runs, bridged, gaps, kills, saves, reboots, suspends;
} counts;

static int fail(const char *what, size_t d, uint64_t got, uint64_t want)
{
    fprintf(stderr, "domain %zu: %s: %" PRIu64 ", expected %" PRIu64 "\n", d, what, got, want);
    return -1;
}

static bool provable(size_t d, const struct mark *mark)
{
    uint64_t limit_uw = truths[d].max_uw ? truths[d].max_uw : ASSUMED_UW;

    if (!mark->known || !domains[d].domain.lasting || mark->boot != boot || mark->suspends != suspends)
        return false;
    return truths[d].modulus_uj == 0 ||
           energy_of_power_uj(limit_uw, now.boot_ns - mark->boot_ns) < truths[d].modulus_uj;
}

static void read_all(void)
{
    for (size_t d = 0; d < D; d++) {
        struct energy_domain *e = &domains[d];
        bool first = !e->first.known, rebased = !e->delta.primed;
        uint64_t uj;

        failed[d] = !failed[d] && below(10) == 0;
        if (failed[d])
            continue;
        delta_step(&e->delta, truths[d].counter_uj, truths[d].modulus_uj, truths[d].max_uw, now.mono_ns, &uj);
        e->status = 0;
        e->last = (struct energy_mark){true, truths[d].counter_uj, truths[d].modulus_uj, now.mono_ns};
        if (first)
            e->first = e->last;
        if (first && saved_mark[d].known) {
            bool proven = provable(d, &saved_mark[d]);
            expected_uj[d] += proven ? truths[d].used_uj - saved_mark[d].used_uj : 0;
            counts.bridged += proven;
            counts.gaps += !proven;
        } else if (!rebased) {
            expected_uj[d] += truths[d].used_uj - last_used_uj[d];
        }
        last_used_uj[d] = truths[d].used_uj;
        last_mark[d] = (struct mark){
            .known = true, .used_uj = truths[d].used_uj, .boot_ns = now.boot_ns, .boot = boot, .suspends = suspends};
    }
    lifetime_update(&lifetime, &energy, &now);
}

static int check(void)
{
    for (size_t d = 0; d < D; d++) {
        uint64_t total_uj = lifetime_total_uj(&lifetime, &energy, d);

        if (total_uj != expected_uj[d])
            return fail("total", d, total_uj, expected_uj[d]);
        if (total_uj > truths[d].used_uj)
            return fail("more than was used", d, total_uj, truths[d].used_uj);
        if (total_uj < saved_uj[d])
            return fail("behind the disk", d, total_uj, saved_uj[d]);
        if (lifetime.domains[d].kept_uj < shown_uj[d])
            return fail("the metric stepped back", d, lifetime.domains[d].kept_uj, shown_uj[d]);
        shown_uj[d] = lifetime.domains[d].kept_uj;
    }
    return 0;
}

static int save(void)
{
    static struct lifetime_state out;
    struct buf text;
    struct carnot_err err = CARNOT_ERR_INIT;

    lifetime_save(&lifetime, &energy, &now, &out);
    boot_id(out.boot);
    buf_init(&text, LIFETIME_TEXT_MAX);
    lifetime_format(&out, &text);
    int r = lifetime_parse((struct text){text.data, text.len}, &disk, &err);
    buf_done(&text);
    if (r < 0) {
        fprintf(stderr, "the text is not read again: %s\n", err.msg);
        return r;
    }
    for (size_t d = 0; d < D; d++) {
        saved_uj[d] = expected_uj[d];
        if (domains[d].first.known)
            saved_mark[d] = domains[d].last.known ? last_mark[d] : (struct mark){0};
    }
    counts.saves++;
    if (below(4)) /* else killed before it was known */
        lifetime_confirm(&lifetime, D);
    return 0;
}

static void start(bool first)
{
    char id[LIFETIME_ID_MAX];

    lifetime_done(&lifetime);
    for (size_t d = 0; d < D; d++) {
        struct energy_domain *e = &domains[d];

        *e = (struct energy_domain){.status = -ENODATA};
        snprintf(e->domain.name, sizeof(e->domain.name), "package-%zu", d);
        e->domain.source = d == D - 1 ? "rapl_perf" : "rapl_powercap";
        e->domain.lasting = d < D - 1;
        e->domain.max_uw = truths[d].max_uw;
        expected_uj[d] = saved_uj[d];
    }
    truths[D - 1].counter_uj = 0;
    lifetime_begin(&lifetime, &energy, &now);
    boot_id(id);
    lifetime_restore(&lifetime, &energy, first ? &(struct lifetime_state){0} : &disk, id, &now);
    counts.runs++;
}

/* One run, from its start to its stop or its end by the hand of another. */
static int run(void)
{
    unsigned n = (unsigned)below(12);

    for (unsigned i = 0; i < n; i++) {
        if (below(20) == 0) {
            suspend();
            counts.suspends++;
            for (size_t d = 0; d < D; d++) {
                delta_rebase(&domains[d].delta);
                domains[d].last.known = false;
            }
        }
        read_all();
        if (check() < 0 || (below(3) == 0 && save() < 0) || check() < 0)
            return -1;
        pass_time(1 + below(READ_MAX_NS));
    }
    counts.kills++;
    if (below(2))
        return 0;
    counts.kills--;
    return save();
}

static void between_runs(void)
{
    switch (below(8)) {
    case 0:
        reboot();
        counts.reboots++;
        break;
    case 1:
        suspend();
        counts.suspends++;
        break;
    case 2: /* around the time that a counter needs to turn */
        pass_time(truths[0].modulus_uj
                      ? muldiv_u64(truths[0].modulus_uj, NS_PER_SEC, truths[0].max_uw ? truths[0].max_uw : ASSUMED_UW) +
                            below(5) - 2
                      : 1);
        break;
    case 3:
        pass_time(below(PAUSE_MAX_NS));
        break;
    default:
        pass_time(below(30 * NS_PER_SEC));
    }
}

static int live(void)
{
    static const uint64_t moduli[] = {65712999674ULL, 262143328911ULL, 65712999628ULL, MODULUS_LEAST, 0};

    now = (struct carnot_now){.mono_ns = NS_PER_SEC, .boot_ns = NS_PER_SEC + below(2) * 5000, .real_ns = 1ULL << 60};
    boot++;
    for (size_t d = 0; d < D; d++) {
        truths[d] = (struct truth){.modulus_uj = moduli[below(ELEMENTSOF(moduli))],
                                   .max_uw = below(3) ? 0 : UJ_PER_J + below(1000 * UJ_PER_J)};
        truths[d].counter_uj = truths[d].modulus_uj ? below(truths[d].modulus_uj) : below(1U << 30);
    }
    memset(saved_uj, 0, sizeof(saved_uj));
    memset(shown_uj, 0, sizeof(shown_uj));
    memset(last_mark, 0, sizeof(last_mark));
    memset(saved_mark, 0, sizeof(saved_mark));
    disk = (struct lifetime_state){0};
    for (unsigned i = 0; i < RUNS_PER_LIFE; i++) {
        start(i == 0);
        if (run() < 0)
            return -1;
        between_runs();
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

    rng_state = from_env("CARNOT_PROPERTY_SEED", SEED_DEFAULT);
    printf("seed %" PRIu64 "\n", rng_state);
    while (counts.runs < rounds) {
        if (live() < 0)
            return 1;
    }
    lifetime_done(&lifetime);
    printf("%" PRIu64 " runs, %" PRIu64 " killed, %" PRIu64 " saves, %" PRIu64 " reboots, %" PRIu64
           " suspends; between runs: proven %" PRIu64 ", not provable %" PRIu64 "\n",
           counts.runs, counts.kills, counts.saves, counts.reboots, counts.suspends, counts.bridged, counts.gaps);
    return counts.bridged && counts.gaps ? 0 : 1;
}
