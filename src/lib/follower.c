/* SPDX-License-Identifier: Apache-2.0 */
/* See follower.h. */
#include "lib/follower.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "net/line_server.h"

#define REQUEST "{\"v\":1,\"op\":\"process\"}"

/* A local socket and an answer that is made in microseconds: longer means that the agent hangs. */
#define TIMEOUT_NS (1 * NS_PER_SEC)

/* 128 domains of 300 bytes and one process's figures of as many: 50 KB. */
#define ANSWER_MAX ((size_t)1 << 20)

/* After a slot's end the agent needs some milliseconds; processes of one user ask spread over as many more as lets
 * 50 of them ask in a second. */
#define DELAY_MIN_NS    (5 * NS_PER_MS)
#define DELAY_SPREAD_MS 64

/* Between two questions for a slot that is not there yet, and while no agent answers; each twice the last. */
#define RETRY_MIN_NS (20 * NS_PER_MS)
#define RETRY_MAX_NS (1 * NS_PER_SEC)

/* At the opening, until an agent that has just started knows its domains: its first window is over in a second. */
#define FIRST_TRIES   20
#define FIRST_WAIT_MS 100

/* What an agent may call a slot; beyond it, it is taken for one of these. */
#define SLOT_MIN_NS (50 * NS_PER_MS)
#define SLOT_MAX_NS (60 * NS_PER_SEC)

/* --- Clocks ------------------------------------------------------------------------------------------------------- */

static uint64_t mono_ns(void *userdata)
{
    return clock_now(carnot_clock_system()).mono_ns;
}

static uint64_t process_cpu_ns(void *userdata)
{
    return clock_process_cpu_ns();
}

static int thread_cpu_ns(void *userdata, int thread, uint64_t *ret_cpu_ns)
{
    return clock_cpu_of(thread, ret_cpu_ns);
}

static const struct ledger_clocks own_clocks = {
    .mono_ns = mono_ns, .process_cpu_ns = process_cpu_ns, .thread_cpu_ns = thread_cpu_ns};

/* --- Asking ------------------------------------------------------------------------------------------------------- */

static void close_client(struct line_client **client)
{
    line_client_close(*client);
}

/* Whatever keeps the agent from answering is one thing to a program; the sentence stays. */
static int not_connected(struct carnot_err *err)
{
    err->code = ENOTCONN;
    return -ENOTCONN;
}

/* Connects, asks; the answer lives as long as the client. */
static int ask(const char *path, const char *request, uint64_t timeout_ns, size_t answer_max,
               struct line_client **ret_client, struct text *ret_answer, struct carnot_err *err)
{
    CLEANUP(close_client) struct line_client *client = NULL;
    int r = line_client_connect(path, timeout_ns, &client, err);

    if (r < 0)
        return r == -EINVAL || r == -ENOMEM ? r : not_connected(err);
    line_client_limit(client, answer_max);
    r = line_client_request(client, request, timeout_ns, &ret_answer->p, &ret_answer->n, err);
    if (r < 0)
        return r == -EPIPE ? not_connected(err) : r;
    *ret_client = TAKE_PTR(client);
    return 0;
}

int follower_ask(const char *path, const char *request, uint64_t timeout_ns, size_t answer_max, char **ret_answer,
                 struct carnot_err *err)
{
    CLEANUP(close_client) struct line_client *client = NULL;
    struct text answer;
    int r = ask(path, request, timeout_ns, answer_max, &client, &answer, err);

    if (r < 0)
        return r;
    *ret_answer = strndup(answer.p, answer.n);
    return *ret_answer ? 0 : carnot_err_set(err, ENOMEM, "out of memory for an answer of %zu bytes", answer.n);
}

static int ask_figures(const char *path, struct figures *out, struct carnot_err *err)
{
    CLEANUP(close_client) struct line_client *client = NULL;
    struct text answer;
    int r = ask(path, REQUEST, TIMEOUT_NS, ANSWER_MAX, &client, &answer, err);

    return r < 0 ? r : figures_parse(answer, out, err);
}

/* --- The thread --------------------------------------------------------------------------------------------------- */

/* Waits for a time, or for `wanted`. */
static void pause_until(struct follower *follower, uint64_t until_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SEC), .tv_nsec = (long)(until_ns % NS_PER_SEC)};

    while (!follower->stopping && mono_ns(NULL) < until_ns)
        pthread_cond_timedwait(&follower->wanted, &follower->lock, &until);
}

/* Asks without the lock. 1: new figures were shared out. */
static int follow_once(struct follower *follower)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    pthread_mutex_unlock(&follower->lock);
    int r = ask_figures(follower->path, &follower->figures, &err);
    pthread_mutex_lock(&follower->lock);
    if (r >= 0)
        r = ledger_take(&follower->ledger, &follower->figures);
    follower->failed = err;
    if (r != 0)
        pthread_cond_broadcast(&follower->progress);
    return r;
}

static uint64_t next_slot_ns(const struct follower *follower)
{
    uint64_t slot_ns = max_u64(min_u64(follower->figures.slot_ns, SLOT_MAX_NS), SLOT_MIN_NS);
    uint64_t now = mono_ns(NULL);

    /* An end in the future is another clock's (a time namespace). */
    return min_u64(follower->ledger.base_end_ns, now) + slot_ns;
}

/* From the first region that needs figures until none does. */
static void follow(struct follower *follower)
{
    uint64_t retry_ns = RETRY_MIN_NS;

    ledger_sample(&follower->ledger);
    while (!follower->stopping && follower->ledger.regions) {
        if (follow_once(follower) <= 0) {
            pause_until(follower, mono_ns(NULL) + retry_ns);
            retry_ns = min_u64(2 * retry_ns, RETRY_MAX_NS);
        } else {
            retry_ns = RETRY_MIN_NS;
            if (!follower->ledger.regions)
                break;
            /* The clocks are read when the slot ends, the agent is asked a little later. */
            pause_until(follower, next_slot_ns(follower));
            ledger_sample(&follower->ledger);
            pause_until(follower, mono_ns(NULL) + follower->delay_ns);
            continue;
        }
        ledger_sample(&follower->ledger);
    }
    ledger_rest(&follower->ledger);
}

static void *run(void *userdata)
{
    struct follower *follower = userdata;

    pthread_mutex_lock(&follower->lock);
    while (!follower->stopping) {
        follower->resting = true;
        while (!follower->stopping && !follower->ledger.regions)
            pthread_cond_wait(&follower->wanted, &follower->lock);
        follower->resting = false;
        if (!follower->stopping)
            follow(follower);
    }
    pthread_mutex_unlock(&follower->lock);
    return NULL;
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

/* The host program's signal handlers run on its own threads. */
static int start_thread(struct follower *follower)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&follower->thread, NULL, run, follower);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        pthread_setname_np(follower->thread, "carnot");
    return -r;
}

static void make_locks(struct follower *follower)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&follower->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&follower->wanted, &attributes);
    pthread_cond_init(&follower->progress, &attributes);
    pthread_condattr_destroy(&attributes);
}

int follower_start(struct follower *follower, const char *path, struct carnot_err *err)
{
    int r = ask_figures(path, &follower->figures, err);

    for (int i = 0; i < FIRST_TRIES && r == -EAGAIN; i++) { /* an agent in its first window */
        (void)poll(NULL, 0, FIRST_WAIT_MS);
        r = ask_figures(path, &follower->figures, err);
    }
    if (r < 0)
        return r;
    follower->path = strdup(path);
    if (!follower->path)
        return carnot_err_set(err, ENOMEM, "out of memory");
    ledger_init(&follower->ledger, &own_clocks);
    ledger_know(&follower->ledger, &follower->figures);
    follower->delay_ns = DELAY_MIN_NS + (uint64_t)getpid() % DELAY_SPREAD_MS * NS_PER_MS;
    make_locks(follower);
    r = start_thread(follower);
    if (r < 0) {
        follower_done(follower);
        return carnot_err_errno(err, r, "cannot start the thread that follows the agent");
    }
    return 0;
}

void follower_stop(struct follower *follower)
{
    pthread_mutex_lock(&follower->lock);
    follower->stopping = true;
    pthread_cond_broadcast(&follower->wanted);
    pthread_mutex_unlock(&follower->lock);
    pthread_join(follower->thread, NULL);
}

void follower_done(struct follower *follower)
{
    ledger_done(&follower->ledger);
    pthread_cond_destroy(&follower->wanted);
    pthread_cond_destroy(&follower->progress);
    pthread_mutex_destroy(&follower->lock);
    free(follower->path);
}

size_t follower_domains(struct follower *follower)
{
    pthread_mutex_lock(&follower->lock);
    size_t n = follower->ledger.n_domains;
    pthread_mutex_unlock(&follower->lock);
    return n;
}

void follower_wake(struct follower *follower)
{
    if (follower->resting)
        pthread_cond_signal(&follower->wanted);
}

int follower_wait(struct follower *follower, const bool *done, uint64_t timeout_ns, struct carnot_err *err)
{
    uint64_t until_ns = mono_ns(NULL) + timeout_ns;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SEC), .tv_nsec = (long)(until_ns % NS_PER_SEC)};

    while (!*done)
        if (pthread_cond_timedwait(&follower->progress, &follower->lock, &until) == ETIMEDOUT)
            break;
    if (*done || !follower->failed.code)
        return 0;
    return carnot_err_set(err, ENOTCONN, "the figures of this region have not come: %s", follower->failed.msg);
}
