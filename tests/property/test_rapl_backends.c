/* SPDX-License-Identifier: Apache-2.0 */
/* The perf and the msr back end, each with the delta that follows it, on machines whose true energy is known: random
 * shapes, units and sequences of wraps, resets, failing reads, lost rights, CPUs that come and go, suspends and pauses
 * so long that a counter may wrap unseen. Over any run of readings without a flag the energy given is the true one to
 * less than 1 uJ (what floor leaves, which never adds up); with a flag it is never more than the true one; where
 * nothing happened there is no flag. A reset that looks like a wrap, or leaves a counter higher than before, cannot be
 * told from energy by anybody: those are counted, and bounded by what the domain could plausibly draw.
 *
 * CARNOT_PROPERTY_SEED and CARNOT_PROPERTY_ROUNDS (sequences) choose another run; the seed is printed. */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "../unit/sources/rapl_fake.h"
#include "attribution/delta.h"
#include "base/parse.h"
#include "model/quantity.h"
#include "sources/rapl_cpu_units.h"
#include "sources/rapl_mode.h"
#include "sources/registry.h"

#define SEED_DEFAULT   0x7a91b3c5d7e9f10bULL
#define ROUNDS_DEFAULT 20000ULL /* two million readings of real files, some 20 s */
#define STEPS          32
#define POWER          9
#define POWER_CORE     10
#define POWER_MAX_UW   (2000ULL * 1000000) /* what no domain here exceeds; cores stay below RAPL_CORE_MAX_UW */
#define QUIET_NS       (10 * NS_PER_SEC)   /* shorter than any gap */
#define DISTURBED      4                   /* readings after an event in which a flag may come */
#define DISTURBED_NS   (1200 * NS_PER_MS)  /* the cpumask is looked at once a second */
#define FLAG_LATEST    3                   /* readings, 1 ms apart or more, in which a loss must be flagged */

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

static bool one_in(uint64_t n)
{
    return below(n) == 0;
}

/* ---- files of the PMUs, one tree per scale ---- */

static const struct {
    const char *scale;
    uint32_t shift;
} scales[] = {
    {"2.3283064365386962890625e-10\n", 32}, {"9.5367431640625e-07\n", 20}, {"9.094947017729282379150390625e-13\n", 40}};

static char tree_dir[64];
static struct carnot_env envs[ELEMENTSOF(scales)];

static int write_file(const char *path, const char *text)
{
    char full[256];

    snprintf(full, sizeof(full), "%s/%s", tree_dir, path);
    for (char *p = full + strlen(tree_dir) + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(full, 0755);
        *p = '/';
    }
    _cleanup_close_ int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -EIO;
}

static int put(size_t tree, const char *pmu, const char *file, const char *text)
{
    char path[160];

    snprintf(path, sizeof(path), "%zu/sys/bus/event_source/devices/%s/%s", tree, pmu, file);
    return write_file(path, text);
}

static int make_trees(void)
{
    static const struct {
        const char *pmu, *name, *event;
    } events[] = {{"power", "events/energy-pkg", "event=0x02\n"},
                  {"power", "events/energy-ram", "event=0x03\n"},
                  {"power", "events/energy-psys", "event=0x05\n"},
                  {"power_core", "events/energy-core", "event=0x01\n"}};
    const char *tmp = getenv("TMPDIR");
    int r = 0;

    snprintf(tree_dir, sizeof(tree_dir), "%s/carnot-property-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(tree_dir))
        return -errno;
    for (size_t i = 0; i < ELEMENTSOF(scales) && r >= 0; i++) {
        char sys[128], file[64];

        for (size_t e = 0; e < ELEMENTSOF(events); e++) {
            r |= put(i, events[e].pmu, events[e].name, events[e].event);
            snprintf(file, sizeof(file), "%s.scale", events[e].name);
            r |= put(i, events[e].pmu, file, scales[i].scale);
            snprintf(file, sizeof(file), "%s.unit", events[e].name);
            r |= put(i, events[e].pmu, file, "Joules\n");
        }
        r |= put(i, "power", "type", "9\n") | put(i, "power_core", "type", "10\n");
        snprintf(sys, sizeof(sys), "%s/%zu/sys", tree_dir, i);
        r = r < 0 ? r : carnot_env_open(sys, sys, sys, sys, &envs[i], NULL);
    }
    return r;
}

static int remove_tree(int parent, const char *name);
static int remove_entry(const char *name, unsigned char type, void *userdata)
{
    return remove_tree(*(const int *)userdata, name);
}

static int remove_tree(int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0)
        return 0;
    struct fsroot dir = {.fd = openat(parent, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC), .path = NULL};
    if (dir.fd < 0)
        return -errno;
    fsroot_list(&dir, "", remove_entry, &dir.fd, NULL);
    close(dir.fd);
    return unlinkat(parent, name, AT_REMOVEDIR);
}

/* ---- one domain and what is known of it ---- */

struct oracle {
    struct delta delta;
    struct rapl_unit unit;
    struct fake_counter *counters[FAKE_COUNTERS];
    size_t n;
    uint64_t looks[FAKE_COUNTERS]; /* at each core, when it came */
    uint64_t counted;              /* true counts up to the last good reading */
    unsigned __int128 run;         /* true counts in the run without a flag */
    uint64_t run_uj;               /* energy given in it */
    uint64_t last_ns;              /* of the last good reading */
    unsigned resets;               /* since then */
    unsigned disturbed;            /* readings in which a flag may come */
    unsigned unflagged;            /* readings since a loss */
    bool unseen;                   /* a core came and went without being noticed */
    bool lost;                     /* something was not counted, and not flagged yet */
};

struct totals {
    uint64_t sequences, readings, flagged, failed, ambiguous, wraps, resets, moves, unseen;
};

struct run {
    struct fake_machine m;
    struct source_args args;
    const struct source_ops *ops;
    struct rapl_msr_io msr;
    struct rapl_perf_io perf;
    bool is_perf, amd;
    size_t tree;
    void *self;
    struct oracle oracles[DOMAINS_MAX];
    size_t n;
    struct reading readings[DOMAINS_MAX];
    uint64_t disturbed_ns; /* until when a change of CPUs may show */
};

static int fail(const struct run *run, size_t domain, const char *what, uint64_t given_uj, uint64_t true_uj)
{
    const struct domain *domains;

    run->ops->domains(run->self, &domains);
    fprintf(stderr,
            "%s %s at %" PRIu64 " ns: %s: given %" PRIu64 " uJ, true %" PRIu64 " uJ, unit %" PRIu32 "/2^%" PRIu32 "\n",
            run->ops->name, domains[domain].name, run->m.now_ns, what, given_uj, true_uj,
            run->oracles[domain].unit.numerator, run->oracles[domain].unit.shift);
    return -1;
}

static uint64_t true_counts(const struct oracle *o)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < o->n; i++)
        sum += o->counters[i]->true_count;
    return sum;
}

/* |given - counts * unit| < 1 uJ */
static bool is_exact(uint64_t given_uj, unsigned __int128 counts, struct rapl_unit unit)
{
    unsigned __int128 given = (unsigned __int128)given_uj << unit.shift, truth = counts * unit.numerator;
    unsigned __int128 off = given > truth ? given - truth : truth - given;

    return off < (unsigned __int128)1 << unit.shift;
}

/* What a dead event does not count is lost to its domain. */
static bool has_dead_event(const struct run *run, const struct oracle *o)
{
    for (int k = 0; k < FAKE_FDS; k++) {
        const struct fake_event *event = &run->m.events[k];
        for (size_t c = 0; c < o->n && event->used && event->dead; c++)
            if (event->counter == o->counters[c])
                return true;
    }
    return false;
}

static int check(struct run *run, size_t i, const struct reading *reading, struct totals *totals)
{
    struct oracle *o = &run->oracles[i];
    const struct domain *domains;
    uint64_t given_uj, duration_ns = reading->mono_ns - o->last_ns;

    run->ops->domains(run->self, &domains);
    uint64_t max_uw = domains[i].max_uw;
    if (reading->status < 0) {
        totals->failed++;
        return o->disturbed ? 0 : fail(run, i, "a failure that nothing caused", 0, 0);
    }
    bool again = domains[i].kind == DOMAIN_CORE && o->delta.primed &&
                 reading->mono_ns == o->last_ns; /* cores, between two of their reads */
    enum delta_kind kind =
        delta_step(&o->delta, reading->counter_uj, reading->modulus_uj, max_uw, reading->mono_ns, &given_uj);
    if (again)
        return given_uj || reading->gap ? fail(run, i, "an old reading changed", given_uj, 0) : 0;

    bool first = kind == DELTA_FIRST;
    bool flagged = reading->gap || first || kind == DELTA_RESET || kind == DELTA_GAP || kind == DELTA_ABSURD;
    uint64_t counts = true_counts(o) - o->counted, true_uj = rapl_unit_uj(o->unit, counts);
    uint64_t plausible_uj = 2 * energy_of_power_uj(max_uw ? max_uw : 10 * POWER_MAX_UW, duration_ns) + 10 * UJ_PER_J;

    o->run += counts;
    o->run_uj += given_uj;
    totals->readings++;
    totals->flagged += flagged;
    totals->wraps += kind == DELTA_WRAPPED;

    if (o->resets) {
        if (!flagged)
            totals->ambiguous++;
        if (given_uj > true_uj + 1 && given_uj > plausible_uj)
            return fail(run, i, "an implausible reset", given_uj, true_uj);
        flagged = true; /* a new run begins: what came of the reset was looked at */
    } else if (given_uj > true_uj + 1) {
        return fail(run, i, "invented", given_uj, true_uj);
    } else if (o->unseen) {
        flagged = true;
    } else if (!flagged && !o->lost && !is_exact(o->run_uj, o->run, o->unit)) {
        return fail(run, i, "lost without a flag", o->run_uj, rapl_unit_uj(o->unit, (uint64_t)o->run));
    } else if (flagged && !first && !o->disturbed && duration_ns <= QUIET_NS) {
        return fail(run, i, "flagged what did not happen", given_uj, true_uj);
    } else if (kind == DELTA_ABSURD || kind == DELTA_RESET) {
        return fail(run, i, "refused what was true", given_uj, true_uj);
    }
    if (o->lost && !flagged && duration_ns >= NS_PER_MS && ++o->unflagged > FLAG_LATEST)
        return fail(run, i, "a loss was never flagged", given_uj, true_uj);
    if (flagged) {
        o->run = 0;
        o->run_uj = 0;
        o->lost = has_dead_event(run, o); /* it died within the last millisecond, and the flag is another's */
        o->unflagged = 0;
    }
    o->counted = true_counts(o);
    o->last_ns = reading->mono_ns;
    o->resets = 0;
    o->unseen = false;
    o->disturbed -= o->disturbed > 0 && run->m.now_ns > run->disturbed_ns;
    return 0;
}

static int sample(struct run *run, struct totals *totals)
{
    int n = run->ops->read(run->self, run->m.now_ns, run->readings, NULL);

    if (n != (int)run->n)
        return fail(run, 0, "a reading is missing", 0, 0);
    for (size_t i = 0; i < run->n; i++) {
        if (check(run, i, &run->readings[i], totals) < 0)
            return -1;
    }
    return 0;
}

static void disturb(struct run *run)
{
    run->disturbed_ns = run->m.now_ns + DISTURBED_NS;
    for (size_t i = 0; i < run->n; i++)
        run->oracles[i].disturbed = DISTURBED;
}

/* ---- the machine ---- */

static bool place_is_online(const struct run *run, const struct fake_counter *counter)
{
    for (uint32_t cpu = 0; cpu < run->m.topology.n_cpus; cpu++) {
        const struct topology_cpu *c = &run->m.cpus[cpu];
        if (run->m.online[cpu] && (counter->package < 0 || counter->package == c->package) &&
            (counter->die < 0 || counter->die == c->die) && (counter->core < 0 || counter->core == c->core))
            return true;
    }
    return false;
}

static void advance(struct run *run, uint64_t ns)
{
    run->m.now_ns += ns;
    for (size_t i = 0; i < run->n; i++) {
        struct oracle *o = &run->oracles[i];
        for (size_t k = 0; k < o->n; k++) {
            uint64_t limit_uw =
                min_u64(o->counters[k]->core >= 0 ? RAPL_CORE_MAX_UW : POWER_MAX_UW, POWER_MAX_UW / o->n);
            uint64_t uj = energy_of_power_uj(one_in(8) ? limit_uw : below(limit_uw), ns);
            if (place_is_online(run, o->counters[k]))
                o->counters[k]->true_count += (uint64_t)(((unsigned __int128)uj << o->unit.shift) / o->unit.numerator);
        }
    }
}

/* The CPUs that the PMUs name: the first online of each place. */
static int write_masks(struct run *run)
{
    const struct fake_machine *m = &run->m;
    char masks[2][FAKE_CPUS * 3 + 2] = {"", ""};
    size_t len[2] = {0, 0};
    int r;

    for (uint32_t cpu = 0; cpu < m->topology.n_cpus; cpu++) {
        for (int kind = 0; kind < 2; kind++) {
            bool first = m->online[cpu];
            for (uint32_t other = 0; other < cpu && first; other++) {
                const struct topology_cpu *a = &m->cpus[cpu], *b = &m->cpus[other];
                first = !(m->online[other] && a->package == b->package &&
                          (run->amd && !kind ? true : a->die == b->die) && (!kind || a->core == b->core));
            }
            if (first)
                len[kind] += (size_t)snprintf(masks[kind] + len[kind], sizeof(masks[kind]) - len[kind], "%s%" PRIu32,
                                              len[kind] ? "," : "", cpu);
        }
    }
    r = put(run->tree, "power", "cpumask", masks[0]);
    /* Intel has no such PMU: one that answers on no CPU is as good as none. */
    return r | put(run->tree, "power_core", "cpumask", run->amd ? masks[1] : "");
}

static void build(struct run *run)
{
    static const uint32_t unit_registers[] = {0xa0e03, 0xa1003, 0xa0a03, 0xa0003};
    static const uint32_t models[] = {0x9e, 0x55, 0x6a, 0x8f};
    struct fake_machine *m = &run->m;
    int packages = 1 + (int)below(2), dies = 1 + (int)below(2), cores = 1 + (int)below(4), threads = 1 + (int)below(2);
    uint32_t unit = unit_registers[below(ELEMENTSOF(unit_registers))];

    run->is_perf = one_in(3);
    run->amd = one_in(2);
    run->ops = run->is_perf ? &source_rapl_perf : &source_rapl_msr;
    run->tree = below(ELEMENTSOF(scales));
    fake_machine_init(m, run->amd ? "AuthenticAMD" : "GenuineIntel", run->amd ? 0x19 : 6,
                      models[below(ELEMENTSOF(models))], packages, dies, cores, threads);
    if (!run->is_perf)
        fake_counter_add(m, -1, -1, -1, 0, run->amd ? 0xc0010299 : 0x606, unit);
    for (int package = 0; package < packages; package++) {
        for (int die = 0; die < (run->amd ? 1 : dies); die++) {
            static const uint64_t registers[] = {0x611, 0x619, 0x64d}, events[] = {2, 3, 5};
            int which_die = run->amd || dies == 1 ? -1 : die;
            for (size_t i = 0; i < (run->amd ? 1U : 3U); i++)
                fake_counter_add(m, package, which_die, -1, run->is_perf ? POWER : 0,
                                 run->is_perf ? events[i]
                                 : run->amd   ? 0xc001029b
                                              : registers[i],
                                 1 + (one_in(2) ? UINT32_MAX - below(100000) - 1 : below(UINT32_MAX - 1)));
        }
        for (int core = 0; core < dies * cores && run->amd; core++)
            fake_counter_add(m, package, core / cores, core % cores, run->is_perf ? POWER_CORE : 0,
                             run->is_perf ? 1 : 0xc001029a, rnd() & UINT32_MAX);
    }
    run->args = (struct source_args){.env = &envs[run->tree], .topology = &m->topology};
}

static struct rapl_unit unit_of(const struct run *run, enum domain_kind kind)
{
    const struct topology *t = &run->m.topology;

    if (run->is_perf)
        return rapl_unit_joules(scales[run->tree].shift);
    uint64_t reg = run->m.counters[0].bias;
    struct rapl_cpu_units u = run->amd ? rapl_cpu_units_amd(reg) : rapl_cpu_units_intel(reg, t->family, t->model);
    return kind == DOMAIN_DRAM ? u.dram : kind == DOMAIN_PSYS ? u.psys : u.package;
}

/* Which true counters a domain is made of. */
static void bind(struct run *run, size_t i, const struct domain *domain)
{
    static const uint64_t ids[2][DOMAIN_PSYS + 1] = {
        {[DOMAIN_PACKAGE] = 0x611, [DOMAIN_DRAM] = 0x619, [DOMAIN_PSYS] = 0x64d, [DOMAIN_CORE] = 0xc001029a},
        {[DOMAIN_PACKAGE] = 2, [DOMAIN_DRAM] = 3, [DOMAIN_PSYS] = 5, [DOMAIN_CORE] = 1}};
    struct oracle *o = &run->oracles[i];
    uint64_t id = ids[run->is_perf][domain->kind];

    if (run->amd && !run->is_perf && domain->kind == DOMAIN_PACKAGE)
        id = 0xc001029b;
    *o = (struct oracle){.unit = unit_of(run, domain->kind), .disturbed = 1};
    for (size_t k = 0; k < run->m.n_counters; k++) {
        struct fake_counter *counter = &run->m.counters[k];
        bool cores = domain->kind == DOMAIN_CORE;
        if (counter->id != id || (counter->core >= 0) != cores ||
            (domain->package >= 0 && counter->package != domain->package) ||
            (domain->die >= 0 && counter->die != domain->die))
            continue;
        /* registers: the first platform counter is the platform's; events: all of them, added up */
        if (domain->kind == DOMAIN_PSYS && o->n == 1 && !run->is_perf)
            continue;
        o->counters[o->n++] = counter;
    }
}

static int open_source(struct run *run)
{
    const struct domain *domains;
    int r = run->is_perf ? write_masks(run) : 0;

    run->msr = fake_msr_io(&run->m);
    run->perf = fake_perf_io(&run->m);
    if (r == 0 && run->is_perf)
        r = rapl_perf_open_with(&run->args, &run->perf, &run->self, NULL);
    else if (r == 0)
        r = rapl_msr_open_with(&run->args, &run->msr, &run->self, NULL);
    if (r < 0)
        return r;
    run->n = run->ops->domains(run->self, &domains);
    for (size_t i = 0; i < run->n; i++)
        bind(run, i, &domains[i]);
    return 0;
}

/* ---- what happens ---- */

static void reset_a_counter(struct run *run, struct totals *totals)
{
    struct oracle *o = &run->oracles[below(run->n)];
    struct fake_counter *counter = o->counters[below(o->n)];

    /* far enough that what is drawn within 30 s does not hide it; after those there is a flag anyway */
    uint64_t back_uj = (100000 + below(100000)) * UJ_PER_J;

    if (run->is_perf) { /* the kernel took a turn of more than a half for a step back */
        for (int i = 0; i < FAKE_FDS; i++) {
            struct fake_event *event = &run->m.events[i];
            if (!event->used || event->counter != counter || event->dead)
                continue;
            event->base += (uint64_t)(((unsigned __int128)back_uj << o->unit.shift) / 1000000);
            o->lost = true;
            o->unflagged = 0;
        }
    } else {
        counter->bias = -counter->true_count; /* the register holds 0 */
        o->resets++;
    }
    o->disturbed = DISTURBED;
    totals->resets++;
}

static bool is_last_online(const struct run *run, uint32_t cpu)
{
    for (uint32_t other = 0; other < run->m.topology.n_cpus; other++) {
        if (other != cpu && run->m.online[other])
            return false;
    }
    return true;
}

/* Events of a CPU that goes: dead, or taken along to another CPU of the package, as newer kernels do. */
static void move_events(struct run *run, uint32_t from)
{
    for (uint32_t cpu = 0; cpu < run->m.topology.n_cpus; cpu++) {
        if (cpu == from || !run->m.online[cpu] || run->m.cpus[cpu].package != run->m.cpus[from].package)
            continue;
        for (int i = 0; i < FAKE_FDS; i++) {
            struct fake_event *event = &run->m.events[i];
            if (event->used && event->cpu == from && event->counter->core < 0 &&
                (event->counter->die < 0 || event->counter->die == run->m.cpus[cpu].die))
                event->cpu = cpu;
        }
    }
}

/* Cores that come are missed until they are looked at; one that goes again before that was never seen by anybody. */
static void note_cores(struct run *run, uint32_t cpu, bool online, struct totals *totals)
{
    for (size_t i = 0; i < run->n; i++) {
        struct oracle *o = &run->oracles[i];
        for (size_t c = 0; c < o->n; c++) {
            const struct fake_counter *counter = o->counters[c];
            const struct topology_cpu *of = &run->m.cpus[cpu];
            if (counter->core != of->core || counter->die != of->die || counter->package != of->package)
                continue;
            bool others = place_is_online(run, counter); /* without this CPU */
            if (online && !others) {
                o->looks[c] = counter->looks;
                o->lost |= run->is_perf;
            } else if (!online && !others && o->looks[c] == counter->looks) {
                o->unseen = true;
                totals->unseen++;
            }
        }
    }
}

static void note_losses(struct run *run)
{
    for (size_t i = 0; i < run->n; i++)
        run->oracles[i].lost |= has_dead_event(run, &run->oracles[i]);
}

static int plug(struct run *run, struct totals *totals)
{
    uint32_t cpu = (uint32_t)below(run->m.topology.n_cpus);
    bool online = !run->m.online[cpu];

    if (!online && is_last_online(run, cpu))
        return 0;
    if (!online && one_in(2))
        move_events(run, cpu);
    if (online)
        note_cores(run, cpu, true, totals);
    fake_set_online(&run->m, cpu, online);
    if (!online)
        note_cores(run, cpu, false, totals);
    note_losses(run);
    disturb(run);
    totals->moves++;
    /* Sometimes the topology is late. It is not when a CPU comes: one that came and went unseen is unseen. */
    if (!run->is_perf && (online || !one_in(4)))
        fake_topology_follow(&run->m);
    return run->is_perf ? write_masks(run) : 0;
}

static void suspend(struct run *run)
{
    run->ops->reset(run->self, run->m.now_ns);
    for (size_t i = 0; i < run->n; i++) {
        delta_rebase(&run->oracles[i].delta);
        run->oracles[i].disturbed = max_u64(run->oracles[i].disturbed, 1);
    }
}

static uint64_t interval_ns(void)
{
    switch (below(12)) {
    case 0:
        return below(100 * NS_PER_SEC);
    case 1:
        return one_in(4) ? below(2000 * NS_PER_SEC) : below(40 * NS_PER_SEC);
    case 2:
        return 0;
    case 3:
        return NS_PER_MS;
    default:
        return 90 * NS_PER_MS + below(20 * NS_PER_MS);
    }
}

static int step(struct run *run, struct totals *totals)
{
    struct oracle *o = &run->oracles[below(run->n)];
    struct fake_counter *counter = o->counters[below(o->n)];
    static const int errors[] = {-EIO, -EACCES, -EAGAIN};
    int r = 0;

    advance(run, interval_ns());
    if (one_in(12))
        reset_a_counter(run, totals);
    if (one_in(6))
        r = plug(run, totals);
    if (one_in(25))
        suspend(run);
    advance(run, one_in(3) ? below(NS_PER_SEC) : 0);
    if (one_in(10)) {
        counter->error = errors[below(ELEMENTSOF(errors))];
        o->disturbed = DISTURBED;
    }
    if (one_in(20)) {
        run->m.open_error = -EPERM;
        disturb(run);
    }
    /* A failure stays on what is open: whatever hangs on it may fail until a while after it is over. */
    if (r == 0)
        r = sample(run, totals);
    if (one_in(2))
        counter->error = 0;
    for (size_t i = 0; i < run->m.n_counters && one_in(4); i++)
        run->m.counters[i].error = 0;
    if (one_in(2))
        run->m.open_error = 0;
    if (one_in(8))
        fake_topology_follow(&run->m);
    /* Whatever still is wrong excuses the readings to come. */
    bool wrong = run->m.open_error;
    for (size_t i = 0; i < run->m.n_counters; i++)
        wrong |= run->m.counters[i].error != 0;
    for (uint32_t cpu = 0; cpu < run->m.topology.n_cpus; cpu++)
        wrong |= !run->m.online[cpu] || !run->m.cpus[cpu].online;
    if (wrong)
        disturb(run);
    return r;
}

static int run_sequence(struct totals *totals)
{
    static struct run run; /* 300 KiB */
    int r;

    run.n = 0;
    run.disturbed_ns = 0;
    build(&run);
    r = open_source(&run);
    if (r < 0) {
        fprintf(stderr, "%s does not open: %d\n", run.ops->name, r);
        return -1;
    }
    for (unsigned i = 0; i < STEPS && r >= 0; i++)
        r = step(&run, totals);
    run.ops->close(run.self);
    if (r >= 0 && (run.m.broken || run.m.n_open)) {
        fprintf(stderr, "%s left %u descriptors open, or used one that was not its own\n", run.ops->name, run.m.n_open);
        return -1;
    }
    totals->sequences++;
    return r;
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
    int r = make_trees();

    rng_state = from_env("CARNOT_PROPERTY_SEED", SEED_DEFAULT);
    printf("seed %" PRIu64 "\n", rng_state);
    for (uint64_t i = 0; i < rounds && r >= 0; i++) {
        uint64_t before = rng_state;
        r = run_sequence(&totals);
        if (r < 0)
            fprintf(stderr, "sequence %" PRIu64 ": seed %" PRIu64 "\n", i, before);
    }
    for (size_t i = 0; i < ELEMENTSOF(envs); i++)
        carnot_env_close(&envs[i]);
    remove_tree(AT_FDCWD, tree_dir);
    printf("%" PRIu64 " sequences, %" PRIu64 " readings: flagged %" PRIu64 ", failed %" PRIu64 ", wraps %" PRIu64
           "; resets %" PRIu64 ", of which %" PRIu64 " looked like energy; CPUs that came or went %" PRIu64
           ", cores unseen %" PRIu64 "\n",
           totals.sequences, totals.readings, totals.flagged, totals.failed, totals.wraps, totals.resets,
           totals.ambiguous, totals.moves, totals.unseen);
    if (r >= 0 && (!totals.flagged || !totals.failed || !totals.wraps || !totals.resets || !totals.moves)) {
        fprintf(stderr, "something was never met: the run proves nothing about it\n");
        r = -1;
    }
    return r < 0;
}
