/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the NVIDIA source and its limit, for its tests; programs use source_registry. */
#ifndef CARNOT_SOURCES_NVML_H
#define CARNOT_SOURCES_NVML_H

#include "base/util.h"

struct nvml_settings {
    const char *library; /* "" or NULL: libnvidia-ml.so.1, then libnvidia-ml.so, as the loader finds them */
};

/* Readings of power further apart than this are not bridged: what a GPU drew meanwhile is not known. */
#define NVML_POWER_BRIDGE_MAX_NS (5 * 1000000000ULL)

#endif
