/* SPDX-License-Identifier: Apache-2.0 */
/* Writes one line per event to stderr, as text or JSON. Knows levels, time stamps and the journal's prefix; refuses to
 * know subjects, and to fail: a line that cannot be written is lost, since there is nobody left to tell. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/json_out.h"
#include "base/parse.h"

/* Longest message. An ordinary line then stays below PIPE_BUF (4096), up to which a pipe takes a write in one piece. */
#define MESSAGE_MAX 1600

/* JSON may make three bytes of one (U+FFFD for a bad byte), and adds its keys and the program's name. */
#define LINE_BYTES_MAX (3 * MESSAGE_MAX + 512)

const char *const log_level_names[] = {"error", "warn", "info", "debug", NULL};
const char *const log_format_names[] = {"text", "json", NULL};

/* Set once by log_setup before there are threads, read by all. */
static struct {
    const char *program;
    enum log_level level;
    enum log_format format;
    bool journal;
} setup = {.program = "carnot", .level = LOG_LEVEL_INFO};

/* systemd sets JOURNAL_STREAM=DEVICE:INODE for a service whose output goes to the journal (systemd.exec(5)); an output
 * that was redirected since has other numbers. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    struct text rest, device_text;
    uint64_t device, inode;

    if (!stream || fstat(STDERR_FILENO, &st) < 0)
        return false;
    rest = text_of(stream);
    if (!scan_until(&rest, ':', &device_text) || parse_u64(device_text, &device) < 0 || parse_u64(rest, &inode) < 0)
        return false;
    return device == (uint64_t)st.st_dev && inode == (uint64_t)st.st_ino;
}

void log_setup(const char *program, enum log_level level, enum log_format format)
{
    setup.program = program;
    setup.level = level;
    setup.format = format;
    setup.journal = stderr_is_journal();
}

/* Priorities of syslog(3): err, warning, info, debug. */
static int journal_priority(enum log_level level)
{
    static const int priorities[] = {3, 4, 6, 7};

    return priorities[level];
}

/* Replaces what a terminal or the journal would act upon: C0 controls, DEL, and the C1 controls as UTF-8 writes them.
 */
static void replace_controls(char *msg)
{
    unsigned char *s = (unsigned char *)msg;

    for (; *s; s++) {
        if (*s == '\n' || *s == '\t' || *s == '\r')
            *s = ' ';
        else if (*s < 0x20 || *s == 0x7F)
            *s = '?';
        else if (s[0] == 0xC2 && s[1] >= 0x80 && s[1] <= 0x9F)
            s[0] = s[1] = '?';
    }
}

/* RFC 3339 in UTC with milliseconds. */
struct stamp {
    char text[40];
};

static struct stamp stamp_of(uint64_t real_ns)
{
    struct stamp stamp;
    struct tm tm = {0};
    time_t seconds = (time_t)(real_ns / NS_PER_SEC);
    size_t n;

    gmtime_r(&seconds, &tm);
    n = strftime(stamp.text, sizeof(stamp.text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(stamp.text + n, sizeof(stamp.text) - n, ".%03uZ", (unsigned)(real_ns / NS_PER_MS % 1000));
    return stamp;
}

static void put_text(struct buf *line, enum log_level level, const char *stamp, const char *msg)
{
    if (stamp)
        buf_printf(line, "%s %s %s: ", stamp, setup.program, log_level_names[level]);
    buf_puts(line, msg);
}

static void put_json(struct buf *line, enum log_level level, const char *stamp, const char *msg)
{
    struct json_out json;

    json_out_init(&json, line);
    json_out_object(&json);
    if (stamp)
        json_out_kv_string(&json, "time", stamp);
    json_out_kv_string(&json, "level", log_level_names[level]);
    json_out_kv_string(&json, "program", setup.program);
    json_out_kv_string(&json, "msg", msg);
    json_out_object_end(&json);
}

static void write_line(const char *data, size_t len)
{
    ssize_t n;

    /* Once: the rest of a line after a short write would stand between other threads' lines. */
    do
        n = write(STDERR_FILENO, data, len);
    while (n < 0 && errno == EINTR);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    CLEANUP(buf_done) struct buf line;
    int errno_before = errno;
    char msg[MESSAGE_MAX];
    va_list ap;

    if (level > setup.level)
        return;

    va_start(ap, fmt);
    int n = vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    if (n < 0)
        msg[0] = '\0';
    replace_controls(msg);

    struct stamp stamp = {0};
    if (!setup.journal)
        stamp = stamp_of(clock_now(carnot_clock_system()).real_ns);
    const char *time = setup.journal ? NULL : stamp.text;

    buf_init(&line, LINE_BYTES_MAX);
    if (setup.journal)
        buf_printf(&line, "<%d>", journal_priority(level));
    if (setup.format == LOG_FORMAT_JSON)
        put_json(&line, level, time, msg);
    else
        put_text(&line, level, time, msg);
    buf_putc(&line, '\n');
    /* Without memory for the line the message still goes out, in two pieces. */
    if (buf_error(&line)) {
        write_line(msg, strlen(msg));
        write_line("\n", 1);
    } else {
        write_line(line.data, line.len);
    }
    errno = errno_before;
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, unsigned *ret_held_back)
{
    /* The difference is huge when the clock went back: a new window, rather than silence until it has caught up. */
    if (limit->in_window == 0 || now_ns - limit->window_start_ns >= limit->interval_ns) {
        limit->window_start_ns = now_ns;
        limit->in_window = 0;
    }
    if (limit->in_window >= limit->burst) {
        limit->held_back++;
        return false;
    }
    limit->in_window++;
    *ret_held_back = limit->held_back;
    limit->held_back = 0;
    return true;
}
