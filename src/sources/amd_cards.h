/* SPDX-License-Identifier: Apache-2.0 */
/* AMD's cards. What its libraries and programs list are logical devices: a card cut into partitions (DPX, TPX, QPX,
 * CPX) is several of them, all with the power of the whole card or with none. One domain per card, read through one of
 * its devices. Knows no library. */
#ifndef CARNOT_SOURCES_AMD_CARDS_H
#define CARNOT_SOURCES_AMD_CARDS_H

#include "base/clock.h"
#include "model/domain.h"
#include "sources/power_integral.h"
#include "sources/source.h"

#define AMD_DEVICES_MAX 256 /* 32 cards of 8 partitions; the largest nodes have 8 */
#define AMD_CARDS_MAX   64
#define AMD_ID_MAX      64

/* Powers further apart than this are not bridged: what a card drew meanwhile is not known. */
#define AMD_BRIDGE_MAX_NS (5 * NS_PER_SEC)

/* A card that works draws power, so its counter moves with every reading. On some it stops and tells the same for ever
 * (MI100, virtual machines). */
#define AMD_STOPPED_NS (30 * NS_PER_SEC)

/* A power beyond this is garbage: several times what the largest card draws. */
#define AMD_MAX_UW (10000ULL * 1000000)

/* The counter's step, 15.259 uJ in documentation, 15.3 in the libraries. */
#define AMD_STEP_SHIFT 16 /* 2^-16 J */

struct amd_device {
    char pci[DOMAIN_PCI_MAX]; /* in the kernel's form; the function may be the partition's number. "": unknown */
    char id[AMD_ID_MAX];      /* of the card: unique id, serial number; "": unknown, as on many boards */
};

/* What a device tells: 0 and a figure, -ENODATA none, -EIO, ... a failure that may pass. */
struct amd_figures {
    int uj_status, uw_status;
    uint64_t energy_uj, power_uw;
};

enum amd_way { AMD_ENERGY, AMD_POWER, AMD_NEITHER };

struct amd_card {
    enum amd_way way;
    uint32_t device; /* through which it is read */
    uint32_t n_devices;
    struct power_integral integral;
    uint64_t last_uj, moved_ns; /* counter, and when it last moved */
};

struct amd_cards {
    size_t n;
    unsigned left_out;
    bool seldom; /* read every ten seconds or so: a power is handed on as such, not integrated here */
    struct amd_card cards[AMD_CARDS_MAX];
    struct domain domains[AMD_CARDS_MAX];
    uint32_t card_of[AMD_DEVICES_MAX];
};

/* Those of one PCI device; where an address is not known, those of one id. */
bool amd_device_is_same_card(const struct amd_device *a, const struct amd_device *b);

/* Puts devices together to cards: those of one PCI device; where an address is not known, those of one id. A device of
 * which neither is known is a card of its own. For each card the first of its devices that tells an energy is chosen,
 * else the first that tells a power. A counter of 0 is none, and counters that are the same on two cards are none of
 * theirs (the dies of an MI250, virtual machines). n at most AMD_DEVICES_MAX. */
void amd_cards_make(const struct amd_device *devices, const struct amd_figures *figures, size_t n, const char *source,
                    bool seldom, struct amd_cards *ret_cards);

/* A reading of card number c from what its device told, in the card's way. */
void amd_cards_read(struct amd_cards *cards, uint32_t c, const struct amd_figures *figures, uint64_t now_ns,
                    struct reading *ret_reading);

void amd_cards_reset(struct amd_cards *cards);

/* The sentence about a reading that failed: what its source said, or what amd_cards_read() found. */
void amd_card_explain(const struct domain *domain, int status, const struct carnot_err *said, struct carnot_err *err);

/* A line for each card. Uses only what is fixed by amd_cards_make(). */
void amd_cards_describe(const struct amd_cards *cards, struct buf *out);

/* Steps of the energy counter as microjoules. step_uj as the library tells it: what is near 2^-16 J is meant to be
 * that. -ERANGE: more than 64 bits, or no step at all. */
int amd_energy_uj(uint64_t steps, double step_uj, uint64_t *ret_uj);

#endif
