/* SPDX-License-Identifier: Apache-2.0 */
/* Polls processes. Knows identity, parents and cgroups of processes; refuses to know what is billed.
 *
 * What starts and ends between two polls is never seen here. Entries are slots of one array made at the start: polling
 * allocates nothing but, as the number of processes grows, the map's table. */
#include "sources/proc_table.h"

#include <errno.h>

#include "sources/cgroup_parse.h"
#include "sources/proc_read.h"

/* Polls between two looks at a known process's cgroup: processes seldom move, and it costs as much as its stat. Spread
 * over the polls by pid. */
#define CGROUP_REFRESH 10
/* 14 v1 hierarchies with a path each; a longer file is not understood and the process is billed to the root. */
#define PROC_CGROUP_MAX 16384
#define ANCESTORS_MAX   1024 /* chain of parents that are followed: deeper trees are not made by people */

int proc_table_init(struct proc_table *table, const struct activity_args *args, struct carnot_err *err)
{
    uint32_t max = args->max_tasks ? args->max_tasks : PROC_TABLE_DEFAULT;
    struct proc_entry *entries = calloc(max, sizeof(*entries));

    if (!entries)
        return carnot_err_set(err, ENOMEM, "out of memory for a table of %u processes", max);
    *table = (struct proc_table){
        .env = args->env,
        .cgroups = args->cgroups,
        .monitor_pid = args->monitor_pid,
        .entries = entries,
        .max = max,
    };
    return 0;
}

void proc_table_done(struct proc_table *table)
{
    free(table->entries);
    u64map_done(&table->by_pid);
    *table = (struct proc_table){0};
}

static struct proc_entry *find(const struct proc_table *table, uint32_t pid)
{
    uint32_t index = u64map_get(&table->by_pid, pid);

    return index == U64MAP_NONE ? NULL : &table->entries[index];
}

static void drop(struct proc_table *table, uint32_t index)
{
    struct proc_entry *p = &table->entries[index];

    /* The pid may have a new owner already. */
    if (u64map_get(&table->by_pid, p->pid) == index)
        u64map_remove(&table->by_pid, p->pid);
    *p = (struct proc_entry){0};
    table->n_used--;
    if (index < table->free_hint)
        table->free_hint = index;
    while (table->count && !table->entries[table->count - 1].used)
        table->count--;
}

static struct proc_entry *take(struct proc_table *table, uint32_t pid)
{
    uint32_t index = table->free_hint;

    if (table->n_used == table->max)
        return NULL;
    while (table->entries[index].used)
        index++;
    if (u64map_put(&table->by_pid, pid, index) < 0)
        return NULL;
    table->free_hint = index + 1;
    table->n_used++;
    if (index >= table->count)
        table->count = index + 1;
    table->entries[index] = (struct proc_entry){.pid = pid, .used = true};
    return &table->entries[index];
}

static uint64_t start_ns(const struct proc_entry *p)
{
    return p->start_ticks * NS_PER_TICK;
}

/* ---- cgroup ---- */

static void look_up_cgroup(struct proc_table *table, struct proc_entry *p)
{
    char name[32], buf[PROC_CGROUP_MAX], path[CGROUP_PATH_MAX];

    p->cgroup = CGROUP_ROOT;
    p->cgroup_exact = true;
    snprintf(name, sizeof(name), "%u/cgroup", p->pid);
    ssize_t n = fsroot_read(&table->env->proc, name, buf, sizeof(buf), NULL);
    if (n >= 0 && cgroup_parse_proc(table->cgroups, buf, (size_t)n, path, sizeof(path)) >= 0) {
        uint32_t exact = cgroup_tree_find_path(table->cgroups, path);
        p->cgroup_exact = exact != CGROUP_NONE;
        p->cgroup = p->cgroup_exact ? exact : cgroup_tree_find_nearest(table->cgroups, path);
    }
    p->cgroup_id = cgroup_tree_get(table->cgroups, p->cgroup)->id;
}

static bool cgroup_is_stale(const struct proc_table *table, const struct proc_entry *p)
{
    const struct cgroup *cgroup = cgroup_tree_get(table->cgroups, p->cgroup);

    return !p->cgroup_exact || !cgroup || cgroup->gone || cgroup->id != p->cgroup_id ||
           p->pid % CGROUP_REFRESH == table->polls % CGROUP_REFRESH;
}

/* ---- polling ---- */

/* True when the process began after the last poll had passed its place, so that all of its time is new. Start times are
 * cut down to ticks. */
static bool began_since_last_poll(const struct proc_table *table, uint64_t start_ticks)
{
    return table->polls > 1 && (start_ticks + 1) * NS_PER_TICK > table->prev_boot_ns;
}

static void refresh(struct proc_table *table, struct proc_entry *p, const struct proc_pid_stat *stat, bool fresh)
{
    uint64_t total = proc_cpu_ns(table->env, stat);

    if (fresh)
        p->total_ns = began_since_last_poll(table, p->start_ticks) ? 0 : total;
    uint64_t used_ns = total > p->total_ns ? total - p->total_ns : 0;
    p->delta_ns += used_ns;
    p->total_ns += used_ns;
    p->ppid = stat->ppid;
    p->seen = table->polls;
    p->ended = false;
    if (fresh || used_ns || memcmp(p->comm, stat->comm, sizeof(p->comm) - 1) != 0) {
        memcpy(p->comm, stat->comm, sizeof(p->comm) - 1); /* execve changes both */
        p->uid = proc_uid(table->env, p->pid);
    }
    if (fresh || cgroup_is_stale(table, p))
        look_up_cgroup(table, p);
    /* The kernel's own mark: in a container pid 2 is anybody, and a user's process has an empty command line if it
     * wishes so. */
    p->flags = 0;
    if ((stat->flags & PROC_PF_KTHREAD) && p->cgroup == CGROUP_ROOT)
        p->flags |= TASK_KERNEL;
    if (p->pid == table->monitor_pid)
        p->flags |= TASK_MONITOR;
}

static int poll_one(uint32_t pid, void *userdata)
{
    struct proc_table *table = userdata;
    struct proc_pid_stat stat;
    struct proc_entry *p = find(table, pid);
    bool fresh = false;

    int r = proc_read_pid_stat(table->env, pid, &stat);
    if (r < 0 || stat.pid != pid) {
        /* Gone between the listing and now: as if it were not listed. Out of descriptors or memory: it is there, and
         * what it uses is seen the next time. */
        if (p && r < 0 && r != -ENOENT && r != -ESRCH)
            p->seen = table->polls;
        return 0;
    }
    if (p && p->start_ticks != stat.start_ticks) {
        u64map_remove(&table->by_pid, pid); /* another process of that number; the old entry ends with this poll */
        p = NULL;
    }
    if (!p) {
        p = take(table, pid);
        if (table->polls == 1 || began_since_last_poll(table, stat.start_ticks)) {
            table->processes_seen++;
            table->dropped += !p;
        }
        if (!p)
            return 0; /* the table is full: its time stays with its cgroup */
        p->start_ticks = stat.start_ticks;
        fresh = true;
    }
    refresh(table, p, &stat, fresh);
    return 0;
}

/* ---- sessions ---- */

/* Follows the parents up to a member or to a session's own process. Members that ended still count, for as long as they
 * are in the table: in the window in which they ended. */
static uint32_t inherited_session(const struct proc_table *table, const struct proc_entry *p)
{
    const struct proc_entry *child = p;

    for (int i = 0; i < ANCESTORS_MAX && child; i++) {
        for (size_t s = 0; s < table->n_sessions; s++) {
            const struct proc_session *session = &table->sessions[s];
            if (child->ppid == session->pid && start_ns(child) + NS_PER_TICK > session->begin_boot_ns)
                return session->session;
        }
        child = find(table, child->ppid);
        if (child && child->session)
            return child->session;
    }
    return 0;
}

static void assign_sessions(struct proc_table *table)
{
    if (table->n_sessions == 0)
        return;
    for (uint32_t i = 0; i < table->count; i++) {
        struct proc_entry *p = &table->entries[i];
        if (p->used && !p->ended && p->session == 0)
            p->session = inherited_session(table, p);
    }
}

int proc_table_session_begin(struct proc_table *table, uint32_t pid, uint32_t session, struct carnot_err *err)
{
    if (session == 0 || pid == 0)
        return carnot_err_set(err, EINVAL, "a session needs a number and a process above 0");
    struct proc_pid_stat stat;
    if (proc_read_pid_stat(table->env, pid, &stat) == -ENOENT)
        return carnot_err_set(err, ESRCH,
                              "there is no process %u in %s: it has ended, or its number comes from another pid "
                              "namespace than the one shown there",
                              pid, table->env->proc.path);
    if (table->n_sessions == PROC_SESSIONS_MAX)
        return carnot_err_set(err, E2BIG, "%d sessions are being measured already: wait until one of them ends",
                              PROC_SESSIONS_MAX);
    table->sessions[table->n_sessions++] =
        (struct proc_session){.pid = pid, .session = session, .begin_boot_ns = clock_now(table->env->clock).boot_ns};
    return 0;
}

void proc_table_session_end(struct proc_table *table, uint32_t session)
{
    for (size_t s = 0; s < table->n_sessions; s++) {
        if (table->sessions[s].session != session)
            continue;
        table->sessions[s] = table->sessions[--table->n_sessions];
        break;
    }
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->entries[i].session == session)
            table->entries[i].session = 0;
    }
}

int proc_table_poll(struct proc_table *table, struct carnot_err *err)
{
    uint64_t begin_boot_ns = clock_now(table->env->clock).boot_ns;

    table->prev_boot_ns = table->poll_boot_ns;
    table->polls++;
    int r = proc_list(table->env, "", poll_one, table, err);
    if (r < 0)
        return r;
    table->poll_boot_ns = begin_boot_ns;
    for (uint32_t i = 0; i < table->count; i++) {
        struct proc_entry *p = &table->entries[i];
        if (p->used && p->seen != table->polls)
            p->ended = true;
    }
    assign_sessions(table);
    return 0;
}

void proc_table_taken(struct proc_table *table)
{
    for (uint32_t i = table->count; i-- > 0;) {
        struct proc_entry *p = &table->entries[i];

        p->delta_ns = 0;
        if (p->used && p->ended)
            drop(table, i);
    }
}
