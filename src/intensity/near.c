/* SPDX-License-Identifier: Apache-2.0 */
/* Proposals for a mistyped grid zone. Knows slips of the hand and habits (UK, EL, "Germany", "FR-IDF"); refuses to
 * choose: the caller only shows them. */
#include "intensity/near.h"

#include <string.h>
#include <strings.h>

/* Longer input is not a mistyped code or country. */
#define ZONE_TEXT_MAX 40

/* Codes that people use and ISO 3166-1 does not, or only reserves. */
static const struct {
    const char *said, *iso3;
} habits[] = {{"UK", "GBR"},  {"EL", "GRC"},  {"ENG", "GBR"}, {"GER", "DEU"},    {"SUI", "CHE"},
              {"NED", "NLD"}, {"DEN", "DNK"}, {"EU", "WLD"},  {"GLOBAL", "WLD"}, {"OWID_WRL", "WLD"}};

/* How far from what was meant, in the order in which proposals are shown. */
enum { SCORE_SAME, SCORE_START, SCORE_SLIP, SCORE_PART, SCORE_NONE };

static char lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c | 0x20);
    return c;
}

/* True when `limit` insertions, deletions, replacements and swaps of neighbours make one of two short texts the other,
 * case ignored. */
static bool is_slip(const char *a, const char *b, unsigned limit)
{
    unsigned rows[3][ZONE_TEXT_MAX + 1] = {0};
    size_t na = strlen(a), nb = strlen(b);

    if (na > nb + limit || nb > na + limit || na > ZONE_TEXT_MAX || nb > ZONE_TEXT_MAX)
        return false;
    for (size_t j = 0; j <= nb; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            bool same = lower(a[i - 1]) == lower(b[j - 1]);
            unsigned best = above[j - 1] + !same;

            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]) &&
                above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[na % 3][nb] <= limit;
}

/* "FR-IDF", "US_CAL": the country before a region. */
static bool is_region_of(const char *zone, const char *code)
{
    size_t n = strlen(code);

    return n && strncasecmp(zone, code, n) == 0 && (zone[n] == '-' || zone[n] == '_' || zone[n] == '/');
}

static bool is_habit(const char *zone, const char *iso3)
{
    for (size_t i = 0; i < ELEMENTSOF(habits); i++) {
        if (strcasecmp(zone, habits[i].said) == 0 && strcmp(iso3, habits[i].iso3) == 0)
            return true;
    }
    return false;
}

static unsigned score(const char *zone, const struct intensity_row *row)
{
    size_t n = strlen(zone);

    if (strcasecmp(zone, row->name) == 0 || is_habit(zone, row->iso3) || is_region_of(zone, row->iso3) ||
        is_region_of(zone, row->iso2))
        return SCORE_SAME;
    if (n >= 3 && strncasecmp(zone, row->name, n) == 0)
        return SCORE_START;
    /* Two letters are one slip away from every third country: no hint in that. */
    if ((n >= 3 && is_slip(zone, row->iso3, 1)) || (n >= 5 && is_slip(zone, row->name, 2)))
        return SCORE_SLIP;
    if (n >= 4 && strcasestr(row->name, zone))
        return SCORE_PART;
    return SCORE_NONE;
}

size_t intensity_near(const char *zone, const struct intensity_row *ret_rows[NEAR_MAX])
{
    unsigned scores[NEAR_MAX]; /* not falling */
    size_t n = 0;

    if (strlen(zone) > ZONE_TEXT_MAX)
        return 0;
    for (size_t i = 0; i < intensity_static_count; i++) {
        unsigned this = score(zone, &intensity_static_table[i]);
        size_t at = n;

        if (this == SCORE_NONE)
            continue;
        while (at > 0 && scores[at - 1] > this)
            at--;
        if (at == NEAR_MAX)
            continue;
        n = min_size(n + 1, NEAR_MAX);
        for (size_t k = n - 1; k > at; k--) {
            scores[k] = scores[k - 1];
            ret_rows[k] = ret_rows[k - 1];
        }
        scores[at] = this;
        ret_rows[at] = &intensity_static_table[i];
    }
    return n;
}
