/* SPDX-License-Identifier: Apache-2.0 */
/* What a terminal can show. Reads the environment and the descriptor, writes nothing. */
#ifndef CARNOT_CLI_TERM_H
#define CARNOT_CLI_TERM_H

#include <stdbool.h>

bool term_is_tty(int fd);
bool term_utf8(void); /* by the locale's character set: setlocale(LC_CTYPE, "") comes before */
/* Whether bold may be used: a terminal that is not dumb, and no NO_COLOR. */
bool term_styled(int fd);
/* Columns: $COLUMNS, else the terminal's, else 0 (not a terminal: no limit). */
unsigned term_width(int fd);

#endif
