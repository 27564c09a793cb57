/* SPDX-License-Identifier: Apache-2.0 */
/* Names that come from devices and their libraries and may be shown on a terminal. */
#ifndef CARNOT_SOURCES_PRINTABLE_H
#define CARNOT_SOURCES_PRINTABLE_H

#include "base/parse.h"

/* Printing ASCII only, '?' for the rest, cut to the room there is; NUL-terminated. size > 0. */
void printable_copy(char *out, size_t size, struct text in);

#endif
