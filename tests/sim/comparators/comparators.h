/* SPDX-License-Identifier: Apache-2.0 */
/* The rules by which other monitors split energy, written from their published formulas, behind the interface of our
 * own methods: same input, figures side by side. Not shipped.
 *
 * What a rule does not do is not mended: where it does not conserve, the parts do not add up to the measurement. */
#ifndef CARNOT_SIM_COMPARATORS_H
#define CARNOT_SIM_COMPARATORS_H

#include "attribution/method.h"

extern const struct method_ops comparator_kepler;     /* v0.10 on: CPU-time share of energy x utilisation */
extern const struct method_ops comparator_scaphandre; /* share of jiffies x all of the power */
extern const struct method_ops comparator_happy;      /* weighted cycles, overlap 11/20; also DEEP-mon's */
extern const struct method_ops comparator_smartwatts; /* regression by frequency layer, as predicted */

/* All of them. EnergAt's rule is our method energat as it is by default. */
extern const struct method_ops *const comparators[];
extern const size_t comparators_count;

#endif
