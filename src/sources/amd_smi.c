/* SPDX-License-Identifier: Apache-2.0 */
/* AMD GPUs through AMD's management libraries: the energy counter where a card has one, else its power integrated over
 * time; one domain per card, however many partitions it is cut into. A card that gives no figure has a status; it is
 * never taken for one that draws nothing. */
#include "sources/amd_smi.h"

#include <errno.h>
#include <string.h>

#include "sources/amd_library.h"
#include "sources/registry.h"

/* Each reading makes the card's firmware fill a table, which takes it about a millisecond; windows are a second. */
#define INTERVAL_NS (500 * NS_PER_MS)

struct amd_smi {
    const struct amd_library_ops *ops;
    void *library;
    struct carnot_clock *clock;
    struct amd_cards cards;
};

static struct amd_smi_settings default_settings = {.library = ""};

static const struct carnot_option options[] = {
    {.name = "amd_smi.library",
     .type = OPTION_STRING,
     .offset = offsetof(struct amd_smi_settings, library),
     .def = "",
     .metavar = "PATH",
     .help =
         "AMD management library to load (AMD SMI or ROCm SMI); without it libamd_smi.so, else librocm_smi64.so, as "
         "the system's loader finds them or in /opt/rocm/lib."},
};

/* The first of the two that can be used. When none can, the sentence is about the one that came furthest: not there,
 * not such a library, there and failing. */
static int open_library(const struct source_args *args, struct amd_smi *smi, struct carnot_err *err)
{
    static const struct amd_library_ops *const libraries[] = {&amd_library_amdsmi, &amd_library_rsmi};
    const struct amd_smi_settings *settings = args->settings ? args->settings : &default_settings;
    const char *path = settings->library ? settings->library : "";
    int failed = 0, came_to = -1;

    for (size_t i = 0; i < ELEMENTSOF(libraries); i++) {
        struct carnot_err own = CARNOT_ERR_INIT;
        int r = libraries[i]->open(path, &smi->library, &own), comes_to = r == -ENOENT ? 0 : r == -EPROTO ? 1 : 2;

        if (r >= 0) {
            smi->ops = libraries[i];
            return 0;
        }
        if (comes_to <= came_to)
            continue;
        came_to = comes_to;
        failed = r;
        if (err)
            *err = own;
    }
    if (failed != -ENOENT)
        return failed;
    carnot_err_wrap(err, path[0] ? "the library that amd_smi.library names cannot be loaded"
                                 : "no AMD management library is installed here");
    if (err)
        err->code = ENODEV;
    return -ENODEV;
}

static void *amd_smi_close(void *self)
{
    struct amd_smi *smi = self;

    if (smi && smi->library)
        smi->ops->close(smi->library);
    free(smi);
    return NULL;
}

static int amd_smi_probe(const struct source_args *args, struct carnot_err *err)
{
    struct amd_smi smi = {0};
    int r = open_library(args, &smi, err);

    if (r >= 0)
        smi.ops->close(smi.library);
    return r;
}

static int amd_smi_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    _cleanup_free_ struct amd_device *devices = calloc(AMD_DEVICES_MAX, sizeof(*devices));
    _cleanup_free_ struct amd_figures *figures = calloc(AMD_DEVICES_MAX, sizeof(*figures));
    struct amd_smi *smi = calloc(1, sizeof(*smi));

    if (!devices || !figures || !smi) {
        free(smi);
        return carnot_err_set(err, ENOMEM, "out of memory for AMD's GPUs");
    }
    smi->clock = args->env->clock;
    int r = open_library(args, smi, err);
    if (r < 0) {
        amd_smi_close(smi);
        return r;
    }
    size_t n = smi->ops->count(smi->library);
    for (uint32_t i = 0; i < n; i++) {
        smi->ops->identify(smi->library, i, &devices[i]);
        figures[i].uj_status = smi->ops->energy(smi->library, i, &figures[i].energy_uj, NULL);
        figures[i].uw_status = smi->ops->power(smi->library, i, &figures[i].power_uw, NULL);
    }
    amd_cards_make(devices, figures, n, source_amd_smi.name, false, &smi->cards);
    *ret_self = smi;
    return 0;
}

static size_t amd_smi_domains(const void *self, const struct domain **ret_domains)
{
    const struct amd_smi *smi = self;

    *ret_domains = smi->cards.domains;
    return smi->cards.n;
}

/* Asks in the card's own way only. */
static void ask(const struct amd_smi *smi, const struct amd_card *card, struct amd_figures *figures,
                struct carnot_err *err)
{
    *figures = (struct amd_figures){.uj_status = -ENODATA, .uw_status = -ENODATA};
    if (card->way == AMD_ENERGY)
        figures->uj_status = smi->ops->energy(smi->library, card->device, &figures->energy_uj, err);
    else if (card->way == AMD_POWER)
        figures->uw_status = smi->ops->power(smi->library, card->device, &figures->power_uw, err);
}

static int amd_smi_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct amd_smi *smi = self;
    bool explained = false;

    for (uint32_t c = 0; c < smi->cards.n; c++) {
        struct carnot_err own = CARNOT_ERR_INIT;
        struct amd_figures figures;

        ask(smi, &smi->cards.cards[c], &figures, &own);
        amd_cards_read(&smi->cards, c, &figures, clock_now(smi->clock).mono_ns, &out[c]);
        if (out[c].status == 0 || out[c].status == -ENODATA || explained)
            continue;
        explained = true;
        amd_card_explain(&smi->cards.domains[c], out[c].status, &own, err);
    }
    return (int)smi->cards.n;
}

static void amd_smi_reset(void *self, uint64_t now_mono_ns)
{
    struct amd_smi *smi = self;

    amd_cards_reset(&smi->cards);
}

/* Uses only what is fixed at open: a read may be in progress on another thread. */
static void amd_smi_describe(const void *self, struct buf *out)
{
    const struct amd_smi *smi = self;

    buf_printf(out, "read through %s\n", smi->ops->name);
    amd_cards_describe(&smi->cards, out);
}

const struct source_ops source_amd_smi = {
    .name = "amd_smi",
    .summary = "AMD GPUs (energy counter or power, through libamd_smi.so or librocm_smi64.so)",
    .flags = SOURCE_SLOW | SOURCE_ON_BY_DEFAULT,
    .group = "amd",
    .options = options,
    .n_options = ELEMENTSOF(options),
    .settings = &default_settings,
    .min_interval_ns = INTERVAL_NS,
    .probe = amd_smi_probe,
    .open = amd_smi_open,
    .domains = amd_smi_domains,
    .read = amd_smi_read,
    .reset = amd_smi_reset,
    .describe = amd_smi_describe,
    .close = amd_smi_close,
};
