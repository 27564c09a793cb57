/* SPDX-License-Identifier: Apache-2.0 */
/* Parsers of /proc's texts with CPU time. Knows field numbers; refuses to know where a text comes from. */
#include "sources/proc_parse.h"

#include <errno.h>

#define PID_MAX 4194304 /* PID_MAX_LIMIT of 64-bit kernels */

/* Fields of PID/stat by their number in proc(5), from the state on; those between are skipped. */
enum {
    STAT_STATE = 3,
    STAT_PPID = 4,
    STAT_FLAGS = 9,
    STAT_UTIME = 14,
    STAT_STIME = 15,
    STAT_CUTIME = 16,
    STAT_CSTIME = 17,
    STAT_THREADS = 20,
    STAT_START = 22,
};

/* The last ')' ends the name, which may hold any byte itself. */
static const char *last_paren(struct text t)
{
    return t.n ? memrchr(t.p, ')', t.n) : NULL;
}

static int parse_u32(struct text t, uint32_t *ret)
{
    uint64_t value;
    int r = parse_u64(t, &value);

    if (r < 0)
        return r;
    if (value > UINT32_MAX)
        return -ERANGE;
    *ret = (uint32_t)value;
    return 0;
}

/* "123 (comm" up to the closing parenthesis. */
static int parse_head(struct text head, struct proc_pid_stat *stat)
{
    struct text pid;

    if (!scan_until(&head, ' ', &pid) || parse_u32(pid, &stat->pid) < 0)
        return -EINVAL;
    if (head.n == 0 || head.p[0] != '(')
        return -EINVAL;
    size_t n = min_size(head.n - 1, sizeof(stat->comm) - 1);
    memcpy(stat->comm, head.p + 1, n);
    stat->comm[n] = '\0';
    return 0;
}

static int add_ticks(struct text word, uint64_t *sum)
{
    uint64_t ticks;

    if (parse_u64(word, &ticks) < 0 || __builtin_add_overflow(*sum, ticks, sum))
        return -EINVAL;
    return 0;
}

static int parse_field(int field, struct text word, struct proc_pid_stat *stat)
{
    switch (field) {
    case STAT_STATE:
        stat->state = word.p[0];
        return word.n == 1 ? 0 : -EINVAL;
    case STAT_PPID:
        return parse_u32(word, &stat->ppid);
    case STAT_FLAGS:
        return parse_u32(word, &stat->flags);
    case STAT_UTIME:
    case STAT_STIME:
        return add_ticks(word, &stat->cpu_ticks);
    case STAT_CUTIME:
    case STAT_CSTIME:
        return add_ticks(word, &stat->waited_ticks);
    case STAT_THREADS:
        return parse_u32(word, &stat->n_threads);
    case STAT_START:
        return parse_u64(word, &stat->start_ticks);
    default:
        return 0;
    }
}

/* More than this many ticks in one process is nonsense, and would not fit once in ns: 584 years. */
#define TICKS_MAX (UINT64_MAX / NS_PER_TICK)

int proc_parse_pid_stat(struct text file, struct proc_pid_stat *ret_stat)
{
    struct proc_pid_stat stat = {0};
    struct text rest = text_trim(file), word;
    const char *paren = last_paren(rest);

    if (!paren || parse_head((struct text){rest.p, (size_t)(paren - rest.p)}, &stat) < 0)
        return -EINVAL;
    rest.n -= (size_t)(paren + 1 - rest.p);
    rest.p = paren + 1;
    for (int field = STAT_STATE; field <= STAT_START; field++) {
        if (!scan_word(&rest, &word) || parse_field(field, word, &stat) < 0)
            return -EINVAL;
    }
    if (stat.cpu_ticks > TICKS_MAX || stat.waited_ticks > TICKS_MAX || stat.start_ticks > TICKS_MAX)
        return -EINVAL;
    *ret_stat = stat;
    return 0;
}

int proc_parse_schedstat(struct text file, uint64_t *ret_ns)
{
    return scan_u64(&file, ret_ns) < 0 ? -EINVAL : 0;
}

bool proc_scan_child(struct text *rest, uint32_t *ret_pid)
{
    uint64_t pid;

    if (scan_u64(rest, &pid) < 0 || pid == 0 || pid > PID_MAX)
        return false;
    *ret_pid = (uint32_t)pid;
    return true;
}

bool proc_parse_pid(const char *name, uint32_t *ret_pid)
{
    uint64_t pid;

    if (name[0] < '1' || name[0] > '9' || parse_u64(text_of(name), &pid) < 0 || pid > PID_MAX)
        return false;
    *ret_pid = (uint32_t)pid;
    return true;
}
