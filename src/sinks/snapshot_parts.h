/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of JSON that a snapshot and a session's answer share. For the files of this directory. */
#ifndef CARNOT_SINKS_SNAPSHOT_PARTS_H
#define CARNOT_SINKS_SNAPSHOT_PARTS_H

#include "base/json_out.h"
#include "sinks/snapshot.h"

/* Cumulative energy as the viewer may see it: whole quanta; the rest stays in the counter. */
uint64_t snapshot_cut(const struct viewer *viewer, uint64_t energy_uj);

/* "intensity": {...} */
void snapshot_write_intensity(struct json_out *json, const struct batch *batch);

/* The keys that say which domain it is and how its figures are got, without any energy. */
void snapshot_write_domain_identity(struct json_out *json, const struct batch_domain *domain);

#endif
