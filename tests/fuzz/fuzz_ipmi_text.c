/* SPDX-License-Identifier: Apache-2.0 */
/* What programs print of a BMC's power: the first byte says whose output the rest is. No power is 0 or beyond what
 * there is, and nothing is taken from an output that lacks the line of its state. */
#include <string.h>

#include "check.h"
#include "sources/ipmi_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ipmi_power power = {0};
    struct carnot_err err = CARNOT_ERR_INIT;

    if (size == 0)
        return 0;
    struct text t = {(const char *)data + 1, size - 1};
    unsigned which = data[0] % 4;
    if (which == 3) {
        int r = ipmi_text_parse_capmc(t, &power, &err);

        CHECK((r == 0) == (err.code == 0));
        CHECK(r != 0 || (power.power_uw > 0 && power.power_uw <= IPMI_SYSTEM_MAX_UW));
        for (const char *p = err.msg; *p; p++)
            CHECK(*p >= ' ' && *p <= '~');
        return 0;
    }
    if (ipmi_text_parse((enum ipmi_dialect)which, t, &power) == 0) {
        CHECK(power.power_uw > 0 && power.power_uw <= IPMI_MAX_UW && power.mean_uw <= IPMI_MAX_UW);
        CHECK(memmem(t.p, t.n, "ctiv", 4));
    }
    return 0;
}
