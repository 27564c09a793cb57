/* SPDX-License-Identifier: Apache-2.0 */
/* A bar on one line of a terminal that fills up. Text only: who prints it decides where. */
#ifndef CARNOT_CLI_PROGRESS_H
#define CARNOT_CLI_PROGRESS_H

#include "base/buf.h"

#define PROGRESS_BAR_WIDTH 24

/* "label  [######------]  6 of 10 s  tail", no newline, at most `width` columns (0: any). */
void progress_line(struct buf *out, const char *label, uint64_t done_ns, uint64_t total_ns, const char *tail,
                   unsigned width, bool utf8);

#endif
