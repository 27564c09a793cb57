/* SPDX-License-Identifier: Apache-2.0 */
/* What one scrape of a very large node costs: a batch of about 100,000 series written 20 times. Prints one JSON object
 * per figure; median CPU time, since a busy machine stretches single runs. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "model/batch.h"
#include "model/labels.h"
#include "sinks/prometheus.h"

/* 4 domains give 7 series per unit. */
#define DOMAINS 4
#define CGROUPS 4000
#define USERS   200
#define PROCS   10100
#define WRITES  20

static unsigned long allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    allocations++;
    return __real_realloc(p, size);
}

static struct batch_domain domains[DOMAINS] = {
    {.domain = {.name = "package-0", .kind = DOMAIN_PACKAGE, .source = "rapl_powercap", .in_total = true}},
    {.domain = {.name = "core-0", .kind = DOMAIN_CORE, .source = "rapl_powercap"}},
    {.domain =
         {.name = "package-1", .kind = DOMAIN_PACKAGE, .package = 1, .source = "rapl_powercap", .in_total = true}},
    {.domain = {.name = "dram-0", .kind = DOMAIN_DRAM, .source = "rapl_powercap", .in_total = true}},
};

static uint64_t next_random(void)
{
    static uint64_t x = 88172645463325252ULL;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static const char *make_labels(struct arena *arena, enum unit_kind kind, size_t i)
{
    char labels[512], path[128], name[64], number[24];
    struct label_writer writer = {.out = labels, .size = sizeof(labels)};

    snprintf(name, sizeof(name), "job-%06zu.scope", i);
    snprintf(path, sizeof(path), "/system.slice/slurmstepd.scope/user-%zu/%s", i % USERS, name);
    snprintf(number, sizeof(number), "%zu", 1000 + i);
    if (kind == UNIT_CGROUP) {
        label_put(&writer, "cgroup", path);
        label_put(&writer, "unit", name);
        label_put(&writer, "manager", "systemd");
        label_put(&writer, "type", "scope");
    } else if (kind == UNIT_USER) {
        label_put(&writer, "user", name);
        label_put(&writer, "uid", number);
    } else {
        label_put(&writer, "pid", number);
        label_put(&writer, "comm", "python3");
        label_put(&writer, "uid", "1000");
        label_put(&writer, "cgroup", path);
    }
    return arena_strndup(arena, labels, writer.len);
}

static bool fill_unit(struct arena *arena, struct batch_unit *unit, enum unit_kind kind, size_t i)
{
    uint64_t *energy_uj = arena_alloc_array(arena, DOMAINS, sizeof(*energy_uj));
    uint64_t *window_uj = arena_alloc_array(arena, DOMAINS, sizeof(*window_uj));

    if (!energy_uj || !window_uj)
        return false;
    for (size_t d = 0; d < DOMAINS; d++) {
        window_uj[d] = next_random() % 100000000;
        energy_uj[d] = next_random() % 1000000000000;
    }
    *unit = (struct batch_unit){
        .kind = kind,
        .id = (uint32_t)i + 1,
        .labels = make_labels(arena, kind, i),
        .cpu_ns = next_random() % 100000000000000,
        .energy_uj = energy_uj,
        .window_uj = window_uj,
    };
    return unit->labels;
}

static bool fill_batch(struct batch *batch)
{
    static const struct {
        enum unit_kind kind;
        size_t n;
    } kinds[] = {{UNIT_CGROUP, CGROUPS}, {UNIT_USER, USERS}, {UNIT_PROCESS, PROCS}, {UNIT_SESSION, 0}};
    size_t n = 0;

    *batch = (struct batch){
        .end = {.mono_ns = 1000000000, .real_ns = 1700000000000000000},
        .method = "cpu_time",
        .idle_policy = "none",
        .domains = domains,
        .n_domains = DOMAINS,
        .intensity = {.mg_kwh = 56040, .zone = "FRA", .source = "Ember", .chosen_by = "time zone"},
    };
    arena_init(&batch->arena, 0);
    batch->units = arena_alloc_array(&batch->arena, CGROUPS + USERS + PROCS, sizeof(*batch->units));
    if (!batch->units)
        return false;
    for (size_t k = 0; k < ELEMENTSOF(kinds); k++) {
        batch->first_of_kind[k] = n;
        for (size_t i = 0; i < kinds[k].n; i++, n++) {
            if (!fill_unit(&batch->arena, &batch->units[n], kinds[k].kind, i))
                return false;
        }
    }
    batch->first_of_kind[UNIT_KINDS] = n;
    batch->n_units = n;
    return true;
}

static uint64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static size_t count_series(const struct buf *out)
{
    size_t n = 0;

    for (const char *line = out->data; line && *line; n += *line != '#', line = strchr(line, '\n') + 1)
        ;
    return n;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static void figure(const char *name, double value, const char *unit)
{
    printf("{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\"}\n", name, value, unit);
}

int main(void)
{
    const struct prometheus_options options = {.processes = true};
    uint64_t times[WRITES];
    struct batch batch;
    struct buf out;

    buf_init(&out, PROMETHEUS_BYTES_MAX);
    if (!fill_batch(&batch) || prometheus_write(&batch, PROMETHEUS_TEXT_004, &options, &out) < 0) {
        fprintf(stderr, "bench-exposition: out of memory\n");
        return 70;
    }

    unsigned long before = allocations;
    for (size_t i = 0; i < WRITES; i++) {
        uint64_t start = cpu_ns();

        buf_reset(&out);
        if (prometheus_write(&batch, PROMETHEUS_TEXT_004, &options, &out) < 0)
            return 70;
        times[i] = cpu_ns() - start;
    }
    unsigned long after = allocations;

    qsort(times, WRITES, sizeof(times[0]), compare_u64);
    size_t series = count_series(&out);
    double median_ns = (double)(times[WRITES / 2 - 1] + times[WRITES / 2]) / 2;
    figure("exposition_series", (double)series, "series");
    figure("exposition_bytes", (double)out.len, "B");
    figure("exposition_100k_ms", median_ns / 1e6, "ms");
    figure("exposition_cpu_per_series", median_ns / (double)series, "ns");
    figure("exposition_allocations", (double)(after - before), "count");
    buf_done(&out);
    arena_done(&batch.arena);
    return 0;
}
