/* SPDX-License-Identifier: Apache-2.0 */
/* See ipmi_msg.h. Numbers of several bytes come with the least significant one first. */
#include "sources/ipmi_msg.h"

#include <errno.h>
#include <string.h>

#define NETFN_SENSOR    0x04
#define NETFN_APP       0x06
#define NETFN_STORAGE   0x0A
#define NETFN_TRANSPORT 0x0C
#define NETFN_GROUP     0x2C

#define GROUP_DCMI 0xDC

/* IPMI 2.0, 37.1: this and all up to POST_INIT_MAX are no calendar time; the latter still move. */
#define STAMP_NONE 0xFFFFFFFF

/* --- requests --------------------------------------------------------------------------------------------------- */

/* Mode 01h: statistics of the whole system since the BMC began them. */
struct ipmi_request ipmi_ask_power(void)
{
    return (struct ipmi_request){
        .name = "DCMI Get Power Reading", .netfn = NETFN_GROUP, .cmd = 0x02, .n = 4, .data = {GROUP_DCMI, 0x01, 0, 0}};
}

struct ipmi_request ipmi_ask_dcmi_info(void)
{
    return (struct ipmi_request){
        .name = "Get DCMI Capabilities Info", .netfn = NETFN_GROUP, .cmd = 0x01, .n = 2, .data = {GROUP_DCMI, 0x01}};
}

struct ipmi_request ipmi_ask_device_id(void)
{
    return (struct ipmi_request){.name = "Get Device ID", .netfn = NETFN_APP, .cmd = 0x01};
}

struct ipmi_request ipmi_ask_sdr_info(void)
{
    return (struct ipmi_request){.name = "Get SDR Repository Info", .netfn = NETFN_STORAGE, .cmd = 0x20};
}

struct ipmi_request ipmi_ask_sdr_reservation(void)
{
    return (struct ipmi_request){.name = "Reserve SDR Repository", .netfn = NETFN_STORAGE, .cmd = 0x22};
}

struct ipmi_request ipmi_ask_sdr(uint16_t reservation, uint16_t record, uint8_t offset, uint8_t count)
{
    return (struct ipmi_request){.name = "Get SDR",
                                 .netfn = NETFN_STORAGE,
                                 .cmd = 0x23,
                                 .n = 6,
                                 .data = {(uint8_t)reservation, (uint8_t)(reservation >> 8), (uint8_t)record,
                                          (uint8_t)(record >> 8), offset, count}};
}

struct ipmi_request ipmi_ask_sensor(uint8_t lun, uint8_t sensor)
{
    return (struct ipmi_request){
        .name = "Get Sensor Reading", .netfn = NETFN_SENSOR, .cmd = 0x2D, .lun = lun, .n = 1, .data = {sensor}};
}

/* Parameter 3: IP address; set and block selector 0. */
struct ipmi_request ipmi_ask_lan_address(uint8_t channel)
{
    return (struct ipmi_request){.name = "Get LAN Configuration Parameters",
                                 .netfn = NETFN_TRANSPORT,
                                 .cmd = 0x02,
                                 .n = 4,
                                 .data = {channel, 0x03, 0, 0}};
}

/* --- completion codes (IPMI 2.0, table 5-2) --------------------------------------------------------------------- */

static const struct {
    uint8_t code;
    int status;
    const char *text;
} completions[] = {
    {0xC0, -EAGAIN, "the BMC is busy"},
    {0xC1, -EOPNOTSUPP, "the BMC does not know this command"},
    {0xC2, -EOPNOTSUPP, "the BMC does not know this command for that logical unit"},
    {0xC3, -ETIMEDOUT, "the BMC ran out of time over it"},
    {0xC4, -EIO, "the BMC is out of space"},
    {0xC5, -ECANCELED, "the reservation of the sensor data records was lost"},
    {0xC6, -EMSGSIZE, "the request was cut on its way"},
    {0xC7, -EMSGSIZE, "the BMC does not like the length of the request"},
    {0xC8, -EMSGSIZE, "the request is too long for the BMC"},
    {0xC9, -EIO, "a parameter is out of range"},
    {0xCA, -EMSGSIZE, "the BMC cannot return so many bytes"},
    {0xCB, -ENODATA, "there is no such sensor or record"},
    {0xCC, -EIO, "the BMC does not like a field of the request"},
    {0xCD, -EIO, "the command does not fit this sensor or record"},
    {0xCE, -EAGAIN, "the BMC could make no answer"},
    {0xCF, -EAGAIN, "the BMC takes it for a repeated request"},
    {0xD0, -EAGAIN, "the sensor data records are being updated"},
    {0xD1, -EAGAIN, "the BMC's firmware is being updated"},
    {0xD2, -EAGAIN, "the BMC is starting"},
    {0xD3, -EIO, "the part of the BMC that would answer is not reachable"},
    {0xD4, -EPERM, "the BMC wants a higher privilege level"},
    {0xD5, -EAGAIN, "not supported in the present state"},
    {0xD6, -EOPNOTSUPP, "this function of the BMC is switched off or missing"},
    {0xFF, -EIO, "the BMC names no reason"},
};

static size_t find_completion(uint8_t code)
{
    size_t i = 0;

    while (i < ELEMENTSOF(completions) && completions[i].code != code)
        i++;
    return i;
}

int ipmi_completion_status(uint8_t code)
{
    size_t i = find_completion(code);

    if (code == 0)
        return 0;
    return i < ELEMENTSOF(completions) ? completions[i].status : -EIO;
}

const char *ipmi_completion_text(uint8_t code)
{
    size_t i = find_completion(code);

    if (i < ELEMENTSOF(completions))
        return completions[i].text;
    if (code >= 0x80 && code <= 0xBE)
        return "a reason of this command alone";
    return code >= 0x01 && code <= 0x7E ? "a reason of its maker alone" : "a code that the specification reserves";
}

int ipmi_explain(const struct ipmi_request *request, const struct ipmi_answer *answer, int status,
                 struct carnot_err *err)
{
    uint8_t code = answer->n ? answer->data[0] : 0;

    if (status == -EPROTO)
        return carnot_err_set(err, status,
                              "the BMC's answer to %s breaks the protocol (%zu bytes): look for a firmware update, "
                              "and report it if that does not help",
                              request->name, answer->n);
    if (status == -EPERM)
        return carnot_err_set(err, status,
                              "the BMC refuses %s (completion code 0x%02X): %s; over the network ask with a higher "
                              "ipmi.lan-privilege",
                              request->name, code, ipmi_completion_text(code));
    return carnot_err_set(err, status, "the BMC refuses %s (completion code 0x%02X): %s", request->name, code,
                          ipmi_completion_text(code));
}

/* --- answers ---------------------------------------------------------------------------------------------------- */

static uint64_t number(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = bytes; i > 0; i--)
        value = value << 8 | p[i - 1];
    return value;
}

/* Success, and so many bytes at least, the completion code included. An answer that says why it failed may be short. */
static int check(const struct ipmi_answer *answer, size_t least)
{
    if (answer->n == 0 || answer->n > IPMI_ANSWER_MAX)
        return -EPROTO;
    if (answer->data[0] != 0)
        return ipmi_completion_status(answer->data[0]);
    return answer->n < least ? -EPROTO : 0;
}

static int check_dcmi(const struct ipmi_answer *answer, size_t least)
{
    int r = check(answer, least);

    if (r < 0)
        return r;
    return answer->data[1] == GROUP_DCMI ? 0 : -EPROTO;
}

static uint64_t watts_uw(const uint8_t *p)
{
    uint64_t watts = number(p, 2);

    return watts == IPMI_WATTS_NONE ? 0 : watts * IPMI_UW_PER_W;
}

/* Bit 6 of the last byte says whether power is being measured. Boards whose supplies cannot tell answer all zeros; and
 * a machine that runs us draws more than 0 W. */
int ipmi_parse_power(const struct ipmi_answer *answer, struct ipmi_power *ret)
{
    const uint8_t *d = answer->data;
    int r = check_dcmi(answer, 19);

    if (r < 0)
        return r;
    uint64_t power_uw = watts_uw(d + 2), stamp = number(d + 10, 4);
    if (!(d[18] & 0x40) || power_uw == 0)
        return -ENODATA;
    *ret = (struct ipmi_power){
        .power_uw = power_uw,
        .min_uw = watts_uw(d + 4),
        .max_uw = watts_uw(d + 6),
        .mean_uw = watts_uw(d + 8),
        .stamp = stamp == STAMP_NONE ? 0 : stamp,
        .period_ms = number(d + 14, 4),
    };
    return 0;
}

int ipmi_parse_dcmi_info(const struct ipmi_answer *answer, struct ipmi_dcmi_info *ret)
{
    const uint8_t *d = answer->data;
    int r = check_dcmi(answer, 7);

    if (r < 0)
        return r;
    *ret = (struct ipmi_dcmi_info){.major = d[2], .minor = d[3], .power = d[6] & 0x01};
    return 0;
}

static uint8_t from_bcd(uint8_t bcd)
{
    return (uint8_t)((bcd >> 4) * 10 + (bcd & 0x0F));
}

int ipmi_parse_device_id(const struct ipmi_answer *answer, struct ipmi_device_id *ret)
{
    const uint8_t *d = answer->data;
    int r = check(answer, 12);

    if (r < 0)
        return r;
    *ret = (struct ipmi_device_id){
        .updating = d[3] & 0x80,
        .firmware_major = d[3] & 0x7F,
        .firmware_minor = from_bcd(d[4]),
        .ipmi_major = d[5] & 0x0F,
        .ipmi_minor = d[5] >> 4,
        .has_sdr = d[6] & 0x02,
        .manufacturer = (uint32_t)number(d + 7, 3) & 0xFFFFF,
        .product = (uint16_t)number(d + 10, 2),
    };
    return 0;
}

int ipmi_parse_sdr_info(const struct ipmi_answer *answer, struct ipmi_sdr_info *ret)
{
    const uint8_t *d = answer->data;
    int r = check(answer, 15);

    if (r < 0)
        return r;
    *ret = (struct ipmi_sdr_info){.records = (uint16_t)number(d + 2, 2), .reservation = d[14] & 0x02};
    return 0;
}

int ipmi_parse_sdr_reservation(const struct ipmi_answer *answer, uint16_t *ret)
{
    int r = check(answer, 3);

    if (r < 0)
        return r;
    *ret = (uint16_t)number(answer->data + 1, 2);
    return 0;
}

int ipmi_parse_sdr(const struct ipmi_answer *answer, struct ipmi_sdr_part *ret)
{
    int r = check(answer, 4);

    if (r < 0)
        return r;
    *ret = (struct ipmi_sdr_part){
        .next = (uint16_t)number(answer->data + 1, 2), .data = answer->data + 3, .n = answer->n - 3};
    return 0;
}

/* Bit 5: reading unavailable; bit 6: the sensor is being scanned. */
int ipmi_parse_sensor(const struct ipmi_answer *answer, uint8_t *ret_raw)
{
    int r = check(answer, 3);

    if (r < 0)
        return r;
    if (answer->data[2] & 0x20 || !(answer->data[2] & 0x40))
        return -ENODATA;
    *ret_raw = answer->data[1];
    return 0;
}

int ipmi_parse_lan_address(const struct ipmi_answer *answer, uint8_t ret_address[4])
{
    static const uint8_t none[4];
    int r = check(answer, 6);

    if (r < 0)
        return r;
    if (memcmp(answer->data + 2, none, sizeof(none)) == 0)
        return -ENODATA;
    memcpy(ret_address, answer->data + 2, sizeof(none));
    return 0;
}
