/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the twin, shared by its files. */
#ifndef CARNOT_SIM_TWIN_INTERNAL_H
#define CARNOT_SIM_TWIN_INTERNAL_H

#include "twin.h"

#define NOBODY (-1)

struct twin_socket {
    double degrees, power_w;      /* of the last slice */
    double energy_j, dram_j;      /* true, since the beginning: what the counters follow */
    double shown_j, dram_shown_j; /* at the last reading of the counters */
    double filter_noise_j;        /* of the last reading */
};

struct twin {
    struct twin_setup setup;
    uint64_t now_ns, random;
    int on_cpu[TWIN_CPUS_MAX]; /* thread or NOBODY, in this slice */
    int last_cpu[TWIN_THREADS_MAX];
    double toggle[TWIN_THREADS_MAX]; /* wandering part of the energy per instruction */
    size_t first;                    /* whose turn it is when CPUs are short */
    struct twin_socket sockets[TWIN_SOCKETS_MAX];
};

static inline unsigned twin_cpus(const struct twin_hardware *h)
{
    return h->sockets * h->cores * h->smt;
}

/* CPU numbers: hyperthread 0 of all cores of socket 0, of socket 1, then hyperthread 1 of them, as Linux does. */
static inline unsigned twin_cpu(const struct twin_hardware *h, unsigned socket, unsigned core, unsigned thread)
{
    return (thread * h->sockets + socket) * h->cores + core;
}

static inline unsigned twin_socket_of(const struct twin_hardware *h, unsigned cpu)
{
    return cpu / h->cores % h->sockets;
}

static inline unsigned twin_core_of(const struct twin_hardware *h, unsigned cpu)
{
    return cpu % h->cores;
}

double twin_uniform(struct twin *twin); /* [0, 1) */
double twin_normal(struct twin *twin);  /* mean 0, standard deviation 1, never beyond 6 */

/* twin_schedule.c: fills on_cpu for the slice that begins now. */
void twin_schedule(struct twin *twin);

/* twin_power.c: the slice's energy with its causes, added to the window. */
void twin_power(struct twin *twin, unsigned socket, struct twin_window *window);

#endif
