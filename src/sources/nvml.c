/* SPDX-License-Identifier: Apache-2.0 */
/* NVIDIA GPUs through the management library that comes with the driver (NVML): the energy counter where a GPU has one,
 * else its power integrated over time. Calls of the library take 1 to 100 ms, so the source is a slow one. A GPU that
 * gives no figure has a status; it is never taken for one that draws nothing. Energy is known of whole GPUs only: a MIG
 * instance has no counter of its own. Who uses them is nvml_usage's business, in the time that is left. */
#include "sources/nvml.h"

#include <errno.h>
#include <string.h>

#include "base/dl_api.h"
#include "sources/nvml_abi.h"
#include "sources/nvml_results.h"
#include "sources/nvml_usage.h"
#include "sources/pci_address.h"
#include "sources/power_integral.h"
#include "sources/registry.h"

#define GPUS_MAX DOMAINS_MAX

/* A GPU whose handle was refused is asked again so often: finding one may take the driver a second. */
#define HANDLE_RETRY_NS (10 * NS_PER_SEC)

/* "GPU-" and a UUID, with room to spare. */
#define UUID_SHOWN_MAX 64

enum way { WAY_ENERGY, WAY_POWER, WAY_NONE };

enum mig { MIG_UNKNOWN, MIG_ABSENT, MIG_OFF, MIG_ON };

struct gpu {
    /* fixed at open */
    char name[NVML_NAME_MAX];
    char uuid[NVML_UUID_MAX];
    enum way way;
    enum mig mig;
    int refusal; /* NVML's result when there was no handle, else NVML_OK */
    /* changed by read() */
    struct nvml_device *handle; /* NULL: none so far */
    uint64_t retry_ns;
    struct power_integral integral;
};

struct nvml {
    struct nvml_api api;
    struct carnot_clock *clock;
    struct nvml_usage *usage;
    unsigned int n;
    unsigned int n_present; /* as the library counts them; more than n: the rest is left out */
    struct gpu gpus[GPUS_MAX];
    struct domain domains[GPUS_MAX];
};

static struct nvml_settings default_settings = {.library = ""};

static const struct carnot_option options[] = {
    {.name = "nvml.library",
     .type = OPTION_STRING,
     .offset = offsetof(struct nvml_settings, library),
     .def = "",
     .metavar = "PATH",
     .help = "NVIDIA management library to load; without it libnvidia-ml.so.1 as the system's loader finds it."},
};

#define SLOT(member) offsetof(struct nvml_api, member)

static const struct dl_symbol symbols[] = {
    {"nvmlInit_v2", SLOT(init), true},
    {"nvmlShutdown", SLOT(shutdown), true},
    {"nvmlErrorString", SLOT(error_string), false},
    {"nvmlDeviceGetCount_v2", SLOT(count), true},
    {"nvmlDeviceGetHandleByIndex_v2", SLOT(handle), true},
    {"nvmlDeviceGetTotalEnergyConsumption", SLOT(energy), false},
    {"nvmlDeviceGetPowerUsage", SLOT(power), true},
    {"nvmlDeviceGetUUID", SLOT(uuid), false},
    {"nvmlDeviceGetName", SLOT(name), false},
    {"nvmlDeviceGetPciInfo_v3", SLOT(pci), false},
    {"nvmlDeviceGetMigMode", SLOT(mig_mode), false},
    {"nvmlDeviceGetMaxMigDeviceCount", SLOT(mig_max), false},
    {"nvmlDeviceGetMigDeviceHandleByIndex", SLOT(mig_handle), false},
    {"nvmlDeviceGetGpuInstanceProfileInfo", SLOT(profile), false},
    {"nvmlDeviceGetGpuInstanceId", SLOT(gpu_instance), false},
    {"nvmlDeviceGetComputeInstanceId", SLOT(compute_instance), false},
    {"nvmlDeviceGetAttributes_v2", SLOT(attributes), false},
    {"nvmlDeviceGetComputeRunningProcesses_v3", SLOT(compute_processes), false},
    {"nvmlDeviceGetGraphicsRunningProcesses_v3", SLOT(graphics_processes), false},
    {"nvmlDeviceGetProcessUtilization", SLOT(utilization), false},
};

/* --- opening ---------------------------------------------------------------------------------------------------- */

static int load(const struct source_args *args, struct nvml_api *ret_api, struct carnot_err *err)
{
    static const char *const usual[] = {"libnvidia-ml.so.1", "libnvidia-ml.so"};
    const struct nvml_settings *settings = args->settings ? args->settings : &default_settings;
    bool given = settings->library && settings->library[0];
    int r = dl_api_load(given ? &settings->library : usual, given ? 1 : ELEMENTSOF(usual), symbols, ELEMENTSOF(symbols),
                        ret_api, sizeof(*ret_api), err);

    if (r == -ENODEV)
        carnot_err_wrap(err, given ? "the library that nvml.library names cannot be loaded"
                                   : "no NVIDIA driver is installed here");
    return r;
}

/* Loads, initialises and counts. After success the caller owes a shutdown. */
static int start(const struct source_args *args, struct nvml_api *ret_api, unsigned int *ret_count,
                 struct carnot_err *err)
{
    struct nvml_api api;
    unsigned int count = 0;
    int r = load(args, &api, err), result;

    if (r < 0)
        return r;
    result = api.init();
    if (result != NVML_OK)
        return nvml_explain(&api, result, "NVIDIA's library cannot start", err);
    result = api.count(&count);
    if (result != NVML_OK)
        r = nvml_explain(&api, result, "NVIDIA's library cannot count the GPUs", err);
    else if (count == 0)
        r = carnot_err_set(err, ENODEV, "the NVIDIA driver is loaded but drives no GPU");
    if (r < 0) {
        api.shutdown();
        return r;
    }
    *ret_api = api;
    *ret_count = count;
    return 0;
}

static int nvml_probe(const struct source_args *args, struct carnot_err *err)
{
    struct nvml_api api;
    unsigned int count;
    int r = start(args, &api, &count, err);

    if (r == 0)
        api.shutdown();
    return r;
}

static void read_names(const struct nvml_api *api, struct gpu *gpu)
{
    char text[NVML_NAME_MAX];

    _Static_assert(NVML_UUID_MAX <= NVML_NAME_MAX, "one room for both");

    memset(text, 0, sizeof(text));
    if (api->name && api->name(gpu->handle, text, NVML_NAME_MAX) == NVML_OK)
        nvml_copy_text(gpu->name, sizeof(gpu->name), text);
    memset(text, 0, sizeof(text));
    if (api->uuid && api->uuid(gpu->handle, text, NVML_UUID_MAX) == NVML_OK)
        nvml_copy_text(gpu->uuid, sizeof(gpu->uuid), text);
}

/* The library tells no function: a GPU is function 0. */
static void read_pci(const struct nvml_api *api, struct nvml_device *handle, char out[DOMAIN_PCI_MAX])
{
    struct nvml_pci pci;

    memset(&pci, 0, sizeof(pci));
    if (api->pci && api->pci(handle, &pci) == NVML_OK)
        pci_address_format(pci.domain, pci.bus, pci.device, 0, out);
}

static enum mig read_mig(const struct nvml_api *api, struct nvml_device *handle)
{
    unsigned int now = 0, pending = 0;
    int result = api->mig_mode ? api->mig_mode(handle, &now, &pending) : NVML_NOT_SUPPORTED;

    if (result == NVML_NOT_SUPPORTED)
        return MIG_ABSENT;
    if (result != NVML_OK)
        return MIG_UNKNOWN;
    return now == 1 ? MIG_ON : MIG_OFF;
}

/* "Not supported" is the GPU's own word that it has no such figure. Any other failure passes or does not: it is a
 * reading's status, and the better way stands. */
static enum way choose_way(const struct nvml_api *api, struct nvml_device *handle)
{
    unsigned long long energy_mj;
    unsigned int power_mw;

    if (api->energy && api->energy(handle, &energy_mj) != NVML_NOT_SUPPORTED)
        return WAY_ENERGY;
    return api->power(handle, &power_mw) == NVML_NOT_SUPPORTED ? WAY_NONE : WAY_POWER;
}

static void open_gpu(struct nvml *nvml, unsigned int i)
{
    struct gpu *gpu = &nvml->gpus[i];
    struct domain *domain = &nvml->domains[i];

    power_integral_init(&gpu->integral, POWER_TRAPEZOID, NVML_POWER_BRIDGE_MAX_NS);
    gpu->refusal = nvml->api.handle(i, &gpu->handle);
    if (gpu->refusal == NVML_OK) {
        read_names(&nvml->api, gpu);
        gpu->mig = read_mig(&nvml->api, gpu->handle);
        gpu->way = choose_way(&nvml->api, gpu->handle);
    } else {
        gpu->handle = NULL;
        gpu->way = nvml->api.energy ? WAY_ENERGY : WAY_POWER;
    }
    *domain = (struct domain){
        .kind = DOMAIN_GPU,
        .quality = gpu->way == WAY_ENERGY ? QUALITY_MEASURED : QUALITY_DERIVED,
        .package = -1,
        .die = -1,
        .node = -1,
        .source = source_nvml.name,
    };
    snprintf(domain->name, sizeof(domain->name), "gpu-%u", i);
    if (gpu->handle)
        read_pci(&nvml->api, gpu->handle, domain->pci);
    /* Numbers may go to other cards when one falls off the bus: only the UUID tells that it is the same counter. */
    domain->lasting = gpu->way == WAY_ENERGY && gpu->uuid[0];
    if (gpu->uuid[0])
        snprintf(domain->address, sizeof(domain->address), "gpu-%u:%.*s", i, UUID_SHOWN_MAX, gpu->uuid);
}

static void *nvml_close(void *self)
{
    struct nvml *nvml = self;

    if (!nvml)
        return NULL;
    nvml_usage_free(nvml->usage);
    nvml->api.shutdown();
    free(nvml);
    return NULL;
}

static int nvml_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    struct nvml *nvml = calloc(1, sizeof(*nvml));

    if (!nvml)
        return carnot_err_set(err, ENOMEM, "out of memory for the GPUs");
    int r = start(args, &nvml->api, &nvml->n_present, err);
    if (r < 0) {
        free(nvml);
        return r;
    }
    nvml->clock = args->env->clock;
    nvml->n = (unsigned int)min_u64(nvml->n_present, GPUS_MAX);
    nvml->usage = nvml_usage_new(&nvml->api, nvml->clock, nvml->n);
    if (!nvml->usage) {
        nvml_close(nvml);
        return carnot_err_set(err, ENOMEM, "out of memory for the users of the GPUs");
    }
    for (unsigned int i = 0; i < nvml->n; i++)
        open_gpu(nvml, i);
    *ret_self = nvml;
    return 0;
}

static size_t nvml_domains(const void *self, const struct domain **ret_domains)
{
    const struct nvml *nvml = self;

    *ret_domains = nvml->domains;
    return nvml->n;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static int ask_handle(const struct nvml *nvml, struct gpu *gpu, uint64_t now_ns)
{
    unsigned int index = (unsigned int)(gpu - nvml->gpus);
    int result;

    if (gpu->handle)
        return NVML_OK;
    if (now_ns < gpu->retry_ns)
        return gpu->refusal;
    gpu->retry_ns = now_ns + HANDLE_RETRY_NS;
    result = nvml->api.handle(index, &gpu->handle);
    if (result != NVML_OK)
        gpu->handle = NULL;
    return result;
}

static int read_energy(const struct nvml *nvml, struct gpu *gpu, struct reading *reading)
{
    unsigned long long energy_mj = 0;
    int result = nvml->api.energy(gpu->handle, &energy_mj);

    reading->mono_ns = clock_now(nvml->clock).mono_ns;
    reading->status = nvml_status(result);
    if (result == NVML_OK && __builtin_mul_overflow(energy_mj, 1000ULL, &reading->counter_uj))
        reading->status = -EIO;
    return result;
}

/* After a gap the counter stands where it was: no reading, rather than one that says nothing was drawn. */
static int gather(struct power_integral *integral, unsigned int power_mw, uint64_t now_ns)
{
    return power_integral_add(integral, power_mw * 1000ULL, now_ns) == POWER_GAP ? -ENODATA : 0;
}

static int read_power(const struct nvml *nvml, struct gpu *gpu, struct reading *reading)
{
    unsigned int power_mw = 0;
    int result = nvml->api.power(gpu->handle, &power_mw);

    reading->mono_ns = clock_now(nvml->clock).mono_ns;
    reading->status = nvml_status(result);
    if (result == NVML_OK)
        reading->status = gather(&gpu->integral, power_mw, reading->mono_ns);
    reading->counter_uj = gpu->integral.uj;
    return result;
}

static int read_gpu(const struct nvml *nvml, struct gpu *gpu, uint64_t now_ns, struct reading *reading)
{
    int result;

    if (gpu->way == WAY_NONE)
        return NVML_NOT_SUPPORTED;
    result = ask_handle(nvml, gpu, now_ns);
    if (result != NVML_OK)
        return result;
    return gpu->way == WAY_ENERGY ? read_energy(nvml, gpu, reading) : read_power(nvml, gpu, reading);
}

static int nvml_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct nvml *nvml = self;
    uint64_t begin_ns = clock_now(nvml->clock).mono_ns;
    bool explained = false;

    for (unsigned int i = 0; i < nvml->n; i++) {
        int result;

        out[i] = (struct reading){.domain = i, .mono_ns = now_mono_ns};
        result = read_gpu(nvml, &nvml->gpus[i], now_mono_ns, &out[i]);
        if (result != NVML_OK)
            out[i].status = nvml_status(result);
        if (result != NVML_OK && out[i].status != -ENODATA && !explained) {
            nvml_explain(&nvml->api, result, nvml->domains[i].name, err);
            explained = true;
        }
        /* One that is lost takes its time to say so. */
        nvml_usage_set_handle(nvml->usage, i,
                              result == NVML_OK || out[i].status == -ENODATA ? nvml->gpus[i].handle : NULL);
    }
    nvml_usage_gather(nvml->usage, clock_now(nvml->clock).mono_ns - begin_ns);
    return (int)nvml->n;
}

static int nvml_usage_op(const void *self, struct gpu_usage *ret_usage)
{
    const struct nvml *nvml = self;

    return nvml_usage_get(nvml->usage, ret_usage);
}

static void nvml_reset(void *self, uint64_t now_mono_ns)
{
    struct nvml *nvml = self;

    nvml_usage_reset(nvml->usage);

    for (unsigned int i = 0; i < nvml->n; i++)
        power_integral_reset(&nvml->gpus[i].integral);
}

/* --- telling ---------------------------------------------------------------------------------------------------- */

static const char *const way_texts[] = {
    [WAY_ENERGY] = "energy counter of the GPU, in mJ",
    [WAY_POWER] = ("no energy counter: its power integrated over time; the sensor sees about 25 % of the time on A100 "
                   "and H100 (arXiv 2312.02741), loads that change quickly are misjudged"),
    [WAY_NONE] = "gives neither energy nor power: no readings",
};

static const char *const mig_texts[] = {
    [MIG_UNKNOWN] = ", MIG mode unknown",
    [MIG_ABSENT] = "",
    [MIG_OFF] = ", MIG off",
    [MIG_ON] = ", MIG on: the figure is that of all instances together",
};

/* Uses only what is fixed at open: a read may be in progress on another thread. */
static void nvml_describe(const void *self, struct buf *out)
{
    const struct nvml *nvml = self;

    for (unsigned int i = 0; i < nvml->n; i++) {
        const struct gpu *gpu = &nvml->gpus[i];

        buf_printf(out, "%s: ", nvml->domains[i].name);
        if (gpu->refusal != NVML_OK) {
            char text[128];

            nvml_text(&nvml->api, gpu->refusal, text, sizeof(text));
            buf_printf(out, "not readable at the start: %s%s\n", text, nvml_advice(gpu->refusal));
            continue;
        }
        buf_printf(out, "%s, %s, %s%s\n", gpu->name[0] ? gpu->name : "nameless", gpu->uuid[0] ? gpu->uuid : "no UUID",
                   way_texts[gpu->way], mig_texts[gpu->mig]);
    }
    if (nvml->n_present > nvml->n)
        buf_printf(out, "%u more GPUs are left out: at most %d domains are read\n", nvml->n_present - nvml->n,
                   GPUS_MAX);
}

const struct source_ops source_nvml = {
    .name = "nvml",
    .summary = "NVIDIA GPUs (energy counter or power, through libnvidia-ml.so.1)",
    .flags = SOURCE_SLOW | SOURCE_ON_BY_DEFAULT,
    .group = "nvidia",
    .options = options,
    .n_options = ELEMENTSOF(options),
    .settings = &default_settings,
    .min_interval_ns = 100 * NS_PER_MS, /* the counter moves about ten times a second */
    .probe = nvml_probe,
    .open = nvml_open,
    .domains = nvml_domains,
    .read = nvml_read,
    .reset = nvml_reset,
    .usage = nvml_usage_op,
    .describe = nvml_describe,
    .close = nvml_close,
};
