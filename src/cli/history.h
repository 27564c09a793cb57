/* SPDX-License-Identifier: Apache-2.0 */
/* The last windows of every unit, for a sparkline beside its row. Forgets units that are gone. */
#ifndef CARNOT_CLI_HISTORY_H
#define CARNOT_CLI_HISTORY_H

#include "base/buf.h"
#include "cli/view.h"

#define HISTORY_LENGTH 8 /* eight characters beside a name; more would push the cgroup off the line */

struct history;

int history_new(struct history **ret_history);
struct history *history_free(struct history *history); /* NULL-safe, returns NULL */

/* Takes the windows of a view; a view of the same seq as the last one is no news. 0 or -ENOMEM. */
int history_update(struct history *history, const struct view *view);

/* HISTORY_LENGTH block characters, oldest first, scaled to the unit's own largest window; blanks where it did not
 * exist. */
void history_put(const struct history *history, const struct view_unit *unit, struct buf *out);

#endif
