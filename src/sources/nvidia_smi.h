/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the source nvidia_smi, for its tests; programs use source_registry. */
#ifndef CARNOT_SOURCES_NVIDIA_SMI_H
#define CARNOT_SOURCES_NVIDIA_SMI_H

#include "base/clock.h"

struct nvidia_smi_settings {
    const char *program; /* "" or NULL: nvidia-smi, in the directories of the system */
};

/* The program takes a second and up to a core of it. */
#define NVIDIA_SMI_INTERVAL_NS (10 * NS_PER_SEC)
/* Without the persistence daemon the driver is loaded for each run. */
#define NVIDIA_SMI_TIMEOUT_NS (30 * NS_PER_SEC)

#endif
