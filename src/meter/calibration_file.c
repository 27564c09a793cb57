/* SPDX-License-Identifier: Apache-2.0 */
/* See calibration_file.h. The default file belongs to the machine whose root we were given; a path from the user is
 * taken as it is. */
#include "meter/calibration_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "sources/socket_package.h"

static int read_fd(int fd, const char *path, char *text, size_t size, size_t *ret_len, struct carnot_err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return carnot_err_errno(err, errno, "cannot read calibration %s", path);
    if (!S_ISREG(st.st_mode))
        return carnot_err_set(err, EINVAL, "calibration %s is no regular file", path);
    ssize_t n = fd_read_front(fd, text, size);
    if (n < 0)
        return carnot_err_errno(err, (int)n, "cannot read calibration %s", path);
    *ret_len = (size_t)n;
    return 0;
}

/* O_NONBLOCK: a pipe in the file's place is refused, not waited for. */
static int open_file(const struct carnot_env *env, const struct calibration_file *file, bool given,
                     struct carnot_err *err)
{
    if (!given)
        return fsroot_openat(&env->root, CALIBRATION_DEFAULT_FILE, O_NONBLOCK, err);
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? carnot_err_errno(err, errno, "cannot open calibration %s", file->path) : fd;
}

static void name_packages(struct calibration *calibration, const struct topology *topology)
{
    int package_of[DOMAINS_MAX];

    for (uint32_t socket = 0; socket < calibration->packages && socket < DOMAINS_MAX; socket++)
        package_of[socket] = socket_package(topology, socket);
    calibration_renumber(calibration, package_of);
}

static int load(const struct carnot_env *env, const struct topology *topology, struct calibration_file *file,
                bool given, struct carnot_err *err)
{
    _cleanup_free_ struct calibration *calibration = calloc(1, sizeof(*calibration));
    _cleanup_free_ char *text = malloc(CALIBRATION_FILE_MAX + 1); /* one more, to see that there is more */
    size_t len = 0;

    if (!calibration || !text)
        return carnot_err_set(err, ENOMEM, "out of memory while reading calibration %s", file->path);
    _cleanup_close_ int fd = open_file(env, file, given, err);
    if (fd < 0)
        return fd;
    int r = read_fd(fd, file->path, text, CALIBRATION_FILE_MAX + 1, &len, err);
    if (r >= 0)
        r = calibration_parse((struct text){text, len}, file->path, calibration, err);
    if (r >= 0)
        r = calibration_check_machine(calibration, topology, file->path, err);
    if (r < 0)
        return r;
    if (calibration->format == CALIBRATION_ENERGAT)
        name_packages(calibration, topology);
    file->calibration = TAKE_PTR(calibration);
    return 0;
}

char *calibration_default_path(const struct carnot_env *env)
{
    const char *root = env->root.path ? env->root.path : "/";
    char *path = NULL;

    if (asprintf(&path, "%s%s" CALIBRATION_DEFAULT_FILE, root, root[strlen(root) - 1] == '/' ? "" : "/") < 0)
        return NULL;
    return path;
}

int calibration_file_load(const struct carnot_env *env, const struct topology *topology, const char *setting,
                          struct calibration_file *ret_file, struct carnot_err *err)
{
    bool given = setting && setting[0];
    struct calibration_file file = {0};
    struct carnot_err why = CARNOT_ERR_INIT;

    if (given && strcmp(setting, CALIBRATION_NONE) == 0) {
        *ret_file = file;
        return 0;
    }
    file.path = given ? strdup(setting) : calibration_default_path(env);
    if (!file.path)
        return carnot_err_set(err, ENOMEM, "out of memory");
    int r = load(env, topology, &file, given, &why);
    if (r < 0 && (given || r == -ENOMEM)) {
        calibration_file_done(&file);
        return carnot_err_set(err, r, "%s%s", given ? "--calibration.file: " : "", why.msg);
    }
    if (r < 0 && r != -ENOENT && r != -ENODEV && r != -ENOTDIR)
        snprintf(file.why, sizeof(file.why), "%s", why.msg);
    *ret_file = file;
    return 0;
}

void calibration_file_done(struct calibration_file *file)
{
    free(file->calibration);
    free(file->path);
    *file = (struct calibration_file){0};
}

void calibration_file_describe(const struct calibration_file *file, struct buf *out)
{
    if (!file->path) {
        buf_puts(out, "none, as --calibration.file says");
    } else if (file->why[0]) {
        buf_printf(out, "not used: %s", file->why);
    } else if (!file->calibration) {
        buf_printf(out, "none (there is no %s)", file->path);
    } else {
        buf_printf(out, "%s (", file->path);
        calibration_describe(file->calibration, out);
        buf_putc(out, ')');
    }
}
