/* SPDX-License-Identifier: Apache-2.0 */
/* Which CPU is asked for a register: every CPU of a place (a package, a die, a core) sees the same ones, so one is
 * asked, and another when that one goes offline. Knows descriptors and CPUs; no register's meaning. */
#ifndef CARNOT_SOURCES_RAPL_MSR_PLACE_H
#define CARNOT_SOURCES_RAPL_MSR_PLACE_H

#include "sources/rapl_msr.h"

struct rapl_msr_place {
    int package, die, core; /* die, core -1: all of them */
    uint32_t cpu;           /* the one that is asked */
};

struct rapl_msr_cpus {
    struct rapl_msr_io io;
    const struct topology *topology;
    uint64_t allowed[CPUS_MAX / 64];
    int *fds; /* [topology->n_cpus], -1: not open */
};

/* `list` as of rapl.msr-cpus; NULL or "": all. -EINVAL with a sentence, -ENOMEM. */
int rapl_msr_cpus_init(struct rapl_msr_cpus *cpus, const struct rapl_msr_io *io, const struct topology *topology,
                       const char *list, struct carnot_err *err);
void rapl_msr_cpus_done(struct rapl_msr_cpus *cpus);

/* May be asked: listed, and online. */
bool rapl_msr_may_ask(const struct rapl_msr_cpus *cpus, uint32_t cpu);
bool rapl_msr_is_in(const struct rapl_msr_place *place, const struct topology_cpu *cpu);

/* Opens a few CPUs of the place, if it has that many. */
void rapl_msr_hold(struct rapl_msr_cpus *cpus, const struct rapl_msr_place *place);

/* Asks the place's reader; where that one is gone, the others, descriptors in hand first. The first that answers is the
 * reader from then on. -EIO: no such register; rapl_msr_is_away: nobody of the place can be asked. */
int rapl_msr_read(const struct rapl_msr_cpus *cpus, struct rapl_msr_place *place, uint32_t reg, uint64_t *ret);
bool rapl_msr_is_away(int r);

#endif
