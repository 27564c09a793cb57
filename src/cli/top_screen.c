/* SPDX-License-Identifier: Apache-2.0 */
/* The full screen of `carnot top`. Header, table and footer are the plain text's; this file places their lines, reads
 * keys and asks for the next view. The rows that make the table add up stay in sight while the others scroll. */
#include "cli/top_screen.h"

#include <errno.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>

#include "cli/history.h"
#include "cli/term.h"
#include "cli/text.h"
#include "cli/top_text.h"

#define FILTER_MAX      64 /* bytes; a filter is a word */
#define INTERVAL_MAX_NS (60 * NS_PER_SEC)
#define ESC_KEY         27

enum mode { MODE_TABLE, MODE_HELP, MODE_FILTER };

struct screen {
    struct origin *origin;
    struct rows_options options;
    char filter[FILTER_MAX + 1], edited[FILTER_MAX + 1];
    enum mode mode;
    bool paused, quit, utf8;
    uint64_t interval_ns, next_ns;
    struct view *view; /* NULL before the first */
    struct history *history;
    size_t offset, n_rows, page; /* scrolling; rows there are, rows that fit */
    struct buf header, table, footer;
    char message[CARNOT_ERR_MSG_MAX];
};

/* Set by SIGINT, SIGTERM and SIGHUP: the screen is given back before we end. */
static volatile sig_atomic_t told_to_end;

static void on_end_signal(int sig)
{
    told_to_end = sig;
}

static const char *const help_lines[] = {
    "carnot top: who uses how much energy",
    "",
    "  q           end",
    "  h, ?        this help",
    "  up, down    scroll; PgUp, PgDn, Home, End",
    "  p  c  u     by process, control group, user",
    "  t           tree: control groups by path, processes by user",
    "  s, <, >     what the rows are sorted by: power, energy, CPU, PID, name",
    "  r           the other way round",
    "  /           show only rows with this text (name, user, control group, type; or a PID); Esc: all again",
    "  space       pause",
    "  +  -        refresh more seldom, more often",
    "",
    "W is the mean power over the last window, J and mgCO2e are sums since measuring began. Rows in brackets",
    "are what no process, group or user owns: with them every column adds up to the node.",
    "CO2e is energy times the intensity that stands above the table; it says where that comes from.",
    "",
    "Any key goes back.",
};

/* ---- drawing ---- */

/* Puts one line, cut at the width (bytes of a cut character are never split: ncurses counts columns). Returns what is
 * behind it. */
static const char *put_line(int y, const char *text, int attributes)
{
    const char *end = strchrnul(text, '\n');

    move(y, 0);
    clrtoeol();
    if (attributes)
        attron(attributes);
    addnstr(text, (int)(end - text));
    if (attributes)
        attroff(attributes);
    return *end ? end + 1 : end;
}

static size_t count_lines(const struct buf *buf)
{
    size_t n = 0;

    for (const char *p = buf_str(buf); *p; p++)
        n += *p == '\n';
    return n;
}

static void draw_help(void)
{
    for (size_t i = 0; i < ELEMENTSOF(help_lines) && (int)i < LINES; i++)
        put_line((int)i, help_lines[i], i == 0 ? A_BOLD : 0);
}

static void draw_status(const struct screen *s)
{
    char line[512];

    if (s->mode == MODE_FILTER)
        snprintf(line, sizeof(line), "filter: %s_", s->edited);
    else if (s->message[0])
        snprintf(line, sizeof(line), "%s", s->message);
    else
        snprintf(line, sizeof(line), "by %s%s   sort %s%s   %s%s%s%severy %llu s%s   h help   q end",
                 rows_by_names[s->options.by], s->options.tree ? " (tree)" : "", rows_sort_names[s->options.sort],
                 s->options.reverse ? " (reversed)" : "", s->filter[0] ? "filter \"" : "", s->filter,
                 s->filter[0] ? "\"" : "", s->filter[0] ? "   " : "", (unsigned long long)(s->interval_ns / NS_PER_SEC),
                 s->paused ? "   PAUSED" : "");
    put_line(LINES - 1, line, A_REVERSE);
}

/* Lines of the table: heading, rows, fixed rows. */
static void draw_table(struct screen *s, int top, int bottom, size_t n_fixed)
{
    const char *line = buf_str(&s->table);
    size_t n_lines = count_lines(&s->table), room = bottom > top + 1 ? (size_t)(bottom - top - 1) : 0;
    int y = top;

    s->n_rows = n_lines > n_fixed + 1 ? n_lines - n_fixed - 1 : 0;
    if (n_fixed > room)
        n_fixed = room;
    s->page = room - n_fixed;
    if (s->offset + s->page > s->n_rows)
        s->offset = s->n_rows > s->page ? s->n_rows - s->page : 0;
    if (y < bottom)
        line = put_line(y++, line, A_REVERSE);
    for (size_t i = 0; i < s->n_rows; i++) {
        const char *next = strchrnul(line, '\n');

        if (i >= s->offset && i < s->offset + s->page)
            put_line(y++, line, 0);
        line = *next ? next + 1 : next;
    }
    while (y < bottom - (int)n_fixed)
        put_line(y++, "", 0);
    for (size_t i = 0; i < n_fixed; i++)
        line = put_line(y++, line, i + 1 == n_fixed ? A_BOLD : A_DIM);
}

static int make_text(struct screen *s, size_t *ret_n_fixed)
{
    struct top_layout layout = {.width = (unsigned)COLS, .utf8 = s->utf8, .history = s->history};
    struct rows rows;
    int r = rows_build(s->view, &s->options, &rows);

    buf_reset(&s->header);
    buf_reset(&s->table);
    buf_reset(&s->footer);
    if (r >= 0)
        r = top_text_header(s->view, &layout, &s->header);
    if (r >= 0)
        r = top_text_table(s->view, &rows, &s->options, &layout, &s->table, ret_n_fixed);
    if (r >= 0)
        r = top_text_footer(s->view, &s->options, &s->footer);
    rows_done(&rows);
    return r;
}

static int draw(struct screen *s)
{
    const char *line;
    size_t n_fixed = 0;
    int y = 0, r;

    erase();
    if (s->mode == MODE_HELP) {
        draw_help();
        refresh();
        return 0;
    }
    if (!s->view) {
        put_line(0, "carnot top: waiting for the first window ...", A_BOLD);
        draw_status(s);
        refresh();
        return 0;
    }
    r = make_text(s, &n_fixed);
    if (r < 0)
        return r;
    line = buf_str(&s->header);
    while (*line && y < LINES / 2)
        line = put_line(y, line, y == 0 ? A_BOLD : 0), y++;
    draw_table(s, y + 1, LINES - 2, n_fixed);
    put_line(LINES - 2, buf_str(&s->footer), A_DIM);
    draw_status(s);
    refresh();
    return 0;
}

/* ---- keys ---- */

static void step_sort(struct screen *s, int step)
{
    s->options.sort = (s->options.sort + step + ROWS_SORTS) % ROWS_SORTS;
}

static void change_by(struct screen *s, int by)
{
    s->options.by = by;
    s->offset = 0;
    s->next_ns = 0; /* another kind of unit: ask now */
}

static void change_interval(struct screen *s, int seconds)
{
    int64_t ns = (int64_t)s->interval_ns + seconds * (int64_t)NS_PER_SEC;

    if (ns >= (int64_t)NS_PER_SEC && ns <= (int64_t)INTERVAL_MAX_NS)
        s->interval_ns = (uint64_t)ns;
    s->next_ns = 0;
}

static void edit_filter(struct screen *s, int key)
{
    size_t n = strlen(s->edited);

    switch (key) {
    case '\n':
    case KEY_ENTER:
        s->mode = MODE_TABLE;
        break;
    case ESC_KEY:
        s->edited[0] = '\0';
        s->mode = MODE_TABLE;
        break;
    case KEY_BACKSPACE:
    case '\b':
    case 127:
        while (n > 0 && ((unsigned char)s->edited[--n] & 0xC0) == 0x80) /* a whole UTF-8 character */
            ;
        s->edited[n] = '\0';
        break;
    default:
        if (key >= ' ' && key < 256 && n < FILTER_MAX) {
            s->edited[n] = (char)key;
            s->edited[n + 1] = '\0';
        }
        break;
    }
    memcpy(s->filter, s->edited, sizeof(s->filter));
    text_clean(s->filter);
    s->offset = 0;
}

static void on_table_key(struct screen *s, int key)
{
    size_t last = s->n_rows > s->page ? s->n_rows - s->page : 0;

    switch (key) {
    case 'q':
        s->quit = true;
        break;
    case 'h':
    case '?':
        s->mode = MODE_HELP;
        break;
    case KEY_UP:
        s->offset -= s->offset > 0;
        break;
    case KEY_DOWN:
        s->offset += s->offset < last;
        break;
    case KEY_PPAGE:
        s->offset = s->offset > s->page ? s->offset - s->page : 0;
        break;
    case KEY_NPAGE:
        s->offset = min_size(s->offset + s->page, last);
        break;
    case KEY_HOME:
        s->offset = 0;
        break;
    case KEY_END:
        s->offset = last;
        break;
    case 'p':
        change_by(s, ROWS_PROCESS);
        break;
    case 'c':
        change_by(s, ROWS_CGROUP);
        break;
    case 'u':
        change_by(s, ROWS_USER);
        break;
    case 't':
        s->options.tree = !s->options.tree;
        s->offset = 0;
        break;
    case 's':
    case '>':
        step_sort(s, 1);
        break;
    case '<':
        step_sort(s, -1);
        break;
    case 'r':
        s->options.reverse = !s->options.reverse;
        break;
    case '/':
        s->mode = MODE_FILTER;
        memcpy(s->edited, s->filter, sizeof(s->edited));
        break;
    case ESC_KEY:
        s->filter[0] = '\0';
        break;
    case ' ':
        s->paused = !s->paused;
        s->next_ns = 0;
        break;
    case '+':
        change_interval(s, 1);
        break;
    case '-':
        change_interval(s, -1);
        break;
    default:
        break;
    }
}

static void on_keys(struct screen *s)
{
    int key;

    while ((key = getch()) != ERR) {
        if (key == KEY_RESIZE)
            continue;
        if (s->mode == MODE_HELP)
            s->mode = MODE_TABLE;
        else if (s->mode == MODE_FILTER)
            edit_filter(s, key);
        else
            on_table_key(s, key);
    }
}

/* ---- views ---- */

static void take_view(struct screen *s)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct view *view;
    int r = origin_view(s->origin, top_kinds(s->options.by), TOP_UNITS_MAX, &view, &err);

    if (r < 0) { /* the old figures stay, with the reason below them */
        if (r != -ENODATA && r != -EAGAIN)
            snprintf(s->message, sizeof(s->message), "%s", err.msg);
        return;
    }
    s->message[0] = '\0';
    view_free(s->view);
    s->view = view;
    if (s->utf8)
        history_update(s->history, view);
}

static void on_timer(struct screen *s, uint64_t now_ns)
{
    if (now_ns < s->next_ns)
        return;
    if (!s->paused)
        take_view(s);
    s->next_ns = now_ns + (s->view ? s->interval_ns : NS_PER_SEC / 4);
}

static int poll_timeout_ms(const struct screen *s, uint64_t now_ns)
{
    return now_ns >= s->next_ns ? 0 : (int)((s->next_ns - now_ns) / NS_PER_MS) + 1;
}

static int loop(struct screen *s, struct carnot_err *err)
{
    struct carnot_clock *clock = s->origin->env.clock;

    while (!s->quit && !told_to_end) {
        struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                               {.fd = origin_timer_fd(s->origin), .events = POLLIN}};
        struct carnot_err why = CARNOT_ERR_INIT;
        int r = poll(fds, ELEMENTSOF(fds), poll_timeout_ms(s, clock_now(clock).mono_ns));

        if (r < 0 && errno != EINTR)
            return carnot_err_errno(err, errno, "cannot wait for keys");
        if (r > 0 && fds[1].revents && origin_on_timer(s->origin, &why) < 0)
            snprintf(s->message, sizeof(s->message), "%s", why.msg);
        if (r > 0 && fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
            return 0; /* the terminal has gone */
        bool due = clock_now(clock).mono_ns >= s->next_ns;
        if (r > 0 && !fds[0].revents && !due)
            continue; /* counters were read: nothing to draw */
        on_keys(s);   /* also after a signal: a new size comes as a key */
        on_timer(s, clock_now(clock).mono_ns);
        r = draw(s);
        if (r < 0)
            return carnot_err_errno(err, -r, "cannot lay out the table");
    }
    return 0;
}

static void catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_end_signal};

    told_to_end = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

int top_screen(struct origin *origin, const struct rows_options *options, uint64_t interval_ns, struct carnot_err *err)
{
    struct screen s = {.origin = origin, .options = *options, .interval_ns = interval_ns, .utf8 = term_utf8()};
    int r = history_new(&s.history);

    if (r < 0)
        return carnot_err_set(err, ENOMEM, "out of memory");
    if (options->filter)
        snprintf(s.filter, sizeof(s.filter), "%s", options->filter);
    s.options.filter = s.filter;
    s.options.max_rows = 0;
    buf_init(&s.header, CLI_OUTPUT_MAX);
    buf_init(&s.table, CLI_OUTPUT_MAX);
    buf_init(&s.footer, CLI_OUTPUT_MAX);
    set_escdelay(25); /* a lone Esc is a key here, and is not to wait a second */
    SCREEN *terminal = newterm(NULL, stdout, stdin);
    if (!terminal) {
        r = carnot_err_set(err, ENOTTY, "this terminal (TERM=%s) cannot show a full screen; use --once",
                           getenv("TERM") ? getenv("TERM") : "");
        goto out;
    }
    catch_signals();
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    r = loop(&s, err);
    endwin();
    delscreen(terminal);
out:
    buf_done(&s.header);
    buf_done(&s.table);
    buf_done(&s.footer);
    history_free(s.history);
    view_free(s.view);
    return r;
}
