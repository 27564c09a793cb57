/* SPDX-License-Identifier: Apache-2.0 */
/* Regions and slots on clocks that stand still until told. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>

#include "base/clock.h"
#include "lib/ledger.h"

#define S NS_PER_SEC

struct rig {
    struct ledger ledger;
    struct ledger_clocks clocks;
    struct figures figures;
    uint64_t mono_ns, cpu_ns, thread_ns[4];
    bool thread_ended[4];
    struct ledger_region regions[8];
    uint64_t energy_uj[8][2];
    size_t n_regions;
};

static uint64_t mono(void *userdata)
{
    return ((struct rig *)userdata)->mono_ns;
}

static uint64_t process_cpu(void *userdata)
{
    return ((struct rig *)userdata)->cpu_ns;
}

static int thread_cpu(void *userdata, int thread, uint64_t *ret_cpu_ns)
{
    const struct rig *rig = userdata;

    *ret_cpu_ns = rig->thread_ns[thread];
    return rig->thread_ended[thread] ? -EINVAL : 0;
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);

    rig->clocks = (struct ledger_clocks){mono, process_cpu, thread_cpu, rig};
    rig->mono_ns = 100 * S;
    rig->figures = (struct figures){.epoch = "a",
                                    .slot_ns = S,
                                    .end_mono_ns = 100 * S,
                                    .window_ns = S,
                                    .n_domains = 2,
                                    .seen = true,
                                    .id = 1,
                                    .cpu_ns = 7 * S,
                                    .energy_uj = {5000, 100},
                                    .domains = {{.name = "package-0", .quality = QUALITY_DERIVED, .in_total = true},
                                                {.name = "core-0", .quality = QUALITY_MEASURED}}};
    ledger_init(&rig->ledger, &rig->clocks);
    ledger_know(&rig->ledger, &rig->figures);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < rig->n_regions; i++)
        ledger_drop(&rig->ledger, &rig->regions[i]);
    ledger_done(&rig->ledger);
    free(rig);
    return 0;
}

static struct ledger_region *begin(struct rig *rig, const int *thread)
{
    struct ledger_region *region = &rig->regions[rig->n_regions];

    region->n_domains = 2;
    region->energy_uj = rig->energy_uj[rig->n_regions++];
    assert_int_equal(ledger_begin(&rig->ledger, region, thread), 0);
    return region;
}

/* The process runs for a while, in thread 0. */
static void run(struct rig *rig, uint64_t wall_ns, uint64_t cpu_ns)
{
    rig->mono_ns += wall_ns;
    rig->cpu_ns += cpu_ns;
    rig->thread_ns[0] += cpu_ns;
}

/* A slot ends now; the agent saw this much. */
static int slot(struct rig *rig, uint64_t cpu_ns, uint64_t energy_uj)
{
    ledger_sample(&rig->ledger);
    rig->figures.end_mono_ns = rig->mono_ns;
    rig->figures.cpu_ns += cpu_ns;
    rig->figures.window_cpu_ns = cpu_ns;
    rig->figures.energy_uj[0] += energy_uj;
    rig->figures.energy_uj[1] += energy_uj / 2;
    return ledger_take(&rig->ledger, &rig->figures);
}

/* The first figures, of a slot that ended before. */
static void first(struct rig *rig)
{
    ledger_sample(&rig->ledger);
    assert_int_equal(ledger_take(&rig->ledger, &rig->figures), 1);
}

static void test_a_share_of_a_slot_by_cpu_time(void **state)
{
    struct rig *rig = *state;

    run(rig, S / 10, S / 10); /* before the region, in the same slot */
    struct ledger_region *region = begin(rig, NULL);
    first(rig);
    run(rig, S / 2, 3 * S / 10);
    assert_int_equal(ledger_end(&rig->ledger, region), 0);
    assert_int_equal(ledger_end(&rig->ledger, region), -EALREADY);
    run(rig, 4 * S / 10, 0);
    assert_false(region->complete);
    assert_int_equal(slot(rig, 4 * S / 10, 1000), 1);
    assert_true(region->complete && !region->gap);
    assert_int_equal(region->total_uj, 750);
    assert_int_equal(region->energy_uj[1], 375); /* told, but not in the total */
    assert_int_equal(region->low_uj, 0);
    assert_int_equal(region->high_uj, 1000);
    assert_int_equal(region->covered_ns, S / 2);
    assert_int_equal(region->quality, QUALITY_DERIVED);
    assert_int_equal(rig->ledger.n_regions, 0);
}

static void test_disjoint_regions_never_exceed_the_process(void **state)
{
    struct rig *rig = *state;
    uint64_t sum_uj = 0;
    struct ledger_region *outer = begin(rig, NULL);

    first(rig);
    for (int i = 0; i < 7; i++) {
        struct ledger_region *region = begin(rig, NULL);

        run(rig, S / 3, 7001 + (unsigned)i * 977);
        ledger_end(&rig->ledger, region);
        if (i % 3 == 2)
            slot(rig, 3 * 9001, 1009);
    }
    ledger_end(&rig->ledger, outer);
    run(rig, S, 1);
    slot(rig, 9001, 503);
    for (size_t i = 1; i < rig->n_regions; i++) {
        assert_true(rig->regions[i].complete);
        sum_uj += rig->regions[i].total_uj;
    }
    assert_true(sum_uj <= outer->total_uj && outer->total_uj <= 2 * 1009 + 503);
    assert_true(sum_uj + 2 * 8 >= outer->total_uj); /* less than a microjoule lost a region and slot */
    assert_int_equal(outer->low_uj, 2 * 1009);
}

static void test_threads_share_the_process(void **state)
{
    struct rig *rig = *state;
    struct ledger_region *a = begin(rig, &(int){0}), *b = begin(rig, &(int){1});

    first(rig);
    run(rig, S / 2, S / 4);
    rig->thread_ns[1] += 3 * S / 4;
    rig->cpu_ns += 3 * S / 4;
    ledger_end(&rig->ledger, b);
    rig->thread_ended[1] = true; /* its clock is gone before the slot ends */
    ledger_end(&rig->ledger, a);
    run(rig, S / 2, 0);
    slot(rig, S, 1000);
    assert_true(a->complete && b->complete);
    assert_int_equal(a->total_uj, 250);
    assert_int_equal(b->total_uj, 750);
    assert_null(rig->ledger.threads);
}

static void test_an_agent_that_began_anew_leaves_a_gap(void **state)
{
    struct rig *rig = *state;
    struct ledger_region *region = begin(rig, NULL);

    first(rig);
    run(rig, S, S);
    slot(rig, S, 1000);
    run(rig, 5 * S, 5 * S);
    snprintf(rig->figures.epoch, sizeof rig->figures.epoch, "b");
    rig->figures.energy_uj[0] = rig->figures.energy_uj[1] = rig->figures.cpu_ns = 0;
    slot(rig, S, 1200);
    assert_int_equal(region->total_uj, 2200);
    assert_true(region->gap);
    ledger_end(&rig->ledger, region);
    run(rig, S, 0);
    slot(rig, 0, 0);
    assert_true(region->complete);
}

static void test_the_same_slot_twice_is_nothing_new(void **state)
{
    struct rig *rig = *state;
    struct ledger_region *region = begin(rig, NULL);

    first(rig);
    run(rig, S, S);
    assert_int_equal(slot(rig, S, 1000), 1);
    assert_int_equal(ledger_take(&rig->ledger, &rig->figures), 0);
    assert_int_equal(region->total_uj, 1000);
}

static void test_a_process_seen_later_begins_at_nothing(void **state)
{
    struct rig *rig = *state;
    struct ledger_region *region = begin(rig, NULL);

    rig->figures.seen = false;
    rig->figures.energy_uj[0] = rig->figures.energy_uj[1] = rig->figures.cpu_ns = 0;
    first(rig);
    run(rig, S, S);
    rig->figures.seen = true;
    slot(rig, S, 800);
    assert_int_equal(region->total_uj, 800);
    assert_false(region->gap);
}

static void test_energy_without_cpu_time_goes_by_time(void **state)
{
    struct rig *rig = *state;
    struct ledger_region *region = begin(rig, NULL);

    first(rig);
    run(rig, S / 4, 0);
    ledger_end(&rig->ledger, region);
    run(rig, 3 * S / 4, 0);
    slot(rig, 0, 1000);
    assert_int_equal(region->total_uj, 250);
}

static void test_the_nearer_sample_ends_the_cell(void **state)
{
    struct rig *rig = *state;
    struct ledger_region *region = begin(rig, NULL);

    first(rig);
    run(rig, S, S);
    ledger_sample(&rig->ledger); /* at the slot's end, but its figures come only after the next one */
    rig->figures.end_mono_ns = rig->mono_ns;
    ledger_end(&rig->ledger, region);
    run(rig, S / 2, S / 2);
    ledger_sample(&rig->ledger);
    rig->figures.cpu_ns += S;
    rig->figures.energy_uj[0] += 1000;
    ledger_take(&rig->ledger, &rig->figures);
    assert_true(region->complete);
    assert_int_equal(region->total_uj, 1000);
}

static void test_quanta_are_told(void **state)
{
    struct rig *rig = *state;
    struct ledger_region *region = begin(rig, NULL);

    rig->figures.quantum_uj = 1000;
    first(rig);
    run(rig, S, S);
    slot(rig, S, 1000);
    assert_int_equal(region->quanta_uj, 1000); /* of the one domain in the total */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_share_of_a_slot_by_cpu_time),
        T(test_disjoint_regions_never_exceed_the_process),
        T(test_threads_share_the_process),
        T(test_an_agent_that_began_anew_leaves_a_gap),
        T(test_the_same_slot_twice_is_nothing_new),
        T(test_a_process_seen_later_begins_at_nothing),
        T(test_energy_without_cpu_time_goes_by_time),
        T(test_the_nearer_sample_ends_the_cell),
        T(test_quanta_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
