/* SPDX-License-Identifier: Apache-2.0 */
/* What option.c and its readers (command line, YAML) share. For src/base/option*.c only. */
#ifndef CARNOT_BASE_OPTION_INTERNAL_H
#define CARNOT_BASE_OPTION_INTERNAL_H

#include "base/option.h"
#include "base/parse.h"

/* Longest name of an option, so that a path of YAML keys is put together on the stack. */
#define OPTION_NAME_MAX 96

struct option_ref {
    const struct option_group *group;
    const struct carnot_option *option; /* NULL: there is none */
    size_t index;                       /* over all groups */
};

struct option_ref option_find(const struct option_set *set, struct text name);
struct option_ref option_find_letter(const struct option_set *set, char letter);

/* True when some option is called "NAME.something". */
bool option_is_group(const struct option_set *set, struct text name);

/* Begins a new layer: the next entry of a list replaces the older ones. 0 or -ENOMEM. */
int option_begin_layer(struct option_set *set, struct carnot_err *err);

int option_apply(struct option_set *set, struct option_ref ref, const char *value, const char *where,
                 struct carnot_err *err);

/* Makes a list empty, as the first entry of a layer would. */
void option_clear_list(struct option_set *set, struct option_ref ref);

/* -EINVAL "WHERE: unknown option NAME; did you mean OTHER?". */
int option_unknown(const struct option_set *set, struct text name, const char *where, struct carnot_err *err);

#endif
