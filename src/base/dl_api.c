/* SPDX-License-Identifier: Apache-2.0 */
/* See dl_api.h. The only file that calls dlopen(). */
#include "base/dl_api.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#define TABLE_MAX 512 /* bytes: 64 functions; a longer table is a mistake in our code */

static void *load(const char *const *names, size_t n_names, const char **ret_name, struct carnot_err *err)
{
    for (size_t i = 0; i < n_names; i++) {
        /* A path comes from whoever typed the command: its code would run with the program's rights, not with theirs.
         */
        if (strchr(names[i], '/') && getauxval(AT_SECURE)) {
            carnot_err_set(err, ENODEV,
                           "%.300s: a program with file capabilities loads only the system's libraries; run "
                           "it as root, or leave the option out",
                           names[i]);
            continue;
        }
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        const char *why;

        if (library) {
            *ret_name = names[i];
            return library;
        }
        why = dlerror();
        if (i == 0)
            carnot_err_set(err, ENODEV, "%.300s", why ? why : names[i]);
    }
    return NULL;
}

int dl_api_load(const char *const *names, size_t n_names, const struct dl_symbol *symbols, size_t n_symbols,
                void *table, size_t table_size, struct carnot_err *err)
{
    unsigned char filled[TABLE_MAX] = {0};
    const char *name;
    void *library = load(names, n_names, &name, err);

    if (!library)
        return -ENODEV;
    if (table_size > sizeof(filled))
        return carnot_err_set(err, E2BIG, "a table of %zu bytes of functions is too long", table_size);
    for (size_t i = 0; i < n_symbols; i++) {
        void *function = dlsym(library, symbols[i].name);

        if (!function && symbols[i].required)
            return carnot_err_set(err, EPROTO, "%.200s lacks the function %s: it is too old, or another library", name,
                                  symbols[i].name);
        /* POSIX has pointers to functions and to objects of one size; C knows no cast between them. */
        memcpy(filled + symbols[i].slot, &function, sizeof(function));
    }
    memcpy(table, filled, table_size);
    return 0;
}
