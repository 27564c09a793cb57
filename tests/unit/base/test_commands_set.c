/* SPDX-License-Identifier: Apache-2.0 */
/* Which programs may be in the set, and the pure parts: answers of the helper, the first line of standard error. */
#include "commands_rig.h"

#include <stdio.h>

/* --- the set ------------------------------------------------------------------------------------------------------ */

static void names(void **state)
{
    struct rig *rig = *state;
    unsigned number = 99;

    assert_int_equal(try_add(rig, "echo", &number), 0);
    assert_int_equal(number, 0);
    assert_int_equal(rig->commands->slots[0].command.path[0], '/');
    assert_string_equal(rig->commands->slots[0].command.argv[0], "echo");
    /* The user's PATH does not count. */
    put_script(rig, "ipmitool-of-the-user", "echo");
    setenv("PATH", rig->dir, 1);
    assert_int_equal(try_add(rig, "ipmitool-of-the-user", &number), -ENOENT);
    assert_non_null(strstr(rig->err.msg, "/usr/sbin"));
    assert_int_equal(try_add(rig, "/no/such/program", &number), -ENOENT);
    assert_int_equal(try_add(rig, rig_path(rig, "ipmitool-of-the-user/x"), &number), -ENOENT);
    assert_int_equal(try_add(rig, "./echo", &number), -EINVAL);
    assert_int_equal(try_add(rig, "bin/echo", &number), -EINVAL);
    assert_int_equal(try_add(rig, "../bin/echo", &number), -EINVAL);
    assert_int_equal(try_add(rig, "", &number), -EINVAL);
    assert_int_equal(try_add(rig, NULL, &number), -EINVAL);
    assert_int_equal(try_add(rig, "..", &number), -EACCES); /* /usr */
    assert_int_equal(number, 0);
}

static void not_executable(void **state)
{
    struct rig *rig = *state;
    unsigned number = 99;

    assert_int_equal(try_add(rig, put_file(rig, "text", "x", 0644), &number), -EACCES);
    assert_int_equal(try_add(rig, rig->dir, &number), -EACCES);
    assert_int_equal(try_add(rig, "/dev/null", &number), -EACCES);
    assert_int_equal(number, 99);
}

/* While we are root nobody else may have a say in what is run. */
static void changeable_by_others(void **state)
{
    struct rig *rig = *state;
    unsigned number = 99;
    const char *path = put_script(rig, "p", "echo");

    assert_int_equal(try_add(rig, path, &number), 0);
    assert_int_equal(chmod(path, 0757), 0);
    assert_int_equal(try_add(rig, path, &number), getuid() == 0 ? -EPERM : 0);
    if (getuid() != 0)
        return;
    assert_non_null(strstr(rig->err.msg, path));
    assert_int_equal(chmod(path, 0775), 0); /* of group root */
    assert_int_equal(try_add(rig, path, &number), 0);
    assert_int_equal(chown(path, 0, NOBODY), 0);
    assert_int_equal(try_add(rig, path, &number), -EPERM);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(try_add(rig, path, &number), 0);
    assert_int_equal(chown(path, NOBODY, 0), 0);
    assert_int_equal(try_add(rig, path, &number), -EPERM);
    assert_int_equal(chown(path, 0, 0), 0);

    /* Whoever may write a directory on the way puts another file there. */
    assert_int_equal(chmod(rig->dir, 0777), 0);
    assert_int_equal(try_add(rig, path, &number), -EPERM);
    assert_non_null(strstr(rig->err.msg, rig->dir));
    assert_int_equal(chmod(rig->dir, 01777), 0); /* but not what is root's, with the sticky bit */
    assert_int_equal(try_add(rig, path, &number), 0);
    assert_int_equal(chmod(rig->dir, 0755), 0);
    assert_int_equal(chown(rig->dir, NOBODY, 0), 0);
    assert_int_equal(try_add(rig, path, &number), -EPERM);
    assert_int_equal(chown(rig->dir, 0, 0), 0);

    /* A link is followed now, not when the command is run. */
    const char *link = rig_path(rig, "link");
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(try_add(rig, link, &number), 0);
    assert_string_equal(rig->commands->slots[number].command.path, path);
    assert_string_equal(rig->commands->slots[number].command.argv[0], link);
    put_script(rig, "q", "echo");
    assert_int_equal(chmod(rig_path(rig, "q"), 0777), 0);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("q", link), 0);
    assert_int_equal(try_add(rig, link, &number), -EPERM);
}

static int add_with(struct rig *rig, uint64_t timeout_ns, size_t output_max, size_t n_args)
{
    const char *argv[COMMAND_ARGS_MAX + 2] = {NULL};
    const struct command_limits limits = {timeout_ns, output_max};
    unsigned number;

    for (size_t i = 0; i < n_args; i++)
        argv[i] = "echo";
    return commands_add(rig->commands, argv, &limits, &number, &rig->err);
}

static void limits(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(add_with(rig, 1, 1, COMMAND_ARGS_MAX), 0);
    assert_int_equal(add_with(rig, 1, 1, COMMAND_ARGS_MAX + 1), -E2BIG);
    assert_int_equal(add_with(rig, COMMAND_TIMEOUT_MAX_NS, COMMAND_OUTPUT_MAX, 1), 0);
    assert_int_equal(add_with(rig, COMMAND_TIMEOUT_MAX_NS + 1, 1, 1), -EINVAL);
    assert_int_equal(add_with(rig, 0, 1, 1), -EINVAL);
    assert_int_equal(add_with(rig, 1, 0, 1), -EINVAL);
    assert_int_equal(add_with(rig, 1, COMMAND_OUTPUT_MAX + 1, 1), -EINVAL);
    assert_int_equal(rig->commands->n, 2);
}

static void same_command_same_number(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(add(rig, ARGV("echo", "a")), 0);
    assert_int_equal(add(rig, ARGV("echo", "b")), 1);
    assert_int_equal(add(rig, ARGV("echo")), 2);
    assert_int_equal(add_limited(rig, ARGV("echo", "a"), 1, PLENTY), 3);
    assert_int_equal(add_limited(rig, ARGV("echo", "a"), PLENTY_NS, 1), 4);
    assert_int_equal(add(rig, ARGV("/bin/../bin/echo", "a")), 5); /* its own name differs */
    assert_int_equal(add(rig, ARGV("echo", "a")), 0);
    assert_int_equal(add(rig, ARGV("echo")), 2);
    assert_int_equal(rig->commands->n, 6);
}

static void full_and_closed(void **state)
{
    struct rig *rig = *state;
    unsigned number = 99;

    for (unsigned i = 0; i < COMMANDS_MAX; i++) {
        char word[16];
        snprintf(word, sizeof(word), "%u", i);
        add(rig, ARGV("echo", word));
    }
    assert_int_equal(try_add(rig, "echo", &number), -E2BIG);
    assert_int_equal(commands_start_helper(rig->commands, &rig->err), 0);
    assert_int_equal(try_add(rig, "echo", &number), -EBUSY);
    assert_int_equal(add(rig, ARGV("echo", "7")), 7);
    assert_int_equal(commands_start_helper(rig->commands, &rig->err), -EBUSY);
}

/* Without a command there is no helper, and there can be none later: rights may be gone by then. */
static void empty(void **state)
{
    struct rig *rig = *state;
    unsigned number = 99;

    assert_int_equal(commands_start_helper(rig->commands, &rig->err), 0);
    assert_int_equal(commands_helper_pid(rig->commands), 0);
    assert_int_equal(try_add(rig, "echo", &number), -EBUSY);
    assert_int_equal(run(rig, 0), -EINVAL);
    assert_null(commands_free(NULL));
    commands_stop(NULL);
}

/* --- pure --------------------------------------------------------------------------------------------------------- */

static void first_lines(void **state)
{
    static const struct {
        const char *said, *line;
    } cases[] = {
        {"", ""},
        {"\n\n \t\n", ""},
        {"one", "one"},
        {"\r\n  one two \r\nthree\n", "one two"},
        {"a\tb\x01\x7f\xc3\xa4", "a b????"},
    };
    char line[COMMAND_ERROR_MAX], longest[2 * COMMAND_ERROR_MAX];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        command_first_line(text_of(cases[i].said), line);
        assert_string_equal(line, cases[i].line);
    }
    memset(longest, 'x', sizeof(longest));
    command_first_line((struct text){longest, sizeof(longest)}, line);
    assert_int_equal(strlen(line), COMMAND_ERROR_MAX - 1);
    command_first_line((struct text){"a\0b\n", 4}, line);
    assert_string_equal(line, "a?b");
}

struct frame {
    struct command_answer_head head;
    char output[8];
};

static int parse(const struct frame *frame, size_t n)
{
    struct command_answer answer;

    memset(&answer, 0x55, sizeof(answer));
    int r = command_answer_parse((struct text){(const char *)frame, n}, 6, &answer);
    if (r < 0)
        assert_int_equal(answer.result, 0x55555555); /* nothing written */
    return r;
}

static void answers(void **state)
{
    const struct frame good = {
        .head = {.magic = COMMAND_ANSWER_MAGIC, .status = 0x300, .output_len = 5, .error = "oh", .message = "m"},
        .output = "ab\0cd",
    };
    const size_t n = sizeof(good.head) + 5;
    struct command_answer answer;
    struct frame bad;

    assert_int_equal(command_answer_parse((struct text){(const char *)&good, n}, 5, &answer), 0);
    assert_int_equal(answer.result, 0);
    assert_int_equal(answer.end.status, 0x300);
    assert_string_equal(answer.end.error, "oh");
    assert_string_equal(answer.message, "m");
    assert_int_equal(answer.output.n, 5);
    assert_memory_equal(answer.output.p, "ab\0cd", 5);

    for (size_t cut = 0; cut < n; cut++)
        assert_int_equal(parse(&good, cut), -ENODATA);
    assert_int_equal(parse(&good, n + 1), -EPROTO);
    bad = good;
    bad.head.magic++;
    assert_int_equal(parse(&bad, n), -EPROTO);
    bad = good;
    bad.head.result = 1;
    assert_int_equal(parse(&bad, n), -EPROTO);
    bad.head.result = -4096;
    assert_int_equal(parse(&bad, n), -EPROTO);
    bad.head.result = INT32_MIN;
    assert_int_equal(parse(&bad, n), -EPROTO);
    bad.head.result = -ETIMEDOUT;
    assert_int_equal(parse(&bad, n), 0);
    bad = good;
    bad.head.output_len = 7;
    assert_int_equal(parse(&bad, n + 2), -E2BIG);
    bad.head.output_len = UINT32_MAX;
    assert_int_equal(parse(&bad, n), -E2BIG);
    bad = good;
    bad.head.error[1] = '\n';
    assert_int_equal(parse(&bad, n), -EPROTO);
    memset(bad.head.error, 'x', sizeof(bad.head.error));
    assert_int_equal(parse(&bad, n), -EPROTO);
    bad = good;
    memset(bad.head.message, 'x', sizeof(bad.head.message));
    assert_int_equal(parse(&bad, n), -EPROTO);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names),  TEST(not_executable),           TEST(changeable_by_others),
        TEST(limits), TEST(same_command_same_number), TEST(full_and_closed),
        TEST(empty),  cmocka_unit_test(first_lines),  cmocka_unit_test(answers),
    };

    return cmocka_run_group_tests_name("set", tests, NULL, NULL);
}

int main(void)
{
    return run_twice(run_all);
}
