/* SPDX-License-Identifier: Apache-2.0 */
/* IPMI's bytes: requests as the specification has them, answers cut at every length, completion codes; sensor data
 * records and their conversion. Values of the conversion are worked out by hand from the formula. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "ipmi_records.h"
#include "sources/ipmi_msg.h"
#include "sources/ipmi_sdr.h"

static struct ipmi_answer answer_of(const uint8_t *bytes, size_t n)
{
    struct ipmi_answer answer = {.n = n};

    memset(answer.data, 0xEE, sizeof(answer.data)); /* what a careless reader would find behind the end */
    memcpy(answer.data, bytes, n);
    return answer;
}

#define ANSWER(...) answer_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void requests(void **state)
{
    const struct {
        struct ipmi_request request;
        uint8_t netfn, cmd, lun, n, data[IPMI_REQUEST_MAX];
    } cases[] = {
        {ipmi_ask_power(), 0x2C, 0x02, 0, 4, {0xDC, 0x01, 0x00, 0x00}},
        {ipmi_ask_dcmi_info(), 0x2C, 0x01, 0, 2, {0xDC, 0x01}},
        {ipmi_ask_device_id(), 0x06, 0x01, 0, 0, {0}},
        {ipmi_ask_sdr_info(), 0x0A, 0x20, 0, 0, {0}},
        {ipmi_ask_sdr_reservation(), 0x0A, 0x22, 0, 0, {0}},
        {ipmi_ask_sdr(0x1234, 0xABCD, 5, 19), 0x0A, 0x23, 0, 6, {0x34, 0x12, 0xCD, 0xAB, 5, 19}},
        {ipmi_ask_sensor(2, 0xE7), 0x04, 0x2D, 2, 1, {0xE7}},
        {ipmi_ask_lan_address(1), 0x0C, 0x02, 0, 4, {0x01, 0x03, 0x00, 0x00}},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const struct ipmi_request *request = &cases[i].request;

        assert_int_equal(request->netfn, cases[i].netfn);
        assert_int_equal(request->cmd, cases[i].cmd);
        assert_int_equal(request->lun, cases[i].lun);
        assert_int_equal(request->n, cases[i].n);
        assert_memory_equal(request->data, cases[i].data, sizeof(request->data));
        assert_non_null(request->name);
    }
}

/* 332 W now, 68 to 504, mean 348, at 0x65449E2D, over 2685198000 ms. */
static const uint8_t good_bytes[] = {0x00, 0xDC, 0x4C, 0x01, 0x44, 0x00, 0xF8, 0x01, 0x5C, 0x01,
                                     0x2D, 0x9E, 0x44, 0x65, 0xB0, 0x9A, 0x0C, 0xA0, 0x40};

static void power(void **state)
{
    struct ipmi_answer answer = answer_of(good_bytes, sizeof(good_bytes));
    struct ipmi_power p = {0}, untouched = {.power_uw = 7};

    assert_int_equal(ipmi_parse_power(&answer, &p), 0);
    assert_int_equal(p.power_uw, 332000000);
    assert_int_equal(p.min_uw, 68000000);
    assert_int_equal(p.max_uw, 504000000);
    assert_int_equal(p.mean_uw, 348000000);
    assert_int_equal(p.stamp, 0x65449E2D);
    assert_int_equal(p.period_ms, 2685180592);

    for (size_t n = 0; n < sizeof(good_bytes); n++) {
        struct ipmi_answer cut = answer_of(good_bytes, n);

        assert_int_equal(ipmi_parse_power(&cut, &untouched), -EPROTO);
    }
    struct ipmi_answer longer = answer;
    longer.n = sizeof(good_bytes) + 4; /* a later edition may add to it */
    assert_int_equal(ipmi_parse_power(&longer, &p), 0);
    answer.data[1] = 0x00; /* of another group: PICMG */
    assert_int_equal(ipmi_parse_power(&answer, &untouched), -EPROTO);
    answer.data[1] = 0xDC;
    memset(answer.data + 10, 0xFF, 4);
    assert_int_equal(ipmi_parse_power(&answer, &p), 0);
    assert_int_equal(p.stamp, 0);
    assert_int_equal(untouched.power_uw, 7);
}

static void no_power(void **state)
{
    struct ipmi_answer answer = answer_of(good_bytes, sizeof(good_bytes));
    struct ipmi_power p = {.power_uw = 7};

    answer.data[18] = 0x00; /* not measuring: whatever the numbers say */
    assert_int_equal(ipmi_parse_power(&answer, &p), -ENODATA);
    answer.data[18] = 0xBF; /* every bit but that one */
    assert_int_equal(ipmi_parse_power(&answer, &p), -ENODATA);
    answer.data[18] = 0x40;
    answer.data[2] = answer.data[3] = 0x00;
    assert_int_equal(ipmi_parse_power(&answer, &p), -ENODATA);
    answer.data[2] = answer.data[3] = 0xFF;
    assert_int_equal(ipmi_parse_power(&answer, &p), -ENODATA);
    assert_int_equal(p.power_uw, 7);
    answer.data[2] = 1;
    answer.data[3] = 0;
    assert_int_equal(ipmi_parse_power(&answer, &p), 0);
    assert_int_equal(p.power_uw, 1000000);
}

static void completion_codes(void **state)
{
    static const struct {
        uint8_t code;
        int status;
        const char *words;
    } cases[] = {
        {0xC0, -EAGAIN, "busy"},         {0xC1, -EOPNOTSUPP, "does not know"},
        {0xC2, -EOPNOTSUPP, "logical"},  {0xC3, -ETIMEDOUT, "out of time"},
        {0xC5, -ECANCELED, "reserv"},    {0xC7, -EMSGSIZE, "length"},
        {0xC9, -EIO, "range"},           {0xCA, -EMSGSIZE, "so many bytes"},
        {0xCB, -ENODATA, "no such"},     {0xD2, -EAGAIN, "starting"},
        {0xD4, -EPERM, "privilege"},     {0xD5, -EAGAIN, "present state"},
        {0xD6, -EOPNOTSUPP, "switched"}, {0xFF, -EIO, "no reason"},
        {0x80, -EIO, "of this command"}, {0x01, -EIO, "of its maker"},
        {0xDF, -EIO, "reserves"},
    };
    struct ipmi_request request = ipmi_ask_power();

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct ipmi_answer answer = answer_of(good_bytes, sizeof(good_bytes));
        struct carnot_err err = CARNOT_ERR_INIT;
        struct ipmi_power p = {.power_uw = 7};

        answer.data[0] = cases[i].code; /* with figures behind it, which do not count */
        assert_int_equal(ipmi_parse_power(&answer, &p), cases[i].status);
        assert_int_equal(p.power_uw, 7);
        answer.n = 1; /* a refusal is this short */
        assert_int_equal(ipmi_parse_power(&answer, &p), cases[i].status);
        assert_non_null(strstr(ipmi_completion_text(cases[i].code), cases[i].words));
        assert_int_equal(ipmi_explain(&request, &answer, cases[i].status, &err), cases[i].status);
        assert_non_null(strstr(err.msg, "DCMI Get Power Reading"));
        assert_non_null(strstr(err.msg, cases[i].words));
    }
    assert_int_equal(ipmi_completion_status(0), 0);
}

static void other_answers(void **state)
{
    struct ipmi_answer a;
    struct ipmi_device_id id;
    struct ipmi_dcmi_info dcmi;
    struct ipmi_sdr_info info;
    struct ipmi_sdr_part part;
    uint16_t reservation;
    uint8_t raw = 7, address[4] = {9};

    a = ANSWER(0x00, 0x20, 0x81, 0x02, 0x45, 0x02, 0xBF, 0xA2, 0x02, 0xF0, 0x00, 0x01);
    assert_int_equal(ipmi_parse_device_id(&a, &id), 0);
    assert_int_equal(id.manufacturer, 674); /* 20 bits of it */
    assert_int_equal(id.product, 0x0100);
    assert_int_equal(id.firmware_major, 2);
    assert_int_equal(id.firmware_minor, 45);
    assert_int_equal(id.ipmi_major, 2);
    assert_int_equal(id.ipmi_minor, 0);
    assert_true(id.has_sdr);
    assert_false(id.updating);
    a.data[3] |= 0x80;
    assert_int_equal(ipmi_parse_device_id(&a, &id), 0);
    assert_true(id.updating);
    a.n = 11;
    assert_int_equal(ipmi_parse_device_id(&a, &id), -EPROTO);

    a = ANSWER(0x00, 0xDC, 0x01, 0x05, 0x02, 0x00, 0x01, 0x07);
    assert_int_equal(ipmi_parse_dcmi_info(&a, &dcmi), 0);
    assert_int_equal(dcmi.major, 1);
    assert_int_equal(dcmi.minor, 5);
    assert_true(dcmi.power);
    a.n = 6;
    assert_int_equal(ipmi_parse_dcmi_info(&a, &dcmi), -EPROTO);

    a = ANSWER(0x00, 0x51, 0x8A, 0x01, 0xFF, 0xFF, 1, 2, 3, 4, 5, 6, 7, 8, 0x22);
    assert_int_equal(ipmi_parse_sdr_info(&a, &info), 0);
    assert_int_equal(info.records, 394);
    assert_true(info.reservation);
    a.data[14] = 0x20;
    assert_int_equal(ipmi_parse_sdr_info(&a, &info), 0);
    assert_false(info.reservation);
    a.n = 14;
    assert_int_equal(ipmi_parse_sdr_info(&a, &info), -EPROTO);

    a = ANSWER(0x00, 0x34, 0x12);
    assert_int_equal(ipmi_parse_sdr_reservation(&a, &reservation), 0);
    assert_int_equal(reservation, 0x1234);
    a.n = 2;
    assert_int_equal(ipmi_parse_sdr_reservation(&a, &reservation), -EPROTO);

    a = ANSWER(0x00, 0xFF, 0xFF, 0x01, 0x02);
    assert_int_equal(ipmi_parse_sdr(&a, &part), 0);
    assert_int_equal(part.next, IPMI_SDR_LAST);
    assert_int_equal(part.n, 2);
    assert_int_equal(part.data[1], 2);
    a.n = 3; /* not one byte of a record: nobody would ever get to its end */
    assert_int_equal(ipmi_parse_sdr(&a, &part), -EPROTO);

    a = ANSWER(0x00, 0x60, 0xC0, 0xC0);
    assert_int_equal(ipmi_parse_sensor(&a, &raw), 0);
    assert_int_equal(raw, 0x60);
    raw = 7;
    a.data[2] = 0xE0; /* reading unavailable */
    assert_int_equal(ipmi_parse_sensor(&a, &raw), -ENODATA);
    a.data[2] = 0x80; /* not scanned */
    assert_int_equal(ipmi_parse_sensor(&a, &raw), -ENODATA);
    a.n = 2;
    assert_int_equal(ipmi_parse_sensor(&a, &raw), -EPROTO);
    assert_int_equal(raw, 7);

    a = ANSWER(0x00, 0x11, 10, 1, 2, 3);
    assert_int_equal(ipmi_parse_lan_address(&a, address), 0);
    assert_memory_equal(address, ((uint8_t[]){10, 1, 2, 3}), 4);
    a = ANSWER(0x00, 0x11, 0, 0, 0, 0);
    assert_int_equal(ipmi_parse_lan_address(&a, address), -ENODATA);
    a.n = 5;
    assert_int_equal(ipmi_parse_lan_address(&a, address), -EPROTO);
    a.n = 0;
    assert_int_equal(ipmi_parse_lan_address(&a, address), -EPROTO);
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static struct ipmi_sensor parsed(const struct record *record)
{
    struct ipmi_sensor sensor;

    assert_int_equal(ipmi_sdr_parse(record->bytes, record->n, &sensor), 0);
    return sensor;
}

static void a_record(void **state)
{
    struct record record = record_watts("Sys Power", 7, 0xE7, 2);
    struct ipmi_sensor sensor = parsed(&record);
    size_t size;

    assert_string_equal(sensor.name, "Sys Power");
    assert_int_equal(sensor.number, 0xE7);
    assert_int_equal(sensor.entity, 7);
    assert_int_equal(sensor.m, 2);
    assert_int_equal(sensor.b, 0);
    assert_true(ipmi_sdr_is_full(record.bytes, IPMI_SDR_HEADER, &size));
    assert_int_equal(size, record.n);
    assert_false(ipmi_sdr_is_full(record.bytes, IPMI_SDR_HEADER - 1, &size));
    for (size_t n = 0; n < 48; n++)
        assert_int_equal(ipmi_sdr_parse(record.bytes, n, &sensor), -EPROTO);
    for (size_t n = 48; n <= record.n; n++) { /* a name cut short is a short name */
        assert_int_equal(ipmi_sdr_parse(record.bytes, n, &sensor), 0);
        assert_int_equal(strlen(sensor.name), n - 48 == 4 ? 3 : n - 48); /* "Sys " without its blank */
    }
    assert_int_equal(ipmi_sdr_kind(record.bytes, IPMI_SDR_UNITS - 1), IPMI_SDR_OTHER);
}

static void records_that_are_no_power(void **state)
{
    static const struct {
        size_t at;
        uint8_t byte;
        enum ipmi_sdr_kind kind;
    } cases[] = {
        {3, 0x02, IPMI_SDR_OTHER},        /* compact: no conversion */
        {3, 0xC0, IPMI_SDR_OTHER},        /* the maker's own */
        {5, 0x2C, IPMI_SDR_OTHER},        /* of another controller */
        {5, 0x41, IPMI_SDR_OTHER},        /* of system software */
        {6, 0x10, IPMI_SDR_OTHER},        /* on another channel */
        {13, 0x6F, IPMI_SDR_OTHER},       /* states, no figure */
        {20, 0x01, IPMI_SDR_OTHER},       /* percent */
        {20, 0x18, IPMI_SDR_OTHER},       /* per second */
        {20, 0x02, IPMI_SDR_OTHER},       /* divided by another unit */
        {20, 0xC0, IPMI_SDR_OTHER},       /* no figure */
        {21, 0x05, IPMI_SDR_OTHER},       /* amperes */
        {21, 0x07, IPMI_SDR_OTHER},       /* joules: 8 bits of them are no energy */
        {23, 0x0C, IPMI_SDR_UNSUPPORTED}, /* reserved */
        {23, 0x70, IPMI_SDR_UNSUPPORTED}, /* not linear, factors by another command */
        {23, 0x8B, IPMI_SDR_POWER},       /* the upper bit is none of it */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct record record = record_watts("Sys Power", 7, 1, 1);
        struct ipmi_sensor sensor;

        record.bytes[cases[i].at] = cases[i].byte;
        assert_int_equal(ipmi_sdr_kind(record.bytes, record.n), cases[i].kind);
        assert_int_equal(ipmi_sdr_parse(record.bytes, record.n, &sensor),
                         cases[i].kind == IPMI_SDR_POWER ? 0 : -ENODATA);
    }
}

static void names(void **state)
{
    struct record record = record_watts("", 7, 1, 1);

    record.bytes[47] = 0x83; /* six bits, three bytes: "IPMI" of the specification's example */
    memcpy(record.bytes + 48, "\x29\xDC\xA6", 3);
    record.n = 51;
    assert_string_equal(parsed(&record).name, "IPMI");
    record.bytes[47] = 0x43; /* BCD plus */
    memcpy(record.bytes + 48, "\x12\xB9\xCA", 3);
    assert_string_equal(parsed(&record).name, "12-9.");
    record.bytes[47] = 0x03; /* some Unicode */
    assert_string_equal(parsed(&record).name, "");
    record.bytes[47] = 0xC3;
    memcpy(record.bytes + 48, "\033[m", 3);
    assert_string_equal(parsed(&record).name, "?[m");
    record.bytes[47] = 0xDF; /* longer than the record */
    assert_string_equal(parsed(&record).name, "?[m");
    record.bytes[47] = 0x9F;
    assert_int_equal(strlen(parsed(&record).name), 4);
}

static void conversion(void **state)
{
    static const struct {
        uint8_t raw, format, linearisation;
        int16_t m, b;
        int8_t k1, k2;
        int result;
        uint64_t uw;
    } cases[] = {
        {0x60, 0, 0, 2, 0, 0, 0, 0, 192000000},
        {0xFF, 0, 0, 511, 0, 0, 0, -ERANGE, 0}, /* 130 kW */
        {200, 0, 0, 391, 0, 0, 0, 0, 78200000000},
        {100, 0, 0, 15, 0, 0, -1, 0, 150000000}, /* M = 1.5 */
        {100, 0, 0, 2, 5, 1, 0, 0, 250000000},   /* (200 + 5 * 10) W */
        {100, 0, 0, 2, 5, 1, -1, 0, 25000000},   /* a tenth of that */
        {100, 0, 0, 2, -5, 1, 0, 0, 150000000},
        {10, 0, 0, 2, -5, 1, 0, -ERANGE, 0},   /* -30 W */
        {3, 0, 0, 1, 5, -8, 0, 0, 3000000},    /* 3.00000005 W: rounded */
        {3, 0, 0, 1, 50, -8, 0, 0, 3000001},   /* 3.0000005 W */
        {0, 0, 0, 1, 0, 0, 0, 0, 0},           /* an idle supply */
        {0xFE, 2, 0, -3, 0, 0, 0, 0, 6000000}, /* -3 * -2 */
        {0x80, 2, 0, -1, 0, 0, 0, 0, 128000000},
        {0xFE, 1, 0, -3, 0, 0, 0, 0, 3000000}, /* -3 * -1 */
        {0xFF, 1, 0, -3, 7, 0, 0, 0, 7000000}, /* minus zero */
        {0x7F, 1, 0, 1, 0, 0, 0, 0, 127000000},
        {255, 0, 0, 511, 511, 7, 7, -ERANGE, 0},
        {255, 0, 0, -512, -512, 7, 7, -ERANGE, 0},
        {255, 0, 0, 511, 511, -8, -8, 0, 1303}, /* 130305.00000511e-8 W */
        {4, 0, 10, 25, 0, 0, 0, 0, 10000000},   /* square root of 100 */
        {10, 0, 8, 1, 0, 0, 0, 0, 100000000},   /* square */
        {5, 0, 9, 1, 0, 0, 0, 0, 125000000},    /* cube */
        {4, 0, 7, 1, 0, 0, 0, 0, 250000},       /* 1/x */
        {2, 0, 11, 1, 0, 0, 0, 0, 125000},      /* 1/x^3 */
        {100, 0, 2, 1, 0, 0, 0, 0, 2000000},    /* log10 */
        {8, 0, 3, 1, 0, 0, 0, 0, 3000000},      /* log2 */
        {1, 0, 1, 1, 0, 0, 0, 0, 0},            /* ln */
        {0, 0, 4, 1, 0, 0, 0, 0, 1000000},      /* e^x */
        {2, 0, 5, 1, 0, 0, 0, 0, 100000000},    /* 10^x */
        {5, 0, 6, 1, 0, 0, 0, 0, 32000000},     /* 2^x */
        {0, 0, 7, 1, 0, 0, 0, -ENODATA, 0},     /* 1/0 */
        {0, 0, 1, 1, 0, 0, 0, -ENODATA, 0},     /* ln 0 */
        {1, 0, 10, -1, 0, 0, 0, -ENODATA, 0},   /* root of -1 */
        {200, 0, 5, 2, 0, 0, 0, -ENODATA, 0},   /* 10^400 */
        {20, 0, 5, 1, 0, 0, 0, -ERANGE, 0},
        {1, 0, 2, 1, -9, -1, 0, -ERANGE, 0}, /* log10 of a tenth: -1 W */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct record record = record_watts("x", 7, 1, 1);
        uint64_t uw = 7;

        record_convert(&record, cases[i].m, cases[i].b, cases[i].k1, cases[i].k2);
        record.bytes[20] = (uint8_t)(cases[i].format << 6);
        record.bytes[23] = cases[i].linearisation;
        struct ipmi_sensor sensor = parsed(&record);
        assert_int_equal(sensor.m, cases[i].m);
        assert_int_equal(sensor.b, cases[i].b);
        assert_int_equal(sensor.b_exponent, cases[i].k1);
        assert_int_equal(sensor.r_exponent, cases[i].k2);
        assert_int_equal(ipmi_sensor_power_uw(&sensor, cases[i].raw, &uw), cases[i].result);
        assert_int_equal(uw, cases[i].result ? 7 : cases[i].uw);
    }
}

/* --- which sensors ------------------------------------------------------------------------------------------------ */

static void roles(void **state)
{
    static const struct {
        const char *name;
        uint8_t entity;
        enum ipmi_role role;
    } cases[] = {
        {"Pwr Consumption", 7, IPMI_ROLE_TOTAL},
        {"System Level", 7, IPMI_ROLE_TOTAL},
        {"Sys Power", 19, IPMI_ROLE_TOTAL},
        {"SYS_POWER", 7, IPMI_ROLE_TOTAL},
        {"Total_Power", 7, IPMI_ROLE_TOTAL},
        {"Power Meter", 7, IPMI_ROLE_TOTAL},
        {"POWER_USAGE", 7, IPMI_ROLE_TOTAL},
        {"HSC Input Power", 7, IPMI_ROLE_TOTAL},
        {"Power", 7, IPMI_ROLE_TOTAL},
        {"PSU Total Power", 19, IPMI_ROLE_TOTAL},
        {"PS1 Input Power", 10, IPMI_ROLE_IN},
        {"PSU2_PIN", 10, IPMI_ROLE_IN},
        {"PSU1 Power In", 10, IPMI_ROLE_IN},
        {"ps0_input_power", 0, IPMI_ROLE_IN},
        {"PSU1_POUT", 10, IPMI_ROLE_OUT},
        {"PS2 Output Power", 10, IPMI_ROLE_OUT},
        {"Power Supply 1", 10, IPMI_ROLE_SUPPLY},
        {"PSU1 Power", 19, IPMI_ROLE_SUPPLY},
        {"Power", 10, IPMI_ROLE_TOTAL},
        {"Power1", 10, IPMI_ROLE_SUPPLY},
        {"Sys Power 1", 7, IPMI_ROLE_TOTAL},
        {"Total Power", 3, IPMI_ROLE_PART},
        {"CPU1 Power", 3, IPMI_ROLE_PART},
        {"MEM Power", 32, IPMI_ROLE_PART},
        {"GPU1 Power", 11, IPMI_ROLE_PART},
        {"CPU Power", 7, IPMI_ROLE_PART},
        {"", 7, IPMI_ROLE_PART},
        {"Fan Power", 29, IPMI_ROLE_PART},
        {"Peak Power", 7, IPMI_ROLE_PART},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct record record = record_watts(cases[i].name, cases[i].entity, 1, 1);
        struct ipmi_sensor sensor = parsed(&record);

        if (ipmi_sensor_role(&sensor) != cases[i].role)
            fail_msg("%s (entity %u) is of role %d", cases[i].name, cases[i].entity, ipmi_sensor_role(&sensor));
    }
}

static size_t choose(const char *const *sensor_names, size_t n, struct ipmi_sensor *out, enum ipmi_role *role)
{
    for (size_t i = 0; i < n; i++) {
        struct record record = record_watts(sensor_names[i], sensor_names[i][1] == 'S' ? 10 : 7, (uint8_t)i, 1);

        out[i] = parsed(&record);
    }
    return ipmi_sensors_choose(out, n, role);
}

static void choices(void **state)
{
    static const char *const everything[] = {"CPU1 Power", "PSU1_PIN", "PSU1_POUT", "Power", "PSU2_PIN", "Sys Power"};
    static const char *const both_sides[] = {"PSU1_POUT", "PSU1_PIN", "PSU2_POUT", "PSU2_PIN", "PSU1 Power"};
    static const char *const outputs[] = {"CPU1 Power", "PSU1_POUT", "PSU2_POUT"};
    static const char *const nothing[] = {"CPU1 Power"};
    struct ipmi_sensor s[IPMI_SENSORS_MAX];
    enum ipmi_role role = IPMI_ROLE_PART;

    assert_int_equal(choose(everything, ELEMENTSOF(everything), s, &role), 1);
    assert_int_equal(role, IPMI_ROLE_TOTAL);
    assert_string_equal(s[0].name, "Sys Power"); /* the better name */
    assert_int_equal(choose(both_sides, ELEMENTSOF(both_sides), s, &role), 2);
    assert_int_equal(role, IPMI_ROLE_IN);
    assert_string_equal(s[0].name, "PSU1_PIN");
    assert_string_equal(s[1].name, "PSU2_PIN");
    assert_int_equal(choose(outputs, ELEMENTSOF(outputs), s, &role), 2);
    assert_int_equal(role, IPMI_ROLE_OUT);
    assert_int_equal(choose(nothing, ELEMENTSOF(nothing), s, &role), 0);
    assert_int_equal(choose(nothing, 0, s, &role), 0);

    const char *many[IPMI_SUPPLIES_MAX + 3];
    for (size_t i = 0; i < ELEMENTSOF(many); i++)
        many[i] = "PSU1_PIN";
    assert_int_equal(choose(many, ELEMENTSOF(many), s, &role), IPMI_SUPPLIES_MAX);

    struct record a = record_watts("Sys Power", 23, 1, 1), b = record_watts("Sys Power", 7, 2, 1);
    struct ipmi_sensor same[] = {parsed(&a), parsed(&b)}; /* of one name: the system board's */
    assert_int_equal(ipmi_sensors_choose(same, 2, &role), 1);
    assert_int_equal(same[0].number, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(power),
        cmocka_unit_test(no_power),
        cmocka_unit_test(completion_codes),
        cmocka_unit_test(other_answers),
        cmocka_unit_test(a_record),
        cmocka_unit_test(records_that_are_no_power),
        cmocka_unit_test(names),
        cmocka_unit_test(conversion),
        cmocka_unit_test(roles),
        cmocka_unit_test(choices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
