/* SPDX-License-Identifier: Apache-2.0 */
/* See printable.h. */
#include "sources/printable.h"

void printable_copy(char *out, size_t size, struct text in)
{
    size_t n = min_size(in.n, size - 1);

    for (size_t i = 0; i < n; i++)
        out[i] = in.p[i] >= ' ' && in.p[i] <= '~' ? in.p[i] : '?';
    out[n] = '\0';
}
