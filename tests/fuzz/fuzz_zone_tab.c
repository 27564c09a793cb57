/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: the country of a time zone in the text of a zone table. The first line of the input is the zone asked
 * for, the rest is the table. */
#include <errno.h>

#include "base/parse.h"
#include "intensity/intensity.h"

#define NAME_MAX_BYTES 64U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {(const char *)data, size}, line;
    char name[NAME_MAX_BYTES + 1] = "";
    char iso2[3] = "??";

    if (scan_line(&rest, &line) && line.n <= NAME_MAX_BYTES && line.n)
        memcpy(name, line.p, line.n);

    int r = intensity_country_of_timezone(rest.p, rest.n, name, iso2);
    bool letters = iso2[0] >= 'A' && iso2[0] <= 'Z' && iso2[1] >= 'A' && iso2[1] <= 'Z' && iso2[2] == '\0';
    if (r == 0 ? !letters : r != -ENOENT || iso2[0] != '?')
        __builtin_trap();
    return 0;
}
