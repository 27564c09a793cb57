/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka and what it needs before it, and a source of numbers that are the same in every run. */
#ifndef CARNOT_UNIT_BASE_UNIT_TEST_H
#define CARNOT_UNIT_BASE_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"

/* xorshift64 (Marsaglia 2003); state not 0. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
