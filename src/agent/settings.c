/* SPDX-License-Identifier: Apache-2.0 */
/* The option tables of carnotd: its own, the meter's and those of each source, as one set. */
#include "agent/settings.h"

#include <errno.h>

#include "base/log.h"
#include "base/parse.h"

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const log_formats[] = {"text", "json", NULL};

#define FIELD(member) offsetof(struct agent_settings, member)

static const struct carnot_option agent_options[] = {
    {.name = "config.file",
     .type = OPTION_STRING,
     .offset = FIELD(config_file),
     .metavar = "FILE",
     .help = "YAML file with these same settings; flags come after it."},
    {.name = "web.listen-address",
     .type = OPTION_LIST,
     .offset = FIELD(listen_addresses),
     .def = ":9010",
     .metavar = "ADDRESS",
     .help = "Address and port for Prometheus (repeatable); port 0 takes any, \"none\" serves nothing."},
    {.name = "web.telemetry-path",
     .type = OPTION_STRING,
     .offset = FIELD(telemetry_path),
     .def = "/metrics",
     .metavar = "PATH",
     .help = "Path of the metrics."},
    {.name = "web.timeout",
     .type = OPTION_DURATION,
     .offset = FIELD(web_timeout_ns),
     .def = "60s",
     .min = NS_PER_SEC,
     .max = 3600 * NS_PER_SEC,
     .metavar = "TIME",
     .help = "A connection silent for so long is closed."},
    {.name = "socket.path",
     .type = OPTION_STRING,
     .offset = FIELD(socket_path),
     .def = "/run/carnot/carnot.sock",
     .metavar = "PATH",
     .help = "Unix socket for the command line and libraries; empty: none."},
    {.name = "socket.group",
     .type = OPTION_STRING,
     .offset = FIELD(socket_group),
     .def = "carnot",
     .metavar = "GROUP",
     .help = "Members of this group see all units, as root does; others see their own."},
    {.name = "socket.mode",
     .type = OPTION_MODE,
     .offset = FIELD(socket_mode),
     .def = "0666",
     .help = "Who may connect; what they see depends on who they are."},
    {.name = "socket.timeout",
     .type = OPTION_DURATION,
     .offset = FIELD(socket_timeout_ns),
     .def = "10m",
     .min = NS_PER_SEC,
     .max = 86400 * NS_PER_SEC,
     .metavar = "TIME",
     .help = "A client silent for so long is closed, unless it has a session (a command that runs)."},
    {.name = "governor.path",
     .alias = "socket-path",
     .type = OPTION_STRING,
     .offset = FIELD(governor_path),
     .def = "",
     .metavar = "PATH",
     .help =
         "A second Unix socket, for clients of carbon-ops' governor (/var/run/carbon-ops.sock): it also answers who "
         "asks nothing; empty: none."},
    {.name = "governor.group",
     .alias = "socket-group",
     .type = OPTION_STRING,
     .offset = FIELD(governor_group),
     .def = "carnot",
     .metavar = "GROUP",
     .help = "Members of this group may read the machine's counters there."},
    {.name = "governor.mode",
     .alias = "socket-mode",
     .type = OPTION_MODE,
     .offset = FIELD(governor_mode),
     .def = "0660",
     .help = "Who may connect there."},
    {.name = "state.file",
     .type = OPTION_STRING,
     .offset = FIELD(state_file),
     .def = "/var/lib/carnot/state",
     .metavar = "FILE",
     .help = "Where energy totals are kept over restarts; \"none\": nowhere."},
    {.name = "state.interval",
     .type = OPTION_DURATION,
     .offset = FIELD(state_interval_ns),
     .def = "1m",
     .min = NS_PER_SEC,
     .max = 3600 * NS_PER_SEC,
     .metavar = "TIME",
     .help = "How often they are written, besides at the stop."},
    {.name = "path.procfs",
     .type = OPTION_STRING,
     .offset = FIELD(procfs),
     .def = "/proc",
     .metavar = "DIR",
     .help = "Where procfs is."},
    {.name = "path.sysfs",
     .type = OPTION_STRING,
     .offset = FIELD(sysfs),
     .def = "/sys",
     .metavar = "DIR",
     .help = "Where sysfs is."},
    {.name = "path.cgroupfs",
     .type = OPTION_STRING,
     .offset = FIELD(cgroupfs),
     .def = "/sys/fs/cgroup",
     .metavar = "DIR",
     .help = "Where the control groups are."},
    {.name = "path.rootfs",
     .type = OPTION_STRING,
     .offset = FIELD(rootfs),
     .def = "/",
     .metavar = "DIR",
     .help = "Root for etc/passwd and the time zone."},
    {.name = "log.level",
     .type = OPTION_ENUM,
     .offset = FIELD(log_level),
     .def = "info",
     .choices = log_levels,
     .help = "Least important line to log."},
    {.name = "log.format",
     .type = OPTION_ENUM,
     .offset = FIELD(log_format),
     .def = "text",
     .choices = log_formats,
     .help = "Form of log lines."},
    {.name = "poll-interval",
     .type = OPTION_F64,
     .offset = FIELD(poll_interval_s),
     .metavar = "SECONDS",
     .fmin = 0.001,
     .fmax = 60,
     .help = "As carbon-governor has it: sampling.interval in seconds."},
    {.name = "powercap-root",
     .type = OPTION_STRING,
     .offset = FIELD(powercap_root),
     .metavar = "DIR",
     .help = "As carbon-governor has it: path.sysfs with class/powercap behind it."},
    {.name = "disable-ipc",
     .type = OPTION_BOOL,
     .offset = FIELD(disable_ipc),
     .def = "false",
     .help = "As carbon-governor has it: no Unix socket at all."},
    {.name = "help",
     .letter = 'h',
     .type = OPTION_BOOL,
     .offset = FIELD(help),
     .def = "false",
     .help = "Show this help."},
    {.name = "version",
     .letter = 'V',
     .type = OPTION_BOOL,
     .offset = FIELD(version),
     .def = "false",
     .help = "Show the version."},
};

#define POWERCAP_DIR "/class/powercap"

/* carbon-governor knows a directory of zones, we a whole sysfs: the one that it lies in. */
static int take_powercap_root(struct agent_settings *settings, struct option_set *set, struct carnot_err *err)
{
    const char *given = settings->powercap_root;
    struct text root = text_of(given);

    while (root.n > 1 && root.p[root.n - 1] == '/')
        root.n--;
    if (!text_ends(root, POWERCAP_DIR))
        return carnot_err_set(err, EINVAL,
                              "--powercap-root: %s does not end in class/powercap: Carnot reads a whole sysfs, give "
                              "its root by --path.sysfs",
                              given);
    root.n -= strlen(POWERCAP_DIR);
    settings->sysfs = root.n ? arena_strndup(&set->arena, root.p, root.n) : "/";
    return settings->sysfs ? 0 : carnot_err_set(err, ENOMEM, "out of memory for the settings");
}

/* Settings of carbon-governor that are said otherwise here. */
static int take_governor_flags(struct agent_settings *settings, struct option_set *set, struct carnot_err *err)
{
    if (settings->poll_interval_s > 0)
        settings->meter.sampling_interval_ns = (uint64_t)(settings->poll_interval_s * (double)NS_PER_SEC + 0.5);
    if (settings->disable_ipc)
        settings->socket_path = settings->governor_path = "";
    if (settings->governor_path[0] && strcmp(settings->governor_path, settings->socket_path) == 0)
        return carnot_err_set(
            err, EINVAL,
            "governor.path and socket.path are both %s: leave governor.path away, that socket answers "
            "clients of the governor as well, or choose another",
            settings->governor_path);
    return settings->powercap_root ? take_powercap_root(settings, set, err) : 0;
}

#define GROUPS_MAX (2 + METER_SOURCE_GROUPS_MAX)

/* Flags, the file, the flags again. */
static int load(int argc, char **argv, struct agent_settings *ret_settings, struct option_set *ret_set,
                bool *ret_in_file, struct carnot_err *err)
{
    /* Static, since the set keeps pointing at it: the tables of a program are the same for its life. */
    static struct option_group groups[GROUPS_MAX];
    size_t n = 0;
    int r;

    groups[n++] = (struct option_group){"carnotd", agent_options, ELEMENTSOF(agent_options), ret_settings};
    groups[n++] = (struct option_group){"Measuring", meter_options, meter_options_count, &ret_settings->meter};
    n += meter_source_groups(groups + n, METER_SOURCE_GROUPS_MAX);
    *ret_settings = (struct agent_settings){0};
    *ret_in_file = false;
    option_set_init(ret_set, groups, n);
    r = option_defaults(ret_set, err);
    if (r < 0)
        return r;
    /* Twice: the first pass finds --config.file (and refuses what is wrong with the flags), the second puts the flags
     * above the file. */
    r = option_parse_argv(ret_set, argc, argv, true, err);
    if (r < 0)
        return r;
    if (r < argc)
        return carnot_err_set(err, EINVAL, "carnotd takes no operand, but was given \"%s\"; see carnotd --help",
                              argv[r]);
    if (!ret_settings->config_file || !ret_settings->config_file[0])
        return 0;
    const char *file = ret_settings->config_file;
    r = option_defaults(ret_set, err);
    if (r < 0)
        return r;
    r = option_load_yaml(ret_set, file, err);
    if (r < 0) {
        *ret_in_file = true;
        return r;
    }
    r = option_parse_argv(ret_set, argc, argv, true, err);
    return r < 0 ? r : 0;
}

int settings_load(int argc, char **argv, struct agent_settings *ret_settings, struct option_set *ret_set,
                  bool *ret_in_file, struct carnot_err *err)
{
    int r = load(argc, argv, ret_settings, ret_set, ret_in_file, err);

    return r < 0 ? r : take_governor_flags(ret_settings, ret_set, err);
}
