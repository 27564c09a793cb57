/* SPDX-License-Identifier: Apache-2.0 */
/* Label values: whatever a process calls itself, one value cannot end its quotes, its line, or be other than UTF-8. */
#include <string.h>

#include "base/json_out.h"
#include "check.h"
#include "sinks/prometheus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_escaped(const char *s)
{
    for (; *s; s++) {
        CHECK(*s != '"' && *s != '\n');
        if (*s != '\\')
            continue;
        s++;
        CHECK(*s == '\\' || *s == '"' || *s == 'n');
    }
}

/* The JSON writer replaces what is not UTF-8; here it must find nothing to replace. */
static void check_utf8(const struct buf *escaped, const char *original)
{
    struct json_out json;
    struct buf out;

    buf_init(&out, 8 * escaped->len + 64);
    json_out_init(&json, &out);
    json_out_string(&json, buf_str(escaped));
    CHECK(buf_error(&out) == 0);
    CHECK(strstr(original, "\xEF\xBF\xBD") || !strstr(buf_str(&out), "\xEF\xBF\xBD"));
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    struct buf out;

    if (!text)
        return 0;
    buf_init(&out, 3 * size + 16);
    buf_puts(&out, "before");
    prometheus_escape(&out, text);
    CHECK(buf_error(&out) == 0);
    CHECK(out.len <= 6 + 3 * strlen(text) && strlen(buf_str(&out)) == out.len);
    CHECK(strncmp(buf_str(&out), "before", 6) == 0);
    check_escaped(buf_str(&out) + 6);
    check_utf8(&out, text);
    buf_done(&out);
    free(text);
    return 0;
}
