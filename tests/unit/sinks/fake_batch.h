/* SPDX-License-Identifier: Apache-2.0 */
/* A small batch built by hand, with every awkward thing in it: overlapping domains, an escaped label, ended units, a
 * source that is down, several owners. Static: not from a pool, never unref'ed. */
#ifndef CARNOT_TESTS_FAKE_BATCH_H
#define CARNOT_TESTS_FAKE_BATCH_H

#include "model/batch.h"

#define FAKE_ALICE 1000U
#define FAKE_BOB   1001U

/* Fills it anew; the arrays behind it are static and shared. */
void fake_batch_init(struct batch *batch);

#endif
