/* SPDX-License-Identifier: Apache-2.0 */
/* A load of known shape: N cgroups with one process of T threads each; every thread works a few microseconds, then
 * sleeps. Prints "ready" when all run, goes on until its standard input ends, then ends its children and removes its
 * cgroups. bench-load CGROUP_DIRECTORY CGROUPS THREADS PERIOD_US WORK_US */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/parse.h"

#define CGROUPS_LIMIT 2000
#define THREADS_LIMIT 200
#define STACK_BYTES   (64 << 10)

static uint64_t period_us, work_us;

static uint64_t mono_ns(void)
{
    return clock_now(carnot_clock_system()).mono_ns;
}

static void *work(void *arg)
{
    struct timespec pause = {.tv_sec = (time_t)(period_us / 1000000), .tv_nsec = (long)(period_us % 1000000 * 1000)};

    for (;;) {
        uint64_t until_ns = mono_ns() + work_us * NS_PER_US;
        while (mono_ns() < until_ns)
            ;
        nanosleep(&pause, NULL);
    }
    return arg;
}

static int write_pid(const char *directory)
{
    char path[512], text[16];
    int n = snprintf(text, sizeof text, "%d", getpid());

    snprintf(path, sizeof path, "%s/cgroup.procs", directory);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, (size_t)n) != n ? -errno : 0;
}

static void child(const char *directory, uint64_t threads, int ready_fd)
{
    pthread_attr_t attr;
    pthread_t thread;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "bench-load");
    if (write_pid(directory) < 0)
        _exit(1);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (uint64_t i = 1; i < threads; i++)
        if (pthread_create(&thread, &attr, work, NULL) != 0)
            _exit(2);
    if (write(ready_fd, "r", 1) != 1)
        _exit(3);
    work(NULL);
}

static int number(const char *text, uint64_t max, uint64_t *ret)
{
    return parse_u64(text_of(text), ret) < 0 || *ret == 0 || *ret > max ? -EINVAL : 0;
}

int main(int argc, char **argv)
{
    uint64_t cgroups, threads;
    int ready[2];
    char byte;

    if (argc != 6 || number(argv[2], CGROUPS_LIMIT, &cgroups) < 0 || number(argv[3], THREADS_LIMIT, &threads) < 0 ||
        number(argv[4], 10000000, &period_us) < 0 || number(argv[5], 1000000, &work_us) < 0) {
        fprintf(stderr, "usage: bench-load CGROUP_DIRECTORY CGROUPS THREADS PERIOD_US WORK_US\n");
        return 64;
    }
    if (pipe2(ready, O_CLOEXEC) < 0)
        return 71;
    _cleanup_free_ pid_t *pids = calloc(cgroups, sizeof *pids);
    if (!pids)
        return 71;
    for (uint64_t i = 0; i < cgroups; i++) {
        char directory[480];

        snprintf(directory, sizeof directory, "%s/load-%u", argv[1], (unsigned)i);
        if (mkdir(directory, 0755) < 0 && errno != EEXIST) {
            fprintf(stderr, "bench-load: cannot make %s: %s\n", directory, strerror(errno));
            break;
        }
        pids[i] = fork();
        if (pids[i] == 0)
            child(directory, threads, ready[1]);
    }
    for (uint64_t i = 0; i < cgroups; i++)
        if (read(ready[0], &byte, 1) != 1)
            break;
    printf("ready\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    for (uint64_t i = 0; i < cgroups; i++) {
        char directory[480];

        if (pids[i] > 0) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
        snprintf(directory, sizeof directory, "%s/load-%u", argv[1], (unsigned)i);
        rmdir(directory);
    }
    return 0;
}
