/* SPDX-License-Identifier: Apache-2.0 */
/* See unit_table.h. Memory grows by doubling and is reused; a machine whose set of processes has settled allocates
 * nothing here. */
#include "meter/unit_table.h"

#include <errno.h>
#include <stdio.h>

#include "base/parse.h"
#include "model/labels.h"
#include "units/unit.h"

#define UNITS_FIRST 256         /* grows by doubling: a laptop has about 400 processes, 80 cgroups */
#define PASSWD_MAX  (256 << 10) /* a larger local /etc/passwd is a generated one; its users show by number */

#define NOT_LISTED "(processes not listed)"

enum { AGGREGATE_KEY = 0x61676772 }; /* keeps aggregate keys apart from process keys */

static int grow(struct unit_table *table)
{
    uint32_t cap = table->cap ? table->cap * 2 : UNITS_FIRST;
    struct unit *units;
    uint64_t *sums;
    uint32_t *free_list;

    if (cap > UNITS_MAX)
        return -E2BIG;
    units = realloc(table->units, cap * sizeof *units);
    if (!units)
        return -ENOMEM;
    table->units = units;
    sums = realloc(table->energy_uj, cap * table->n_domains * sizeof *sums);
    if (!sums)
        return -ENOMEM;
    table->energy_uj = sums;
    sums = realloc(table->window_uj, cap * table->n_domains * sizeof *sums);
    if (!sums)
        return -ENOMEM;
    table->window_uj = sums;
    free_list = realloc(table->free_list, cap * sizeof *free_list);
    if (!free_list)
        return -ENOMEM;
    table->free_list = free_list;
    memset(units + table->cap, 0, (cap - table->cap) * sizeof *units);
    /* Highest first, so that the lowest number is taken first and the used part stays short. */
    for (uint32_t i = cap; i-- > table->cap;)
        table->free_list[table->n_free++] = i;
    table->cap = cap;
    return 0;
}

int unit_table_init(struct unit_table *table, const struct carnot_env *env, const struct cgroup_tree *cgroups,
                    size_t n_domains)
{
    *table = (struct unit_table){.env = env, .cgroups = cgroups, .n_domains = n_domains, .next_id = 1};
    return grow(table);
}

static void clear_unit(struct unit *unit)
{
    free(unit->name);
    free(unit->path);
    free(unit->labels);
    *unit = (struct unit){0};
}

void unit_table_done(struct unit_table *table)
{
    for (uint32_t i = 0; i < table->high; i++)
        clear_unit(&table->units[i]);
    free(table->units);
    free(table->energy_uj);
    free(table->window_uj);
    free(table->free_list);
    for (size_t i = 0; i < UNIT_KINDS; i++)
        u64map_done(&table->by_key[i]);
    u64map_done(&table->by_path);
    *table = (struct unit_table){0};
}

static int find(const struct unit_table *table, enum unit_kind kind, uint64_t key)
{
    uint32_t index = u64map_get(&table->by_key[kind], key);

    return index == U64MAP_NONE ? -ENOENT : (int)index;
}

static int make(struct unit_table *table, enum unit_kind kind, uint64_t key, uint64_t start_real_ns)
{
    uint32_t index;
    int r;

    if (table->n_free == 0) {
        r = grow(table);
        if (r < 0)
            return r;
    }
    index = table->free_list[table->n_free - 1];
    r = u64map_put(&table->by_key[kind], key, index);
    if (r < 0)
        return r;
    table->n_free--;
    if (index >= table->high)
        table->high = index + 1;
    table->units[index] = (struct unit){
        .kind = kind,
        .in_use = true,
        .id = table->next_id++,
        .key = key,
        .uid = UNIT_UID_UNKNOWN,
        .cgroup = CGROUP_NONE,
        .start_real_ns = start_real_ns,
        .manager = "",
        .type = "",
    };
    memset(table->energy_uj + index * table->n_domains, 0, table->n_domains * sizeof(uint64_t));
    memset(table->window_uj + index * table->n_domains, 0, table->n_domains * sizeof(uint64_t));
    return (int)index;
}

static char *make_labels(const char *const labels[][2], size_t n_labels)
{
    struct label_writer writer = {.size = 1};

    for (size_t i = 0; i < n_labels; i++)
        writer.size += label_room(labels[i][0], labels[i][1]);
    writer.out = malloc(writer.size);
    if (!writer.out)
        return NULL;
    writer.out[0] = '\0';
    for (size_t i = 0; i < n_labels; i++)
        label_put(&writer, labels[i][0], labels[i][1]);
    return writer.out;
}

/* Names and labels are made once, here. On lack of memory the unit goes away again. */
static int name_unit(struct unit_table *table, int index, const char *name, const char *path,
                     const char *const labels[][2], size_t n_labels)
{
    struct unit *unit = &table->units[index];

    unit->name = strdup(name);
    unit->path = strdup(path);
    unit->labels = make_labels(labels, n_labels);
    if (!unit->name || !unit->path || !unit->labels) {
        unit_table_remove(table, (uint32_t)index);
        return -ENOMEM;
    }
    return index;
}

/* The unit that had this path before, with the new cgroup as its own; -ENOENT when there is none. */
static int revive_cgroup(struct unit_table *table, uint64_t path_key, const char *path, uint32_t cgroup)
{
    uint32_t index = u64map_get(&table->by_path, path_key);
    struct unit *unit;

    if (index == U64MAP_NONE || strcmp(table->units[index].path, path) != 0)
        return -ENOENT;
    if (u64map_put(&table->by_key[UNIT_CGROUP], cgroup, index) < 0)
        return -ENOMEM;
    unit = &table->units[index];
    if (unit->dormant)
        table->n_dormant--;
    unit->dormant = false;
    unit->cgroup = cgroup;
    unit->flags &= ~(unsigned)UNIT_ENDED;
    unit->ended_seq = 0;
    return (int)index;
}

int unit_table_cgroup(struct unit_table *table, uint32_t cgroup, uint64_t now_real_ns)
{
    const struct cgroup *entry = table->cgroups ? cgroup_tree_get(table->cgroups, cgroup) : NULL;
    struct unit_info info;
    int index = find(table, UNIT_CGROUP, cgroup);

    if (index >= 0 && entry && !entry->gone && strcmp(table->units[index].path, entry->path) != 0) {
        /* Renamed (v1): another unit from now on. The old one ends, or is found again by its path. */
        u64map_remove(&table->by_key[UNIT_CGROUP], cgroup);
        if (table->units[index].cgroup == cgroup)
            table->units[index].cgroup = CGROUP_NONE;
        index = -ENOENT;
    }
    if (index >= 0)
        return index;
    const char *path = entry ? entry->path : "/";
    uint64_t path_key = hash_bytes(path, strlen(path), 0);
    index = revive_cgroup(table, path_key, path, cgroup);
    if (index != -ENOENT)
        return index;
    unit_of_cgroup(path, &info);
    index = make(table, UNIT_CGROUP, cgroup, now_real_ns);
    if (index < 0)
        return index;
    struct unit *unit = &table->units[index];
    unit->cgroup = cgroup;
    unit->uid = info.owner_uid;
    unit->manager = info.manager;
    unit->type = info.type;
    const char *const labels[][2] = {
        {"cgroup", path}, {"unit", info.name}, {"manager", info.manager}, {"type", info.type}};
    index = name_unit(table, index, info.name, path, labels, ELEMENTSOF(labels));
    if (index >= 0 && u64map_put(&table->by_path, path_key, (uint32_t)index) < 0) {
        unit_table_remove(table, (uint32_t)index);
        return -ENOMEM;
    }
    return index;
}

/* Name of a user from etc/passwd below the root; other name services would block the loop, so such users show by
 * number. */
static void user_name(const struct carnot_env *env, uint32_t uid, char *out, size_t size)
{
    _cleanup_free_ char *passwd = malloc(PASSWD_MAX);
    ssize_t n = passwd ? fsroot_read(&env->root, "etc/passwd", passwd, PASSWD_MAX, NULL) : -ENOMEM;
    struct text rest = {passwd, n > 0 ? (size_t)n : 0}, line;

    while (scan_line(&rest, &line)) {
        struct text name, skipped, number;
        uint64_t value;

        if (scan_until(&line, ':', &name) && scan_until(&line, ':', &skipped) && scan_until(&line, ':', &number) &&
            parse_u64(number, &value) == 0 && value == uid) {
            snprintf(out, size, "%.*s", (int)min_size(name.n, size - 1), name.p);
            return;
        }
    }
    snprintf(out, size, "%u", uid);
}

int unit_table_user(struct unit_table *table, uint32_t uid, uint64_t now_real_ns)
{
    char name[64] = "(unknown)", number[16] = "";
    int index = find(table, UNIT_USER, uid);

    if (index >= 0)
        return index;
    if (uid != UNIT_UID_UNKNOWN && table->n_users >= USERS_MAX)
        return unit_table_user(table, UNIT_UID_UNKNOWN, now_real_ns);
    index = make(table, UNIT_USER, uid, now_real_ns);
    if (index < 0)
        return index;
    table->n_users++;
    table->units[index].uid = uid;
    table->units[index].type = "user";
    if (uid != UNIT_UID_UNKNOWN) {
        user_name(table->env, uid, name, sizeof name);
        snprintf(number, sizeof number, "%u", uid);
    }
    const char *const labels[][2] = {{"user", name}, {"uid", number}};
    return name_unit(table, index, name, "", labels, ELEMENTSOF(labels));
}

static uint64_t process_key(uint32_t pid, uint64_t start_boot_ns)
{
    return hash_bytes(&start_boot_ns, sizeof start_boot_ns, pid);
}

int unit_table_find_process(const struct unit_table *table, uint32_t pid, uint64_t start_boot_ns)
{
    return find(table, UNIT_PROCESS, process_key(pid, start_boot_ns));
}

int unit_table_process(struct unit_table *table, uint32_t pid, uint64_t start_boot_ns, uint64_t start_real_ns,
                       uint32_t cgroup, uint32_t uid, const char *comm)
{
    uint64_t key = process_key(pid, start_boot_ns);
    int index = find(table, UNIT_PROCESS, key);
    struct unit *unit;

    if (index < 0 && table->n_processes >= PROCESSES_MAX)
        return -E2BIG;
    if (index < 0) {
        index = make(table, UNIT_PROCESS, key, start_real_ns);
        if (index < 0)
            return index;
        table->n_processes++;
    }
    unit = &table->units[index];
    unit->pid = pid;
    unit->start_boot_ns = start_boot_ns;
    unit->cgroup = cgroup;
    unit->uid = uid;
    unit->type = "process";
    snprintf(unit->comm, sizeof unit->comm, "%.15s", comm);
    return index;
}

int unit_table_aggregate(struct unit_table *table, uint32_t cgroup, uint32_t uid, const char *comm,
                         uint64_t now_real_ns)
{
    struct {
        uint32_t cgroup, uid;
        char comm[UNIT_COMM_MAX];
    } id = {.uid = UNIT_UID_UNKNOWN, .comm = NOT_LISTED};
    int index = unit_table_cgroup(table, cgroup, now_real_ns), user = unit_table_user(table, uid, now_real_ns);

    if (index < 0 || user < 0)
        return index < 0 ? index : user;
    /* By the units, not the tree's index or the number: a cgroup that was made again keeps its aggregates, and users
     * beyond the limit share theirs. */
    id.cgroup = table->units[index].id;
    id.uid = table->units[user].uid;
    if (comm) {
        memset(id.comm, 0, sizeof id.comm);
        snprintf(id.comm, sizeof id.comm, "%.15s", comm);
    }
    uint64_t key = hash_bytes(&id, sizeof id, AGGREGATE_KEY);
    index = find(table, UNIT_PROCESS, key);
    if (index < 0 && comm && table->n_aggregates >= AGGREGATES_MAX) {
        table->n_folded++;
        return unit_table_aggregate(table, cgroup, uid, NULL, now_real_ns);
    }
    if (index < 0) {
        index = make(table, UNIT_PROCESS, key, now_real_ns);
        if (index < 0)
            return index;
        table->n_aggregates++;
    }
    struct unit *unit = &table->units[index];
    unit->flags = UNIT_AGGREGATE;
    unit->ended_seq = 0;
    unit->cgroup = cgroup;
    unit->cgroup_unit_id = id.cgroup;
    unit->uid = id.uid;
    unit->type = "process";
    memcpy(unit->comm, id.comm, sizeof unit->comm);
    return index;
}

int unit_table_find_session(const struct unit_table *table, uint32_t session)
{
    return find(table, UNIT_SESSION, session);
}

int unit_table_session(struct unit_table *table, uint32_t session, uint32_t uid, const char *label,
                       uint64_t now_real_ns)
{
    int index = make(table, UNIT_SESSION, session, now_real_ns);

    if (index < 0)
        return index;
    table->units[index].session = session;
    table->units[index].uid = uid;
    table->units[index].type = "session";
    const char *const labels[][2] = {{"session", label}};
    return name_unit(table, index, label, "", labels, ELEMENTSOF(labels));
}

void unit_table_window_reset(struct unit_table *table)
{
    memset(table->window_uj, 0, table->high * table->n_domains * sizeof *table->window_uj);
    for (uint32_t i = 0; i < table->high; i++)
        table->units[i].window_cpu_ns = 0;
}

bool unit_table_release_cgroup(struct unit_table *table, uint32_t cgroup)
{
    int index = find(table, UNIT_CGROUP, cgroup);

    if (index < 0)
        return true;
    if (table->units[index].cgroup == cgroup)
        return false;
    u64map_remove(&table->by_key[UNIT_CGROUP], cgroup);
    return true;
}

/* The map is by hash: only the entry that leads to this very unit is its own. */
static void forget_path(struct unit_table *table, const struct unit *unit, uint32_t index)
{
    uint64_t key = unit->path ? hash_bytes(unit->path, strlen(unit->path), 0) : 0;

    if (unit->path && u64map_get(&table->by_path, key) == index)
        u64map_remove(&table->by_path, key);
}

void unit_table_remove(struct unit_table *table, uint32_t index)
{
    struct unit *unit = &table->units[index];

    if (!unit->in_use)
        return;
    if (unit->kind == UNIT_CGROUP)
        forget_path(table, unit, index);
    if (unit->flags & UNIT_AGGREGATE)
        table->n_aggregates--;
    else if (unit->kind == UNIT_PROCESS)
        table->n_processes--;
    if (unit->kind == UNIT_USER)
        table->n_users--;
    table->n_dormant -= unit->dormant;
    u64map_remove(&table->by_key[unit->kind], unit->kind == UNIT_CGROUP ? unit->cgroup : unit->key);
    clear_unit(unit);
    table->free_list[table->n_free++] = index;
    while (table->high && !table->units[table->high - 1].in_use)
        table->high--;
}

/* The dormant cgroup that ended first; only called when there is one. */
static uint32_t longest_asleep(const struct unit_table *table)
{
    uint32_t found = UINT32_MAX;

    for (uint32_t i = 0; i < table->high; i++)
        if (table->units[i].dormant &&
            (found == UINT32_MAX || table->units[i].ended_seq < table->units[found].ended_seq))
            found = i;
    return found;
}

void unit_table_put_to_sleep(struct unit_table *table, uint32_t index)
{
    struct unit *unit = &table->units[index];

    if (table->n_dormant >= DORMANT_MAX)
        unit_table_remove(table, longest_asleep(table));
    u64map_remove(&table->by_key[UNIT_CGROUP], unit->cgroup);
    unit->cgroup = CGROUP_NONE;
    unit->dormant = true;
    table->n_dormant++;
}
