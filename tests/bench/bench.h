/* SPDX-License-Identifier: Apache-2.0 */
/* What benchmarks share: figures as lines of JSON, medians, and a ring of threads that wake one another in random
 * order.
 */
#ifndef CARNOT_TESTS_BENCH_BENCH_H
#define CARNOT_TESTS_BENCH_BENCH_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

static inline void bench_print(const char *name, double value, const char *unit)
{
    printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"}\n", name, value, unit);
    fflush(stdout);
}

static inline void bench_die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline uint64_t bench_ns(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static inline double bench_median(uint64_t *values, size_t n)
{
    qsort(values, n, sizeof(*values), bench_compare);
    return n % 2 ? (double)values[n / 2] : ((double)values[n / 2 - 1] + (double)values[n / 2]) / 2;
}

static inline void bench_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        bench_die("cannot pin to a CPU");
}

/* n threads in n_processes processes; a round wakes each once, one after the other, in an order fixed at random. */
struct bench_ring {
    unsigned n, n_processes;
    int *fd;        /* [n] eventfds, shared with the children */
    unsigned *next; /* [n] who is woken by whom; n: the round is over */
    unsigned first;
    int done_fd;
    atomic_bool *stop; /* shared */
    pid_t *pids;
};

struct bench_ring_thread {
    const struct bench_ring *ring;
    unsigned at;
};

static inline void bench_kick(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) != sizeof(one))
        _exit(1);
}

static inline void bench_await(int fd)
{
    uint64_t value;

    if (read(fd, &value, sizeof(value)) != sizeof(value))
        _exit(1);
}

static inline void *bench_ring_run(void *userdata)
{
    const struct bench_ring_thread *self = userdata;
    const struct bench_ring *ring = self->ring;
    unsigned next = ring->next[self->at];

    for (;;) {
        bench_await(ring->fd[self->at]);
        bool stop = atomic_load(ring->stop); /* before the next is woken, so that the stopping round ends */
        bench_kick(next == ring->n ? ring->done_fd : ring->fd[next]);
        if (stop)
            return NULL;
    }
}

static inline void bench_ring_process(const struct bench_ring *ring, unsigned process, int cpu)
{
    unsigned per = ring->n / ring->n_processes;
    struct bench_ring_thread *threads = calloc(per, sizeof(*threads));
    pthread_t *ids = calloc(per, sizeof(*ids));
    pthread_attr_t attr;

    if (!threads || !ids)
        _exit(1);
    if (cpu >= 0)
        bench_pin(cpu);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 * 1024);
    for (unsigned i = 0; i < per; i++) {
        threads[i] = (struct bench_ring_thread){ring, process * per + i};
        if (pthread_create(&ids[i], &attr, bench_ring_run, &threads[i]) != 0)
            _exit(1);
    }
    for (unsigned i = 0; i < per; i++)
        pthread_join(ids[i], NULL);
    _exit(0);
}

/* entered(userdata, process) runs in each child before its threads start. cpu < 0: anywhere. */
static inline void bench_ring_open(struct bench_ring *ring, unsigned n, unsigned n_processes, int cpu,
                                   void (*entered)(void *userdata, unsigned process), void *userdata)
{
    struct rlimit limit = {.rlim_cur = n + 512, .rlim_max = n + 512};
    unsigned *order = calloc(n, sizeof(*order));
    uint64_t random = 88172645463325252ULL; /* a fixed seed: the same order in each run */

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        bench_die("cannot raise the limit of open files");
    *ring = (struct bench_ring){.n = n, .n_processes = n_processes, .done_fd = eventfd(0, EFD_CLOEXEC)};
    ring->fd = calloc(n, sizeof(*ring->fd));
    ring->next = calloc(n, sizeof(*ring->next));
    ring->pids = calloc(n_processes, sizeof(*ring->pids));
    ring->stop = mmap(NULL, sizeof(*ring->stop), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!order || !ring->fd || !ring->next || !ring->pids || ring->stop == MAP_FAILED)
        bench_die("no memory");
    for (unsigned i = 0; i < n; i++) {
        ring->fd[i] = eventfd(0, EFD_CLOEXEC);
        if (ring->fd[i] < 0)
            bench_die("no eventfd");
        order[i] = i;
    }
    for (unsigned i = n - 1; i > 0; i--) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned j = (unsigned)(random % (i + 1)), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (unsigned i = 0; i < n; i++)
        ring->next[order[i]] = i + 1 < n ? order[i + 1] : n;
    ring->first = order[0];
    free(order);
    for (unsigned p = 0; p < n_processes; p++) {
        ring->pids[p] = fork();
        if (ring->pids[p] < 0)
            bench_die("cannot fork");
        if (ring->pids[p] == 0) {
            if (entered)
                entered(userdata, p);
            bench_ring_process(ring, p, cpu);
        }
    }
}

static inline void bench_ring_round(const struct bench_ring *ring)
{
    bench_kick(ring->fd[ring->first]);
    bench_await(ring->done_fd);
}

static inline void bench_ring_close(struct bench_ring *ring)
{
    atomic_store(ring->stop, true);
    bench_ring_round(ring);
    for (unsigned p = 0; p < ring->n_processes; p++)
        waitpid(ring->pids[p], NULL, 0);
    for (unsigned i = 0; i < ring->n; i++)
        close(ring->fd[i]);
    close(ring->done_fd);
    free(ring->fd);
    free(ring->next);
    free(ring->pids);
    munmap(ring->stop, sizeof(*ring->stop));
}

#endif
