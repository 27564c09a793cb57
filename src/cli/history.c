/* SPDX-License-Identifier: Apache-2.0 */
/* Rings of window energies by unit. Rebuilt at each view from those units that are in it: what is gone leaves with the
 * old table, and memory follows the number of units. */
#include "cli/history.h"

#include <errno.h>

#include "base/u64map.h"
#include "cli/text.h"

struct ring {
    uint64_t values[HISTORY_LENGTH]; /* oldest first */
    unsigned filled;                 /* how many at the end are real */
};

struct table_of_rings {
    struct u64map index;
    struct ring *rings;
    size_t n;
};

struct history {
    struct table_of_rings now;
    uint64_t seq;
    bool primed;
};

static uint64_t key_of(const struct view_unit *unit)
{
    return (uint64_t)unit->kind << 32 | unit->id;
}

static void rings_done(struct table_of_rings *rings)
{
    u64map_done(&rings->index);
    free(rings->rings);
    *rings = (struct table_of_rings){0};
}

int history_new(struct history **ret_history)
{
    struct history *history = calloc(1, sizeof(*history));

    if (!history)
        return -ENOMEM;
    *ret_history = history;
    return 0;
}

struct history *history_free(struct history *history)
{
    if (!history)
        return NULL;
    rings_done(&history->now);
    free(history);
    return NULL;
}

static const struct ring *find(const struct history *history, const struct view_unit *unit)
{
    uint32_t at = u64map_get(&history->now.index, key_of(unit));

    return at == U64MAP_NONE ? NULL : &history->now.rings[at];
}

int history_update(struct history *history, const struct view *view)
{
    struct table_of_rings next = {0};

    if (history->primed && history->seq == view->seq)
        return 0;
    next.rings = calloc(view->n_units ? view->n_units : 1, sizeof(*next.rings));
    if (!next.rings)
        return -ENOMEM;
    for (size_t i = 0; i < view->n_units; i++) {
        const struct ring *old = find(history, &view->units[i]);
        struct ring *ring = &next.rings[next.n];

        if (u64map_put(&next.index, key_of(&view->units[i]), (uint32_t)next.n) < 0) {
            rings_done(&next);
            return -ENOMEM;
        }
        if (old) {
            memmove(ring->values, old->values + 1, sizeof(ring->values) - sizeof(ring->values[0]));
            ring->filled = old->filled;
        }
        ring->values[HISTORY_LENGTH - 1] = view->units[i].total_window_uj;
        if (ring->filled < HISTORY_LENGTH)
            ring->filled++;
        next.n++;
    }
    rings_done(&history->now);
    history->now = next;
    history->seq = view->seq;
    history->primed = true;
    return 0;
}

void history_put(const struct history *history, const struct view_unit *unit, struct buf *out)
{
    const struct ring *ring = unit ? find(history, unit) : NULL;
    uint64_t most = 1;

    for (unsigned i = 0; ring && i < HISTORY_LENGTH; i++)
        most = max_u64(most, ring->values[i]);
    for (unsigned i = 0; i < HISTORY_LENGTH; i++) {
        if (!ring || i < HISTORY_LENGTH - ring->filled)
            buf_putc(out, ' ');
        else
            buf_puts(out, text_blocks[1 + (unsigned __int128)ring->values[i] * (TEXT_BLOCKS - 2) / most]);
    }
}
