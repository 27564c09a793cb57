/* SPDX-License-Identifier: Apache-2.0 */
/* From a view to the rows of `carnot top`: chosen, summed along a tree, filtered, sorted, cut. Pure: no text layout, no
 * terminal.
 *
 * What is cut or filtered away is not lost: rows.hidden holds the rest, so that shown + hidden + entities = node. */
#ifndef CARNOT_CLI_ROWS_H
#define CARNOT_CLI_ROWS_H

#include "cli/view.h"

enum rows_by { ROWS_PROCESS, ROWS_CGROUP, ROWS_USER, ROWS_BY };
enum rows_sort { ROWS_POWER, ROWS_ENERGY, ROWS_CPU, ROWS_PID, ROWS_NAME, ROWS_SORTS };
extern const char *const rows_by_names[];   /* "process", "cgroup", "user", NULL */
extern const char *const rows_sort_names[]; /* "power", "energy", "cpu", "pid", "name", NULL */

struct rows_options {
    int by;   /* enum rows_by */
    int sort; /* enum rows_sort; figures from the largest, pid and name from the smallest */
    bool reverse;
    bool tree;          /* cgroups by path, processes below their user; a row then includes what is below it */
    const char *filter; /* part of name, user, cgroup, type or PID, any case; NULL or "": all */
    size_t max_rows;    /* 0: all */
};

struct row {
    const struct view_unit *unit; /* NULL: made up for the tree, has no processes of its own */
    const char *name, *user;
    unsigned depth;
    uint64_t window_uj, energy_uj, window_cpu_ns;
};

struct rows {
    struct arena arena; /* owns rows; names point into it and into the view */
    struct row *rows;
    size_t n;
    size_t n_hidden; /* units cut, filtered or not sent */
    uint64_t hidden_window_uj, hidden_energy_uj;
};

/* Fills ret (call rows_done, whatever the result). The view must outlive it. 0 or -ENOMEM. */
int rows_build(const struct view *view, const struct rows_options *options, struct rows *ret);
void rows_done(struct rows *rows);

enum unit_kind rows_kind(int by);

#endif
