# SPDX-License-Identifier: Apache-2.0
"""libcarnot.so.0 by cffi, without a compiler. The declarations are those of <carnot/carnot.h>."""
import os

import cffi

ffi = cffi.FFI()
ffi.cdef("""
struct carnot;
struct carnot_region;
struct carnot_error { int32_t code; char message[480]; };
struct carnot_result {
    uint32_t size, flags;
    uint64_t duration_ns, cpu_ns, energy_uj, energy_low_uj, energy_high_uj, covered_ns;
    uint32_t quality, domains;
};
struct carnot_domain { char name[64]; char kind[32]; uint64_t energy_uj; uint32_t quality, in_total; };
const char *carnot_version(void);
const char *carnot_quality_name(uint32_t quality);
int carnot_open(const char *socket_path, struct carnot **ret_carnot, struct carnot_error *error);
struct carnot *carnot_close(struct carnot *carnot);
int carnot_region_begin(struct carnot *carnot, const char *name, struct carnot_region **ret_region);
int carnot_region_begin_thread(struct carnot *carnot, const char *name, struct carnot_region **ret_region);
int carnot_region_end(struct carnot_region *region, struct carnot_result *ret_result);
int carnot_region_read(struct carnot_region *region, uint32_t timeout_ms, struct carnot_result *ret_result, struct carnot_error *error);
int carnot_region_domains(struct carnot_region *region, struct carnot_domain *ret_domains, size_t room, size_t size);
struct carnot_region *carnot_region_free(struct carnot_region *region);
int carnot_request(struct carnot *carnot, const char *request, uint32_t timeout_ms, char **ret_answer, struct carnot_error *error);
void free(void *);
""")

COMPLETE, GAP = 1, 2
NO_BOUND = 2**64 - 1

_loaded = None


class Error(OSError):
    """What libcarnot says: errno and a sentence."""


def lib():
    """The library; loaded when first needed. CARNOT_LIBRARY names another file than the installed one."""
    global _loaded
    if _loaded is None:
        _loaded = ffi.dlopen(os.environ.get("CARNOT_LIBRARY", "libcarnot.so.0"))
    return _loaded


def check(r, error=None):
    """The result of a call, or its error raised."""
    if r >= 0:
        return r
    message = ffi.string(error.message).decode(errors="replace") if error is not None and error.code else os.strerror(-r)
    raise Error(-r, message)
