/* SPDX-License-Identifier: Apache-2.0 */
/* The property check of the fuzz targets. Not assert: it must also hold in a release build. */
#ifndef CARNOT_FUZZ_CHECK_H
#define CARNOT_FUZZ_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
