/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the NVIDIA source and its integral of power, for its tests; programs use source_registry. */
#ifndef CARNOT_SOURCES_NVML_H
#define CARNOT_SOURCES_NVML_H

#include "base/util.h"

struct nvml_settings {
    const char *library; /* "" or NULL: libnvidia-ml.so.1, then libnvidia-ml.so, as the loader finds them */
};

/* Times further apart than this are not bridged: what a GPU drew meanwhile is not known. */
#define NVML_POWER_BRIDGE_MAX_NS (5 * 1000000000ULL)

/* Energy gathered by a power that is read now and then: exact, the remainder below a microjoule is carried. */
struct nvml_integral {
    uint64_t uj;
    uint64_t remainder; /* mW x ns below 2 x 10^6 */
    uint64_t last_ns;
    uint64_t last_mw;
    bool primed;
};

/* Takes a reading at now_ns. 0; -ENODATA where the reading before is too old to be bridged (it begins anew, nothing is
 * added). */
int nvml_integrate(struct nvml_integral *integral, uint64_t power_mw, uint64_t now_ns);

#endif
