/* SPDX-License-Identifier: Apache-2.0 */
/* How busy the CPUs of each package are, and which process keeps them so. Reads /proc; knows no energy. */
#ifndef CARNOT_CLI_CALIBRATE_BUSY_H
#define CARNOT_CLI_CALIBRATE_BUSY_H

#include "base/fsroot.h"
#include "model/calibration.h"

/* Ticks of the CPUs of one package since boot. Stolen time is neither. */
struct busy_ticks {
    uint64_t busy, idle;
};

struct busy {
    int fd; /* /proc/stat; -1: it cannot be read, every share is unknown */
    const struct topology *topology;
    char *text;
    size_t text_size;
    int packages[DOMAINS_MAX]; /* their ids */
    size_t n_packages;
};

/* Opens /proc/stat. Without it all shares are unknown, which is no error. -ENOMEM. */
int busy_open(const struct carnot_env *env, const struct topology *topology, struct busy *ret, struct carnot_err *err);
void busy_close(struct busy *busy);

/* ticks[n_packages]; all 0 when /proc/stat cannot be read. */
void busy_read(const struct busy *busy, struct busy_ticks *ticks);

/* Busy share between two readings of n packages, CALIBRATION_BUSY_UNKNOWN when no tick passed. */
uint32_t busy_share_ppm(const struct busy_ticks *from, const struct busy_ticks *to, size_t n);

/* Share of memory in use now, or UNKNOWN. */
uint32_t busy_memory_ppm(const struct carnot_env *env);

/* CPU time of all processes at one moment. */
struct busy_processes;
int busy_processes_take(const struct carnot_env *env, struct busy_processes **ret);
struct busy_processes *busy_processes_free(struct busy_processes *processes); /* NULL-safe, returns NULL */

struct busy_process {
    uint32_t pid;
    char name[64]; /* as /proc tells it: clean it before printing */
    uint64_t cpu_ns;
};

/* Who used most CPU time since then, this program apart. False when nobody used any. */
bool busy_processes_most(const struct carnot_env *env, const struct busy_processes *since, struct busy_process *ret);

#endif
