/* SPDX-License-Identifier: Apache-2.0 */
/* The file in which the meter's totals outlive the agent (meter/lifetime.h). Written on a thread of its own, since a
 * disk may take seconds; knows files and threads, nothing of when to save. */
#ifndef CARNOT_AGENT_STATE_FILE_H
#define CARNOT_AGENT_STATE_FILE_H

#include "base/fsroot.h"
#include "meter/lifetime.h"

/* Which machine this is, and which of its boots. */
struct state_identity {
    char machine[LIFETIME_ID_MAX], boot[LIFETIME_ID_MAX]; /* "": unknown */
};

void state_identity_read(const struct carnot_env *env, struct state_identity *ret_identity);

struct state_file;

/* Makes the file's directory if it is absent and takes the file for this program alone: -EBUSY when another has it. */
int state_file_open(const char *path, const struct state_identity *identity, struct state_file **ret_file,
                    struct carnot_err *err);

/* Reads what an earlier run left. 0: *ret_state is that, or empty where there was none. -EPROTO: there was something
 * else, which was set aside; *ret_state is empty and the sentence tells. Any other code: it cannot be read and was left
 * alone, and had better not be written over. */
int state_file_load(struct state_file *file, struct lifetime_state *ret_state, struct carnot_err *err);

/* Starts the writer, with the rights that we have now. */
int state_file_start(struct state_file *file, struct carnot_err *err);

/* The writer has a state of which state_file_result has not told yet. */
bool state_file_is_busy(const struct state_file *file);

/* Hands a state to the writer, unless that is busy or was not started: false. */
bool state_file_save(struct state_file *file, struct lifetime_state *state);

enum state_write { STATE_IDLE, STATE_WRITING, STATE_WRITTEN, STATE_FAILED };

/* What became of the last one handed over. WRITTEN and FAILED (with the sentence) are told once. wait_ns: how long to
 * wait for the writer. */
enum state_write state_file_result(struct state_file *file, uint64_t wait_ns, struct carnot_err *err);

/* Ends the writer; one that hangs in a write longer than wait_ns is left behind with its file. NULL-safe, returns
 * NULL. */
struct state_file *state_file_close(struct state_file *file, uint64_t wait_ns);

#endif
