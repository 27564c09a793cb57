/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions as the BPF programs know them: a mark on a process whose children are to inherit.
 *
 * Inside, a session has a serial number that is never used again, so that children that outlive a session are not taken
 * for those of a later one with the same number. Internal to activity_bpf.c. */
#ifndef CARNOT_SOURCES_BPF_SESSIONS_H
#define CARNOT_SOURCES_BPF_SESSIONS_H

#include "base/err.h"
#include "base/u64map.h"
#include "sources/bpf/switch.h"

#define BPF_SESSIONS_MAX 1024 /* at a time; each holds a descriptor, and 1,024 is the usual limit of a process */

struct bpf_session {
    uint32_t session; /* the caller's number; 0: entry is free */
    uint32_t serial;
    int pidfd;
};

struct bpf_sessions {
    int marks_fd;                   /* not owned */
    struct switch_control *control; /* not owned */
    struct bpf_session *list;
    size_t n, cap;
    struct u64map of_serial; /* serial -> the caller's number */
    uint32_t last_serial;
};

void bpf_sessions_init(struct bpf_sessions *sessions, int marks_fd, struct switch_control *control);
void bpf_sessions_done(struct bpf_sessions *sessions);

/* -ESRCH no such process, -EEXIST the number is in use or the process has one, -E2BIG too many. */
int bpf_sessions_begin(struct bpf_sessions *sessions, uint32_t pid, uint32_t session, struct carnot_err *err);
void bpf_sessions_end(struct bpf_sessions *sessions, uint32_t session);

/* The caller's number, 0 for none or one that has ended. */
uint32_t bpf_sessions_of(const struct bpf_sessions *sessions, uint32_t serial);

#endif
