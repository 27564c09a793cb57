/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of `carnot` share: the table of verbs, common options, how they fail and how they print. */
#ifndef CARNOT_CLI_CLI_H
#define CARNOT_CLI_CLI_H

#include "base/buf.h"
#include "base/err.h"
#include "base/option.h"
#include "meter/meter.h"

#define CLI_SOCKET_DEFAULT "/run/carnot/carnot.sock"
#define CLI_OUTPUT_MAX     (64U << 20) /* the largest answer of the agent */

enum cli_agent { AGENT_AUTO, AGENT_REQUIRED, AGENT_NEVER };

/* Options that every measuring verb has. */
struct cli_settings {
    struct meter_settings meter;
    const char *socket;                             /* "": $CARNOT_SOCKET, then the default */
    int agent;                                      /* enum cli_agent */
    const char *procfs, *sysfs, *cgroupfs, *rootfs; /* "": the system's */
    bool help;
};

struct cli_verb {
    const char *name;
    const char *usage;   /* "carnot run [OPTIONS] [--] COMMAND [ARGUMENT ...]" */
    const char *summary; /* one line for `carnot --help` */
    const char *text;    /* a paragraph or two for `carnot help VERB`, before the options */
    /* argv[0] is the verb. Returns the exit status. With print_help true prints help on stdout instead. */
    int (*run)(const struct cli_verb *verb, int argc, char **argv);
};

extern const struct cli_verb cli_verbs[];
extern const size_t cli_verbs_count;
const struct cli_verb *cli_verb_find(const char *name); /* NULL when unknown */

int cmd_run(const struct cli_verb *verb, int argc, char **argv);
int cmd_top(const struct cli_verb *verb, int argc, char **argv);
int cmd_doctor(const struct cli_verb *verb, int argc, char **argv);
int cmd_calibrate(const struct cli_verb *verb, int argc, char **argv);
int cmd_trace(const struct cli_verb *verb, int argc, char **argv);
int cmd_aliasing_demo(const struct cli_verb *verb, int argc, char **argv);
int cmd_version(const struct cli_verb *verb, int argc, char **argv);
int cmd_help(const struct cli_verb *verb, int argc, char **argv);

/* The options of a verb: its own, those of struct cli_settings, those of the meter. */
struct cli_options {
    struct cli_settings *common;
    struct option_group groups[3 + METER_SOURCE_GROUPS_MAX];
    struct option_set set;
};

/* Fills defaults and parses. Returns the index of the first operand, or -EINVAL with a sentence. After --help:
 * common->help is set and nothing else matters. */
int cli_options_parse(struct cli_options *options, const struct cli_verb *verb, const struct carnot_option *own,
                      size_t n_own, void *own_settings, struct cli_settings *common, int argc, char **argv,
                      bool stop_at_operand, struct carnot_err *err);
void cli_options_done(struct cli_options *options);

/* The environment with an empty set of commands, which is the environment's here. */
int cli_env_open(const struct cli_settings *settings, struct carnot_env *ret_env, struct carnot_err *err);
void cli_env_close(struct carnot_env *env);
const char *cli_socket_path(const struct cli_settings *settings);

/* Prints the help of a verb on stdout. */
int cli_print_help(const struct cli_verb *verb, const struct cli_options *options);

/* Prints "carnot VERB: SENTENCE" on stderr; returns the exit status of the error's code. */
int cli_fail(const struct cli_verb *verb, int code, const struct carnot_err *err);

/* Opens the file that an option names for writing, emptied; the sentence begins with the option. */
int cli_open_output(const char *option, const char *path, mode_t mode, int *ret_fd, struct carnot_err *err);
/* Writes everything to a descriptor; -EPIPE and others as errno. */
int cli_write(int fd, const void *data, size_t len);
/* Writes a buffer to stdout; returns 0, or an exit status with a sentence printed. A closed pipe is no error. */
int cli_put_stdout(const struct cli_verb *verb, const struct buf *buf);

#endif
