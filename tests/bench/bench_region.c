/* SPDX-License-Identifier: Apache-2.0 */
/* What a begin and an end of a region cost the program that is measured: bench-region SOCKET [threads]. Medians and
 * 99th percentiles of each call, and the CPU time of a pair with the library's own thread included. JSON lines. */
#include <carnot/carnot.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define PAIRS 20000

static struct carnot *carnot;
static int of_thread;

struct times {
    uint64_t begin_ns[PAIRS], end_ns[PAIRS];
    struct carnot_region *regions[PAIRS]; /* kept: they wait for figures while others begin */
};

static uint64_t now_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void *pairs(void *userdata)
{
    struct times *times = userdata;

    for (size_t i = 0; i < PAIRS; i++) {
        struct carnot_region *region = NULL;
        uint64_t start_ns = now_ns(CLOCK_MONOTONIC);
        int r = of_thread ? carnot_region_begin_thread(carnot, "bench", &region)
                          : carnot_region_begin(carnot, "bench", &region);
        uint64_t begun_ns = now_ns(CLOCK_MONOTONIC);

        if (r < 0)
            exit(1);
        carnot_region_end(region, NULL);
        uint64_t ended_ns = now_ns(CLOCK_MONOTONIC);
        times->regions[i] = region;
        times->begin_ns[i] = begun_ns - start_ns;
        times->end_ns[i] = ended_ns - begun_ns;
    }
    for (size_t i = 0; i < PAIRS; i++)
        carnot_region_free(times->regions[i]);
    return NULL;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

static void say(const char *what, uint64_t *ns, unsigned threads)
{
    qsort(ns, PAIRS, sizeof *ns, compare);
    printf("{\"name\":\"%s%s\",\"threads\":%u,\"median_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64
           "}\n",
           what, of_thread ? " of thread" : "", threads, ns[PAIRS / 2], ns[PAIRS - PAIRS / 100], ns[PAIRS - 1]);
}

int main(int argc, char **argv)
{
    static struct times times[3];
    unsigned threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    struct carnot_error error = {0};
    pthread_t ids[3];

    if (argc < 2 || threads < 1 || threads > 3 || carnot_open(argv[1], &carnot, &error) < 0) {
        fprintf(stderr, "bench-region: %s\n", error.message[0] ? error.message : "SOCKET [threads, 1 to 3]");
        return 77;
    }
    for (of_thread = 0; of_thread < 2; of_thread++) {
        uint64_t cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);

        for (unsigned i = 0; i < threads; i++)
            pthread_create(&ids[i], NULL, pairs, &times[i]);
        for (unsigned i = 0; i < threads; i++)
            pthread_join(ids[i], NULL);
        cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
        say("begin", times[0].begin_ns, threads);
        say("end", times[0].end_ns, threads);
        printf("{\"name\":\"pair, CPU\",\"threads\":%u,\"mean_ns\":%" PRIu64 "}\n", threads, cpu_ns / PAIRS / threads);
    }
    carnot_close(carnot);
    return 0;
}
