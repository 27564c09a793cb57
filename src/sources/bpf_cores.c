/* SPDX-License-Identifier: Apache-2.0 */
/* See bpf_cores.h. */
#include "sources/bpf_cores.h"

static bool same_core(const struct topology *topology, uint32_t a, uint32_t b)
{
    return topology->cpus[a].online && topology->cpus[b].online &&
           topology->cpus[a].first_sibling == topology->cpus[b].first_sibling;
}

/* The other CPU of its core; itself when there is none. */
static uint32_t sibling_of(const struct topology *topology, uint32_t cpu)
{
    for (uint32_t other = 0; other < topology->n_cpus; other++)
        if (other != cpu && same_core(topology, cpu, other))
            return other;
    return cpu;
}

bool bpf_cores_are_shared(const struct topology *topology)
{
    bool shared = false;

    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++) {
        uint32_t n = 0;

        if (!topology->cpus[cpu].online || topology->cpus[cpu].first_sibling != (int)cpu)
            continue;
        for (uint32_t other = 0; other < topology->n_cpus; other++)
            n += same_core(topology, cpu, other);
        if (n > 2)
            return false;
        shared |= n == 2;
    }
    return shared;
}

int bpf_cores_fill(int fd, const struct topology *topology, const struct topology_buckets *buckets,
                   uint32_t first_column, struct carnot_err *err)
{
    size_t size = topology->n_cpus * sizeof(struct switch_core);
    struct bpf_region region;
    int r = bpf_region_open(&region, fd, size, err);

    if (r < 0)
        return r;
    r = bpf_region_extend(&region, size, err);
    for (uint32_t cpu = 0; r == 0 && cpu < topology->n_cpus; cpu++) {
        struct switch_core *core = (struct switch_core *)(void *)region.base + cpu;
        int package = topology_package_index(buckets, topology->cpus[cpu].package);

        core->sibling = package < 0 ? cpu : sibling_of(topology, cpu);
        core->column = first_column + (uint32_t)(package < 0 ? 0 : package);
    }
    bpf_region_close(&region);
    return r;
}
