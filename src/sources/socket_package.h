/* SPDX-License-Identifier: Apache-2.0 */
/* Firmware counts sockets from 0; the kernel's package ids need be neither small nor dense (PPTT on ARM). */
#ifndef CARNOT_SOURCES_SOCKET_PACKAGE_H
#define CARNOT_SOURCES_SOCKET_PACKAGE_H

#include "model/topology.h"

/* The package id of a socket: the socket-th smallest id among the CPUs; the socket's own number when the topology
 * (NULL: not known) has fewer. */
int socket_package(const struct topology *topology, uint32_t socket);

#endif
