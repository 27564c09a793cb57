/* SPDX-License-Identifier: Apache-2.0 */
/* The meter: sources, activity and attribution ticking together in one process. carnotd serves what it seals; `carnot
 * run` and `carnot top` use the same one in process when there is no agent.
 *
 * Not thread-safe but for meter_latest(). No loop of its own: the caller calls meter_sample() and meter_tick() when
 * due. */
#ifndef CARNOT_METER_METER_H
#define CARNOT_METER_METER_H

#include "attribution/split.h"
#include "base/fsroot.h"
#include "base/option.h"
#include "intensity/intensity.h"
#include "model/batch.h"
#include "sources/activity.h"
#include "sources/source.h"

enum meter_method { METHOD_AUTO, METHOD_CPU_TIME, METHOD_SMT };

enum activity_mode { ACTIVITY_AUTO, ACTIVITY_BPF, ACTIVITY_PROCFS, ACTIVITY_TREE };

struct meter_settings {
    uint64_t sampling_interval_ns;    /* 100 ms */
    uint64_t attribution_interval_ns; /* 1 s */
    int activity;                     /* enum activity_mode */
    int hierarchy;                    /* enum cgroup_hierarchy */
    int method;                       /* enum meter_method */
    int idle_policy;                  /* enum idle_policy */
    uint64_t max_tasks;
    double intensity_g_per_kwh;    /* > 0: given by hand */
    const char *intensity_zone;    /* "" or NULL: by time zone */
    uint64_t keep_ended_ns;        /* see retire.c */
    bool measure_bpf;              /* kernel statistics of our BPF programs */
    bool process_series;           /* per-process series on /metrics */
    const char *calibration_file;  /* "" or NULL: the default one; see meter/calibration_file.h */
    struct option_list no_sources; /* names switched off; see meter options */
    struct option_list only_sources;
};

extern const struct carnot_option meter_options[];
extern const size_t meter_options_count;

/* The option tables of the energy sources, one group each, for the programs' option sets; writes at most `room`,
 * returns how many. */
size_t meter_source_groups(struct option_group *out, size_t room);
#define METER_SOURCE_GROUPS_MAX 16 /* sources with options; the registry has fewer */

struct meter;
struct lifetime_state;

/* Opens what there is. Fails only when nothing at all can be measured or modelled. */
int meter_open(const struct carnot_env *env, const struct meter_settings *settings, struct meter **ret_meter,
               struct carnot_err *err);
/* Starts the threads of slow sources, which give nothing before: once, after meter_open() and after the program gave up
 * its rights (they are per thread). */
void meter_start(struct meter *meter);
struct meter *meter_close(struct meter *meter); /* NULL-safe, returns NULL */

/* Reads every energy source (10 Hz). A failing source is a metric, not an error. */
int meter_sample(struct meter *meter, struct carnot_err *err);
/* Samples, reads activity, attributes, seals a batch. The new batch is meter_latest(). */
int meter_tick(struct meter *meter, struct carnot_err *err);

/* The newest sealed batch with a reference for the caller, NULL before the first. From any thread. */
struct batch *meter_latest(struct meter *meter);

/* The caller's timer came late by whole windows: counted in the batch's self figures. */
void meter_missed_tick(struct meter *meter, uint64_t ticks);

/* Tells that a batch up to seq was given to a scraper: ended units in it need not be kept longer. From any thread. */
void meter_reported(struct meter *meter, uint64_t seq);

/* A session gathers everything that children of `pid` use from now on. Returns its number (> 0). The label is copied.
 */
int meter_session_begin(struct meter *meter, uint32_t pid, uint32_t uid, const char *label, uint32_t *ret_session,
                        struct carnot_err *err);
void meter_session_end(struct meter *meter, uint32_t session);

/* --- Energy over all runs of the program (meter/lifetime.h) ------------------------------------------------------- */

/* Goes on from what an earlier run saved; once, before the first tick. `boot` is the id of this boot. */
int meter_lifetime_restore(struct meter *meter, const struct lifetime_state *state, const char *boot,
                           struct carnot_err *err);
/* What is to be saved now; machine and boot are left to the caller. */
void meter_lifetime_save(struct meter *meter, struct lifetime_state *out);
/* The last one is safely on the disk: from now on the metric shows it. */
void meter_lifetime_confirm(struct meter *meter);

/* One domain's counter as of the last sample. */
struct meter_counter {
    const struct domain *domain; /* lives as long as the meter */
    int status;                  /* 0; -ENODATA: not read yet, or nothing new; else the last failure */
    bool known;                  /* something was ever read of it, in this run or an earlier one */
    uint64_t step_uj;            /* in the last sample alone */
    uint64_t run_uj;             /* since the program started */
    uint64_t total_uj;           /* over all runs, what was bridged included */
    uint64_t bridged_uj, gaps, since_real_ns;
};

struct meter_counters {
    struct carnot_now when; /* of the last sample */
    size_t n;
    struct meter_counter items[DOMAINS_MAX];
};

/* Of all domains, in the order of the batch's. Fresher than the batch: as of the last meter_sample(). -EAGAIN before
 * the first window has ended. */
int meter_counters(const struct meter *meter, struct meter_counters *out);

/* What was chosen and why, for doctor and the log: text lines "subject: state: reason". */
void meter_describe(const struct meter *meter, struct buf *out);
/* Length of a window: the setting, raised to what the slowest source in use needs. meter_tick is to be called that
 * often. */
uint64_t meter_interval_ns(const struct meter *meter);
const char *meter_activity_name(const struct meter *meter);

#endif
