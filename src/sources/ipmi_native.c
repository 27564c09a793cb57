/* SPDX-License-Identifier: Apache-2.0 */
/* See ipmi_native.h. */
#include "sources/ipmi_native.h"

#include <errno.h>
#include <string.h>

/* Largest boards have some 300 records; a list that does not end is a firmware's fault. */
#define RECORDS_MAX 1024

/* Bytes of a record asked for at once: the answer fits into the 32 bytes of the narrowest interface (SSIF, IPMB).
 * Halved for a BMC that cannot. */
#define PIECE_MAX 24
#define PIECE_MIN 4

/* Somebody else who reads the records takes the reservation away; more often than that they are being written. */
#define RESERVATIONS_MAX 8

struct supply {
    struct ipmi_sensor sensor;
    uint64_t answered_ns; /* monotonic; 0: never */
};

struct ipmi_native {
    /* fixed at open */
    struct ipmi_transport transport;
    struct carnot_clock *clock;
    bool has_id, has_dcmi;
    struct ipmi_device_id id;
    struct ipmi_dcmi_info dcmi;
    bool by_sensor;
    enum ipmi_role role;
    size_t n;
    unsigned n_unsupported;
    /* changed by ask() */
    struct supply supplies[IPMI_SUPPLIES_MAX];
};

/* A failure that was overcome leaves no sentence. */
static void forget(struct carnot_err *err)
{
    if (err)
        *err = CARNOT_ERR_INIT;
}

/* --- DCMI ------------------------------------------------------------------------------------------------------- */

static int ask_dcmi(struct ipmi_native *native, uint64_t deadline_ns, struct ipmi_power *ret, struct carnot_err *err)
{
    struct ipmi_request request = ipmi_ask_power();
    struct ipmi_answer answer;
    int r = ipmi_exchange(&native->transport, &request, deadline_ns, &answer, err);

    if (r < 0)
        return r;
    r = ipmi_parse_power(&answer, ret);
    if (r == -ENODATA)
        return carnot_err_set(err, r, "the BMC says that it does not measure power just now");
    return r < 0 ? ipmi_explain(&request, &answer, r, err) : 0;
}

/* --- sensor data records ---------------------------------------------------------------------------------------- */

struct walk {
    const struct ipmi_transport *transport;
    uint64_t deadline_ns;
    bool reserves;
    uint16_t reservation;
    unsigned reservations; /* how many were taken */
    uint8_t piece;
    uint8_t bytes[IPMI_SDR_MAX]; /* of the record at hand */
    struct ipmi_sensor sensors[IPMI_SENSORS_MAX];
    size_t n;
    unsigned n_unsupported, n_unreadable;
};

static int reserve(struct walk *walk, struct carnot_err *err)
{
    struct ipmi_request request = ipmi_ask_sdr_reservation();
    struct ipmi_answer answer;

    if (!walk->reserves)
        return 0;
    if (walk->reservations++ == RESERVATIONS_MAX)
        return carnot_err_set(err, EAGAIN, "the BMC's sensor data records change all the time: try again later");
    int r = ipmi_exchange(walk->transport, &request, walk->deadline_ns, &answer, err);
    if (r < 0)
        return r;
    r = ipmi_parse_sdr_reservation(&answer, &walk->reservation);
    return r < 0 ? ipmi_explain(&request, &answer, r, err) : 0;
}

/* One piece of a record; the count that was given. */
static int read_piece(struct walk *walk, uint16_t record, size_t offset, size_t want, uint16_t *ret_next,
                      struct carnot_err *err)
{
    for (;;) {
        uint8_t count = (uint8_t)min_size(want, walk->piece);
        struct ipmi_request request = ipmi_ask_sdr(walk->reservation, record, (uint8_t)offset, count);
        struct ipmi_answer answer;
        struct ipmi_sdr_part part;
        int r = ipmi_exchange(walk->transport, &request, walk->deadline_ns, &answer, err);

        if (r < 0)
            return r;
        r = ipmi_parse_sdr(&answer, &part);
        if (r == -EMSGSIZE && walk->piece > PIECE_MIN) {
            walk->piece /= 2;
            continue;
        }
        if (r < 0)
            return ipmi_explain(&request, &answer, r, err);
        size_t n = min_size(part.n, count);
        memcpy(walk->bytes + offset, part.data, n);
        *ret_next = part.next;
        return (int)n;
    }
}

/* Bytes [from, to) of a record into walk->bytes. An offset has one byte in the protocol. */
static int read_bytes(struct walk *walk, uint16_t record, size_t from, size_t to, uint16_t *ret_next,
                      struct carnot_err *err)
{
    to = min_size(to, UINT8_MAX);
    while (from < to) {
        int n = read_piece(walk, record, from, to - from, ret_next, err);

        if (n < 0)
            return n;
        from += (size_t)n;
    }
    return 0;
}

static void keep_sensor(struct walk *walk, size_t size)
{
    struct ipmi_sensor *sensor = &walk->sensors[walk->n];

    if (ipmi_sdr_parse(walk->bytes, size, sensor) == 0 && ipmi_sensor_role(sensor) != IPMI_ROLE_PART)
        walk->n++;
}

/* Of a record whose header is in walk->bytes: its units, and only of a power the rest. */
static int read_full_record(struct walk *walk, uint16_t record, size_t size, struct carnot_err *err)
{
    uint16_t next;
    int r = read_bytes(walk, record, IPMI_SDR_HEADER, IPMI_SDR_UNITS, &next, err);

    if (r < 0)
        return r;
    enum ipmi_sdr_kind kind = ipmi_sdr_kind(walk->bytes, IPMI_SDR_UNITS);
    walk->n_unsupported += kind == IPMI_SDR_UNSUPPORTED;
    if (kind != IPMI_SDR_POWER)
        return 0;
    r = read_bytes(walk, record, IPMI_SDR_UNITS, size, &next, err);
    if (r == 0)
        keep_sensor(walk, min_size(size, UINT8_MAX));
    return r;
}

/* A record that the BMC does not give, though it is in the list, is told and left out. */
static bool is_unreadable(int r)
{
    return r == -EIO || r == -EMSGSIZE || r == -ENODATA || r == -EPERM;
}

static int read_record(struct walk *walk, uint16_t record, uint16_t *ret_next, struct carnot_err *err)
{
    uint16_t next;
    size_t size;
    int r = read_bytes(walk, record, 0, IPMI_SDR_HEADER, &next, err);

    if (r < 0)
        return r;
    if (ipmi_sdr_is_full(walk->bytes, IPMI_SDR_HEADER, &size) && size >= IPMI_SDR_UNITS)
        r = read_full_record(walk, record, size, err);
    if (is_unreadable(r)) {
        forget(err);
        walk->n_unreadable++;
        r = 0;
    }
    if (r == 0)
        *ret_next = next;
    return r;
}

static int walk_records(struct walk *walk, struct carnot_err *err)
{
    uint16_t record = IPMI_SDR_FIRST, next;
    int r = reserve(walk, err);

    for (unsigned i = 0; r == 0 && record != IPMI_SDR_LAST && walk->n < IPMI_SENSORS_MAX; i++) {
        if (i == RECORDS_MAX)
            return carnot_err_set(err, EPROTO,
                                  "the BMC's list of sensor data records does not end after %d: a BMC reset "
                                  "(`ipmitool mc reset cold`) may mend it",
                                  RECORDS_MAX);
        r = read_record(walk, record, &next, err);
        if (r == -ECANCELED && walk->reserves) {
            forget(err);
            r = reserve(walk, err);
            continue;
        }
        if (r == 0)
            record = next;
    }
    return r;
}

static int find_sensors(struct ipmi_native *native, struct walk *walk, struct carnot_err *err)
{
    struct ipmi_request request = ipmi_ask_sdr_info();
    struct ipmi_answer answer;
    struct ipmi_sdr_info info;
    int r = ipmi_exchange(&native->transport, &request, walk->deadline_ns, &answer, err);

    if (r < 0)
        return r;
    r = ipmi_parse_sdr_info(&answer, &info);
    if (r < 0)
        return ipmi_explain(&request, &answer, r, err);
    walk->reserves = info.reservation;
    r = info.records ? walk_records(walk, err) : 0;
    if (r < 0)
        return r;

    size_t n = ipmi_sensors_choose(walk->sensors, walk->n, &native->role);
    if (n == 0)
        return carnot_err_set(err, ENODEV,
                              "none of the %u sensor data records of the BMC is the power of the machine, %u cannot be "
                              "read, %u are converted in a way of their maker's own",
                              info.records, walk->n_unreadable, walk->n_unsupported);
    for (size_t i = 0; i < n; i++)
        native->supplies[i] = (struct supply){.sensor = walk->sensors[i]};
    native->n = n;
    native->n_unsupported = walk->n_unsupported;
    native->by_sensor = true;
    return 0;
}

/* --- sensors ---------------------------------------------------------------------------------------------------- */

static int ask_sensor(struct ipmi_native *native, const struct ipmi_sensor *sensor, uint64_t deadline_ns,
                      uint64_t *ret_uw, struct carnot_err *err)
{
    struct ipmi_request request = ipmi_ask_sensor(sensor->lun, sensor->number);
    struct ipmi_answer answer;
    uint8_t raw;
    int r = ipmi_exchange(&native->transport, &request, deadline_ns, &answer, err);

    if (r < 0)
        return r;
    r = ipmi_parse_sensor(&answer, &raw);
    if (r < 0)
        return r == -ENODATA ? r : ipmi_explain(&request, &answer, r, err);
    r = ipmi_sensor_power_uw(sensor, raw, ret_uw);
    if (r == -ERANGE)
        return carnot_err_set(err, r,
                              "the BMC's sensor \"%s\" tells a power below 0 or above 100 kW: see `ipmitool sensor get "
                              "\"%s\"`, and if it says the same leave the source out with --collector.disable ipmi",
                              sensor->name, sensor->name);
    return r;
}

/* An empty bay never answers and is no part of the sum. A supply that fell silent may have been pulled, or the BMC may
 * have lost sight of it for a moment: until IPMI_SILENCE_NS have passed the sum is not known. */
static int ask_sensors(struct ipmi_native *native, uint64_t deadline_ns, struct ipmi_power *ret, struct carnot_err *err)
{
    uint64_t sum_uw = 0;
    const char *silent = NULL;

    for (size_t i = 0; i < native->n; i++) {
        struct supply *supply = &native->supplies[i];
        uint64_t power_uw = 0;
        int r = ask_sensor(native, &supply->sensor, deadline_ns, &power_uw, err);
        uint64_t now_ns = clock_now(native->clock).mono_ns;

        if (r == 0) {
            supply->answered_ns = now_ns;
            sum_uw += power_uw;
        } else if (r != -ENODATA) {
            return r;
        } else if (supply->answered_ns && now_ns - supply->answered_ns <= IPMI_SILENCE_NS) {
            silent = supply->sensor.name;
        }
    }
    if (silent)
        return carnot_err_set(err, ENODATA, "the BMC's sensor \"%s\" has no reading just now", silent);
    if (sum_uw == 0)
        return carnot_err_set(err, ENODATA, "no power sensor of the BMC has a reading just now");
    *ret = (struct ipmi_power){.power_uw = sum_uw};
    return 0;
}

/* Busy is over in a moment more often than not. */
int ipmi_native_ask(struct ipmi_native *native, struct ipmi_power *ret, struct carnot_err *err)
{
    uint64_t deadline_ns = clock_now(native->clock).mono_ns + IPMI_TIMEOUT_NS;
    int r = -EAGAIN;

    for (int i = 0; i < 2 && r == -EAGAIN; i++) {
        forget(err);
        r = native->by_sensor ? ask_sensors(native, deadline_ns, ret, err) : ask_dcmi(native, deadline_ns, ret, err);
    }
    return r;
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static int identify(struct ipmi_native *native, struct carnot_err *err)
{
    struct ipmi_request id = ipmi_ask_device_id();
    struct ipmi_answer answer;
    uint64_t deadline_ns = clock_now(native->clock).mono_ns + IPMI_TIMEOUT_NS;
    int r = ipmi_exchange(&native->transport, &id, deadline_ns, &answer, err);

    if (r < 0)
        return r;
    native->has_id = ipmi_parse_device_id(&answer, &native->id) == 0;
    return 0;
}

/* Only to be shown: a BMC that does not know this command may know the reading. */
static void identify_dcmi(struct ipmi_native *native)
{
    struct ipmi_request info = ipmi_ask_dcmi_info();
    struct ipmi_answer answer;
    uint64_t deadline_ns = clock_now(native->clock).mono_ns + IPMI_TIMEOUT_NS;

    native->has_dcmi = ipmi_exchange(&native->transport, &info, deadline_ns, &answer, NULL) == 0 &&
                       ipmi_parse_dcmi_info(&answer, &native->dcmi) == 0;
}

/* The first answer of a way that was named may be one that passes. */
static int settle(int r, bool insist, struct carnot_err *err)
{
    if (!insist || (r != -ENODATA && r != -EAGAIN && r != -ETIMEDOUT))
        return r;
    forget(err);
    return 0;
}

static int try_dcmi(struct ipmi_native *native, bool insist, struct carnot_err *err)
{
    struct ipmi_power power;
    int r = ipmi_native_ask(native, &power, err);

    if (r == 0)
        identify_dcmi(native);
    return settle(r, insist, err);
}

static int try_sensors(struct ipmi_native *native, bool insist, struct carnot_err *err)
{
    _cleanup_free_ struct walk *walk = calloc(1, sizeof(*walk));
    struct ipmi_power power;

    if (!walk)
        return carnot_err_set(err, ENOMEM, "out of memory for the BMC's sensor data records");
    walk->transport = &native->transport;
    walk->piece = PIECE_MAX;
    walk->deadline_ns = clock_now(native->clock).mono_ns + IPMI_WALK_TIMEOUT_NS;
    int r = find_sensors(native, walk, err);
    if (r < 0)
        return r;
    r = ipmi_native_ask(native, &power, err);
    return settle(r, insist, err);
}

static bool is_absent(int code)
{
    return code == EOPNOTSUPP || code == ENODATA || code == ENODEV;
}

/* One way failed and so did the other. Two times "I have none" is absent; a fault of either is a fault. */
static int explain_neither(const struct carnot_err *dcmi, const struct carnot_err *sensor, struct carnot_err *err)
{
    int code = !is_absent(dcmi->code) ? dcmi->code : !is_absent(sensor->code) ? sensor->code : ENODEV;

    return carnot_err_set(err, code, "the BMC tells no power. DCMI: %.200s. Sensors: %.200s", dcmi->msg, sensor->msg);
}

static int try_ways(struct ipmi_native *native, enum ipmi_way way, struct carnot_err *err)
{
    struct carnot_err dcmi = CARNOT_ERR_INIT, sensor = CARNOT_ERR_INIT;
    int r = identify(native, err);

    if (r == -ETIMEDOUT && way == IPMI_DCMI) { /* a BMC that is restarting: the way was named, so it is waited for */
        forget(err);
        return 0;
    }
    if (r < 0)
        return r;
    if (way == IPMI_DCMI)
        return try_dcmi(native, true, err);
    if (way == IPMI_SENSOR)
        return try_sensors(native, true, err);
    if (try_dcmi(native, false, &dcmi) == 0 || try_sensors(native, false, &sensor) == 0)
        return 0;
    return explain_neither(&dcmi, &sensor, err);
}

int ipmi_native_open(struct ipmi_transport *transport, struct carnot_clock *clock, enum ipmi_way way,
                     struct ipmi_native **ret_native, struct carnot_err *err)
{
    struct ipmi_native *native = calloc(1, sizeof(*native));

    if (!native) {
        ipmi_transport_close(transport);
        return carnot_err_set(err, ENOMEM, "out of memory for the BMC");
    }
    native->transport = *transport;
    *transport = (struct ipmi_transport){0};
    native->clock = clock;
    int r = try_ways(native, way, err);
    if (r < 0) {
        ipmi_native_close(native);
        return r;
    }
    *ret_native = native;
    return 0;
}

struct ipmi_native *ipmi_native_close(struct ipmi_native *native)
{
    if (native)
        ipmi_transport_close(&native->transport);
    free(native);
    return NULL;
}

/* --- telling ---------------------------------------------------------------------------------------------------- */

/* IANA enterprise numbers of those whose BMCs are common. */
static const struct {
    uint32_t number;
    const char *name;
} makers[] = {
    {2, "IBM"},          {11, "HP"},
    {42, "Sun"},         {343, "Intel"},
    {674, "Dell"},       {2011, "Huawei"},
    {5771, "Cisco"},     {7244, "Quanta"},
    {10368, "Fujitsu"},  {10876, "Supermicro"},
    {15370, "Gigabyte"}, {19046, "Lenovo"},
    {20301, "IBM"},      {37945, "Inspur"},
    {47196, "HPE"},      {49622, "ASRock Rack"},
};

static void put_bmc(const struct ipmi_native *native, struct buf *out)
{
    const struct ipmi_device_id *id = &native->id;
    size_t i = 0;

    if (!native->has_id) {
        buf_puts(out, "BMC");
        return;
    }
    while (i < ELEMENTSOF(makers) && makers[i].number != id->manufacturer)
        i++;
    buf_printf(out, "BMC of %s (%u), firmware %u.%02u, IPMI %u.%u", i < ELEMENTSOF(makers) ? makers[i].name : "maker",
               id->manufacturer, id->firmware_major, id->firmware_minor, id->ipmi_major, id->ipmi_minor);
}

void ipmi_native_describe(const struct ipmi_native *native, struct buf *out)
{
    static const char *const roles[] = {
        [IPMI_ROLE_TOTAL] = "",
        [IPMI_ROLE_IN] = ", inputs of the power supplies, added up",
        [IPMI_ROLE_SUPPLY] = ", power supplies, added up; whether in front of them or behind is not told",
        [IPMI_ROLE_OUT] = ", outputs of the power supplies, added up; what these lose, some 5 to 15 %, is missing",
        [IPMI_ROLE_PART] = "",
    };

    put_bmc(native, out);
    if (!native->by_sensor) {
        buf_puts(out, ", DCMI");
        if (native->has_dcmi)
            buf_printf(out, " %u.%u", native->dcmi.major, native->dcmi.minor);
        buf_puts(out, " power reading");
        return;
    }
    buf_puts(out, native->n == 1 ? ", sensor" : ", sensors");
    for (size_t i = 0; i < native->n; i++)
        buf_printf(out, "%s \"%s\"", i ? "," : "", native->supplies[i].sensor.name);
    buf_puts(out, roles[native->role]);
    if (native->n_unsupported)
        buf_printf(out, "; %u more in watts left out: their conversion is their maker's own", native->n_unsupported);
}
