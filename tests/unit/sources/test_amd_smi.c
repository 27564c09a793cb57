/* SPDX-License-Identifier: Apache-2.0 */
/* The AMD source against stand-ins of the vendor's two libraries (tests/sim/amd): cards and their partitions, ways of
 * reading, failures, what is counted once. Knows no real GPU. */
#include "scratch.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>

#include "../../sim/amd/fake_amd.h"
#include "base/buf.h"
#include "sources/amd_cards.h"
#include "sources/amd_smi.h"
#include "sources/registry.h"

static struct scratch s;
static struct amd_smi_settings settings;
static struct source_args args;
static struct reading readings[DOMAINS_MAX];
static struct carnot_err err;
static void *self;

static int setup(void **state)
{
    scratch_init(&s);
    settings = (struct amd_smi_settings){.library = FAKE_AMD_SMI};
    args = (struct source_args){.env = &s.env, .settings = &settings};
    err = CARNOT_ERR_INIT;
    self = NULL;
    assert_int_equal(setenv(FAKE_AMD_SCRIPT, scratch_path(&s, "gpus.txt"), 1), 0);
    return 0;
}

static int users(const char *library)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL), *symbol;
    fake_amd_users_fn count;

    assert_non_null(handle);
    symbol = dlsym(handle, "fake_amd_users");
    assert_non_null(symbol);
    memcpy(&count, &symbol, sizeof(count));
    return count();
}

static int teardown(void **state)
{
    source_amd_smi.close(self);
    scratch_done(&s);
    assert_int_equal(users(FAKE_AMD_SMI), 0); /* whoever started a library has shut it down */
    assert_int_equal(users(FAKE_ROCM_SMI64), 0);
    return 0;
}

static void script(const char *text)
{
    scratch_write(&s, "gpus.txt", text);
}

static void open_with(const char *library, const char *text)
{
    settings.library = library;
    script(text);
    assert_int_equal(source_amd_smi.probe(&args, &err), 0);
    if (source_amd_smi.open(&args, &self, &err) < 0)
        fail_msg("%s", err.msg);
}

static void close_source(void)
{
    self = source_amd_smi.close(self);
}

static size_t domains(const struct domain **ret)
{
    return source_amd_smi.domains(self, ret);
}

static int read_after(uint64_t ns)
{
    err = CARNOT_ERR_INIT;
    fake_clock_advance(&s.clock, ns);
    return source_amd_smi.read(self, s.clock.now.mono_ns, readings, &err);
}

static void assert_says(const char *word)
{
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
}

static void assert_described(const char *text)
{
    struct buf out;

    buf_init(&out, 65536);
    source_amd_smi.describe(self, &out);
    assert_string_equal(buf_str(&out), text);
    buf_done(&out);
}

/* The tests that hold for both libraries. */
static const char *const libraries[] = {FAKE_AMD_SMI, FAKE_ROCM_SMI64};
#define EACH_LIBRARY for (size_t l = 0; l < ELEMENTSOF(libraries); l++)

/* --- the libraries ------------------------------------------------------------------------------------------------ */

static void no_library(void **state)
{
    settings.library = "/nonexistent/libamd_smi.so";
    assert_int_equal(source_amd_smi.probe(&args, &err), -ENODEV);
    assert_says("amd_smi.library");
    assert_says("/nonexistent/libamd_smi.so");
    assert_int_equal(source_amd_smi.probe(&args, NULL), -ENODEV);
}

static void found_by_name(void **state)
{
    open_with("", "gpus 1\ngpu 0 steps 65536\n");
    assert_described("read through libamd_smi\n"
                     "gpu-0-amd: 0000:01:00.0, energy counter of the card, in steps of 2^-16 J\n");
    close_source();
    args.settings = NULL;
    assert_int_equal(source_amd_smi.probe(&args, &err), 0);
}

static void another_library(void **state)
{
    settings.library = OTHER_LIBRARY;
    assert_int_equal(source_amd_smi.probe(&args, &err), -EPROTO);
    assert_says(OTHER_LIBRARY);
    assert_says("amdsmi_init");
}

static void library_that_does_not_start(void **state)
{
    static const struct {
        const char *library, *script;
        int status;
        const char *word;
    } cases[] = {
        {FAKE_AMD_SMI, "init 34\n", -ENODEV, "modprobe amdgpu"},
        {FAKE_AMD_SMI, "init 10\n", -EACCES, "/dev/kfd"},
        {FAKE_AMD_SMI, "gpus 0\n", -ENODEV, "no GPU"},
        {FAKE_AMD_SMI, "gpus 1\ngpu 0 cpu 1\n", -ENODEV, "no GPU"},
        {FAKE_AMD_SMI, "gpus 1\nlist 7\n", -EIO, "something odd?[1m"}, /* no escape sequence comes through */
        {FAKE_ROCM_SMI64, "init 8\n", -ENODEV, "modprobe amdgpu"},
        {FAKE_ROCM_SMI64, "init 4\n", -EACCES, "ROCm"},
        {FAKE_ROCM_SMI64, "gpus 0\n", -ENODEV, "no GPU"},
        {FAKE_ROCM_SMI64, "gpus 1\nlist 6\n", -EIO, "rocm-smi"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        void *opened = &s;

        settings.library = cases[i].library;
        script(cases[i].script);
        err = CARNOT_ERR_INIT;
        assert_int_equal(source_amd_smi.probe(&args, &err), cases[i].status);
        assert_says(cases[i].word);
        assert_int_equal(source_amd_smi.open(&args, &opened, &err), cases[i].status);
        assert_ptr_equal(opened, &s);
    }
}

/* --- readings ----------------------------------------------------------------------------------------------------- */

static void three_kinds_of_card(void **state)
{
    EACH_LIBRARY
    {
        const struct domain *d;

        open_with(libraries[l], "gpus 3\n"
                                "gpu 0 bus 193\ngpu 0 steps 65536\ngpu 0 current-w 140\n"
                                "gpu 1 domain 1\ngpu 1 average-w 90\n"
                                "gpu 2 device 31\n");
        assert_int_equal(domains(&d), 3);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(d[i].kind, DOMAIN_GPU);
            assert_int_equal(d[i].package, -1);
            assert_string_equal(d[i].source, "amd_smi");
        }
        assert_string_equal(d[0].name, "gpu-0-amd");
        assert_string_equal(d[2].name, "gpu-2-amd");
        assert_string_equal(d[0].pci, "0000:c1:00.0");
        assert_string_equal(d[1].pci, "0001:02:00.0");
        assert_string_equal(d[2].pci, "0000:03:1f.0");
        assert_int_equal(d[0].quality, QUALITY_MEASURED);
        assert_int_equal(d[1].quality, QUALITY_DERIVED);

        assert_int_equal(read_after(0), 3);
        assert_int_equal(readings[0].status, 0);
        assert_int_equal(readings[0].counter_uj, 1000000);
        assert_int_equal(readings[0].modulus_uj, 0);
        assert_int_equal(readings[0].mono_ns, s.clock.now.mono_ns);
        assert_int_equal(readings[1].status, 0);
        assert_int_equal(readings[1].counter_uj, 0); /* a baseline */
        assert_int_equal(readings[2].status, -ENODATA);
        assert_string_equal(err.msg, ""); /* nothing is broken */

        script("gpus 3\ngpu 0 bus 193\ngpu 0 steps 98304\ngpu 1 domain 1\ngpu 1 average-w 110\n");
        assert_int_equal(read_after(NS_PER_SEC), 3);
        assert_int_equal(readings[0].counter_uj, 1500000);
        assert_int_equal(readings[1].counter_uj, 100000000); /* 100 W for 1 s */
        close_source();
    }
}

static void steps_of_the_counter(void **state)
{
    static const struct {
        uint64_t steps;
        double step_uj;
        int result;
        uint64_t energy_uj;
    } cases[] = {
        {65536, 15.259, 0, 1000000}, /* all three mean 2^-16 J */
        {65536, 15.3, 0, 1000000},
        {65536, 15.2587890625, 0, 1000000},
        {UINT64_MAX / 16, 15.3, 0, 17592186044415999984ULL},
        {1000, 2.5, 0, 2500},
        {UINT64_MAX, 2.5, -ERANGE, 0},
        {1, 0, -ERANGE, 0},
        {1, -1, -ERANGE, 0},
        {1, 1e9, -ERANGE, 0},
        {1, (double)NAN, -ERANGE, 0},
        {1, (double)INFINITY, -ERANGE, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        uint64_t energy_uj = 77;

        assert_int_equal(amd_energy_uj(cases[i].steps, cases[i].step_uj, &energy_uj), cases[i].result);
        assert_int_equal(energy_uj, cases[i].result == 0 ? cases[i].energy_uj : 77);
    }
}

/* The layout of AMD SMI's power changed between releases; a voltage is not taken for a power. */
static void powers_of_all_releases(void **state)
{
    static const struct {
        const char *script;
        uint64_t power_w; /* 0: no reading */
    } cases[] = {
        {"release 23\ngpu 0 current-w 140\n", 0}, /* one of two layouts, nobody knows which */
        {"release 24\ngpu 0 current-w 140\n", 140},
        {"release 24\ngpu 0 average-w 90\n", 90},
        {"release 24\ngpu 0 current-w 65535\ngpu 0 average-w 90\n", 90},
        {"release 25\ngpu 0 current-w 140\n", 140},
        {"release 25\ngpu 0 average-w 90\n", 90},
        {"release 26\ngpu 0 current-w 140\ngpu 0 average-w 65535\n", 140},
        {"release 26\ngpu 0 average-w 90\n", 90},
        {"release 26\n", 0},
        {"release 24\n", 0},
        {"release 26\ngpu 0 average-w 0\n", 0}, /* never 0 W */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char text[128];

        snprintf(text, sizeof(text), "gpus 1\n%s", cases[i].script);
        open_with(FAKE_AMD_SMI, text);
        read_after(0);
        assert_int_equal(readings[0].status, cases[i].power_w ? 0 : -ENODATA);
        read_after(NS_PER_SEC);
        assert_int_equal(readings[0].counter_uj, cases[i].power_w * 1000000);
        close_source();
    }
}

static void one_card_fails(void **state)
{
    EACH_LIBRARY
    {
        open_with(libraries[l], "gpus 3\ngpu 0 steps 1\ngpu 1 steps 2\ngpu 2 steps 3\n");
        char text[160];
        snprintf(text, sizeof(text),
                 "gpus 3\ngpu 0 steps 65536\ngpu 1 steps 65536\ngpu 1 energy-result %d\ngpu 2 steps 131072\n",
                 l == 0 ? 10 : 4);
        script(text);
        assert_int_equal(read_after(0), 3);
        assert_int_equal(readings[0].status, 0);
        assert_int_equal(readings[1].status, -EACCES);
        assert_int_equal(readings[2].status, 0);
        assert_says("gpu-1-amd");
        assert_says("/dev/kfd");
        script("gpus 3\ngpu 0 steps 65537\ngpu 1 steps 65536\ngpu 2 steps 131073\n");
        read_after(NS_PER_SEC);
        assert_int_equal(readings[1].status, 0);
        assert_int_equal(readings[1].counter_uj, 1000000);
        close_source();
    }
}

/* A failure at open that is not "I have none" leaves the better way. */
static void energy_fails_at_open(void **state)
{
    const struct domain *d;

    open_with(FAKE_AMD_SMI, "gpus 1\ngpu 0 steps 1\ngpu 0 energy-result 12\n");
    domains(&d);
    assert_int_equal(d[0].quality, QUALITY_MEASURED);
    read_after(0);
    assert_int_equal(readings[0].status, -EIO);
    script("gpus 1\ngpu 0 steps 65536\n");
    read_after(0);
    assert_int_equal(readings[0].status, 0);
}

/* A card that works draws power; a counter that stands still tells nothing new, then nothing at all (MI100). */
static void counter_that_stands_still(void **state)
{
    open_with(FAKE_AMD_SMI, "gpus 1\ngpu 0 steps 65536\n");
    read_after(0);
    assert_int_equal(readings[0].status, 0);
    read_after(AMD_STOPPED_NS);
    assert_int_equal(readings[0].status, -ENODATA);
    read_after(1);
    assert_int_equal(readings[0].status, -ESTALE);
    assert_says("stands still");
    script("gpus 1\ngpu 0 steps 65537\n");
    read_after(NS_PER_SEC);
    assert_int_equal(readings[0].status, 0);
}

static void gap_is_not_bridged(void **state)
{
    open_with(FAKE_AMD_SMI, "gpus 1\ngpu 0 current-w 100\n");
    read_after(0);
    read_after(AMD_BRIDGE_MAX_NS + 1);
    assert_int_equal(readings[0].status, -ENODATA); /* nobody knows what was drawn */
    read_after(NS_PER_SEC);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[0].counter_uj, 100000000);
    source_amd_smi.reset(self, s.clock.now.mono_ns);
    read_after(NS_PER_SEC);
    assert_int_equal(readings[0].counter_uj, 100000000);
}

/* --- cards -------------------------------------------------------------------------------------------------------- */

/* Eight partitions (CPX) of one card, each with the card's power, then two of which only the first tells it. */
static void partitions_of_a_card_are_one(void **state)
{
    EACH_LIBRARY
    {
        char text[2048] = "gpus 11\n";
        size_t n = strlen(text);
        const struct domain *d;

        for (int i = 0; i < 8; i++)
            n += (size_t)snprintf(
                text + n, sizeof(text) - n,
                "gpu %d socket 0\ngpu %d bus 200\ngpu %d function %d\ngpu %d unique %d\ngpu %d current-w 550\n", i, i,
                i, i, i, 9, i);
        snprintf(text + n, sizeof(text) - n,
                 "gpu 8 bus 138\ngpu 8 socket 8\ngpu 9 bus 138\ngpu 9 function 1\ngpu 9 socket 8\ngpu 9 steps 65536\n"
                 "gpu 10 bus 141\ngpu 10 current-w 100\n");
        open_with(libraries[l], text);
        assert_int_equal(domains(&d), 3);
        assert_string_equal(d[0].pci, "0000:c8:00.0");
        assert_string_equal(d[1].pci, "0000:8a:00.0");
        assert_string_equal(d[2].pci, "0000:8d:00.0");
        read_after(0);
        read_after(NS_PER_SEC);
        assert_int_equal(readings[0].counter_uj, 550000000); /* not eight times */
        assert_int_equal(readings[1].counter_uj, 1000000);   /* told by the second of them */
        assert_int_equal(readings[2].counter_uj, 100000000);
        close_source();
    }
}

static void cards_without_a_serial_number(void **state)
{
    EACH_LIBRARY
    {
        const struct domain *d;

        open_with(libraries[l], "gpus 3\ngpu * current-w 1\n");
        assert_int_equal(domains(&d), 3); /* told apart by their addresses */
        close_source();
        open_with(libraries[l], "gpus 3\ngpu * current-w 1\ngpu * bdf-result 2\n");
        assert_int_equal(domains(&d), 3); /* nothing at all is known of them */
        assert_string_equal(d[0].pci, "");
        close_source();
        open_with(libraries[l], "gpus 3\ngpu * current-w 1\ngpu * bdf-result 2\ngpu 0 unique 7\ngpu 2 unique 7\n");
        assert_int_equal(domains(&d), 2); /* one card by its id */
        close_source();
        open_with(libraries[l], "gpus 3\ngpu * current-w 1\ngpu 0 bdf-result 2\ngpu 0 unique 7\ngpu * bus 9\n"
                                "gpu 2 unique 7\n");
        assert_int_equal(domains(&d), 1); /* whatever the order */
        assert_string_equal(d[0].pci, "0000:09:00.0");
        close_source();
        open_with(libraries[l], "gpus 2\ngpu * current-w 1\ngpu * unique 7\n");
        assert_int_equal(domains(&d), 2); /* the dies of an MI250: another address is another card */
        close_source();
    }
}

/* MI250: one die tells the power of both, the other 0 W, and some tell one counter twice. */
static void second_die_is_not_counted(void **state)
{
    EACH_LIBRARY
    {
        const struct domain *d;

        open_with(libraries[l], "gpus 2\ngpu 0 steps 65536\ngpu 1 steps 0\ngpu 1 average-w 0\n");
        read_after(0);
        assert_int_equal(readings[0].status, 0);
        assert_int_equal(readings[1].status, -ENODATA);
        close_source();
        open_with(libraries[l], "gpus 2\ngpu * steps 65536\ngpu 0 average-w 500\ngpu 1 average-w 0\n");
        domains(&d);
        assert_int_equal(d[0].quality, QUALITY_DERIVED);
        read_after(0);
        read_after(NS_PER_SEC);
        assert_int_equal(readings[0].counter_uj, 500000000);
        assert_int_equal(readings[1].status, -ENODATA);
        assert_described(l == 0
                             ? "read through libamd_smi\n"
                               "gpu-0-amd: 0000:01:00.0, no energy counter: its power over time\n"
                               "gpu-1-amd: 0000:02:00.0, gives neither energy nor power: no readings; the second die "
                               "of an MI250 is in the figures of the first\n"
                             : "read through librocm_smi64\n"
                               "gpu-0-amd: 0000:01:00.0, no energy counter: its power over time\n"
                               "gpu-1-amd: 0000:02:00.0, gives neither energy nor power: no readings; the second die "
                               "of an MI250 is in the figures of the first\n");
        close_source();
    }
}

static void processors_are_left_out(void **state)
{
    const struct domain *d;

    open_with(FAKE_AMD_SMI, "gpus 3\ngpu * steps 5\ngpu 0 cpu 1\n");
    assert_int_equal(domains(&d), 2);
    assert_string_equal(d[0].pci, "0000:02:00.0");
}

/* The same card through hwmon (amdgpu): one address, counted once, by the better of the two. */
static void same_card_by_hwmon(void **state)
{
    struct domain all[8];
    const struct domain *d;
    void *hwmon = NULL;

    scratch_mkdirs(&s, "sys/class/hwmon");
    scratch_write(&s, "sys/devices/pci0000:c0/0000:c1:00.0/hwmon/hwmon3/name", "amdgpu\n");
    scratch_write(&s, "sys/devices/pci0000:c0/0000:c1:00.0/hwmon/hwmon3/power1_average", "35000000\n");
    scratch_write(&s, "sys/devices/pci0000:c0/0000:c1:00.0/hwmon/hwmon3/power1_label", "PPT\n");
    scratch_write(&s, "sys/devices/pci0000:c0/0000:c1:00.0/hwmon/hwmon3/power1_cap", "300000000\n");
    assert_int_equal(
        symlink("../../../0000:c1:00.0", scratch_path(&s, "sys/devices/pci0000:c0/0000:c1:00.0/hwmon/hwmon3/device")),
        0);
    assert_int_equal(
        symlink("../../devices/pci0000:c0/0000:c1:00.0/hwmon/hwmon3", scratch_path(&s, "sys/class/hwmon/hwmon3")), 0);
    if (source_hwmon.open(&args, &hwmon, &err) < 0)
        fail_msg("%s", err.msg);
    open_with(FAKE_AMD_SMI, "gpus 2\ngpu 0 bus 193\ngpu 0 steps 1\ngpu 1 bus 194\ngpu 1 steps 2\n");
    size_t n = source_hwmon.domains(hwmon, &d);
    assert_int_equal(n, 1);
    assert_int_equal(d[0].kind, DOMAIN_GPU);
    all[0] = d[0];
    assert_int_equal(domains(&d), 2);
    memcpy(&all[1], d, 2 * sizeof(*d));
    domains_mark_total(all, 3);
    assert_false(all[0].in_total);
    assert_true(all[1].in_total);
    assert_true(all[2].in_total);
    source_hwmon.close(hwmon);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_library),
        TEST(found_by_name),
        TEST(another_library),
        TEST(library_that_does_not_start),
        TEST(three_kinds_of_card),
        TEST(steps_of_the_counter),
        TEST(powers_of_all_releases),
        TEST(one_card_fails),
        TEST(energy_fails_at_open),
        TEST(counter_that_stands_still),
        TEST(gap_is_not_bridged),
        TEST(partitions_of_a_card_are_one),
        TEST(cards_without_a_serial_number),
        TEST(second_die_is_not_counted),
        TEST(processors_are_left_out),
        TEST(same_card_by_hwmon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
