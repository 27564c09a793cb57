/* SPDX-License-Identifier: Apache-2.0 */
/* The two text formats of metrics. Sources: Prometheus exposition formats 0.0.4,
 * OpenMetrics 1.0.0 (a family's name has no _total, a unit is its name's end, the end is marked). */
#include "sinks/exposition.h"

#include <assert.h>

#include "model/labels.h"
#include "sinks/prometheus.h"

static const struct {
    const char *suffix;
    const char *text_type, *openmetrics_type;
} types[] = {
    [FAMILY_COUNTER] = {"_total", "counter", "counter"},
    [FAMILY_GAUGE] = {"", "gauge", "gauge"},
    [FAMILY_INFO] = {"_info", "gauge", "info"}, /* 0.0.4 has no such type */
};

static void put_comment(struct exposition *w, const char *word, const char *name, const char *suffix, const char *text)
{
    buf_puts(w->out, word);
    buf_puts(w->out, name);
    buf_puts(w->out, suffix);
    buf_putc(w->out, ' ');
    buf_puts(w->out, text);
    buf_putc(w->out, '\n');
}

void exposition_family(struct exposition *w, const struct family *family)
{
    const char *suffix = types[family->type].suffix;
    const char *in_comment = w->openmetrics ? "" : suffix;
    size_t len = strlen(family->name), suffix_len = strlen(suffix);

    put_comment(w, "# HELP ", family->name, in_comment, family->help);
    put_comment(w, "# TYPE ", family->name, in_comment,
                w->openmetrics ? types[family->type].openmetrics_type : types[family->type].text_type);
    if (w->openmetrics && family->unit)
        put_comment(w, "# UNIT ", family->name, "", family->unit);

    assert(len + suffix_len + 1 <= sizeof(w->name));
    memcpy(w->name, family->name, len);
    memcpy(w->name + len, suffix, suffix_len);
    w->name[len + suffix_len] = '{';
    w->name_len = len + suffix_len + 1;
}

void exposition_row(struct exposition *w)
{
    buf_append(w->out, w->name, w->name_len - 1);
    w->has_label = false;
}

static void begin_label(struct exposition *w, const char *key)
{
    buf_putc(w->out, w->has_label ? ',' : '{');
    w->has_label = true;
    buf_puts(w->out, key);
    buf_append(w->out, "=\"", 2);
}

void exposition_label(struct exposition *w, const char *key, const char *value)
{
    begin_label(w, key);
    prometheus_escape(w->out, value ? value : "");
    buf_putc(w->out, '"');
}

void exposition_label_u64(struct exposition *w, const char *key, uint64_t value)
{
    begin_label(w, key);
    buf_put_u64(w->out, value);
    buf_putc(w->out, '"');
}

static void end_labels(struct exposition *w)
{
    if (w->has_label)
        buf_putc(w->out, '}');
    buf_putc(w->out, ' ');
}

void exposition_value(struct exposition *w, uint64_t value, unsigned decimals)
{
    end_labels(w);
    buf_put_fixed(w->out, value, decimals);
    buf_putc(w->out, '\n');
}

void exposition_value_signed(struct exposition *w, int64_t value, unsigned decimals)
{
    end_labels(w);
    if (value < 0)
        buf_putc(w->out, '-');
    buf_put_fixed(w->out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, decimals);
    buf_putc(w->out, '\n');
}

void exposition_single(struct exposition *w, const struct family *family, uint64_t value, unsigned decimals)
{
    exposition_family(w, family);
    exposition_row(w);
    exposition_value(w, value, decimals);
}

int exposition_end(struct exposition *w)
{
    if (w->openmetrics)
        buf_puts(w->out, "# EOF\n");
    return buf_error(w->out);
}

void prometheus_escape(struct buf *out, const char *value)
{
    size_t most = 3 * strlen(value);

    /* Room is made for the worst case; a limit just short of it refuses what might have fitted, which harms nobody. */
    if (most == 0 || buf_reserve(out, most) < 0)
        return;
    out->len += label_escape(value, out->data + out->len, most + 1);
}
