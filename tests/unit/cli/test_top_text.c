/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of top (sums, order, filter, trees) and the plain tables as golden text. */
#include "files.h"

#include "cli/history.h"
#include "cli/rows.h"
#include "cli/top_text.h"

/* Whatever is cut or filtered: shown + hidden + entities = node. */
static void assert_adds_up(const struct view *view, const struct rows *rows)
{
    uint64_t window_uj = rows->hidden_window_uj, energy_uj = rows->hidden_energy_uj;

    for (size_t i = 0; i < rows->n; i++) {
        window_uj += rows->rows[i].depth == 0 ? rows->rows[i].window_uj : 0;
        energy_uj += rows->rows[i].depth == 0 ? rows->rows[i].energy_uj : 0;
    }
    for (int e = 0; e < ENTITIES; e++) {
        window_uj += view->total_entity_window_uj[e];
        energy_uj += view->total_entity_uj[e];
    }
    assert_int_equal(window_uj, view->total_window_uj);
    assert_int_equal(energy_uj, view->total_energy_uj);
}

static void table_adds_up_always(void **state)
{
    static const char *const filters[] = {NULL, "cc1", "ALICE", "nothing has this", "812"};
    struct view *view = golden_view("all.json");

    for (int by = 0; by < ROWS_BY; by++) {
        for (int sort = 0; sort < ROWS_SORTS; sort++) {
            for (size_t f = 0; f < ELEMENTSOF(filters); f++) {
                for (unsigned bits = 0; bits < 16; bits++) {
                    const struct rows_options options = {.by = by,
                                                         .sort = sort,
                                                         .filter = filters[f],
                                                         .tree = bits & 1,
                                                         .reverse = bits & 2,
                                                         .max_rows = bits >> 2};
                    struct rows rows;

                    assert_int_equal(rows_build(view, &options, &rows), 0);
                    assert_adds_up(view, &rows);
                    if (options.max_rows)
                        assert_true(rows.n <= options.max_rows);
                    rows_done(&rows);
                }
            }
        }
    }
    view_free(view);
}

static void assert_names(const char *file, const struct rows_options *options, const char *const *names)
{
    struct view *view = golden_view(file);
    struct rows rows;
    size_t n = 0;

    assert_int_equal(rows_build(view, options, &rows), 0);
    for (; names[n]; n++) {
        assert_true(n < rows.n);
        assert_string_equal(rows.rows[n].name, names[n]);
    }
    assert_int_equal(rows.n, n);
    rows_done(&rows);
    view_free(view);
}

static void sorts_rows(void **state)
{
    static const char *const by_pid[] = {"cc1", "postgres: wal wr\u00eeter \u30c7\u30fc\u30bf", "sh", "cc1", NULL};
    static const char *const by_power_up[] = {"cc1", "sh", "postgres: wal wr\u00eeter \u30c7\u30fc\u30bf", "cc1", NULL};
    static const char *const users[] = {"alice", "postgres", NULL};

    assert_names("all.json", &(struct rows_options){.by = ROWS_PROCESS, .sort = ROWS_PID}, by_pid);
    assert_names("all.json", &(struct rows_options){.by = ROWS_PROCESS, .reverse = true}, by_power_up);
    assert_names("all.json", &(struct rows_options){.by = ROWS_USER, .sort = ROWS_NAME}, users);
}

static void filters_rows(void **state)
{
    static const char *const alice[] = {"cc1", "sh", "cc1", NULL};
    static const char *const one[] = {"sh", NULL};
    static const char *const none[] = {NULL};
    static const char *const branch[] = {"/", "system.slice", "postgresql.service", NULL};

    assert_names("all.json", &(struct rows_options){.by = ROWS_PROCESS, .filter = "Alice"}, alice);
    assert_names("all.json", &(struct rows_options){.by = ROWS_PROCESS, .filter = "4200"}, one);
    assert_names("all.json", &(struct rows_options){.by = ROWS_PROCESS, .filter = "420"}, none); /* a PID is whole */
    /* a branch stays when something in it passes */
    assert_names("all.json", &(struct rows_options){.by = ROWS_CGROUP, .tree = true, .filter = "postgresql"}, branch);
}

static void sums_up_trees(void **state)
{
    const struct rows_options options = {.by = ROWS_CGROUP, .tree = true};
    struct view *view = golden_view("all.json");
    struct rows rows;

    assert_int_equal(rows_build(view, &options, &rows), 0);
    /* "/" holds all; it and the slices have no processes of their own */
    assert_string_equal(rows.rows[0].name, "/");
    assert_null(rows.rows[0].unit);
    assert_int_equal(rows.rows[0].window_uj, 6600000);
    assert_string_equal(rows.rows[1].name, "user.slice");
    assert_int_equal(rows.rows[1].depth, 1);
    assert_int_equal(rows.rows[1].window_uj, 4300000);
    assert_string_equal(rows.rows[3].name, "session-2.scope");
    assert_int_equal(rows.rows[3].depth, 3);
    assert_non_null(rows.rows[3].unit);
    assert_int_equal(rows.n, 6);
    assert_int_equal(rows.n_hidden, 0);
    rows_done(&rows);
    view_free(view);
}

static void assert_text(const char *file, const struct rows_options *options, const struct top_layout *layout,
                        const char *golden)
{
    struct view *view = golden_view(file);
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(top_text(view, options, layout, &out), 0);
    assert_golden(&out, golden);
    buf_done(&out);
    view_free(view);
}

static void golden_tables(void **state)
{
    const struct top_layout wide = {.utf8 = true}, narrow = {.width = 80};

    assert_text("all.json", &(struct rows_options){.by = ROWS_PROCESS}, &wide, "process.txt");
    assert_text("all.json", &(struct rows_options){.by = ROWS_PROCESS, .max_rows = 2}, &narrow, "process_narrow.txt");
    assert_text("all.json", &(struct rows_options){.by = ROWS_PROCESS, .tree = true}, &wide, "process_tree.txt");
    assert_text("all.json", &(struct rows_options){.by = ROWS_CGROUP}, &wide, "cgroup.txt");
    assert_text("all.json", &(struct rows_options){.by = ROWS_CGROUP, .tree = true}, &wide, "cgroup_tree.txt");
    assert_text("all.json", &(struct rows_options){.by = ROWS_USER}, &wide, "user.txt");
    assert_text("own.json", &(struct rows_options){.by = ROWS_PROCESS}, &wide, "own.txt");
}

static void history_follows_units(void **state)
{
    struct view *view = golden_view("all.json");
    struct history *history = NULL;
    struct buf out;

    buf_init(&out, 1000);
    assert_int_equal(history_new(&history), 0);
    history_put(history, &view->units[4], &out);
    assert_string_equal(buf_str(&out), "        "); /* never seen */
    buf_reset(&out);
    assert_int_equal(history_update(history, view), 0);
    assert_int_equal(history_update(history, view), 0); /* the same window: once */
    view->seq++;
    view->units[4].total_window_uj /= 7;
    assert_int_equal(history_update(history, view), 0);
    history_put(history, &view->units[4], &out);
    assert_string_equal(buf_str(&out), "      \u2588\u2582");
    buf_reset(&out);
    view->seq++;
    view->n_units = 4; /* the processes have gone */
    assert_int_equal(history_update(history, view), 0);
    history_put(history, &view->units[4], &out);
    assert_string_equal(buf_str(&out), "        ");
    assert_null(history_free(history));
    buf_done(&out);
    view_free(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_adds_up_always), cmocka_unit_test(sorts_rows),
        cmocka_unit_test(filters_rows),         cmocka_unit_test(sums_up_trees),
        cmocka_unit_test(golden_tables),        cmocka_unit_test(history_follows_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
