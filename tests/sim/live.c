/* SPDX-License-Identifier: Apache-2.0 */
/* A CPU's busy ticks go to the simulated package of its real package's number, round and round when the simulation has
 * fewer. */
#include "live.h"

#include <errno.h>
#include <string.h>

#include "sources/proc_stat.h"

#define STAT_LINE_MAX 224 /* "cpu4095" and 10 columns of up to 20 digits */

static int nth_package(const struct sim_machine *machine, int n)
{
    int packages = 0;

    for (int i = 0; i < machine->n_zones; i++)
        packages += machine->zones[i].parent < 0 && machine->zones[i].busy_uw;
    n = packages && n >= 0 ? n % packages : 0;
    for (int i = 0; i < machine->n_zones; i++) {
        if (machine->zones[i].parent < 0 && machine->zones[i].busy_uw && n-- == 0)
            return i;
    }
    return -1;
}

static void walk(struct sim_live *live, struct sim_machine *machine)
{
    ssize_t n;
    struct proc_stat_cpu cpu;

    do
        n = pread(live->fd, live->text, live->size, 0);
    while (n < 0 && errno == EINTR);
    struct text rest = {live->text, n > 0 ? (size_t)n : 0};
    while (proc_stat_next_cpu(&rest, &cpu)) {
        if (cpu.cpu >= live->topology.n_cpus)
            continue;
        uint64_t before = live->busy_ticks[cpu.cpu];
        int zone = machine ? nth_package(machine, live->topology.cpus[cpu.cpu].package) : -1;
        if (zone >= 0 && cpu.busy > before)
            sim_add_busy(machine, zone, (cpu.busy - before) * live->tick_ns);
        live->busy_ticks[cpu.cpu] = max_u64(cpu.busy, before);
    }
}

int sim_live_init(struct sim_live *live, const struct carnot_env *env, struct sim_machine *machine, uint64_t cpu_uw,
                  struct carnot_err *err)
{
    *live = (struct sim_live){.fd = -1, .tick_ns = NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK)};
    int r = topology_read(env, &live->topology, err);
    if (r < 0)
        return r;
    live->fd = fsroot_openat(&env->proc, "stat", 0, err);
    if (live->fd < 0)
        return live->fd;
    live->size = ((size_t)live->topology.n_cpus + 1) * STAT_LINE_MAX;
    live->text = malloc(live->size);
    live->busy_ticks = calloc(live->topology.n_cpus, sizeof(*live->busy_ticks));
    if (!live->text || !live->busy_ticks)
        return carnot_err_set(err, ENOMEM, "out of memory");
    for (int i = 0; i < machine->n_zones; i++) {
        struct sim_zone *zone = &machine->zones[i];
        if (strncmp(zone->id, "intel-rapl:", 11) == 0 &&
            (strncmp(zone->name, "package-", 8) == 0 || strcmp(zone->name, "core") == 0))
            zone->busy_uw = cpu_uw;
    }
    walk(live, NULL);
    return 0;
}

void sim_live_update(struct sim_live *live, struct sim_machine *machine)
{
    walk(live, machine);
}

void sim_live_done(struct sim_live *live)
{
    if (!live->text) /* never begun */
        return;
    cleanup_closep(&live->fd);
    free(live->text);
    free(live->busy_ticks);
    topology_done(&live->topology);
}
