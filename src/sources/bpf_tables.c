/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and rings shared with the BPF programs; knows layouts and ordering, not what a thread or a cgroup is. */
#include "sources/bpf_tables.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BIRTHS_AHEAD 4 /* growth of the birth rate from one interval to the next that is absorbed */

static size_t page_round(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (size + page - 1) / page * page;
}

int bpf_region_open(struct bpf_region *region, int fd, size_t size, struct carnot_err *err)
{
    size_t reserved = page_round(size);
    void *base = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED)
        return carnot_err_errno(err, errno, "cannot reserve %zu bytes of address space for a BPF table", reserved);
    *region = (struct bpf_region){.fd = fd, .base = base, .reserved = reserved};
    return 0;
}

int bpf_region_extend(struct bpf_region *region, size_t want, struct carnot_err *err)
{
    size_t end = min_size(page_round(want), region->reserved);
    void *at;

    if (end <= region->mapped)
        return 0;
    at = mmap(region->base + region->mapped, end - region->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
              region->fd, (off_t)region->mapped);
    if (at == MAP_FAILED)
        return carnot_err_errno(err, errno, "cannot map %zu bytes of a BPF table", end - region->mapped);
    region->mapped = end;
    return 0;
}

void bpf_region_close(struct bpf_region *region)
{
    if (region->base)
        munmap(region->base, region->reserved);
    *region = (struct bpf_region){.fd = -1};
}

static uint64_t *ring_of(const struct bpf_region *region)
{
    return (uint64_t *)(void *)region->base;
}

static int open_regions(struct bpf_tables *tables, const struct bpf_tables_args *args, struct carnot_err *err)
{
    size_t ns_size = (size_t)args->n_rows * args->n_columns * sizeof(uint64_t);
    int r = bpf_region_open(&tables->rows, args->rows_fd, (size_t)args->n_rows * sizeof(struct switch_row), err);

    if (r == 0)
        r = bpf_region_open(&tables->ns, args->ns_fd, ns_size, err);
    if (r == 0)
        r = bpf_region_open(&tables->free_ring, args->free_ring_fd, args->free_ring_size * sizeof(uint64_t), err);
    if (r == 0)
        r = bpf_region_open(&tables->closed_ring, args->closed_ring_fd, args->closed_ring_size * sizeof(uint64_t), err);
    if (r == 0)
        r = bpf_region_extend(&tables->free_ring, tables->free_ring.reserved, err);
    if (r == 0)
        r = bpf_region_extend(&tables->closed_ring, tables->closed_ring.reserved, err);
    return r;
}

int bpf_tables_open(struct bpf_tables *tables, const struct bpf_tables_args *args, struct carnot_err *err)
{
    int r;

    *tables = (struct bpf_tables){
        .n_rows = args->n_rows,
        .n_columns = args->n_columns,
        .free_mask = args->free_ring_size - 1,
        .closed_mask = args->closed_ring_size - 1,
        .control = args->control,
        .n_words = (args->n_rows + 63) / 64,
        .n_free = args->n_rows,
    };
    r = open_regions(tables, args, err);
    if (r == 0) {
        tables->free_bits = calloc(tables->n_words, sizeof(uint64_t));
        if (!tables->free_bits)
            r = carnot_err_set(err, ENOMEM, "no memory for the table of threads");
    }
    if (r < 0) {
        bpf_tables_close(tables);
        return r;
    }
    for (uint32_t row = 0; row < args->n_rows; row++)
        tables->free_bits[row / 64] |= UINT64_C(1) << row % 64;
    return 0;
}

void bpf_tables_close(struct bpf_tables *tables)
{
    bpf_region_close(&tables->rows);
    bpf_region_close(&tables->ns);
    bpf_region_close(&tables->free_ring);
    bpf_region_close(&tables->closed_ring);
    free(tables->free_bits);
    free(tables->prev);
    free(tables->notes);
    *tables = (struct bpf_tables){0};
}

/* Makes `row` usable: mapped on our side, with room for what we keep of it. Grows in doublings, so a few times in all.
 */
static int cover(struct bpf_tables *tables, uint32_t row, struct carnot_err *err)
{
    uint32_t want = tables->noted ? tables->noted : BPF_ROWS_WAITING_MIN;
    struct bpf_row_note *notes;
    uint64_t *prev;
    int r;

    if (row < tables->noted)
        return 0;
    while (want <= row)
        want *= 2;
    want = (uint32_t)min_u64(want, tables->n_rows);

    r = bpf_region_extend(&tables->rows, (size_t)want * sizeof(struct switch_row), err);
    if (r == 0)
        r = bpf_region_extend(&tables->ns, (size_t)want * tables->n_columns * sizeof(uint64_t), err);
    if (r < 0)
        return r;
    prev = reallocarray(tables->prev, (size_t)want * tables->n_columns, sizeof(*prev));
    if (prev)
        tables->prev = prev;
    notes = reallocarray(tables->notes, want, sizeof(*notes));
    if (notes)
        tables->notes = notes;
    if (!prev || !notes)
        return carnot_err_set(err, ENOMEM, "no memory for %u threads", want);
    memset(prev + (size_t)tables->noted * tables->n_columns, 0,
           (size_t)(want - tables->noted) * tables->n_columns * sizeof(*prev));
    memset(notes + tables->noted, 0, (want - tables->noted) * sizeof(*notes));
    tables->noted = want;
    return 0;
}

static uint32_t lowest_free(struct bpf_tables *tables)
{
    while (tables->first_word < tables->n_words && tables->free_bits[tables->first_word] == 0)
        tables->first_word++;
    if (tables->first_word == tables->n_words)
        return BPF_ROW_NONE;
    return tables->first_word * 64 + (uint32_t)__builtin_ctzll(tables->free_bits[tables->first_word]);
}

int bpf_tables_refill(struct bpf_tables *tables, uint32_t at_least, struct carnot_err *err)
{
    struct switch_control *control = tables->control;
    uint64_t births = __atomic_load_n(&control->births, __ATOMIC_RELAXED);
    uint64_t want = max_u64(max_u64(BPF_ROWS_WAITING_MIN, at_least), BIRTHS_AHEAD * (births - tables->births_before));
    uint64_t *ring = ring_of(&tables->free_ring);

    tables->births_before = births;
    want = min_u64(want, (uint64_t)tables->free_mask + 1);
    while (bpf_tables_waiting(tables) < want) {
        uint64_t position = control->free_tail;
        uint32_t row = lowest_free(tables);
        int r;

        if (row == BPF_ROW_NONE)
            return 0;
        r = cover(tables, row, err);
        if (r < 0)
            return r;
        tables->free_bits[row / 64] &= ~(UINT64_C(1) << row % 64);
        tables->n_free--;
        if (row >= tables->high)
            tables->high = row + 1;
        __atomic_store_n(&ring[position & tables->free_mask], (position + 1) << 32 | row, __ATOMIC_RELAXED);
        __atomic_store_n(&control->free_tail, position + 1, __ATOMIC_RELEASE);
    }
    return 0;
}

uint32_t bpf_tables_closed(const struct bpf_tables *tables, uint32_t ahead)
{
    const uint64_t *ring = ring_of(&tables->closed_ring);
    uint64_t position = tables->closed_tail + ahead;
    uint64_t entry;

    if (ahead > tables->closed_mask)
        return BPF_ROW_NONE;
    entry = __atomic_load_n(&ring[position & tables->closed_mask], __ATOMIC_ACQUIRE);
    if (entry == 0 || entry > tables->noted)
        return BPF_ROW_NONE;
    return (uint32_t)entry - 1;
}

void bpf_tables_release(struct bpf_tables *tables, uint32_t row)
{
    size_t at = (size_t)row * tables->n_columns;
    size_t size = tables->n_columns * sizeof(uint64_t);

    memset(bpf_tables_row(tables, row), 0, sizeof(struct switch_row));
    memset((uint64_t *)(void *)tables->ns.base + at, 0, size);
    memset(tables->prev + at, 0, size);
    tables->notes[row] = (struct bpf_row_note){0};
    tables->free_bits[row / 64] |= UINT64_C(1) << row % 64;
    tables->n_free++;
    if (row / 64 < tables->first_word)
        tables->first_word = row / 64;
    __atomic_store_n(&ring_of(&tables->closed_ring)[tables->closed_tail & tables->closed_mask], 0, __ATOMIC_RELEASE);
    tables->closed_tail++;
}

bool bpf_tables_take(struct bpf_tables *tables, uint32_t row, uint64_t *out)
{
    size_t at = (size_t)row * tables->n_columns;
    const uint64_t *ns = (uint64_t *)(void *)tables->ns.base + at;
    uint64_t *prev = tables->prev + at;

    if (memcmp(ns, prev, tables->n_columns * sizeof(*ns)) == 0)
        return false;
    for (uint32_t i = 0; i < tables->n_columns; i++) {
        uint64_t now = __atomic_load_n(&ns[i], __ATOMIC_RELAXED);
        out[i] = now - prev[i];
        prev[i] = now;
    }
    return true;
}

bool bpf_tables_taken(const struct bpf_tables *tables, uint32_t row)
{
    const uint64_t *prev = tables->prev + (size_t)row * tables->n_columns;

    for (uint32_t i = 0; i < tables->n_columns; i++) {
        if (prev[i] != 0)
            return true;
    }
    return false;
}
