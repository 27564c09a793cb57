/* SPDX-License-Identifier: Apache-2.0 */
/* Names and ids of powercap zones, two of each from the input's lines: domain names must come out unique and plain. */
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "sources/rapl_zones.h"

#define ZONES 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy_line(char *out, size_t size, struct text *rest)
{
    struct text line = {"", 0};

    scan_line(rest, &line);
    snprintf(out, size, "%.*s", (int)min_size(line.n, size), line.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {(const char *)data, size};
    struct rapl_zone zones[ZONES] = {0};
    struct domain domains[ZONES];
    uint64_t range = 0;

    for (int i = 0; i < ZONES; i++) {
        copy_line(zones[i].id, sizeof(zones[i].id), &rest);
        copy_line(zones[i].name, sizeof(zones[i].name), &rest);
        zones[i].parent = i - 1;
    }
    rapl_zones_domains(zones, ZONES, domains);
    for (int i = 0; i < ZONES; i++) {
        for (int k = 0; k < i; k++) {
            if (strcmp(domains[i].name, domains[k].name) == 0)
                abort();
        }
        if (strpbrk(domains[i].name, "\"\\\n{} "))
            abort();
    }
    memcpy(&range, data, min_size(size, sizeof(range)));
    if (rapl_modulus_uj(range) < range)
        abort();
    return 0;
}
