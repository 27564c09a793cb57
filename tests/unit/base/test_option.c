/* SPDX-License-Identifier: Apache-2.0 */
/* The option table, the command line and the help text. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "settings.h"
#include "unit_test.h"

static int setup(void **state)
{
    static struct fixture fixture;

    fixture_init(&fixture);
    assert_int_equal(option_defaults(&fixture.set, &fixture.err), 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    option_set_done(&f->set);
    option_set_done(NULL);
    return 0;
}

static void defaults_fill_every_setting(void **state)
{
    struct fixture *f = *state;

    memset(&f->settings, 0x77, sizeof(f->settings));
    assert_int_equal(option_defaults(&f->set, NULL), 0);
    assert_false(f->settings.verbose);
    assert_true(f->settings.rapl);
    assert_int_equal(f->settings.workers, 2);
    assert_int_equal(f->settings.seed, 0);
    assert_true(f->settings.interval_ns == NS_PER_SEC);
    assert_int_equal(f->settings.memory_bytes, 16 << 20);
    assert_true(f->settings.pue == 1.2);
    assert_true(f->settings.ratio == 0);
    assert_null(f->settings.config);
    assert_string_equal(f->settings.address, ":9010");
    assert_int_equal(f->settings.format, 1);
    assert_int_equal(f->settings.zones.count, 1);
    assert_string_equal(f->settings.zones.items[0], "package");
    assert_int_equal(f->settings.labels.count, 0);
}

static void a_bad_default_is_told(void **state)
{
    static const struct carnot_option bad[] = {{.name = "n", .type = OPTION_U64, .def = "many"}};
    uint64_t n = 0;
    const struct option_group group = {.options = bad, .count = 1, .settings = &n};
    struct option_set set;
    struct carnot_err err = CARNOT_ERR_INIT;

    option_set_init(&set, &group, 1);
    assert_int_equal(option_defaults(&set, &err), -EINVAL);
    assert_string_equal(err.msg, "default: n: expected a whole number, got \"many\"");
    option_set_done(&set);
}

/* name, value, and the sentence when it is refused (NULL: taken) */
static void values_are_checked(void **state)
{
    static const struct {
        const char *name, *value, *sentence;
    } cases[] = {
        {"verbose", "yes", NULL},
        {"verbose", "maybe", "x:1: verbose: expected true or false, got \"maybe\""},
        {"workers", "1", NULL},
        {"workers", "8", NULL},
        {"workers", "0", "x:1: workers: expected a whole number from 1 to 8, got \"0\""},
        {"workers", "9", "x:1: workers: expected a whole number from 1 to 8, got \"9\""},
        {"workers", "-1", "x:1: workers: expected a whole number from 1 to 8, got \"-1\""},
        {"seed", "18446744073709551615", NULL},
        {"seed", "18446744073709551616", "x:1: seed: expected a whole number, got \"18446744073709551616\""},
        {"collector.interval", "100ms", NULL},
        {"collector.interval", "1h", NULL},
        {"collector.interval", "99ms",
         "x:1: collector.interval: expected a duration such as 100ms or 1h30m from 100ms to 1h, got \"99ms\""},
        {"collector.interval", "5",
         "x:1: collector.interval: expected a duration such as 100ms or 1h30m from 100ms to 1h, got \"5\""},
        {"memory.max", "64KiB", NULL},
        {"memory.max", "1B", "x:1: memory.max: expected a size such as 64KiB or 1MB of at least 4096, got \"1B\""},
        {"carbon.pue", "1.05", NULL},
        {"carbon.pue", "0.9", "x:1: carbon.pue: expected a number from 1 to 3, got \"0.9\""},
        {"carbon.pue", "3.1", "x:1: carbon.pue: expected a number from 1 to 3, got \"3.1\""},
        {"carbon.pue", "nan", "x:1: carbon.pue: expected a number from 1 to 3, got \"nan\""},
        {"carbon.ratio", "-1e6", NULL},
        {"carbon.ratio", "x", "x:1: carbon.ratio: expected a number, got \"x\""},
        {"output.format", "csv", NULL},
        {"output.format", "xml", "x:1: output.format: expected one of text, json, csv, got \"xml\""},
        {"config.file", "", NULL},
        {"collector.labels", "a", NULL},
        {"collector.intervall", "1s",
         "x:1: unknown option \"collector.intervall\"; did you mean \"collector.interval\"?"},
        {"listen-address", "1", "x:1: unknown option \"listen-address\"; did you mean \"web.listen-address\"?"},
        {"", "1", "x:1: unknown option \"\"; see --help for the list"},
        {"quite-another-thing", "1", "x:1: unknown option \"quite-another-thing\"; see --help for the list"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct settings before = f->settings;
        f->err = CARNOT_ERR_INIT;
        int r = option_set_text(&f->set, cases[i].name, cases[i].value, "x:1", &f->err);
        assert_int_equal(r, cases[i].sentence ? -EINVAL : 0);
        assert_string_equal(f->err.msg, cases[i].sentence ? cases[i].sentence : "");
        if (cases[i].sentence)
            assert_memory_equal(&before, &f->settings, sizeof(before));
    }
    assert_true(f->settings.verbose);
    assert_int_equal(f->settings.workers, 8);
    assert_true(f->settings.interval_ns == 3600 * NS_PER_SEC);
    assert_int_equal(f->settings.memory_bytes, 65536);
    assert_true(f->settings.pue == 1.05);
    assert_true(f->settings.ratio == -1e6);
    assert_int_equal(f->settings.format, 2);
    assert_string_equal(f->settings.config, "");
}

/* A value from outside may be longer than any sentence. */
static void long_names_and_values_are_cut(void **state)
{
    struct fixture *f = *state;
    char text[5000];

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(option_set_text(&f->set, "workers", text, "--workers", &f->err), -EINVAL);
    assert_true(strlen(f->err.msg) < 150);
    assert_int_equal(option_set_text(&f->set, text, "1", "x:1", &f->err), -EINVAL);
    assert_true(strlen(f->err.msg) < 150);
    assert_int_equal(option_set_text(&f->set, "config.file", text, "x:1", &f->err), 0);
    assert_string_equal(f->settings.config, text);
}

static void text_works_before_defaults(void **state)
{
    struct fixture f;

    fixture_init(&f);
    assert_int_equal(option_set_text(&f.set, "collector.labels", "a", "x", NULL), 0);
    assert_int_equal(option_set_text(&f.set, "collector.labels", "b", "x", NULL), 0);
    assert_int_equal(f.settings.labels.count, 2);
    option_set_done(&f.set);
}

/* Parses a NULL-terminated argv without the program's name. */
static int parse(struct fixture *f, bool stop, const char *const *args)
{
    char *argv[OPTION_LIST_MAX + 8] = {(char[]){"prog"}};
    int argc = 1;

    for (; args[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
    f->err = CARNOT_ERR_INIT;
    return option_parse_argv(&f->set, argc, argv, stop, &f->err);
}
#define ARGS(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void flags_in_every_spelling(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, false, ARGS("--workers", "3", "--config.file=a=b", "-v", "--no-collector.rapl")), 6);
    assert_int_equal(f->settings.workers, 3);
    assert_string_equal(f->settings.config, "a=b");
    assert_true(f->settings.verbose);
    assert_false(f->settings.rapl);

    assert_int_equal(parse(f, false, ARGS("-vnw4", "-c", "-x", "--collector.rapl=yes", "--no-verbose", "-otext")), 7);
    assert_true(f->settings.dry_run);
    assert_int_equal(f->settings.workers, 4);
    assert_string_equal(f->settings.config, "-x");
    assert_true(f->settings.rapl);
    assert_false(f->settings.verbose);
    assert_int_equal(f->settings.format, 0);

    assert_int_equal(parse(f, false, ARGS("--config.file=")), 2);
    assert_string_equal(f->settings.config, "");
    assert_int_equal(parse(f, false, ARGS()), 1);
    assert_int_equal(option_parse_argv(&f->set, 0, (char *[]){NULL}, false, NULL), 0);
}

static void operands(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, true, ARGS("-v", "top", "-n")), 2);
    assert_true(f->settings.verbose);
    assert_false(f->settings.dry_run);
    assert_int_equal(parse(f, true, ARGS("-v", "--", "-n")), 3);
    assert_int_equal(parse(f, true, ARGS("-")), 1);
    assert_int_equal(parse(f, true, ARGS("-v")), 2);
    assert_int_equal(parse(f, false, ARGS("-v", "--")), 3);
    assert_int_equal(parse(f, false, ARGS("-v", "file")), -EINVAL);
    assert_string_equal(f->err.msg, "file: unexpected argument; options begin with --, see --help");
    assert_int_equal(parse(f, false, ARGS("--", "file")), -EINVAL);
    assert_int_equal(parse(f, false, ARGS("")), -EINVAL);
}

static void wrong_command_lines(void **state)
{
    static const struct {
        const char *args[3];
        const char *sentence;
    } cases[] = {
        {{"--worker", "3"}, "--worker: unknown option \"worker\"; did you mean \"workers\"?"},
        {{"--workers"}, "--workers: needs a value behind it; see --help"},
        {{"-w"}, "-w: needs a value behind it; see --help"},
        {{"--workers=x"}, "--workers: expected a whole number from 1 to 8, got \"x\""},
        {{"-wx"}, "-w: expected a whole number from 1 to 8, got \"x\""},
        {{"--verbose=x"}, "--verbose: expected true or false, got \"x\""},
        {{"--no-verbose=yes"}, "--no-verbose: takes no value; write --verbose=yes"},
        {{"--no-workers"}, "--no-workers: unknown option \"no-workers\"; did you mean \"workers\"?"},
        {{"-x"}, "-x: unknown option; see --help for the list"},
        {{"-vx"}, "-x: unknown option; see --help for the list"},
        {{"--=x"}, "--: unknown option \"\"; see --help for the list"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        assert_int_equal(parse(f, false, cases[i].args), -EINVAL);
        assert_string_equal(f->err.msg, cases[i].sentence);
        assert_int_equal(parse(f, true, cases[i].args), -EINVAL);
    }
    assert_int_equal(f->settings.workers, 2);
}

static void a_flag_list_replaces_and_grows(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, false, ARGS("--collector.rapl.zones", "core", "--collector.rapl.zones=dram")), 4);
    assert_int_equal(f->settings.zones.count, 2);
    assert_string_equal(f->settings.zones.items[0], "core");
    assert_string_equal(f->settings.zones.items[1], "dram");
    /* A second pass over the same command line gives the same. */
    assert_int_equal(parse(f, false, ARGS("--collector.rapl.zones", "core", "--collector.rapl.zones=dram")), 4);
    assert_int_equal(f->settings.zones.count, 2);
    assert_int_equal(parse(f, false, ARGS("-v")), 2);
    assert_int_equal(f->settings.zones.count, 2);
}

static void a_list_has_a_limit(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < OPTION_LIST_MAX; i++)
        assert_int_equal(option_set_text(&f->set, "collector.labels", "x", "--collector.labels", &f->err), 0);
    assert_int_equal(option_set_text(&f->set, "collector.labels", "x", "--collector.labels", &f->err), -EINVAL);
    assert_string_equal(f->err.msg, "--collector.labels: collector.labels has more than 64 entries");
    assert_int_equal(f->settings.labels.count, OPTION_LIST_MAX);
}

/* A second name, and permissions in octal. */
static void aliases_and_modes(void **state)
{
    static const struct carnot_option options[] = {{.name = "socket.mode",
                                                    .alias = "socket-mode",
                                                    .type = OPTION_MODE,
                                                    .def = "0660",
                                                    .help = "Who may connect."}};
    static const char *const wrong[] = {"", "8", "0o660", "1000", "rw", "-1", "0660 "};
    uint64_t mode = 0;
    const struct option_group group = {.options = options, .count = 1, .settings = &mode};
    struct option_set set;
    struct carnot_err err = CARNOT_ERR_INIT;
    char *argv[] = {(char[]){"x"}, (char[]){"--socket-mode"}, (char[]){"0600"}, (char[]){"--socket.mode=777"}};
    struct buf help;

    option_set_init(&set, &group, 1);
    assert_int_equal(option_defaults(&set, &err), 0);
    assert_int_equal(mode, 0660);
    assert_int_equal(option_parse_argv(&set, 3, argv, false, &err), 3);
    assert_int_equal(mode, 0600);
    assert_int_equal(option_parse_argv(&set, 4, argv, false, &err), 4);
    assert_int_equal(mode, 0777);
    assert_int_equal(option_parse_yaml(&set, "f", "socket:\n  mode: 0640\n", 20, &err), 0);
    assert_int_equal(mode, 0640);
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        assert_int_equal(option_set_text(&set, "socket-mode", wrong[i], "--socket-mode", &err), -EINVAL);
        assert_non_null(strstr(err.msg, "--socket-mode: expected permissions in octal such as 0660, got"));
    }
    assert_int_equal(mode, 0640);
    buf_init(&help, 1000);
    option_help(&set, &help);
    assert_string_equal(buf_str(&help),
                        "      --socket.mode MODE          Who may connect. (default: 0660) (also --socket-mode)\n");
    buf_done(&help);
    option_set_done(&set);
}

static void help_is_wrapped(void **state)
{
    struct fixture *f = *state;
    struct buf out;
    const char *expected =
        "General:\n"
        "  -v, --[no-]verbose              Say more.\n"
        "  -n, --[no-]dry-run              Do nothing.\n"
        "  -c, --config.file FILE          Configuration to read.\n"
        "  -w, --workers N                 Threads. (default: 2)\n"
        "  -o, --output.format text|json|csv\n"
        "                                  How the output is written, which is a sentence that is long enough\n"
        "                                  to be wrapped over more than one line of help. (default: json)\n"
        "\n"
        "Agent:\n"
        "      --web.listen-address ADDRESS\n"
        "                                  Where to listen. (default: :9010)\n"
        "      --collector.interval DURATION\n"
        "                                  Time between two readings. (default: 1s)\n"
        "      --[no-]collector.rapl       Read RAPL. (default: true)\n"
        "      --collector.rapl.zones ZONE ...\n"
        "                                  Zones to read. (default: package)\n"
        "      --collector.labels TEXT ...\n"
        "                                  Labels to add.\n"
        "      --memory.max SIZE           Most memory. (default: 16MiB)\n"
        "      --carbon.pue NUMBER         Power usage effectiveness. (default: 1.2)\n"
        "      --carbon.ratio NUMBER       Any number.\n";

    buf_init(&out, 1 << 16);
    option_help(&f->set, &out);
    assert_int_equal(buf_error(&out), 0);
    assert_string_equal(out.data, expected);
    buf_done(&out);

    buf_init(&out, 100);
    option_help(&f->set, &out);
    assert_int_equal(buf_error(&out), -E2BIG);
    buf_done(&out);
}

static void help_keeps_its_width(void **state)
{
    struct carnot_option options[] = {
        {.name = "a", .type = OPTION_BOOL},
        {.name = "b",
         .type = OPTION_STRING,
         .def = "0123456789012345678901234567890123456789012345678901234567890123456789"},
    };
    const struct option_group group = {.options = options, .count = ELEMENTSOF(options)};
    char help[400] = "";
    struct option_set set;

    option_set_init(&set, &group, 1);
    for (size_t word = 1; word < 70; word++) {
        struct buf out;

        for (size_t i = 0; i < sizeof(help) - 1; i++)
            help[i] = (i + 1) % (word + 1) ? 'w' : ' ';
        options[0].help = options[1].help = help;
        buf_init(&out, 1 << 16);
        option_help(&set, &out);
        for (char *line = out.data, *end; (end = strchr(line, '\n')); line = end + 1) {
            assert_true(end - line <= 105); /* a word of 70 columns has a line for itself */
            assert_true(end > line && end[-1] != ' ');
            if (word <= 60 && !memchr(line, '0', (size_t)(end - line)))
                assert_true(end - line <= 100);
        }
        buf_done(&out);
    }
    option_set_done(&set);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(defaults_fill_every_setting),
        cmocka_unit_test(a_bad_default_is_told),
        WITH_FIXTURE(values_are_checked),
        WITH_FIXTURE(long_names_and_values_are_cut),
        cmocka_unit_test(text_works_before_defaults),
        WITH_FIXTURE(flags_in_every_spelling),
        WITH_FIXTURE(operands),
        WITH_FIXTURE(wrong_command_lines),
        WITH_FIXTURE(a_flag_list_replaces_and_grows),
        WITH_FIXTURE(a_list_has_a_limit),
        cmocka_unit_test(aliases_and_modes),
        WITH_FIXTURE(help_is_wrapped),
        cmocka_unit_test(help_keeps_its_width),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
