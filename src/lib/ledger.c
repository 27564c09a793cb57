/* SPDX-License-Identifier: Apache-2.0 */
/* See ledger.h. */
#include "lib/ledger.h"

#include <errno.h>

/* One piece of time between two points of the grid, with what the process got in it. */
struct cell {
    uint64_t begin_ns, end_ns;         /* mono */
    uint64_t begin_cpu_ns, end_cpu_ns; /* of the process */
    uint64_t cpu_ns;                   /* what shares are taken of */
    bool gap;                          /* not all of it was told */
    uint64_t energy_uj[DOMAINS_MAX];   /* by index in the ledger */
    uint64_t total_uj;
    uint64_t quanta_uj;
    enum quality quality;
};

void ledger_init(struct ledger *ledger, const struct ledger_clocks *clocks)
{
    *ledger = (struct ledger){.clocks = clocks};
}

void ledger_done(struct ledger *ledger)
{
    while (ledger->threads) {
        struct ledger_thread *thread = TAKE_PTR(ledger->threads);

        ledger->threads = thread->next;
        free(thread);
    }
}

/* part of whole, of what; rounded down. whole > 0, part <= whole. */
static uint64_t share(uint64_t what, uint64_t part, uint64_t whole)
{
    return (uint64_t)((unsigned __int128)what * part / whole);
}

static uint64_t overlap(uint64_t begin, uint64_t end, uint64_t from, uint64_t to)
{
    uint64_t low = max_u64(begin, from), high = min_u64(end, to);

    return high > low ? high - low : 0;
}

/* --- Threads ------------------------------------------------------------------------------------------------------ */

static int take_thread(struct ledger *ledger, int id, uint64_t cpu_ns, struct ledger_thread **ret_thread)
{
    struct ledger_thread *thread = ledger->threads;

    /* A clock that went back: another thread with the number of one that ended. The old entry goes with its regions. */
    while (thread && !(thread->id == id && thread->known_ns <= cpu_ns))
        thread = thread->next;
    if (!thread) {
        thread = calloc(1, sizeof *thread);
        if (!thread)
            return -ENOMEM;
        *thread =
            (struct ledger_thread){.next = ledger->threads, .id = id, .cell_ns = cpu_ns, .cpu_ns = {cpu_ns, cpu_ns}};
        ledger->threads = thread;
    }
    thread->known_ns = cpu_ns;
    thread->refs++;
    *ret_thread = thread;
    return 0;
}

static void give_thread(struct ledger *ledger, struct ledger_thread *thread)
{
    struct ledger_thread **link = &ledger->threads;

    if (!thread || --thread->refs > 0)
        return;
    while (*link != thread)
        link = &(*link)->next;
    *link = thread->next;
    free(thread);
}

/* --- Regions ------------------------------------------------------------------------------------------------------ */

static uint64_t cpu_now(const struct ledger *ledger, const struct ledger_region *region)
{
    const struct ledger_clocks *clocks = ledger->clocks;
    uint64_t cpu_ns;

    if (!region->of_thread)
        return clocks->process_cpu_ns(clocks->userdata);
    if (!region->thread || clocks->thread_cpu_ns(clocks->userdata, region->thread->id, &cpu_ns) < 0)
        return region->thread ? region->thread->known_ns : region->begin_cpu_ns;
    return max_u64(cpu_ns, region->begin_cpu_ns);
}

int ledger_begin(struct ledger *ledger, struct ledger_region *region, const int *thread)
{
    const struct ledger_clocks *clocks = ledger->clocks;
    uint64_t process_ns = clocks->process_cpu_ns(clocks->userdata);

    region->begin_mono_ns = clocks->mono_ns(clocks->userdata);
    region->begin_cpu_ns = process_ns;
    region->of_thread = thread != NULL;
    if (thread) {
        if (clocks->thread_cpu_ns(clocks->userdata, *thread, &region->begin_cpu_ns) < 0)
            return -EINVAL;
        int r = take_thread(ledger, *thread, region->begin_cpu_ns, &region->thread);
        if (r < 0)
            return r;
    }
    if (!ledger->regions) {
        ledger->first_mono_ns = region->begin_mono_ns;
        ledger->first_cpu_ns = process_ns;
    }
    region->listed = true;
    region->next = ledger->regions;
    if (ledger->regions)
        ledger->regions->prev = region;
    ledger->regions = region;
    ledger->n_regions++;
    return 0;
}

int ledger_end(struct ledger *ledger, struct ledger_region *region)
{
    if (region->ended)
        return -EALREADY;
    region->end_cpu_ns = cpu_now(ledger, region);
    if (region->thread)
        region->thread->known_ns = max_u64(region->thread->known_ns, region->end_cpu_ns);
    region->end_mono_ns = ledger->clocks->mono_ns(ledger->clocks->userdata);
    region->ended = true;
    return 0;
}

uint64_t ledger_region_cpu_ns(const struct ledger *ledger, const struct ledger_region *region)
{
    return (region->ended ? region->end_cpu_ns : cpu_now(ledger, region)) - region->begin_cpu_ns;
}

void ledger_drop(struct ledger *ledger, struct ledger_region *region)
{
    if (!region->listed)
        return;
    if (region->prev)
        region->prev->next = region->next;
    else
        ledger->regions = region->next;
    if (region->next)
        region->next->prev = region->prev;
    region->next = region->prev = NULL;
    region->listed = false;
    ledger->n_regions--;
    give_thread(ledger, TAKE_PTR(region->thread));
}

/* --- Samples ------------------------------------------------------------------------------------------------------ */

void ledger_sample(struct ledger *ledger)
{
    const struct ledger_clocks *clocks = ledger->clocks;

    ledger->samples[0] = ledger->samples[1];
    /* Threads first: together they never seem to have used more than the process. */
    for (struct ledger_thread *thread = ledger->threads; thread; thread = thread->next) {
        uint64_t cpu_ns;

        thread->cpu_ns[0] = thread->cpu_ns[1];
        if (clocks->thread_cpu_ns(clocks->userdata, thread->id, &cpu_ns) >= 0)
            thread->known_ns = max_u64(thread->known_ns, cpu_ns);
        thread->cpu_ns[1] = thread->known_ns;
    }
    ledger->samples[1] = (struct ledger_sample){.cpu_ns = clocks->process_cpu_ns(clocks->userdata),
                                                .mono_ns = clocks->mono_ns(clocks->userdata)};
    if (ledger->n_samples < 2)
        ledger->n_samples++;
}

/* Which of the two samples stands for the slot's end: the nearer one, if it lies after the last point of the grid. */
static unsigned nearest_sample(const struct ledger *ledger, uint64_t end_ns)
{
    uint64_t earlier_ns = ledger->samples[0].mono_ns;
    uint64_t later_ns = ledger->samples[1].mono_ns;

    if (ledger->n_samples < 2 || (ledger->has_cell && earlier_ns <= ledger->cell_mono_ns))
        return 1;
    uint64_t off_earlier_ns = earlier_ns > end_ns ? earlier_ns - end_ns : end_ns - earlier_ns;
    uint64_t off_later_ns = later_ns > end_ns ? later_ns - end_ns : end_ns - later_ns;
    return off_earlier_ns < off_later_ns ? 0 : 1;
}

/* --- Figures ------------------------------------------------------------------------------------------------------ */

/* Index of a domain by name; -ENOSPC when there are too many over time (agents with ever other sources). */
static int domain_index(struct ledger *ledger, const struct figures_domain *domain)
{
    for (size_t i = 0; i < ledger->n_domains; i++) {
        if (strcmp(ledger->domains[i].domain.name, domain->name) == 0) {
            ledger->domains[i].domain = *domain;
            return (int)i;
        }
    }
    if (ledger->n_domains == DOMAINS_MAX)
        return -ENOSPC;
    ledger->domains[ledger->n_domains] = (struct ledger_domain){.domain = *domain};
    return (int)ledger->n_domains++;
}

void ledger_know(struct ledger *ledger, const struct figures *figures)
{
    for (size_t i = 0; i < figures->n_domains; i++)
        (void)domain_index(ledger, &figures->domains[i]); /* what does not fit makes a gap later */
}

/* The counters of this slot's end are what the next one is compared with. */
static void set_base(struct ledger *ledger, const struct figures *figures, bool at_window_begin)
{
    ledger->has_base = true;
    memcpy(ledger->epoch, figures->epoch, sizeof ledger->epoch);
    ledger->base_seen = figures->seen;
    ledger->base_id = figures->id;
    ledger->base_end_ns = figures->end_mono_ns - (at_window_begin ? figures->window_ns : 0);
    ledger->base_cpu_ns = figures->cpu_ns - (at_window_begin ? min_u64(figures->window_cpu_ns, figures->cpu_ns) : 0);
    for (size_t i = 0; i < ledger->n_domains; i++)
        ledger->domains[i].energy_uj = 0;
    for (size_t i = 0; i < figures->n_domains; i++) {
        int index = domain_index(ledger, &figures->domains[i]);
        uint64_t window_uj = at_window_begin ? figures->window_uj[i] : 0;

        if (index >= 0)
            ledger->domains[index].energy_uj = figures->energy_uj[i] - min_u64(window_uj, figures->energy_uj[i]);
    }
}

static void fill_energy(struct ledger *ledger, const struct figures *figures, bool goes_on, struct cell *cell)
{
    cell->quality = QUALITY_MEASURED;
    for (size_t i = 0; i < figures->n_domains; i++) {
        const struct figures_domain *domain = &figures->domains[i];
        int index = domain_index(ledger, domain);
        uint64_t before_uj = goes_on && index >= 0 ? ledger->domains[index].energy_uj : 0;
        uint64_t energy_uj = figures->energy_uj[i] - min_u64(before_uj, figures->energy_uj[i]);

        if (index >= 0)
            cell->energy_uj[index] = energy_uj;
        else
            cell->gap = true;
        if (!domain->in_total)
            continue;
        cell->total_uj += energy_uj;
        cell->quanta_uj += figures->quantum_uj;
        cell->quality = quality_worse(cell->quality, domain->quality);
    }
}

/* From the end of the last slot to the end of this one. */
static void make_cell(struct ledger *ledger, const struct figures *figures, unsigned sample, struct cell *cell)
{
    bool same_run = strcmp(figures->epoch, ledger->epoch) == 0;
    bool goes_on = same_run && figures->seen && ledger->base_seen && figures->id == ledger->base_id;
    uint64_t used_ns = figures->cpu_ns - min_u64(goes_on ? ledger->base_cpu_ns : 0, figures->cpu_ns);
    uint64_t of_threads_ns = 0;

    cell->end_ns = ledger->samples[sample].mono_ns;
    cell->end_cpu_ns = ledger->samples[sample].cpu_ns;
    cell->begin_ns = ledger->has_cell ? ledger->cell_mono_ns : ledger->base_end_ns;
    /* No sample was taken when the first cell began: what the agent saw used in it is counted back from its end. */
    cell->begin_cpu_ns = ledger->has_cell
                             ? ledger->cell_cpu_ns
                             : min_u64(cell->end_cpu_ns - min_u64(used_ns, cell->end_cpu_ns), ledger->first_cpu_ns);
    for (struct ledger_thread *thread = ledger->threads; thread; thread = thread->next) {
        thread->in_cell_ns = thread->cpu_ns[sample] - min_u64(thread->cell_ns, thread->cpu_ns[sample]);
        of_threads_ns += thread->in_cell_ns;
    }
    cell->cpu_ns = max_u64(cell->end_cpu_ns - min_u64(cell->begin_cpu_ns, cell->end_cpu_ns), of_threads_ns);
    fill_energy(ledger, figures, goes_on, cell);
    /* An agent that started anew says nothing of what was before; one that does not see the process has no figures,
     * unless there was nothing to see. */
    cell->gap = cell->gap || !same_run || (!figures->seen && cell->cpu_ns > 0);
}

/* How much of the cell is the region's: part / whole. */
static void region_part(const struct ledger_region *region, const struct cell *cell, unsigned sample,
                        uint64_t *ret_part, uint64_t *ret_whole)
{
    uint64_t end_cpu_ns = region->ended ? region->end_cpu_ns : UINT64_MAX;
    uint64_t end_ns = region->ended ? region->end_mono_ns : UINT64_MAX;

    *ret_whole = cell->cpu_ns;
    if (region->of_thread)
        *ret_part = overlap(region->begin_cpu_ns, end_cpu_ns, region->thread->cell_ns,
                            max_u64(region->thread->cell_ns, region->thread->cpu_ns[sample]));
    else
        *ret_part = overlap(region->begin_cpu_ns, end_cpu_ns, cell->begin_cpu_ns, cell->end_cpu_ns);
    if (cell->cpu_ns > 0)
        return;
    *ret_whole = max_u64(cell->end_ns - cell->begin_ns, 1);
    *ret_part = region->of_thread ? 0 : overlap(region->begin_mono_ns, end_ns, cell->begin_ns, cell->end_ns);
}

static void credit(const struct ledger *ledger, struct ledger_region *region, const struct cell *cell, unsigned sample)
{
    uint64_t end_ns = region->ended ? region->end_mono_ns : UINT64_MAX;
    uint64_t part, whole, total_uj = 0;

    region_part(region, cell, sample, &part, &whole);
    for (size_t i = 0; i < ledger->n_domains; i++) {
        uint64_t energy_uj = share(cell->energy_uj[i], part, whole);

        if (i < region->n_domains)
            region->energy_uj[i] += energy_uj;
        else if (cell->energy_uj[i])
            region->gap = true;
        if (ledger->domains[i].domain.in_total)
            total_uj += energy_uj;
    }
    region->total_uj += total_uj;
    if (region->begin_mono_ns <= cell->begin_ns && end_ns >= cell->end_ns) {
        region->low_uj += total_uj;
        region->high_uj += total_uj;
    } else {
        region->high_uj += cell->total_uj; /* when in the cell it was used is not known */
    }
    region->quanta_uj = max_u64(region->quanta_uj, cell->quanta_uj);
    region->quality = region->any_quality ? quality_worse(region->quality, cell->quality) : cell->quality;
    region->any_quality = true;
    if (cell->gap || cell->begin_ns > max_u64(region->begin_mono_ns, region->covered_until_ns))
        region->gap = true;
    region->covered_ns += overlap(region->begin_mono_ns, end_ns, cell->begin_ns, cell->end_ns);
    region->covered_until_ns = cell->end_ns;
}

static void credit_all(struct ledger *ledger, const struct cell *cell, unsigned sample)
{
    struct ledger_region *next;

    for (struct ledger_region *region = ledger->regions; region; region = next) {
        next = region->next;
        if (region->begin_mono_ns >= cell->end_ns)
            continue;
        credit(ledger, region, cell, sample);
        if (region->ended && region->end_mono_ns <= cell->end_ns) {
            region->complete = true;
            ledger_drop(ledger, region);
        }
    }
}

int ledger_take(struct ledger *ledger, const struct figures *figures)
{
    unsigned sample = nearest_sample(ledger, figures->end_mono_ns);
    struct cell cell = {0};

    if (ledger->has_base && strcmp(figures->epoch, ledger->epoch) == 0 && figures->end_mono_ns <= ledger->base_end_ns)
        return 0;
    if (!ledger->has_base) {
        /* The newest slot ended after the first region began (we were slow to ask): its window is part of it. */
        bool inside = figures->end_mono_ns > ledger->first_mono_ns;

        set_base(ledger, figures, inside);
        if (!inside)
            return 1;
    }
    make_cell(ledger, figures, sample, &cell);
    if (cell.end_ns > cell.begin_ns)
        credit_all(ledger, &cell, sample);
    set_base(ledger, figures, false);
    ledger->has_cell = true;
    ledger->cell_mono_ns = cell.end_ns;
    ledger->cell_cpu_ns = cell.end_cpu_ns;
    for (struct ledger_thread *thread = ledger->threads; thread; thread = thread->next)
        thread->cell_ns = max_u64(thread->cell_ns, thread->cpu_ns[sample]);
    return 1;
}

void ledger_rest(struct ledger *ledger)
{
    ledger->has_base = false;
    ledger->has_cell = false;
    ledger->n_samples = 0;
}
