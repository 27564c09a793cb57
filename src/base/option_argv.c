/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: finds the flags in argv and hands their texts to the option table. Knows the GNU spelling of flags;
 * refuses to know values, and to change argv. */
#include <errno.h>
#include <string.h>

#include "base/option_internal.h"

/* The command line, and how far it has been read. */
struct argv_reader {
    struct option_set *set;
    int argc;
    char **argv;
    int next;
    struct carnot_err *err;
};

/* "--NAME", cut to a length fit for a sentence. */
struct flag_name {
    char text[OPTION_NAME_MAX + 8];
};

static struct flag_name flag_name(struct text name)
{
    struct flag_name flag = {"--"};
    size_t n = min_size(name.n, sizeof(flag.text) - 3);

    memcpy(flag.text + 2, name.p, n);
    return flag;
}

/* The value behind a flag: what is attached to it, else the next argument. NULL (error set) when there is none. */
static const char *take_value(struct argv_reader *reader, const char *attached, const char *flag)
{
    if (attached)
        return attached;
    if (reader->next < reader->argc)
        return reader->argv[reader->next++];
    carnot_err_set(reader->err, EINVAL, "%s: needs a value behind it; see --help", flag);
    return NULL;
}

/* --name, --name=value, --name value, --no-name; `arg` begins behind the dashes. */
static int parse_long(struct argv_reader *reader, const char *arg)
{
    const char *equals = strchr(arg, '=');
    struct text name = {arg, equals ? (size_t)(equals - arg) : strlen(arg)};
    const char *value = equals ? equals + 1 : NULL;
    struct flag_name flag = flag_name(name);
    struct option_ref ref = option_find(reader->set, name);

    if (!ref.option && text_starts(name, "no-")) {
        struct option_ref denied = option_find(reader->set, (struct text){name.p + 3, name.n - 3});
        if (denied.option && denied.option->type == OPTION_BOOL) {
            if (value)
                return carnot_err_set(reader->err, EINVAL, "%s: takes no value; write --%s=%.60s", flag.text,
                                      denied.option->name, value);
            return option_apply(reader->set, denied, "false", flag.text, reader->err);
        }
    }
    if (!ref.option)
        return option_unknown(reader->set, name, flag.text, reader->err);
    if (ref.option->type == OPTION_BOOL)
        return option_apply(reader->set, ref, value ? value : "true", flag.text, reader->err);
    value = take_value(reader, value, flag.text);
    return value ? option_apply(reader->set, ref, value, flag.text, reader->err) : -EINVAL;
}

/* -x, -xvalue, -x value, -xyz; `arg` begins behind the dash. */
static int parse_short(struct argv_reader *reader, const char *arg)
{
    for (; *arg; arg++) {
        const char flag[] = {'-', *arg, '\0'};
        struct option_ref ref = option_find_letter(reader->set, *arg);

        if (!ref.option)
            return carnot_err_set(reader->err, EINVAL, "%s: unknown option; see --help for the list", flag);
        if (ref.option->type != OPTION_BOOL) {
            const char *value = take_value(reader, arg[1] ? arg + 1 : NULL, flag);
            return value ? option_apply(reader->set, ref, value, flag, reader->err) : -EINVAL;
        }
        int r = option_apply(reader->set, ref, "true", flag, reader->err);
        if (r < 0)
            return r;
    }
    return 0;
}

int option_parse_argv(struct option_set *set, int argc, char **argv, bool stop_at_operand, struct carnot_err *err)
{
    struct argv_reader reader = {.set = set, .argc = argc, .argv = argv, .next = 1, .err = err};
    int r = option_begin_layer(set, err);

    while (r >= 0 && reader.next < argc) {
        const char *arg = argv[reader.next];

        if (arg[0] != '-' || arg[1] == '\0')
            break;
        reader.next++;
        if (strcmp(arg, "--") == 0)
            break;
        r = arg[1] == '-' ? parse_long(&reader, arg + 2) : parse_short(&reader, arg + 1);
    }
    if (r < 0)
        return r;
    if (reader.next < argc && !stop_at_operand)
        return carnot_err_set(err, EINVAL, "%.60s: unexpected argument; options begin with --, see --help",
                              argv[reader.next]);
    return reader.next < argc ? reader.next : argc;
}
