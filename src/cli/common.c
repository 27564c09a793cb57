/* SPDX-License-Identifier: Apache-2.0 */
/* Common options, help and failure of the verbs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/commands.h"
#include "cli/cli.h"

static const char *const agent_names[] = {"auto", "required", "never", NULL};

#define FIELD(member) offsetof(struct cli_settings, member)

static const struct carnot_option common_options[] = {
    {.name = "socket",
     .type = OPTION_STRING,
     .offset = FIELD(socket),
     .def = "",
     .metavar = "PATH",
     .help = "Socket of the agent; without it $CARNOT_SOCKET, then " CLI_SOCKET_DEFAULT "."},
    {.name = "agent",
     .type = OPTION_ENUM,
     .offset = FIELD(agent),
     .def = "auto",
     .choices = agent_names,
     .help = "Ask the agent when there is one and measure in this process otherwise (auto), only the one, or only the "
             "other."},
    {.name = "path.procfs",
     .type = OPTION_STRING,
     .offset = FIELD(procfs),
     .def = "",
     .metavar = "DIR",
     .help = "Where procfs is, if not at /proc."},
    {.name = "path.sysfs",
     .type = OPTION_STRING,
     .offset = FIELD(sysfs),
     .def = "",
     .metavar = "DIR",
     .help = "Where sysfs is, if not at /sys."},
    {.name = "path.cgroupfs",
     .type = OPTION_STRING,
     .offset = FIELD(cgroupfs),
     .def = "",
     .metavar = "DIR",
     .help = "Where control groups are, if not at /sys/fs/cgroup."},
    {.name = "path.rootfs",
     .type = OPTION_STRING,
     .offset = FIELD(rootfs),
     .def = "",
     .metavar = "DIR",
     .help = "Where /etc and /usr of the machine are, if not at /."},
    {.name = "help", .letter = 'h', .type = OPTION_BOOL, .offset = FIELD(help), .help = "This text."},
};

int cli_options_parse(struct cli_options *options, const struct cli_verb *verb, const struct carnot_option *own,
                      size_t n_own, void *own_settings, struct cli_settings *common, int argc, char **argv,
                      bool stop_at_operand, struct carnot_err *err)
{
    int r;

    options->common = common;
    options->groups[0] =
        (struct option_group){.title = "Options", .options = own, .count = n_own, .settings = own_settings};
    options->groups[1] = (struct option_group){.title = "Where figures come from",
                                               .options = common_options,
                                               .count = ELEMENTSOF(common_options),
                                               .settings = common};
    options->groups[2] = (struct option_group){
        .title = "Measuring in this process (an agent has its own settings; only --intensity.* count there too)",
        .options = meter_options,
        .count = meter_options_count,
        .settings = &common->meter};
    size_t n_sources = meter_source_groups(options->groups + 3, METER_SOURCE_GROUPS_MAX);
    option_set_init(&options->set, options->groups, 3 + n_sources);
    r = option_defaults(&options->set, err);
    if (r < 0)
        return r;
    return option_parse_argv(&options->set, argc, argv, stop_at_operand, err);
}

void cli_options_done(struct cli_options *options)
{
    option_set_done(&options->set);
}

static const char *or_null(const char *s)
{
    return s && s[0] ? s : NULL;
}

int cli_env_open(const struct cli_settings *settings, struct carnot_env *ret_env, struct carnot_err *err)
{
    struct carnot_env env;
    int r = carnot_env_open(or_null(settings->procfs), or_null(settings->sysfs), or_null(settings->cgroupfs),
                            or_null(settings->rootfs), &env, err);

    if (r < 0)
        return r;
    r = commands_new(&env.commands, err);
    if (r < 0) {
        carnot_env_close(&env);
        return r;
    }
    *ret_env = env;
    return 0;
}

void cli_env_close(struct carnot_env *env)
{
    env->commands = commands_free(env->commands);
    carnot_env_close(env);
}

const char *cli_socket_path(const struct cli_settings *settings)
{
    const char *from_env = getenv("CARNOT_SOCKET");

    if (settings->socket && settings->socket[0])
        return settings->socket;
    return from_env && from_env[0] ? from_env : CLI_SOCKET_DEFAULT;
}

int cli_print_help(const struct cli_verb *verb, const struct cli_options *options)
{
    struct buf text;
    int r;

    buf_init(&text, CLI_OUTPUT_MAX);
    buf_printf(&text, "usage: %s\n\n%s\n\n", verb->usage, verb->text);
    option_help(&options->set, &text);
    buf_printf(&text, "\nMore: man carnot-%s\n", verb->name);
    r = cli_put_stdout(verb, &text);
    buf_done(&text);
    return r;
}

int cli_fail(const struct cli_verb *verb, int code, const struct carnot_err *err)
{
    fprintf(stderr, "carnot %s: %s\n", verb->name,
            err && err->msg[0] ? err->msg : "failed without a reason; please report this");
    return carnot_err_exit_status(code);
}

int cli_open_output(const char *option, const char *path, mode_t mode, int *ret_fd, struct carnot_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    if (fd < 0)
        return carnot_err_errno(err, errno, "%s: cannot write %s", option, path);
    *ret_fd = fd;
    return 0;
}

int cli_write(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int cli_put_stdout(const struct cli_verb *verb, const struct buf *buf)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    int r = buf_error(buf);

    if (r >= 0)
        r = cli_write(STDOUT_FILENO, buf->data, buf->len);
    if (r >= 0 || r == -EPIPE) /* who closed the pipe has seen enough */
        return 0;
    carnot_err_errno(&err, -r, "cannot write to stdout");
    return cli_fail(verb, EIO, &err);
}
