/* SPDX-License-Identifier: Apache-2.0 */
/* Intel's energy filtering: a noise that the hardware adds to what RAPL tells, against side channels (INTEL-SA-00389).
 * It is the same for every way of reading, but only a register tells whether it is on. */
#ifndef CARNOT_SOURCES_RAPL_FILTER_H
#define CARNOT_SOURCES_RAPL_FILTER_H

#include "base/buf.h"
#include "model/domain.h"
#include "sources/rapl_msr.h"

enum rapl_filter { FILTER_NONE, FILTER_OFF, FILTER_ON, FILTER_UNKNOWN };

/* Asks one CPU of each package (MSR 0xBC bit 0) through `io`. NONE: not an Intel processor, or no topology known.
 * UNKNOWN: the register cannot be reached (no msr driver, no CAP_SYS_RAWIO). ON: at least one package filters. */
enum rapl_filter rapl_filter_read(const struct rapl_msr_io *io, const struct topology *topology);

/* Filtered figures are no longer the counter's own: their quality is `derived`. */
void rapl_filter_mark(enum rapl_filter filter, struct domain *domains, size_t n);

/* The line of describe(), if there is something to say. */
void rapl_filter_describe(enum rapl_filter filter, bool sgx, struct buf *out);

#endif
