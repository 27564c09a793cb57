/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: what is taken, and the sentence for each thing that is refused. */
#include <errno.h>
#include <fcntl.h>
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
    return 0;
}

static int parse(struct fixture *f, const char *text)
{
    f->err = CARNOT_ERR_INIT;
    return option_parse_yaml(&f->set, "c.yaml", text, strlen(text), &f->err);
}

static void a_whole_configuration(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "# comment\n"
                              "verbose: true\n"
                              "workers: '4'\n"
                              "output: {format: text}\n"
                              "web:\n"
                              "  listen-address: \":9999\"\n"
                              "collector:\n"
                              "  interval: 500ms\n"
                              "  rapl: {zones: [core, dram]}\n"
                              "  labels: one\n"
                              "carbon.pue: 1.5\n"
                              "memory:\n"),
                     0);
    assert_string_equal(f->err.msg, "");
    assert_true(f->settings.verbose);
    assert_int_equal(f->settings.workers, 4);
    assert_int_equal(f->settings.format, 0);
    assert_string_equal(f->settings.address, ":9999");
    assert_true(f->settings.interval_ns == 500 * NS_PER_MS);
    assert_int_equal(f->settings.zones.count, 2);
    assert_string_equal(f->settings.zones.items[0], "core");
    assert_string_equal(f->settings.zones.items[1], "dram");
    assert_int_equal(f->settings.labels.count, 1);
    assert_true(f->settings.pue == 1.5);
    assert_true(f->settings.rapl); /* untouched */
    assert_int_equal(f->settings.memory_bytes, 16 << 20);
}

static void nothing_is_a_configuration(void **state)
{
    static const char *const nothing[] = {"", "\n", "# only a comment\n", "---\n", "--- {}\n", "~", "---\n...\n"};
    struct fixture *f = *state;
    struct settings before = f->settings;

    for (size_t i = 0; i < ELEMENTSOF(nothing); i++)
        assert_int_equal(parse(f, nothing[i]), 0);
    assert_memory_equal(&before, &f->settings, sizeof(before));
}

/* "collector.rapl" is an option and a group: with dots both can be set. */
static void an_option_may_be_a_group_too(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "collector:\n  rapl: off\n  rapl.zones: [core]\n"), 0);
    assert_false(f->settings.rapl);
    assert_string_equal(f->settings.zones.items[0], "core");
}

static void lists_replace_by_layer(void **state)
{
    struct fixture *f = *state;
    char *argv[] = {(char[]){"prog"}, (char[]){"--collector.rapl.zones=psys"}};

    assert_int_equal(parse(f, "collector.rapl.zones: [core, dram]"), 0);
    assert_int_equal(f->settings.zones.count, 2);
    assert_int_equal(option_parse_argv(&f->set, 2, argv, false, NULL), 2);
    assert_int_equal(f->settings.zones.count, 1);
    assert_string_equal(f->settings.zones.items[0], "psys");
    assert_int_equal(parse(f, "collector.rapl.zones: []"), 0);
    assert_int_equal(f->settings.zones.count, 0);
}

static void refusals(void **state)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"verbos: true", "c.yaml:1: unknown option \"verbos\"; did you mean \"verbose\"?"},
        {"web:\n  listen: x", "c.yaml:2: unknown option \"web.listen\"; see --help for the list"},
        {"\n\nworkers: 99", "c.yaml:3: workers: expected a whole number from 1 to 8, got \"99\""},
        {"workers:", "c.yaml:1: workers has no value; give one or remove the key"},
        {"workers: ~", "c.yaml:1: workers has no value; give one or remove the key"},
        {"workers: null", "c.yaml:1: workers has no value; give one or remove the key"},
        {"workers: ''", "c.yaml:1: workers: expected a whole number from 1 to 8, got \"\""},
        {"workers: 1\nverbose: on\nworkers: 2", "c.yaml:3: duplicate key \"workers\"; leave one of them"},
        {"web: {}\nweb: {}", "c.yaml:2: duplicate key \"web\"; leave one of them"},
        {"web:\n  listen-address: a\nweb.listen-address: b",
         "c.yaml:3: duplicate key \"web.listen-address\"; leave one of them"},
        {"workers: [1]", "c.yaml:1: workers takes no list"},
        {"workers: {a: 1}", "c.yaml:1: workers takes a value: expected no keys below it"},
        {"web: 5", "c.yaml:1: web is a group of options: expected keys below it, got a value"},
        {"web: []", "c.yaml:1: web takes no list"},
        {"collector.labels: [[a]]", "c.yaml:1: the entries of collector.labels must be plain texts"},
        {"collector.labels: [{a: b}]", "c.yaml:1: the entries of collector.labels must be plain texts"},
        {"collector.labels:\n- a\n-\n", "c.yaml:3: collector.labels has no value; give one or remove the key"},
        {"[a, b]", "c.yaml:1: expected \"key: value\" lines at the top of a configuration"},
        {"just text", "c.yaml:1: expected \"key: value\" lines at the top of a configuration"},
        {"? [a]\n: b", "c.yaml:1: a key must be a plain name"},
        {"'': b", "c.yaml:1: a key is empty or holds a NUL character"},
        {"\"a\\0b\": b", "c.yaml:1: a key is empty or holds a NUL character"},
        {"config.file: \"a\\0b\"", "c.yaml:1: the value of config.file holds a NUL character"},
        {"config.file: &x a\nweb.listen-address: *x",
         "c.yaml:2: aliases (*name) are not allowed here; repeat the value"},
        {"verbose: on\n---\nverbose: off", "c.yaml:2: a second document (---) is not allowed; put it all into one"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        assert_int_equal(parse(f, cases[i].text), -EINVAL);
        assert_string_equal(f->err.msg, cases[i].sentence);
    }
}

static void broken_yaml_tells_the_line(void **state)
{
    static const char *const broken[] = {
        "workers: 1\n  verbose: [", "workers: 1\nweb: {", "a: b: c: d", "\t", "workers: \"1", "\xFF\xFE\xFD",
        "verbose: on\n\x01"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(broken); i++) {
        assert_int_equal(parse(f, broken[i]), -EINVAL);
        assert_memory_equal(f->err.msg, "c.yaml:", 7);
        assert_true(f->err.msg[7] >= '1' && f->err.msg[7] <= '9');
    }
}

static void depth_and_length_have_limits(void **state)
{
    static const struct carnot_option deep[] = {{.name = "a.a.a.a.a.a.a.a", .type = OPTION_BOOL},
                                                {.name = "b.b.b.b.b.b.b.b.b", .type = OPTION_BOOL}};
    bool value = false;
    const struct option_group group = {.options = deep, .count = 2, .settings = &value};
    struct option_set set;
    struct carnot_err err = CARNOT_ERR_INIT;
    const char *eight = "a: {a: {a: {a: {a: {a: {a: {a: true}}}}}}}";
    const char *nine = "b: {b: {b: {b: {b: {b: {b: {b: {b: true}}}}}}}}";

    option_set_init(&set, &group, 1);
    assert_int_equal(option_parse_yaml(&set, "c.yaml", eight, strlen(eight), &err), 0);
    assert_true(value);
    assert_int_equal(option_parse_yaml(&set, "c.yaml", nine, strlen(nine), &err), -EINVAL);
    assert_string_equal(err.msg, "c.yaml:1: more than 8 levels of keys");

    char key[300] = "";
    memset(key, 'k', sizeof(key) - 3);
    memcpy(key + sizeof(key) - 3, ": ", 3);
    assert_int_equal(option_parse_yaml(&set, "c.yaml", key, strlen(key), &err), -EINVAL);
    assert_non_null(strstr(err.msg, "unknown option \"kkkk"));
    option_set_done(&set);
}

static void long_file_names_are_cut(void **state)
{
    struct fixture *f = *state;
    char file[2000];

    memset(file, 'f', sizeof(file) - 1);
    file[sizeof(file) - 1] = '\0';
    assert_int_equal(option_parse_yaml(&f->set, file, "workers: 0", 10, &f->err), -EINVAL);
    assert_non_null(strstr(f->err.msg, "f:1: workers: expected"));
}

static void load_reads_files(void **state)
{
    struct fixture *f = *state;
    const char *tmp = getenv("TMPDIR");
    char path[4096];

    snprintf(path, sizeof(path), "%s/carnot-yaml-XXXXXX", tmp ? tmp : "/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "workers: 7\n", 11), 11);
    assert_int_equal(option_load_yaml(&f->set, path, &f->err), 0);
    assert_int_equal(f->settings.workers, 7);

    /* A comment up to the limit is fine, one byte more is not. */
    char *big = malloc(OPTION_YAML_MAX + 1);
    assert_non_null(big);
    memset(big, '#', OPTION_YAML_MAX + 1);
    assert_int_equal(pwrite(fd, big, OPTION_YAML_MAX, 0), OPTION_YAML_MAX);
    assert_int_equal(option_load_yaml(&f->set, path, &f->err), 0);
    assert_int_equal(pwrite(fd, big, OPTION_YAML_MAX + 1, 0), OPTION_YAML_MAX + 1);
    assert_int_equal(option_load_yaml(&f->set, path, &f->err), -E2BIG);
    assert_non_null(strstr(f->err.msg, "larger than the 1048576 bytes"));
    free(big);
    close(fd);
    unlink(path);

    assert_int_equal(option_load_yaml(&f->set, path, &f->err), -ENOENT);
    assert_non_null(strstr(f->err.msg, "cannot open configuration"));
    assert_int_equal(option_load_yaml(&f->set, "/", &f->err), -EISDIR);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(a_whole_configuration),
        WITH_FIXTURE(nothing_is_a_configuration),
        WITH_FIXTURE(an_option_may_be_a_group_too),
        WITH_FIXTURE(lists_replace_by_layer),
        WITH_FIXTURE(refusals),
        WITH_FIXTURE(broken_yaml_tells_the_line),
        cmocka_unit_test(depth_and_length_have_limits),
        WITH_FIXTURE(long_file_names_are_cut),
        WITH_FIXTURE(load_reads_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
