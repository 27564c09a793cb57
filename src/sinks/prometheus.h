/* SPDX-License-Identifier: Apache-2.0 */
/* A sealed batch as Prometheus text 0.0.4 or OpenMetrics 1.0. Pure: batch in, bytes out; no hardware, no lock, no
 * allocation once the buffer has grown. */
#ifndef CARNOT_SINKS_PROMETHEUS_H
#define CARNOT_SINKS_PROMETHEUS_H

#include "base/buf.h"
#include "model/batch.h"

enum prometheus_format { PROMETHEUS_TEXT_004, PROMETHEUS_OPENMETRICS_100 };

#define PROMETHEUS_BYTES_MAX (256U << 20) /* 100,000 series are 18 MB */

struct prometheus_options {
    bool processes; /* per-process series: off by default (cardinality, privacy); needs labels in the batch */
    uint64_t http_requests, http_errors; /* of the server that asks */
};

/* Appends the whole exposition to out. 0, or buf_error(out). */
int prometheus_write(const struct batch *batch, enum prometheus_format format, const struct prometheus_options *options,
                     struct buf *out);
const char *prometheus_content_type(enum prometheus_format format);
/* By the Accept header: OpenMetrics when its q is above 0 and not below text/plain's. */
enum prometheus_format prometheus_negotiate(const char *accept);

/* Appends value as label_escape (model/labels.h) writes it. */
void prometheus_escape(struct buf *out, const char *value);

#endif
