/* SPDX-License-Identifier: Apache-2.0 */
/* RAPL from the processor's registers. A package's counter is given as the register holds it, with the value at which
 * it wraps: both are exact in microjoules (rapl_cpu_units.h), so wrap, reset and gap stay attribution/delta's work and
 * nothing is kept here. Counters of single cores (AMD) are added up modulo 2^32; they are watched one by one, since a
 * core that leaves, returns or starts anew would look like energy in the sum.
 *
 * Every CPU of a package reads the same registers, so one is asked; another takes over when it goes offline. The
 * descriptors of some are held from the start, because opening needs a right (CAP_SYS_RAWIO) that the agent gives up.
 */
#include "sources/rapl_filter.h"
#include "sources/rapl_msr_place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "model/quantity.h"
#include "sources/rapl_cpu_units.h"
#include "sources/rapl_mode.h"
#include "sources/registry.h"

#define INTEL_UNIT 0x606
#define AMD_UNIT   0xc0010299
#define AMD_CORE   0xc001029a

#define COUNTER_BITS 32

/* Slack of the bound on one core's energy: two reads may be close together. */
#define CORE_SLACK_UJ (10 * UJ_PER_J)

/* Registers of a package. `always`: a package counter of 0 is a counter; elsewhere 0 means that there is none, as on
 * every package but the first for the platform, and on servers for cores and graphics. */
struct register_row {
    enum domain_kind kind;
    uint32_t reg;
    bool once; /* one in the machine */
};

static const struct register_row intel_registers[] = {
    {DOMAIN_PACKAGE, 0x611, false}, {DOMAIN_CORE, 0x639, false}, {DOMAIN_UNCORE, 0x641, false},
    {DOMAIN_DRAM, 0x619, false},    {DOMAIN_PSYS, 0x64d, true},
};

static const struct register_row amd_registers[] = {{DOMAIN_PACKAGE, 0xc001029b, false}};

/* A core's part in the sum of its package. */
struct core {
    uint32_t domain;
    struct rapl_msr_place place;
    bool primed, away;
    uint32_t last;    /* register at the last good read */
    uint32_t sum;     /* counts since open, modulo 2^32 */
    uint64_t read_ns; /* when that was */
};

struct msr_domain {
    struct rapl_unit unit;
    uint64_t modulus_uj;
    uint32_t reg;
    struct rapl_msr_place place;
    bool of_cores;
    bool gap; /* something was missed since the last reading that was given */
    struct reading reading;
    uint64_t next_ns; /* cores: not before */
};

struct msr {
    struct rapl_msr_cpus cpus;
    const struct fsroot *root;
    const struct topology *topology;
    struct rapl_settings settings;
    bool amd, filtered;
    struct rapl_cpu_units units;
    size_t n;
    struct domain domains[DOMAINS_MAX];
    struct msr_domain states[DOMAINS_MAX];
    struct core *cores; /* [n_cpus] */
    size_t n_cores;
    uint64_t online_seen; /* which CPUs were online when cores were last looked for, hashed */
};

static int explain(const struct msr *msr, uint32_t cpu, int code, struct carnot_err *err)
{
    const char *root = strcmp(msr->root->path, "/") == 0 ? "" : msr->root->path;

    if (code == -EACCES || code == -EPERM)
        return carnot_err_set(err, code,
                              "no right to read %s/dev/cpu/%" PRIu32 "/msr: run as root with CAP_SYS_RAWIO (under "
                              "systemd also DeviceAllow=char-cpu/msr and no PrivateDevices=), or use rapl.mode perf",
                              root, cpu);
    if (code == -ENOENT)
        return carnot_err_set(err, -ENODEV, "no %s/dev/cpu/%" PRIu32 "/msr: try `modprobe msr`", root, cpu);
    if (code == -ENXIO || code == -ENODEV)
        return carnot_err_set(err, -ENODEV,
                              "no CPU is online that can read the energy registers of CPU %" PRIu32
                              "'s package; they are read again when one is",
                              cpu);
    return carnot_err_errno(err, code, "cannot read the energy registers in %s/dev/cpu/%" PRIu32 "/msr", root, cpu);
}

/* ---- cores ---- */

/* Adds what came since the last read. More than a core can draw in that time is a counter that started anew. */
static void add_count(struct core *core, struct rapl_unit unit, uint64_t modulus_uj, uint32_t count, uint64_t now_ns,
                      bool *gap)
{
    uint32_t difference = count - core->last;
    uint64_t most_uj = energy_of_power_uj(RAPL_CORE_MAX_UW, now_ns - core->read_ns);

    if (core->primed && !core->away && rapl_unit_uj(unit, difference) <= 2 * most_uj + CORE_SLACK_UJ)
        core->sum += difference;
    else
        *gap |= core->primed || core->away;
    if (core->primed && most_uj >= modulus_uj)
        *gap = true; /* time enough for another turn */
    core->last = count;
    core->read_ns = now_ns;
    core->primed = true;
    core->away = false;
}

static int read_core(const struct msr *msr, struct core *core, struct msr_domain *state, uint64_t now_ns)
{
    uint64_t value;
    int r = rapl_msr_read(&msr->cpus, &core->place, AMD_CORE, &value);

    if (rapl_msr_is_away(r)) {
        state->gap |= core->primed && !core->away; /* what it drew since the last read */
        core->away = true;                         /* it draws nothing; its sum stays */
        return 0;
    }
    if (r == 0)
        add_count(core, state->unit, state->modulus_uj, (uint32_t)value, now_ns, &state->gap);
    return r;
}

static struct core *find_core(struct msr *msr, const struct topology_cpu *cpu)
{
    for (size_t i = 0; i < msr->n_cores; i++) {
        if (rapl_msr_is_in(&msr->cores[i].place, cpu))
            return &msr->cores[i];
    }
    return NULL;
}

/* FNV-1a over the bits. */
static uint64_t online_hash(const struct topology *t)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++)
        hash = (hash ^ (uint64_t)t->cpus[cpu].online) * 0x100000001b3ULL;
    return hash;
}

/* Online cores of packages whose cores are counted, SMT siblings once. Those that are new join with nothing; and when
 * CPUs came or went, a core may have been here and gone again before its counter was read. */
static void find_cores(struct msr *msr, bool first_time)
{
    const struct topology *t = msr->topology;

    msr->online_seen = online_hash(t);
    for (size_t i = 0; i < msr->n; i++) {
        msr->states[i].gap |= msr->states[i].of_cores && !first_time;
        for (uint32_t cpu = 0; cpu < t->n_cpus && msr->states[i].of_cores; cpu++) {
            const struct topology_cpu *c = &t->cpus[cpu];
            if (!rapl_msr_may_ask(&msr->cpus, cpu) || c->package != msr->domains[i].package || find_core(msr, c) ||
                msr->n_cores == t->n_cpus)
                continue;
            msr->cores[msr->n_cores++] = (struct core){
                .domain = (uint32_t)i, .place = {.package = c->package, .die = c->die, .core = c->core, .cpu = cpu}};
        }
    }
}

/* ---- reading ---- */

static bool is_due(const struct msr_domain *state, uint64_t now_ns)
{
    return !state->of_cores || now_ns >= state->next_ns;
}

static int read_cores(struct msr *msr, uint32_t domain, uint64_t now_ns, uint64_t *ret_sum)
{
    uint32_t sum = 0;
    int status = 0;

    for (size_t i = 0; i < msr->n_cores; i++) {
        struct core *core = &msr->cores[i];
        if (core->domain != domain)
            continue;
        int r = read_core(msr, core, &msr->states[domain], now_ns);
        status = status < 0 ? status : r;
        sum += core->sum;
    }
    *ret_sum = sum;
    return status;
}

static int msr_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct msr *msr = self;
    bool explained = false;

    if (msr->amd && msr->online_seen != online_hash(msr->topology))
        find_cores(msr, false);
    for (size_t i = 0; i < msr->n; i++) {
        struct msr_domain *state = &msr->states[i];

        if (is_due(state, now_mono_ns)) {
            uint64_t count = 0;
            int r = state->of_cores ? read_cores(msr, (uint32_t)i, now_mono_ns, &count)
                                    : rapl_msr_read(&msr->cpus, &state->place, state->reg, &count);

            state->reading = (struct reading){.domain = (uint32_t)i,
                                              .status = rapl_msr_is_away(r) ? -ENODEV : r,
                                              .counter_uj = rapl_unit_uj(state->unit, (uint32_t)count),
                                              .modulus_uj = state->modulus_uj,
                                              .gap = state->gap,
                                              .mono_ns = now_mono_ns};
            state->gap &= r < 0;
            state->next_ns = now_mono_ns + RAPL_CORES_INTERVAL_NS;
            if (r < 0 && !explained)
                explain(msr, state->place.cpu, r, err);
            explained |= r < 0;
        }
        out[i] = state->reading;
        state->reading.gap = false; /* told once */
    }
    return (int)msr->n;
}

/* Counters may have started anew in a suspend: the next read is a baseline. */
static void msr_reset(void *self, uint64_t now_mono_ns)
{
    struct msr *msr = self;

    for (size_t i = 0; i < msr->n_cores; i++)
        msr->cores[i].primed = false;
    for (size_t i = 0; i < msr->n; i++) {
        msr->states[i].gap = false; /* whoever resets counts that himself */
        msr->states[i].next_ns = 0;
    }
}

/* ---- opening ---- */

static struct rapl_unit unit_of(const struct msr *msr, enum domain_kind kind)
{
    return kind == DOMAIN_DRAM ? msr->units.dram : kind == DOMAIN_PSYS ? msr->units.psys : msr->units.package;
}

static int add_domain(struct msr *msr, enum domain_kind kind, const struct rapl_msr_place *place, uint32_t reg,
                      struct carnot_err *err)
{
    struct rapl_unit unit = unit_of(msr, kind);
    bool whole = kind == DOMAIN_PSYS;

    if (msr->n == DOMAINS_MAX)
        return carnot_err_set(err, E2BIG, "more than %d energy domains; please report the machine", DOMAINS_MAX);
    struct domain *domain = &msr->domains[msr->n];
    const struct domain made =
        rapl_domain(kind, whole ? -1 : place->package, whole ? -1 : place->die, source_rapl_msr.name);
    *domain = made;
    snprintf(domain->address, sizeof(domain->address), "%s:msr", made.name);
    domain->lasting = reg != AMD_CORE; /* a sum of cores begins anew with the cores that are online */
    if (msr->filtered)
        domain->quality = QUALITY_DERIVED;
    msr->states[msr->n] = (struct msr_domain){
        .unit = unit, .modulus_uj = rapl_unit_modulus_uj(unit, COUNTER_BITS), .reg = reg, .place = *place};
    msr->n++;
    return 0;
}

static bool has_kind(const struct msr *msr, enum domain_kind kind)
{
    for (size_t i = 0; i < msr->n; i++) {
        if (msr->domains[i].kind == kind)
            return true;
    }
    return false;
}

/* The first CPU of the core that may be asked, -1 when there is none. */
static int64_t core_reader(const struct msr *msr, const struct rapl_msr_place *core)
{
    for (uint32_t cpu = 0; cpu < msr->topology->n_cpus; cpu++) {
        if (rapl_msr_may_ask(&msr->cpus, cpu) && rapl_msr_is_in(core, &msr->topology->cpus[cpu]))
            return cpu;
    }
    return -1;
}

/* All cores of the package, or no such domain: with a list of CPUs a part would look like the whole. */
static int add_cores(struct msr *msr, const struct rapl_msr_place *place, struct carnot_err *err)
{
    const struct topology *t = msr->topology;
    uint64_t value;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        const struct topology_cpu *c = &t->cpus[cpu];
        struct rapl_msr_place core = {.package = c->package, .die = c->die, .core = c->core};
        if (!c->online || !rapl_msr_is_in(place, c) || (uint32_t)c->first_sibling != cpu)
            continue;
        int64_t reader = core_reader(msr, &core);
        core.cpu = reader < 0 ? 0 : (uint32_t)reader;
        if (reader < 0 || rapl_msr_read(&msr->cpus, &core, AMD_CORE, &value) < 0)
            return 0;
    }
    int r = add_domain(msr, DOMAIN_CORE, place, AMD_CORE, err);
    if (r == 0)
        msr->states[msr->n - 1].of_cores = true;
    return r;
}

/* A hypervisor may answer every energy register with 0, the unit among them: such counters never move. */
static int read_units(struct msr *msr, struct rapl_msr_place *place, struct carnot_err *err)
{
    const struct topology *t = msr->topology;
    uint64_t unit = 0, counter = 0;
    int r = rapl_msr_read(&msr->cpus, place, msr->amd ? AMD_UNIT : INTEL_UNIT, &unit);

    if (r == -EIO)
        return carnot_err_set(err, ENODEV, "this %s processor has no energy registers%s", t->vendor,
                              t->hypervisor ? ": as usual in a virtual machine" : "");
    if (r < 0)
        return explain(msr, place->cpu, r, err);
    r = rapl_msr_read(&msr->cpus, place, msr->amd ? amd_registers[0].reg : intel_registers[0].reg, &counter);
    if (r == -EIO || (r == 0 && unit == 0 && (uint32_t)counter == 0))
        return carnot_err_set(err, ENODEV, "the energy registers hold nothing%s",
                              t->hypervisor ? ": as usual in a virtual machine" : "");
    if (r < 0)
        return explain(msr, place->cpu, r, err);
    msr->units = msr->amd ? rapl_cpu_units_amd(unit) : rapl_cpu_units_intel(unit, t->family, t->model);
    return 0;
}

static int open_place(struct msr *msr, struct rapl_msr_place *place, struct carnot_err *err)
{
    const struct register_row *rows = msr->amd ? amd_registers : intel_registers;
    size_t n_rows = msr->amd ? ELEMENTSOF(amd_registers) : ELEMENTSOF(intel_registers);

    rapl_msr_hold(&msr->cpus, place);
    int r = read_units(msr, place, err);
    if (r < 0)
        return r;
    msr->filtered |= !msr->amd && rapl_msr_is_filtered(&msr->cpus.io, msr->cpus.fds[place->cpu]);
    for (size_t i = 0; i < n_rows && r >= 0; i++) {
        uint64_t value;
        if (rapl_msr_read(&msr->cpus, place, rows[i].reg, &value) < 0 || (uint32_t)value == 0)
            continue; /* not there: 0 is what parts say of domains that they do not have */
        if (!rows[i].once || !has_kind(msr, rows[i].kind))
            r = add_domain(msr, rows[i].kind, place, rows[i].reg, err);
    }
    if (r >= 0 && msr->amd)
        r = add_cores(msr, place, err);
    return r;
}

/* Intel counts per die where a package has several, AMD and Hygon always per package. */
static bool package_has_dies(const struct msr *msr, int package)
{
    const struct topology *t = msr->topology;
    int first = -1;

    for (uint32_t cpu = 0; cpu < t->n_cpus && !msr->amd; cpu++) {
        if (!t->cpus[cpu].online || t->cpus[cpu].package != package)
            continue;
        if (first >= 0 && t->cpus[cpu].die != first)
            return true;
        first = t->cpus[cpu].die;
    }
    return false;
}

/* An earlier CPU stood for this place already. */
static bool is_seen(const struct msr *msr, const struct rapl_msr_place *place, uint32_t before)
{
    for (uint32_t cpu = 0; cpu < before; cpu++) {
        if (rapl_msr_may_ask(&msr->cpus, cpu) && rapl_msr_is_in(place, &msr->topology->cpus[cpu]))
            return true;
    }
    return false;
}

/* One place after another, by its first CPU that is online and allowed. */
static int open_all(struct msr *msr, struct carnot_err *err)
{
    const struct topology *t = msr->topology;
    int first_error = 0;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        const struct topology_cpu *c = &t->cpus[cpu];
        struct rapl_msr_place place = {.package = c->package, .die = -1, .core = -1, .cpu = cpu};
        if (!rapl_msr_may_ask(&msr->cpus, cpu))
            continue;
        if (package_has_dies(msr, c->package))
            place.die = c->die;
        if (is_seen(msr, &place, cpu))
            continue;
        int r = open_place(msr, &place, first_error ? NULL : err);
        if (r < 0 && !first_error)
            first_error = r;
        if (r < 0 && msr->n == 0)
            break; /* what the first package does not allow, the others will not: 4096 CPUs are not asked in turn */
    }
    find_cores(msr, true);
    if (msr->n)
        return 0;
    return first_error ? first_error
                       : carnot_err_set(err, ENODEV, "no CPU of rapl.msr-cpus is online, or none has a counter");
}

static int check_processor(struct msr *msr, struct carnot_err *err)
{
    const struct topology *t = msr->topology;

    msr->amd = strcmp(t->vendor, "AuthenticAMD") == 0 || strcmp(t->vendor, "HygonGenuine") == 0;
    if (msr->amd || strcmp(t->vendor, "GenuineIntel") == 0)
        return 0;
    return carnot_err_set(err, ENODEV, "no energy registers are known for processors of \"%s\"", t->vendor);
}

static void *msr_close(void *self)
{
    struct msr *msr = self;

    if (msr) {
        rapl_msr_cpus_done(&msr->cpus);
        free(msr->cores);
    }
    free(msr);
    return NULL;
}

int rapl_msr_open_with(const struct source_args *args, const struct rapl_msr_io *io, void **ret_self,
                       struct carnot_err *err)
{
    const struct rapl_settings *settings = args->settings;
    struct msr *msr = calloc(1, sizeof(*msr));

    if (!msr)
        return carnot_err_set(err, ENOMEM, "out of memory for the energy registers");
    msr->root = &args->env->root;
    msr->topology = args->topology;
    msr->settings = settings ? *settings : rapl_default_settings;
    int r = check_processor(msr, err);
    if (r >= 0)
        r = rapl_msr_cpus_init(&msr->cpus, io, args->topology, msr->settings.msr_cpus, err);
    if (r >= 0) {
        msr->cores = calloc(args->topology->n_cpus, sizeof(*msr->cores));
        r = msr->cores ? open_all(msr, err) : carnot_err_set(err, ENOMEM, "out of memory for the energy registers");
    }
    if (r < 0) {
        msr_close(msr);
        return r;
    }
    *ret_self = msr;
    return 0;
}

static int msr_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    struct rapl_msr_io io = rapl_msr_device(&args->env->root);

    return rapl_msr_open_with(args, &io, ret_self, err);
}

static int msr_probe(const struct source_args *args, struct carnot_err *err)
{
    void *self = NULL;
    int r = rapl_mode_check(RAPL_MSR, args->settings, err);

    if (r < 0)
        return r;
    r = msr_open(args, &self, err);
    msr_close(self);
    return r < 0 ? r : 0;
}

static size_t msr_domains(const void *self, const struct domain **ret_domains)
{
    const struct msr *msr = self;

    *ret_domains = msr->domains;
    return msr->n;
}

static void msr_describe(const void *self, struct buf *out)
{
    const struct msr *msr = self;

    rapl_mode_describe(RAPL_MSR, &msr->settings, out);
    rapl_filter_describe(msr->filtered ? FILTER_ON : FILTER_OFF, false, out);
    for (size_t i = 0; i < msr->n; i++) {
        const struct msr_domain *state = &msr->states[i];

        buf_printf(out, "%s: register 0x%" PRIX32 ", ", msr->domains[i].name, state->reg);
        if (state->unit.shift)
            buf_printf(out, "unit 2^-%" PRIu32 " J", state->unit.shift);
        else
            buf_printf(out, "unit %" PRIu32 " uJ", state->unit.numerator);
        buf_puts(out, ", wraps at ");
        buf_put_fixed(out, state->modulus_uj, 6);
        if (state->of_cores)
            buf_puts(out, " J, cores without their SMT siblings, once a second\n");
        else
            buf_printf(out, " J, CPU %" PRIu32 "\n", state->place.cpu);
    }
}

const struct source_ops source_rapl_msr = {
    .name = "rapl_msr",
    .summary = "RAPL energy counters of processor and memory (registers, /dev/cpu/N/msr)",
    .flags = SOURCE_ON_BY_DEFAULT,
    .group = RAPL_GROUP,
    .settings = &rapl_default_settings,
    .min_interval_ns = NS_PER_MS, /* the hardware updates its counters about once a millisecond */
    .probe = msr_probe,
    .open = msr_open,
    .domains = msr_domains,
    .read = msr_read,
    .reset = msr_reset,
    .describe = msr_describe,
    .close = msr_close,
};
