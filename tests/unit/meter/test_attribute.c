/* SPDX-License-Identifier: Apache-2.0 */
/* One window through cells, split, units and entities, with random activity: whatever ran, every domain's energy has
 * owners, to the microjoule, in each of the three partitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "meter/internal.h"

#define WINDOW_NS NS_PER_SEC
#define TASKS     40
#define BUCKETS   4

struct rig {
    struct carnot_env env;
    struct meter meter;
    struct activity_task tasks[TASKS];
    struct activity_rest rests[2];
    uint64_t ns[TASKS + 2][BUCKETS];
    struct activity_window activity;
    uint64_t random;
};

/* xorshift64: the same sequence on every machine. */
static uint64_t draw(struct rig *rig, uint64_t below)
{
    rig->random ^= rig->random << 13;
    rig->random ^= rig->random >> 7;
    rig->random ^= rig->random << 17;
    return rig->random % below;
}

static struct rig *rig_new(void)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct meter *meter = &rig->meter;
    static const struct {
        enum domain_kind kind;
        int package;
    } domains[] = {{DOMAIN_PACKAGE, 0}, {DOMAIN_PACKAGE, 1}, {DOMAIN_DRAM, 0}, {DOMAIN_PSYS, -1}};

    assert_non_null(rig);
    rig->random = 88172645463325252ULL;
    assert_int_equal(carnot_env_open(NULL, NULL, NULL, NULL, &rig->env, NULL), 0);
    meter->env = &rig->env;
    meter->seq = 1;
    meter->buckets.n = BUCKETS;
    for (uint32_t b = 0; b < BUCKETS; b++) {
        meter->buckets.bucket[b].package = (int)b / 2;
        meter->buckets.bucket[b].node = (int)b / 2;
        meter->buckets.bucket[b].n_cpus = 1;
    }
    meter->settings.attribution_interval_ns = WINDOW_NS;
    meter->settings.keep_ended_ns = 5 * WINDOW_NS;
    meter->energy.n_domains = ELEMENTSOF(domains);
    meter->energy.domains = calloc(ELEMENTSOF(domains), sizeof *meter->energy.domains);
    meter->entity_uj = calloc(ELEMENTSOF(domains), sizeof *meter->entity_uj);
    meter->entity_window_uj = calloc(ELEMENTSOF(domains), sizeof *meter->entity_window_uj);
    assert_non_null(meter->energy.domains);
    for (size_t d = 0; d < ELEMENTSOF(domains); d++) {
        struct domain *domain = &meter->energy.domains[d].domain;

        snprintf(domain->name, sizeof domain->name, "domain-%zu", d);
        domain->kind = domains[d].kind;
        domain->package = domains[d].package;
        domain->die = domain->node = -1;
        domain->in_total = d < 2;
    }
    assert_int_equal(unit_table_init(&meter->units, &rig->env, NULL, ELEMENTSOF(domains)), 0);
    assert_int_equal(batch_pool_new(&meter->pool), 0);
    pthread_mutex_init(&meter->latest_lock, NULL);
    return rig;
}

static void rig_free(struct rig *rig)
{
    struct meter *meter = &rig->meter;

    unit_table_done(&meter->units);
    cells_done(&meter->cells);
    free(meter->energy.domains);
    free(meter->entity_uj);
    free(meter->entity_window_uj);
    free(meter->weights);
    free(meter->shares);
    free(meter->group_scratch);
    free(meter->batch_index);
    batch_pool_free(meter->pool);
    pthread_mutex_destroy(&meter->latest_lock);
    carnot_env_close(&rig->env);
    free(rig);
}

static void random_activity(struct rig *rig)
{
    size_t n = draw(rig, TASKS + 1), n_rests = draw(rig, 3);

    for (size_t i = 0; i < n + n_rests; i++)
        for (size_t b = 0; b < BUCKETS; b++)
            rig->ns[i][b] = draw(rig, 3) ? draw(rig, WINDOW_NS / 8) : 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t pid = 100 + (uint32_t)draw(rig, TASKS / 2);

        rig->tasks[i] = (struct activity_task){
            .pid = pid,
            .tid = draw(rig, 2) ? pid : 1000 + (uint32_t)i,
            .uid = (uint32_t)draw(rig, 3),
            .start_boot_ns = 1000 + pid,
            .flags = draw(rig, 10) == 0   ? TASK_KERNEL
                     : draw(rig, 10) == 0 ? TASK_MONITOR
                     : draw(rig, 5) == 0  ? TASK_ENDED
                                          : 0,
            .comm = "worker",
            .ns = rig->ns[i],
        };
    }
    for (size_t i = 0; i < n_rests; i++)
        rig->rests[i] = (struct activity_rest){.cgroup = CGROUP_ROOT, .ns = rig->ns[n + i]};
    rig->activity =
        (struct activity_window){.tasks = rig->tasks, .n_tasks = n, .rests = rig->rests, .n_rests = n_rests};
}

static struct batch *run_window(struct rig *rig)
{
    struct meter *meter = &rig->meter;
    struct cells_window window = {.seq = meter->seq, .now_real_ns = 1};
    struct carnot_now end = {.mono_ns = WINDOW_NS};
    struct batch *batch;

    for (size_t d = 0; d < meter->energy.n_domains; d++) {
        struct energy_domain *domain = &meter->energy.domains[d];

        domain->window_uj = draw(rig, 3) ? draw(rig, 400 * UJ_PER_J) : draw(rig, 3);
        domain->delta.total_uj += domain->window_uj;
        domain->idle_uw = draw(rig, 2) ? draw(rig, 100 * UJ_PER_J) : 0;
    }
    meter->settings.idle_policy = (int)draw(rig, IDLE_POLICIES);
    assert_int_equal(cells_build(&meter->cells, &meter->units, &rig->activity, BUCKETS, &window), 0);
    assert_int_equal(meter_attribute(meter, WINDOW_NS, true), 0);
    assert_int_equal(meter_seal(meter, &end, &batch, NULL), 0);
    return batch;
}

static void test_every_window_conserves(void **state)
{
    struct rig *rig = rig_new();

    for (unsigned i = 0; i < 3000; i++) {
        random_activity(rig);
        struct batch *batch = run_window(rig);
        uint64_t parts_uj = 0;
        size_t n;
        const struct batch_unit *processes = batch_kind(batch, UNIT_PROCESS, &n);

        assert_int_equal(batch_conservation_error_uj(batch), 0);
        /* The same by hand, for one domain, so that the checker itself is checked. */
        for (size_t u = 0; u < n; u++)
            parts_uj += processes[u].window_uj[0];
        for (size_t e = 0; e < ENTITIES; e++)
            parts_uj += batch->domains[0].entity_window_uj[e];
        assert_int_equal(parts_uj, batch->domains[0].window_uj);
        batch_unref(batch);
        meter_retire(&rig->meter);
        rig->meter.seq++;
    }
    assert_int_equal(rig->meter.self.conservation_error_uj, 0);
    rig_free(rig);
}

static void test_time_on_a_package_draws_from_that_package_only(void **state)
{
    struct rig *rig = rig_new();
    struct batch *batch;
    size_t n;

    rig->ns[0][0] = WINDOW_NS; /* process 7 on package 0 */
    rig->ns[1][2] = WINDOW_NS; /* process 8 on package 1 */
    for (size_t i = 0; i < 2; i++)
        rig->tasks[i] = (struct activity_task){
            .pid = 7 + (uint32_t)i, .tid = 7 + (uint32_t)i, .start_boot_ns = 5, .comm = "loop", .ns = rig->ns[i]};
    rig->activity = (struct activity_window){.tasks = rig->tasks, .n_tasks = 2};
    batch = run_window(rig);
    const struct batch_unit *p = batch_kind(batch, UNIT_PROCESS, &n);
    assert_int_equal(n, 2);
    for (size_t u = 0; u < n; u++) {
        assert_int_equal(p[u].window_uj[p[u].pid == 7 ? 1 : 0], 0);
        assert_int_equal(p[u].cpu_ns, WINDOW_NS);
    }
    batch_unref(batch);
    rig_free(rig);
}

static void test_without_activity_all_is_residual(void **state)
{
    struct rig *rig = rig_new();
    struct meter *meter = &rig->meter;

    meter->energy.domains[0].window_uj = 12345;
    assert_int_equal(meter_attribute(meter, WINDOW_NS, false), -ENODATA);
    assert_int_equal(meter->entity_window_uj[0][ENTITY_RESIDUAL], 12345);
    assert_int_equal(meter->entity_window_uj[0][ENTITY_IDLE], 0);
    rig_free(rig);
}

static void test_a_late_reading_is_not_billed_to_the_last_window(void **state)
{
    struct rig *rig = rig_new();
    struct meter *meter = &rig->meter;
    struct cells_window window = {.seq = 1, .now_real_ns = 1};
    struct energy_domain *package = &meter->energy.domains[0];

    /* Ten windows' energy comes at once; one process filled its CPU in the last of them. */
    rig->ns[0][0] = rig->ns[0][1] = WINDOW_NS;
    rig->tasks[0] = (struct activity_task){.pid = 7, .tid = 7, .start_boot_ns = 5, .comm = "loop", .ns = rig->ns[0]};
    rig->activity = (struct activity_window){.tasks = rig->tasks, .n_tasks = 1};
    package->window_uj = 100 * UJ_PER_J;
    package->window_begin_ns = WINDOW_NS;
    package->last_reading_ns = 11 * WINDOW_NS;
    assert_int_equal(cells_build(&meter->cells, &meter->units, &rig->activity, BUCKETS, &window), 0);
    assert_int_equal(meter_attribute(meter, WINDOW_NS, true), 0);
    assert_int_equal(meter->entity_window_uj[0][ENTITY_RESIDUAL], 90 * UJ_PER_J);
    int process = unit_table_find_process(&meter->units, 7, 5);
    assert_int_equal(meter->units.window_uj[(size_t)process * meter->units.n_domains], 10 * UJ_PER_J);
    rig_free(rig);
}

static void test_a_thread_that_ended_finds_its_process(void **state)
{
    struct rig *rig = rig_new();
    struct cells_window window = {.seq = 1, .now_real_ns = 1};
    struct unit_table *units = &rig->meter.units;

    /* The ended worker is listed before the process that it belongs to. */
    for (size_t i = 0; i < 2; i++) {
        rig->ns[i][0] = 1000;
        rig->tasks[i] = (struct activity_task){.pid = 7,
                                               .tid = 8 - (uint32_t)i,
                                               .start_boot_ns = 5,
                                               .flags = i ? 0 : TASK_ENDED,
                                               .comm = "rustc",
                                               .ns = rig->ns[i]};
    }
    rig->activity = (struct activity_window){.tasks = rig->tasks, .n_tasks = 2};
    assert_int_equal(cells_build(&rig->meter.cells, units, &rig->activity, BUCKETS, &window), 0);
    assert_int_equal(units->n_aggregates, 0);
    int process = unit_table_find_process(units, 7, 5);
    assert_true(process >= 0);
    assert_int_equal(units->units[process].ended_seq, 0);
    /* The leader ends first; the process goes on. */
    rig->tasks[1].flags = TASK_ENDED;
    rig->tasks[0] = (struct activity_task){.pid = 7, .tid = 9, .start_boot_ns = 5, .comm = "rustc", .ns = rig->ns[0]};
    assert_int_equal(cells_build(&rig->meter.cells, units, &rig->activity, BUCKETS, &window), 0);
    assert_int_equal(units->units[process].ended_seq, 0);
    rig->tasks[0].flags = TASK_ENDED | TASK_PROCESS_ENDED;
    assert_int_equal(cells_build(&rig->meter.cells, units, &rig->activity, BUCKETS, &window), 0);
    assert_int_equal(units->units[process].ended_seq, 1);
    rig_free(rig);
}

static void test_short_lived_processes_share_a_unit(void **state)
{
    struct rig *rig = rig_new();
    struct batch *batch;
    size_t n;

    for (size_t i = 0; i < TASKS; i++) {
        rig->ns[i][0] = 1000000;
        rig->tasks[i] = (struct activity_task){.pid = 500 + (uint32_t)i,
                                               .tid = 500 + (uint32_t)i,
                                               .start_boot_ns = i,
                                               .flags = TASK_ENDED,
                                               .comm = "true",
                                               .ns = rig->ns[i]};
    }
    rig->activity = (struct activity_window){.tasks = rig->tasks, .n_tasks = TASKS};
    batch = run_window(rig);
    const struct batch_unit *p = batch_kind(batch, UNIT_PROCESS, &n);
    assert_int_equal(n, 1);
    assert_true(p[0].flags & UNIT_AGGREGATE);
    assert_string_equal(p[0].name, "true");
    assert_int_equal(p[0].cpu_ns, TASKS * 1000000);
    batch_unref(batch);
    rig_free(rig);
}

/* Two tasks of the same CPU time, one all of it beside a busy sibling: it pays 0.55 of what the other does, and idle
 * energy is what it would be by CPU time. */
static void test_overlap_of_hyperthreads(void **state)
{
    static const int methods[] = {METHOD_AUTO, METHOD_SMT, METHOD_CPU_TIME};

    for (size_t m = 0; m < ELEMENTSOF(methods); m++) {
        struct rig *rig = rig_new();
        struct meter *meter = &rig->meter;
        uint64_t ns[2][BUCKETS + 2] = {{WINDOW_NS / 4, 0, 0, 0, WINDOW_NS / 4, 0}, {0, WINDOW_NS / 4, 0, 0, 0, 0}};
        struct cells_window window = {.seq = 1};

        meter->settings.method = methods[m];
        meter->buckets.n_packages = 2;
        meter->buckets.package_id[0] = 0;
        meter->buckets.package_id[1] = 1;
        for (uint32_t i = 0; i < 2; i++)
            rig->tasks[i] = (struct activity_task){.pid = 100 + i, .tid = 100 + i, .uid = i, .comm = "x", .ns = ns[i]};
        rig->activity = (struct activity_window){.tasks = rig->tasks, .n_tasks = 2, .n_columns = BUCKETS + 2};
        for (size_t d = 0; d < meter->energy.n_domains; d++)
            meter->energy.domains[d].window_uj = 1000000;
        assert_int_equal(cells_build(&meter->cells, &meter->units, &rig->activity, BUCKETS, &window), 0);
        assert_int_equal(meter_attribute(meter, WINDOW_NS, true), 0);
        assert_int_equal(meter_uses_smt(meter), methods[m] != METHOD_CPU_TIME);

        /* A quarter of two CPUs of package 0 was busy: three quarters of its energy are idle, by either method. */
        assert_int_equal(meter->entity_window_uj[0][ENTITY_IDLE], 750000);
        for (uint32_t i = 0; i < 2; i++) {
            int unit = unit_table_find_process(&meter->units, 100 + i, 0);
            assert_true(unit >= 0);
            const uint64_t *uj = meter->units.window_uj + (size_t)unit * meter->energy.n_domains;
            uint64_t smt = i == 0 ? 250000 * 55 / 155 : 250000 - 250000 * 55 / 155;
            assert_int_equal(uj[0], meter_uses_smt(meter) ? smt : 125000);
            assert_int_equal(uj[2], 125000); /* memory is not shared by hyperthreads */
        }
        rig_free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_window_conserves),
        cmocka_unit_test(test_time_on_a_package_draws_from_that_package_only),
        cmocka_unit_test(test_without_activity_all_is_residual),
        cmocka_unit_test(test_a_late_reading_is_not_billed_to_the_last_window),
        cmocka_unit_test(test_a_thread_that_ended_finds_its_process),
        cmocka_unit_test(test_short_lived_processes_share_a_unit),
        cmocka_unit_test(test_overlap_of_hyperthreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
