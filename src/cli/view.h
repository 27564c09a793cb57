/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line shows: one snapshot or one session answer, read from the JSON of docs/PROTOCOL.md.
 *
 * The same text comes from an agent's socket or from a meter in this process; nothing behind this struct knows which.
 * Refuses to know: sockets, meters, terminals. The text is outside input: every string is cleaned of control bytes and
 * invalid UTF-8, every figure is checked, sums saturate. */
#ifndef CARNOT_CLI_VIEW_H
#define CARNOT_CLI_VIEW_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/batch.h"

/* Most units of one answer that are kept; carnot never asks for so many. */
#define VIEW_UNITS_MAX 200000

struct view_domain {
    const char *name, *kind, *source;
    enum quality quality;
    int status; /* 0, or the errno that the source met in this window */
    bool in_total;
    bool has_energy; /* false in the view "own": a node total tells what others do */
    uint64_t energy_uj, window_uj, peak_uw;
    uint64_t span_ns; /* that window_uj covers; the window where the answer does not say */
    uint64_t entity_uj[ENTITIES], entity_window_uj[ENTITIES];
};

struct view_unit {
    enum unit_kind kind;
    uint32_t id, pid, uid; /* uid UINT32_MAX: none */
    bool ended, aggregate;
    const char *name, *manager, *type;
    const char *path; /* a cgroup's own path; a process's cgroup */
    uint64_t start_real_ns, cpu_ns, window_cpu_ns;
    const uint64_t *energy_uj, *window_uj;     /* [n_domains] */
    uint64_t total_energy_uj, total_window_uj; /* over the domains with in_total */
};

struct view_intensity {
    bool known;
    uint64_t mg_kwh;
    const char *zone, *source, *chosen_by;
    enum quality quality;
};

struct view {
    struct arena arena;
    const char *epoch;
    uint64_t seq;
    bool all; /* everything is shown; false: only the viewer's own units */
    uint64_t quantum_uj, slot_ns;
    uint64_t begin_real_ns, end_real_ns, end_mono_ns, window_ns;
    const char *method, *idle_policy, *activity, *tier;
    struct view_intensity intensity;
    struct view_domain *domains;
    size_t n_domains;
    struct view_unit *units;
    size_t n_units;
    uint64_t truncated;
    uint64_t session_peak_uw; /* session answers only */
    /* Over the domains with in_total that have energy. */
    bool has_energy;
    uint64_t total_energy_uj, total_window_uj;
    uint64_t total_entity_uj[ENTITIES], total_entity_window_uj[ENTITIES];
};

/* Reads a snapshot, or an answer to session.read or session.end (which becomes a view with one unit, of kind session).
 * -EPROTO with a sentence for text that is no such answer; the answer's own error where it is one. */
int view_parse(const char *text, size_t len, struct view **ret_view, struct carnot_err *err);
struct view *view_free(struct view *view); /* NULL-safe, returns NULL */

/* Puts another intensity into the view: the one that this command's user asked for. The strings are copied. */
int view_set_intensity(struct view *view, uint64_t mg_kwh, const char *zone, const char *source, const char *chosen_by,
                       enum quality quality);

/* The number in an answer to session.begin. */
int view_parse_session_begin(const char *text, size_t len, uint32_t *ret_session, struct carnot_err *err);

/* Mean power of the node: each domain of the total over the time that its reading covers. */
uint64_t view_node_power_uw(const struct view *view);

/* The worst quality of the domains that make up the node (all domains where none is marked). QUALITY_DEFAULT if none.
 */
enum quality view_quality(const struct view *view);
/* Sources of those domains, each once: "rapl_powercap, model_dram". Appends. */
void view_sources(const struct view *view, struct buf *out);

static inline uint64_t saturating_add(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline void view_freep(struct view **view)
{
    view_free(*view);
}
#define _cleanup_view_ CLEANUP(view_freep)

#endif
