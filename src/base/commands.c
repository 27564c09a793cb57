/* SPDX-License-Identifier: Apache-2.0 */
/* The set of commands, and asking for one: of the helper where there is one, else run here. Knows which programs may be
 * named; refuses to know how one is run. */
#include "base/command_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* It has nothing to do but kill; a helper that was stopped by a signal is not waited for. */
#define HELPER_END_WAIT_NS (2 * NS_PER_SEC)

/* Of the stack; an answer of usual size is one piece. */
#define RECEIVE_CHUNK 16384

/* --- which programs ----------------------------------------------------------------------------------------------- */

/* The first file of that name. realpath() in the caller finds out what it is. */
static char *look_up(const char *name)
{
    struct text rest = text_of(COMMAND_PATH), directory;

    while (scan_until(&rest, ':', &directory)) {
        char *path = NULL;

        if (asprintf(&path, "%.*s/%s", (int)directory.n, directory.p, name) < 0)
            return NULL;
        if (access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return strdup(name); /* found nowhere */
}

/* Whether another user than root could put something else at that path, which has no symbolic links: by changing one
 * of its parts or by renaming it. The part to blame, to be freed; NULL: nobody could. */
static int find_weak_part(const char *path, char **ret_part)
{
    _cleanup_free_ char *part = strdup(path);
    size_t len = part ? strlen(part) : 0;
    struct stat st;

    if (!part)
        return -ENOMEM;
    for (;;) {
        if (lstat(part, &st) < 0)
            return -errno;
        bool by_others = st.st_mode & S_IWOTH || (st.st_mode & S_IWGRP && st.st_gid != 0);
        bool only_own = S_ISDIR(st.st_mode) && st.st_mode & S_ISVTX; /* nobody renames what is root's in there */
        if (st.st_uid != 0 || (by_others && !only_own)) {
            *ret_part = TAKE_PTR(part);
            return 0;
        }
        if (len == 1)
            return 0;
        while (len > 1 && part[len - 1] != '/')
            part[--len] = '\0';
        if (len > 1)
            part[--len] = '\0';
    }
}

static int check_file(const char *path, struct carnot_err *err)
{
    _cleanup_free_ char *weak = NULL;
    struct stat st;
    int r;

    if (stat(path, &st) < 0)
        return carnot_err_errno(err, errno, "cannot look at program %s", path);
    if (!S_ISREG(st.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
        return carnot_err_set(err, EACCES, "%s is no program that may be executed here: see its mode with ls -l", path);
    r = geteuid() == 0 ? find_weak_part(path, &weak) : 0;
    if (r < 0)
        return carnot_err_errno(err, r, "cannot look at program %s", path);
    if (weak)
        return carnot_err_set(err, EPERM,
                              "%s is not run as root, since another user could change it: give %s to root and take the "
                              "right to write from others (chown root:root, chmod go-w)",
                              path, weak);
    return 0;
}

static int resolve(const char *name, char **ret_path, struct carnot_err *err)
{
    if (!name || !name[0] || (name[0] != '/' && strchr(name, '/')))
        return carnot_err_set(err, EINVAL, "\"%s\" names no program: give an absolute path or a plain name",
                              name ? name : "");

    _cleanup_free_ char *found = name[0] == '/' ? strdup(name) : look_up(name);
    if (!found)
        return carnot_err_set(err, ENOMEM, "out of memory while looking for %s", name);
    if (found[0] != '/')
        return carnot_err_set(
            err, ENOENT, "there is no program %s in " COMMAND_PATH ": install it, or give its absolute path", name);

    _cleanup_free_ char *path = realpath(found, NULL);
    if (!path && (errno == ENOENT || errno == ENOTDIR))
        return carnot_err_set(err, ENOENT, "there is no program %s: install it, or correct the path", found);
    if (!path)
        return carnot_err_errno(err, errno, "cannot find program %s", found);

    int r = check_file(path, err);
    if (r < 0)
        return r;
    *ret_path = TAKE_PTR(path);
    return 0;
}

/* --- the set ------------------------------------------------------------------------------------------------------ */

static char **argv_free(char **argv)
{
    for (size_t i = 0; argv && argv[i]; i++)
        free(argv[i]);
    free(argv);
    return NULL;
}

static char **argv_copy(const char *const *argv, size_t n)
{
    char **copy = calloc(n + 1, sizeof(*copy));

    for (size_t i = 0; copy && i < n; i++) {
        copy[i] = strdup(argv[i]);
        if (!copy[i])
            return argv_free(copy);
    }
    return copy;
}

static bool is_same(const struct command *command, const char *path, const char *const *argv,
                    const struct command_limits *limits)
{
    size_t i = 0;

    while (command->argv[i] && argv[i] && strcmp(command->argv[i], argv[i]) == 0)
        i++;
    return !command->argv[i] && !argv[i] && strcmp(command->path, path) == 0 &&
           command->limits.timeout_ns == limits->timeout_ns && command->limits.output_max == limits->output_max;
}

int commands_new(struct commands **ret_commands, struct carnot_err *err)
{
    struct commands *commands = calloc(1, sizeof(*commands));
    int r = 0;

    if (!commands)
        return carnot_err_set(err, ENOMEM, "out of memory for the set of commands");
    pthread_mutex_init(&commands->lock, NULL);
    pthread_cond_init(&commands->none_runs, NULL);
    commands->helper_fd = -1;
    /* Not below --path.rootfs: it belongs to the programs that run here, not to the machine that is looked at. */
    commands->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    r = commands->null_fd < 0 ? -errno : command_fd_raise(&commands->null_fd);
    commands->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r >= 0 && commands->stop_fd < 0)
        r = -errno;
    if (r < 0) {
        commands_free(commands);
        return carnot_err_errno(err, r, "cannot open /dev/null and an event descriptor for commands");
    }
    *ret_commands = commands;
    return 0;
}

static int add(struct commands *commands, char **path, const char *const *argv, size_t n_args,
               const struct command_limits *limits, unsigned *ret_number, struct carnot_err *err)
{
    for (unsigned i = 0; i < commands->n; i++) {
        if (is_same(&commands->slots[i].command, *path, argv, limits)) {
            *ret_number = i;
            return 0;
        }
    }
    if (commands->closed)
        return carnot_err_set(err, EBUSY, "%s cannot be added: what this program may run was fixed at its start",
                              *path);
    if (commands->n == COMMANDS_MAX)
        return carnot_err_set(err, E2BIG, "%s cannot be added: there are %d commands already, and no more may be",
                              *path, COMMANDS_MAX);

    struct command_slot *slot = &commands->slots[commands->n];
    slot->command.argv = argv_copy(argv, n_args);
    if (!slot->command.argv)
        return carnot_err_set(err, ENOMEM, "out of memory for command %s", *path);
    slot->command.path = TAKE_PTR(*path);
    slot->command.limits = *limits;
    pthread_mutex_init(&slot->turn, NULL);
    command_run_init(&slot->run, &slot->command);
    buf_init(&slot->answer, sizeof(struct command_answer_head) + limits->output_max);
    *ret_number = commands->n++;
    return 0;
}

int commands_add(struct commands *commands, const char *const *argv, const struct command_limits *limits,
                 unsigned *ret_number, struct carnot_err *err)
{
    _cleanup_free_ char *path = NULL;
    size_t n_args = 0;
    int r = resolve(argv[0], &path, err);

    if (r < 0)
        return r;
    while (n_args <= COMMAND_ARGS_MAX && argv[n_args])
        n_args++;
    if (n_args > COMMAND_ARGS_MAX)
        return carnot_err_set(err, E2BIG, "command %s has more than the %d arguments allowed", path, COMMAND_ARGS_MAX);
    if (limits->timeout_ns == 0 || limits->timeout_ns > COMMAND_TIMEOUT_MAX_NS || limits->output_max == 0 ||
        limits->output_max > COMMAND_OUTPUT_MAX)
        return carnot_err_set(err, EINVAL,
                              "command %s needs a time of up to %u s and an output of up to %zu bytes as its limits",
                              path, (unsigned)(COMMAND_TIMEOUT_MAX_NS / NS_PER_SEC), COMMAND_OUTPUT_MAX);
    pthread_mutex_lock(&commands->lock);
    r = add(commands, &path, argv, n_args, limits, ret_number, err);
    pthread_mutex_unlock(&commands->lock);
    return r;
}

void commands_stop(struct commands *commands)
{
    uint64_t one = 1;
    ssize_t n MAYBE_UNUSED;

    if (!commands)
        return;
    pthread_mutex_lock(&commands->lock);
    commands->stopping = commands->closed = true;
    pthread_mutex_unlock(&commands->lock);
    n = write(commands->stop_fd, &one, sizeof(one)); /* a counter that is raised a few times cannot be full */
    /* The helper sees the end of requests, kills what runs and ends. */
    if (commands->helper_fd >= 0)
        shutdown(commands->helper_fd, SHUT_WR);
}

/* With it goes its side of the socket. */
static void await_helper_end(struct commands *commands)
{
    struct pollfd gone = {.fd = commands->helper_fd, .events = POLLIN};
    uint64_t until_ns = command_now_ns() + HELPER_END_WAIT_NS;

    if (commands->helper_fd < 0)
        return;
    while (command_wait(&gone, 1, until_ns, NULL) == -EINTR)
        ;
    cleanup_closep(&commands->helper_fd);
    /* Our child only where we are process 1 of a container. */
    waitpid(commands->helper_pid, NULL, gone.revents ? 0 : WNOHANG);
}

struct commands *commands_free(struct commands *commands)
{
    if (!commands)
        return NULL;
    commands_stop(commands);
    pthread_mutex_lock(&commands->lock);
    while (commands->n_running > 0)
        pthread_cond_wait(&commands->none_runs, &commands->lock);
    pthread_mutex_unlock(&commands->lock);
    await_helper_end(commands);
    for (unsigned i = 0; i < commands->n; i++) {
        struct command_slot *slot = &commands->slots[i];

        command_run_done(&slot->run);
        buf_done(&slot->answer);
        pthread_mutex_destroy(&slot->turn);
        argv_free(slot->command.argv);
        free(slot->command.path);
    }
    cleanup_closep(&commands->null_fd);
    cleanup_closep(&commands->stop_fd);
    pthread_cond_destroy(&commands->none_runs);
    pthread_mutex_destroy(&commands->lock);
    free(commands);
    return NULL;
}

pid_t commands_helper_pid(const struct commands *commands)
{
    return commands->helper_fd >= 0 ? commands->helper_pid : 0;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static int helper_gone(const struct command *command, struct carnot_err *err)
{
    return carnot_err_set(err, EPIPE,
                          "%s cannot be run: the process carnotd-helper, which ran it, has ended; restart this program",
                          command->path);
}

static int stopped(struct carnot_err *err)
{
    return carnot_err_set(err, ECANCELED, "no command is run any more, since this program stops");
}

static int send_request(int helper_fd, unsigned number, int answer_fd)
{
    struct command_request request = {.magic = COMMAND_REQUEST_MAGIC, .number = number};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec data = {.iov_base = &request, .iov_len = sizeof(request)};
    struct msghdr msg = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.room)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    ssize_t n;

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &answer_fd, sizeof(int));
    /* One request of each number is under way at most: they always fit. */
    do
        n = sendmsg(helper_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* Up to the end of the stream. */
static int receive_answer(int fd, int stop_fd, uint64_t until_ns, struct buf *answer)
{
    struct pollfd wait[] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
    char chunk[RECEIVE_CHUNK];

    buf_reset(answer);
    for (;;) {
        ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

        if (n == 0)
            return 0;
        if (n > 0)
            buf_append(answer, chunk, (size_t)n);
        else if (errno != EAGAIN && errno != EINTR)
            return -errno;
        else if (command_wait(wait, ELEMENTSOF(wait), until_ns, NULL) == 0)
            return -ETIMEDOUT;
        if (wait[1].revents)
            return -ECANCELED;
        if (buf_error(answer))
            return buf_error(answer);
    }
}

static int take_answer(const struct command_slot *slot, struct command_answer *ret_answer, struct carnot_err *err)
{
    const struct command *command = &slot->command;
    int r = command_answer_parse((struct text){buf_str(&slot->answer), slot->answer.len}, command->limits.output_max,
                                 ret_answer);

    if (r == -ENODATA)
        return helper_gone(command, err);
    if (r < 0)
        return carnot_err_set(err, EPROTO, "the process carnotd-helper gave nonsense for an answer to %s",
                              command->path);
    if (ret_answer->result < 0)
        return carnot_err_set(err, ret_answer->result, "%s", ret_answer->message);
    return 0;
}

static int ask_helper(const struct commands *commands, unsigned number, struct command_slot *slot,
                      struct command_answer *ret_answer, struct carnot_err *err)
{
    const struct command *command = &slot->command;
    uint64_t wait_ns = command->limits.timeout_ns + COMMAND_KILL_WAIT_NS + COMMAND_ANSWER_WAIT_NS;
    uint64_t until_ns = command_now_ns() + wait_ns;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return carnot_err_errno(err, errno, "cannot ask for %s", command->path);

    _cleanup_close_ int fd = ends[0];
    int r = send_request(commands->helper_fd, number, ends[1]);
    close(ends[1]);
    if (r >= 0)
        r = receive_answer(fd, commands->stop_fd, until_ns, &slot->answer);
    if (r == -ECANCELED)
        return stopped(err);
    if (r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN)
        return helper_gone(command, err);
    if (r == -ETIMEDOUT)
        return carnot_err_set(err, ETIMEDOUT,
                              "the process carnotd-helper (%d) gave no answer to %s within %u s: see whether it is "
                              "stopped",
                              (int)commands->helper_pid, command->path, (unsigned)(wait_ns / NS_PER_SEC));
    if (r < 0)
        return carnot_err_errno(err, r, "cannot get the answer to %s", command->path);
    return take_answer(slot, ret_answer, err);
}

static int run_here(const struct commands *commands, struct command_slot *slot, struct command_answer *ret_answer,
                    struct carnot_err *err)
{
    struct command_run *run = &slot->run;
    struct pollfd fds[COMMAND_FDS + 1];
    int r = command_run_begin(run, commands->null_fd, err);

    if (r < 0)
        return r;
    while (!command_run_step(run, command_now_ns())) {
        command_run_watch(run, fds);
        /* Stopping is told once: from then on the end of what was killed is waited for. */
        fds[COMMAND_FDS] = (struct pollfd){.fd = run->killed ? -1 : commands->stop_fd, .events = POLLIN};
        if (command_wait(fds, ELEMENTSOF(fds), command_run_wake_ns(run, command_now_ns()), NULL) > 0 &&
            fds[COMMAND_FDS].revents)
            command_run_cancel(run);
    }
    r = command_run_result(run, &ret_answer->end, err);
    if (r < 0)
        return r;
    ret_answer->output = (struct text){buf_str(&run->output), run->output.len};
    return 0;
}

/* Those who are in are waited for by commands_free(). */
static int enter(struct commands *commands, unsigned number, struct carnot_err *err)
{
    unsigned n;
    bool stopping;

    pthread_mutex_lock(&commands->lock);
    n = commands->n;
    stopping = commands->stopping;
    if (number < n && !stopping)
        commands->n_running++;
    pthread_mutex_unlock(&commands->lock);
    if (number >= n)
        return carnot_err_set(err, EINVAL, "there is no command %u: %u are known", number, n);
    return stopping ? stopped(err) : 0;
}

static void leave(struct commands *commands)
{
    pthread_mutex_lock(&commands->lock);
    if (--commands->n_running == 0)
        pthread_cond_broadcast(&commands->none_runs);
    pthread_mutex_unlock(&commands->lock);
}

int commands_run(struct commands *commands, unsigned number, struct buf *out, struct command_end *ret_end,
                 struct carnot_err *err)
{
    struct command_answer answer;
    int r = enter(commands, number, err);

    if (r < 0)
        return r;

    struct command_slot *slot = &commands->slots[number];
    pthread_mutex_lock(&slot->turn);
    r = commands->helper_fd >= 0 ? ask_helper(commands, number, slot, &answer, err)
                                 : run_here(commands, slot, &answer, err);
    if (r >= 0)
        buf_append(out, answer.output.p, answer.output.n);
    pthread_mutex_unlock(&slot->turn);
    if (r >= 0 && buf_error(out))
        r = carnot_err_errno(err, buf_error(out), "no room for what %s printed", slot->command.path);
    if (r >= 0)
        *ret_end = answer.end;
    leave(commands);
    return r;
}
