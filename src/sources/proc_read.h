/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of /proc that several ways of knowing activity share, and programs that ask who is busy: processes, and how
 * busy the CPUs were. Nothing here allocates but the open functions. */
#ifndef CARNOT_SOURCES_PROC_READ_H
#define CARNOT_SOURCES_PROC_READ_H

#include "base/fsroot.h"
#include "model/topology.h"
#include "sources/proc_parse.h"

/* Calls fn for every pid in /proc, in the order of the directory (ascending with the kernel's). A negative result of fn
 * ends the walk and is returned. */
typedef int (*proc_pid_fn)(uint32_t pid, void *userdata);
int proc_list(const struct carnot_env *env, const char *dir, proc_pid_fn fn, void *userdata, struct carnot_err *err);

/* A process's stat. -ENOENT or -ESRCH when it is not there any more. */
int proc_read_pid_stat(const struct carnot_env *env, uint32_t pid, struct proc_pid_stat *ret_stat);

/* CPU time in ns of all threads of a process, as fine as /proc tells it: stat has it for the whole process, cut down to
 * ticks twice (user and system), schedstat has it in ns, but of the first thread only. The true value lies in [ticks,
 * ticks + 2), and schedstat's is at most the true one, so that its value moved into that range is never too much, and
 * for a process that has always had one thread it is exact. */
uint64_t proc_cpu_ns(const struct carnot_env *env, const struct proc_pid_stat *stat);

/* Whether `pid` can be this program in env->proc. -ESRCH with a sentence where env->proc is a mounted proc that shows
 * this program under another number or not at all: it belongs to another pid namespace, and the number to a stranger. A
 * directory of files that stands for /proc is taken at its word. */
int proc_check_self(const struct carnot_env *env, uint32_t pid, struct carnot_err *err);

/* Effective user of a process: owner of its directory. UINT32_MAX when it is not there. */
uint32_t proc_uid(const struct carnot_env *env, uint32_t pid);

/* ---- busy time per bucket ---- */

struct cpu_busy {
    int fd; /* /proc/stat, kept open */
    const struct topology_buckets *buckets;
    uint32_t n_cpus;
    size_t text_size;
    char *text;
    uint64_t *last;   /* [n_cpus] ticks at the last reading */
    uint64_t *ticks;  /* [n_cpus] scratch */
    uint64_t *weight; /* [buckets->n] ns busy in the window; online CPUs while nothing was busy */
    uint64_t weight_sum;
    uint64_t window_ns; /* busy ns of all CPUs in the window */
    uint64_t total_ns;  /* since open */
};

/* Opens /proc/stat and takes the first reading. */
int cpu_busy_open(const struct carnot_env *env, const struct topology *topology, const struct topology_buckets *buckets,
                  struct cpu_busy *ret_busy, struct carnot_err *err);
void cpu_busy_done(struct cpu_busy *busy);
/* Adds to the window what was busy since the last update. An error has added nothing. */
int cpu_busy_update(struct cpu_busy *busy, struct carnot_err *err);
/* Begins a window: the figures of the one before have reached whom they are for. */
void cpu_busy_taken(struct cpu_busy *busy);

/* Spreads `ns` over buckets in proportion to their busy time in the window into out[buckets->n]; the sum is exact. */
void cpu_busy_spread(const struct cpu_busy *busy, uint64_t ns, uint64_t *out);

#endif
