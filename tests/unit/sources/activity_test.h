/* SPDX-License-Identifier: Apache-2.0 */
/* A machine of two CPUs in two packages, on a scratch directory, for tests of ways to know activity. */
#ifndef CARNOT_TESTS_SOURCES_ACTIVITY_TEST_H
#define CARNOT_TESTS_SOURCES_ACTIVITY_TEST_H

#include "scratch.h"

#include "sources/activity.h"

struct machine {
    struct scratch scratch;
    struct topology_cpu cpus[2];
    struct topology topology;
    struct topology_buckets buckets;
    struct activity_args args;
    uint64_t cpu_ticks[2]; /* busy, as /proc/stat says */
};

static inline void machine_write_stat(struct machine *m)
{
    char text[512];

    snprintf(text, sizeof(text),
             "cpu  1 1 1 1 1 0 0 0 0 0\n"
             "cpu0 %llu 0 0 100000 50 0 0 7 0 0\n"
             "cpu1 0 0 %llu 100000 50 0 0 7 0 0\n"
             "intr 1 2 3\nctxt 5\n",
             (unsigned long long)m->cpu_ticks[0], (unsigned long long)m->cpu_ticks[1]);
    scratch_write(&m->scratch, "proc/stat", text);
}

static inline void machine_init(struct machine *m)
{
    *m = (struct machine){0};
    scratch_init(&m->scratch);
    for (int i = 0; i < 2; i++)
        m->cpus[i] = (struct topology_cpu){.package = i, .core = i, .node = i, .first_sibling = i, .online = true};
    m->topology = (struct topology){
        .cpus = m->cpus, .n_cpus = 2, .n_online = 2, .n_packages = 2, .n_dies = 2, .n_nodes = 2, .n_cores = 2};
    assert_int_equal(topology_buckets(&m->topology, BUCKETS_MAX, &m->buckets, NULL), 0);
    assert_int_equal(m->buckets.n, 2);
    m->args = (struct activity_args){
        .env = &m->scratch.env, .topology = &m->topology, .buckets = &m->buckets, .monitor_pid = 100};
    m->cpu_ticks[0] = m->cpu_ticks[1] = 1000;
    machine_write_stat(m);
}

static inline void machine_done(struct machine *m)
{
    topology_buckets_done(&m->buckets);
    scratch_done(&m->scratch);
}

struct fake_process {
    unsigned pid, ppid;
    const char *comm;
    char state;
    unsigned flags;
    unsigned long long utime, stime, waited, start;
    const char *cgroup;    /* v2 path; NULL: no file */
    const char *schedstat; /* NULL: no file */
};

static inline void machine_process(struct machine *m, struct fake_process p)
{
    char path[64], text[512];

    snprintf(text, sizeof(text),
             "%u (%s) %c %u 1 1 0 -1 %u 9 9 0 0 %llu %llu %llu 0 20 0 1 0 %llu 100 100 18446744073709551615\n", p.pid,
             p.comm ? p.comm : "x", p.state ? p.state : 'S', p.ppid, p.flags, p.utime, p.stime, p.waited, p.start);
    snprintf(path, sizeof(path), "proc/%u/stat", p.pid);
    scratch_write(&m->scratch, path, text);
    if (p.cgroup) {
        snprintf(path, sizeof(path), "proc/%u/cgroup", p.pid);
        snprintf(text, sizeof(text), "0::%s\n", p.cgroup);
        scratch_write(&m->scratch, path, text);
    }
    if (p.schedstat) {
        snprintf(path, sizeof(path), "proc/%u/schedstat", p.pid);
        scratch_write(&m->scratch, path, p.schedstat);
    }
}

static inline void machine_process_end(struct machine *m, unsigned pid)
{
    char path[64];

    snprintf(path, sizeof(path), "proc/%u", pid);
    scratch_remove(&m->scratch, path);
}

static inline uint64_t sum_ns(const uint64_t *ns, uint32_t n)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += ns[i];
    return sum;
}

static inline const struct activity_task *find_task(const struct activity_window *w, uint32_t pid)
{
    for (size_t i = 0; i < w->n_tasks; i++) {
        if (w->tasks[i].pid == pid)
            return &w->tasks[i];
    }
    return NULL;
}

static inline uint64_t task_ns(const struct activity_window *w, uint32_t pid, uint32_t n_buckets)
{
    const struct activity_task *task = find_task(w, pid);

    return task ? sum_ns(task->ns, n_buckets) : 0;
}

static inline uint64_t rest_ns(const struct activity_window *w, uint32_t cgroup, uint32_t n_buckets)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < w->n_rests; i++) {
        if (w->rests[i].cgroup == cgroup)
            sum += sum_ns(w->rests[i].ns, n_buckets);
    }
    return sum;
}

/* All time of one cgroup, or with CGROUP_NONE of the machine. */
static inline uint64_t cgroup_ns(const struct activity_window *w, uint32_t cgroup, uint32_t n_buckets)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < w->n_tasks; i++) {
        if (cgroup == CGROUP_NONE || w->tasks[i].cgroup == cgroup)
            sum += sum_ns(w->tasks[i].ns, n_buckets);
    }
    for (size_t i = 0; i < w->n_rests; i++) {
        if (cgroup == CGROUP_NONE || w->rests[i].cgroup == cgroup)
            sum += sum_ns(w->rests[i].ns, n_buckets);
    }
    return sum;
}

#endif
