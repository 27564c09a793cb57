/* SPDX-License-Identifier: Apache-2.0 */
/* A second way to counters that are read already (RAPL by powercap beside perf events): its energy is given to nobody,
 * it only tells whether both say the same. A driver with a wrong unit is a factor of four in every figure, and no other
 * check would see it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "meter/energy.h"

/* Rarer than anything that can wrap twice (16 s at the smallest unit and 4 kW), and cheap: some ten readings. */
#define READ_NS (10 * NS_PER_SEC)

/* Both ways are read microseconds apart, the counters move each millisecond: over a minute that is below 20 ppm. */
#define COMPARE_NS (60 * NS_PER_SEC)

/* Below so much energy of a domain rounding is all there is to compare. */
#define COMPARE_MIN_UJ (10 * UJ_PER_J)

#define DIFFERS_PPM 10000 /* 1 %: no rounding and no timing gives that */

struct energy_witness {
    const struct source_ops *ops;
    void *self;
    size_t source; /* number in energy->sources: where the verdict is told */
    const char *against;
    size_t n;
    uint32_t ours[DOMAINS_MAX]; /* which of our domains; UINT32_MAX: none */
    struct delta deltas[DOMAINS_MAX];
    bool fresh[DOMAINS_MAX]; /* in the newest reading */
    bool begun[DOMAINS_MAX]; /* both sides were known when the comparison began */
    uint64_t begin_ours_uj[DOMAINS_MAX], begin_theirs_uj[DOMAINS_MAX];
    uint64_t irregular; /* gaps, resets on either side when the comparison began */
    uint64_t next_read_ns, begin_ns;
    struct reading readings[DOMAINS_MAX];
};

static uint32_t same_domain(const struct energy *energy, const struct domain *domain)
{
    for (size_t i = 0; i < energy->n_domains; i++) {
        const struct domain *ours = &energy->domains[i].domain;
        if (ours->kind == domain->kind && strcmp(ours->name, domain->name) == 0)
            return (uint32_t)i;
    }
    return UINT32_MAX;
}

bool energy_witness_open(struct energy *energy, const struct topology *topology, struct energy_source *source,
                         const char *against)
{
    struct source_args args = {.env = energy->env, .topology = topology, .settings = source->ops->settings};
    struct energy_witness *witness;
    const struct domain *domains;
    void *self;

    if (energy->witness || (source->ops->flags & (SOURCE_SLOW | SOURCE_MODEL)))
        return false;
    if ((source->ops->probe && source->ops->probe(&args, NULL) < 0) || source->ops->open(&args, &self, NULL) < 0)
        return false;
    witness = calloc(1, sizeof(*witness));
    if (!witness) {
        source->ops->close(self);
        return false;
    }
    witness->ops = source->ops;
    witness->self = self;
    witness->source = (size_t)(source - energy->sources);
    witness->against = against;
    witness->n = min_size(source->ops->domains(self, &domains), DOMAINS_MAX);
    for (size_t i = 0; i < witness->n; i++)
        witness->ours[i] = same_domain(energy, &domains[i]);
    source->crosscheck_ppm = INT64_MIN;
    energy->witness = witness;
    return true;
}

void energy_witness_close(struct energy *energy)
{
    if (energy->witness)
        energy->witness->ops->close(energy->witness->self);
    free(energy->witness);
    energy->witness = NULL;
}

static uint64_t irregularities(const struct energy *energy, const struct energy_witness *witness)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < witness->n; i++) {
        const struct delta *theirs = &witness->deltas[i];

        sum += theirs->resets + theirs->gaps + theirs->absurd;
        if (witness->ours[i] != UINT32_MAX) {
            const struct delta *ours = &energy->domains[witness->ours[i]].delta;
            sum += ours->resets + ours->gaps + ours->absurd;
        }
    }
    return sum;
}

/* Both sides are of now. Energy that one of them will only tell when it can be read again would be a difference. */
static bool both_known(const struct energy *energy, const struct energy_witness *witness, size_t i)
{
    const struct energy_domain *ours;

    if (witness->ours[i] == UINT32_MAX || !witness->fresh[i])
        return false;
    ours = &energy->domains[witness->ours[i]];
    return ours->status == 0 && ours->delta.primed;
}

static void begin(const struct energy *energy, struct energy_witness *witness, uint64_t now_ns)
{
    for (size_t i = 0; i < witness->n; i++) {
        witness->begun[i] = both_known(energy, witness, i);
        witness->begin_theirs_uj[i] = witness->deltas[i].total_uj;
        if (witness->ours[i] != UINT32_MAX)
            witness->begin_ours_uj[i] = energy->domains[witness->ours[i]].delta.total_uj;
    }
    witness->irregular = irregularities(energy, witness);
    witness->begin_ns = now_ns;
}

/* Theirs less ours, in parts per million of the larger one: at most a million. */
static int64_t difference_ppm(uint64_t ours_uj, uint64_t theirs_uj)
{
    uint64_t larger = max_u64(ours_uj, theirs_uj);
    int64_t ppm = (int64_t)muldiv_u64(larger - min_u64(ours_uj, theirs_uj), 1000000, larger);

    return theirs_uj < ours_uj ? -ppm : ppm;
}

static void tell(struct energy *energy, const struct energy_witness *witness, const char *domain, int64_t ppm)
{
    struct energy_source *source = &energy->sources[witness->source];
    uint64_t size = (uint64_t)(ppm < 0 ? -ppm : ppm);

    source->crosscheck_ppm = ppm;
    if (size > DIFFERS_PPM)
        snprintf(source->message, sizeof(source->message),
                 "tells %" PRIu64 ".%" PRIu64
                 " %% %s than %s of %s: one of the two is wrong; compare the unit that `carnot "
                 "doctor` shows with the processor's manual, choose with --rapl.mode, and please report the machine",
                 size / 10000, size / 1000 % 10, ppm < 0 ? "less" : "more", witness->against, domain);
    else
        snprintf(source->message, sizeof(source->message), "not needed but to check %s: they agree to %" PRIu64 " ppm",
                 witness->against, size);
}

static void compare(struct energy *energy, const struct energy_witness *witness)
{
    const char *worst_name = NULL;
    int64_t worst = 0;

    for (size_t i = 0; i < witness->n; i++) {
        if (!witness->begun[i] || !both_known(energy, witness, i))
            continue;
        const struct energy_domain *d = &energy->domains[witness->ours[i]];
        uint64_t ours_uj = d->delta.total_uj - witness->begin_ours_uj[i];
        uint64_t theirs_uj = witness->deltas[i].total_uj - witness->begin_theirs_uj[i];

        if (max_u64(ours_uj, theirs_uj) < COMPARE_MIN_UJ)
            continue;
        int64_t ppm = difference_ppm(ours_uj, theirs_uj);
        if (!worst_name || llabs(ppm) > llabs(worst)) {
            worst = ppm;
            worst_name = d->domain.name;
        }
    }
    if (worst_name)
        tell(energy, witness, worst_name, worst);
}

void energy_witness_tick(struct energy *energy)
{
    struct energy_witness *witness = energy->witness;
    uint64_t now_ns = clock_now(energy->env->clock).mono_ns;
    bool first;

    if (!witness || now_ns < witness->next_read_ns)
        return;
    first = witness->next_read_ns == 0;
    witness->next_read_ns = now_ns + READ_NS;
    memset(witness->fresh, 0, sizeof(witness->fresh));
    int n = witness->ops->read(witness->self, now_ns, witness->readings, NULL);
    for (int i = 0; i < n; i++) {
        const struct reading *reading = &witness->readings[i];
        uint64_t delta_uj;

        if (reading->domain >= witness->n)
            continue;
        struct delta *delta = &witness->deltas[reading->domain];
        witness->fresh[reading->domain] = reading->status == 0;
        if (reading->status == 0)
            delta_step(delta, reading->counter_uj, reading->modulus_uj, 0, reading->mono_ns, &delta_uj);
        delta->gaps += reading->status < 0 || reading->gap;
    }
    if (first || irregularities(energy, witness) != witness->irregular) {
        begin(energy, witness, now_ns);
    } else if (n >= 0 && now_ns - witness->begin_ns >= COMPARE_NS) {
        compare(energy, witness);
        begin(energy, witness, now_ns);
    }
}

void energy_witness_rebase(struct energy *energy)
{
    if (!energy->witness)
        return;
    if (energy->witness->ops->reset)
        energy->witness->ops->reset(energy->witness->self, clock_now(energy->env->clock).mono_ns);
    for (size_t i = 0; i < energy->witness->n; i++)
        delta_rebase(&energy->witness->deltas[i]);
}
