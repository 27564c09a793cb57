/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF reader on the running machine, opened for a benchmark. */
#ifndef CARNOT_TESTS_BENCH_BENCH_ACTIVITY_H
#define CARNOT_TESTS_BENCH_BENCH_ACTIVITY_H

#include "bench.h"
#include "sources/activity.h"
#include "sources/activity_bpf.h"

struct bench_activity {
    struct carnot_env env;
    struct topology topology;
    struct topology_buckets buckets;
    struct cgroup_tree *tree;
    void *self;
};

/* `siblings`: the reader is told that CPUs 0 and 1 are the hyperthreads of one core. */
static inline void bench_activity_open_as(struct bench_activity *bench, bool siblings)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct activity_args args = {.env = &bench->env,
                                 .topology = &bench->topology,
                                 .buckets = &bench->buckets,
                                 .monitor_pid = (uint32_t)getpid()};

    memset(bench, 0, sizeof(*bench));
    if (carnot_env_open(NULL, NULL, NULL, NULL, &bench->env, &err) < 0 ||
        topology_read(&bench->env, &bench->topology, &err) < 0)
        bench_die(err.msg);
    if (siblings && bench->topology.n_cpus > 1)
        bench->topology.cpus[1].first_sibling = bench->topology.cpus[0].first_sibling;
    if (topology_buckets(&bench->topology, BUCKETS_MAX, &bench->buckets, &err) < 0 ||
        cgroup_tree_open(&bench->env, CGROUP_AUTO, &bench->tree, &err) < 0)
        bench_die(err.msg);
    args.cgroups = bench->tree;
    if (activity_bpf.probe(&args, &err) < 0) {
        fprintf(stderr, "SKIP: %s\n", err.msg);
        exit(77);
    }
    if (activity_bpf.open(&args, &bench->self, &err) < 0)
        bench_die(err.msg);
}

static inline void bench_activity_open(struct bench_activity *bench)
{
    bench_activity_open_as(bench, false);
}

static inline void bench_activity_close(struct bench_activity *bench)
{
    activity_bpf.close(bench->self);
    cgroup_tree_close(bench->tree);
    topology_buckets_done(&bench->buckets);
    topology_done(&bench->topology);
    carnot_env_close(&bench->env);
}

#endif
