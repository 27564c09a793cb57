/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that asks the agent about this process once in a slot, for as long as a region needs it, and feeds the
 * ledger. It blocks every signal and holds no connection between two requests: an agent takes 16 of one user, and a
 * job may have more processes than that. */
#ifndef CARNOT_LIB_FOLLOWER_H
#define CARNOT_LIB_FOLLOWER_H

#include <pthread.h>

#include "base/clock.h"
#include "lib/ledger.h"

struct follower {
    char *path;
    pthread_t thread;
    pthread_mutex_t lock;    /* all below, and the caller's lists of regions */
    pthread_cond_t wanted;   /* something to do, or the end */
    pthread_cond_t progress; /* new figures, or the agent was not reached */
    struct ledger ledger;
    bool resting; /* no region needs it: it waits for `wanted` without a time */
    bool stopping;
    uint64_t delay_ns;        /* of this process after a slot's end, so that many do not ask at once */
    struct carnot_err failed; /* why the last request had no answer; code 0: it had */
    struct figures figures;   /* the thread's own */
};

/* Asks once, to know that there is an agent, then starts the thread. `follower` is zeroed. -ENOTCONN, -EPROTO, ... */
int follower_start(struct follower *follower, const char *path, struct carnot_err *err);
void follower_stop(struct follower *follower);
void follower_done(struct follower *follower);

/* How many domains the ledger knows. */
size_t follower_domains(struct follower *follower);

/* With the lock held: there is a new region. */
void follower_wake(struct follower *follower);
/* With the lock held, which is given back meanwhile: until *done or the time is over. -ENOTCONN when it is over and the
 * agent was not reached. */
int follower_wait(struct follower *follower, const bool *done, uint64_t timeout_ns, struct carnot_err *err);

/* One request on a connection of its own; the answer is to be freed. */
int follower_ask(const char *path, const char *request, uint64_t timeout_ns, size_t answer_max, char **ret_answer,
                 struct carnot_err *err);

#endif
