/* SPDX-License-Identifier: Apache-2.0 */
/* Any text is either figures, from which the ledger gives no region more than there is, or an error with a sentence. */
#include <stdint.h>

#include "base/clock.h"
#include "lib/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        __builtin_trap();
}

static uint64_t now_ns(void *userdata)
{
    return *(uint64_t *)userdata;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct figures figures;
    static struct ledger ledger;
    uint64_t now = UINT32_MAX, energy_uj[4] = {0}, all_uj = 0;
    const struct ledger_clocks clocks = {.mono_ns = now_ns, .process_cpu_ns = now_ns, .userdata = &now};
    struct ledger_region region = {.n_domains = ELEMENTSOF(energy_uj), .energy_uj = energy_uj};
    struct carnot_err err = CARNOT_ERR_INIT;
    int r = figures_parse((struct text){(const char *)data, size}, &figures, &err);

    if (r < 0) {
        check(err.code == -r && err.msg[0]);
        return 0;
    }
    ledger_init(&ledger, &clocks);
    check(ledger_begin(&ledger, &region, NULL) == 0);
    ledger_sample(&ledger);
    now += NS_PER_SEC;
    check(ledger_end(&ledger, &region) == 0);
    for (int i = 0; i < 3; i++) {
        now += NS_PER_SEC;
        ledger_sample(&ledger);
        ledger_take(&ledger, &figures);
        figures.end_mono_ns += NS_PER_SEC;
    }
    for (size_t i = 0; i < figures.n_domains; i++)
        all_uj += figures.domains[i].in_total ? figures.energy_uj[i] : 0;
    check(region.total_uj <= all_uj && region.low_uj <= region.total_uj && region.total_uj <= region.high_uj);
    ledger_drop(&ledger, &region);
    ledger_done(&ledger);
    return 0;
}
