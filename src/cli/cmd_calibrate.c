/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot calibrate`: what this machine draws when idle and with every CPU busy, into a file that the meter and other
 * programs read. The file appears at the end, whole, or not at all. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/commands.h"
#include "base/file_replace.h"
#include "cli/calibrate.h"
#include "cli/calibrate_report.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/term.h"
#include "meter/calibration_file.h"
#include "meter/energy.h"

#define FILE_MODE    0644 /* not secret: everybody's carnot may use it */
#define TEXT_MAX     (1U << 20)
#define PROGRESS_MAX 4096

struct calibrate_options {
    struct calibrate_settings measure;
    double base_period_s;
    int format;
    const char *output;
    bool json, quiet;
};

#define FIELD(member) offsetof(struct calibrate_options, member)

static const struct carnot_option calibrate_options[] = {
    {.name = "output",
     .letter = 'o',
     .type = OPTION_STRING,
     .offset = FIELD(output),
     .def = "",
     .metavar = "FILE",
     .help = "Where to write. Without it /" CALIBRATION_DEFAULT_FILE " for root, ./calibration.json for others; of the "
             "forms of other programs ./baseline_power.json (energat), ./power.json (bio_pype)."},
    {.name = "format",
     .type = OPTION_ENUM,
     .offset = FIELD(format),
     .def = "carnot",
     .choices = calibration_format_names,
     .help = "carnot: all of it; energat: EnergAt's baseline; bio_pype: idle and loaded watts of the node. Carnot "
             "reads all three."},
    {.name = "idle-time",
     .type = OPTION_DURATION,
     .offset = FIELD(measure.idle_ns),
     .def = "10s",
     .metavar = "TIME",
     .min = 2 * NS_PER_SEC,
     .max = 600 * NS_PER_SEC,
     .help = "How long the machine must be quiet in a row; this time is measured."},
    {.name = "base_period",
     .type = OPTION_F64,
     .offset = FIELD(base_period_s),
     .def = "0",
     .metavar = "SECONDS",
     .fmin = 0,
     .fmax = 600,
     .help = "The same in seconds, as EnergAt calls it."},
    {.name = "load-time",
     .type = OPTION_DURATION,
     .offset = FIELD(measure.load_ns),
     .def = "20s",
     .metavar = "TIME",
     .min = NS_PER_SEC,
     .max = 600 * NS_PER_SEC,
     .help = "How long to measure with every CPU busy."},
    {.name = "drop-time",
     .type = OPTION_DURATION,
     .offset = FIELD(measure.drop_ns),
     .def = "3s",
     .metavar = "TIME",
     .min = NS_PER_SEC,
     .max = 60 * NS_PER_SEC,
     .help = "The start of each of the two that is not counted: clocks and fans find their place."},
    {.name = "wait-time",
     .type = OPTION_DURATION,
     .offset = FIELD(measure.wait_ns),
     .def = "2m",
     .metavar = "TIME",
     .max = 3600 * NS_PER_SEC,
     .help = "How much longer to wait for a quiet machine."},
    {.name = "busy-limit",
     .type = OPTION_F64,
     .offset = FIELD(measure.busy_limit_percent),
     .def = "5",
     .metavar = "PERCENT",
     .fmin = 0,
     .fmax = 100,
     .help = "A machine whose CPUs are busier is not idle."},
    {.name = "json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "Tell one JSON object instead of text."},
    {.name = "quiet", .letter = 'q', .type = OPTION_BOOL, .offset = FIELD(quiet), .help = "No progress on stderr."},
};

/* ---- progress ---- */

struct teller {
    bool quiet, tty, utf8;
    unsigned width;
    int state; /* what the last plain line told; -1: nothing yet */
    bool open; /* there is a bar on the terminal's line */
};

static const char *const phase_names[] = {[CALIBRATE_IDLE] = "idle", [CALIBRATE_LOAD] = "load"};

static void put_tail(const struct calibrate_progress *p, struct buf *out)
{
    if (p->dropping) {
        buf_puts(out, "not counted");
        return;
    }
    if (p->power_uw)
        human_power(out, (double)p->power_uw);
    if (p->busy_ppm != CALIBRATION_BUSY_UNKNOWN) {
        buf_puts(out, p->power_uw ? ", CPUs " : "CPUs ");
        buf_put_fixed(out, p->busy_ppm / 1000, 1);
        buf_puts(out, " % busy");
    }
    if (p->waiting)
        buf_puts(out, ", waiting for a quiet machine");
}

static void draw_bar(struct teller *teller, const struct calibrate_progress *p, const char *tail)
{
    struct buf line;

    buf_init(&line, PROGRESS_MAX);
    buf_putc(&line, '\r');
    progress_line(&line, phase_names[p->phase], p->done_ns, p->total_ns, tail, teller->width ? teller->width - 1 : 0,
                  teller->utf8);
    buf_puts(&line, "\033[K");
    (void)cli_write(STDERR_FILENO, line.data, line.len);
    buf_done(&line);
    teller->open = true;
}

/* A line for each step, for logs. */
static void tell_plainly(struct teller *teller, const struct calibrate_progress *p, const char *tail)
{
    int state = (int)p->phase * 3 + (p->dropping ? 0 : p->waiting ? 2 : 1);
    unsigned seconds = (unsigned)(p->total_ns / NS_PER_SEC);

    if (state == teller->state)
        return;
    teller->state = state;
    if (p->dropping)
        fprintf(stderr, "carnot calibrate: %s: the first %u s are not counted\n", phase_names[p->phase], seconds);
    else if (p->waiting)
        fprintf(stderr, "carnot calibrate: %s: %s\n", phase_names[p->phase], tail);
    else
        fprintf(stderr, "carnot calibrate: %s: measuring for %u s\n", phase_names[p->phase], seconds);
}

static void tell(const struct calibrate_progress *p, void *userdata)
{
    struct teller *teller = userdata;
    struct buf tail;

    if (teller->quiet)
        return;
    buf_init(&tail, PROGRESS_MAX);
    put_tail(p, &tail);
    if (teller->tty)
        draw_bar(teller, p, buf_str(&tail));
    else
        tell_plainly(teller, p, buf_str(&tail));
    buf_done(&tail);
}

static void end_telling(struct teller *teller)
{
    if (teller->open)
        fputs("\r\033[K", stderr);
    teller->open = false;
}

/* ---- where to ---- */

/* /var/lib/carnot below the machine's root; everybody may look into it. */
static int make_default_dir(const struct carnot_env *env, struct carnot_err *err)
{
    static const char *const dirs[] = {"var", "var/lib", CALIBRATION_DEFAULT_DIR};

    for (size_t i = 0; i < ELEMENTSOF(dirs); i++) {
        if (mkdirat(env->root.fd, dirs[i], 0755) == 0 ? fchmodat(env->root.fd, dirs[i], 0755, 0) < 0 /* umask */
                                                      : errno != EEXIST)
            return carnot_err_errno(err, errno, "cannot make %s/%s; name a file with --output", env->root.path,
                                    dirs[i]);
    }
    return 0;
}

/* *ret_path is the caller's to free. */
static int choose_path(const struct carnot_env *env, const struct calibrate_options *options, char **ret_path,
                       struct carnot_err *err)
{
    static const char *const names[] = {[CALIBRATION_CARNOT] = "calibration.json",
                                        [CALIBRATION_ENERGAT] = "baseline_power.json",
                                        [CALIBRATION_BIO_PYPE] = "power.json"};
    _cleanup_free_ char *path = NULL;
    bool machine = !options->output[0] && options->format == CALIBRATION_CARNOT && geteuid() == 0;
    int r = machine ? make_default_dir(env, err) : 0;

    if (r < 0)
        return r;
    if (machine)
        path = calibration_default_path(env);
    else
        path = strdup(options->output[0] ? options->output : names[options->format]);
    if (!path)
        return carnot_err_set(err, ENOMEM, "out of memory");
    r = file_replace_check(path, err);
    if (r >= 0)
        *ret_path = TAKE_PTR(path);
    return r;
}

static const char *hint_of(const struct calibrate_options *options, const struct calibration *calibration)
{
    if (options->format != CALIBRATION_CARNOT || calibration->quality > QUALITY_DERIVED)
        return "";
    if (options->output[0] || geteuid() != 0)
        return "Carnot uses it with --calibration.file, or from /" CALIBRATION_DEFAULT_FILE ".";
    return "Carnot uses it from its next start on.";
}

/* ---- the verb ---- */

struct job {
    const struct cli_verb *verb;
    const struct calibrate_options *options;
    const struct cli_settings *common;
    struct carnot_env env;
    struct topology topology;
    struct energy energy;
    bool has_topology;
    char *path;
    int signal; /* that ended it */
    struct calibrate_result result;
};

/* Counters that are there and may not be read are another matter than none. */
static int refuse(const struct energy *energy, struct carnot_err *err)
{
    for (size_t i = 0; i < energy->n_sources; i++) {
        const struct energy_source *source = &energy->sources[i];

        if (source->state == -EACCES || source->state == -EPERM)
            return carnot_err_set(err, source->state, "there is something to measure with, but not for this user: %s",
                                  source->message);
    }
    return carnot_err_set(err, ENODEV,
                          "no counter here measures the processor, its power is modelled, and a calibration made from "
                          "a model would only say what the model says; on bare metal see carnot doctor. "
                          "--format bio_pype writes the model's figures, marked as such");
}

/* What is ignored stays so (nohup, a shell's background jobs). */
static void block_signals(void)
{
    static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action;
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTSOF(taken); i++)
        if (sigaction(taken[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&set, taken[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static int measure(struct job *job, struct calibrator *calibrator, struct carnot_err *err)
{
    struct teller teller = {.quiet = job->options->quiet,
                            .tty = term_is_tty(STDERR_FILENO),
                            .utf8 = term_utf8(),
                            .width = term_width(STDERR_FILENO),
                            .state = -1};
    int r = choose_path(&job->env, job->options, &job->path, err);

    if (r < 0)
        return r;
    r = calibrator_run(calibrator, tell, &teller, &job->result, err);
    end_telling(&teller);
    job->signal = calibrator_signal(calibrator);
    return r;
}

static int get_figures(struct job *job, struct carnot_err *err)
{
    struct calibrate_settings settings = job->options->measure;
    struct calibrator *calibrator = NULL;

    if (job->options->base_period_s > 0)
        settings.idle_ns = max_u64(2 * NS_PER_SEC, (uint64_t)(job->options->base_period_s * 1e9));
    int r = calibrator_new(&job->env, &job->topology, &job->energy, &settings, &calibrator, err);
    if (r == -ENODEV && job->options->format != CALIBRATION_BIO_PYPE)
        return refuse(&job->energy, err);
    if (r == -ENODEV) {
        r = choose_path(&job->env, job->options, &job->path, err);
        if (r >= 0)
            r = calibrate_modelled(&job->env, &job->topology, &job->energy, &job->result.calibration, err);
        return r;
    }
    if (r >= 0)
        r = measure(job, calibrator, err);
    calibrator_free(calibrator);
    return r;
}

static int write_file(const struct job *job, struct carnot_err *err)
{
    struct buf text;

    buf_init(&text, TEXT_MAX);
    int r = calibration_write(&job->result.calibration, (enum calibration_format)job->options->format, &text, err);
    if (r >= 0)
        r = file_replace(job->path, FILE_MODE, text.data, text.len, err);
    buf_done(&text);
    return r;
}

static int report(const struct job *job)
{
    const struct calibrate_report report = {
        .result = &job->result,
        .path = job->path,
        .format = calibration_format_names[job->options->format],
        .hint = hint_of(job->options, &job->result.calibration),
    };
    struct buf text;

    buf_init(&text, TEXT_MAX);
    if (job->options->json)
        calibrate_report_json(&report, &text);
    else
        calibrate_report_text(&report, (struct text_style){.utf8 = term_utf8()}, &text);
    int status = cli_put_stdout(job->verb, &text);
    buf_done(&text);
    return status;
}

static int prepare(struct job *job, struct carnot_err *err)
{
    const struct meter_settings *meter = &job->common->meter;
    int r = cli_env_open(job->common, &job->env, err);

    if (r >= 0)
        r = topology_read(&job->env, &job->topology, err);
    if (r < 0)
        return r;
    job->has_topology = true;
    r = energy_open(&job->env, &job->topology, &meter->only_sources, &meter->no_sources, &job->energy, err);
    if (r >= 0)
        r = commands_start_helper(job->env.commands, err);
    if (r >= 0)
        energy_start(&job->energy);
    return r;
}

static int calibrate(const struct cli_verb *verb, const struct calibrate_options *options,
                     const struct cli_settings *common)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct job *job = calloc(1, sizeof(*job));
    int status;

    if (!job) {
        carnot_err_set(&err, ENOMEM, "out of memory");
        return cli_fail(verb, -ENOMEM, &err);
    }
    *job = (struct job){.verb = verb,
                        .options = options,
                        .common = common,
                        .env = {.proc.fd = -1, .sys.fd = -1, .cgroup.fd = -1, .root.fd = -1}};
    block_signals();
    int r = prepare(job, &err);
    if (r >= 0)
        r = get_figures(job, &err);
    if (r >= 0)
        r = write_file(job, &err);
    status = r < 0 ? cli_fail(verb, r, &err) : report(job);
    if (job->signal)
        status = 128 + job->signal;   /* as shells say it */
    commands_stop(job->env.commands); /* a source that waits for one ends with it */
    energy_close(&job->energy);
    if (job->has_topology)
        topology_done(&job->topology);
    cli_env_close(&job->env);
    free(job->path);
    free(job);
    return status;
}

int cmd_calibrate(const struct cli_verb *verb, int argc, char **argv)
{
    struct calibrate_options settings = {0};
    struct cli_settings common = {0};
    struct cli_options options;
    struct carnot_err err = CARNOT_ERR_INIT;
    int status, r = cli_options_parse(&options, verb, calibrate_options, ELEMENTSOF(calibrate_options), &settings,
                                      &common, argc, argv, false, &err);

    if (r >= 0 && settings.base_period_s > 0 && settings.measure.idle_ns != CALIBRATE_IDLE_ADVISED_NS)
        r = carnot_err_set(&err, EINVAL, "--idle-time and --base_period: one of them, please");
    if (r < 0)
        status = cli_fail(verb, r, &err);
    else if (common.help)
        status = cli_print_help(verb, &options);
    else
        status = calibrate(verb, &settings, &common);
    cli_options_done(&options);
    return status;
}
