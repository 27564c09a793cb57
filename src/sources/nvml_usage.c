/* SPDX-License-Identifier: Apache-2.0 */
/* See nvml_usage.h. A round visits one GPU after the other; a visit is a row of questions, and what it learned is taken
 * over when all are answered. One thread gathers; a lock guards the copy that others get. */
#include "sources/nvml_usage.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "sources/nvml_mig.h"

/* Entries of one answer. A GPU has at most 48 MPS clients, or as many time-sliced processes as its memory bears. */
#define ANSWER_MAX 256
/* Processes of one GPU, on all its instances. */
#define VISIT_MAX 512
/* Linux has no greater pid (PID_MAX_LIMIT). */
#define PID_MAX (4U * 1024 * 1024)
/* How far back the first question for samples looks. */
#define FIRST_WINDOW_NS NS_PER_SEC

enum question { COMPUTE, GRAPHICS, UTILIZATION, QUESTIONS };
#define BIT(question) (1U << (question))

/* What questions are put to: the GPU, or an instance of it. */
struct place {
    struct nvml_device *handle;
    unsigned refused;    /* bits of questions that it does not know */
    uint64_t seen_us;    /* the newest sample that we had; 0: none */
    uint64_t sampled_ns; /* monotonic: the last answer to UTILIZATION; 0: none */
};

#define PLACES (1 + NVML_MIG_MAX) /* the GPU itself, then its instances by their index */

struct gpu {
    struct nvml_device *handle;
    struct nvml_mig mig;
    struct nvml_mig_look look;
    bool looking;
    uint64_t look_ns;       /* monotonic: when to look at its instances again */
    uint64_t looked_ns;     /* when that was last done; 0: never */
    bool instances_refused; /* it does not tell the processes of all its instances: each is asked */
    uint64_t read_ns;
    struct place places[PLACES];
};

/* A visit in progress. */
struct visit {
    unsigned place, question;
    bool failed;      /* keep what was known */
    bool look_wanted; /* what it said does not fit what is known of its instances */
    unsigned left_out;
    size_t n;
    struct gpu_process processes[VISIT_MAX]; /* instance: its index on the GPU, or GPU_WHOLE */
    uint32_t samples[VISIT_MAX];             /* how many are added up in sm_permille */
};

struct nvml_usage {
    struct nvml_api api;
    struct carnot_clock *clock;
    unsigned int n;
    struct gpu *gpus;

    bool in_round;
    unsigned int at; /* GPU of the round */
    uint64_t round_ns;
    struct visit visit;
    uint64_t spent_until_ns; /* monotonic: up to then CPU time is allowed for */
    int64_t cpu_ns;          /* may be spent; below 0 after a call that took more */

    size_t n_processes;
    struct gpu_process processes[GPU_PROCESSES_MAX];
    unsigned left_out[DOMAINS_MAX];
    bool changed;

    pthread_mutex_t lock; /* for all below */
    bool known;
    struct gpu_usage given;
};

struct nvml_usage *nvml_usage_new(const struct nvml_api *api, struct carnot_clock *clock, unsigned int n)
{
    struct nvml_usage *usage = calloc(1, sizeof(*usage));
    struct gpu *gpus = calloc(n ? n : 1, sizeof(*gpus));

    if (!usage || !gpus) {
        free(usage);
        free(gpus);
        return NULL;
    }
    usage->api = *api;
    usage->clock = clock;
    usage->n = n;
    usage->gpus = gpus;
    usage->cpu_ns = NVML_USAGE_CPU_SAVE_MAX_NS;
    usage->spent_until_ns = clock_now(clock).mono_ns;
    pthread_mutex_init(&usage->lock, NULL);
    return usage;
}

struct nvml_usage *nvml_usage_free(struct nvml_usage *usage)
{
    if (!usage)
        return NULL;
    pthread_mutex_destroy(&usage->lock);
    free(usage->gpus);
    free(usage);
    return NULL;
}

void nvml_usage_set_handle(struct nvml_usage *usage, unsigned int gpu, struct nvml_device *handle)
{
    usage->gpus[gpu].handle = handle;
    usage->gpus[gpu].places[0].handle = handle;
}

/* --- what a visit learns ---------------------------------------------------------------------------------------- */

/* The entry of a process on an instance; NULL when there is no room. */
static struct gpu_process *entry(struct visit *visit, uint32_t instance, uint32_t pid)
{
    for (size_t i = 0; i < visit->n; i++)
        if (visit->processes[i].pid == pid && visit->processes[i].instance == instance)
            return &visit->processes[i];
    if (visit->n == VISIT_MAX) {
        visit->left_out++;
        return NULL;
    }
    visit->samples[visit->n] = 0;
    visit->processes[visit->n] = (struct gpu_process){
        .instance = instance, .pid = pid, .sm_permille = GPU_UNKNOWN, .memory_bytes = GPU_UNKNOWN_BYTES};
    return &visit->processes[visit->n++];
}

static uint32_t find_instance(const struct gpu *gpu, const struct nvml_process *process)
{
    for (uint32_t i = 0; i < NVML_MIG_MAX; i++) {
        const struct nvml_instance *instance = &gpu->mig.instances[i];
        if (instance->handle && instance->gpu_instance == process->gpu_instance &&
            instance->compute_instance == process->compute_instance)
            return i;
    }
    return GPU_WHOLE;
}

/* A process with a graphics and a compute context is in both lists, with all its memory each time. */
static void take_process(struct visit *visit, const struct gpu *gpu, uint32_t instance,
                         const struct nvml_process *process)
{
    if (process->pid == 0 || process->pid > PID_MAX)
        return;
    if (gpu->mig.on && instance == GPU_WHOLE) {
        instance = find_instance(gpu, process);
        visit->look_wanted |= instance == GPU_WHOLE && process->gpu_instance != NVML_NO_INSTANCE;
    }
    struct gpu_process *known = entry(visit, instance, process->pid);
    if (!known || process->memory_bytes == NVML_NOT_AVAILABLE)
        return;
    if (known->memory_bytes == GPU_UNKNOWN_BYTES || known->memory_bytes < process->memory_bytes)
        known->memory_bytes = process->memory_bytes;
}

static int ask_processes(struct nvml_usage *usage, const struct gpu *gpu, const struct place *place, uint32_t instance)
{
    /* Room for entries of the larger kind; see nvml_abi.h. */
    union {
        struct nvml_process processes[ANSWER_MAX];
        unsigned char room[ANSWER_MAX * NVML_PROCESS_BYTES_MAX];
    } answer;
    struct visit *visit = &usage->visit;
    unsigned int count = ANSWER_MAX;
    nvml_processes_fn call = visit->question == COMPUTE ? usage->api.compute_processes : usage->api.graphics_processes;

    memset(&answer, 0, sizeof(answer));
    int result = call(place->handle, &count, answer.processes);
    if (result == NVML_INSUFFICIENT_SIZE)
        visit->left_out += count;
    for (unsigned int i = 0; result == NVML_OK && i < count && i < ANSWER_MAX; i++)
        take_process(visit, gpu, instance, &answer.processes[i]);
    /* Graphics on an instance are rare: where there are none, nobody asks again before the next look. */
    if (result == NVML_OK && count == 0 && visit->question == GRAPHICS && visit->place > 0)
        return NVML_NOT_SUPPORTED;
    return result == NVML_INSUFFICIENT_SIZE ? NVML_OK : result;
}

static void take_sample(struct visit *visit, uint32_t instance, const struct nvml_sample *sample, uint64_t begin_ns,
                        uint64_t end_ns)
{
    if (sample->pid == 0 || sample->pid > PID_MAX || sample->sm_percent > 100)
        return;
    struct gpu_process *process = entry(visit, instance, sample->pid);
    if (!process)
        return;
    uint32_t *samples = &visit->samples[process - visit->processes];
    process->sm_permille = (*samples ? process->sm_permille : 0) + sample->sm_percent * (GPU_PERMILLE_WHOLE / 100);
    (*samples)++;
    process->begin_ns = begin_ns;
    process->end_ns = end_ns;
}

static int ask_utilization(struct nvml_usage *usage, struct place *place, uint32_t instance)
{
    struct nvml_sample samples[ANSWER_MAX];
    struct carnot_now now = clock_now(usage->clock);
    uint64_t begin_ns = place->sampled_ns ? place->sampled_ns : now.mono_ns - min_u64(now.mono_ns, FIRST_WINDOW_NS);
    uint64_t first_us = (now.real_ns - min_u64(now.real_ns, FIRST_WINDOW_NS)) / NS_PER_US;
    unsigned int count = ANSWER_MAX;

    memset(samples, 0, sizeof(samples));
    int result = usage->api.utilization(place->handle, samples, &count, place->seen_us ? place->seen_us : first_us);
    if (result == NVML_INSUFFICIENT_SIZE) {
        usage->visit.left_out += count;
        place->seen_us = 0; /* the next question is for less */
        place->sampled_ns = 0;
        return NVML_OK;
    }
    if (result != NVML_OK && result != NVML_NOT_FOUND)
        return result;
    place->sampled_ns = now.mono_ns;
    /* Who ran nothing has no sample. */
    for (size_t i = 0; i < usage->visit.n; i++) {
        struct gpu_process *process = &usage->visit.processes[i];
        if (process->instance == instance) {
            process->sm_permille = 0;
            process->begin_ns = begin_ns;
            process->end_ns = now.mono_ns;
        }
    }
    for (unsigned int i = 0; result == NVML_OK && i < count && i < ANSWER_MAX; i++) {
        take_sample(&usage->visit, instance, &samples[i], begin_ns, now.mono_ns);
        place->seen_us = max_u64(place->seen_us, samples[i].time_us);
    }
    return NVML_OK;
}

/* --- a visit ---------------------------------------------------------------------------------------------------- */

/* With MIG on the GPU tells the processes of all its instances, or else each instance its own. */
static bool is_wanted(const struct nvml_usage *usage, const struct gpu *gpu)
{
    const struct visit *visit = &usage->visit;
    const struct place *place = &gpu->places[visit->place];
    const bool there[QUESTIONS] = {
        [COMPUTE] = usage->api.compute_processes,
        [GRAPHICS] = usage->api.graphics_processes,
        [UTILIZATION] = usage->api.utilization,
    };

    if (!place->handle || !there[visit->question] || (place->refused & BIT(visit->question)))
        return false;
    if (visit->place == 0)
        return !gpu->mig.on || (!gpu->instances_refused && visit->question != UTILIZATION);
    return gpu->mig.on && gpu->instances_refused;
}

static void ask(struct nvml_usage *usage, struct gpu *gpu)
{
    struct visit *visit = &usage->visit;
    struct place *place = &gpu->places[visit->place];
    uint32_t instance = visit->place == 0 ? GPU_WHOLE : visit->place - 1;
    int result = visit->question == UTILIZATION ? ask_utilization(usage, place, instance)
                                                : ask_processes(usage, gpu, place, instance);

    if (result == NVML_OK)
        return;
    if (result == NVML_NOT_SUPPORTED || result == NVML_FUNCTION_NOT_FOUND || result == NVML_NO_PERMISSION) {
        place->refused |= BIT(visit->question);
        gpu->instances_refused |= gpu->mig.on && visit->place == 0 && visit->question == COMPUTE;
        return;
    }
    visit->failed = true;
    visit->look_wanted |= visit->place > 0; /* perhaps it was taken apart */
}

/* Takes the questions one after the other until one is put: true; false when there is none left. */
static bool ask_next(struct nvml_usage *usage, struct gpu *gpu)
{
    struct visit *visit = &usage->visit;

    while (visit->place < PLACES) {
        bool wanted = is_wanted(usage, gpu);
        if (wanted)
            ask(usage, gpu);
        if (++visit->question == QUESTIONS) {
            visit->question = 0;
            visit->place++;
        }
        if (wanted)
            return true;
    }
    return false;
}

static void remove_processes(struct nvml_usage *usage, uint32_t gpu)
{
    size_t kept = 0;

    for (size_t i = 0; i < usage->n_processes; i++)
        if (usage->processes[i].gpu != gpu)
            usage->processes[kept++] = usage->processes[i];
    usage->n_processes = kept;
}

static void end_visit(struct nvml_usage *usage, struct gpu *gpu)
{
    struct visit *visit = &usage->visit;
    uint64_t now_ns = clock_now(usage->clock).mono_ns;

    if (visit->look_wanted && now_ns >= gpu->looked_ns + NVML_USAGE_LOOK_AGAIN_NS)
        gpu->look_ns = now_ns;
    if (!visit->failed) {
        remove_processes(usage, usage->at);
        usage->left_out[usage->at] = visit->left_out;
        for (size_t i = 0; i < visit->n; i++) {
            if (usage->n_processes == GPU_PROCESSES_MAX) {
                usage->left_out[usage->at]++;
                continue;
            }
            struct gpu_process *process = &usage->processes[usage->n_processes++];
            *process = visit->processes[i];
            process->gpu = usage->at;
            if (visit->samples[i])
                process->sm_permille /= visit->samples[i];
        }
        gpu->read_ns = now_ns;
        usage->changed = true;
    }
    visit->place = visit->question = visit->left_out = 0;
    visit->failed = visit->look_wanted = false;
    visit->n = 0;
}

/* --- a round ---------------------------------------------------------------------------------------------------- */

/* What ran on an instance that is gone is on none that is known. */
static void forget_instance(struct nvml_usage *usage, uint32_t instance)
{
    for (size_t i = 0; i < usage->n_processes; i++)
        if (usage->processes[i].gpu == usage->at && usage->processes[i].instance == instance)
            usage->processes[i].instance = GPU_WHOLE;
}

/* Instances that are others now have their own samples to tell; all may have learned to answer. */
static void end_look(struct nvml_usage *usage, struct gpu *gpu, bool found)
{
    uint64_t now_ns = clock_now(usage->clock).mono_ns;

    gpu->looking = false;
    gpu->instances_refused = false;
    gpu->places[0].refused = 0;
    for (uint32_t i = 0; i < NVML_MIG_MAX; i++) {
        struct place *place = &gpu->places[1 + i];
        if (place->handle != gpu->mig.instances[i].handle) {
            *place = (struct place){.handle = gpu->mig.instances[i].handle};
            forget_instance(usage, i);
        }
        place->refused = 0;
    }
    gpu->looked_ns = now_ns;
    gpu->look_ns = now_ns + (found ? NVML_USAGE_LOOK_NS : NVML_USAGE_LOOK_AGAIN_NS);
    usage->changed = true;
}

/* One call of the library at most; false: nothing to do now. */
static bool step(struct nvml_usage *usage, uint64_t now_ns)
{
    if (!usage->in_round) {
        if (usage->round_ns && now_ns < usage->round_ns + NVML_USAGE_ROUND_NS)
            return false;
        usage->in_round = true;
        usage->round_ns = now_ns;
        usage->at = 0;
    }
    for (; usage->at < usage->n; usage->at++) {
        struct gpu *gpu = &usage->gpus[usage->at];

        /* A GPU that fell silent in the midst is left, with what it had said so far. */
        if (gpu->handle && usage->visit.n == 0 && usage->visit.place == 0 && usage->visit.question == 0)
            gpu->looking |= now_ns >= gpu->look_ns;
        if (gpu->handle && gpu->looking) {
            int r = nvml_mig_look(&usage->api, gpu->handle, &gpu->look, &gpu->mig);
            if (r != 0)
                end_look(usage, gpu, r > 0);
            return true;
        }
        if (gpu->handle && ask_next(usage, gpu))
            return true;
        usage->visit.failed |= !gpu->handle;
        end_visit(usage, gpu);
    }
    usage->in_round = false;
    return false;
}

/* --- handing over ----------------------------------------------------------------------------------------------- */

static void give_instances(const struct nvml_usage *usage, uint32_t g, uint32_t places[NVML_MIG_MAX],
                           struct gpu_usage *given)
{
    const struct gpu *gpu = &usage->gpus[g];

    for (uint32_t i = 0; i < NVML_MIG_MAX; i++) {
        const struct nvml_instance *instance = &gpu->mig.instances[i];

        places[i] = GPU_WHOLE;
        if (!instance->handle)
            continue;
        if (given->n_instances == GPU_INSTANCES_MAX) {
            given->left_out++;
            continue;
        }
        places[i] = (uint32_t)given->n_instances;
        struct gpu_instance *out = &given->instances[given->n_instances++];
        *out = (struct gpu_instance){
            .gpu = g,
            .index = i,
            .gpu_instance = instance->gpu_instance,
            .compute_instance = instance->compute_instance,
            .sms = instance->sms,
            .slices = instance->slices,
        };
        memcpy(out->uuid, instance->uuid, sizeof(out->uuid));
    }
}

static void hand_over(struct nvml_usage *usage)
{
    struct gpu_usage *given = &usage->given;
    uint32_t places[DOMAINS_MAX][NVML_MIG_MAX];

    pthread_mutex_lock(&usage->lock);
    given->n_gpus = usage->n;
    given->n_instances = given->n_processes = given->left_out = 0;
    for (uint32_t g = 0; g < usage->n; g++) {
        const struct gpu *gpu = &usage->gpus[g];

        given->gpus[g] = (struct gpu_use){.domain = g,
                                          .partitioned = gpu->mig.on,
                                          .sms = gpu->mig.sms,
                                          .slices = gpu->mig.slices,
                                          .read_ns = gpu->read_ns};
        given->left_out += usage->left_out[g];
        give_instances(usage, g, places[g], given);
    }
    for (size_t i = 0; i < usage->n_processes; i++) {
        struct gpu_process *process = &given->processes[given->n_processes++];
        *process = usage->processes[i];
        if (process->instance != GPU_WHOLE)
            process->instance = places[process->gpu][process->instance];
    }
    usage->known = true;
    pthread_mutex_unlock(&usage->lock);
    usage->changed = false;
}

void nvml_usage_gather(struct nvml_usage *usage, uint64_t energies_took_ns)
{
    uint64_t now_ns = clock_now(usage->clock).mono_ns;
    uint64_t end_ns = now_ns + min_u64(max_u64(energies_took_ns, NVML_USAGE_WALL_MIN_NS), NVML_USAGE_WALL_MAX_NS);
    uint64_t earned_ns = (now_ns - usage->spent_until_ns) / 100 * NVML_USAGE_CPU_PERCENT;

    usage->spent_until_ns = now_ns;
    usage->cpu_ns += (int64_t)min_u64(earned_ns, NVML_USAGE_CPU_SAVE_MAX_NS);
    if (usage->cpu_ns > (int64_t)NVML_USAGE_CPU_SAVE_MAX_NS)
        usage->cpu_ns = NVML_USAGE_CPU_SAVE_MAX_NS;
    for (bool going = true; going && now_ns < end_ns && usage->cpu_ns > 0;) {
        uint64_t before_ns = clock_thread_cpu_ns();
        going = step(usage, now_ns);
        usage->cpu_ns -= (int64_t)(clock_thread_cpu_ns() - before_ns);
        now_ns = clock_now(usage->clock).mono_ns;
    }
    if (usage->changed)
        hand_over(usage);
}

void nvml_usage_reset(struct nvml_usage *usage)
{
    for (unsigned int g = 0; g < usage->n; g++)
        for (unsigned i = 0; i < PLACES; i++)
            usage->gpus[g].places[i].seen_us = usage->gpus[g].places[i].sampled_ns = 0;
}

int nvml_usage_get(struct nvml_usage *usage, struct gpu_usage *ret_usage)
{
    int r = -ENODATA;

    pthread_mutex_lock(&usage->lock);
    if (usage->known) {
        const struct gpu_usage *given = &usage->given;
        ret_usage->n_gpus = given->n_gpus;
        ret_usage->n_instances = given->n_instances;
        ret_usage->n_processes = given->n_processes;
        ret_usage->left_out = given->left_out;
        memcpy(ret_usage->gpus, given->gpus, given->n_gpus * sizeof(*given->gpus));
        memcpy(ret_usage->instances, given->instances, given->n_instances * sizeof(*given->instances));
        memcpy(ret_usage->processes, given->processes, given->n_processes * sizeof(*given->processes));
        r = 0;
    }
    pthread_mutex_unlock(&usage->lock);
    return r;
}
