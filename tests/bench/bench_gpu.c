/* SPDX-License-Identifier: Apache-2.0 */
/* Eight GPUs cut into 56 MIG instances with a process on each, read through a stand-in of NVIDIA's library whose calls
 * take 50 to 100 ms: what the process uses of a core, how long the loop waits, how old energies and processes are.
 *
 * usage: bench-gpu SECONDS at_once|each|spin
 *
 * at_once: a GPU tells the processes of all its instances; each: every instance is asked; spin: as at_once, with calls
 * that use the CPU for as long as they take. The instances are found before the clock starts. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>

#include "../sim/nvml/fake_nvml.h"
#include "base/parse.h"
#include "meter/energy.h"
#include "sources/gpu_usage.h"
#include "sources/nvml.h"
#include "sources/registry.h"

#define GPUS      8
#define INSTANCES 7
#define POLL_NS   (100 * NS_PER_MS) /* the meter's sampling interval */

struct figures {
    uint64_t polls, wait_max_ns, age_max_ns, age_sum_ns, process_age_max_ns;
};

static char script_path[] = "/tmp/carnot-bench-nvml-XXXXXX";

static void write_script(const char *mode, bool slow)
{
    char text[8192];
    size_t n = (size_t)snprintf(text, sizeof(text), "gpus %d\ngpu * draw-mw 300000\ngpu * mig %d\n", GPUS, INSTANCES);

    if (slow)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\n",
                              strcmp(mode, "spin") == 0 ? "burn-us 75000" : "latency-us 50000\nlatency-max-us 100000");
    if (strcmp(mode, "each") == 0)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "gpu * compute-result 4\n");
    for (int i = 0; i < GPUS * INSTANCES; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "process %d %d %d c 512 -\n", i / INSTANCES, i % INSTANCES,
                              1000 + i);
    int fd = open(script_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n)
        bench_die("cannot write the stand-in's script");
    close(fd);
}

static const struct energy_source *source_in_use(const struct energy *energy)
{
    for (size_t i = 0; i < energy->n_sources; i++)
        if (energy->sources[i].self)
            return &energy->sources[i];
    bench_die("no source in use");
    return NULL;
}

static void pause_ns(uint64_t ns)
{
    struct timespec wait = {.tv_sec = (time_t)(ns / NS_PER_SEC), .tv_nsec = (long)(ns % NS_PER_SEC)};

    nanosleep(&wait, NULL);
}

/* Nothing but what the meter's loop does, timed. */
static void poll_once(struct energy *energy, const struct energy_source *source, struct gpu_usage *usage,
                      struct figures *figures)
{
    uint64_t begin_ns = bench_ns(CLOCK_MONOTONIC), now_ns;

    energy_sample(energy, true);
    int r = source->ops->usage(source->self, usage);
    now_ns = bench_ns(CLOCK_MONOTONIC);
    figures->polls++;
    figures->wait_max_ns = max_u64(figures->wait_max_ns, now_ns - begin_ns);
    uint64_t oldest_ns = now_ns, read_ns = now_ns;
    for (size_t i = 0; i < energy->n_domains; i++)
        oldest_ns = min_u64(oldest_ns, energy->domains[i].last_reading_ns);
    figures->age_max_ns = max_u64(figures->age_max_ns, now_ns - oldest_ns);
    figures->age_sum_ns += now_ns - oldest_ns;
    for (size_t i = 0; r == 0 && i < usage->n_gpus; i++)
        read_ns = min_u64(read_ns, usage->gpus[i].read_ns);
    figures->process_age_max_ns = max_u64(figures->process_age_max_ns, now_ns - read_ns);
}

static void print_mode(const char *mode, const char *name, double value, const char *unit)
{
    char full[64];

    snprintf(full, sizeof(full), "gpu_%s_%s", mode, name);
    bench_print(full, value, unit);
}

int main(int argc, char **argv)
{
    static struct gpu_usage usage;
    struct nvml_settings *settings = source_nvml.settings;
    struct option_list only = {.items = {"nvml"}, .count = 1};
    struct carnot_env env = {.clock = carnot_clock_system()};
    struct carnot_err err = CARNOT_ERR_INIT;
    struct figures figures = {0};
    struct energy energy;
    uint64_t seconds;

    if (argc != 3 || parse_u64(text_of(argv[1]), &seconds) < 0 || seconds == 0)
        bench_die("usage: bench-gpu SECONDS at_once|each|spin");
    const char *mode = argv[2];
    int fd = mkstemp(script_path);
    if (fd < 0 || close(fd) < 0 || setenv(FAKE_NVML_SCRIPT, script_path, 1) < 0)
        bench_die("cannot make the stand-in's script");
    write_script(mode, false);
    settings->library = FAKE_NVML;
    if (energy_open(&env, NULL, &only, NULL, &energy, &err) < 0)
        bench_die(err.msg);
    const struct energy_source *source = source_in_use(&energy);
    energy_start(&energy);
    do {
        pause_ns(POLL_NS);
        poll_once(&energy, source, &usage, &figures);
    } while (usage.n_instances < GPUS * INSTANCES || usage.n_processes < GPUS * INSTANCES);

    write_script(mode, true);
    uint64_t reads = source->reads;
    while (source->reads < reads + 2) { /* of the first one only a part was slow; measured are whole reads and rests */
        pause_ns(POLL_NS);
        poll_once(&energy, source, &usage, &figures);
    }
    figures = (struct figures){0};
    uint64_t begin_ns = bench_ns(CLOCK_MONOTONIC), cpu_ns = bench_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (reads = source->reads;
         bench_ns(CLOCK_MONOTONIC) - begin_ns < seconds * NS_PER_SEC || source->reads == reads;) {
        reads = source->reads;
        pause_ns(POLL_NS);
        poll_once(&energy, source, &usage, &figures);
    }
    cpu_ns = bench_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
    uint64_t took_ns = bench_ns(CLOCK_MONOTONIC) - begin_ns;
    print_mode(mode, "cpu_percent", 100.0 * (double)cpu_ns / (double)took_ns, "%");
    print_mode(mode, "wait_max_ms", (double)figures.wait_max_ns / 1e6, "ms");
    print_mode(mode, "energy_age_s", (double)figures.age_sum_ns / (double)figures.polls / 1e9, "s");
    print_mode(mode, "energy_age_max_s", (double)figures.age_max_ns / 1e9, "s");
    print_mode(mode, "process_age_max_s", (double)figures.process_age_max_ns / 1e9, "s");
    energy_close(&energy);
    unlink(script_path);
    return 0;
}
