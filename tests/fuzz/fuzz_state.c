/* SPDX-License-Identifier: Apache-2.0 */
/* The file of totals: any bytes are refused or read, and what was read is written and read again as the same. The input
 * is also tried with a right checksum behind it, which no fuzzer would guess. */
#include <string.h>
#include <zlib.h>

#include "check.h"
#include "meter/lifetime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(const struct lifetime_record *r)
{
    CHECK(r->name[0] && strlen(r->name) < DOMAIN_NAME_MAX);
    CHECK(r->total_uj <= LIFETIME_TOTAL_MAX_UJ && r->bridged_uj <= r->total_uj);
    if (r->last.known && r->last.modulus_uj)
        CHECK(r->last.counter_uj < r->last.modulus_uj);
}

static void try_text(struct text text)
{
    static struct lifetime_state state, again;
    struct carnot_err err = CARNOT_ERR_INIT;
    struct buf out;

    if (lifetime_parse(text, &state, &err) < 0) {
        CHECK(err.msg[0]);
        return;
    }
    CHECK(state.n <= LIFETIME_RECORDS_MAX);
    for (size_t i = 0; i < state.n; i++)
        check_record(&state.records[i]);
    buf_init(&out, LIFETIME_TEXT_MAX);
    lifetime_format(&state, &out);
    CHECK(buf_error(&out) == 0);
    CHECK(lifetime_parse((struct text){out.data, out.len}, &again, NULL) == 0);
    CHECK(again.n == state.n && again.saved_real_ns == state.saved_real_ns);
    for (size_t i = 0; i < state.n; i++)
        CHECK(memcmp(&again.records[i].total_uj, &state.records[i].total_uj,
                     sizeof(state.records[i]) - offsetof(struct lifetime_record, total_uj)) == 0);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text;

    if (size > LIFETIME_TEXT_MAX / 2)
        return 0;
    try_text((struct text){(const char *)data, size});
    buf_init(&text, LIFETIME_TEXT_MAX);
    buf_append(&text, data, size);
    buf_printf(&text, "crc32 %08lx\n", crc32(0, data, (unsigned)size));
    try_text((struct text){text.data, text.len});
    buf_done(&text);
    return 0;
}
