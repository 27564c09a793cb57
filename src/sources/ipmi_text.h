/* SPDX-License-Identifier: Apache-2.0 */
/* What programs print of a BMC's power: ipmi-dcmi (FreeIPMI), ipmitool, ipmiutil, capmc (Cray). Runs none of them. */
#ifndef CARNOT_SOURCES_IPMI_TEXT_H
#define CARNOT_SOURCES_IPMI_TEXT_H

#include "base/err.h"
#include "base/parse.h"
#include "sources/ipmi_msg.h"

enum ipmi_dialect { IPMI_TEXT_DCMI, IPMI_TEXT_TOOL, IPMI_TEXT_UTIL };

/* The lines "name : value" of one program. The current power and the line that says whether power is measured must be
 * there; the rest is taken where it is. -ENODATA: measuring is not active, or 0 W; -EPROTO: it is no such output, or
 * its numbers are none; -ERANGE: a power that does not fit. */
int ipmi_text_parse(enum ipmi_dialect dialect, struct text t, struct ipmi_power *ret);

/* capmc's JSON: the power of the whole system, averaged over the window asked for, as power_uw and mean_uw. -EPROTO: no
 * such JSON; -EIO: its own "e" is not 0 (err has its err_msg); -ENODATA: 0 W; -ERANGE: a power that does not fit. */
int ipmi_text_parse_capmc(struct text t, struct ipmi_power *ret, struct carnot_err *err);

/* Most that a whole system draws: ten times the largest there is. */
#define IPMI_SYSTEM_MAX_UW (1000000000ULL * 1000000) /* 1 GW */

#endif
