/* SPDX-License-Identifier: Apache-2.0 */
/* Slow sources: a made one whose read() waits at a pipe until the test lets it go on, and eight GPUs of a stand-in
 * library that takes 50 ms for each call. What must hold: the main thread waits for nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "../../sim/nvml/fake_nvml.h"
#include "meter/energy.h"
#include "sources/nvml.h"
#include "sources/registry.h"

/* The condition comes from another thread; the test runner's limit bounds the wait. */
#define WAIT_FOR(condition)                                                                                            \
    do                                                                                                                 \
        sched_yield();                                                                                                 \
    while (!(condition))

/* --- a clock that two threads may read while a third sets it ------------------------------------------------------ */

struct shared_clock {
    struct carnot_clock clock;
    atomic_uint_fast64_t ns;
};

static void shared_read(struct carnot_clock *self, struct carnot_now *ret_now)
{
    uint64_t ns = atomic_load(&((struct shared_clock *)self)->ns);

    *ret_now = (struct carnot_now){.mono_ns = ns, .boot_ns = ns, .real_ns = ns};
}

static struct shared_clock test_clock;

static void advance(uint64_t ns)
{
    atomic_fetch_add(&test_clock.ns, ns);
}

/* --- the source --------------------------------------------------------------------------------------------------- */

/* One byte through the gate is one read(): 'v' a value, 'f' a failure, 's' a value after 10 ms on the clock, 'h' after
 * 70 s, 'b' after 10 ms of work. */
#define WORK_NS (10 * NS_PER_MS)

struct slow {
    int gate[2];
    uint64_t counter_uj; /* 5 J more with each value */
    atomic_uint begun, resets, closed;
    pthread_t reader, closer;
    bool signals_blocked;
};

static int slow_read(void *self, uint64_t now_ns, struct reading *out, struct carnot_err *err)
{
    struct slow *slow = self;
    sigset_t mask;
    char order = 0;

    if (atomic_load(&slow->begun) == 0) { /* then nobody looks yet */
        pthread_sigmask(SIG_BLOCK, NULL, &mask);
        slow->signals_blocked =
            sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGCHLD) == 1;
        slow->reader = pthread_self();
    }
    atomic_fetch_add(&slow->begun, 1);
    while (read(slow->gate[0], &order, 1) < 0 && errno == EINTR)
        ;
    if (order == 'f')
        return carnot_err_set(err, EIO, "the pipe said no");
    for (uint64_t begin_ns = clock_thread_cpu_ns(); order == 'b' && clock_thread_cpu_ns() - begin_ns < WORK_NS;)
        ;
    advance(order == 's' ? 10 * NS_PER_MS : order == 'h' ? 70 * NS_PER_SEC : 0);
    slow->counter_uj += 5 * UJ_PER_J;
    out[0] = (struct reading){.counter_uj = slow->counter_uj, .mono_ns = atomic_load(&test_clock.ns)};
    return 1;
}

static void slow_reset(void *self, uint64_t now_ns)
{
    atomic_fetch_add(&((struct slow *)self)->resets, 1);
}

static void *slow_close(void *self)
{
    struct slow *slow = self;

    slow->closer = pthread_self();
    atomic_fetch_add(&slow->closed, 1);
    return NULL;
}

static const struct source_ops slow_ops = {
    .name = "slow_one",
    .flags = SOURCE_SLOW,
    .read = slow_read,
    .reset = slow_reset,
    .close = slow_close,
};

static struct slow slow;

static void let(char order)
{
    assert_int_equal(write(slow.gate[1], &order, 1), 1);
}

/* --- both in an energy -------------------------------------------------------------------------------------------- */

static struct carnot_env env;
static struct energy energy;

static int setup(void **state)
{
    test_clock.clock.read = shared_read;
    atomic_store(&test_clock.ns, 1000000 * NS_PER_SEC);
    env = (struct carnot_env){.clock = &test_clock.clock};
    slow = (struct slow){0};
    assert_int_equal(pipe2(slow.gate, O_CLOEXEC), 0);
    energy = (struct energy){.env = &env, .n_sources = 1, .n_domains = 1};
    energy.domains = calloc(1, sizeof *energy.domains);
    energy.readings = calloc(DOMAINS_MAX, sizeof *energy.readings);
    assert_true(energy.domains && energy.readings);
    energy.domains[0].status = -ENODATA;
    energy.sources[0].ops = &slow_ops;
    energy.sources[0].self = &slow;
    for (size_t i = 1; i < DOMAINS_MAX; i++)
        energy.sources[0].first_domain[i] = UINT32_MAX;
    return 0;
}

static int teardown(void **state)
{
    close(slow.gate[1]);
    energy_close(&energy); /* a read in progress ends with the pipe */
    close(slow.gate[0]);
    return 0;
}

static void sample_until(uint64_t reads)
{
    while (energy.sources[0].reads < reads) {
        energy_sample(&energy, true);
        sched_yield();
    }
}

static void nothing_before_the_start(void **state)
{
    energy_sample(&energy, true);
    assert_int_equal(atomic_load(&slow.begun), 0);
    assert_int_equal(energy.domains[0].status, -ENODATA);
}

static void main_thread_goes_on(void **state)
{
    const struct energy_source *source = &energy.sources[0];
    sigset_t before, after;

    pthread_sigmask(SIG_BLOCK, NULL, &before);
    energy_start(&energy);
    energy_start(&energy); /* harmless */
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
    WAIT_FOR(atomic_load(&slow.begun) == 1);
    for (int i = 0; i < 1000; i++)
        energy_sample(&energy, i % 10 == 0);
    assert_int_equal(source->reads, 0);
    assert_int_equal(energy.domains[0].status, -ENODATA);
    assert_string_equal(source->message, "waiting for its first answer");

    let('v');
    sample_until(1);
    assert_int_equal(energy.domains[0].status, 0);
    assert_string_equal(source->message, "");
    assert_int_equal(energy.domains[0].window_uj, 0); /* a baseline */
    assert_true(slow.signals_blocked);
    assert_false(pthread_equal(slow.reader, pthread_self()));

    /* In the second read: the first set was taken once and is not taken again. */
    WAIT_FOR(atomic_load(&slow.begun) == 2);
    for (int i = 0; i < 1000; i++)
        energy_sample(&energy, true);
    assert_int_equal(source->reads, 1);
    advance(NS_PER_SEC);
    let('v');
    sample_until(2);
    assert_int_equal(energy.domains[0].window_uj, 5 * UJ_PER_J);
    assert_int_equal(source->read_ns, NS_PER_SEC);
    assert_int_equal(source->errors, 0);
}

static void silence_is_told(void **state)
{
    const struct energy_source *source = &energy.sources[0];

    energy_start(&energy);
    let('v');
    sample_until(1);
    WAIT_FOR(atomic_load(&slow.begun) == 2);
    advance(ENERGY_STALE_NS); /* and the pause of 100 ms is allowed for */
    energy_sample(&energy, true);
    assert_int_equal(energy.domains[0].status, 0);
    advance(NS_PER_SEC);
    energy_sample(&energy, true);
    assert_int_equal(energy.domains[0].status, -ESTALE);
    assert_string_equal(source->message, "no answer for 11 s");
    advance(NS_PER_SEC);
    energy_sample(&energy, true);
    assert_string_equal(source->message, "no answer for 12 s");
    assert_int_equal(source->errors, 1); /* one silence, however long */

    let('v');
    sample_until(2);
    assert_int_equal(energy.domains[0].status, 0);
    assert_string_equal(source->message, "");
    assert_int_equal(energy.domains[0].window_uj, 5 * UJ_PER_J);
}

static void silence_from_the_start(void **state)
{
    energy_start(&energy);
    WAIT_FOR(atomic_load(&slow.begun) == 1);
    advance(ENERGY_STALE_NS);
    energy_sample(&energy, true);
    assert_int_equal(energy.domains[0].status, -ESTALE);
    assert_string_equal(energy.sources[0].message, "no answer for 10 s");
}

static void failure_and_return(void **state)
{
    const struct energy_source *source = &energy.sources[0];

    energy_start(&energy);
    let('f');
    sample_until(1);
    assert_int_equal(energy.domains[0].status, -EIO);
    assert_string_equal(source->message, "the pipe said no");
    assert_int_equal(source->failures, 1);
    let('v');
    sample_until(2);
    assert_int_equal(energy.domains[0].status, 0);
    assert_int_equal(source->failures, 0);
    assert_int_equal(source->errors, 1);
}

/* After a suspend: what was being read then is thrown away, and the source forgets on its own thread. */
static void rebase_drops_what_was_begun(void **state)
{
    energy_start(&energy);
    let('v');
    sample_until(1);
    WAIT_FOR(atomic_load(&slow.begun) == 2);
    energy_rebase(&energy);
    let('v');
    WAIT_FOR(atomic_load(&slow.begun) == 3);
    energy_sample(&energy, true);
    assert_int_equal(energy.sources[0].reads, 1);
    assert_int_equal(atomic_load(&slow.resets), 1);
    let('v');
    sample_until(2);
    assert_int_equal(energy.domains[0].window_uj, 0);
    assert_int_equal(energy.domains[0].delta.gaps, 1);
    let('v');
    sample_until(3);
    assert_int_equal(energy.domains[0].window_uj, 5 * UJ_PER_J);
    assert_int_equal(atomic_load(&slow.resets), 1);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void *let_when_closing(void *closing)
{
    char order = 'v';

    WAIT_FOR(atomic_load((atomic_bool *)closing));
    return write(slow.gate[1], &order, 1) == 1 ? NULL : closing;
}

static void close_waits_for_the_read(void **state)
{
    atomic_bool closing = false;
    pthread_t helper;
    void *failed;

    energy_start(&energy);
    WAIT_FOR(atomic_load(&slow.begun) == 1);
    assert_int_equal(pthread_create(&helper, NULL, let_when_closing, &closing), 0);
    atomic_store(&closing, true);
    energy_close(&energy);
    pthread_join(helper, &failed);
    assert_null(failed);
    assert_int_equal(atomic_load(&slow.closed), 1);
    assert_true(pthread_equal(slow.closer, pthread_self()));
}

static void hanging_read_is_left_behind(void **state)
{
    struct energy_thread *thread;

    assert_int_equal(energy_thread_start(&slow_ops, &slow, &test_clock.clock, NS_PER_MS, &thread, NULL), 0);
    WAIT_FOR(atomic_load(&slow.begun) == 1);
    assert_false(energy_thread_stop(thread, NS_PER_MS));
    assert_int_equal(atomic_load(&slow.closed), 0);
    energy.sources[0].self = NULL;
    let('v'); /* it comes back: its thread closes it and reads no more */
    WAIT_FOR(atomic_load(&slow.closed) == 1);
    assert_int_equal(atomic_load(&slow.begun), 1);
    assert_false(pthread_equal(slow.closer, pthread_self()));
}

/* --- the pace ----------------------------------------------------------------------------------------------------- */

static void take(struct energy_thread *thread, struct energy_set *ret_set)
{
    WAIT_FOR(energy_thread_take(thread, energy.readings, ret_set));
}

static void newest_set_and_pauses(void **state)
{
    static const struct {
        char order;
        uint64_t rest_ms;
    } steps[] = {{'v', 1}, {'s', 10}, {'v', 1}, {'f', 1}, {'f', 2}, {'f', 4}, {'v', 1}, {'f', 1}, {'h', 60000}};
    struct energy_thread *thread;
    struct energy_set set;

    assert_int_equal(energy_thread_start(&slow_ops, &slow, &test_clock.clock, NS_PER_MS, &thread, NULL), 0);
    let('v');
    let('v');
    WAIT_FOR(atomic_load(&slow.begun) == 3);
    take(thread, &set);
    assert_int_equal(set.n, 1);
    assert_int_equal(energy.readings[0].counter_uj, 10 * UJ_PER_J); /* the second; the first is gone */
    assert_false(energy_thread_take(thread, energy.readings, &set));
    for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
        let(steps[i].order);
        take(thread, &set);
        assert_int_equal(set.n, steps[i].order == 'f' ? -EIO : 1);
        assert_int_equal(set.rest_ns, steps[i].rest_ms * NS_PER_MS);
    }
    /* In its longest pause it ends at once. */
    assert_true(energy_thread_stop(thread, 30 * NS_PER_SEC));
    energy.sources[0].self = NULL;
    assert_int_equal(atomic_load(&slow.closed), 0);
}

/* What works for 10 ms rests for 657 ms: 1.5 % of a core. */
static void busy_source_rests(void **state)
{
    struct energy_thread *thread;
    struct energy_set set;

    assert_int_equal(energy_thread_start(&slow_ops, &slow, &test_clock.clock, NS_PER_MS, &thread, NULL), 0);
    let('b');
    take(thread, &set);
    assert_in_range(set.rest_ns, WORK_NS * 985 / 15, WORK_NS * 985 / 15 * 2);
    assert_true(energy_thread_stop(thread, 30 * NS_PER_SEC));
    energy.sources[0].self = NULL;
}

/* --- eight GPUs --------------------------------------------------------------------------------------------------- */

#define GPUS      8
#define FAKE_FILE "carnot-fake-nvml-XXXXXX"

static void write_script(char *path, const char *text)
{
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    assert_int_equal(setenv(FAKE_NVML_SCRIPT, path, 1), 0);
}

static fake_nvml_calls_fn find_calls(void)
{
    void *library = dlopen(FAKE_NVML, RTLD_NOW | RTLD_LOCAL);
    void *symbol;
    fake_nvml_calls_fn calls;

    assert_non_null(library);
    symbol = dlsym(library, "fake_nvml_calls");
    assert_non_null(symbol);
    memcpy(&calls, &symbol, sizeof(calls));
    return calls;
}

/* Calls of 50 ms, a read of all eight is 400 ms and as much again for who uses them: the main thread makes none of them
 * and uses less than a millisecond. Interrupts are billed to whom they hit, so of the samples that took a set the
 * quickest counts, and of all of them one in a thousand may be hit. */
static void eight_slow_gpus(void **state)
{
    struct nvml_settings *settings = source_nvml.settings;
    struct option_list only = {.items = {"nvml"}, .count = 1};
    struct carnot_err err = CARNOT_ERR_INIT;
    char path[] = "/tmp/" FAKE_FILE;
    fake_nvml_calls_fn calls = find_calls();
    uint64_t quickest_ns = UINT64_MAX, samples = 0, over = 0;
    unsigned long main_calls, thread_calls;
    struct energy gpus;

    write_script(path, "gpus 8\nlatency-us 50000\ngpu * draw-mw 300000\ngpu * mig 7\n");
    settings->library = FAKE_NVML;
    env.clock = carnot_clock_system();
    if (energy_open(&env, NULL, &only, NULL, &gpus, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(gpus.n_domains, GPUS);
    const struct energy_source *source = NULL;
    for (size_t i = 0; i < gpus.n_sources; i++)
        if (gpus.sources[i].self)
            source = &gpus.sources[i];
    assert_non_null(source);
    main_calls = calls(1);
    thread_calls = calls(0);

    energy_start(&gpus);
    while (source->reads < 3) {
        uint64_t reads = source->reads, begin_ns = clock_thread_cpu_ns(), took_ns;

        energy_sample(&gpus, ++samples % 10 == 0);
        took_ns = clock_thread_cpu_ns() - begin_ns;
        over += took_ns >= NS_PER_MS;
        if (source->reads > reads)
            quickest_ns = min_u64(quickest_ns, took_ns);
        sched_yield();
    }
    assert_int_equal(calls(1), main_calls);
    assert_true(quickest_ns < NS_PER_MS);
    assert_true(over <= samples / 1000);
    /* A call for each GPU and read, and eight or nine for the 56 instances: as much time as the energies take. The
     * fourth read may have begun. */
    assert_in_range(calls(0) - thread_calls, 3 * (GPUS + 1), 4 * (GPUS + 9));
    assert_true(source->read_ns >= GPUS * 50 * NS_PER_MS);
    for (size_t i = 0; i < GPUS; i++) {
        assert_int_equal(gpus.domains[i].status, 0);
        assert_int_equal(gpus.domains[i].domain.quality, QUALITY_MEASURED);
        assert_true(gpus.domains[i].delta.total_uj > 0);
    }
    print_message("%zu samples, %zu over 1 ms of CPU; with a set %zu us\n", (size_t)samples, (size_t)over,
                  (size_t)(quickest_ns / NS_PER_US));
    energy_close(&gpus);
    settings->library = "";
    unlink(path);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_before_the_start), TEST(main_thread_goes_on),
        TEST(silence_is_told),          TEST(silence_from_the_start),
        TEST(failure_and_return),       TEST(rebase_drops_what_was_begun),
        TEST(close_waits_for_the_read), TEST(hanging_read_is_left_behind),
        TEST(newest_set_and_pauses),    TEST(busy_source_rests),
        TEST(eight_slow_gpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
