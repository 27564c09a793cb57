/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot run`: one command, its time and its energy. The command's stdin, stdout and exit status are its own; what is
 * told goes to stderr or a file, after it. Nothing that fails here keeps the command from running. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>

#include "cli/child.h"
#include "cli/origin.h"
#include "cli/run_report.h"
#include "cli/term.h"
#include "model/quantity.h"

#define REPEATS_MAX 10000 /* a day of commands of ten seconds */

struct run_settings {
    uint64_t repeats;
    bool json, csv, quiet;
    const char *output, *label;
};

#define FIELD(member) offsetof(struct run_settings, member)

static const struct carnot_option run_options[] = {
    {.name = "repeat",
     .letter = 'r',
     .type = OPTION_U64,
     .offset = FIELD(repeats),
     .def = "1",
     .metavar = "N",
     .min = 1,
     .max = REPEATS_MAX,
     .help = "Run the command N times; tell mean and standard deviation."},
    {.name = "json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "Tell one JSON object instead of text."},
    {.name = "csv", .type = OPTION_BOOL, .offset = FIELD(csv), .help = "Tell CSV: a header, then a row per run."},
    {.name = "output",
     .letter = 'o',
     .type = OPTION_STRING,
     .offset = FIELD(output),
     .def = "",
     .metavar = "FILE",
     .help = "Write the report to FILE instead of stderr."},
    {.name = "label",
     .type = OPTION_STRING,
     .offset = FIELD(label),
     .def = "",
     .metavar = "TEXT",
     .help = "A name for this run, in the report and at the agent."},
    {.name = "quiet",
     .letter = 'q',
     .type = OPTION_BOOL,
     .offset = FIELD(quiet),
     .help = "Write nothing to stderr; with --output the file is still written."},
};

struct run {
    const struct cli_verb *verb;
    const struct run_settings *settings;
    char **command;
    struct origin origin;
    bool measuring;        /* the origin is open and has not failed */
    struct carnot_err why; /* when not */
    struct child_signals signals;
    struct run_figures *figures; /* [settings->repeats] */
    size_t n_done;
    bool stopped;
    uint64_t left_running;
    struct view *view;   /* of the newest run with energy */
    uint64_t *domain_uj; /* [view->n_domains] */
};

/* Energy is over for this and the following runs; the command is not. */
static void give_up(struct run *run, struct carnot_err *err)
{
    run->measuring = false;
    run->why = *err;
    origin_session_drop(&run->origin);
}

static uint64_t timeval_ns(struct timeval t)
{
    return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_usec * NS_PER_US;
}

static void wait_for(struct run *run, struct child *child)
{
    while (!child->ended) {
        struct pollfd fds[] = {
            {.fd = run->signals.fd, .events = POLLIN},
            {.fd = run->measuring ? origin_timer_fd(&run->origin) : -1, .events = POLLIN},
        };
        struct carnot_err err = CARNOT_ERR_INIT;

        if (poll(fds, ELEMENTSOF(fds), -1) < 0)
            continue; /* EINTR; anything else would be a bug in the two lines above */
        if (fds[0].revents)
            child_on_signal(child, &run->signals, run->origin.env.clock);
        if (fds[1].revents && origin_on_timer(&run->origin, &err) < 0)
            give_up(run, &err);
    }
}

/* The node's counters now, for the line "machine". Nothing in the view "own". */
static struct view *node_view(struct run *run)
{
    struct view *view = NULL;

    if (!run->measuring || origin_view(&run->origin, 1U << UNIT_SESSION, 1, &view, NULL) < 0)
        return NULL;
    return view->has_energy ? view : view_free(view);
}

static void take_machine(struct run_figures *figures, const struct view *before, const struct view *after)
{
    if (!before || !after || strcmp(before->epoch, after->epoch) != 0 ||
        after->total_energy_uj < before->total_energy_uj || after->end_mono_ns <= before->end_mono_ns)
        return;
    figures->has_machine = true;
    figures->machine_uj = after->total_energy_uj - before->total_energy_uj;
    figures->machine_ns = after->end_mono_ns - before->end_mono_ns;
}

/* Keeps the newest view for its words; adds the domains up. */
static void take_session(struct run *run, struct run_figures *figures, struct view *view)
{
    const struct view_unit *unit = view->n_units > 0 ? &view->units[0] : NULL;

    if (run->view && run->view->n_domains != view->n_domains) { /* another agent, between two runs */
        view_free(view);
        return;
    }
    if (!run->domain_uj)
        run->domain_uj = calloc(view->n_domains ? view->n_domains : 1, sizeof(*run->domain_uj));
    if (!run->domain_uj) {
        view_free(view);
        return;
    }
    figures->has_energy = true;
    if (unit) {
        figures->energy_uj = unit->total_energy_uj;
        /* The run itself is a window too: one shorter than the meter's would else peak below its mean. */
        figures->peak_uw = max_u64(view->session_peak_uw, power_uw(figures->energy_uj, figures->wall_ns));
        figures->session_cpu_ns = unit->cpu_ns;
        for (size_t d = 0; d < view->n_domains; d++)
            run->domain_uj[d] = saturating_add(run->domain_uj[d], unit->energy_uj[d]);
    }
    view_free(run->view);
    run->view = view;
}

static void begin_measuring(struct run *run, struct view **ret_before)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    const char *label = run->settings->label[0] ? run->settings->label : run->command[0];

    if (!run->measuring)
        return;
    /* Closes the window before, so that the command's first one holds nothing older. */
    if (origin_tick(&run->origin, &err) < 0 || origin_session_begin(&run->origin, label, &err) < 0) {
        give_up(run, &err);
        return;
    }
    *ret_before = node_view(run);
}

static void end_measuring(struct run *run, struct run_figures *figures, const struct view *before)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct view *view = NULL;

    if (!run->measuring)
        return;
    if (origin_session_end(&run->origin, &view, &err) < 0) {
        give_up(run, &err);
        return;
    }
    _cleanup_view_ struct view *after = node_view(run);
    take_machine(figures, before, after);
    take_session(run, figures, view);
}

/* Runs the command once. 0, or -errno when it could not be executed. */
static int run_once(struct run *run, struct carnot_err *err)
{
    struct run_figures *figures = &run->figures[run->n_done];
    _cleanup_view_ struct view *before = NULL;
    struct rusage used_before, used_after;
    struct child child = {0};
    uint64_t start_ns;
    int r;

    begin_measuring(run, &before);
    getrusage(RUSAGE_CHILDREN, &used_before);
    start_ns = clock_now(run->origin.env.clock).mono_ns;
    r = child_start(run->command, &run->signals, &child, err);
    if (r < 0)
        return r;
    wait_for(run, &child);
    getrusage(RUSAGE_CHILDREN, &used_after);
    figures->wall_ns = child.ended_ns - start_ns;
    figures->user_ns = timeval_ns(used_after.ru_utime) - timeval_ns(used_before.ru_utime);
    figures->system_ns = timeval_ns(used_after.ru_stime) - timeval_ns(used_before.ru_stime);
    figures->exit_status = child_exit_status(child.status);
    figures->signal = WIFSIGNALED(child.status) ? WTERMSIG(child.status) : 0;
    run->left_running = child_count_left(&run->origin.env);
    end_measuring(run, figures, before);
    run->n_done++;
    run->stopped = child.stop_signal || figures->signal == SIGINT || figures->signal == SIGQUIT;
    return 0;
}

static int write_report(struct run *run, int fd)
{
    struct run_report report = {
        .command = run->command,
        .label = run->settings->label,
        .runs = run->figures,
        .n_runs = run->n_done,
        .domain_uj = run->domain_uj,
        .view = run->view,
        .way = origin_way(&run->origin),
        .why_no_energy = run->why.msg[0] ? run->why.msg : NULL,
        .left_running = run->left_running,
        .interrupted = run->stopped && run->n_done < run->settings->repeats,
    };
    struct buf text;
    int r;

    buf_init(&text, CLI_OUTPUT_MAX);
    if (run->settings->json)
        r = run_report_json(&report, &text);
    else if (run->settings->csv)
        r = run_report_csv(&report, &text);
    else
        r = run_report_text(&report, (struct text_style){.utf8 = term_utf8(), .bold = term_styled(fd)}, &text);
    if (r >= 0)
        r = cli_write(fd, text.data, text.len);
    buf_done(&text);
    return r;
}

/* Where the report goes: -1 nowhere. */
static int open_output(const struct run_settings *settings, int *ret_fd, struct carnot_err *err)
{
    if (settings->output[0])
        return cli_open_output("--output", settings->output, 0666, ret_fd, err);
    *ret_fd = settings->quiet ? -1 : STDERR_FILENO;
    return 0;
}

/* The first status that is not 0, else 0. */
static int overall_status(const struct run *run)
{
    for (size_t i = 0; i < run->n_done; i++)
        if (run->figures[i].exit_status != 0)
            return run->figures[i].exit_status;
    return 0;
}

static int run_all(struct run *run, struct carnot_err *err)
{
    int r = child_signals_open(&run->signals, err);

    if (r < 0)
        return carnot_err_exit_status(r);
    while (r >= 0 && run->n_done < run->settings->repeats && !run->stopped)
        r = run_once(run, err);
    child_signals_close(&run->signals);
    if (r < 0)
        return child_start_status(r);
    return overall_status(run);
}

static int measure(struct run *run, const struct cli_settings *common, int fd)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    int r, status;

    run->figures = calloc(run->settings->repeats, sizeof(*run->figures));
    if (!run->figures) {
        carnot_err_set(&err, ENOMEM, "out of memory for %llu runs", (unsigned long long)run->settings->repeats);
        return cli_fail(run->verb, -ENOMEM, &err);
    }
    r = origin_open(&run->origin, common, ORIGIN_COMMAND, &run->why);
    run->measuring = r >= 0;
    /* What was asked for by an option and cannot be had is an error; what is just not there is a sentence. */
    if (r < 0 && (r == -EINVAL || common->agent == AGENT_REQUIRED || !run->origin.env_open))
        return cli_fail(run->verb, r, &run->why);

    status = run_all(run, &err);
    if (err.msg[0])
        fprintf(stderr, "carnot run: %s\n", err.msg);
    if (run->n_done == 0 || fd < 0)
        return status;
    r = write_report(run, fd);
    if (r < 0 && !run->settings->quiet)
        fprintf(stderr, "carnot run: cannot write the report: %s\n", strerror(-r));
    return status;
}

int cmd_run(const struct cli_verb *verb, int argc, char **argv)
{
    struct run_settings settings = {0};
    struct cli_settings common = {0};
    struct cli_options options;
    struct carnot_err err = CARNOT_ERR_INIT;
    struct run run = {.verb = verb, .settings = &settings};
    int fd = -1, status, operand;

    operand = cli_options_parse(&options, verb, run_options, ELEMENTSOF(run_options), &settings, &common, argc, argv,
                                true, &err);
    if (operand >= 0 && common.help) {
        status = cli_print_help(verb, &options);
        goto out;
    }
    if (operand >= 0 && operand == argc)
        operand = carnot_err_set(&err, EINVAL, "no command; write: carnot run -- COMMAND [ARGUMENT ...]");
    if (operand >= 0 && settings.json && settings.csv)
        operand = carnot_err_set(&err, EINVAL, "--json and --csv: one of them, please");
    if (operand >= 0) {
        int r = open_output(&settings, &fd, &err);
        if (r < 0)
            operand = r;
    }
    if (operand < 0) {
        status = cli_fail(verb, operand, &err);
        goto out;
    }
    run.command = argv + operand;
    status = measure(&run, &common, fd);
    origin_close(&run.origin);
    view_free(run.view);
    free(run.figures);
    free(run.domain_uj);
    if (fd > STDERR_FILENO)
        close(fd);
out:
    cli_options_done(&options);
    return status;
}
