/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of /proc that tell CPU time, taken apart: PID/stat, PID/schedstat, PID/task/TID/children (for stat see
 * proc_stat.h). Internal to sources. Pure: no I/O, no memory. Forms: proc(5), Documentation/filesystems/proc.rst,
 * .../scheduler/sched-stats.rst */
#ifndef CARNOT_SOURCES_PROC_PARSE_H
#define CARNOT_SOURCES_PROC_PARSE_H

#include "base/clock.h"
#include "base/parse.h"

/* Times in /proc are in units of 1/USER_HZ s, which is part of the kernel's ABI: 100 on every architecture that Linux
 * still has but alpha. */
#define USER_HZ     100
#define NS_PER_TICK (NS_PER_SEC / USER_HZ)

#define PROC_COMM_MAX 64 /* 15 bytes for processes, up to 63 for kernel workers that say what they do */

struct proc_pid_stat {
    uint32_t pid;
    uint32_t ppid;
    char comm[PROC_COMM_MAX];
    char state;            /* 'R', 'S', 'Z', ... */
    uint32_t flags;        /* PF_* */
    uint64_t cpu_ticks;    /* user + system of all its threads, those that ended included */
    uint64_t waited_ticks; /* the same of the children it has waited for, and theirs */
    uint64_t start_ticks;  /* since boot */
    uint32_t n_threads;
};

#define PROC_PF_KTHREAD 0x00200000u /* include/linux/sched.h; visible in stat, hence stable since 2.6.27 */

/* 0 or -EINVAL. */
int proc_parse_pid_stat(struct text file, struct proc_pid_stat *ret_stat);

/* Nanoseconds on CPU, the first number. 0 or -EINVAL. */
int proc_parse_schedstat(struct text file, uint64_t *ret_ns);

/* Takes the next pid of a children file. False at its end or at what is no pid. */
bool proc_scan_child(struct text *rest, uint32_t *ret_pid);

/* A directory name of /proc that is a pid (1 to 4194304). */
bool proc_parse_pid(const char *name, uint32_t *ret_pid);

#endif
