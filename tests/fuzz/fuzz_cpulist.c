/* SPDX-License-Identifier: Apache-2.0 */
/* CPU lists: the first byte chooses the number of bits. A list that is accepted sets only those bits, and is accepted
 * again with the same result when its bits are written out one by one. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/parse.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS     4
#define UNTOUCHED 0x0123456789ABCDEFULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t bits[WORDS] = {UNTOUCHED, UNTOUCHED, UNTOUCHED, UNTOUCHED}, again[WORDS] = {0};
    struct buf buf;

    if (size == 0)
        return 0;
    size_t n_bits = data[0];
    size_t n_words = (n_bits + 63) / 64;
    int r = parse_cpulist((struct text){(const char *)data + 1, size - 1}, bits, n_bits);
    CHECK(r == 0 || r == -EINVAL || r == -ERANGE);
    for (size_t i = r < 0 ? 0 : n_words; i < WORDS; i++)
        CHECK(bits[i] == UNTOUCHED);
    if (r < 0)
        return 0;

    buf_init(&buf, 4096);
    for (size_t i = 0; i < n_words * 64; i++) {
        if (!(bits[i / 64] >> (i % 64) & 1))
            continue;
        CHECK(i < n_bits);
        if (buf.len)
            buf_putc(&buf, ',');
        buf_put_u64(&buf, i);
    }
    CHECK(parse_cpulist(text_of(buf_str(&buf)), again, n_bits) == 0);
    CHECK(memcmp(bits, again, n_words * sizeof(bits[0])) == 0);
    buf_done(&buf);
    return 0;
}
