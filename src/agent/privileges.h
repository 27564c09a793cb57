/* SPDX-License-Identifier: Apache-2.0 */
/* Gives up what is not needed after start. */
#ifndef CARNOT_AGENT_PRIVILEGES_H
#define CARNOT_AGENT_PRIVILEGES_H

#include "base/err.h"

/* Drops every capability but those that reading needs later (CAP_DAC_READ_SEARCH: an energy file that comes back;
 * CAP_BPF, CAP_PERFMON: reading the tables on kernels with unprivileged BPF switched off), empties the bounding and
 * ambient sets, forbids new privileges and core dumps. Call before any thread is started: capabilities belong to
 * threads. Nothing to do when not privileged: 0. */
int privileges_drop(struct carnot_err *err);

#endif
