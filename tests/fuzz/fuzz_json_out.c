/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a document that the input describes, then reads it with jansson, which refuses invalid UTF-8 and broken
 * syntax: whatever the texts and numbers are, a complete document must be readable. */
#include <math.h>
#include <string.h>

#include <jansson.h>

#include "base/json_out.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *p;
    size_t n;
};

static uint8_t take_byte(struct input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

static uint64_t take_u64(struct input *in)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | take_byte(in);
    return value;
}

/* Up to 31 bytes and a NUL. */
static void take_string(struct input *in, char out[32])
{
    size_t n = take_byte(in) % 32;

    n = min_size(n, in->n);
    memcpy(out, in->p, n);
    out[n] = '\0';
    in->p += n;
    in->n -= n;
}

static void put_value(struct json_out *json, struct input *in, uint8_t kind)
{
    char s[32];
    uint64_t bits = 0;
    double number;

    switch (kind) {
    case 0:
        json_out_null(json);
        break;
    case 1:
        json_out_bool(json, take_byte(in) & 1);
        break;
    case 2:
        json_out_u64(json, take_u64(in) >> 1); /* jansson reads signed integers only */
        break;
    case 3:
        json_out_i64(json, (int64_t)take_u64(in));
        break;
    case 4:
        bits = take_u64(in);
        memcpy(&number, &bits, sizeof(number));
        json_out_double(json, number);
        break;
    case 5:
        bits = take_u64(in);
        json_out_fixed(json, bits, 1 + take_byte(in) % 18);
        break;
    default:
        take_string(in, s);
        json_out_string(json, s);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct json_out json;
    struct buf buf;
    bool is_array[JSON_DEPTH_MAX + 1];
    unsigned depth = 1;
    char key[32];

    buf_init(&buf, 1 << 20);
    json_out_init(&json, &buf);
    json_out_array(&json);
    is_array[1] = true;
    while (in.n) {
        uint8_t op = take_byte(&in);

        if (op % 16 == 15 && depth > 1) {
            is_array[depth] ? json_out_array_end(&json) : json_out_object_end(&json);
            depth--;
            continue;
        }
        if (!is_array[depth]) {
            take_string(&in, key);
            json_out_key(&json, key);
        }
        if (op % 16 >= 12 && depth < JSON_DEPTH_MAX) {
            is_array[++depth] = op & 1;
            is_array[depth] ? json_out_array(&json) : json_out_object(&json);
        } else {
            put_value(&json, &in, op % 16 % 7);
        }
    }
    for (; depth; depth--)
        is_array[depth] ? json_out_array_end(&json) : json_out_object_end(&json);
    CHECK(buf_error(&buf) == 0);
    CHECK(memchr(buf.data, '\0', buf.len) == NULL);

    json_error_t error;
    json_t *root = json_loadb(buf.data, buf.len, 0, &error);
    /* What jansson cannot hold, though it is JSON: integers of 20 digits and numbers that no double reaches. */
    CHECK(root || json_error_code(&error) == json_error_numeric_overflow);
    json_decref(root);
    buf_done(&buf);
    return 0;
}
