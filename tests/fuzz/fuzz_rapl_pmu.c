/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the files that describe a RAPL PMU: an event number, then a scale, one a line. */
#include "check.h"
#include "sources/rapl_cpu_units.h"
#include "sources/rapl_pmu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {(const char *)data, size}, event = {"", 0}, scale = {"", 0};
    uint64_t config = UINT64_MAX;
    uint32_t shift = UINT32_MAX;

    scan_line(&rest, &event);
    scan_line(&rest, &scale);
    int r = rapl_pmu_parse_event(event, &config);
    CHECK(r == 0 ? config <= 0xff : config == UINT64_MAX);
    r = rapl_pmu_parse_scale(scale, &shift);
    CHECK(r == 0 ? shift >= 20 && shift <= 40 : shift == UINT32_MAX);
    /* Whatever scale is taken has an exact modulus. */
    CHECK(r < 0 || rapl_unit_modulus_uj(rapl_unit_joules(shift), 64) == 1000000ULL << (64 - shift));
    return 0;
}
