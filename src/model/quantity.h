/* SPDX-License-Identifier: Apache-2.0 */
/* Quantities: whole microjoules, microwatts, nanoseconds, micrograms, and the arithmetic that keeps them whole.
 *
 * 64 bits of microjoules are 18.4 TJ: a node of 20 kW needs 29 years to fill them. Products go through 128 bits. */
#ifndef CARNOT_MODEL_QUANTITY_H
#define CARNOT_MODEL_QUANTITY_H

#include "base/util.h"

#define UJ_PER_J   1000000ULL
#define UJ_PER_KWH 3600000000000ULL /* 3.6e6 J */

/* floor(a * b / c) through 128 bits, saturating at UINT64_MAX; 0 when c is 0. */
static inline uint64_t muldiv_u64(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 q;

    if (c == 0)
        return 0;
    q = (unsigned __int128)a * b / c;
    return q > UINT64_MAX ? UINT64_MAX : (uint64_t)q;
}

/* Mean power of an energy over a time, in microwatts: uJ * 1e9 / ns. 0 for an empty window. */
static inline uint64_t power_uw(uint64_t energy_uj, uint64_t duration_ns)
{
    return muldiv_u64(energy_uj, 1000000000ULL, duration_ns);
}

/* Energy of a power over a time: uW * ns / 1e9. */
static inline uint64_t energy_of_power_uj(uint64_t uw, uint64_t duration_ns)
{
    return muldiv_u64(uw, duration_ns, 1000000000ULL);
}

/* Emissions in micrograms CO2e: E [uJ] / 3.6e12 [uJ/kWh] * I [mg/kWh] * 1000 [ug/mg] = E * I / 3.6e9. */
static inline uint64_t emissions_ug(uint64_t energy_uj, uint64_t intensity_mg_kwh)
{
    return muldiv_u64(energy_uj, intensity_mg_kwh, UJ_PER_KWH / 1000);
}

#endif
