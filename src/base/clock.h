/* SPDX-License-Identifier: Apache-2.0 */
/* Time, injectable. The only file that calls clock_gettime.
 *
 * Three clocks are read together: MONOTONIC (stops in suspend; windows and rates use it), BOOTTIME (goes on in
 * suspend), REALTIME (what the user sees; can be stepped). Comparing them tells a suspend from a step. */
#ifndef CARNOT_BASE_CLOCK_H
#define CARNOT_BASE_CLOCK_H

#include "base/util.h"

#define NS_PER_SEC 1000000000ULL
#define NS_PER_MS  1000000ULL
#define NS_PER_US  1000ULL

struct carnot_now {
    uint64_t mono_ns;
    uint64_t boot_ns;
    uint64_t real_ns; /* since the Unix epoch */
};

/* A clock is a function and its state; tests put their own. */
struct carnot_clock {
    void (*read)(struct carnot_clock *self, struct carnot_now *ret_now);
    uint64_t (*mono)(struct carnot_clock *self); /* MONOTONIC alone; NULL: of read() */
};

struct carnot_clock *carnot_clock_system(void); /* static, never NULL */

/* CPU time used so far by the calling thread, and by the whole process. Of this program itself, so not injectable. */
uint64_t clock_thread_cpu_ns(void);
uint64_t clock_process_cpu_ns(void);
/* CPU time of the thread to which pthread_getcpuclockid() gave this clock; -EINVAL when it has ended. */
int clock_cpu_of(clockid_t id, uint64_t *ret_cpu_ns);

/* A clock that stands still until told: mono/boot/real as set by the test. */
struct fake_clock {
    struct carnot_clock clock;
    struct carnot_now now;
};
void fake_clock_init(struct fake_clock *fake, uint64_t real_ns);
void fake_clock_advance(struct fake_clock *fake, uint64_t ns); /* all three */

static inline struct carnot_now clock_now(struct carnot_clock *clock)
{
    struct carnot_now now = {0};
    clock->read(clock, &now);
    return now;
}

/* The same for who reads the clock a thousand times a second and wants one of them: a quarter of the cost. */
static inline uint64_t clock_mono_ns(struct carnot_clock *clock)
{
    return clock->mono ? clock->mono(clock) : clock_now(clock).mono_ns;
}

/* Sees suspends and steps between two readings. */
struct clock_watch {
    struct carnot_now last;
    bool primed;
};

struct clock_event {
    uint64_t suspended_ns; /* boot advanced this much more than mono (>= 10 ms, else 0) */
    int64_t step_ns;       /* real advanced this much more than boot (|step| >= 500 ms, else 0; slewing is no step) */
};

/* Takes a new reading, returns what happened since the one before (all 0 the first time). */
struct clock_event clock_watch_update(struct clock_watch *watch, const struct carnot_now *now);

#endif
