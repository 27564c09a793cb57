/* SPDX-License-Identifier: Apache-2.0 */
/* The NVIDIA source against a stand-in of the vendor's library (tests/sim/nvml): ways of reading, failures of one GPU
 * and of all, what is said about them. Knows no real GPU. */
#include "scratch.h"

#include <dlfcn.h>
#include <stdio.h>

#include "../../sim/nvml/fake_nvml.h"
#include "base/buf.h"
#include "base/dl_api.h"
#include "sources/nvml.h"
#include "sources/registry.h"

static struct scratch s;
static struct nvml_settings settings;
static struct source_args args;
static struct reading readings[DOMAINS_MAX];
static struct carnot_err err;

static int setup(void **state)
{
    scratch_init(&s);
    settings = (struct nvml_settings){.library = FAKE_NVML};
    args = (struct source_args){.env = &s.env, .settings = &settings};
    err = CARNOT_ERR_INIT;
    assert_int_equal(setenv(FAKE_NVML_SCRIPT, scratch_path(&s, "gpus.txt"), 1), 0);
    return 0;
}

static int users(void)
{
    void *library = dlopen(FAKE_NVML, RTLD_NOW | RTLD_LOCAL);
    void *symbol;
    fake_nvml_users_fn count;

    assert_non_null(library);
    symbol = dlsym(library, "fake_nvml_users");
    assert_non_null(symbol);
    memcpy(&count, &symbol, sizeof(count));
    return count();
}

static int teardown(void **state)
{
    scratch_done(&s);
    assert_int_equal(users(), 0); /* whoever started the library has shut it down */
    return 0;
}

static void script(const char *text)
{
    scratch_write(&s, "gpus.txt", text);
}

static void *open_source(void)
{
    void *self = NULL;

    assert_int_equal(source_nvml.open(&args, &self, &err), 0);
    return self;
}

static int read_all(void *self)
{
    err = CARNOT_ERR_INIT;
    return source_nvml.read(self, s.clock.now.mono_ns, readings, &err);
}

static void assert_says(const char *word)
{
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
}

static void assert_described(const void *self, const char *text)
{
    struct buf out;

    buf_init(&out, 65536);
    source_nvml.describe(self, &out);
    assert_string_equal(buf_str(&out), text);
    buf_done(&out);
}

/* --- the library -------------------------------------------------------------------------------------------------- */

static void no_library(void **state)
{
    settings.library = "/nonexistent/libnvidia-ml.so.1";
    assert_int_equal(source_nvml.probe(&args, &err), -ENODEV);
    assert_says("nvml.library");
    assert_says("/nonexistent/libnvidia-ml.so.1");
    assert_int_equal(source_nvml.probe(&args, NULL), -ENODEV);
}

static void found_by_name(void **state)
{
    settings.library = "";
    script("gpus 1\ngpu 0 energy-mj 1\n");
    assert_int_equal(source_nvml.probe(&args, &err), 0);
    args.settings = NULL;
    assert_int_equal(source_nvml.probe(&args, &err), 0);
}

static void second_name(void **state)
{
    static const char *const names[] = {"libsurely-not-there.so.1", BARE_NVML};
    static const struct dl_symbol symbols[] = {
        {"nvmlShutdown", 0, false},
        {"nvmlInit_v2", sizeof(void (*)(void)), true},
    };
    int (*table[2])(void) = {NULL, NULL};

    assert_int_equal(dl_api_load(names, 2, symbols, 2, table, sizeof(table), &err), 0);
    assert_null(table[0]);
    assert_non_null(table[1]);
    assert_int_equal(table[1](), 0);
    assert_int_equal(dl_api_load(names, 1, symbols, 2, table, sizeof(table), &err), -ENODEV);
    assert_says("libsurely-not-there.so.1");
}

static void library_without_functions(void **state)
{
    settings.library = BARE_NVML;
    assert_int_equal(source_nvml.probe(&args, &err), -EPROTO);
    assert_says(BARE_NVML);
    assert_says("nvmlShutdown");
}

static void library_that_does_not_start(void **state)
{
    static const struct {
        const char *script;
        int status;
        const char *word;
    } cases[] = {
        {"init 9\n", -ENODEV, "modprobe nvidia"},
        {"init 18\n", -EPROTO, "restart the machine"},
        {"init 4\n", -EACCES, "/dev/nvidiactl"},
        {"init 999\n", -EIO, "something odd?[1m"}, /* no escape sequence comes through */
        {"gpus 1\ncount 999\n", -EIO, "count"},
        {"gpus 0\n", -ENODEV, "no GPU"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        void *self = &s;

        script(cases[i].script);
        err = CARNOT_ERR_INIT;
        assert_int_equal(source_nvml.probe(&args, &err), cases[i].status);
        assert_says(cases[i].word);
        assert_int_equal(source_nvml.open(&args, &self, &err), cases[i].status);
        assert_ptr_equal(self, &s);
        assert_int_equal(users(), 0);
    }
}

/* --- readings ----------------------------------------------------------------------------------------------------- */

static void three_kinds_of_gpu(void **state)
{
    const struct domain *domains;

    script("gpus 3\n"
           "gpu 0 name NVIDIA H200\ngpu 0 energy-mj 5000\ngpu 0 power-mw 75000\ngpu 0 mig 0\n"
           "gpu 1 power-mw 250000\n"
           "gpu 2 mig 7\n");
    assert_int_equal(source_nvml.probe(&args, &err), 0);
    void *self = open_source();

    assert_int_equal(source_nvml.domains(self, &domains), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(domains[i].kind, DOMAIN_GPU);
        assert_int_equal(domains[i].package, -1);
        assert_int_equal(domains[i].die, -1);
        assert_int_equal(domains[i].node, -1);
        assert_string_equal(domains[i].source, "nvml");
    }
    assert_string_equal(domains[0].name, "gpu-0");
    assert_string_equal(domains[2].name, "gpu-2");
    assert_int_equal(domains[0].quality, QUALITY_MEASURED);
    assert_int_equal(domains[1].quality, QUALITY_DERIVED);
    assert_int_equal(domains[2].quality, QUALITY_DERIVED);
    assert_true(domains[0].lasting); /* the same card is known again by its UUID */
    assert_int_equal(strncmp(domains[0].address, "gpu-0:GPU-", 10), 0);
    assert_false(domains[1].lasting);

    assert_int_equal(read_all(self), 3);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[0].counter_uj, 5000000);
    assert_int_equal(readings[0].modulus_uj, 0);
    assert_int_equal(readings[0].mono_ns, s.clock.now.mono_ns);
    assert_int_equal(readings[1].status, 0);
    assert_int_equal(readings[1].counter_uj, 0); /* a baseline */
    assert_int_equal(readings[2].status, -ENODATA);
    assert_string_equal(err.msg, ""); /* nothing is broken */

    fake_clock_advance(&s.clock, 100 * NS_PER_MS);
    script("gpus 3\ngpu 0 energy-mj 5075\ngpu 1 power-mw 350000\n");
    assert_int_equal(read_all(self), 3);
    assert_int_equal(readings[0].counter_uj, 5075000);
    assert_int_equal(readings[1].counter_uj, 30000000); /* 300 W for 0.1 s */
    assert_int_equal(readings[2].status, -ENODATA);

    assert_described(self,
                     "gpu-0: NVIDIA H200, GPU-00000000-0000-0000-0000-000000000000, energy counter of the GPU, in mJ, "
                     "MIG off\n"
                     "gpu-1: Fake GPU, GPU-00000000-0000-0000-0000-000000000001, no energy counter: its power "
                     "integrated over time; the sensor sees about 25 % of the time on A100 and H100 (arXiv "
                     "2312.02741), loads that change quickly are misjudged\n"
                     "gpu-2: Fake GPU, GPU-00000000-0000-0000-0000-000000000002, gives neither energy nor power: no "
                     "readings, MIG on: the figure is that of all instances together\n");
    assert_null(source_nvml.close(self));
}

static void one_gpu_fails(void **state)
{
    static const struct {
        const char *result;
        int status;
        const char *word;
    } cases[] = {
        {"15", -ENODEV, "gpu-1: GPU lost"}, {"999", -EIO, "gpu-1"}, {"4", -EACCES, "no right"}, {"16", -EIO, "reset"},
        {"10", -ETIMEDOUT, "gpu-1"},        {"3", -ENODATA, ""},    {"21", -ENODATA, ""},
    };

    script("gpus 3\ngpu * energy-mj 1000\n");
    void *self = open_source();
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char text[256];

        snprintf(text, sizeof(text), "gpus 3\ngpu * energy-mj 2000\ngpu 1 result %s\n", cases[i].result);
        script(text);
        assert_int_equal(read_all(self), 3);
        assert_int_equal(readings[0].status, 0);
        assert_int_equal(readings[0].counter_uj, 2000000);
        assert_int_equal(readings[1].status, cases[i].status);
        assert_int_equal(readings[2].status, 0);
        assert_says(cases[i].word);
        assert_int_equal(err.msg[0] == '\0', cases[i].status == -ENODATA);
    }
    script("gpus 3\ngpu * energy-mj 3000\n");
    assert_int_equal(read_all(self), 3);
    assert_int_equal(readings[1].status, 0);
    assert_int_equal(readings[1].counter_uj, 3000000);
    source_nvml.close(self);
}

/* A failure at open that is not "I have none" leaves the better way. */
static void energy_fails_at_open(void **state)
{
    const struct domain *domains;

    script("gpus 2\ngpu 0 energy-mj 1\ngpu 0 energy-result 999\ngpu 1 power-mw 1\ngpu 1 power-result 999\n");
    void *self = open_source();
    source_nvml.domains(self, &domains);
    assert_int_equal(domains[0].quality, QUALITY_MEASURED);
    assert_int_equal(domains[1].quality, QUALITY_DERIVED);
    read_all(self);
    assert_int_equal(readings[0].status, -EIO);
    assert_int_equal(readings[1].status, -EIO);
    script("gpus 2\ngpu 0 energy-mj 7\ngpu 1 power-mw 7\n");
    read_all(self);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[0].counter_uj, 7000);
    assert_int_equal(readings[1].status, 0);
    source_nvml.close(self);
}

static void refused_handle_is_asked_for_again(void **state)
{
    script("gpus 2\ngpu * energy-mj 9\ngpu 1 handle-result 4\n");
    void *self = open_source();
    assert_described(self, "gpu-0: Fake GPU, GPU-00000000-0000-0000-0000-000000000000, energy counter of the GPU, in "
                           "mJ\n"
                           "gpu-1: not readable at the start: no right; give this program the right to open "
                           "/dev/nvidiactl and /dev/nvidia[0-9]*\n");
    read_all(self);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[1].status, -EACCES);
    assert_says("gpu-1: no right");

    script("gpus 2\ngpu * energy-mj 9\n");
    fake_clock_advance(&s.clock, 9 * NS_PER_SEC);
    read_all(self);
    assert_int_equal(readings[1].status, -EACCES); /* not yet */
    fake_clock_advance(&s.clock, NS_PER_SEC);
    read_all(self);
    assert_int_equal(readings[1].status, 0);
    assert_int_equal(readings[1].counter_uj, 9000);
    source_nvml.close(self);
}

static void counter_beyond_our_range(void **state)
{
    script("gpus 1\ngpu 0 energy-mj 18446744073709551\n"); /* 2^64 uJ begin at ...552 mJ */
    void *self = open_source();
    read_all(self);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[0].counter_uj, 18446744073709551000ULL);
    script("gpus 1\ngpu 0 energy-mj 18446744073709552\n");
    read_all(self);
    assert_int_equal(readings[0].status, -EIO);
    source_nvml.close(self);
}

static void hostile_name(void **state)
{
    struct buf out;

    script("gpus 1\ngpu 0 energy-mj 1\ngpu 0 name \033[2J\x80GPU\n");
    void *self = open_source();
    buf_init(&out, 65536);
    source_nvml.describe(self, &out);
    assert_non_null(strstr(buf_str(&out), "gpu-0: ?[2J?GPU, "));
    buf_done(&out);
    source_nvml.close(self);
}

/* --- power over time ---------------------------------------------------------------------------------------------- */

static void gap_is_not_bridged(void **state)
{
    script("gpus 1\ngpu 0 power-mw 100000\n");
    void *self = open_source();
    read_all(self);
    fake_clock_advance(&s.clock, NVML_POWER_BRIDGE_MAX_NS);
    read_all(self);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[0].counter_uj, 500000000);
    fake_clock_advance(&s.clock, NVML_POWER_BRIDGE_MAX_NS + 1);
    read_all(self);
    assert_int_equal(readings[0].status, -ENODATA); /* nobody knows what was drawn */
    fake_clock_advance(&s.clock, NS_PER_SEC);
    read_all(self);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[0].counter_uj, 600000000);
    source_nvml.close(self);
}

/* A reading that fails for a moment is bridged by the trapezium between its neighbours. */
static void short_failure_is_bridged(void **state)
{
    script("gpus 1\ngpu 0 power-mw 100000\n");
    void *self = open_source();
    read_all(self);
    fake_clock_advance(&s.clock, NS_PER_SEC);
    script("gpus 1\ngpu 0 power-mw 1\ngpu 0 power-result 999\n");
    read_all(self);
    assert_int_equal(readings[0].status, -EIO);
    fake_clock_advance(&s.clock, NS_PER_SEC);
    script("gpus 1\ngpu 0 power-mw 200000\n");
    read_all(self);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[0].counter_uj, 300000000); /* 150 W for 2 s */
    source_nvml.close(self);
}

static void reset_forgets_the_baseline(void **state)
{
    script("gpus 1\ngpu 0 power-mw 100000\n");
    void *self = open_source();
    read_all(self);
    fake_clock_advance(&s.clock, NS_PER_SEC);
    read_all(self);
    assert_int_equal(readings[0].counter_uj, 100000000);
    fake_clock_advance(&s.clock, NS_PER_SEC);
    source_nvml.reset(self, s.clock.now.mono_ns);
    read_all(self);
    assert_int_equal(readings[0].counter_uj, 100000000);
    fake_clock_advance(&s.clock, NS_PER_SEC);
    read_all(self);
    assert_int_equal(readings[0].counter_uj, 200000000);
    source_nvml.close(self);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_library),
        TEST(found_by_name),
        TEST(second_name),
        TEST(library_without_functions),
        TEST(library_that_does_not_start),
        TEST(three_kinds_of_gpu),
        TEST(one_gpu_fails),
        TEST(energy_fails_at_open),
        TEST(refused_handle_is_asked_for_again),
        TEST(counter_beyond_our_range),
        TEST(hostile_name),
        TEST(gap_is_not_bridged),
        TEST(short_failure_is_bridged),
        TEST(reset_forgets_the_baseline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
