/* SPDX-License-Identifier: Apache-2.0 */
/* What the stand-ins for AMD's two libraries share: the text file that FAKE_AMD_SCRIPT names, read anew at every call;
 * lines of words, later ones win.
 *
 *     gpus 8                  logical devices (64 at most)
 *     init 8                  the result of the initialisation; likewise `list 7`
 *     release 26              first word of AMD SMI's version: 24, 25 (ROCm 6), 26 (ROCm 7)
 *     gpu 0 bus 197           and domain, device, function; `gpu *` means all of them; without it bus 1, 2, ...
 *     gpu 0 unique 123        its unique id; without it it has none
 *     gpu 0 socket 3          the socket that AMD SMI lists it in; without it each has its own
 *     gpu 0 steps 65536       the energy counter; without it it has none
 *     gpu 0 step-nj 15259     what the library says a step is; without it 15300, as the real ones do
 *     gpu 0 current-w 140     and average-w; without them it tells no power
 *     gpu 0 cpu 1             it is no GPU
 *     gpu 0 energy-result 4   what one call returns; likewise power-, bdf- and id-result */
#ifndef CARNOT_TESTS_SIM_FAKE_AMD_H
#define CARNOT_TESTS_SIM_FAKE_AMD_H

#include <stdint.h>

#define FAKE_AMD_SCRIPT "CARNOT_FAKE_AMD"

/* int fake_amd_users(void), of either library: inits less shutdowns. */
typedef int (*fake_amd_users_fn)(void);

#define FAKE_AMD_GPUS_MAX 64
#define FAKE_AMD_UNSET    UINT64_MAX

enum fake_amd_field {
    FAKE_DOMAIN,
    FAKE_BUS,
    FAKE_DEVICE,
    FAKE_FUNCTION,
    FAKE_UNIQUE,
    FAKE_SOCKET,
    FAKE_STEPS,
    FAKE_STEP_NJ,
    FAKE_CURRENT_W,
    FAKE_AVERAGE_W,
    FAKE_CPU,
    FAKE_ENERGY_RESULT,
    FAKE_POWER_RESULT,
    FAKE_BDF_RESULT,
    FAKE_ID_RESULT,
    FAKE_FIELDS
};

struct fake_amd {
    uint64_t gpus, init, list, release;
    uint64_t gpu[FAKE_AMD_GPUS_MAX][FAKE_FIELDS];
};

void fake_amd_load(struct fake_amd *ret);

#endif
