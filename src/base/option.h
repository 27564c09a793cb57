/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: one row per setting feeds the --flag, the YAML key and the help text alike.
 *
 * A name has dots for groups: "web.listen-address" is the flag --web.listen-address and the YAML
 *     web:
 *       listen-address: ":9010"
 * Precedence: default < file < command line. */
#ifndef CARNOT_BASE_OPTION_H
#define CARNOT_BASE_OPTION_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum option_type {
    OPTION_BOOL,     /* bool; flag --name or --no-name, or --name=true */
    OPTION_U64,      /* uint64_t within min..max (max 0: no bound) */
    OPTION_F64,      /* double within fmin..fmax (both 0: no bound) */
    OPTION_STRING,   /* const char *, owned by the set's arena */
    OPTION_DURATION, /* uint64_t ns within min..max ns */
    OPTION_BYTES,    /* uint64_t */
    OPTION_ENUM,     /* int, index into choices */
    OPTION_MODE,     /* uint64_t, a file's permissions in octal: "0660", at most 0777 */
    OPTION_LIST,     /* struct option_list: repeated flag, YAML sequence or scalar */
};

#define OPTION_LIST_MAX 64 /* entries of one repeated option; more is a mistake in the configuration */

struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
};

struct carnot_option {
    const char *name;
    const char *alias; /* a second name, from another program that this one stands in for; NULL: none */
    char letter;       /* short flag, 0 for none */
    enum option_type type;
    size_t offset;              /* of the field in the settings struct */
    const char *def;            /* default as text, parsed like the user's; NULL: zero */
    const char *metavar;        /* for help: "ADDRESS" */
    const char *help;           /* one sentence; NULL hides the option from the help */
    const char *const *choices; /* OPTION_ENUM: NULL-terminated */
    uint64_t min, max;
    double fmin, fmax;
};

/* One settings struct and its table. */
struct option_group {
    const char *title; /* heading in help */
    const struct carnot_option *options;
    size_t count;
    void *settings;
};

struct option_set {
    const struct option_group *groups;
    size_t n_groups;
    struct arena arena; /* owns the strings */
    unsigned *set_in;   /* per option: the layer that set it last; NULL before the first use */
    unsigned layer;     /* 1 the defaults, then one more for each command line or file parsed */
};

void option_set_init(struct option_set *set, const struct option_group *groups, size_t n_groups);
void option_set_done(struct option_set *set);

/* Fills every setting with its default. A bad default is a programming error and returns -EINVAL. */
int option_defaults(struct option_set *set, struct carnot_err *err);

/* Sets one option from text. `where` ("--flag", "carnotd.yaml:12") begins the error sentence. Unknown: -EINVAL with
 * "did you mean". */
int option_set_text(struct option_set *set, const char *name, const char *value, const char *where,
                    struct carnot_err *err);

/* Parses argv[1..]: GNU style, `--name value`, `--name=value`, `--no-name`, `-x value`, `-xvalue`, `-ab` for flags;
 * `--` ends the options. Operands end them too when `stop_at_operand`, else they are refused; nothing is permuted.
 * Returns the index of the first operand (argc if none). A program that takes the file's name from the command line
 * parses that twice: before the file and after it. */
int option_parse_argv(struct option_set *set, int argc, char **argv, bool stop_at_operand, struct carnot_err *err);

#define OPTION_YAML_MAX (1U << 20) /* bytes; a configuration beyond this is some other file */

/* Parses YAML text (a mapping, or nothing). `file` is for messages. Unknown key, wrong type, duplicate key: -EINVAL
 * with file:line. Aliases and more than 8 levels are refused. Lists replace the default. */
int option_parse_yaml(struct option_set *set, const char *file, const char *text, size_t len, struct carnot_err *err);

/* Reads and parses a file; limit 1 MiB. */
int option_load_yaml(struct option_set *set, const char *path, struct carnot_err *err);

/* Help text of all groups: "  --name METAVAR  help (default: def)", wrapped at 100 columns. */
void option_help(const struct option_set *set, struct buf *out);

#endif
