/* SPDX-License-Identifier: Apache-2.0 */
/* Lays what the agent says of this process, slot by slot, against the process's own clocks, and gives regions their
 * parts. Pure but for the clocks, which the caller names. Knows no agent, no thread, no lock: the caller has them.
 *
 * The grid is of this process's own samples: ledger_sample() reads all clocks at (about) the end of a slot; when the
 * agent's figures of that slot come, the sample nearest to its end closes a cell. The cell's energy is the difference
 * of the agent's counters; a region gets of it
 *     energy x (CPU time of the region in the cell) / (CPU time of the process in the cell),
 * cut to whole microjoules, so that regions which do not overlap never get more than the process. In a cell without any
 * CPU time, time takes its place. */
#ifndef CARNOT_LIB_LEDGER_H
#define CARNOT_LIB_LEDGER_H

#include "lib/figures.h"

struct ledger_clocks {
    uint64_t (*mono_ns)(void *userdata);
    uint64_t (*process_cpu_ns)(void *userdata);
    int (*thread_cpu_ns)(void *userdata, int thread, uint64_t *ret_cpu_ns); /* negative: the thread has ended */
    void *userdata;
};

/* A thread with regions of its own. */
struct ledger_thread {
    struct ledger_thread *next;
    int id;
    unsigned refs;       /* regions that are not complete */
    uint64_t cell_ns;    /* its CPU time at the begin of the current cell */
    uint64_t cpu_ns[2];  /* at the last sample but one, and at the last */
    uint64_t known_ns;   /* read last, at a region's end or a sample: all there is once the thread has ended */
    uint64_t in_cell_ns; /* of the cell being closed */
};

struct ledger_region {
    struct ledger_region *next, *prev; /* among those that are not complete */
    struct ledger_thread *thread;      /* NULL: the whole process, or complete */
    bool of_thread, listed;
    bool ended, complete, gap;
    uint64_t begin_mono_ns, end_mono_ns;
    uint64_t begin_cpu_ns, end_cpu_ns;
    uint64_t covered_until_ns; /* mono; 0: by no cell yet */
    uint64_t covered_ns;
    uint64_t total_uj, low_uj, high_uj; /* the bounds without quanta */
    uint64_t quanta_uj;                 /* what cutting may hide at either end, over the total's domains */
    bool any_quality;
    enum quality quality;
    size_t n_domains; /* room below; a domain that appears later is in the total only, and makes a gap */
    uint64_t *energy_uj;
};

/* What the agent said last of one domain. */
struct ledger_domain {
    struct figures_domain domain;
    bool present; /* in the newest figures */
    uint64_t energy_uj;
};

struct ledger {
    const struct ledger_clocks *clocks;
    struct ledger_region *regions; /* not complete */
    size_t n_regions;
    struct ledger_thread *threads;
    size_t n_domains;
    struct ledger_domain domains[DOMAINS_MAX]; /* only ever appended to */

    bool has_base; /* the four below stand for the end of a slot */
    char epoch[40];
    bool base_seen;
    uint32_t base_id;
    uint64_t base_end_ns, base_cpu_ns;

    bool has_cell; /* a sample stands for base_end_ns; else the cell begins where the agent says */
    uint64_t cell_mono_ns, cell_cpu_ns;
    uint64_t first_mono_ns, first_cpu_ns; /* of the first region since nothing was followed */

    unsigned n_samples;
    struct ledger_sample {
        uint64_t mono_ns, cpu_ns;
    } samples[2];
};

void ledger_init(struct ledger *ledger, const struct ledger_clocks *clocks);

/* Learns which domains there are, before the first region. */
void ledger_know(struct ledger *ledger, const struct figures *figures);

/* Begins a region, of a thread where `thread` is not NULL. `region` is zeroed but for n_domains and energy_uj (zeroed
 * room for as many). -ENOMEM. */
int ledger_begin(struct ledger *ledger, struct ledger_region *region, const int *thread);
/* Reads the clocks for its end. -EALREADY. */
int ledger_end(struct ledger *ledger, struct ledger_region *region);
/* CPU time used so far, or until its end. */
uint64_t ledger_region_cpu_ns(const struct ledger *ledger, const struct ledger_region *region);
/* Forgets a region; its memory stays the caller's. */
void ledger_drop(struct ledger *ledger, struct ledger_region *region);

/* Reads all clocks. */
void ledger_sample(struct ledger *ledger);
/* Takes the agent's figures, after a sample. 1: a slot's end that was new, regions have what is theirs; 0: known
 * already. */
int ledger_take(struct ledger *ledger, const struct figures *figures);
/* Forgets where the grid stands: for when nothing is followed. The next figures begin anew. */
void ledger_rest(struct ledger *ledger);
void ledger_done(struct ledger *ledger);

#endif
