/* SPDX-License-Identifier: Apache-2.0 */
/* THE list of energy sources. What measures stands before what models; knows nothing else. */
#include "sources/registry.h"

const struct source_ops *const source_registry[] = {
    &source_rapl_perf,  &source_rapl_powercap, &source_rapl_msr,     &source_nvml,
    &source_nvidia_smi, &source_amd_smi,       &source_amd_smi_json, &source_cray_pm,
    &source_hwmon,      &source_redfish,       &source_ipmi,         &source_model_tdp,
};

const size_t source_registry_count = ELEMENTSOF(source_registry);
