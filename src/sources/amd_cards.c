/* SPDX-License-Identifier: Apache-2.0 */
/* See amd_cards.h. */
#include "sources/amd_cards.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sources/pci_address.h"

#define NO_CARD UINT32_MAX /* no room for it */

/* --- which devices are one card --------------------------------------------------------------------------------- */

bool amd_device_is_same_card(const struct amd_device *a, const struct amd_device *b)
{
    char card_a[DOMAIN_PCI_MAX], card_b[DOMAIN_PCI_MAX];

    if (!a->pci[0] || !b->pci[0])
        return a->id[0] && strcmp(a->id, b->id) == 0;
    memcpy(card_a, a->pci, sizeof(card_a));
    memcpy(card_b, b->pci, sizeof(card_b));
    pci_address_to_card(card_a);
    pci_address_to_card(card_b);
    return strcmp(card_a, card_b) == 0;
}

static void new_card(struct amd_cards *cards, const char *source)
{
    struct domain *domain = &cards->domains[cards->n];

    cards->cards[cards->n] = (struct amd_card){.way = AMD_NEITHER};
    *domain = (struct domain){.kind = DOMAIN_GPU, .package = -1, .die = -1, .node = -1, .source = source};
    snprintf(domain->name, sizeof(domain->name), "gpu-%zu-amd", cards->n);
    cards->n++;
}

/* The first of the devices that have a card already and are of the same; n: none. */
static size_t find_like(const struct amd_device *devices, size_t n, const struct amd_cards *cards, size_t i)
{
    size_t like = 0;

    while (like < n && (cards->card_of[like] == NO_CARD || !amd_device_is_same_card(&devices[like], &devices[i])))
        like++;
    return like;
}

static void join(const struct amd_device *devices, size_t n, const char *source, struct amd_cards *cards, size_t i)
{
    size_t like = find_like(devices, n, cards, i);

    if (like == n && cards->n == AMD_CARDS_MAX) {
        cards->left_out++;
        return;
    }
    if (like == n)
        new_card(cards, source);
    cards->card_of[i] = like == n ? (uint32_t)cards->n - 1 : cards->card_of[like];
    cards->cards[cards->card_of[i]].n_devices++;
    if (like == n && devices[i].pci[0]) {
        struct domain *domain = &cards->domains[cards->card_of[i]];
        memcpy(domain->pci, devices[i].pci, sizeof(domain->pci));
        pci_address_to_card(domain->pci);
    }
}

/* Addresses first, since two cards may have one id, but not one address. */
static void group(const struct amd_device *devices, size_t n, const char *source, struct amd_cards *cards)
{
    for (size_t i = 0; i < n; i++)
        cards->card_of[i] = NO_CARD;
    for (int with_address = 1; with_address >= 0; with_address--)
        for (size_t i = 0; i < n; i++)
            if ((devices[i].pci[0] != '\0') == with_address)
                join(devices, n, source, cards, i);
}

/* --- which of them is read -------------------------------------------------------------------------------------- */

static bool tells_energy(const struct amd_figures *figures)
{
    return figures->uj_status == 0 && figures->energy_uj;
}

static bool tells_power(const struct amd_figures *figures)
{
    return figures->uw_status == 0 && figures->power_uw;
}

static bool may_tell_energy(const struct amd_figures *figures)
{
    return figures->uj_status < 0 && figures->uj_status != -ENODATA;
}

static bool may_tell_power(const struct amd_figures *figures)
{
    return figures->uw_status < 0 && figures->uw_status != -ENODATA;
}

/* Does a device of another card tell the very same counter? */
static bool is_shared(const struct amd_cards *cards, const struct amd_figures *figures, size_t n, size_t i)
{
    for (size_t k = 0; k < n; k++)
        if (cards->card_of[k] != cards->card_of[i] && tells_energy(&figures[k]) &&
            figures[k].energy_uj == figures[i].energy_uj)
            return true;
    return false;
}

/* A failure that may pass leaves the better way open, but comes after all that is known to work. */
static void choose(struct amd_cards *cards, const struct amd_figures *figures, size_t n, uint32_t c)
{
    static const struct {
        bool (*fits)(const struct amd_figures *figures);
        enum amd_way way;
    } wishes[] = {{tells_energy, AMD_ENERGY},
                  {tells_power, AMD_POWER},
                  {may_tell_energy, AMD_ENERGY},
                  {may_tell_power, AMD_POWER}};
    struct amd_card *card = &cards->cards[c];

    for (size_t w = 0; w < ELEMENTSOF(wishes); w++) {
        for (size_t i = 0; i < n; i++) {
            if (cards->card_of[i] != c || !wishes[w].fits(&figures[i]))
                continue;
            if (wishes[w].fits == tells_energy && is_shared(cards, figures, n, i))
                continue;
            card->way = wishes[w].way;
            card->device = (uint32_t)i;
            return;
        }
    }
}

void amd_cards_make(const struct amd_device *devices, const struct amd_figures *figures, size_t n, const char *source,
                    bool seldom, struct amd_cards *ret_cards)
{
    *ret_cards = (struct amd_cards){.seldom = seldom};
    group(devices, n, source, ret_cards);
    for (uint32_t c = 0; c < ret_cards->n; c++) {
        struct amd_card *card = &ret_cards->cards[c];

        choose(ret_cards, figures, n, c);
        ret_cards->domains[c].quality = card->way == AMD_ENERGY ? QUALITY_MEASURED : QUALITY_DERIVED;
        power_integral_init(&card->integral, POWER_TRAPEZOID, AMD_BRIDGE_MAX_NS);
    }
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static void take_energy(struct amd_card *card, uint64_t energy_uj, uint64_t now_ns, struct reading *reading)
{
    reading->counter_uj = energy_uj;
    if (energy_uj == 0) {
        reading->status = -ENODATA;
    } else if (energy_uj != card->last_uj) {
        card->last_uj = energy_uj;
        card->moved_ns = now_ns;
    } else {
        reading->status = now_ns - card->moved_ns > AMD_STOPPED_NS ? -ESTALE : -ENODATA;
    }
}

static void take_power(struct amd_card *card, bool seldom, uint64_t power_uw, uint64_t now_ns, struct reading *reading)
{
    if (power_uw == 0) {
        reading->status = -ENODATA;
    } else if (power_uw > AMD_MAX_UW) {
        reading->status = -ERANGE;
    } else if (seldom) {
        reading->is_power = true;
        reading->power_uw = power_uw;
    } else {
        if (power_integral_add(&card->integral, power_uw, now_ns) == POWER_GAP)
            reading->status = -ENODATA;
        reading->counter_uj = card->integral.uj;
    }
}

void amd_cards_read(struct amd_cards *cards, uint32_t c, const struct amd_figures *figures, uint64_t now_ns,
                    struct reading *ret_reading)
{
    struct amd_card *card = &cards->cards[c];
    struct reading reading = {.domain = c, .status = -ENODATA, .mono_ns = now_ns};

    if (card->way == AMD_ENERGY) {
        reading.status = figures->uj_status;
        if (reading.status == 0)
            take_energy(card, figures->energy_uj, now_ns, &reading);
    } else if (card->way == AMD_POWER) {
        reading.status = figures->uw_status;
        if (reading.status == 0)
            take_power(card, cards->seldom, figures->power_uw, now_ns, &reading);
    }
    *ret_reading = reading;
}

void amd_cards_reset(struct amd_cards *cards)
{
    for (size_t c = 0; c < cards->n; c++)
        power_integral_reset(&cards->cards[c].integral);
}

void amd_card_explain(const struct domain *domain, int status, const struct carnot_err *said, struct carnot_err *err)
{
    if (said->msg[0])
        carnot_err_set(err, status, "%s: %s", domain->name, said->msg);
    else if (status == -ESTALE)
        carnot_err_set(err, status,
                       "%s: its energy counter stands still; a restart of the machine mends that on some cards, in a "
                       "virtual machine nothing does",
                       domain->name);
    else if (status == -ERANGE)
        carnot_err_set(err, status, "%s: tells a power above 10 kW, which is refused; update driver and library",
                       domain->name);
    else
        carnot_err_errno(err, status, "%s: cannot be read", domain->name);
}

void amd_cards_describe(const struct amd_cards *cards, struct buf *out)
{
    static const char *const ways[] = {
        [AMD_ENERGY] = "energy counter of the card, in steps of 2^-16 J",
        [AMD_POWER] = "no energy counter: its power over time",
        [AMD_NEITHER] =
            "gives neither energy nor power: no readings; the second die of an MI250 is in the figures of the first",
    };

    for (size_t c = 0; c < cards->n; c++) {
        const struct domain *domain = &cards->domains[c];

        buf_printf(out, "%s: %s, ", domain->name, domain->pci[0] ? domain->pci : "no PCI address");
        if (cards->cards[c].n_devices > 1)
            buf_printf(out, "%u partitions, ", cards->cards[c].n_devices);
        buf_printf(out, "%s\n", ways[cards->cards[c].way]);
    }
    if (cards->left_out)
        buf_printf(out, "%u more devices are left out: at most %d cards are read\n", cards->left_out, AMD_CARDS_MAX);
}

int amd_energy_uj(uint64_t steps, double step_uj, uint64_t *ret_uj)
{
    const double exact_uj = 1e6 / (1 << AMD_STEP_SHIFT);
    unsigned __int128 product;

    if (!isfinite(step_uj) || step_uj <= 0 || step_uj > 1e6)
        return -ERANGE;
    if (fabs(step_uj - exact_uj) < exact_uj / 100)
        product = (unsigned __int128)steps * 1000000 >> AMD_STEP_SHIFT;
    else
        product = (unsigned __int128)steps * (uint64_t)llround(step_uj * 1e6) / 1000000;
    if (product > UINT64_MAX)
        return -ERANGE;
    *ret_uj = (uint64_t)product;
    return 0;
}
