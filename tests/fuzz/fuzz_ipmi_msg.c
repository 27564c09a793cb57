/* SPDX-License-Identifier: Apache-2.0 */
/* A BMC's answers and sensor data records: the whole input as each answer in turn, then as a record whose sensor is
 * converted for every raw byte. Nothing behind the end is looked at; no power is 0 or beyond what a machine draws. */
#include <string.h>

#include "check.h"
#include "sources/ipmi_msg.h"
#include "sources/ipmi_sdr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Answers have a fixed room: what follows the end is of no consequence. */
static void parse_power(const uint8_t *data, size_t size)
{
    struct ipmi_answer a = {.n = size}, b = {.n = size};
    struct ipmi_power p = {0}, q = {0};

    memset(a.data, 0x00, sizeof(a.data));
    memset(b.data, 0xFF, sizeof(b.data));
    memcpy(a.data, data, size);
    memcpy(b.data, data, size);
    int r = ipmi_parse_power(&a, &p);
    CHECK(ipmi_parse_power(&b, &q) == r);
    CHECK(memcmp(&p, &q, sizeof(p)) == 0);
    if (r == 0)
        CHECK(p.power_uw > 0 && p.power_uw < IPMI_MAX_UW && data[0] == 0 && data[18] & 0x40);
}

static void parse_others(const uint8_t *data, size_t size)
{
    struct ipmi_answer a = {.n = size};
    struct ipmi_request request = ipmi_ask_power();
    struct ipmi_device_id id;
    struct ipmi_dcmi_info dcmi;
    struct ipmi_sdr_info info;
    struct ipmi_sdr_part part;
    struct carnot_err err = CARNOT_ERR_INIT;
    uint16_t reservation;
    uint8_t raw, address[4];

    memcpy(a.data, data, size);
    ipmi_parse_device_id(&a, &id);
    ipmi_parse_dcmi_info(&a, &dcmi);
    ipmi_parse_sdr_info(&a, &info);
    ipmi_parse_sdr_reservation(&a, &reservation);
    ipmi_parse_sensor(&a, &raw);
    ipmi_parse_lan_address(&a, address);
    int r = ipmi_parse_sdr(&a, &part);
    if (r == 0)
        CHECK(part.n > 0 && part.data + part.n == a.data + a.n);
    else
        CHECK(ipmi_explain(&request, &a, r, &err) == r && err.msg[0]);
}

static void parse_record(const uint8_t *data, size_t size)
{
    struct ipmi_sensor sensor;
    enum ipmi_role role;
    size_t record_size;

    if (ipmi_sdr_is_full(data, size, &record_size))
        CHECK(record_size >= IPMI_SDR_HEADER && record_size <= IPMI_SDR_MAX);
    if (ipmi_sdr_parse(data, size, &sensor) < 0)
        return;
    CHECK(ipmi_sdr_kind(data, size) == IPMI_SDR_POWER);
    for (const char *p = sensor.name; *p; p++)
        CHECK(*p >= ' ' && *p <= '~');
    for (unsigned raw = 0; raw < 256; raw++) {
        uint64_t uw;

        if (ipmi_sensor_power_uw(&sensor, (uint8_t)raw, &uw) == 0)
            CHECK(uw <= IPMI_MAX_UW);
    }
    CHECK(ipmi_sensors_choose(&sensor, 1, &role) == (ipmi_sensor_role(&sensor) != IPMI_ROLE_PART));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > IPMI_ANSWER_MAX)
        return 0;
    parse_power(data, size);
    parse_others(data, size);
    parse_record(data, size);
    return 0;
}
