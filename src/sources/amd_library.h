/* SPDX-License-Identifier: Apache-2.0 */
/* AMD's management libraries behind one table: AMD SMI (libamd_smi.so) and the older ROCm SMI (librocm_smi64.so). What
 * they list are logical devices. Only calls are used whose binary interface is the same in all releases. */
#ifndef CARNOT_SOURCES_AMD_LIBRARY_H
#define CARNOT_SOURCES_AMD_LIBRARY_H

#include "base/err.h"
#include "sources/amd_cards.h"

struct amd_library_ops {
    const char *name;
    /* Loads the library (path "": where it usually is), starts it and lists its devices. -ENOENT: there is none;
     * -EPROTO: it is another library; -ENODEV: it drives no GPU; -EACCES, -EIO, ... */
    int (*open)(const char *path, void **ret_library, struct carnot_err *err);
    size_t (*count)(const void *library); /* at most AMD_DEVICES_MAX */
    void (*identify)(void *library, uint32_t device, struct amd_device *ret_device);
    /* 0, -ENODATA: it has no such figure, or -errno with a sentence. */
    int (*energy)(void *library, uint32_t device, uint64_t *ret_uj, struct carnot_err *err);
    int (*power)(void *library, uint32_t device, uint64_t *ret_uw, struct carnot_err *err);
    void *(*close)(void *library);
};

extern const struct amd_library_ops amd_library_amdsmi;
extern const struct amd_library_ops amd_library_rsmi;

#endif
