/* SPDX-License-Identifier: Apache-2.0 */
/* All parsers and scanners on one text, with the properties that hold for any text: outputs only on success, what is
 * accepted reads the same when it is written again, scanners give pieces of the text and come to an end. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/parse.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UNTOUCHED 0x0123456789ABCDEFULL

static void check_result(int r, bool untouched)
{
    CHECK(r == 0 || ((r == -EINVAL || r == -ERANGE) && untouched));
}

static void check_integers(struct text t)
{
    uint64_t value = UNTOUCHED, hex = UNTOUCHED, unit = UNTOUCHED, back = 0;
    int64_t number = (int64_t)UNTOUCHED;
    char out[24];

    int r = parse_u64(t, &value);
    check_result(r, value == UNTOUCHED);
    int r_signed = parse_i64(t, &number);
    check_result(r_signed, number == (int64_t)UNTOUCHED);
    if (r == 0) {
        CHECK(parse_u64((struct text){out, format_u64(out, value)}, &back) == 0 && back == value);
        CHECK(r_signed == (value <= INT64_MAX ? 0 : -ERANGE));
        /* Plain digits are the same number to the parsers that know units. */
        CHECK(parse_bytes(t, &back) == 0 && back == value);
        CHECK(parse_duration_ns(t, &back) == -EINVAL);
    }
    if (r_signed == 0) {
        int64_t again = 0;
        int n = snprintf(out, sizeof(out), "%" PRId64, number);
        CHECK(parse_i64((struct text){out, (size_t)n}, &again) == 0 && again == number);
    }

    r = parse_hex64(t, &hex);
    check_result(r, hex == UNTOUCHED);
    if (r == 0) {
        int n = snprintf(out, sizeof(out), "0x%" PRIx64, hex);
        CHECK(parse_hex64((struct text){out, (size_t)n}, &back) == 0 && back == hex);
    }
    r = parse_bytes(t, &unit);
    check_result(r, unit == UNTOUCHED);
    unit = UNTOUCHED;
    r = parse_duration_ns(t, &unit);
    check_result(r, unit == UNTOUCHED);
    if (r == 0) {
        int n = snprintf(out, sizeof(out), "%" PRIu64 "ns", unit);
        CHECK(parse_duration_ns((struct text){out, (size_t)n}, &back) == 0 && back == unit);
    }
}

static void check_f64(struct text t)
{
    double value = 4.25;
    int r = parse_f64(t, &value);

    check_result(r, value == 4.25);
    CHECK(isfinite(value));
    if (r < 0)
        return;

    struct buf buf;
    double back = 0;
    buf_init(&buf, 64);
    buf_put_double(&buf, value);
    CHECK(parse_f64((struct text){buf.data, buf.len}, &back) == 0);
    CHECK(memcmp(&value, &back, sizeof(value)) == 0);
    buf_done(&buf);
}

static void check_bool(struct text t)
{
    bool yes = true, no = false;
    int r = parse_bool(t, &yes);

    CHECK(r == parse_bool(t, &no));
    check_result(r, yes && !no);
    CHECK(r < 0 || yes == no);
}

/* Each piece lies in the text, behind the one before; with the separators they make up the whole. */
static void check_scanners(struct text t)
{
    struct text rest = t, piece;
    const char *at = t.p;
    size_t separators = 0, bytes = 0;

    while (scan_line(&rest, &piece)) {
        CHECK(piece.p == at && (piece.n == 0 || !memchr(piece.p, '\n', piece.n)));
        at = rest.p;
        bytes += piece.n;
        separators++;
    }
    CHECK(rest.n == 0 && at == t.p + t.n);
    CHECK(bytes + separators == t.n || bytes + separators == t.n + 1); /* the last line may lack its newline */

    rest = t;
    while (scan_word(&rest, &piece)) {
        CHECK(piece.n > 0 && piece.p >= t.p && piece.p + piece.n <= t.p + t.n);
        CHECK(!memchr(piece.p, ' ', piece.n) && !memchr(piece.p, '\t', piece.n));
        CHECK(rest.p == piece.p + piece.n);
    }
    CHECK(rest.n == 0);

    rest = t;
    for (uint64_t value = 0; rest.n;) {
        struct text before = rest;
        if (scan_u64(&rest, &value) < 0) {
            CHECK(rest.p == before.p && rest.n == before.n);
            rest.p++;
            rest.n--;
        }
        CHECK(rest.n < before.n && rest.p + rest.n == t.p + t.n);
    }

    piece = text_trim(t);
    CHECK(piece.n <= t.n && (piece.n == 0 || (piece.p >= t.p && piece.p + piece.n <= t.p + t.n)));
    struct text again = text_trim(piece);
    CHECK(again.n == piece.n);
}

/* What is written with more places reads back as more digits of the same number. */
static void check_fixed(struct text t)
{
    uint64_t coarse = 0, fine = 0;
    double value;

    if (parse_fixed(t, 9, &fine) < 0)
        return;
    CHECK(parse_fixed(t, 3, &coarse) == 0 && coarse == fine / 1000000);
    if (parse_f64(t, &value) == 0)
        CHECK(fabs(value * 1e9 - (double)fine) <= 1 + value * 1e9 * 1e-15);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text t = {(const char *)data, size};

    check_integers(t);
    check_f64(t);
    check_fixed(t);
    check_bool(t);
    check_scanners(t);
    return 0;
}
