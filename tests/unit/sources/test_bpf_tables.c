/* SPDX-License-Identifier: Apache-2.0 */
/* The reader's side of the mapped tables, with files in memory for the maps and this test for the programs: it takes
 * rows from the ring of free ones and puts them into the ring of closed ones as bpf/switch.bpf.c does. No rights
 * needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "sources/bpf_ends.h"
#include "sources/bpf_tables.h"

#define N_BUCKETS 3

struct rig {
    struct switch_control control;
    struct bpf_tables tables;
    struct bpf_tables_args args;
};

static int memory_file(size_t size)
{
    int fd = memfd_create("table", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)((size + 65535) / 65536 * 65536)), 0);
    return fd;
}

static void rig_open(struct rig *rig, uint32_t n_rows, uint32_t free_ring_size, uint32_t closed_ring_size)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    memset(rig, 0, sizeof(*rig));
    rig->args = (struct bpf_tables_args){
        .n_rows = n_rows,
        .n_columns = N_BUCKETS,
        .free_ring_size = free_ring_size,
        .closed_ring_size = closed_ring_size,
        .rows_fd = memory_file(n_rows * sizeof(struct switch_row)),
        .ns_fd = memory_file(n_rows * N_BUCKETS * sizeof(uint64_t)),
        .free_ring_fd = memory_file(free_ring_size * sizeof(uint64_t)),
        .closed_ring_fd = memory_file(closed_ring_size * sizeof(uint64_t)),
        .control = &rig->control,
    };
    assert_int_equal(bpf_tables_open(&rig->tables, &rig->args, &err), 0);
}

static void rig_close(struct rig *rig)
{
    bpf_tables_close(&rig->tables);
    close(rig->args.rows_fd);
    close(rig->args.ns_fd);
    close(rig->args.free_ring_fd);
    close(rig->args.closed_ring_fd);
}

/* As take_row() of the programs. */
static uint32_t take(struct rig *rig)
{
    const uint64_t *ring = (uint64_t *)(void *)rig->tables.free_ring.base;
    uint64_t head = rig->control.free_head, value;

    if (head == rig->control.free_tail)
        return BPF_ROW_NONE;
    value = ring[head & (rig->args.free_ring_size - 1)];
    assert_int_equal(value >> 32, (head + 1) & UINT32_MAX);
    rig->control.free_head++;
    rig->control.births++;
    bpf_tables_row(&rig->tables, (uint32_t)value)->state = SWITCH_ROW_LIVE;
    return (uint32_t)value;
}

/* As close_row() of the programs. */
static void end(struct rig *rig, uint32_t row)
{
    uint64_t *ring = (uint64_t *)(void *)rig->tables.closed_ring.base;

    bpf_tables_row(&rig->tables, row)->state |= SWITCH_ROW_ENDED;
    ring[rig->control.closed_head++ & (rig->args.closed_ring_size - 1)] = (uint64_t)row + 1;
}

static uint64_t *ns_of(struct rig *rig, uint32_t row)
{
    return (uint64_t *)(void *)rig->tables.ns.base + (size_t)row * N_BUCKETS;
}

static void test_lowest_rows_first(void **state)
{
    struct rig rig;

    rig_open(&rig, 16384, 8192, 16384);
    assert_int_equal(bpf_tables_refill(&rig.tables, 0, NULL), 0);
    assert_int_equal(bpf_tables_waiting(&rig.tables), BPF_ROWS_WAITING_MIN);
    assert_int_equal(rig.tables.high, BPF_ROWS_WAITING_MIN);
    assert_int_equal(rig.tables.n_free, 16384 - BPF_ROWS_WAITING_MIN);
    for (uint32_t row = 0; row < BPF_ROWS_WAITING_MIN; row++)
        assert_int_equal(take(&rig), row);
    assert_int_equal(take(&rig), BPF_ROW_NONE);

    end(&rig, 7);
    end(&rig, 3);
    assert_int_equal(bpf_tables_closed(&rig.tables, 0), 7);
    assert_int_equal(bpf_tables_closed(&rig.tables, 0), 7); /* until released */
    bpf_tables_release(&rig.tables, 7);
    assert_int_equal(bpf_tables_closed(&rig.tables, 0), 3);
    bpf_tables_release(&rig.tables, 3);
    assert_int_equal(bpf_tables_closed(&rig.tables, 0), BPF_ROW_NONE);
    assert_int_equal(bpf_tables_refill(&rig.tables, 0, NULL), 0);
    assert_int_equal(take(&rig), 3);
    assert_int_equal(take(&rig), 7);
    assert_int_equal(take(&rig), BPF_ROWS_WAITING_MIN);
    rig_close(&rig);
}

static void test_refill_follows_births(void **state)
{
    struct rig rig;

    rig_open(&rig, 16384, 8192, 16384);
    assert_int_equal(bpf_tables_refill(&rig.tables, 5500, NULL), 0);
    assert_int_equal(bpf_tables_waiting(&rig.tables), 5500);
    for (int i = 0; i < 1500; i++)
        take(&rig);
    assert_int_equal(bpf_tables_refill(&rig.tables, 0, NULL), 0);
    assert_int_equal(bpf_tables_waiting(&rig.tables), 6000);
    for (int i = 0; i < 6000; i++)
        take(&rig);
    assert_int_equal(bpf_tables_refill(&rig.tables, 0, NULL), 0);
    assert_int_equal(bpf_tables_waiting(&rig.tables), 8192); /* all that the ring holds */
    assert_int_equal(bpf_tables_refill(&rig.tables, 0, NULL), 0);
    assert_int_equal(bpf_tables_waiting(&rig.tables), 8192); /* what waits is not taken back */
    rig_close(&rig);
}

static void test_take_gives_what_came_since(void **state)
{
    uint64_t out[N_BUCKETS] = {0};
    struct rig rig;
    uint32_t row;

    rig_open(&rig, 64, 64, 64);
    assert_int_equal(bpf_tables_refill(&rig.tables, 0, NULL), 0);
    row = take(&rig);
    assert_false(bpf_tables_take(&rig.tables, row, out));
    ns_of(&rig, row)[1] = 500;
    assert_true(bpf_tables_take(&rig.tables, row, out));
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 500);
    ns_of(&rig, row)[1] = 700;
    ns_of(&rig, row)[2] = 1;
    assert_true(bpf_tables_take(&rig.tables, row, out));
    assert_int_equal(out[1], 200);
    assert_int_equal(out[2], 1);
    assert_false(bpf_tables_take(&rig.tables, row, out));

    /* A row given back starts from zero for its next owner. */
    end(&rig, row);
    bpf_tables_release(&rig.tables, row);
    assert_int_equal(ns_of(&rig, row)[1], 0);
    assert_int_equal(bpf_tables_row(&rig.tables, row)->state, 0);
    ns_of(&rig, row)[1] = 30;
    assert_true(bpf_tables_take(&rig.tables, row, out));
    assert_int_equal(out[1], 30);
    rig_close(&rig);
}

/* All rows go round many times, in an order that mixes them: none is lost, none is given twice. */
static void test_nothing_leaks(void **state)
{
    enum { ROWS = 100 }; /* no power of two: the last word of the free bits is not full */
    bool taken[ROWS] = {false};
    uint32_t live[ROWS], n_live = 0, random = 1;
    struct rig rig;

    rig_open(&rig, ROWS, 64, 128);
    for (int i = 0; i < 100000; i++) {
        uint32_t row;
        random = random * 1664525 + 1013904223;
        assert_int_equal(bpf_tables_refill(&rig.tables, 0, NULL), 0);
        if ((random >> 16) % 3 != 0) {
            row = take(&rig);
            if (row == BPF_ROW_NONE) {
                assert_int_equal(n_live, ROWS);
                continue;
            }
            assert_in_range(row, 0, ROWS - 1);
            assert_false(taken[row]);
            taken[row] = true;
            live[n_live++] = row;
        } else if (n_live > 0) {
            uint32_t at = (random >> 8) % n_live;
            end(&rig, live[at]);
            taken[live[at]] = false;
            live[at] = live[--n_live];
        }
        while ((row = bpf_tables_closed(&rig.tables, 0)) != BPF_ROW_NONE)
            bpf_tables_release(&rig.tables, row);
        assert_int_equal(rig.tables.n_free + bpf_tables_waiting(&rig.tables) + n_live, ROWS);
    }
    assert_true(rig.control.closed_head > 10000);
    rig_close(&rig);
}

/* ---- which closed row is the last of its process ---- */

/* When processes are born from now on: a pid that is used again is another process. */
static uint64_t born_ns;

static uint32_t thread_of(struct rig *rig, uint32_t pid)
{
    uint32_t row = take(rig);

    assert_int_not_equal(row, BPF_ROW_NONE);
    bpf_tables_row(&rig->tables, row)->tgid = pid;
    bpf_tables_row(&rig->tables, row)->start_boot_ns = born_ns;
    return row;
}

static void end_as(struct rig *rig, uint32_t row, uint32_t state)
{
    bpf_tables_row(&rig->tables, row)->state |= state;
    end(rig, row);
}

/* All that wait are taken; a bit for each, in their order: was it the last of its process? */
static unsigned take_ends(struct rig *rig, struct bpf_ends *ends)
{
    uint32_t n = bpf_ends_begin(ends, &rig->tables);
    unsigned last = 0;

    assert_in_range(n, 0, 31);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = bpf_tables_closed(&rig->tables, 0);
        last |= (unsigned)bpf_ends_last(ends, bpf_tables_row(&rig->tables, row)) << i;
        bpf_tables_release(&rig->tables, row);
    }
    assert_int_equal(bpf_tables_closed(&rig->tables, 0), BPF_ROW_NONE);
    return last;
}

static void test_last_row_of_a_process(void **state)
{
    const uint32_t at_end = SWITCH_ROW_THREADED | SWITCH_ROW_PROCESS_ENDED;
    struct bpf_ends ends = {0};
    uint32_t a, b, c, other;
    struct rig rig;

    rig_open(&rig, 64, 64, 64);
    assert_int_equal(bpf_tables_refill(&rig.tables, 0, NULL), 0);
    assert_int_equal(take_ends(&rig, &ends), 0);

    /* One thread, no more: by its own word. */
    other = thread_of(&rig, 7);
    end_as(&rig, thread_of(&rig, 5), SWITCH_ROW_PROCESS_ENDED);
    assert_int_equal(take_ends(&rig, &ends), 1);

    /* Three that see the end, taken together: the last of them. */
    born_ns++;
    a = thread_of(&rig, 5);
    b = thread_of(&rig, 5);
    c = thread_of(&rig, 5);
    end_as(&rig, b, at_end);
    end_as(&rig, a, at_end);
    end_as(&rig, c, at_end);
    assert_int_equal(take_ends(&rig, &ends), 4);

    /* One is still on its way out when the others are taken. */
    born_ns++;
    a = thread_of(&rig, 5);
    b = thread_of(&rig, 5);
    end_as(&rig, a, at_end);
    assert_int_equal(take_ends(&rig, &ends), 0);
    end_as(&rig, b, at_end);
    assert_int_equal(take_ends(&rig, &ends), 1);

    /* A row left behind in another cgroup counts as well; one of another process does not. */
    born_ns++;
    a = thread_of(&rig, 5);
    b = thread_of(&rig, 5);
    c = thread_of(&rig, 5);
    end_as(&rig, a, SWITCH_ROW_THREADED); /* others live on */
    bpf_tables_row(&rig.tables, c)->state |= SWITCH_ROW_MOVED;
    end(&rig, c);
    end_as(&rig, b, at_end);
    end_as(&rig, other, SWITCH_ROW_PROCESS_ENDED);
    assert_int_equal(take_ends(&rig, &ends), 4 + 8);

    /* A thread whose only slice comes after the others were taken: the end was told. The next process with its pid is
     * another. */
    born_ns++;
    end_as(&rig, thread_of(&rig, 5), at_end);
    assert_int_equal(take_ends(&rig, &ends), 1);
    end_as(&rig, thread_of(&rig, 5), at_end);
    assert_int_equal(take_ends(&rig, &ends), 0);
    born_ns++;
    end_as(&rig, thread_of(&rig, 5), at_end);
    assert_int_equal(take_ends(&rig, &ends), 1);
    bpf_ends_done(&ends);
    rig_close(&rig);
}

static void test_mapped_only_as_far_as_used(void **state)
{
    struct rig rig;

    rig_open(&rig, 32768, 8192, 32768);
    assert_int_equal(rig.tables.rows.mapped, 0);
    assert_int_equal(bpf_tables_refill(&rig.tables, 0, NULL), 0);
    assert_int_equal(rig.tables.rows.mapped, BPF_ROWS_WAITING_MIN * sizeof(struct switch_row));
    for (int i = 0; i < BPF_ROWS_WAITING_MIN; i++)
        take(&rig);
    assert_int_equal(bpf_tables_refill(&rig.tables, 0, NULL), 0);
    bpf_tables_row(&rig.tables, rig.tables.high - 1)->tid = 1;
    assert_true(rig.tables.rows.mapped >= rig.tables.high * sizeof(struct switch_row));
    assert_true(rig.tables.rows.mapped <= 2 * rig.tables.high * sizeof(struct switch_row));
    rig_close(&rig);
}

static void test_bad_descriptor(void **state)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct bpf_tables tables;
    struct switch_control control = {0};
    const struct bpf_tables_args args = {.n_rows = 64,
                                         .n_columns = 1,
                                         .free_ring_size = 64,
                                         .closed_ring_size = 64,
                                         .rows_fd = -1,
                                         .ns_fd = -1,
                                         .free_ring_fd = -1,
                                         .closed_ring_fd = -1,
                                         .control = &control};

    assert_int_equal(bpf_tables_open(&tables, &args, &err), -EBADF);
    assert_non_null(strstr(err.msg, "cannot map"));
    bpf_tables_close(&tables); /* nothing to close, no harm */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lowest_rows_first),          cmocka_unit_test(test_refill_follows_births),
        cmocka_unit_test(test_take_gives_what_came_since), cmocka_unit_test(test_nothing_leaks),
        cmocka_unit_test(test_mapped_only_as_far_as_used), cmocka_unit_test(test_bad_descriptor),
        cmocka_unit_test(test_last_row_of_a_process),
    };

    return cmocka_run_group_tests_name("sources/bpf_tables", tests, NULL, NULL);
}
