/* SPDX-License-Identifier: Apache-2.0 */
/* See labels.h. */
#include "model/labels.h"

#include <string.h>

/* Length of the valid UTF-8 sequence at p, 0 when there is none (overlong forms, surrogates and values above U+10FFFF
 * are not valid; RFC 3629). */
static size_t utf8_length(const unsigned char *p)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, length;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xee, 0x80, 0xbf, 3},
        {0xef, 0xef, 0x80, 0x9b, 3}, {0xef, 0xef, 0xa0, 0xbf, 3}, /* without U+F700 to U+F7FF, which stand for bad bytes
                                                                   */
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
        if (p[0] < forms[i].first_low || p[0] > forms[i].first_high)
            continue;
        if (forms[i].length > 1 && (p[1] < forms[i].second_low || p[1] > forms[i].second_high))
            continue;
        for (size_t k = 2; k < forms[i].length; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return forms[i].length;
    }
    return 0;
}

size_t label_escape(const char *value, char *out, size_t size)
{
    const unsigned char *p = (const unsigned char *)value;
    size_t len = 0;

    while (*p) {
        unsigned char piece[4];
        size_t taken = utf8_length(p), n = taken;

        if (*p == '\\' || *p == '"' || *p == '\n') {
            piece[0] = '\\';
            piece[1] = *p == '\n' ? 'n' : *p;
            n = 2;
        } else if (taken == 0 || *p < 0x20 || *p == 0x7f) {
            /* U+F700 + byte, of the private use area: two names that differ stay two. */
            piece[0] = 0xef;
            piece[1] = (unsigned char)(0x9c | *p >> 6);
            piece[2] = (unsigned char)(0x80 | (*p & 0x3f));
            n = 3;
            taken = 1;
        } else {
            memcpy(piece, p, taken);
        }
        if (len + n + 1 > size)
            break;
        memcpy(out + len, piece, n);
        len += n;
        p += taken;
    }
    out[len] = '\0';
    return len;
}

size_t label_room(const char *key, const char *value)
{
    return strlen(key) + 3 * strlen(value) + sizeof(",=\"\"");
}

void label_put(struct label_writer *writer, const char *key, const char *value)
{
    size_t key_len = strlen(key), need = (writer->len ? 1 : 0) + key_len + 3; /* comma, ="" */

    if (writer->len + need + 1 > writer->size)
        return;
    if (writer->len)
        writer->out[writer->len++] = ',';
    memcpy(writer->out + writer->len, key, key_len);
    writer->len += key_len;
    writer->out[writer->len++] = '=';
    writer->out[writer->len++] = '"';
    /* One byte of the room is for the closing quote. */
    writer->len += label_escape(value, writer->out + writer->len, writer->size - writer->len - 1);
    writer->out[writer->len++] = '"';
    writer->out[writer->len] = '\0';
}
