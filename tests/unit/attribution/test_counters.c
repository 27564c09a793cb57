/* SPDX-License-Identifier: Apache-2.0 */
/* The method that learns, case by case: where it falls back, what it forgets and what it does not believe, jobs in
 * pieces, short windows, memory. test_learning.c has the figures. */
#include <math.h>

#include "counters_rig.h"

/* The first windows, and features that are not there. */
static void test_falls_back(void **state)
{
    struct synthetic_machine machine = synthetic_draw(3);
    struct synthetic_run run = synthetic_start(&machine, 3);
    struct synthetic_window window;
    struct answer answer;
    void *self = open_counters(0.0);

    synthetic_step(&run, &window);
    ask(self, &window.window, &answer);
    assert_string_equal(answer.result.used, "smt: not enough seen yet");
    learn(self, &run, 20);
    synthetic_step(&run, &window);
    ask(self, &window.window, &answer);
    assert_int_equal(strncmp(answer.result.used, "counters", 8), 0);

    uint32_t epoch = answer.result.epoch;
    window.window.known = FEATURE_BIT(FEATURE_CPU_NS);
    ask(self, &window.window, &answer);
    assert_string_equal(answer.result.used, "cpu_time: the overlap of hyperthreads is not known");
    assert_int_not_equal(answer.result.epoch, epoch);
    window.window.known = 0;
    ask(self, &window.window, &answer);
    assert_int_equal(answer.result.residual_uj, window.window.energy_uj);
    close_counters(self);
}

/* CPUs that come or go, another generation, other features: what was learned is forgotten. */
static void test_forgets_with_the_domain(void **state)
{
    struct synthetic_machine machine = synthetic_draw(4);

    for (unsigned change = 0; change < 4; change++) {
        struct synthetic_run run = synthetic_start(&machine, 4);
        struct synthetic_window window;
        struct answer answer;
        void *self = open_counters(0.0);

        learn(self, &run, 50);
        synthetic_step(&run, &window);
        window.window.n_cpus -= change == 0;
        window.window.n_cores -= change == 1;
        window.window.generation += change == 2;
        window.window.known &= change == 3 ? ~FEATURE_BIT(FEATURE_INSTRUCTIONS) : ~0U;
        ask(self, &window.window, &answer);
        assert_string_equal(answer.result.used, "smt: not enough seen yet");
        close_counters(self);
    }
}

/* Ten times the energy in one window (a reading that was late, garbage): split, but not believed. */
static void test_outlier(void **state)
{
    struct synthetic_machine machine = synthetic_draw(5);
    let_rest(&machine);
    struct synthetic_run run = synthetic_start(&machine, 5);
    struct synthetic_window window;
    struct answer before, answer;
    void *self = open_counters(0.0);

    learn(self, &run, LEARN);
    synthetic_step(&run, &window);
    ask(self, &window.window, &before);
    uint64_t energy_uj = window.window.energy_uj;
    window.window.energy_uj *= 10;
    ask(self, &window.window, &answer);
    uint64_t sum = answer.result.idle_uj + answer.result.residual_uj;
    for (size_t t = 0; t < machine.n; t++)
        sum += answer.uj[t];
    assert_int_equal(sum, 10 * energy_uj);
    assert_between(answer.result.misfit, 0.5, 1.0);
    window.window.energy_uj = energy_uj;
    ask(self, &window.window, &answer);
    for (size_t t = 0; t < machine.n; t++)
        assert_between((double)answer.uj[t], 0.995 * (double)before.uj[t] - 1e4, 1.005 * (double)before.uj[t] + 1e4);
    close_counters(self);
}

/* The machine changes for good (another firmware): believed after a few windows, learned after some hundred. */
static void test_follows_a_change(void **state)
{
    struct synthetic_machine machine = synthetic_draw(6);
    let_rest(&machine);
    struct synthetic_run run = synthetic_start(&machine, 6);
    struct synthetic_window window;
    struct answer answer;
    double error = 0.0, n = 0.0;
    void *self = open_counters(0.0);

    learn(self, &run, LEARN);
    machine.clock_j *= 1.5;
    machine.instruction_j *= 0.7;
    machine.idle_w *= 1.2;
    learn(self, &run, 2 * LEARN);
    for (unsigned i = 0; i < 100; i++) {
        synthetic_step(&run, &window);
        ask(self, &window.window, &answer);
        for (size_t t = 0; t < machine.n; t++) {
            if (window.true_uj[t] < WORTH_UJ)
                continue;
            error += fabs((double)answer.uj[t] - window.true_uj[t]) / window.true_uj[t];
            n++;
        }
    }
    close_counters(self);
    assert_between(error / n, 0.0, 0.05);
}

/* Nobody did anything: that is what idle is, all of it. */
static void test_idle_window(void **state)
{
    struct synthetic_machine machine = synthetic_draw(7);
    let_rest(&machine);
    struct synthetic_run run = synthetic_start(&machine, 7);
    struct synthetic_window window;
    struct answer answer;
    void *self = open_counters(0.0);

    learn(self, &run, LEARN);
    synthetic_step(&run, &window);
    memset(window.cells, 0, sizeof(window.cells));
    window.window.present_ns = window.window.core_busy_ns = 0;
    window.window.energy_uj = (uint64_t)window.true_idle_uj;
    ask(self, &window.window, &answer);
    assert_int_equal(answer.result.idle_uj, window.window.energy_uj);
    assert_int_equal(answer.result.active_uj, 0);
    window.window.energy_uj = 0;
    ask(self, &window.window, &answer);
    assert_int_equal(answer.result.idle_uj, 0);
    close_counters(self);
}

/* A job as one process or as 64: the same within roundings, whatever was learned. */
static void test_one_job_in_64_pieces(void **state)
{
    enum { PIECES = 64 };
    struct synthetic_machine machine = synthetic_draw(8);
    struct synthetic_run run = synthetic_start(&machine, 8);
    void *whole = open_counters(0.07), *cut = open_counters(0.07);
    struct synthetic_window window;
    struct answer answer;

    for (unsigned i = 0; i < LEARN; i++) {
        struct cell_features cells[SYNTHETIC_TENANTS_MAX - 1 + PIECES];
        uint32_t group[ELEMENTSOF(cells)] = {0};
        uint64_t uj[ELEMENTSOF(cells)], sum = 0;
        struct method_result result;

        synthetic_step(&run, &window);
        for (size_t f = 0; f < FEATURES; f++)
            window.cells[0].value[f] -= window.cells[0].value[f] % PIECES;
        ask(whole, &window.window, &answer);
        for (size_t k = 0; k < PIECES; k++) {
            for (size_t f = 0; f < FEATURES; f++)
                cells[k].value[f] = window.cells[0].value[f] / PIECES;
        }
        for (size_t t = 1; t < machine.n; t++) {
            cells[PIECES + t - 1] = window.cells[t];
            group[PIECES + t - 1] = (uint32_t)t;
        }
        struct method_window in = window.window;
        in.cells = cells;
        in.group = group;
        in.n = PIECES + machine.n - 1;
        method_find("counters")->split(cut, &in, uj, NULL, &result);
        for (size_t k = 0; k < PIECES; k++)
            sum += uj[k];
        assert_between((double)sum, (double)answer.uj[0] - PIECES, (double)answer.uj[0] + PIECES);
        assert_string_equal(result.used, answer.result.used);
    }
    close_counters(whole);
    close_counters(cut);
}

static void add_features(struct synthetic_window *sum, const struct synthetic_window *part, size_t n)
{
    for (size_t t = 0; t < n; t++) {
        for (size_t f = 0; f < FEATURES; f++)
            sum->cells[t].value[f] += part->cells[t].value[f];
        sum->true_uj[t] += part->true_uj[t];
    }
    sum->window.energy_uj += part->window.energy_uj;
    sum->window.window_ns += part->window.window_ns;
    sum->window.present_ns += part->window.present_ns;
}

/* One window of a second or ten of 100 ms: over a hundred seconds the same within the model's noise. */
static void test_short_windows(void **state)
{
    struct synthetic_machine machine = synthetic_draw(9);
    let_rest(&machine);
    machine.window_ns /= 10;
    struct synthetic_run run = synthetic_start(&machine, 9);
    void *shorts = open_counters(0.0), *longs = open_counters(0.0);
    double by_short[SYNTHETIC_TENANTS_MAX] = {0}, by_long[SYNTHETIC_TENANTS_MAX] = {0};
    struct synthetic_window part, whole;
    struct answer answer;

    for (unsigned i = 0; i < LEARN + 100; i++) {
        for (unsigned k = 0; k < 10; k++) {
            synthetic_step(&run, &part);
            ask(shorts, &part.window, &answer);
            for (size_t t = 0; i >= LEARN && t < machine.n; t++)
                by_short[t] += (double)answer.uj[t];
            if (k == 0) {
                whole = part;
                whole.window.cells = whole.cells;
                whole.window.group = whole.group;
            } else {
                add_features(&whole, &part, machine.n);
            }
        }
        ask(longs, &whole.window, &answer);
        for (size_t t = 0; i >= LEARN && t < machine.n; t++)
            by_long[t] += (double)answer.uj[t];
    }
    for (size_t t = 0; t < machine.n; t++)
        assert_between(by_short[t], 0.99 * by_long[t], 1.01 * by_long[t]);
    close_counters(shorts);
    close_counters(longs);
}

/* What a second hyperthread costs is learned where there are cores with one and with two of them. */
static void test_smt_factor(void **state)
{
    for (unsigned no_counters = 0; no_counters < 2; no_counters++) {
        struct synthetic_machine machine = synthetic_draw(10);
        machine.no_counters = no_counters;
        let_rest(&machine);
        for (size_t t = 0; t < machine.n; t++) { /* one kind of work, packed differently */
            machine.tenant[t].mix = machine.tenant[t].misses = 0.0;
            machine.tenant[t].instructions = 2.0;
            machine.tenant[t].overlap = (double)t / (double)(machine.n - 1);
        }
        struct synthetic_run run = synthetic_start(&machine, 10);
        struct synthetic_window window;
        struct answer answer;
        void *self = open_counters(0.0);

        learn(self, &run, LEARN);
        do {
            synthetic_step(&run, &window);
            ask(self, &window.window, &answer);
        } while (window.true_uj[0] < WORTH_UJ);
        double core = machine.core_w + SYNTHETIC_GHZ * machine.clock_j;
        double thread = SYNTHETIC_GHZ * 2.0 * machine.instruction_j;
        double truth = (core + 2.0 * thread) / (core + thread);
        assert_between(answer.result.smt_factor, truth - 0.02, truth + 0.02);
        close_counters(self);
    }
}

/* Memory: a constant and so much a miss. */
static void test_memory(void **state)
{
    uint64_t random = 11;
    struct cell_features cells[2] = {{{0}}};
    uint32_t group[2] = {0, 1};
    struct method_window window = {.window_ns = 1000000000,
                                   .dram = true,
                                   .known = FEATURE_BIT(FEATURE_NODE_MISSES) | FEATURE_BIT(FEATURE_RESIDENT),
                                   .n = 2,
                                   .cells = cells,
                                   .group = group,
                                   .n_groups = 2};
    struct method_error errors[2];
    struct method_result result;
    uint64_t uj[2];
    void *self = open_counters(0.07);

    for (unsigned i = 0; i < 300; i++) {
        cells[0].value[FEATURE_NODE_MISSES] = random % 90000000;
        cells[1].value[FEATURE_NODE_MISSES] = next_random(&random) % 50000000;
        next_random(&random);
        cells[1].value[FEATURE_RESIDENT] = 1000000;
        /* 4 W and 31 nJ a miss */
        window.energy_uj =
            4000000 + (cells[0].value[FEATURE_NODE_MISSES] + cells[1].value[FEATURE_NODE_MISSES]) * 31 / 1000;
        window.sensor_uj = 1000;
        method_find("counters")->split(self, &window, uj, errors, &result);
    }
    assert_string_equal(result.used, "counters");
    assert_between((double)result.idle_uj, 3.96e6, 4.04e6);
    double first = (double)cells[0].value[FEATURE_NODE_MISSES] * 0.031;
    assert_between((double)uj[0], first * 0.99 - 1e3, first * 1.01 + 1e3);

    window.known = FEATURE_BIT(FEATURE_RESIDENT);
    method_find("counters")->split(self, &window, uj, errors, &result);
    assert_string_equal(result.used, "resident memory");
    assert_int_equal(uj[0], 0);
    assert_int_equal(uj[1], window.energy_uj);
    close_counters(self);
}

/* The lines of an explanation add up to the share. */
static void test_explains(void **state)
{
    struct synthetic_machine machine = synthetic_draw(12);
    struct synthetic_run run = synthetic_start(&machine, 12);
    struct method_line lines[METHOD_LINES_MAX];
    struct synthetic_window window;
    struct answer answer;
    void *self = open_counters(0.07);

    learn(self, &run, 100);
    synthetic_step(&run, &window);
    ask(self, &window.window, &answer);
    for (size_t t = 0; t < machine.n; t++) {
        size_t n = method_find("counters")->explain(self, &window.window, t, lines);
        double sum = 0.0;
        assert_int_equal(n, 7);
        for (size_t k = 0; k < n; k++)
            sum += lines[k].amount * lines[k].uj_per_amount;
        assert_between(sum, (double)answer.uj[t] - 10.0, (double)answer.uj[t] + 10.0);
    }
    assert_string_equal(lines[0].what, "package awake");
    assert_string_equal(lines[6].what, "this tenant's deviation");
    assert_int_equal(method_find("counters")->explain(self, &window.window, 99, lines), 0);
    close_counters(self);
}

/* 10,000 cells of 500 tenants, and none of them known. */
static void test_many_cells(void **state)
{
    enum { MANY = 10000 };
    struct cell_features *cells = calloc(MANY, sizeof(*cells));
    uint32_t *group = calloc(MANY, sizeof(*group));
    uint64_t *uj = calloc(MANY, sizeof(*uj)), random = 13;
    struct method_error *errors = calloc(MANY, sizeof(*errors));
    struct method_result result;
    void *self = open_counters(0.07);

    assert_non_null(cells);
    assert_non_null(group);
    assert_non_null(uj);
    assert_non_null(errors);
    for (unsigned i = 0; i < 30; i++) {
        struct method_window window = {.energy_uj = 90000000 + next_random(&random) % 9000000,
                                       .sensor_uj = 100000,
                                       .window_ns = 1000000000,
                                       .n_cpus = 256,
                                       .n_cores = 128,
                                       .known = (1U << FEATURES) - 1 - FEATURE_BIT(FEATURE_PRESENT_NS),
                                       .n = MANY,
                                       .cells = cells,
                                       .group = i % 2 ? group : NULL,
                                       .n_groups = 500};
        for (size_t k = 0; k < MANY; k++) {
            uint64_t cpu = next_random(&random) % 20000000;
            group[k] = (uint32_t)(k % 501);
            cells[k].value[FEATURE_CPU_NS] = cpu;
            cells[k].value[FEATURE_OVERLAP_NS] = cpu / 3;
            cells[k].value[FEATURE_CYCLES] = cpu * 2;
            cells[k].value[FEATURE_INSTRUCTIONS] = cpu * (next_random(&random) % 4);
        }
        method_find("counters")->split(self, &window, uj, errors, &result);
        uint64_t sum = result.idle_uj + result.residual_uj;
        for (size_t k = 0; k < MANY; k++) {
            sum += uj[k];
            assert_true(isfinite(errors[k].sigma_uj));
        }
        assert_int_equal(sum, window.energy_uj);
    }
    close_counters(self);
    free(cells);
    free(group);
    free(uj);
    free(errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_falls_back),    cmocka_unit_test(test_forgets_with_the_domain),
        cmocka_unit_test(test_outlier),       cmocka_unit_test(test_follows_a_change),
        cmocka_unit_test(test_idle_window),   cmocka_unit_test(test_one_job_in_64_pieces),
        cmocka_unit_test(test_short_windows), cmocka_unit_test(test_smt_factor),
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_explains),
        cmocka_unit_test(test_many_cells),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
