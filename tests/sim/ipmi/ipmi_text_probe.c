/* SPDX-License-Identifier: Apache-2.0 */
/* Reads on standard input what ipmi-dcmi, ipmitool or ipmiutil (the first argument) printed, by the shipping code, and
 * prints "now min max mean period_ms" in microwatts, or the negative errno. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sources/ipmi_text.h"

int main(int argc, char **argv)
{
    static const char *const programs[] = {
        [IPMI_TEXT_DCMI] = "ipmi-dcmi", [IPMI_TEXT_TOOL] = "ipmitool", [IPMI_TEXT_UTIL] = "ipmiutil"};
    static char text[65536];
    struct ipmi_power p = {0};
    size_t which = 0;

    while (argc == 2 && which < ELEMENTSOF(programs) && strcmp(argv[1], programs[which]) != 0)
        which++;
    if (argc != 2 || which == ELEMENTSOF(programs)) {
        fprintf(stderr, "usage: %s ipmi-dcmi|ipmitool|ipmiutil <OUTPUT\n", argv[0]);
        return 64;
    }
    size_t n = fread(text, 1, sizeof(text), stdin);
    int r = ipmi_text_parse((enum ipmi_dialect)which, (struct text){text, n}, &p);
    if (r < 0)
        printf("%d\n", r);
    else
        printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", p.power_uw, p.min_uw, p.max_uw,
               p.mean_uw, p.period_ms);
    return 0;
}
