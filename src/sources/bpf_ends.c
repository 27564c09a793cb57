/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in use, counted by process; knows no cgroup and no time. */
#include "sources/bpf_ends.h"

#define END_OF_THREADS (SWITCH_ROW_PROCESS_ENDED | SWITCH_ROW_THREADED)

void bpf_ends_done(struct bpf_ends *ends)
{
    u64map_done(&ends->rows_of);
    u64map_done(&ends->told);
    u64map_done(&ends->told_before);
}

/* Pids are used again, with another time of birth. */
static uint64_t identity(const struct switch_row *row)
{
    return row->start_boot_ns * 0x9e3779b97f4a7c15ULL ^ row->tgid;
}

/* Is it told for the first time? Without memory to remember it, it may be told again, which changes nothing. */
static bool tell(struct bpf_ends *ends, const struct switch_row *row)
{
    uint64_t key = identity(row);

    if ((ends->told.len && u64map_get(&ends->told, key) != U64MAP_NONE) ||
        (ends->told_before.len && u64map_get(&ends->told_before, key) != U64MAP_NONE))
        return false;
    u64map_put(&ends->told, key, 0);
    return true;
}

static bool ends_threads(const struct switch_row *row)
{
    return (row->state & END_OF_THREADS) == END_OF_THREADS;
}

/* Short of memory the process is left out, and each of its threads that sees the end is taken for the last. */
static uint32_t collect(struct bpf_ends *ends, const struct bpf_tables *tables)
{
    uint32_t row, n = 0;

    for (; (row = bpf_tables_closed(tables, n)) != BPF_ROW_NONE; n++) {
        if (ends_threads(bpf_tables_row(tables, row)))
            u64map_put(&ends->rows_of, bpf_tables_row(tables, row)->tgid, 0);
    }
    return n;
}

uint32_t bpf_ends_begin(struct bpf_ends *ends, const struct bpf_tables *tables)
{
    struct u64map oldest = ends->told_before;
    uint32_t n;

    if (ends->rows_of.len > 0)
        u64map_clear(&ends->rows_of);
    ends->told_before = ends->told;
    ends->told = oldest;
    if (ends->told.len > 0)
        u64map_clear(&ends->told);
    n = collect(ends, tables);
    if (ends->rows_of.len == 0)
        return n;
    for (uint32_t at = 0; at < tables->high; at++) {
        const struct switch_row *row = bpf_tables_row(tables, at);
        uint32_t count;
        if (!(__atomic_load_n(&row->state, __ATOMIC_ACQUIRE) & SWITCH_ROW_LIVE))
            continue;
        count = u64map_get(&ends->rows_of, row->tgid);
        if (count != U64MAP_NONE)
            u64map_put(&ends->rows_of, row->tgid, count + 1); /* replaces, hence cannot fail */
    }
    return n;
}

bool bpf_ends_last(struct bpf_ends *ends, const struct switch_row *row)
{
    bool ended = row->state & SWITCH_ROW_PROCESS_ENDED;
    uint32_t count = ends->rows_of.len ? u64map_get(&ends->rows_of, row->tgid) : U64MAP_NONE;

    if (count == U64MAP_NONE) /* only a process of several threads can have another row that comes later */
        return ended && (!(row->state & SWITCH_ROW_THREADED) || tell(ends, row));
    count -= count > 0;
    u64map_put(&ends->rows_of, row->tgid, count);
    return ended && count == 0 && tell(ends, row);
}
