/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for NVIDIA's management library, see fake_nvml.h. Says what a script says; has no opinion on what a GPU
 * ought to do. */
#include "fake_nvml.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/parse.h"
#include "sources/nvml_abi.h"

#define EXPORT        __attribute__((visibility("default")))
#define GPUS_MAX      32
#define MIG_MAX       7
#define PROCESSES_MAX 1024
#define SCRIPT_MAX    65536
#define UNSET         UINT64_MAX

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

enum field {
    ENERGY_MJ,
    POWER_MW,
    DRAW_MW,
    PCI_DOMAIN,
    PCI_BUS,
    PCI_DEVICE,
    MIG,
    PROFILE,
    RESULT,
    ENERGY_RESULT,
    POWER_RESULT,
    HANDLE_RESULT,
    PCI_RESULT,
    MIG_RESULT,
    COMPUTE_RESULT,
    GRAPHICS_RESULT,
    UTILIZATION_RESULT,
    INSTANCE_COMPUTE_RESULT,
    INSTANCE_GRAPHICS_RESULT,
    INSTANCE_UTILIZATION_RESULT,
    FIELDS
};

static const char *const field_names[FIELDS] = {
    "energy-mj",
    "power-mw",
    "draw-mw",
    "pci-domain",
    "pci-bus",
    "pci-device",
    "mig",
    "profile",
    "result",
    "energy-result",
    "power-result",
    "handle-result",
    "pci-result",
    "mig-result",
    "compute-result",
    "graphics-result",
    "utilization-result",
    "instance-compute-result",
    "instance-graphics-result",
    "instance-utilization-result",
};

enum mig_field { GI, CI, SMS, SLICES, GONE, ANEW, MIG_FIELDS };

static const char *const mig_field_names[MIG_FIELDS] = {"gi", "ci", "sms", "slices", "gone", "anew"};

struct fake_gpu {
    uint64_t fields[FIELDS];
    uint64_t mig[MIG_MAX][MIG_FIELDS];
    char name[96];
};

struct fake_process {
    uint64_t gpu, instance, pid, mib, sm_percent; /* instance: UNSET for none; sm_percent: UNSET for no sample */
    bool compute, graphics;
};

struct script {
    uint64_t gpus, latency_us, latency_max_us, burn_us, init, count, sample_us;
    struct fake_gpu gpu[GPUS_MAX];
    struct fake_process processes[PROCESSES_MAX];
    size_t n_processes;
};

/* A handle is the address of one of these: the GPU itself, its instances, its instances made anew. */
struct nvml_device {
    unsigned char unused;
};

#define HANDLES (1 + 2 * MIG_MAX)

static struct nvml_device devices[GPUS_MAX][HANDLES];
static atomic_int users;
static atomic_ulong calls[2];
static atomic_uint_fast64_t began_ns;

/* --- the script --------------------------------------------------------------------------------------------------- */

static void set_field(struct fake_gpu *gpu, struct text key, struct text value)
{
    uint64_t number;

    if (text_is(key, "name"))
        snprintf(gpu->name, sizeof gpu->name, "%.*s", (int)value.n, value.p);
    for (size_t f = 0; f < FIELDS; f++)
        if (text_is(key, field_names[f]) && parse_u64(value, &number) == 0)
            gpu->fields[f] = number;
}

static void parse_gpu(struct script *script, struct text line)
{
    struct text which, key;
    uint64_t index;

    if (!scan_word(&line, &which) || !scan_word(&line, &key))
        return;
    line = text_trim(line);
    for (size_t i = 0; i < GPUS_MAX; i++)
        if (text_is(which, "*") || (parse_u64(which, &index) == 0 && index == i))
            set_field(&script->gpu[i], key, line);
}

static void parse_mig(struct script *script, struct text line)
{
    uint64_t gpu, instance, value;
    struct text key;

    if (scan_u64(&line, &gpu) < 0 || scan_u64(&line, &instance) < 0 || !scan_word(&line, &key) ||
        scan_u64(&line, &value) < 0 || gpu >= GPUS_MAX || instance >= MIG_MAX)
        return;
    for (size_t f = 0; f < MIG_FIELDS; f++)
        if (text_is(key, mig_field_names[f]))
            script->gpu[gpu].mig[instance][f] = value;
}

/* A number, or "-". */
static bool scan_number(struct text *line, uint64_t *ret)
{
    struct text word;

    *ret = UNSET;
    return scan_word(line, &word) && (text_is(word, "-") || parse_u64(word, ret) == 0);
}

static void parse_process(struct script *script, struct text line)
{
    struct fake_process process = {0};
    struct text context;

    if (script->n_processes == PROCESSES_MAX || !scan_number(&line, &process.gpu) ||
        !scan_number(&line, &process.instance) || !scan_number(&line, &process.pid) || !scan_word(&line, &context) ||
        !scan_number(&line, &process.mib) || !scan_number(&line, &process.sm_percent))
        return;
    process.compute = text_starts(context, "c");
    process.graphics = text_ends(context, "g");
    script->processes[script->n_processes++] = process;
}

static void parse_line(struct script *script, struct text line)
{
    struct text key;
    uint64_t number;
    const struct {
        const char *key;
        uint64_t *value;
    } numbers[] = {
        {"gpus", &script->gpus},
        {"latency-us", &script->latency_us},
        {"latency-max-us", &script->latency_max_us},
        {"burn-us", &script->burn_us},
        {"init", &script->init},
        {"count", &script->count},
        {"sample-us", &script->sample_us},
    };

    if (!scan_word(&line, &key))
        return;
    if (text_is(key, "gpu"))
        parse_gpu(script, line);
    else if (text_is(key, "mig"))
        parse_mig(script, line);
    else if (text_is(key, "process"))
        parse_process(script, line);
    else if (parse_u64(text_trim(line), &number) == 0)
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
            if (text_is(key, numbers[i].key))
                *numbers[i].value = number;
}

static void parse_script(struct script *script, struct text rest)
{
    struct text line;

    *script = (struct script){.sample_us = UNSET};
    for (size_t i = 0; i < GPUS_MAX; i++) {
        for (size_t f = 0; f < FIELDS; f++)
            script->gpu[i].fields[f] = UNSET;
        for (size_t m = 0; m < MIG_MAX; m++)
            memcpy(script->gpu[i].mig[m], (uint64_t[MIG_FIELDS]){[GI] = 7 + m, [SMS] = 14, [SLICES] = 1},
                   sizeof script->gpu[i].mig[m]);
        snprintf(script->gpu[i].name, sizeof script->gpu[i].name, "Fake GPU");
    }
    while (scan_line(&rest, &line))
        parse_line(script, line);
    script->gpus = min_u64(script->gpus, GPUS_MAX);
}

/* A thread's own copy, parsed anew only when the text is another, so that it costs next to nothing. */
static struct script *load_script(void)
{
    static _Thread_local struct script script;
    static _Thread_local char text[2][SCRIPT_MAX];
    static _Thread_local ssize_t length = -1;
    static _Thread_local unsigned which;
    const char *path = getenv(FAKE_NVML_SCRIPT);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = 0;

    if (fd >= 0) {
        n = read(fd, text[!which], SCRIPT_MAX);
        close(fd);
    }
    if (n < 0)
        n = 0;
    if (n != length || memcmp(text[0], text[1], (size_t)n) != 0) {
        which = !which;
        length = n;
        parse_script(&script, (struct text){text[which], (size_t)n});
    }
    return &script;
}

/* --- counting ----------------------------------------------------------------------------------------------------- */

static const char *const functions[] = {
    "nvmlInit_v2",
    "nvmlShutdown",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetGpuInstanceProfileInfo",
    "nvmlDeviceGetGpuInstanceId",
    "nvmlDeviceGetComputeInstanceId",
    "nvmlDeviceGetAttributes_v2",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetProcessUtilization",
};

static atomic_ulong calls_of[ELEMENTSOF(functions)];

static size_t find_function(const char *name)
{
    size_t i = 0;

    while (i < ELEMENTSOF(functions) - 1 && strcmp(functions[i], name) != 0)
        i++;
    return i;
}

static void burn(uint64_t burn_ns)
{
    uint64_t begin_ns = clock_thread_cpu_ns();

    while (clock_thread_cpu_ns() - begin_ns < burn_ns)
        ;
}

/* Every call begins here. */
static struct script *enter(const char *function)
{
    struct script *script = load_script();
    unsigned long number = atomic_fetch_add(&calls[syscall(SYS_gettid) == getpid()], 1);
    uint64_t latency_us = script->latency_us;

    atomic_fetch_add(&calls_of[find_function(function)], 1);
    if (script->latency_max_us >
        latency_us) /* steps of a seventh of the range, in an order without a pattern that matters */
        latency_us += (script->latency_max_us - latency_us) * (number * 5 % 8) / 7;
    struct timespec latency = {.tv_sec = (time_t)(latency_us / 1000000),
                               .tv_nsec = (long)(latency_us % 1000000) * 1000};
    if (latency_us)
        nanosleep(&latency, NULL);
    if (script->burn_us)
        burn(script->burn_us * 1000);
    return script;
}

EXPORT unsigned long fake_nvml_calls_of(const char *function);
unsigned long fake_nvml_calls_of(const char *function)
{
    return atomic_load(&calls_of[find_function(function)]);
}

EXPORT unsigned long fake_nvml_calls(int main_thread);
unsigned long fake_nvml_calls(int main_thread)
{
    return atomic_load(&calls[main_thread != 0]);
}

EXPORT int fake_nvml_users(void);
int fake_nvml_users(void)
{
    return atomic_load(&users);
}

/* --- the library -------------------------------------------------------------------------------------------------- */

EXPORT int nvmlInit_v2(void);
int nvmlInit_v2(void)
{
    const struct script *script = enter(__func__);

    if (script->init != OK)
        return (int)script->init;
    if (atomic_fetch_add(&users, 1) == 0)
        atomic_store(&began_ns, clock_now(carnot_clock_system()).mono_ns);
    return OK;
}

EXPORT int nvmlShutdown(void);
int nvmlShutdown(void)
{
    enter(__func__);
    if (atomic_load(&users) <= 0)
        return UNINITIALIZED;
    atomic_fetch_sub(&users, 1);
    return OK;
}

EXPORT const char *nvmlErrorString(int result);
const char *nvmlErrorString(int result)
{
    static const struct {
        int result;
        const char *text;
    } texts[] = {
        {OK, "all well"}, {NOT_SUPPORTED, "no such figure"}, {4, "no right"}, {9, "driver missing"},
        {15, "GPU lost"}, {18, "releases differ"},
    };

    for (size_t i = 0; i < ELEMENTSOF(texts); i++)
        if (texts[i].result == result)
            return texts[i].text;
    return "something odd\033[1m"; /* what would colour a terminal */
}

/* A call that takes no device. */
static int general(uint64_t result)
{
    return atomic_load(&users) > 0 ? (int)result : UNINITIALIZED;
}

EXPORT int nvmlDeviceGetCount_v2(unsigned int *ret_count);
int nvmlDeviceGetCount_v2(unsigned int *ret_count)
{
    const struct script *script = enter(__func__);
    int result = general(script->count);

    if (result == OK)
        *ret_count = (unsigned int)script->gpus;
    return result;
}

static int result_or_ok(const struct fake_gpu *gpu, enum field own)
{
    if (gpu->fields[RESULT] != UNSET)
        return (int)gpu->fields[RESULT];
    return own != FIELDS && gpu->fields[own] != UNSET ? (int)gpu->fields[own] : OK;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned int index, struct nvml_device **ret_device);
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, struct nvml_device **ret_device)
{
    const struct script *script = enter(__func__);
    int result = general(OK);

    if (result == OK && index >= script->gpus)
        result = INVALID_ARGUMENT;
    if (result == OK)
        result = result_or_ok(&script->gpu[index], HANDLE_RESULT);
    if (result == OK)
        *ret_device = &devices[index][0];
    return result;
}

/* What a call is about. */
struct subject {
    const struct script *script;
    const struct fake_gpu *gpu;
    size_t gpu_index;
    bool is_instance;
    size_t instance;
};

static bool is_there(const struct fake_gpu *gpu, size_t instance, bool anew)
{
    return gpu->fields[MIG] != UNSET && instance < gpu->fields[MIG] && instance < MIG_MAX &&
           !gpu->mig[instance][GONE] && (gpu->mig[instance][ANEW] != 0) == anew;
}

/* A call about a device: finds it in the script. own: what it returns of a GPU; FIELDS: nothing special. */
static int find(const char *function, const struct nvml_device *device, enum field own, struct subject *ret)
{
    const struct script *script = enter(function);

    if (atomic_load(&users) <= 0)
        return UNINITIALIZED;
    if (device < &devices[0][0] || device > &devices[GPUS_MAX - 1][HANDLES - 1])
        return INVALID_ARGUMENT;
    size_t i = (size_t)(device - &devices[0][0]), place = i % HANDLES;
    *ret = (struct subject){.script = script,
                            .gpu = &script->gpu[i / HANDLES],
                            .gpu_index = i / HANDLES,
                            .is_instance = place > 0,
                            .instance = place > 0 ? (place - 1) % MIG_MAX : 0};
    if (place > 0 && !is_there(ret->gpu, ret->instance, place > MIG_MAX))
        return NOT_FOUND;
    return result_or_ok(ret->gpu, own);
}

/* The same where an instance has no such thing. */
static int find_gpu(const char *function, const struct nvml_device *device, enum field own, struct subject *ret)
{
    int result = find(function, device, own, ret);

    return result == OK && ret->is_instance ? NOT_SUPPORTED : result;
}

static int find_instance(const char *function, const struct nvml_device *device, struct subject *ret)
{
    int result = find(function, device, MIG_RESULT, ret);

    return result == OK && !ret->is_instance ? INVALID_ARGUMENT : result;
}

static uint64_t live_mj(uint64_t draw_mw)
{
    uint64_t duration_ns = clock_now(carnot_clock_system()).mono_ns - atomic_load(&began_ns);

    return (uint64_t)((unsigned __int128)draw_mw * duration_ns / NS_PER_SEC);
}

EXPORT int nvmlDeviceGetTotalEnergyConsumption(struct nvml_device *device, unsigned long long *ret_mj);
int nvmlDeviceGetTotalEnergyConsumption(struct nvml_device *device, unsigned long long *ret_mj)
{
    struct subject on;
    int result = find_gpu(__func__, device, ENERGY_RESULT, &on);

    if (result != OK)
        return result;
    const uint64_t *fields = on.gpu->fields;
    if (fields[ENERGY_MJ] == UNSET && fields[DRAW_MW] == UNSET)
        return NOT_SUPPORTED;
    *ret_mj = fields[ENERGY_MJ] != UNSET ? fields[ENERGY_MJ] : 0;
    if (fields[DRAW_MW] != UNSET)
        *ret_mj += live_mj(fields[DRAW_MW]);
    return OK;
}

EXPORT int nvmlDeviceGetPowerUsage(struct nvml_device *device, unsigned int *ret_mw);
int nvmlDeviceGetPowerUsage(struct nvml_device *device, unsigned int *ret_mw)
{
    struct subject on;
    int result = find_gpu(__func__, device, POWER_RESULT, &on);

    if (result != OK)
        return result;
    const uint64_t *fields = on.gpu->fields;
    if (fields[POWER_MW] == UNSET && fields[DRAW_MW] == UNSET)
        return NOT_SUPPORTED;
    *ret_mw = (unsigned int)(fields[POWER_MW] != UNSET ? fields[POWER_MW] : fields[DRAW_MW]);
    return OK;
}

EXPORT int nvmlDeviceGetName(struct nvml_device *device, char *out, unsigned int size);
int nvmlDeviceGetName(struct nvml_device *device, char *out, unsigned int size)
{
    struct subject on;
    int result = find(__func__, device, FIELDS, &on);

    if (result == OK)
        snprintf(out, size, "%s", on.gpu->name);
    return result;
}

EXPORT int nvmlDeviceGetUUID(struct nvml_device *device, char *out, unsigned int size);
int nvmlDeviceGetUUID(struct nvml_device *device, char *out, unsigned int size)
{
    struct subject on;
    int result = find(__func__, device, FIELDS, &on);

    if (result == OK && on.is_instance)
        snprintf(out, size, "MIG-00000000-0000-0000-%04zx-%012zx", on.gpu_index, on.instance);
    else if (result == OK)
        snprintf(out, size, "GPU-00000000-0000-0000-0000-%012zx", on.gpu_index);
    return result;
}

EXPORT int nvmlDeviceGetPciInfo_v3(struct nvml_device *device, struct nvml_pci *ret_pci);
int nvmlDeviceGetPciInfo_v3(struct nvml_device *device, struct nvml_pci *ret_pci)
{
    struct subject on;
    int result = find_gpu(__func__, device, PCI_RESULT, &on);

    if (result != OK)
        return result;
    const uint64_t *fields = on.gpu->fields;
    ret_pci->domain = fields[PCI_DOMAIN] != UNSET ? (unsigned int)fields[PCI_DOMAIN] : 0;
    ret_pci->bus = fields[PCI_BUS] != UNSET ? (unsigned int)fields[PCI_BUS] : (unsigned int)(16 + on.gpu_index);
    ret_pci->device = fields[PCI_DEVICE] != UNSET ? (unsigned int)fields[PCI_DEVICE] : 0;
    snprintf(ret_pci->bus_id, sizeof ret_pci->bus_id, "%08X:%02X:%02X.0", ret_pci->domain, ret_pci->bus,
             ret_pci->device);
    return OK;
}

/* --- instances ---------------------------------------------------------------------------------------------------- */

EXPORT int nvmlDeviceGetMigMode(struct nvml_device *device, unsigned int *ret_now, unsigned int *ret_pending);
int nvmlDeviceGetMigMode(struct nvml_device *device, unsigned int *ret_now, unsigned int *ret_pending)
{
    struct subject on;
    int result = find_gpu(__func__, device, MIG_RESULT, &on);

    if (result == OK && on.gpu->fields[MIG] == UNSET)
        result = NOT_SUPPORTED;
    if (result == OK)
        *ret_now = *ret_pending = on.gpu->fields[MIG] > 0;
    return result;
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(struct nvml_device *device, unsigned int *ret_count);
int nvmlDeviceGetMaxMigDeviceCount(struct nvml_device *device, unsigned int *ret_count)
{
    struct subject on;
    int result = find_gpu(__func__, device, MIG_RESULT, &on);

    if (result == OK)
        *ret_count = on.gpu->fields[MIG] != UNSET ? MIG_MAX : 0;
    return result;
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(struct nvml_device *device, unsigned int index,
                                               struct nvml_device **ret_device);
int nvmlDeviceGetMigDeviceHandleByIndex(struct nvml_device *device, unsigned int index, struct nvml_device **ret_device)
{
    struct subject on;
    int result = find_gpu(__func__, device, MIG_RESULT, &on);

    if (result != OK)
        return result;
    if (on.gpu->fields[MIG] == UNSET)
        return NOT_SUPPORTED;
    for (int anew = 0; anew <= 1; anew++) {
        if (!is_there(on.gpu, index, anew))
            continue;
        *ret_device = &devices[on.gpu_index][1 + index + (anew ? MIG_MAX : 0)];
        return OK;
    }
    return NOT_FOUND;
}

EXPORT int nvmlDeviceGetGpuInstanceProfileInfo(struct nvml_device *device, unsigned int profile,
                                               struct nvml_profile *ret_profile);
int nvmlDeviceGetGpuInstanceProfileInfo(struct nvml_device *device, unsigned int profile,
                                        struct nvml_profile *ret_profile)
{
    struct subject on;
    int result = find_gpu(__func__, device, MIG_RESULT, &on);
    uint64_t whole;

    if (result != OK)
        return result;
    whole = on.gpu->fields[PROFILE] != UNSET ? on.gpu->fields[PROFILE] : 4;
    if (profile != whole)
        return NOT_SUPPORTED;
    ret_profile->slices = whole == 4 ? 7 : (unsigned int)whole + 1;
    ret_profile->sms = ret_profile->slices * 14;
    return OK;
}

EXPORT int nvmlDeviceGetGpuInstanceId(struct nvml_device *device, unsigned int *ret_id);
int nvmlDeviceGetGpuInstanceId(struct nvml_device *device, unsigned int *ret_id)
{
    struct subject on;
    int result = find_instance(__func__, device, &on);

    if (result == OK)
        *ret_id = (unsigned int)on.gpu->mig[on.instance][GI];
    return result;
}

EXPORT int nvmlDeviceGetComputeInstanceId(struct nvml_device *device, unsigned int *ret_id);
int nvmlDeviceGetComputeInstanceId(struct nvml_device *device, unsigned int *ret_id)
{
    struct subject on;
    int result = find_instance(__func__, device, &on);

    if (result == OK)
        *ret_id = (unsigned int)on.gpu->mig[on.instance][CI];
    return result;
}

EXPORT int nvmlDeviceGetAttributes_v2(struct nvml_device *device, struct nvml_attributes *ret_attributes);
int nvmlDeviceGetAttributes_v2(struct nvml_device *device, struct nvml_attributes *ret_attributes)
{
    struct subject on;
    int result = find_instance(__func__, device, &on);

    if (result != OK)
        return result;
    ret_attributes->sms = (unsigned int)on.gpu->mig[on.instance][SMS];
    ret_attributes->gpu_slices = ret_attributes->compute_slices = (unsigned int)on.gpu->mig[on.instance][SLICES];
    return OK;
}

/* --- processes ---------------------------------------------------------------------------------------------------- */

static bool is_on(const struct fake_process *process, const struct subject *on)
{
    return process->gpu == on->gpu_index && (!on->is_instance || process->instance == on->instance);
}

static int processes_of(const struct subject *on, bool graphics, unsigned int *count, struct nvml_process *out)
{
    unsigned int n = 0;

    for (size_t i = 0; i < on->script->n_processes; i++) {
        const struct fake_process *process = &on->script->processes[i];

        if (!is_on(process, on) || !(graphics ? process->graphics : process->compute))
            continue;
        if (n++ >= *count)
            continue;
        out[n - 1] = (struct nvml_process){.pid = (unsigned int)process->pid,
                                           .memory_bytes = process->mib == UNSET ? UINT64_MAX : process->mib << 20,
                                           .gpu_instance = UINT32_MAX,
                                           .compute_instance = UINT32_MAX};
        if (process->instance < MIG_MAX) {
            out[n - 1].gpu_instance = (unsigned int)on->gpu->mig[process->instance][GI];
            out[n - 1].compute_instance = (unsigned int)on->gpu->mig[process->instance][CI];
        }
    }
    bool fits = n <= *count;
    *count = n;
    return fits ? OK : INSUFFICIENT_SIZE;
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(struct nvml_device *device, unsigned int *count,
                                                   struct nvml_process *out);
int nvmlDeviceGetComputeRunningProcesses_v3(struct nvml_device *device, unsigned int *count, struct nvml_process *out)
{
    struct subject on;
    int result = find(__func__, device, FIELDS, &on);

    if (result == OK)
        result = result_or_ok(on.gpu, on.is_instance ? INSTANCE_COMPUTE_RESULT : COMPUTE_RESULT);
    return result == OK ? processes_of(&on, false, count, out) : result;
}

EXPORT int nvmlDeviceGetGraphicsRunningProcesses_v3(struct nvml_device *device, unsigned int *count,
                                                    struct nvml_process *out);
int nvmlDeviceGetGraphicsRunningProcesses_v3(struct nvml_device *device, unsigned int *count, struct nvml_process *out)
{
    struct subject on;
    int result = find(__func__, device, FIELDS, &on);

    if (result == OK)
        result = result_or_ok(on.gpu, on.is_instance ? INSTANCE_GRAPHICS_RESULT : GRAPHICS_RESULT);
    return result == OK ? processes_of(&on, true, count, out) : result;
}

/* Not with MIG on, unless the script gives an instance's call the result 0. */
EXPORT int nvmlDeviceGetProcessUtilization(struct nvml_device *device, struct nvml_sample *out, unsigned int *count,
                                           unsigned long long seen_us);
int nvmlDeviceGetProcessUtilization(struct nvml_device *device, struct nvml_sample *out, unsigned int *count,
                                    unsigned long long seen_us)
{
    struct subject on;
    int result = find(__func__, device, FIELDS, &on);
    unsigned int n = 0;

    if (result != OK)
        return result;
    enum field own = on.is_instance ? INSTANCE_UTILIZATION_RESULT : UTILIZATION_RESULT;
    bool mig = on.gpu->fields[MIG] != UNSET && on.gpu->fields[MIG] > 0;
    if (mig && on.gpu->fields[own] == UNSET)
        return NOT_SUPPORTED;
    result = result_or_ok(on.gpu, own);
    if (result != OK)
        return result;
    uint64_t time_us =
        on.script->sample_us != UNSET ? on.script->sample_us : clock_now(carnot_clock_system()).real_ns / 1000;
    for (size_t i = 0; i < on.script->n_processes && time_us > seen_us; i++) {
        const struct fake_process *process = &on.script->processes[i];

        if (!is_on(process, &on) || process->sm_percent == UNSET || n++ >= *count)
            continue;
        out[n - 1] = (struct nvml_sample){
            .pid = (unsigned int)process->pid, .time_us = time_us, .sm_percent = (unsigned int)process->sm_percent};
    }
    bool fits = n <= *count;
    *count = n;
    return n == 0 ? NOT_FOUND : fits ? OK : INSUFFICIENT_SIZE;
}
