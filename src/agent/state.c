/* SPDX-License-Identifier: Apache-2.0 */
/* See state.h. */
#include "agent/state.h"

#include <errno.h>

#include "agent/state_file.h"
#include "base/log.h"

/* At the stop: a disk that is busy has so long, less than any service manager's patience. */
#define LAST_WRITE_WAIT_NS (5 * NS_PER_SEC)

struct state {
    struct meter *meter;
    struct carnot_clock *clock;
    struct state_file *file;
    uint64_t interval_ns, next_ns;
    struct log_limit failures;
    struct lifetime_state totals; /* large: filled for each save */
};

static struct state *give_up(struct state *state, const struct carnot_err *err)
{
    log_warn("%s", err->msg);
    state_file_close(state->file, 0);
    free(state);
    return NULL;
}

struct state *state_open(const struct agent_settings *settings, const struct carnot_env *env, struct meter *meter)
{
    const char *path = settings->state_file;
    struct carnot_err err = CARNOT_ERR_INIT, why = CARNOT_ERR_INIT;
    struct state_identity identity;

    if (!path[0] || strcmp(path, "none") == 0)
        return NULL;

    struct state *state = calloc(1, sizeof(*state));
    if (!state) {
        log_warn("out of memory for energy totals: they will not be kept over restarts");
        return NULL;
    }
    state->meter = meter;
    state->clock = env->clock;
    state->interval_ns = settings->state_interval_ns;
    state->failures = (struct log_limit){.interval_ns = 3600 * NS_PER_SEC, .burst = 1};
    state_identity_read(env, &identity);
    int r = state_file_open(path, &identity, &state->file, &why);
    if (r < 0) {
        carnot_err_set(&err, r,
                       "%s: energy totals will not be kept over restarts; name another file by --state.file, or "
                       "\"none\"",
                       why.msg);
        return give_up(state, &err);
    }
    r = state_file_load(state->file, &state->totals, &err);
    if (r == -EPROTO)
        log_warn("%s", err.msg);
    else if (r < 0)
        return give_up(state, &err);
    r = meter_lifetime_restore(meter, &state->totals, identity.boot, &err);
    return r < 0 ? give_up(state, &err) : state;
}

void state_start(struct state *state)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    /* Without a writer nothing is saved; the file stays as it is. */
    if (!state || state_file_start(state->file, &err) >= 0)
        return;
    log_warn("%s: energy totals will not be kept over restarts", err.msg);
    state->next_ns = UINT64_MAX;
}

/* Takes note of what became of the last write. */
static void settle(struct state *state, uint64_t wait_ns)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    unsigned held_back = 0;

    switch (state_file_result(state->file, wait_ns, &err)) {
    case STATE_WRITTEN:
        meter_lifetime_confirm(state->meter);
        break;
    case STATE_FAILED:
        if (log_limit_pass(&state->failures, clock_now(state->clock).mono_ns, &held_back))
            log_warn("energy totals were not saved: %s", err.msg);
        break;
    case STATE_IDLE:
    case STATE_WRITING:
        break;
    }
}

/* Not while the one before is being written: which figures are on the disk would be mixed up. */
static void save(struct state *state)
{
    if (state_file_is_busy(state->file))
        return;
    meter_lifetime_save(state->meter, &state->totals);
    state_file_save(state->file, &state->totals);
}

void state_tick(struct state *state, uint64_t now_ns)
{
    if (!state)
        return;
    settle(state, 0);
    if (now_ns < state->next_ns)
        return;
    state->next_ns = now_ns + state->interval_ns;
    save(state);
}

struct state *state_close(struct state *state)
{
    if (!state)
        return NULL;
    settle(state, LAST_WRITE_WAIT_NS);
    save(state);
    settle(state, LAST_WRITE_WAIT_NS);
    state_file_close(state->file, 0);
    free(state);
    return NULL;
}
