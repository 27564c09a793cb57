/* SPDX-License-Identifier: Apache-2.0 */
/* ROCm SMI, see amd_library.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/dl_api.h"
#include "sources/amd_library.h"
#include "sources/pci_address.h"
#include "sources/printable.h"
#include "sources/rsmi_abi.h"

static const char *const usual[] = {"librocm_smi64.so",   "librocm_smi64.so.7", "librocm_smi64.so.6",
                                    "librocm_smi64.so.5", "librocm_smi64.so.1", "/opt/rocm/lib/librocm_smi64.so"};

#define SLOT(member) offsetof(struct rsmi_api, member)

static const struct dl_symbol symbols[] = {
    {"rsmi_init", SLOT(init), true},
    {"rsmi_shut_down", SLOT(shut_down), true},
    {"rsmi_status_string", SLOT(status_text), false},
    {"rsmi_num_monitor_devices", SLOT(count), true},
    {"rsmi_dev_pci_id_get", SLOT(pci_id), false},
    {"rsmi_dev_unique_id_get", SLOT(unique_id), false},
    {"rsmi_dev_energy_count_get", SLOT(energy), false},
    {"rsmi_dev_power_get", SLOT(power), false},
    {"rsmi_dev_power_ave_get", SLOT(average_power), false},
};

struct library {
    struct rsmi_api api;
    uint32_t n;
};

static int status_of(int result)
{
    static const struct {
        int result, status;
    } meanings[] = {
        {RSMI_OK, 0},
        {RSMI_NOT_SUPPORTED, -ENODATA},
        {RSMI_NOT_YET_IMPLEMENTED, -ENODATA},
        {RSMI_NO_DATA, -ENODATA},
        {RSMI_BUSY, -ENODATA},
        {RSMI_NO_PERMISSION, -EACCES},
        {RSMI_NOT_FOUND, -ENODEV},
    };

    for (size_t i = 0; i < ELEMENTSOF(meanings); i++)
        if (meanings[i].result == result)
            return meanings[i].status;
    return -EIO;
}

static int explain(const struct rsmi_api *api, int result, const char *what, struct carnot_err *err)
{
    int status = status_of(result);
    const char *text = NULL;
    char said[96];

    if (status == -ENODATA)
        return status; /* nothing is wrong */
    if (!api->status_text || api->status_text(result, &text) != RSMI_OK || !text)
        text = "no explanation";
    printable_copy(said, sizeof(said), (struct text){text, strnlen(text, sizeof(said))});
    return carnot_err_set(err, status, "ROCm's library cannot %s: result %d, %s; %s", what, result, said,
                          status == -EACCES ? "give this program the right to read /dev/dri and /dev/kfd"
                                            : "`rocm-smi` may tell more");
}

static int rsmi_open(const char *path, void **ret_library, struct carnot_err *err)
{
    _cleanup_free_ struct library *library = calloc(1, sizeof(*library));
    uint32_t n = 0;

    if (!library)
        return carnot_err_set(err, ENOMEM, "out of memory for ROCm's library");
    int r = dl_api_load(path[0] ? &path : usual, path[0] ? 1 : ELEMENTSOF(usual), symbols, ELEMENTSOF(symbols),
                        &library->api, sizeof(library->api), err);
    if (r < 0)
        return r == -ENODEV ? -ENOENT : r;
    int result = library->api.init(0);
    if (result != RSMI_OK)
        return carnot_err_set(err, status_of(result) == -EACCES ? EACCES : ENODEV,
                              "ROCm's library cannot start (result %d): is the driver loaded (`modprobe amdgpu`)?",
                              result);
    result = library->api.count(&n);
    if (result != RSMI_OK && status_of(result) != -ENODATA)
        r = explain(&library->api, result, "count the GPUs", err);
    else if (result != RSMI_OK || n == 0)
        r = carnot_err_set(err, ENODEV, "ROCm's library is there but knows no GPU");
    if (r < 0) {
        library->api.shut_down();
        return r;
    }
    library->n = (uint32_t)min_u64(n, AMD_DEVICES_MAX);
    *ret_library = TAKE_PTR(library);
    return 0;
}

static void *rsmi_close(void *self)
{
    struct library *library = self;

    if (library)
        library->api.shut_down();
    free(library);
    return NULL;
}

static size_t rsmi_count(const void *self)
{
    return ((const struct library *)self)->n;
}

static void rsmi_identify(void *self, uint32_t device, struct amd_device *ret_device)
{
    struct library *library = self;
    uint64_t bdf = 0, id = 0;

    *ret_device = (struct amd_device){0};
    if (library->api.pci_id && library->api.pci_id(device, &bdf) == RSMI_OK)
        pci_address_format(RSMI_BDF_DOMAIN(bdf), RSMI_BDF_BUS(bdf), RSMI_BDF_DEVICE(bdf), RSMI_BDF_FUNCTION(bdf),
                           ret_device->pci);
    if (library->api.unique_id && library->api.unique_id(device, &id) == RSMI_OK && id)
        snprintf(ret_device->id, sizeof(ret_device->id), "0x%" PRIx64, id);
}

static int rsmi_energy(void *self, uint32_t device, uint64_t *ret_uj, struct carnot_err *err)
{
    const struct library *library = self;
    uint64_t steps = 0, time_ns = 0;
    float step_uj = 0;

    if (!library->api.energy)
        return -ENODATA;
    int result = library->api.energy(device, &steps, &step_uj, &time_ns);
    if (result != RSMI_OK)
        return explain(&library->api, result, "read the energy counter", err);
    if (amd_energy_uj(steps, (double)step_uj, ret_uj) < 0)
        return carnot_err_set(err, EPROTO, "ROCm's library tells an energy that makes no sense");
    return 0;
}

static int rsmi_power(void *self, uint32_t device, uint64_t *ret_uw, struct carnot_err *err)
{
    const struct library *library = self;
    uint64_t power_uw = 0;
    int type = 0, result;

    if (library->api.power)
        result = library->api.power(device, &power_uw, &type);
    else if (library->api.average_power)
        result = library->api.average_power(device, 0, &power_uw);
    else
        return -ENODATA;
    if (result != RSMI_OK)
        return explain(&library->api, result, "read the power", err);
    if (power_uw == 0)
        return -ENODATA;
    *ret_uw = power_uw;
    return 0;
}

const struct amd_library_ops amd_library_rsmi = {
    .name = "librocm_smi64",
    .open = rsmi_open,
    .count = rsmi_count,
    .identify = rsmi_identify,
    .energy = rsmi_energy,
    .power = rsmi_power,
    .close = rsmi_close,
};
