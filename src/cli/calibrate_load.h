/* SPDX-License-Identifier: Apache-2.0 */
/* Every CPU kept busy: a thread pinned to each of them that computes in integers and in floating point until it is told
 * to stop. Knows threads; no energy, no time. */
#ifndef CARNOT_CLI_CALIBRATE_LOAD_H
#define CARNOT_CLI_CALIBRATE_LOAD_H

#include "base/err.h"
#include "model/topology.h"

struct load;

/* Online CPUs that this process may run on: allowed[n_cpus] is set. Returns how many, or -errno. */
int load_allowed_cpus(const struct topology *topology, bool *allowed, struct carnot_err *err);

/* Starts the threads, with the signals blocked that the caller has blocked. When one cannot be started all are ended.
 */
int load_start(const struct topology *topology, const bool *allowed, struct load **ret_load, struct carnot_err *err);

/* Blocks of computation finished so far, by all and by the slowest: for tests. */
uint64_t load_blocks_of_slowest(const struct load *load);

/* Ends and joins them; takes some microseconds. NULL-safe, returns NULL. */
struct load *load_stop(struct load *load);

#endif
