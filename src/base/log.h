/* SPDX-License-Identifier: Apache-2.0 */
/* Logging, for programs only: libraries return errors. One line per event on stderr; with the journal behind stderr
 * (JOURNAL_STREAM) lines carry the <N> priority prefix and no time. Thread-safe (one write per line). Control
 * characters in messages are replaced. */
#ifndef CARNOT_BASE_LOG_H
#define CARNOT_BASE_LOG_H

#include "base/clock.h"
#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* NULL-terminated, in the order of the enums: choices for an option table. */
extern const char *const log_level_names[];
extern const char *const log_format_names[];

/* Before any thread starts; `program` stays the caller's and must live on. */
void log_setup(const char *program, enum log_level level, enum log_format format);
void log_msg(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* One subject that may not flood: at most `burst` lines per `interval_ns`; the next line that passes says how many were
 * held back. */
struct log_limit {
    uint64_t interval_ns;
    unsigned burst;
    uint64_t window_start_ns;
    unsigned in_window;
    unsigned held_back;
};

/* True when a line may pass at time now_ns; *ret_held_back gets the lines held back since the last that passed. */
bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, unsigned *ret_held_back);

#endif
