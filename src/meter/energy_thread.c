/* SPDX-License-Identifier: Apache-2.0 */
/* See energy_thread.h. Two event descriptors carry "end" in and "ended" out; a lock guards the set in between. */
#include "meter/energy_thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#define REST_MAX_NS   (60 * NS_PER_SEC) /* a source that comes back is seen within a minute */
#define DOUBLINGS_MAX 16                /* any interval of ours is at REST_MAX_NS before */

/* Some vendor libraries spin while they wait for their device: 1.5 % of a core is the most that a source gets, so that
 * with what else we do it stays below 2 %. A read within the free part is left alone: ten of them a second are as much.
 */
#define CPU_PERMILLE_MAX 15
#define CPU_FREE_NS      (1500 * NS_PER_US)

#define THREAD_NAME_MAX 16 /* the kernel's, NUL included */

struct energy_thread {
    const struct source_ops *ops;
    void *self;
    struct carnot_clock *clock;
    uint64_t interval_ns;
    pthread_t id;
    int stop_fd, ended_fd; /* readable from the moment on */
    unsigned failures;     /* the thread's own: in a row */
    struct reading *work;  /* the thread's own, [DOMAINS_MAX] */

    pthread_mutex_t lock; /* for all below */
    struct reading *latest;
    struct energy_set set; /* of `latest` */
    bool fresh;            /* not taken so far */
    bool reset_wanted;
    bool ended, left_behind;
};

static void thread_free(struct energy_thread *thread)
{
    cleanup_closep(&thread->stop_fd);
    cleanup_closep(&thread->ended_fd);
    pthread_mutex_destroy(&thread->lock);
    free(thread->work);
    free(thread->latest);
    free(thread);
}

static void raise_event(int fd)
{
    uint64_t one = 1;
    ssize_t n MAYBE_UNUSED = write(fd, &one, sizeof(one)); /* a counter that is raised once cannot be full */
}

/* True when the event came within wait_ns. With all signals blocked nothing else ends the wait. */
static bool await_event(int fd, uint64_t wait_ns)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_SEC), .tv_nsec = (long)(wait_ns % NS_PER_SEC)};
    sigset_t all;

    sigfillset(&all);
    return ppoll(&event, 1, &wait, &all) > 0;
}

/* --- the thread's side ------------------------------------------------------------------------------------------ */

static bool take_reset(struct energy_thread *thread)
{
    bool wanted;

    pthread_mutex_lock(&thread->lock);
    wanted = thread->reset_wanted;
    thread->reset_wanted = false;
    pthread_mutex_unlock(&thread->lock);
    return wanted;
}

static void hand_over(struct energy_thread *thread, const struct energy_set *set)
{
    struct reading *read = thread->work;

    pthread_mutex_lock(&thread->lock);
    if (!thread->reset_wanted) {
        thread->work = thread->latest;
        thread->latest = read;
        thread->set = *set;
        thread->fresh = true;
    }
    pthread_mutex_unlock(&thread->lock);
}

static uint64_t rest_after(const struct energy_thread *thread, uint64_t took_ns, uint64_t cpu_ns)
{
    uint64_t cool_ns = cpu_ns > CPU_FREE_NS ? cpu_ns * (1000 - CPU_PERMILLE_MAX) / CPU_PERMILLE_MAX : 0;
    uint64_t longest_ns = max_u64(thread->interval_ns, REST_MAX_NS);
    uint64_t left_ns = took_ns < thread->interval_ns ? thread->interval_ns - took_ns : 0;
    uint64_t backoff_ns = thread->failures ? thread->interval_ns << min_u64(thread->failures - 1, DOUBLINGS_MAX) : 0;

    return min_u64(max_u64(max_u64(left_ns, took_ns), max_u64(backoff_ns, cool_ns)), longest_ns);
}

static uint64_t read_once(struct energy_thread *thread)
{
    struct energy_set set = {.err = CARNOT_ERR_INIT};
    struct carnot_now now = clock_now(thread->clock);

    if (take_reset(thread) && thread->ops->reset)
        thread->ops->reset(thread->self, now.mono_ns);
    set.begin_ns = now.mono_ns;
    uint64_t cpu_ns = clock_thread_cpu_ns();
    set.n = thread->ops->read(thread->self, set.begin_ns, thread->work, &set.err);
    cpu_ns = clock_thread_cpu_ns() - cpu_ns;
    now = clock_now(thread->clock);
    set.end_ns = now.mono_ns;
    set.end_real_ns = now.real_ns;
    thread->failures = set.n < 0 ? thread->failures + 1 : 0;
    set.rest_ns = rest_after(thread, set.end_ns - set.begin_ns, cpu_ns);
    hand_over(thread, &set);
    return set.rest_ns;
}

static void *work(void *arg)
{
    struct energy_thread *thread = arg;
    bool left_behind;

    while (!await_event(thread->stop_fd, read_once(thread)))
        ;
    pthread_mutex_lock(&thread->lock);
    thread->ended = true;
    left_behind = thread->left_behind;
    if (!left_behind)
        raise_event(thread->ended_fd);
    pthread_mutex_unlock(&thread->lock);
    if (left_behind) {
        thread->ops->close(thread->self);
        thread_free(thread);
    }
    return NULL;
}

/* --- the caller's side ------------------------------------------------------------------------------------------ */

static int launch(struct energy_thread *thread)
{
    char name[THREAD_NAME_MAX];
    sigset_t all, before;
    int r;

    /* The new thread inherits the mask: signals are for those who wait for them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread->id, NULL, work, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0) {
        snprintf(name, sizeof(name), "%.*s", THREAD_NAME_MAX - 1, thread->ops->name);
        pthread_setname_np(thread->id, name);
    }
    return -r;
}

int energy_thread_start(const struct source_ops *ops, void *self, struct carnot_clock *clock, uint64_t interval_ns,
                        struct energy_thread **ret_thread, struct carnot_err *err)
{
    struct energy_thread *thread = calloc(1, sizeof(*thread));
    int r = -ENOMEM;

    if (!thread)
        return carnot_err_set(err, ENOMEM, "out of memory for the thread of %s", ops->name);
    thread->ops = ops;
    thread->self = self;
    thread->clock = clock;
    thread->interval_ns = interval_ns;
    pthread_mutex_init(&thread->lock, NULL);
    thread->work = calloc(DOMAINS_MAX, sizeof(*thread->work));
    thread->latest = calloc(DOMAINS_MAX, sizeof(*thread->latest));
    thread->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    thread->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (thread->stop_fd < 0 || thread->ended_fd < 0)
        r = -errno;
    else if (thread->work && thread->latest)
        r = launch(thread);
    if (r < 0) {
        thread_free(thread);
        return carnot_err_errno(err, r, "cannot start the thread that reads %s", ops->name);
    }
    *ret_thread = thread;
    return 0;
}

bool energy_thread_take(struct energy_thread *thread, struct reading *out, struct energy_set *ret_set)
{
    bool fresh;

    pthread_mutex_lock(&thread->lock);
    fresh = thread->fresh;
    if (fresh) {
        *ret_set = thread->set;
        if (thread->set.n > 0)
            memcpy(out, thread->latest, min_size((size_t)thread->set.n, DOMAINS_MAX) * sizeof(*out));
        thread->fresh = false;
    }
    pthread_mutex_unlock(&thread->lock);
    return fresh;
}

void energy_thread_reset(struct energy_thread *thread)
{
    pthread_mutex_lock(&thread->lock);
    thread->reset_wanted = true;
    thread->fresh = false;
    pthread_mutex_unlock(&thread->lock);
}

void energy_thread_ask_stop(struct energy_thread *thread)
{
    raise_event(thread->stop_fd);
}

bool energy_thread_stop(struct energy_thread *thread, uint64_t wait_ns)
{
    bool ended;

    energy_thread_ask_stop(thread);
    await_event(thread->ended_fd, wait_ns);
    pthread_mutex_lock(&thread->lock);
    ended = thread->ended;
    thread->left_behind = !ended;
    if (!ended)
        pthread_detach(thread->id);
    pthread_mutex_unlock(&thread->lock);
    if (!ended)
        return false;
    pthread_join(thread->id, NULL);
    thread_free(thread);
    return true;
}
