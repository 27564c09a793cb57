/* SPDX-License-Identifier: Apache-2.0 */
/* Terms of power: time awake, time and cycles of cores, instructions, misses. Knows how each is shared by those who ran
 * at once; does not know what they cost. */
#include "attribution/terms.h"

#include <math.h>
#include <string.h>

#include "attribution/shapley.h"

#define NS_TO_S 1e-9
#define GIGA    1e-9
#define MEGA    1e-6

/* A frequency outside these times the nominal one is a miscount, not a frequency. */
#define FREQUENCY_RATIO_MIN 0.05
#define FREQUENCY_RATIO_MAX 4.0

/* First guesses for one core or package, in uJ per unit; sums of them give the usual 2 to 8 W for a core and 10 to 60 W
 * for a package that idles. */
#define GUESS_IDLE             5e6
#define GUESS_IDLE_PER_CORE    0.5e6
#define GUESS_PRESENT          3e6
#define GUESS_PRESENT_PER_CORE 0.3e6
#define GUESS_CORE             1.5e6
#define GUESS_CLOCK            0.8e6
#define GUESS_THREAD           1.5e6
#define GUESS_INSTRUCTION      0.4e6
#define GUESS_LOCAL            0.01e6 /* 10 nJ */
#define GUESS_REMOTE           0.02e6
#define GUESS_NODE             0.02e6 /* a line of 64 bytes at some 40 pJ a bit */
#define GUESS_MEMORY_IDLE      3e6

const char *const term_names[TERMS] = {
    [TERM_IDLE] = "idle",
    [TERM_PRESENT] = "package awake",
    [TERM_CORE] = "cores on",
    [TERM_CLOCK] = "core cycles at V^2",
    [TERM_THREAD] = "hyperthreads on",
    [TERM_INSTRUCTION] = "instructions at V^2",
    [TERM_LOCAL] = "local misses",
    [TERM_REMOTE] = "remote misses",
    [TERM_NODE] = "misses",
};
const char *const term_units[TERMS] = {
    [TERM_IDLE] = "s",     [TERM_PRESENT] = "s",   [TERM_CORE] = "s",
    [TERM_CLOCK] = "10^9", [TERM_THREAD] = "s",    [TERM_INSTRUCTION] = "10^9",
    [TERM_LOCAL] = "10^6", [TERM_REMOTE] = "10^6", [TERM_NODE] = "10^6",
};

static const struct {
    unsigned needs; /* all of these */
    unsigned not_with;
} rule[TERMS] = {
    [TERM_IDLE] = {0, 0},
    [TERM_PRESENT] = {FEATURE_BIT(FEATURE_CPU_NS), 0},
    [TERM_CORE] = {FEATURE_BIT(FEATURE_CPU_NS), 0},
    [TERM_CLOCK] = {FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_CYCLES), 0},
    [TERM_THREAD] = {FEATURE_BIT(FEATURE_CPU_NS), FEATURE_BIT(FEATURE_INSTRUCTIONS)},
    [TERM_INSTRUCTION] = {FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_INSTRUCTIONS), 0},
    [TERM_LOCAL] = {FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_LOCAL_MISSES), 0},
    [TERM_REMOTE] = {FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_REMOTE_MISSES), 0},
    [TERM_NODE] = {FEATURE_BIT(FEATURE_NODE_MISSES), 0},
};

struct term_set term_set_of(const struct method_window *window)
{
    struct term_set set = {.n = 1, .term = {TERM_IDLE}};
    enum term first = window->dram ? TERM_NODE : TERM_PRESENT, last = window->dram ? TERM_NODE : TERM_REMOTE;

    for (enum term t = first; t <= last; t++) {
        if ((window->known & rule[t].needs) != rule[t].needs || window->known & rule[t].not_with)
            continue;
        if (t == TERM_THREAD && !has_smt(window))
            continue; /* the same as time on cores */
        set.term[set.n++] = t;
    }
    if (set.n == 1)
        set.n = 0;
    return set;
}

bool term_set_same(const struct term_set *a, const struct term_set *b)
{
    return a->n == b->n && memcmp(a->term, b->term, a->n * sizeof(a->term[0])) == 0;
}

void term_set_guess(const struct term_set *set, const struct method_window *window, double *ret_uj_per_unit)
{
    double cores = window->n_cpus ? (double)cores_of(window) : 1.0;
    const double guess[TERMS] = {
        [TERM_IDLE] = window->dram ? GUESS_MEMORY_IDLE : GUESS_IDLE + cores * GUESS_IDLE_PER_CORE,
        [TERM_PRESENT] = GUESS_PRESENT + cores * GUESS_PRESENT_PER_CORE,
        [TERM_CORE] = GUESS_CORE,
        [TERM_CLOCK] = GUESS_CLOCK,
        [TERM_THREAD] = GUESS_THREAD,
        [TERM_INSTRUCTION] = GUESS_INSTRUCTION,
        [TERM_LOCAL] = GUESS_LOCAL,
        [TERM_REMOTE] = GUESS_REMOTE,
        [TERM_NODE] = GUESS_NODE,
    };

    for (size_t j = 0; j < set->n; j++) {
        ret_uj_per_unit[j] = guess[set->term[j]];
        /* without cycles, time on a core stands for them as well */
        if (set->term[j] == TERM_CORE && !knows(window, FEATURE_CYCLES))
            ret_uj_per_unit[j] += 2.5 * GUESS_CLOCK;
    }
}

static double value_of(const struct method_window *window, size_t i, enum feature feature)
{
    return (double)window->cells[i].value[feature];
}

/* Time of cores, ns: alone the whole of it, beside a sibling half. */
static double core_ns(const struct method_window *window, size_t i)
{
    double cpu = value_of(window, i, FEATURE_CPU_NS);

    if (!has_smt(window) || !knows(window, FEATURE_OVERLAP_NS))
        return cpu;
    return cpu - fmin(value_of(window, i, FEATURE_OVERLAP_NS), cpu) / 2.0;
}

/* (V(f) / V(f0))^2 at the cell's mean frequency, V affine in f. */
static double voltage_squared(const struct terms *terms, double cycles, double cpu_ns)
{
    double base_per_ns = (double)terms->window->base_khz * 1e-6;

    if (!(base_per_ns > 0.0) || !(cpu_ns > 0.0) || !knows(terms->window, FEATURE_CYCLES))
        return 1.0;
    double ratio = fmin(fmax(cycles / cpu_ns / base_per_ns, FREQUENCY_RATIO_MIN), FREQUENCY_RATIO_MAX);
    double voltage = fmax(1.0 + terms->voltage_slope * (ratio - 1.0), 0.1);
    return voltage * voltage;
}

void terms_of_cell(const struct terms *terms, size_t i, double *ret_units)
{
    const struct method_window *window = terms->window;
    double cpu = value_of(window, i, FEATURE_CPU_NS), on = core_ns(window, i);
    double cycles = value_of(window, i, FEATURE_CYCLES);
    double square = voltage_squared(terms, cycles, cpu);

    for (size_t j = 0; j < terms->set->n; j++) {
        double units = 0.0;
        switch (terms->set->term[j]) {
        case TERM_PRESENT:
            if (knows(window, FEATURE_PRESENT_NS))
                units = value_of(window, i, FEATURE_PRESENT_NS) * NS_TO_S;
            else if (terms->group_rate)
                units = cpu * terms->group_rate[group_of(window, i)] * NS_TO_S;
            else
                units = on * terms->rate * NS_TO_S;
            break;
        case TERM_CORE:
            units = on * NS_TO_S;
            break;
        case TERM_CLOCK:
            units = cpu > 0.0 ? cycles * (on / cpu) * square * GIGA : 0.0;
            break;
        case TERM_THREAD:
            units = cpu * NS_TO_S;
            break;
        case TERM_INSTRUCTION:
            units = value_of(window, i, FEATURE_INSTRUCTIONS) * square * GIGA;
            break;
        case TERM_LOCAL:
            units = value_of(window, i, FEATURE_LOCAL_MISSES) * MEGA;
            break;
        case TERM_REMOTE:
            units = value_of(window, i, FEATURE_REMOTE_MISSES) * MEGA;
            break;
        case TERM_NODE:
            units = value_of(window, i, FEATURE_NODE_MISSES) * MEGA;
            break;
        case TERM_IDLE:
        case TERMS:
        default:
            break;
        }
        ret_units[j] = units;
    }
}

/* Time in which anybody is there, if cores are busy independently of each other. */
static double guess_present_ns(const struct method_window *window, double on_ns)
{
    double cores = (double)cores_of(window), length = (double)window->window_ns;

    if (cores < 1.0 || length <= 0.0)
        return 0.0;
    return length * -expm1(cores * log1p(-fmin(on_ns / (cores * length), 1.0)));
}

/* The players' parts of the time awake, where nobody measured them: each is there for its CPU time, at most the whole
 * window, independently of the others. Leaves rates (per ns of CPU time) in the first column; returns the sum of parts.
 */
static double guess_groups(struct group_sums *groups, const struct method_window *window)
{
    size_t n = players_of(window);
    double *cpu = groups->sum, *presence = groups->sum + n, *share = groups->sum + 2 * n;
    double length = (double)window->window_ns;

    for (size_t i = 0; i < window->n; i++)
        cpu[group_of(window, i)] += value_of(window, i, FEATURE_CPU_NS);
    for (size_t g = 0; g < n; g++)
        presence[g] = fmin(cpu[g] / length, 1.0);
    double present_ns = shapley_or(presence, n, share) * length;
    for (size_t g = 0; g < n; g++)
        cpu[g] = cpu[g] > 0.0 ? share[g] * length / cpu[g] : 0.0;
    return present_ns;
}

static void start_presence(struct terms *terms, struct group_sums *groups)
{
    const struct method_window *window = terms->window;
    double on_ns = 0.0, present_ns = (double)window->present_ns;

    if (window->dram || knows(window, FEATURE_PRESENT_NS) || window->window_ns == 0)
        return;
    if (group_sums_start(groups, window, 3)) {
        double guessed_ns = guess_groups(groups, window);
        double scale = window->present_ns && guessed_ns > 0.0 ? present_ns / guessed_ns : 1.0;
        for (size_t g = 0; g < players_of(window); g++)
            groups->sum[g] *= scale;
        terms->group_rate = groups->sum;
        return;
    }
    for (size_t i = 0; i < window->n; i++)
        on_ns += core_ns(window, i);
    if (!window->present_ns)
        present_ns = guess_present_ns(window, on_ns);
    terms->rate = on_ns > 0.0 ? present_ns / on_ns : 0.0;
}

void terms_start(struct terms *ret, const struct method_window *window, const struct term_set *set,
                 double voltage_slope, struct group_sums *groups)
{
    *ret = (struct terms){.window = window, .set = set, .voltage_slope = voltage_slope};
    start_presence(ret, groups);
    for (size_t i = 0; i < window->n; i++) {
        double units[LINALG_MAX];
        terms_of_cell(ret, i, units);
        for (size_t j = 0; j < set->n; j++)
            ret->total[j] += units[j];
    }
    ret->total[0] = (double)window->window_ns * NS_TO_S;
}
