/* SPDX-License-Identifier: Apache-2.0 */
/* Libraries that are there or not, or that few need: one is loaded by name at run time and a table of function pointers
 * is filled from it. Knows no vendor. A library once loaded stays: theirs start threads and exit handlers that outlive
 * a dlclose(). */
#ifndef CARNOT_BASE_DL_API_H
#define CARNOT_BASE_DL_API_H

#include "base/err.h"

struct dl_symbol {
    const char *name;
    size_t slot; /* offset in the table of a pointer to function; left NULL where the library lacks an optional one */
    bool required;
};

/* Loads the first of `names` that there is (as dlopen() finds it, local to us) and fills `table`, a struct of function
 * pointers. -ENODEV when there is none (the sentence is the loader's about the first name), -EPROTO when it lacks a
 * required function; the table is written only on success. */
int dl_api_load(const char *const *names, size_t n_names, const struct dl_symbol *symbols, size_t n_symbols,
                void *table, size_t table_size, struct carnot_err *err);

#endif
