/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds every file of a corpus directory to a fuzz target, without a fuzzer: a finding once fixed stays fixed.
 * Also feeds each file cut short at every 1/16 of its length, since truncation is what a network does. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A corpus file beyond this is a mistake. */
#define CORPUS_FILE_MAX (1U << 20)

static int replay_file(int dir_fd, const char *name)
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return 0;
    if (st.st_size > CORPUS_FILE_MAX)
        return -E2BIG;

    size_t size = (size_t)st.st_size;
    _cleanup_free_ uint8_t *data = malloc(size + 1);
    if (!data)
        return -ENOMEM;
    if (read(fd, data, size) != (ssize_t)size)
        return -EIO;

    for (size_t part = 1; part <= 16; part++) {
        size_t cut = size * part / 16;
        /* A copy of exactly that size, so that a sanitizer sees a read beyond the end. */
        _cleanup_free_ uint8_t *copy = malloc(cut ? cut : 1);
        if (!copy)
            return -ENOMEM;
        memcpy(copy, data, cut);
        LLVMFuzzerTestOneInput(copy, cut);
    }
    return 1;
}

int main(int argc, char **argv)
{
    unsigned n_files = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
        return 64;
    }
    DIR *dir = opendir(argv[1]);
    if (!dir) {
        fprintf(stderr, "%s: cannot open corpus %s: %s\n", argv[0], argv[1], strerror(errno));
        return 66;
    }
    for (struct dirent *de; (de = readdir(dir));) {
        int r = replay_file(dirfd(dir), de->d_name);
        if (r < 0) {
            fprintf(stderr, "%s: cannot replay %s/%s: %s\n", argv[0], argv[1], de->d_name, strerror(-r));
            closedir(dir);
            return 74;
        }
        n_files += (unsigned)r;
    }
    closedir(dir);
    if (n_files == 0) {
        fprintf(stderr, "%s: corpus %s is empty\n", argv[0], argv[1]);
        return 66;
    }
    printf("%u corpus files replayed\n", n_files);
    return 0;
}
