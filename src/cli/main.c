/* SPDX-License-Identifier: Apache-2.0 */
/* The program `carnot`: finds the verb and hands over. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/text.h"

const struct cli_verb cli_verbs[] = {
    {.name = "run",
     .usage = "carnot run [OPTIONS] [--] COMMAND [ARGUMENT ...]",
     .summary = "run a command; tell its time, energy and emissions",
     .text =
         "Runs COMMAND with its own stdin, stdout, signals and exit status, and tells on stderr what it used, all its\n"
         "descendants included. Asks the agent where there is one, else measures in this process; without rights too.",
     .run = cmd_run},
    {.name = "top",
     .usage = "carnot top [OPTIONS]",
     .summary = "who uses how much energy now: processes, control groups, users",
     .text =
         "Shows power by process, control group or user, and what of the node belongs to none of them, so that the\n"
         "table adds up. A full screen on a terminal (h there tells the keys), a plain table elsewhere.",
     .run = cmd_top},
    {.name = "trace",
     .usage = "carnot trace [OPTIONS] [[--] COMMAND [ARGUMENT ...]]",
     .summary = "power over time, up to a thousand readings a second; with a command while it runs",
     .text = "Reads the machine's energy counters on a grid of deadlines and writes them down as CSV, JSON or a plot "
             "(SVG).\nWith COMMAND from its start to its end, else until interrupted or for --duration. Says on stderr "
             "how well\nthe deadlines were met. In this process always: an agent does not read so fast.",
     .run = cmd_trace},
    {.name = "aliasing-demo",
     .usage = "carnot aliasing-demo [OPTIONS]",
     .summary = "what a reader that polls a raw counter every 15 s misses, measured or simulated",
     .text = "Compares the energy that Carnot counts with what a poller makes of the same counter: dropping negative\n"
             "differences, or adding one wrap. On this machine's counters under a load that comes in bursts, or on\n"
             "simulated counters (--simulate, or where there are none). Every figure is computed from the readings.",
     .run = cmd_aliasing_demo},
    {.name = "doctor",
     .usage = "carnot doctor [OPTIONS]",
     .summary = "what can be measured here, what is missing, and the command that mends it",
     .text = "Looks at energy sources, rights, control groups, agent and grid zone, then measures for a few seconds.\n"
             "Exit status 0: all that matters is there; 1: something that matters is missing.",
     .run = cmd_doctor},
    {.name = "calibrate",
     .usage = "carnot calibrate [OPTIONS]",
     .summary = "measure what this machine draws idle and with every CPU busy, into a file",
     .text =
         "Waits until the machine is quiet and measures, then keeps every CPU busy and measures again, and writes "
         "both\n"
         "to a file. With it Carnot knows the idle power of each domain instead of guessing it from utilisation, and\n"
         "the power model has the powers of this machine. Takes about 40 seconds; best on an otherwise idle machine.",
     .run = cmd_calibrate},
    {.name = "help",
     .usage = "carnot help [VERB]",
     .summary = "this text, or a verb's",
     .text = "Prints help.",
     .run = cmd_help},
    {.name = "version",
     .usage = "carnot version",
     .summary = "version, features and build",
     .text = "Prints version, features and build.",
     .run = cmd_version},
};
const size_t cli_verbs_count = ELEMENTSOF(cli_verbs);

const struct cli_verb *cli_verb_find(const char *name)
{
    for (size_t i = 0; i < cli_verbs_count; i++)
        if (!strcmp(cli_verbs[i].name, name))
            return &cli_verbs[i];
    return NULL;
}

static int unknown_verb(const char *name)
{
    const char *names[ELEMENTSOF(cli_verbs) + 1] = {NULL};
    const char *nearest;

    for (size_t i = 0; i < cli_verbs_count; i++)
        names[i] = cli_verbs[i].name;
    nearest = text_nearest(name, names);
    fprintf(stderr, "carnot: unknown %s \"%.60s\"; %s%s%s\n", name[0] == '-' ? "option" : "verb", name,
            nearest ? "did you mean \"" : "carnot --help tells what there is", nearest ? nearest : "",
            nearest ? "\"?" : "");
    return carnot_err_exit_status(EINVAL);
}

int main(int argc, char **argv)
{
    const struct cli_verb *verb;

    setlocale(LC_CTYPE, ""); /* which characters the terminal has; numbers always have a '.' */
    if (argc < 2) {
        fputs("carnot: no verb; carnot --help tells what there is\n", stderr);
        return carnot_err_exit_status(EINVAL);
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        verb = cli_verb_find("help");
    else if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        verb = cli_verb_find("version");
    else
        verb = cli_verb_find(argv[1]);
    return verb ? verb->run(verb, argc - 1, argv + 1) : unknown_verb(argv[1]);
}
