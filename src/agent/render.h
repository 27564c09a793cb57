/* SPDX-License-Identifier: Apache-2.0 */
/* Rendered expositions, shared by scrapers: each sealed batch is formatted at most once per format and encoding,
 * whoever asks. Buffers are reused, so that scraping allocates nothing after warm-up. Thread-safe. */
#ifndef CARNOT_AGENT_RENDER_H
#define CARNOT_AGENT_RENDER_H

#include "base/err.h"
#include "meter/meter.h"
#include "sinks/prometheus.h"

struct renders;

struct rendered {
    const void *data;
    size_t len;
    void *handle; /* for renders_release */
};

int renders_new(struct meter *meter, const struct prometheus_options *options, struct renders **ret_renders);
struct renders *renders_free(struct renders *renders); /* after the server that uses it has stopped */

/* The newest batch in this form. -EAGAIN before the first window. Give it back by renders_release(handle), from any
 * thread. */
int renders_get(struct renders *renders, enum prometheus_format format, bool gzip, const struct prometheus_options *now,
                struct rendered *ret_rendered, struct carnot_err *err);
void renders_release(void *handle);

#endif
