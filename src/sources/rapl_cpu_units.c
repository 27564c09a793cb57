/* SPDX-License-Identifier: Apache-2.0 */
/* See rapl_cpu_units.h. The bits are those of Intel's Software Developer's Manual, volume 4 (MSR_RAPL_POWER_UNIT), and
 * of AMD's Processor Programming References; the models are those for which Linux has exceptions (intel_rapl,
 * events/rapl). */
#include "sources/rapl_cpu_units.h"

#define ENERGY_UNIT_SHIFT 8
#define ENERGY_UNIT_MASK  0x1f

enum quirk {
    DRAM_16 = 1 << 0,    /* memory counts 2^-16 J (15.3 uJ) whatever the register says */
    PSYS_1J = 1 << 1,    /* the platform counts whole joules */
    MICROJOULES = 1 << 2 /* the register's bits mean 2^n uJ instead of 2^-n J */
};

/* Family 6. */
static const struct {
    uint8_t model;
    uint8_t quirks;
} exceptions[] = {
    {0x3f, DRAM_16},     /* Haswell server */
    {0x4f, DRAM_16},     /* Broadwell server */
    {0x56, DRAM_16},     /* Broadwell D */
    {0x55, DRAM_16},     /* Skylake, Cascade Lake, Cooper Lake servers */
    {0x6a, DRAM_16},     /* Ice Lake server */
    {0x6c, DRAM_16},     /* Ice Lake D */
    {0x57, DRAM_16},     /* Knights Landing */
    {0x85, DRAM_16},     /* Knights Mill */
    {0x8f, PSYS_1J},     /* Sapphire Rapids; its memory is back at the register's unit */
    {0xcf, PSYS_1J},     /* Emerald Rapids */
    {0x37, MICROJOULES}, /* Silvermont: Bay Trail */
    {0x4a, MICROJOULES}, /* Silvermont: Merrifield */
    {0x5a, MICROJOULES}, /* Silvermont: Moorefield */
    {0x4c, MICROJOULES}, /* Airmont: Cherry Trail */
};

uint64_t rapl_unit_uj(struct rapl_unit unit, uint64_t count)
{
    unsigned __int128 uj = (unsigned __int128)count * unit.numerator >> unit.shift;

    return uj > UINT64_MAX ? UINT64_MAX : (uint64_t)uj;
}

uint64_t rapl_unit_modulus_uj(struct rapl_unit unit, uint32_t bits)
{
    unsigned __int128 counts = (unsigned __int128)1 << bits; /* bits <= 64, numerator < 2^32: fits */
    unsigned __int128 scaled = counts * unit.numerator;
    unsigned __int128 modulus = scaled >> unit.shift;

    return modulus << unit.shift == scaled && modulus <= UINT64_MAX ? (uint64_t)modulus : 0;
}

static uint32_t energy_bits(uint64_t unit_register)
{
    return unit_register >> ENERGY_UNIT_SHIFT & ENERGY_UNIT_MASK;
}

static unsigned quirks_of(uint32_t family, uint32_t model)
{
    for (size_t i = 0; family == 6 && i < ELEMENTSOF(exceptions); i++) {
        if (exceptions[i].model == model)
            return exceptions[i].quirks;
    }
    return 0;
}

struct rapl_cpu_units rapl_cpu_units_intel(uint64_t unit_register, uint32_t family, uint32_t model)
{
    unsigned quirks = quirks_of(family, model);
    uint32_t bits = energy_bits(unit_register);
    struct rapl_unit told = quirks & MICROJOULES ? (struct rapl_unit){1U << bits, 0} : rapl_unit_joules(bits);

    return (struct rapl_cpu_units){
        .package = told,
        .dram = quirks & DRAM_16 ? rapl_unit_joules(16) : told,
        .psys = quirks & PSYS_1J ? rapl_unit_joules(0) : told,
    };
}

struct rapl_cpu_units rapl_cpu_units_amd(uint64_t unit_register)
{
    struct rapl_unit told = rapl_unit_joules(energy_bits(unit_register));

    return (struct rapl_cpu_units){.package = told, .dram = told, .psys = told};
}
