/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot trace`: power over time. Reading threads fill rings (meter/burst), a writer thread turns them into text and
 * waits for slow files, this thread waits for the command, signals and the end of time. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/parse.h"
#include "cli/child.h"
#include "cli/cli.h"
#include "cli/term.h"
#include "cli/trace_out.h"
#include "meter/burst.h"

#define DRAIN_INTERVAL_NS (100 * NS_PER_MS) /* between two looks at the rings; they hold many times as much */
#define FLUSH_BYTES       (64U << 10)

enum { FORMAT_AUTO, FORMAT_CSV, FORMAT_JSON, FORMAT_SVG };
static const char *const format_names[] = {"auto", "csv", "json", "svg", NULL};

struct trace_settings {
    uint64_t rate_hz, duration_ns, max_samples;
    int format;
    const char *output, *span;
    bool model, quiet;
};

#define FIELD(member) offsetof(struct trace_settings, member)

static const struct carnot_option trace_options[] = {
    {.name = "rate",
     .letter = 'r',
     .type = OPTION_U64,
     .offset = FIELD(rate_hz),
     .def = "1000",
     .metavar = "HZ",
     .help = "Readings a second, 1 to 1000."},
    {.name = "duration",
     .letter = 'd',
     .type = OPTION_DURATION,
     .offset = FIELD(duration_ns),
     .def = "0s",
     .metavar = "TIME",
     .max = 7 * 86400 * NS_PER_SEC,
     .help = "Trace for so long at most; the command, if there is one, goes on. 0s: until its end or an interrupt."},
    {.name = "output",
     .letter = 'o',
     .type = OPTION_STRING,
     .offset = FIELD(output),
     .def = "",
     .metavar = "FILE",
     .help = "Where the trace goes, readable for its owner alone; \"-\": stdout. Needed with a command."},
    {.name = "format",
     .letter = 'f',
     .type = OPTION_ENUM,
     .offset = FIELD(format),
     .def = "auto",
     .choices = format_names,
     .help = "auto: by the ending of the file's name, else csv."},
    {.name = "span",
     .type = OPTION_STRING,
     .offset = FIELD(span),
     .def = "auto",
     .metavar = "TIME",
     .help = "Least time over which a power is taken, up to 1s; 0s: from each change of the counter to the next. auto: "
             "four times the shorter of the reading and the counter's own interval, so that the error is below a "
             "quarter."},
    {.name = "max-samples",
     .type = OPTION_U64,
     .offset = FIELD(max_samples),
     .def = "16384",
     .metavar = "N",
     .min = BURST_SAMPLES_MIN,
     .max = BURST_SAMPLES_MAX,
     .help = "Room in memory for samples that are not yet written."},
    {.name = "model",
     .type = OPTION_BOOL,
     .offset = FIELD(model),
     .help = "Where no counter can be read fast, trace a model of power, once a second."},
    {.name = "quiet", .letter = 'q', .type = OPTION_BOOL, .offset = FIELD(quiet), .help = "No summary on stderr."},
};

struct trace {
    const struct cli_verb *verb;
    const struct trace_settings *settings;
    char **command; /* NULL: none */
    struct carnot_env env;
    struct burst *burst;
    struct trace_info info;
    uint64_t *span_ns; /* [n_domains] */
    int fd;

    struct child_signals signals;
    struct child child; /* without a command: one that has ended */
    uint64_t begin_ns;  /* the command's */
    bool cut;

    /* The writer's until it has ended. */
    pthread_t writer;
    bool writing;
    int stop_fd, ended_fd, failed_fd; /* readable from the moment on */
    struct trace_out *out;
    struct buf text;
    int write_error;
    uint64_t rows, first_ns, last_ns;
    uint64_t *before_uj; /* [n_domains] when the command began */
    uint64_t *command_uj;
    struct burst_domain_report *domains;
    struct trace_summary summary;
};

/* --- the writer's side ------------------------------------------------------------------------------------------ */

static void raise_event(int fd)
{
    uint64_t one = 1;
    ssize_t n MAYBE_UNUSED = write(fd, &one, sizeof(one)); /* a counter that is raised once cannot be full */
}

/* After the first failure nothing more is written; rows are still taken, so that the summary is whole. */
static void flush(struct trace *trace)
{
    int r = buf_error(&trace->text);

    if (r >= 0 && trace->write_error == 0)
        r = cli_write(trace->fd, trace->text.data, trace->text.len);
    if (r < 0 && trace->write_error == 0) {
        trace->write_error = r;
        raise_event(trace->failed_fd);
    }
    buf_reset(&trace->text);
}

static void take_row(struct trace *trace, const struct burst_row *row)
{
    if (trace->rows++ == 0)
        trace->first_ns = row->mono_ns;
    trace->last_ns = row->mono_ns;
    for (size_t i = 0; i < trace->info.n_domains && row->mono_ns <= trace->begin_ns; i++)
        if (row->cells[i].read)
            trace->before_uj[i] = row->cells[i].energy_uj;
    trace_out_row(trace->out, row);
    if (trace->text.len >= FLUSH_BYTES)
        flush(trace);
}

static void drain(struct trace *trace)
{
    struct burst_row row;

    while (burst_next(trace->burst, &row))
        take_row(trace, &row);
    flush(trace);
}

static void finish(struct trace *trace)
{
    struct trace_summary *summary = &trace->summary;

    *summary = (struct trace_summary){
        .domains = trace->domains,
        .asked_hz = trace->settings->rate_hz,
        .rows = trace->rows,
        .wall_ns = trace->last_ns - trace->first_ns,
        .has_command = trace->command != NULL,
        .exit_status = child_exit_status(trace->child.status),
        .command_ns = trace->command ? trace->child.ended_ns - trace->begin_ns : 0,
        .command_uj = trace->command_uj,
        .cut = trace->cut,
    };
    burst_report(trace->burst, &summary->burst);
    for (size_t i = 0; i < trace->info.n_domains; i++) {
        trace->domains[i] = burst_domain_report(trace->burst, i);
        trace->command_uj[i] = trace->domains[i].energy_uj - trace->before_uj[i];
    }
    if (trace_out_end(trace->out, summary) == -ENOMEM && trace->write_error == 0)
        trace->write_error = -ENOMEM;
    flush(trace);
}

/* With every signal blocked, so that a closed pipe is an error and nothing else ends the wait. */
static void *write_rows(void *arg)
{
    struct trace *trace = arg;
    struct pollfd stop = {.fd = trace->stop_fd, .events = POLLIN};
    uint64_t raised;

    while (poll(&stop, 1, DRAIN_INTERVAL_NS / NS_PER_MS) == 0)
        drain(trace);
    ssize_t n MAYBE_UNUSED = read(trace->stop_fd, &raised, sizeof(raised));
    drain(trace);
    finish(trace);
    raise_event(trace->ended_fd);
    return NULL;
}

/* --- the main thread's side ------------------------------------------------------------------------------------- */

static int start_writer(struct trace *trace, struct carnot_err *err)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&trace->writer, NULL, write_rows, trace);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r < 0)
        return carnot_err_errno(err, r, "cannot start the thread that writes the trace");
    pthread_setname_np(trace->writer, "writer");
    trace->writing = true;
    return 0;
}

/* Time left until `until_ns`; NULL: any. */
static const struct timespec *time_left(const struct trace *trace, uint64_t until_ns, struct timespec *left)
{
    uint64_t now_ns = clock_now(trace->env.clock).mono_ns;
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;

    if (until_ns == UINT64_MAX)
        return NULL;
    *left = (struct timespec){.tv_sec = (time_t)(left_ns / NS_PER_SEC), .tv_nsec = (long)(left_ns % NS_PER_SEC)};
    return left;
}

static bool is_over(const struct trace *trace, bool failed)
{
    if (trace->command)
        return trace->child.ended;
    return trace->child.stop_signal || failed;
}

/* Until the command ends; without one until a signal, the end of --duration, or a file that takes no more. */
static void wait_for_end(struct trace *trace)
{
    uint64_t now_ns = clock_now(trace->env.clock).mono_ns;
    uint64_t until_ns = trace->settings->duration_ns ? now_ns + trace->settings->duration_ns : UINT64_MAX;
    bool failed = false;

    while (!is_over(trace, failed)) {
        struct pollfd fds[] = {
            {.fd = trace->signals.fd, .events = POLLIN},
            {.fd = failed ? -1 : trace->failed_fd, .events = POLLIN},
        };
        struct timespec left;
        int n = ppoll(fds, ELEMENTSOF(fds), time_left(trace, until_ns, &left), NULL);

        if (n > 0 && fds[0].revents)
            child_on_signal(&trace->child, &trace->signals, trace->env.clock);
        if (n > 0 && fds[1].revents)
            failed = true;
        if (n == 0 && !trace->command)
            return;
        if (n == 0) { /* the command goes on untraced */
            burst_stop(trace->burst);
            trace->cut = true;
            until_ns = UINT64_MAX;
        }
    }
}

/* The writer may be stuck at a pipe that nobody reads: a signal that asks us to end is obeyed then. */
static void await_writer(struct trace *trace)
{
    struct pollfd fds[] = {{.fd = trace->ended_fd, .events = POLLIN}, {.fd = trace->signals.fd, .events = POLLIN}};

    trace->child.stop_signal = 0;
    raise_event(trace->stop_fd);
    while (fds[0].revents == 0) {
        if (poll(fds, ELEMENTSOF(fds), -1) < 0)
            continue; /* EINTR */
        if (fds[1].revents)
            child_on_signal(&trace->child, &trace->signals, trace->env.clock);
        if (trace->child.stop_signal && fds[0].revents == 0) {
            fputs("carnot trace: interrupted while the trace was being written; it is not complete\n", stderr);
            _exit(128 + trace->child.stop_signal);
        }
    }
    pthread_join(trace->writer, NULL);
    trace->writing = false;
}

static void tell_summary(struct trace *trace)
{
    struct buf text;

    buf_init(&text, CLI_OUTPUT_MAX);
    if (trace_report_text(&trace->info, &trace->summary,
                          (struct text_style){.utf8 = term_utf8(), .bold = term_styled(STDERR_FILENO)}, &text) >= 0)
        cli_write(STDERR_FILENO, text.data, text.len);
    buf_done(&text);
}

/* The command's status; a trace that could not be written is a failure where that is 0. A closed pipe is no error. */
static int conclude(struct trace *trace)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    int status = trace->command ? child_exit_status(trace->child.status) : 0;

    if (!trace->settings->quiet)
        tell_summary(trace);
    if (trace->write_error == 0 || trace->write_error == -EPIPE)
        return status;
    carnot_err_errno(&err, trace->write_error, "the trace is not complete: cannot write %s",
                     trace->fd == STDOUT_FILENO ? "to stdout" : trace->settings->output);
    int failed = cli_fail(trace->verb, -EIO, &err);
    return status ? status : failed;
}

static int run_trace(struct trace *trace)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    int r = burst_start(trace->burst, &err);

    if (r < 0)
        return cli_fail(trace->verb, r, &err);
    trace->begin_ns = clock_now(trace->env.clock).mono_ns;
    trace->child.ended = true;
    if (trace->command) {
        r = child_start(trace->command, &trace->signals, &trace->child, &err);
        if (r < 0) {
            cli_fail(trace->verb, r, &err);
            return child_start_status(r);
        }
    }
    r = start_writer(trace, &err);
    if (r < 0)
        cli_fail(trace->verb, r, &err); /* the command is not to suffer */
    wait_for_end(trace);
    burst_stop(trace->burst);
    if (!trace->writing)
        return trace->command ? child_exit_status(trace->child.status) : carnot_err_exit_status(r);
    await_writer(trace);
    return conclude(trace);
}

static int prepare_output(struct trace *trace, struct carnot_err *err)
{
    const struct trace_settings *settings = trace->settings;
    bool to_stdout = strcmp(settings->output, "-") == 0 || (!settings->output[0] && !trace->command);

    if (!settings->output[0] && trace->command)
        return carnot_err_set(err, EINVAL,
                              "stdout belongs to the command: write --output FILE (or --output - for stdout all the "
                              "same)");
    trace->fd = STDOUT_FILENO;
    /* Power at this rate tells secrets of whoever ran: not for everybody's eyes. */
    return to_stdout ? 0 : cli_open_output("--output", settings->output, 0600, &trace->fd, err);
}

static enum trace_format choose_format(const struct trace_settings *settings)
{
    struct text name = text_of(settings->output);

    if (settings->format == FORMAT_JSON || (settings->format == FORMAT_AUTO && text_ends(name, ".json")))
        return TRACE_JSON;
    if (settings->format == FORMAT_SVG || (settings->format == FORMAT_AUTO && text_ends(name, ".svg")))
        return TRACE_SVG;
    return TRACE_CSV;
}

static int prepare(struct trace *trace, struct carnot_err *err)
{
    struct carnot_now now = clock_now(trace->env.clock);
    size_t n = burst_domains(trace->burst, &trace->info.domains);

    trace->info.n_domains = n;
    trace->info.format = choose_format(trace->settings);
    trace->info.rate_hz = burst_rate_hz(trace->burst);
    trace->info.real_offset_ns = now.real_ns - now.mono_ns;
    trace->info.expected_ns = trace->settings->duration_ns;
    trace->info.command = trace->command;
    trace->span_ns = calloc(n, sizeof(*trace->span_ns));
    trace->before_uj = calloc(n, sizeof(*trace->before_uj));
    trace->command_uj = calloc(n, sizeof(*trace->command_uj));
    trace->domains = calloc(n, sizeof(*trace->domains));
    if (!trace->span_ns || !trace->before_uj || !trace->command_uj || !trace->domains)
        return carnot_err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        trace->span_ns[i] = burst_span_ns(trace->burst, i);
    trace->info.span_ns = trace->span_ns;
    trace->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    trace->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    trace->failed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (trace->stop_fd < 0 || trace->ended_fd < 0 || trace->failed_fd < 0)
        return carnot_err_errno(err, errno, "cannot make an event descriptor");
    if (trace_out_new(&trace->info, &trace->text, &trace->out) < 0)
        return carnot_err_set(err, ENOMEM, "out of memory");
    return child_signals_open(&trace->signals, err);
}

static int parse_span(const char *text, uint64_t *ret_ns, struct carnot_err *err)
{
    uint64_t ns = BURST_SPAN_AUTO;

    if (strcmp(text, "auto") != 0 && (parse_duration_ns(text_of(text), &ns) < 0 || ns > BURST_SPAN_MAX))
        return carnot_err_set(err, EINVAL, "--span is auto or a time up to 1s such as 20ms, not \"%.40s\"", text);
    *ret_ns = ns;
    return 0;
}

static int open_trace(struct trace *trace, const struct cli_settings *common, struct carnot_err *err)
{
    struct burst_settings settings = {
        .rate_hz = trace->settings->rate_hz,
        .max_samples = trace->settings->max_samples,
        .model = trace->settings->model,
        .only = &common->meter.only_sources,
        .off = &common->meter.no_sources,
    };
    int r = parse_span(trace->settings->span, &settings.span_ns, err);

    if (r < 0)
        return r;
    if (common->agent == AGENT_REQUIRED)
        return carnot_err_set(err, EINVAL,
                              "an agent tells no readings as fast as this: carnot trace reads the counters itself, so "
                              "leave --agent=required out");
    r = cli_env_open(common, &trace->env, err);
    if (r < 0)
        return r;
    r = burst_open(&trace->env, &settings, &trace->burst, err);
    if (r >= 0)
        r = prepare_output(trace, err);
    return r < 0 ? r : prepare(trace, err);
}

static void close_trace(struct trace *trace)
{
    if (trace->signals.fd >= 0)
        child_signals_close(&trace->signals);
    trace->burst = burst_close(trace->burst);
    trace_out_free(trace->out);
    buf_done(&trace->text);
    if (trace->env.clock)
        carnot_env_close(&trace->env);
    cleanup_closep(&trace->stop_fd);
    cleanup_closep(&trace->ended_fd);
    cleanup_closep(&trace->failed_fd);
    if (trace->fd > STDERR_FILENO)
        close(trace->fd);
    free(trace->span_ns);
    free(trace->before_uj);
    free(trace->command_uj);
    free(trace->domains);
}

int cmd_trace(const struct cli_verb *verb, int argc, char **argv)
{
    struct trace_settings settings = {0};
    struct cli_settings common = {0};
    struct cli_options options;
    struct carnot_err err = CARNOT_ERR_INIT;
    int status, operand = cli_options_parse(&options, verb, trace_options, ELEMENTSOF(trace_options), &settings,
                                            &common, argc, argv, true, &err);

    if (operand >= 0 && common.help) {
        status = cli_print_help(verb, &options);
        cli_options_done(&options);
        return status;
    }
    struct trace trace = {.verb = verb,
                          .settings = &settings,
                          .command = operand >= 0 && operand < argc ? argv + operand : NULL,
                          .fd = -1,
                          .stop_fd = -1,
                          .ended_fd = -1,
                          .failed_fd = -1,
                          .signals = {.fd = -1}};
    buf_init(&trace.text, CLI_OUTPUT_MAX);
    int r = operand < 0 ? operand : open_trace(&trace, &common, &err);
    status = r < 0 ? cli_fail(verb, r, &err) : run_trace(&trace);
    close_trace(&trace);
    cli_options_done(&options);
    return status;
}
