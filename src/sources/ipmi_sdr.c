/* SPDX-License-Identifier: Apache-2.0 */
/* See ipmi_sdr.h. Offsets count from 0; the specification counts bytes from 1. */
#include "sources/ipmi_sdr.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/parse.h"
#include "sources/ipmi_msg.h"

#define TYPE_FULL_SENSOR  0x01
#define OWNER_BMC         0x20
#define READING_THRESHOLD 0x01
#define UNIT_WATTS        6

enum { FORMAT_UNSIGNED, FORMAT_ONES, FORMAT_TWOS, FORMAT_NONE };

/* Two bits beside the length of a name. */
enum { NAME_UNICODE, NAME_BCD, NAME_6BIT, NAME_8BIT };

#define LINEARISATION_LAST 11 /* what follows is the maker's own */

enum offset {
    AT_TYPE = 3,
    AT_LENGTH = 4,
    AT_OWNER = 5,
    AT_LUN = 6,
    AT_NUMBER = 7,
    AT_ENTITY = 8,
    AT_INSTANCE = 9,
    AT_READING_TYPE = 13,
    AT_UNITS = 20,
    AT_BASE_UNIT = 21,
    AT_LINEARISATION = 23,
    AT_M = 24,
    AT_B = 26,
    AT_EXPONENTS = 29,
    AT_NAME_TYPE = 47,
    AT_NAME = 48,
};

/* --- a record --------------------------------------------------------------------------------------------------- */

bool ipmi_sdr_is_full(const uint8_t *record, size_t n, size_t *ret_size)
{
    if (n < IPMI_SDR_HEADER || record[AT_TYPE] != TYPE_FULL_SENSOR)
        return false;
    *ret_size = IPMI_SDR_HEADER + (size_t)record[AT_LENGTH];
    return true;
}

/* Units: bits 7..6 the format, 5..3 a rate (per second ...), 2..1 a second unit, 0 percent. A sensor of another
 * controller would have to be asked through the BMC's bus; of a power of the machine none is known. */
enum ipmi_sdr_kind ipmi_sdr_kind(const uint8_t *record, size_t n)
{
    if (n < IPMI_SDR_UNITS || record[AT_TYPE] != TYPE_FULL_SENSOR || record[AT_OWNER] != OWNER_BMC ||
        record[AT_LUN] >> 4 != 0 || record[AT_READING_TYPE] != READING_THRESHOLD)
        return IPMI_SDR_OTHER;
    if (record[AT_BASE_UNIT] != UNIT_WATTS || record[AT_UNITS] & 0x3F || record[AT_UNITS] >> 6 == FORMAT_NONE)
        return IPMI_SDR_OTHER;
    return (record[AT_LINEARISATION] & 0x7F) <= LINEARISATION_LAST ? IPMI_SDR_POWER : IPMI_SDR_UNSUPPORTED;
}

/* Ten bits in two's complement: eight and, on top of the next byte, two more. */
static int16_t ten_bits(const uint8_t *p)
{
    int value = p[0] | (p[1] & 0xC0) << 2;

    return (int16_t)(value >= 512 ? value - 1024 : value);
}

static int8_t four_bits(unsigned nibble)
{
    return (int8_t)(nibble >= 8 ? (int)nibble - 16 : (int)nibble);
}

static char decode_bcd_plus(const uint8_t *p, size_t i)
{
    static const char signs[] = "0123456789 -.:,_";

    return signs[i % 2 ? p[i / 2] & 0x0F : p[i / 2] >> 4];
}

/* Four characters in three bytes, the first in the lowest bits; 0 is a blank. */
static char decode_6bit(const uint8_t *p, size_t i)
{
    size_t bit = i * 6, at = bit / 8;
    unsigned shift = bit % 8, pair = p[at];

    if (shift > 2)
        pair |= (unsigned)p[at + 1] << 8;
    return (char)(((pair >> shift) & 0x3F) + ' ');
}

/* At most 31 bytes of a name; the room is for twice as many characters. Unicode is of no named kind. */
static void decode_name(const uint8_t *p, size_t n, unsigned type, char *out)
{
    size_t len = 0;

    if (type == NAME_8BIT)
        len = text_copy_printing((struct text){(const char *)p, n}, out, IPMI_SENSOR_NAME_MAX);
    for (size_t i = 0; type == NAME_BCD && i < n * 2; i++)
        out[len++] = decode_bcd_plus(p, i);
    for (size_t i = 0; type == NAME_6BIT && i < n * 8 / 6; i++)
        out[len++] = decode_6bit(p, i);
    while (len && out[len - 1] == ' ')
        len--;
    out[len] = '\0';
}

int ipmi_sdr_parse(const uint8_t *record, size_t n, struct ipmi_sensor *ret)
{
    if (n < AT_NAME)
        return -EPROTO;
    if (ipmi_sdr_kind(record, n) != IPMI_SDR_POWER)
        return -ENODATA;

    size_t name_n = min_size(record[AT_NAME_TYPE] & 0x1F, n - AT_NAME);
    *ret = (struct ipmi_sensor){
        .lun = record[AT_LUN] & 0x03,
        .number = record[AT_NUMBER],
        .entity = record[AT_ENTITY] & 0x7F,
        .instance = record[AT_INSTANCE],
        .format = record[AT_UNITS] >> 6,
        .linearisation = record[AT_LINEARISATION] & 0x7F,
        .m = ten_bits(record + AT_M),
        .b = ten_bits(record + AT_B),
        .b_exponent = four_bits(record[AT_EXPONENTS] & 0x0F),
        .r_exponent = four_bits(record[AT_EXPONENTS] >> 4),
    };
    decode_name(record + AT_NAME, name_n, record[AT_NAME_TYPE] >> 6, ret->name);
    return 0;
}

/* --- raw byte to microwatts ------------------------------------------------------------------------------------- */

static int raw_value(const struct ipmi_sensor *sensor, uint8_t raw)
{
    if (sensor->format == FORMAT_UNSIGNED || raw < 0x80)
        return raw;
    return sensor->format == FORMAT_ONES ? -(int)(uint8_t)~raw : (int)raw - 256;
}

static __int128 power_of_ten(int exponent)
{
    __int128 value = 1;

    for (int i = 0; i < exponent; i++)
        value *= 10;
    return value;
}

/* (M * x + B * 10^K1) * 10^K2 W, exact: all terms are multiplied by 10^SCALE so that no exponent is negative. K1 and K2
 * are -8 to 7, so the largest term has 3 + 7 + 7 + 6 + SCALE digits. */
#define SCALE    10
#define UW_DIGIT 6 /* 10^6 uW in a watt */

static int linear_uw(const struct ipmi_sensor *sensor, int x, uint64_t *ret)
{
    __int128 m = (__int128)sensor->m * x * power_of_ten(sensor->r_exponent + UW_DIGIT + SCALE);
    __int128 b = (__int128)sensor->b * power_of_ten(sensor->b_exponent + sensor->r_exponent + UW_DIGIT + SCALE);
    __int128 sum = m + b, unit = power_of_ten(SCALE);

    if (sum < 0 || sum > IPMI_MAX_UW * unit)
        return -ERANGE;
    *ret = (uint64_t)((sum + unit / 2) / unit);
    return 0;
}

/* Table 43-1, byte 24. */
static double bend(unsigned linearisation, double x)
{
    switch (linearisation) {
    case 1:
        return log(x);
    case 2:
        return log10(x);
    case 3:
        return log2(x);
    case 4:
        return exp(x);
    case 5:
        return pow(10, x);
    case 6:
        return exp2(x);
    case 7:
        return 1 / x;
    case 8:
        return x * x;
    case 9:
        return x * x * x;
    case 10:
        return sqrt(x);
    case 11:
        return 1 / (x * x * x);
    default:
        return NAN;
    }
}

static int bent_uw(const struct ipmi_sensor *sensor, int x, uint64_t *ret)
{
    double line = (sensor->m * (double)x + sensor->b * pow(10, sensor->b_exponent)) * pow(10, sensor->r_exponent);
    double watts = bend(sensor->linearisation, line);

    if (!isfinite(watts))
        return -ENODATA;
    if (watts < 0 || watts > (double)IPMI_MAX_UW / 1e6)
        return -ERANGE;
    *ret = (uint64_t)(watts * 1e6 + 0.5);
    return 0;
}

int ipmi_sensor_power_uw(const struct ipmi_sensor *sensor, uint8_t raw, uint64_t *ret)
{
    int x = raw_value(sensor, raw);

    return sensor->linearisation == 0 ? linear_uw(sensor, x, ret) : bent_uw(sensor, x, ret);
}

/* --- what a sensor measures ------------------------------------------------------------------------------------- */

enum entity {
    ENTITY_PROCESSOR = 3,
    ENTITY_DISK = 4,
    ENTITY_SYSTEM_BOARD = 7,
    ENTITY_MEMORY_MODULE = 8,
    ENTITY_POWER_SUPPLY = 10,
    ENTITY_CARD = 11,
    ENTITY_POWER_UNIT = 19,
    ENTITY_POWER_BOARD = 21,
    ENTITY_CHASSIS = 23,
    ENTITY_FAN = 29,
    ENTITY_MEMORY = 32,
};

static const uint8_t part_entities[] = {ENTITY_PROCESSOR, ENTITY_DISK, ENTITY_MEMORY_MODULE,
                                        ENTITY_CARD,      ENTITY_FAN,  ENTITY_MEMORY};

/* Names of the machine's power, letters only, best first. Of makers' manuals: Dell "Pwr Consumption", "System Level";
 * HPE "Power Meter"; Lenovo, Quanta, Gigabyte "Sys Power", "SYS_POWER"; Fujitsu, Inspur, OpenBMC "Total Power"; Cisco
 * "POWER_USAGE"; Supermicro "PW Consumption"; Huawei "Power"; Open Compute boards "HSC Input Power", the hot-swap
 * controller through which the whole board is fed. */
static const char *const total_names[] = {
    "syspower",      "systempower", "totalpower",    "pwrconsumption", "powerconsumption",
    "pwconsumption", "powermeter",  "nodepower",     "serverpower",    "syspwr",
    "systemlevel",   "powerusage",  "hscinputpower", "hscinpower",     "power",
};

/* Letters in lower case; digits and all else left out, since they only number the supplies. */
static void letters_of(const char *name, char *out, size_t size)
{
    size_t len = 0;

    for (; *name && len < size - 1; name++) {
        if (*name >= 'A' && *name <= 'Z')
            out[len++] = (char)(*name - 'A' + 'a');
        else if (*name >= 'a' && *name <= 'z')
            out[len++] = *name;
    }
    out[len] = '\0';
}

static size_t total_rank(const char *letters)
{
    size_t i = 0;

    while (i < ELEMENTSOF(total_names) && strcmp(total_names[i], letters) != 0)
        i++;
    return i;
}

/* Some makers give the sum of the supplies as well: that is the total, and no further supply. */
static bool says_total(const char *letters)
{
    return strstr(letters, "total");
}

static bool has_digit(const char *s)
{
    return strpbrk(s, "0123456789");
}

static bool begins(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool is_supply(const struct ipmi_sensor *sensor, const char *letters)
{
    static const char *const prefixes[] = {"psu", "powersupply", "pspower", "pspin", "psinput", "pspout", "psoutput"};

    if (sensor->entity == ENTITY_POWER_SUPPLY)
        return true;
    for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
        if (begins(letters, prefixes[i]))
            return true;
    return false;
}

static bool says_in(const char *letters)
{
    static const char *const words[] = {"pin", "input", "powerin", "pwrin", "inpower", "inpwr", "acin"};

    for (size_t i = 0; i < ELEMENTSOF(words); i++)
        if (strstr(letters, words[i]))
            return true;
    return false;
}

enum ipmi_role ipmi_sensor_role(const struct ipmi_sensor *sensor)
{
    char letters[IPMI_SENSOR_NAME_MAX];

    for (size_t i = 0; i < ELEMENTSOF(part_entities); i++)
        if (sensor->entity == part_entities[i])
            return IPMI_ROLE_PART;
    letters_of(sensor->name, letters, sizeof(letters));
    bool is_total = total_rank(letters) < ELEMENTSOF(total_names);
    if (is_total && !has_digit(sensor->name)) /* "Power" beside "Power1" and "Power2", all told to be supplies */
        return IPMI_ROLE_TOTAL;
    if (is_supply(sensor, letters) && says_total(letters))
        return IPMI_ROLE_TOTAL;
    if (is_supply(sensor, letters))
        return strstr(letters, "out") ? IPMI_ROLE_OUT : says_in(letters) ? IPMI_ROLE_IN : IPMI_ROLE_SUPPLY;
    return is_total ? IPMI_ROLE_TOTAL : IPMI_ROLE_PART;
}

/* Of two sensors whose names say "total", by name first, then the one that hangs on the machine rather than on some
 * part of it. */
static size_t preference(const struct ipmi_sensor *sensor)
{
    static const uint8_t entities[] = {ENTITY_SYSTEM_BOARD, ENTITY_POWER_UNIT, ENTITY_POWER_BOARD, ENTITY_CHASSIS};
    char letters[IPMI_SENSOR_NAME_MAX];
    size_t i = 0;

    letters_of(sensor->name, letters, sizeof(letters));
    while (i < ELEMENTSOF(entities) && entities[i] != sensor->entity)
        i++;
    return total_rank(letters) * (ELEMENTSOF(entities) + 1) + i;
}

static size_t choose_total(struct ipmi_sensor *sensors, size_t n)
{
    size_t best = n;

    for (size_t i = 0; i < n; i++)
        if (ipmi_sensor_role(&sensors[i]) == IPMI_ROLE_TOTAL &&
            (best == n || preference(&sensors[i]) < preference(&sensors[best])))
            best = i;
    if (best == n)
        return 0;
    sensors[0] = sensors[best];
    return 1;
}

static size_t choose_supplies(struct ipmi_sensor *sensors, size_t n, enum ipmi_role role)
{
    size_t count = 0;

    for (size_t i = 0; i < n && count < IPMI_SUPPLIES_MAX; i++)
        if (ipmi_sensor_role(&sensors[i]) == role)
            sensors[count++] = sensors[i];
    return count;
}

size_t ipmi_sensors_choose(struct ipmi_sensor *sensors, size_t n, enum ipmi_role *ret_role)
{
    for (enum ipmi_role role = IPMI_ROLE_TOTAL; role < IPMI_ROLE_PART; role++) {
        size_t count = role == IPMI_ROLE_TOTAL ? choose_total(sensors, n) : choose_supplies(sensors, n, role);

        if (count) {
            *ret_role = role;
            return count;
        }
    }
    return 0;
}
