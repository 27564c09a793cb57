/* SPDX-License-Identifier: Apache-2.0 */
/* A thread of its own for a source whose read() may block (SOURCE_SLOW). It reads into memory of its own and hands the
 * newest complete set over under a lock that is never held during a read, so the caller waits for nobody. Knows nothing
 * of domains, deltas or what a reading means.
 *
 * Pace: the next read begins `interval` after the last began; a read that takes longer than half of that is followed by
 * a rest as long as itself, so that the library is busy at most half of the time; a library that spins instead of
 * sleeping is given a longer rest, so that it takes 1.5 % of a core at most; after failures the rest doubles; all up to
 * a minute. */
#ifndef CARNOT_METER_ENERGY_THREAD_H
#define CARNOT_METER_ENERGY_THREAD_H

#include "sources/source.h"

/* One call of read(): what came out of it and when. The readings themselves are beside it. */
struct energy_set {
    int n; /* readings, or the -errno of the whole call */
    uint64_t begin_ns, end_ns, end_real_ns;
    uint64_t rest_ns; /* how long the thread pauses before it reads again; 0 for a source read without a thread */
    struct carnot_err err;
};

struct energy_thread;

/* Starts reading at once, with every signal blocked and the rights that the caller has now. Until energy_thread_stop()
 * nobody else calls the source's read() or reset(). */
int energy_thread_start(const struct source_ops *ops, void *self, struct carnot_clock *clock, uint64_t interval_ns,
                        struct energy_thread **ret_thread, struct carnot_err *err);

/* The newest set if it was not taken before: true, with its readings in `out` (room for DOMAINS_MAX). A set that was
 * never taken is replaced by the next one. */
bool energy_thread_take(struct energy_thread *thread, struct reading *out, struct energy_set *ret_set);

/* The source's reset() is called before its next read(); what was read or begun before now is never handed over. */
void energy_thread_reset(struct energy_thread *thread);

/* Asks the thread to end after the read in progress. Returns at once; several can be asked before the first is waited
 * for. */
void energy_thread_ask_stop(struct energy_thread *thread);

/* Ends the thread; `thread` is gone afterwards. True: it has ended, the caller closes the source. False: after wait_ns
 * it is still in its read() (a device that hangs); nobody can end that, so it is left behind with all signals blocked,
 * and closes the source itself should the read ever return. The program is expected to end soon after. */
bool energy_thread_stop(struct energy_thread *thread, uint64_t wait_ns);

#endif
