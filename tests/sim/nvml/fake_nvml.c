/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for NVIDIA's management library, see fake_nvml.h. Says what a script says; has no opinion on what a GPU
 * ought to do. */
#include "fake_nvml.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/parse.h"

#define EXPORT     __attribute__((visibility("default")))
#define GPUS_MAX   32
#define MIG_MAX    7
#define SCRIPT_MAX 16384
#define UNSET      UINT64_MAX

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

enum field {
    ENERGY_MJ,
    POWER_MW,
    DRAW_MW,
    MIG,
    RESULT,
    ENERGY_RESULT,
    POWER_RESULT,
    HANDLE_RESULT,
    MIG_RESULT,
    FIELDS
};

static const char *const field_names[FIELDS] = {
    "energy-mj", "power-mw", "draw-mw", "mig", "result", "energy-result", "power-result", "handle-result", "mig-result",
};

struct fake_gpu {
    uint64_t fields[FIELDS];
    char name[96];
};

struct script {
    uint64_t gpus, latency_us, init, count;
    struct fake_gpu gpu[GPUS_MAX];
};

/* A handle is the address of one of these: the GPU itself, then its instances. */
struct nvml_device {
    unsigned char unused;
};

static struct nvml_device devices[GPUS_MAX][1 + MIG_MAX];
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

static void parse_line(struct script *script, struct text line)
{
    struct text key, which;
    uint64_t number, index;

    if (!scan_word(&line, &key))
        return;
    if (text_is(key, "gpu")) {
        if (!scan_word(&line, &which) || !scan_word(&line, &key))
            return;
        line = text_trim(line);
        for (size_t i = 0; i < GPUS_MAX; i++)
            if (text_is(which, "*") || (parse_u64(which, &index) == 0 && index == i))
                set_field(&script->gpu[i], key, line);
        return;
    }
    if (parse_u64(text_trim(line), &number) < 0)
        return;
    if (text_is(key, "gpus"))
        script->gpus = number < GPUS_MAX ? number : GPUS_MAX;
    else if (text_is(key, "latency-us"))
        script->latency_us = number;
    else if (text_is(key, "init"))
        script->init = number;
    else if (text_is(key, "count"))
        script->count = number;
}

static void load_script(struct script *script)
{
    const char *path = getenv(FAKE_NVML_SCRIPT);
    char text[SCRIPT_MAX];
    ssize_t n = 0;
    int fd;

    *script = (struct script){0};
    for (size_t i = 0; i < GPUS_MAX; i++) {
        for (size_t f = 0; f < FIELDS; f++)
            script->gpu[i].fields[f] = UNSET;
        snprintf(script->gpu[i].name, sizeof script->gpu[i].name, "Fake GPU");
    }
    fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        n = read(fd, text, sizeof text);
        close(fd);
    }
    struct text rest = {text, n > 0 ? (size_t)n : 0}, line;
    while (scan_line(&rest, &line))
        parse_line(script, line);
}

/* Every call begins here. */
static void enter(struct script *script)
{
    struct timespec latency;

    load_script(script);
    atomic_fetch_add(&calls[syscall(SYS_gettid) == getpid()], 1);
    latency.tv_sec = (time_t)(script->latency_us / 1000000);
    latency.tv_nsec = (long)(script->latency_us % 1000000) * 1000;
    if (script->latency_us)
        nanosleep(&latency, NULL);
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
    struct script script;

    enter(&script);
    if (script.init != OK)
        return (int)script.init;
    if (atomic_fetch_add(&users, 1) == 0)
        atomic_store(&began_ns, clock_now(carnot_clock_system()).mono_ns);
    return OK;
}

EXPORT int nvmlShutdown(void);
int nvmlShutdown(void)
{
    struct script script;

    enter(&script);
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
    struct script script;
    int result;

    enter(&script);
    result = general(script.count);
    if (result == OK)
        *ret_count = (unsigned int)script.gpus;
    return result;
}

static int result_or_ok(const struct fake_gpu *gpu, enum field own)
{
    if (gpu->fields[RESULT] != UNSET)
        return (int)gpu->fields[RESULT];
    return gpu->fields[own] != UNSET ? (int)gpu->fields[own] : OK;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned int index, struct nvml_device **ret_device);
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, struct nvml_device **ret_device)
{
    struct script script;
    int result;

    enter(&script);
    result = general(OK);
    if (result == OK && index >= script.gpus)
        result = INVALID_ARGUMENT;
    if (result == OK)
        result = result_or_ok(&script.gpu[index], HANDLE_RESULT);
    if (result == OK)
        *ret_device = &devices[index][0];
    return result;
}

/* A call about a device: finds it in the script. */
static int find(struct script *script, const struct nvml_device *device, enum field own, struct fake_gpu **ret_gpu)
{
    size_t i;

    enter(script);
    if (atomic_load(&users) <= 0)
        return UNINITIALIZED;
    if (device < &devices[0][0] || device > &devices[GPUS_MAX - 1][MIG_MAX])
        return INVALID_ARGUMENT;
    i = (size_t)(device - &devices[0][0]);
    *ret_gpu = &script->gpu[i / (1 + MIG_MAX)];
    if (i % (1 + MIG_MAX) != 0)
        return NOT_SUPPORTED; /* an instance has no sensor */
    return result_or_ok(*ret_gpu, own);
}

static uint64_t live_mj(uint64_t draw_mw)
{
    uint64_t duration_ns = clock_now(carnot_clock_system()).mono_ns - atomic_load(&began_ns);

    return (uint64_t)((unsigned __int128)draw_mw * duration_ns / NS_PER_SEC);
}

EXPORT int nvmlDeviceGetTotalEnergyConsumption(struct nvml_device *device, unsigned long long *ret_mj);
int nvmlDeviceGetTotalEnergyConsumption(struct nvml_device *device, unsigned long long *ret_mj)
{
    struct script script;
    struct fake_gpu *gpu;
    int result = find(&script, device, ENERGY_RESULT, &gpu);

    if (result != OK)
        return result;
    if (gpu->fields[ENERGY_MJ] == UNSET && gpu->fields[DRAW_MW] == UNSET)
        return NOT_SUPPORTED;
    *ret_mj = gpu->fields[ENERGY_MJ] != UNSET ? gpu->fields[ENERGY_MJ] : 0;
    if (gpu->fields[DRAW_MW] != UNSET)
        *ret_mj += live_mj(gpu->fields[DRAW_MW]);
    return OK;
}

EXPORT int nvmlDeviceGetPowerUsage(struct nvml_device *device, unsigned int *ret_mw);
int nvmlDeviceGetPowerUsage(struct nvml_device *device, unsigned int *ret_mw)
{
    struct script script;
    struct fake_gpu *gpu;
    int result = find(&script, device, POWER_RESULT, &gpu);

    if (result != OK)
        return result;
    if (gpu->fields[POWER_MW] == UNSET && gpu->fields[DRAW_MW] == UNSET)
        return NOT_SUPPORTED;
    *ret_mw = (unsigned int)(gpu->fields[POWER_MW] != UNSET ? gpu->fields[POWER_MW] : gpu->fields[DRAW_MW]);
    return OK;
}

EXPORT int nvmlDeviceGetName(struct nvml_device *device, char *out, unsigned int size);
int nvmlDeviceGetName(struct nvml_device *device, char *out, unsigned int size)
{
    struct script script;
    struct fake_gpu *gpu;
    int result = find(&script, device, RESULT, &gpu);

    if (result == OK)
        snprintf(out, size, "%s", gpu->name);
    return result;
}

EXPORT int nvmlDeviceGetUUID(struct nvml_device *device, char *out, unsigned int size);
int nvmlDeviceGetUUID(struct nvml_device *device, char *out, unsigned int size)
{
    struct script script;
    struct fake_gpu *gpu;
    int result = find(&script, device, RESULT, &gpu);

    if (result == OK)
        snprintf(out, size, "GPU-00000000-0000-0000-0000-%012zx", (size_t)(gpu - script.gpu));
    return result;
}

EXPORT int nvmlDeviceGetMigMode(struct nvml_device *device, unsigned int *ret_now, unsigned int *ret_pending);
int nvmlDeviceGetMigMode(struct nvml_device *device, unsigned int *ret_now, unsigned int *ret_pending)
{
    struct script script;
    struct fake_gpu *gpu;
    int result = find(&script, device, MIG_RESULT, &gpu);

    if (result == OK && gpu->fields[MIG] == UNSET)
        result = NOT_SUPPORTED;
    if (result == OK)
        *ret_now = *ret_pending = gpu->fields[MIG] > 0;
    return result;
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(struct nvml_device *device, unsigned int index,
                                               struct nvml_device **ret_device);
int nvmlDeviceGetMigDeviceHandleByIndex(struct nvml_device *device, unsigned int index, struct nvml_device **ret_device)
{
    struct script script;
    struct fake_gpu *gpu;
    int result = find(&script, device, MIG_RESULT, &gpu);

    if (result == OK && gpu->fields[MIG] == UNSET)
        result = NOT_SUPPORTED;
    if (result == OK && (index >= gpu->fields[MIG] || index >= MIG_MAX))
        result = NOT_FOUND;
    if (result == OK)
        *ret_device = device + 1 + index;
    return result;
}
