/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot help` and `carnot version`. */
#include <errno.h>

#include "cli/cli.h"
#include "sources/activity.h"
#include "sources/source.h"

int cmd_help(const struct cli_verb *verb, int argc, char **argv)
{
    struct buf text;
    int status;

    if (argc > 1) {
        const struct cli_verb *of = cli_verb_find(argv[1]);
        char help_flag[] = "--help", *of_argv[] = {argv[1], help_flag, NULL};

        if (!of) {
            struct carnot_err err = CARNOT_ERR_INIT;
            int r = carnot_err_set(&err, EINVAL, "unknown verb \"%.60s\"; carnot --help tells what there is", argv[1]);

            return cli_fail(verb, r, &err);
        }
        if (of != verb)
            return of->run(of, 2, of_argv);
    }
    buf_init(&text, CLI_OUTPUT_MAX);
    buf_puts(&text, "usage: carnot VERB [OPTIONS]\n\n"
                    "Energy and carbon per command, process, control group and user.\n\n");
    for (size_t i = 0; i < cli_verbs_count; i++)
        buf_printf(&text, "  %-14s %s\n", cli_verbs[i].name, cli_verbs[i].summary);
    buf_puts(&text, "\ncarnot help VERB tells the options of a verb. carnot --version tells version and features.\n"
                    "Exit status: 0 done, 1 a finding (doctor), 64 usage, 66 no such file, 69 not available, 77 no "
                    "permission;\ncarnot run and carnot trace give the command's own.\n");
    status = cli_put_stdout(verb, &text);
    buf_done(&text);
    return status;
}

int cmd_version(const struct cli_verb *verb, int argc, char **argv)
{
    struct buf text;
    int status;

    buf_init(&text, CLI_OUTPUT_MAX);
    buf_puts(&text, "carnot " CARNOT_VERSION "\nenergy sources:");
    for (size_t i = 0; i < source_registry_count; i++)
        buf_printf(&text, " %s", source_registry[i]->name);
    buf_puts(&text, "\nactivity readers:");
    for (size_t i = 0; i < activity_registry_count; i++)
        buf_printf(&text, " %s", activity_registry[i]->name);
    buf_printf(&text, " %s\nbuild: compiler %s, %s\n", activity_tree.name, __VERSION__,
#ifdef NDEBUG
               "assertions off"
#else
               "assertions on"
#endif
    );
    status = cli_put_stdout(verb, &text);
    buf_done(&text);
    return status;
}
