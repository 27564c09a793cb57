/* SPDX-License-Identifier: Apache-2.0 */
/* A program that measures itself by libcarnot, for test_lib.py: regions.c SOCKET SCENARIO. Prints one JSON object a
 * result. Uses the installed interface only. */
#include <carnot/carnot.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READ_MS 20000

static struct carnot *carnot;

static double seconds(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void spin(double cpu_seconds)
{
    double end = seconds(CLOCK_THREAD_CPUTIME_ID) + cpu_seconds;

    while (seconds(CLOCK_THREAD_CPUTIME_ID) < end) {
    }
}

static void say(struct carnot_region *region, int r, const struct carnot_result *result, const char *message)
{
    flockfile(stdout);
    printf("{\"name\":\"%s\",\"r\":%d,\"flags\":%u,\"duration_ns\":%" PRIu64 ",\"cpu_ns\":%" PRIu64
           ",\"energy_uj\":%" PRIu64 ",\"low_uj\":%" PRIu64 ",\"high_uj\":%" PRIu64 ",\"covered_ns\":%" PRIu64
           ",\"quality\":\"%s\",\"domains\":%u,\"message\":\"%s\"}\n",
           region ? carnot_region_name(region) : "", r, result->flags, result->duration_ns, result->cpu_ns,
           result->energy_uj, result->energy_low_uj, result->energy_high_uj, result->covered_ns,
           carnot_quality_name(result->quality), result->domains, message);
    fflush(stdout);
    funlockfile(stdout);
}

static void finish(struct carnot_region *region)
{
    struct carnot_result result = CARNOT_RESULT_INIT;
    struct carnot_error error = {0};
    int r = carnot_region_read(region, READ_MS, &result, &error);

    say(region, r, &result, error.message);
}

static void *in_thread(void *userdata)
{
    struct carnot_region *region;

    carnot_region_begin_thread(carnot, userdata, &region);
    spin(strcmp(userdata, "long") == 0 ? 1.2 : 0.4);
    carnot_region_end(region, NULL);
    return region;
}

static void nested(void)
{
    struct carnot_region *outer, *inner, *next;

    carnot_region_begin(carnot, "outer", &outer);
    spin(0.3);
    carnot_region_begin(carnot, "inner", &inner);
    spin(0.6);
    carnot_region_end(inner, NULL);
    carnot_region_begin(carnot, "next", &next);
    spin(0.6);
    carnot_region_end(next, NULL);
    spin(0.3);
    carnot_region_end(outer, NULL);
    finish(outer);
    finish(inner);
    finish(next);
}

static void threads(void)
{
    static char names[][8] = {"long", "short"};
    struct carnot_region *all, *regions[2];
    pthread_t ids[2];

    carnot_region_begin(carnot, "all", &all);
    for (int i = 0; i < 2; i++)
        pthread_create(&ids[i], NULL, in_thread, names[i]);
    for (int i = 0; i < 2; i++) {
        void *region = NULL;

        pthread_join(ids[i], &region);
        regions[i] = region;
    }
    carnot_region_end(all, NULL);
    finish(all);
    finish(regions[0]);
    finish(regions[1]);
}

/* Says "begun", goes on until a line comes. */
static void one_on_demand(void)
{
    struct carnot_region *region;
    char line[16];

    carnot_region_begin(carnot, "one", &region);
    spin(1.5);
    puts("begun");
    fflush(stdout);
    (void)!fgets(line, sizeof line, stdin);
    spin(0.3);
    carnot_region_end(region, NULL);
    finish(region);
}

static void child(void)
{
    struct carnot_region *region;

    if (fork() == 0) {
        int r = carnot_region_begin(carnot, "child", &region);

        carnot_close(carnot);
        _exit(r == -ECHILD ? 0 : 1);
    }
    int status;
    wait(&status);
    printf("{\"r\":%d}\n", WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } scenarios[] = {{"nested", nested}, {"threads", threads}, {"one", one_on_demand}, {"child", child}};
    struct carnot_result none = CARNOT_RESULT_INIT;
    struct carnot_error error = {0};

    int r = carnot_open(argv[1], &carnot, &error);
    if (r < 0) {
        say(NULL, r, &none, error.message);
        return 0;
    }
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        if (argc > 2 && strcmp(argv[2], scenarios[i].name) == 0)
            scenarios[i].run();
    carnot_close(carnot);
    return 0;
}
