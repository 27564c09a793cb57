/* SPDX-License-Identifier: Apache-2.0 */
/* The state of lifetime.h as text: a head, a line per domain, a checksum over all of it. Words have no blanks, numbers
 * are decimal. Knows the form; nothing of time and counters but their bounds. */
#include <errno.h>
#include <inttypes.h>
#include <zlib.h>

#include "meter/lifetime.h"

#define HEAD "carnot-state 1"

/* --- Writing ----------------------------------------------------------------------------------------------------- */

static bool is_word(const char *s)
{
    if (!s[0] || strcmp(s, "-") == 0)
        return false;
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

/* A word that is empty, or none, is written as a dash: it will be equal to no other. */
static const char *dash(const char *s)
{
    return is_word(s) ? s : "-";
}

/* What the reader would refuse is not written: a counter that was seen beyond its own range proves nothing anyway. */
static bool mark_is_sound(const struct lifetime_mark *mark)
{
    return mark->boot_ns >= mark->mono_ns && (mark->modulus_uj == 0 || mark->counter_uj < mark->modulus_uj);
}

static bool fits_form(const struct lifetime_record *r)
{
    return is_word(r->name) && is_word(r->origin) && is_word(r->source) && r->total_uj <= LIFETIME_TOTAL_MAX_UJ &&
           r->bridged_uj <= r->total_uj;
}

static void format_record(const struct lifetime_record *r, struct buf *out)
{
    const struct lifetime_mark *m = &r->last;

    buf_printf(out, "domain %s %s %s %s total %" PRIu64 " bridged %" PRIu64 " gaps %" PRIu64 " since %" PRIu64, r->name,
               r->origin, r->source, dash(r->address), r->total_uj, r->bridged_uj, r->gaps, r->since_real_ns);
    if (m->known && mark_is_sound(m))
        buf_printf(out, " counter %" PRIu64 " modulus %" PRIu64 " boottime %" PRIu64 " monotonic %" PRIu64,
                   m->counter_uj, m->modulus_uj, m->boot_ns, m->mono_ns);
    buf_putc(out, '\n');
}

static uint32_t checksum(const char *data, size_t len)
{
    return (uint32_t)crc32_z(0, (const unsigned char *)data, len);
}

void lifetime_format(const struct lifetime_state *state, struct buf *out)
{
    size_t start = out->len;

    buf_printf(out, HEAD "\nmachine %s\nboot %s\nsaved %" PRIu64 "\n", dash(state->machine), dash(state->boot),
               state->saved_real_ns);
    for (size_t i = 0; i < state->n; i++)
        if (fits_form(&state->records[i]))
            format_record(&state->records[i], out);
    if (buf_error(out))
        return;
    buf_printf(out, "crc32 %08" PRIx32 "\n", checksum(out->data + start, out->len - start));
}

/* --- Reading ----------------------------------------------------------------------------------------------------- */

/* One line under the reader's eyes; the first thing that is wrong ends it. */
struct line_reader {
    struct text rest;
    bool bad;
};

static void take_keyword(struct line_reader *line, const char *keyword)
{
    struct text word;

    line->bad |= !scan_word(&line->rest, &word) || !text_is(word, keyword);
}

static void take_word(struct line_reader *line, char *out, size_t size)
{
    struct text word;

    if (!scan_word(&line->rest, &word) || word.n >= size || memchr(word.p, '\0', word.n)) {
        line->bad = true;
        return;
    }
    if (text_is(word, "-"))
        word.n = 0;
    memcpy(out, word.p, word.n);
    out[word.n] = '\0';
}

static uint64_t take_number(struct line_reader *line, const char *keyword)
{
    struct text word;
    uint64_t value = 0;

    take_keyword(line, keyword);
    if (line->bad || !scan_word(&line->rest, &word) || parse_u64(word, &value) < 0)
        line->bad = true;
    return value;
}

static bool at_end(const struct line_reader *line)
{
    return line->rest.n == 0;
}

static bool record_is_sound(const struct lifetime_record *r)
{
    return is_word(r->name) && is_word(r->origin) && is_word(r->source) && r->total_uj <= LIFETIME_TOTAL_MAX_UJ &&
           r->bridged_uj <= r->total_uj && mark_is_sound(&r->last);
}

static bool is_new(const struct lifetime_state *state, const struct lifetime_record *r)
{
    for (size_t i = 0; i < state->n; i++)
        if (strcmp(state->records[i].name, r->name) == 0 && strcmp(state->records[i].origin, r->origin) == 0)
            return false;
    return true;
}

static bool parse_record(struct text text, struct lifetime_record *r)
{
    struct line_reader line = {.rest = text};

    *r = (struct lifetime_record){0};
    take_keyword(&line, "domain");
    take_word(&line, r->name, sizeof(r->name));
    take_word(&line, r->origin, sizeof(r->origin));
    take_word(&line, r->source, sizeof(r->source));
    take_word(&line, r->address, sizeof(r->address));
    r->total_uj = take_number(&line, "total");
    r->bridged_uj = take_number(&line, "bridged");
    r->gaps = take_number(&line, "gaps");
    r->since_real_ns = take_number(&line, "since");
    if (!line.bad && !at_end(&line)) {
        r->last.known = true;
        r->last.counter_uj = take_number(&line, "counter");
        r->last.modulus_uj = take_number(&line, "modulus");
        r->last.boot_ns = take_number(&line, "boottime");
        r->last.mono_ns = take_number(&line, "monotonic");
    }
    return !line.bad && at_end(&line) && record_is_sound(r);
}

static int parse_head(struct text *rest, struct lifetime_state *state)
{
    struct line_reader line = {0};
    struct text text;

    if (!scan_line(rest, &text) || !text_is(text, HEAD))
        return -EPROTO;
    line.bad = !scan_line(rest, &line.rest);
    take_keyword(&line, "machine");
    take_word(&line, state->machine, sizeof(state->machine));
    line.bad |= !at_end(&line) || !scan_line(rest, &line.rest);
    take_keyword(&line, "boot");
    take_word(&line, state->boot, sizeof(state->boot));
    line.bad |= !at_end(&line) || !scan_line(rest, &line.rest);
    state->saved_real_ns = take_number(&line, "saved");
    return line.bad || !at_end(&line) ? -EPROTO : 0;
}

/* Splits the checksum's line off. */
static bool checksum_is_right(struct text *text)
{
    static const char keyword[] = "crc32 ";
    const size_t len = sizeof(keyword) - 1 + 8 + 1;
    struct text line;
    uint64_t value;

    if (text->n < len)
        return false;
    line = (struct text){text->p + text->n - len, len};
    if (!text_starts(line, keyword) || line.p[len - 1] != '\n' ||
        parse_hex64((struct text){line.p + sizeof(keyword) - 1, 8}, &value) < 0)
        return false;
    text->n -= len;
    return value == checksum(text->p, text->n);
}

int lifetime_parse(struct text text, struct lifetime_state *ret_state, struct carnot_err *err)
{
    _cleanup_free_ struct lifetime_state *state = calloc(1, sizeof(*state));
    struct text rest = text, line;

    if (!state)
        return carnot_err_set(err, ENOMEM, "out of memory for the totals of earlier runs");
    if (!text_starts(text, "carnot-state "))
        return carnot_err_set(err, EPROTO, "it is no state of carnotd");
    if (!text_starts(text, HEAD "\n"))
        return carnot_err_set(err, EPROTO, "it was written by another version of carnotd");
    if (!checksum_is_right(&rest))
        return carnot_err_set(err, EPROTO, "its checksum is wrong: it was cut short or changed");
    if (parse_head(&rest, state) < 0)
        return carnot_err_set(err, EPROTO, "its head is not of the form that carnotd writes");
    while (scan_line(&rest, &line)) {
        struct lifetime_record record;

        if (!parse_record(line, &record) || !is_new(state, &record))
            return carnot_err_set(err, EPROTO, "its record %zu is not of the form that carnotd writes", state->n + 1);
        if (state->n == LIFETIME_RECORDS_MAX)
            return carnot_err_set(err, EPROTO, "it has more than %zu records", LIFETIME_RECORDS_MAX);
        state->records[state->n++] = record;
    }
    *ret_state = *state;
    return 0;
}
