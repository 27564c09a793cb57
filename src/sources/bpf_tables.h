/* SPDX-License-Identifier: Apache-2.0 */
/* The reader's side of the mapped tables: which rows are free, handed out, closed; what was read of each before.
 *
 * Works on any descriptors that can be mapped, so that it is tested without a kernel side. Rows are handed out lowest
 * number first and only as many as births call for, and a table is mapped only as far as its rows were ever handed out,
 * so that a large table costs a small machine nothing. One reader; the other side is the BPF programs. */
#ifndef CARNOT_SOURCES_BPF_TABLES_H
#define CARNOT_SOURCES_BPF_TABLES_H

#include "base/err.h"
#include "sources/bpf/switch.h"

#define BPF_ROW_NONE UINT32_MAX

/* Free rows kept ready: births between two calls that never find an empty ring, 40,000 a second at 10 Hz. */
#define BPF_ROWS_WAITING_MIN 4096

/* A table mapped from its start as far as it is needed; addresses do not change. */
struct bpf_region {
    int fd; /* not owned */
    uint8_t *base;
    size_t reserved;
    size_t mapped;
};

int bpf_region_open(struct bpf_region *region, int fd, size_t size, struct carnot_err *err);
int bpf_region_extend(struct bpf_region *region, size_t want, struct carnot_err *err);
void bpf_region_close(struct bpf_region *region);

/* What the reader keeps beside a row. */
struct bpf_row_note {
    uint32_t cgroup; /* index in the tree */
    uint32_t session;
    bool known; /* cgroup and session were looked up */
};

struct bpf_tables {
    uint32_t n_rows, n_columns;
    uint32_t free_mask, closed_mask;
    struct switch_control *control; /* not owned */
    struct bpf_region rows, ns, free_ring, closed_ring;
    uint64_t closed_tail;
    uint64_t *free_bits; /* a set bit: a row that neither side uses */
    uint32_t n_words, first_word;
    uint32_t n_free; /* set bits */
    uint32_t high;   /* rows below were handed out at some time */
    uint32_t noted;  /* rows that `prev` and `notes` have room for */
    uint64_t *prev;  /* [noted * n_columns] ns at the last reading */
    struct bpf_row_note *notes;
    uint64_t births_before;
};

struct bpf_tables_args {
    uint32_t n_rows, n_columns;
    uint32_t free_ring_size, closed_ring_size; /* powers of two; the latter >= n_rows */
    int rows_fd, ns_fd, free_ring_fd, closed_ring_fd;
    struct switch_control *control;
};

int bpf_tables_open(struct bpf_tables *tables, const struct bpf_tables_args *args, struct carnot_err *err);
void bpf_tables_close(struct bpf_tables *tables);

/* Hands out free rows so that those waiting suffice for four times the births since the last call, and for `at_least`.
 * An error when memory for more is missing; then fewer wait, and what finds none is billed to its cgroup. */
int bpf_tables_refill(struct bpf_tables *tables, uint32_t at_least, struct carnot_err *err);

/* The next closed row (ahead 0) or the one so many after it, BPF_ROW_NONE when there is none; the next stays the next
 * until bpf_tables_release() of it. */
uint32_t bpf_tables_closed(const struct bpf_tables *tables, uint32_t ahead);
void bpf_tables_release(struct bpf_tables *tables, uint32_t row);

/* ns that the row gained since last asked into out[n_columns]; false and out untouched when it gained none. */
bool bpf_tables_take(struct bpf_tables *tables, uint32_t row, uint64_t *out);

/* Whether anything was taken from the row before. */
bool bpf_tables_taken(const struct bpf_tables *tables, uint32_t row);

static inline struct switch_row *bpf_tables_row(const struct bpf_tables *tables, uint32_t row)
{
    return (struct switch_row *)(void *)tables->rows.base + row;
}

static inline uint32_t bpf_tables_waiting(const struct bpf_tables *tables)
{
    return (uint32_t)(tables->control->free_tail - __atomic_load_n(&tables->control->free_head, __ATOMIC_ACQUIRE));
}

#endif
