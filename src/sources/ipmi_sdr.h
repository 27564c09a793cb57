/* SPDX-License-Identifier: Apache-2.0 */
/* Sensor data records of a BMC: which of them describe a power, how a raw byte becomes microwatts, and which sensors
 * together are the power of the machine (IPMI 2.0, chapters 36 and 43). Reads nothing. */
#ifndef CARNOT_SOURCES_IPMI_SDR_H
#define CARNOT_SOURCES_IPMI_SDR_H

#include "base/util.h"

#define IPMI_SDR_HEADER 5   /* bytes that every record begins with: they tell its type and length */
#define IPMI_SDR_UNITS  24  /* of a full sensor record, so many bytes tell whether it is a power */
#define IPMI_SDR_MAX    260 /* header and 255 bytes */

/* 31 characters of 8 bits, or 31 bytes of BCD; packed to 6 bits they would be 41, more than anybody writes. */
#define IPMI_SENSOR_NAME_MAX 64

/* Power sensors that are looked at: two dozen on the largest boards, most of them of parts. */
#define IPMI_SENSORS_MAX 64

/* Power supplies that are added up: an enclosure of blades has ten. */
#define IPMI_SUPPLIES_MAX 16

enum ipmi_role {
    IPMI_ROLE_TOTAL,  /* the power of the machine, by its name */
    IPMI_ROLE_IN,     /* what a power supply takes in */
    IPMI_ROLE_SUPPLY, /* a power supply's, of a side that is not told */
    IPMI_ROLE_OUT,    /* what a power supply gives out: its losses are missing */
    IPMI_ROLE_PART,   /* of a processor, memory, a card, or nothing known */
};

struct ipmi_sensor {
    char name[IPMI_SENSOR_NAME_MAX]; /* printing ASCII, perhaps "" */
    uint8_t lun, number;
    uint8_t entity, instance;
    uint8_t format;        /* 0 unsigned, 1 ones' complement, 2 two's complement */
    uint8_t linearisation; /* 0 linear to 11, table 43-1 */
    int16_t m, b;
    int8_t b_exponent, r_exponent; /* K1, K2 */
};

enum ipmi_sdr_kind {
    IPMI_SDR_OTHER,       /* no full sensor record of the BMC itself in watts */
    IPMI_SDR_POWER,       /* a power in watts that we can convert */
    IPMI_SDR_UNSUPPORTED, /* one that we cannot: not linear in the maker's own way */
};

/* From the header: a full sensor record; *ret_size gets its size, header included. False for every other type. */
bool ipmi_sdr_is_full(const uint8_t *record, size_t n, size_t *ret_size);

/* From the first IPMI_SDR_UNITS bytes. */
enum ipmi_sdr_kind ipmi_sdr_kind(const uint8_t *record, size_t n);

/* The whole record. -EPROTO when it is shorter than it must be; -ENODATA when it is no IPMI_SDR_POWER. */
int ipmi_sdr_parse(const uint8_t *record, size_t n, struct ipmi_sensor *ret);

/* Raw reading to microwatts. -ENODATA: no figure (a formula without a value there); -ERANGE: below 0 or above
 * IPMI_MAX_UW. */
int ipmi_sensor_power_uw(const struct ipmi_sensor *sensor, uint8_t raw, uint64_t *ret);

enum ipmi_role ipmi_sensor_role(const struct ipmi_sensor *sensor);

/* Moves the sensors that make up the machine's power to the front: the one that names the total best, else the
 * supplies' inputs, else the supplies, else their outputs; never two kinds. Returns their count, at most
 * IPMI_SUPPLIES_MAX, 0 when there is none; *ret_role gets what they are. */
size_t ipmi_sensors_choose(struct ipmi_sensor *sensors, size_t n, enum ipmi_role *ret_role);

#endif
