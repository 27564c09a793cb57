/* SPDX-License-Identifier: Apache-2.0 */
/* The list of energy sources of two test programs, which are carnotd and carnot but for it: one source, whose counter
 * is what a command prints. */
#include <errno.h>

#include "base/commands.h"
#include "base/parse.h"
#include "sources/source.h"

#define OUTPUT_MAX 4096

struct settings {
    const char *path;
    uint64_t timeout_ns;
};

static struct settings settings;

static const struct carnot_option options[] = {
    {.name = "command.path",
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, path),
     .def = "",
     .metavar = "PATH",
     .help = "Program that prints microjoules."},
    {.name = "command.timeout",
     .type = OPTION_DURATION,
     .offset = offsetof(struct settings, timeout_ns),
     .def = "60s",
     .metavar = "TIME",
     .help = "How long it may take."},
};

static const struct domain the_domain = {
    .name = "host-command", .kind = DOMAIN_HOST, .package = -1, .die = -1, .node = -1, .source = "command"};

struct command_source {
    struct commands *commands;
    unsigned number;
    struct buf output;
};

static int add(const struct source_args *args, unsigned *ret_number, struct carnot_err *err)
{
    const char *const argv[] = {settings.path, NULL};
    const struct command_limits limits = {.timeout_ns = settings.timeout_ns, .output_max = OUTPUT_MAX};

    if (!args->env->commands)
        return carnot_err_set(err, ENODEV, "no commands here");
    return commands_add(args->env->commands, argv, &limits, ret_number, err);
}

static int command_probe(const struct source_args *args, struct carnot_err *err)
{
    unsigned number;

    return add(args, &number, err);
}

static int command_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    struct command_source *self = calloc(1, sizeof(*self));
    int r = self ? add(args, &self->number, err) : -ENOMEM;

    if (r < 0) {
        free(self);
        return r;
    }
    self->commands = args->env->commands;
    buf_init(&self->output, OUTPUT_MAX);
    *ret_self = self;
    return 0;
}

static size_t command_domains(const void *self, const struct domain **ret_domains)
{
    *ret_domains = &the_domain;
    return 1;
}

static int command_read(void *userdata, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct command_source *self = userdata;
    struct command_end end;
    int r;

    buf_reset(&self->output);
    r = commands_run(self->commands, self->number, &self->output, &end, err);
    if (r < 0)
        return r;
    out[0] = (struct reading){.mono_ns = now_mono_ns};
    if (parse_u64(text_trim((struct text){buf_str(&self->output), self->output.len}), &out[0].counter_uj) < 0)
        return carnot_err_set(err, EPROTO, "no number: \"%s\"", end.error);
    return 1;
}

static void *command_close(void *userdata)
{
    struct command_source *self = userdata;

    if (self)
        buf_done(&self->output);
    free(self);
    return NULL;
}

static const struct source_ops source_command = {
    .name = "command",
    .summary = "what a command prints (test)",
    .flags = SOURCE_ON_BY_DEFAULT | SOURCE_SLOW,
    .options = options,
    .n_options = ELEMENTSOF(options),
    .settings = &settings,
    .probe = command_probe,
    .open = command_open,
    .domains = command_domains,
    .read = command_read,
    .close = command_close,
};

const struct source_ops *const source_registry[] = {&source_command};
const size_t source_registry_count = ELEMENTSOF(source_registry);
