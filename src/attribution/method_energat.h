/* SPDX-License-Identifier: Apache-2.0 */
/* EnergAt's formulas (He, Friedman, Rekatsinas, HotCarbon'23), for one socket; energies in any one unit. The method of
 * attribution applies them to every cell; a tool that follows one target uses them as they are. */
#ifndef CARNOT_ATTRIBUTION_METHOD_ENERGAT_H
#define CARNOT_ATTRIBUTION_METHOD_ENERGAT_H

#include "base/util.h"

/* What the socket used beyond its base power, never below 0. */
double energat_dynamic(double energy, double base_power, double duration);

/* min(1, target / server); 1e-5 where the server did not run at all. */
double energat_cpu_fraction(double target, double server);

/* min(1, mean over samples of target / used), a sample with nothing in use counting 1; 1e-5 without samples. */
double energat_memory_fraction(const double *target, const double *used, size_t n);

/* dynamic * fraction ^ exponent; 0 for a fraction of 0. Exponents: 0.3 for the package, 0.2 for memory. */
double energat_ascribed(double dynamic, double fraction, double exponent);

#endif
