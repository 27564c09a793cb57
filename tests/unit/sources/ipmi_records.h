/* SPDX-License-Identifier: Apache-2.0 */
/* Full sensor records (IPMI 2.0, table 43-1) as a BMC would hold them, made for tests. */
#ifndef CARNOT_TESTS_SOURCES_IPMI_RECORDS_H
#define CARNOT_TESTS_SOURCES_IPMI_RECORDS_H

#include <stdint.h>
#include <string.h>

#include "base/util.h"

struct record {
    uint8_t bytes[80];
    size_t n;
};

/* M and B have ten bits, K1 (of B) and K2 (of the result) four. */
static inline void record_convert(struct record *record, int m, int b, int k1, int k2)
{
    record->bytes[24] = (uint8_t)m;
    record->bytes[25] = (uint8_t)((m >> 8 & 3) << 6 | 0x15); /* below it the tolerance, which is none of M */
    record->bytes[26] = (uint8_t)b;
    record->bytes[27] = (uint8_t)((b >> 8 & 3) << 6 | 0x2A); /* and the accuracy */
    record->bytes[29] = (uint8_t)((k2 & 0xF) << 4 | (k1 & 0xF));
}

/* An analogue sensor in watts of the BMC itself: raw byte times m. */
static inline struct record record_watts(const char *name, uint8_t entity, uint8_t number, int m)
{
    struct record record = {
        .bytes = {[2] = 0x51, [3] = 0x01, [5] = 0x20, [8] = 0, [9] = 0x01, [12] = 0x0B, [13] = 0x01, [21] = 6}};
    size_t n = strlen(name);

    record.bytes[7] = number;
    record.bytes[8] = entity;
    record_convert(&record, m, 0, 0, 0);
    record.bytes[47] = (uint8_t)(0xC0 | n);
    memcpy(record.bytes + 48, name, n);
    record.n = 48 + n;
    record.bytes[4] = (uint8_t)(record.n - 5);
    return record;
}

#endif
