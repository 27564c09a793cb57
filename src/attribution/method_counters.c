/* SPDX-License-Identifier: Apache-2.0 */
/* Method counters: a linear model of the package (or of a node's memory), learned from its own energy, gives each cell
 * what its cycles, instructions, misses and time on cores cost; what the model misses is laid on its least known terms,
 * so that the sum is what was measured. Until the machine has shown enough for that, and where features are missing,
 * the simpler methods are used, and the result says so.
 *
 * Knows nothing that the energy of the whole domain does not tell: workloads that always keep the same proportions
 * cannot be told apart, and their errors are wide. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attribution/tenants.h"
#include "attribution/terms.h"

/* Fewer windows than this are not believed, whatever they say. */
#define LEARNED_MIN 8

/* Mean relative error of the cells' energies by the model's own account above which the machine is said not to have
 * shown enough. The model is used all the same: led by its first guesses it is nearer than the simpler methods (in the
 * simulated mixes of the tests 7 % against 17 % and more), and its errors say how little is known. */
#define ERROR_WIDE 0.15

/* What the settings' spread is about is the same instructions and misses; where these are not counted, workloads differ
 * more. */
#define SPREAD_NO_MISSES       0.12
#define SPREAD_NO_INSTRUCTIONS 0.25

/* A model that misses this part of the energy window after window does not describe this machine. */
#define MISFIT_BAD 0.2

/* Learned idle power is given to the simpler method when it is known to this part. */
#define IDLE_GOOD 0.1

/* Windows that no machine has had: not learned from. Longer ones mix too much, in shorter ones the edges are all. */
#define WINDOW_MIN_NS      1000000ULL
#define WINDOW_MAX_NS      3600000000000ULL
#define POWER_MAX_UJ_PER_S 1e10 /* 10 kW */
#define BUSY_SLACK         1.25 /* on-CPU time over time: windows of energy and activity differ a little */
#define PER_SECOND_MAX     1e5  /* units of a package: 10^14 instructions, 10^11 misses */

/* Weights are energies as parts of their sum, in units of this: n of them fit 63 bits. */
#define WEIGHT_ONE 0x1p61

/* A window, and what the model makes of it. */
struct model {
    struct terms terms;
    struct fit_window in;
    struct fit_costs costs;
    double usual_uj_per_unit[LINALG_MAX]; /* of terms that depend on code: before this window, without deviations */
    bool tenants;                         /* groups are known, and the window is one to learn from */
    size_t n_cells;
};

struct counters {
    struct method_settings settings;
    struct group_sums presence, use, crowding;
    struct term_set set;
    struct fit fit;
    struct tenants tenants;
    uint32_t n_cpus, n_cores, generation;
    uint64_t base_khz;
    double deviation_sd;
    struct model model; /* of the last window */
    bool idle_known;
    bool used; /* the model was good enough the last time */
    uint32_t epoch;
};

static int counters_open(const struct method_settings *settings, void **ret_self, struct carnot_err *err)
{
    struct counters *self;
    int r = settings_check(settings, err);

    if (r < 0)
        return r;
    self = calloc(1, sizeof(*self));
    if (!self)
        return carnot_err_set(err, ENOMEM, "no memory for the method counters");
    self->settings = *settings;
    *ret_self = self;
    return 0;
}

/* How far tenants are from each other in what is not seen of them. */
static double deviation_sd(const struct counters *self, const struct method_window *window)
{
    if (window->dram)
        return fmax(self->settings.spread, SPREAD_MISSES);
    if (!knows(window, FEATURE_INSTRUCTIONS))
        return fmax(self->settings.spread, SPREAD_NO_INSTRUCTIONS);
    if (!knows(window, FEATURE_LOCAL_MISSES))
        return fmax(self->settings.spread, SPREAD_NO_MISSES);
    return self->settings.spread;
}

static void start_anew(struct counters *self, const struct method_window *window)
{
    double guess[LINALG_MAX];

    term_set_guess(&self->set, window, guess);
    self->deviation_sd = deviation_sd(self, window);
    fit_start(&self->fit, self->set.n, guess, (double)window->idle_uw, self->deviation_sd);
    self->tenants = (struct tenants){0};
    self->used = false;
    self->epoch++;
}

/* Another domain behind the same name, other things counted, idle power known at last: what was learned does not hold.
 */
static void follow_domain(struct counters *self, const struct method_window *window, const struct term_set *set)
{
    if (term_set_same(&self->set, set) && self->n_cpus == window->n_cpus && self->n_cores == window->n_cores &&
        self->generation == window->generation && self->base_khz == window->base_khz &&
        (self->idle_known || !window->idle_uw))
        return;
    self->idle_known = window->idle_uw > 0;
    self->set = *set;
    self->n_cpus = window->n_cpus;
    self->n_cores = window->n_cores;
    self->generation = window->generation;
    self->base_khz = window->base_khz;
    start_anew(self, window);
}

/* Could a machine have done this? Garbage is split like anything else, but nothing is learned from it. */
static bool plausible(const struct terms *terms)
{
    const struct method_window *window = terms->window;
    double seconds = (double)window->window_ns * 1e-9;

    if (window->window_ns < WINDOW_MIN_NS || window->window_ns > WINDOW_MAX_NS ||
        (double)window->energy_uj > POWER_MAX_UJ_PER_S * seconds)
        return false;
    for (size_t j = 1; j < terms->set->n; j++) {
        double per_second = terms->total[j] / seconds;
        bool time = terms->set->term[j] == TERM_CORE || terms->set->term[j] == TERM_THREAD;
        if (!(per_second <= (time ? BUSY_SLACK * (double)window->n_cpus : PER_SECOND_MAX)))
            return false;
    }
    return true;
}

/* Terms that depend on what code does, and so on the tenant; the others are shared by rule. Where cycles are not
 * counted, time on cores stands for them. */
static bool depends_on_code(const struct method_window *window, enum term term)
{
    return term != TERM_IDLE && term != TERM_PRESENT && (term != TERM_CORE || !knows(window, FEATURE_CYCLES));
}

static double usual_cost(const struct model *model, const double *units)
{
    double uj = 0.0;

    for (size_t j = 1; j < model->terms.set->n; j++)
        uj += units[j] * model->usual_uj_per_unit[j];
    return uj;
}

/* What each group would have cost without its own deviation; the tenants' into the window's totals. */
static void follow_tenants(struct counters *self)
{
    struct model *model = &self->model;
    const struct method_window *window = model->terms.window;
    double units[LINALG_MAX];

    model->tenants = self->settings.spread > 0.0 && group_sums_start(&self->use, window, 1);
    if (!model->tenants)
        return;
    for (size_t i = 0; i < window->n; i++) {
        terms_of_cell(&model->terms, i, units);
        self->use.sum[group_of(window, i)] += usual_cost(model, units);
    }
    size_t fresh = tenants_follow(&self->tenants, window, self->use.sum, model->in.seconds);
    if (fresh != TENANT_NONE)
        fit_replace_tenant(&self->fit, fresh);
    for (size_t g = 0; g < window->n_groups; g++) {
        size_t tenant = self->use.sum[g] > 0.0 ? tenant_of(&self->tenants, g) : TENANT_NONE;
        if (tenant != TENANT_NONE)
            model->in.total[self->set.n + tenant] = self->use.sum[g];
    }
}

static void add_modes(const struct counters *self, size_t unknown, double amount, struct method_error *error)
{
    for (size_t k = 0; k < self->fit.n; k++)
        error->mode_uj[k] += amount * self->model.costs.mode_uj_per_unit[unknown][k];
}

/* A cell's energy by the costs, and (unless NULL) its errors. */
static double cost_of_cell(const struct counters *self, size_t i, struct method_error *ret_error)
{
    const struct model *model = &self->model;
    const struct method_window *window = model->terms.window;
    double units[LINALG_MAX], uj = 0.0;

    _Static_assert(METHOD_MODES == LINALG_MAX, "a mode for each unknown");
    terms_of_cell(&model->terms, i, units);
    size_t tenant = model->tenants ? tenant_of(&self->tenants, group_of(window, i)) : TENANT_NONE;
    double usual = usual_cost(model, units);

    for (size_t j = 1; j < self->set.n; j++)
        uj += units[j] * model->costs.uj_per_unit[j];
    if (tenant != TENANT_NONE)
        uj += usual * model->costs.uj_per_unit[self->set.n + tenant];
    if (!ret_error)
        return fmax(uj, 0.0);

    *ret_error = (struct method_error){.spread_uj = tenant == TENANT_NONE ? usual * self->deviation_sd : 0.0};
    for (size_t j = 1; j < self->set.n; j++)
        add_modes(self, j, units[j], ret_error);
    if (tenant != TENANT_NONE)
        add_modes(self, self->set.n + tenant, usual, ret_error);
    return fmax(uj, 0.0);
}

struct overview {
    double active_uj, error_uj; /* sums over cells */
};

static struct overview look_over(const struct counters *self)
{
    struct overview sum = {0};
    struct method_error error;

    for (size_t i = 0; i < self->model.terms.window->n; i++) {
        sum.active_uj += cost_of_cell(self, i, &error);
        sum.error_uj += mode_length(error.mode_uj);
    }
    return sum;
}

enum reason { IDENTIFIED, NOT_IDENTIFIED, SEEN_TOO_LITTLE, DOES_NOT_FIT, FEATURES_MISSING, REASONS };

static enum reason judge(const struct counters *self, const struct overview *sum)
{
    double slack = self->used ? 1.25 : 1.0; /* once in use, it takes more to drop it than it took to begin */

    if (self->fit.learned < LEARNED_MIN)
        return SEEN_TOO_LITTLE;
    if (!isfinite(sum->active_uj) || self->model.costs.misfit_sigma_uj > slack * MISFIT_BAD * self->model.in.energy_uj)
        return DOES_NOT_FIT;
    return sum->error_uj > ERROR_WIDE * sum->active_uj ? NOT_IDENTIFIED : IDENTIFIED;
}

/* What is told of a fallback: the simpler method says what it did, this says why. */
static const char *told(enum reason reason, const char *used)
{
    static const struct {
        const char *used, *told[REASONS];
    } words[] = {
        {"smt", {[SEEN_TOO_LITTLE] = "smt: not enough seen yet", [DOES_NOT_FIT] = "smt: the model does not fit"}},
        {"misses",
         {[SEEN_TOO_LITTLE] = "misses: not enough seen yet", [DOES_NOT_FIT] = "misses: the model does not fit"}},
    };

    for (size_t i = 0; i < ELEMENTSOF(words); i++) {
        if (strcmp(words[i].used, used) == 0 && words[i].told[reason])
            return words[i].told[reason];
    }
    return used;
}

/* The simpler method, with the idle power that was learned when it is known well. costs may be NULL. */
static void fall_back(struct counters *self, const struct method_window *window, const struct fit_costs *costs,
                      enum reason reason, uint64_t *uj, struct method_error *errors, struct method_result *result)
{
    struct method_window with_idle = *window;

    if (costs && !window->idle_uw) {
        double idle_uw = costs->uj_per_unit[0], error_uw = mode_length(costs->mode_uj_per_unit[0]);
        if (idle_uw < POWER_MAX_UJ_PER_S && error_uw < IDLE_GOOD * idle_uw)
            with_idle.idle_uw = (uint64_t)idle_uw;
    }
    if (window->dram)
        split_memory(&self->crowding, &with_idle, uj, errors, result);
    else
        split_by_smt(&self->crowding, &with_idle, self->settings.smt_factor, uj, errors, result);
    result->used = told(reason, result->used);
    if (self->used)
        self->epoch++;
    self->used = false;
    result->epoch = self->epoch;
}

/* A core costs a a second, each thread on it b: two cost (a + 2 b) / (a + b) times one. */
static double smt_factor(const struct model *model)
{
    const struct term_set *set = model->terms.set;
    double core_uj = 0.0, thread_uj = 0.0, core_s = 0.0, thread_s = 0.0;

    if (model->terms.window->dram || !has_smt(model->terms.window))
        return 0.0;
    for (size_t j = 1; j < set->n; j++) {
        double uj = model->terms.total[j] * model->costs.uj_per_unit[j];
        if (set->term[j] == TERM_CORE)
            core_s = model->terms.total[j];
        if (set->term[j] == TERM_CORE || set->term[j] == TERM_CLOCK)
            core_uj += uj;
        else if (set->term[j] != TERM_PRESENT)
            thread_uj += uj;
    }
    for (size_t i = 0; i < model->terms.window->n; i++)
        thread_s += (double)model->terms.window->cells[i].value[FEATURE_CPU_NS] * 1e-9;
    if (!(core_s > 0.0) || !(thread_s > 0.0) || !(core_uj + thread_uj > 0.0))
        return 0.0;
    double a = core_uj / core_s, b = thread_uj / thread_s;
    return (a + 2.0 * b) / (a + b);
}

/* Costs are such that idle and cells add up to the energy; whole microjoules by apportionment. What the residuals say
 * of the model's misses is taken for differences between groups, which have to be larger the more groups there are to
 * even them out. */
static void by_model(struct counters *self, double active_uj, enum reason reason, uint64_t *uj,
                     struct method_error *errors, struct method_result *result)
{
    const struct model *model = &self->model;
    const struct method_window *window = model->terms.window;
    double idle_uj = fmax(model->costs.uj_per_unit[0] * model->in.total[0], 0.0);

    *result = (struct method_result){.used = reason == IDENTIFIED ? "counters" : "counters: not identified"};
    result->idle_uj = idle_uj >= (double)window->energy_uj ? window->energy_uj : (uint64_t)round(idle_uj);
    for (size_t i = 0; i < window->n; i++) {
        double part = active_uj > 0.0 ? cost_of_cell(self, i, NULL) / active_uj : 0.0;
        uj[i] = (uint64_t)(fmin(part, 1.0) * WEIGHT_ONE);
    }
    weights_normalise(uj, window->n);
    result->active_uj = apportion(window->energy_uj - result->idle_uj, uj, window->n, uj);
    result->idle_uj = window->energy_uj - result->active_uj; /* nobody did anything: that is what idle means */
    for (size_t k = 0; k < METHOD_MODES; k++)
        result->idle.mode_uj[k] = model->costs.mode_uj_per_unit[0][k] * model->in.total[0];
    result->idle.sigma_uj = mode_length(result->idle.mode_uj);

    result_crowding(&self->crowding, window, uj, result);
    double missed = active_uj > 0.0 ? model->costs.misfit_sigma_uj / active_uj / sqrt(fmax(result->crowding, 1e-6)) : 0;
    for (size_t i = 0; errors && i < window->n; i++) {
        cost_of_cell(self, i, &errors[i]);
        errors[i].spread_uj = fmin(hypot(errors[i].spread_uj, missed * (double)uj[i]), (double)uj[i]);
        error_total(result, uj[i], &errors[i]);
    }
    if (reason == IDENTIFIED)
        result->smt_factor = smt_factor(model);
    if (!self->used)
        self->epoch++;
    self->used = true;
    result->epoch = self->epoch;
}

/* The model with this window taken in. false where it has nothing to say of it. */
static bool model_window(struct counters *self, const struct method_window *window, double *ret_misfit)
{
    struct model *model = &self->model;

    *model = (struct model){0};
    terms_start(&model->terms, window, &self->set, self->settings.voltage_slope, &self->presence);
    memcpy(model->in.total, model->terms.total, sizeof(model->in.total));
    model->in.energy_uj = (double)window->energy_uj;
    model->in.sensor_uj = fmin((double)window->sensor_uj, (double)window->energy_uj);
    model->in.seconds = model->terms.total[0];
    model->n_cells = window->n;

    if (!fit_guess(&self->fit, model->usual_uj_per_unit)) {
        start_anew(self, window);
        return false;
    }
    for (size_t j = 0; j < self->set.n; j++) {
        if (!depends_on_code(window, self->set.term[j]))
            model->usual_uj_per_unit[j] = 0.0;
    }
    if (plausible(&model->terms)) {
        follow_tenants(self);
        *ret_misfit = fit_learn(&self->fit, &model->in);
    }
    return fit_costs(&self->fit, &model->in, &model->costs);
}

static void counters_split(void *arg, const struct method_window *window, uint64_t *ret_uj,
                           struct method_error *ret_errors, struct method_result *ret_result)
{
    struct counters *self = arg;
    struct term_set set = term_set_of(window);
    double misfit = 0.0;

    if (set.n == 0 || (!window->dram && has_smt(window) && !knows(window, FEATURE_OVERLAP_NS))) {
        fall_back(self, window, NULL, FEATURES_MISSING, ret_uj, ret_errors, ret_result);
        return;
    }
    follow_domain(self, window, &set);
    if (!model_window(self, window, &misfit)) {
        fall_back(self, window, NULL, DOES_NOT_FIT, ret_uj, ret_errors, ret_result);
        return;
    }

    struct overview sum = look_over(self);
    enum reason reason = judge(self, &sum);
    if (reason > NOT_IDENTIFIED)
        fall_back(self, window, &self->model.costs, reason, ret_uj, ret_errors, ret_result);
    else
        by_model(self, sum.active_uj, reason, ret_uj, ret_errors, ret_result);
    ret_result->misfit = misfit;
}

static size_t counters_explain(const void *arg, const struct method_window *window, size_t cell,
                               struct method_line ret_lines[METHOD_LINES_MAX])
{
    const struct counters *self = arg;
    const struct model *model = &self->model;
    double units[LINALG_MAX];
    size_t n = 0;

    _Static_assert(METHOD_LINES_MAX >= FIT_COSTS_MAX, "a line for each term but idle, and one for the deviation");
    if (!self->used || model->terms.window != window || model->n_cells != window->n || cell >= window->n)
        return 0;
    terms_of_cell(&model->terms, cell, units);
    for (size_t j = 1; j < self->set.n; j++)
        ret_lines[n++] = (struct method_line){
            .what = term_names[self->set.term[j]],
            .unit = term_units[self->set.term[j]],
            .amount = units[j],
            .uj_per_amount = model->costs.uj_per_unit[j],
        };
    size_t tenant = model->tenants ? tenant_of(&self->tenants, group_of(window, cell)) : TENANT_NONE;
    if (tenant != TENANT_NONE)
        ret_lines[n++] = (struct method_line){
            .what = "this tenant's deviation",
            .unit = "uJ",
            .amount = usual_cost(model, units),
            .uj_per_amount = model->costs.uj_per_unit[self->set.n + tenant],
        };
    return n;
}

static void *counters_close(void *arg)
{
    struct counters *self = arg;

    if (self) {
        free(self->presence.sum);
        free(self->use.sum);
        free(self->crowding.sum);
    }
    free(self);
    return NULL;
}

const struct method_ops method_counters = {
    .name = "counters",
    .summary = "a model of the package learned from its energy: cycles, instructions, misses, time on cores",
    .needs = FEATURE_BIT(FEATURE_CPU_NS) | FEATURE_BIT(FEATURE_OVERLAP_NS),
    .conserves = true,
    .open = counters_open,
    .split = counters_split,
    .explain = counters_explain,
    .close = counters_close,
};
