/* SPDX-License-Identifier: Apache-2.0 */
/* A set of commands that are scripts of the test, with a helper or without, and what must hold after every test: no
 * child, no descriptor is left. */
#ifndef CARNOT_UNIT_BASE_COMMANDS_RIG_H
#define CARNOT_UNIT_BASE_COMMANDS_RIG_H

#include "unit_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/command_internal.h"

#define NOBODY          65534
#define WAIT_NS         (60 * NS_PER_SEC) /* for what must come; a busy machine is slow */
#define PLENTY_NS       (60 * NS_PER_SEC)
#define PLENTY          65536
#define RUNS_LONGER_MAX (20 * NS_PER_SEC) /* "at once", however slow the machine; far below PLENTY_NS */

struct rig {
    char dir[64];
    struct commands *commands;
    struct buf out;
    struct command_end end;
    struct carnot_err err;
    bool helper; /* to be started with the first run */
    int n_fds;
};

static bool with_helper; /* of the tests that run both ways */

static inline int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static inline int rig_setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    rig->n_fds = count_fds();
    snprintf(rig->dir, sizeof(rig->dir), "/tmp/carnot-commands-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    assert_int_equal(chmod(rig->dir, 0755), 0);
    buf_init(&rig->out, 8 << 20);
    rig->helper = with_helper;
    assert_int_equal(commands_new(&rig->commands, &rig->err), 0);
    *state = rig;
    return 0;
}

static inline int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove(path);
}

static inline int rig_teardown(void **state)
{
    struct rig *rig = *state;

    commands_free(rig->commands);
    buf_done(&rig->out);
    nftw(rig->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(count_fds(), rig->n_fds);
    free(rig);
    return 0;
}

/* PATH of an entry of the rig's directory; four are kept. */
static inline const char *rig_path(const struct rig *rig, const char *name)
{
    static __thread char paths[4][160];
    static __thread unsigned next;
    char *path = paths[next++ % 4];

    assert_true(snprintf(path, sizeof(paths[0]), "%s/%s", rig->dir, name) < (int)sizeof(paths[0]));
    return path;
}

static inline const char *put_file(const struct rig *rig, const char *name, const char *text, unsigned mode)
{
    const char *path = rig_path(rig, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

/* A shell script: `body` with the rig's directory as $D. */
static inline const char *put_script(const struct rig *rig, const char *name, const char *body)
{
    char text[2048];

    assert_true(snprintf(text, sizeof(text), "#!/bin/sh\nD=%s\n%s\n", rig->dir, body) < (int)sizeof(text));
    return put_file(rig, name, text, 0755);
}

static inline int try_add(struct rig *rig, const char *program, unsigned *ret_number)
{
    const char *const argv[] = {program, NULL};
    const struct command_limits limits = {.timeout_ns = PLENTY_NS, .output_max = PLENTY};

    rig->err = CARNOT_ERR_INIT;
    return commands_add(rig->commands, argv, &limits, ret_number, &rig->err);
}

static inline unsigned add_limited(struct rig *rig, const char *const *argv, uint64_t timeout_ns, size_t output_max)
{
    const struct command_limits limits = {.timeout_ns = timeout_ns, .output_max = output_max};
    unsigned number = 99;
    int r = commands_add(rig->commands, argv, &limits, &number, &rig->err);

    if (r < 0)
        fail_msg("%s", rig->err.msg);
    return number;
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline unsigned add(struct rig *rig, const char *const *argv)
{
    return add_limited(rig, argv, PLENTY_NS, PLENTY);
}

static inline unsigned add_script(struct rig *rig, const char *name, const char *body)
{
    return add(rig, ARGV(put_script(rig, name, body)));
}

static inline void start_helper(struct rig *rig)
{
    if (rig->helper && !commands_helper_pid(rig->commands)) {
        if (commands_start_helper(rig->commands, &rig->err) < 0)
            fail_msg("%s", rig->err.msg);
        assert_true(commands_helper_pid(rig->commands) > 0);
    }
}

static inline int run(struct rig *rig, unsigned number)
{
    start_helper(rig);
    buf_reset(&rig->out);
    rig->err = CARNOT_ERR_INIT;
    memset(&rig->end, 0x55, sizeof(rig->end));
    return commands_run(rig->commands, number, &rig->out, &rig->end, &rig->err);
}

/* Runs to a good end. */
static inline const char *output_of(struct rig *rig, unsigned number)
{
    int r = run(rig, number);

    if (r < 0)
        fail_msg("%d: %s", r, rig->err.msg);
    if (rig->end.status != 0)
        fail_msg("status %x: %s", (unsigned)rig->end.status, rig->end.error);
    return buf_str(&rig->out);
}

/* --- waiting for a condition, never for a time -------------------------------------------------------------------- */

#define WAIT_FOR(condition)                                                                                            \
    do {                                                                                                               \
        uint64_t until_ns_ = command_now_ns() + WAIT_NS;                                                               \
        while (!(condition)) {                                                                                         \
            if (command_now_ns() > until_ns_)                                                                          \
                fail_msg("waited in vain for %s", #condition);                                                         \
            poll(NULL, 0, 2);                                                                                          \
        }                                                                                                              \
    } while (0)

/* Text of a whole small file, "" when there is none. */
static inline const char *file_text(const char *path)
{
    static __thread char text[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* Ended, whether or not its parent has waited for it. */
static inline bool is_gone(pid_t pid)
{
    char path[64];
    const char *state;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    state = strrchr(file_text(path), ')');
    return !state || state[2] == 'Z' || state[2] == 'X';
}

/* The number in a file that a script writes when it gets there. */
static inline pid_t await_pid(const struct rig *rig, const char *name)
{
    const char *path = rig_path(rig, name);
    pid_t pid;

    WAIT_FOR(strchr(file_text(path), '\n'));
    pid = (pid_t)strtol(file_text(path), NULL, 10);
    assert_true(pid > 1);
    return pid;
}

/* A line of /proc/PID/status after its name and the tab; "" when there is none. */
static inline const char *status_line(const char *status, const char *name)
{
    static __thread char value[128];
    size_t len = strlen(name);

    value[0] = '\0';
    for (const char *line = status; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + len + 2, "\n"), line + len + 2);
    return value;
}

/* Once as we are and, when that is root, again as another user. The number of failures. */
static inline int run_twice(int (*tests)(void))
{
    int failed = tests(), status = -1;

    if (getuid() != 0 || failed)
        return failed;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
            _exit(1);
        puts("as another user:");
        exit(tests());
    }
    waitpid(pid, &status, 0);
    return status != 0;
}

#endif
