/* SPDX-License-Identifier: Apache-2.0 */
/* What `carnot doctor` looks at. Each check adds findings to a list; nothing is printed here. */
#ifndef CARNOT_CLI_DOCTOR_CHECKS_H
#define CARNOT_CLI_DOCTOR_CHECKS_H

#include "base/buf.h"
#include "cli/cli.h"
#include "model/topology.h"
#include "sources/cgroup.h"

enum finding_state { FINDING_OK, FINDING_MISSING, FINDING_DENIED, FINDING_UNUSED, FINDING_STATES };
extern const char *const finding_state_names[]; /* "ok", "missing", "denied", "unused" */

#define FINDINGS_MAX       64 /* checks are a fixed list */
#define FINDING_TEXT_MAX   CARNOT_ERR_MSG_MAX
#define FINDING_REMEDY_MAX 512

struct finding {
    const char *subject;
    enum finding_state state;
    bool matters; /* not ok, and measuring is worse for it in a way that can be mended: exit status 1 */
    char text[FINDING_TEXT_MAX];
    char remedy[FINDING_REMEDY_MAX]; /* a command or a step, "" when there is none */
};

struct findings {
    struct finding items[FINDINGS_MAX];
    size_t n;
};

struct doctor {
    const struct carnot_env *env;
    const struct cli_settings *settings;
    const char *socket_path;
    char program[512]; /* path of this program, for setcap */
    struct topology topology;
    bool has_topology;
    struct cgroup_tree *cgroups; /* NULL: there are none */
    uint64_t capabilities;       /* effective, bit per capability */
    bool measured;               /* a source that measures can be used */
    struct findings findings;
};

/* All checks that need no measuring, in the order in which they are shown. */
void doctor_check_all(struct doctor *doctor);
void doctor_done(struct doctor *doctor);

/* Adds one; the newest is returned for its remedy to be set. Never NULL: the last entry is used again when full. */
struct finding *doctor_find(struct doctor *doctor, const char *subject, enum finding_state state, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

#endif
