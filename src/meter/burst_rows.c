/* SPDX-License-Identifier: Apache-2.0 */
/* From the readers' raw samples to rows: samples of one deadline are put together, counters become energy
 * (attribution/delta), energy becomes power on the counter's own grid (attribution/update_grid). */
#include <errno.h>

#include "meter/burst_reader.h"

/* The tick of the next row; BURST_TICK_END: none can be told yet, or none is left. A row waits for each reader that may
 * still have something for it. */
static uint64_t next_row(const struct burst *burst)
{
    uint64_t row = BURST_TICK_END, promised = BURST_TICK_END;

    for (size_t i = 0; i < burst->n_readers; i++) {
        const struct burst_reader *reader = burst->readers[i];
        /* In this order: what the promise covers is in the ring when it is looked at. */
        uint64_t next = atomic_load_explicit(&reader->next_tick, memory_order_acquire);
        const struct burst_sample *sample = burst_ring_peek(&reader->ring);
        if (sample)
            row = min_u64(row, sample->tick);
        else
            promised = min_u64(promised, next);
    }
    return row < promised ? row : BURST_TICK_END;
}

static void take_value(struct burst *burst, struct burst_reader *reader, size_t i, const struct burst_value *value)
{
    uint32_t index = reader->domain_of[i];
    uint64_t delta_uj;

    if (index == UINT32_MAX)
        return;
    struct burst_domain *state = &burst->states[index];
    if (value->status < 0) {
        state->report.failed += value->status != -ENODATA;
        return;
    }
    enum delta_kind kind = delta_step(&reader->deltas[i], value->counter_uj, value->modulus_uj,
                                      burst->domains[index].max_uw, value->mono_ns, &delta_uj);
    if (value->gap && (kind == DELTA_FORWARD || kind == DELTA_WRAPPED)) {
        reader->deltas[i].gaps++;
        kind = DELTA_GAP;
    }
    state->broken |= kind == DELTA_RESET || kind == DELTA_GAP || kind == DELTA_ABSURD;
    state->report.energy_uj += delta_uj;
    state->row_ns = state->touched ? max_u64(state->row_ns, value->mono_ns) : value->mono_ns;
    state->touched = true;
    burst->cells[index].raw_uj = value->counter_uj;
    burst->cells[index].modulus_uj = value->modulus_uj;
}

static void finish_cell(struct burst_domain *state, struct burst_cell *cell)
{
    struct update_step step;

    if (!state->touched)
        return;
    state->row_ns = max_u64(state->row_ns, state->report.last_ns); /* parts of one domain may be read out of turn */
    if (state->broken)
        update_grid_break(&state->grid);
    update_grid_step(&state->grid, state->row_ns, state->report.energy_uj, &step);
    cell->read = true;
    cell->has_raw = state->n_parts == 1;
    cell->energy_uj = state->report.energy_uj;
    cell->changed = step.changed;
    cell->has_power = step.has_power;
    cell->power_uw = step.power_uw;
    cell->from_ns = step.from_ns;
    cell->since_ns = step.since_ns;
    if (state->report.readings++ == 0)
        state->report.first_ns = state->row_ns;
    state->report.last_ns = state->row_ns;
    state->report.changes += step.changed;
    if (step.has_power)
        state->report.peak_uw = max_u64(state->report.peak_uw, step.power_uw);
    state->touched = state->broken = false;
}

bool burst_next(struct burst *burst, struct burst_row *ret_row)
{
    uint64_t tick = next_row(burst), mono_ns = UINT64_MAX;

    if (tick == BURST_TICK_END)
        return false;
    memset(burst->cells, 0, burst->n_domains * sizeof(*burst->cells));
    for (size_t i = 0; i < burst->n_readers; i++) {
        struct burst_reader *reader = burst->readers[i];
        const struct burst_sample *sample = burst_ring_peek(&reader->ring);
        if (!sample || sample->tick != tick)
            continue;
        mono_ns = min_u64(mono_ns, sample->mono_ns);
        for (size_t k = 0; k < reader->n_values; k++)
            take_value(burst, reader, k, &sample->values[k]);
        burst_ring_pop(&reader->ring);
    }
    for (size_t d = 0; d < burst->n_domains; d++)
        finish_cell(&burst->states[d], &burst->cells[d]);
    *ret_row =
        (struct burst_row){.tick = tick, .mono_ns = mono_ns, .last = tick == BURST_TICK_LAST, .cells = burst->cells};
    return true;
}

struct burst_domain_report burst_domain_report(const struct burst *burst, size_t domain)
{
    struct burst_domain_report report = burst->states[domain].report;

    for (size_t i = 0; i < burst->n_readers; i++) {
        const struct burst_reader *reader = burst->readers[i];
        for (size_t k = 0; k < reader->n_values; k++) {
            if (reader->domain_of[k] != domain)
                continue;
            report.wraps += reader->deltas[k].wraps;
            report.gaps += reader->deltas[k].gaps;
            report.resets += reader->deltas[k].resets;
            report.absurd += reader->deltas[k].absurd;
        }
    }
    return report;
}

void burst_report(const struct burst *burst, struct burst_report *ret_report)
{
    *ret_report = (struct burst_report){.n_readers = (unsigned)burst->n_readers};
    for (size_t i = 0; i < burst->n_readers; i++) {
        const struct burst_reader *reader = burst->readers[i];
        ret_report->samples += reader->samples;
        ret_report->missed += reader->missed;
        ret_report->cpu_ns += reader->cpu_ns;
        ret_report->overruns += burst_ring_overruns(&reader->ring);
        ret_report->n_fifo += reader->fifo_errno == 0;
        ret_report->n_locked += reader->ring.locked;
        ret_report->n_pinned += reader->pinned;
        if (reader->fifo_errno)
            ret_report->fifo_errno = reader->fifo_errno;
        if (!ret_report->message[0])
            memcpy(ret_report->message, reader->err.msg, sizeof(ret_report->message));
        histogram_merge(&ret_report->late, &reader->late);
        histogram_merge(&ret_report->took, &reader->took);
    }
}

void burst_report_scheduling(const struct burst_report *report, struct buf *out)
{
    char text[128];

    buf_printf(out, "%u thread%s, ", report->n_readers, report->n_readers == 1 ? "" : "s");
    if (report->n_fifo == report->n_readers)
        buf_puts(out, "SCHED_FIFO");
    else
        buf_printf(out, "ordinary priority (SCHED_FIFO: %s; needs CAP_SYS_NICE or `ulimit -r 1`), timer slack 1 ns",
                   strerror_r(report->fifo_errno, text, sizeof(text)));
    buf_puts(out, report->n_locked == report->n_readers ? ", memory locked"
                                                        : ", memory not locked (`ulimit -l` is too small)");
    if (report->n_pinned)
        buf_printf(out, ", %u pinned to a package each", report->n_pinned);
}
