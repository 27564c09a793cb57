/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs, packages, dies, NUMA nodes and SMT siblings, read from /sys/devices/system; and what /proc says of the
 * processor and memory.
 *
 * Falls back on /proc/cpuinfo, then on "one package, one node", when /sys has less (containers, odd ARM boards). */
#ifndef CARNOT_MODEL_TOPOLOGY_H
#define CARNOT_MODEL_TOPOLOGY_H

#include "base/err.h"
#include "base/fsroot.h"

#define CPUS_MAX    4096 /* twice the largest machine sold; the kernel's own limit is 8192 */
#define BUCKETS_MAX 64   /* finest resolution kept per thread, see topology_buckets */

struct topology_cpu {
    int package;       /* physical_package_id; -1 for a CPU that has not been seen online */
    int die;           /* die_id, 0 when not told */
    int core;          /* core_id, unique within its die */
    int node;          /* NUMA node, 0 when not told */
    int first_sibling; /* lowest CPU number on the same core, itself included */
    bool online;
};

struct topology {
    struct topology_cpu *cpus; /* [n_cpus] */
    uint32_t n_cpus;           /* highest possible CPU number + 1 */
    uint32_t n_online;
    uint32_t n_packages, n_dies, n_nodes, n_cores; /* distinct, among online CPUs */
    char vendor[24];                               /* "GenuineIntel"; "" on other architectures */
    char model_name[128];                          /* "" when unknown */
    uint32_t family, model;
    bool hypervisor; /* a guest: the `hypervisor` CPU flag */
    bool sgx;        /* enclaves: Intel's energy filtering is on where they are used */
    uint64_t memory_bytes;
    char *online_text; /* of /sys, as it was read; NULL when there is none. What topology_refresh compares. */
};

int topology_read(const struct carnot_env *env, struct topology *ret_topology, struct carnot_err *err);
void topology_done(struct topology *topology);

/* On-CPU time is kept per bucket: one per logical CPU on machines of up to max_buckets CPUs, else one per NUMA node
 * (hence per package and die as far as nodes tell them apart). */
struct topology_buckets {
    uint32_t n;
    uint16_t *of_cpu; /* [n_cpus] */
    struct {
        int package, die, node;
        uint32_t n_cpus; /* online CPUs in it */
    } bucket[BUCKETS_MAX];
    uint32_t n_packages; /* those with a CPU online at the start, at most BUCKETS_MAX */
    int package_id[BUCKETS_MAX];
};

int topology_buckets(const struct topology *topology, uint32_t max_buckets, struct topology_buckets *ret_buckets,
                     struct carnot_err *err);
void topology_buckets_done(struct topology_buckets *buckets);

/* Which of package_id[] it is; -ENOENT. */
int topology_package_index(const struct topology_buckets *buckets, int package);

/* Follows CPUs that come online or go offline: one small file read when nothing changed. Returns 0 then, and 1 when
 * CPUs and buckets were brought up to date in place; -errno leaves both as they were, to be tried again. A CPU that
 * goes offline stays where it was last seen, so that its last time goes there.
 *
 * No array moves or grows, and of_cpu[] stays, since readers work with it from their opening on: a CPU beyond n_cpus
 * (which the kernel had called impossible) is ignored, and on a machine with more CPUs than buckets one that was never
 * online before keeps counting in bucket 0. Not for use while another thread reads either. */
int topology_refresh(const struct carnot_env *env, struct topology *topology, struct topology_buckets *buckets,
                     struct carnot_err *err);

/* The part of topology_refresh that concerns buckets: what the CPUs now say of them. Where the CPUs of a bucket sit in
 * different places, the bucket keeps the place it had. */
void topology_buckets_update(const struct topology *topology, struct topology_buckets *buckets);

#endif
