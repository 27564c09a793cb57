/* SPDX-License-Identifier: Apache-2.0 */
/* SmartWatts' rule (Fieni, Rouvoy, Seinturier, CCGrid 2020): the package's frequency chooses a layer of 100 MHz; in a
 * layer power is a non-negative elastic net of the events of all running targets; a target gets what the model says of
 * its events, and the model's static part in proportion. */
#ifndef CARNOT_SIM_SMARTWATTS_H
#define CARNOT_SIM_SMARTWATTS_H

#include "base/util.h"

#define SMARTWATTS_EVENTS  4 /* cycles, reference cycles, instructions, misses */
#define SMARTWATTS_HISTORY 60
#define SMARTWATTS_LAYERS  64 /* 100 MHz each */

struct smartwatts_layer {
    double events[SMARTWATTS_HISTORY][SMARTWATTS_EVENTS]; /* per second */
    double watts[SMARTWATTS_HISTORY];
    double error[SMARTWATTS_HISTORY];
    size_t n, n_errors; /* all ever; the newest are at (n - 1) % HISTORY */
    double weight[SMARTWATTS_EVENTS], intercept;
    bool trained;
};

/* Coordinate descent on 1/(2n) |y - Xw - b|^2 + alpha r |w|_1 + alpha (1 - r) / 2 |w|^2, alpha 1, r 1/2, w >= 0; b is
 * fitted when with_intercept. */
void smartwatts_train(struct smartwatts_layer *layer, bool with_intercept);

#endif
