/* SPDX-License-Identifier: Apache-2.0 */
/* `carnot top` on a whole screen (ncursesw). Shows what top_text makes; knows keys and the size of the screen. */
#ifndef CARNOT_CLI_TOP_SCREEN_H
#define CARNOT_CLI_TOP_SCREEN_H

#include "cli/origin.h"
#include "cli/rows.h"

#define TOP_UNITS_MAX 20000 /* asked of an agent: more rows than a person scrolls through, the rest is summed up */

/* Kinds of units that a view of top needs: those of the rows, and users for their names. */
static inline unsigned top_kinds(int by)
{
    return 1U << rows_kind(by) | 1U << UNIT_USER;
}

/* Runs until q or a signal. `options` are the first ones; keys change a copy. 0 or -errno. */
int top_screen(struct origin *origin, const struct rows_options *options, uint64_t interval_ns, struct carnot_err *err);

#endif
