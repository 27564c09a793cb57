/* SPDX-License-Identifier: Apache-2.0 */
/* What `carnot run` tells at the end: as a block of text, a JSON object, or CSV. Figures in, bytes out: knows no
 * process, no agent, no terminal. */
#ifndef CARNOT_CLI_RUN_REPORT_H
#define CARNOT_CLI_RUN_REPORT_H

#include "cli/text.h"
#include "cli/view.h"

/* One run of the command. */
struct run_figures {
    uint64_t wall_ns;
    uint64_t user_ns, system_ns; /* of all descendants that were waited for, by the kernel */
    uint64_t session_cpu_ns;     /* as the meter saw it, in has_energy */
    int exit_status;             /* the command's own, or 128 + signal */
    int signal;                  /* 0: none */
    bool has_energy;
    uint64_t energy_uj; /* over the domains that make up the node */
    uint64_t peak_uw;   /* 0: not known */
    bool has_machine;
    uint64_t machine_uj, machine_ns; /* whole node, over the windows that hold the run */
};

struct run_report {
    char *const *command; /* NULL-terminated */
    const char *label;
    const struct run_figures *runs;
    size_t n_runs;
    const uint64_t *domain_uj; /* [view->n_domains], sum over the runs */
    const struct view *view;   /* domains, intensity and method of the last run; NULL when no run has energy */
    const char *way;           /* "agent" or "in process" */
    const char *why_no_energy; /* a sentence, or NULL */
    uint64_t left_running;     /* descendants alive after the command ended */
    bool interrupted;          /* a signal ended the repeats */
};

/* CPU time of a run: what the kernel says of the processes waited for, or what the meter saw where that is more
 * (descendants that nobody waited for). */
uint64_t run_cpu_ns(const struct run_figures *run);
/* Part of that CPU time which the energy covers, in millionths; 1000000 when it covers all. */
uint64_t run_coverage_ppm(const struct run_figures *run);

/* Each appends and returns 0 or the buffer's error. */
int run_report_text(const struct run_report *report, struct text_style style, struct buf *out);
int run_report_json(const struct run_report *report, struct buf *out); /* one line */
int run_report_csv(const struct run_report *report, struct buf *out);  /* header, then a row per run */

#endif
