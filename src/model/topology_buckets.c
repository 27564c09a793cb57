/* SPDX-License-Identifier: Apache-2.0 */
/* Groups CPUs into the buckets in which on-CPU time is kept. Knows only a topology that was read; opens nothing. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "model/topology.h"

/* From fine to coarse. On a large machine a bucket is a NUMA node within a package and die: NUMA may be switched off in
 * the firmware (one node, two packages), and a package counter is of no use when its time cannot be told apart. */
enum grain { GRAIN_CPU, GRAIN_ONLINE_CPU, GRAIN_DIE_NODE, GRAIN_PACKAGE_NODE, GRAIN_NODE, GRAIN_PACKAGE, GRAINS };

static bool same_bucket(const struct topology_cpu *a, const struct topology_cpu *b, enum grain grain)
{
    switch (grain) {
    case GRAIN_DIE_NODE:
        return a->package == b->package && a->die == b->die && a->node == b->node;
    case GRAIN_PACKAGE_NODE:
        return a->package == b->package && a->node == b->node;
    case GRAIN_NODE:
        return a->node == b->node;
    case GRAIN_PACKAGE:
        return a->package == b->package;
    case GRAIN_CPU:
    case GRAIN_ONLINE_CPU:
    case GRAINS:
        break;
    }
    return false;
}

struct maker {
    const struct topology *t;
    struct topology_buckets *b;
    uint32_t first_cpu[BUCKETS_MAX]; /* of each bucket */
    uint32_t max;
};

/* The bucket of an online CPU at this grain, made if it is the first of its kind; UINT32_MAX when there is no room. */
static uint32_t bucket_of(struct maker *maker, uint32_t cpu, enum grain grain)
{
    const struct topology_cpu *c = &maker->t->cpus[cpu];
    struct topology_buckets *b = maker->b;

    for (uint32_t i = 0; i < b->n; i++) {
        if (same_bucket(&maker->t->cpus[maker->first_cpu[i]], c, grain))
            return i;
    }
    if (b->n == maker->max)
        return UINT32_MAX;
    maker->first_cpu[b->n] = cpu;
    b->bucket[b->n].package = c->package;
    b->bucket[b->n].die = c->die;
    b->bucket[b->n].node = c->node;
    b->bucket[b->n].n_cpus = 0;
    return b->n++;
}

/* -1 where the CPUs of a bucket disagree. */
static void merge_id(int *id, int other)
{
    if (*id != other)
        *id = -1;
}

/* True when the grain fits. Where buckets are coarser than CPUs, one that is offline goes to bucket 0 for good: where
 * it sits is told only when it is online. */
static bool fill(struct maker *maker, enum grain grain)
{
    struct topology_buckets *b = maker->b;

    b->n = 0;
    for (uint32_t cpu = 0; cpu < maker->t->n_cpus; cpu++) {
        const struct topology_cpu *c = &maker->t->cpus[cpu];
        b->of_cpu[cpu] = 0;
        if (!c->online && grain != GRAIN_CPU)
            continue;
        uint32_t i = bucket_of(maker, cpu, grain);
        if (i == UINT32_MAX)
            return false;
        b->of_cpu[cpu] = (uint16_t)i;
        b->bucket[i].n_cpus += c->online;
        merge_id(&b->bucket[i].package, c->package);
        merge_id(&b->bucket[i].die, c->die);
        merge_id(&b->bucket[i].node, c->node);
    }
    return true;
}

int topology_package_index(const struct topology_buckets *buckets, int package)
{
    for (uint32_t i = 0; i < buckets->n_packages; i++)
        if (buckets->package_id[i] == package)
            return (int)i;
    return -ENOENT;
}

static void list_packages(const struct topology *topology, struct topology_buckets *buckets)
{
    for (uint32_t cpu = 0; cpu < topology->n_cpus && buckets->n_packages < BUCKETS_MAX; cpu++) {
        const struct topology_cpu *c = &topology->cpus[cpu];

        if (c->online && c->package >= 0 && topology_package_index(buckets, c->package) < 0)
            buckets->package_id[buckets->n_packages++] = c->package;
    }
}

int topology_buckets(const struct topology *topology, uint32_t max_buckets, struct topology_buckets *ret_buckets,
                     struct carnot_err *err)
{
    struct topology_buckets buckets = {0};
    struct maker maker = {.t = topology, .b = &buckets};

    if (max_buckets == 0)
        return carnot_err_set(err, EINVAL, "cannot keep CPU time in 0 buckets");
    maker.max = max_buckets < BUCKETS_MAX ? max_buckets : BUCKETS_MAX;
    buckets.of_cpu = calloc(topology->n_cpus ? topology->n_cpus : 1, sizeof(*buckets.of_cpu));
    if (!buckets.of_cpu)
        return carnot_err_set(err, ENOMEM, "out of memory for the buckets of %" PRIu32 " CPUs", topology->n_cpus);

    for (int grain = GRAIN_CPU; grain < GRAINS; grain++) {
        if (fill(&maker, (enum grain)grain)) {
            list_packages(topology, &buckets);
            *ret_buckets = buckets;
            return 0;
        }
    }
    topology_buckets_done(&buckets);
    return carnot_err_set(err, E2BIG,
                          "the machine has %" PRIu32 " packages, more than the %" PRIu32
                          " buckets in which CPU time can be kept; please report it",
                          topology->n_packages, maker.max);
}

/* What the CPUs of a bucket that have been seen online agree on; `before` where they do not. */
static int agreed_id(const struct topology *t, const struct topology_buckets *b, uint32_t bucket,
                     int (*id_of)(const struct topology_cpu *cpu), int before)
{
    const struct topology_cpu *first = NULL;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        const struct topology_cpu *c = &t->cpus[cpu];
        if (b->of_cpu[cpu] != bucket || c->package < 0)
            continue;
        if (first && id_of(first) != id_of(c))
            return before;
        if (!first)
            first = c;
    }
    return first ? id_of(first) : before;
}

static int package_of(const struct topology_cpu *cpu)
{
    return cpu->package;
}

static int die_of(const struct topology_cpu *cpu)
{
    return cpu->die;
}

static int node_of(const struct topology_cpu *cpu)
{
    return cpu->node;
}

void topology_buckets_update(const struct topology *topology, struct topology_buckets *buckets)
{
    for (uint32_t i = 0; i < buckets->n; i++) {
        buckets->bucket[i].package = agreed_id(topology, buckets, i, package_of, buckets->bucket[i].package);
        buckets->bucket[i].die = agreed_id(topology, buckets, i, die_of, buckets->bucket[i].die);
        buckets->bucket[i].node = agreed_id(topology, buckets, i, node_of, buckets->bucket[i].node);
        buckets->bucket[i].n_cpus = 0;
    }
    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++)
        buckets->bucket[buckets->of_cpu[cpu]].n_cpus += topology->cpus[cpu].online;
}

void topology_buckets_done(struct topology_buckets *buckets)
{
    if (!buckets)
        return;
    free(buckets->of_cpu);
    *buckets = (struct topology_buckets){0};
}
