/* SPDX-License-Identifier: Apache-2.0 */
/* Laws of the methods of attribution, over random windows of two kinds: such as machines have (from which the method
 * that learns learns), and any numbers at all.
 *
 *   conservation      shares add up to active, active + idle + residual to the energy; raw energat is exempt
 *   null player       who did nothing gets nothing
 *   symmetry          equal cells of a tenant get the same within 1 uJ
 *   permutation       the order of cells changes nothing beyond roundings
 *   split invariance  a tenant in pieces gets what it gets in one (not energat, whose exponents forbid it)
 *   monotonicity      a cell that did c times as much in everything does not get less
 *   additivity        two windows' energies apportioned together or one after the other: the same within roundings
 *   errors            are finite and not negative; modes of cells and idle add up to 0
 *
 * CARNOT_PROPERTY_SEED and CARNOT_PROPERTY_ROUNDS choose another run (a million rounds take some minutes). */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "attribution/method.h"
#include "base/clock.h"
#include "random.h"

#define ROUNDS_DEFAULT 40000ULL
#define CELLS_MAX      40U
#define PIECES_MAX     (8U * CELLS_MAX)
#define GROUPS_MAX     12U
#define EPISODE        200U /* windows that one object sees, one after the other */

typedef unsigned __int128 u128;

struct window {
    struct method_window in;
    struct cell_features cells[PIECES_MAX];
    uint32_t group[PIECES_MAX];
};

struct split {
    uint64_t uj[PIECES_MAX];
    struct method_error errors[PIECES_MAX];
    struct method_result result;
};

/* A method under test, three times: the window as it is, in another order, in pieces. */
struct subject {
    const struct method_ops *ops;
    struct method_settings settings;
    void *self[3];
};

static struct subject subjects[8];
static size_t n_subjects;
static uint64_t n_by_model, n_fallen_back, n_residual;

static void features_plausible(uint64_t *value, uint64_t window_ns)
{
    double cpu = rnd_unit() * 6.0 * (double)window_ns, ghz = 1.0 + 2.0 * rnd_unit();

    value[FEATURE_CPU_NS] = (uint64_t)cpu;
    value[FEATURE_OVERLAP_NS] = (uint64_t)(cpu * rnd_unit());
    value[FEATURE_PRESENT_NS] = (uint64_t)(fmin(cpu, (double)window_ns) * 0.3);
    value[FEATURE_CYCLES] = (uint64_t)(cpu * ghz);
    value[FEATURE_INSTRUCTIONS] = (uint64_t)(cpu * ghz * 3.0 * rnd_unit());
    value[FEATURE_LOCAL_MISSES] = (uint64_t)(cpu * 0.01 * rnd_unit());
    value[FEATURE_REMOTE_MISSES] = (uint64_t)(cpu * 0.005 * rnd_unit());
    value[FEATURE_NODE_MISSES] = (uint64_t)(cpu * 0.01 * rnd_unit());
    value[FEATURE_RESIDENT] = (uint64_t)(rnd_unit() * 1e9) * 1000;
}

/* What the plausible package draws: some linear function, 10 % noise. */
static double energy_plausible(const struct window *w)
{
    double uj = 2e-2 * (double)w->in.window_ns;

    for (size_t i = 0; i < w->in.n; i++)
        uj += 2e-3 * (double)w->cells[i].value[FEATURE_CPU_NS] +
              0.4e-3 * (double)w->cells[i].value[FEATURE_INSTRUCTIONS] +
              0.01 * (double)w->cells[i].value[FEATURE_LOCAL_MISSES];
    return uj * (0.95 + 0.1 * rnd_unit());
}

static void features_any(uint64_t *value)
{
    unsigned bits = rnd_below(4) ? 40 : 64;

    for (size_t f = 0; f < FEATURES; f++)
        value[f] = rnd_size(bits);
}

static void window_random(struct window *w, bool plausible, unsigned known, bool dram)
{
    bool nobody = rnd_below(30) == 0;

    *w = (struct window){0};
    w->in = (struct method_window){
        .window_ns = plausible || rnd_below(2) ? 1000000000ULL : rnd_size(64),
        .idle_uw = rnd_below(4) ? 0 : rnd_size(plausible ? 25 : 64),
        .n_cpus = plausible ? 64 : (uint32_t)rnd_size(16),
        .n_cores = plausible ? 32 : (uint32_t)rnd_size(16),
        .base_khz = plausible ? 2500000 : rnd_size(64),
        .present_ns = plausible || rnd_below(2) ? 0 : rnd_size(64),
        .resident = rnd_below(2) ? 0 : rnd_size(64),
        .known = known,
        .dram = dram,
        .n = rnd_below(CELLS_MAX + 1),
        .n_groups = 1 + (uint32_t)rnd_below(GROUPS_MAX),
        .cells = w->cells,
        .group = rnd_below(4) ? w->group : NULL,
    };
    for (size_t i = 0; i < w->in.n; i++) {
        w->group[i] = rnd_below(10) ? (uint32_t)rnd_below(w->in.n_groups) : UINT32_MAX;
        if (nobody || rnd_below(8) == 0)
            continue; /* a null player */
        if (plausible)
            features_plausible(w->cells[i].value, w->in.window_ns);
        else
            features_any(w->cells[i].value);
    }
    if (w->in.n >= 2 && rnd_below(3) == 0) { /* twins, for symmetry */
        w->cells[1] = w->cells[0];
        w->group[1] = w->group[0];
    }
    if (w->in.n >= 4 && rnd_below(3) == 0) { /* the same, three times as much of it */
        features_plausible(w->cells[2].value, w->in.window_ns < NS_PER_SEC ? w->in.window_ns : NS_PER_SEC);
        for (size_t f = 0; f < FEATURES; f++)
            w->cells[3].value[f] = 3 * w->cells[2].value[f];
        w->group[3] = w->group[2];
    }
    w->in.energy_uj = plausible ? (uint64_t)energy_plausible(w) : rnd_size(64);
    w->in.sensor_uj = plausible ? w->in.energy_uj / 1000 : rnd_size(64);
}

static struct window reordered(const struct window *w)
{
    struct window copy = *w;

    for (size_t i = 0; i < w->in.n; i++) {
        copy.cells[i] = w->cells[w->in.n - 1 - i];
        copy.group[i] = w->group[w->in.n - 1 - i];
    }
    return copy;
}

#define PIECES_OF(i) (1U + (i) % 8U)

/* Cell i in PIECES_OF(i) equal pieces, one after the other; what does not divide is in the first. */
static struct window in_pieces(const struct window *w)
{
    struct window copy = *w;

    copy.in.n = 0;
    for (size_t i = 0; i < w->in.n; i++) {
        for (size_t k = 0; k < PIECES_OF(i); k++) {
            for (size_t f = 0; f < FEATURES; f++) {
                uint64_t value = w->cells[i].value[f], each = value / PIECES_OF(i);
                copy.cells[copy.in.n].value[f] = k ? each : value - each * (PIECES_OF(i) - 1);
            }
            copy.group[copy.in.n++] = w->group[i];
        }
    }
    return copy;
}

static void run(const struct subject *subject, size_t which, struct window *w, struct split *ret)
{
    memset(ret, 0xa5, sizeof(*ret)); /* what is not written is seen */
    w->in.cells = w->cells;
    w->in.group = w->in.group ? w->group : NULL;
    subject->ops->split(subject->self[which], &w->in, ret->uj, ret->errors, &ret->result);
}

static const char *check_conservation(const struct window *w, const struct split *s)
{
    u128 sum = 0;

    for (size_t i = 0; i < w->in.n; i++)
        sum += s->uj[i];
    if (sum != s->result.active_uj)
        return "the shares are not the active energy";
    if ((u128)s->result.active_uj + s->result.idle_uj + s->result.residual_uj != w->in.energy_uj)
        return "active + idle + residual is not the energy";
    return NULL;
}

static bool did_nothing(const struct window *w, size_t i)
{
    for (size_t f = 0; f < FEATURES; f++) {
        if (w->cells[i].value[f])
            return false;
    }
    return true;
}

static const char *check_players(const struct window *w, const struct split *s)
{
    for (size_t i = 0; i < w->in.n; i++) {
        if (did_nothing(w, i) && s->uj[i])
            return "energy for a cell that did nothing";
    }
    if (w->in.n >= 2 && memcmp(&w->cells[0], &w->cells[1], sizeof(w->cells[0])) == 0 && w->group[0] == w->group[1] &&
        (s->uj[0] > s->uj[1] + 1 || s->uj[1] > s->uj[0] + 1))
        return "twins get different energies";
    return NULL;
}

static const char *check_monotonicity(const struct window *w, const struct split *s)
{
    if (w->in.n < 4 || w->group[2] != w->group[3])
        return NULL;
    for (size_t f = 0; f < FEATURES; f++) {
        if (w->cells[3].value[f] / 3 != w->cells[2].value[f] || w->cells[3].value[f] % 3)
            return NULL;
    }
    return s->uj[3] + 1 < s->uj[2] ? "three times as much work gets less" : NULL;
}

static const char *check_errors(const struct window *w, const struct split *s)
{
    double scale = 1.0 + (double)w->in.energy_uj + s->result.idle.sigma_uj;

    if (!(s->result.misfit >= 0.0) || !isfinite(s->result.misfit))
        return "a misfit that is no number";
    if (!(s->result.crowding >= 0.0 && s->result.crowding <= 1.0) || !s->result.used)
        return "a crowding outside 0 .. 1, or no word for what was done";
    for (size_t m = 0; m < METHOD_MODES; m++) {
        double sum = s->result.idle.mode_uj[m];
        for (size_t i = 0; i < w->in.n; i++)
            sum += s->errors[i].mode_uj[m];
        /* idle may be uncertain while there is nobody whose share that would be */
        if (!isfinite(sum))
            return "a mode that is no number";
        if (s->result.active_uj && fabs(sum) > 1e-6 * scale)
            return "modes of cells and idle do not add up to 0";
    }
    for (size_t i = 0; i < w->in.n; i++) {
        if (!(s->errors[i].sigma_uj >= 0.0) || !isfinite(s->errors[i].sigma_uj) || !(s->errors[i].spread_uj >= 0.0))
            return "an error that is no number";
    }
    return NULL;
}

/* Learned numbers differ in their last digits with the order of sums. */
static double tolerance(const struct window *w, size_t roundings)
{
    return (double)roundings + 2.0 + 1e-7 * (double)w->in.energy_uj;
}

static const char *check_permutation(const struct window *w, const struct split *s, const struct split *other)
{
    for (size_t i = 0; i < w->in.n; i++) {
        double difference = (double)s->uj[i] - (double)other->uj[w->in.n - 1 - i];
        if (fabs(difference) > tolerance(w, 1))
            return "another order of the cells, another share";
    }
    return NULL;
}

static const char *check_pieces(const struct window *w, const struct split *s, const struct split *pieces)
{
    size_t at = 0;

    for (size_t i = 0; i < w->in.n; i++) {
        uint64_t sum = 0;
        for (size_t k = 0; k < PIECES_OF(i); k++)
            sum += pieces->uj[at++];
        if (fabs((double)sum - (double)s->uj[i]) > tolerance(w, PIECES_OF(i)))
            return "a cell in pieces gets another share than in one";
    }
    return NULL;
}

/* By hand-made copies of the window: energy in two parts, for methods that do not learn and know their idle power. */
static const char *check_additivity(const struct subject *subject, const struct window *w, const struct split *s)
{
    struct window part = *w;
    struct split first, second;

    if (subject->ops->explain || w->in.idle_uw)
        return NULL;
    part.in.energy_uj = w->in.energy_uj / 3;
    run(subject, 1, &part, &first);
    part.in.energy_uj = w->in.energy_uj - w->in.energy_uj / 3;
    run(subject, 1, &part, &second);
    for (size_t i = 0; i < w->in.n; i++) {
        double difference = (double)first.uj[i] + (double)second.uj[i] - (double)s->uj[i];
        if (fabs(difference) > 4.0 + 1e-12 * (double)w->in.energy_uj)
            return "two energies one after the other are not their sum";
    }
    return NULL;
}

static const char *check(const struct subject *subject, struct window *w, bool plausible, struct split *s)
{
    struct window copy;
    struct split other;
    bool conserves = subject->ops->conserves || subject->settings.normalise;
    bool learns = subject->ops->explain;
    const char *bad = NULL;

    run(subject, 0, w, s);
    if (conserves)
        bad = check_conservation(w, s);
    if (!bad)
        bad = check_players(w, s);
    if (!bad)
        bad = check_errors(w, s);
    if (!bad)
        bad = check_monotonicity(w, s);
    if (bad)
        return bad;

    /* Any numbers at all overflow what a double tells apart; sums of 64 bits in pieces would not fit. */
    if (!plausible && learns)
        return NULL;
    copy = reordered(w);
    run(subject, 1, &copy, &other);
    bad = check_permutation(w, s, &other);
    if (!bad && subject->ops->conserves && plausible) {
        copy = in_pieces(w);
        run(subject, 2, &copy, &other);
        bad = check_pieces(w, s, &other);
    }
    return bad ? bad : check_additivity(subject, w, s);
}

static void print_window(const struct window *w, const struct split *s)
{
    printf("energy %" PRIu64 ", sensor %" PRIu64 ", window %" PRIu64 ", idle %" PRIu64
           ", cpus %u, cores %u, known %x, dram %d, groups %u%s: %s\n",
           w->in.energy_uj, w->in.sensor_uj, w->in.window_ns, w->in.idle_uw, w->in.n_cpus, w->in.n_cores, w->in.known,
           w->in.dram, w->in.n_groups, w->in.group ? "" : " unknown", s->result.used);
    for (size_t i = 0; i < w->in.n; i++) {
        printf("  cell %zu of %" PRId32 ":", i, (int32_t)w->group[i]);
        for (size_t f = 0; f < FEATURES; f++)
            printf(" %" PRIu64, w->cells[i].value[f]);
        printf(" -> %" PRIu64 " +- %g\n", s->uj[i], s->errors[i].sigma_uj);
    }
    printf("active %" PRIu64 ", idle %" PRIu64 ", residual %" PRIu64 "\n", s->result.active_uj, s->result.idle_uj,
           s->result.residual_uj);
}

static void add_subject(const struct method_ops *ops, bool normalise)
{
    struct subject *subject = &subjects[n_subjects++];

    subject->ops = ops;
    subject->settings = METHOD_SETTINGS_DEFAULT;
    subject->settings.normalise = normalise;
}

static int open_subject(struct subject *subject)
{
    for (size_t k = 0; k < ELEMENTSOF(subject->self); k++) {
        if (subject->self[k])
            subject->ops->close(subject->self[k]);
        subject->self[k] = NULL;
        if (subject->ops->open(&subject->settings, &subject->self[k], NULL) < 0)
            return -1;
    }
    return 0;
}

/* Which features are known stays the same for an episode, as on a machine. */
static unsigned known_random(void)
{
    static const unsigned tier[] = {
        (1U << FEATURES) - 1,
        FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS) | FEATURE_BIT(FEATURE_CYCLES),
        FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS) | FEATURE_BIT(FEATURE_RESIDENT),
        FEATURE_BIT(FEATURE_CPU_NS),
    };

    return rnd_below(2)   ? tier[0]
           : rnd_below(2) ? tier[rnd_below(ELEMENTSOF(tier))]
                          : (unsigned)rnd() % (1U << FEATURES);
}

int main(void)
{
    static struct window w;
    static struct split s;
    uint64_t seed = 0x0a77e1b07e5ULL, rounds = ROUNDS_DEFAULT;
    bool plausible = false, dram = false;
    unsigned known = 0;

    if (property_settings(&seed, &rounds) < 0)
        return 64;
    for (size_t i = 0; i < method_registry_count; i++) {
        add_subject(method_registry[i], false);
        if (!method_registry[i]->conserves)
            add_subject(method_registry[i], true);
    }
    for (uint64_t round = 0; round < rounds; round++) {
        if (round % EPISODE == 0) {
            plausible = rnd_below(2);
            dram = rnd_below(4) == 0;
            known = known_random();
        }
        window_random(&w, plausible, known, dram);
        for (size_t k = 0; k < n_subjects; k++) {
            if (round % EPISODE == 0 && open_subject(&subjects[k]) < 0)
                return 1;
            const char *bad = check(&subjects[k], &w, plausible, &s);
            if (bad) {
                printf("window %" PRIu64 ", method %s%s: %s\n", round, subjects[k].ops->name,
                       subjects[k].settings.normalise ? " (normalised)" : "", bad);
                print_window(&w, &s);
                return 1;
            }
            if (subjects[k].ops->explain) {
                n_by_model += strncmp(s.result.used, "counters", 8) == 0;
                n_fallen_back += strncmp(s.result.used, "counters", 8) != 0;
            }
            n_residual += s.result.residual_uj > 0;
        }
    }
    for (size_t k = 0; k < n_subjects; k++) {
        for (size_t i = 0; i < ELEMENTSOF(subjects[k].self); i++)
            subjects[k].ops->close(subjects[k].self[i]);
    }
    printf("%" PRIu64 " windows x %zu methods; counters by its model %" PRIu64 ", fallen back %" PRIu64
           "; with a residual %" PRIu64 "\n",
           rounds, n_subjects, n_by_model, n_fallen_back, n_residual);
    return 0;
}
