/* SPDX-License-Identifier: Apache-2.0 */
/* Where the machine's cgroup hierarchies that count CPU time are mounted. Internal to sources/cgroup.c. */
#ifndef CARNOT_SOURCES_CGROUP_LOCATE_H
#define CARNOT_SOURCES_CGROUP_LOCATE_H

#include "sources/cgroup.h"

struct cgroup_place {
    bool found;
    char *dir;        /* below env->cgroup, "" for itself; owned */
    char *mount_root; /* directory of the hierarchy that is mounted there: "/" but for bind mounts; owned */
};

struct cgroup_places {
    struct cgroup_place v2;
    struct cgroup_place v1; /* the one with cpuacct */
};

/* Both may be absent: that is no error here. -ENOMEM, or the sentence about an unreadable mountinfo. */
int cgroup_locate(const struct carnot_env *env, struct cgroup_places *ret_places, struct carnot_err *err);
void cgroup_places_done(struct cgroup_places *places);

#endif
