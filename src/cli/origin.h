/* SPDX-License-Identifier: Apache-2.0 */
/* Where views come from: an agent on its socket, or a meter in this process. What stands above cannot tell which.
 *
 * With a meter the caller's loop watches origin_timer_fd() and calls origin_on_timer(): nothing here blocks longer than
 * an answer of the agent takes. */
#ifndef CARNOT_CLI_ORIGIN_H
#define CARNOT_CLI_ORIGIN_H

#include "cli/cli.h"
#include "cli/view.h"
#include "net/line_server.h"

#define ORIGIN_KINDS_ALL ((1U << UNIT_KINDS) - 1)

struct origin {
    struct carnot_env env;
    bool env_open;
    char *socket_path;
    struct line_client *client; /* NULL: meter */
    struct meter *meter;        /* NULL: agent */
    int timer_fd;               /* -1: agent */
    uint64_t interval_ns;       /* between two ticks of the meter */
    uint64_t next_tick_ns, last_tick_ns;
    struct buf text; /* the newest answer */
    uint32_t session;
    uint64_t session_peak_uw;
    bool own_intensity; /* asked for by an option: an agent's is replaced by it */
    struct intensity intensity;
};

/* Which way to see CPU time when no option says so. */
enum origin_use {
    ORIGIN_MACHINE, /* the whole machine: BPF, else /proc */
    ORIGIN_COMMAND, /* one command: BPF, else its process tree */
};

/* Opens the environment, then the agent or the meter as the settings say. */
int origin_open(struct origin *origin, const struct cli_settings *settings, enum origin_use use,
                struct carnot_err *err);
void origin_close(struct origin *origin);            /* also after a failed open */
const char *origin_way(const struct origin *origin); /* "agent" or "in process" */

static inline int origin_timer_fd(const struct origin *origin)
{
    return origin->timer_fd;
}
/* The timer's descriptor was readable. Returns 1 when a window was closed, 0 when only counters were read. */
int origin_on_timer(struct origin *origin, struct carnot_err *err);
/* Closes the meter's window now; nothing with an agent. */
int origin_tick(struct origin *origin, struct carnot_err *err);

/* Does that until `until_ns` of the monotonic clock, or until a window was closed: then 1. With an agent it only waits.
 */
int origin_work_until(struct origin *origin, uint64_t until_ns, struct carnot_err *err);

/* The newest snapshot. `kinds` is a bit per enum unit_kind, limit 0 all units. -ENODATA: no window is complete yet.
 * *ret_text is NUL-terminated and valid until the next call. */
int origin_text(struct origin *origin, unsigned kinds, size_t limit, const char **ret_text, size_t *ret_len,
                struct carnot_err *err);
/* Such a text as a view. */
int origin_parse(struct origin *origin, const char *text, size_t len, struct view **ret_view, struct carnot_err *err);
/* Both in one. */
int origin_view(struct origin *origin, unsigned kinds, size_t limit, struct view **ret_view, struct carnot_err *err);

/* Children of this process that are forked from now on are gathered. One session at a time. */
int origin_session_begin(struct origin *origin, const char *label, struct carnot_err *err);
/* Ends it; the view has the session as its only unit and, in session_peak_uw, its largest window. */
int origin_session_end(struct origin *origin, struct view **ret_view, struct carnot_err *err);
/* Ends it unread. */
void origin_session_drop(struct origin *origin);

#endif
