/* SPDX-License-Identifier: Apache-2.0 */
/* As the kernel lays it out: zones nest below devices/virtual/powercap, class/powercap holds links to all of them. */
#include "tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEVICES "devices/virtual/powercap"

static struct tree_entry *add(struct tree *tree, const char *path, enum tree_type type, int zone)
{
    if (tree->n == tree->cap) {
        size_t cap = tree->cap ? tree->cap * 2 : 256;
        struct tree_entry *grown = realloc(tree->entries, cap * sizeof(*grown));
        if (!grown)
            return NULL;
        tree->entries = grown;
        tree->cap = cap;
    }
    struct tree_entry *entry = &tree->entries[tree->n++];
    *entry = (struct tree_entry){.type = type, .zone = zone};
    snprintf(entry->path, sizeof(entry->path), "%s", path);
    return entry;
}

static bool has(const struct tree *tree, const char *path)
{
    for (size_t i = 0; i < tree->n; i++) {
        if (strcmp(tree->entries[i].path, path) == 0)
            return true;
    }
    return false;
}

/* Adds the directories that lead to a path. */
static int add_parents(struct tree *tree, const char *path)
{
    char dir[TREE_PATH_MAX];

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
        if (!has(tree, dir) && !add(tree, dir, TREE_DIR, -1))
            return -ENOMEM;
    }
    return 0;
}

static void control_type(const struct sim_zone *zone, char *out, size_t size)
{
    snprintf(out, size, "%.*s", (int)strcspn(zone->id, ":"), zone->id);
}

static int add_zone(struct tree *tree, const struct sim_machine *machine, int zone)
{
    static const struct {
        const char *file;
        enum tree_attr attr;
    } files[] = {
        {"name", ATTR_NAME},
        {"energy_uj", ATTR_ENERGY},
        {"max_energy_range_uj", ATTR_RANGE},
        {"enabled", ATTR_ENABLED},
        {"constraint_0_name", ATTR_CONSTRAINT_NAME},
        {"constraint_0_max_power_uw", ATTR_MAX_POWER},
    };
    const struct sim_zone *z = &machine->zones[zone];
    char type[48], dir[TREE_PATH_MAX / 2], path[TREE_PATH_MAX];

    control_type(z, type, sizeof(type));
    if (z->parent >= 0)
        snprintf(dir, sizeof(dir), "%.16s/%.20s/%.20s", type, machine->zones[z->parent].id, z->id);
    else
        snprintf(dir, sizeof(dir), "%.16s/%.20s", type, z->id);
    snprintf(path, sizeof(path), DEVICES "/%s", dir);
    if (add_parents(tree, path) < 0 || !add(tree, path, TREE_DIR, zone))
        return -ENOMEM;
    for (size_t i = 0; i < ELEMENTSOF(files); i++) {
        snprintf(path, sizeof(path), DEVICES "/%s/%s", dir, files[i].file);
        struct tree_entry *entry = add(tree, path, TREE_FILE, zone);
        if (!entry)
            return -ENOMEM;
        entry->attr = files[i].attr;
    }
    snprintf(path, sizeof(path), "class/powercap/%s", z->id);
    struct tree_entry *link = add(tree, path, TREE_LINK, zone);
    if (!link)
        return -ENOMEM;
    snprintf(link->target, sizeof(link->target), "../../" DEVICES "/%s", dir);
    return 0;
}

static int add_control_types(struct tree *tree)
{
    for (size_t i = 0; i < tree->n; i++) {
        char path[TREE_PATH_MAX];
        const char *type = tree_child_of(DEVICES, tree->entries[i].path);
        if (!type)
            continue;
        snprintf(path, sizeof(path), "class/powercap/%.64s", type);
        struct tree_entry *link = add(tree, path, TREE_LINK, -1);
        if (!link)
            return -ENOMEM;
        snprintf(link->target, sizeof(link->target), "../../" DEVICES "/%.64s", strrchr(path, '/') + 1);
    }
    return 0;
}

int tree_build(const struct sim_machine *machine, const char *const *passthrough, size_t n_passthrough,
               struct tree *ret_tree)
{
    struct tree tree = {0};
    int r = 0;

    if (!add(&tree, "", TREE_DIR, -1) || !add(&tree, ".control", TREE_CONTROL, -1) ||
        !add(&tree, ".truth", TREE_TRUTH, -1) || !add(&tree, "class", TREE_DIR, -1) ||
        !add(&tree, "class/powercap", TREE_DIR, -1))
        r = -ENOMEM;
    for (int zone = 0; zone < machine->n_zones && r == 0; zone++)
        r = add_zone(&tree, machine, zone);
    if (r == 0)
        r = add_control_types(&tree);
    for (size_t i = 0; i < n_passthrough && r == 0; i++) {
        if (passthrough[i][0] == '\0')
            tree.all_real = true;
        else if (add_parents(&tree, passthrough[i]) < 0 || !add(&tree, passthrough[i], TREE_REAL, -1))
            r = -ENOMEM;
    }
    if (r < 0) {
        tree_done(&tree);
        return r;
    }
    *ret_tree = tree;
    return 0;
}

void tree_done(struct tree *tree)
{
    free(tree->entries);
    *tree = (struct tree){0};
}

const struct tree_entry *tree_find(const struct tree *tree, const struct sim_machine *machine, const char *path)
{
    for (size_t i = 0; i < tree->n; i++) {
        const struct tree_entry *entry = &tree->entries[i];
        if (strcmp(entry->path, path) == 0)
            return entry->zone >= 0 && machine->zones[entry->zone].vanished ? NULL : entry;
    }
    return NULL;
}

static bool is_below(const char *dir, const char *path)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

bool tree_is_real(const struct tree *tree, const char *path)
{
    for (size_t i = 0; i < tree->n; i++) {
        if (tree->entries[i].type == TREE_REAL && is_below(tree->entries[i].path, path))
            return true;
    }
    return tree->all_real && !is_below("class/powercap", path) && !is_below(DEVICES, path) && !has(tree, path);
}

const char *tree_child_of(const char *dir, const char *path)
{
    size_t n = strlen(dir);
    const char *rest = path;

    if (n) {
        if (strncmp(path, dir, n) != 0 || path[n] != '/')
            return NULL;
        rest = path + n + 1;
    }
    return rest[0] && !strchr(rest, '/') ? rest : NULL;
}
