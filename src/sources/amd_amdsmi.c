/* SPDX-License-Identifier: Apache-2.0 */
/* AMD SMI, see amd_library.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/dl_api.h"
#include "sources/amd_library.h"
#include "sources/amdsmi_abi.h"
#include "sources/pci_address.h"
#include "sources/printable.h"

#define SOCKETS_MAX 128 /* GPUs and processors of a machine */

/* ROCm's own directory is in the loader's list only where its packages put it there. */
static const char *const usual[] = {"libamd_smi.so", "libamd_smi.so.26", "libamd_smi.so.25", "libamd_smi.so.24",
                                    "/opt/rocm/lib/libamd_smi.so"};

#define SLOT(member) offsetof(struct amdsmi_api, member)

static const struct dl_symbol symbols[] = {
    {"amdsmi_init", SLOT(init), true},
    {"amdsmi_shut_down", SLOT(shut_down), true},
    {"amdsmi_get_lib_version", SLOT(version), false},
    {"amdsmi_status_code_to_string", SLOT(status_text), false},
    {"amdsmi_get_socket_handles", SLOT(sockets), true},
    {"amdsmi_get_processor_handles", SLOT(processors), true},
    {"amdsmi_get_processor_type", SLOT(type), false},
    {"amdsmi_get_gpu_device_bdf", SLOT(bdf), false},
    {"amdsmi_get_gpu_device_uuid", SLOT(uuid), false},
    {"amdsmi_get_energy_count", SLOT(energy), false},
    {"amdsmi_get_power_info", SLOT(power), false},
};

struct library {
    struct amdsmi_api api;
    uint32_t release;
    size_t n;
    void *devices[AMD_DEVICES_MAX];
};

static int status_of(int result)
{
    static const struct {
        int result, status;
    } meanings[] = {
        {AMDSMI_OK, 0},
        {AMDSMI_NOT_SUPPORTED, -ENODATA},
        {AMDSMI_NOT_YET_IMPLEMENTED, -ENODATA},
        {AMDSMI_NO_DATA, -ENODATA},
        {AMDSMI_RETRY, -ENODATA},
        {AMDSMI_BUSY, -ENODATA},
        {AMDSMI_TIMEOUT, -ETIMEDOUT},
        {AMDSMI_NO_PERMISSION, -EACCES},
        {AMDSMI_NOT_FOUND, -ENODEV},
    };

    for (size_t i = 0; i < ELEMENTSOF(meanings); i++)
        if (meanings[i].result == result)
            return meanings[i].status;
    return -EIO;
}

static int explain(const struct amdsmi_api *api, int result, const char *what, struct carnot_err *err)
{
    int status = status_of(result);
    const char *text = NULL;
    char said[96];

    if (status == -ENODATA)
        return status; /* nothing is wrong */
    if (!api->status_text || api->status_text(result, &text) != AMDSMI_OK || !text)
        text = "no explanation";
    printable_copy(said, sizeof(said), (struct text){text, strnlen(text, sizeof(said))});
    return carnot_err_set(err, status, "AMD's library cannot %s: result %d, %s; %s", what, result, said,
                          status == -EACCES ? "give this program the right to read /dev/dri and /dev/kfd"
                                            : "`amd-smi list` may tell more");
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static uint32_t release_of(const struct amdsmi_api *api)
{
    union amdsmi_version version;

    memset(&version, 0, sizeof(version));
    return api->version && api->version(&version) == AMDSMI_OK ? version.first : 0;
}

static bool is_gpu(const struct amdsmi_api *api, void *processor)
{
    int type = -1;

    return !api->type || (api->type(processor, &type) == AMDSMI_OK && type == AMDSMI_PROCESSOR_AMD_GPU);
}

static void list_socket(struct library *library, void *socket)
{
    void *processors[AMD_DEVICES_MAX];
    uint32_t n = AMD_DEVICES_MAX;

    memset(processors, 0, sizeof(processors));
    if (library->api.processors(socket, &n, processors) != AMDSMI_OK)
        return;
    for (uint32_t i = 0; i < n && i < AMD_DEVICES_MAX && library->n < AMD_DEVICES_MAX; i++)
        if (processors[i] && is_gpu(&library->api, processors[i]))
            library->devices[library->n++] = processors[i];
}

static int list(struct library *library, struct carnot_err *err)
{
    void *sockets[SOCKETS_MAX];
    uint32_t n = SOCKETS_MAX;

    memset(sockets, 0, sizeof(sockets));
    int result = library->api.sockets(&n, sockets);
    if (result != AMDSMI_OK && status_of(result) != -ENODATA)
        return explain(&library->api, result, "list the GPUs", err);
    for (uint32_t i = 0; result == AMDSMI_OK && i < n && i < SOCKETS_MAX; i++)
        if (sockets[i])
            list_socket(library, sockets[i]);
    return library->n ? 0 : carnot_err_set(err, ENODEV, "AMD's library is there but knows no GPU");
}

static int amdsmi_open(const char *path, void **ret_library, struct carnot_err *err)
{
    _cleanup_free_ struct library *library = calloc(1, sizeof(*library));

    if (!library)
        return carnot_err_set(err, ENOMEM, "out of memory for AMD's library");
    int r = dl_api_load(path[0] ? &path : usual, path[0] ? 1 : ELEMENTSOF(usual), symbols, ELEMENTSOF(symbols),
                        &library->api, sizeof(library->api), err);
    if (r < 0)
        return r == -ENODEV ? -ENOENT : r;
    int result = library->api.init(AMDSMI_INIT_AMD_GPUS);
    if (result != AMDSMI_OK) {
        /* Without a driver every release has another result for it. */
        r = explain(&library->api, result, "start", err);
        return r == -EACCES ? r
                            : carnot_err_set(err, ENODEV,
                                             "AMD's library cannot start (result %d): is the driver "
                                             "loaded (`modprobe amdgpu`)?",
                                             result);
    }
    r = list(library, err);
    if (r < 0) {
        library->api.shut_down();
        return r;
    }
    library->release = release_of(&library->api);
    *ret_library = TAKE_PTR(library);
    return 0;
}

static void *amdsmi_close(void *self)
{
    struct library *library = self;

    if (library)
        library->api.shut_down();
    free(library);
    return NULL;
}

static size_t amdsmi_count(const void *self)
{
    return ((const struct library *)self)->n;
}

static void amdsmi_identify(void *self, uint32_t device, struct amd_device *ret_device)
{
    struct library *library = self;
    char uuid[AMDSMI_UUID_ROOM] = "";
    unsigned int size = sizeof(uuid);
    uint64_t bdf = 0;

    *ret_device = (struct amd_device){0};
    if (library->api.bdf && library->api.bdf(library->devices[device], &bdf) == AMDSMI_OK)
        pci_address_format(AMDSMI_BDF_DOMAIN(bdf), AMDSMI_BDF_BUS(bdf), AMDSMI_BDF_DEVICE(bdf),
                           AMDSMI_BDF_FUNCTION(bdf), ret_device->pci);
    if (library->api.uuid && library->api.uuid(library->devices[device], &size, uuid) == AMDSMI_OK)
        printable_copy(ret_device->id, sizeof(ret_device->id), (struct text){uuid, strnlen(uuid, sizeof(uuid))});
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static int amdsmi_energy(void *self, uint32_t device, uint64_t *ret_uj, struct carnot_err *err)
{
    const struct library *library = self;
    uint64_t steps = 0, time_ns = 0;
    float step_uj = 0;

    if (!library->api.energy)
        return -ENODATA;
    int result = library->api.energy(library->devices[device], &steps, &step_uj, &time_ns);
    if (result != AMDSMI_OK)
        return explain(&library->api, result, "read the energy counter", err);
    if (amd_energy_uj(steps, (double)step_uj, ret_uj) < 0)
        return carnot_err_set(err, EPROTO, "AMD's library tells an energy that makes no sense");
    return 0;
}

/* The current power is told by MI300 and later, the average by the others. */
static int amdsmi_power(void *self, uint32_t device, uint64_t *ret_uw, struct carnot_err *err)
{
    const struct library *library = self;
    union amdsmi_power power;

    if (!library->api.power || library->release < 24)
        return -ENODATA;
    memset(&power, 0, sizeof(power));
    int result = library->api.power(library->devices[device], &power);
    if (result != AMDSMI_OK)
        return explain(&library->api, result, "read the power", err);
    bool is_24 = library->release == 24;
    uint32_t told[] = {is_24 ? power.release_24.current_w : power.release_25.current_w,
                       is_24 ? power.release_24.average_w : power.release_25.average_w};
    for (size_t i = 0; i < ELEMENTSOF(told); i++) {
        if (told[i] == 0 || told[i] == AMDSMI_UNKNOWN || told[i] == AMDSMI_UNKNOWN_16)
            continue;
        *ret_uw = told[i] * 1000000ULL;
        return 0;
    }
    return -ENODATA;
}

const struct amd_library_ops amd_library_amdsmi = {
    .name = "libamd_smi",
    .open = amdsmi_open,
    .count = amdsmi_count,
    .identify = amdsmi_identify,
    .energy = amdsmi_energy,
    .power = amdsmi_power,
    .close = amdsmi_close,
};
