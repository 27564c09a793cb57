/* SPDX-License-Identifier: Apache-2.0 */
/* Overlap of hyperthreads, with this machine's real scheduler: the reader is told that two of its CPUs are the two
 * hyperthreads of one core, and that they lie in different packages, so that each has a column of its own. Then laws
 * hold that no other load on the machine disturbs: the time in which both run is the same seen from either side, and it
 * lies between what two busy times leave no other room for, and the smaller of them. */
#include "activity_rig.h"

#include <sched.h>

#define BURN_MS 400

static struct rig rig;
static uint32_t first_cpu, second_cpu;

/* Two CPUs that we may use; false when there is only one. */
static bool choose_cpus(void)
{
    cpu_set_t set;
    uint32_t found[2], n = 0;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return false;
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
        if (CPU_ISSET(cpu, &set))
            found[n++] = cpu;
    if (n < 2)
        return false;
    first_cpu = found[0];
    second_cpu = found[1];
    return true;
}

static void make_siblings(struct topology *topology)
{
    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++) {
        topology->cpus[cpu].first_sibling = (int)cpu;
        topology->cpus[cpu].package = cpu == second_cpu;
    }
    topology->cpus[second_cpu].first_sibling = (int)first_cpu;
}

static void make_strangers(struct topology *topology)
{
    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++)
        topology->cpus[cpu].first_sibling = (int)cpu;
}

struct sums {
    uint64_t busy_ns[2], overlap_ns[2], wall_ns;
    uint64_t unseen; /* switches that the kernel counted and showed to nobody */
};

/* Some kernels hide the switches of single processes from BPF; a CPU that such a one left for idle is taken for busy.
 */
static uint64_t count_unseen(void)
{
    char text[16384];
    ssize_t n = fsroot_read(&rig.env.proc, "stat", text, sizeof(text), NULL);
    struct text rest = {text, n > 0 ? (size_t)n : 0}, line;
    uint64_t switches;

    while (scan_line(&rest, &line)) {
        if (!text_starts(line, "ctxt "))
            continue;
        line = (struct text){line.p + 5, line.n - 5};
        assert_int_equal(scan_u64(&line, &switches), 0);
        return switches - rig.window.switches;
    }
    fail_msg("no ctxt in /proc/stat");
    return 0;
}

static void add_row(struct sums *sums, const uint64_t *ns)
{
    sums->busy_ns[0] += ns[rig.buckets.of_cpu[first_cpu]];
    sums->busy_ns[1] += ns[rig.buckets.of_cpu[second_cpu]];
    for (int side = 0; side < 2; side++)
        sums->overlap_ns[side] += ns[rig.buckets.n + (uint32_t)topology_package_index(&rig.buckets, side)];
}

static void add_window(struct sums *sums, uint64_t *begin_ns)
{
    rig_read(&rig);
    for (size_t i = 0; i < rig.window.n_tasks; i++)
        add_row(sums, rig.window.tasks[i].ns);
    for (size_t i = 0; i < rig.window.n_rests; i++)
        add_row(sums, rig.window.rests[i].ns);
    sums->wall_ns += rig.window.end_mono_ns - *begin_ns;
    *begin_ns = rig.window.end_mono_ns;
}

static void burn_on(void *cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(*(const uint32_t *)cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        _exit(1);
    rig_burn(BURN_MS * RIG_MS);
}

/* Runs the children, reading as the agent does. */
static struct sums run(bool first, bool second)
{
    struct sums sums = {0};
    uint64_t begin_ns, unseen;
    pid_t pids[2] = {0};

    rig_read(&rig);
    begin_ns = rig.window.end_mono_ns;
    unseen = count_unseen();
    if (first)
        pids[0] = rig_start_child(NULL, burn_on, &first_cpu);
    if (second)
        pids[1] = rig_start_child(NULL, burn_on, &second_cpu);
    for (int i = 0; i < 2; i++) {
        if (pids[i])
            rig_wait(&rig, pids[i]);
        add_window(&sums, &begin_ns);
    }
    sums.unseen = count_unseen() - unseen;
    print_message("    busy %.1f and %.1f of %.1f ms, overlap %.3f and %.3f ms\n", (double)sums.busy_ns[0] / 1e6,
                  (double)sums.busy_ns[1] / 1e6, (double)sums.wall_ns / 1e6, (double)sums.overlap_ns[0] / 1e6,
                  (double)sums.overlap_ns[1] / 1e6);
    return sums;
}

/* And checks the laws, on a run of which every switch was seen. */
static struct sums measure(bool first, bool second)
{
    time_t deadline = rig_now_s() + RIG_DEADLINE_S;
    struct sums sums = run(first, second);
    uint64_t slack_ns;

    while (sums.unseen > 0 && sums.unseen < INT64_MAX) {
        if (rig_now_s() > deadline) {
            print_message("SKIP: this kernel shows not every context switch to BPF\n");
            skip();
        }
        sums = run(first, second);
    }
    /* The slice in progress is as stale as the last tick at either end of the measurement; a clock counts interrupts
     * and stolen time, which busy time leaves out: one part in twenty. */
    slack_ns = 2 * RIG_TICK_NS + sums.wall_ns / 20;
    assert_true(sums.overlap_ns[0] <= sums.overlap_ns[1] + slack_ns);
    assert_true(sums.overlap_ns[1] <= sums.overlap_ns[0] + slack_ns);
    for (int side = 0; side < 2; side++) {
        assert_true(sums.overlap_ns[side] <= min_u64(sums.busy_ns[0], sums.busy_ns[1]) + slack_ns);
        assert_true(sums.overlap_ns[side] + sums.wall_ns + slack_ns >= sums.busy_ns[0] + sums.busy_ns[1]);
    }
    return sums;
}

static int open_siblings(void **state)
{
    rig_open_with(&rig, rig_any_hierarchy(), 0, false, make_siblings);
    return 0;
}

static int open_strangers(void **state)
{
    rig_open_with(&rig, rig_any_hierarchy(), 0, false, make_strangers);
    return 0;
}

static int close_rig(void **state)
{
    rig_close(&rig);
    return 0;
}

static void test_both_busy(void **state)
{
    struct sums sums = measure(true, true);

    assert_true(sums.overlap_ns[0] >= BURN_MS * RIG_MS / 4); /* they ran beside each other, and it was seen */
}

static void test_one_busy(void **state)
{
    measure(true, false);
    measure(false, true);
}

/* Who ran alone has none, whoever else ran before. */
static void test_by_task(void **state)
{
    measure(true, true);
    for (size_t i = 0; i < rig.window.n_tasks; i++) {
        const struct activity_task *task = &rig.window.tasks[i];
        uint64_t overlap = 0;

        assert_int_equal(rig.window.n_columns, rig.buckets.n + 2);
        for (uint32_t p = 0; p < 2; p++)
            overlap += task->ns[rig.buckets.n + p];
        assert_true(overlap <= rig_sum(&rig, task->ns) * 11 / 10 + 2 * RIG_TICK_NS);
    }
}

/* One thread to a core: no columns, nothing to pay for. */
static void test_no_hyperthreads(void **state)
{
    rig_read(&rig);
    assert_int_equal(rig.window.n_columns, rig.buckets.n);
}

#define TEST(name, open) cmocka_unit_test_setup_teardown(name, open, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_both_busy, open_siblings),
        TEST(test_one_busy, open_siblings),
        TEST(test_by_task, open_siblings),
        TEST(test_no_hyperthreads, open_strangers),
    };

    if (rig_skip_reason() > 0)
        return 77;
    if (!choose_cpus()) {
        printf("SKIP: needs two CPUs\n");
        return 77;
    }
    return cmocka_run_group_tests_name("activity_bpf_overlap", tests, NULL, NULL);
}
