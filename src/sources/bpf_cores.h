/* SPDX-License-Identifier: Apache-2.0 */
/* Which CPUs are the two hyperthreads of one core, told to the BPF programs, and in which columns of a row of time they
 * put the overlap. Internal to activity_bpf.c. */
#ifndef CARNOT_SOURCES_BPF_CORES_H
#define CARNOT_SOURCES_BPF_CORES_H

#include "model/topology.h"
#include "sources/bpf_tables.h"

/* True when there is overlap to be counted: some core has two hyperthreads online, none has more (with more, "the
 * sibling ran too" says too little). */
bool bpf_cores_are_shared(const struct topology *topology);

/* Fills the table behind `fd` (n_cpus entries). Columns of overlap begin at `first_column`, in the order of
 * buckets->package_id. A CPU that is offline now has no sibling until the next start. */
int bpf_cores_fill(int fd, const struct topology *topology, const struct topology_buckets *buckets,
                   uint32_t first_column, struct carnot_err *err);

#endif
