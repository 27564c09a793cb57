/* SPDX-License-Identifier: Apache-2.0 */
/* Small macros that every file may use: cleanup attributes, array sizes, byte-order free helpers.
 * Nothing here allocates, logs or knows a domain word. */
#ifndef CARNOT_BASE_UTIL_H
#define CARNOT_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/banned.h"

#define CARNOT_VERSION "0.1.0"

#define ELEMENTSOF(array)      (sizeof(array) / sizeof((array)[0]))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define CLEANUP(func)          __attribute__((cleanup(func)))
#define MAYBE_UNUSED           __attribute__((unused))
#define FALLTHROUGH            __attribute__((fallthrough))

/* Hands ownership over: the pointer's value, leaving NULL behind. */
#define TAKE_PTR(ptr)                                                                                                  \
    ({                                                                                                                 \
        __typeof__(ptr) *pptr_ = &(ptr);                                                                               \
        __typeof__(ptr) taken_ = *pptr_;                                                                               \
        *pptr_ = NULL;                                                                                                 \
        taken_;                                                                                                        \
    })

/* Hands a file descriptor over, leaving -1 behind. */
#define TAKE_FD(fd)                                                                                                    \
    ({                                                                                                                 \
        int *pfd_ = &(fd);                                                                                             \
        int taken_fd_ = *pfd_;                                                                                         \
        *pfd_ = -1;                                                                                                    \
        taken_fd_;                                                                                                     \
    })

static inline void cleanup_freep(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_closep(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define _cleanup_free_  CLEANUP(cleanup_freep)
#define _cleanup_close_ CLEANUP(cleanup_closep)

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* At most UINT64_MAX. */
static inline uint64_t add_saturating_u64(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline uint64_t mul_saturating_u64(uint64_t a, uint64_t b)
{
    uint64_t product;

    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

#endif
