/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets into package ids, by order. Assumes that firmware and kernel count in the same direction, as all known do. */
#include "sources/socket_package.h"

/* The smallest package id above `above`, -1 when there is none. */
static int next_package(const struct topology *topology, int above)
{
    int next = -1;

    for (uint32_t i = 0; i < topology->n_cpus; i++) {
        int id = topology->cpus[i].package;
        if (id > above && (next < 0 || id < next))
            next = id;
    }
    return next;
}

int socket_package(const struct topology *topology, uint32_t socket)
{
    int package = -1;

    if (!topology)
        return (int)socket;
    for (uint32_t k = 0; k <= socket; k++) {
        package = next_package(topology, package);
        if (package < 0)
            return (int)socket;
    }
    return package;
}
