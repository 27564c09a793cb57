/* SPDX-License-Identifier: Apache-2.0 */
/* The input as an answer of amd-smi or rocm-smi, then its devices put together to cards. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "sources/amd_smi_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
    size_t n = strnlen(text, size);

    CHECK(n < size);
    for (size_t i = 0; i < n; i++)
        CHECK(text[i] >= ' ' && text[i] <= '~');
}

static void check_cards(const struct amd_smi_json_list *list)
{
    static struct amd_cards cards;
    struct amd_device devices[AMD_DEVICES_MAX];
    struct amd_figures figures[AMD_DEVICES_MAX] = {0};
    uint32_t n_devices = 0;

    for (size_t i = 0; i < list->n; i++) {
        devices[i] = list->gpus[i].device;
        figures[i].energy_uj = list->gpus[i].energy_uj;
        figures[i].power_uw = list->gpus[i].power_uw;
    }
    amd_cards_make(devices, figures, list->n, "fuzz", true, &cards);
    CHECK(cards.n >= 1 && cards.n <= AMD_CARDS_MAX);
    for (uint32_t c = 0; c < cards.n; c++) {
        struct reading reading;
        CHECK(cards.cards[c].device < list->n);
        n_devices += cards.cards[c].n_devices;
        amd_cards_read(&cards, c, &figures[cards.cards[c].device], 1, &reading);
        CHECK(reading.status == 0 || reading.status == -ENODATA);
        CHECK(reading.status || (reading.is_power ? reading.power_uw : reading.counter_uj));
        for (size_t k = 0; k < c; k++)
            CHECK(!cards.domains[c].pci[0] || strcmp(cards.domains[c].pci, cards.domains[k].pci) != 0);
    }
    CHECK(n_devices <= list->n && (cards.left_out || n_devices == list->n));
    domains_mark_total(cards.domains, cards.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct amd_smi_json_list list;
    struct carnot_err err = CARNOT_ERR_INIT;

    list = (struct amd_smi_json_list){.n = 7777};
    if (amd_smi_json_parse((struct text){(const char *)data, size}, &list, &err) < 0) {
        CHECK(list.n == 7777 && err.msg[0]);
        check_text(err.msg, sizeof(err.msg));
        return 0;
    }
    CHECK(list.n >= 1 && list.n <= AMD_DEVICES_MAX);
    for (size_t i = 0; i < list.n; i++) {
        const struct amd_smi_json_gpu *gpu = &list.gpus[i];
        check_text(gpu->device.pci, sizeof(gpu->device.pci));
        check_text(gpu->device.id, sizeof(gpu->device.id));
        CHECK(gpu->power_uw <= AMD_MAX_UW);
        CHECK(i == 0 || gpu->index >= list.gpus[i - 1].index);
    }
    check_cards(&list);
    return 0;
}
