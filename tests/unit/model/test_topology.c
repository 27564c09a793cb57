/* SPDX-License-Identifier: Apache-2.0 */
/* Topologies of small trees written by each test: sockets, dies, SMT, offline CPUs, sub-NUMA clusters, and machines
 * that tell little or nothing. Also recorded trees, where they lie beside the checkout. */
#include "../sources/recorded.h"
#include "../sources/scratch.h"

#include <stdio.h>

#include "model/cpuinfo.h"
#include "model/topology.h"

extern char **environ;

static struct scratch s;
static struct topology t;

static int setup(void **state)
{
    scratch_init(&s);
    t = (struct topology){0};
    return 0;
}

static int teardown(void **state)
{
    topology_done(&t);
    scratch_done(&s);
    return 0;
}

static void put(const char *dir, const char *file, const char *text)
{
    char path[256];

    assert_true(snprintf(path, sizeof(path), "%s/%s", dir, file) < (int)sizeof(path));
    scratch_write(&s, path, text);
}

static void put_number(const char *dir, const char *file, int number)
{
    char text[32];

    snprintf(text, sizeof(text), "%d\n", number);
    put(dir, file, text);
}

static void put_cpu(int cpu, int package, int die, int core, const char *siblings_file, const char *siblings)
{
    char dir[128];

    snprintf(dir, sizeof(dir), "sys/devices/system/cpu/cpu%d/topology", cpu);
    put_number(dir, "physical_package_id", package);
    if (die >= 0)
        put_number(dir, "die_id", die);
    put_number(dir, "core_id", core);
    if (siblings_file)
        put(dir, siblings_file, siblings);
}

static void read_topology(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(topology_read(&s.env, &t, &err), 0);
}

/* 2 sockets x 2 dies x 2 cores x 2 threads: cpu = thread * 8 + package * 4 + die * 2 + core. CPU 15 is offline, its
 * sibling stays alone. */
static void put_two_sockets(bool with_nodes)
{
    put("sys/devices/system/cpu", "possible", "0-15\n");
    put("sys/devices/system/cpu", "present", "0-15\n");
    put("sys/devices/system/cpu", "online", "0-14\n");
    for (int cpu = 0; cpu < 15; cpu++) {
        char siblings[16];
        int first = cpu % 8;
        if (first == 7)
            snprintf(siblings, sizeof(siblings), "7\n");
        else
            snprintf(siblings, sizeof(siblings), "%d,%d\n", first, first + 8);
        put_cpu(cpu, first / 4, first / 2 % 2, first % 2, cpu % 3 ? "core_cpus_list" : "thread_siblings_list",
                siblings);
    }
    if (!with_nodes)
        return;
    put("sys/devices/system/node/node0", "cpulist", "0-1,8-9\n");
    put("sys/devices/system/node/node1", "cpulist", "2-3,10-11\n");
    put("sys/devices/system/node/node2", "cpulist", "4-5,12-13\n");
    put("sys/devices/system/node/node3", "cpulist", "6-7,14\n");
    put("sys/devices/system/node/node4", "cpulist", "\n"); /* memory alone */
    put("sys/devices/system/node", "possible", "0-4\n");
}

static const char cpuinfo_text[] = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n"
                                   "model name\t: Intel(R) Xeon(R) Platinum 8480+\nphysical id\t: 0\ncore id\t\t: 0\n"
                                   "flags\t\t: fpu vme lm hypervisor_like aes\n\n"
                                   "processor\t: 1\nvendor_id\t: Other\nphysical id\t: 1\ncore id\t\t: 0\n"
                                   "flags\t\t: hypervisor\n\n";

static void two_sockets_two_dies_smt(void **state)
{
    put_two_sockets(true);
    put("proc", "cpuinfo", cpuinfo_text);
    put("proc", "meminfo", "MemTotal:       15666184 kB\nMemFree:  1 kB\n");
    read_topology();

    assert_int_equal(t.n_cpus, 16);
    assert_int_equal(t.n_online, 15);
    assert_int_equal(t.n_packages, 2);
    assert_int_equal(t.n_dies, 4);
    assert_int_equal(t.n_nodes, 4); /* the one without CPUs is not among online CPUs */
    assert_int_equal(t.n_cores, 8);
    for (int cpu = 0; cpu < 15; cpu++) {
        assert_true(t.cpus[cpu].online);
        assert_int_equal(t.cpus[cpu].package, cpu % 8 / 4);
        assert_int_equal(t.cpus[cpu].die, cpu % 8 / 2 % 2);
        assert_int_equal(t.cpus[cpu].core, cpu % 2);
        assert_int_equal(t.cpus[cpu].node, cpu % 8 / 2);
        assert_int_equal(t.cpus[cpu].first_sibling, cpu % 8);
    }
    assert_false(t.cpus[15].online);
    assert_int_equal(t.cpus[15].package, -1);
    assert_int_equal(t.cpus[15].first_sibling, 15);

    assert_string_equal(t.vendor, "GenuineIntel");
    assert_string_equal(t.model_name, "Intel(R) Xeon(R) Platinum 8480+");
    assert_int_equal(t.family, 6);
    assert_int_equal(t.model, 143);
    assert_false(t.hypervisor); /* a whole word, of the first processor */
    assert_int_equal(t.memory_bytes, 15666184ULL * 1024);
}

static void first_sibling_offline(void **state)
{
    put("sys/devices/system/cpu", "possible", "0-3\n");
    put("sys/devices/system/cpu", "online", "1-3\n");
    put_cpu(1, 0, 0, 1, "thread_siblings_list", "1,3\n");
    put_cpu(2, 0, 0, 0, "thread_siblings_list", "0,2\n"); /* some kernels keep naming the sleeper */
    put_cpu(3, 0, 0, 1, "thread_siblings_list", "1,3\n");
    read_topology();
    assert_int_equal(t.cpus[2].first_sibling, 2);
    assert_int_equal(t.cpus[3].first_sibling, 1);
    assert_int_equal(t.n_cores, 2);
    assert_int_equal(t.n_packages, 1);
}

static void siblings_inferred_from_core_ids(void **state)
{
    put("sys/devices/system/cpu", "online", "0-3\n");
    put_cpu(0, 0, -1, 0, NULL, NULL);
    put_cpu(1, 0, -1, 1, NULL, NULL);
    put_cpu(2, 0, -1, 0, NULL, NULL);
    put_cpu(3, 1, -1, 0, NULL, NULL);
    read_topology();
    assert_int_equal(t.n_cpus, 4);
    assert_int_equal(t.cpus[2].first_sibling, 0);
    assert_int_equal(t.cpus[3].first_sibling, 3); /* another package */
    assert_int_equal(t.n_cores, 3);
    assert_int_equal(t.n_nodes, 1);
}

static void arm_without_package_ids(void **state)
{
    put("sys/devices/system/cpu", "possible", "0-3\n");
    put("sys/devices/system/cpu", "online", "0-3\n");
    for (int cpu = 0; cpu < 4; cpu++)
        put_cpu(cpu, -1, -1, cpu, "core_cpus_list", cpu == 0 ? "0\n" : cpu == 1 ? "1\n" : cpu == 2 ? "2\n" : "3\n");
    put("proc", "cpuinfo",
        "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\n"
        "processor\t: 1\nBogoMIPS\t: 50.00\n\nprocessor\t: 2\n\nprocessor\t: 3\n\n");
    read_topology();
    assert_int_equal(t.n_online, 4);
    assert_int_equal(t.n_packages, 1);
    assert_int_equal(t.n_cores, 4);
    assert_int_equal(t.cpus[3].package, 0);
    assert_int_equal(t.cpus[3].die, 0);
    assert_string_equal(t.vendor, "");
    assert_string_equal(t.model_name, "");
    assert_false(t.hypervisor);
}

static void only_cpuinfo(void **state)
{
    put("proc", "cpuinfo", cpuinfo_text);
    read_topology();
    assert_int_equal(t.n_cpus, 2);
    assert_int_equal(t.n_packages, 2);
    assert_int_equal(t.n_cores, 2);
    assert_int_equal(t.cpus[1].package, 1);
}

static void nothing_at_all(void **state)
{
    read_topology();
    assert_int_equal(t.n_cpus, 1);
    assert_int_equal(t.n_online, 1);
    assert_int_equal(t.n_packages, 1);
    assert_int_equal(t.n_dies, 1);
    assert_int_equal(t.n_nodes, 1);
    assert_int_equal(t.n_cores, 1);
    assert_int_equal(t.cpus[0].package, 0);
    assert_int_equal(t.memory_bytes, 0);
}

static void too_many_cpus(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    put("sys/devices/system/cpu", "possible", "0-8191\n"); /* announced, not there */
    put("sys/devices/system/cpu", "present", "0-1\n");
    put("sys/devices/system/cpu", "online", "0-1\n");
    read_topology();
    assert_int_equal(t.n_cpus, 2);
    topology_done(&t);

    put("sys/devices/system/cpu", "present", "0-4096\n");
    assert_int_equal(topology_read(&s.env, &t, &err), -E2BIG);
    assert_non_null(strstr(err.msg, "4096"));
}

static void garbage_is_survived(void **state)
{
    put("sys/devices/system/cpu", "possible", "zero\n");
    put("sys/devices/system/cpu", "online", "0-1\n");
    put("sys/devices/system/cpu/cpu0/topology", "physical_package_id", "99999999999\n");
    put("sys/devices/system/cpu/cpu1/topology", "physical_package_id", "\n");
    put("sys/devices/system/node/node0", "cpulist", "0-\n");
    put("sys/devices/system/node/nodeX", "cpulist", "0\n");
    put("proc", "cpuinfo",
        ":\n::\nprocessor : x\nmodel name : \x01"
        "bad\x7f\nprocessor\t: 99999999999999999999\n");
    put("proc", "meminfo", "MemTotal: kB\n");
    read_topology();
    assert_int_equal(t.n_cpus, 2);
    assert_int_equal(t.n_packages, 1);
    assert_int_equal(t.memory_bytes, 0);
}

static void cpuinfo_head(void **state)
{
    struct cpuinfo_head head;
    struct cpuinfo_cpu cpu;
    struct text rest = text_of(cpuinfo_text);

    cpuinfo_parse_head(text_of("\n\nmodel name\t: A\tB\nflags\t: a hypervisor b"), &head);
    assert_string_equal(head.model_name, "A B");
    assert_true(head.hypervisor);
    cpuinfo_parse_head(text_of(""), &head);
    assert_string_equal(head.model_name, "");

    assert_true(cpuinfo_next(&rest, &cpu));
    assert_int_equal(cpu.cpu, 0);
    assert_true(cpuinfo_next(&rest, &cpu));
    assert_int_equal(cpu.cpu, 1);
    assert_int_equal(cpu.package, 1);
    assert_false(cpuinfo_next(&rest, &cpu));
}

static void buckets_per_cpu(void **state)
{
    struct topology_buckets b;

    put_two_sockets(true);
    read_topology();
    assert_int_equal(topology_buckets(&t, 16, &b, NULL), 0);
    assert_int_equal(b.n, 16);
    for (unsigned cpu = 0; cpu < 16; cpu++)
        assert_int_equal(b.of_cpu[cpu], cpu);
    assert_int_equal(b.bucket[5].package, 1);
    assert_int_equal(b.bucket[5].die, 0);
    assert_int_equal(b.bucket[5].node, 2);
    assert_int_equal(b.bucket[5].n_cpus, 1);
    assert_int_equal(b.bucket[15].n_cpus, 0);
    assert_int_equal(b.bucket[15].package, -1);
    topology_buckets_done(&b);

    assert_int_equal(topology_buckets(&t, 15, &b, NULL), 0); /* online ones only */
    assert_int_equal(b.n, 15);
    assert_int_equal(b.of_cpu[14], 14);
    topology_buckets_done(&b);
}

static void buckets_per_node(void **state)
{
    struct topology_buckets b;
    struct carnot_err err = CARNOT_ERR_INIT;

    put_two_sockets(true);
    read_topology();
    assert_int_equal(topology_buckets(&t, 8, &b, NULL), 0);
    assert_int_equal(b.n, 4);
    for (unsigned cpu = 0; cpu < 15; cpu++)
        assert_int_equal(b.bucket[b.of_cpu[cpu]].node, t.cpus[cpu].node);
    assert_int_equal(b.bucket[3].package, 1);
    assert_int_equal(b.bucket[3].die, 1);
    assert_int_equal(b.bucket[3].n_cpus, 3);
    assert_true(b.of_cpu[15] < b.n);
    topology_buckets_done(&b);

    assert_int_equal(topology_buckets(&t, 2, &b, NULL), 0); /* packages are the last that tells anything */
    assert_int_equal(b.n, 2);
    assert_int_equal(b.bucket[0].package, 0);
    assert_int_equal(b.bucket[0].die, -1);
    assert_int_equal(b.bucket[0].node, -1);
    assert_int_equal(b.bucket[0].n_cpus, 8);
    topology_buckets_done(&b);

    assert_int_equal(topology_buckets(&t, 1, &b, &err), -E2BIG);
    assert_int_equal(topology_buckets(&t, 0, &b, &err), -EINVAL);
}

static void buckets_without_numa(void **state)
{
    struct topology_buckets b;

    put_two_sockets(false); /* NUMA off in the firmware: packages and dies still count apart */
    read_topology();
    assert_int_equal(t.n_nodes, 1);
    assert_int_equal(topology_buckets(&t, 4, &b, NULL), 0);
    assert_int_equal(b.n, 4);
    for (unsigned cpu = 0; cpu < 15; cpu++)
        assert_int_equal(b.bucket[b.of_cpu[cpu]].package, t.cpus[cpu].package);
    topology_buckets_done(&b);
    assert_int_equal(topology_buckets(&t, 3, &b, NULL), 0);
    assert_int_equal(b.n, 2);
    topology_buckets_done(&b);
}

static int refresh(struct topology_buckets *b)
{
    return topology_refresh(&s.env, &t, b, NULL);
}

/* Two packages of two CPUs; CPU 2 is offline at the start, and /sys has no word about it then. */
static void a_cpu_comes_online(void **state)
{
    struct topology_buckets b;

    put("sys/devices/system/cpu", "possible", "0-3\n");
    put("sys/devices/system/cpu", "online", "0-1,3\n");
    put_cpu(0, 0, 0, 0, "core_cpus_list", "0\n");
    put_cpu(1, 0, 0, 1, "core_cpus_list", "1\n");
    put_cpu(3, 1, 0, 1, "core_cpus_list", "3\n");
    put("sys/devices/system/node/node0", "cpulist", "0-1\n");
    put("sys/devices/system/node/node1", "cpulist", "3\n");
    read_topology();
    assert_int_equal(topology_buckets(&t, 64, &b, NULL), 0);
    assert_int_equal(b.n, 4);
    assert_int_equal(b.bucket[2].package, -1);
    assert_int_equal(b.bucket[2].n_cpus, 0);
    assert_int_equal(refresh(&b), 0);
    assert_int_equal(refresh(&b), 0);

    const struct topology_cpu *cpus = t.cpus;
    const uint16_t *of_cpu = b.of_cpu;
    put_cpu(2, 1, 1, 0, "core_cpus_list", "2\n");
    put("sys/devices/system/node/node1", "cpulist", "2-3\n");
    assert_int_equal(refresh(&b), 0); /* the list of online CPUs is what counts */
    put("sys/devices/system/cpu", "online", "0-3\n");
    assert_int_equal(refresh(&b), 1);
    assert_ptr_equal(t.cpus, cpus);
    assert_ptr_equal(b.of_cpu, of_cpu);
    assert_true(t.cpus[2].online);
    assert_int_equal(t.cpus[2].package, 1);
    assert_int_equal(t.cpus[2].die, 1);
    assert_int_equal(t.cpus[2].node, 1);
    assert_int_equal(t.n_online, 4);
    assert_int_equal(t.n_dies, 3);
    assert_int_equal(t.n_cores, 4);
    assert_int_equal(b.n, 4);
    for (unsigned cpu = 0; cpu < 4; cpu++)
        assert_int_equal(b.of_cpu[cpu], cpu);
    assert_int_equal(b.bucket[2].package, 1);
    assert_int_equal(b.bucket[2].die, 1);
    assert_int_equal(b.bucket[2].node, 1);
    assert_int_equal(b.bucket[2].n_cpus, 1);
    assert_int_equal(refresh(&b), 0);

    /* It goes again: its last time still belongs to package 1. */
    put("sys/devices/system/cpu", "online", "0-1,3\n");
    assert_int_equal(refresh(&b), 1);
    assert_false(t.cpus[2].online);
    assert_int_equal(t.cpus[2].package, 1);
    assert_int_equal(t.n_online, 3);
    assert_int_equal(b.bucket[2].package, 1);
    assert_int_equal(b.bucket[2].n_cpus, 0);

    /* A CPU that the kernel had called impossible has no place in arrays that are in use. */
    put("sys/devices/system/cpu", "possible", "0-9\n");
    put("sys/devices/system/cpu", "online", "0-1,3,9\n");
    put_cpu(9, 2, 0, 0, NULL, NULL);
    assert_int_equal(refresh(&b), 1);
    assert_int_equal(t.n_cpus, 4);
    assert_int_equal(t.n_online, 3);
    assert_int_equal(t.n_packages, 2);
    assert_int_equal(refresh(&b), 0);
    topology_buckets_done(&b);
}

/* Buckets of several CPUs keep their numbers and, where a newcomer disagrees, their place. */
static void a_cpu_comes_into_a_coarse_bucket(void **state)
{
    struct topology_buckets b;

    put_two_sockets(true); /* CPU 15 is offline */
    read_topology();
    assert_int_equal(topology_buckets(&t, 4, &b, NULL), 0);
    assert_int_equal(b.of_cpu[15], 0);
    put_cpu(15, 1, 1, 1, "core_cpus_list", "7,15\n");
    put("sys/devices/system/node/node3", "cpulist", "6-7,14-15\n");
    put("sys/devices/system/cpu", "online", "0-15\n");
    assert_int_equal(refresh(&b), 1);
    assert_int_equal(t.cpus[15].package, 1);
    assert_int_equal(t.cpus[15].first_sibling, 7);
    assert_int_equal(b.n, 4);
    assert_int_equal(b.of_cpu[15], 0);
    assert_int_equal(b.bucket[0].package, 0);
    assert_int_equal(b.bucket[0].die, 0);
    assert_int_equal(b.bucket[0].node, 0);
    assert_int_equal(b.bucket[0].n_cpus, 5);
    assert_int_equal(b.bucket[3].n_cpus, 3);

    /* All of bucket 3 goes offline and comes back. */
    put("sys/devices/system/cpu", "online", "0-5,8-13\n");
    assert_int_equal(refresh(&b), 1);
    assert_int_equal(b.bucket[3].n_cpus, 0);
    assert_int_equal(b.bucket[3].package, 1);
    assert_int_equal(b.bucket[3].node, 3);
    put("sys/devices/system/cpu", "online", "0-15\n");
    assert_int_equal(refresh(&b), 1);
    assert_int_equal(b.bucket[3].n_cpus, 3);
    assert_int_equal(b.bucket[3].package, 1);
    topology_buckets_done(&b);
}

static void refresh_without_sys(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct topology_buckets b;

    put("proc", "cpuinfo", cpuinfo_text);
    read_topology();
    assert_null(t.online_text);
    assert_int_equal(topology_buckets(&t, 64, &b, NULL), 0);
    assert_int_equal(refresh(&b), 0);

    /* /sys appears (it was mounted late), then loses the file: what is known stays. */
    put("sys/devices/system/cpu", "online", "0\n");
    assert_int_equal(refresh(&b), 1);
    assert_int_equal(t.n_online, 1);
    assert_int_equal(t.cpus[1].package, 1);
    scratch_remove(&s, "sys/devices/system/cpu/online");
    assert_int_equal(topology_refresh(&s.env, &t, &b, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "devices/system/cpu/online"));
    assert_int_equal(t.n_online, 1);
    topology_buckets_done(&b);
}

static void recorded_tree(void **state)
{
    if (!recorded_unpack(&s, "sys.tar.gz", "sys/devices/system") || !recorded_unpack(&s, "proc.tar.gz", "proc")) {
        print_message("skipped: no recorded trees in ../shared/fixtures/ceems (or $CARNOT_CEEMS_FIXTURES)\n");
        skip();
    }
    read_topology();
    /* Its /sys knows four CPUs without sibling lists, its /proc a laptop of eight. */
    assert_int_equal(t.n_online, 4);
    assert_int_equal(t.n_packages, 2);
    assert_string_equal(t.model_name, "Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz");
    assert_string_equal(t.vendor, "GenuineIntel");
    assert_int_equal(t.family, 6);
    assert_int_equal(t.model, 142);
    assert_false(t.hypervisor);
    assert_int_equal(t.memory_bytes, 15666184ULL * 1024);
}

static void done_is_safe(void **state)
{
    topology_done(NULL);
    topology_buckets_done(NULL);
    topology_done(&t);
    topology_done(&t);
    assert_null(t.cpus);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_sockets_two_dies_smt),
        TEST(first_sibling_offline),
        TEST(siblings_inferred_from_core_ids),
        TEST(arm_without_package_ids),
        TEST(only_cpuinfo),
        TEST(nothing_at_all),
        TEST(too_many_cpus),
        TEST(garbage_is_survived),
        TEST(cpuinfo_head),
        TEST(buckets_per_cpu),
        TEST(buckets_per_node),
        TEST(buckets_without_numa),
        TEST(a_cpu_comes_online),
        TEST(a_cpu_comes_into_a_coarse_bucket),
        TEST(refresh_without_sys),
        TEST(recorded_tree),
        TEST(done_is_safe),
    };

    return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
