/* SPDX-License-Identifier: Apache-2.0 */
/* See state_file.h. The text belongs to the writer from the moment it is handed over until it is done with it; one
 * event descriptor wakes the writer, another tells that it is done. */
#include "agent/state_file.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/file_replace.h"

#define REFUSED_SUFFIX ".refused"

/* Totals of the machine's energy are for root. */
#define FILE_MODE 0600
#define DIR_MODE  0755

struct state_file {
    char *path;
    struct state_identity identity;
    int lock_fd;
    int work_fd, done_fd;
    pthread_t writer;
    bool has_writer, writing;

    struct buf text; /* the writer's while `writing` */
    int result;      /* the writer's, until it says that it is done */
    struct carnot_err err;
    atomic_bool end, left_behind;
};

/* --- Which machine ------------------------------------------------------------------------------------------------ */

/* An id is hexadecimal digits and dashes; anything else is none. */
static void read_id(const struct fsroot *root, const char *path, char out[LIFETIME_ID_MAX])
{
    ssize_t n = fsroot_read_line(root, path, out, LIFETIME_ID_MAX, NULL);

    if (n <= 1 || strspn(out, "0123456789abcdef-") != (size_t)n)
        out[0] = '\0';
}

void state_identity_read(const struct carnot_env *env, struct state_identity *ret_identity)
{
    read_id(&env->root, "etc/machine-id", ret_identity->machine);
    read_id(&env->proc, "sys/kernel/random/boot_id", ret_identity->boot);
}

/* --- The file ----------------------------------------------------------------------------------------------------- */

static void file_free(struct state_file *file)
{
    cleanup_closep(&file->lock_fd);
    cleanup_closep(&file->work_fd);
    cleanup_closep(&file->done_fd);
    buf_done(&file->text);
    free(file->path);
    free(file);
}

static int make_directory(const char *path, struct carnot_err *err)
{
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return 0;

    _cleanup_free_ char *dir = strndup(path, (size_t)(slash - path));
    if (!dir)
        return carnot_err_set(err, ENOMEM, "out of memory for the path %s", path);
    if (mkdir(dir, DIR_MODE) < 0 && errno != EEXIST)
        return carnot_err_errno(err, errno, "cannot make the directory %s", dir);
    return 0;
}

int state_file_open(const char *path, const struct state_identity *identity, struct state_file **ret_file,
                    struct carnot_err *err)
{
    struct state_file *file = calloc(1, sizeof(*file));

    if (!file)
        return carnot_err_set(err, ENOMEM, "out of memory for %s", path);
    *file = (struct state_file){.identity = *identity, .lock_fd = -1, .work_fd = -1, .done_fd = -1};
    buf_init(&file->text, LIFETIME_TEXT_MAX);
    file->path = strdup(path);
    int r = file->path ? make_directory(path, err) : carnot_err_set(err, ENOMEM, "out of memory for %s", path);
    if (r >= 0)
        r = file->lock_fd = file_lock(path, err);
    if (r < 0) {
        file_free(file);
        return r;
    }
    *ret_file = file;
    return 0;
}

static int check_machine(const struct state_file *file, const struct lifetime_state *state, struct carnot_err *err)
{
    const char *ours = file->identity.machine;

    if (!ours[0] || !state->machine[0] || strcmp(ours, state->machine) == 0)
        return 0;
    return carnot_err_set(err, EPROTO, "it is of another machine (machine-id %s)", state->machine);
}

/* The bytes that are there; -EPROTO also for what is no file or far too large. */
static int read_state(const struct state_file *file, struct lifetime_state *ret_state, struct carnot_err *err)
{
    _cleanup_free_ char *bytes = malloc(LIFETIME_TEXT_MAX + 1);

    if (!bytes)
        return carnot_err_set(err, ENOMEM, "out of memory");
    ssize_t n = file_read(file->path, bytes, LIFETIME_TEXT_MAX + 1, err);
    if (n == -E2BIG || n == -EINVAL)
        return carnot_err_set(err, EPROTO, "it is no state of carnotd");
    if (n < 0)
        return (int)n;
    int r = lifetime_parse((struct text){bytes, (size_t)n}, ret_state, err);
    return r < 0 ? r : check_machine(file, ret_state, err);
}

int state_file_load(struct state_file *file, struct lifetime_state *ret_state, struct carnot_err *err)
{
    struct carnot_err why = CARNOT_ERR_INIT, aside = CARNOT_ERR_INIT;
    int r = read_state(file, ret_state, &why);

    if (r >= 0)
        return 0;
    ret_state->n = 0;
    ret_state->saved_real_ns = 0;
    if (r == -ENOENT)
        return 0;
    if (r != -EPROTO)
        return carnot_err_set(err, r, "%s; energy totals will not be kept over restarts", why.msg);
    r = file_set_aside(file->path, REFUSED_SUFFIX, &aside);
    if (r < 0)
        return carnot_err_set(err, r, "%s cannot be used, since %s, and %s; totals will not be kept over restarts",
                              file->path, why.msg, aside.msg);
    return carnot_err_set(err, EPROTO,
                          "%s cannot be used, since %s; it was set aside as %s" REFUSED_SUFFIX " and totals begin at 0",
                          file->path, why.msg, file->path);
}

/* --- The writer --------------------------------------------------------------------------------------------------- */

static void raise_event(int fd)
{
    uint64_t one = 1;
    ssize_t n MAYBE_UNUSED = write(fd, &one, sizeof(one)); /* at most a few are raised before one is taken */
}

static bool await_event(int fd, const uint64_t *wait_ns)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};
    struct timespec wait = {0};
    uint64_t count;

    if (wait_ns) {
        wait.tv_sec = (time_t)(*wait_ns / NS_PER_SEC);
        wait.tv_nsec = (long)(*wait_ns % NS_PER_SEC);
    }
    return ppoll(&event, 1, wait_ns ? &wait : NULL, NULL) > 0 && read(fd, &count, sizeof(count)) > 0;
}

static void *work(void *arg)
{
    struct state_file *file = arg;

    for (;;) {
        while (!await_event(file->work_fd, NULL))
            ;
        if (atomic_load(&file->end))
            break;
        file->err = CARNOT_ERR_INIT;
        file->result = file_replace(file->path, FILE_MODE, file->text.data, file->text.len, &file->err);
        raise_event(file->done_fd);
    }
    if (atomic_load(&file->left_behind))
        file_free(file);
    return NULL;
}

int state_file_start(struct state_file *file, struct carnot_err *err)
{
    sigset_t all, before;
    int r = 0;

    file->work_fd = eventfd(0, EFD_CLOEXEC);
    file->done_fd = eventfd(0, EFD_CLOEXEC);
    if (file->work_fd < 0 || file->done_fd < 0)
        r = errno;
    if (r == 0) {
        /* The new thread inherits the mask: signals are for those who wait for them. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&file->writer, NULL, work, file);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (r != 0)
        return carnot_err_errno(err, r, "cannot start the thread that writes %s", file->path);
    pthread_setname_np(file->writer, "state");
    file->has_writer = true;
    return 0;
}

bool state_file_is_busy(const struct state_file *file)
{
    return file->writing;
}

bool state_file_save(struct state_file *file, struct lifetime_state *state)
{
    if (!file->has_writer || file->writing)
        return false;
    memcpy(state->machine, file->identity.machine, sizeof(state->machine));
    memcpy(state->boot, file->identity.boot, sizeof(state->boot));
    buf_reset(&file->text);
    lifetime_format(state, &file->text);
    if (buf_error(&file->text))
        return false;
    file->writing = true;
    raise_event(file->work_fd);
    return true;
}

enum state_write state_file_result(struct state_file *file, uint64_t wait_ns, struct carnot_err *err)
{
    if (!file->writing)
        return STATE_IDLE;
    if (!await_event(file->done_fd, &wait_ns))
        return STATE_WRITING;
    file->writing = false;
    if (file->result >= 0)
        return STATE_WRITTEN;
    if (err)
        *err = file->err;
    return STATE_FAILED;
}

struct state_file *state_file_close(struct state_file *file, uint64_t wait_ns)
{
    if (!file)
        return NULL;
    if (file->has_writer) {
        bool hangs = state_file_result(file, wait_ns, NULL) == STATE_WRITING;

        atomic_store(&file->left_behind, hangs);
        atomic_store(&file->end, true);
        raise_event(file->work_fd);
        if (hangs) {
            pthread_detach(file->writer);
            return NULL;
        }
        pthread_join(file->writer, NULL);
    }
    file_free(file);
    return NULL;
}
