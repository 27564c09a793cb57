/* SPDX-License-Identifier: Apache-2.0 */
/* Streaming JSON writer into a buf: no tree, keys in the order written, numbers locale-free, strings escaped (invalid
 * UTF-8 becomes U+FFFD). Misuse (a value where a key belongs, a key outside an object, a second value at the top) is
 * caught by assert in debug builds. More than JSON_DEPTH_MAX levels: -E2BIG in the buffer.
 * The long prefix keeps clear of jansson's json_object and the like, which the same program may link. */
#ifndef CARNOT_BASE_JSON_OUT_H
#define CARNOT_BASE_JSON_OUT_H

#include "base/buf.h"

#define JSON_DEPTH_MAX 16 /* our own documents are at most 6 deep */

struct json_out {
    struct buf *buf;
    unsigned depth;
    uint32_t has_item;  /* bit per depth: a comma is due */
    uint32_t in_object; /* bit per depth: values need a key */
    bool after_key;
};

void json_out_init(struct json_out *json, struct buf *buf);
void json_out_object(struct json_out *json);
void json_out_object_end(struct json_out *json);
void json_out_array(struct json_out *json);
void json_out_array_end(struct json_out *json);
void json_out_key(struct json_out *json, const char *key);
void json_out_string(struct json_out *json, const char *s); /* NULL gives null */
void json_out_u64(struct json_out *json, uint64_t value);
void json_out_i64(struct json_out *json, int64_t value);
void json_out_double(struct json_out *json, double value); /* NaN and infinities give null */
void json_out_fixed(struct json_out *json, uint64_t value, unsigned decimals);
void json_out_bool(struct json_out *json, bool value);
void json_out_null(struct json_out *json);

/* key and value in one call */
void json_out_kv_string(struct json_out *json, const char *key, const char *s);
void json_out_kv_u64(struct json_out *json, const char *key, uint64_t value);
void json_out_kv_double(struct json_out *json, const char *key, double value);
void json_out_kv_bool(struct json_out *json, const char *key, bool value);

#endif
