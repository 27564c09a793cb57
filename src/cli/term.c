/* SPDX-License-Identifier: Apache-2.0 */
/* What a terminal can show. */
#include "cli/term.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/parse.h"

#define WIDTH_MIN 40 /* narrower than this no table can be laid out; the terminal wraps */
#define WIDTH_MAX 1000

bool term_is_tty(int fd)
{
    return isatty(fd);
}

bool term_utf8(void)
{
    const char *codeset = nl_langinfo(CODESET);

    return codeset && !strcmp(codeset, "UTF-8");
}

bool term_styled(int fd)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(fd) && !(no_color && no_color[0]) && term && strcmp(term, "dumb") != 0;
}

unsigned term_width(int fd)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size = {0};
    uint64_t width;

    if (columns && parse_u64(text_of(columns), &width) == 0 && width >= WIDTH_MIN && width <= WIDTH_MAX)
        return (unsigned)width;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col < WIDTH_MIN ? WIDTH_MIN : size.ws_col;
    return 0;
}
