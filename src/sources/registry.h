/* SPDX-License-Identifier: Apache-2.0 */
/* The energy sources by name, for the list in registry.c and for tests. Programs use source_registry. */
#ifndef CARNOT_SOURCES_REGISTRY_H
#define CARNOT_SOURCES_REGISTRY_H

#include "sources/source.h"

extern const struct source_ops source_rapl_perf;
extern const struct source_ops source_rapl_powercap;
extern const struct source_ops source_rapl_msr;
extern const struct source_ops source_nvml;
extern const struct source_ops source_nvidia_smi;
extern const struct source_ops source_amd_smi;
extern const struct source_ops source_amd_smi_json;
extern const struct source_ops source_cray_pm;
extern const struct source_ops source_hwmon;
extern const struct source_ops source_redfish;
extern const struct source_ops source_ipmi;
extern const struct source_ops source_model_tdp;

#endif
