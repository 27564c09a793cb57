/* SPDX-License-Identifier: Apache-2.0 */
/* gzip of whole bodies with one reusable stream: 256 KB held, nothing allocated per body but the buffer's growth. */
#ifndef CARNOT_NET_GZIP_H
#define CARNOT_NET_GZIP_H

#include "base/buf.h"

struct gzip;

int gzip_new(struct gzip **ret_gzip);      /* -ENOMEM */
struct gzip *gzip_free(struct gzip *gzip); /* NULL-safe, returns NULL */

/* Appends data as one complete gzip member. 0, or buf_error(out), which then sticks: what was appended is of no use.
 * Level 1: an exposition shrinks to a tenth either way, and the faster level costs a third. Not thread-safe. */
int gzip_append(struct gzip *gzip, const void *data, size_t len, struct buf *out);

#endif
