/* SPDX-License-Identifier: Apache-2.0 */
/* Units of RAPL counters as exact fractions, and which processor counts what in which of them. Knows registers' bits
 * and model numbers; reads nothing. */
#ifndef CARNOT_SOURCES_RAPL_CPU_UNITS_H
#define CARNOT_SOURCES_RAPL_CPU_UNITS_H

#include "base/util.h"

/* One count is `numerator` / 2^`shift` microjoules. */
struct rapl_unit {
    uint32_t numerator;
    uint32_t shift;
};

/* 2^-bits joules a count. */
static inline struct rapl_unit rapl_unit_joules(uint32_t bits)
{
    return (struct rapl_unit){1000000, bits};
}

/* floor(count * unit), in microjoules; saturates at UINT64_MAX. */
uint64_t rapl_unit_uj(struct rapl_unit unit, uint64_t count);

/* Where a counter of that many bits goes back to 0: 2^bits * unit, in microjoules. Exact, or 0 when it is no whole
 * number of microjoules or does not fit 64 bits. It is exact for every unit of a 32-bit register (bits 31 at most), so
 * that differences of rapl_unit_uj() modulo this value lose nothing over a wrap:
 *     floor((c + k * 2^32) * u) = floor(c * u) + k * 2^32 * u  when 2^32 * u is whole. */
uint64_t rapl_unit_modulus_uj(struct rapl_unit unit, uint32_t bits);

struct rapl_cpu_units {
    struct rapl_unit package; /* and the cores and graphics inside it */
    struct rapl_unit dram, psys;
};

/* From MSR_RAPL_POWER_UNIT (0x606) of an Intel part, energy bits 12:8. What the register does not tell is known by
 * model: memory at 2^-16 J on some servers, the platform at 1 J on others, Silvermont Atoms counting 2^n microjoules.
 */
struct rapl_cpu_units rapl_cpu_units_intel(uint64_t unit_register, uint32_t family, uint32_t model);

/* From 0xC0010299 of an AMD or Hygon part, same bits; package and cores only. */
struct rapl_cpu_units rapl_cpu_units_amd(uint64_t unit_register);

#endif
