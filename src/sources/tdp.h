/* SPDX-License-Identifier: Apache-2.0 */
/* Which thermal design power the packages of a machine are given, and why: a setting, the part's own, its generation's
 * per thread, or a default. Knows names and counts of CPUs; measures nothing. */
#ifndef CARNOT_SOURCES_TDP_H
#define CARNOT_SOURCES_TDP_H

#include "base/buf.h"
#include "model/domain.h"
#include "model/topology.h"

struct cpu_part;
struct cpu_generation;

enum tdp_origin { TDP_OPTION, TDP_PART, TDP_GENERATION, TDP_GUEST_DEFAULT, TDP_DEFAULT };

struct tdp_choice {
    enum tdp_origin origin;
    double option_w;
    const struct topology *topology; /* must outlive the choice */
    const struct cpu_part *part;
    const struct cpu_generation *generation;
};

/* option_w > 0 is taken for every package as it is. */
struct tdp_choice tdp_choose(const struct topology *topology, double option_w);

/* Watts of a package of which this machine shows n_cpus online CPUs. */
double tdp_package_w(const struct tdp_choice *choice, uint32_t n_cpus);

enum quality tdp_quality(const struct tdp_choice *choice);

/* Where the figure comes from, as a phrase. */
void tdp_describe(const struct tdp_choice *choice, uint32_t n_cpus, struct buf *out);

#endif
