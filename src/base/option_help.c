/* SPDX-License-Identifier: Apache-2.0 */
/* Help text from the option table. Knows columns and line breaks; refuses to print. */
#include <stdio.h>
#include <string.h>

#include "base/option_internal.h"

#define HELP_WIDTH  100 /* what a terminal of two columns of code beside each other still shows */
#define HELP_COLUMN 34  /* where the sentences begin */

static const char *metavar_of(const struct carnot_option *option)
{
    static const char *const names[] = {
        [OPTION_BOOL] = NULL,           [OPTION_U64] = "N",      [OPTION_F64] = "NUMBER", [OPTION_STRING] = "TEXT",
        [OPTION_DURATION] = "DURATION", [OPTION_BYTES] = "SIZE", [OPTION_ENUM] = NULL,    [OPTION_LIST] = "TEXT",
        [OPTION_MODE] = "MODE",
    };

    return option->metavar ? option->metavar : names[option->type];
}

static void put_flag(struct buf *out, const struct carnot_option *option)
{
    const char *metavar = metavar_of(option);

    if (option->letter)
        buf_printf(out, "  -%c, ", option->letter);
    else
        buf_puts(out, "      ");
    buf_printf(out, "--%s%s", option->type == OPTION_BOOL ? "[no-]" : "", option->name);
    if (metavar)
        buf_printf(out, " %s", metavar);
    else if (option->type == OPTION_ENUM)
        for (size_t i = 0; option->choices[i]; i++)
            buf_printf(out, "%c%s", i ? '|' : ' ', option->choices[i]);
    if (option->type == OPTION_LIST)
        buf_puts(out, " ...");
}

static void put_spaces(struct buf *out, size_t n)
{
    while (n--)
        buf_putc(out, ' ');
}

/* Code points, so that a sentence with "µJ" is not wrapped early. */
static size_t count_columns(struct text t)
{
    size_t n = 0;

    for (size_t i = 0; i < t.n; i++)
        n += ((unsigned char)t.p[i] & 0xC0) != 0x80;
    return n;
}

/* Writes the words of `text`, each with room for `tail` columns behind it; *column is where the line stands. A word
 * that is longer than a line has a line for itself. */
static void put_wrapped(struct buf *out, struct text text, size_t tail, size_t *column)
{
    struct text word;

    while (scan_word(&text, &word)) {
        size_t width = count_columns(word);
        if (*column > HELP_COLUMN && *column + 1 + width + tail > HELP_WIDTH) {
            buf_putc(out, '\n');
            put_spaces(out, HELP_COLUMN);
            *column = HELP_COLUMN;
        } else if (*column > HELP_COLUMN) {
            buf_putc(out, ' ');
            ++*column;
        }
        buf_append(out, word.p, word.n);
        *column += width;
    }
}

static bool has_shown_default(const struct carnot_option *option)
{
    return option->def && option->def[0] && !(option->type == OPTION_BOOL && strcmp(option->def, "false") == 0);
}

static void put_option(struct buf *out, const struct carnot_option *option)
{
    size_t start = out->len;
    size_t column = HELP_COLUMN;

    put_flag(out, option);
    if (buf_error(out))
        return;
    size_t used = out->len - start;
    if (used + 2 > HELP_COLUMN) {
        buf_putc(out, '\n');
        used = 0;
    }
    put_spaces(out, HELP_COLUMN - used);
    put_wrapped(out, text_of(option->help), 0, &column);
    if (has_shown_default(option)) {
        put_wrapped(out, text_of("(default:"), 0, &column);
        put_wrapped(out, text_of(option->def), 1, &column);
        buf_putc(out, ')');
        column++;
    }
    if (option->alias) {
        char also[OPTION_NAME_MAX + 8];

        snprintf(also, sizeof(also), "(also --%s)", option->alias);
        put_wrapped(out, text_of(also), 0, &column);
    }
    buf_putc(out, '\n');
}

void option_help(const struct option_set *set, struct buf *out)
{
    for (size_t g = 0; g < set->n_groups; g++) {
        const struct option_group *group = &set->groups[g];

        if (group->title)
            buf_printf(out, "%s%s:\n", g ? "\n" : "", group->title);
        for (size_t i = 0; i < group->count; i++) {
            if (group->options[i].help)
                put_option(out, &group->options[i]);
        }
    }
}
