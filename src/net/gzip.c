/* SPDX-License-Identifier: Apache-2.0 */
/* zlib's deflate into a buf. Knows chunking; refuses to know when compressing is worth it. */
#include "net/gzip.h"

#include <errno.h>
#define ZLIB_CONST /* const input */
#include <zlib.h>

#define GZIP_LEVEL      1
#define GZIP_WINDOW     (15 + 16)  /* 32 KiB window, gzip header and trailer instead of zlib's */
#define GZIP_MEM_LEVEL  8          /* zlib's own default */
#define GZIP_ROOM_LEAST 4096       /* output room per call of deflate */
#define GZIP_PIECE_MAX  (1U << 30) /* zlib counts in 32 bits */

struct gzip {
    z_stream stream;
};

int gzip_new(struct gzip **ret_gzip)
{
    _cleanup_free_ struct gzip *gzip = calloc(1, sizeof(*gzip));

    if (!gzip)
        return -ENOMEM;
    if (deflateInit2(&gzip->stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    *ret_gzip = TAKE_PTR(gzip);
    return 0;
}

struct gzip *gzip_free(struct gzip *gzip)
{
    if (gzip) {
        deflateEnd(&gzip->stream);
        free(gzip);
    }
    return NULL;
}

/* What is left of the buffer, at least a little: doubling growth comes from buf_reserve. */
static int make_room(struct buf *out, z_stream *stream)
{
    size_t least = min_size(GZIP_ROOM_LEAST, out->limit - out->len);

    if (least == 0)
        return out->error = -E2BIG;
    int r = buf_reserve(out, least);
    if (r < 0)
        return r;
    stream->next_out = (Bytef *)out->data + out->len;
    stream->avail_out = (uInt)min_size(out->cap - out->len - 1, GZIP_PIECE_MAX);
    return 0;
}

int gzip_append(struct gzip *gzip, const void *data, size_t len, struct buf *out)
{
    z_stream *stream = &gzip->stream;
    const Bytef *next = data;
    int r = Z_OK;

    if (buf_error(out))
        return buf_error(out);
    deflateReset(stream);
    stream->avail_in = 0;
    while (r != Z_STREAM_END) {
        if (stream->avail_in == 0 && len > 0) {
            stream->next_in = next;
            stream->avail_in = (uInt)min_size(len, GZIP_PIECE_MAX);
            next += stream->avail_in;
            len -= stream->avail_in;
        }
        if (make_room(out, stream) < 0)
            return buf_error(out);

        uInt before = stream->avail_out;
        r = deflate(stream, len == 0 ? Z_FINISH : Z_NO_FLUSH);
        out->len += before - stream->avail_out;
        out->data[out->len] = '\0';
        if (r == Z_STREAM_ERROR)
            return out->error = -EIO;
    }
    return 0;
}
