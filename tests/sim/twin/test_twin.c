/* SPDX-License-Identifier: Apache-2.0 */
/* The twin keeps its own laws: causes add up to the total, counters follow the truth, the same seed gives the same
 * machine, and its shape has the effects that methods are judged by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "scenarios.h"

static struct twin_window window;

static struct twin *make(const char *name, bool mismatch, struct twin_setup *setup)
{
    struct twin *twin;

    for (size_t i = 0; i < scenarios_count; i++) {
        if (strcmp(scenarios[i].name, name) != 0)
            continue;
        scenario_setup(&scenarios[i], mismatch, 7, setup);
        assert_int_equal(twin_new(setup, &twin), 0);
        return twin;
    }
    fail_msg("no scenario %s", name);
    return NULL;
}

static double sum_true(const struct twin_domain *domain)
{
    double sum = domain->true_idle_j;

    for (size_t i = 0; i < domain->window.n; i++)
        sum += domain->true_j[i];
    return sum;
}

/* True and measured, over many windows, in every scenario. */
static void causes_add_up(void **state)
{
    for (size_t k = 0; k < scenarios_count; k++) {
        struct twin_setup setup;
        struct twin *twin = make(scenarios[k].name, false, &setup);
        double measured[2][2] = {{0}}, truth[2][2] = {{0}};

        for (int w = 0; w < 5; w++) {
            twin_run(twin, NS_PER_SEC, &window);
            for (int s = 0; s < 2; s++) {
                const struct twin_domain *domains[] = {&window.package[s], &window.dram[s]};
                for (int d = 0; d < 2; d++) {
                    assert_true(fabs(sum_true(domains[d]) - domains[d]->true_total_j) < 1e-6);
                    measured[s][d] += (double)domains[d]->window.energy_uj / 1e6;
                    truth[s][d] += domains[d]->true_total_j;
                }
            }
        }
        for (int s = 0; s < 2; s++) {
            assert_true(truth[s][0] > 100 && truth[s][0] < 5 * 300);
            for (int d = 0; d < 2; d++) /* up to 1 ms at the end, and one unit */
                assert_true(fabs(measured[s][d] - truth[s][d]) < 0.35);
        }
        twin_free(twin);
    }
}

static void times_are_consistent(void **state)
{
    struct twin_setup setup;
    struct twin *twin = make("smt", false, &setup);

    twin_run(twin, NS_PER_SEC, &window);
    const struct method_window *w = &window.package[0].window;
    uint64_t cpu = 0, overlap = 0, present = 0;
    for (size_t i = 0; i < w->n; i++) {
        const uint64_t *f = w->cells[i].value;
        assert_true(f[FEATURE_OVERLAP_NS] <= f[FEATURE_CPU_NS]);
        cpu += f[FEATURE_CPU_NS];
        overlap += f[FEATURE_OVERLAP_NS];
        present += f[FEATURE_PRESENT_NS];
    }
    assert_int_equal(w->core_busy_ns, cpu - overlap / 2);
    assert_true(present <= w->present_ns && w->present_ns - present < 1000 * w->n);
    assert_int_equal(cpu, 24 * NS_PER_SEC); /* all are on in the first second */
    assert_int_equal(overlap, 16 * NS_PER_SEC);
    twin_free(twin);
}

static void a_seed_is_a_machine(void **state)
{
    static struct twin_window other;
    struct twin_setup setup;
    struct twin *a = make("mixed", true, &setup), *b = make("mixed", true, &setup);

    for (int i = 0; i < 3; i++) {
        twin_run(a, NS_PER_SEC, &window);
        twin_run(b, NS_PER_SEC, &other);
        assert_int_equal(window.package[0].window.energy_uj, other.package[0].window.energy_uj);
        assert_memory_equal(window.package[1].cells, other.package[1].cells, sizeof(window.package[1].cells));
    }
    twin_free(a);
    twin_free(b);
}

/* Two hyperthreads draw more than one, and much less than two cores do. */
static void hyperthreads_share(void **state)
{
    struct twin_setup setup = {.hardware = &twin_server, .n_tenants = 1, .seed = 1};
    double joules[3];
    static const int second_cpu[] = {-1, 32, 1};

    for (int k = 0; k < 3; k++) {
        struct twin_work work = {.ipc = 1.8, .instruction_nj = 0.4, .duty = 1, .socket = -1, .cpu = 0};
        struct twin *twin;

        setup.n_threads = 0;
        setup.threads[setup.n_threads++] = (struct twin_thread){.work = work};
        work.cpu = second_cpu[k];
        if (work.cpu >= 0)
            setup.threads[setup.n_threads++] = (struct twin_thread){.work = work};
        assert_int_equal(twin_new(&setup, &twin), 0);
        twin_run(twin, NS_PER_SEC, &window);
        joules[k] = window.package[0].true_total_j - window.package[0].true_idle_j - twin_server.uncore_awake_w;
        twin_free(twin);
    }
    assert_true(joules[1] > 1.05 * joules[0] && joules[1] < 1.5 * joules[0]);
    assert_true(joules[2] > 1.8 * joules[0]);
}

static void a_power_limit_holds(void **state)
{
    struct twin_setup setup;
    struct twin *twin = make("capped", false, &setup);

    for (int i = 0; i < 10; i++) {
        twin_run(twin, NS_PER_SEC, &window);
        for (int s = 0; s < 2; s++)
            assert_true(window.package[s].true_total_j <= 90.001);
    }
    twin_free(twin);
}

static void unsound_setups(void **state)
{
    struct twin_setup setup = {.hardware = &twin_server, .n_threads = 1, .n_tenants = 1};
    struct twin *twin;

    setup.threads[0].tenant = 1;
    assert_int_equal(twin_new(&setup, &twin), -EINVAL);
    setup.threads[0] = (struct twin_thread){.work = {.cpu = 64}};
    assert_int_equal(twin_new(&setup, &twin), -EINVAL);
    setup.hardware = NULL;
    assert_int_equal(twin_new(&setup, &twin), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(causes_add_up),       cmocka_unit_test(times_are_consistent),
        cmocka_unit_test(a_seed_is_a_machine), cmocka_unit_test(hyperthreads_share),
        cmocka_unit_test(a_power_limit_holds), cmocka_unit_test(unsound_setups),
    };

    return cmocka_run_group_tests_name("twin", tests, NULL, NULL);
}
