/* SPDX-License-Identifier: Apache-2.0 */
/* Which countries somebody may have meant by a zone that is none. Inner header of intensity/. */
#ifndef CARNOT_INTENSITY_NEAR_H
#define CARNOT_INTENSITY_NEAR_H

#include "intensity/intensity.h"

#define NEAR_MAX 3 /* more proposals are a list, not a hint */

/* Fills ret_rows with up to NEAR_MAX rows near `zone`, best first; returns the count. */
size_t intensity_near(const char *zone, const struct intensity_row *ret_rows[NEAR_MAX]);

#endif
