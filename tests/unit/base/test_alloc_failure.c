/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a piece of work with the first allocation failing, then the second, and so on until none fails: each failure
 * must be reported as -ENOMEM and leave everything in a state that can be used and freed (the address sanitizer's build
 * sees leaks). The linker puts the wrappers below before malloc, calloc and realloc of our objects; libyaml's own are
 * out of reach. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/commands.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/u64map.h"
#include "settings.h"
#include "unit_test.h"

/* Allocations that still succeed; negative: no failures. */
static long allocations_left = -1;
static unsigned long failures;

static bool fails_now(void)
{
    if (allocations_left < 0)
        return false;
    if (allocations_left > 0) {
        allocations_left--;
        return false;
    }
    failures++;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails_now() ? NULL : __real_realloc(p, size);
}

/* Far more than any of the pieces of work allocates. */
#define ATTEMPTS_MAX 1000

/* Calls work with 0, 1, 2, ... allocations allowed until it succeeds without one having failed. work returns 0 or
 * -ENOMEM. */
static void fail_each(int (*work)(void), unsigned least_failures)
{
    for (long n = 0; n < ATTEMPTS_MAX; n++) {
        failures = 0;
        allocations_left = n;
        int r = work();
        allocations_left = -1;
        if (failures == 0) {
            assert_int_equal(r, 0);
            assert_true(n >= least_failures);
            return;
        }
        assert_int_equal(r, -ENOMEM);
    }
    fail_msg("still failing after %d attempts", ATTEMPTS_MAX);
}

/* From here on nothing may fail any more, but the bookkeeping of what did is kept. */
static void allow_all(void)
{
    allocations_left = -1;
}

static int use_arena(void)
{
    struct arena arena;
    int r = 0;

    arena_init(&arena, 0);
    for (size_t i = 0; i < 200 && r == 0; i++) {
        if (!arena_alloc(&arena, 1000 * i))
            r = -ENOMEM;
    }
    if (r == 0 && (!arena_strdup(&arena, "text") || !arena_alloc_array(&arena, 1000000, 8)))
        r = -ENOMEM;
    /* It goes on with what it has. */
    arena_reset(&arena);
    assert_true(!arena.first || arena_alloc(&arena, 100));
    allow_all();
    assert_non_null(arena_alloc(&arena, 100000));
    arena_done(&arena);
    return r;
}

static int use_buf(void)
{
    struct buf buf;
    size_t len = 0;

    buf_init(&buf, 1 << 20);
    for (int i = 0; i < 1000 && !buf_error(&buf); i++) {
        len = buf.len;
        buf_puts(&buf, "some text ");
        buf_printf(&buf, "%0300d", i);
        buf_put_u64(&buf, (uint64_t)i);
    }
    int r = buf_error(&buf);
    allow_all();
    /* Whole pieces only, and nothing more after the failure. */
    if (r) {
        assert_int_equal(strlen(buf_str(&buf)), buf.len);
        assert_true(buf.len >= len);
        len = buf.len;
        buf_putc(&buf, 'x');
        assert_int_equal(buf.len, len);
        buf_reset(&buf);
        buf_putc(&buf, 'x');
        assert_string_equal(buf_str(&buf), "x");
    }
    buf_done(&buf);
    return r;
}

static int use_json(void)
{
    struct buf buf;
    struct json_out json;

    buf_init(&buf, 1 << 20);
    json_out_init(&json, &buf);
    json_out_array(&json);
    for (int i = 0; i < 1000; i++)
        json_out_string(&json, "0123456789\n");
    json_out_array_end(&json);
    int r = buf_error(&buf);
    allow_all();
    buf_done(&buf);
    return r;
}

static int use_u64map(void)
{
    struct u64map map = {0};
    uint64_t key = 0;
    int r = 0;

    while (key < 1000 && r == 0)
        r = u64map_put(&map, key++, 1);
    allow_all();
    /* All that was put before the failure is there, the last is not, and can be put again. */
    if (r < 0)
        key--;
    assert_int_equal(map.len, key);
    for (uint64_t i = 0; i < key; i++)
        assert_int_equal(u64map_get(&map, i), 1);
    assert_int_equal(u64map_get(&map, key), U64MAP_NONE);
    assert_int_equal(u64map_put(&map, key, 2), 0);
    u64map_done(&map);
    return r;
}

static char long_text[30000];

static int use_options(void)
{
    struct fixture f;
    char *argv[] = {(char[]){"prog"}, (char[]){"--config.file"}, long_text, (char[]){"--collector.labels"}, long_text};
    int r;

    memset(long_text, 'x', sizeof(long_text) - 1);
    fixture_init(&f);
    r = option_defaults(&f.set, &f.err);
    if (r >= 0)
        r = option_parse_argv(&f.set, ELEMENTSOF(argv), argv, false, &f.err);
    allow_all();
    if (r < 0) {
        assert_int_equal(f.err.code, ENOMEM);
        assert_non_null(strstr(f.err.msg, "out of memory"));
    } else {
        assert_int_equal(r, ELEMENTSOF(argv));
        r = 0;
    }
    option_set_done(&f.set);
    return r;
}

static int use_yaml(void)
{
    static const char text[] = "web:\n  listen-address: a\ncollector:\n  labels: [a, b, c]\n";
    struct fixture f;

    fixture_init(&f);
    int r = option_parse_yaml(&f.set, "c.yaml", text, sizeof(text) - 1, &f.err);
    allow_all();
    assert_int_equal(f.err.code, -r);
    option_set_done(&f.set);
    return r;
}

static int use_commands(void)
{
    static const char *const argv[] = {"echo", "text", NULL};
    const struct command_limits limits = {.timeout_ns = 60 * NS_PER_SEC, .output_max = 4096};
    struct carnot_err err = CARNOT_ERR_INIT;
    struct commands *commands = NULL;
    struct command_end end;
    struct buf out;
    unsigned number;

    buf_init(&out, 4096);
    int r = commands_new(&commands, &err);
    if (r >= 0)
        r = commands_add(commands, argv, &limits, &number, &err);
    if (r >= 0)
        r = commands_run(commands, number, &out, &end, &err);
    allow_all();
    assert_int_equal(err.code, -r);
    assert_string_equal(buf_str(&out), r < 0 ? "" : "text\n");
    buf_done(&out);
    commands_free(commands);
    return r;
}

/* An error sentence is given even when the memory for its details is not. */
static void a_wrong_value_without_memory(void **state)
{
    struct fixture f;

    fixture_init(&f);
    assert_int_equal(option_defaults(&f.set, &f.err), 0);
    allocations_left = 0;
    int r = option_set_text(&f.set, "workers", "99", "x:1", &f.err);
    allow_all();
    assert_int_equal(r, -EINVAL);
    assert_string_equal(f.err.msg, "x:1: workers: expected another value, got \"99\"");
    option_set_done(&f.set);
}

/* The last thing that a program says may be that there is no memory. */
static void a_log_line_without_memory(void **state)
{
    const char *tmp = getenv("TMPDIR");
    int fd = open(tmp ? tmp : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int before = dup(STDERR_FILENO);
    char text[64] = "";

    assert_true(fd >= 0 && before >= 0);
    log_setup("prog", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    allocations_left = 0;
    log_error("out of memory");
    allow_all();
    dup2(before, STDERR_FILENO);
    close(before);
    assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), 14);
    assert_string_equal(text, "out of memory\n");
    close(fd);
}

static void arena(void **state)
{
    fail_each(use_arena, 5);
}

static void buf(void **state)
{
    fail_each(use_buf, 5);
}

static void json(void **state)
{
    fail_each(use_json, 5);
}

static void u64map(void **state)
{
    fail_each(use_u64map, 5);
}

static void commands(void **state)
{
    fail_each(use_commands, 4);
}

static void options(void **state)
{
    fail_each(use_options, 3);
}

static void yaml(void **state)
{
    fail_each(use_yaml, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena),
        cmocka_unit_test(buf),
        cmocka_unit_test(json),
        cmocka_unit_test(u64map),
        cmocka_unit_test(commands),
        cmocka_unit_test(options),
        cmocka_unit_test(yaml),
        cmocka_unit_test(a_wrong_value_without_memory),
        cmocka_unit_test(a_log_line_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
