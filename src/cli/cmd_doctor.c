/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot doctor`: what was found, what is missing, what mends it, and what measuring costs here. Exit status 0 when
 * nothing that matters is missing, 1 otherwise. */
#include <errno.h>
#include <stdio.h>

#include "base/json_out.h"
#include "cli/doctor_checks.h"
#include "cli/origin.h"
#include "cli/term.h"
#include "cli/text.h"

#define EXIT_FINDING 1

/* A meter uses at most this much of a CPU (DESIGN: 0.5 %); short measurings are noisy, hence four times that. */
#define SELF_CPU_PPM_MAX 20000

#define WRAP_WIDTH_DEFAULT 100
#define TEXT_COLUMN        31 /* two blanks, state, subject */

struct doctor_settings {
    bool json;
    uint64_t duration_ns;
};

#define FIELD(member) offsetof(struct doctor_settings, member)

static const struct carnot_option doctor_options[] = {
    {.name = "json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "One JSON object instead of text."},
    {.name = "duration",
     .type = OPTION_DURATION,
     .offset = FIELD(duration_ns),
     .def = "3s",
     .metavar = "TIME",
     .max = 600 * NS_PER_SEC,
     .help = "How long to measure, 0s: only look."},
};

/* What a few seconds of measuring gave. */
struct self_test {
    bool done;
    uint64_t wall_ns, cpu_ns, rss_bytes;
    uint64_t node_uj, node_ns;
    uint64_t conservation_error_uj, windows, units;
    int64_t crosscheck_ppm; /* INT64_MIN: not known */
    char activity[32], tier[16];
    struct buf describe;
};

static uint64_t self_cpu_ns(const struct self_test *test)
{
    return test->wall_ns ? (uint64_t)((unsigned __int128)test->cpu_ns * 1000000 / test->wall_ns) : 0;
}

static void take_batch(struct self_test *test, const struct batch *first, const struct batch *last)
{
    test->node_uj = batch_total_energy_uj(last) - batch_total_energy_uj(first);
    test->node_ns = last->end.mono_ns - first->end.mono_ns;
    test->wall_ns = test->node_ns;
    test->cpu_ns = last->self.cpu_ns - first->self.cpu_ns;
    test->rss_bytes = last->self.rss_bytes;
    test->conservation_error_uj = last->self.conservation_error_uj;
    test->windows = last->self.windows;
    test->units = last->n_units;
    test->crosscheck_ppm = last->activity.crosscheck_ppm;
    snprintf(test->activity, sizeof(test->activity), "%s", last->activity.name);
    snprintf(test->tier, sizeof(test->tier), "%s", last->activity.tier);
    test->done = true;
}

static int run_self_test(const struct cli_settings *common, uint64_t duration_ns, struct self_test *test,
                         struct carnot_err *err)
{
    struct cli_settings own = *common;
    struct batch *first = NULL, *last = NULL;
    struct origin origin;
    uint64_t until_ns;
    int r;

    own.agent = AGENT_NEVER;
    r = origin_open(&origin, &own, ORIGIN_MACHINE, err);
    if (r >= 0)
        r = origin_tick(&origin, err); /* what opening cost is not what running costs */
    if (r >= 0) {
        first = meter_latest(origin.meter);
        until_ns = origin.last_tick_ns + duration_ns;
        while (r >= 0 && clock_now(origin.env.clock).mono_ns < until_ns)
            r = origin_work_until(&origin, until_ns, err);
        if (r >= 0 && clock_now(origin.env.clock).mono_ns > origin.last_tick_ns + NS_PER_SEC / 2)
            r = origin_tick(&origin, err);
        last = meter_latest(origin.meter);
    }
    if (r >= 0 && first && last)
        take_batch(test, first, last);
    if (r >= 0)
        meter_describe(origin.meter, &test->describe);
    batch_unref(first);
    batch_unref(last);
    origin_close(&origin);
    return r < 0 ? r : 0;
}

static void judge(struct doctor *doctor, const struct self_test *test)
{
    struct finding *f;
    struct buf text;

    buf_init(&text, FINDING_TEXT_MAX);
    if (test->node_ns > 0)
        human_power(&text, (double)test->node_uj * 1e9 / (double)test->node_ns);
    f = doctor_find(doctor, "node power", test->node_uj > 0 ? FINDING_OK : FINDING_MISSING,
                    "%s over %llu windows, %llu units, activity %s (%s)",
                    test->node_uj > 0 ? buf_str(&text) : "no energy was counted", (unsigned long long)test->windows,
                    (unsigned long long)test->units, test->activity, test->tier);
    f->matters = test->node_uj == 0;

    buf_reset(&text);
    buf_put_double_fixed(&text, (double)self_cpu_ns(test) / 1e4, 2);
    buf_puts(&text, " % of one CPU, ");
    human_bytes(&text, test->rss_bytes);
    f = doctor_find(doctor, "cost of measuring", FINDING_OK, "%s", buf_str(&text));
    if (self_cpu_ns(test) > SELF_CPU_PPM_MAX) {
        f->matters = true;
        snprintf(f->remedy, sizeof(f->remedy), "more than expected; --sampling.interval=1s costs less");
    }

    f = doctor_find(doctor, "conservation", test->conservation_error_uj == 0 ? FINDING_OK : FINDING_MISSING,
                    "measured minus given away: %llu uJ", (unsigned long long)test->conservation_error_uj);
    f->matters = test->conservation_error_uj != 0;
    if (f->matters)
        snprintf(f->remedy, sizeof(f->remedy),
                 "this must be 0: please report it with the output of carnot doctor --json");

    buf_reset(&text);
    if (test->crosscheck_ppm == INT64_MIN) {
        doctor_find(doctor, "cross-check", FINDING_UNUSED,
                    "CPU time against the kernel's own totals of control groups: not enough windows");
    } else {
        buf_put_double_fixed(&text, (double)test->crosscheck_ppm / 1e4, 2);
        doctor_find(doctor, "cross-check", FINDING_OK,
                    "CPU time differs from the kernel's own totals of control groups by %s %%", buf_str(&text));
    }
    buf_done(&text);
}

static bool all_well(const struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->findings.n; i++)
        if (doctor->findings.items[i].matters)
            return false;
    return true;
}

/* ---- output ---- */

/* Words of `text` with line breaks, following lines begin at `column`. */
static void put_wrapped(struct buf *out, const char *text, unsigned column, unsigned width)
{
    unsigned at = column;

    while (*text) {
        size_t len = strcspn(text, " \n");
        char word[FINDING_TEXT_MAX];

        snprintf(word, sizeof(word), "%.*s", (int)len, text);
        unsigned has = text_width(word);
        if (at > column && at + 1 + has > width) {
            buf_printf(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            buf_putc(out, ' ');
            at++;
        }
        buf_puts(out, word);
        at += has;
        text += len;
        text += strspn(text, " \n");
    }
    buf_putc(out, '\n');
}

static void put_text(const struct doctor *doctor, const struct self_test *test, bool bold, unsigned width,
                     struct buf *out)
{
    buf_puts(out, "carnot " CARNOT_VERSION ": what can be measured here\n\n");
    for (size_t i = 0; i < doctor->findings.n; i++) {
        const struct finding *f = &doctor->findings.items[i];
        bool strong = bold && f->matters;

        buf_printf(out, "  %s%-8s%s %-19s ", strong ? "\033[1m" : "", finding_state_names[f->state],
                   strong ? "\033[0m" : "", f->subject);
        put_wrapped(out, f->text, TEXT_COLUMN, width);
        if (f->remedy[0]) {
            buf_printf(out, "%*s-> ", TEXT_COLUMN, "");
            put_wrapped(out, f->remedy, TEXT_COLUMN + 3, width);
        }
    }
    if (test->describe.len > 0) {
        buf_puts(out, "\nWhat is used, and what it assumes:\n");
        for (const char *line = buf_str(&test->describe); *line;) {
            size_t len = strcspn(line, "\n");
            char copy[1024];

            snprintf(copy, sizeof(copy), "%.*s", (int)len, line);
            text_clean(copy);
            buf_puts(out, "  ");
            put_wrapped(out, copy, 2, width);
            line += len + (line[len] == '\n');
        }
    }
    buf_puts(out, all_well(doctor) ? "\nAll that matters is there.\n"
                                   : "\nSomething that matters is missing: see the lines with ->.\n");
}

static void put_self_json(const struct self_test *test, struct json_out *json)
{
    json_out_key(json, "measured");
    if (!test->done) {
        json_out_null(json);
        return;
    }
    json_out_object(json);
    json_out_kv_u64(json, "duration_ns", test->wall_ns);
    json_out_kv_u64(json, "node_uj", test->node_uj);
    json_out_kv_u64(json, "windows", test->windows);
    json_out_kv_u64(json, "self_cpu_ns", test->cpu_ns);
    json_out_kv_u64(json, "self_rss_bytes", test->rss_bytes);
    json_out_kv_u64(json, "conservation_error_uj", test->conservation_error_uj);
    json_out_key(json, "crosscheck_ppm");
    if (test->crosscheck_ppm == INT64_MIN)
        json_out_null(json);
    else
        json_out_i64(json, test->crosscheck_ppm);
    json_out_kv_string(json, "activity", test->activity);
    json_out_kv_string(json, "tier", test->tier);
    json_out_object_end(json);
}

static void put_json(const struct doctor *doctor, const struct self_test *test, struct buf *out)
{
    struct json_out json;

    json_out_init(&json, out);
    json_out_object(&json);
    json_out_kv_u64(&json, "v", 1);
    json_out_kv_string(&json, "version", CARNOT_VERSION);
    json_out_kv_bool(&json, "well", all_well(doctor));
    json_out_key(&json, "checks");
    json_out_array(&json);
    for (size_t i = 0; i < doctor->findings.n; i++) {
        const struct finding *f = &doctor->findings.items[i];

        json_out_object(&json);
        json_out_kv_string(&json, "subject", f->subject);
        json_out_kv_string(&json, "state", finding_state_names[f->state]);
        json_out_kv_bool(&json, "matters", f->matters);
        json_out_kv_string(&json, "text", f->text);
        json_out_kv_string(&json, "remedy", f->remedy);
        json_out_object_end(&json);
    }
    json_out_array_end(&json);
    put_self_json(test, &json);
    json_out_kv_string(&json, "description", buf_str(&test->describe));
    json_out_object_end(&json);
    buf_putc(out, '\n');
}

static int examine(const struct cli_verb *verb, const struct doctor_settings *settings,
                   const struct cli_settings *common)
{
    struct self_test test = {0};
    struct doctor doctor = {.settings = common};
    struct carnot_env env;
    struct carnot_err err = CARNOT_ERR_INIT;
    struct buf out;
    int status, r = cli_env_open(common, &env, &err);

    if (r < 0)
        return cli_fail(verb, r, &err);
    doctor.env = &env;
    doctor.socket_path = cli_socket_path(common);
    buf_init(&test.describe, CLI_OUTPUT_MAX);
    buf_init(&out, CLI_OUTPUT_MAX);
    doctor_check_all(&doctor);
    if (settings->duration_ns > 0) {
        run_self_test(common, settings->duration_ns, &test, &err);
        if (test.done)
            judge(&doctor, &test);
        else
            doctor_find(&doctor, "measuring", FINDING_MISSING, "%s", err.msg)->matters = true;
    }
    if (settings->json) {
        put_json(&doctor, &test, &out);
    } else {
        unsigned width = term_width(STDOUT_FILENO);

        put_text(&doctor, &test, term_styled(STDOUT_FILENO), width ? width : WRAP_WIDTH_DEFAULT, &out);
    }
    status = cli_put_stdout(verb, &out);
    if (status == 0 && !all_well(&doctor))
        status = EXIT_FINDING;
    buf_done(&out);
    buf_done(&test.describe);
    doctor_done(&doctor);
    cli_env_close(&env);
    return status;
}

int cmd_doctor(const struct cli_verb *verb, int argc, char **argv)
{
    struct doctor_settings settings = {0};
    struct cli_settings common = {0};
    struct cli_options options;
    struct carnot_err err = CARNOT_ERR_INIT;
    int status, r = cli_options_parse(&options, verb, doctor_options, ELEMENTSOF(doctor_options), &settings, &common,
                                      argc, argv, false, &err);

    if (r < 0)
        status = cli_fail(verb, r, &err);
    else if (common.help)
        status = cli_print_help(verb, &options);
    else
        status = examine(verb, &settings, &common);
    cli_options_done(&options);
    return status;
}
