/* SPDX-License-Identifier: Apache-2.0 */
/* A trace as CSV, JSON or SVG, and its summary. Bytes into a buffer, row by row; opens and writes no file. */
#ifndef CARNOT_CLI_TRACE_OUT_H
#define CARNOT_CLI_TRACE_OUT_H

#include "cli/text.h"
#include "meter/burst.h"

enum trace_format { TRACE_CSV, TRACE_JSON, TRACE_SVG };

/* What is known before the first row. */
struct trace_info {
    enum trace_format format;
    const struct domain *domains;
    size_t n_domains;
    const uint64_t *span_ns; /* [n_domains] */
    uint64_t rate_hz;
    uint64_t real_offset_ns; /* Unix time minus the monotonic clock */
    uint64_t expected_ns;    /* length, 0: unknown */
    char *const *command;    /* NULL-terminated; NULL: none */
};

/* What is known after the last one. */
struct trace_summary {
    struct burst_report burst;
    const struct burst_domain_report *domains; /* [n_domains] */
    uint64_t asked_hz;                         /* the rate that was asked for */
    uint64_t rows, wall_ns;                    /* from the first row to the last */
    bool has_command;
    int exit_status;
    uint64_t command_ns;
    const uint64_t *command_uj; /* [n_domains] from the last reading before it began to the first after it ended */
    bool cut;                   /* tracing ended before the command did */
};

struct trace_out;

/* Appends to `text`, which the caller empties between calls. -ENOMEM. */
int trace_out_new(const struct trace_info *info, struct buf *text, struct trace_out **ret_out);
struct trace_out *trace_out_free(struct trace_out *out); /* NULL-safe, returns NULL */
void trace_out_row(struct trace_out *out, const struct burst_row *row);
int trace_out_end(struct trace_out *out, const struct trace_summary *summary); /* 0 or the buffer's error */

/* Several lines for people. 0 or the buffer's error. */
int trace_report_text(const struct trace_info *info, const struct trace_summary *summary, struct text_style style,
                      struct buf *out);

#endif
