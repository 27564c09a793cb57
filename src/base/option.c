/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: finding an option and giving it a value from text. Knows types and bounds; refuses to know where the
 * text came from (option_argv.c, option_yaml.c) and what a setting is for. */
#include "base/option.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/option_internal.h"

/* Texts of one file and one command line, twice over, with room for the arena's blocks. */
#define ARENA_MAX ((size_t)8 * OPTION_YAML_MAX)

/* How much of a wrong value an error sentence repeats. */
#define SHOWN_MAX 60

void option_set_init(struct option_set *set, const struct option_group *groups, size_t n_groups)
{
    *set = (struct option_set){.groups = groups, .n_groups = n_groups};
    arena_init(&set->arena, ARENA_MAX);
}

void option_set_done(struct option_set *set)
{
    if (!set)
        return;
    arena_done(&set->arena);
    *set = (struct option_set){0};
}

/* The first option of the groups from this one on; option NULL when they have none. */
static struct option_ref first_option(const struct option_set *set, size_t from_group)
{
    for (size_t g = from_group; g < set->n_groups; g++) {
        if (set->groups[g].count)
            return (struct option_ref){.group = &set->groups[g], .option = set->groups[g].options};
    }
    return (struct option_ref){0};
}

static struct option_ref next_option(const struct option_set *set, struct option_ref ref)
{
    struct option_ref next = {.group = ref.group, .option = ref.option + 1};

    if (next.option == ref.group->options + ref.group->count)
        next = first_option(set, (size_t)(ref.group - set->groups) + 1);
    next.index = ref.index + 1;
    return next;
}

static bool is_called(const struct carnot_option *option, struct text name)
{
    return text_is(name, option->name) || (option->alias && text_is(name, option->alias));
}

struct option_ref option_find(const struct option_set *set, struct text name)
{
    struct option_ref ref = first_option(set, 0);

    while (ref.option && !is_called(ref.option, name))
        ref = next_option(set, ref);
    return ref;
}

struct option_ref option_find_letter(const struct option_set *set, char letter)
{
    struct option_ref ref = first_option(set, 0);

    while (ref.option && (ref.option->letter != letter || letter == 0))
        ref = next_option(set, ref);
    return ref;
}

bool option_is_group(const struct option_set *set, struct text name)
{
    for (struct option_ref ref = first_option(set, 0); ref.option; ref = next_option(set, ref)) {
        struct text full = text_of(ref.option->name);
        if (full.n > name.n && full.p[name.n] == '.' && memcmp(full.p, name.p, name.n) == 0)
            return true;
    }
    return false;
}

int option_begin_layer(struct option_set *set, struct carnot_err *err)
{
    if (!set->set_in) {
        size_t count = 0;
        for (size_t g = 0; g < set->n_groups; g++)
            count += set->groups[g].count;
        set->set_in = arena_alloc_array(&set->arena, count, sizeof(*set->set_in));
        if (!set->set_in)
            return carnot_err_set(err, ENOMEM, "out of memory for the settings");
    }
    set->layer++;
    return 0;
}

/* Levenshtein distance: insertions, deletions, replacements. Both at most OPTION_NAME_MAX long. */
static size_t edit_distance(struct text a, struct text b)
{
    size_t row[OPTION_NAME_MAX + 1];

    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t replaced = diagonal + (a.p[i - 1] != b.p[j - 1]);
            diagonal = row[j];
            row[j] = min_size(replaced, min_size(row[j], row[j - 1]) + 1);
        }
    }
    return row[b.n];
}

int option_unknown(const struct option_set *set, struct text name, const char *where, struct carnot_err *err)
{
    const char *best = NULL;
    size_t best_distance = name.n / 4 + 2; /* from here on it is another word, not a slip */
    int shown = (int)min_size(name.n, SHOWN_MAX);

    for (struct option_ref ref = first_option(set, 0); ref.option; ref = next_option(set, ref)) {
        struct text other = text_of(ref.option->name);
        if (other.n > OPTION_NAME_MAX || name.n > OPTION_NAME_MAX)
            continue;
        /* The group left out ("listen-address" for "web.listen-address") is near, whatever its length. */
        bool tail = name.n && other.n > name.n && other.p[other.n - name.n - 1] == '.' &&
                    memcmp(other.p + other.n - name.n, name.p, name.n) == 0;
        size_t distance = tail ? 1 : edit_distance(name, other);
        if (distance < best_distance) {
            best = ref.option->name;
            best_distance = distance;
        }
    }
    if (best)
        return carnot_err_set(err, EINVAL, "%s: unknown option \"%.*s\"; did you mean \"%s\"?", where, shown, name.p,
                              best);
    return carnot_err_set(err, EINVAL, "%s: unknown option \"%.*s\"; see --help for the list", where, shown, name.p);
}

static void put_duration(struct buf *buf, uint64_t ns)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {
        {"d", 86400 * NS_PER_SEC},
        {"h", 3600 * NS_PER_SEC},
        {"m", 60 * NS_PER_SEC},
        {"s", NS_PER_SEC},
        {"ms", NS_PER_MS},
        {"us", NS_PER_US},
        {"ns", 1},
    };

    if (ns == 0)
        buf_puts(buf, "0s");
    for (size_t i = 0; i < ELEMENTSOF(units); i++) {
        if (ns >= units[i].ns)
            buf_printf(buf, "%llu%s", (unsigned long long)(ns / units[i].ns), units[i].name);
        ns %= units[i].ns;
    }
}

static void put_bound(struct buf *buf, const struct carnot_option *option, const char *before, uint64_t value)
{
    buf_puts(buf, before);
    if (option->type == OPTION_DURATION)
        put_duration(buf, value);
    else
        buf_put_u64(buf, value);
}

/* What the option takes, for the sentence "expected ...". */
static void put_expected(struct buf *buf, const struct carnot_option *option)
{
    static const char *const forms[] = {
        [OPTION_BOOL] = "true or false",
        [OPTION_U64] = "a whole number",
        [OPTION_F64] = "a number",
        [OPTION_STRING] = "a text",
        [OPTION_DURATION] = "a duration such as 100ms or 1h30m",
        [OPTION_BYTES] = "a size such as 64KiB or 1MB",
        [OPTION_ENUM] = "one of",
        [OPTION_MODE] = "permissions in octal such as 0660",
        [OPTION_LIST] = "a list",
    };

    buf_puts(buf, forms[option->type]);
    if (option->type == OPTION_ENUM) {
        for (size_t i = 0; option->choices[i]; i++)
            buf_printf(buf, "%s %s", i ? "," : "", option->choices[i]);
    } else if (option->type == OPTION_F64 && (option->fmin != 0 || option->fmax != 0)) {
        buf_puts(buf, " from ");
        buf_put_double(buf, option->fmin);
        buf_puts(buf, " to ");
        buf_put_double(buf, option->fmax);
    } else if (option->max) {
        put_bound(buf, option, " from ", option->min);
        put_bound(buf, option, " to ", option->max);
    } else if (option->min) {
        put_bound(buf, option, " of at least ", option->min);
    }
}

/* The sentence of a value that does not fit: WHERE: NAME: expected FORM, got "VALUE". A flag says its name itself. */
static int bad_value(const struct carnot_option *option, const char *value, const char *where, struct carnot_err *err)
{
    CLEANUP(buf_done) struct buf expected;
    bool flag = where[0] == '-';

    buf_init(&expected, CARNOT_ERR_MSG_MAX);
    put_expected(&expected, option);
    return carnot_err_set(err, EINVAL, "%s%s%s: expected %s, got \"%.*s\"", where, flag ? "" : ": ",
                          flag ? "" : option->name, buf_error(&expected) ? "another value" : buf_str(&expected),
                          SHOWN_MAX, value);
}

static bool in_bounds(const struct carnot_option *option, uint64_t value)
{
    return value >= option->min && (option->max == 0 || value <= option->max);
}

static int apply_u64(const struct carnot_option *option, const char *value, uint64_t *ret)
{
    struct text t = text_of(value);
    uint64_t parsed;
    int r = option->type == OPTION_DURATION ? parse_duration_ns(t, &parsed)
            : option->type == OPTION_BYTES  ? parse_bytes(t, &parsed)
                                            : parse_u64(t, &parsed);

    if (r < 0 || !in_bounds(option, parsed))
        return -EINVAL;
    *ret = parsed;
    return 0;
}

static int apply_f64(const struct carnot_option *option, const char *value, double *ret)
{
    double parsed;

    if (parse_f64(text_of(value), &parsed) < 0)
        return -EINVAL;
    if ((option->fmin != 0 || option->fmax != 0) && (parsed < option->fmin || parsed > option->fmax))
        return -EINVAL;
    *ret = parsed;
    return 0;
}

static int apply_mode(const char *value, uint64_t *ret)
{
    uint64_t mode = 0;

    if (!value[0])
        return -EINVAL;
    for (; *value; value++) {
        if (*value < '0' || *value > '7')
            return -EINVAL;
        mode = mode * 8 + (uint64_t)(*value - '0');
        if (mode > 0777)
            return -EINVAL;
    }
    *ret = mode;
    return 0;
}

static int apply_enum(const struct carnot_option *option, const char *value, int *ret)
{
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], value) == 0) {
            *ret = i;
            return 0;
        }
    }
    return -EINVAL;
}

/* -ENOMEM or 0 */
static int apply_string(struct option_set *set, const char *value, const char **ret)
{
    const char *copy = arena_strdup(&set->arena, value);

    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

static void *field_of(struct option_ref ref)
{
    return (char *)ref.group->settings + ref.option->offset;
}

void option_clear_list(struct option_set *set, struct option_ref ref)
{
    struct option_list *list = field_of(ref);

    list->count = 0;
    set->set_in[ref.index] = set->layer;
}

/* -ENOMEM, -E2BIG or 0 */
static int apply_list(struct option_set *set, struct option_ref ref, const char *value)
{
    struct option_list *list = field_of(ref);
    size_t count = set->set_in[ref.index] == set->layer ? list->count : 0;

    if (count >= OPTION_LIST_MAX)
        return -E2BIG;
    int r = apply_string(set, value, &list->items[count]);
    if (r < 0)
        return r;
    list->count = count + 1;
    return 0;
}

static int apply_value(struct option_set *set, struct option_ref ref, const char *value)
{
    void *field = field_of(ref);

    switch (ref.option->type) {
    case OPTION_BOOL:
        return parse_bool(text_of(value), field);
    case OPTION_U64:
    case OPTION_DURATION:
    case OPTION_BYTES:
        return apply_u64(ref.option, value, field);
    case OPTION_F64:
        return apply_f64(ref.option, value, field);
    case OPTION_STRING:
        return apply_string(set, value, field);
    case OPTION_ENUM:
        return apply_enum(ref.option, value, field);
    case OPTION_MODE:
        return apply_mode(value, field);
    case OPTION_LIST:
        return apply_list(set, ref, value);
    }
    return -EINVAL;
}

int option_apply(struct option_set *set, struct option_ref ref, const char *value, const char *where,
                 struct carnot_err *err)
{
    int r = apply_value(set, ref, value);

    if (r == -ENOMEM)
        return carnot_err_set(err, ENOMEM, "%s: out of memory for the value of %s", where, ref.option->name);
    if (r == -E2BIG)
        return carnot_err_set(err, EINVAL, "%s: %s has more than %d entries", where, ref.option->name, OPTION_LIST_MAX);
    if (r < 0)
        return bad_value(ref.option, value, where, err);
    set->set_in[ref.index] = set->layer;
    return 0;
}

int option_set_text(struct option_set *set, const char *name, const char *value, const char *where,
                    struct carnot_err *err)
{
    struct option_ref ref = option_find(set, text_of(name));

    if (!ref.option)
        return option_unknown(set, text_of(name), where, err);
    if (!set->set_in) {
        int r = option_begin_layer(set, err);
        if (r < 0)
            return r;
    }
    return option_apply(set, ref, value, where, err);
}

/* The size of a field, to zero it when there is no default. */
static size_t field_size(enum option_type type)
{
    switch (type) {
    case OPTION_BOOL:
        return sizeof(bool);
    case OPTION_U64:
    case OPTION_DURATION:
    case OPTION_BYTES:
    case OPTION_MODE:
        return sizeof(uint64_t);
    case OPTION_F64:
        return sizeof(double);
    case OPTION_STRING:
        return sizeof(const char *);
    case OPTION_ENUM:
        return sizeof(int);
    case OPTION_LIST:
        return sizeof(struct option_list);
    }
    return 0;
}

int option_defaults(struct option_set *set, struct carnot_err *err)
{
    int r = option_begin_layer(set, err);

    if (r < 0)
        return r;
    for (struct option_ref ref = first_option(set, 0); ref.option; ref = next_option(set, ref)) {
        memset(field_of(ref), 0, field_size(ref.option->type));
        if (!ref.option->def)
            continue;
        r = option_apply(set, ref, ref.option->def, "default", err);
        if (r < 0)
            return r;
    }
    return 0;
}
