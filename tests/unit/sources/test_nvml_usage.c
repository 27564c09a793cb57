/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses NVIDIA's GPUs, against a stand-in of the vendor's library (tests/sim/nvml): instances, processes, what is
 * refused, what changes, and how much of the library's time is taken for it. Knows no real GPU. */
#include "scratch.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "../../sim/nvml/fake_nvml.h"
#include "sources/gpu_usage.h"
#include "sources/nvml.h"
#include "sources/nvml_usage.h"
#include "sources/registry.h"

#define REAL_US 1700000000000000ULL /* scratch.h's clock at the start */

#define COMPUTE     "nvmlDeviceGetComputeRunningProcesses_v3"
#define GRAPHICS    "nvmlDeviceGetGraphicsRunningProcesses_v3"
#define UTILIZATION "nvmlDeviceGetProcessUtilization"
#define HANDLE      "nvmlDeviceGetMigDeviceHandleByIndex"

static struct scratch s;
static struct nvml_settings settings;
static struct source_args args;
static struct reading readings[DOMAINS_MAX];
static struct gpu_usage usage;
static void *self;

static int setup(void **state)
{
    scratch_init(&s);
    settings = (struct nvml_settings){.library = FAKE_NVML};
    args = (struct source_args){.env = &s.env, .settings = &settings};
    self = NULL;
    assert_int_equal(setenv(FAKE_NVML_SCRIPT, scratch_path(&s, "gpus.txt"), 1), 0);
    return 0;
}

static int teardown(void **state)
{
    source_nvml.close(self);
    scratch_done(&s);
    return 0;
}

static void script(const char *text)
{
    scratch_write(&s, "gpus.txt", text);
}

static void open_with(const char *text)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    script(text);
    if (source_nvml.open(&args, &self, &err) < 0)
        fail_msg("%s", err.msg);
}

static void *symbol(const char *name)
{
    void *library = dlopen(FAKE_NVML, RTLD_NOW | RTLD_LOCAL), *found;

    assert_non_null(library);
    found = dlsym(library, name);
    assert_non_null(found);
    return found;
}

static unsigned long calls_of(const char *function)
{
    void *found = symbol("fake_nvml_calls_of");
    fake_nvml_calls_of_fn count;

    memcpy(&count, &found, sizeof(count));
    return count(function);
}

static unsigned long calls(void)
{
    void *found = symbol("fake_nvml_calls");
    fake_nvml_calls_fn count;

    memcpy(&count, &found, sizeof(count));
    return count(0) + count(1);
}

static void read_once(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_true(source_nvml.read(self, s.clock.now.mono_ns, readings, &err) >= 0);
}

/* A read after so long; then what is known. */
static void read_after(uint64_t ns)
{
    fake_clock_advance(&s.clock, ns);
    read_once();
    assert_int_equal(source_nvml.usage(self, &usage), 0);
}

static const struct gpu_process *process_of(uint32_t pid)
{
    const struct gpu_process *found = NULL;

    for (size_t i = 0; i < usage.n_processes; i++) {
        if (usage.processes[i].pid == pid) {
            assert_null(found);
            found = &usage.processes[i];
        }
    }
    if (!found)
        fail_msg("no process %u", pid);
    return found;
}

static const struct gpu_instance *instance_of(uint32_t pid)
{
    const struct gpu_process *process = process_of(pid);

    assert_true(process->instance < usage.n_instances);
    assert_int_equal(usage.instances[process->instance].gpu, process->gpu);
    return &usage.instances[process->instance];
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static void addresses_in_the_kernels_form(void **state)
{
    static const char *const wanted[] = {"0000:c1:00.0", "10000:e1:1f.0", "", "", "0000:14:00.0"};
    const struct domain *domains;

    open_with("gpus 5\ngpu * energy-mj 1\n"
              "gpu 0 pci-bus 193\n"
              "gpu 1 pci-domain 65536\ngpu 1 pci-bus 225\ngpu 1 pci-device 31\n"
              "gpu 2 pci-result 3\n"
              "gpu 3 pci-bus 256\n");
    assert_int_equal(source_nvml.domains(self, &domains), ELEMENTSOF(wanted));
    for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
        assert_string_equal(domains[i].pci, wanted[i]);
}

/* --- processes of whole GPUs -------------------------------------------------------------------------------------- */

static void nothing_before_the_first_read(void **state)
{
    open_with("gpus 1\ngpu 0 energy-mj 1\n");
    assert_int_equal(source_nvml.usage(self, &usage), -ENODATA);
    read_once();
    assert_int_equal(source_nvml.usage(self, &usage), 0);
    assert_int_equal(usage.n_gpus, 1);
    assert_int_equal(usage.n_instances, 0);
    assert_int_equal(usage.n_processes, 0);
    assert_int_equal(usage.gpus[0].domain, 0);
    assert_false(usage.gpus[0].partitioned);
    assert_int_equal(usage.gpus[0].read_ns, s.clock.now.mono_ns);
}

static void processes_of_two_gpus(void **state)
{
    open_with("gpus 2\ngpu * energy-mj 1\n"
              "process 0 - 100 c 512 35\n"
              "process 0 - 101 g 64 -\n"
              "process 0 - 102 cg 256 5\n"
              "process 1 - 103 c - 100\n"
              "process 1 - 0 c 1 1\n"       /* hidden by a pid namespace */
              "process 1 - 9999999 c 1 1\n" /* no pid */
              "process 1 - 104 c 1 255\n"); /* no percentage */
    read_after(0);
    assert_int_equal(usage.n_processes, 5);
    assert_int_equal(process_of(100)->gpu, 0);
    assert_int_equal(process_of(100)->instance, GPU_WHOLE);
    assert_int_equal(process_of(100)->sm_permille, 350);
    assert_int_equal(process_of(100)->memory_bytes, 512ULL << 20);
    assert_int_equal(process_of(101)->sm_permille, 0);
    assert_int_equal(process_of(101)->memory_bytes, 64ULL << 20);
    assert_int_equal(process_of(102)->memory_bytes, 256ULL << 20); /* in both lists, counted once */
    assert_int_equal(process_of(103)->gpu, 1);
    assert_int_equal(process_of(103)->sm_permille, 1000);
    assert_true(process_of(103)->memory_bytes == GPU_UNKNOWN_BYTES);
    assert_int_equal(process_of(104)->sm_permille, 0);
    assert_int_equal(process_of(104)->end_ns, s.clock.now.mono_ns);
    assert_int_equal(process_of(104)->end_ns - process_of(104)->begin_ns, NS_PER_SEC);
}

/* Each sample is taken once, and belongs to the time since the last look. */
static void windows_of_samples(void **state)
{
    char text[256];
    uint64_t first_ns = s.clock.now.mono_ns;

    snprintf(text, sizeof(text), "gpus 1\ngpu 0 energy-mj 1\nprocess 0 - 7 c 1 40\nsample-us %llu\n", REAL_US);
    open_with(text);
    read_after(0);
    assert_int_equal(process_of(7)->sm_permille, 400);
    read_after(3 * NS_PER_SEC); /* the same old sample */
    assert_int_equal(process_of(7)->sm_permille, 0);
    assert_int_equal(process_of(7)->begin_ns, first_ns);
    assert_int_equal(process_of(7)->end_ns, first_ns + 3 * NS_PER_SEC);
    snprintf(text, sizeof(text), "gpus 1\ngpu 0 energy-mj 1\nprocess 0 - 7 c 1 60\nsample-us %llu\n",
             REAL_US + 4000000);
    script(text);
    read_after(2 * NS_PER_SEC);
    assert_int_equal(process_of(7)->sm_permille, 600);
    assert_int_equal(process_of(7)->begin_ns, first_ns + 3 * NS_PER_SEC);
    source_nvml.reset(self, s.clock.now.mono_ns); /* a suspend: what was before it is no window */
    fake_clock_advance(&s.clock, 3600 * NS_PER_SEC);
    read_after(0);
    assert_int_equal(process_of(7)->end_ns - process_of(7)->begin_ns, NS_PER_SEC);
}

static void ended_process_goes(void **state)
{
    open_with("gpus 1\ngpu 0 energy-mj 1\nprocess 0 - 7 c 1 40\nprocess 0 - 8 c 1 40\n");
    read_after(0);
    assert_int_equal(usage.n_processes, 2);
    script("gpus 1\ngpu 0 energy-mj 1\nprocess 0 - 8 c 1 40\n");
    read_after(NS_PER_SEC);
    assert_int_equal(usage.n_processes, 1);
    process_of(8);
}

static void refused_questions_are_not_repeated(void **state)
{
    open_with("gpus 1\ngpu 0 energy-mj 1\ngpu 0 utilization-result 3\ngpu 0 graphics-result 4\nprocess 0 - 7 c 1 40\n");
    unsigned long utilization = calls_of(UTILIZATION), graphics = calls_of(GRAPHICS), compute = calls_of(COMPUTE);
    for (int i = 0; i < 10; i++)
        read_after(NS_PER_SEC);
    assert_int_equal(calls_of(UTILIZATION), utilization + 1);
    assert_int_equal(calls_of(GRAPHICS), graphics + 1);
    assert_int_equal(calls_of(COMPUTE), compute + 10);
    assert_int_equal(process_of(7)->sm_permille, GPU_UNKNOWN);
    assert_int_equal(process_of(7)->begin_ns, 0);
    script("gpus 1\ngpu 0 energy-mj 1\nprocess 0 - 7 c 1 40\n"); /* and once in five minutes they are */
    read_after(NVML_USAGE_LOOK_NS);
    read_after(NS_PER_SEC);
    assert_int_equal(process_of(7)->sm_permille, 400);
}

static void more_than_there_is_room_for(void **state)
{
    char text[16384] = "gpus 1\ngpu 0 energy-mj 1\n";
    size_t n = strlen(text);

    for (unsigned pid = 1; pid <= 300; pid++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "process 0 - %u g 1 1\n", pid);
    snprintf(text + n, sizeof(text) - n, "process 0 - 1000 c 1 -\n");
    open_with(text);
    read_after(0);
    assert_int_equal(usage.n_processes, 1);
    assert_int_equal(usage.left_out, 600); /* of each list that did not fit */
    script("gpus 1\ngpu 0 energy-mj 1\n");
    read_after(NS_PER_SEC);
    assert_int_equal(usage.left_out, 0);
}

/* --- instances ---------------------------------------------------------------------------------------------------- */

#define TWO_GPUS                                                                                                       \
    "gpus 2\ngpu * energy-mj 1\ngpu 0 mig 3\nmig 0 0 gi 1\nmig 0 0 sms 42\nmig 0 0 slices 3\nmig 0 1 gone 1\n"         \
    "mig 0 2 gi 5\nmig 0 2 ci 1\n"

static void instances_and_their_shares(void **state)
{
    open_with(TWO_GPUS);
    read_after(0);
    assert_int_equal(usage.n_gpus, 2);
    assert_true(usage.gpus[0].partitioned);
    assert_int_equal(usage.gpus[0].sms, 98);
    assert_int_equal(usage.gpus[0].slices, 7);
    assert_false(usage.gpus[1].partitioned);
    assert_int_equal(usage.n_instances, 2);
    const struct gpu_instance *first = &usage.instances[0], *second = &usage.instances[1];
    assert_int_equal(first->gpu, 0);
    assert_int_equal(first->index, 0);
    assert_int_equal(first->gpu_instance, 1);
    assert_int_equal(first->compute_instance, 0);
    assert_int_equal(first->sms, 42);
    assert_int_equal(first->slices, 3);
    assert_string_equal(first->uuid, "MIG-00000000-0000-0000-0000-000000000000");
    assert_int_equal(second->index, 2); /* numbers may be missing */
    assert_int_equal(second->gpu_instance, 5);
    assert_int_equal(second->compute_instance, 1);
    assert_int_equal(second->sms, 14);
    assert_string_equal(second->uuid, "MIG-00000000-0000-0000-0000-000000000002");
}

static void whole_of_four_slices(void **state)
{
    open_with("gpus 1\ngpu 0 energy-mj 1\ngpu 0 mig 2\ngpu 0 profile 3\n");
    read_after(0);
    assert_int_equal(usage.gpus[0].slices, 4);
    assert_int_equal(usage.gpus[0].sms, 56);
}

/* The GPU tells the processes of all its instances at once: one call instead of one for each. */
static void processes_of_all_instances_at_once(void **state)
{
    open_with(TWO_GPUS "process 0 0 100 c 512 -\nprocess 0 2 101 c 128 -\nprocess 0 0 101 c 64 -\n");
    unsigned long compute = calls_of(COMPUTE);
    read_after(0);
    assert_int_equal(calls_of(COMPUTE), compute + 2);
    assert_int_equal(usage.n_processes, 3);
    assert_int_equal(instance_of(100)->gpu_instance, 1);
    assert_int_equal(process_of(100)->sm_permille, GPU_UNKNOWN); /* not told with MIG on */
}

static void each_instance_is_asked(void **state)
{
    open_with(TWO_GPUS "gpu 0 compute-result 4\nprocess 0 0 100 c 512 -\nprocess 0 2 101 c 128 -\n");
    unsigned long compute = calls_of(COMPUTE), graphics = calls_of(GRAPHICS);
    read_after(0);
    assert_int_equal(calls_of(COMPUTE), compute + 1 + 2 + 1); /* refused; two instances; the other GPU */
    assert_int_equal(usage.n_processes, 2);
    assert_int_equal(instance_of(100)->gpu_instance, 1);
    assert_int_equal(instance_of(101)->gpu_instance, 5);
    read_after(NS_PER_SEC);
    assert_int_equal(calls_of(COMPUTE), compute + 1 + 2 * 3);
    assert_int_equal(calls_of(GRAPHICS), graphics + 2 + 2); /* of instances without any once, of the other GPU twice */
}

static void utilization_of_instances_where_a_driver_tells_it(void **state)
{
    open_with(TWO_GPUS "gpu 0 compute-result 4\ngpu 0 instance-utilization-result 0\nprocess 0 2 101 c 128 70\n");
    read_after(0);
    assert_int_equal(process_of(101)->sm_permille, 700);
}

/* A process tells of an instance that was made meanwhile. */
static void new_instance_is_seen_by_its_process(void **state)
{
    open_with(TWO_GPUS);
    read_after(0);
    assert_int_equal(usage.n_instances, 2);
    script(TWO_GPUS "mig 0 1 gone 0\nmig 0 1 gi 9\nprocess 0 1 100 c 512 -\n");
    read_after(NS_PER_SEC);
    assert_int_equal(process_of(100)->instance, GPU_WHOLE);
    assert_int_equal(usage.n_instances, 2);
    unsigned long handles = calls_of(HANDLE);
    read_after(NVML_USAGE_LOOK_AGAIN_NS - 2 * NS_PER_SEC); /* not again and again */
    assert_int_equal(calls_of(HANDLE), handles);
    read_after(2 * NS_PER_SEC);
    read_after(NS_PER_SEC);
    assert_true(calls_of(HANDLE) > handles);
    assert_int_equal(usage.n_instances, 3);
    assert_int_equal(instance_of(100)->gpu_instance, 9);
}

static void instance_taken_apart(void **state)
{
    open_with(TWO_GPUS "gpu 0 compute-result 4\nprocess 0 0 100 c 512 -\nprocess 0 2 101 c 128 -\n");
    read_after(NVML_USAGE_LOOK_AGAIN_NS);
    assert_int_equal(usage.n_processes, 2);
    uint64_t read_ns = usage.gpus[0].read_ns;
    script("gpus 2\ngpu * energy-mj 1\ngpu 0 compute-result 4\ngpu 0 mig 1\nmig 0 0 gi 1\nmig 0 0 sms 28\n"
           "process 0 0 100 c 512 -\n");
    read_after(NVML_USAGE_LOOK_AGAIN_NS); /* an instance no longer answers: what was known stays, for now */
    assert_int_equal(usage.n_processes, 2);
    assert_int_equal(usage.gpus[0].read_ns, read_ns);
    read_after(NS_PER_SEC);
    assert_int_equal(usage.n_instances, 1);
    assert_int_equal(usage.instances[0].sms, 28); /* and the size of those that stay is asked again */
    assert_int_equal(usage.n_processes, 1);
    assert_int_equal(usage.gpus[0].read_ns, s.clock.now.mono_ns);
}

static void instance_made_anew(void **state)
{
    open_with(TWO_GPUS "process 0 2 101 c 128 -\n");
    read_after(0);
    script(TWO_GPUS "mig 0 2 anew 1\nmig 0 2 gi 6\n");
    read_after(NVML_USAGE_LOOK_NS);
    read_after(NS_PER_SEC);
    assert_int_equal(usage.n_instances, 2);
    assert_int_equal(usage.instances[1].gpu_instance, 6);
    assert_int_equal(usage.n_processes, 0);
}

static void mig_switched_off(void **state)
{
    open_with(TWO_GPUS "process 0 2 101 c 128 -\n");
    read_after(0);
    script("gpus 2\ngpu * energy-mj 1\ngpu 0 mig 0\nprocess 0 - 102 c 128 -\n");
    read_after(NVML_USAGE_LOOK_NS);
    read_after(NS_PER_SEC);
    assert_false(usage.gpus[0].partitioned);
    assert_int_equal(usage.n_instances, 0);
    assert_int_equal(usage.gpus[0].sms, 0);
    assert_int_equal(process_of(102)->instance, GPU_WHOLE);
}

/* --- what it costs ------------------------------------------------------------------------------------------------ */

/* A GPU whose energy cannot be read is left alone, and what was known of it stays. */
static void lost_gpu_is_left_alone(void **state)
{
    open_with("gpus 2\ngpu * energy-mj 1\nprocess 0 - 7 c 1 40\nprocess 1 - 8 c 1 40\n");
    read_after(0);
    script("gpus 2\ngpu * energy-mj 1\ngpu 0 result 15\nprocess 1 - 8 c 1 50\n");
    unsigned long compute = calls_of(COMPUTE);
    read_after(NS_PER_SEC);
    assert_int_equal(readings[0].status, -ENODEV);
    assert_int_equal(calls_of(COMPUTE), compute + 1);
    assert_int_equal(process_of(7)->sm_permille, 400);
    assert_int_equal(process_of(8)->sm_permille, 500);
    assert_true(usage.gpus[0].read_ns < usage.gpus[1].read_ns);
}

static void once_a_second(void **state)
{
    open_with("gpus 1\ngpu 0 energy-mj 1\n");
    read_after(0);
    unsigned long before = calls();
    for (int i = 0; i < 9; i++)
        read_after(100 * NS_PER_MS);
    assert_int_equal(calls(), before + 9); /* the energy counter, no more */
    read_after(100 * NS_PER_MS);
    assert_int_equal(calls(), before + 10 + 3);
}

/* A clock on which each look at it takes 30 ms: what a slow library looks like to the source. */
struct slow_clock {
    struct carnot_clock clock;
    struct fake_clock *fake;
};

static void slow_read(struct carnot_clock *clock, struct carnot_now *ret_now)
{
    struct slow_clock *slow = (struct slow_clock *)clock;

    fake_clock_advance(slow->fake, 30 * NS_PER_MS);
    *ret_now = slow->fake->now;
}

static void a_read_ends_in_time(void **state)
{
    struct slow_clock slow = {.clock.read = slow_read, .fake = &s.clock};
    char text[4096] = "gpus 8\ngpu * energy-mj 1\ngpu * mig 7\n";

    s.env.clock = &slow.clock;
    open_with(text);
    size_t reads = 0;
    do {
        unsigned long before = calls();
        uint64_t begin_ns = s.clock.now.mono_ns;
        read_once();
        /* Energies first; then calls until half a second is over, the last one may begin just before. */
        assert_in_range(calls() - before, 8, 8 + NVML_USAGE_WALL_MAX_NS / (30 * NS_PER_MS) + 1);
        assert_true(s.clock.now.mono_ns - begin_ns <=
                    (8 + 5) * 30 * NS_PER_MS + NVML_USAGE_WALL_MAX_NS + 60 * NS_PER_MS);
        assert_true(++reads < 1000);
        source_nvml.usage(self, &usage);
    } while (usage.n_instances < 56); /* and all of them are found in the end */
    assert_true(reads > 10);
}

/* A library that spins is called as often as one percent of a core allows. */
static void spinning_library(void **state)
{
    open_with("gpus 1\ngpu 0 power-mw 1000\ngpu 0 mig 7\n");
    script("gpus 1\ngpu 0 power-mw 1000\ngpu 0 mig 7\nburn-us 20000\n");
    unsigned long before = calls();
    read_once();
    assert_in_range(calls() - before, 1 + 4, 1 + 5); /* 100 ms are saved up */
    for (int i = 0; i < 20; i++) {
        fake_clock_advance(&s.clock, NS_PER_SEC);
        read_once();
    }
    assert_in_range(calls() - before, 21 + 13, 21 + 16); /* 10 ms each second: a call in two */
}

/* --- beside a read ------------------------------------------------------------------------------------------------ */

static void *read_often(void *ended)
{
    static struct reading own[DOMAINS_MAX];
    struct carnot_err err = CARNOT_ERR_INIT;

    for (uint64_t i = 0; i < 300; i++) {
        fake_clock_advance(&s.clock, NS_PER_SEC);
        source_nvml.read(self, s.clock.now.mono_ns, own, &err);
    }
    atomic_store((atomic_bool *)ended, true);
    return NULL;
}

static void whole_copies_beside_reads(void **state)
{
    atomic_bool ended = false;
    pthread_t reader;
    size_t copies = 0;

    open_with("gpus 2\ngpu * energy-mj 1\ngpu * mig 2\n"
              "process 0 0 1 c 1 -\nprocess 0 1 2 c 1 -\nprocess 1 0 3 c 1 -\nprocess 1 1 4 c 1 -\n");
    assert_int_equal(pthread_create(&reader, NULL, read_often, &ended), 0);
    while (!atomic_load(&ended)) {
        if (source_nvml.usage(self, &usage) < 0)
            continue;
        copies++;
        assert_int_equal(usage.n_gpus, 2);
        assert_true(usage.n_instances <= 4 && usage.n_processes <= 4);
        for (size_t i = 0; i < usage.n_processes; i++)
            if (usage.processes[i].instance != GPU_WHOLE)
                instance_of(usage.processes[i].pid);
    }
    pthread_join(reader, NULL);
    assert_true(copies > 0);
    assert_int_equal(source_nvml.usage(self, &usage), 0);
    assert_int_equal(usage.n_processes, 4);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(addresses_in_the_kernels_form),
        TEST(nothing_before_the_first_read),
        TEST(processes_of_two_gpus),
        TEST(windows_of_samples),
        TEST(ended_process_goes),
        TEST(refused_questions_are_not_repeated),
        TEST(more_than_there_is_room_for),
        TEST(instances_and_their_shares),
        TEST(whole_of_four_slices),
        TEST(processes_of_all_instances_at_once),
        TEST(each_instance_is_asked),
        TEST(utilization_of_instances_where_a_driver_tells_it),
        TEST(new_instance_is_seen_by_its_process),
        TEST(instance_taken_apart),
        TEST(instance_made_anew),
        TEST(mig_switched_off),
        TEST(lost_gpu_is_left_alone),
        TEST(once_a_second),
        TEST(a_read_ends_in_time),
        TEST(spinning_library),
        TEST(whole_copies_beside_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
