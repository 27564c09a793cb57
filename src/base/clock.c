/* SPDX-License-Identifier: Apache-2.0 */
/* The system's clocks, the test's clock, and telling suspends from steps. Refuses to know what is measured with them.
 */
#include "base/clock.h"

#include <errno.h>
#include <time.h>

/* A reading whose three clocks lie further apart (we were preempted in between) is taken again, so that a busy machine
 * does not look like a suspended one. */
#define READ_SPREAD_MAX_NS (1 * NS_PER_MS)
#define READ_TRIES         5

/* The kernel's own accounting of a suspend is coarser than this on some machines (RTC seconds), never finer. */
#define SUSPEND_MIN_NS (10 * NS_PER_MS)

/* adjtime slews by at most 500 us per second: anything of this size within a window was a step. */
#define STEP_MIN_NS (500 * NS_PER_MS)

/* Where a fake clock starts; not zero, so that "an hour ago" does not wrap. */
#define FAKE_START_NS (1000000 * NS_PER_SEC)

static uint64_t read_ns(clockid_t id)
{
    struct timespec ts = {0};

    /* Cannot fail: our clocks exist on every kernel that we run on. */
    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void system_read(struct carnot_clock *self, struct carnot_now *ret_now)
{
    for (int try = 0; try < READ_TRIES; try++) {
        ret_now->mono_ns = read_ns(CLOCK_MONOTONIC);
        ret_now->boot_ns = read_ns(CLOCK_BOOTTIME);
        ret_now->real_ns = read_ns(CLOCK_REALTIME);
        if (read_ns(CLOCK_MONOTONIC) - ret_now->mono_ns <= READ_SPREAD_MAX_NS)
            break;
    }
}

static uint64_t system_mono(struct carnot_clock *self)
{
    return read_ns(CLOCK_MONOTONIC);
}

struct carnot_clock *carnot_clock_system(void)
{
    static struct carnot_clock clock = {.read = system_read, .mono = system_mono};

    return &clock;
}

static void fake_read(struct carnot_clock *self, struct carnot_now *ret_now)
{
    const struct fake_clock *fake = (const struct fake_clock *)self; /* clock is its first member */

    *ret_now = fake->now;
}

void fake_clock_init(struct fake_clock *fake, uint64_t real_ns)
{
    *fake = (struct fake_clock){
        .clock = {.read = fake_read},
        .now = {.mono_ns = FAKE_START_NS, .boot_ns = FAKE_START_NS, .real_ns = real_ns},
    };
}

void fake_clock_advance(struct fake_clock *fake, uint64_t ns)
{
    fake->now.mono_ns += ns;
    fake->now.boot_ns += ns;
    fake->now.real_ns += ns;
}

struct clock_event clock_watch_update(struct clock_watch *watch, const struct carnot_now *now)
{
    struct clock_event event = {0};

    if (watch->primed) {
        /* Differences as signed numbers: each clock moved by less than 292 years. */
        int64_t mono = (int64_t)(now->mono_ns - watch->last.mono_ns);
        int64_t boot = (int64_t)(now->boot_ns - watch->last.boot_ns);
        int64_t real = (int64_t)(now->real_ns - watch->last.real_ns);

        if (boot - mono >= (int64_t)SUSPEND_MIN_NS)
            event.suspended_ns = (uint64_t)(boot - mono);
        if (real - boot >= (int64_t)STEP_MIN_NS || boot - real >= (int64_t)STEP_MIN_NS)
            event.step_ns = real - boot;
    }
    watch->last = *now;
    watch->primed = true;
    return event;
}

uint64_t clock_thread_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_process_cpu_ns(void)
{
    return read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

int clock_cpu_of(clockid_t id, uint64_t *ret_cpu_ns)
{
    struct timespec ts;

    if (clock_gettime(id, &ts) < 0)
        return -EINVAL;
    *ret_cpu_ns = (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
    return 0;
}
