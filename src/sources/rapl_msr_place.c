/* SPDX-License-Identifier: Apache-2.0 */
/* See rapl_msr_place.h. Descriptors are opened ahead of need, because that takes a right (CAP_SYS_RAWIO) which the
 * agent gives up after its start. */
#include "sources/rapl_msr_place.h"

#include <errno.h>

#include "base/parse.h"

/* CPUs of a place whose descriptors are held: two may go offline before a right is needed again. */
#define READERS_HELD 3

int rapl_msr_cpus_init(struct rapl_msr_cpus *cpus, const struct rapl_msr_io *io, const struct topology *topology,
                       const char *list, struct carnot_err *err)
{
    *cpus = (struct rapl_msr_cpus){.io = *io, .topology = topology};
    if (!list || !list[0])
        memset(cpus->allowed, 0xff, sizeof(cpus->allowed));
    else if (parse_cpulist(text_of(list), cpus->allowed, CPUS_MAX) < 0)
        return carnot_err_set(err, EINVAL, "rapl.msr-cpus: \"%s\" is no list of CPUs like \"0,32-35\"", list);
    cpus->fds = malloc(topology->n_cpus * sizeof(*cpus->fds));
    if (!cpus->fds)
        return carnot_err_set(err, ENOMEM, "out of memory for the energy registers");
    for (uint32_t cpu = 0; cpu < topology->n_cpus; cpu++)
        cpus->fds[cpu] = -1;
    return 0;
}

void rapl_msr_cpus_done(struct rapl_msr_cpus *cpus)
{
    for (uint32_t cpu = 0; cpus->fds && cpu < cpus->topology->n_cpus; cpu++) {
        if (cpus->fds[cpu] >= 0)
            cpus->io.close(cpus->io.ctx, cpus->fds[cpu]);
    }
    free(cpus->fds);
    cpus->fds = NULL;
}

static bool is_allowed(const struct rapl_msr_cpus *cpus, uint32_t cpu)
{
    return cpus->allowed[cpu / 64] >> (cpu % 64) & 1;
}

bool rapl_msr_may_ask(const struct rapl_msr_cpus *cpus, uint32_t cpu)
{
    return cpus->topology->cpus[cpu].online && is_allowed(cpus, cpu);
}

bool rapl_msr_is_in(const struct rapl_msr_place *place, const struct topology_cpu *cpu)
{
    return cpu->package == place->package && (place->die < 0 || cpu->die == place->die) &&
           (place->core < 0 || cpu->core == place->core);
}

bool rapl_msr_is_away(int r)
{
    return r == -ENXIO || r == -ENODEV || r == -ENOENT;
}

static int ask(const struct rapl_msr_cpus *cpus, uint32_t cpu, uint32_t reg, uint64_t *ret)
{
    if (cpus->fds[cpu] < 0) {
        int fd = cpus->io.open(cpus->io.ctx, cpu);
        if (fd < 0)
            return fd;
        cpus->fds[cpu] = fd;
    }
    return cpus->io.read(cpus->io.ctx, cpus->fds[cpu], reg, ret);
}

void rapl_msr_hold(struct rapl_msr_cpus *cpus, const struct rapl_msr_place *place)
{
    const struct topology *t = cpus->topology;
    unsigned held = 0;

    for (uint32_t cpu = 0; cpu < t->n_cpus && held < READERS_HELD; cpu++) {
        if (!rapl_msr_may_ask(cpus, cpu) || !rapl_msr_is_in(place, &t->cpus[cpu]))
            continue;
        if (cpus->fds[cpu] < 0)
            cpus->fds[cpu] = cpus->io.open(cpus->io.ctx, cpu);
        held += cpus->fds[cpu] >= 0;
    }
}

/* Others of the place, of those that are open (held) or of those that are not. */
static int ask_others(const struct rapl_msr_cpus *cpus, struct rapl_msr_place *place, bool held, uint32_t reg,
                      uint64_t *ret)
{
    const struct topology *t = cpus->topology;

    for (uint32_t cpu = 0; cpu < t->n_cpus; cpu++) {
        if (cpu == place->cpu || !rapl_msr_is_in(place, &t->cpus[cpu]) || !is_allowed(cpus, cpu) ||
            (cpus->fds[cpu] >= 0) != held || (!held && !t->cpus[cpu].online))
            continue;
        int r = ask(cpus, cpu, reg, ret);
        if (rapl_msr_is_away(r))
            continue;
        if (r == 0)
            place->cpu = cpu;
        return r;
    }
    return -ENODEV;
}

int rapl_msr_read(const struct rapl_msr_cpus *cpus, struct rapl_msr_place *place, uint32_t reg, uint64_t *ret)
{
    int first = ask(cpus, place->cpu, reg, ret), r = first;

    if (rapl_msr_is_away(r))
        r = ask_others(cpus, place, true, reg, ret);
    if (rapl_msr_is_away(r))
        r = ask_others(cpus, place, false, reg, ret);
    return rapl_msr_is_away(r) ? first : r;
}
