/* SPDX-License-Identifier: Apache-2.0 */
/* The paths of the simulated /sys and what each is. Knows the layout of powercap; reads and writes nothing. */
#ifndef CARNOT_SIM_TREE_H
#define CARNOT_SIM_TREE_H

#include "machine.h"

#define TREE_PATH_MAX 160

enum tree_type { TREE_DIR, TREE_LINK, TREE_FILE, TREE_CONTROL, TREE_TRUTH, TREE_REAL };

enum tree_attr { ATTR_NAME, ATTR_ENERGY, ATTR_RANGE, ATTR_ENABLED, ATTR_CONSTRAINT_NAME, ATTR_MAX_POWER };

struct tree_entry {
    char path[TREE_PATH_MAX]; /* without the leading '/'; "" is the root */
    enum tree_type type;
    enum tree_attr attr; /* of a file */
    int zone;            /* -1: of none */
    char target[TREE_PATH_MAX];
};

struct tree {
    struct tree_entry *entries;
    size_t n, cap;
    bool all_real; /* what is not simulated comes from the real /sys */
};

/* passthrough: paths below /sys ("devices/system/cpu"); "" for all that is not simulated. */
int tree_build(const struct sim_machine *machine, const char *const *passthrough, size_t n_passthrough,
               struct tree *ret_tree);
void tree_done(struct tree *tree);

/* NULL when the path is not simulated, or its zone has vanished. */
const struct tree_entry *tree_find(const struct tree *tree, const struct sim_machine *machine, const char *path);

/* True when the path comes from the real /sys. */
bool tree_is_real(const struct tree *tree, const char *path);

/* The last component when `path` lies directly in `dir`, else NULL. */
const char *tree_child_of(const char *dir, const char *path);

#endif
