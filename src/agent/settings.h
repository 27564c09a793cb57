/* SPDX-License-Identifier: Apache-2.0 */
/* What carnotd can be told, by flag or by YAML. */
#ifndef CARNOT_AGENT_SETTINGS_H
#define CARNOT_AGENT_SETTINGS_H

#include "base/option.h"
#include "meter/meter.h"

struct agent_settings {
    const char *config_file;
    struct option_list listen_addresses;
    const char *telemetry_path;
    uint64_t web_timeout_ns;
    const char *socket_path, *socket_group;
    uint64_t socket_timeout_ns, socket_mode;
    const char *governor_path, *governor_group;
    uint64_t governor_mode;
    const char *state_file;
    uint64_t state_interval_ns;
    double poll_interval_s;    /* carbon-governor's; 0: not given */
    const char *powercap_root; /* the same; NULL: not given */
    bool disable_ipc;
    const char *procfs, *sysfs, *cgroupfs, *rootfs;
    int log_level, log_format;
    bool help, version;
    struct meter_settings meter;
};

/* Fills ret from defaults, then the file named by --config.file, then the command line. The set owns the strings:
 * option_set_done(ret_set) when over. -EINVAL with the flag or file:line in the sentence; *ret_in_file tells which
 * (exit status 78 for a file, 64 for the command line). */
int settings_load(int argc, char **argv, struct agent_settings *ret_settings, struct option_set *ret_set,
                  bool *ret_in_file, struct carnot_err *err);

#endif
