/* SPDX-License-Identifier: Apache-2.0 */
/* Writes RFC 8259 text, one call per token. Knows commas, escapes and UTF-8; refuses to know what is written, and keeps
 * no tree. Failures stick in the buffer: the caller checks buf_error() once, at its end. */
#include "base/json_out.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

void json_out_init(struct json_out *json, struct buf *buf)
{
    *json = (struct json_out){.buf = buf};
}

static void put_comma(struct json_out *json)
{
    uint32_t bit = 1U << json->depth;

    assert(json->depth > 0 || !(json->has_item & bit)); /* one value per document */
    if (json->has_item & bit)
        buf_putc(json->buf, ',');
    json->has_item |= bit;
}

static bool in_object(const struct json_out *json)
{
    return json->in_object >> json->depth & 1;
}

/* Before every value: behind a key nothing is due, in an array a comma. */
static void begin_value(struct json_out *json)
{
    assert(json->after_key == in_object(json));
    if (!json->after_key)
        put_comma(json);
    json->after_key = false;
}

static void open_nested(struct json_out *json, char bracket)
{
    begin_value(json);
    assert(json->depth < JSON_DEPTH_MAX);
    if (json->depth >= JSON_DEPTH_MAX) {
        json->buf->error = -E2BIG;
        return;
    }
    buf_putc(json->buf, bracket);
    json->depth++;
    json->has_item &= ~(1U << json->depth);
    json->in_object &= ~(1U << json->depth);
    json->in_object |= (uint32_t)(bracket == '{') << json->depth;
}

static void close_nested(struct json_out *json, char bracket)
{
    assert(json->depth > 0 && !json->after_key && in_object(json) == (bracket == '}'));
    if (json->depth == 0)
        return;
    json->depth--;
    buf_putc(json->buf, bracket);
}

void json_out_object(struct json_out *json)
{
    open_nested(json, '{');
}

void json_out_object_end(struct json_out *json)
{
    close_nested(json, '}');
}

void json_out_array(struct json_out *json)
{
    open_nested(json, '[');
}

void json_out_array_end(struct json_out *json)
{
    close_nested(json, ']');
}

static bool is_continuation(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* Length of the well-formed UTF-8 sequence at s (Unicode 15, table 3-7), 0 when there is none. s is NUL-terminated, and
 * a NUL is no continuation byte, so that nothing beyond it is read. */
static size_t utf8_sequence(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4 || !is_continuation(s[1]))
        return 0;
    if (s[0] < 0xE0)
        return 2;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) /* overlong; surrogates */
        return 0;
    if (!is_continuation(s[2]))
        return 0;
    if (s[0] < 0xF0)
        return 3;
    if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) /* overlong; beyond U+10FFFF */
        return 0;
    return is_continuation(s[3]) ? 4 : 0;
}

static void put_escaped(struct buf *buf, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *at = memchr(shorts, c, sizeof(shorts) - 1);
    char out[6] = "\\u00";

    if (at) {
        out[1] = letters[at - shorts];
        buf_append(buf, out, 2);
        return;
    }
    out[4] = hex[c >> 4];
    out[5] = hex[c & 0xF];
    buf_append(buf, out, 6);
}

static void put_quoted(struct buf *buf, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    const unsigned char *plain = s; /* start of what can be copied as it is */

    buf_putc(buf, '"');
    while (*s) {
        bool escape = *s < 0x20 || *s == '"' || *s == '\\';
        size_t n = escape ? 0 : utf8_sequence(s);

        if (n) {
            s += n;
            continue;
        }
        buf_append(buf, plain, (size_t)(s - plain));
        if (escape)
            put_escaped(buf, *s);
        else
            buf_puts(buf, REPLACEMENT);
        plain = ++s;
    }
    buf_append(buf, plain, (size_t)(s - plain));
    buf_putc(buf, '"');
}

void json_out_key(struct json_out *json, const char *key)
{
    assert(in_object(json) && !json->after_key);
    put_comma(json);
    put_quoted(json->buf, key);
    buf_putc(json->buf, ':');
    json->after_key = true;
}

void json_out_string(struct json_out *json, const char *s)
{
    begin_value(json);
    if (s)
        put_quoted(json->buf, s);
    else
        buf_puts(json->buf, "null");
}

void json_out_u64(struct json_out *json, uint64_t value)
{
    begin_value(json);
    buf_put_u64(json->buf, value);
}

void json_out_i64(struct json_out *json, int64_t value)
{
    begin_value(json);
    buf_put_i64(json->buf, value);
}

void json_out_double(struct json_out *json, double value)
{
    begin_value(json);
    if (isfinite(value))
        buf_put_double(json->buf, value);
    else
        buf_puts(json->buf, "null"); /* JSON has no word for it */
}

void json_out_fixed(struct json_out *json, uint64_t value, unsigned decimals)
{
    begin_value(json);
    buf_put_fixed(json->buf, value, decimals);
}

void json_out_bool(struct json_out *json, bool value)
{
    begin_value(json);
    buf_puts(json->buf, value ? "true" : "false");
}

void json_out_null(struct json_out *json)
{
    begin_value(json);
    buf_puts(json->buf, "null");
}

void json_out_kv_string(struct json_out *json, const char *key, const char *s)
{
    json_out_key(json, key);
    json_out_string(json, s);
}

void json_out_kv_u64(struct json_out *json, const char *key, uint64_t value)
{
    json_out_key(json, key);
    json_out_u64(json, value);
}

void json_out_kv_double(struct json_out *json, const char *key, double value)
{
    json_out_key(json, key);
    json_out_double(json, value);
}

void json_out_kv_bool(struct json_out *json, const char *key, bool value)
{
    json_out_key(json, key);
    json_out_bool(json, value);
}
