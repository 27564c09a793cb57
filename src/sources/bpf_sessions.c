/* SPDX-License-Identifier: Apache-2.0 */
/* Marks on processes, by pidfd; knows no table of threads. */
#include "sources/bpf_sessions.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <sys/syscall.h>

void bpf_sessions_init(struct bpf_sessions *sessions, int marks_fd, struct switch_control *control)
{
    *sessions = (struct bpf_sessions){.marks_fd = marks_fd, .control = control};
}

void bpf_sessions_done(struct bpf_sessions *sessions)
{
    for (size_t i = 0; i < sessions->n; i++)
        close(sessions->list[i].pidfd);
    free(sessions->list);
    u64map_done(&sessions->of_serial);
    *sessions = (struct bpf_sessions){.marks_fd = -1};
}

static bool make_room(struct bpf_sessions *sessions)
{
    size_t want = sessions->cap ? sessions->cap * 2 : 16;
    struct bpf_session *more;

    if (sessions->n < sessions->cap)
        return true;
    more = reallocarray(sessions->list, want, sizeof(*more));
    if (!more)
        return false;
    sessions->list = more;
    sessions->cap = want;
    return true;
}

static struct bpf_session *find(struct bpf_sessions *sessions, uint32_t session)
{
    for (size_t i = 0; i < sessions->n; i++) {
        if (sessions->list[i].session == session)
            return &sessions->list[i];
    }
    return NULL;
}

int bpf_sessions_begin(struct bpf_sessions *sessions, uint32_t pid, uint32_t session, struct carnot_err *err)
{
    _cleanup_close_ int pidfd = -1;
    uint32_t serial = sessions->last_serial + 1;
    int r;

    if (session == 0)
        return carnot_err_set(err, EINVAL, "a session's number cannot be 0");
    if (find(sessions, session))
        return carnot_err_set(err, EEXIST, "session %u has already begun", session);
    if (sessions->n == BPF_SESSIONS_MAX)
        return carnot_err_set(err, E2BIG, "%d sessions are open, which is the limit: end some", BPF_SESSIONS_MAX);
    if (!make_room(sessions))
        return carnot_err_set(err, ENOMEM, "no memory for session %u", session);

    pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (pidfd < 0)
        return carnot_err_errno(err, errno, "cannot begin a session for process %u", pid);
    r = u64map_put(&sessions->of_serial, serial, session);
    if (r < 0)
        return carnot_err_set(err, r, "no memory for session %u", session);

    __atomic_store_n(&sessions->control->sessions_active, 1, __ATOMIC_RELEASE);
    r = bpf_map_update_elem(sessions->marks_fd, &pidfd, &serial, BPF_NOEXIST);
    if (r < 0) {
        u64map_remove(&sessions->of_serial, serial);
        return carnot_err_errno(err, r, "cannot mark process %u for a session%s", pid,
                                r == -EEXIST ? ", it has one" : "");
    }
    sessions->last_serial = serial;
    sessions->list[sessions->n++] = (struct bpf_session){.session = session, .serial = serial, .pidfd = TAKE_FD(pidfd)};
    return 0;
}

void bpf_sessions_end(struct bpf_sessions *sessions, uint32_t session)
{
    struct bpf_session *entry = find(sessions, session);

    if (!entry)
        return;
    bpf_map_delete_elem(sessions->marks_fd, &entry->pidfd); /* a process that is gone took its mark along */
    close(entry->pidfd);
    u64map_remove(&sessions->of_serial, entry->serial);
    *entry = sessions->list[--sessions->n];
    if (sessions->n == 0)
        __atomic_store_n(&sessions->control->sessions_active, 0, __ATOMIC_RELEASE);
}

uint32_t bpf_sessions_of(const struct bpf_sessions *sessions, uint32_t serial)
{
    uint32_t session = serial ? u64map_get(&sessions->of_serial, serial) : U64MAP_NONE;

    return session == U64MAP_NONE ? 0 : session;
}
