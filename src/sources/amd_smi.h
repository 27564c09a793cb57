/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the source amd_smi, for its tests; programs use source_registry. */
#ifndef CARNOT_SOURCES_AMD_SMI_H
#define CARNOT_SOURCES_AMD_SMI_H

struct amd_smi_settings {
    const char *library; /* "" or NULL: libamd_smi.so, else librocm_smi64.so, where they usually are */
};

#endif
