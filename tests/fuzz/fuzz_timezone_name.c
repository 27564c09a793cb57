/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: time zone names out of /etc/timezone, a localtime link and an old name's link, and a grid zone as a user
 * types it. Whatever name comes out must be one that is safe as a path below zoneinfo. */
#include "base/parse.h"
#include "intensity/intensity.h"
#include "intensity/near.h"
#include "intensity/timezone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(int r, const char *name)
{
    if (r >= 0 && (name[0] == '\0' || name[0] == '/' || strlen(name) >= TIMEZONE_NAME_MAX || strchr(name, '.')))
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text whole = {(const char *)data, size}, rest = whole, first = {0};
    char name[TIMEZONE_NAME_MAX], alias[TIMEZONE_NAME_MAX], typed[128];
    const struct intensity_row *near[NEAR_MAX];

    check_name(timezone_of_text(whole, name), name);
    check_name(timezone_of_link(whole, name), name);

    /* first line: a name; the rest: what it links to */
    scan_line(&rest, &first);
    int r = timezone_of_text(first, name);
    if (r >= 0)
        check_name(timezone_of_alias(name, rest, alias), alias);

    size_t n = min_size(size, sizeof(typed) - 1);
    if (n)
        memcpy(typed, data, n);
    typed[n] = '\0';
    if (intensity_near(typed, near) > NEAR_MAX)
        __builtin_trap();
    struct intensity chosen;
    if (intensity_choose(NULL, 0, typed, "fuzz", &chosen, NULL) == 0 && chosen.mg_kwh == 0)
        __builtin_trap();
    return 0;
}
