/* SPDX-License-Identifier: Apache-2.0 */
/* From a cgroup path to the compute unit that a person knows it by: pure, no I/O. */
#ifndef CARNOT_UNITS_UNIT_H
#define CARNOT_UNITS_UNIT_H

#include "base/util.h"

#define UNIT_NAME_MAX 256 /* a systemd unit name's own limit */

struct unit_info {
    const char
        *manager; /* static: "systemd", "docker", "podman", "containerd", "cri-o", "kubernetes", "libvirt", "lxc", "" */
    const char *type; /* static: "service", "scope", "slice", "container", "pod", "vm", "session", "root", "cgroup" */
    char name[UNIT_NAME_MAX]; /* "ssh.service", short container id, ... with systemd's \x2d escapes undone */
    char id[UNIT_NAME_MAX];   /* full container id, pod uid, VM instance; "" when none */
    uint32_t owner_uid;       /* from user-UID.slice, else UINT32_MAX */
};

/* Fills ret for any path; never fails: an unknown shape is type "cgroup" named by its last component. */
void unit_of_cgroup(const char *path, struct unit_info *ret_info);

#endif
